"""Parameters that are objects: transactions that are asked for, blocks, searches for logs, overrides, ways of tracing.

Fields that nobody knows are passed over, as geth does: clients send some of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Final, TypeAlias, get_args

from vmloom.errors import InputError
from vmloom_evm.block import Withdrawal
from vmloom_evm.overrides import AccountOverride
from vmloom_evm.transaction.types import AccessListEntry, Authorization, Signature, TransactionType

from ..chain.calls import NO_OVERRIDE, BlockOverride
from ..chain.logs import MAX_TOPICS, LogQuery, log_query
from ..chain.requests import BlockRef, BlockTag, TransactionRequest
from ..chain.simulation import BlockOfCalls
from .parameters import (
    Shape,
    field_of,
    kind_of,
    list_of,
    one_of,
    quantity,
    read_data,
    read_flag,
    read_object,
    read_short_number,
    read_text,
    read_word,
    shown,
    sized_data,
)

_address: Final = sized_data(20, "an address")
_hash: Final = sized_data(32, "a hash")
_u64: Final = quantity(64)
_u256: Final = quantity(256)

TAGS: Final[tuple[BlockTag, ...]] = get_args(BlockTag)


def read_block(value: Any, place: str) -> BlockRef:
    """A number, a tag, or an object with `blockNumber` or `blockHash` (EIP-1898)."""
    if isinstance(value, dict):
        return _read_block_object(value, place)
    if isinstance(value, str) and len(value) == 66:
        digest = _hash(value, place)
        assert isinstance(digest, bytes)
        return digest
    return read_block_number(value, place)


def _read_block_object(value: Mapping[str, Any], place: str) -> BlockRef:
    number = field_of(value, "blockNumber", read_block_number, place)
    digest = field_of(value, "blockHash", _hash, place)
    field_of(value, "requireCanonical", read_flag, place)  # every block that is kept is canonical
    if (number is None) == (digest is None):
        raise InputError(f"{place}: specify either blockHash or blockNumber")
    found: BlockRef = digest if number is None else number
    return found


def read_block_number(value: Any, place: str) -> int | BlockTag:
    """A number or a tag."""
    tag = next((tag for tag in TAGS if tag == value), None)
    if tag is not None:
        return tag
    if not isinstance(value, str) or value[:2] not in ("0x", "0X"):
        raise InputError(
            f"{place}: must be a block number such as 0x1, or one of {', '.join(TAGS)}; got {shown(value)}"
        )
    number: int = _u64(value, place)
    return number


# Transactions


def _read_access(value: Any, place: str) -> AccessListEntry:
    entry = read_object(value, place)
    address = field_of(entry, "address", _address, place)
    if address is None:
        raise InputError(f"{place}.address: missing")
    return AccessListEntry(address, tuple(field_of(entry, "storageKeys", list_of(read_word), place) or ()))


def _read_authorization(value: Any, place: str) -> Authorization:
    entry = read_object(value, place)

    def need(name: str, bits: int) -> int:
        found = field_of(entry, name, quantity(bits), place)
        if found is None:
            raise InputError(f"{place}.{name}: missing")
        number: int = found
        return number

    address = field_of(entry, "address", _address, place)
    if address is None:
        raise InputError(f"{place}.address: missing")
    parity = "yParity" if entry.get("yParity") is not None else "v"
    return Authorization(
        need("chainId", 256), address, need("nonce", 64), Signature(need(parity, 8), need("r", 256), need("s", 256))
    )


def _read_type(value: Any, place: str) -> TransactionType:
    number = _u64(value, place)
    try:
        return TransactionType(number)
    except ValueError:
        raise InputError(f"{place}: transaction type not supported: {number}") from None


_REQUEST_FIELDS: Final[Mapping[str, tuple[str, Any]]] = {
    "from": ("sender", _address),
    "to": ("to", _address),
    "value": ("value", _u256),
    "nonce": ("nonce", _u64),
    "gas": ("gas_limit", _u64),
    "gasPrice": ("gas_price", _u256),
    "maxFeePerGas": ("max_fee_per_gas", _u256),
    "maxPriorityFeePerGas": ("max_priority_fee_per_gas", _u256),
    "chainId": ("chain_id", _u256),
    "type": ("type", _read_type),
    "vm": ("vm", read_text),
    "maxFeePerBlobGas": ("max_fee_per_blob_gas", _u256),
}
_REQUEST_LISTS: Final[Mapping[str, tuple[str, Any]]] = {
    "accessList": ("access_list", list_of(_read_access)),
    "blobVersionedHashes": ("blob_hashes", list_of(_hash)),
    "authorizationList": ("authorizations", list_of(_read_authorization)),
}


def read_request(value: Any, place: str) -> TransactionRequest:
    """A transaction that is asked for. `input` is the newer name of `data`; both must agree."""
    given = read_object(value, place)
    fields: dict[str, Any] = {}
    for name, (attribute, read) in _REQUEST_FIELDS.items():
        found = field_of(given, name, read, place)
        if found is not None:
            fields[attribute] = found
    for name, (attribute, read) in _REQUEST_LISTS.items():
        found = field_of(given, name, read, place)
        if found is not None:
            fields[attribute] = tuple(found)
    if given.get("to") == "":
        raise InputError(f"{place}.to: must be an address, or be left out")
    data, newer = (field_of(given, name, read_data, place) for name in ("data", "input"))
    if data is not None and newer is not None and data != newer:
        raise InputError(f'{place}: both "data" and "input" are set and not equal, use "input"')
    return TransactionRequest(**fields, data=newer if newer is not None else data or b"")


def _read_planned(value: Any, place: str) -> tuple[TransactionRequest | bytes, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{place}: must be a pair, a transaction and the position of its block")
    wanted, position = value
    read = read_data if isinstance(wanted, str) else read_request
    return read(wanted, f"{place}[0]"), read_short_number(position, f"{place}[1]")


# Searches for logs


@dataclass(frozen=True, slots=True)
class LogFilter:
    """Which logs of which blocks: of the block `block_hash`, or of a range, None where its ends are not given."""

    query: LogQuery
    from_block: int | BlockTag | None = None
    to_block: int | BlockTag | None = None
    block_hash: bytes | None = None


def read_log_filter(value: Any, place: str) -> LogFilter:
    """A search: `address` (one or a list), `topics`, and `fromBlock` and `toBlock` or else `blockHash`."""
    given = read_object(value, place)
    block_hash = field_of(given, "blockHash", _hash, place)
    first = field_of(given, "fromBlock", read_block_number, place)
    last = field_of(given, "toBlock", read_block_number, place)
    if block_hash is not None and (first is not None or last is not None):
        raise InputError(f"{place}: cannot specify both BlockHash and FromBlock/ToBlock, choose one or the other")
    query = log_query(_read_addresses(given.get("address"), f"{place}.address"), _read_topics(given, place))
    return LogFilter(query, first, last, block_hash)


def _read_addresses(value: Any, place: str) -> list[bytes]:
    if value is None:
        return []
    addresses: list[bytes] = list_of(_address)(value, place) if isinstance(value, list) else [_address(value, place)]
    return addresses


def _read_topics(given: Mapping[str, Any], place: str) -> list[list[int]]:
    """For each position the words that will do, none meaning any. A null among alternatives is any word as well."""
    value = given.get("topics")
    if value is None:
        return []
    place = f"{place}.topics"
    if not isinstance(value, list):
        raise InputError(f"{place}: must be a list, got {kind_of(value)}")
    if len(value) > MAX_TOPICS:
        raise InputError(f"{place}: exceed max topics, a log has at most {MAX_TOPICS}")
    topics: list[list[int]] = []
    for i, entry in enumerate(value):
        alternatives = entry if isinstance(entry, list) else [entry]
        if None in alternatives:
            topics.append([])
        else:
            topics.append([int.from_bytes(_hash(one, f"{place}[{i}]"), "big") for one in alternatives])
    return topics


# Overrides


def _read_storage(value: Any, place: str) -> dict[int, int]:
    return {
        read_word(slot, f"{place}: slot"): read_word(content, f"{place}.{shown(slot)}")
        for slot, content in read_object(value, place).items()
    }


def read_overrides(value: Any, place: str) -> dict[bytes, AccountOverride]:
    """What to assume of accounts: for each address `balance`, `nonce`, `code`, and `state` or `stateDiff`."""
    overrides: dict[bytes, AccountOverride] = {}
    for name, entry in read_object(value, place).items():
        address, fields = _address(name, place), read_object(entry, f"{place}.{shown(name)}")
        where = f"{place}.{name}"
        override = AccountOverride(
            balance=field_of(fields, "balance", _u256, where),
            nonce=field_of(fields, "nonce", _u64, where),
            code=field_of(fields, "code", read_data, where),
            storage=field_of(fields, "state", _read_storage, where),
            storage_diff=field_of(fields, "stateDiff", _read_storage, where),
        )
        if override.storage is not None and override.storage_diff is not None:
            raise InputError(f"{where}: account has both 'state' and 'stateDiff'")
        if fields.get("movePrecompileToAddress") is not None:
            raise InputError(f"{where}.movePrecompileToAddress: precompiles cannot be moved here")
        overrides[address] = override
    return overrides


def read_block_overrides(value: Any, place: str) -> BlockOverride:
    """What to assume of the block: `number`, `time`, `gasLimit`, `feeRecipient`, `prevRandao`, `baseFeePerGas`, ..."""
    given = read_object(value, place)

    def get(read: Any, *names: str) -> Any:
        found = [one for one in (field_of(given, name, read, place) for name in names) if one is not None]
        return found[0] if found else None

    return BlockOverride(
        number=get(_u64, "number"),
        timestamp=get(_u64, "time", "timestamp"),
        gas_limit=get(_u64, "gasLimit"),
        coinbase=get(_address, "feeRecipient", "coinbase"),
        prev_randao=get(read_word, "prevRandao", "random"),
        base_fee=get(_u256, "baseFeePerGas", "baseFee"),
        blob_base_fee=get(_u256, "blobBaseFee"),
        difficulty=get(_u256, "difficulty"),
    )


# Simulations


@dataclass(frozen=True, slots=True)
class Simulation:
    """What eth_simulateV1 is asked."""

    blocks: tuple[BlockOfCalls, ...]
    trace_transfers: bool = False
    validation: bool = False
    full: bool = False
    """Whether blocks are answered with whole transactions."""


def read_simulation(value: Any, place: str) -> Simulation:
    """Blocks with calls, and what to do with them."""
    given = read_object(value, place)
    blocks = field_of(given, "blockStateCalls", list_of(_read_simulated_block), place)
    if not blocks:
        raise InputError(f"{place}: empty input, blockStateCalls has no block")
    return Simulation(
        tuple(blocks),
        trace_transfers=bool(field_of(given, "traceTransfers", read_flag, place)),
        validation=bool(field_of(given, "validation", read_flag, place)),
        full=bool(field_of(given, "returnFullTransactions", read_flag, place)),
    )


def _read_simulated_block(value: Any, place: str) -> BlockOfCalls:
    given = read_object(value, place)
    changes = field_of(given, "blockOverrides", read_object, place) or {}
    where = f"{place}.blockOverrides"
    return BlockOfCalls(
        tuple(field_of(given, "calls", list_of(read_request), place) or ()),
        read_block_overrides(changes, where),
        field_of(given, "stateOverrides", read_overrides, place),
        tuple(field_of(changes, "withdrawals", list_of(_read_withdrawal), where) or ()),
        field_of(changes, "beaconRoot", _hash, where) or bytes(32),
    )


def _read_withdrawal(value: Any, place: str) -> Withdrawal:
    given = read_object(value, place)
    numbers = [field_of(given, name, _u64, place) for name in ("index", "validatorIndex", "amount")]
    address = field_of(given, "address", _address, place)
    if address is None or None in numbers:
        raise InputError(f"{place}: must have index, validatorIndex, address and amount")
    index, validator, amount = numbers
    return Withdrawal(index, validator, address, amount)


# Traces


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """How to trace: geth's TraceConfig. `tracer` is empty for the struct logger."""

    tracer: str = ""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Of the tracer."""
    memory: bool = False
    stack: bool = True
    storage: bool = True
    return_data: bool = False
    limit: int = 0
    """Instructions that the struct logger shows at most; 0 for all."""
    accounts: Mapping[bytes, AccountOverride] = field(default_factory=dict)
    block: BlockOverride = NO_OVERRIDE

    def flag(self, name: str) -> bool:
        """A switch of the tracer's, off if it is not given. Raises `InputError`."""
        return bool(field_of(self.config, name, read_flag, "tracerConfig"))


