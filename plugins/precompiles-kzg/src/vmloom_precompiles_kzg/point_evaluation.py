"""0x0a: does the polynomial behind a blob's commitment have a certain value at a certain point?"""

from __future__ import annotations

import hashlib
from functools import cache
from importlib import resources
from struct import Struct
from threading import Lock
from typing import Any

import ckzg
from vmloom.precompile import PrecompileFailure, PurePrecompile

GAS = 50_000
LAYOUT = Struct("32s 32s 32s 48s 48s")
"""versioned hash, z, y, commitment, proof"""
VERSION_KZG = b"\x01"
FIELD_ELEMENTS_PER_BLOB = 4096
BLS_MODULUS = 0x73EDA753299D7D483339D80809A1D80553BDA402FFFE5BFEFFFFFFFF00000001
OUTPUT = FIELD_ELEMENTS_PER_BLOB.to_bytes(32, "big") + BLS_MODULUS.to_bytes(32, "big")

_loading = Lock()


class PointEvaluation(PurePrecompile):
    """POINT_EVALUATION at 0x0a since Cancun. EIP-4844.

    Input, exactly 192 bytes: versioned hash (32) | z (32) | y (32) | commitment (48) | proof (48).
    Output: 4096 (32) | the modulus of the field of z and y (32). Gas: 50000.
    Fails if the input has another size, the hash is not that of the commitment, z or y is not below the modulus, the
    commitment or the proof is not a point of G1, or the proof does not show that the polynomial is y at z.
    """

    name = "POINT_EVALUATION"

    def gas_cost(self, input: bytes) -> int:
        """50000, whatever the input."""
        return GAS

    def compute(self, input: bytes) -> bytes:
        """The two constants. Raises `PrecompileFailure` unless the proof holds."""
        if len(input) != LAYOUT.size:
            raise PrecompileFailure(f"the input has {len(input)} bytes, not {LAYOUT.size}")
        versioned_hash, z, y, commitment, proof = LAYOUT.unpack(input)
        if versioned_hash != VERSION_KZG + hashlib.sha256(commitment).digest()[1:]:
            raise PrecompileFailure("the versioned hash is not that of the commitment")

        try:
            holds = ckzg.verify_kzg_proof(commitment, z, y, proof, trusted_setup())
        except RuntimeError:
            raise PrecompileFailure("z or y is not a field element, or the commitment or proof not a point") from None
        if not holds:
            raise PrecompileFailure("the proof does not hold")
        return OUTPUT


def trusted_setup() -> Any:
    """The outcome of Ethereum's KZG ceremony, as ckzg holds it. Loaded once, which takes about 2 s."""
    with _loading:
        return _load_trusted_setup()


@cache
def _load_trusted_setup() -> Any:
    with resources.as_file(resources.files(__package__) / "trusted_setup.txt") as file:
        return ckzg.load_trusted_setup(str(file), 0)
