"""Results that are read late must be seen as those that are not."""

from __future__ import annotations

import copy
import pickle
from dataclasses import replace
from typing import Any

import pytest
from vmloom import Event, ExecutionResult, ExecutionState, StateChange
from vmloom_evm import TransactionResult
from vmloom_evm.results import LateExecutionResult, LateTransactionResult, late

EVENTS = (Event(bytes(20), (1, 2), b"data"),)
CHANGES = (StateChange(bytes(20), "balance", None, 1, 2),)
EXECUTION = {"state": ExecutionState.SUCCESS, "gas_used": 3, "return_data": b"out", "gas_refunded": 1, "error": ""}
TRANSACTION = {
    "state": ExecutionState.REVERTED,
    "gas_used": 21_000,
    "gas_refunded": 0,
    "max_gas_used": 21_000,
    "gas_price": 7,
    "blob_gas_used": 0,
    "return_data": b"",
    "created": None,
    "error": "execution reverted",
}


class Given:
    """A reader of fields that are given, as values or functions."""

    def __init__(self, **fields: Any) -> None:
        self.fields = {"metadata": {}, "events": EVENTS, "state_changes": CHANGES, **fields}

    def read(self, name: str) -> Any:
        value = self.fields[name]
        return value() if callable(value) else value


PAIRS = pytest.mark.parametrize(
    ("late", "plain"),
    [
        (
            lambda: late(LateExecutionResult, lambda: Given(metadata={"engine": "x"}, **EXECUTION)),
            ExecutionResult(events=EVENTS, state_changes=CHANGES, metadata={"engine": "x"}, **EXECUTION),  # type: ignore[arg-type]
        ),
        (
            lambda: late(LateTransactionResult, lambda: Given(**TRANSACTION)),
            TransactionResult(events=EVENTS, state_changes=CHANGES, **TRANSACTION),  # type: ignore[arg-type]
        ),
    ],
    ids=["execution", "transaction"],
)


def test_nothing_is_read_until_somebody_asks_and_then_once() -> None:
    asked = []

    def events() -> tuple[Event, ...]:
        asked.append("events")
        return EVENTS

    result = late(LateExecutionResult, lambda: Given(events=events, **EXECUTION))
    assert result.success
    assert result.gas_used == 3
    assert not asked
    assert result.events == EVENTS
    assert result.events == EVENTS
    assert asked == ["events"]


@PAIRS
def test_late_result_equals_the_plain_one_either_way(late: Any, plain: Any) -> None:
    assert late() == plain
    assert plain == late()
    assert late() == late()
    assert late() != replace(plain, gas_used=0)
    assert replace(plain, gas_used=0) != late()
    assert late() != "something else"


@PAIRS
def test_late_result_prints_and_copies_as_the_plain_one(late: Any, plain: Any) -> None:
    assert repr(late()) == repr(plain)
    assert isinstance(late(), type(plain))
    assert pickle.loads(pickle.dumps(late())) == plain
    assert copy.deepcopy(late()) == plain
    assert replace(late(), gas_used=0) == replace(plain, gas_used=0)


def test_late_transaction_result_hashes_as_the_plain_one() -> None:
    result = late(LateTransactionResult, lambda: Given(**TRANSACTION))
    assert hash(result) == hash(TransactionResult(events=EVENTS, state_changes=CHANGES, **TRANSACTION))  # type: ignore[arg-type]


def test_late_result_is_shown_as_json() -> None:
    result = late(LateExecutionResult, lambda: Given(**EXECUTION))
    assert result.to_dict() == ExecutionResult(events=EVENTS, state_changes=CHANGES, **EXECUTION).to_dict()  # type: ignore[arg-type]


@PAIRS
def test_late_result_has_no_other_attributes_and_cannot_be_changed(late: Any, plain: Any) -> None:
    with pytest.raises(AttributeError, match="has no attribute 'gas'"):
        _ = late().gas
    with pytest.raises(AttributeError):
        late().gas_used = 1
