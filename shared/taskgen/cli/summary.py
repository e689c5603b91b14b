"""What a campaign has come to: as a table for people, as one JSON object for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from taskgen.cli import interruption
from taskgen.cli.terminal import styled
from taskgen.distributor import Distributor
from taskgen.execution.campaign import Campaign, FailedTaskSet
from taskgen.execution.dispatcher import Counters
from taskgen.run import Outcome

_MAX_BAD_SHOWN: Final = 20
_GOOD: Final = frozenset({Outcome.FINISHED, Outcome.STOPPED_BY_RULE})


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a campaign; its fields are the keys of `taskgen run --json`."""

    variants: int | None
    """How many there were; None: a generator hid it."""
    outcomes: dict[str, int]
    """Number of runs by outcome, attempts without a result included."""
    bad: list[FailedTaskSet]
    counters: Counters
    handler_failures: dict[str, int]
    """How often which kind happened."""
    stored: dict[str, str]
    """Paths by the kind of store."""
    seconds: float
    is_interrupted: bool
    exit_code: int = field(init=False)

    def __post_init__(self) -> None:
        is_good = not self.bad and not self.handler_failures and not self._without_good_result()
        code = interruption.EXIT_CODE if self.is_interrupted else 0 if is_good else 1
        object.__setattr__(self, "exit_code", code)

    def _without_good_result(self) -> int:
        """Runs that have a result other than the good ones; faults of the lab are in `bad` if they lasted."""
        return sum(
            count
            for outcome, count in self.outcomes.items()
            if Outcome(outcome).is_result and outcome not in _GOOD
        )

    def json(self) -> str:
        """One object; `counters` are keys of its own."""
        fields: dict[str, Any] = asdict(self)
        fields |= fields.pop("counters")
        return json.dumps(fields)

    def show(self, console: Console) -> None:
        """As a table, and each bad variant with all its reasons."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in self._rows():
            table.add_row(name, text)
        console.print()
        console.print(table)
        for bad in self.bad[:_MAX_BAD_SHOWN]:
            console.print(styled("bad", "red"), f"{bad.source}, variant {bad.variant}", soft_wrap=True)
            for reason in bad.reasons:
                console.print(f"    {reason}", soft_wrap=True)
        if len(self.bad) > _MAX_BAD_SHOWN:
            console.print(f"and {len(self.bad) - _MAX_BAD_SHOWN:,} more bad variants; --json has them all")

    def _rows(self) -> list[tuple[str, str | Text]]:
        rows: list[tuple[str, str | Text]] = []
        if self.is_interrupted:
            rows.append(("outcome", styled("interrupted", "yellow")))
        runs = ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.items()) or "none"
        plural = "" if self.variants == 1 else "s"
        of_all = "" if self.variants is None else f" (of {self.variants:,} variant{plural})"
        rows += [
            ("runs", runs + of_all),
            ("bad", styled(f"{len(self.bad):,}", "red") if self.bad else "none"),
            ("events", f"{self.counters.events:,} in {self.seconds:.1f} s"),
        ]
        if self.counters.quarantined:
            count = styled(f"{self.counters.quarantined:,}", "yellow")
            rows.append(("quarantined", Text.assemble(count, ", kept with the reasons")))
        rows += [
            ("failed", Text.assemble(styled(kind, "red"), f", {times:,} times"))
            for kind, times in self.handler_failures.items()
        ]
        return rows + [("stored", f"{path} ({kind})") for kind, path in self.stored.items()]


def summary_of(
    distributor: Distributor,
    campaign: Campaign,
    *,
    variants: int | None,
    stored: dict[str, str],
    seconds: float,
    is_interrupted: bool,
) -> Summary:
    """Look at a campaign that is over."""
    return Summary(
        variants=variants,
        outcomes={outcome.value: count for outcome, count in campaign.outcomes.items()},
        bad=list(campaign.bad),
        counters=distributor.counters,
        handler_failures=distributor.handler_failures,
        stored=stored,
        seconds=round(seconds, 3),
        is_interrupted=is_interrupted,
    )
