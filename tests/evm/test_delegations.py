"""EIP-7702: accounts that run another account's code, and the authorisations that make them do so."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from vmloom.hashing import keccak256
from vmloom_evm.assembly import (
    Bytecode,
    address,
    balance,
    call,
    callcode,
    caller,
    codesize,
    delegatecall,
    extcodecopy,
    extcodehash,
    extcodesize,
    gas,
    invalid,
    mload,
    pop,
    ret_top,
    return_,
    sload,
    sstore,
    staticcall,
    stop,
)
from vmloom_evm.testing import BLOCK, CONTRACT, EvmUnderTest
from vmloom_evm.transaction.signing import CURVE_ORDER, address_of, sign_authorization
from vmloom_evm.transaction.types import Authorization, Transaction, TransactionRefused, TransactionType

Calling = Callable[..., Bytecode]
CALLS: list[Calling] = [call, callcode, delegatecall, staticcall]
KEY = bytes(31) + b"\x2a"
AUTHORITY = address_of(KEY)
PREFIX = bytes.fromhex("ef0100")


def operands(calling: Calling) -> int:
    return 7 if calling in (call, callcode) else 6


def delegating(evm: EvmUnderTest, target: bytes) -> bytes:
    return evm.deploy(PREFIX + target)


def authorize(target: bytes, *, nonce: int = 0, chain_id: int = 1) -> Authorization:
    return sign_authorization(chain_id, target, nonce, KEY)


def apply(evm: EvmUnderTest, *authorizations: Authorization, to: bytes = CONTRACT, gas_limit: int = 500_000) -> int:
    """Gas that a transaction with these authorisations uses; what it calls has no code unless the test gave it some."""
    return evm.transact(to, type=TransactionType.SET_CODE, authorizations=authorizations, gas_limit=gas_limit).gas_used


# Calls of delegating accounts


@pytest.mark.parametrize("calling", CALLS)
def test_code_of_the_delegate_runs(evm: EvmUnderTest, calling: Calling) -> None:
    account = delegating(evm, evm.deploy(ret_top(42)))
    assert evm.value_of(pop(calling(account, output=(0, 32))) + mload(0)) == 42


def test_delegate_runs_as_the_account_that_delegates(evm: EvmUnderTest) -> None:
    account = delegating(evm, evm.deploy(sstore(0, address) + sstore(1, caller) + sstore(2, codesize)))
    evm.run(call(account))
    assert [evm.storage(account, slot) for slot in range(3)] == [
        int.from_bytes(account, "big"),
        int.from_bytes(CONTRACT, "big"),
        len(sstore(0, address) + sstore(1, caller) + sstore(2, codesize)),
    ]


@pytest.mark.parametrize("calling", CALLS)
def test_delegate_costs_an_access_of_its_own(evm: EvmUnderTest, calling: Calling) -> None:
    target = evm.deploy(stop)
    account = delegating(evm, target)
    cold = evm.gas_of(calling(account, gas=1_000))
    assert cold == 3 * operands(calling) + 2_600 + 2_600
    warm = evm.gas_of(pop(balance(target)) + calling(account, gas=1_000)) - (3 + 2_600 + 2)
    assert warm == 3 * operands(calling) + 2_600 + 100
    twice = evm.gas_of(calling(account, gas=1_000) * 2)
    assert twice == cold + 3 * operands(calling) + 100 + 100


def test_call_warms_the_delegate(evm: EvmUnderTest) -> None:
    target = evm.deploy(stop)
    account = delegating(evm, target)
    assert evm.gas_of(pop(call(account)) + balance(target)) - evm.gas_of(pop(call(account))) == 3 + 100


def test_delegation_goes_one_hop_only(evm: EvmUnderTest) -> None:
    last = evm.deploy(ret_top(1))
    account = delegating(evm, delegating(evm, last))
    # The designator itself runs as code, and 0xef is no instruction.
    assert evm.gas_of(pop(call(account, gas=1_000))) == 21 + 2_600 + 2_600 + 1_000 + 2


def test_account_that_delegates_to_itself_runs_its_designator(evm: EvmUnderTest) -> None:
    account = evm.deploy(at=0xABC)
    evm.deploy(PREFIX + account, at=account)
    assert evm.value_of(call(account, gas=1_000)) == 0


def test_delegate_that_is_a_precompile_is_empty_code(evm: EvmUnderTest) -> None:
    account = delegating(evm, bytes(19) + b"\x04")
    program = pop(call(account, gas=1_000, input=(0, 32), output=(32, 32)))
    assert evm.value_of(call(account, gas=0, input=(0, 32))) == 1
    assert evm.value_of(program + mload(32)) == 0
    assert evm.gas_of(program) == 3 * 2 + 21 + 2_600 + 100 + 2  # precompiles are warm


def test_delegate_without_code_does_nothing(evm: EvmUnderTest) -> None:
    account = delegating(evm, (0xDEAD).to_bytes(20, "big"))
    assert evm.value_of(call(account)) == 1


def test_code_queries_see_the_designator(evm: EvmUnderTest) -> None:
    target = evm.deploy(ret_top(42))
    account = delegating(evm, target)
    assert evm.value_of(extcodesize(account)) == 23
    assert evm.value_of(extcodehash(account)) == int.from_bytes(keccak256(PREFIX + target), "big")
    assert evm.run(extcodecopy(account, 0, 0, 23) + return_(0, 23)).output == PREFIX + target
    assert evm.gas_of(extcodesize(account)) == 3 + 2_600


def test_designator_is_but_code_before_prague(evm: EvmUnderTest) -> None:
    evm = evm.at("cancun")
    account = delegating(evm, evm.deploy(ret_top(42)))
    assert evm.gas_of(pop(call(account, gas=1_000))) == 21 + 2_600 + 1_000 + 2


# Authorisations


def test_authorisation_sets_the_designator_and_counts_the_nonce(evm: EvmUnderTest) -> None:
    target = evm.deploy(stop)
    apply(evm, authorize(target))
    assert (evm.code(AUTHORITY), evm.nonce(AUTHORITY)) == (PREFIX + target, 1)


def test_authority_runs_the_code_in_the_same_transaction(evm: EvmUnderTest) -> None:
    target = evm.deploy(sstore(0, 7))
    apply(evm, authorize(target), to=AUTHORITY)
    assert evm.storage(AUTHORITY, 0) == 7


def test_authorisation_of_the_zero_address_removes_the_delegation(evm: EvmUnderTest) -> None:
    evm.deploy(PREFIX + bytes(20), at=AUTHORITY, nonce=5)
    apply(evm, authorize(bytes(20), nonce=5))
    assert (evm.code(AUTHORITY), evm.nonce(AUTHORITY)) == (b"", 6)


def test_later_authorisation_of_an_account_wins(evm: EvmUnderTest) -> None:
    first, second = evm.deploy(stop), evm.deploy(invalid)
    apply(evm, authorize(first), authorize(second, nonce=1))
    assert (evm.code(AUTHORITY), evm.nonce(AUTHORITY)) == (PREFIX + second, 2)


def test_authorisations_hold_though_the_transaction_fails(evm: EvmUnderTest) -> None:
    target = evm.deploy(stop)
    evm.deploy(sstore(0, 1) + invalid, at=CONTRACT)
    apply(evm, authorize(target))
    assert evm.code(AUTHORITY) == PREFIX + target
    assert evm.storage(CONTRACT, 0) == 0


@pytest.mark.parametrize("chain_id", [0, 1])
def test_authorisation_is_for_this_chain_or_any(evm: EvmUnderTest, chain_id: int) -> None:
    apply(evm, authorize(bytes(19) + b"\x99", chain_id=chain_id))
    assert evm.nonce(AUTHORITY) == 1


def invalid_authorizations() -> dict[str, Authorization]:
    target = bytes(19) + b"\x99"
    good = authorize(target)
    signature = good.signature
    return {
        "other chain": authorize(target, chain_id=2),
        "wrong nonce": authorize(target, nonce=1),
        "parity 2": replace(good, signature=replace(signature, y_parity=2)),
        "parity 27": replace(good, signature=replace(signature, y_parity=27)),
        "high s": replace(
            good, signature=replace(signature, s=CURVE_ORDER - signature.s, y_parity=1 - signature.y_parity)
        ),
        "s 0": replace(good, signature=replace(signature, s=0)),
        "r 0": replace(good, signature=replace(signature, r=0)),
        "r too large": replace(good, signature=replace(signature, r=CURVE_ORDER)),
    }


@pytest.mark.parametrize("authorization", invalid_authorizations().values(), ids=invalid_authorizations())
def test_invalid_authorisation_is_skipped_and_paid_for(evm: EvmUnderTest, authorization: Authorization) -> None:
    evm.deploy(at=AUTHORITY, nonce=0, balance=1)
    good = sign_authorization(1, bytes(19) + b"\x98", 0, bytes(31) + b"\x2b")
    used = apply(evm, authorization, good)
    assert used == 21_000 + 2 * 25_000
    assert (evm.code(AUTHORITY), evm.nonce(AUTHORITY)) == (b"", 0)
    assert evm.code(address_of(bytes(31) + b"\x2b")) == PREFIX + bytes(19) + b"\x98"


def test_largest_nonce_authorises_nothing(evm: EvmUnderTest) -> None:
    """EIP-2681: it would have no successor."""
    evm.deploy(at=AUTHORITY, nonce=2**64 - 1)
    apply(evm, authorize(bytes(19) + b"\x99", nonce=2**64 - 1))
    assert (evm.code(AUTHORITY), evm.nonce(AUTHORITY)) == (b"", 2**64 - 1)
    evm.deploy(at=AUTHORITY, nonce=2**64 - 2)
    apply(evm, authorize(bytes(19) + b"\x99", nonce=2**64 - 2))
    assert evm.nonce(AUTHORITY) == 2**64 - 1


def test_account_with_code_of_its_own_cannot_delegate(evm: EvmUnderTest) -> None:
    evm.deploy(stop, at=AUTHORITY, nonce=0)
    apply(evm, authorize(bytes(19) + b"\x99"))
    assert (evm.code(AUTHORITY), evm.nonce(AUTHORITY)) == (bytes(stop), 0)


@pytest.mark.parametrize(
    ("balance", "refund"), [(None, 0), (1, 12_500), (0, 12_500)], ids=["absent", "there", "there but empty"]
)
def test_authority_that_exists_is_refunded(evm: EvmUnderTest, balance: int | None, refund: int) -> None:
    if balance is not None:
        evm.deploy(at=AUTHORITY, nonce=0, balance=balance)
    used = apply(evm, authorize(bytes(19) + b"\x99"))
    assert used == 46_000 - min(refund, 46_000 // 5)


def test_each_authorisation_costs_25000_before_anything_runs(evm: EvmUnderTest) -> None:
    with pytest.raises(TransactionRefused, match="INTRINSIC_GAS_TOO_LOW"):
        apply(evm, authorize(CONTRACT), authorize(CONTRACT), gas_limit=21_000 + 50_000 - 1)


def test_authority_is_warm_even_if_its_nonce_was_wrong_but_not_if_its_signature_was(evm: EvmUnderTest) -> None:
    program = sstore(0, gas) + pop(balance(AUTHORITY)) + sstore(1, gas)

    def cost_of_query(authorization: Authorization) -> int:
        evm.deploy(program, at=CONTRACT, storage={0: 1, 1: 1})
        apply(evm, authorization)
        spent = evm.storage(CONTRACT, 0) - evm.storage(CONTRACT, 1)
        return spent - (3 + 5_000 + 3 + 2 + 2)  # PUSH, SSTORE, PUSH, POP, GAS

    assert cost_of_query(authorize(bytes(19) + b"\x99", nonce=77)) == 100
    broken = authorize(bytes(19) + b"\x99", nonce=77)
    assert cost_of_query(replace(broken, signature=replace(broken.signature, s=0))) == 2_600


def test_delegate_of_the_called_account_is_warm_and_free(evm: EvmUnderTest) -> None:
    target = evm.deploy(ret_top(gas))
    account = delegating(evm, target)
    result = evm.transact(account, gas_limit=100_000)
    assert int.from_bytes(result.return_data, "big") == 100_000 - 21_000 - 2
    probe = evm.deploy(pop(balance(evm.deploy(stop))), at=0x7777)
    cold = evm.transact(delegating(evm, probe), gas_limit=100_000).gas_used
    evm.deploy(pop(balance(probe)), at=0x7777)
    assert cold - evm.transact(delegating(evm, probe), gas_limit=100_000).gas_used == 2_500


def test_sender_may_be_an_account_that_delegates(evm: EvmUnderTest) -> None:
    """EIP-3607 refuses senders with code; a designator is none."""
    evm.deploy(PREFIX + evm.deploy(stop), at=AUTHORITY, nonce=3, balance=10**18)
    result = evm.vm.apply_transaction(
        Transaction(nonce=3, to=CONTRACT, gas_limit=21_000), BLOCK, evm.state, sender=AUTHORITY
    )
    assert result.success
    assert evm.nonce(AUTHORITY) == 4


def test_sender_that_authorises_itself_signs_the_next_nonce(evm: EvmUnderTest) -> None:
    evm.deploy(at=AUTHORITY, nonce=3, balance=10**18)
    target = evm.deploy(stop)

    def send(nonce: int) -> None:
        tx = Transaction(
            type=TransactionType.SET_CODE,
            chain_id=1,
            nonce=evm.nonce(AUTHORITY),
            to=CONTRACT,
            gas_limit=100_000,
            authorizations=(authorize(target, nonce=nonce),),
        )
        evm.vm.apply_transaction(tx, BLOCK, evm.state, sender=AUTHORITY)

    send(3)  # the transaction itself has taken this nonce
    assert evm.code(AUTHORITY) == b""
    send(5)
    assert (evm.code(AUTHORITY), evm.nonce(AUTHORITY)) == (PREFIX + target, 6)


def test_delegation_keeps_the_storage_of_the_account(evm: EvmUnderTest) -> None:
    account = evm.deploy(PREFIX + evm.deploy(ret_top(sload(0))), storage={0: 99})
    assert evm.value_of(pop(call(account, output=(0, 32))) + mload(0)) == 99
