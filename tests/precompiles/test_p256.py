"""P256VERIFY of signatures made here, and of what is none."""

from __future__ import annotations

from collections.abc import Callable

from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import Prehashed, decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom.precompile import PurePrecompile
from vmloom_precompiles_p256.verify import CURVE_ORDER, FIELD_PRIME, VALID

Find = Callable[[int], PurePrecompile]


def words(*numbers: int) -> bytes:
    return b"".join(number.to_bytes(32, "big") for number in numbers)


def signed(secret: int, digest: bytes) -> tuple[int, int, int, int]:
    """r, s, x and y of a signature."""
    key = ec.derive_private_key(secret, ec.SECP256R1())
    r, s = decode_dss_signature(key.sign(digest, ec.ECDSA(Prehashed(SHA256()))))
    public = key.public_key().public_numbers()
    return r, s, public.x, public.y


@settings(max_examples=40)
@given(secret=st.integers(1, CURVE_ORDER - 1), digest=st.integers(1, CURVE_ORDER - 1).map(words))
def test_signature_is_valid_and_another_is_not(precompile: Find, secret: int, digest: bytes) -> None:
    r, s, x, y = signed(secret, digest)
    verify = precompile(0x100).compute
    assert verify(digest + words(r, s, x, y)) == VALID
    assert verify(digest + words(r, CURVE_ORDER - s, x, y)) == VALID
    assert verify(digest + words(r, s, x, FIELD_PRIME - y)) == b""
    assert verify(bytes([digest[0] ^ 1]) + digest[1:] + words(r, s, x, y)) == b""
    assert verify(digest + words(r, s % (CURVE_ORDER - 1) + 1, x, y)) == b""


def test_numbers_out_of_range_are_invalid(precompile: Find) -> None:
    digest = bytes(32)
    r, s, x, y = signed(1, digest)
    verify = precompile(0x100).compute
    assert verify(digest + words(r, s, x, y)) == VALID
    for numbers in (
        (0, s, x, y),
        (r, 0, x, y),
        (CURVE_ORDER, s, x, y),
        (r, CURVE_ORDER, x, y),
        (r, s, x, 2**256 - 1),
        (r, s, FIELD_PRIME, y),
        (r, s, 0, 0),
        (r, s, x, y ^ 1),
    ):
        assert verify(digest + words(*numbers)) == b""


def test_any_other_size_is_invalid(precompile: Find) -> None:
    digest = bytes(32)
    data = digest + words(*signed(1, digest))
    for wrong in (b"", data[:-1], data + b"\0"):
        assert precompile(0x100).compute(wrong) == b""
        assert precompile(0x100).gas_cost(wrong) == 6900
