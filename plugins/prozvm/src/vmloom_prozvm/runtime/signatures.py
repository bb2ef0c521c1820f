"""What VERIFY_SIGNATURE computes. The size of the key tells which kind of signature it is.

| Key | Signature |
|---|---|
| 33 bytes (02 or 03, x) or 65 (04, x, y) | ECDSA on secp256k1 of the message's SHA-256: r, s, 32 bytes each |
| 32 bytes | Ed25519 (RFC 8032) of the message itself: R, s, 32 bytes each |

Everybody must come to the same answer, so what libraries disagree on is decided here: a point has one encoding per
form, and a signature that anybody could turn into another valid one (an s that is not the low one) is false.
"""

from __future__ import annotations

import re
from typing import Final

from coincurve import PublicKey
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from ..errors import MalformedSignature, TypeMismatch
from ..values import Value

SIGNATURE_SIZE: Final = 64
"""bytes"""
SECP256K1_PREFIXES: Final = {33: (2, 3), 65: (4,)}
"""First bytes of a key, by its size in bytes. What has both coordinates and a parity (06, 07) is not among them."""
ED25519_KEY_SIZE: Final = 32
"""bytes"""

_ED25519_PRIME: Final = 2**255 - 19
_ED25519_D: Final = -121665 * pow(121666, -1, _ED25519_PRIME) % _ED25519_PRIME
_HEX: Final = re.compile(r"(?:0x)?((?:[0-9a-fA-F]{2})*)", re.ASCII)
_LONGEST_HEX: Final = 2 + 2 * 65
"""Characters of the longest key, with 0x."""


def verify_signature(signature: Value, message: Value, key: Value) -> bool:
    """VERIFY_SIGNATURE: whether the owner of `key` signed `message`, which is bytes or a string (its UTF-8).

    `signature` and `key` are bytes or hex digits, with 0x or without. Raises `MalformedSignature` for hex that is
    none, for a size that none of the kinds has, and for a key that is no point of its curve or one of small order;
    `TypeMismatch` for other values.
    """
    signature_bytes, key_bytes = _read("signature", signature), _read("key", key)
    if type(message) is str:
        text = message.encode()
    elif type(message) is bytes:
        text = message
    else:
        raise TypeMismatch(f"VERIFY_SIGNATURE: the message is bytes or a string, not {type(message).__name__}")
    if len(signature_bytes) != SIGNATURE_SIZE:
        raise MalformedSignature(f"signature: {len(signature_bytes)} bytes; it has {SIGNATURE_SIZE}")
    if len(key_bytes) == ED25519_KEY_SIZE:
        return _verify_ed25519(signature_bytes, text, key_bytes)
    return _verify_secp256k1(signature_bytes, text, key_bytes)


def _verify_secp256k1(signature: bytes, message: bytes, key: bytes) -> bool:
    prefixes = SECP256K1_PREFIXES.get(len(key))
    if prefixes is None:
        raise MalformedSignature(f"key: {len(key)} bytes; a key has 33 or 65 (secp256k1) or 32 (Ed25519)")
    if key[0] not in prefixes:
        raise MalformedSignature(f"key: it begins with {key[0]:02x}; one of {len(key)} bytes cannot")
    try:
        point = PublicKey(key)
    except ValueError:
        raise MalformedSignature("key: it is no point of secp256k1") from None
    r, s = int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
    # libsecp256k1 finds r and s out of range, and a high s, false by itself.
    return point.verify(encode_dss_signature(r, s), message)


def _verify_ed25519(signature: bytes, message: bytes, key: bytes) -> bool:
    fault = _ed25519_fault(key)
    if fault:
        raise MalformedSignature(f"key: {fault}")
    try:
        Ed25519PublicKey.from_public_bytes(key).verify(signature, message)
    except InvalidSignature:
        return False
    return True


def _ed25519_fault(key: bytes) -> str:
    """What is wrong with `key` by RFC 8032, section 5.1.3, and that its order is small; empty if nothing.

    Libraries differ on both, and call a signature false where the key is at fault.
    """
    encoded = int.from_bytes(key, "little")
    y, sign = encoded & (2**255 - 1), encoded >> 255
    if y >= _ED25519_PRIME:
        return "it is no point of Ed25519"
    y2 = y * y
    # x^2 = (y^2 - 1) / (d y^2 + 1): a point if that is 0 or a square (Euler's criterion); 0 has no sign.
    x2 = (y2 - 1) * pow(_ED25519_D * y2 + 1, -1, _ED25519_PRIME) % _ED25519_PRIME
    is_point = not sign if x2 == 0 else pow(x2, (_ED25519_PRIME - 1) // 2, _ED25519_PRIME) == 1
    if not is_point:
        return "it is no point of Ed25519"
    # Twice a point of order 8 has y = 0, twice that has x = 0, and so has a point of order 2 or 1.
    if y * (y2 - 1) * (_ED25519_D * y2 * y2 + 2 * y2 - 1) % _ED25519_PRIME == 0:
        return "its order is small, so that anybody can sign for it"
    return ""


def _read(what: str, value: Value) -> bytes:
    if type(value) is bytes:
        return value
    if type(value) is not str:
        raise TypeMismatch(f"VERIFY_SIGNATURE: the {what} is bytes or hex, not {type(value).__name__}")
    if len(value) > _LONGEST_HEX:
        raise MalformedSignature(f"{what}: {len(value)} characters, longer than any")
    digits = _HEX.fullmatch(value)
    if digits is None:
        raise MalformedSignature(f"{what}: it is not hex")
    return bytes.fromhex(digits[1])
