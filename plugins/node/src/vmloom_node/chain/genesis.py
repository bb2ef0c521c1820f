"""How a chain begins: geth's genesis files and our own, in TOML, as one description.

    chain_id = 31337                      # our TOML
    fork = "osaka"                        # from the beginning; or by block number up to paris, by time since shanghai:
    forks = { london = 0, paris = 10, shanghai = 1700000000 }
    gas_limit = 30000000
    timestamp = 0
    [alloc.0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266]
    balance = "10000000000000000000000"   # wei; a number, or text in decimal or hex
    code = "0x6001"                       # and nonce, vm, storage, records, as in alloc files

Files are untrusted: what cannot be used is an `InputError` with its key, never ignored.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any, Final

from vmloom import Account, MemoryState
from vmloom.alloc import parse_alloc
from vmloom.errors import InputError, StateError, UnknownRevision
from vmloom.hexadecimal import parse_hex, parse_number
from vmloom.json_text import read_json
from vmloom.suggest import nearest
from vmloom_evm.block.difficulty import BOMB_DELAYS
from vmloom_evm.block.requests import DEPOSIT_CONTRACT_ADDRESS
from vmloom_evm.block.withdrawals import withdrawals_root
from vmloom_evm.fees import INITIAL_BASE_FEE
from vmloom_evm.forks import FORKS, LATEST, Fork, fork_named

from .accounts import DEV_BALANCE
from .header import NO_REQUESTS_HASH, Header
from .system_contracts import system_contracts

DEV_CHAIN_ID: Final = 31337
DEV_GAS_LIMIT: Final = 30_000_000
MAX_CHAIN_ID: Final = (1 << 64) - 1
_BLOCK_FORKS: Final = tuple(FORKS)[: tuple(FORKS).index("paris") + 1]
"""Forks that begin with a block number; the others begin with a time."""

GETH_BLOCKS: Final = {
    "homesteadBlock": "homestead",
    "eip150Block": "tangerine_whistle",
    "eip155Block": "spurious_dragon",
    "eip158Block": "spurious_dragon",
    "byzantiumBlock": "byzantium",
    "constantinopleBlock": "constantinople",
    "petersburgBlock": "petersburg",
    "istanbulBlock": "istanbul",
    "berlinBlock": "berlin",
    "londonBlock": "london",
    "mergeNetsplitBlock": "paris",
}
GETH_GLACIERS: Final = {
    "muirGlacierBlock": "muir_glacier",
    "arrowGlacierBlock": "arrow_glacier",
    "grayGlacierBlock": "gray_glacier",
}
GETH_TIMES: Final = {f"{name.replace('_', '')}Time": name for name in FORKS if name not in _BLOCK_FORKS}


@dataclass(frozen=True)
class ForkSchedule:
    """When the forks of a chain begin.

    `blocks` and `timestamps` name forks by their first block number or UNIX second, in order; `glaciers` are further
    delays of the difficulty bomb by block. `amended` changes rules of single forks, such as blobs per block.
    """

    blocks: tuple[tuple[int, str], ...] = ((0, "paris"),)
    timestamps: tuple[tuple[int, str], ...] = ()
    glaciers: tuple[tuple[int, str], ...] = ()
    amended: Mapping[str, Mapping[str, int]] = field(default_factory=dict)

    @cached_property
    def _forks(self) -> dict[str, Fork]:
        return {
            name: fork.amend(name, rules=self.amended[name], extends=False) if name in self.amended else fork
            for name, fork in FORKS.items()
        }

    @cached_property
    def _last(self) -> tuple[int, int, Fork]:
        """From which block and which second on the last fork is that of every block."""
        number = max(start for start, _ in self.blocks)
        timestamp = max((start for start, _ in self.timestamps), default=0)
        return number, timestamp, self._forks[(self.timestamps or self.blocks)[-1][1]]

    def fork_at(self, number: int, timestamp: int) -> Fork:
        """The fork of the block with this number and time."""
        last_number, last_timestamp, last = self._last
        if number >= last_number and timestamp >= last_timestamp:
            return last
        found = self.blocks[0][1]
        for start, name in self.blocks:
            if number >= start:
                found = name
        if number >= self.blocks[-1][0]:
            for start, name in self.timestamps:
                if timestamp >= start:
                    found = name
        return self._forks[found]

    def bomb_delay(self, number: int) -> int:
        """Blocks by which the difficulty bomb is late at block `number`; for blocks before Paris."""
        name = self.fork_at(number, 0).name
        delay = BOMB_DELAYS.get(name, 0)
        for start, glacier in self.glaciers:
            if number >= start:
                delay = max(delay, BOMB_DELAYS[glacier])
        return delay


def schedule_of(fork: str) -> ForkSchedule:
    """One fork from the beginning. Raises `UnknownRevision`."""
    name = fork_named(fork).name
    if name in _BLOCK_FORKS:
        return ForkSchedule(((0, name),))
    return ForkSchedule(((0, "paris"),), ((0, name),))


@dataclass(frozen=True)
class Genesis:
    """The first block of a chain, its state, and its forks. Gas is in gas, fees are wei per gas, times UNIX seconds.

    `base_fee`, `excess_blob_gas` and `blob_gas_used` count where the first fork has them. `state` is not changed by
    those who use it.
    """

    chain_id: int = DEV_CHAIN_ID
    schedule: ForkSchedule = field(default_factory=lambda: schedule_of(LATEST.name))
    state: MemoryState = field(default_factory=MemoryState)
    number: int = 0
    timestamp: int = 0
    gas_limit: int = DEV_GAS_LIMIT
    difficulty: int = 0
    coinbase: bytes = bytes(20)
    extra_data: bytes = b""
    mix_hash: bytes = bytes(32)
    nonce: bytes = bytes(8)
    parent_hash: bytes = bytes(32)
    base_fee: int = INITIAL_BASE_FEE
    excess_blob_gas: int = 0
    blob_gas_used: int = 0
    parent_beacon_root: bytes = bytes(32)
    deposit_contract: bytes = DEPOSIT_CONTRACT_ADDRESS

    @property
    def fork(self) -> Fork:
        """The fork of the first block."""
        return self.schedule.fork_at(self.number, self.timestamp)

    def header(self, state_root: bytes) -> Header:
        """The first block's header, for the root of `state`."""
        rules = self.fork.rules
        return Header(
            parent_hash=self.parent_hash,
            coinbase=self.coinbase,
            state_root=state_root,
            difficulty=0 if rules.proof_of_stake else self.difficulty,
            number=self.number,
            gas_limit=self.gas_limit,
            timestamp=self.timestamp,
            extra_data=self.extra_data,
            mix_hash=self.mix_hash,
            nonce=self.nonce,
            base_fee=self.base_fee if rules.base_fee else None,
            withdrawals_root=withdrawals_root(()) if rules.withdrawals else None,
            blob_gas_used=self.blob_gas_used if rules.blobs else None,
            excess_blob_gas=self.excess_blob_gas if rules.blobs else None,
            parent_beacon_root=self.parent_beacon_root if rules.beacon_root_contract else None,
            requests_hash=NO_REQUESTS_HASH if rules.request_contracts else None,
        )

    def with_accounts(self, addresses: Sequence[bytes], balance: int = DEV_BALANCE) -> Genesis:
        """The same with `balance` wei for these accounts, beside what is there."""
        state = _copy(self.state)
        for address in addresses:
            state.set_balance(address, balance)
        return replace(self, state=_settled(state))

    def with_system_contracts(self) -> Genesis:
        """The same with the contracts that its forks call, where no account stands in their place."""
        state = _copy(self.state)
        names = [name for _, name in (*self.schedule.blocks, *self.schedule.timestamps)]
        for name in names:
            for address, code in system_contracts(FORKS[name].rules).items():
                if not state.account_exists(address):
                    state.set_account(address, Account(nonce=1, code=code))
        return replace(self, state=_settled(state))


