"""A picture of what `evm.py --json` found: for each row, how many times as long the peers take.

    uv run --group bench python benchmarks/evm.py --json > found.json
    uv run --group bench python benchmarks/plot.py found.json speed.svg

The ending of the picture's name says its format (svg, png, pdf).
"""

from __future__ import annotations

import argparse
import json
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("svg")
import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter

COLOURS = ("#0f766e", "#c2410c", "#6d28d9")
"""One for each peer; each differs from the others in brightness, too."""
MARKERS = ("o", "D", "s")
ROW_HEIGHT = 0.19
"""Inches."""


def main() -> None:
    """Draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("found", type=Path, help="what `evm.py --json` printed")
    parser.add_argument("picture", type=Path)
    options = parser.parse_args()
    draw(json.loads(options.found.read_text("utf-8")), options.picture)


def draw(found: dict[str, Any], picture: Path) -> None:
    """Write the picture of one comparison."""
    # The same figures make the same file: no date, no random names, and letters rather than their outlines.
    plt.rcParams.update({"svg.hashsalt": "vmloom", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 8})
    rows, peers = found["rows"], list(found["geometric_means"])
    figure, axes = plt.subplots(figsize=(7.5, ROW_HEIGHT * len(rows) + 1.2))
    for number, peer in enumerate(peers):
        _draw_peer(axes, rows, peer, found["geometric_means"][peer], number)
    _label(axes, rows)
    axes.set_title(_title(found), loc="left", fontsize=10, pad=22, x=-0.32)
    axes.legend(loc="lower left", bbox_to_anchor=(-0.33, 1), ncols=len(peers), frameon=False, borderaxespad=0.2)
    figure.savefig(picture, bbox_inches="tight", metadata={"Date": None} if picture.suffix == ".svg" else None)


def _draw_peer(axes: Axes, rows: list[dict[str, Any]], peer: str, mean: float, number: int) -> None:
    known = [(row["ratios"][peer], place) for place, row in enumerate(rows) if peer in row["ratios"]]
    ratios, places = zip(*known, strict=True)
    colour = COLOURS[number % len(COLOURS)]
    axes.hlines(places, 1, ratios, color=colour, alpha=0.25, linewidth=2)
    label = f"{peer}: {mean:.3g} times as long in the geometric mean"
    axes.plot(ratios, places, MARKERS[number % len(MARKERS)], color=colour, markersize=3.5, label=label)


def _label(axes: Axes, rows: list[dict[str, Any]]) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}x"))
    axes.axvline(1, color="black", linewidth=0.8)
    axes.grid(axis="x", alpha=0.3)
    axes.set_yticks(range(len(rows)), [row["row"] for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.tick_params(axis="both", which="both", length=0)
    axes.spines[:].set_visible(False)
    for place, (row, following) in enumerate(pairwise(rows)):
        if row["group"] != following["group"]:
            axes.axhline(place + 0.5, color="black", linewidth=0.3)


def _title(found: dict[str, Any]) -> str:
    versions = found["versions"]
    peers = " and ".join(f"{peer} {versions[peer]}" for peer in found["geometric_means"])
    return f"How many times as long {peers} take as vmloom"


if __name__ == "__main__":
    main()
