"""VERIFY_SIGNATURE, against coincurve and cryptography as signers, published vectors, and malformed input."""

from __future__ import annotations

from contextlib import suppress
from hashlib import sha256
from typing import Any

import pytest
from coincurve import PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from vmloom_prozvm.errors import MalformedSignature, TypeMismatch
from vmloom_prozvm.runtime.signatures import verify_signature
from vmloom_prozvm.values import Task, Value

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
"""Of secp256k1's group."""
PRIME = 2**255 - 19
MESSAGE = b"pay 5 to bob"
SECP256K1 = PrivateKey(sha256(b"alice").digest())
ED25519 = Ed25519PrivateKey.from_private_bytes(sha256(b"alice").digest())
ED25519_KEY = ED25519.public_key().public_bytes_raw()


def sign(message: bytes, key: PrivateKey = SECP256K1) -> bytes:
    r, s = decode_dss_signature(key.sign(message))
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


COMPRESSED, UNCOMPRESSED = SECP256K1.public_key.format(), SECP256K1.public_key.format(compressed=False)
SIGNED = [
    pytest.param(sign(MESSAGE), COMPRESSED, id="secp256k1, 33 bytes"),
    pytest.param(sign(MESSAGE), UNCOMPRESSED, id="secp256k1, 65 bytes"),
    pytest.param(ED25519.sign(MESSAGE), ED25519_KEY, id="ed25519"),
]


@pytest.mark.parametrize(("signature", "key"), SIGNED)
def test_a_signature_is_the_owners_of_this_message(signature: bytes, key: bytes) -> None:
    assert verify_signature(signature, MESSAGE, key) is True
    assert verify_signature(signature, MESSAGE + b"0", key) is False
    assert verify_signature(signature, b"", key) is False


@pytest.mark.parametrize(("signature", "key"), SIGNED)
def test_hex_and_text_are_read_as_bytes(signature: bytes, key: bytes) -> None:
    for text in (signature.hex(), signature.hex().upper(), "0x" + signature.hex()):
        assert verify_signature(text, MESSAGE.decode(), "0x" + key.hex()) is True
    assert verify_signature(signature.hex(), "pay 6 to bob", key.hex()) is False


@given(message=st.text(max_size=50), seed=st.binary(min_size=32, max_size=32).filter(lambda seed: any(seed)))
def test_what_coincurve_signs_is_true(message: str, seed: bytes) -> None:
    key = PrivateKey(sha256(seed).digest())
    for public in (key.public_key.format(), key.public_key.format(compressed=False)):
        assert verify_signature(sign(message.encode(), key), message, public) is True


@given(message=st.binary(max_size=50), seed=st.binary(min_size=32, max_size=32))
def test_what_cryptography_signs_is_true(message: bytes, seed: bytes) -> None:
    key = Ed25519PrivateKey.from_private_bytes(seed)
    assert verify_signature(key.sign(message), message, key.public_key().public_bytes_raw()) is True


@pytest.mark.parametrize(("signature", "key"), SIGNED)
@given(data=st.data())
def test_any_changed_bit_of_a_signature_is_false(signature: bytes, key: bytes, data: st.DataObject) -> None:
    bit = 1 << data.draw(st.integers(0, 511))
    changed = (int.from_bytes(signature, "big") ^ bit).to_bytes(64, "big")
    assert verify_signature(changed, MESSAGE, key) is False


@pytest.mark.parametrize(("signature", "key"), SIGNED)
@given(data=st.data())
def test_any_changed_bit_of_a_key_is_false_or_malformed(signature: bytes, key: bytes, data: st.DataObject) -> None:
    bit = 1 << data.draw(st.integers(0, 8 * len(key) - 1))
    changed = (int.from_bytes(key, "big") ^ bit).to_bytes(len(key), "big")
    with suppress(MalformedSignature):
        assert verify_signature(signature, MESSAGE, changed) is False


# RFC 8032, section 7.1: tests 1 to 3
RFC_8032 = [
    (
        "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a",
        "",
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe2465"
        "5141438e7a100b",
    ),
    (
        "3d4017c3e843895a92b70aa74d1b7ebc9c982ccf2ec4968cc0cd55f12af4660c",
        "72",
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb0"
        "0d291612bb0c00",
    ),
    (
        "fc51cd8e6218a1a38da47ed00230f0580816ed13ba3303ac5deb911548908025",
        "af82",
        "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28dc0"
        "27beceea1ec40a",
    ),
]


