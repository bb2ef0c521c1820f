"""What the chain keeps in its store beside the state: blocks, receipts, where to find them, and how far it is.

Keys begin with `CHAIN`; numbers in keys have 8 bytes, big-endian, so that blocks lie in order. Values are RLP.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from typing import Final, NamedTuple, cast

from vmloom.errors import StateError
from vmloom.hashing import create_address
from vmloom.result import Event
from vmloom.store import CHAIN, StoreView
from vmloom_evm import rlp
from vmloom_evm.fees import GAS_PER_BLOB, blob_base_fee
from vmloom_evm.rlp import RlpItem
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.codec import decode_transaction
from vmloom_evm.transaction.types import TransactionType

from .block import Block, Log, TransactionReceipt, decode_withdrawal
from .header import EMPTY_BLOOM, decode_header

HEAD: Final = CHAIN + b"head"
"""Number of the last block."""
CONFIG: Final = CHAIN + b"chain"
"""Hash of the genesis block, chain id, version of this format."""
BLOCK: Final = CHAIN + b"b"
"""By number: the block, and what is known of it beside."""
RECEIPTS: Final = CHAIN + b"r"
"""By number: the receipts of the block."""
BLOOM: Final = CHAIN + b"l"
"""By number: the bloom filter of its logs, kept apart so that a search for logs reads nothing else; absent if empty."""
NUMBER: Final = CHAIN + b"n"
"""By hash of a block: its number."""
PLACE: Final = CHAIN + b"t"
"""By hash of a transaction: number of its block and its place there, 4 bytes."""
VERSION: Final = CHAIN + b"v"
"""By number: the version of the store that has the state after the block."""
FORMAT: Final = 1


class StoredBlock(NamedTuple):
    """A block and its receipts, on the way to the store or from it.

    `encoded` are its transactions, `receipts` as the receipts root is taken over them, `vms` who ran each, `raw` is the
    block's RLP. `record` and `receipts_record` are what the store gets of these, empty where nobody has written it yet.
    """

    block: Block
    raw: bytes
    encoded: tuple[bytes, ...]
    receipts: tuple[bytes, ...]
    vms: tuple[str, ...]
    record: bytes = b""
    receipts_record: bytes = b""


def key(kind: bytes, number: int) -> bytes:
    """The key of a kind of record by block number."""
    return kind + number.to_bytes(8, "big")


def block_records(stored: StoredBlock, version: int) -> dict[bytes, bytes | None]:
    """What the store gets for a block that becomes the last; `version` is that of its state."""
    block, number = stored.block, stored.block.number
    digits, place = number.to_bytes(8, "big"), rlp.integer(number)
    records: dict[bytes, bytes | None] = {
        HEAD: place,
        BLOCK + digits: stored.record or block_record(stored),
        VERSION + digits: rlp.integer(version),
        NUMBER + block.hash: place,
    }
    if stored.receipts:
        records[RECEIPTS + digits] = stored.receipts_record or receipts_record(stored)
    if block.header.logs_bloom != EMPTY_BLOOM:
        records[BLOOM + digits] = block.header.logs_bloom
    for index, transaction_hash in enumerate(block.hashes):
        records[PLACE + transaction_hash] = index.to_bytes(4, "big") + place
    return records


def block_record(stored: StoredBlock) -> bytes:
    """What `BLOCK` has: the block, its senders, hashes and total difficulty, and who ran its transactions."""
    block = stored.block
    return rlp.list_of(
        (
            rlp.encode(stored.raw),
            rlp.list_of([b"\x94" + sender for sender in block.senders]),
            rlp.list_of([b"\xa0" + transaction_hash for transaction_hash in block.hashes]),
            rlp.number(block.total_difficulty),
            encoded_vms(stored.vms),
        )
    )


@lru_cache(maxsize=64)
def encoded_vms(vms: tuple[str, ...]) -> bytes:
    """The list of who ran each transaction of a block, as its record has it."""
    return rlp.list_of([rlp.encode(vm.encode()) for vm in vms])


def receipts_record(stored: StoredBlock) -> bytes:
    """What `RECEIPTS` has."""
    return rlp.list_of([rlp.encode(one) for one in stored.receipts])


def read_block(view: StoreView, number: int) -> StoredBlock | None:
    """The block with this number, None if there is none. Raises `StateError` for a record that is damaged."""
    data = view.get(key(BLOCK, number))
    if data is None:
        return None
    try:
        raw, senders, hashes, total, vms = cast("list[bytes]", rlp.decode(data))
        items = cast("list[RlpItem]", rlp.decode(raw))
        encoded = tuple(rlp.encode(one) if isinstance(one, list) else one for one in cast("list[RlpItem]", items[1]))
        block = Block(
            decode_header(items[0]),
            tuple(decode_transaction(one) for one in encoded),
            tuple(cast("list[bytes]", senders)),
            tuple(cast("list[bytes]", hashes)),
            tuple(decode_header(one) for one in cast("list[RlpItem]", items[2])),
            tuple(decode_withdrawal(one) for one in cast("list[RlpItem]", items[3])) if len(items) > 3 else None,
            int.from_bytes(total, "big"),
            len(raw),
        )
        receipts = view.get(key(RECEIPTS, number))
        kept = () if receipts is None else tuple(cast("list[bytes]", rlp.decode(receipts)))
        names = tuple(one.decode() for one in cast("list[bytes]", vms))
    except (ValueError, IndexError, TypeError, rlp.RlpError) as error:
        raise StateError(f"block {number} cannot be read from the store: {error}") from error
    return StoredBlock(block, raw, encoded, kept, names)


def read_receipts(stored: StoredBlock, rules: Rules) -> list[TransactionReceipt]:
    """The receipts of a block with their place, under its fork's `rules`."""
    block, header = stored.block, stored.block.header
    blob_price = blob_base_fee(header.excess_blob_gas, rules) if header.excess_blob_gas is not None else 0
    found: list[TransactionReceipt] = []
    used, logs_before = 0, 0
    for index, encoded in enumerate(stored.receipts):
        entry, sender = block.entry(index), block.senders[index]
        outcome, cumulative, bloom, logs = _receipt_items(encoded)
        total = int.from_bytes(cumulative, "big")
        blob_gas = GAS_PER_BLOB * len(entry.tx.blob_hashes)
        found.append(
            TransactionReceipt(
                type=TransactionType(entry.tx.type),
                success=outcome == b"\x01" if len(outcome) < 32 else True,
                state_root=outcome if len(outcome) == 32 else b"",
                cumulative_gas_used=total,
                gas_used=total - used,
                gas_price=entry.gas_price,
                logs=tuple(_logs(logs, block, index, logs_before)),
                bloom=bloom,
                transaction_hash=entry.hash,
                index=index,
                block_hash=block.hash,
                block_number=block.number,
                block_timestamp=header.timestamp,
                sender=sender,
                to=entry.tx.to,
                contract=create_address(sender, entry.tx.nonce) if entry.tx.to is None else None,
                blob_gas_used=blob_gas,
                blob_gas_price=blob_price if blob_gas else 0,
                vm=stored.vms[index],
            )
        )
        used = total
        logs_before += len(logs)
    return found