def read_trace_options(value: Any, place: str) -> TraceOptions:
    """How to trace, for a transaction or a call."""
    given = read_object(value, place)

    def flag(name: str) -> bool:
        return bool(field_of(given, name, read_flag, place))

    limit = given.get("limit") or 0
    if isinstance(limit, bool) or not isinstance(limit, int) or limit < 0:
        raise InputError(f"{place}.limit: must be a number of instructions, got {shown(limit)}")
    return TraceOptions(
        tracer=field_of(given, "tracer", read_text, place) or "",
        config=field_of(given, "tracerConfig", read_object, place) or {},
        memory=flag("enableMemory"),
        stack=not flag("disableStack"),
        storage=not flag("disableStorage"),
        return_data=flag("enableReturnData"),
        limit=limit,
        accounts=field_of(given, "stateOverrides", read_overrides, place) or {},
        block=field_of(given, "blockOverrides", read_block_overrides, place) or NO_OVERRIDE,
    )


TraceTypes: TypeAlias = frozenset[str]
"""Of `trace`, `stateDiff` and `vmTrace`: what trace_call and its like are asked for."""


def read_trace_types(value: Any, place: str) -> TraceTypes:
    """Which traces are wanted."""
    return frozenset(list_of(one_of("trace", "stateDiff", "vmTrace"))(value, place))


