"""Nested transactions, against a model that copies everything at each TX_BEGIN."""

from __future__ import annotations

import copy
import sys
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from vmloom_prozvm.errors import NoTransaction, NotStorable, OpenTransaction, StateOutsideTransaction, ValueTooLarge
from vmloom_prozvm.runtime.transactions import TransactionStack
from vmloom_prozvm.runtime.world import DictWorld
from vmloom_prozvm.values import Task, Value, ValueLimits, canonical

KEYS = ["a", "b", "c", "d"]


def stack(env: dict[str, Any] | None = None, *, strict: bool = True) -> TransactionStack:
    return TransactionStack(DictWorld({} if env is None else env), strict=strict)


class Transactions(RuleBasedStateMachine):
    """The model is a list of worlds, each a copy of the one before; committing drops the last but one."""

    strict: bool

    def __init__(self) -> None:
        super().__init__()
        self.env: dict[str, Any] = {"_blockchain_state": {"a": 1}, "_block_timestamp": 5}
        self.stack = stack(self.env, strict=self.strict)
        self.worlds: list[tuple[dict[str, Any], list[Any]]] = [({"a": 1}, [])]

    @rule()
    def begin(self) -> None:
        self.stack.begin()
        self.worlds.append(copy.deepcopy(self.worlds[-1]))

    @rule()
    def commit(self) -> None:
        if len(self.worlds) > 1:
            self.stack.commit()
            del self.worlds[-2]
        else:
            self.end_nothing(self.stack.commit)

    @rule()
    def revert(self) -> None:
        if len(self.worlds) > 1:
            self.stack.revert()
            self.worlds.pop()
        else:
            self.end_nothing(self.stack.revert)

    def end_nothing(self, end: Any) -> None:
        if self.strict:
            with pytest.raises(NoTransaction):
                end()
        else:
            end()

    @rule(key=st.sampled_from(KEYS), value=st.none() | st.integers(0, 9) | st.lists(st.integers(), max_size=2))
    def write(self, key: str, value: Any) -> None:
        if len(self.worlds) == 1 and self.strict:
            with pytest.raises(StateOutsideTransaction):
                self.stack.write(key, value)
        else:
            self.stack.write(key, value)
            self.worlds[-1][0][key] = value

    @rule(entry=st.integers(0, 9) | st.fixed_dictionaries({"n": st.integers()}, optional={"timestamp": st.integers()}))
    def append(self, entry: Any) -> None:
        self.stack.append(entry)
        made = entry if isinstance(entry, dict) else {"entry": entry}
        self.worlds[-1][1].append({**made, "timestamp": 5})

    @precondition(lambda self: len(self.worlds) > 2)
    @rule()
    def fail(self) -> None:
        self.stack.revert_all()
        del self.worlds[1:]

    @rule()
    def finish(self) -> None:
        if len(self.worlds) > 1 and self.strict:
            with pytest.raises(OpenTransaction):
                self.stack.finish()
        else:
            self.stack.finish()
        del self.worlds[1:]

    @invariant()
    def what_is_seen_is_the_innermost(self) -> None:
        assert self.stack.depth == len(self.worlds) - 1
        for key in KEYS:
            assert self.stack.read(key) == self.worlds[-1][0].get(key)

    @invariant()
    def what_the_world_has_is_the_outermost(self) -> None:
        committed, ledger = self.worlds[0]
        assert self.env["_blockchain_state"] == {key: value for key, value in committed.items() if value is not None}
        assert self.env.get("_ledger", []) == ledger


class StrictTransactions(Transactions):
    strict = True


class LenientTransactions(Transactions):
    strict = False


StrictTransactions.TestCase.settings = LenientTransactions.TestCase.settings = settings(
    max_examples=60, stateful_step_count=40
)
TestStrictTransactions = StrictTransactions.TestCase
TestLenientTransactions = LenientTransactions.TestCase


def test_pending_writes_are_nobody_elses_until_the_last_commit() -> None:
    env: dict[str, Any] = {"_blockchain_state": {"balance": 10}}
    one, other = stack(env), stack(env)
    one.begin()
    one.begin()
    one.write("balance", 3)
    one.append("paid")
    assert (one.read("balance"), other.read("balance")) == (3, 10)
    one.commit()
    assert (one.read("balance"), other.read("balance")) == (3, 10)
    assert "_ledger" not in env
    one.commit()
    assert other.read("balance") == 3
    assert env["_ledger"] == [{"entry": "paid", "timestamp": 0}]


