"""Programs that nobody wrote: whatever they do, lanes and the native engine agree upon it."""

from __future__ import annotations

import random

import pytest
from vmloom_cuda.evm import EvmBatch
from vmloom_evm.assembly import Bytecode, push, raw
from vmloom_evm.native.state import NativeState
from vmloom_evm.table import OPS
from vmloom_evm.testing import CONTRACT

from .conftest import CONTRACTS, PROGRAMS, columns, comparable, natively

PLACES = [*(int.from_bytes(address, "big") for address in (*CONTRACTS, CONTRACT)), 1, 2, 3, 4, 9, 0xDEAD]
ROWS = [row for row in OPS.values() if row.function is not None]
PIECES = [bytes(code) for code in PROGRAMS.values()]


def word(source: random.Random) -> int:
    """An operand: mostly small, or an address where something is."""
    kind = source.randrange(10)
    if kind < 6:
        return source.randrange(100)
    return source.choice(PLACES) if kind < 9 else source.getrandbits(source.choice((32, 64, 256)))


def program(source: random.Random) -> Bytecode:
    """Instructions with operands, and pieces of programs that do something."""
    parts = []
    for _ in range(source.randrange(3, 25)):
        row = source.choice(ROWS)
        if source.randrange(8) == 0:
            parts.append(source.choice(PIECES))
        else:
            parts += [bytes(push(word(source))) for _ in range(row.pops)]
            parts.append(bytes([row.code]))
    return raw(b"".join(parts))


@pytest.mark.parametrize("seed", range(3))
def test_lanes_agree_with_the_native_engine(state: NativeState, lanes: EvmBatch, seed: int) -> None:
    source = random.Random(seed)
    calls = columns([program(source) for _ in range(150)])
    before = lanes.statistics.escapes.total()
    found = lanes.call(state, calls)
    wanted = natively(state, calls)
    for place, (one, other) in enumerate(zip(found, wanted, strict=True)):
        assert comparable(one) == comparable(other), f"program {place}: {calls.codes[place].hex()}"
    assert lanes.statistics.escapes.total() - before < 75
    assert 20 < sum(one.success for one in wanted) < 150
