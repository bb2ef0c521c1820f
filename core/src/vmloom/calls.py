"""Calls and creations between contracts, whichever VMs run them: one undo log, one count of depth, one way to fail.

A VM that lets its contracts call others does it through `call_contract` and `create_contract`, at prices of its own;
the EVM, which has frames of its own for EVM code, leaves contracts of other VMs to `run_nested`. Accesses are priced by
the VM that makes them, by the marks that all share (`marks.WARM_ACCOUNTS`). No rule of a single VM belongs here.
"""

from __future__ import annotations

from contextvars import ContextVar
from dataclasses import replace
from typing import Final

from .context import ExecutionContext
from .errors import CodeError, UnknownVm
from .hashing import create2_address, create_address
from .marks import CREATED, WARM_ACCOUNTS, mark_warm
from .result import ExecutionResult, ExecutionState
from .state import NO_ACCOUNT, StateAccess
from .vm import INSUFFICIENT_BALANCE, VirtualMachine, VmHost, VmType

HOST_DEPTH_LIMIT: Final = 64
"""Nested runs that live on the host's own stack, which is less deep than contracts may call: each change of VM, and
each call that a VM makes through this module."""
CALL_DEPTH_LIMIT: Final = 1024
"""The depth of the deepest call; that of a transaction is 0. Yellow paper, section 8."""

# As the EVM says it.
CALL_DEPTH: Final = "max call depth exceeded"
NONCE_OVERFLOW: Final = "nonce uint64 overflow"
ADDRESS_COLLISION: Final = "contract address collision"

_U64_MAX: Final = (1 << 64) - 1
_U256_MAX: Final = (1 << 256) - 1

host_depth: ContextVar[int] = ContextVar("host_depth", default=0)
"""Nested runs that are on the host's stack now."""


def begin_transaction(host: VmHost, context: ExecutionContext, state: StateAccess) -> None:
    """Begin a transaction whose outermost call, `context`, a VM other than the default one runs.

    A VM does so for a call of depth 0 if its contract may look at other accounts, and calls `end_transaction` if the
    call succeeds: which accounts are special, and what becomes of those that destroy themselves, the default VM knows.
    """
    vm = _default_vm(host)
    if vm is not None:
        vm.begin_transaction(context, state)
    else:
        state.begin_transaction()
        mark_warm(context, state)


def end_transaction(host: VmHost, context: ExecutionContext, state: StateAccess) -> None:
    """End what `begin_transaction` began."""
    vm = _default_vm(host)
    if vm is not None:
        vm.end_transaction(context, state)


def run_nested(
    host: VmHost, vm_type: VmType, code: bytes, context: ExecutionContext, state: StateAccess
) -> ExecutionResult:
    """Run `code` on the VM of that type, inside a run of another VM: value, warm accounts and depth are the caller's.

    FAILED, with all gas used and no output, beyond `HOST_DEPTH_LIMIT` and for code that the VM refuses. A VM that is
    not installed is a misconfigured node, not a failing contract: raises `UnknownVm`.
    """
    vm = host.get_vm(vm_type)
    with _NestedRun(context) as run:
        if run.has_room:
            run.result = vm.execute(code, context, state)
    return run.settled()


def call_contract(
    host: VmHost,
    state: StateAccess,
    context: ExecutionContext,
    *,
    code_address: bytes | None = None,
    transfer: bool = True,
) -> ExecutionResult:
    """The message call that `context` describes, made by a contract that is not the EVM's.

    `context.depth` is the callee's, `context.address` the account whose storage is used; `code_address` (default: the
    same) has the code. Without `transfer` the value is only told, as in delegate calls. A call that does not succeed
    leaves the state as it was. One that cannot begin, since it is too deep or the caller has less than it sends, is
    FAILED with `gas_used` 0: as with the EVM's CALL the gas goes back.

    Charges nothing by itself: what the call costs beyond what the callee uses is the calling VM's price. That VM also
    sees to it that a static call sends nothing: here that is a mistake, and raises `ValueError`. Raises `UnknownVm`
    for code of a VM that is not installed.
    """
    value = context.value if transfer else 0
    if value and context.is_static and context.caller != context.address:
        raise ValueError("a static call cannot send value; the calling VM has to fail before")
    if context.depth > CALL_DEPTH_LIMIT:
        return _declined(CALL_DEPTH)
    if value and state.get_balance(context.caller) < value:
        return _declined(INSUFFICIENT_BALANCE)
    checkpoint = state.snapshot()
    if value:  # EIP-161: nothing sent brings no account about
        _move(state, context.caller, context.address, value)
    target = context.address if code_address is None else code_address
    call = replace(context, code_address=None if target == context.address else target)
    account = state.get_account(target) or NO_ACCOUNT
    try:
        vm = host.get_vm(account.vm if account.code and account.vm else host.default_vm)
    except UnknownVm:
        if account.code:
            raise
        return ExecutionResult(ExecutionState.SUCCESS, 0)  # only the default VM knows addresses that are special
    with _NestedRun(call) as run:
        if run.has_room:
            run.result = vm.execute_account(target, call, state)
    result = run.settled()
    if not result.success:
        state.revert(checkpoint)
    return result


