"""BN254: our own arithmetic against its definitions, and the precompiles against the laws of groups and pairings."""

from __future__ import annotations

from collections.abc import Callable
from math import gcd

import pytest
from gmpy2 import mpz  # type: ignore[import-untyped]
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom.precompile import PrecompileFailure, PurePrecompile
from vmloom_precompiles_classic.bn254 import curve, field, pairing
from vmloom_precompiles_classic.bn254.field import ORDER, Fp2, P

Find = Callable[[int, str], PurePrecompile]
G2 = tuple[Fp2, Fp2]

COFACTOR = 2 * P - ORDER
G2_GENERATOR: G2 = (
    (
        mpz(0x1800DEEF121F1E76426A00665E5C4479674322D4F75EDADD46DEBD5CD992F6ED),
        mpz(0x198E9393920D483A7260BFB731FB5D25F1AA493335A9E71297E485B7AEF312C2),
    ),
    (
        mpz(0x12C85EA5DB8C6DEB4AAB71808DCB408FE3D1E7690C43D37B4CE6CC0166FA7DAA),
        mpz(0x090689D0585FF075EC9E99AD690C3395BC4B313370B38EF355ACDADCD122975B),
    ),
)

scalars = st.integers(0, 2**256 - 1)
elements = st.integers(0, int(P) - 1).map(mpz)
fp12s = st.lists(elements, min_size=12, max_size=12).map(field.fp12)


def word(*numbers: int) -> bytes:
    return b"".join(int(number).to_bytes(32, "big") for number in numbers)


def g1(scalar: int) -> bytes:
    x, y = curve.g1_mul((mpz(1), mpz(2)), scalar % ORDER) or (0, 0)
    return word(x, y)


def twist_times(scalar: int, point: G2) -> G2 | None:
    """The point of the twist added up `scalar` times, by the book; None for infinity."""
    result: G2 | None = None
    for bit in bin(scalar)[2:]:
        result = twist_sum(result, result)
        if bit == "1":
            result = twist_sum(result, point)
    return result


def twist_sum(p: G2 | None, q: G2 | None) -> G2 | None:
    if p is None or q is None:
        return p or q
    if p[0] == q[0] and p[1] != q[1]:
        return None
    return pairing.step(p, p if p == q else q, [])


def g2_bytes(point: G2 | None) -> bytes:
    if point is None:
        return bytes(128)
    (x0, x1), (y0, y1) = point
    return word(x1, x0, y1, y0)


def g2(scalar: int) -> bytes:
    return g2_bytes(twist_times(scalar % ORDER, G2_GENERATOR))


def twist_point(seed: int) -> G2:
    """A point of the twist, in all likelihood outside of G2: the first whose x is (seed, 0), (seed + 1, 0), ..."""
    while True:
        x = (mpz(seed), mpz(0))
        cube = field.fp2_mul(field.fp2_square(x), x)
        y = square_root(((cube[0] + curve.TWIST_B[0]) % P, (cube[1] + curve.TWIST_B[1]) % P))
        if y is not None:
            return x, y
        seed += 1


