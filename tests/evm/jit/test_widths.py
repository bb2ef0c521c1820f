"""Instructions compute the same in as few bits as suffice: each on operands of all widths that the compiler knows."""

from __future__ import annotations

import random
from collections.abc import Mapping

import pytest
from vmloom import ExecutionContext
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import (
    Bytecode,
    and_,
    byte,
    calldataload,
    iszero,
    joined,
    lt,
    mstore,
    or_,
    push,
    raw,
    return_,
    shl,
    shr,
    signextend,
    sub,
)
from vmloom_evm.config import EvmJitConfig
from vmloom_evm.native.state import NativeState
from vmloom_evm.table import OPS, OpKind, OpRow
from vmloom_evm.testing import BLOCK, CONTRACT, SENDER

PURE = [row for row in OPS.values() if row.code < 0x20 and row.kind is OpKind.VALUE and row.pushes and row.pops]
SIZE = 1 << 256
EDGES = (
    *(0, 1, 2, 7, 8, 30, 31, 32, 33, 63, 64, 127, 128, 255, 256, 257),
    *(2**63 - 1, 2**63, 2**64 - 1, 2**64, 2**64 + 1, 2**127, 2**128 - 1, 2**128, 2**192, 2**255 - 1, 2**255),
    *(SIZE - 2**64, SIZE - 256, SIZE - 2, SIZE - 1),
)
RUNS = 40


def operands(place: int) -> Mapping[str, Bytecode]:
    """Ways to have the word of the input at `place` as an operand, of which the compiler knows more or less."""
    word = calldataload(place)
    return {
        "anything": word,
        "flag": lt(word, 1 << 200),
        "byte": byte(31, word),
        "5 bits": and_(word, 31),
        "8 bits": and_(word, 255),
        "32 bits": shr(224, shl(224, word)),
        "64 bits": and_(word, 2**64 - 1),
        "65 bits": and_(word, 2**65 - 1),
        "128 bits": and_(word, 2**128 - 1),
        "high": or_(word, 1 << 255),
        "not 0": or_(word, 1),
        "multiple of 256": shl(8, and_(word, 0xFFFFFF)),
        "signed": signextend(3, word),
        "from 5": sub(255, and_(word, 0xF)),
        "constant": push(EDGES[place % len(EDGES)]),
        "negated": iszero(iszero(word)),
    }


def contract(row: OpRow, rng: random.Random) -> bytes:
    """Does the instruction on operands of many kinds, and returns all that comes of it."""
    pairs = [(one, two) for one in operands(0) for two in (operands(32) if row.pops > 1 else ("",))]
    values = []
    for one, two in rng.sample(pairs, min(len(pairs), 60)):
        three = rng.choice(list(operands(64)))
        chosen = (operands(64)[three], operands(32).get(two, Bytecode()), operands(0)[one])
        values.append(joined(*chosen[3 - row.pops :]) + raw(bytes([row.code])))
    stores = (mstore(32 * number, value) for number, value in enumerate(values))
    return bytes(joined(*stores) + return_(0, 32 * len(values)))


@pytest.fixture(scope="module")
def engines() -> list[tuple[Evm, NativeState]]:
    """The interpreter and the compiler, each with a state."""
    jit = EvmJitConfig(trigger="first", disk_cache=False)
    return [
        (Evm(EvmConfig(**options)), NativeState()) for options in ({"engine": "native"}, {"engine": "jit", "jit": jit})
    ]


@pytest.mark.parametrize("row", PURE, ids=lambda row: row.name)
def test_result_does_not_depend_on_what_is_known_of_operands(
    row: OpRow, engines: list[tuple[Evm, NativeState]]
) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    code = contract(row, rng)
    for _ in range(RUNS):
        words = [rng.choice(EDGES) if rng.random() < 0.7 else rng.getrandbits(256) for _ in range(3)]
        data = b"".join(word.to_bytes(32, "big") for word in words)
        context = ExecutionContext(
            caller=SENDER, address=CONTRACT, origin=SENDER, input=data, gas_limit=10**8, block=BLOCK
        )
        interpreted, compiled = (vm.execute(code, context, state) for vm, state in engines)
        assert interpreted.success
        assert compiled == interpreted, f"seed {seed}, operands {words}\n0x{code.hex()}"
    statistics = engines[1][0].jit_statistics()
    assert statistics is not None
    assert (statistics.compiles > 0, statistics.failures or {}) == (True, {})
