"""Accelerators: hardware that runs packed batches of one operation. They are plugins; the host is the first one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class AcceleratorStatus:
    """Whether it can be used, on which device, by which path (such as a library), and if not, why not."""

    available: bool
    reason: str = ""
    device: str = ""
    path: str = ""


@dataclass(frozen=True, slots=True)
class Capability:
    """An operation and its fitted cost in seconds: `fixed` for a batch, `per_item` for each of its rows.

    `item_size` is how many bytes the rows had that it was fitted with, 0 where all rows are of one size.
    """

    operation: str
    fixed: float
    per_item: float
    item_size: int = 0


class Accelerator(ABC):
    """Runs batches. It must answer `status` without raising, device or no device."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name by which a configuration asks for it."""

    @abstractmethod
    def status(self) -> AcceleratorStatus:
        """What there is, without starting anything expensive."""

    @abstractmethod
    def capabilities(self) -> Mapping[str, Capability]:
        """Operations by name."""

    @abstractmethod
    def run(self, operation: str, columns: Sequence[Any]) -> Sequence[Any]:
        """Run `operation` on packed columns of equal length (NumPy arrays) and return its columns of results.

        Raises `KeyError` for an operation that is not among `capabilities`.
        """

    def performance(self) -> Mapping[str, Any]:
        """What it did so far, in its own words, for people and reports. Empty for one that does not count.

        Under `operations` is a list with a mapping for each `operation`, and its seconds by where they went.
        """
        return {}
