"""Gas by source line."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from ..language.sourcemap import SourceMap
from ..runtime.stepping import Stepped, Stepping

if TYPE_CHECKING:
    from rich.table import Table

    from ..language.tree import Source

_BAR: Final = 20
"""Columns of the longest bar."""


@dataclass
class Profile:
    """What each instruction cost: by function, "" the program, and index. Calls do not count what they call."""

    gas: Counter[tuple[str, int]] = field(default_factory=Counter)
    runs: Counter[tuple[str, int]] = field(default_factory=Counter)

    def by_line(self, places: SourceMap) -> dict[int, tuple[int, int]]:
        """Gas, and how many instructions ran, by line of the source; line 0 has what stems from no line."""
        lines: dict[int, tuple[int, int]] = {}
        for key, gas in self.gas.items():
            line = places.line_of(*key) or 0
            before = lines.get(line, (0, 0))
            lines[line] = before[0] + gas, before[1] + self.runs[key]
        return dict(sorted(lines.items()))


class Profiler(Stepping):
    """An engine for `Machine.run`: `machine.run(loaded, profiler)`."""

    def __init__(self) -> None:
        super().__init__(self._count)
        self.profile: Final = Profile()

    def _count(self, seen: Stepped) -> None:
        key = seen.function, seen.original
        self.profile.gas[key] += seen.cost
        self.profile.runs[key] += 1


def profile_table(lines: Mapping[int, tuple[int, int]], source: Source) -> Table:
    """The source, with the gas of each line beside it."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from ..language.highlight import highlight

    table = Table(title="gas by line", title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for column, side in (("line", "right"), ("gas", "right"), ("", "right"), ("", "left"), ("runs", "right")):
        table.add_column(column, justify=side, no_wrap=True)  # type: ignore[arg-type]
    table.add_column("source", overflow="fold")
    total = sum(gas for gas, _ in lines.values()) or 1
    most = max((gas for gas, _ in lines.values()), default=0) or 1
    coloured = Text.from_ansi(highlight(source.text)).split("\n", allow_blank=True)
    for number in range(0 if 0 in lines else 1, source.lines + 1):
        gas, runs = lines.get(number, (0, 0))
        text = Text("of no line", "dim") if number == 0 else coloured[number - 1] if number <= len(coloured) else ""
        cells = (f"{gas:,}", f"{gas / total:.1%}", "█" * round(_BAR * gas / most), f"{runs:,}")
        table.add_row(str(number or ""), *(cells if runs else ("", "", "", "")), text)
    return table