def dev_genesis(
    addresses: Sequence[bytes] = (),
    *,
    balance: int = DEV_BALANCE,
    chain_id: int = DEV_CHAIN_ID,
    fork: str = LATEST.name,
    gas_limit: int = DEV_GAS_LIMIT,
    timestamp: int = 0,
    base_fee: int = INITIAL_BASE_FEE,
) -> Genesis:
    """A chain for development: one fork, `balance` wei for each account, the system contracts. See `Genesis`."""
    genesis = Genesis(
        chain_id=chain_id,
        schedule=schedule_of(fork),
        gas_limit=gas_limit,
        timestamp=timestamp,
        base_fee=base_fee,
        difficulty=131_072,
    )
    return genesis.with_accounts(addresses, balance).with_system_contracts()


def _copy(state: MemoryState) -> MemoryState:
    """A state of its own with the same accounts, words and records."""
    copy = MemoryState(dict(state.accounts()))
    for address, _ in state.accounts():
        for slot, word in state.storage_of(address).items():
            copy.set_storage(address, slot, word)
        for key, value in state.records_of(address).items():
            copy.set_record(address, key, value)
    return copy


def _settled(state: MemoryState) -> MemoryState:
    state.commit()
    state.begin_transaction()
    return state


# Files


def load_genesis(path: str | Path) -> Genesis:
    """The genesis in a file: TOML if its name ends so, else geth's JSON. Raises `InputError` with file and key."""
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    try:
        if Path(path).suffix == ".toml":
            return parse_toml_genesis(tomllib.loads(data.decode()))
        return parse_geth_genesis(read_json(data))
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError, JSONDecodeError and TOMLDecodeError are such
        raise InputError(f"{path}: cannot be read: {error}") from None
    except (InputError, StateError, UnknownRevision) as error:
        raise InputError(f"{path}: {error}") from None