def square_root(square: Fp2) -> Fp2 | None:
    """A root in Fp2 for P = 3 modulo 4: Adj and Rodriguez-Henriquez (2012), algorithm 9."""
    a1 = field.fp2_power(square, (P - 3) // 4)
    alpha = field.fp2_mul(field.fp2_square(a1), square)
    x0 = field.fp2_mul(a1, square)
    if alpha == (P - 1, 0):
        root = ((-x0[1]) % P, x0[0])
    else:
        root = field.fp2_mul(field.fp2_power(((alpha[0] + 1) % P, alpha[1]), (P - 1) // 2), x0)
    return root if field.fp2_square(root) == square else None


def naive_fp12_mul(x: field.Fp12, y: field.Fp12) -> field.Fp12:
    product = [0] * 23
    for i, a in enumerate(field.coefficients_of(x)):
        for j, b in enumerate(field.coefficients_of(y)):
            product[i + j] += a * b
    for i in range(22, 11, -1):
        product[i - 6] += 18 * product[i]
        product[i - 12] -= 82 * product[i]
    return field.fp12(product[:12])


def naive_power(x: field.Fp12, exponent: int) -> field.Fp12:
    result = field.FP12_ONE
    for bit in bin(exponent)[2:]:
        result = field.fp12_mul(result, result)
        if bit == "1":
            result = field.fp12_mul(result, x)
    return result


@given(fp12s, fp12s)
def test_product_in_fp12(x: field.Fp12, y: field.Fp12) -> None:
    assert field.fp12_mul(x, y) == naive_fp12_mul(x, y)


def test_product_in_fp12_of_the_largest_coefficients() -> None:
    most = field.fp12([P - 1] * 12)
    assert field.fp12_mul(most, most) == naive_fp12_mul(most, most)
    assert field.fp12_mul(most, mpz(0)) == 0


@settings(max_examples=10)
@given(fp12s.filter(bool))
def test_maps_of_fp12_are_the_powers_they_stand_for(x: field.Fp12) -> None:
    for power in (1, 2, 3):
        assert field.fp12_frobenius(x, power) == naive_power(x, P**power)
    assert field.fp12_conjugate(x) == naive_power(x, P**6)
    assert field.fp12_mul(x, field.fp12_inverse(x)) == field.FP12_ONE


@settings(max_examples=5)
@given(fp12s.filter(bool))
def test_final_exponentiation_is_its_power(x: field.Fp12) -> None:
    assert pairing.final_exponentiation(x) == naive_power(x, (P**12 - 1) // ORDER)


def test_subgroup_check_rests_on_these_facts() -> None:
    """The norm of 6X + 2 + F - F^2 + F^3 in Z[F], where F^2 = tF - P, shares only ORDER with the order of the twist."""
    x = int(field.X)
    trace = 6 * x * x + 1
    constant = 6 * x + 2 + int(P) - trace * int(P)
    linear = 1 - trace + trace**2 - int(P)
    norm = constant**2 + trace * constant * linear + int(P) * linear**2
    assert norm % ORDER == 0
    assert gcd(norm, int(COFACTOR)) == gcd(int(ORDER), int(COFACTOR)) == 1


@settings(max_examples=15)
@given(seed=st.integers(1, 2**200))
def test_points_outside_g2_are_told_from_those_in_it(seed: int) -> None:
    outside = twist_point(seed)
    assert curve.g2_on_curve(*outside)
    assert twist_times(ORDER, outside) is not None
    with pytest.raises(pairing.NotInSubgroupError):
        pairing.lines_through(*outside)

    inside = twist_times(COFACTOR, outside)
    assert inside is not None
    assert twist_times(ORDER, inside) is None
    pairing.lines_through(*inside)


def test_points_of_small_order_are_not_in_g2() -> None:
    for factor in (10069, 5864401):
        small = twist_times(ORDER * (COFACTOR // factor), twist_point(7))
        assert small is not None
        with pytest.raises(pairing.NotInSubgroupError):
            pairing.lines_through(*small)


def test_walk_that_would_divide_by_zero_is_not_in_g2(monkeypatch: pytest.MonkeyPatch) -> None:
    x, y = G2_GENERATOR
    for other in ((x, y), (x, (-y[0], -y[1]))):
        with pytest.raises(ZeroDivisionError):
            pairing.step((x, y), other, [])

    monkeypatch.setattr(pairing, "g2_frobenius", lambda *_: field.fp2_inverse(field.FP2_ZERO))
    with pytest.raises(pairing.NotInSubgroupError):
        pairing.lines_through(x, y)


@settings(max_examples=20)
@given(a=scalars, b=scalars)
def test_addition_and_multiplication_agree(precompile: Find, a: int, b: int) -> None:
    add, mul = precompile(0x06, "osaka"), precompile(0x07, "osaka")
    assert add.compute(g1(a) + g1(b)) == g1(a + b)
    assert mul.compute(g1(a) + word(b)) == g1(a * b)


def test_special_sums(precompile: Find) -> None:
    add = precompile(0x06, "osaka")
    assert add.compute(b"") == bytes(64)
    assert add.compute(g1(5)) == g1(5)
    assert add.compute(bytes(64) + g1(5)) == g1(5)
    assert add.compute(g1(5) + g1(5)) == g1(10)
    assert add.compute(g1(5) + g1(-5)) == bytes(64)
    assert add.compute(g1(5) + g1(6) + b"more") == g1(11)


def test_special_products(precompile: Find) -> None:
    mul = precompile(0x07, "osaka")
    assert mul.compute(b"") == bytes(64)
    assert mul.compute(g1(5)) == bytes(64)
    assert mul.compute(g1(5) + word(ORDER)) == bytes(64)
    assert mul.compute(g1(5) + word(2**256 - 1)) == g1(5 * (2**256 - 1))
    assert mul.compute(g1(5) + b"\x01") == g1(5 << 248)


@settings(max_examples=8)
@given(a=scalars, b=scalars)
def test_pairing_is_bilinear(precompile: Find, a: int, b: int) -> None:
    check = precompile(0x08, "osaka")
    assert check.compute(g1(a) + g2(b) + g1(-a * b) + g2(1)) == word(1)
    assert check.compute(g1(a) + g2(b) + g1(-a * b - 1) + g2(1)) == word(0)


def test_pairs_with_infinity_count_as_one_but_are_checked(precompile: Find) -> None:
    check = precompile(0x08, "osaka")
    assert check.compute(b"") == word(1)
    assert check.compute(bytes(192)) == word(1)
    assert check.compute(bytes(64) + g2(3)) == word(1)
    assert check.compute(g1(3) + bytes(128)) == word(1)
    assert check.compute(g1(3) + g2(1) + bytes(192)) == word(0)
    with pytest.raises(PrecompileFailure, match="not in G2"):
        check.compute(bytes(64) + g2_bytes(twist_point(1)))


def test_what_is_no_point_fails(precompile: Find) -> None:
    for bad, why in (
        (word(1, 1), "not on the curve"),
        (word(P + 1, 2), "not below"),
        (word(1, P + 2), "not below"),
        (word(P, 0), "not below"),
        (word(0, 1), "not on the curve"),
    ):
        for address, rest in ((0x06, b""), (0x07, b""), (0x08, g2(1))):
            with pytest.raises(PrecompileFailure, match=why):
                precompile(address, "osaka").compute(bad + rest)
        with pytest.raises(PrecompileFailure, match=why):
            precompile(0x06, "osaka").compute(g1(1) + bad)
    with pytest.raises(PrecompileFailure, match="not on the twist"):
        precompile(0x08, "osaka").compute(g1(1) + word(1, 1, 1, 1))
    with pytest.raises(PrecompileFailure, match="not below"):
        precompile(0x08, "osaka").compute(g1(1) + word(P, 0, 0, 0))
    for size in (1, 191, 193):
        with pytest.raises(PrecompileFailure, match=f"the input has {size} bytes, not a multiple of 192"):
            precompile(0x08, "osaka").compute(bytes(size))


def test_prices_by_fork(precompile: Find) -> None:
    before, since = [500, 40_000, 260_000], [150, 6000, 113_000]
    for fork, prices in {"byzantium": before, "petersburg": before, "istanbul": since, "osaka": since}.items():
        assert [precompile(address, fork).gas_cost(bytes(2 * 192)) for address in (0x06, 0x07, 0x08)] == prices
    assert precompile(0x08, "istanbul").gas_cost(bytes(191)) == 45_000
