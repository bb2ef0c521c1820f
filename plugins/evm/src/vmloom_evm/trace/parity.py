"""Traces as Parity wrote them, and as OpenEthereum, Erigon, Reth and anvil do: flat lists of calls, and state diffs.

A list has a frame before those that it opened, each with its path in the tree. It lacks what never was a frame to
these clients: calls that were declined for want of balance or for their depth, and calls of precompiles without value
below the first frame.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from vmloom import StateAccess, StateChange
from vmloom.state import NO_ACCOUNT, Account

from ..halts import (
    ADDRESS_COLLISION,
    CALL_DEPTH,
    CODE_STORE_OUT_OF_GAS,
    CODE_TOO_LARGE,
    INITCODE_TOO_LARGE,
    INSUFFICIENT_BALANCE,
    INVALID_CODE_PREFIX,
    INVALID_JUMP,
    INVALID_OPCODE,
    MEMORY_LIMIT,
    NONCE_OVERFLOW,
    OUT_OF_GAS,
    PRECOMPILE_FAILURE,
    RETURN_DATA_OUT_OF_BOUNDS,
    REVERT,
    STACK_OVERFLOW,
    STACK_UNDERFLOW,
    SUCCESS,
    WRITE_PROTECTION,
)
from .calltree import CallFrame

ERRORS: Final = {
    REVERT: "Reverted",
    OUT_OF_GAS: "Out of gas",
    STACK_UNDERFLOW: "Stack underflow",
    STACK_OVERFLOW: "Out of stack",
    INVALID_OPCODE: "Bad instruction",
    INVALID_JUMP: "Bad jump destination",
    WRITE_PROTECTION: "Mutable Call In Static Context",
    RETURN_DATA_OUT_OF_BOUNDS: "Out of bounds",
    CODE_TOO_LARGE: "Code size limit exceeded",
    INVALID_CODE_PREFIX: "Invalid code prefix 0xEF",
    CODE_STORE_OUT_OF_GAS: "Out of gas",
    ADDRESS_COLLISION: "Contract address collision",
    NONCE_OVERFLOW: "Nonce overflow",
    PRECOMPILE_FAILURE: "Built-in failed",
    INITCODE_TOO_LARGE: "Out of gas",
    MEMORY_LIMIT: "Out of gas",
}
"""Parity's words for why a frame ended, and for what it did not know yet geth's; all else is told in our own."""
_CREATES: Final = frozenset({"CREATE", "CREATE2"})
_PLAIN_CALLS: Final = frozenset({"CALL", "STATICCALL"})
_NO_FRAMES: Final = frozenset({CALL_DEPTH, INSUFFICIENT_BALANCE})


@dataclass(frozen=True, slots=True)
class FlatTrace:
    """A frame of the tree. `path` tells where it is: which call of the first frame, which call of that one, ...

    `subtraces` counts those right below it.
    """

    frame: CallFrame
    path: tuple[int, ...]
    subtraces: int

    @property
    def sender(self) -> bytes:
        """Who called or created; the account that destroyed itself."""
        return self.frame.sender

    @property
    def receiver(self) -> bytes | None:
        """Who was called, created, or got what was left; None for a creation that failed."""
        return self.frame.to

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready. `error` is there only if it failed, and then `result` only of what was reverted."""
        frame = self.frame
        fields: dict[str, Any] = {"action": _action(frame), "result": _result(frame)}
        if frame.status != SUCCESS:
            fields["error"] = ERRORS.get(frame.status, frame.error)
        return {**fields, "subtraces": self.subtraces, "traceAddress": list(self.path), "type": _type(frame)}


def flatten(root: CallFrame, precompiles: Container[int]) -> Iterator[FlatTrace]:
    """The frames of a tree, each before those below it; `precompiles` are addresses of the fork."""
    waiting: list[tuple[CallFrame, tuple[int, ...], int | None]] = [(root, (), None)]
    while waiting:
        frame, above, index = waiting.pop()
        path = above if index is None else (*above, index)  # not sooner: many may wait far down
        calls = [call for call in frame.calls if _is_shown(call, precompiles)]
        yield FlatTrace(frame, path, len(calls))
        waiting += [(calls[i], path, i) for i in range(len(calls) - 1, -1, -1)]


