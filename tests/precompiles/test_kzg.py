"""Point evaluation of polynomials that we commit to ourselves."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

import ckzg
import pytest
from vmloom.precompile import PrecompileFailure, PurePrecompile
from vmloom_precompiles_kzg.point_evaluation import BLS_MODULUS, OUTPUT, trusted_setup

Find = Callable[[int], PurePrecompile]
INFINITY = b"\xc0" + bytes(47)


def evaluation(z: int, y: int, commitment: bytes, proof: bytes) -> bytes:
    versioned_hash = b"\x01" + hashlib.sha256(commitment).digest()[1:]
    return versioned_hash + z.to_bytes(32, "big") + y.to_bytes(32, "big") + commitment + proof


@pytest.fixture(scope="module")
def honest() -> bytes:
    """A proof about a blob whose field elements are 0 to 4095."""
    blob = b"".join(number.to_bytes(32, "big") for number in range(4096))
    commitment = ckzg.blob_to_kzg_commitment(blob, trusted_setup())
    proof, y = ckzg.compute_kzg_proof(blob, (42).to_bytes(32, "big"), trusted_setup())
    return evaluation(42, int.from_bytes(y, "big"), commitment, proof)


def test_honest_proof_holds(precompile: Find, honest: bytes) -> None:
    assert precompile(0x0A).compute(honest) == OUTPUT
    assert (4096).to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big") == OUTPUT
    assert precompile(0x0A).gas_cost(honest) == precompile(0x0A).gas_cost(b"") == 50_000


@pytest.mark.parametrize("position", [31, 32 + 31, 64 + 31])
def test_changed_bit_fails(precompile: Find, honest: bytes, position: int) -> None:
    changed = bytearray(honest)
    changed[position] ^= 1
    with pytest.raises(PrecompileFailure):
        precompile(0x0A).compute(bytes(changed))


def test_constant_polynomial_has_the_proof_at_infinity(precompile: Find) -> None:
    assert precompile(0x0A).compute(evaluation(7, 0, INFINITY, INFINITY)) == OUTPUT
    with pytest.raises(PrecompileFailure, match="does not hold"):
        precompile(0x0A).compute(evaluation(7, 1, INFINITY, INFINITY))


def test_each_reason_to_fail_has_its_words(precompile: Find, honest: bytes) -> None:
    compute = precompile(0x0A).compute
    for size in (0, 191, 193):
        with pytest.raises(PrecompileFailure, match=f"the input has {size} bytes, not 192"):
            compute(bytes(size))
    with pytest.raises(PrecompileFailure, match="versioned hash"):
        compute(b"\x02" + honest[1:])
    with pytest.raises(PrecompileFailure, match="not a field element"):
        compute(evaluation(BLS_MODULUS, 0, INFINITY, INFINITY))
    with pytest.raises(PrecompileFailure, match="not a point"):
        compute(evaluation(0, 0, INFINITY, b"\xff" * 48))


def test_setup_is_loaded_once() -> None:
    assert trusted_setup() is trusted_setup()
