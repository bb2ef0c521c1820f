"""The kernels of ECRECOVER and BN254 agree with the libraries that the precompiles use in Python."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from coincurve import PrivateKey
from vmloom.kernel import U64_MAX, fill, local, start, u8, u16, view
from vmloom.kernel.room import usual_room
from vmloom.precompile import FAILED, PrecompileFailure, PrecompileKernel, PurePrecompile
from vmloom_native.testing import Compiled
from vmloom_precompiles_classic.bn254.precompiles import Bn254Add, Bn254Mul, Bn254Pairing, Bn254Prices
from vmloom_precompiles_classic.kernels import field256, recover, secp256k1
from vmloom_precompiles_classic.kernels.bn254 import curve, field, pairing, precompiles
from vmloom_precompiles_classic.kernels.secp256k1_table import GX, GY, N
from vmloom_precompiles_classic.kernels.secp256k1_table import P as SECP_P

Find = Callable[..., PurePrecompile]
Call = Callable[..., Any]

CANARY = 0xA5
P, ORDER = field.P, field.ORDER
EDGES = (0, 1, 2, 977, 2**32 + 977, 2**64 - 1, 2**128 - 1, 2**128, 2**255, 2**256 - 2**32, 2**256 - 2, 2**256 - 1)
LAMBDA = 0x5363AD4CC05C30E0A5261C028812645A122E22EA20816678DF02967C1B23BD72
"""A cube root of 1 modulo the order of secp256k1: SEC 2's curve, Hal Finney's number."""

G1 = (1).to_bytes(32, "big") + (2).to_bytes(32, "big")
MINUS_G1 = (1).to_bytes(32, "big") + (P - 2).to_bytes(32, "big")
G2 = bytes.fromhex(
    "198e9393920d483a7260bfb731fb5d25f1aa493335a9e71297e485b7aef312c21800deef121f1e76426a00665e5c4479674322d4f75edadd46debd5cd992f6ed"
    "090689d0585ff075ec9e99ad690c3395bc4b313370b38ef355acdadcd122975b12c85ea5db8c6deb4aab71808dcb408fe3d1e7690c43d37b4ce6cc0166fa7daa"
)
OUTSIDE_G2 = [
    bytes.fromhex(point)
    for point in (
        "0000000000000000000000000000000000000000000000000000000000000000"
        "0000000000000000000000000000000000000000000000000000000000000001"
        "0d1271953ed9ea0836846e70a1934187998c7f790cb4d7511b7f8da82de048a4"
        "2869111d5381f072f8e2728fdb825a51aadd70e52c9830e9ab4b871c0531f1bb",
        # of order 10069
        "157849abfcff85c9086eb00c3d7066150c5dad5cf49a0e132915f793d35cfdcc"
        "0bed4437cf21eb6808091dad2afa1703bebc836d8174b20c618d2d62929fa7a1"
        "24d2e5a145ff2e29a3cc9158a403d80fba419ecd07d8107ebc73601502729f72"
        "1f71f36170ee36cee7ccba60203d5b67ea80508ec53bf7e9d00a436a8d3d0c3e",
        # of order 5864401
        "110c52cc518de143dc9841c096132ffcd1aaeaa1ecf6576f37334e6849ed3eff"
        "1654aa3aaa649fb16850823cf93459999f89179ad6a215f9e09c7f4aafe6717e"
        "1902a4a61dbebe65208e810fbac206f0f46326e805d884b45982ef6cc6f4ae0d"
        "2a0861bc320f71de97765da2b508e46d1cb5454c2c39e96f04551bf953719ae0",
    )
]


def interpreted(function: Call, *arguments: Any) -> Any:
    return function(*arguments)


@pytest.fixture(scope="module")
def compiled() -> Compiled:
    arithmetic = (field256.inverse, field256.signed_digits, secp256k1.mul, secp256k1.sqr, secp256k1.add, secp256k1.sub)
    arithmetic += (
        secp256k1.half,
        secp256k1.fold,
        secp256k1.fold_soon,
        secp256k1.root,
        secp256k1.mul_scalars,
        secp256k1.first_part,
        secp256k1.second_part,
    )
    arithmetic += (secp256k1.normal, secp256k1.combine, curve.first_part, curve.second_part)
    arithmetic += (field.mul, field.sqr, field.add, field.sub, field.neg, field.half, field.small, field.invert)
    groups = (precompiles.ADD, precompiles.MUL, precompiles.PAIRING)
    kernels = [it for group in groups for it in group.values()]
    return Compiled(*arithmetic, recover.gas, recover.run, *(it.gas for it in kernels), *{it.run for it in kernels})


@pytest.fixture(params=["interpreted", "compiled"])
def call(request: pytest.FixtureRequest) -> Call:
    return request.getfixturevalue("compiled") if request.param == "compiled" else interpreted


def count(call: Call, interpreted_cases: int, compiled_cases: int) -> int:
    """How many cases to try: CPython is slow at this."""
    return interpreted_cases if call is interpreted else compiled_cases


def some(rng: random.Random, below: int = 2**256) -> int:
    return rng.choice([*EDGES, below - 1, below - 2]) % below if rng.random() < 0.3 else rng.randrange(below)


def word(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def signed(x: int) -> int:
    return x - 2**256 if x >> 255 else x


def kernel_of(precompile: PurePrecompile) -> PrecompileKernel:
    assert precompile.kernel is not None
    return precompile.kernel


def outcome(kernel: PrecompileKernel, data: bytes, call: Call) -> tuple[int, bytes | None]:
    """Gas and output, None if it fails. Nothing may be written beyond the room that output has."""
    room = usual_room(start(data), len(data))
    output = local(u8, room + 8)
    fill(output, CANARY, room + 8)
    gas = call(kernel.gas, start(data), len(data))
    size = call(kernel.run, start(data), len(data), output)
    written = bytes(view(output, room + 8))
    assert written[room:] == bytes([CANARY]) * 8
    return gas, None if size == FAILED else written[:size]


def expected(precompile: PurePrecompile, data: bytes) -> tuple[int, bytes | None]:
    try:
        return precompile.gas_cost(data), precompile.compute(data)
    except PrecompileFailure:
        return precompile.gas_cost(data), None


def check(precompile: PurePrecompile, inputs: Iterator[bytes] | list[bytes], call: Call) -> list[bytes | None]:
    """That the kernel does what the precompile does; the outputs."""
    kernel, outputs = kernel_of(precompile), []
    for data in inputs:
        found = outcome(kernel, data, call)
        assert found == expected(precompile, data), data.hex()
        outputs.append(found[1])
    return outputs


def vectors(fixtures_folder: Path, name: str) -> list[bytes]:
    found = json.loads((fixtures_folder / "precompiles" / "geth" / f"{name}.json").read_text())
    return [bytes.fromhex(vector["Input"]) for vector in found]


# What both curves share


@pytest.mark.parametrize("modulus", [SECP_P, N, P])
def test_inverse(call: Call, modulus: int) -> None:
    rng = random.Random(modulus)
    negated_inverse = -pow(modulus, -1, 2**64) % 2**64
    numbers = [0, 1, 2, 3, modulus - 1, modulus - 2, (modulus + 1) // 2, 2**31, 2**64, 2**31 - 1]
    numbers += [rng.randrange(modulus) >> rng.choice((0, 0, 1, 100, 200)) for _ in range(count(call, 200, 5000))]
    for x in numbers:
        found = call(field256.inverse, x, modulus, negated_inverse)
        assert found == (pow(x, -1, modulus) if x else 0), x


@pytest.mark.parametrize("width", [2, 5, 10, 15])
def test_signed_digits(call: Call, width: int) -> None:
    rng = random.Random(width)
    scalars = [0, 1, 2, 3, 2**128 - 1, 2**128 - 2, 2**127, 2**127 - 1, int("10" * 64, 2), int("1000000001" * 12, 2)]
    scalars += [rng.getrandbits(128) for _ in range(count(call, 50, 1000))]
    for scalar in scalars:
        for negative in (False, True):
            digits = local(u16, field256.DIGITS)
            length = call(field256.signed_digits, digits, scalar, width, negative)
            written = [digits[i] for i in range(field256.DIGITS)]
            values = [-(it - field256.NEGATIVE) if it & field256.NEGATIVE else it for it in written]
            assert sum(it << i for i, it in enumerate(values)) == (-scalar if negative else scalar)
            assert all(it == 0 or (it & 1 and abs(it) < 1 << (width - 1)) for it in values)
            assert length == max((i + 1 for i, it in enumerate(values) if it), default=0)


# secp256k1


def test_field_of_secp256k1(call: Call) -> None:
    rng = random.Random(1)
    for _ in range(count(call, 500, 5000)):
        x, y = some(rng), some(rng)
        assert call(secp256k1.mul, x, y) % SECP_P == x * y % SECP_P
        assert call(secp256k1.sqr, x) % SECP_P == x * x % SECP_P
        assert call(secp256k1.add, x, y) % SECP_P == (x + y) % SECP_P
        assert call(secp256k1.sub, x, y) % SECP_P == (x - y) % SECP_P
        assert call(secp256k1.half, x) * 2 % SECP_P == x % SECP_P
        assert call(secp256k1.normal, x) == x % SECP_P


def test_folds_that_carry_twice(call: Call) -> None:
    rng = random.Random(9)
    for _ in range(count(call, 100, 2000)):
        t = rng.choice([rng.getrandbits(300), rng.getrandbits(44) << 256 | 2**256 - 1 - rng.choice([0, 977, 2**80])])
        folded = call(secp256k1.fold, t)
        assert folded % SECP_P == t % SECP_P
        assert call(secp256k1.fold_soon, t) == folded


def test_difference_that_borrows_twice(call: Call) -> None:
    for x in range(3):
        for y in range(2**256 - 3, 2**256):
            assert call(secp256k1.sub, x, y) % SECP_P == (x - y) % SECP_P


def test_roots(call: Call) -> None:
    rng = random.Random(2)
    for _ in range(count(call, 5, 100)):
        x = rng.randrange(SECP_P)
        assert call(secp256k1.root, x * x % SECP_P) % SECP_P in (x, SECP_P - x)


def test_scalars_of_secp256k1_and_their_halves(call: Call) -> None:
    rng = random.Random(3)
    assert pow(LAMBDA, 3, N) == 1
    for _ in range(count(call, 500, 5000)):
        x, y = some(rng), some(rng)
        assert call(secp256k1.mul_scalars, x, y) == x * y % N
        first, second = (signed(call(half, x % N)) for half in (secp256k1.first_part, secp256k1.second_part))
        assert (first + second * LAMBDA - x) % N == 0
        assert max(abs(first), abs(second)) < 2**128


def test_table_of_base_multiples() -> None:
    for first, factor in ((0, 1), (2 * secp256k1.BASE_ENTRIES, 2**128)):
        for i in (0, 1, 2, 100, secp256k1.BASE_ENTRIES - 1):
            place = first + 2 * i
            point = PrivateKey.from_int((2 * i + 1) * factor % N).public_key.point()
            assert (secp256k1.BASE[place], secp256k1.BASE[place + 1]) == point


def test_sums_of_multiples_that_meet_on_the_way(call: Call) -> None:
    """Where sums are infinite or equal to what is added, for scalars that make it so."""
    cases = [
        (0, 0, 1),
        (0, 1, 1),
        (1, 0, 1),
        (1, 1, 1),
        (2, 1, 1),
        (N - 1, 1, 1),
        (1, N - 1, 1),
        (4, 2, 1),
        (N - 2, 2, 1),
    ]
    cases += [
        (2**128, 1, 1),
        (2**128 % N, N - 1, 2**128 % N),
        (2**127, 1, 2**127),
        (5, N - 1, 5),
        (LAMBDA, N - 1, LAMBDA),
    ]
    cases += [(N - LAMBDA, 1, LAMBDA), (1, LAMBDA, 7), (3, N - 1, 3), (511, 1, N - 511), (512, N - 1, 1), (1, 1, N - 1)]
    cases += [(random.Random(i).randrange(N), random.Random(-i).randrange(N), i) for i in range(1, count(call, 5, 300))]
    for k, m, secret in cases:
        x, y = PrivateKey.from_int(secret).public_key.point()
        memory = local(secp256k1.Point, 1)[0]
        call(secp256k1.combine, memory, k, m, x, y)
        total = (k + m * secret) % N
        if total == 0:
            assert memory.z == 0
            continue
        scale = pow(memory.z, -1, SECP_P)
        point = (memory.x * scale**2 % SECP_P, memory.y * scale**3 % SECP_P)
        assert point == PrivateKey.from_int(total).public_key.point(), (k, m, secret)


def signatures(cases: int) -> Iterator[bytes]:
    """Valid input, the same with the other v, with the other root's s, and shortened."""
    rng = random.Random(cases)
    for _ in range(cases):
        message = rng.randbytes(32)
        signature = PrivateKey.from_int(rng.randrange(1, N)).sign_recoverable(message, hasher=None)
        r, s, v = signature[:32], signature[32:64], 27 + signature[64]
        yield message + word(v) + r + s
        yield message + word(55 - v) + r + s
        yield message + word(55 - v) + r + word(N - int.from_bytes(s, "big"))
        yield (message + word(v) + r + s)[: rng.randrange(129)]


