"""The backend for eth-tester: its own kit, whole, and what the kit does not ask."""

from __future__ import annotations

from typing import Any

import pytest
from eth_tester import EthereumTester
from eth_tester.exceptions import SnapshotNotFound, TransactionFailed, ValidationError
from eth_tester.utils.backend_testing import BaseTestBackendDirect
from vmloom_evm.assembly import deployer, mstore, revert
from vmloom_node.clients.eth_tester import CHAIN_ID, VmloomBackend

MNEMONIC = "test test test test test test test test test test test junk"
SENDER = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


@pytest.fixture
def eth_tester() -> EthereumTester:
    return EthereumTester(backend=VmloomBackend())


class TestKit(BaseTestBackendDirect):  # type: ignore[misc] # eth-tester has no types
    """eth-tester's tests for backends."""

    def test_send_raw_transaction_invalid_rlp_transaction(self, eth_tester: EthereumTester) -> None:
        pytest.importorskip("eth", reason="this test of the kit asks for an exception of py-evm, of the group bench")
        super().test_send_raw_transaction_invalid_rlp_transaction(eth_tester)


def send(tester: EthereumTester, **fields: Any) -> Any:
    sender = tester.get_accounts()[0]
    return tester.send_transaction({"from": sender, "to": sender, "gas": 21_000, **fields})


def test_accounts_of_a_mnemonic() -> None:
    backend = VmloomBackend.from_mnemonic(MNEMONIC, {"balance": 7}, num_accounts=3, hd_path="m/44'/60'/0'/0")
    tester = EthereumTester(backend=backend)
    assert tester.get_accounts()[0] == SENDER
    assert [tester.get_balance(one) for one in tester.get_accounts()] == [7, 7, 7]


def test_genesis_as_it_is_wanted() -> None:
    address = bytes.fromhex("00" * 19 + "77")
    backend = VmloomBackend(
        {"gas_limit": 5_000_000, "timestamp": 1_000},
        {address: {"balance": 5, "nonce": 3, "code": b"\x00", "storage": {1: 2}}},
    )
    tester = EthereumTester(backend=backend)
    block = tester.get_block_by_number(0)
    assert (block["gas_limit"], block["timestamp"]) == (5_000_000, 1_000)
    assert (tester.get_balance(address.hex()), tester.get_nonce(address.hex())) == (5, 3)
    assert int(tester.get_storage_at("0x" + address.hex(), "0x1"), 16) == 2
    with pytest.raises(ValidationError, match="unknown gaslimit"):
        VmloomBackend({"gaslimit": 1})


def test_older_forks() -> None:
    tester = EthereumTester(backend=VmloomBackend(hardfork="berlin"))
    send(tester, gas_price=10**9)
    assert "base_fee_per_gas" not in tester.get_block_by_number("latest")


def test_what_cannot_run_is_refused_and_does_not_wait(eth_tester: EthereumTester) -> None:
    with pytest.raises(ValidationError, match="nonce too high: 5, the next one is 0"):
        send(eth_tester, nonce=5)
    with pytest.raises(ValidationError, match="below the base fee"):
        send(eth_tester, max_fee_per_gas=1, max_priority_fee_per_gas=1)
    with pytest.raises(ValidationError, match="INSUFFICIENT"):
        send(eth_tester, value=10**30)
    with pytest.raises(ValidationError, match='No valid "from" key'):
        eth_tester.send_transaction({"from": "0x" + "11" * 20, "to": "0x" + "11" * 20, "gas": 21_000})
    send(eth_tester)
    assert len(eth_tester.get_block_by_number("latest")["transactions"]) == 1


def test_a_snapshot_serves_more_than_once(eth_tester: EthereumTester) -> None:
    snapshot = eth_tester.take_snapshot()
    for _ in range(3):
        send(eth_tester)
        eth_tester.revert_to_snapshot(snapshot)
        assert eth_tester.get_block_by_number("latest")["number"] == 0
    with pytest.raises(SnapshotNotFound):
        eth_tester.backend.revert_to_snapshot(99)


def test_withdrawals_are_paid(eth_tester: EthereumTester) -> None:
    address = "0x" + "ab" * 20
    eth_tester.backend.apply_withdrawals([{"index": 0, "validator_index": 1, "address": address, "amount": 3}])
    assert eth_tester.get_balance(address) == 3 * 10**9
    block = eth_tester.get_block_by_number("latest")
    assert [one["amount"] for one in block["withdrawals"]] == [3]
    eth_tester.mine_blocks()
    assert eth_tester.get_balance(address) == 3 * 10**9
    with pytest.raises(ValidationError, match="Shanghai"):
        VmloomBackend(hardfork="paris").apply_withdrawals([])


def test_reverts_without_text_are_told_as_pyevm_does(eth_tester: EthereumTester) -> None:
    code = mstore(0, 0xDEADBEEF) + revert(28, 4)
    init = "0x" + bytes(deployer(code)).hex()
    receipt = eth_tester.get_transaction_receipt(
        eth_tester.send_transaction({"from": eth_tester.get_accounts()[0], "data": init, "gas": 100_000})
    )
    call = {"from": eth_tester.get_accounts()[0], "to": receipt["contract_address"]}
    assert eth_tester.get_code(receipt["contract_address"]) == "0x" + bytes(code).hex()
    with pytest.raises(TransactionFailed) as failed:
        eth_tester.call(call)
    assert failed.value.args[0] == r"b'\xde\xad\xbe\xef'"
    with pytest.raises(TransactionFailed):
        eth_tester.estimate_gas(call)


def test_web3_by_its_own_provider(eth_tester: EthereumTester) -> None:
    web3 = pytest.importorskip("web3", reason="web3.py is not installed: pip install vmloom-node[web3]")
    w3 = web3.Web3(web3.EthereumTesterProvider(eth_tester))
    sender, receiver = w3.eth.accounts[:2]
    before = w3.eth.get_balance(receiver)
    receipt = w3.eth.wait_for_transaction_receipt(w3.eth.send_transaction({"from": sender, "to": receiver, "value": 5}))
    assert (receipt["status"], w3.eth.get_balance(receiver)) == (1, before + 5)


def test_the_chain_id_is_that_of_eth_tester(eth_tester: EthereumTester) -> None:
    assert eth_tester.get_transaction_by_hash(send(eth_tester))["chain_id"] == CHAIN_ID
