"""The genesis files that `vmloom evm run --prestate` reads: a block, a state, and when the forks begin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmloom import Account, BlockContext, MemoryState
from vmloom.errors import InputError
from vmloom.hexadecimal import parse_hex, parse_number
from vmloom.json_text import read_json

from ..forks import FORKS, Fork

# Keys of `config`, in lower case
BLOCK_KEYS = {
    "homesteadblock": "homestead",
    "eip150block": "tangerine_whistle",
    "eip158block": "spurious_dragon",
    "byzantiumblock": "byzantium",
    "constantinopleblock": "constantinople",
    "petersburgblock": "petersburg",
    "istanbulblock": "istanbul",
    "berlinblock": "berlin",
    "londonblock": "london",
}
TIME_KEYS = {"shanghaitime": "shanghai", "cancuntime": "cancun", "praguetime": "prague", "osakatime": "osaka"}
INITIAL_BASE_FEE = 1_000_000_000
"""wei per gas; EIP-1559"""


@dataclass(frozen=True, slots=True)
class Genesis:
    """What a genesis file says. `gas_limit` is 0 if it names none; `fork` is None if it has no `config`."""

    state: MemoryState
    block: BlockContext
    gas_limit: int
    fork: Fork | None


def read_genesis(path: str) -> Genesis:
    """The genesis in the file. Raises `InputError` with file and key."""
    try:
        values = read_json(Path(path).read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    try:
        return _genesis(_object(values, "a genesis file"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def _genesis(values: Mapping[str, Any]) -> Genesis:
    number = _number(values, "number", bits=64)
    timestamp = _number(values, "timestamp", bits=64)
    gas_limit = _number(values, "gasLimit", bits=63)
    config = values.get("config")
    chain_id, fork = 1337, None
    if config is not None:
        config = {key.lower(): value for key, value in _object(config, "config").items()}  # Go does not mind the case
        chain_id = _number(config, "chainid", default=1)
        fork = _fork_of(config, number, timestamp)
    block = BlockContext(
        number=number,
        timestamp=timestamp,
        coinbase=parse_hex(_text(values, "coinbase"), "coinbase").rjust(20, b"\0")[-20:],
        gas_limit=gas_limit or BlockContext().gas_limit,
        base_fee=_number(values, "baseFeePerGas", default=INITIAL_BASE_FEE),
        difficulty=_number(values, "difficulty"),
        blob_base_fee=0,
        chain_id=chain_id,
    )
    return Genesis(_alloc(_object(values.get("alloc") or {}, "alloc")), block, gas_limit, fork)


def _fork_of(config: Mapping[str, Any], number: int, timestamp: int) -> Fork:
    """The last fork that has begun. Since London, geth's `evm run` is always after the merge."""
    name = "frontier"
    for key, fork in BLOCK_KEYS.items():
        if config.get(key) is not None and number >= _number(config, key):
            name = fork
    if name == "london":
        name = "paris"
        for key, fork in TIME_KEYS.items():
            if config.get(key) is not None and timestamp >= _number(config, key):
                name = fork
    return FORKS[name]


def _alloc(accounts: Mapping[str, Any]) -> MemoryState:
    found: dict[bytes, Account] = {}
    words: list[tuple[bytes, int, int]] = []
    for text, value in accounts.items():
        what = f"alloc {text}"
        address = parse_hex(text, what, size=20)
        fields = _object(value, what)
        found[address] = Account(
            nonce=_number(fields, "nonce", what, bits=64),
            balance=_number(fields, "balance", what),
            code=parse_hex(_text(fields, "code", what), f"{what}: code"),
        )
        storage = _object(fields.get("storage") or {}, f"{what}: storage")
        for slot, word in storage.items():
            words.append((address, _word(slot, f"{what}: slot"), _word(word, f"{what}: storage {slot}")))
    state = MemoryState(found)
    for address, slot_number, value_number in words:
        state.set_storage(address, slot_number, value_number)
    state.commit()
    state.begin_transaction()
    return state


def _word(text: Any, what: str) -> int:
    """A word of storage: hex, with or without 0x."""
    if not isinstance(text, str):
        raise InputError(f"{what}: must be text in hex")
    digits = text.strip().removeprefix("0x")
    return parse_number(f"0x{digits}" if digits else "0x0", what)


def _object(value: Any, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise InputError(f"{what}: must be an object, got {type(value).__name__}")
    return value


def _number(values: Mapping[str, Any], key: str, what: str = "", *, default: int = 0, bits: int = 256) -> int:
    value = values.get(key)
    return default if value in (None, "") else parse_number(value, f"{what}: {key}" if what else key, bits=bits)


def _text(values: Mapping[str, Any], key: str, what: str = "") -> str:
    value = values.get(key) or ""
    if not isinstance(value, str):
        raise InputError(f"{what}: {key}: must be text" if what else f"{key}: must be text")
    return value
