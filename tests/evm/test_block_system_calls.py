"""Calls that the protocol makes, with contracts that tell what they see and with the real ones of the EIPs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from vmloom import BlockContext
from vmloom_evm.assembly import (
    Bytecode,
    address,
    balance,
    calldataload,
    calldatasize,
    caller,
    callvalue,
    gas,
    gasprice,
    log1,
    origin,
    pop,
    ret_top,
    revert,
    sstore,
    sub,
)
from vmloom_evm.assembly import call as evm_call
from vmloom_evm.block import system_calls
from vmloom_evm.block.invalid import InvalidBlock
from vmloom_evm.block.requests import CONSOLIDATION_REQUESTS, WITHDRAWAL_REQUESTS, collect_requests
from vmloom_evm.block.system_calls import call_system_contracts, open_block
from vmloom_evm.system import SYSTEM_ADDRESS, SystemCall
from vmloom_evm.testing import BLOCK, SENDER, EvmUnderTest

BEACON_ROOTS_CREATION = bytes.fromhex(
    "60618060095f395ff33373fffffffffffffffffffffffffffffffffffffffe14604d57602036146024575f5ffd5b5f358015"
    "60495762001fff810690815414603c575f5ffd5b62001fff01545f5260205ff35b5f5ffd5b62001fff42064281555f359062"
    "001fff015500"
)
"""Input of the transaction that deployed it: EIP-4788, section Deployment (CC0)."""
HISTORY_STORAGE_CREATION = bytes.fromhex(
    "60538060095f395ff33373fffffffffffffffffffffffffffffffffffffffe14604657602036036042575f35600143038111"
    "604257611fff81430311604257611fff9006545f5260205ff35b5f5ffd5b5f35611fff60014303065500"
)
"""Input of the transaction that deployed it: EIP-2935, section Deployment (CC0)."""
WITHDRAWAL_REQUESTS_CREATION = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff5f556101f880602d5f395ff33373ffffff"
    "fffffffffffffffffffffffffffffffffe1460cb5760115f54807fffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffff146101f457600182026001905f5b5f82111560685781019083028483029004916001019190604d565b"
    "909390049250505036603814608857366101f457346101f4575f5260205ff35b34106101f457600154600101600155600354"
    "806003026004013381556001015f35815560010160203590553360601b5f5260385f601437604c5fa0600101600355005b60"
    "03546002548082038060101160df575060105b5f5b8181146101835782810160030260040181604c02815460601b81526014"
    "01816001015481526020019060020154807fffffffffffffffffffffffffffffffff00000000000000000000000000000000"
    "168252906010019060401c908160381c81600701538160301c81600601538160281c81600501538160201c81600401538160"
    "181c81600301538160101c81600201538160081c81600101535360010160e1565b910180921461019557906002556101a056"
    "5b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff1415"
    "6101cd57505f5b6001546002828201116101e25750505f6101e8565b01600290035b5f555f600155604c025ff35b5f5ffd"
)
"""Input of the transaction that deployed it: EIP-7002, section Deployment (CC0)."""
CONSOLIDATION_REQUESTS_CREATION = bytes.fromhex(
    "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff5f5561019e80602d5f395ff33373ffffff"
    "fffffffffffffffffffffffffffffffffe1460d35760115f54807fffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffffff1461019a57600182026001905f5b5f82111560685781019083028483029004916001019190604d565b"
    "9093900492505050366060146088573661019a573461019a575f5260205ff35b341061019a57600154600101600155600354"
    "806004026004013381556001015f358155600101602035815560010160403590553360601b5f5260605f60143760745fa060"
    "0101600355005b6003546002548082038060021160e7575060025b5f5b818114610129578281016004026004018160740281"
    "5460601b815260140181600101548152602001816002015481526020019060030154905260010160e9565b91018092146101"
    "3b5790600255610146565b90505f6002555f6003555b5f54807fffffffffffffffffffffffffffffffffffffffffffffffff"
    "ffffffffffffffff141561017357505f5b6001546001828201116101885750505f61018e565b01600190035b5f555f600155"
    "6074025ff35b5f5ffd"
)
"""Input of the transaction that deployed it: EIP-7251, section Deployment (CC0)."""

DEPLOYED = {
    system_calls.BEACON_ROOTS_ADDRESS: BEACON_ROOTS_CREATION,
    system_calls.HISTORY_STORAGE_ADDRESS: HISTORY_STORAGE_CREATION,
    system_calls.WITHDRAWAL_REQUESTS_ADDRESS: WITHDRAWAL_REQUESTS_CREATION,
    system_calls.CONSOLIDATION_REQUESTS_ADDRESS: CONSOLIDATION_REQUESTS_CREATION,
}
RING = 8191
"""EIP-2935, EIP-4788: how many roots and hashes the contracts keep."""
ROOT = bytes.fromhex("bea0") * 16
HASH = bytes.fromhex("9a5e") * 16


def surroundings(evm: EvmUnderTest) -> dict[str, Any]:
    return {"host": evm.vm.host, "engine": evm.vm.executor}


def call(evm: EvmUnderTest, target: bytes, data: bytes = b"", *, required: bool = False) -> bytes:
    specification = evm.vm.specification(evm.vm.fork_at(BLOCK))
    calls = [SystemCall(target, data)]
    return call_system_contracts(specification, evm.state, BLOCK, calls, required=required, **surroundings(evm))[0]


def open_with(evm: EvmUnderTest, block: BlockContext = BLOCK) -> None:
    specification = evm.vm.specification(evm.vm.fork_at(block))
    open_block(specification, evm.state, block, parent_beacon_root=ROOT, parent_hash=HASH, **surroundings(evm))


def requests_of(evm: EvmUnderTest) -> tuple[bytes, ...]:
    specification = evm.vm.specification(evm.vm.fork_at(BLOCK))
    return collect_requests(specification, evm.state, BLOCK, (), **surroundings(evm))


@pytest.fixture
def chain(evm: EvmUnderTest) -> EvmUnderTest:
    """An EVM with the real system contracts, deployed by their own init code."""
    for at, creation in DEPLOYED.items():
        result = evm.transact(None, data=creation)
        assert result.created is not None, result.error
        evm.deploy(evm.code(result.created), at=at, storage=evm.state.storage_of(result.created))
    return evm


# What the call is


def test_contract_sees_the_system_address_its_data_and_nothing_else(evm: EvmUnderTest) -> None:
    seen = (gas, caller, origin, callvalue, gasprice, calldatasize, calldataload(0))
    code = sstore(0, seen[0])
    for slot, what in enumerate(seen[1:], start=1):
        code += sstore(slot, what)
    target = evm.deploy(code)
    assert call(evm, target, ROOT) == b""
    system = int.from_bytes(SYSTEM_ADDRESS, "big")
    words = [evm.storage(target, slot) for slot in range(len(seen))]
    assert words == [30_000_000 - 2, system, system, 0, 0, 32, int.from_bytes(ROOT, "big")]


def test_call_brings_no_account_about_and_takes_no_fee(evm: EvmUnderTest) -> None:
    target = evm.deploy(sstore(0, 1))
    before = evm.contents()
    call(evm, target)
    after = evm.contents()
    assert after.keys() == before.keys()
    assert after[SENDER] == before[SENDER]
    assert after[target][0] == before[target][0]


def test_nothing_is_warm_when_the_call_begins(evm: EvmUnderTest) -> None:
    target = evm.deploy(gas + pop(balance(address)) + gas + sub() + ret_top())
    spent = 2**256 - int.from_bytes(call(evm, target), "big")
    assert spent == 2_600 + 2 + 2 + 2  # cold BALANCE, ADDRESS, POP, GAS
    # and what the call has warmed is cold in the next
    assert 2**256 - int.from_bytes(call(evm, target), "big") == spent


def test_accounts_that_the_call_leaves_empty_are_deleted(evm: EvmUnderTest) -> None:
    empty = evm.deploy(b"", nonce=0)
    call(evm, evm.deploy(evm_call(empty)))
    assert not evm.exists(empty)


def test_output_is_what_the_contract_returns(evm: EvmUnderTest) -> None:
    assert call(evm, evm.deploy(ret_top(7))) == (7).to_bytes(32, "big")


def test_contract_that_is_missing_is_passed_over_unless_required(evm: EvmUnderTest) -> None:
    nobody = bytes.fromhex("ab" * 20)
    before = evm.contents()
    assert call(evm, nobody) == b""
    with pytest.raises(InvalidBlock, match="no code"):
        call(evm, nobody, required=True)
    assert evm.contents() == before


@pytest.mark.parametrize("ending", [revert(0, 0), pop], ids=["revert", "stack underflow"])
def test_contract_that_fails_changes_nothing_and_is_an_error_if_required(evm: EvmUnderTest, ending: Bytecode) -> None:
    target = evm.deploy(sstore(0, 1) + log1(0, 0, 7) + ending)
    before = evm.contents()
    assert call(evm, target) == b""
    assert evm.contents() == before
    with pytest.raises(InvalidBlock, match="failed"):
        call(evm, target, required=True)


# The contracts of the EIPs


def test_beacon_root_can_be_asked_for_by_its_time(chain: EvmUnderTest) -> None:
    evm, target = chain, system_calls.BEACON_ROOTS_ADDRESS
    open_with(evm)
    slot = BLOCK.timestamp % RING
    assert evm.storage(target, slot) == BLOCK.timestamp
    assert evm.storage(target, slot + RING) == int.from_bytes(ROOT, "big")
    answer = evm.run(evm.code(target), at=target, input=BLOCK.timestamp.to_bytes(32, "big"))
    assert answer.output == ROOT
    assert not evm.run(evm.code(target), at=target, input=(BLOCK.timestamp - 1).to_bytes(32, "big")).success


def test_parent_hash_can_be_asked_for_by_its_number(chain: EvmUnderTest) -> None:
    target = system_calls.HISTORY_STORAGE_ADDRESS
    open_with(chain)
    assert chain.storage(target, (BLOCK.number - 1) % RING) == int.from_bytes(HASH, "big")
    answer = chain.run(chain.code(target), at=target, input=(BLOCK.number - 1).to_bytes(32, "big"))
    assert answer.output == HASH


@pytest.mark.parametrize(("fork", "beacon", "history"), [("shanghai", 0, 0), ("cancun", 1, 0), ("prague", 1, 1)])
def test_contracts_are_told_from_their_fork_on(evm: EvmUnderTest, fork: str, beacon: int, history: int) -> None:
    evm = evm.at(fork)
    evm.deploy(sstore(0, 1), at=system_calls.BEACON_ROOTS_ADDRESS)
    evm.deploy(sstore(0, 1), at=system_calls.HISTORY_STORAGE_ADDRESS)
    open_with(evm)
    assert evm.storage(system_calls.BEACON_ROOTS_ADDRESS, 0) == beacon
    assert evm.storage(system_calls.HISTORY_STORAGE_ADDRESS, 0) == history


def test_block_without_the_contracts_that_remember_is_valid(evm: EvmUnderTest) -> None:
    before = evm.contents()
    open_with(evm)
    assert evm.contents() == before


def test_withdrawal_request_is_taken_from_the_queue_at_the_end_of_the_block(chain: EvmUnderTest) -> None:
    target = system_calls.WITHDRAWAL_REQUESTS_ADDRESS
    key, amount = bytes(range(48)), 32 * 10**9
    data = key + amount.to_bytes(8, "big")
    assert not chain.transact(target, data=data, value=1).success  # the queue opens with the fork's first block
    assert requests_of(chain) == ()
    assert chain.transact(target, data=data, value=1).success
    assert requests_of(chain) == (WITHDRAWAL_REQUESTS + SENDER + key + amount.to_bytes(8, "little"),)
    assert requests_of(chain) == ()


def test_consolidation_request_is_taken_from_the_queue_at_the_end_of_the_block(chain: EvmUnderTest) -> None:
    target = system_calls.CONSOLIDATION_REQUESTS_ADDRESS
    keys = bytes(range(96))
    assert requests_of(chain) == ()
    assert chain.transact(target, data=keys, value=1).success
    assert requests_of(chain) == (CONSOLIDATION_REQUESTS + SENDER + keys,)
    assert requests_of(chain) == ()


@pytest.mark.parametrize(
    "missing", [system_calls.WITHDRAWAL_REQUESTS_ADDRESS, system_calls.CONSOLIDATION_REQUESTS_ADDRESS]
)
def test_block_without_a_request_contract_is_invalid(chain: EvmUnderTest, missing: bytes) -> None:
    chain.deploy(b"", at=missing)
    with pytest.raises(InvalidBlock, match=missing.hex()):
        requests_of(chain)


def test_calls_do_not_count_towards_the_block(evm: EvmUnderTest) -> None:
    target = evm.deploy(sstore(0, 1))
    specification = evm.vm.specification(evm.vm.fork_at(BLOCK))
    full = replace(BLOCK, gas_limit=0)
    call_system_contracts(specification, evm.state, full, [SystemCall(target, b"")], **surroundings(evm))
    assert evm.storage(target, 0) == 1