def test_recovery(precompile: Find, fixtures_folder: Path, call: Call) -> None:
    outputs = check(precompile(0x01), signatures(count(call, 3, 300)), call)
    assert sum(bool(it) for it in outputs) >= len(outputs) // 2
    check(precompile(0x01), vectors(fixtures_folder, "ecRecover"), call)


def test_recovery_of_what_is_no_signature(precompile: Find, call: Call) -> None:
    r = GX  # of the base point
    inputs = [b"", bytes(128), bytes(127), word(1, 27, 1, 1), word(1, 27, 1, 1) + b"more", word(0, 28, 1, 1)]
    inputs += [word(5, v, r, 7) for v in (0, 1, 26, 27, 28, 29, 255, 27 + 256, 28 + 2**255, 2**256 - 1)]
    inputs += [word(5, 27, it, 7) for it in (0, 1, 2, 3, 4, 5, 6, 7, N - 1, N, N + 1, SECP_P - 1, SECP_P, 2**256 - 1)]
    inputs += [word(5, 27, r, it) for it in (0, 1, N - 1, N, N + 1, 2**256 - 1)]
    inputs += [word(it, 28, r, 3) for it in (0, 1, N - 1, N, N + 1, 2**256 - 1)]
    check(precompile(0x01), inputs, call)


