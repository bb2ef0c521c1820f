from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from vmloom.errors import VmloomError
from vmloom_evm.block.system_calls import BEACON_ROOTS_ADDRESS
from vmloom_node.chain import load_genesis
from vmloom_node.chain.genesis import GETH_TIMES, parse_geth_genesis, parse_toml_genesis, schedule_of

from .conftest import MakeChain

ADDRESS = "0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266"
GETH: dict[str, Any] = {
    "config": {
        "chainId": 1337,
        "homesteadBlock": 0, "eip150Block": 0, "eip155Block": 0, "eip158Block": 0, "byzantiumBlock": 0,
        "constantinopleBlock": 0, "petersburgBlock": 0, "istanbulBlock": 0, "muirGlacierBlock": 0, "berlinBlock": 0,
        "londonBlock": 0, "arrowGlacierBlock": 0, "grayGlacierBlock": 0,
        "terminalTotalDifficulty": 0, "shanghaiTime": 0, "cancunTime": 1_700_000_000,
        "ethash": {}, "blobSchedule": {"cancun": {"target": 4, "max": 8, "baseFeeUpdateFraction": 5_000_000}},
    },
    "nonce": "0x42", "timestamp": "0x10", "extraData": "0x11bbe8db", "gasLimit": "0x1c9c380", "difficulty": "0x0",
    "mixHash": "0x" + "00" * 32, "coinbase": "0x" + "00" * 20, "number": "0x0", "gasUsed": "0x0",
    "parentHash": "0x" + "00" * 32, "baseFeePerGas": "0x7",
    "alloc": {ADDRESS: {"balance": "0x10", "nonce": "0x1", "code": "0x6001", "storage": {"0x01": "0x02"}}},
}  # fmt: skip


def changed(**values: Any) -> dict[str, Any]:
    return {**GETH, **values}


def test_geths_genesis_is_read_in_full(make_chain: MakeChain) -> None:
    genesis = parse_geth_genesis(GETH)
    assert (genesis.chain_id, genesis.gas_limit, genesis.timestamp) == (1337, 30_000_000, 16)
    assert (genesis.nonce, genesis.extra_data, genesis.base_fee) == (bytes(7) + b"\x42", bytes.fromhex("11bbe8db"), 7)
    names = [genesis.schedule.fork_at(0, time).name for time in (0, 1_699_999_999, 1_700_000_000)]
    assert names == ["shanghai", "shanghai", "cancun"]
    rules = genesis.schedule.fork_at(1, 1_700_000_000).rules
    assert (rules.blob_target, rules.blob_limit, rules.blob_fee_fraction) == (4, 8, 5_000_000)
    chain = make_chain(genesis=genesis, mining="manual")
    account = chain.account(bytes.fromhex(ADDRESS[2:]))
    assert (account.balance, account.nonce, account.code) == (16, 1, b"\x60\x01")
    assert chain.storage(bytes.fromhex(ADDRESS[2:]), 1) == 2


def test_the_hash_of_mainnets_header_fields_is_known() -> None:
    """The first block of mainnet: its header is public, its state root given here."""
    genesis = parse_geth_genesis(
        {
            "config": {"chainId": 1, "homesteadBlock": 1_150_000},
            "nonce": "0x42",
            "gasLimit": "0x1388",
            "difficulty": "0x400000000",
            "extraData": "0x11bbe8db4e347b4e8c937c1c8370e4b5ed33adb3db69cbdb7a38e1e50b1b82fa",
            "alloc": {},
        }
    )
    root = bytes.fromhex("d7f8974fb5ac78d9ac099b9ad5018bedc2ce0a72dad1827a1709da30580f0544")
    assert genesis.header(root).hash.hex() == "d4e56740f876aef8c010b86a40d5f56745a118d0906a34e69aec8c0db1cb8fa3"


