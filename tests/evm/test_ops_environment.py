"""What a contract can ask: of its call, of accounts, of the transaction and of the block."""

from __future__ import annotations

from dataclasses import replace

import pytest
from vmloom.hashing import keccak256
from vmloom_evm.assembly import (
    Op,
    address,
    balance,
    blobhash,
    blockhash,
    calldataload,
    calldatasize,
    caller,
    callvalue,
    difficulty,
    extcodecopy,
    extcodehash,
    extcodesize,
    gasprice,
    mstore,
    op,
    origin,
    pop,
    prevrandao,
    push,
    ret_bytes,
    return_,
    selfbalance,
    sstore,
    stop,
)
from vmloom_evm.testing import BLOCK, COINBASE, CONTRACT, SENDER, EvmUnderTest

MAX = 2**256 - 1


def number_of(address: bytes) -> int:
    return int.from_bytes(address, "big")


# The call


def test_address_caller_origin_and_value_are_those_of_the_call(evm: EvmUnderTest) -> None:
    assert evm.value_of(address) == number_of(CONTRACT)
    assert evm.value_of(caller) == number_of(SENDER)
    assert evm.value_of(origin) == number_of(SENDER)
    assert evm.value_of(callvalue, value=77) == 77


def test_caller_is_who_calls_and_origin_who_sent_the_transaction(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import call, mload

    callee = evm.deploy(mstore(0, caller) + mstore(32, origin) + return_(0, 64))
    outcome = evm.run(pop(call(callee, output=(0, 64))) + return_(0, 64))
    assert outcome.words == [number_of(CONTRACT), number_of(SENDER)]
    assert evm.value_of(pop(call(callee, output=(0, 64))) + mload(0)) == number_of(CONTRACT)


def test_calldataload_reads_a_word_with_zeros_beyond_the_end(evm: EvmUnderTest) -> None:
    data = bytes(range(1, 41))
    assert evm.value_of(calldataload(0), input=data) == int.from_bytes(data[:32], "big")
    assert evm.value_of(calldataload(16), input=data) == int.from_bytes(data[16:] + bytes(8), "big")
    assert evm.value_of(calldataload(40), input=data) == 0
    assert evm.value_of(calldataload(MAX), input=data) == 0
    assert evm.value_of(calldataload(2**64), input=data) == 0


def test_calldatasize_is_the_size_of_the_input(evm: EvmUnderTest) -> None:
    assert evm.value_of(calldatasize) == 0
    assert evm.value_of(calldatasize, input=bytes(1000)) == 1000


def test_gasprice_is_that_of_the_transaction(evm: EvmUnderTest) -> None:
    assert evm.value_of(gasprice, gas_price=12) == 12


# Accounts


def test_balance_of_accounts(evm: EvmUnderTest) -> None:
    rich = evm.deploy(balance=500)
    assert evm.value_of(balance(rich)) == 500
    assert evm.value_of(balance(0xDEAD)) == 0
    assert evm.value_of(balance(address), value=5) == 5


def test_selfbalance_is_the_balance_of_the_executing_account(evm: EvmUnderTest) -> None:
    assert evm.value_of(selfbalance, balance=40, value=2) == 42


def test_upper_bytes_of_an_address_word_are_ignored(evm: EvmUnderTest) -> None:
    rich = evm.deploy(stop, balance=500)
    dirty = (0xFFFF << 160) | number_of(rich)
    assert evm.value_of(balance(dirty)) == 500
    assert evm.value_of(extcodesize(dirty)) == 1


def test_extcodesize_and_extcodecopy_see_the_code_of_an_account(evm: EvmUnderTest) -> None:
    code = bytes(range(1, 50))
    other = evm.deploy(code)
    assert evm.value_of(extcodesize(other)) == 49
    assert evm.value_of(extcodesize(0xDEAD)) == 0
    program = mstore(0, MAX) + extcodecopy(other, 0, 45, 8) + return_(0, 10)
    assert evm.run(program).output == code[45:] + bytes(4) + b"\xff\xff"


def test_extcodecopy_from_far_beyond_the_code_is_zeros(evm: EvmUnderTest) -> None:
    other = evm.deploy(b"\x01" * 40)
    assert evm.run(mstore(0, MAX) + extcodecopy(other, 0, MAX, 4) + return_(0, 5)).output == b"\0\0\0\0\xff"


def test_extcodehash_is_the_hash_of_code_and_zero_for_dead_accounts(evm: EvmUnderTest) -> None:
    contract = evm.deploy(stop)
    codeless = evm.deploy(balance=1, nonce=0)
    empty = evm.deploy(nonce=0)
    assert evm.value_of(extcodehash(contract)) == number_of(keccak256(b"\0"))
    assert evm.value_of(extcodehash(codeless)) == number_of(keccak256(b""))
    assert evm.value_of(extcodehash(empty)) == 0
    assert evm.value_of(extcodehash(0xDEAD)) == 0


def test_extcodehash_treats_a_precompile_as_any_account(evm: EvmUnderTest) -> None:
    assert evm.value_of(extcodehash(1)) == 0
    evm.deploy(balance=1, nonce=0, at=1)
    assert evm.value_of(extcodehash(1)) == number_of(keccak256(b""))


# Warm and cold (EIP-2929)

QUERIES = [balance, extcodesize, extcodehash]


@pytest.mark.parametrize("query", QUERIES, ids=repr)
def test_first_query_of_an_account_is_cold_and_the_next_one_warm(evm: EvmUnderTest, query: Op) -> None:
    evm = evm.at("berlin")
    other = evm.deploy(stop)
    once = evm.gas_of(query(other))
    assert once - 3 == 2_600
    assert evm.gas_of(query(other) + query(other)) - once - 3 == 100


@pytest.mark.parametrize("first", QUERIES, ids=repr)
@pytest.mark.parametrize("second", QUERIES, ids=repr)
def test_all_queries_share_one_set_of_accounts(evm: EvmUnderTest, first: Op, second: Op) -> None:
    other = evm.deploy(stop)
    assert evm.gas_of(first(other) + second(other)) == 3 + 2_600 + 3 + 100


def test_extcodecopy_warms_the_account(evm: EvmUnderTest) -> None:
    other = evm.deploy(stop)
    assert evm.gas_of(extcodecopy(other, 0, 0, 0) + balance(other)) == 4 * 3 + 2_600 + 3 + 100


@pytest.mark.parametrize("account", [CONTRACT, SENDER, bytes(19) + b"\x01", bytes(19) + b"\x11", bytes(18) + b"\x01\0"])
def test_caller_callee_and_precompiles_are_warm_from_the_beginning(evm: EvmUnderTest, account: bytes) -> None:
    assert evm.gas_of(balance(account)) == 3 + 100


@pytest.mark.parametrize(
    ("fork", "account", "cost"),
    [
        ("berlin", 9, 100),
        ("berlin", 10, 2_600),  # no precompile yet
        ("cancun", 10, 100),  # EIP-4844
        ("cancun", 11, 2_600),
        ("prague", 0x11, 100),  # EIP-2537
        ("prague", 0x12, 2_600),
        ("prague", 0x100, 2_600),
        ("osaka", 0x100, 100),  # EIP-7951
    ],
)
def test_only_precompiles_of_the_fork_are_warm(evm: EvmUnderTest, fork: str, account: int, cost: int) -> None:
    assert evm.at(fork).gas_of(balance(account)) == 3 + cost


def test_selfbalance_does_not_touch_the_set(evm: EvmUnderTest) -> None:
    assert evm.gas_of(selfbalance) == 5


def test_nothing_stays_warm_from_one_transaction_to_the_next(evm: EvmUnderTest) -> None:
    other = evm.deploy(stop)
    assert evm.gas_of(balance(other)) == evm.gas_of(balance(other)) == 3 + 2_600


@pytest.mark.parametrize("fork", ["frontier", "tangerine_whistle", "istanbul"])
def test_before_berlin_every_query_costs_the_same(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    assert evm.gas_of(balance(7) + balance(7)) == 2 * evm.gas_of(balance(7))


# The transaction and the block


def test_block_fields(evm: EvmUnderTest) -> None:
    block = replace(BLOCK, base_fee=7, blob_base_fee=9, prev_randao=2**255 + 3, difficulty=11, chain_id=1337)
    found = {
        name: evm.value_of(op(name), block=block)
        for name in ["COINBASE", "TIMESTAMP", "NUMBER", "DIFFICULTY", "GASLIMIT", "CHAINID", "BASEFEE", "BLOBBASEFEE"]
    }
    assert found == {
        "COINBASE": number_of(COINBASE),
        "TIMESTAMP": 1_900_000_000,
        "NUMBER": 1_000,
        "DIFFICULTY": 2**255 + 3,
        "GASLIMIT": 100_000_000,
        "CHAINID": 1337,
        "BASEFEE": 7,
        "BLOBBASEFEE": 9,
    }


def test_difficulty_is_randomness_since_paris(evm: EvmUnderTest) -> None:
    block = replace(BLOCK, prev_randao=33, difficulty=11)
    assert evm.at("london").value_of(difficulty, block=block) == 11
    assert evm.at("paris").value_of(prevrandao, block=block) == 33


@pytest.mark.parametrize(
    ("asked", "known"),
    [
        (999, True),
        (744, True),
        (743, False),
        (1_000, False),
        (1_001, False),
        (0, False),
        (MAX, False),
        (2**64 + 999, False),
    ],
)
def test_blockhash_knows_the_last_256_blocks(evm: EvmUnderTest, asked: int, known: bool) -> None:
    evm.state.block_hashes.update({n: keccak256(str(n).encode()) for n in range(1_100)})
    expected = number_of(keccak256(str(asked).encode())) if known else 0
    assert evm.value_of(blockhash(asked)) == expected


def test_blockhash_in_an_early_block_reaches_back_to_genesis(evm: EvmUnderTest) -> None:
    evm.state.block_hashes[0] = b"\x07" * 32
    assert evm.value_of(blockhash(0), block=replace(BLOCK, number=5)) == number_of(b"\x07" * 32)


def test_blobhash_is_the_hash_at_the_index_and_zero_out_of_range(evm: EvmUnderTest) -> None:
    hashes = (b"\x01" + b"a" * 31, b"\x01" + b"b" * 31)
    for index, expected in [(0, hashes[0]), (1, hashes[1]), (2, b""), (2**64, b""), (MAX, b"")]:
        assert evm.value_of(blobhash(index), blob_hashes=hashes) == number_of(expected)


def test_blobhash_is_seen_by_every_frame_of_the_transaction(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import call, mload, ret_top

    callee = evm.deploy(ret_top(blobhash(0)))
    program = pop(call(callee, output=(0, 32))) + mload(0)
    assert evm.value_of(program, blob_hashes=(b"\x01" + b"a" * 31,)) == number_of(b"\x01" + b"a" * 31)


def test_code_of_an_account_changes_with_its_deployment_only(evm: EvmUnderTest) -> None:
    other = evm.deploy(ret_bytes(b"x"))
    evm.run(sstore(0, 1) + push(1))
    assert evm.value_of(extcodesize(other)) == len(ret_bytes(b"x"))
