"""The example of docs/targets.md: its session made importable, its target as a process."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

DOCUMENT = Path(__file__).parents[2] / "docs" / "targets.md"
DOCUMENTED_SESSION = "json_lines:JsonLinesSession"


@pytest.fixture
def documented_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The address of the document's target; its session can be imported, here and in other processes."""
    target, session = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
    assert 'print("listening"' in target  # any free port here, so it prints which
    program = target.replace('print("listening"', "print(server.server_address[1]")
    (tmp_path / "json_target.py").write_text(program)
    (tmp_path / "json_lines.py").write_text(session)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    monkeypatch.syspath_prepend(str(tmp_path))
    command = [sys.executable, str(tmp_path / "json_target.py"), "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield f"127.0.0.1:{process.stdout.readline().strip()}"
        finally:
            process.kill()
    sys.modules.pop("json_lines", None)