def _read_call_and_types(value: Any, place: str) -> tuple[TransactionRequest, TraceTypes]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{place}: must be a pair, a transaction object and trace types")
    return read_request(value[0], f"{place}[0]"), read_trace_types(value[1], f"{place}[1]")


@dataclass(frozen=True, slots=True)
class TraceFilter:
    """Which calls of which blocks; no addresses mean any. `after` are passed over, then there are at most `count`."""

    from_block: int | BlockTag | None = None
    to_block: int | BlockTag | None = None
    senders: frozenset[bytes] = frozenset()
    receivers: frozenset[bytes] = frozenset()
    is_union: bool = True
    """Whether one of both addresses will do where both are given."""
    after: int = 0
    count: int | None = None

    def matches(self, sender: bytes | None, receiver: bytes | None) -> bool:
        """Whether a call between these is meant; None is nobody."""
        met = [one in wanted for one, wanted in ((sender, self.senders), (receiver, self.receivers)) if wanted]
        return not met or (any(met) if self.is_union else all(met))


def read_trace_filter(value: Any, place: str) -> TraceFilter:
    """A search for calls."""
    given = read_object(value, place)
    mode = field_of(given, "mode", one_of("union", "intersection"), place)
    after, count = (field_of(given, name, read_short_number, place) for name in ("after", "count"))
    return TraceFilter(
        field_of(given, "fromBlock", read_block_number, place),
        field_of(given, "toBlock", read_block_number, place),
        frozenset(_read_addresses(given.get("fromAddress"), f"{place}.fromAddress")),
        frozenset(_read_addresses(given.get("toAddress"), f"{place}.toAddress")),
        mode != "intersection",
        after or 0,
        count,
    )


