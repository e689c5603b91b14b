"""Starts the distributor: `python -m services.distributor`."""

from __future__ import annotations

from services.distributor.service import serve
from services.distributor.settings import DistributorSettings
from taskgen.runtime.runner import run_service

if __name__ == "__main__":
    run_service("distributor", DistributorSettings, serve)
