"""Contracts of other VMs on the chain, created by ordinary transactions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from vmloom.demo import DemoToken
from vmloom.errors import InputError, InvalidCode, UnknownVm
from vmloom.hashing import create_address
from vmloom.precompile import PrecompileSet
from vmloom.store import MemoryStore
from vmloom.vm import VirtualMachine
from vmloom_evm.demo.token import TOKEN as EVM_TOKEN
from vmloom_node.chain import Chain, TransactionRequest, dev_genesis
from vmloom_node.chain.errors import CallFailed
from vmloom_node.chain.foreign import DEPLOYER, Deployment, decode_envelope, deployment_of, encode_envelope
from vmloom_prozvm.demo import TOKEN as PROZ_TOKEN
from vmloom_wasm.demo import TOKEN as WASM_TOKEN

from .conftest import HOST, MakeChain, dev_accounts, options, send

TOKENS = {"evm": EVM_TOKEN, "prozvm": PROZ_TOKEN, "wasm": WASM_TOKEN}


@pytest.mark.parametrize("vm", TOKENS)
def test_magic_says_for_which_vm_a_contract_is(vm: str, engine: str, make_chain: MakeChain) -> None:
    chain, token = make_chain(engine), TOKENS[vm]
    first = chain.accounts.addresses[0]
    created = send(chain, data=token.code)
    assert (created.success, created.vm) == (True, vm)
    assert created.contract == create_address(first, 0)
    assert chain.account(created.contract).vm == vm
    minted = send(chain, to=created.contract, data=token.encode("mint", (first, 5)))
    assert (minted.success, minted.vm) == (True, vm)
    answer = chain.call(TransactionRequest(to=created.contract, data=token.encode("balanceOf", (first,))))
    assert token.decode(answer.return_data) == 5
    assert chain.account(first).nonce == 2
    assert chain.account(DEPLOYER).is_empty


def test_all_vms_share_a_block_and_engines_agree(make_chain: MakeChain) -> None:
    heads = []
    for engine in ("reference", "native"):
        chain = make_chain(engine, mining="manual")
        first = chain.accounts.addresses[0]
        for nonce, token in enumerate((EVM_TOKEN, WASM_TOKEN, EVM_TOKEN, PROZ_TOKEN)):
            chain.send_request(TransactionRequest(first, data=token.code, nonce=nonce, gas_limit=5_000_000))
        (block,) = chain.mine()
        receipts = chain.receipts()
        assert [one.vm for one in receipts] == ["evm", "wasm", "evm", "prozvm"]
        assert all(one.success for one in receipts)
        assert block.header.gas_used == sum(one.gas_used for one in receipts)
        heads.append(block.hash)
    assert heads[0] == heads[1]


def test_an_envelope_names_the_vm(make_chain: MakeChain) -> None:
    chain = make_chain()
    created = send(chain, data=PROZ_TOKEN.code, vm="prozvm")
    assert (created.success, created.vm) == (True, "prozvm")
    assert created.contract is not None
    assert chain.account(created.contract).code == PROZ_TOKEN.code


def test_envelopes_come_back_as_they_were() -> None:
    for deployment in (Deployment("x", b""), Deployment("prozvm", b"\1\2", b"\3"), Deployment("v" * 255, bytes(300))):
        data = encode_envelope(deployment)
        assert decode_envelope(data) == deployment
        assert deployment_of(data, HOST) == deployment
        if deployment.code and not deployment.input:
            with pytest.raises(InvalidCode):
                decode_envelope(data[:-1])
    for cut in (b"\xefVM", b"\xefVM\0", b"\xefVM\5abc", b"\xefVM\1\xff\0\0\0\0"):
        with pytest.raises(InvalidCode):
            decode_envelope(cut)


def test_bad_code_takes_the_gas_and_leaves_nothing(engine: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine)
    first = chain.accounts.addresses[0]
    for nonce, data in enumerate((b"\0asm nonsense", b"\xefVM\5", encode_envelope(Deployment("nonsense", b"\1")))):
        receipt = send(chain, data=data, gas_limit=200_000, value=3)
        assert (receipt.success, receipt.gas_used) == (False, 200_000)
        assert chain.account(create_address(first, nonce)).is_empty
        assert chain.account(first).nonce == nonce + 1
    with pytest.raises(CallFailed):
        send(chain, data=b"\0asm nonsense")


def test_a_creation_gets_the_value_that_is_sent(make_chain: MakeChain) -> None:
    chain = make_chain()
    created = send(chain, data=WASM_TOKEN.code, value=77)
    assert created.contract is not None
    assert chain.account(created.contract).balance == 77


def test_out_of_gas_before_the_code_is_stored(make_chain: MakeChain) -> None:
    chain = make_chain()
    gas = chain.estimate(TransactionRequest(chain.accounts.addresses[0], data=PROZ_TOKEN.code))
    assert not send(chain, data=PROZ_TOKEN.code, gas_limit=gas - 1).success
    assert send(chain, data=PROZ_TOKEN.code, gas_limit=gas).success


def test_what_is_asked_for_must_be_there(make_chain: MakeChain) -> None:
    chain = make_chain()
    with pytest.raises(UnknownVm):
        send(chain, data=b"\1", vm="nonsense")
    with pytest.raises(InputError, match="only a creation"):
        send(chain, to=bytes(20), data=b"\1", vm="wasm")


def test_a_chain_without_foreign_contracts_is_ethereum_alone(make_chain: MakeChain) -> None:
    chain = make_chain(creates_foreign=False)
    receipt = send(chain, data=WASM_TOKEN.code, gas_limit=500_000)
    assert (receipt.success, receipt.vm) == (True, "evm")  # 0x00 is STOP: an empty contract
    assert receipt.contract is not None
    assert chain.account(receipt.contract).code == b""


def test_nobody_else_is_the_deployer(make_chain: MakeChain) -> None:
    chain = make_chain()
    receipt = send(chain, to=DEPLOYER, data=WASM_TOKEN.code, gas_limit=1_000_000)
    assert receipt.success  # a transfer to an account without code
    assert receipt.gas_used < 1_000_000
    assert chain.account(create_address(DEPLOYER, 0)).is_empty


def test_tokens_are_of_all_vms() -> None:
    assert all(isinstance(token, DemoToken) for token in TOKENS.values())


class Poor:
    """A host without WebAssembly."""

    default_vm = "evm"

    def get_vm(self, vm_type: str) -> VirtualMachine:
        if vm_type == "wasm":
            raise UnknownVm("no wasm here")
        return HOST.get_vm(vm_type)

    def vm_of_code(self, code: bytes) -> str:
        return HOST.vm_of_code(code)

    def precompile_sets(self, vm: str) -> Sequence[PrecompileSet]:
        return HOST.precompile_sets(vm)


def test_what_the_node_cannot_run_does_not_stop_it(engine: str, make_chain: MakeChain) -> None:
    store = MemoryStore()
    rich = make_chain(engine, store=store)
    contract = send(rich, data=WASM_TOKEN.code).contract
    accounts = dev_accounts()
    first, second = accounts.addresses[:2]
    poor = Chain(rich.genesis, store=store, host=Poor(), options=options(engine, mining="manual"), accounts=accounts)
    lost = poor.send_request(TransactionRequest(first, to=contract, gas_limit=100_000))
    good = poor.send_request(TransactionRequest(second, to=first, value=1))
    poor.mine()
    assert poor.receipt(good).success
    assert lost not in poor.pool
    poor.set_mining("transaction")
    with pytest.raises(UnknownVm, match="no wasm here"):
        poor.send_request(TransactionRequest(first, to=contract, gas_limit=100_000))
    assert poor.send_request(TransactionRequest(first, to=second, value=1))
    assert poor.account(first).nonce == 2


def test_a_genesis_with_an_account_of_no_vm_is_refused(make_chain: MakeChain) -> None:
    genesis = dev_genesis()
    genesis.state.set_code(bytes(19) + b"\1", b"\1", "nonsense")
    with pytest.raises(UnknownVm):
        make_chain(genesis=genesis)
