"""BLS12-381: group laws, bilinearity, and the checks that EIP-2537 asks for at each operation."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from py_arkworks_bls12381 import G1Point, G2Point, Scalar
from vmloom.precompile import PrecompileFailure, PurePrecompile
from vmloom_precompiles_bls12_381.multiplication import G1_DISCOUNTS, G2_DISCOUNTS
from vmloom_precompiles_bls12_381.points import encode

Find = Callable[[int], PurePrecompile]
G1_ADD, G1_MSM, G2_ADD, G2_MSM, PAIRING, MAP_FP, MAP_FP2 = range(0x0B, 0x12)
PRIME = 0x1A0111EA397FE69A4B1BA7B6434BACD764774B84F38512BF6730D2A0F6B0F6241EABFFFEB153FFFFB9FEFFFFFFFFAAAB
ORDER = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
TRUE, FALSE = (1).to_bytes(32, "big"), bytes(32)
G1_OUTSIDE = bytes(127) + b"\x02"
"""(0, 2) is on the curve, and of order 3."""

scalars = st.integers(0, 2**256 - 1)


def g1(scalar: int) -> bytes:
    return encode(G1Point() * Scalar(scalar % ORDER))


def g2(scalar: int) -> bytes:
    return encode(G2Point() * Scalar(scalar % ORDER))


def word(number: int) -> bytes:
    return number.to_bytes(32, "big")


@settings(max_examples=15)
@given(a=scalars, b=scalars, c=scalars, d=scalars)
def test_group_laws(precompile: Find, a: int, b: int, c: int, d: int) -> None:
    for point, add, msm in ((g1, G1_ADD, G1_MSM), (g2, G2_ADD, G2_MSM)):
        assert precompile(add).compute(point(a) + point(b)) == point(a + b)
        assert precompile(msm).compute(point(a) + word(b)) == point(a * b)
        assert precompile(msm).compute(point(a) + word(b) + point(c) + word(d)) == point(a * b + c * d)


@settings(max_examples=10)
@given(a=scalars, b=scalars)
def test_pairing_is_bilinear(precompile: Find, a: int, b: int) -> None:
    assert precompile(PAIRING).compute(g1(a) + g2(b) + g1(-a * b) + g2(1)) == TRUE
    assert precompile(PAIRING).compute(g1(a) + g2(b) + g1(-a * b - 1) + g2(1)) == FALSE


@settings(max_examples=15)
@given(a=st.integers(0, PRIME - 1), b=st.integers(0, PRIME - 1))
def test_mappings_lead_into_the_subgroups(precompile: Find, a: int, b: int) -> None:
    a64, b64 = a.to_bytes(64, "big"), b.to_bytes(64, "big")
    assert precompile(G1_MSM).compute(precompile(MAP_FP).compute(a64) + word(ORDER)) == bytes(128)
    assert precompile(G2_MSM).compute(precompile(MAP_FP2).compute(a64 + b64) + word(ORDER)) == bytes(256)


def test_infinity_is_all_zeros(precompile: Find) -> None:
    assert precompile(G1_ADD).compute(bytes(256)) == bytes(128)
    assert precompile(G1_ADD).compute(g1(5) + bytes(128)) == g1(5)
    assert precompile(G1_ADD).compute(g1(5) + g1(-5)) == bytes(128)
    assert precompile(G2_ADD).compute(g2(5) + g2(-5)) == bytes(256)
    assert precompile(G1_MSM).compute(bytes(128) + word(7)) == bytes(128)
    assert precompile(G2_MSM).compute(g2(7) + word(0)) == bytes(256)
    assert precompile(PAIRING).compute(bytes(128) + g2(1)) == TRUE
    assert precompile(PAIRING).compute(g1(1) + bytes(256)) == TRUE


def test_addition_takes_points_outside_the_subgroup_and_nothing_else_does(precompile: Find) -> None:
    assert precompile(G1_ADD).compute(G1_OUTSIDE + bytes(128)) == G1_OUTSIDE
    with pytest.raises(PrecompileFailure, match="subgroup of G1"):
        precompile(G1_MSM).compute(G1_OUTSIDE + word(1))
    with pytest.raises(PrecompileFailure, match="subgroup of G1"):
        precompile(PAIRING).compute(G1_OUTSIDE + bytes(256))


def test_field_elements_are_canonical(precompile: Find) -> None:
    for element in (PRIME, PRIME + 1, 2**384, 2**512 - 1):
        encoded = element.to_bytes(64, "big")
        for address, data in (
            (G1_ADD, encoded + bytes(192)),
            (G1_ADD, bytes(192) + encoded),
            (G2_ADD, bytes(448) + encoded),
            (MAP_FP, encoded),
            (MAP_FP2, bytes(64) + encoded),
        ):
            with pytest.raises(PrecompileFailure):
                precompile(address).compute(data)
    assert precompile(MAP_FP).compute((PRIME - 1).to_bytes(64, "big"))


def test_points_are_on_the_curve(precompile: Find) -> None:
    one = (1).to_bytes(64, "big")
    with pytest.raises(PrecompileFailure, match="curve over Fp"):
        precompile(G1_ADD).compute(one * 2 + bytes(128))
    with pytest.raises(PrecompileFailure, match="curve over Fp2"):
        precompile(G2_ADD).compute(one * 4 + bytes(256))


def test_sizes_are_exact(precompile: Find) -> None:
    unit = {G1_ADD: 256, G1_MSM: 160, G2_ADD: 512, G2_MSM: 288, PAIRING: 384, MAP_FP: 64, MAP_FP2: 128}
    for address, size in unit.items():
        precompile(address).compute(bytes(size))
        for wrong in (0, size - 1, size + 1):
            with pytest.raises(PrecompileFailure, match=f"the input has {wrong} bytes"):
                precompile(address).compute(bytes(wrong))


def test_gas(precompile: Find) -> None:
    assert [precompile(a).gas_cost(b"") for a in (G1_ADD, G2_ADD, MAP_FP, MAP_FP2)] == [375, 600, 5500, 23_800]
    assert [precompile(PAIRING).gas_cost(bytes(384 * k)) for k in (0, 1, 2)] == [37_700, 70_300, 102_900]
    for address, size, price, discounts in ((G1_MSM, 160, 12_000, G1_DISCOUNTS), (G2_MSM, 288, 22_500, G2_DISCOUNTS)):
        assert len(discounts) == 128
        assert precompile(address).gas_cost(bytes(size - 1)) == 0
        for count in (1, 2, 3, 127, 128, 129, 1000):
            expected = count * price * discounts[min(count, 128) - 1] // 1000
            assert precompile(address).gas_cost(bytes(size * count)) == expected
