"""The file format of state tests: environment, pre-state, a family of transactions, expectations by fork.

Files are untrusted, and some are malformed on purpose: such a transaction is kept as the error that reading it
raised, and the case must expect an exception.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmloom import Account, BlockContext, MemoryState
from vmloom.errors import InputError
from vmloom.hashing import keccak256
from vmloom.json_text import read_json

from ..fees import blob_base_fee
from ..forks import Fork
from ..transaction.signing import address_of
from ..transaction.types import (
    AccessListEntry,
    Authorization,
    Refusal,
    Signature,
    Transaction,
    TransactionRefused,
    TransactionType,
)

U64_LIMIT = 1 << 64
U256_LIMIT = 1 << 256


@dataclass(frozen=True, slots=True)
class Case:
    """One transaction of a test on one fork, and what must come of it."""

    file: str
    test: str
    fork: str
    index: int
    """Position among the fork's expectations."""
    environment: Mapping[str, Any]
    pre: Mapping[str, Any]
    transaction: Mapping[str, Any]
    data_index: int
    gas_index: int
    value_index: int
    expected_root: bytes
    expected_logs: bytes
    expected_exception: str
    config: Mapping[str, Any]
    receipt: Mapping[str, Any] | None
    transaction_bytes: str
    rejects_storage_collision: bool = False
    """Whether the file was filled under EIP-7610; see `filled_under_eip7610`."""

    @property
    def name(self) -> str:
        """Unique within the file."""
        return f"{self.test}/{self.fork}/{self.index}"


def read_cases(path: Path) -> Iterator[Case]:
    """The cases of a file. Raises `InputError` with file and test for what is not a state test."""
    try:
        tests = read_json(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: byte {error.start}: not UTF-8") from None
    except ValueError as error:
        raise InputError(f"{path}: not JSON: {error}") from None
    if not isinstance(tests, dict):
        raise InputError(f"{path}: a state test file holds an object of tests, this one a {type(tests).__name__}")
    for name, test in tests.items():
        try:
            yield from _cases_of(str(path), name, test)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
            raise InputError(f"{path}: {name}: not a state test: {type(error).__name__}: {error}") from None


def _cases_of(file: str, name: str, test: Mapping[str, Any]) -> Iterator[Case]:
    rejects_storage_collision = filled_under_eip7610(test.get("_info") or {})
    for fork, expectations in test["post"].items():
        for index, expected in enumerate(expectations):
            yield Case(
                file=file,
                test=name,
                fork=fork,
                index=index,
                environment=test["env"],
                pre=test["pre"],
                transaction=test["transaction"],
                data_index=expected["indexes"]["data"],
                gas_index=expected["indexes"]["gas"],
                value_index=expected["indexes"]["value"],
                expected_root=bytes.fromhex(expected["hash"].removeprefix("0x")),
                expected_logs=bytes.fromhex(expected["logs"].removeprefix("0x")),
                expected_exception=expected.get("expectException") or "",
                config=test.get("config", {}),
                receipt=expected.get("receipt"),
                transaction_bytes=expected.get("txbytes", ""),
                rejects_storage_collision=rejects_storage_collision,
            )


RETESTETH_WITH_EIP7610 = (0, 3, 2)
"""The first retesteth whose fillings refuse creation onto storage, in every fork."""
LAST_EELS_WITH_EIP7610 = (2, 19)
"""The specification was to drop the rule after this version: EIP-7610 was declined in August 2026."""


def filled_under_eip7610(info: Mapping[str, Any]) -> bool:
    """Whether the test with this `_info` was filled by tools that refuse creation onto an account with storage.

    The published suites disagree, and a file names what filled it:

    - `filling-tool-version` of retesteth: yes from 0.3.2 on, which filled Istanbul to Cancun anew;
    - `fixture-format`, which execution-spec-tests writes: yes, unless `filling-transition-tool` is a bare version
      number, that of the Python specification, above 2.19;
    - anything else, such as `filledwith` of testeth, or nothing: no. On no network can it happen.
    """
    retesteth = re.match(r"retesteth-(\d+)\.(\d+)\.(\d+)", str(info.get("filling-tool-version", "")))
    if retesteth is not None:
        return tuple(map(int, retesteth.groups())) >= RETESTETH_WITH_EIP7610
    if "fixture-format" not in info and "fixture_format" not in info:
        return False
    version = re.fullmatch(r"v?(\d+)\.(\d+)(\..*)?", str(info.get("filling-transition-tool", "")))
    return version is None or (int(version[1]), int(version[2])) <= LAST_EELS_WITH_EIP7610


class TestState(MemoryState):
    """Memory, with the tests' convention for block hashes: keccak256 of the number in decimal."""

    __test__ = False  # not a test class for pytest

    def get_block_hash(self, number: int) -> bytes:
        """keccak256 of the decimal digits of `number`."""
        return self.block_hashes.get(number) or keccak256(str(number).encode())


def pre_state(case: Case) -> TestState:
    """The state before the transaction."""
    accounts: dict[bytes, Account] = {}
    words: list[tuple[bytes, int, int]] = []
    for address_text, fields in case.pre.items():
        address = read_bytes(address_text, 20)
        accounts[address] = Account(
            nonce=read_integer(fields["nonce"]),
            balance=read_integer(fields["balance"]),
            code=read_bytes(fields["code"]),
        )
        words += [(address, read_integer(slot), read_integer(word)) for slot, word in fields["storage"].items()]
    state = TestState(accounts)
    for address, slot, word in words:
        state.set_storage(address, slot, word)
    state.commit()
    state.begin_transaction()
    return state


def block_of(case: Case, fork: Fork) -> BlockContext:
    """The block in which the transaction runs."""
    env = case.environment
    chain_id = read_integer(case.config.get("chainid", "0x1"))
    return BlockContext(
        number=read_integer(env["currentNumber"]),
        timestamp=read_integer(env["currentTimestamp"]),
        coinbase=read_bytes(env["currentCoinbase"], 20),
        gas_limit=read_integer(env["currentGasLimit"]),
        # Where a file names none, it is what all other tools take.
        base_fee=read_integer(env.get("currentBaseFee", "0xa")) if fork.rules.base_fee else 0,
        difficulty=read_integer(env.get("currentDifficulty", "0x0")),
        prev_randao=read_integer(env.get("currentRandom") or "0x0"),
        blob_base_fee=blob_base_fee(read_integer(env.get("currentExcessBlobGas") or "0x0"), fork.rules),
        chain_id=chain_id,
    )


def transaction_of(case: Case) -> tuple[Transaction, bytes]:
    """The transaction and its sender. Raises `TransactionRefused` for fields that no transaction can have."""
    fields = case.transaction
    try:
        return _transaction(case, fields), sender_of(fields)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError, InputError) as error:
        raise TransactionRefused(Refusal.FIELD_OVERFLOW, f"{case.file}: {case.name}: {error}") from None


