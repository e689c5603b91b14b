"""Starts the controller: `python -m services.controller`."""

from __future__ import annotations

from services.controller.service import serve
from services.controller.settings import ControllerSettings
from taskgen.runtime.runner import run_service

if __name__ == "__main__":
    run_service("controller", ControllerSettings, serve)