def _is_shown(frame: CallFrame, precompiles: Container[int]) -> bool:
    if frame.status in _NO_FRAMES:
        return False
    is_plain = frame.kind in _PLAIN_CALLS and not frame.value
    return not (is_plain and frame.to is not None and int.from_bytes(frame.to, "big") in precompiles)


def _type(frame: CallFrame) -> str:
    if frame.kind in _CREATES:
        return "create"
    return "suicide" if frame.kind == "SELFDESTRUCT" else "call"


def _action(frame: CallFrame) -> dict[str, Any]:
    value = hex(frame.value or 0)
    if frame.kind == "SELFDESTRUCT":
        return {"address": _hexed(frame.sender), "balance": value, "refundAddress": _hexed(frame.to or b"")}
    fields = {"from": _hexed(frame.sender), "gas": hex(frame.gas), "value": value}
    if frame.kind in _CREATES:
        return {**fields, "init": _hexed(frame.input), "creationMethod": frame.kind.lower()}
    return {**fields, "to": _hexed(frame.to or b""), "input": _hexed(frame.input), "callType": frame.kind.lower()}


def _result(frame: CallFrame) -> dict[str, Any] | None:
    if frame.kind == "SELFDESTRUCT" or frame.status not in (SUCCESS, REVERT):
        return None
    fields = {"gasUsed": hex(frame.gas_used)}
    if frame.kind in _CREATES:
        return {**fields, "address": _hexed(frame.address), "code": _hexed(frame.output)}
    return {**fields, "output": _hexed(frame.output)}


def reward_trace(author: bytes, wei: int, kind: str) -> dict[str, Any]:
    """What a miner got, as the trace of a block: `kind` is `block` or `uncle`."""
    return {
        "action": {"author": _hexed(author), "rewardType": kind, "value": hex(wei)},
        "result": None,
        "subtraces": 0,
        "traceAddress": [],
        "type": "reward",
    }


# What has changed


def state_diff(changes: Iterable[StateChange], state: StateAccess) -> dict[str, Any]:
    """What a transaction changed, JSON-ready, by address; `state` is as it has left it.

    A field is `"="` where it is as it was, or `{"*": {"from", "to"}}`, for an account that is new `{"+": value}`, for
    one that is gone `{"-": value}`, which has no storage here.
    """
    fields: dict[bytes, dict[str, Any]] = {}
    words: dict[bytes, dict[int, tuple[int, int]]] = {}
    for change in changes:
        if change.field == "storage":
            assert isinstance(change.key, int)
            words.setdefault(change.address, {})[change.key] = change.old, change.new
        elif change.field in ("balance", "code", "nonce", "exists"):
            fields.setdefault(change.address, {})[change.field] = change.old
    diff: dict[str, Any] = {}
    for address in sorted(fields.keys() | words.keys()):
        after = state.get_account(address)
        before = _before(after, fields.get(address, {}))
        diff[_hexed(address)] = _account_diff(before, after, words.get(address, {}))
    return diff


def _before(after: Account | None, old: dict[str, Any]) -> Account | None:
    """The account as it was, of which `old` tells what is not so any more."""
    existed = old.pop("exists", after is not None)
    return (after or NO_ACCOUNT)._replace(**old) if existed else None


def _account_diff(before: Account | None, after: Account | None, words: dict[int, tuple[int, int]]) -> dict[str, Any]:
    if before is None:
        storage = {_word(slot): {"+": _word(new)} for slot, (_, new) in sorted(words.items()) if new}
    elif after is None:
        storage = {}
    else:
        storage = {_word(slot): _changed(_word(old), _word(new)) for slot, (old, new) in sorted(words.items())}
    return {**{name: _delta(before, after, name) for name in ("balance", "code", "nonce")}, "storage": storage}


def _delta(before: Account | None, after: Account | None, name: str) -> Any:
    if before is None or after is None:
        sign, one = ("+", after) if before is None else ("-", before)
        return {sign: _shown(getattr(one or NO_ACCOUNT, name))}
    old, new = getattr(before, name), getattr(after, name)
    return "=" if old == new else _changed(_shown(old), _shown(new))


def _changed(old: str, new: str) -> dict[str, Any]:
    return {"*": {"from": old, "to": new}}


def _shown(value: int | bytes) -> str:
    return hex(value) if isinstance(value, int) else _hexed(value)


def _word(number: int) -> str:
    return f"{number:#066x}"


def _hexed(data: bytes) -> str:
    return "0x" + data.hex()
