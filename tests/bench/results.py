"""What the benchmarks found: printed, held against the aims, and written into docs/performance.md."""

from __future__ import annotations

import os
import platform
import statistics
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs" / "performance.md"
PICTURE: Final = ROOT / "docs" / "pictures" / "performance.svg"
_ENOUGH: Final = 0.5
_BEGIN: Final = "<!-- measured by `make bench` -->"
_END: Final = "<!-- end of what was measured -->"


@dataclass
class Result:
    """One number that is held against an aim, measured in several rounds."""

    part: str
    limit: str
    """What it is held against."""
    unit: str
    aim: float
    is_ratio: bool = True
    """A ratio has to reach the aim, an amount must not exceed it."""
    values: list[float] = field(default_factory=list)

    @property
    def median(self) -> float:
        """Of all rounds."""
        return statistics.median(self.values)

    @property
    def reached(self) -> float:
        """How much of the aim is reached: 1 or more if all of it."""
        return self.median / self.aim if self.is_ratio else self.aim / self.median

    def row(self) -> tuple[str, ...]:
        """As a table's row."""
        spread = f"{min(self.values):.3g} to {max(self.values):.3g}"
        aim = f"{'≥' if self.is_ratio else '≤'} {self.aim:g}"
        return self.part, self.limit, f"{self.median:.3g} {self.unit}".strip(), spread, aim


class Results:
    """All results by what they are of."""

    def __init__(self) -> None:
        self._results: dict[str, Result] = {}

    def add(
        self,
        value: float,
        part: str,
        limit: str,
        aim: float,
        *,
        unit: str = "",
        is_ratio: bool = True,
    ) -> None:
        """Add a round's value."""
        result = self._results.setdefault(part, Result(part, limit, unit, aim, is_ratio))
        result.values.append(value)
        what = f"aim at {'least' if is_ratio else 'most'} {aim:g}"
        print(f"  {part}: {value:.3g} {unit} ({what})".replace("  (", " ("), flush=True)

    def under_half(self) -> list[str]:
        """The ratios that reach less than half of their aim; amounts depend on the machine."""
        return [
            f"{one.part}: {one.median:.3g}, aim {one.aim:g}"
            for one in self._results.values()
            if one.is_ratio and one.reached < _ENOUGH
        ]

    def write(self) -> None:
        """Put table and picture into the documentation."""
        head = ("part", "held against", "median", "spread", "aim")
        rows = [head, tuple("---" for _ in head), *(one.row() for one in self._results.values())]
        table = "\n".join(f"| {' | '.join(row)} |" for row in rows)
        rounds = max(len(one.values) for one in self._results.values())
        about = f"Medians of {rounds} rounds; {_machine()}; commit {_commit()}, {datetime.now(UTC):%Y-%m-%d}."
        before, _, rest = PAGE.read_text().partition(_BEGIN)
        _, _, after = rest.partition(_END)
        PAGE.write_text(f"{before}{_BEGIN}\n\n{about}\n\n{table}\n\n{_END}{after}")
        self._draw()

    def _draw(self) -> None:
        import matplotlib as mpl  # noqa: PLC0415 - takes a second, and only this needs it

        mpl.use("svg")
        mpl.rcParams["svg.hashsalt"] = "taskgen"
        mpl.rcParams["svg.fonttype"] = "none"  # text in a font of the reader's
        from matplotlib import pyplot as plt  # noqa: PLC0415 - as above

        results = list(self._results.values())[::-1]
        figure, axes = plt.subplots(figsize=(9, 0.34 * len(results) + 1), layout="constrained")
        bars = [min(one.reached, 4.0) for one in results]
        colors = ["#00796b" if one.reached >= 1 else "#c77700" for one in results]
        axes.barh([one.part for one in results], bars, color=colors)
        for place, one in enumerate(results):
            axes.text(
                min(one.reached, 4.0) + 0.03,
                place,
                f"{one.median:.3g} {one.unit}".strip(),
                va="center",
                fontsize=8,
            )
        axes.axvline(1, color="#444", linewidth=1)
        axes.set_xlabel("reached of the aim (1 = all of it; longer is better)")
        axes.set_xlim(0, 4.6)
        axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(PICTURE, metadata={"Date": None})


def _machine() -> str:
    names = [
        line.partition(": ")[2]
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if "model name" in line
    ]
    kind = names[0] if names else platform.machine()
    return f"{os.cpu_count()} cores ({kind}), Python {platform.python_version()}"


def _commit() -> str:
    done = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    return done.stdout.strip() or "unknown"
