"""A state as geth's tools print it."""

from __future__ import annotations

import json
from typing import Any

from vmloom import MemoryState
from vmloom.hashing import keccak256

from .commitment import state_root, storage_root


def checksum_address(address: bytes) -> str:
    """The address with the capitals that EIP-55 makes a checksum of."""
    digits = address.hex()
    digest = keccak256(digits.encode()).hex()
    return "0x" + "".join(
        digit.upper() if int(mark, 16) >= 8 else digit for digit, mark in zip(digits, digest, strict=False)
    )


def dump_state(state: MemoryState) -> dict[str, Any]:
    """JSON-ready: root and accounts by address, in the fields and forms of geth's `--dump`."""
    accounts = {}
    for address, account in state.accounts():
        words = state.storage_of(address)
        fields: dict[str, Any] = {
            "balance": str(account.balance),
            "nonce": account.nonce,
            "root": "0x" + storage_root(words).hex(),
            "codeHash": "0x" + keccak256(account.code).hex(),
        }
        if account.code:
            fields["code"] = "0x" + account.code.hex()
        if words:
            fields["storage"] = {
                f"{slot:#066x}": word.to_bytes((word.bit_length() + 7) // 8, "big").hex()
                for slot, word in words.items()
            }
        fields["address"] = "0x" + address.hex()
        fields["key"] = "0x" + keccak256(address).hex()
        accounts[checksum_address(address)] = fields
    return {"root": state_root(state).hex(), "accounts": dict(sorted(accounts.items()))}


def go_json(value: Any, indent: int | None = None) -> str:
    """JSON as Go writes it: the characters that HTML minds are escaped, all others are themselves."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text