def test_reverting_the_outer_transaction_takes_back_what_the_inner_committed() -> None:
    transactions = stack()
    transactions.begin()
    transactions.write("a", 1)
    transactions.begin()
    transactions.write("a", 2)
    transactions.append("inner")
    transactions.commit()
    assert transactions.read("a") == 2
    transactions.revert()
    assert transactions.read("a") is None


def test_a_key_removed_in_a_transaction_is_gone_only_there() -> None:
    env: dict[str, Any] = {"_blockchain_state": {"a": 1}}
    transactions = stack(env)
    transactions.begin()
    transactions.write("a", None)
    assert transactions.read("a") is None
    assert env["_blockchain_state"] == {"a": 1}
    transactions.commit()
    assert env["_blockchain_state"] == {}


def test_ledger_entries_need_no_transaction() -> None:
    env: dict[str, Any] = {}
    stack(env).append(1)
    assert env["_ledger"] == [{"entry": 1, "timestamp": 0}]


def test_effects_wait_for_the_last_commit_and_keep_their_order() -> None:
    done: list[Any] = []
    env: dict[str, Any] = {}
    transactions = stack(env)
    transactions.after(lambda: done.append("at once"))
    transactions.begin()
    transactions.write("a", 1)
    transactions.append("entry")
    transactions.after(lambda: done.append((len(env["_ledger"]), env["_blockchain_state"]["a"])))
    transactions.begin()
    transactions.after(lambda: done.append("reverted"))
    transactions.revert()
    transactions.begin()
    transactions.after(lambda: done.append("inner"))
    transactions.commit()
    assert done == ["at once"]
    transactions.commit()
    assert done == ["at once", (1, 1), "inner"]
    transactions.begin()
    transactions.after(lambda: done.append("failed"))
    transactions.revert_all()
    assert len(done) == 3


def test_what_cannot_be_kept_is_refused_when_it_is_written() -> None:
    env: dict[str, Any] = {}
    transactions = stack(env)
    transactions.begin()
    transactions.write("a", 1)
    refused: list[Value] = [Task(0), [Task(0)], {"deep": [Task(0)]}]
    for value in refused:
        with pytest.raises(NotStorable):
            transactions.write("b", value)
        with pytest.raises(NotStorable):
            transactions.append(value)
    transactions.commit()
    assert env == {"_blockchain_state": {"a": 1}}


def test_an_entry_that_its_stamp_makes_too_deep_is_refused_when_it_is_appended() -> None:
    transactions = TransactionStack(DictWorld({}, limits=ValueLimits(nesting=2)), strict=True)
    transactions.begin()
    transactions.append({"a": [1]})
    with pytest.raises(ValueTooLarge):
        transactions.append([[1]])  # in {"entry": ...} it would be three deep
    transactions.commit()


def test_the_size_of_what_is_read_is_known_before() -> None:
    value = [1, "two", {"three": 3}]
    transactions = stack({"_blockchain_state": {"a": value}})
    assert transactions.size("a") == len(canonical(value))  # type: ignore[arg-type]
    assert transactions.size("b") == 0
    transactions.begin()
    transactions.write("a", 1)
    assert transactions.size("a") == 0  # what this run wrote, it has paid for


@pytest.mark.parametrize("end", ["commit", "revert_all"])
def test_what_has_ended_holds_nothing(end: str) -> None:
    transactions = stack()
    value: Value = [1, 2, 3]
    before = sys.getrefcount(value)
    for _ in range(3):
        transactions.begin()
        transactions.write("a", value)
        transactions.write("a", 0)
        getattr(transactions, end)()
    assert sys.getrefcount(value) == before


@pytest.mark.parametrize("end", ["commit", "revert"])
def test_ending_a_transaction_that_was_not_begun(end: str) -> None:
    with pytest.raises(NoTransaction, match=f"TX_{end.upper()} without a transaction"):
        getattr(stack(strict=True), end)()
    getattr(stack(strict=False), end)()


def test_a_hundred_thousand_deep_is_no_slower_to_read() -> None:
    transactions = stack()
    transactions.begin()
    transactions.write("a", 1)
    for _ in range(100_000):
        transactions.begin()
    assert transactions.depth == 100_001
    for _ in range(1000):
        assert transactions.read("a") == 1
    transactions.revert_all()
    assert transactions.depth == 0
    assert transactions.read("a") is None
