"""Transactions to bytes and back, and everything that bytes can have wrong with them."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from vmloom_evm import rlp
from vmloom_evm.forks import FORKS, OSAKA, fork_named
from vmloom_evm.rlp import RlpItem
from vmloom_evm.transaction.codec import (
    decode_transaction,
    encode_transaction,
    signing_hash,
    transaction_hash,
)
from vmloom_evm.transaction.types import (
    AccessListEntry,
    Authorization,
    Refusal,
    Signature,
    Transaction,
    TransactionRefused,
    TransactionType,
)

TO = bytes(range(20))
SIGNATURE = Signature(1, 3, 5)
BODY = Transaction(nonce=7, gas_limit=60_000, to=TO, value=9, data=b"data", signature=SIGNATURE)
PRICED = replace(BODY, max_fee_per_gas=11, max_priority_fee_per_gas=11)
MARKET = replace(
    BODY,
    chain_id=1,
    max_fee_per_gas=11,
    max_priority_fee_per_gas=2,
    access_list=(AccessListEntry(TO, (0, 2**256 - 1)), AccessListEntry(TO)),
)
EXAMPLES = {
    "unprotected": PRICED,
    "legacy": replace(PRICED, chain_id=1),
    "creation": replace(PRICED, to=None),
    "access_list": replace(MARKET, type=TransactionType.ACCESS_LIST, max_priority_fee_per_gas=11),
    "fee_market": replace(MARKET, type=TransactionType.FEE_MARKET),
    "blob": replace(MARKET, type=TransactionType.BLOB, max_fee_per_blob_gas=4, blob_hashes=(b"\1" * 32, b"\1" * 32)),
    "set_code": replace(
        MARKET, type=TransactionType.SET_CODE, authorizations=(Authorization(0, TO, 2**64 - 1, Signature(255, 0, 1)),)
    ),
}
CALL = ["gas_limit", "to", "value", "data"]
FEE_MARKET = ["chain_id", "nonce", "max_priority_fee_per_gas", "max_fee_per_gas", *CALL, "access_list"]
FIELDS = {
    "legacy": ["nonce", "gas_price", *CALL, "v", "r", "s"],
    "access_list": ["chain_id", "nonce", "gas_price", *CALL, "access_list", "y_parity", "r", "s"],
    "fee_market": [*FEE_MARKET, "y_parity", "r", "s"],
    "blob": [*FEE_MARKET, "max_fee_per_blob_gas", "blob_hashes", "y_parity", "r", "s"],
    "set_code": [*FEE_MARKET, "authorizations", "y_parity", "r", "s"],
}
LISTS = {"access_list", "blob_hashes", "authorizations"}
NOT_NUMBERS = LISTS | {"to", "data"}


def refused(data: bytes) -> TransactionRefused:
    with pytest.raises(TransactionRefused) as caught:
        decode_transaction(data)
    return caught.value


def fields_of(name: str) -> tuple[bytes, list[RlpItem]]:
    """Envelope byte, if there is one, and fields of an example."""
    data = encode_transaction(EXAMPLES[name])
    prefix = data[:1] if data[0] < 0xC0 else b""
    fields = rlp.decode(data, start=len(prefix))
    assert isinstance(fields, list)
    return prefix, fields


def with_field(name: str, field: str, item: RlpItem) -> bytes:
    """An example with one field replaced."""
    prefix, fields = fields_of(name)
    fields[FIELDS[name].index(field)] = item
    return prefix + rlp.encode(fields)


def each(*, numbers: bool = False, lists: bool = False) -> list[tuple[str, str]]:
    """(example, field) of all fields, of the numbers, or of the lists."""
    return [
        (name, field)
        for name, fields in FIELDS.items()
        for field in fields
        if (not numbers or field not in NOT_NUMBERS) and (not lists or field in LISTS)
    ]


# Valid


@pytest.mark.parametrize("tx", EXAMPLES.values(), ids=EXAMPLES)
def test_a_transaction_is_read_as_it_was_written(tx: Transaction) -> None:
    assert decode_transaction(encode_transaction(tx)) == tx


def test_the_first_byte_tells_the_type() -> None:
    firsts = {name: encode_transaction(tx)[0] for name, tx in EXAMPLES.items()}
    assert {name: firsts[name] for name in ("access_list", "fee_market", "blob", "set_code")} == {
        "access_list": 1,
        "fee_market": 2,
        "blob": 3,
        "set_code": 4,
    }
    assert all(firsts[name] >= 0xC0 for name in ("unprotected", "legacy", "creation"))


def test_the_example_of_eip_155() -> None:
    tx = Transaction(
        chain_id=1,
        nonce=9,
        max_fee_per_gas=20 * 10**9,
        max_priority_fee_per_gas=20 * 10**9,
        to=b"\x35" * 20,
        value=10**18,
    )
    assert signing_hash(tx).hex() == "daf5a779ae972f972197303d7b574746c7ef83eadac0f2791ad23db92e4c8e53"
    signature = Signature(
        0,
        0x28EF61340BD939BC2195FE537567866003E1A15D3C71FF63E1590620AA636276,
        0x67CBE9D8997F761AECB703304B3800CCF555C9F3DC64214B297FB1966A3B6D83,
    )
    signed = encode_transaction(replace(tx, signature=signature))
    assert signed.hex() == (
        "f86c098504a817c800825208943535353535353535353535353535353535353535880de0b6b3a76400008025"
        "a028ef61340bd939bc2195fe537567866003e1a15d3c71ff63e1590620aa636276"
        "a067cbe9d8997f761aecb703304b3800ccf555c9f3dc64214b297fb1966a3b6d83"
    )


def test_the_hash_covers_the_signature_and_the_signing_hash_does_not() -> None:
    for tx in EXAMPLES.values():
        other = replace(tx, signature=Signature(0, 3, 5))
        assert transaction_hash(other) != transaction_hash(tx)
        assert signing_hash(other) == signing_hash(tx)


def test_the_chain_id_is_signed() -> None:
    hashes = {signing_hash(replace(PRICED, chain_id=chain_id)) for chain_id in (None, 0, 1, 2)}
    assert len(hashes) == 4


# Refused


@pytest.mark.parametrize("name", ["access_list", "fee_market", "blob", "set_code"])
def test_a_fork_refuses_the_types_it_does_not_have(name: str) -> None:
    tx = EXAMPLES[name]
    for fork in FORKS.values():
        if tx.type <= fork.rules.typed_transactions:
            assert decode_transaction(encode_transaction(tx), fork.rules) == tx
        else:
            with pytest.raises(TransactionRefused) as caught:
                decode_transaction(encode_transaction(tx), fork.rules)
            assert caught.value.refusal is Refusal.TYPE_NOT_SUPPORTED


@pytest.mark.parametrize("first", [0x00, 0x05, 0x7F])
def test_unknown_types_are_refused(first: int) -> None:
    data = bytes([first]) + encode_transaction(EXAMPLES["fee_market"])[1:]
    assert refused(data).refusal is Refusal.TYPE_NOT_SUPPORTED


@pytest.mark.parametrize("data", [b"", b"\x80", b"\xbf", b"\xc0", b"\x01", b"\x02\xc0", b"\x04\x80"])
def test_what_is_no_transaction_at_all_is_refused(data: bytes) -> None:
    assert refused(data).refusal is Refusal.MALFORMED


@pytest.mark.parametrize("name", FIELDS)
def test_fields_too_few_or_too_many_are_counted(name: str) -> None:
    prefix, fields = fields_of(name)
    for wrong in (fields[:-1], [*fields, b""]):
        error = refused(prefix + rlp.encode(wrong))
        assert error.refusal is Refusal.MALFORMED
        assert f"{len(wrong)} fields, but type {EXAMPLES[name].type.value} has {len(fields)}" in str(error)


@pytest.mark.parametrize("name", EXAMPLES)
def test_bytes_after_the_end_and_missing_ones_are_refused(name: str) -> None:
    data = encode_transaction(EXAMPLES[name])
    assert refused(data + b"\0").refusal is Refusal.MALFORMED
    for length in range(len(data)):
        assert refused(data[:length]).refusal is Refusal.MALFORMED


@pytest.mark.parametrize(("name", "field"), each())
def test_a_list_for_a_string_and_a_string_for_a_list_are_refused(name: str, field: str) -> None:
    error = refused(with_field(name, field, b"" if field in LISTS else []))
    assert error.refusal is Refusal.MALFORMED
    assert str(error).startswith(f"RLP_INVALID: {field}: ")


@pytest.mark.parametrize(("name", "field"), each(numbers=True))
def test_leading_zeros_are_refused(name: str, field: str) -> None:
    for number in (b"\0", b"\0\1", b"\0" * 33):
        error = refused(with_field(name, field, number))
        assert error.refusal is Refusal.MALFORMED
        assert f"{field}: leading zero" in str(error)


@pytest.mark.parametrize(("name", "field"), each(numbers=True))
def test_numbers_too_large_for_their_field_are_refused(name: str, field: str) -> None:
    bits = 64 if field in ("nonce", "gas_limit") else 256
    largest = (2**bits - 1).to_bytes(bits // 8, "big")
    decode_transaction(with_field(name, field, largest))
    error = refused(with_field(name, field, b"\1" + bytes(bits // 8)))
    of_signature = field in ("v", "y_parity", "r", "s")
    assert error.refusal is (Refusal.INVALID_SIGNATURE if of_signature else Refusal.FIELD_OVERFLOW)
    assert f"{field}: {bits // 8 + 1} bytes, more than {bits} bits" in str(error)


def test_a_number_of_a_million_bytes_is_refused_without_being_printed() -> None:
    error = refused(with_field("legacy", "value", b"\xff" * 1_000_000))
    assert "value: 1000000 bytes, more than 256 bits" in str(error)


@pytest.mark.parametrize("name", FIELDS)
@pytest.mark.parametrize("length", [1, 19, 21, 32])
def test_addresses_have_20_bytes_or_none(name: str, length: int) -> None:
    error = refused(with_field(name, "to", bytes(length)))
    assert error.refusal is Refusal.MALFORMED
    assert f"to: {length} bytes, not 20" in str(error)


@pytest.mark.parametrize(
    ("name", "field", "item", "message"),
    [
        ("access_list", "access_list", [b""], "access_list[0]: a byte string, not a list"),
        ("access_list", "access_list", [[TO, []], [TO]], "access_list[1]: 1 parts, not an address and its slots"),
        ("fee_market", "access_list", [[TO, [], []]], "access_list[0]: 3 parts, not an address and its slots"),
        ("fee_market", "access_list", [[TO[1:], []]], "access_list[0].address: 19 bytes, not 20"),
        ("fee_market", "access_list", [[TO, b""]], "access_list[0].slots: a byte string, not a list"),
        ("blob", "access_list", [[TO, [bytes(32), bytes(31)]]], "access_list[0].slots[1]: 31 bytes, not 32"),
        ("blob", "access_list", [[TO, [[bytes(32)]]]], "access_list[0].slots[0]: a list, not a byte string"),
        ("blob", "blob_hashes", [bytes(33)], "blob_hashes[0]: 33 bytes, not 32"),
        ("blob", "blob_hashes", [bytes(32), []], "blob_hashes[1]: a list, not a byte string"),
    ],
)
def test_parts_of_lists_are_named_with_their_place(name: str, field: str, item: RlpItem, message: str) -> None:
    error = refused(with_field(name, field, item))
    assert error.refusal is Refusal.MALFORMED
    assert message in str(error)


GOOD_AUTHORIZATION: list[RlpItem] = [b"\1", TO, b"\2", b"", b"\3", b"\4"]


@pytest.mark.parametrize(
    ("position", "item", "refusal", "message"),
    [
        (0, b"\1" + bytes(32), Refusal.INVALID_AUTHORIZATION, "authorizations[1].chain_id: 33 bytes"),
        (0, b"\0", Refusal.INVALID_AUTHORIZATION, "authorizations[1].chain_id: leading zero"),
        (1, b"", Refusal.INVALID_AUTHORIZATION, "authorizations[1].address: 0 bytes, not 20"),
        (2, b"\1" + bytes(8), Refusal.INVALID_AUTHORIZATION, "authorizations[1].nonce: 9 bytes"),
        (2, [], Refusal.INVALID_AUTHORIZATION, "authorizations[1].nonce: a list"),
        (3, b"\1\0", Refusal.INVALID_AUTHORITY_SIGNATURE, "authorizations[1].y_parity: 2 bytes, more than 8 bits"),
        (4, b"\1" + bytes(32), Refusal.INVALID_AUTHORITY_SIGNATURE, "authorizations[1].r: 33 bytes"),
        (5, b"\1" + bytes(32), Refusal.INVALID_AUTHORITY_SIGNATURE, "authorizations[1].s: 33 bytes"),
        (5, b"\0\1", Refusal.INVALID_AUTHORIZATION, "authorizations[1].s: leading zero"),
    ],
)
def test_an_authorisation_out_of_its_fields_spoils_the_transaction(
    position: int, item: RlpItem, refusal: Refusal, message: str
) -> None:
    bad = [*GOOD_AUTHORIZATION]
    bad[position] = item
    error = refused(with_field("set_code", "authorizations", [GOOD_AUTHORIZATION, bad]))
    assert error.refusal is refusal
    assert message in str(error)


@pytest.mark.parametrize("bad", [b"", [], GOOD_AUTHORIZATION[:-1], [*GOOD_AUTHORIZATION, b""]])
def test_an_authorisation_has_six_fields(bad: RlpItem) -> None:
    error = refused(with_field("set_code", "authorizations", [bad]))
    assert error.refusal is Refusal.INVALID_AUTHORIZATION


@pytest.mark.parametrize("v", [0, 1, *range(2, 27), *range(29, 35)])
def test_a_v_that_means_nothing_is_refused(v: int) -> None:
    data = with_field("legacy", "v", bytes([v] if v else []))
    with_chain_ids = Refusal.INVALID_CHAIN_ID if v > 1 else Refusal.INVALID_SIGNATURE
    assert refused(data).refusal is with_chain_ids
    for fork, refusal in (("homestead", Refusal.INVALID_SIGNATURE), ("spurious_dragon", with_chain_ids)):
        with pytest.raises(TransactionRefused) as caught:
            decode_transaction(data, fork_named(fork).rules)
        assert caught.value.refusal is refusal


@pytest.mark.parametrize(
    ("v", "chain_id", "y_parity"),
    [(27, None, 0), (28, None, 1), (35, 0, 0), (36, 0, 1), (37, 1, 0), (38, 1, 1), (2**256 - 1, 2**255 - 18, 0)],
)
def test_v_holds_the_chain_id_and_the_parity(v: int, chain_id: int | None, y_parity: int) -> None:
    data = with_field("legacy", "v", v.to_bytes((v.bit_length() + 7) // 8, "big"))
    tx = decode_transaction(data)
    assert (tx.chain_id, tx.signature and tx.signature.y_parity) == (chain_id, y_parity)
    assert encode_transaction(tx) == data


# What cannot be written


@pytest.mark.parametrize(
    ("tx", "refusal", "field"),
    [
        (replace(PRICED, signature=None), Refusal.INVALID_SIGNATURE, "not signed"),
        (replace(PRICED, signature=Signature(2, 1, 1)), Refusal.INVALID_SIGNATURE, "y_parity"),
        (replace(PRICED, signature=Signature(0, -1, 1)), Refusal.INVALID_SIGNATURE, "r"),
        (replace(PRICED, signature=Signature(0, 1, 2**256)), Refusal.INVALID_SIGNATURE, "s"),
        (replace(PRICED, chain_id=2**255), Refusal.FIELD_OVERFLOW, "v"),
        (replace(PRICED, chain_id=-4), Refusal.FIELD_OVERFLOW, "chain_id"),
        (replace(MARKET, type=TransactionType.FEE_MARKET, chain_id=None), Refusal.INVALID_CHAIN_ID, "chain id"),
        (replace(PRICED, nonce=2**64), Refusal.FIELD_OVERFLOW, "nonce"),
        (replace(PRICED, gas_limit=-1), Refusal.FIELD_OVERFLOW, "gas_limit"),
        (replace(PRICED, value=10**10_000), Refusal.FIELD_OVERFLOW, "value"),
        (replace(PRICED, to=b""), Refusal.MALFORMED, "to"),
        (replace(MARKET, type=TransactionType.BLOB, blob_hashes=(b"",)), Refusal.MALFORMED, "blob_hashes[0]"),
        (
            replace(MARKET, type=TransactionType.ACCESS_LIST, access_list=(AccessListEntry(TO, (-1,)),)),
            Refusal.FIELD_OVERFLOW,
            "access_list[0].slots[0]",
        ),
    ],
)
def test_what_has_no_encoding_is_refused_with_its_field(tx: Transaction, refusal: Refusal, field: str) -> None:
    with pytest.raises(TransactionRefused) as caught:
        encode_transaction(tx)
    assert caught.value.refusal is refusal
    assert field in str(caught.value)


# Properties

words = st.integers(0, 2**256 - 1)
short = st.integers(0, 2**64 - 1)
addresses = st.binary(min_size=20, max_size=20)
access_lists = st.lists(st.builds(AccessListEntry, addresses, st.lists(words, max_size=3).map(tuple)), max_size=3).map(
    tuple
)
authorizations = st.lists(
    st.builds(Authorization, words, addresses, short, st.builds(Signature, st.integers(0, 255), words, words)),
    max_size=3,
).map(tuple)


@st.composite
def transactions(draw: st.DrawFn) -> Transaction:
    """Any transaction that can be written, with any signature."""
    kind = draw(st.sampled_from(TransactionType))
    legacy, market = kind == TransactionType.LEGACY, kind >= TransactionType.FEE_MARKET
    price = draw(words)
    return Transaction(
        type=kind,
        chain_id=draw(st.none() | st.integers(0, 2**255 - 18 - 1)) if legacy else draw(words),
        nonce=draw(short),
        max_fee_per_gas=price,
        max_priority_fee_per_gas=draw(words) if market else price,
        gas_limit=draw(short),
        to=draw(st.none() | addresses),
        value=draw(words),
        data=draw(st.binary(max_size=100)),
        access_list=() if legacy else draw(access_lists),
        max_fee_per_blob_gas=draw(words) if kind == TransactionType.BLOB else 0,
        blob_hashes=(
            draw(st.lists(st.binary(min_size=32, max_size=32), max_size=3).map(tuple))
            if kind == TransactionType.BLOB
            else ()
        ),
        authorizations=draw(authorizations) if kind == TransactionType.SET_CODE else (),
        signature=Signature(draw(st.integers(0, 1)), draw(words), draw(words)),
    )


@given(transactions())
def test_any_transaction_is_read_as_it_was_written(tx: Transaction) -> None:
    assert decode_transaction(encode_transaction(tx), OSAKA.rules) == tx


@given(transactions())
def test_the_signing_hash_can_be_told_from_the_encoding(tx: Transaction) -> None:
    assert signing_hash(tx, encode_transaction(tx)) == signing_hash(tx)


@given(transactions(), st.data())
def test_a_damaged_transaction_is_refused_or_another_one(tx: Transaction, data: st.DataObject) -> None:
    raw = bytearray(encode_transaction(tx))
    for _ in range(data.draw(st.integers(1, 3))):
        position = data.draw(st.integers(0, len(raw) - 1))
        length = data.draw(st.integers(0, 2))
        raw[position : position + length] = data.draw(st.binary(max_size=2))
    try:
        read = decode_transaction(bytes(raw))
    except TransactionRefused:
        return
    assert encode_transaction(read) == raw


@given(st.integers(0, 4), st.binary(max_size=200))
@example(2, b"\xc0" * 10_000)
def test_random_bytes_are_refused(kind: int, data: bytes) -> None:
    raw = (bytes([kind]) if kind else b"") + data
    with pytest.raises(TransactionRefused):
        decode_transaction(raw)
