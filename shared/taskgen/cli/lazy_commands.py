"""The commands of `taskgen`, each with the line that `--help` shows, so that it imports none of them."""

from __future__ import annotations

import importlib
from typing import Any, Final

import typer
from typer.core import TyperCommand, TyperGroup
from typing_extensions import override

COMMANDS: Final = {
    "run": "Run all variants of task-sets on the boards and store every event.",
    "board": "Simulate boards, which run the task-sets they are sent in a simulated schedule.",
    "demo": "Run a task-set with variants on simulated boards, without hardware or settings.",
    "show": "Show the runs of a database, or one run's jobs as a table and as a Gantt chart.",
    "verify": "Check that stores have every event of every ended run exactly once, and that they agree.",
    "submit": "Submit all variants of task-sets to the lab; distributors run them as boards become free.",
    "status": "Show boards, runs, campaigns and queues; takes about 3 s to hear from all services.",
    "stop": "Stop runs on their boards, and cancel task-sets that wait for a board.",
    "reboot": "Reboot a board through its distributor; a run on it is lost and retried elsewhere.",
    "setup": "Declare exchanges and queues and set the queues' limits. Safe to repeat.",
    "handle": "Call an event handler for all runs of the lab until Ctrl-C or SIGTERM.",
    "dead-letters": "List, show, requeue or delete messages that a consumer could not process.",
}
"""Each is the function or `app` of the module of its name."""
_HIDDEN: Final = {"parked": "dead-letters"}
"""Former names."""


class LazyCommand(TyperCommand):
    """A command's name and help; `load` imports the command itself."""

    def load(self) -> Any:  # noqa: ANN401 - a command of click, which typer does not export
        """Import the module of the command."""
        name = str(_HIDDEN.get(str(self.name), self.name)).replace("-", "_")
        module = importlib.import_module(f"taskgen.cli.{name}")
        if hasattr(module, "app"):
            return typer.main.get_command(module.app)
        app = typer.Typer(rich_markup_mode="markdown", add_completion=False)
        app.command(self.name)(getattr(module, name))
        return typer.main.get_command(app)

    @override
    def make_context(self, *args: Any, **more: Any) -> Any:
        return self.load().make_context(*args, **more)


class LazyCommands(TyperGroup):
    """Imports a command when it is used."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for name, help_text in COMMANDS.items():
            self.add_command(LazyCommand(name, help=help_text))
        for name, command in _HIDDEN.items():
            self.add_command(LazyCommand(name, help=COMMANDS[command], hidden=True))