def test_spellings_that_files_have_as_well() -> None:
    genesis = parse_geth_genesis(changed(extraData=None, extradata="0x01", gasLimit="30000000", timestamp=5))
    assert genesis.timestamp == 5
    assert parse_geth_genesis({**GETH, "nonce": 7}).nonce == bytes(7) + b"\7"
    assert set(GETH_TIMES) >= {"shanghaiTime", "cancunTime", "pragueTime", "osakaTime", "bpo1Time"}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "JSON object"),
        ({"alloc": {}}, "config"),
        (changed(config=None), "config"),
        (changed(gasLimit="0xzz"), "gasLimit"),
        (changed(nonce="0x" + "11" * 9), "nonce"),
        (changed(mixHash="0x11"), "mixHash"),
        (changed(alloc=[]), "alloc"),
        (changed(alloc={"0x12": {}}), "0x12"),
        (changed(alloc={ADDRESS: {"balance": "-1"}}), "balance"),
        (changed(config={"chainId": 1 << 64}), "chainId"),
        (changed(config={"londonBlock": "x"}), "londonBlock"),
        (changed(config={"blobSchedule": {"nonsense": {}}}), "nonsense"),
        (changed(config={"terminalTotalDifficulty": 0, "londonBlock": 5, "berlinBlock": 9}), "london begins"),
        (changed(config={"shanghaiTime": 9, "cancunTime": 5}), "cancun begins"),
    ],
)
def test_what_cannot_be_used_is_an_error_with_its_key(values: Any, words: str) -> None:
    with pytest.raises(VmloomError, match=words):
        parse_geth_genesis(values)


def test_our_toml(tmp_path: Path) -> None:
    file = tmp_path / "genesis.toml"
    file.write_text(
        f"""
        chain_id = 5
        gas_limit = 12_000_000
        coinbase = "0x{"11" * 20}"
        [forks]
        london = 0
        paris = 10
        cancun = 1_000
        [alloc.{ADDRESS}]
        balance = "10000000000000000000000"
        """
    )
    genesis = load_genesis(file)
    assert (genesis.chain_id, genesis.gas_limit, genesis.coinbase) == (5, 12_000_000, b"\x11" * 20)
    found = [genesis.schedule.fork_at(number, time).name for number, time in ((0, 0), (9, 2000), (10, 0), (10, 1000))]
    assert found == ["london", "london", "paris", "cancun"]
    assert genesis.state.get_balance(bytes.fromhex(ADDRESS[2:])) == 10**22
    assert genesis.state.get_code(BEACON_ROOTS_ADDRESS)
    assert not parse_toml_genesis({"system_contracts": False}).state.get_code(BEACON_ROOTS_ADDRESS)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"chainid": 1}, "did you mean `chain_id`"),
        ({"fork": "cancum"}, "cancum"),
        ({"fork": "cancun", "forks": {}}, "not together"),
        ({"forks": {}}, "table"),
        ({"fork": 5}, "text"),
        ({"system_contracts": 1}, "true or false"),
        ({"gas_limit": -1}, "gas_limit"),
        ({"coinbase": "0x11"}, "coinbase"),
    ],
)
def test_mistakes_in_toml_are_errors(values: dict[str, Any], words: str) -> None:
    with pytest.raises(VmloomError, match=words):
        parse_toml_genesis(values)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    cases = {"a.json": b"{", "b.toml": b"= 1", "c.json": b"\xff", "d.json": b"[" * 100_000, "e.json": b"[]"}
    for name, data in cases.items():
        (tmp_path / name).write_bytes(data)
        with pytest.raises(VmloomError, match=name):
            load_genesis(tmp_path / name)
    with pytest.raises(VmloomError, match="No such file"):
        load_genesis(tmp_path / "missing.json")
    (tmp_path / "good.json").write_text(json.dumps(GETH))
    assert load_genesis(tmp_path / "good.json").chain_id == 1337


def test_one_fork_from_the_beginning() -> None:
    assert schedule_of("berlin").fork_at(0, 0).name == "berlin"
    assert schedule_of("Prague").fork_at(0, 0).name == "prague"
    assert schedule_of("paris").fork_at(5, 10**10).name == "paris"
