"""Stacks that come to compiled code from elsewhere are not taken for what they are known to be otherwise."""

from __future__ import annotations

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    calldataload,
    dup,
    jump,
    jumpi,
    label,
    mload,
    msize,
    mstore,
    pop,
    push,
    raw,
    return_,
    swap,
)
from vmloom_evm.jit import emit
from vmloom_evm.testing import EvmUnderTest

FIRST = {"trigger": "first", "disk_cache": False}
WILD = (1 << 255) + 9


def offset_of(code: Bytecode, number: int) -> int:
    """The offset of JUMPDEST `number`; no pushed byte is one."""
    return [place for place, byte in enumerate(bytes(code)) if byte == 0x5B][number]


def loop() -> Bytecode:
    """Returns the word on top, which is always 5 unless a jump that nobody can follow leads to the loop."""
    turn = label("head") + mstore(0, dup(1)) + jumpi("head", calldataload(64)) + return_(0, 32)
    return jumpi("wild", calldataload(0)) + push(5) + turn + label("wild") + push(WILD) + jump(calldataload(32))


def function() -> Bytecode:
    """A function that two callers give 5 and 200, and a jump that nobody can follow gives one the word of the other."""
    body = label("function") + label("head") + jumpi("head", calldataload(96)) + swap(1) + jump()
    first = push("one") + push(5) + jump("function") + label("one") + mstore(0) + return_(0, 32)
    second = push("two") + push(200) + jump("function") + label("two") + mstore(0) + return_(0, 32)
    wild = push("one") + push(200) + jump(calldataload(32))
    choose = jumpi("wild", calldataload(0)) + jumpi("second", calldataload(64))
    return choose + first + label("second") + second + label("wild") + wild + body


@pytest.mark.parametrize(
    ("code", "destination", "expected"), [(loop(), 0, WILD), (function(), 5, 200)], ids=["loop", "function"]
)
def test_word_that_comes_from_elsewhere_is_not_taken_for_another(
    code: Bytecode, destination: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = (1, offset_of(code, destination), 0, 0)
    data = b"".join(word.to_bytes(32, "big") for word in words)
    evm = EvmUnderTest("jit", jit=FIRST)
    assert evm.run(code, input=data).output_int == expected
    statistics = evm.vm.jit_statistics()
    assert statistics is not None
    assert statistics.compiles > 0
    monkeypatch.setattr(emit, "guard_rows", lambda *_guards: [])
    unguarded = code + raw(b"\xfe") + pop  # other code, so that it is compiled again
    assert EvmUnderTest("jit", jit=FIRST).run(unguarded, input=data).output_int != expected, "nothing has to be guarded"


def test_memory_that_comes_from_elsewhere_is_not_taken_to_be_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """All known ways to the loop have 128 bytes of memory, and a jump that nobody can follow has none."""
    turn = label("head") + mload(64) + pop + jumpi("head", calldataload(64)) + mstore(0, msize) + return_(0, 32)
    code = jumpi("wild", calldataload(0)) + mstore(96, 1) + turn + label("wild") + jump(calldataload(32))
    usual = b"".join(word.to_bytes(32, "big") for word in (0, 0, 0))
    wild = b"".join(word.to_bytes(32, "big") for word in (1, offset_of(code, 0), 0))
    evm = EvmUnderTest("jit", jit=FIRST)
    assert evm.run(code, input=usual).output_int == 128
    assert evm.run(code, input=wild).output_int == 96
    statistics = evm.vm.jit_statistics()
    assert statistics is not None
    assert statistics.compiles > 0
    monkeypatch.setattr(emit.Emitter, "_admit", lambda *_arguments: None)
    unchecked = code + raw(b"\xfe") + pop  # other code, so that it is compiled again
    assert EvmUnderTest("jit", jit=FIRST).run(unchecked, input=wild).output_int != 96, "nothing has to be looked at"
