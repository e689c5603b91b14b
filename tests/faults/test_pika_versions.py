"""The oldest pika that is allowed works as the newest, with which all other tests run."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SILENT = "tests/faults/test_handshakes.py::test_a_service_ends_quietly_while_its_broker_is_silent"
"""Closes connections while they are being opened, which is what the override is for."""


def oldest_pika() -> str:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    found = re.fullmatch(r"pika>=([0-9.]+),<2", extras["amqp"][0])
    assert found is not None
    return found[1]


def test_the_installed_pika_is_newer_than_the_oldest() -> None:
    assert metadata.version("pika") != oldest_pika()


@pytest.mark.timeout(300)
def test_connections_end_as_well_with_the_oldest_pika(tmp_path: Path) -> None:
    oldest = f"pika=={oldest_pika()}"
    install = ["-m", "pip", "install", "--quiet", "--no-deps", "--target", str(tmp_path), oldest]
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    subprocess.run([sys.executable, *install], check=True, env=environment)
    asked = "import pika; print(pika.__version__, pika.__file__)"
    used = subprocess.run(
        [sys.executable, "-c", asked], check=True, env=environment, capture_output=True, text=True
    )
    assert used.stdout.split() == [oldest_pika(), str(tmp_path / "pika" / "__init__.py")]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", SILENT],
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed" in done.stdout