def create_contract(
    host: VmHost, state: StateAccess, context: ExecutionContext, code: bytes, *, salt: int | None = None
) -> tuple[ExecutionResult, bytes]:
    """The creation of a contract from `code`, made by `context.caller`: the result, and where the contract stands.

    The first bytes of `code` say which VM it is for; `VirtualMachine.deploy` of that one makes the code to be stored
    of it, with `context.input` as input of the constructor. The address follows from the creator's nonce or, with a
    `salt` of 0 to 2**256 - 1, from that, `code` and input (EIP-1014); `context.address` is not looked at, and
    `context.depth` is the new contract's. The result of a success has no return data.

    As with the EVM's CREATE since Berlin: FAILED with `gas_used` 0 if it is too deep, the creator has less than it
    sends, or its nonce cannot go up; else the nonce goes up and the address becomes warm, whatever follows. FAILED
    with all gas used if there is a contract at the address (EIP-684). A failure leaves nothing else behind.

    Raises `ValueError` for a static context, in which the calling VM has to fail before, and `UnknownVm`.
    """
    if context.is_static:
        raise ValueError("a static call cannot create; the calling VM has to fail before")
    creator = context.caller
    nonce = state.get_nonce(creator)
    address = create_address(creator, nonce) if salt is None else create2_address(creator, salt, code + context.input)
    if context.depth > CALL_DEPTH_LIMIT:
        return _declined(CALL_DEPTH), address
    if state.get_balance(creator) < context.value:
        return _declined(INSUFFICIENT_BALANCE), address
    if nonce >= _U64_MAX:
        return _declined(NONCE_OVERFLOW), address
    vm_type = host.vm_of_code(code)
    vm = host.get_vm(vm_type)
    state.set_nonce(creator, nonce + 1)
    state.mark(WARM_ACCOUNTS, int.from_bytes(address, "big"))
    if state.get_nonce(address) or state.get_code(address):
        return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=ADDRESS_COLLISION), address
    checkpoint = state.snapshot()
    _begin_account(state, creator, address, context.value)
    result = _deploy(vm, vm_type, code, replace(context, address=address, code_address=None), state)
    if not result.success:
        state.revert(checkpoint)
    return result, address


def _default_vm(host: VmHost) -> VirtualMachine | None:
    try:
        return host.get_vm(host.default_vm)
    except UnknownVm:
        return None


def _deploy(
    vm: VirtualMachine, vm_type: VmType, code: bytes, context: ExecutionContext, state: StateAccess
) -> ExecutionResult:
    """Make the code and store it."""
    with _NestedRun(context) as run:
        if run.has_room:
            run.result = vm.deploy(code, context, state)
    result = run.settled()
    if not result.success:
        return result
    deployed = result.return_data
    if deployed:  # a contract may have none, and may even have destroyed itself
        state.set_code(context.address, deployed, vm_type)
    return replace(result, return_data=b"")


def _begin_account(state: StateAccess, creator: bytes, address: bytes, value: int) -> None:
    """A new contract at `address`: no storage, nonce 1 (EIP-161), and the wei that were there and are sent."""
    state.clear_storage(address)
    state.mark(CREATED, address)
    state.set_nonce(address, 1)
    if value:
        _move(state, creator, address, value)


def _move(state: StateAccess, source: bytes, destination: bytes, value: int) -> None:
    state.set_balance(source, state.get_balance(source) - value)
    # No chain has 2**256 wei; a made-up state may, and its sum wraps as a word of the EVM does.
    state.set_balance(destination, (state.get_balance(destination) + value) & _U256_MAX)


def _declined(error: str) -> ExecutionResult:
    """It has not begun: no gas is gone."""
    return ExecutionResult(ExecutionState.FAILED, 0, error=error)


class _NestedRun:
    """Counts one run on the host's stack, and makes of its result what the caller is told, whatever VM it is.

    Not a function that calls another one: each nested run has to leave as much of Python's stack as it can.
    """

    __slots__ = ("_context", "_token", "has_room", "result")

    def __init__(self, context: ExecutionContext) -> None:
        self._context = context
        self.result: ExecutionResult
        self.has_room = host_depth.get() < HOST_DEPTH_LIMIT
        if not self.has_room:
            self.result = self._failure(CALL_DEPTH)

    def __enter__(self) -> _NestedRun:
        self._token = host_depth.set(host_depth.get() + 1)
        return self

    def __exit__(self, kind: object, error: BaseException | None, traceback: object) -> bool:
        host_depth.reset(self._token)
        if isinstance(error, CodeError):  # it is the fault of the account that has the code, not of who called it
            self.result = self._failure(str(error))
            return True
        return False

    def settled(self) -> ExecutionResult:
        """A failure takes all gas and has no output, and only a success has refunds to hand on."""
        result = self.result
        if result.success:
            return result
        if result.state is ExecutionState.REVERTED:
            return replace(result, gas_refunded=0) if result.gas_refunded else result
        return replace(result, gas_used=self._context.gas_limit, gas_refunded=0, return_data=b"")

    def _failure(self, error: str) -> ExecutionResult:
        return ExecutionResult(ExecutionState.FAILED, self._context.gas_limit, error=error)
