"""The EVM by a chain's schedule of forks, on an engine that also creates contracts of other VMs."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, cached_property
from typing import cast

from vmloom import BlockContext
from vmloom.vm import VmHost
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.engine import Engine
from vmloom_evm.engines import choose_engine
from vmloom_evm.forks import Fork
from vmloom_evm.specification import Specification
from vmloom_evm.transaction.signing import Recover, recover_address

from .engine import ChainEngine
from .foreign import NodeHost
from .genesis import ForkSchedule


class ChainEvm(Evm):
    """Runs the blocks of a chain: which fork is the block's, whatever `config` says of it.

    `host` finds the other VMs. With `creates_foreign` off, transactions are Ethereum's and nothing else.
    """

    def __init__(
        self, config: EvmConfig, host: VmHost | None, schedule: ForkSchedule, *, creates_foreign: bool = True
    ) -> None:
        super().__init__(config, host)
        self.host = NodeHost(self.host)
        self.schedule = schedule
        self._creates_foreign = creates_foreign
        self._last: tuple[Fork, Specification] | None = None

    @cached_property
    def _only_specification(self) -> Specification | None:
        return None

    @cached_property
    def executor(self) -> Engine:
        """See `Evm.executor`."""
        engine = choose_engine(self.config, self._custom_ops)
        return cast("Engine", ChainEngine(engine, self.host, creates_foreign=self._creates_foreign))

    def specification(self, fork: Fork) -> Specification:
        """See `Evm.specification`. Mostly that of the last fork is asked for, and comparing forks takes time."""
        last = self._last
        if last is None or last[0] is not fork:
            last = self._last = fork, super().specification(fork)
        return last[1]

    def recovery(self, fork: Fork) -> Recover:
        """What finds out who signed a transaction of `fork`."""
        return recover_address if self.engine == "reference" else _recovery()(self.specification(fork))

    def fork_at(self, block: BlockContext) -> Fork:
        """The fork of `block` by the schedule."""
        return self.schedule.fork_at(block.number, block.timestamp)


@cache
def _recovery() -> Callable[[Specification], Recover]:
    """`recovery`, which is there where native code is."""
    from vmloom_evm.native.recovery import recovery

    return recovery
