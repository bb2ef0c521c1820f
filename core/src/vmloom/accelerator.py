"""Accelerators: hardware that runs packed batches of one operation. They are plugins; the host is the first one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from .engine.columns import CallColumns, ResultColumns
    from .state import StateAccess
    from .vm import VirtualMachine


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


class Executed(NamedTuple):
    """What came of calls: `results`, of which those in the places `escaped`, rising, are none yet."""

    results: ResultColumns
    escaped: Sequence[int]


class Executions(ABC):
    """Runs calls of one VM, all on one state, which nobody changes until `close`; by one thread at a time.

    Results are those of the VM to the last field. A call that the hardware cannot finish *escapes*: it is run again by
    the VM, from its beginning.
    """

    operation: str
    """As what calls are counted, such as `evm_calls`."""

    @abstractmethod
    def capability(self, calls: CallColumns) -> Capability:
        """What usual calls in the block of `calls` cost; `operation` is that of the calls.

        It may be measured now; where that takes long, it is infinite until it is known. Raises `VmloomError` where the
        hardware is of no use any more.
        """

    @abstractmethod
    def run(self, calls: CallColumns) -> Executed | None:
        """What came of `calls`, of one at least; None for such as are the VM's to run.

        Raises `VmloomError` where the hardware is of no use any more.
        """

    def close(self) -> None:  # noqa: B027 - nothing to do
        """The state may be changed again."""


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

    def executions(self, vm: VirtualMachine, state: StateAccess) -> Executions | None:
        """What runs plain calls of `vm` on `state`, to be closed; None for what it does not run.

        An accelerator that runs no calls at all does not override this, and is not asked.
        """
        return None

    def performance(self) -> Mapping[str, Any]:
        """What it did so far, in its own words, for people and reports. Empty for one that does not count.

        Under `operations` is a list with a mapping for each `operation`, and its seconds by where they went.
        """
        return {}
