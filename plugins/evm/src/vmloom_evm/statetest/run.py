"""Running a case and judging it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache

from vmloom import BlockContext, MemoryState
from vmloom.errors import InputError

from ..commitment import logs_hash, state_root
from ..engine import Engine
from ..forks import Fork, fork_named
from ..reference.engine import REFERENCE, forgo
from ..specification import Specification
from ..trace.hooks import Tracer
from ..transaction.apply import TransactionResult, apply_transaction
from ..transaction.types import Refusal, TransactionRefused
from .fixture import Case, block_of, pre_state, transaction_of

ACCEPTED_REASONS: dict[str, frozenset[Refusal]] = {
    name: frozenset(refusals)
    for name, refusals in {
        "TR_TypeNotSupported": {Refusal.TYPE_NOT_SUPPORTED},
        "TR_NoFunds": {Refusal.INSUFFICIENT_FUNDS},
        "TR_NoFundsX": {Refusal.INSUFFICIENT_FUNDS, Refusal.PRICE_PRODUCT_OVERFLOW, Refusal.FIELD_OVERFLOW},
        "TR_NoFundsOrGas": {Refusal.INSUFFICIENT_FUNDS, Refusal.INTRINSIC_GAS_TOO_LOW},
        "SenderNotEOA": {Refusal.SENDER_NOT_EOA},
        "IntrinsicGas": {Refusal.INTRINSIC_GAS_TOO_LOW},
        "TR_IntrinsicGas": {Refusal.INTRINSIC_GAS_TOO_LOW},
        "TR_FeeCapLessThanBlocks": {Refusal.FEE_BELOW_BASE_FEE},
        "TR_NonceHasMaxValue": {Refusal.NONCE_IS_MAX},
        "TR_GasLimitReached": {Refusal.BLOCK_GAS_EXCEEDED},
        "TR_InitCodeLimitExceeded": {Refusal.INITCODE_TOO_LARGE},
        "TR_BLOBCREATE": {Refusal.BLOB_CREATE},
        "TR_BLOBVERSION_INVALID": {Refusal.BLOB_VERSION},
        "TR_EMPTYBLOB": {Refusal.NO_BLOBS},
        "TR_BLOBLIST_OVERSIZE": {Refusal.TOO_MANY_BLOBS},
        "TYPE_4_TX_PRE_FORK": {Refusal.TYPE_NOT_SUPPORTED},
    }.items()
}
"""Names that the tests use, beside those of `Refusal`, for reasons to refuse a transaction."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of a case. `error` is empty if it passed."""

    case: Case
    passed: bool
    state_root: bytes
    error: str
    result: TransactionResult | None
    state: MemoryState
    refusal: TransactionRefused | None = None


SpecificationOf = Callable[[Fork], Specification]


def run_case(
    case: Case,
    specification_of: SpecificationOf,
    *,
    tracers: Sequence[Tracer] = (),
    reject_storage_collision: bool | None = None,
    engine: Engine = REFERENCE,
) -> Verdict:
    """Run `case` and compare state root, logs hash, receipt, and the reason of a refusal.

    Raises `UnknownRevision`, and `InputError` for an environment or a pre-state that cannot be read.
    `reject_storage_collision` turns EIP-7610 on or off; None does as the file was filled.
    """
    fork = fork_named(case.fork)
    if case.rejects_storage_collision if reject_storage_collision is None else reject_storage_collision:
        fork = _with_storage_collision(fork)
    specification = specification_of(fork)
    state, block = _surroundings(case, fork)
    result: TransactionResult | None = None
    refusal: TransactionRefused | None = None
    try:
        tx, sender = transaction_of(case)
        result = apply_transaction(specification, state, block, tx, sender=sender, tracers=tracers, engine=engine)
    except TransactionRefused as error:
        refusal = error
        forgo(specification, state, block)
    state.commit()
    root_hash = state_root(state)
    error_text = _judge(case, root_hash, result, refusal)
    return Verdict(case, not error_text, root_hash, error_text, result, state, refusal)


def _surroundings(case: Case, fork: Fork) -> tuple[MemoryState, BlockContext]:
    try:
        return pre_state(case), block_of(case, fork)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InputError(f"{case.file}: {case.name}: not a state test: {type(error).__name__}: {error}") from None


@cache
def _with_storage_collision(fork: Fork) -> Fork:
    return fork.amend(fork.name, rules={"reject_storage_collision": True}, extends=False)


def _judge(case: Case, root: bytes, result: TransactionResult | None, refusal: TransactionRefused | None) -> str:
    """Why the case failed, empty if it passed."""
    if case.expected_exception:
        if refusal is None:
            return f'expected error "{case.expected_exception}", got no error'
        if not reason_matches(case.expected_exception, refusal.refusal):
            return f'expected error "{case.expected_exception}", got: {refusal}'
    elif refusal is not None:
        return f"unexpected error: {refusal}"
    events = result.events if result is not None else ()
    if root != case.expected_root:
        return f"post state root mismatch: got {root.hex()}, want {case.expected_root.hex()}"
    if logs_hash(events) != case.expected_logs:
        return f"post state logs hash mismatch: got {logs_hash(events).hex()}, want {case.expected_logs.hex()}"
    return _judge_receipt(case, result)


def _judge_receipt(case: Case, result: TransactionResult | None) -> str:
    if case.receipt is None or result is None:
        return ""
    expected_gas = int(case.receipt["cumulativeGasUsed"], 16)
    if result.gas_used != expected_gas:
        return f"gas used mismatch: got {result.gas_used}, want {expected_gas}"
    if "status" in case.receipt and bool(case.receipt["status"]) != result.success:
        return f"receipt status mismatch: got {result.success}, want {case.receipt['status']}"
    return ""


def reason_matches(expected: str, refusal: Refusal) -> bool:
    """Whether `refusal` is among the alternatives of an expectation such as `TransactionException.A|B`."""
    for alternative in expected.split("|"):
        name = alternative.strip().rpartition(".")[2]
        if refusal.value == name or refusal in ACCEPTED_REASONS.get(name, frozenset()):
            return True
    return False
