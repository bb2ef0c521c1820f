"""What wallets sign beside transactions: messages (EIP-191) and typed data (EIP-712).

Typed data come from outside, types and all; whatever is wrong with them is an `InputError` that names the place.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from coincurve import PrivateKey
from vmloom.errors import InputError
from vmloom.hashing import keccak256
from vmloom.hexadecimal import parse_number

from .parameters import list_of, read_data, read_flag, read_object, read_text, shown, sized_data

DOMAIN: Final = "EIP712Domain"
_DOMAIN_FIELDS: Final = (
    ("name", "string"),
    ("version", "string"),
    ("chainId", "uint256"),
    ("verifyingContract", "address"),
    ("salt", "bytes32"),
)
"""What a domain may have, in its order, for data that do not declare its type."""
_ARRAY: Final = re.compile(r"(.+)\[([0-9]{0,9})\]", re.ASCII)
_NUMBER: Final = re.compile(r"(u?)int([0-9]{1,3})", re.ASCII)
_FIXED_BYTES: Final = re.compile(r"bytes([0-9]{1,2})", re.ASCII)
_address: Final = sized_data(20, "an address")

Types = Mapping[str, Sequence[tuple[str, str]]]
"""Of a struct its fields: name and type."""


def signature_of(digest: bytes, private_key: bytes) -> bytes:
    """The 65-byte signature r, s, v of a 32-byte digest; v is 27 or 28. Deterministic (RFC 6979), s is low."""
    signed = PrivateKey(private_key).sign_recoverable(digest, hasher=None)
    return signed[:64] + bytes([signed[64] + 27])


def message_digest(message: bytes) -> bytes:
    """What is signed of a message, 32 bytes. EIP-191, version 0x45"""
    return keccak256(b"\x19Ethereum Signed Message:\n" + str(len(message)).encode() + message)


def typed_data_digest(data: Mapping[str, Any]) -> bytes:
    """What is signed of typed data (`types`, `primaryType`, `domain`, `message`), 32 bytes. EIP-712

    Raises `InputError`.
    """
    domain = read_object(data.get("domain"), "domain")
    types = _read_types(data.get("types"), domain)
    primary = read_text(data.get("primaryType"), "primaryType")
    parts = b"\x19\x01" + _hash_struct(DOMAIN, domain, types, "domain")
    if primary != DOMAIN:
        parts += _hash_struct(primary, read_object(data.get("message"), "message"), types, "message")
    return keccak256(parts)


def _read_types(value: Any, domain: Mapping[str, Any]) -> Types:
    types: dict[str, list[tuple[str, str]]] = {}
    for name, fields in read_object(value, "types").items():
        place = f"types.{name[:40]}"
        types[name] = [
            (read_text(field.get("name"), f"{place}.name"), read_text(field.get("type"), f"{place}.type"))
            for field in list_of(read_object)(fields, place)
        ]
    types.setdefault(DOMAIN, [(name, kind) for name, kind in _DOMAIN_FIELDS if name in domain])
    return types


def _hash_struct(name: str, value: Mapping[str, Any], types: Types, place: str) -> bytes:
    if name not in types:
        raise InputError(f"{place}: type {shown(name)} is not declared")
    parts = [keccak256(_encode_type(name, types).encode())]
    for field, kind in types[name]:
        where = f"{place}.{field}"
        if value.get(field) is None:
            raise InputError(f"{where}: missing")
        parts.append(_encode(kind, value[field], types, where))
    return keccak256(b"".join(parts))


def _encode_type(name: str, types: Types) -> str:
    """The struct's declaration, and behind it those that it needs, by name."""
    found: set[str] = set()
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one in types and one not in found:
            found.add(one)
            waiting += [kind.partition("[")[0] for _, kind in types[one]]
    ordered = [name, *sorted(found - {name})]
    return "".join(f"{one}({','.join(f'{kind} {field}' for field, kind in types[one])})" for one in ordered)


def _encode(kind: str, value: Any, types: Types, place: str) -> bytes:
    """A value as 32 bytes."""
    array = _ARRAY.fullmatch(kind)
    if array is not None:
        return _encode_array(array[1], array[2], value, types, place)
    if kind in types:
        return _hash_struct(kind, read_object(value, place), types, place)
    if kind == "string":
        return keccak256(read_text(value, place).encode("utf-8", "surrogatepass"))
    if kind == "bytes":
        return keccak256(read_data(value, place))
    if kind == "bool":
        return read_flag(value, place).to_bytes(32, "big")
    if kind == "address":
        address: bytes = _address(value, place)
        return address.rjust(32, b"\0")
    return _encode_sized(kind, value, place)


def _encode_array(element: str, size: str, value: Any, types: Types, place: str) -> bytes:
    if not isinstance(value, list):
        raise InputError(f"{place}: must be a list")
    if size and len(value) != int(size):
        raise InputError(f"{place}: {len(value)} elements, not {size}")
    return keccak256(b"".join(_encode(element, one, types, f"{place}[{i}]") for i, one in enumerate(value)))


def _encode_sized(kind: str, value: Any, place: str) -> bytes:
    """A number or bytes of a fixed size."""
    number, fixed = _NUMBER.fullmatch(kind), _FIXED_BYTES.fullmatch(kind)
    if number is not None and 8 <= int(number[2]) <= 256 and not int(number[2]) % 8:
        return _encode_number(value, place, int(number[2]), is_signed=not number[1])
    if fixed is not None and 1 <= int(fixed[1]) <= 32:
        data: bytes = sized_data(int(fixed[1]), kind)(value, place)
        return data.ljust(32, b"\0")
    raise InputError(f"{place}: type {shown(kind)} is not declared")


def _encode_number(value: Any, place: str, bits: int, *, is_signed: bool) -> bytes:
    is_negative = is_signed and str(value)[:1] == "-" and isinstance(value, str | int)
    size = parse_number(str(value)[1:] if is_negative else value, place, bits=bits)
    if is_signed and size > (1 << (bits - 1)) - (not is_negative):
        raise InputError(f"{place}: does not fit int{bits}")
    return (-size if is_negative else size).to_bytes(32, "big", signed=is_negative)