@pytest.mark.parametrize(("key", "message", "signature"), RFC_8032)
def test_the_vectors_of_rfc_8032(key: str, message: str, signature: str) -> None:
    assert verify_signature(signature, bytes.fromhex(message), key) is True


# What others could make of a signature


def test_a_high_s_is_false() -> None:
    signature = sign(MESSAGE)
    s = int.from_bytes(signature[32:], "big")
    assert s <= ORDER // 2
    assert verify_signature(signature[:32] + (ORDER - s).to_bytes(32, "big"), MESSAGE, COMPRESSED) is False


def test_an_ed25519_s_beyond_the_order_is_false() -> None:
    signature = ED25519.sign(MESSAGE)
    s = int.from_bytes(signature[32:], "little") + 2**252 + 27742317777372353535851937790883648493
    assert verify_signature(signature[:32] + s.to_bytes(32, "little"), MESSAGE, ED25519_KEY) is False


@pytest.mark.parametrize("r", [0, 1, ORDER - 1, ORDER, ORDER + 1, 2**256 - 1])
@pytest.mark.parametrize("s", [0, 1, ORDER // 2, ORDER, 2**256 - 1])
def test_scalars_out_of_range_are_false(r: int, s: int) -> None:
    assert verify_signature(r.to_bytes(32, "big") + s.to_bytes(32, "big"), MESSAGE, COMPRESSED) is False


# Malformed input

SIZES = [*range(70), 127, 128, 129, 130, 131, 1000, 100_000]


@pytest.mark.parametrize("size", [size for size in SIZES if size != 64])
@pytest.mark.parametrize("key", [COMPRESSED, ED25519_KEY], ids=["secp256k1", "ed25519"])
def test_signatures_of_other_sizes_are_malformed(size: int, key: bytes) -> None:
    for signature in (bytes(size), "00" * size):
        with pytest.raises(MalformedSignature, match="signature: "):
            verify_signature(signature, MESSAGE, key)


@pytest.mark.parametrize("size", [size for size in SIZES if size not in (32, 33, 65)])
def test_keys_of_other_sizes_are_malformed(size: int) -> None:
    for key in (b"\x02" * size, "02" * size):
        with pytest.raises(MalformedSignature, match="key: "):
            verify_signature(bytes(64), MESSAGE, key)


@pytest.mark.parametrize(
    "text", ["0", "0x0", "zz" * 64, "00 " * 40, " " + "00" * 64, "00" * 64 + "\n", "0X" + "00" * 64]
)
def test_what_is_not_hex_is_malformed(text: str) -> None:
    with pytest.raises(MalformedSignature, match="hex"):
        verify_signature(text, MESSAGE, COMPRESSED)
    with pytest.raises(MalformedSignature, match="hex"):
        verify_signature(sign(MESSAGE), MESSAGE, text)


def test_digits_of_other_scripts_are_not_hex() -> None:
    with pytest.raises(MalformedSignature, match="hex"):
        verify_signature("٠" * 128, MESSAGE, COMPRESSED)


@pytest.mark.parametrize("first", [first for first in range(256) if first not in (2, 3)])
def test_a_33_byte_key_begins_with_2_or_3(first: int) -> None:
    with pytest.raises(MalformedSignature, match=f"key: it begins with {first:02x}"):
        verify_signature(sign(MESSAGE), MESSAGE, bytes([first]) + COMPRESSED[1:])


@pytest.mark.parametrize("first", [first for first in range(256) if first != 4])
def test_a_65_byte_key_begins_with_4(first: int) -> None:
    with pytest.raises(MalformedSignature, match=f"key: it begins with {first:02x}"):
        verify_signature(sign(MESSAGE), MESSAGE, bytes([first]) + UNCOMPRESSED[1:])


@pytest.mark.parametrize(
    "key",
    [
        b"\x02" + bytes(32),  # 7 is no square
        b"\x02" + b"\xff" * 32,  # beyond the prime
        b"\x04" + bytes(64),
        UNCOMPRESSED[:-1] + bytes([UNCOMPRESSED[-1] ^ 1]),
    ],
)
def test_a_key_off_the_curve_is_malformed(key: bytes) -> None:
    with pytest.raises(MalformedSignature, match="key: it is no point of secp256k1"):
        verify_signature(sign(MESSAGE), MESSAGE, key)


def little(y: int, sign: int = 0) -> bytes:
    return (y | sign << 255).to_bytes(32, "little")


@pytest.mark.parametrize(
    "key",
    [
        little(2),  # no x has this y
        little(1, sign=1),  # x is 0, which has no sign
        little(PRIME - 1, sign=1),
        little(PRIME),
        little(PRIME + 1),  # a second encoding of 1
        little(2**255 - 1),
        little(2**255 - 1, sign=1),
    ],
)
def test_a_key_off_the_edwards_curve_is_malformed(key: bytes) -> None:
    with pytest.raises(MalformedSignature, match="key: it is no point of Ed25519"):
        verify_signature(ED25519.sign(MESSAGE), MESSAGE, key)


D = -121665 * pow(121666, -1, PRIME) % PRIME
Point = tuple[int, int]


def decoded(y: int, sign: int) -> Point | None:
    """The square root of RFC 8032, section 5.1.3, step by step."""
    u, v = (y * y - 1) % PRIME, (D * y * y + 1) % PRIME
    x = u * v**3 * pow(u * v**7, (PRIME - 5) // 8, PRIME) % PRIME
    if v * x * x % PRIME == -u % PRIME:
        x = x * pow(2, (PRIME - 1) // 4, PRIME) % PRIME
    if v * x * x % PRIME != u or (x == 0 and sign):
        return None
    return (x if x % 2 == sign else -x % PRIME), y


def added(a: Point, b: Point) -> Point:
    (x1, y1), (x2, y2) = a, b
    product = D * x1 * x2 * y1 * y2
    x = (x1 * y2 + x2 * y1) * pow(1 + product, -1, PRIME) % PRIME
    y = (y1 * y2 + x1 * x2) * pow(1 - product, -1, PRIME) % PRIME
    return x, y


def is_of_small_order(point: Point) -> bool:
    for _ in range(3):
        point = added(point, point)
    return point == (0, 1)


@given(st.integers(0, PRIME - 1), st.integers(0, 1))
def test_points_are_told_from_others_as_by_rfc_8032(y: int, sign: int) -> None:
    point = decoded(y, sign)
    if point is None or is_of_small_order(point):
        with pytest.raises(MalformedSignature):
            verify_signature(ED25519.sign(MESSAGE), MESSAGE, little(y, sign))
    else:
        assert verify_signature(ED25519.sign(MESSAGE), MESSAGE, little(y, sign)) is False


def test_keys_of_small_order_are_malformed() -> None:
    order = 2**252 + 27742317777372353535851937790883648493
    candidates = (decoded(y, 0) for y in range(2, 100))
    found: set[Point] = set()
    for point in filter(None, candidates):
        torsion: Point = (0, 1)  # `order` times the point: what is left has an order that divides 8
        for digit in f"{order:b}":
            torsion = added(torsion, torsion)
            torsion = added(torsion, point) if digit == "1" else torsion
        found.add(torsion)
    assert len(found) == 8
    for x, y in found:
        with pytest.raises(MalformedSignature, match="its order is small"):
            verify_signature(bytes(64), MESSAGE, little(y, x % 2))


@given(
    st.binary(max_size=70) | st.text(max_size=140), st.text(max_size=9), st.binary(max_size=70) | st.text(max_size=140)
)
def test_anything_else_is_false_or_malformed(signature: Any, message: str, key: Any) -> None:
    with suppress(MalformedSignature):
        assert verify_signature(signature, message, key) is False


@pytest.mark.parametrize("value", [None, True, 5, [b""], {}, Task(0)])
def test_other_kinds_of_values_are_a_mismatch(value: Value) -> None:
    with pytest.raises(TypeMismatch, match="the signature is bytes or hex"):
        verify_signature(value, MESSAGE, COMPRESSED)
    with pytest.raises(TypeMismatch, match="the message is bytes or a string"):
        verify_signature(sign(MESSAGE), value, COMPRESSED)
    with pytest.raises(TypeMismatch, match="the key is bytes or hex"):
        verify_signature(sign(MESSAGE), MESSAGE, value)
