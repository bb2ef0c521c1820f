"""One run of the reference engine: a transaction or a call, its frames, and what they all see."""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from vmloom import BlockContext, ExecutionContext, StateAccess
from vmloom.marks import WARM_ACCOUNTS, WARM_SLOTS
from vmloom.precompile import Precompile
from vmloom.vm import VmHost

from ..frames import end_failure, end_revert, end_success
from ..guests import Ending, run_foreign, run_precompile
from ..halts import REVERT, SUCCESS
from ..specification import Specification
from ..trace.hooks import OpcodeHook, Tracer, hook_table
from ..transaction.outcome import ALL_CHECKS, Checks
from ..transaction.types import Transaction
from .frame import VM_NAME, EvmFrame, Guest, to_address
from .loop import LOOP, TRACED_LOOP, table_of
from .root import RootFrame


class Execution:
    """A run: current `frame`, the `status` with which the last frame ended or was declined, and the surroundings.

    `gas_price` is wei per gas; `blob_hashes` are 32 bytes each. `host` finds the VM for contracts that are
    not the EVM's.
    """

    def __init__(
        self,
        specification: Specification,
        state: StateAccess,
        block: BlockContext,
        *,
        origin: bytes,
        gas_price: int = 0,
        blob_hashes: Sequence[bytes] = (),
        tracers: Sequence[Tracer] = (),
        host: VmHost | None = None,
    ) -> None:
        self.specification = specification
        self.rules = specification.rules
        self.table = table_of(specification)
        self.state = state
        self.block = block
        self.origin = int.from_bytes(origin, "big")
        self.gas_price = gas_price
        self.blob_hashes = tuple(blob_hashes)
        self.tracers = tuple(tracers)
        self.hooks: Sequence[OpcodeHook | None] = hook_table(self.tracers)
        self.host = host
        self.warm_accounts: dict[Hashable, bool] = state.marks(WARM_ACCOUNTS)
        self.warm_slots: dict[Hashable, bool] = state.marks(WARM_SLOTS)
        self.status = SUCCESS
        self.frame: EvmFrame

    def root(
        self,
        sender: bytes,
        tx: Transaction,
        checks: Checks = ALL_CHECKS,
        *,
        depth: int = -1,
        gas_left: int = 0,
        blob_gas_left: int = 0,
    ) -> RootFrame:
        """The frame above the first, made the current one. `gas_left` and `blob_gas_left` are the block's."""
        root = RootFrame(self, sender, tx, checks, depth=depth, gas_left=gas_left, blob_gas_left=blob_gas_left)
        self.frame = root
        return root

    def run(self, root: EvmFrame) -> None:
        """Run what `root` has opened to its end."""
        loop = TRACED_LOOP if any(self.hooks) else LOOP
        loop(self, root)

    # Frames

    def enter(self, frame: EvmFrame) -> EvmFrame:
        """Make `frame` the current one."""
        self.frame = frame
        for tracer in self.tracers:
            tracer.enter(frame)
        return frame

    def leave(self, frame: EvmFrame, status: int, output: bytes) -> EvmFrame:
        """Make the parent of `frame` the current one, with `output` as its return data."""
        parent = frame.parent
        assert parent is not None
        self.frame = parent
        self.status = status
        parent.return_data = output
        for tracer in self.tracers:
            tracer.leave(frame, status, output)
        return parent

    def code_and_guest(self, account: int, delegated: bool) -> tuple[bytes, Guest | None]:
        """What runs at `account`: EVM code, or code that is not the EVM's. A delegate is never a precompile."""
        if not delegated:
            precompile = self.specification.precompiles.get(account)
            if precompile is not None:
                return b"", PrecompileGuest(precompile)
        found = self.state.get_account(to_address(account))
        if found is None:
            return b"", None
        if found.vm and found.vm != VM_NAME and found.code:
            return found.code, ForeignGuest(found.vm)
        return found.code, None


def context_of(frame: EvmFrame) -> ExecutionContext:
    """The call that `frame` is, as other VMs and precompiles see it."""
    run = frame.run
    return ExecutionContext(
        caller=to_address(frame.caller),
        address=frame.account,
        origin=to_address(run.origin),
        value=frame.value,
        input=frame.input,
        gas_limit=frame.gas,
        gas_price=run.gas_price,
        depth=max(0, frame.depth),
        is_static=frame.is_static,
        blob_hashes=run.blob_hashes,
        block=run.block,
        code_address=None if frame.code_address == frame.address else to_address(frame.code_address),
    )


class PrecompileGuest:
    """Runs a precompile in a frame of its own."""

    def __init__(self, precompile: Precompile) -> None:
        self.precompile = precompile

    def __call__(self, m: EvmFrame) -> None:
        """Run it, and close the frame as it ended."""
        _close(m, run_precompile(self.precompile, context_of(m), m.state))


class ForeignGuest:
    """Runs a contract of another VM in a frame of its own."""

    def __init__(self, vm: str) -> None:
        self.vm = vm

    def __call__(self, m: EvmFrame) -> None:
        """Hand the call over and close the frame as it ended. Raises `UnknownVm`."""
        _close(m, run_foreign(m.run.host, self.vm, m.code, context_of(m), m.state))


def _close(m: EvmFrame, ending: Ending) -> None:
    m.gas = ending.gas
    m.refund += ending.refund
    m.memory = bytearray(ending.output)
    if ending.status == SUCCESS:
        end_success(m, 0, len(m.memory))
    elif ending.status == REVERT:
        end_revert(m, 0, len(m.memory))
    else:
        end_failure(m, ending.status)