def test_keys_at_infinity_and_sums_of_equal_points(precompile: Find, call: Call) -> None:
    """With G itself as the point of the signature, the key is (s - hash) / r times G, or (-s - hash) / r times."""
    inputs = [word(hash_, v, GX, s) for v in (27, 28) for s in (1, 5, N - 9) for hash_ in (s, N - s)]
    outputs = check(precompile(0x01), inputs, call)
    assert GY & 1 == 0
    assert [it == b"" for it in outputs] == [True, False] * 3 + [False, True] * 3


# BN254


def test_field_of_bn254(call: Call) -> None:
    rng = random.Random(4)
    shrink = pow(2**256, -1, P)
    for _ in range(count(call, 500, 5000)):
        x, y = some(rng, P), some(rng, P)
        assert call(field.mul, x, y) == x * y * shrink % P
        assert call(field.sqr, x) == x * x * shrink % P
        assert call(field.add, x, y) == (x + y) % P
        assert call(field.sub, x, y) == (x - y) % P
        assert call(field.neg, x) == -x % P
        assert call(field.half, x) * 2 % P == x
        t = some(rng, 20 * P)
        assert call(field.small, t) == t % P
    assert call(field.invert, field.number(7)) == field.number(pow(7, -1, P))


def test_halves_of_scalars_of_bn254(call: Call) -> None:
    rng = random.Random(5)
    for _ in range(count(call, 500, 5000)):
        x = some(rng, ORDER)
        first, second = (signed(call(half, x)) for half in (curve.first_part, curve.second_part))
        assert (first + second * curve.LAMBDA - x) % ORDER == 0
        assert max(abs(first), abs(second)) < 2**128


