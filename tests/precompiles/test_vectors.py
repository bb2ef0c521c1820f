"""Every public vector of the precompiles: output or failure, and gas, in each fork that the vector is for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from vmloom.context import ExecutionContext
from vmloom.precompile import PurePrecompile
from vmloom.result import ExecutionResult, ExecutionState
from vmloom.state import MemoryState

Find = Callable[[int, str], PurePrecompile]

SINCE_ISTANBUL = ("istanbul", "berlin", "osaka")
SINCE_PRAGUE = ("prague", "osaka")


@dataclass(frozen=True)
class Vectors:
    """A file of vectors, the forks they are checked in, and the key under which the gas in that fork is."""

    address: int
    forks: tuple[str, ...]
    gas_key: str = "Gas"


FILES = {
    "geth/ecRecover.json": [Vectors(0x01, ("frontier", "homestead", "osaka"))],
    "geth/modexp.json": [Vectors(0x05, ("byzantium", "istanbul"))],
    "geth/modexp_eip2565.json": [Vectors(0x05, ("berlin", "prague"))],
    "geth/modexp_eip7883.json": [Vectors(0x05, ("osaka",))],
    "execution_specs/eip7883/legacy.json": [Vectors(0x05, ("prague",), "GasOld"), Vectors(0x05, ("osaka",), "GasNew")],
    "execution_specs/eip7883/vectors.json": [Vectors(0x05, ("prague",), "GasOld"), Vectors(0x05, ("osaka",), "GasNew")],
    "geth/bn256Add.json": [Vectors(0x06, SINCE_ISTANBUL)],
    "geth/bn256ScalarMul.json": [Vectors(0x07, SINCE_ISTANBUL)],
    "geth/bn256Pairing.json": [Vectors(0x08, SINCE_ISTANBUL)],
    "geth/blake2F.json": [Vectors(0x09, SINCE_ISTANBUL)],
    "geth/fail-blake2f.json": [Vectors(0x09, SINCE_ISTANBUL)],
    "geth/pointEvaluation.json": [Vectors(0x0A, ("cancun", "osaka"))],
    "geth/blsG1Add.json": [Vectors(0x0B, SINCE_PRAGUE)],
    "geth/fail-blsG1Add.json": [Vectors(0x0B, SINCE_PRAGUE)],
    "geth/blsG1Mul.json": [Vectors(0x0C, SINCE_PRAGUE)],
    "geth/fail-blsG1Mul.json": [Vectors(0x0C, SINCE_PRAGUE)],
    "geth/blsG1MultiExp.json": [Vectors(0x0C, ("prague",))],
    "geth/fail-blsG1MultiExp.json": [Vectors(0x0C, SINCE_PRAGUE)],
    "geth/blsG2Add.json": [Vectors(0x0D, SINCE_PRAGUE)],
    "geth/fail-blsG2Add.json": [Vectors(0x0D, SINCE_PRAGUE)],
    "geth/blsG2Mul.json": [Vectors(0x0E, SINCE_PRAGUE)],
    "geth/fail-blsG2Mul.json": [Vectors(0x0E, SINCE_PRAGUE)],
    "geth/blsG2MultiExp.json": [Vectors(0x0E, ("prague",))],
    "geth/fail-blsG2MultiExp.json": [Vectors(0x0E, SINCE_PRAGUE)],
    "geth/blsPairing.json": [Vectors(0x0F, ("prague",))],
    "geth/fail-blsPairing.json": [Vectors(0x0F, SINCE_PRAGUE)],
    "geth/blsMapG1.json": [Vectors(0x10, SINCE_PRAGUE)],
    "geth/fail-blsMapG1.json": [Vectors(0x10, SINCE_PRAGUE)],
    "geth/blsMapG2.json": [Vectors(0x11, SINCE_PRAGUE)],
    "geth/fail-blsMapG2.json": [Vectors(0x11, SINCE_PRAGUE)],
    "execution_specs/eip2537/add_G1_bls.json": [Vectors(0x0B, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-add_G1_bls.json": [Vectors(0x0B, SINCE_PRAGUE)],
    "execution_specs/eip2537/mul_G1_bls.json": [Vectors(0x0C, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-mul_G1_bls.json": [Vectors(0x0C, SINCE_PRAGUE)],
    "execution_specs/eip2537/msm_G1_bls.json": [Vectors(0x0C, ("osaka",))],
    "execution_specs/eip2537/fail-msm_G1_bls.json": [Vectors(0x0C, SINCE_PRAGUE)],
    "execution_specs/eip2537/add_G2_bls.json": [Vectors(0x0D, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-add_G2_bls.json": [Vectors(0x0D, SINCE_PRAGUE)],
    "execution_specs/eip2537/mul_G2_bls.json": [Vectors(0x0E, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-mul_G2_bls.json": [Vectors(0x0E, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-msm_G2_bls.json": [Vectors(0x0E, SINCE_PRAGUE)],
    "execution_specs/eip2537/pairing_check_bls.json": [Vectors(0x0F, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-pairing_check_bls.json": [Vectors(0x0F, SINCE_PRAGUE)],
    "execution_specs/eip2537/map_fp_to_G1_bls.json": [Vectors(0x10, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-map_fp_to_G1_bls.json": [Vectors(0x10, SINCE_PRAGUE)],
    "execution_specs/eip2537/map_fp2_to_G2_bls.json": [Vectors(0x11, SINCE_PRAGUE)],
    "execution_specs/eip2537/fail-map_fp2_to_G2_bls.json": [Vectors(0x11, SINCE_PRAGUE)],
    "geth/p256Verify.json": [Vectors(0x100, ("osaka",))],
    **{
        f"execution_specs/eip7951/secp256r1_{name}.json": [Vectors(0x100, ("osaka",))]
        for name in (
            "k_and_s",
            "modified_r_s",
            "public_key",
            "shamir_multiplication",
            "signature_specific",
            "small_large_r_s",
            "special_case_hash",
            "special_case_r_s",
            "special_points",
            "u1_u2",
        )
    },
}
KZG_PROOFS = "execution_specs/eip4844/go_kzg_4844_verify_kzg_proof.json"
"""Not precompile input but the parts of it."""


def call(precompile: PurePrecompile, input: bytes) -> ExecutionResult:
    gas = precompile.gas_cost(input)
    return precompile.execute(ExecutionContext(input=input, gas_limit=gas + 1), input, MemoryState())


def complaint(precompile: PurePrecompile, fork: str, vector: dict[str, Any], gas_key: str) -> str:
    """What is wrong with the outcome of a vector; empty if nothing is."""
    data = bytes.fromhex(vector["Input"])
    result = call(precompile, data)
    said = f"{vector['Name']} in {fork}: "
    if "ExpectedError" in vector:
        if result.state is not ExecutionState.FAILED or result.return_data or not result.error:
            return said + f"should fail ({vector['ExpectedError']}), is {result}"
        return ""
    if result.state is not ExecutionState.SUCCESS:
        return said + f"failed: {result.error}"
    if result.return_data.hex() != vector["Expected"]:
        return said + f"gives {result.return_data.hex()}, not {vector['Expected']}"
    if gas_key in vector and result.gas_used != vector[gas_key]:
        return said + f"costs {result.gas_used}, not {vector[gas_key]}"
    return ""


@pytest.mark.parametrize("name", FILES)
def test_vectors_of(name: str, fixtures_folder: Path, precompile: Find) -> None:
    vectors = json.loads((fixtures_folder / "precompiles" / name).read_text())
    assert vectors
    complaints = [
        complaint(precompile(wanted.address, fork), fork, vector, wanted.gas_key)
        for wanted in FILES[name]
        for fork in wanted.forks
        for vector in vectors
    ]
    assert [words for words in complaints if words] == []


def test_every_file_of_vectors_is_in_the_list(fixtures_folder: Path) -> None:
    index = json.loads((fixtures_folder / "precompiles" / "index.json").read_text())["files"]
    assert {*FILES, KZG_PROOFS} == set(index)
    assert {name: {wanted.address for wanted in FILES[name]} for name in FILES} == {
        name: {int(index[name]["address"], 16)} for name in FILES
    }


def test_kzg_proofs(fixtures_folder: Path, precompile: Find) -> None:
    vectors = json.loads((fixtures_folder / "precompiles" / KZG_PROOFS).read_text())
    assert {vector["output"] for vector in vectors} == {True, False, None}
    wrong = []
    for vector in vectors:
        commitment, z, y, proof = (
            bytes.fromhex(vector["input"][part].removeprefix("0x")) for part in ("commitment", "z", "y", "proof")
        )
        versioned_hash = b"\x01" + hashlib.sha256(commitment).digest()[1:]
        result = call(precompile(0x0A, "cancun"), versioned_hash + z + y + commitment + proof)
        if result.success is not (vector["output"] is True):
            wrong.append(f"{vector['name']}: {result}")
    assert wrong == []
