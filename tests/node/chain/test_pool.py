from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_evm.block import SignedTransaction
from vmloom_evm.transaction.types import Transaction
from vmloom_node.chain.errors import PoolRefusal, PoolRefused
from vmloom_node.chain.pool import MAX_TRANSACTION_BYTES, Pool, PoolLimits, Waiting

ONE, TWO = b"\1" * 20, b"\2" * 20


def add(pool: Pool, sender: bytes, nonce: int, fee: int, *, tip: int | None = None, size: int = 100) -> Waiting:
    """Put a transaction into the pool of a sender whose nonce is 0; its hash follows from all of these."""
    tx = Transaction(nonce=nonce, max_fee_per_gas=fee, max_priority_fee_per_gas=fee if tip is None else tip)
    key = sender[:1] + b"".join(number.to_bytes(8, "big") for number in (nonce, fee, tx.max_priority_fee_per_gas))
    return pool.add(SignedTransaction(tx, sender, bytes(size), key.ljust(32, b"\0")), 0)


def order(pool: Pool, base_fee: int = 0, **options: bool) -> list[tuple[bytes, int]]:
    return [(one.sender, one.tx.nonce) for one in pool.best(base_fee, lambda _: 0, **options)]


def refusal(pool: Pool, *arguments: int, sender: bytes = ONE, **options: int) -> PoolRefusal:
    with pytest.raises(PoolRefused) as caught:
        add(pool, sender, *arguments, **options)
    assert caught.value.reason == caught.value.refusal.value
    return caught.value.refusal


def test_the_greatest_tip_goes_first_then_the_oldest() -> None:
    pool = Pool()
    add(pool, ONE, 0, 50)
    add(pool, TWO, 0, 70)
    add(pool, b"\3" * 20, 0, 70)
    assert [sender for sender, _ in order(pool)] == [TWO, b"\3" * 20, ONE]
    assert [sender for sender, _ in order(pool, by_arrival=True)] == [ONE, TWO, b"\3" * 20]


def test_what_does_not_pay_the_base_fee_waits_and_all_behind_it() -> None:
    pool = Pool()
    add(pool, ONE, 0, 10)
    add(pool, ONE, 1, 100)
    add(pool, TWO, 0, 20, tip=1)
    assert order(pool, 15) == [(TWO, 0)]
    assert order(pool, 10) == [(TWO, 0), (ONE, 0), (ONE, 1)]


def test_a_replacement_pays_ten_percent_more_in_both_fees() -> None:
    pool = Pool()
    first = add(pool, ONE, 0, 100, tip=10)
    assert refusal(pool, 0, 109, tip=20) is PoolRefusal.REPLACEMENT_UNDERPRICED
    assert refusal(pool, 0, 200, tip=10) is PoolRefusal.REPLACEMENT_UNDERPRICED
    second = add(pool, ONE, 0, 110, tip=11)
    assert first.hash not in pool
    assert pool.get(second.hash) == second
    assert len(pool) == 1


def test_a_replacement_pays_more_even_without_a_bump() -> None:
    pool = Pool(PoolLimits(price_bump=0))
    add(pool, ONE, 0, 100)
    assert refusal(pool, 0, 100, tip=100, size=99) is PoolRefusal.ALREADY_KNOWN
    add(pool, ONE, 0, 101)


def test_limits_hold() -> None:
    pool = Pool(PoolLimits(max_transactions=3, max_per_account=2, max_gap=5, min_gas_price=7))
    assert refusal(pool, 0, 6) is PoolRefusal.UNDERPRICED
    assert refusal(pool, 6, 10) is PoolRefusal.NONCE_TOO_FAR
    assert refusal(pool, 0, 10, size=MAX_TRANSACTION_BYTES + 1) is PoolRefusal.TOO_LARGE
    add(pool, ONE, 0, 10)
    assert refusal(pool, 0, 10) is PoolRefusal.ALREADY_KNOWN
    add(pool, ONE, 1, 9)
    assert refusal(pool, 2, 10) is PoolRefusal.TOO_MANY_OF_SENDER
    add(pool, TWO, 0, 8)
    assert refusal(pool, 1, 8, sender=TWO) is PoolRefusal.POOL_FULL
    add(pool, TWO, 1, 12)  # for which the cheapest goes
    assert list(pool.content(lambda _: 0).queued[TWO]) == [1]
    assert len(pool) == 3


