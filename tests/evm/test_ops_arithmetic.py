"""Arithmetic, comparison, bits and shifts on edge values, run as programs. Expectations are numbers, not formulas."""

from __future__ import annotations

import pytest
from vmloom_evm.assembly import exp, op, push
from vmloom_evm.testing import EvmUnderTest

MAX = 2**256 - 1
MIN = 2**255
"""The least signed number, -2**255."""
TOP = 2**255 - 1
"""The greatest signed number."""


def minus(n: int) -> int:
    return 2**256 - n


CASES: list[tuple[str, tuple[int, ...], int]] = [
    ("ADD", (1, 2), 3),
    ("ADD", (MAX, 1), 0),
    ("ADD", (MAX, MAX), MAX - 1),
    ("MUL", (7, 6), 42),
    ("MUL", (MAX, 2), MAX - 1),
    ("MUL", (MAX, MAX), 1),
    ("MUL", (2**128, 2**128), 0),
    ("SUB", (3, 5), minus(2)),
    ("SUB", (0, 1), MAX),
    ("SUB", (5, 3), 2),
    ("DIV", (7, 2), 3),
    ("DIV", (2, 7), 0),
    ("DIV", (7, 0), 0),
    ("DIV", (MAX, MAX), 1),
    ("SDIV", (minus(7), 2), minus(3)),  # towards zero, not down
    ("SDIV", (7, minus(2)), minus(3)),
    ("SDIV", (minus(7), minus(2)), 3),
    ("SDIV", (MIN, minus(1)), MIN),  # the one quotient that does not fit
    ("SDIV", (MIN, 1), MIN),
    ("SDIV", (TOP, minus(1)), MIN + 1),
    ("SDIV", (1, 0), 0),
    ("SDIV", (MIN, 0), 0),
    ("MOD", (7, 3), 1),
    ("MOD", (7, 0), 0),
    ("MOD", (MAX, 2), 1),
    ("SMOD", (minus(7), 3), minus(1)),  # the sign of the dividend
    ("SMOD", (7, minus(3)), 1),
    ("SMOD", (minus(7), minus(3)), minus(1)),
    ("SMOD", (minus(6), 3), 0),
    ("SMOD", (MIN, minus(1)), 0),
    ("SMOD", (minus(7), 0), 0),
    ("ADDMOD", (10, 10, 8), 4),
    ("ADDMOD", (MAX, MAX, MAX), 0),
    ("ADDMOD", (MAX, 2, 2), 1),  # the sum has 257 bits
    ("ADDMOD", (MAX, 1, 0), 0),
    ("MULMOD", (10, 10, 8), 4),
    ("MULMOD", (MAX, MAX, 12), 9),  # the product has 512 bits
    ("MULMOD", (MAX, MAX, MAX), 0),
    ("MULMOD", (MAX, MAX, 0), 0),
    ("EXP", (2, 10), 1024),
    ("EXP", (0, 0), 1),
    ("EXP", (0, 5), 0),
    ("EXP", (2, 255), MIN),
    ("EXP", (2, 256), 0),
    ("EXP", (MAX, 2), 1),
    ("EXP", (MAX, MAX), MAX),
    ("EXP", (3, MAX), 77194726158210796949047323339125271902179989777093709359638389338608753093291),
    ("SIGNEXTEND", (0, 0x7F), 0x7F),
    ("SIGNEXTEND", (0, 0x80), minus(0x80)),
    ("SIGNEXTEND", (0, 0x1234), 0x34),  # what is above the sign goes, too
    ("SIGNEXTEND", (1, 0x8000), minus(0x8000)),
    ("SIGNEXTEND", (30, 2**247), minus(2**247)),
    ("SIGNEXTEND", (31, MIN), MIN),
    ("SIGNEXTEND", (32, 0xFF), 0xFF),
    ("SIGNEXTEND", (MAX, 0xFF), 0xFF),
    ("LT", (1, 2), 1),
    ("LT", (2, 2), 0),
    ("LT", (0, MAX), 1),
    ("GT", (2, 1), 1),
    ("GT", (2, 2), 0),
    ("GT", (MAX, 0), 1),
    ("SLT", (minus(1), 0), 1),
    ("SLT", (0, minus(1)), 0),
    ("SLT", (MIN, TOP), 1),
    ("SLT", (minus(1), minus(1)), 0),
    ("SGT", (0, minus(1)), 1),
    ("SGT", (MIN, TOP), 0),
    ("SGT", (5, 5), 0),
    ("EQ", (MAX, MAX), 1),
    ("EQ", (0, MIN), 0),
    ("ISZERO", (0,), 1),
    ("ISZERO", (MIN,), 0),
    ("AND", (0b1100, 0b1010), 0b1000),
    ("OR", (0b1100, 0b1010), 0b1110),
    ("XOR", (0b1100, 0b1010), 0b0110),
    ("NOT", (0,), MAX),
    ("NOT", (MAX,), 0),
    ("BYTE", (31, 0x1234), 0x34),
    ("BYTE", (30, 0x1234), 0x12),
    ("BYTE", (0, 0xAB << 248), 0xAB),
    ("BYTE", (32, MAX), 0),
    ("BYTE", (MAX, MAX), 0),
    ("SHL", (1, 1), 2),
    ("SHL", (255, 3), MIN),
    ("SHL", (256, 1), 0),
    ("SHL", (MAX, 1), 0),
    ("SHL", (0, MAX), MAX),
    ("SHR", (1, 2), 1),
    ("SHR", (255, MAX), 1),
    ("SHR", (256, MAX), 0),
    ("SHR", (MAX, MAX), 0),
    ("SAR", (1, 4), 2),
    ("SAR", (1, minus(1)), MAX),
    ("SAR", (4, minus(32)), minus(2)),
    ("SAR", (255, MIN), MAX),
    ("SAR", (256, MIN), MAX),
    ("SAR", (256, TOP), 0),
    ("SAR", (MAX, minus(1)), MAX),
    ("SAR", (0, MIN), MIN),
    ("CLZ", (0,), 256),
    ("CLZ", (1,), 255),
    ("CLZ", (MIN,), 0),
    ("CLZ", (MAX,), 0),
    ("CLZ", (TOP,), 1),
    ("CLZ", (2**128,), 127),
]


@pytest.mark.parametrize(
    ("name", "operands", "result"),
    [pytest.param(*case, id=f"{case[0]}-{'-'.join(f'{one:#x}' for one in case[1])[:40]}") for case in CASES],
)
def test_operator_on_edge_values(evm: EvmUnderTest, name: str, operands: tuple[int, ...], result: int) -> None:
    assert evm.value_of(op(name)(*operands)) == result


@pytest.mark.parametrize(
    ("fork", "per_byte"),
    [("frontier", 10), ("tangerine_whistle", 10), ("spurious_dragon", 50), ("osaka", 50)],  # EIP-160
)
@pytest.mark.parametrize(
    ("exponent", "size"), [(0, 0), (1, 1), (255, 1), (256, 2), (2**64, 9), (2**248 - 1, 31), (2**248, 32), (MAX, 32)]
)
def test_exp_costs_by_the_bytes_of_the_exponent(
    evm: EvmUnderTest, fork: str, per_byte: int, exponent: int, size: int
) -> None:
    evm = evm.at(fork)
    assert evm.gas_of(exp(2, exponent)) - evm.gas_of(push(exponent) + push(2)) == 10 + per_byte * size