_TOML_KEYS: Final = (
    *("chain_id", "fork", "forks", "timestamp", "gas_limit", "difficulty", "coinbase", "extra_data", "mix_hash"),
    *("nonce", "base_fee", "excess_blob_gas", "blob_gas_used", "parent_beacon_root", "deposit_contract"),
    *("system_contracts", "alloc"),
)


def parse_toml_genesis(values: Mapping[str, Any]) -> Genesis:
    """The genesis of our TOML; see the module. Raises `InputError`, `StateError` and `UnknownRevision`."""
    for key in values:
        if key not in _TOML_KEYS:
            close = nearest(key, _TOML_KEYS)
            raise InputError(f"{key}: unknown key" + (f" (did you mean `{close}`?)" if close else ""))
    if "fork" in values and "forks" in values:
        raise InputError("fork: not together with `forks`")
    reader = _Reader(values)
    genesis = Genesis(
        chain_id=reader.chain_id("chain_id"),
        schedule=_toml_schedule(values["forks"])
        if "forks" in values
        else schedule_of(reader.text("fork", LATEST.name)),
        state=parse_alloc(values.get("alloc", {}), "alloc"),
        **reader.block_fields(
            {name: name for name in _BLOCK_FIELDS if name not in ("number", "parent_hash")}, gas_limit=DEV_GAS_LIMIT
        ),
    )
    wanted = values.get("system_contracts", True)
    if not isinstance(wanted, bool):
        raise InputError("system_contracts: must be true or false")
    return genesis.with_system_contracts() if wanted else genesis


def _toml_schedule(values: object) -> ForkSchedule:
    if not isinstance(values, Mapping) or not values:
        raise InputError("forks: must be a table of forks with their first block number or time")
    starts = {fork_named(name).name: parse_number(start, f"forks.{name}", bits=64) for name, start in values.items()}
    return _schedule(starts, {}, {})