def sender_of(fields: Mapping[str, Any]) -> bytes:
    """Who signs: named, or the account of the secret key."""
    if "sender" in fields:
        return read_bytes(fields["sender"], 20)
    return address_of(read_bytes(fields["secretKey"], 32))


def _transaction(case: Case, fields: Mapping[str, Any]) -> Transaction:
    access_lists = fields.get("accessLists")
    access_list = access_lists[case.data_index] if access_lists else None
    price = read_integer(fields["gasPrice"]) if "gasPrice" in fields else None
    if "authorizationList" in fields:
        kind = TransactionType.SET_CODE
    elif "maxFeePerBlobGas" in fields or "blobVersionedHashes" in fields:
        kind = TransactionType.BLOB
    elif "maxFeePerGas" in fields:
        kind = TransactionType.FEE_MARKET
    else:
        kind = TransactionType.LEGACY if access_list is None else TransactionType.ACCESS_LIST
    to = fields["to"]
    return Transaction(
        type=kind,
        chain_id=None if kind is TransactionType.LEGACY else read_integer(case.config.get("chainid", "0x1")),
        nonce=read_integer(fields["nonce"], U64_LIMIT),
        max_fee_per_gas=read_integer(fields["maxFeePerGas"]) if price is None else price,
        max_priority_fee_per_gas=read_integer(fields["maxPriorityFeePerGas"]) if price is None else price,
        gas_limit=read_integer(fields["gasLimit"][case.gas_index], U64_LIMIT),
        to=read_bytes(to, 20) if to else None,
        value=read_integer(fields["value"][case.value_index]),
        data=read_bytes(fields["data"][case.data_index]),
        access_list=tuple(_access_list_entry(entry) for entry in access_list or ()),
        max_fee_per_blob_gas=read_integer(fields.get("maxFeePerBlobGas", "0x0")),
        blob_hashes=tuple(read_bytes(one, 32) for one in fields.get("blobVersionedHashes", ())),
        authorizations=tuple(_authorization(one) for one in fields.get("authorizationList", ())),
    )


def _access_list_entry(entry: Mapping[str, Any]) -> AccessListEntry:
    return AccessListEntry(
        read_bytes(entry["address"], 20), tuple(read_integer(slot) for slot in entry.get("storageKeys", ()))
    )


def _authorization(one: Mapping[str, Any]) -> Authorization:
    parity = one["yParity"] if "yParity" in one else one["v"]
    return Authorization(
        chain_id=read_integer(one["chainId"]),
        address=read_bytes(one["address"], 20),
        nonce=read_integer(one["nonce"], U64_LIMIT),
        signature=Signature(read_integer(parity, 256), read_integer(one["r"]), read_integer(one["s"])),
    )


def read_integer(text: str, limit: int = U256_LIMIT) -> int:
    """A number as the tests write it: 0x hex, or decimal. Raises `ValueError` if it is not below `limit`."""
    value = int(text, 16) if text.startswith("0x") else int(text)
    if not 0 <= value < limit:
        raise ValueError(f"{text} is not in 0 .. 2**{limit.bit_length() - 1} - 1")
    return value


def read_bytes(text: str, size: int | None = None) -> bytes:
    """Bytes as the tests write them. Raises `ValueError` if they are not hex, or not `size` bytes."""
    data = bytes.fromhex(text.removeprefix("0x"))
    if size is not None and len(data) != size:
        raise ValueError(f"{text} has {len(data)} bytes, not {size}")
    return data