def test_bn254_sums(precompile: Find, fixtures_folder: Path, call: Call) -> None:
    mul = precompile(0x07)
    rng = random.Random(6)
    points = [bytes(64), G1, MINUS_G1, mul.compute(G1 + word(2)), mul.compute(G1 + word(ORDER - 2))]
    points += [mul.compute(G1 + word(rng.randrange(ORDER))) for _ in range(count(call, 2, 20))]
    inputs = [p + q for p in points for q in points]
    inputs += [G1 + points[3][:40], G1[:63], G1[:32], b"", (G1 + G1)[:127], G1 + G1 + b"more"]
    assert any(check(precompile(0x06), inputs, call))
    check(precompile(0x06), vectors(fixtures_folder, "bn256Add"), call)


def test_bn254_products(precompile: Find, fixtures_folder: Path, call: Call) -> None:
    rng = random.Random(7)
    scalars = [0, 1, 2, 3, 15, 16, 17, 31, 32, 33, ORDER - 1, ORDER, ORDER + 1, 5 * ORDER, 2**256 - 1, curve.LAMBDA]
    scalars += [ORDER - curve.LAMBDA, curve.LAMBDA + 1, 2**127, 2**128, curve.A1, curve.B1]
    scalars += [rng.getrandbits(256) for _ in range(count(call, 3, 300))]
    inputs = [G1 + word(scalar) for scalar in scalars]
    inputs += [bytes(64) + word(5), G1, G1[:63], b"", G1 + b"\x01", G1 + word(7) + b"more"]
    assert all(check(precompile(0x07), inputs[: len(scalars)], call))
    check(precompile(0x07), inputs[len(scalars) :], call)
    check(precompile(0x07), vectors(fixtures_folder, "bn256ScalarMul"), call)


