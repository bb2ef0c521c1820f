"""Many threads on one chain: readers see whole blocks, writers lose nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest
from vmloom_node.chain import TransactionRequest, ledger, world

from .conftest import STORE_CALLER_INPUT, MakeChain, deploy

ROUNDS = 40


def run_all(*tasks: Callable[[], None]) -> list[BaseException]:
    """Run the tasks at once; returns what went wrong."""
    failures: list[BaseException] = []

    def guarded(task: Callable[[], None]) -> None:
        try:
            task()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(task,)) for task in tasks]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return failures


@pytest.mark.parametrize("mining", ["transaction", "manual"])
def test_writers_and_readers_at_once(engine: str, mining: str, make_chain: MakeChain) -> None:
    chain = make_chain(engine, mining=mining)
    contract = b"\7" * 20
    chain.set_code(contract, STORE_CALLER_INPUT)
    senders = chain.accounts.addresses[:3]
    done = threading.Event()
    hashes: list[bytes] = []

    def write(sender: bytes) -> Callable[[], None]:
        def task() -> None:
            for number in range(ROUNDS):
                data = (number + 1).to_bytes(32, "big")
                hashes.append(chain.send_request(TransactionRequest(sender, to=contract, data=data, gas_limit=90_000)))

        return task

    def mine() -> None:
        while not done.is_set():
            chain.mine()

    def read() -> None:
        while not done.is_set():
            number = chain.head.number
            first = chain.storage(contract, 0, number)
            assert chain.storage(contract, 0, number) == first
            result = chain.call(TransactionRequest(to=contract, data=(5).to_bytes(32, "big")), number)
            assert result.return_data[:32] == (5).to_bytes(32, "big")
            chain.pending()
            chain.receipts(number)

    def write_all() -> None:
        failures = run_all(*map(write, senders))
        done.set()
        assert failures == []

    assert run_all(write_all, read, read, *([mine] if mining == "manual" else [])) == []
    if mining == "manual":
        chain.mine(5)
    assert len(hashes) == 3 * ROUNDS
    assert all(chain.receipt(one).success for one in hashes)
    assert [chain.nonce(sender) for sender in senders] == [ROUNDS] * 3
    assert sum(len(chain.block(number).hashes) for number in range(chain.head.number + 1)) == 3 * ROUNDS


def test_snapshots_and_readers_at_once(make_chain: MakeChain) -> None:
    chain = make_chain()
    contract = deploy(chain, STORE_CALLER_INPUT)
    done = threading.Event()

    def write() -> None:
        try:
            for _ in range(ROUNDS):
                snapshot = chain.snapshot()
                chain.send_request(TransactionRequest(to=contract, data=(1).to_bytes(32, "big"), gas_limit=90_000))
                assert chain.revert(snapshot)
        finally:
            done.set()

    def read() -> None:
        while not done.is_set():
            assert chain.storage(contract, 0, 1) == 0
            assert chain.account(contract, 0).is_empty

    assert run_all(write, read, read) == []
    assert chain.head.number == 1


def test_bounds_of_what_is_kept_change_nothing(monkeypatch: pytest.MonkeyPatch, make_chain: MakeChain) -> None:
    heads = []
    for rows in (None, 3):
        if rows is not None:
            monkeypatch.setattr(world, "KEPT_ROWS", rows)
            monkeypatch.setattr(ledger, "KEPT_BLOCKS", 2)
        chain = make_chain()
        contract = deploy(chain, STORE_CALLER_INPUT)
        snapshot = chain.snapshot()
        for number in range(6):
            if number == 3:
                chain.revert(snapshot)
            chain.send_request(TransactionRequest(to=contract, data=bytes([number + 1]) * 32, gas_limit=90_000))
            chain.call(TransactionRequest(data=bytes([number]) * 5000))
        heads.append(chain.head.hash)
        assert chain.block(2).header.number == 2
        assert [chain.storage(contract, 0, number) & 0xFF for number in (1, 2, 3, 4)] == [0, 4, 5, 6]
    assert heads[0] == heads[1]
