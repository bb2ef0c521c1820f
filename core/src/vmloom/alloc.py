"""Alloc files: a state as JSON, read strictly and written in one fixed form.

    {"0x...address": {"balance": 10, "nonce": "0x1", "code": "0x6001", "vm": "evm",
                      "storage": {"0x0": "0x2a"}, "records": {"0x6b": "0x76"}}}

Numbers are integers or text (decimal, or hex with `0x`); every field may be left out. What a reader cannot use is
an error with file, account and key, never ignored.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .errors import InputError, StateError
from .hexadecimal import parse_address, parse_hex, parse_number
from .json_text import NestedTooDeeply, read_json
from .state import Account, MemoryState
from .suggest import nearest

_FIELDS = ("balance", "nonce", "code", "vm", "storage", "records")


def load_alloc(path: str | os.PathLike[str]) -> MemoryState:
    """The state in the file `path`. Raises `StateError`."""
    name = os.fspath(path)
    try:
        text = Path(path).read_text("utf-8")
    except FileNotFoundError:
        raise StateError(f"{name}: no such file") from None
    except OSError as error:
        raise StateError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise StateError(f"{name}: byte {error.start}: not UTF-8") from None
    try:
        values = read_json(text, object_pairs_hook=_no_duplicates)
    except json.JSONDecodeError as error:
        raise StateError(f"{name}: line {error.lineno}, column {error.colno}: not JSON: {error.msg}") from None
    except NestedTooDeeply:
        raise StateError(f"{name}: nested too deeply") from None
    except ValueError as error:  # a key twice, or an integer of thousands of digits
        raise StateError(f"{name}: {str(error).partition(';')[0]}") from None
    return parse_alloc(values, name)


def parse_alloc(values: object, name: str = "alloc") -> MemoryState:
    """The state that the JSON value describes; `name` begins the messages of `StateError`."""
    if not isinstance(values, Mapping):
        raise StateError(f"{name}: must be an object of accounts by address, got {_kind(values)}")
    state = MemoryState()
    for text, fields in values.items():
        try:
            address = parse_address(text, "address")
            if state.account_exists(address):
                raise InputError("stands twice")
            _read_account(state, address, fields)
        except InputError as error:
            raise StateError(f"{name}: account {text}: {error}") from None
    state.commit()
    state.begin_transaction()  # what the file says was there when the transaction began
    return state


def dump_alloc(state: MemoryState) -> dict[str, dict[str, Any]]:
    """The state as a JSON-ready value: accounts by address, hex for balances and words; empty fields left out."""
    dumped: dict[str, dict[str, Any]] = {}
    for address, account in state.accounts():
        fields: dict[str, Any] = {
            "balance": f"{account.balance:#x}",
            "nonce": f"{account.nonce:#x}",
            "code": "0x" + account.code.hex(),
            "vm": account.vm,
            "storage": {f"{slot:#x}": f"{word:#x}" for slot, word in state.storage_of(address).items()},
            "records": {"0x" + key.hex(): "0x" + value.hex() for key, value in state.records_of(address).items()},
        }
        always = ("balance", "nonce")
        dumped["0x" + address.hex()] = {
            key: value for key, value in fields.items() if key in always or value not in ("", "0x", {})
        }
    return dumped


def save_alloc(path: str | os.PathLike[str], state: MemoryState) -> None:
    """Write the state to the file `path`, whole or not at all. Raises `StateError`."""
    target = Path(path)
    # Beside the target, so that replacing it is one step of one file system.
    part = target.with_name(f"{target.name}.{os.getpid()}.part")
    try:
        part.write_text(json.dumps(dump_alloc(state), indent=2) + "\n", "utf-8")
        part.replace(target)
    except OSError as error:
        raise StateError(f"{target}: {error.strerror}") from None
    finally:
        part.unlink(missing_ok=True)


def _read_account(state: MemoryState, address: bytes, fields: object) -> None:
    if not isinstance(fields, Mapping):
        raise InputError(f"must be an object, got {_kind(fields)}")
    for key in fields:
        if key not in _FIELDS:
            close = nearest(key, _FIELDS)
            raise InputError(f"{key}: unknown key" + (f" (did you mean `{close}`?)" if close else ""))
    account = Account(
        nonce=parse_number(fields.get("nonce", 0), "nonce", bits=64),
        balance=parse_number(fields.get("balance", 0), "balance"),
        code=parse_hex(_text(fields, "code"), "code"),
        vm=_text(fields, "vm"),
    )
    state.set_account(address, account)
    seen: set[int | bytes] = set()  # 0x1 and 1 are one slot: which of two words would be meant?
    for text, word in _table(fields, "storage").items():
        slot = parse_number(text, "storage slot")
        _once(slot, seen, f"storage {text}")
        state.set_storage(address, slot, parse_number(word, f"storage {text}"))
    for text, value in _table(fields, "records").items():
        if not isinstance(value, str):
            raise InputError(f"records {text}: must be hex text, got {_kind(value)}")
        key = parse_hex(text, "record key")
        _once(key, seen, f"records {text}")
        state.set_record(address, key, parse_hex(value, f"records {text}"))


def _once(key: int | bytes, seen: set[int | bytes], what: str) -> None:
    if key in seen:
        raise InputError(f"{what}: stands twice, in another spelling")
    seen.add(key)


def _text(fields: Mapping[str, object], key: str) -> str:
    value = fields.get(key, "")
    if not isinstance(value, str):
        raise InputError(f"{key}: must be text, got {_kind(value)}")
    return value


def _table(fields: Mapping[str, object], key: str) -> Mapping[str, object]:
    value = fields.get(key, {})
    if not isinstance(value, Mapping):
        raise InputError(f"{key}: must be an object, got {_kind(value)}")
    return value


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"key {next(key for key in keys if keys.count(key) > 1)!r} stands twice in one object")
    return values


def _kind(value: object) -> str:
    words = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return words.get(type(value), "a number")
