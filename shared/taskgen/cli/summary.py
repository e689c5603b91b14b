"""The summary of a campaign: a table for people, one JSON object for programs."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from taskgen.cli.interruption import EXIT_CODE
from taskgen.cli.miss_counter import Misses
from taskgen.cli.terminal import counted, styled
from taskgen.execution.campaign import FailedTaskSet
from taskgen.execution.dispatcher import Counters
from taskgen.run import Outcome

GOOD_OUTCOMES: Final = frozenset({Outcome.FINISHED, Outcome.STOPPED_BY_RULE})
_MAX_FAILED_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class Summary:
    """The end of a campaign; its fields are the keys of `taskgen run --json`."""

    variants: int | None
    """Number of variants; None if generators leave it unknown."""
    outcomes: dict[str, int]
    """Number of runs by outcome, including attempts without a result."""
    failed: list[FailedTaskSet]
    """Variants that have failed."""
    counters: Counters
    metrics: Misses
    handler_failures: dict[str, int]
    """Number of failures by kind."""
    stored: dict[str, str]
    """Paths by kind of store."""
    seconds: float
    signal: str | None
    """The name of the signal that interrupted it, such as `SIGTERM`."""
    fails_on_miss: bool = False
    """Whether a missed deadline is a failure."""

    @property
    def exit_code(self) -> int:
        """130 if interrupted; 1 if something failed. Faults of the lab count only if they lasted."""
        if self.signal:
            return EXIT_CODE
        results = (outcome for outcome in map(Outcome, self.outcomes) if outcome.is_result)
        is_missed = self.fails_on_miss and self.metrics.misses > 0
        return int(bool(self.failed or self.handler_failures or is_missed or set(results) - GOOD_OUTCOMES))

    def json(self) -> str:
        """One object, in which each of the `counters` is a key of its own."""
        fields: dict[str, Any] = asdict(self)
        del fields["fails_on_miss"]
        fields |= fields.pop("counters")
        fields |= {"variants_with_misses": fields["metrics"].pop("variants")} | fields.pop("metrics")
        return json.dumps(fields | {"is_interrupted": bool(self.signal), "exit_code": self.exit_code})

    def show(self, console: Console) -> None:
        """Print the table, then each failed variant with all its reasons."""
        table = Table.grid(padding=(0, 2))
        table.add_column(style="bold", no_wrap=True)
        table.add_column(overflow="fold")
        for name, text in self._rows():
            table.add_row(name, text)
        console.print()
        console.print(table)
        for failed in self.failed[:_MAX_FAILED_SHOWN]:
            console.print(styled("failed", "red"), failed.name, soft_wrap=True)
            for reason in failed.reasons:
                console.print(f"    {reason}", soft_wrap=True)
        if len(self.failed) > _MAX_FAILED_SHOWN:
            more = counted(len(self.failed) - _MAX_FAILED_SHOWN, "more failed variant")
            console.print(f"and {more}; --json lists all of them")

    def _misses(self) -> Text:
        """How many jobs missed their deadline, and in how many variants."""
        metrics = self.metrics
        skipped = ""
        if metrics.skipped_releases:
            skipped = f"; {counted(metrics.skipped_releases, 'skipped release')}"
        jobs = counted(metrics.jobs, "job")
        if not metrics.misses:
            return Text(f"none of {jobs}{skipped}")
        of_all = "" if self.variants is None else f" of {self.variants:,}"
        where = f", in {metrics.variants:,}{of_all} variants"
        return Text.assemble(styled(f"{metrics.misses:,}", "yellow"), f" of {jobs}{where}{skipped}")

    def _rows(self) -> list[tuple[str, str | Text]]:
        rows: list[tuple[str, str | Text]] = []
        if self.signal:
            rows.append(("outcome", styled(f"interrupted by {self.signal}", "yellow")))
        runs = ", ".join(f"{count:,} {outcome}" for outcome, count in self.outcomes.items()) or "none"
        of_all = "" if self.variants is None else f" (of {counted(self.variants, 'variant')})"
        failed = counted(len(self.failed), "variant")
        rows += [
            ("runs", runs + of_all),
            ("failed", styled(failed, "red") if self.failed else "none"),
            ("misses", self._misses()),
            ("events", f"{self.counters.events:,} in {self.seconds:.1f} s"),
        ]
        if self.counters.quarantined:
            count = styled(f"{self.counters.quarantined:,}", "yellow")
            rows.append(("quarantined", Text.assemble(count, ", kept with the reasons")))
        rows += [
            ("handler error", Text.assemble(styled(kind, "red"), f", {counted(times, 'time')}"))
            for kind, times in self.handler_failures.items()
        ]
        return rows + [("stored", f"{path} ({kind})") for kind, path in self.stored.items()]
