"""Failed assertions of the contracts say what was compared, as those of test modules do."""

import pytest

pytest.register_assert_rewrite(
    "tests.contract.store_disk", "tests.contract.store_events", "tests.contract.store_runs"
)