def test_bytes_are_limited_too() -> None:
    pool = Pool(PoolLimits(max_bytes=250, price_bump=0))
    first = add(pool, ONE, 0, 10)
    add(pool, TWO, 0, 20)
    assert refusal(pool, 1, 10) is PoolRefusal.POOL_FULL
    assert refusal(pool, 0, 30, sender=TWO, size=151) is PoolRefusal.POOL_FULL
    add(pool, b"\3" * 20, 0, 30)  # for which the cheapest goes
    assert first.hash not in pool
    saved = pool.save()
    add(pool, TWO, 0, 21, size=150)  # in place of the one of 100
    assert refusal(pool, 0, 5) is PoolRefusal.POOL_FULL
    pool.restore(saved)
    pool.remove(saved[0].hash)
    add(pool, ONE, 0, 5, size=150)


@pytest.mark.parametrize(
    "limits",
    [{}, {"max_transactions": 0}, {"max_per_account": 0}, {"max_bytes": 99}, {"max_bytes": 100}, {"min_gas_price": 11}],
    ids=str,
)
@pytest.mark.parametrize("size", [100, MAX_TRANSACTION_BYTES, MAX_TRANSACTION_BYTES + 1])
def test_what_an_empty_pool_would_take_is_passed_by(limits: dict[str, int], size: int) -> None:
    pool = Pool(PoolLimits(**limits))
    signed = SignedTransaction(Transaction(max_fee_per_gas=10), ONE, bytes(size), bytes(32))
    try:
        pool.check(signed, 0)
    except PoolRefused:
        assert not pool.is_passed_by(signed)
    else:
        assert pool.is_passed_by(signed)
        add(pool, TWO, 0, 10)
        assert not pool.is_passed_by(signed)  # something waits


def test_gaps_divide_what_waits() -> None:
    pool = Pool()
    for nonce in (0, 1, 3):
        add(pool, ONE, nonce, 10)
    content = pool.content(lambda _: 0)
    assert (list(content.pending[ONE]), list(content.queued[ONE])) == ([0, 1], [3])
    assert pool.next_nonce(ONE, 0) == 2
    assert pool.next_nonce(TWO, 5) == 5
    pool.drop_stale(ONE, 1)
    assert list(pool.content(lambda _: 1).pending[ONE]) == [1]


def test_what_was_saved_comes_back() -> None:
    pool = Pool()
    add(pool, ONE, 0, 10)
    saved = pool.save()
    version = pool.version
    add(pool, TWO, 0, 10)
    assert pool.remove_sender(ONE) == 1
    pool.restore(saved)
    assert order(pool) == [(ONE, 0)]
    assert pool.version > version
    pool.clear()
    assert len(pool) == 0
    assert not pool.remove(saved[0].hash)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.integers(1, 9)), max_size=60))
def test_the_pool_never_contradicts_itself(steps: list[tuple[int, int, int]]) -> None:
    pool = Pool(PoolLimits(max_transactions=10, max_per_account=4, price_bump=0))
    for who, nonce, fee in steps:
        sender = bytes([who + 1]) * 20
        try:
            add(pool, sender, nonce, fee)
        except PoolRefused:
            pool.remove(pool.hashes()[0])
    content = pool.content(lambda _: 0)
    everything = [one for part in content for of_sender in part.values() for one in of_sender.values()]
    assert sorted(one.hash for one in everything) == sorted(pool.hashes())
    assert len(pool) <= 10
    assert all(pool.get(one.hash) is one for one in everything)
    runnable = order(pool)
    assert sorted(runnable) == sorted(
        (one.sender, one.tx.nonce) for of in content.pending.values() for one in of.values()
    )
    for sender in {sender for sender, _ in runnable}:
        nonces = [nonce for one, nonce in runnable if one == sender]
        assert nonces == list(range(len(nonces)))
