"""ECRECOVER undoes signing."""

from __future__ import annotations

from collections.abc import Callable

from coincurve import PrivateKey
from Crypto.Hash import keccak
from hypothesis import given
from hypothesis import strategies as st
from vmloom.precompile import PurePrecompile
from vmloom_precompiles_classic.recover import CURVE_ORDER


@given(secret=st.integers(1, CURVE_ORDER - 1), message=st.binary(min_size=32, max_size=32))
def test_recovers_the_signers_address(precompile: Callable[[int], PurePrecompile], secret: int, message: bytes) -> None:
    key = PrivateKey.from_int(secret)
    signature = key.sign_recoverable(message, hasher=None)
    digest = keccak.new(data=key.public_key.format(compressed=False)[1:], digest_bits=256).digest()
    data = message + (27 + signature[64]).to_bytes(32, "big") + signature[:64]
    assert precompile(0x01).compute(data) == bytes(12) + digest[12:]
    assert precompile(0x01).compute(data + b"more") == bytes(12) + digest[12:]

    s = CURVE_ORDER - int.from_bytes(signature[32:64], "big")
    mirrored = message + (28 - signature[64]).to_bytes(32, "big") + signature[:32] + s.to_bytes(32, "big")
    assert precompile(0x01).compute(mirrored) == bytes(12) + digest[12:], "a high s is fine"


def test_scalars_out_of_range_give_nothing(precompile: Callable[[int], PurePrecompile]) -> None:
    one = (1).to_bytes(32, "big")
    for r, s in ((0, 1), (1, 0), (CURVE_ORDER, 1), (1, CURVE_ORDER), (2**256 - 1, 1)):
        data = one + (27).to_bytes(32, "big") + r.to_bytes(32, "big") + s.to_bytes(32, "big")
        assert precompile(0x01).compute(data) == b""
    assert precompile(0x01).gas_cost(b"") == 3000
