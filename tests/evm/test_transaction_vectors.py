"""The public transaction vectors: every raw transaction at every fork that its file names.

What is valid gives the sender, hash and intrinsic gas that the vector says; what is not is refused for its reason.
The raw transactions of the state tests are read as well, which have all five types and thousands of authorisations.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from vmloom_evm.forks import fork_named
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.codec import decode_transaction, encode_transaction, transaction_hash
from vmloom_evm.transaction.signing import recover_authority, recover_sender
from vmloom_evm.transaction.types import Refusal, Transaction, TransactionRefused, TransactionType
from vmloom_evm.transaction.validation import intrinsic_gas, validate_static

Vector: TypeAlias = tuple[str, bytes, dict[str, dict[str, str]]]
"""name, raw transaction, fork to expected result"""

CHAIN_ID = 1
"""The vectors are made for mainnet."""

ETHEREUM_TESTS_FORKS = [
    *("Frontier", "Homestead", "EIP150", "EIP158", "Byzantium", "Constantinople", "ConstantinopleFix", "Istanbul"),
    *("Berlin", "London", "Paris", "Shanghai", "Cancun"),
]
EXECUTION_SPEC_FORKS = ["Prague", "Osaka"]

REASONS = {
    "ADDRESS_TOO_LONG": Refusal.MALFORMED,
    "ADDRESS_TOO_SHORT": Refusal.MALFORMED,
    "EC_RECOVERY_FAIL": Refusal.INVALID_SIGNATURE,
    "GASLIMIT_OVERFLOW": Refusal.FIELD_OVERFLOW,
    "GASPRICE_OVERFLOW": Refusal.FIELD_OVERFLOW,
    "NONCE_OVERFLOW": Refusal.FIELD_OVERFLOW,
    "PRIORITY_OVERFLOW": Refusal.FIELD_OVERFLOW,
    "VALUE_OVERFLOW": Refusal.FIELD_OVERFLOW,
    "TYPE_4_INVALID_AUTHORITY_SIGNATURE_S_TOO_HIGH": Refusal.INVALID_AUTHORITY_SIGNATURE,
}
"""Exceptions of the vectors that are named otherwise here, besides those about RLP."""


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text.removeprefix("0x"))


def refusal_named(exception: str) -> Refusal:
    name = exception.removeprefix("TransactionException.")
    return Refusal.MALFORMED if name.startswith("RLP_") else REASONS.get(name) or Refusal(name)


def expected_refusals(test: str, exceptions: str, raw: bytes, rules: Rules) -> set[Refusal]:
    """Reasons for which the vector may be refused; `exceptions` are alternatives with `|` between them."""
    if TransactionType.SET_CODE >= raw[0] > rules.typed_transactions:
        # The tool that made the vectors read an envelope before it asked whether the fork has the type, if it knew
        # the type itself. A fork that does not have the type cannot know what is wrong inside.
        return {Refusal.TYPE_NOT_SUPPORTED}
    if "invalid_rlp_encoding" in test:
        return {Refusal.MALFORMED}  # truncated or too long as a whole; the vector calls that a bad authorisation
    if "GasLimitOverflowZeros64" in test:
        return {Refusal.MALFORMED}  # nine bytes, of which eight are leading zeros: that the number fits is moot
    return {refusal_named(name) for name in exceptions.split("|")}


def admit(raw: bytes, rules: Rules) -> tuple[Transaction, bytes]:
    """The transaction and its sender, after every check that needs no state."""
    tx = decode_transaction(raw, rules)
    sender = recover_sender(tx, rules, CHAIN_ID)
    validate_static(tx, rules)
    return tx, sender


def fault_of(test: str, raw: bytes, expected: dict[str, str], rules: Rules) -> str:
    """What is wrong with our reading of one vector, empty if nothing is."""
    exceptions = expected.get("exception")
    try:
        tx, sender = admit(raw, rules)
    except TransactionRefused as refused:
        if exceptions is None:
            return f"refused ({refused})"
        allowed = expected_refusals(test, exceptions, raw, rules)
        return "" if refused.refusal in allowed else f"refused ({refused}), not for {exceptions}"
    if exceptions is not None:
        return f"accepted, not refused for {exceptions}"
    found = (sender, transaction_hash(tx), intrinsic_gas(tx, rules))
    wanted = (from_hex(expected["sender"]), from_hex(expected["hash"]), int(expected["intrinsicGas"], 16))
    if found != wanted:
        return f"{found}, not {wanted}"
    return "" if encode_transaction(tx) == raw else "not encoded as it was"


@pytest.fixture(scope="session")
def vectors(fixtures_folder: Path) -> list[Vector]:
    return [
        (f"{file.parent.name}/{file.stem}/{name}", from_hex(test["txbytes"]), test["result"])
        for file in sorted((fixtures_folder / "transaction").rglob("*.json"))
        for name, test in json.loads(file.read_text()).items()
    ]


@pytest.mark.parametrize("fork", [*ETHEREUM_TESTS_FORKS, *EXECUTION_SPEC_FORKS])
def test_every_vector_of_the_fork(vectors: list[Vector], fork: str) -> None:
    rules = fork_named(fork).rules
    faults = {test: fault_of(test, raw, results[fork], rules) for test, raw, results in vectors if fork in results}
    assert faults
    assert {test: fault for test, fault in faults.items() if fault} == {}


def test_no_fork_of_the_vectors_is_left_out(vectors: list[Vector]) -> None:
    assert {fork for _, _, results in vectors for fork in results} == {*ETHEREUM_TESTS_FORKS, *EXECUTION_SPEC_FORKS}


def raw_state_tests(folder: Path) -> Iterator[tuple[str, dict[str, Any], str, dict[str, Any]]]:
    """(name, transaction with alternatives, fork, what one of them gives) where the raw transaction is given."""
    for file in sorted(folder.rglob("*.json")):
        for name, test in json.loads(file.read_text()).items():
            for fork, results in test["post"].items():
                yield from ((name, test["transaction"], fork, result) for result in results if "txbytes" in result)


@pytest.mark.parametrize(
    "folder", ["ethereum_tests", "execution_specs/Prague", "execution_specs/Osaka", "eest_fusaka_devnet5"]
)
def test_raw_transactions_of_state_tests_are_those_of_their_sender(fixtures_folder: Path, folder: str) -> None:
    count = 0
    for name, wanted, fork, result in raw_state_tests(fixtures_folder / "state_tests" / folder):
        rules, raw = fork_named(fork).rules, from_hex(result["txbytes"])
        count += 1
        if result.get("expectException", "").endswith("_PRE_FORK"):
            with pytest.raises(TransactionRefused) as refused:
                decode_transaction(raw, rules)
            assert refused.value.refusal is Refusal.TYPE_NOT_SUPPORTED, name
            continue
        tx, chosen = decode_transaction(raw, rules), result["indexes"]
        assert encode_transaction(tx) == raw, name
        assert recover_sender(tx, rules, CHAIN_ID) == from_hex(wanted["sender"]), name
        assert tx.data == from_hex(wanted["data"][chosen["data"]]), name
        assert tx.gas_limit == int(wanted["gasLimit"][chosen["gas"]], 16), name
        assert tx.value == int(wanted["value"][chosen["value"]], 16), name
        signers = [it.get("signer") for it in wanted.get("authorizationList", [])]
        for authorization, signer in zip(tx.authorizations, signers, strict=True):
            authority = recover_authority(authorization)
            assert signer is None or authority == from_hex(signer), name
    assert count
