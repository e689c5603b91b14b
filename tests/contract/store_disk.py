"""What holds besides for stores on this machine's disk: a full one loses nothing in silence."""

from contextlib import closing
from pathlib import Path

import pytest

from taskgen.errors import StoreUnavailableError
from taskgen.event import Quarantined
from tests.support.profiles import event
from tests.support.store_events import Store, full_disk, give, stored, taskset


class FullDiskContract:
    """The tests; a class that derives from it gives the store."""

    def test_a_full_disk_keeps_the_batch_for_another_try(self, store: Store, tmp_path: Path) -> None:
        tasks = taskset()
        large = [event("X", 0, n, **{"@x": "y" * 1000}) for n in range(1, 1000)]
        with store.make() as handler:
            give(handler, tasks, 0, event("X", 0, 0))
            handler.begin()
            give(handler, tasks, 1, *large)
            handler.__taskset_quarantine__(None, Quarantined("why", b"bytes", "board", "2024-01-01"))
            with full_disk(tmp_path):
                for _ in range(2):
                    with pytest.raises(StoreUnavailableError):
                        handler.commit()
                assert stored(store, tasks) == [event("X", 0, 0)]
            handler.commit()
            give(handler, tasks, 1000, event("X", 0, 1000))
        assert stored(store, tasks) == [event("X", 0, 0), *large, event("X", 0, 1000)]
        with closing(store.read()) as reader:
            assert [one.data for one in reader.quarantined()] == [b"bytes"]

    def test_a_disk_that_is_full_does_not_keep_a_run_from_being_decided(
        self, store: Store, tmp_path: Path
    ) -> None:
        tasks = taskset()
        with store.make() as handler:
            with full_disk(tmp_path), pytest.raises(StoreUnavailableError):
                give(handler, tasks, 0, event("START", 1, 1), event("EXIT", 1, 2, **{"@x": "y" * 100_000}))
            assert not give(handler, tasks, 2, event("JOBS_DONE", 0, 3))
        assert len(stored(store, tasks)) == 3

    def test_what_the_disk_had_no_room_for_is_lost_with_an_error_at_the_latest_when_closing(
        self, store: Store, tmp_path: Path
    ) -> None:
        tasks = taskset()
        handler = store.make()
        with full_disk(tmp_path):
            with pytest.raises(StoreUnavailableError):
                give(handler, tasks, 0, event("X", 0, 1, **{"@x": "y" * 100_000}))
            with pytest.raises(StoreUnavailableError):
                handler.close()
            handler.close()
        with store.make() as handler:
            give(handler, tasks, 0, event("Y", 0, 1))
        assert stored(store, tasks) == [event("Y", 0, 1)]
