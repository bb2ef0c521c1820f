"""Blocks of one chain on another: all of them, none that is changed in any field, and the heavier of two branches."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from vmloom.errors import InputError, UnknownRevision, VmloomError
from vmloom_evm.block import InvalidBlock, Withdrawal
from vmloom_node.chain import Chain, dev_genesis
from vmloom_node.chain.block import encode_block
from vmloom_node.chain.errors import InvalidHeader, UnknownBlock
from vmloom_node.chain.events import ChainEvent, NewBlock, Reverted
from vmloom_node.chain.header import NAMES, Header, decode_header
from vmloom_node.chain.replay import import_file, network_schedule, read_block_tests, run_block_test, split_blocks

from .conftest import STORE_CALLER_INPUT, MakeChain, deploy, dev_accounts, send

SOMEBODY = b"\7" * 20
UNSUPPORTED_NETWORK = re.compile("AtDiff|Dao")
"""Changes at a total difficulty, and the accounts that the DAO fork moved: such networks are refused by name."""


def raw(chain: Chain, number: int) -> bytes:
    return chain.stored_block(number).raw


def grow(chain: Chain, value: int = 1) -> None:
    """Three blocks: a deployment, a call, and one with withdrawals where the fork has them."""
    contract = deploy(chain, STORE_CALLER_INPUT)
    send(chain, to=contract, data=value.to_bytes(32, "big"))
    if chain.fork().rules.withdrawals:
        chain.next_block.withdrawals = (Withdrawal(0, 1, SOMEBODY, 5),)
    chain.mine()


@pytest.mark.parametrize("fork", ["frontier", "byzantium", "london", "paris", "shanghai", "cancun", "osaka"])
def test_blocks_run_on_another_chain(fork: str, engine: str, make_chain: MakeChain) -> None:
    source = make_chain(fork=fork)
    grow(source)
    other = make_chain(engine, fork=fork, is_read_only=True, mining="manual")
    for number in range(1, 4):
        assert other.import_block(raw(source, number)) == source.block(number)
    assert other.head == source.head
    assert other.receipts(2) == source.receipts(2)
    assert other.import_block(raw(source, 2)) == source.block(2)  # which it has already


CHANGES: dict[str, Callable[[Any], Any]] = {
    **dict.fromkeys(("number", "gas_used", "timestamp", "base_fee", "difficulty"), lambda value: value + 1),
    "gas_limit": lambda value: value * 2,
    "timestamp": lambda _: 0,
    "extra_data": lambda _: bytes(33),
    "coinbase": lambda value: value,
    "mix_hash": lambda value: value,
    **dict.fromkeys(("blob_gas_used", "excess_blob_gas"), lambda value: value + (1 << 17)),
}
"""How to spoil a field; the others have their first bit flipped. Coinbase and randomness may be anything here."""


def flipped(value: bytes) -> bytes:
    return bytes([value[0] ^ 1]) + value[1:]


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("coinbase", "mix_hash", "parent_beacon_root")])
def test_a_block_with_another_header_is_refused(name: str, make_chain: MakeChain) -> None:
    source, other = make_chain(), make_chain()
    grow(source)
    other.import_block(raw(source, 1))
    stored = source.stored_block(2)
    header = stored.block.header
    spoiled = replace(header, **{name: CHANGES.get(name, flipped)(getattr(header, name))})
    with pytest.raises((InvalidHeader, InvalidBlock, UnknownBlock), match=name if name != "parent_hash" else "follows"):
        other.import_block(encode_block(spoiled, stored.encoded, (), ()))
    assert other.head == source.block(1)
    other.import_block(stored.raw)
    assert other.head == source.block(2)


def test_a_block_with_another_body_is_refused(make_chain: MakeChain) -> None:
    source, other = make_chain(), make_chain()
    grow(source)
    one, two = source.stored_block(1), source.stored_block(2)
    header = one.block.header
    bodies = [
        encode_block(header, (), (), ()),
        encode_block(header, two.encoded, (), ()),
        encode_block(header, one.encoded, (), None),
        encode_block(header, one.encoded, (header,), ()),
        encode_block(header, one.encoded, (), (Withdrawal(0, 0, SOMEBODY, 1),)),
        one.raw[:-1],
        one.raw + b"\0",
        b"",
        b"\xc0",
        bytes(500),
    ]
    for data in bodies:
        with pytest.raises(VmloomError):
            other.import_block(data)
    assert other.head.number == 0
    assert other.account(SOMEBODY).is_empty


def test_a_file_of_blocks_is_read_to_its_end(tmp_path: Path, make_chain: MakeChain) -> None:
    source, other = make_chain(), make_chain()
    grow(source)
    file = tmp_path / "blocks.rlp"
    file.write_bytes(b"".join(raw(source, number) for number in range(1, 4)))
    assert len(list(split_blocks(file.read_bytes()))) == 3
    assert import_file(other, file) == 3
    assert import_file(other, file) == 0
    file.write_bytes(raw(source, 1)[:-1])
    with pytest.raises(InvalidBlock):
        import_file(other, file)
    with pytest.raises(InputError, match="No such file"):
        import_file(other, tmp_path / "missing")


def test_the_heavier_branch_becomes_the_chain(engine: str, make_chain: MakeChain) -> None:
    one, two, chain = make_chain(fork="berlin"), make_chain(fork="berlin"), make_chain(engine, fork="berlin")
    one.mine(2)
    send(two, to=SOMEBODY, value=3, gas_limit=21_000)
    two.mine(2)
    chain.import_block(raw(one, 1))
    chain.import_block(raw(one, 2))
    heard: list[ChainEvent] = []
    chain.subscribe(heard.append)
    chain.import_block(raw(two, 1))
    assert (chain.head, chain.account(SOMEBODY).balance) == (one.head, 0)
    assert heard == []
    with pytest.raises(UnknownBlock):
        chain.import_block(raw(two, 3))
    chain.import_block(raw(two, 2))
    chain.import_block(raw(two, 3))
    assert (chain.head, chain.account(SOMEBODY).balance) == (two.head, 3)
    assert isinstance(heard[0], Reverted)
    assert [removed.block for removed in heard[0].blocks] == [one.block(2), one.block(1)]
    assert [event.block.number for event in heard if isinstance(event, NewBlock)] == [1, 2, 3]


def test_snapshots_of_a_branch_go_with_it(engine: str, make_chain: MakeChain) -> None:
    one, two, chain = make_chain(fork="berlin"), make_chain(fork="berlin"), make_chain(engine, fork="berlin")
    one.mine(2)
    send(two, to=SOMEBODY, value=3, gas_limit=21_000)
    two.mine(2)
    early = chain.snapshot()
    chain.import_block(raw(one, 1))
    chain.import_block(raw(one, 2))
    late = chain.snapshot()
    chain.import_block(raw(two, 1))  # not heavier: it has been tried, and all is as it was
    assert chain.revert(late, keep=True)
    assert chain.head == one.head
    chain.import_block(raw(two, 2))
    chain.import_block(raw(two, 3))
    assert not chain.revert(late)
    assert (chain.head, chain.account(SOMEBODY).balance) == (two.head, 3)
    assert chain.revert(early)
    assert (chain.head.number, chain.account(SOMEBODY).balance) == (0, 0)


def test_an_invalid_branch_leaves_the_chain(make_chain: MakeChain) -> None:
    one, two, chain = make_chain(fork="berlin"), make_chain(fork="berlin"), make_chain(fork="berlin")
    one.mine()
    two.mine(2, timestamp=one.head.header.timestamp + 1)
    chain.import_block(raw(one, 1))
    stored = two.stored_block(1)
    with pytest.raises(InvalidBlock, match="state_root"):
        chain.import_block(encode_block(replace(stored.block.header, state_root=bytes(32)), stored.encoded))
    assert chain.head == one.head


def test_ommers_are_rewarded_and_checked(make_chain: MakeChain) -> None:
    """A stale block of another chain, included by hand in the next block but one."""
    main, stale, chain = (make_chain(fork="berlin") for _ in range(3))
    main.mine(2)
    stale.coinbase = SOMEBODY
    (ommer,) = stale.mine()
    chain.import_block(raw(main, 1))
    stored = main.stored_block(2)
    from vmloom.hashing import keccak256
    from vmloom_evm import rlp

    def block(*ommers: Header) -> bytes:
        listed = keccak256(rlp.encode([one.items() for one in ommers]))
        return encode_block(replace(stored.block.header, ommers_hash=listed), stored.encoded, ommers)

    with pytest.raises(InvalidBlock, match="state_root"):  # valid but for the reward, which its header does not know
        chain.import_block(block(ommer.header))
    for ommers, reason in (
        ((ommer.header, ommer.header), "included already"),
        ((main.block(1).header,), "no stale block"),
        ((main.block(2).header,), "no stale block"),
        ((ommer.header,) * 3, "at most 2"),
    ):
        with pytest.raises(InvalidBlock, match=reason):
            chain.import_block(block(*ommers))
    assert chain.head.number == 1


# The public format


def as_block_test(chain: Chain, network: str, blocks: list[dict[str, Any]]) -> dict[str, Any]:
    """A test in the public format, whose genesis is that of `chain`."""
    header = chain.block("earliest").header
    state = chain.genesis.state
    names = {
        "parentHash": header.parent_hash, "coinbase": header.coinbase, "extraData": header.extra_data,
        "mixHash": header.mix_hash, "nonce": header.nonce, "hash": header.hash,
    }  # fmt: skip
    numbers = {
        "number": header.number, "timestamp": header.timestamp, "gasLimit": header.gas_limit,
        "difficulty": header.difficulty, "baseFeePerGas": header.base_fee or 0,
        "excessBlobGas": header.excess_blob_gas or 0, "blobGasUsed": header.blob_gas_used or 0,
    }  # fmt: skip
    return {
        "network": network,
        "config": {"chainid": hex(chain.chain_id)},
        "pre": {
            "0x" + address.hex(): {
                "balance": hex(account.balance), "nonce": hex(account.nonce), "code": "0x" + account.code.hex(),
            }
            for address, account in state.accounts()
        },
        "genesisBlockHeader": {
            **{name: "0x" + value.hex() for name, value in names.items()},
            **{name: hex(value) for name, value in numbers.items()},
        },
        "blocks": blocks,
        "lastblockhash": "0x" + chain.head.hash.hex(),
    }  # fmt: skip


@pytest.mark.parametrize("network", ["London", "Cancun", "Osaka"])
def test_tests_in_the_public_format_run(network: str, engine: str, make_chain: MakeChain) -> None:
    source = make_chain(fork=network.lower())
    grow(source)
    good = [{"rlp": "0x" + raw(source, number).hex(), "blockHeader": {}} for number in range(1, 4)]
    bad = {"rlp": "0x" + raw(source, 1)[:-1].hex(), "expectException": "BlockException.RLP_STRUCTURES_ENCODING"}
    values = json.loads(json.dumps({"_info": {}, "name": as_block_test(source, network, [good[0], bad, *good[1:]])}))
    (test,) = read_block_tests(values)
    run_block_test(make_chain(engine, genesis=test.genesis, mining="manual"), test)
    for spoiled in (
        replace(test, last_hash=bytes(32)),
        replace(test, blocks=test.blocks[1:]),
        replace(test, blocks=((test.blocks[0][0], "some reason"),)),
        replace(test, genesis_hash=bytes(32)),
    ):
        with pytest.raises(InvalidBlock):
            run_block_test(make_chain(genesis=test.genesis, mining="manual"), spoiled)


def test_networks_of_test_suites_have_schedules() -> None:
    assert network_schedule("Cancun").fork_at(0, 0).name == "cancun"
    change = network_schedule("ShanghaiToCancunAtTime15k")
    assert [change.fork_at(1, time).name for time in (14_999, 15_000)] == ["shanghai", "cancun"]
    change = network_schedule("BerlinToLondonAt5")
    assert [change.fork_at(number, 10**9).name for number in (4, 5)] == ["berlin", "london"]
    assert network_schedule("GrayGlacier").bomb_delay(0) == 11_400_000
    with pytest.raises(InputError, match="total difficulty"):
        network_schedule("ArrowGlacierToParisAtDiffC0000")
    with pytest.raises(UnknownRevision):
        network_schedule("Nonsense")


def test_a_header_is_read_as_it_was_written(make_chain: MakeChain) -> None:
    for fork in ("frontier", "london", "shanghai", "cancun", "osaka"):
        header = make_chain(fork=fork).mine()[0].header
        assert decode_header(header.items()) == header
        assert decode_header(header.items()).hash == header.hash


def test_a_malformed_header_is_refused_by_field(make_chain: MakeChain) -> None:
    items = make_chain().head.header.items()
    cases: list[tuple[int, Any, str]] = [
        (0, bytes(31), "parent_hash"), (8, b"\0\1", "number"), (9, bytes([1]) * 9, "gas_limit"),
        (6, b"", "logs_bloom"), (14, b"", "nonce"), (1, [], "ommers_hash"), (7, bytes([1]) * 33, "difficulty"),
    ]  # fmt: skip
    for index, value, name in cases:
        with pytest.raises(InvalidHeader) as caught:
            decode_header([*items[:index], value, *items[index + 1 :]])
        assert caught.value.field == name
    for item in (b"", [], items[:14], [*items, b""]):
        with pytest.raises(InvalidHeader):
            decode_header(item)


def test_genesis_of_mainnet_accounts_only(make_chain: MakeChain) -> None:
    """The hash of a genesis block depends on each field: two chains differ in the first block already."""
    hashes = {
        make_chain(genesis=dev_genesis(dev_accounts().addresses, **changes)).head.hash
        for changes in ({}, {"timestamp": 5}, {"gas_limit": 10**7}, {"base_fee": 7}, {"fork": "cancun"}, {"balance": 1})
    }
    assert len(hashes) == 6


def test_the_public_block_tests(fixtures_folder: Path, make_chain: MakeChain) -> None:
    files = sorted((fixtures_folder / "blockchain_tests").rglob("*.json"))
    if not files:
        pytest.skip("the conformance data has no folder blockchain_tests: put BlockchainTests of ethereum/tests there")
    failures: list[str] = []
    for file in files:
        tests = json.loads(file.read_bytes())
        known = {name: test for name, test in tests.items() if not UNSUPPORTED_NETWORK.search(test.get("network", ""))}
        for test in read_block_tests(known):
            try:
                run_block_test(make_chain(genesis=test.genesis, mining="manual", creates_foreign=False), test)
            except InvalidBlock as error:
                failures.append(f"{file.name}: {error}")
    assert failures == []
