"""Charts of what `vmloom bench` measures, drawn by matplotlib, which is optional."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from ..errors import InputError, Unsupported

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES: Final = (".pdf", ".png", ".svg")
_COLOURS: Final = ("#8aa0bd", "#2f6fde", "#d97a1e", "#2e9e62", "#9557c9")
"""Python's, and those of accelerators."""


def drawer(file: str) -> Callable[[Mapping[str, Any]], None]:
    """What draws a document of `vmloom bench` to `file`.

    Raises `InputError` for a kind of file that there is not, and `Unsupported` without matplotlib.
    """
    path = Path(file)
    if path.suffix.lower() not in SUFFIXES:
        raise InputError(f"--plot {file}: a name that ends in {', '.join(SUFFIXES)} is needed")
    if not path.absolute().parent.is_dir():
        raise InputError(f"--plot {file}: there is no such folder")
    try:
        import matplotlib.figure  # noqa: F401 - only whether it is there
    except ImportError:
        raise Unsupported("--plot needs matplotlib").with_fix('pip install "vmloom-core[plot]"') from None
    return functools.partial(_draw, path)


def _draw(path: Path, document: Mapping[str, Any]) -> None:
    from matplotlib.figure import Figure

    is_calls = "calls" in document
    rows = [row for row in document["calls" if is_calls else "operations"] if not row["error"]]
    if not rows:
        raise InputError(f"--plot {path}: nothing could be measured")
    names = list(dict.fromkeys(row["name" if is_calls else "operation"] for row in rows))
    paths = [] if is_calls else list(dict.fromkeys(row["path"] for row in rows))
    height = 1.4 + (0.5 if is_calls else 0.26 * len(paths) + 0.14) * len(names)
    figure = Figure(figsize=(9, height), layout="constrained")
    if is_calls:
        _draw_calls(figure.subplots(1, 2, sharey=True), rows)
    else:
        _draw_operations(figure.subplots(), rows, names, paths)
    try:
        figure.savefig(path, dpi=150)
    except OSError as error:
        raise InputError(f"--plot {path}: {error.strerror}") from None


def _draw_calls(axes: Sequence[Axes], rows: Sequence[Mapping[str, Any]]) -> None:
    """Two panels: single calls, and calls of a batch. Names may be the same: bars stand by number."""
    places = range(len(rows))
    singles = [1 / row["median_seconds"] if row["median_seconds"] else 0.0 for row in rows]
    batches = [row["batch_items_per_second"] for row in rows]
    for axis, values, title in ((axes[0], singles, "one by one"), (axes[1], batches, "as a batch")):
        bars = axis.barh(places, values, color=_COLOURS[1], height=0.6)
        axis.bar_label(bars, [f"{value:,.0f}" for value in values], padding=3, fontsize=8)
        axis.set_title(title, loc="left", fontsize=10)
        axis.xaxis.set_major_formatter("{x:,.0f}")
        axis.locator_params(axis="x", nbins=5)
        _finish(axis, "calls per second", max(values) * 1.25)
    axes[0].set_yticks(places, [f"{row['name']} ({row['vm']})" for row in rows])
    axes[0].set_ylim(len(rows) - 0.5, -0.5)


def _draw_operations(axis: Axes, rows: Sequence[Mapping[str, Any]], names: Sequence[str], paths: Sequence[str]) -> None:
    """A group of bars for each operation, on a logarithmic scale: paths may differ by thousands."""
    rates = {(row["operation"], row["path"]): row["items_per_second"] for row in rows}
    thickness = 0.8 / len(paths)
    for index, path in enumerate(paths):
        values = [rates.get((name, path), 0.0) for name in names]
        places = [place + (index - (len(paths) - 1) / 2) * thickness for place in range(len(names))]
        colour = _COLOURS[index % len(_COLOURS)]
        bars = axis.barh(places, values, color=colour, height=thickness * 0.9, label=path)
        axis.bar_label(bars, [f"{value:,.0f}" if value else "" for value in values], padding=3, fontsize=7)
    axis.set_yticks(range(len(names)), names)
    axis.set_ylim(len(names) - 0.5, -0.5)
    axis.set_xscale("log")
    _finish(axis, "items per second, logarithmic", max(rates.values()) * 5)
    axis.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=len(paths), fontsize=8, frameon=False)


def _finish(axis: Axes, label: str, right: float) -> None:
    axis.set_xlabel(label, fontsize=9)
    axis.set_xlim(right=right or 1.0)
    axis.spines[["top", "right"]].set_visible(False)
    axis.tick_params(labelsize=8)
    axis.set_axisbelow(True)
    axis.grid(axis="x", color="#dddddd", linewidth=0.6)