def _schedule(
    starts: Mapping[str, int], glaciers: Mapping[str, int], amended: Mapping[str, Mapping[str, int]]
) -> ForkSchedule:
    """The forks in their order. Raises `InputError` for one that would begin before the one that it builds on."""
    blocks, timestamps = [], []
    last = 0
    for name in _BLOCK_FORKS:
        if name in starts:
            if starts[name] < last:
                raise InputError(
                    f"fork {name} begins at block {starts[name]}, before the fork that it follows ({last})"
                )
            last = starts[name]
            blocks.append((last, name))
    last = 0
    for name in FORKS:
        if name in starts and name not in _BLOCK_FORKS:
            if starts[name] < last:
                raise InputError(f"fork {name} begins at time {starts[name]}, before the fork that it follows ({last})")
            last = starts[name]
            timestamps.append((last, name))
    if not blocks or blocks[0][0] > 0:
        # All that begins later follows what the network began with.
        blocks.insert(0, (0, "paris" if timestamps and not blocks else "frontier"))
    if timestamps and blocks[-1][1] != "paris":
        blocks.append((blocks[-1][0], "paris"))
    return ForkSchedule(
        tuple(blocks), tuple(timestamps), tuple(sorted((start, name) for name, start in glaciers.items())), amended
    )


_GETH_FIELDS: Final = {
    "number": "number",
    "timestamp": "timestamp",
    "gasLimit": "gas_limit",
    "difficulty": "difficulty",
    "coinbase": "coinbase",
    "extraData": "extra_data",
    "mixHash": "mix_hash",
    "nonce": "nonce",
    "parentHash": "parent_hash",
    "baseFeePerGas": "base_fee",
    "excessBlobGas": "excess_blob_gas",
    "blobGasUsed": "blob_gas_used",
    "parentBeaconBlockRoot": "parent_beacon_root",
}


def parse_geth_genesis(values: object) -> Genesis:
    """The genesis of geth's JSON, with `config` and `alloc`. Raises `InputError`, `StateError`.

    Keys of `config` that decide nothing here (`ethash`, `clique`, the DAO fork) are let pass, as geth does.
    """
    if not isinstance(values, Mapping):
        raise InputError("a genesis file is a JSON object")
    config = values.get("config")
    if not isinstance(config, Mapping):
        raise InputError("config: missing; it names chain id and forks")
    reader = _Reader(values)
    alloc = values.get("alloc", {})
    if not isinstance(alloc, Mapping):
        raise InputError("alloc: must be an object of accounts by address")
    return Genesis(
        chain_id=_Reader(config, "config.").chain_id("chainId", 1),
        schedule=_geth_schedule(config),
        state=parse_alloc({address: _without_comments(account) for address, account in alloc.items()}, "alloc"),
        deposit_contract=_Reader(config, "config.").data("depositContractAddress", 20, DEPOSIT_CONTRACT_ADDRESS),
        **reader.block_fields(_GETH_FIELDS, gas_limit=4_712_388),
    )


def _without_comments(account: object) -> object:
    """The fields that are known; files have comments and secret keys of test accounts beside them."""
    known = ("balance", "nonce", "code", "vm", "storage", "records")
    return {key: value for key, value in account.items() if key in known} if isinstance(account, Mapping) else account


def _geth_schedule(config: Mapping[str, Any]) -> ForkSchedule:
    reader = _Reader(config, "config.")
    starts: dict[str, int] = {"frontier": 0}
    for key, name in {**GETH_BLOCKS, **GETH_TIMES}.items():
        if config.get(key) is not None:
            starts[name] = reader.number(key, bits=64)
    if "paris" not in starts:
        difficulty = config.get("terminalTotalDifficulty")
        if config.get("terminalTotalDifficultyPassed") is True or difficulty in (0, "0", "0x0"):
            starts["paris"] = max(starts.get(name, 0) for name in _BLOCK_FORKS)
    later = [name for name in starts if name in _BLOCK_FORKS and starts[name] > starts.get("paris", 1 << 64)]
    if later:
        raise InputError(f"config: fork {later[0]} begins after the merge, which it comes before")
    glaciers = {name: reader.number(key, bits=64) for key, name in GETH_GLACIERS.items() if config.get(key) is not None}
    return _schedule(starts, glaciers, _blob_schedule(config.get("blobSchedule")))


