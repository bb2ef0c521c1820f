"""Blocks and their records as native code writes them: byte for byte what Python does."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest
from vmloom_evm import rlp
from vmloom_evm.block import SignedTransaction
from vmloom_evm.transaction.types import Transaction
from vmloom_node.chain import Chain, records
from vmloom_node.chain.block import Block, encode_block
from vmloom_node.chain.header import NAMES, Header
from vmloom_node.chain.records import StoredBlock
from vmloom_node.chain.sealed import Written, written
from vmloom_node.chain.sealing import FIRST_FIELDS, MOST_EXTRA

NUMBERS = (0, 1, 0x7F, 0x80, 0xFF, 1 << 32, (1 << 64) - 1)
ADDED = NAMES[FIRST_FIELDS:]


def header(chance: random.Random, added: int) -> Header:
    """One with random fields, so many of which are those that forks have added."""
    values: dict[str, object] = {name: chance.choice(NUMBERS) for name in ("difficulty", "number", "gas_limit")}
    values |= {name: chance.choice(NUMBERS) for name in ("gas_used", "timestamp")}
    values |= {name: chance.randbytes(32) for name in ("parent_hash", "ommers_hash", "state_root", "mix_hash")}
    values |= {name: chance.randbytes(32) for name in ("transactions_root", "receipts_root")}
    values |= {"coinbase": chance.randbytes(20), "logs_bloom": chance.randbytes(256), "nonce": chance.randbytes(8)}
    values["extra_data"] = chance.randbytes(chance.choice((0, 1, 31, 55, 56, MOST_EXTRA)))
    for name in ADDED[:added]:
        values[name] = chance.randbytes(32) if name.endswith(("root", "hash")) else chance.choice(NUMBERS)
    return Header(**values)  # type: ignore[arg-type]


def transactions(chance: random.Random, count: int) -> list[SignedTransaction]:
    """Of both kinds of encoding: a list, and a string that begins with a type."""
    found = []
    for _ in range(count):
        data = chance.randbytes(chance.choice((0, 1, 40, 60, 300)))
        encoded = rlp.encode([data, b"\x01"]) if chance.random() < 0.5 else b"\x02" + data
        found.append(SignedTransaction(Transaction(), chance.randbytes(20), encoded, chance.randbytes(32)))
    return found


def in_python(
    head: Header,
    signed: list[SignedTransaction],
    receipts: list[bytes],
    vms: tuple[str, ...],
    total: int,
    *,
    lists: bool,
) -> Written:
    """What `written` gives, by the functions that it stands for."""
    head = replace(head)
    raw = encode_block(head, [one.encoded for one in signed], (), () if lists else None)
    block = Block(
        head,
        tuple(one.tx for one in signed),
        tuple(one.sender for one in signed),
        tuple(one.hash for one in signed),
        total_difficulty=total,
    )
    stored = StoredBlock(block, raw, tuple(one.encoded for one in signed), tuple(receipts), vms)
    return Written(head.encoded, head.hash, raw, records.block_record(stored), records.receipts_record(stored))


@pytest.mark.parametrize("added", range(len(ADDED) + 1))
@pytest.mark.parametrize("count", [0, 1, 2, 3, 200])
def test_blocks_are_what_python_writes(added: int, count: int) -> None:
    chance = random.Random(added * 1000 + count)
    for lists in (False, True):
        head, signed, total = header(chance, added), transactions(chance, count), chance.choice(NUMBERS)
        receipts = [chance.choice((b"\x05", b"\x85", chance.randbytes(chance.randrange(1, 700)))) for _ in signed]
        vms = tuple(chance.choice(("evm", "wasm", "v" * 60)) for _ in signed)
        found = written(head, signed, receipts, vms, total, has_withdrawals=lists)
        assert found == in_python(head, signed, receipts, vms, total, lists=lists)


@pytest.mark.parametrize(
    "values",
    [
        {"difficulty": 1 << 64},
        {"base_fee": 1 << 64},
        {"extra_data": bytes(MOST_EXTRA + 1)},
        {"withdrawals_root": None},
    ],
    ids=str,
)
def test_what_does_not_fit_is_left_to_python(values: dict[str, object]) -> None:
    head = replace(header(random.Random(1), len(ADDED)), **values)  # type: ignore[arg-type]
    assert written(head, [], [], (), 0, has_withdrawals=True) is None


def test_bytes_that_do_not_lie_where_others_do_are_left_to_python() -> None:
    class Wrapped(bytes):
        """Bytes that do not lie where those of `bytes` do."""

        __slots__ = ()

    (one,) = transactions(random.Random(2), 1)
    signed = [one._replace(encoded=Wrapped(one.encoded))]
    assert written(Header(), signed, [b"receipt"], ("evm",), 0, has_withdrawals=False) is None


def test_a_chain_has_its_blocks_written_so(monkeypatch: pytest.MonkeyPatch) -> None:
    chain = Chain()
    monkeypatch.delattr("vmloom_node.chain.building.encode_block")
    monkeypatch.delattr(records, "block_record")
    (block,) = chain.mine()
    assert chain.block(1) == block
    stored = records.read_block(chain.store, 1)
    assert stored is not None
    assert stored.block == block
    assert stored.block.hash == block.hash
