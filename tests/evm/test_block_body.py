"""Receipts, bloom filters and roots: native code says the same of its outcomes as Python says of their results."""

from __future__ import annotations

import pickle
import random
import subprocess
import sys
from dataclasses import replace

import pytest
from vmloom import Account, BlockContext
from vmloom.hashing import keccak256
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.block.body import Body, SignedTransaction, body, body_in_python
from vmloom_evm.commitment import EMPTY_TRIE_ROOT, logs_bloom, may_have_logged
from vmloom_evm.native.reading import outcome_of
from vmloom_evm.native.state import NativeState
from vmloom_evm.transaction.outcome import TransactionResult
from vmloom_evm.transaction.types import Transaction, TransactionType

SENDER = b"\x05" * 20
LOGGER = 0x1000
"""And the following: contracts that log their input with none to four topics, random numbers at its beginning."""
REVERTER = (0x2000).to_bytes(20, "big")
KINDS = (TransactionType.LEGACY, TransactionType.ACCESS_LIST, TransactionType.FEE_MARKET)


def logger(topics: int, times: int) -> bytes:
    """Code that logs its input `times`, with as many words of it as topics."""
    one = b"".join(b"\x60" + bytes([32 * number]) + b"\x35" for number in range(topics))  # PUSH1 CALLDATALOAD
    one += b"\x36\x5f" + bytes([0xA0 + topics])  # CALLDATASIZE PUSH0 LOG
    return b"\x36\x5f\x5f\x37" + times * one + b"\x36\x5f\xf3"  # CALLDATACOPY ... RETURN


def ran(count: int, seed: int) -> tuple[list[SignedTransaction], list[TransactionResult]]:
    """So many transactions that have run in native code, and what came of them."""
    chance = random.Random(seed)
    contracts = {(LOGGER + n).to_bytes(20, "big"): Account(code=logger(n % 5, 1 + n // 5)) for n in range(10)}
    accounts = {**contracts, REVERTER: Account(code=b"\x36\x5f\xfd"), SENDER: Account(balance=10**24)}
    vm = Evm(EvmConfig(engine="native", revision="cancun"))
    transactions = [
        Transaction(
            type=chance.choice(KINDS),
            nonce=nonce,
            to=chance.choice((*contracts, REVERTER, b"\x09" * 20, None)),
            gas_limit=200_000,
            data=chance.randbytes(chance.choice((0, 1, 31, 32, 55, 56, 100, 300))),
        )
        for nonce in range(count)
    ]
    block = BlockContext(gas_limit=1 << 40, base_fee=0)
    specification = vm.specification(vm.fork_at(block))
    results = vm.executor.transact_all(specification, NativeState(accounts), block, transactions, [SENDER] * count)
    encoded = [chance.randbytes(chance.choice((1, 20, 31, 33, 110, 500))) for _ in transactions]
    signed = [SignedTransaction(tx, SENDER, one, keccak256(one)) for tx, one in zip(transactions, encoded, strict=True)]
    return signed, [result for result in results if isinstance(result, TransactionResult)]


@pytest.mark.parametrize("count", [1, 2, 3, 15, 16, 17, 127, 128, 129, 130, 255, 256, 257, 300])
def test_native_code_and_python_commit_to_the_same(count: int) -> None:
    signed, results = ran(count, count)
    assert len(results) == count
    assert None not in map(outcome_of, results)
    assert body(signed, results) == body_in_python(signed, results)


def test_a_small_trie_has_nodes_within_their_parents() -> None:
    signed, results = ran(40, 7)
    short = [one._replace(encoded=bytes([1 + place])) for place, one in enumerate(signed)]
    assert body(short, results) == body_in_python(short, results)


def test_no_transactions_commit_to_empty_tries() -> None:
    assert body([], []) == Body((), 0, bytes(256), EMPTY_TRIE_ROOT, EMPTY_TRIE_ROOT)


def test_results_of_another_engine_are_taken_in_python() -> None:
    signed, results = ran(5, 3)
    plain: list[TransactionResult] = [pickle.loads(pickle.dumps(result)) for result in results]
    assert outcome_of(plain[0]) is None
    assert body(signed, plain) == body(signed, results)
    assert body(signed, [plain[0], *results[1:]]) == body(signed, results)
    changed = [replace(result, gas_used=result.gas_used + 1) for result in results]
    assert body(signed, changed) == body_in_python(signed, changed) != body(signed, results)


def test_encodings_may_be_of_a_class_of_their_own() -> None:
    class Wrapped(bytes):
        """Bytes that do not lie where those of `bytes` do."""

        __slots__ = ()

    signed, results = ran(3, 5)
    wrapped = [one._replace(encoded=Wrapped(one.encoded)) for one in signed]
    assert body(wrapped, results) == body(signed, results)


def test_blocks_are_made_without_a_compiler() -> None:
    code = "import sys; sys.modules['vmloom_native'] = None; import vmloom_evm.block"
    assert subprocess.run([sys.executable, "-c", code], check=False, timeout=60).returncode == 0


def test_the_filter_has_what_was_logged() -> None:
    signed, results = ran(1, 11)
    while not results[0].events:
        signed, results = ran(1, random.randrange(1 << 30))
    made = body(signed, results)
    assert made.bloom == logs_bloom(results[0].events)
    assert may_have_logged(made.bloom, results[0].events[0].address)
    assert not may_have_logged(bytes(256), results[0].events[0].address)