BAD_G1 = [
    word(1, 1),
    word(0, 1),
    word(1, 0),
    word(P, 0),
    word(0, P),
    word(1, P + 2),
    word(P + 1, 2),
    word(2**256 - 1, 2),
]


def test_what_is_not_in_g1(precompile: Find, call: Call) -> None:
    for bad in BAD_G1:
        assert check(precompile(0x06), [bad, bad + G1, G1 + bad], call) == [None, None, None]
        assert check(precompile(0x07), [bad, bad + word(3), bad + word(0)], call) == [None, None, None]
        assert check(precompile(0x08), [bad + G2, bad + bytes(128)], call) == [None, None]


def test_what_is_not_in_g2(precompile: Find, call: Call) -> None:
    x1, x0, y1, y0 = (int.from_bytes(G2[i : i + 32], "big") for i in range(0, 128, 32))
    bad = [word(x1 + P, x0, y1, y0), word(x1, x0 + P, y1, y0), word(x1, x0, y1 + P, y0), word(x1, x0, y1, y0 + P)]
    bad += [
        word(x0, x1, y1, y0),
        word(x1, x0, y1, y0 ^ 1),
        word(0, 0, 0, P),
        word(P, 0, 0, 0),
        word(0, 0, 0, 1),
        *OUTSIDE_G2,
    ]
    inputs = [G1 + it for it in bad] + [bytes(64) + it for it in bad[-4:]] + [G1 + G2 + MINUS_G1 + G2 + G1 + bad[-1]]
    assert set(check(precompile(0x08), inputs, call)) == {None}


def test_pairings(precompile: Find, fixtures_folder: Path, call: Call) -> None:
    inputs = vectors(fixtures_folder, "bn256Pairing")
    if call is interpreted:
        inputs = inputs[::5]
    outputs = check(precompile(0x08), inputs, call)
    assert {it[-1] for it in outputs if it} == {0, 1}
    check(precompile(0x08), [b"", bytes(191), bytes(193), bytes(192), G1 + bytes(128), bytes(64) + G2], call)


def test_pairings_in_several_batches(precompile: Find, compiled: Compiled) -> None:
    """Pairs beyond a batch, with points at infinity at the ends of batches."""
    mul, rng = precompile(0x07), random.Random(8)
    for pairs in (pairing.BATCH - 1, pairing.BATCH, pairing.BATCH + 1, 2 * pairing.BATCH, 2 * pairing.BATCH + 3):
        scalars = [rng.randrange(ORDER) for _ in range(pairs - 1)]
        points = [mul.compute(G1 + word(it)) for it in [*scalars, -sum(scalars) % ORDER]]
        data = b"".join(point + G2 for point in points)
        infinite = G1 + bytes(128)
        inputs = [
            data,
            data[192:],
            data + infinite,
            infinite + data,
            data + bytes(64) + G2,
            3 * infinite + data + bytes(192),
        ]
        outputs = check(precompile(0x08), inputs, compiled)
        assert [it and it[-1] for it in outputs] == [1, 0, 1, 1, 1, 1]
        assert check(precompile(0x08), [data + G1 + OUTSIDE_G2[0]], compiled) == [None]


@pytest.mark.parametrize("fork", ["byzantium", "petersburg", "istanbul", "osaka"])
def test_gas(precompile: Find, call: Call, fork: str) -> None:
    data = bytes(3 * 192)
    for address in (0x01, 0x06, 0x07, 0x08):
        found = precompile(address, fork)
        for size in (0, 1, 96, 128, 191, 192, 383, 384, 575, 576):
            assert call(kernel_of(found).gas, start(data), size) == found.gas_cost(data[:size])
    gas = kernel_of(precompile(0x08, fork)).gas
    for size in (192 << 40, U64_MAX):
        assert call(gas, start(data), size) == U64_MAX
    one_less = found.gas_cost(bytes(192)) - found.gas_cost(b"")
    assert call(gas, start(data), (192 << 40) - 1) == found.gas_cost(b"") + one_less * (2**40 - 1)


def test_prices_of_other_chains_have_no_kernel() -> None:
    prices = Bn254Prices(add=1, mul=2, pairing=3, pair=4)
    assert [it(prices).kernel for it in (Bn254Add, Bn254Mul, Bn254Pairing)] == [None] * 3