_BLOB_RULES: Final = {"target": "blob_target", "max": "blob_limit", "baseFeeUpdateFraction": "blob_fee_fraction"}


def _blob_schedule(values: object) -> dict[str, dict[str, int]]:
    """EIP-7840"""
    if values is None:
        return {}
    if not isinstance(values, Mapping):
        raise InputError("config.blobSchedule: must be an object of forks")
    amended: dict[str, dict[str, int]] = {}
    for fork, table in values.items():
        if fork not in FORKS:
            raise InputError(f"config.blobSchedule.{fork}: unknown fork")
        if not isinstance(table, Mapping):
            raise InputError(f"config.blobSchedule.{fork}: must be an object")
        reader = _Reader(table, f"config.blobSchedule.{fork}.")
        amended[fork] = {rule: reader.number(key, bits=32) for key, rule in _BLOB_RULES.items() if key in table}
    return amended


_BLOCK_FIELDS: Final[Mapping[str, int | tuple[int, int]]] = {
    # bits of a number, or the least and most bytes of data
    "number": 64,
    "timestamp": 64,
    "gas_limit": 63,
    "difficulty": 256,
    "base_fee": 256,
    "excess_blob_gas": 64,
    "blob_gas_used": 64,
    "coinbase": (20, 20),
    "extra_data": (0, 1 << 16),
    "mix_hash": (32, 32),
    "parent_hash": (32, 32),
    "nonce": (8, 8),
    "parent_beacon_root": (32, 32),
}
_OTHER_KEY: Final = {"extraData": "extradata", "coinbase": "author", "mixHash": "mixhash"}
"""Spellings that files have as well."""


@dataclass(frozen=True, slots=True)
class _Reader:
    """Fields of a file, with the place for messages."""

    values: Mapping[str, Any]
    place: str = ""

    def block_fields(self, keys: Mapping[str, str], *, gas_limit: int) -> dict[str, Any]:
        """Those of the header that the file has, by the names of `Genesis`."""
        found: dict[str, Any] = {"gas_limit": gas_limit}
        for key, name in keys.items():
            spelled = key if key in self.values else _OTHER_KEY.get(key, key)
            if self.values.get(spelled) is None:
                continue
            form = _BLOCK_FIELDS.get(name, (20, 20))
            found[name] = self.number(spelled, bits=form) if isinstance(form, int) else self._data_of(spelled, form)
        return found

    def _data_of(self, key: str, form: tuple[int, int]) -> bytes:
        least, most = form
        value = self.values[key]
        if isinstance(value, int) and not isinstance(value, bool) and least == most == 8:
            value = f"{value:#018x}"
        data = parse_hex(self.text(key, "") if not isinstance(value, str) else value, self.place + key)
        if least == most and len(data) < least and least == 8:  # geth writes the nonce as a number
            data = data.rjust(least, b"\0")
        if not least <= len(data) <= most:
            raise InputError(f"{self.place}{key}: {len(data)} bytes, there must be {least if least == most else most}")
        return data

    def data(self, key: str, size: int, default: bytes) -> bytes:
        return self._data_of(key, (size, size)) if self.values.get(key) is not None else default

    def number(self, key: str, *, bits: int) -> int:
        return parse_number(self.values[key], self.place + key, bits=bits)

    def chain_id(self, key: str, default: int = DEV_CHAIN_ID) -> int:
        return parse_number(self.values.get(key, default), self.place + key, bits=64)

    def text(self, key: str, default: str) -> str:
        value = self.values.get(key, default)
        if not isinstance(value, str):
            raise InputError(f"{self.place}{key}: must be text, got {type(value).__name__}")
        return value
