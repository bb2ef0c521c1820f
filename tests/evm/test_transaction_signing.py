"""Who signed a transaction or an authorisation, and which signatures a fork accepts."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.errors import InputError
from vmloom_evm.forks import FRONTIER, HOMESTEAD, LONDON, OSAKA, SPURIOUS_DRAGON, TANGERINE_WHISTLE, Fork
from vmloom_evm.transaction.codec import decode_transaction, encode_transaction
from vmloom_evm.transaction.signing import (
    CURVE_ORDER,
    HALF_CURVE_ORDER,
    address_of,
    recover_authority,
    recover_sender,
    sign_authorization,
    sign_transaction,
)
from vmloom_evm.transaction.types import (
    Authorization,
    Refusal,
    Signature,
    Transaction,
    TransactionRefused,
    TransactionType,
)

KEY = b"\x46" * 32
SENDER = bytes.fromhex("9d8a62f656a8d1615c1294fd71e9cfb3e4855a4f")
TO = b"\x35" * 20
PRICE = 20 * 10**9
UNPROTECTED = Transaction(nonce=9, max_fee_per_gas=PRICE, max_priority_fee_per_gas=PRICE, to=TO, value=10**18)
PROTECTED = replace(UNPROTECTED, chain_id=1)
TYPED = [replace(PROTECTED, type=kind) for kind in TransactionType if kind]

keys = st.integers(1, CURVE_ORDER - 1).map(lambda number: number.to_bytes(32, "big"))


def signature_of(signed: Transaction | Authorization) -> Signature:
    assert signed.signature is not None
    return signed.signature


def mirrored(signature: Signature) -> Signature:
    """The other signature that the same key makes valid: the one with a high s."""
    return Signature(1 - signature.y_parity, signature.r, CURVE_ORDER - signature.s)


def refusal_of(tx: Transaction, fork: Fork = OSAKA, chain_id: int | None = None) -> Refusal:
    with pytest.raises(TransactionRefused) as caught:
        recover_sender(tx, fork.rules, chain_id)
    return caught.value.refusal


# Transactions


def test_the_example_of_eip_155_is_signed_as_there() -> None:
    signed = sign_transaction(PROTECTED, KEY)
    assert signature_of(signed) == Signature(
        0,
        0x28EF61340BD939BC2195FE537567866003E1A15D3C71FF63E1590620AA636276,
        0x67CBE9D8997F761AECB703304B3800CCF555C9F3DC64214B297FB1966A3B6D83,
    )
    assert address_of(KEY) == SENDER
    assert recover_sender(signed, SPURIOUS_DRAGON.rules, 1) == SENDER


@pytest.mark.parametrize("tx", [UNPROTECTED, PROTECTED, *TYPED], ids=lambda tx: f"type_{tx.type}_chain_{tx.chain_id}")
def test_the_sender_of_a_signed_transaction_is_its_key(tx: Transaction) -> None:
    signed = sign_transaction(tx, KEY)
    assert recover_sender(signed, OSAKA.rules, 1) == SENDER
    assert recover_sender(signed, OSAKA.rules) == SENDER


def test_an_unprotected_transaction_is_valid_on_every_chain() -> None:
    assert recover_sender(sign_transaction(UNPROTECTED, KEY), OSAKA.rules, 11155111) == SENDER


@pytest.mark.parametrize("tx", [PROTECTED, *TYPED], ids=lambda tx: f"type_{tx.type}")
def test_a_transaction_of_another_chain_is_refused(tx: Transaction) -> None:
    assert refusal_of(sign_transaction(tx, KEY), chain_id=2) is Refusal.INVALID_CHAIN_ID


@pytest.mark.parametrize("fork", [FRONTIER, HOMESTEAD, TANGERINE_WHISTLE], ids=lambda fork: fork.name)
def test_forks_before_eip_155_know_no_chain_id(fork: Fork) -> None:
    assert refusal_of(sign_transaction(PROTECTED, KEY), fork, 1) is Refusal.INVALID_SIGNATURE


def test_a_high_s_is_valid_in_frontier_only() -> None:
    signed = sign_transaction(UNPROTECTED, KEY)
    assert signature_of(signed).s <= HALF_CURVE_ORDER
    other = replace(signed, signature=mirrored(signature_of(signed)))
    assert recover_sender(other, FRONTIER.rules) == SENDER
    assert refusal_of(other, HOMESTEAD) is Refusal.INVALID_SIGNATURE
    assert refusal_of(other) is Refusal.INVALID_SIGNATURE


@pytest.mark.parametrize(
    "signature",
    [
        None,
        Signature(2, 1, 1),
        Signature(-1, 1, 1),
        Signature(0, 0, 1),
        Signature(0, 1, 0),
        Signature(0, CURVE_ORDER, 1),
        Signature(0, 1, CURVE_ORDER),
        Signature(0, 2**256 - 1, 1),
        Signature(0, 2**300, 2**300),
        Signature(0, -1, -1),
        Signature(0, 5, 1),  # 5 ** 3 + 7 has no square root
    ],
)
@pytest.mark.parametrize("tx", [UNPROTECTED, TYPED[1]], ids=["legacy", "typed"])
def test_signatures_that_no_key_makes_are_refused(tx: Transaction, signature: Signature | None) -> None:
    assert refusal_of(replace(tx, signature=signature)) is Refusal.INVALID_SIGNATURE
    assert refusal_of(replace(tx, signature=signature), FRONTIER) is Refusal.INVALID_SIGNATURE


def test_signing_again_replaces_the_signature() -> None:
    signed = sign_transaction(sign_transaction(PROTECTED, b"\1" * 32), KEY)
    assert signed == sign_transaction(PROTECTED, KEY)


@given(keys, st.sampled_from([UNPROTECTED, PROTECTED, *TYPED]), st.binary(max_size=50))
def test_any_key_is_recovered_from_the_bytes_of_what_it_signed(key: bytes, tx: Transaction, data: bytes) -> None:
    raw = encode_transaction(sign_transaction(replace(tx, data=data), key))
    assert recover_sender(decode_transaction(raw), OSAKA.rules, 1) == address_of(key)


@given(st.integers(-1, 2), st.integers(), st.integers(), st.sampled_from([FRONTIER, LONDON]))
def test_any_signature_gives_an_address_or_a_refusal(y_parity: int, r: int, s: int, fork: Fork) -> None:
    sender = None
    with suppress(TransactionRefused):
        sender = recover_sender(replace(UNPROTECTED, signature=Signature(y_parity, r, s)), fork.rules)
    assert sender is None or len(sender) == 20


# Authorisations


@given(keys, st.integers(0, 2**256 - 1), st.binary(min_size=20, max_size=20), st.integers(0, 2**64 - 1))
def test_the_authority_is_who_signed(key: bytes, chain_id: int, address: bytes, nonce: int) -> None:
    authorization = sign_authorization(chain_id, address, nonce, key)
    assert (authorization.chain_id, authorization.address, authorization.nonce) == (chain_id, address, nonce)
    assert recover_authority(authorization) == address_of(key)


def test_an_authorisation_covers_all_its_fields() -> None:
    authorization = sign_authorization(1, TO, 7, KEY)
    for other in (
        replace(authorization, chain_id=2),
        replace(authorization, address=SENDER),
        replace(authorization, nonce=8),
    ):
        assert recover_authority(other) != SENDER


@pytest.mark.parametrize(
    "signature",
    [
        Signature(2, 1, 1),
        Signature(255, 1, 1),
        Signature(0, 0, 1),
        Signature(0, 1, 0),
        Signature(0, CURVE_ORDER, 1),
        Signature(0, 1, HALF_CURVE_ORDER + 1),
        Signature(0, 1, 2**256 - 1),
        Signature(0, 5, 1),
    ],
)
def test_an_invalid_signature_has_no_authority(signature: Signature) -> None:
    assert recover_authority(Authorization(1, TO, 7, signature)) is None


def test_the_mirrored_signature_of_an_authorisation_is_invalid() -> None:
    authorization = sign_authorization(1, TO, 7, KEY)
    assert recover_authority(replace(authorization, signature=mirrored(authorization.signature))) is None


def test_an_authorisation_that_does_not_fit_its_fields_is_not_signed() -> None:
    for chain_id, address, nonce in ((2**256, TO, 0), (-1, TO, 0), (1, TO[1:], 0), (1, TO, 2**64)):
        with pytest.raises(TransactionRefused):
            sign_authorization(chain_id, address, nonce, KEY)


# Keys


@pytest.mark.parametrize(
    "key",
    [b"", b"\1", b"\1" * 31, b"\1" * 33, bytes(32), CURVE_ORDER.to_bytes(32, "big"), b"\xff" * 32],
    ids=["empty", "one_byte", "31_bytes", "33_bytes", "zero", "order", "largest"],
)
def test_what_is_no_key_is_refused_without_being_shown(key: bytes) -> None:
    for use in (lambda: address_of(key), lambda: sign_transaction(PROTECTED, key)):
        with pytest.raises(InputError) as caught:
            use()
        assert not key or key.hex() not in str(caught.value)
