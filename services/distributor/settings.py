"""The settings of the distributor, read from environment variables."""

from __future__ import annotations

import os
import secrets
import socket
from pathlib import Path
from typing import Annotated

from pydantic import Field

from taskgen.boards.address import DEFAULT_PORT, Address, parse_addresses
from taskgen.boards.binaries import binaries_folder
from taskgen.boards.limits import MAX_FRAME_BYTES, Limits
from taskgen.boards.session import SESSION_DEFAULTS, SessionSettings
from taskgen.execution.board import BOARD_DEFAULTS, BoardSettings
from taskgen.execution.power import PowerCommands
from taskgen.loading.import_string import DEFAULT_SESSION, load_session
from taskgen.runtime.settings import ServiceSettings, checked


def _own_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(2)}"


def _addresses(boards: str, port: int = DEFAULT_PORT) -> list[Address]:
    return parse_addresses(boards.replace(",", " ").split(), port)


class DistributorSettings(ServiceSettings):
    """Variables `TASKGEN_...`; see `.env.example`."""

    instance: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]{1,100}$")] = Field(default_factory=_own_name)
    """Unique per process: distinguishes distributors on one host, and a process from its predecessor."""
    boards: Annotated[str, checked(_addresses)]
    """Addresses and ranges, separated by commas or spaces."""
    port: int = Field(default=DEFAULT_PORT, ge=1, le=65535)
    """For boards given without a port."""
    binaries: Annotated[Path, checked(binaries_folder)] | None = None
    """Folder with the binaries of the tasks; None: the boards have them already."""
    session: Annotated[str, checked(load_session)] = DEFAULT_SESSION
    """`module:Class` of the session that speaks the boards' protocol."""
    outbox_path: Path = Path("outbox")
    """Folder on a volume that outlives the process."""
    outbox_max_mb: int = Field(default=1024, ge=1)
    connect_timeout_s: float = Field(default=SESSION_DEFAULTS.connect_timeout_s, gt=0)
    frame_timeout_s: float = Field(default=SESSION_DEFAULTS.frame_timeout_s, gt=0)
    answer_timeout_s: float = Field(default=SESSION_DEFAULTS.answer_timeout_s, gt=0)
    probe_timeout_s: float = Field(default=SESSION_DEFAULTS.probe_timeout_s, gt=0)
    silence_timeout_s: float = Field(default=SESSION_DEFAULTS.silence_timeout_s, gt=0)
    run_timeout_s: float | None = Field(default=BOARD_DEFAULTS.run_timeout_s, gt=0)
    longest_pause_s: float = Field(default=BOARD_DEFAULTS.longest_pause_s, gt=0)
    frame_max_bytes: int = Field(default=SESSION_DEFAULTS.limits.frame_bytes, ge=1, le=MAX_FRAME_BYTES)
    power_cycle_command: Annotated[str, checked(PowerCommands)] | None = None
    power_on_command: Annotated[str, checked(PowerCommands)] | None = None
    power_after_s: float = Field(default=BOARD_DEFAULTS.power.after_s, gt=0)

    def addresses(self) -> list[Address]:
        """The boards."""
        return _addresses(self.boards, self.port)

    def board_settings(self) -> BoardSettings:
        """Settings for all boards."""
        return BoardSettings(
            session=SessionSettings(
                connect_timeout_s=self.connect_timeout_s,
                frame_timeout_s=self.frame_timeout_s,
                answer_timeout_s=self.answer_timeout_s,
                probe_timeout_s=self.probe_timeout_s,
                silence_timeout_s=self.silence_timeout_s,
                binaries=self.binaries,
                limits=Limits(frame_bytes=self.frame_max_bytes),
            ),
            session_class=load_session(self.session),
            run_timeout_s=self.run_timeout_s,
            longest_pause_s=self.longest_pause_s,
            power=PowerCommands(self.power_cycle_command, self.power_on_command, self.power_after_s),
        )
