"""Raw transactions: native code takes them apart as `codec` reads them, and refuses what that refuses."""

from __future__ import annotations

import random

import pytest
from vmloom import VmFactory
from vmloom.hashing import keccak256
from vmloom_evm import rlp
from vmloom_evm.forks import FORKS
from vmloom_evm.native import raw
from vmloom_evm.native.raw import read_transaction
from vmloom_evm.native.recovery import recovery
from vmloom_evm.specification import specify
from vmloom_evm.transaction.codec import decode_transaction, encode_transaction, signing_hash
from vmloom_evm.transaction.signing import (
    CURVE_ORDER,
    address_of,
    recover_address,
    recover_sender,
    sign_authorization,
    sign_transaction,
)
from vmloom_evm.transaction.types import AccessListEntry, Signature, Transaction, TransactionRefused, TransactionType

KEY = b"\x11" * 32
RULES = FORKS["osaka"].rules
DAMAGE = (0, 0x7F, 0x80, 0x81, 0xB8, 0xC0, 0xFF)
ACCESS = (AccessListEntry(b"\x0a" * 20, (0, 1 << 255)), AccessListEntry(b"\x0b" * 20))


def transactions(chance: random.Random) -> list[bytes]:
    """One of each kind, signed, with random fields."""
    found = []
    for kind in TransactionType:
        tx = Transaction(
            type=kind,
            chain_id=chance.choice((1, 31_337, 1 << 60)),
            nonce=chance.choice((0, 127, 128, (1 << 64) - 1)),
            max_fee_per_gas=chance.getrandbits(chance.choice((0, 7, 40, 64, 65, 80))),
            max_priority_fee_per_gas=chance.getrandbits(30),
            gas_limit=chance.getrandbits(63),
            to=chance.choice((b"\x09" * 20, None)),
            value=chance.choice((0, 1, 10**18, (1 << 256) - 1)),
            data=chance.randbytes(chance.choice((0, 1, 31, 55, 56, 255, 256, 70_000))),
            access_list=chance.choice(((), ACCESS)) if kind else (),
            max_fee_per_blob_gas=7 if kind == TransactionType.BLOB else 0,
            blob_hashes=(b"\x01" + bytes(31),) * 2 if kind == TransactionType.BLOB else (),
            authorizations=(sign_authorization(1, b"\x0c" * 20, 5, KEY),) if kind == TransactionType.SET_CODE else (),
        )
        found.append(encode_transaction(sign_transaction(tx, KEY)))
    return found


def outcome(read: object, data: bytes) -> object:
    """What comes of reading, as something that can be compared."""
    try:
        return read(data, RULES)  # type: ignore[operator]
    except TransactionRefused as cause:
        return str(cause)


@pytest.mark.parametrize("seed", range(20))
def test_transactions_are_what_codec_says(seed: int) -> None:
    for data in transactions(random.Random(seed)):
        tx, transaction_hash, digest = read_transaction(data, RULES)
        assert tx == decode_transaction(data, RULES)
        assert transaction_hash == keccak256(data)
        assert digest == (signing_hash(tx) if tx.type else None)
        assert recover_sender(tx, RULES, encoded=data, digest=digest) == address_of(KEY)


def test_damaged_bytes_are_refused_in_the_same_words() -> None:
    chance = random.Random(1)
    for _ in range(40):
        for data in transactions(chance):
            damaged = bytearray(data[:600])
            for _ in range(chance.choice((0, 1, 2))):
                damaged[chance.randrange(min(len(damaged), 60))] = chance.choice(
                    (0, 0x7F, 0x80, 0x81, 0xB8, 0xC0, 0xFF)
                )
            one = bytes(damaged[: chance.randrange(len(damaged) + 1)] if chance.random() < 0.3 else damaged)
            found = outcome(read_transaction, one)
            expected = outcome(decode_transaction, one)
            assert found == expected if isinstance(found, str) else found[0] == expected  # type: ignore[index]


@pytest.mark.parametrize("field", range(12))
@pytest.mark.parametrize("size", [0, 1, 8, 9, 19, 20, 21, 32, 33])
@pytest.mark.parametrize("first", [0, 1, 0x80])
def test_each_field_has_the_bounds_that_codec_gives_it(field: int, size: int, first: int) -> None:
    items: list[rlp.RlpItem] = [b"\x05"] * 12
    items[5], items[8] = b"\x09" * 20, []
    items[field] = (bytes([first]) + b"\x07" * size)[:size]
    data = b"\x02" + rlp.encode(items)
    found, expected = outcome(read_transaction, data), outcome(decode_transaction, data)
    assert found == expected if isinstance(found, str) else found[0] == expected  # type: ignore[index]


def test_what_most_transactions_are_is_read_by_native_code_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    tx = Transaction(TransactionType.FEE_MARKET, 1, 5, 7, 6, 21_000, b"\x09" * 20, 1 << 255, b"data")
    data = encode_transaction(sign_transaction(tx, KEY))
    monkeypatch.delattr(raw, "decode_items")
    monkeypatch.delattr(raw, "decode_transaction")
    assert read_transaction(data, RULES)[0] == decode_transaction(data)


def test_signers_are_found_by_the_kernel_as_by_the_library() -> None:
    recover = recovery(specify(FORKS["osaka"], VmFactory().precompile_sets("evm")))
    assert recover is not recover_address
    chance = random.Random(5)
    known = 0
    for number in range(64):
        signature = Signature(number & 1, chance.randrange(1, CURVE_ORDER), chance.randrange(1, CURVE_ORDER))
        digest = chance.randbytes(32)
        assert recover(signature, digest) == recover_address(signature, digest)
        known += recover(signature, digest) is not None
    assert 0 < known < 64


def test_a_precompile_without_a_kernel_leaves_it_to_the_library() -> None:
    assert recovery(specify(FORKS["osaka"])) is recover_address


def test_bytes_of_a_class_of_their_own_are_read() -> None:
    class Wrapped(bytes):
        """Bytes that do not lie where those of `bytes` do."""

        __slots__ = ()

    data = transactions(random.Random(3))[2]
    assert read_transaction(Wrapped(data), RULES) == read_transaction(data, RULES)


@pytest.mark.parametrize("data", [b"", b"\x02", b"\x00\xc0", b"\x05\xc0", b"\xc0", b"\x02\xc0", b"\x02\xf8", b"\x80"])
def test_what_is_no_transaction_is_refused(data: bytes) -> None:
    with pytest.raises(TransactionRefused):
        read_transaction(data, RULES)


def test_a_fork_refuses_types_that_it_does_not_have() -> None:
    data = transactions(random.Random(4))[TransactionType.BLOB]
    with pytest.raises(TransactionRefused, match="type 3 does not exist"):
        read_transaction(data, FORKS["london"].rules)
