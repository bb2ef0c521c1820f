"""Names of rulesets as test tools use them: forks, the glaciers, blob-only forks, and changes of fork on the way."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from vmloom.errors import UnknownRevision

from ..block.difficulty import BOMB_DELAYS
from ..forks import Fork, fork_named

DEFAULT_RULESET: Final = "GrayGlacier"
"""What geth's tool takes when none is named."""
_GLACIERS: Final = {
    "muirglacier": ("istanbul", "muir_glacier"),
    "arrowglacier": ("london", "arrow_glacier"),
    "grayglacier": ("london", "gray_glacier"),
}
"""Forks that only delayed the bomb: the fork whose rules hold, and the name of the delay."""
_CHANGE: Final = re.compile(r"(?P<old>\w+?)To(?P<new>\w+)At(?P<time>Time)?(?P<start>[0-9]{1,18})(?P<thousand>k?)")


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A fork and how many blocks late the difficulty bomb is (0 since Paris, where there is none)."""

    fork: Fork
    bomb_delay: int


def ruleset_named(name: str, number: int, timestamp: int) -> Ruleset:
    """The ruleset called `name` for a block of this number and UNIX time. Raises `UnknownRevision`.

    `BerlinToLondonAt5` is London from block 5 on, `ShanghaiToCancunAtTime15k` Cancun from second 15,000 on.
    """
    change = _CHANGE.fullmatch(name)
    if change:
        start = int(change["start"]) * (1_000 if change["thousand"] else 1)
        name = change["new"] if (timestamp if change["time"] else number) >= start else change["old"]
    key = name.lower().replace("_", "")
    if key in _GLACIERS:
        rules_of, delay_of = _GLACIERS[key]
        return Ruleset(fork_named(rules_of), BOMB_DELAYS[delay_of])
    if "+" in name:
        raise UnknownRevision(f"fork {name!r}: single EIPs cannot be added to a fork")
    fork = fork_named(name)
    return Ruleset(fork, BOMB_DELAYS.get(fork.name, 0))
