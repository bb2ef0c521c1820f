"""Makes a case in which engines differ smaller, as long as they go on to differ, and writes it down for people."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import fields, replace
from typing import Any, Final

from vmloom import Account
from vmloom_evm.assembly import raw
from vmloom_evm.table import OPS

from .cases import Case, Step
from .compare import Difference, Sides

PATIENCE: Final = 60.0
"""s"""
JUMPDEST: Final = b"\x5b"
PLAINNESS: Final = ("native", "memory", "sourced", "cramped", "cramped sourced", "guarded")
"""States, plainest first."""
Trial = tuple[Case, list[Step]]


def replay(case: Case, steps: list[Step], engines: Sequence[str]) -> str:
    """How the engines differ in these steps, empty if they do not."""
    try:
        sides = Sides(case, engines)
        for step in steps:
            found = sides.take(step)
            if found:
                return found
        return sides.finish()
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def shrunk(difference: Difference, patience: float = PATIENCE) -> Difference:
    """A smaller case that differs in the same respect, or the same if it does not differ again."""
    case, steps, text, engines = difference.case, difference.steps, difference.text, difference.engines
    deadline = time.monotonic() + patience
    what = text.split(":", 1)[0]
    if replay(case, steps, engines).split(":", 1)[0] != what:
        text = f"{text}\n(only the last step is shown: the case alone does not differ)"
        return Difference(case, steps[-1:], text, engines)
    progress = True
    while progress and time.monotonic() < deadline:
        progress = False
        for candidate in _smaller(case, steps):
            found = replay(*candidate, engines)
            if found.split(":", 1)[0] == what:
                (case, steps), text, progress = candidate, found, True
                break
            if time.monotonic() > deadline:
                break
    return Difference(case, steps, text, engines)


def _smaller(case: Case, steps: list[Step]) -> Iterator[Trial]:
    """What to try, in order of how much it takes away."""
    size = len(steps) // 2
    while size:
        for start in range(0, len(steps), size):
            yield case, steps[:start] + steps[start + size :]
        size //= 2
    for number, step in enumerate(steps):
        for simpler in _simpler(step):
            yield case, [*steps[:number], simpler, *steps[number + 1 :]]
    for kind in ("native", "memory", "sourced", "cramped"):
        if PLAINNESS.index(kind) < PLAINNESS.index(case.state):
            yield replace(case, state=kind), steps
    for address in case.accounts:
        accounts = {key: one for key, one in case.accounts.items() if key != address}
        yield replace(case, accounts=accounts, storage={**case.storage, address: {}}), steps
    for address, words in case.storage.items():
        for slot in words:
            left = {key: word for key, word in words.items() if key != slot}
            yield replace(case, storage={**case.storage, address: left}), steps
    for number, step in enumerate(steps):
        for code in _shorter(step.code):
            yield case, [*steps[:number], replace(step, code=code), *steps[number + 1 :]]
        if len(step.transactions) == 1:
            tx = step.transactions[0]
            for data in _shorter(tx.data):
                changed = replace(step, transactions=(replace(tx, data=data),))
                yield case, [*steps[:number], changed, *steps[number + 1 :]]
    for address, account in case.accounts.items():
        for code in _shorter(account.code):
            yield replace(case, accounts={**case.accounts, address: account._replace(code=code)}), steps


def _simpler(step: Step) -> Iterator[Step]:
    plain: dict[str, Any] = {"tracer": "", "after": "keep", "gas_available": None, "blob_gas_available": None}
    for name, value in plain.items():
        if getattr(step, name) != value:
            yield replace(step, **{name: value})
    for number in range(len(step.transactions) if step.kind == "transact_all" else 0):
        kept = [one for one in range(len(step.transactions)) if one != number]
        left = tuple(step.transactions[one] for one in kept)
        yield replace(step, transactions=left, senders=tuple(step.senders[one] for one in kept))
    if len(step.transactions) == 1:
        tx = step.transactions[0]
        for name, value in {"access_list": (), "value": 0, "data": b""}.items():
            if getattr(tx, name) != value:
                yield replace(step, transactions=(replace(tx, **{name: value}),))  # type: ignore[arg-type]
        if len(tx.authorizations) > 1:
            yield replace(step, transactions=(replace(tx, authorizations=tx.authorizations[1:]),))
            yield replace(step, transactions=(replace(tx, authorizations=tx.authorizations[:-1]),))
    if step.context is not None:
        for name, value in {"value": 0, "input": b"", "blob_hashes": (), "gas_price": 0}.items():
            if getattr(step.context, name) != value:
                yield replace(step, context=replace(step.context, **{name: value}))  # type: ignore[arg-type]


def _shorter(code: bytes) -> Iterator[bytes]:
    """Code without some instructions, first such that all others stay where they were."""
    starts = _starts(code)
    if not code:
        return
    yield b""
    size = (len(starts) + 1) // 2
    while size:
        for first in range(0, len(starts), size):
            begin = starts[first]
            end = starts[first + size] if first + size < len(starts) else len(code)
            yield code[:begin] + code[end:]
            if code[begin:end].strip(JUMPDEST):
                yield code[:begin] + JUMPDEST * (end - begin) + code[end:]
        size //= 2


def _starts(code: bytes) -> list[int]:
    """Where the instructions begin."""
    immediate = {row.code: row.immediate for row in OPS.values()}
    starts, place = [], 0
    while place < len(code):
        starts.append(place)
        place += 1 + immediate.get(code[place], 0)
    return starts


def report(difference: Difference) -> str:
    """The case, for people."""
    case = difference.case
    lines = [
        f"case {case.seed}:{case.number}, fork {case.fork}, native engines on state {case.state!r}",
        f"block {_fields(case.block)}",
    ]
    for address, account in sorted(case.accounts.items()):
        lines.append(f"account 0x{address.hex()}: {_account(account)}")
        lines += [f"    slot {slot:#x} = {word:#x}" for slot, word in case.storage.get(address, {}).items() if word]
        lines += _listing(account.code)
    for number, step in enumerate(difference.steps, 1):
        place = f" with this code at 0x{step.target.hex()}" if step.target is not None else ""
        traced = f", traced by {step.tracer}" if step.tracer else ""
        lines.append(f"step {number}: {step.kind}{place}{traced}, then {step.after}")
        lines += _listing(step.code)
        if step.context is not None:
            lines.append(f"    {_fields(step.context, 'block')}")
        for tx, sender in zip(step.transactions, step.senders, strict=True):
            lines.append(f"    sender 0x{sender.hex()}, {_fields(tx)}")
            if tx.to is None:
                lines += _listing(tx.data)
        options = ("checks", "gas_available", "blob_gas_available")
        lines.append("    " + ", ".join(f"{name} {getattr(step, name)}" for name in options))
    return "\n".join([*lines, difference.text])


def _account(account: Account) -> str:
    return f"nonce {account.nonce}, {account.balance} wei"


def _listing(code: bytes) -> list[str]:
    """The code and its instructions, without the padding that keeps them where they were."""
    if not code:
        return []
    lines = str(raw(code)).splitlines()
    pairs = zip(lines, ["", *lines], strict=False)
    shown = [line for line, before in pairs if "JUMPDEST" not in line or "JUMPDEST" not in before]
    return [f"    0x{code.hex()}", *(f"    {line}" for line in shown)]


def _fields(record: Any, *without: str) -> str:
    """Fields that are not at their default."""
    return ", ".join(
        f"{it.name} {_value(getattr(record, it.name))}"
        for it in fields(record)
        if it.name not in without and getattr(record, it.name) != it.default
    )


def _value(value: Any) -> str:
    show: dict[type, Callable[[Any], str]] = {bytes: lambda it: "0x" + it.hex(), tuple: lambda it: repr(it)}
    return show.get(type(value), str)(value)