BlockArgument: TypeAlias = Annotated[BlockRef, Shape("block", read_block)]
BlockNumber: TypeAlias = Annotated[int | BlockTag, Shape("block number or tag", read_block_number)]
Call: TypeAlias = Annotated[TransactionRequest, Shape("transaction object", read_request)]
Filter: TypeAlias = Annotated[LogFilter, Shape("filter object", read_log_filter)]
Overrides: TypeAlias = Annotated[Mapping[bytes, AccountOverride], Shape("state overrides", read_overrides)]
BlockChanges: TypeAlias = Annotated[BlockOverride, Shape("block overrides", read_block_overrides)]
SimulationPayload: TypeAlias = Annotated[Simulation, Shape("simulation object", read_simulation)]
Tracing: TypeAlias = Annotated[TraceOptions, Shape("trace options", read_trace_options)]
WantedTraces: TypeAlias = Annotated[TraceTypes, Shape("trace types", read_trace_types)]
CallAndTypes: TypeAlias = Annotated[
    tuple[TransactionRequest, TraceTypes], Shape("pair of transaction object and trace types", _read_call_and_types)
]
PlannedTransaction: TypeAlias = Annotated[
    tuple[TransactionRequest | bytes, int], Shape("pair of transaction (object or data) and position", _read_planned)
]
TraceSearch: TypeAlias = Annotated[TraceFilter, Shape("trace filter", read_trace_filter)]
