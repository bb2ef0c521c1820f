"""Block headers: fields, RLP, hash, and what must hold between a header and its parent.

Yellow paper, section 4.4; EIP-1559, EIP-3675, EIP-4399, EIP-4788, EIP-4844, EIP-4895, EIP-7685.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import cached_property
from operator import attrgetter
from typing import Any, Final

from vmloom.hashing import keccak256
from vmloom_evm import rlp
from vmloom_evm.commitment import EMPTY_TRIE_ROOT
from vmloom_evm.fees import ELASTICITY, GAS_PER_BLOB, INITIAL_BASE_FEE, next_base_fee, next_excess_blob_gas
from vmloom_evm.rlp import RlpItem
from vmloom_evm.rules import Rules

from .errors import InvalidHeader

EMPTY_OMMERS_HASH: Final = keccak256(rlp.encode([]))
NO_REQUESTS_HASH: Final = bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
"""SHA-256 of nothing. EIP-7685"""
EMPTY_BLOOM: Final = bytes(256)
MAX_EXTRA_DATA: Final = 32
MIN_GAS_LIMIT: Final = 5_000
GAS_LIMIT_QUOTIENT: Final = 1_024
"""A block's gas limit differs from its parent's by less than 1/1024 of it."""
MAX_GAS_LIMIT: Final = (1 << 63) - 1
_HASH = 32


@dataclass(frozen=True)
class Header:
    """A block header. Hashes and roots have 32 bytes, gas is in gas, `base_fee` is wei per gas, times are UNIX seconds.

    What a fork does not have is None. `mix_hash` is the randomness of the beacon chain since Paris (EIP-4399).
    """

    parent_hash: bytes = bytes(_HASH)
    ommers_hash: bytes = EMPTY_OMMERS_HASH
    coinbase: bytes = bytes(20)
    state_root: bytes = EMPTY_TRIE_ROOT
    transactions_root: bytes = EMPTY_TRIE_ROOT
    receipts_root: bytes = EMPTY_TRIE_ROOT
    logs_bloom: bytes = EMPTY_BLOOM
    difficulty: int = 0
    number: int = 0
    gas_limit: int = 30_000_000
    gas_used: int = 0
    timestamp: int = 0
    extra_data: bytes = b""
    mix_hash: bytes = bytes(_HASH)
    nonce: bytes = bytes(8)
    base_fee: int | None = None
    withdrawals_root: bytes | None = None
    blob_gas_used: int | None = None
    excess_blob_gas: int | None = None
    parent_beacon_root: bytes | None = None
    requests_hash: bytes | None = None

    @cached_property
    def hash(self) -> bytes:
        """keccak256 of the encoding, 32 bytes"""
        return keccak256(self.encoded)

    @cached_property
    def encoded(self) -> bytes:
        """RLP"""
        parent, ommers, coinbase, state, transactions, receipts, bloom, *rest = _VALUES(self)
        difficulty, number, gas_limit, gas_used, timestamp, extra, mix, nonce, *added = rest
        while added and added[-1] is None:
            added.pop()
        one = rlp.number
        first = _FORMAT % (
            *(parent, ommers, coinbase, state, transactions, receipts, bloom, one(difficulty), one(number)),
            *(one(gas_limit), one(gas_used), one(timestamp), rlp.encode(extra), mix, nonce),
        )
        hashes_and_numbers = [b"\xa0" + value if value.__class__ is bytes else one(value or 0) for value in added]
        return rlp.list_of((first, *hashes_and_numbers))

    def keep_encoded(self, encoded: bytes, digest: bytes) -> None:
        """Know these, which are `encoded` and `hash`, without making them."""
        self.__dict__.update(encoded=encoded, hash=digest)

    def with_values(self, **values: Any) -> Header:
        """This header with other values: `dataclasses.replace`, in a fraction of the time."""
        found = object.__new__(Header)
        known = found.__dict__
        known.update(self.__dict__, **values)
        if "encoded" in known:
            del known["encoded"]
            known.pop("hash", None)
        return found

    def items(self) -> list[RlpItem]:
        """The fields as RLP has them. Those that forks have added end with the last one that is not None."""
        found = rlp.decode(self.encoded)
        assert isinstance(found, list)
        return found


NAMES: Final = tuple(one.name for one in fields(Header))
"""The fields in the order of their encoding."""
_VALUES: Final = attrgetter(*NAMES)
_FORMAT: Final = b"\xa0%b\xa0%b\x94%b\xa0%b\xa0%b\xa0%b\xb9\x01\x00%b%b%b%b%b%b%b\xa0%b\x88%b"
"""The fields up to the nonce, of which those of a fixed size have what stands before them in RLP here."""
_REQUIRED: Final = NAMES.index("base_fee")
_SIZES: Final = {
    "coinbase": 20,
    "logs_bloom": 256,
    "nonce": 8,
    **dict.fromkeys(("parent_hash", "ommers_hash", "state_root", "transactions_root", "receipts_root"), _HASH),
    **dict.fromkeys(("mix_hash", "withdrawals_root", "parent_beacon_root", "requests_hash"), _HASH),
}
_BITS: Final = {"difficulty": 256, "base_fee": 256}
"""All other numbers have 64 bits."""


def decode_header(item: RlpItem) -> Header:
    """The header that these RLP items are. Raises `InvalidHeader` with the field for what is malformed."""
    if not isinstance(item, list) or not _REQUIRED <= len(item) <= len(NAMES):
        raise InvalidHeader("header", f"no list of {_REQUIRED} to {len(NAMES)} fields")
    values: dict[str, Any] = {}
    for name, value in zip(NAMES, item, strict=False):
        if not isinstance(value, bytes):
            raise InvalidHeader(name, "a list in place of bytes")
        size = _SIZES.get(name)
        if size is not None:
            if len(value) != size:
                raise InvalidHeader(name, f"{len(value)} bytes, not {size}")
            values[name] = value
        elif name == "extra_data":
            values[name] = value
        else:
            values[name] = _number(value, name)
    return Header(**values)


def _number(value: bytes, name: str) -> int:
    if value[:1] == b"\0":
        raise InvalidHeader(name, "a number with leading zeros")
    if len(value) * 8 > _BITS.get(name, 64):
        raise InvalidHeader(name, f"a number of more than {_BITS.get(name, 64)} bits")
    return int.from_bytes(value, "big")


# What follows from the parent


def base_fee_after(parent: Header, rules: Rules) -> int | None:
    """Base fee of the block after `parent` in wei per gas, under its own `rules`; None before London. EIP-1559."""
    if not rules.base_fee:
        return None
    if parent.base_fee is None:
        return INITIAL_BASE_FEE
    return next_base_fee(parent.base_fee, parent.gas_used, parent.gas_limit)


def excess_blob_gas_after(parent: Header, rules: Rules) -> int | None:
    """Excess blob gas of the block after `parent`, under its own `rules`; None before Cancun. EIP-4844, EIP-7918."""
    if not rules.blobs:
        return None
    return next_excess_blob_gas(parent.excess_blob_gas or 0, parent.blob_gas_used or 0, parent.base_fee or 0, rules)


def gas_limit_towards(parent: Header, target: int, *, raises_at_london: bool = False) -> int:
    """The gas limit nearest to `target` that a block after `parent` may have. `raises_at_london` is for EIP-1559's."""
    base = parent.gas_limit * (ELASTICITY if raises_at_london else 1)
    step = max(base // GAS_LIMIT_QUOTIENT - 1, 0)
    return max(MIN_GAS_LIMIT, min(max(target, base - step), base + step, MAX_GAS_LIMIT))


# Validity


def validate_header(header: Header, parent: Header, rules: Rules, *, difficulty: int | None) -> None:
    """Raise `InvalidHeader` unless `header` can follow `parent` under its own fork's `rules`.

    `difficulty` is what it must be before Paris. What only running the block can tell (roots, gas used) is not looked
    at here, nor is a proof of work.
    """
    _equal("parent_hash", header.parent_hash, parent.hash)
    _equal("number", header.number, parent.number + 1)
    if header.timestamp <= parent.timestamp:
        raise InvalidHeader("timestamp", f"{header.timestamp} is not later than the parent's {parent.timestamp}")
    if len(header.extra_data) > MAX_EXTRA_DATA:
        raise InvalidHeader("extra_data", f"{len(header.extra_data)} bytes, at most {MAX_EXTRA_DATA} are allowed")
    _check_gas(header, parent, rules)
    _check_proof(header, rules, difficulty)
    _equal("base_fee", header.base_fee, base_fee_after(parent, rules))
    _present("withdrawals_root", header.withdrawals_root, rules.withdrawals)
    _present("parent_beacon_root", header.parent_beacon_root, rules.beacon_root_contract)
    _present("requests_hash", header.requests_hash, rules.request_contracts)
    _present("blob_gas_used", header.blob_gas_used, rules.blobs)
    _equal("excess_blob_gas", header.excess_blob_gas, excess_blob_gas_after(parent, rules))
    used = header.blob_gas_used or 0
    if used > rules.blob_limit * GAS_PER_BLOB or used % GAS_PER_BLOB:
        raise InvalidHeader("blob_gas_used", f"{used} is no whole number of blobs up to {rules.blob_limit}")


def _check_gas(header: Header, parent: Header, rules: Rules) -> None:
    base = parent.gas_limit
    if rules.base_fee and parent.base_fee is None:
        base *= ELASTICITY
    if abs(header.gas_limit - base) >= base // GAS_LIMIT_QUOTIENT:
        raise InvalidHeader("gas_limit", f"{header.gas_limit} is too far from {base}")
    if not MIN_GAS_LIMIT <= header.gas_limit <= MAX_GAS_LIMIT:
        raise InvalidHeader("gas_limit", f"{header.gas_limit} is not between {MIN_GAS_LIMIT} and 2**63 - 1")
    if header.gas_used > header.gas_limit:
        raise InvalidHeader("gas_used", f"{header.gas_used} exceeds the limit {header.gas_limit}")


def _check_proof(header: Header, rules: Rules, difficulty: int | None) -> None:
    if not rules.proof_of_stake:
        _equal("difficulty", header.difficulty, difficulty)
        return
    _equal("difficulty", header.difficulty, 0)
    _equal("nonce", header.nonce, bytes(8))
    _equal("ommers_hash", header.ommers_hash, EMPTY_OMMERS_HASH)


def _equal(name: str, found: object, expected: object) -> None:
    if found != expected:
        raise InvalidHeader(name, f"{_shown(found)}, expected {_shown(expected)}")


def _present(name: str, value: object, expected: bool) -> None:
    if (value is not None) != expected:
        raise InvalidHeader(name, "missing" if expected else "this fork has no such field")


def _shown(value: object) -> str:
    return "0x" + value.hex() if isinstance(value, bytes) else str(value)