def _receipt_items(encoded: bytes) -> tuple[bytes, bytes, bytes, list[RlpItem]]:
    items = rlp.decode(encoded, start=0 if encoded[0] >= 0xC0 else 1)
    outcome, cumulative, bloom, logs = cast("list[bytes]", items)
    return outcome, cumulative, bloom, cast("list[RlpItem]", logs)


def _logs(items: Iterable[RlpItem], block: Block, index: int, before: int) -> Iterator[Log]:
    for position, item in enumerate(items):
        address, topics, data = cast("tuple[bytes, Sequence[bytes], bytes]", item)
        event = Event(address, tuple(int.from_bytes(topic, "big") for topic in topics), data)
        yield Log(
            event,
            block.hash,
            block.number,
            block.header.timestamp,
            block.hashes[index],
            index,
            before + position,
        )


def read_number(view: StoreView, block_hash: bytes) -> int | None:
    """Number of the block with this hash."""
    data = view.get(NUMBER + block_hash)
    return None if data is None else int.from_bytes(data, "big")


def read_place(view: StoreView, transaction_hash: bytes) -> tuple[int, int] | None:
    """(number of the block, index) of a transaction."""
    data = view.get(PLACE + transaction_hash)
    return None if data is None else (int.from_bytes(data[4:], "big"), int.from_bytes(data[:4], "big"))


def read_version(view: StoreView, number: int) -> int | None:
    """Version of the store that has the state after block `number`."""
    data = view.get(key(VERSION, number))
    return None if data is None else int.from_bytes(data, "big")


def read_head(view: StoreView) -> int | None:
    """Number of the last block, None in a store without a chain."""
    data = view.get(HEAD)
    return None if data is None else int.from_bytes(data, "big")


def config_record(genesis_hash: bytes, chain_id: int) -> bytes:
    """What says whose chain a store has."""
    return rlp.encode([genesis_hash, rlp.integer(chain_id), rlp.integer(FORMAT)])


def check_config(view: StoreView, genesis_hash: bytes, chain_id: int) -> None:
    """Raise `StateError` unless the store has the chain of this genesis, in this format."""
    data = view.get(CONFIG)
    if data == config_record(genesis_hash, chain_id):
        return
    items = cast("list[bytes]", rlp.decode(data)) if data else []
    if len(items) == 3 and int.from_bytes(items[2], "big") != FORMAT:
        raise StateError(
            f"the store's blocks are in format {int.from_bytes(items[2], 'big')}, this version reads {FORMAT}"
        ).with_fix("use the version that wrote it, or begin with an empty store")
    found = f"genesis 0x{items[0].hex()}, chain id {int.from_bytes(items[1], 'big')}" if items else "none"
    raise StateError(
        f"the store has another chain ({found}) than the genesis asks for (0x{genesis_hash.hex()}, chain id {chain_id})"
    ).with_fix("name another store, or the genesis that this one began with")
