"""Calls of plain data, made in one step, are those that single calls come to, and so is what is wrong with them."""

from __future__ import annotations

from threading import Lock
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom import Account, BlockContext, MemoryState
from vmloom.engine import requests
from vmloom.engine.intake import Given, Givens, Intake
from vmloom.factory import VmFactory

CONTRACT, BARE, OTHER = b"\3" * 20, b"\4" * 20, b"\5" * 20
FACTORY = VmFactory()
BLOCK = BlockContext(number=7)
NUMBERS = st.sampled_from([0, 1, -1, (1 << 63) - 1, 1 << 63, (1 << 256) - 1, 1 << 256, True, 1.0, "1", None])
ADDRESSES = st.sampled_from([b"\1" * 20, b"\1" * 19, b"", bytearray(b"\1" * 20), "0x" + "01" * 20, "01", 1, None])
CALLERS = st.one_of(st.just(b"\1" * 20), ADDRESSES)
DATA: dict[str, st.SearchStrategy[Any]] = {
    "value": NUMBERS,
    "data": st.sampled_from([b"", b"ab", bytearray(b"ab"), "0xab", "x", 5, None]),
    "gas_limit": NUMBERS,
    "gas_price": NUMBERS,
    "origin": ADDRESSES,
    "is_static": st.sampled_from([True, False, 1, None]),
    "block_context": st.sampled_from([None, BLOCK, {"number": 7}, {"numbre": 7}, 7]),
    "colour": st.just("red"),
}


def intake() -> Intake:
    state = MemoryState({CONTRACT: Account(code=b"\0"), OTHER: Account(code=b"\1"), BARE: Account(balance=1)})
    return Intake(state, FACTORY, Lock())


def one_by_one(contract: Any, data: Any) -> Any:
    """What a single call would be, or what it would raise."""
    state = MemoryState({CONTRACT: Account(code=b"\0"), OTHER: Account(code=b"\1"), BARE: Account(balance=1)})
    try:
        found = requests.contract_of(contract)
        return requests.call_of(found, requests.context_of(found, data), state, FACTORY)
    except Exception as error:
        return type(error), str(error)


def seen(item: Any) -> Any:
    return (type(item), str(item)) if isinstance(item, Exception) else item


@settings(max_examples=400, deadline=None)
@given(st.lists(st.fixed_dictionaries({"caller": CALLERS}, optional=DATA), max_size=4))
def test_items_are_what_single_calls_are(items: list[dict[str, Any]]) -> None:
    both = intake()
    both.item(Given(CONTRACT, {"caller": b"\1" * 20}))  # so that the contract is known
    for data in items:
        assert seen(both.item(Given(CONTRACT, data))) == one_by_one(CONTRACT, data)


@pytest.mark.parametrize("contract", [CONTRACT, BARE, CONTRACT.hex(), {"address": CONTRACT}, b"", 5, None])
def test_contracts_of_every_kind(contract: Any) -> None:
    both = intake()
    for _ in range(2):
        assert seen(both.item(Given(contract, {"caller": b"\1" * 20}))) == one_by_one(contract, {"caller": b"\1" * 20})


@pytest.mark.parametrize("data", [None, 5, [], {1: 2}, {}, {"caller": b"\1" * 20, b"value": 1}])
def test_what_is_no_data_is_told(data: Any) -> None:
    both = intake()
    both.item(Given(CONTRACT, {"caller": b"\1" * 20}))
    assert seen(both.item(Given(CONTRACT, data))) == one_by_one(CONTRACT, data)


def test_a_context_made_at_once_is_like_any_other() -> None:
    both = intake()
    calls = [
        both.item(Given(CONTRACT, {"caller": b"\1" * 20, "data": b"ab", "block_context": BLOCK})) for _ in range(2)
    ]
    assert calls[0] == calls[1]
    assert isinstance(calls[1], requests.Call)
    assert hash(calls[0]) == hash(calls[1])
    assert calls[1].context.with_input(b"c").input == b"c"


PLAIN: dict[str, st.SearchStrategy[Any]] = {
    "value": st.sampled_from([0, 0, 0, 1, False]),
    "data": st.sampled_from([b"", b"ab", bytearray(b"ab")]),
    "gas_limit": st.sampled_from([0, 5, (1 << 63) - 1, 1 << 63, -1, True]),
    "gas_price": st.sampled_from([0, 0, 0, 7, -1, 1 << 256]),
    "block_context": st.sampled_from([None, BLOCK, BlockContext(number=7), BlockContext(number=8), 7]),
}
NEIGHBOURS = st.sets(st.sampled_from([*PLAIN])).flatmap(
    lambda keys: st.lists(
        st.fixed_dictionaries(
            {"caller": st.sampled_from([b"\1" * 20, b"\2" * 20])} | {key: PLAIN[key] for key in keys}
        ),
        min_size=1,
        max_size=3,
    )
)


@settings(max_examples=400, deadline=None)
@given(NEIGHBOURS, st.lists(st.sampled_from([CONTRACT, CONTRACT, OTHER, BARE, CONTRACT.hex()]), min_size=3, max_size=3))
def test_columns_are_what_single_calls_are(data: list[dict[str, Any]], contracts: list[Any]) -> None:
    both = intake()
    for known in (CONTRACT, OTHER):
        both.item(Given(known, {"caller": b"\1" * 20}))
    contracts = contracts[: len(data)]
    found = both.columns(Givens(contracts, data))
    expected = [one_by_one(*pair) for pair in zip(contracts, data, strict=True)]
    if found is not None:
        vm, calls = found
        assert [requests.Call(vm, *call) for call in calls] == expected
    elif all(isinstance(call, requests.Call) for call in expected):
        contexts = [call.context for call in expected]
        plain = all(type(one) is bytes for one in contracts) and not any(one.value for one in contexts)
        alike = len({(one.gas_price, one.block) for one in contexts}) == 1
        exact = all(type(value) in (int, bytes, BlockContext, type(None)) for one in data for value in one.values())
        blocks = {type(one.get("block_context")) for one in data}
        assert not (plain and alike and exact and len(blocks) == 1), "these are plain and alike"


class Loud(dict):  # type: ignore[type-arg]
    def get(self, *_: Any) -> Any:
        raise ZeroDivisionError


class Key(str):
    """Looks like the name of a field, and raises when it is compared."""

    __slots__ = ()
    __hash__ = str.__hash__

    def __eq__(self, other: object) -> bool:
        raise ZeroDivisionError


@pytest.mark.parametrize(
    "odd", [Loud(caller=b"\1" * 20), {Key("caller"): b"\1" * 20}, {}, None, {"caller": b"\1" * 20, "colour": 1}]
)
def test_what_is_odd_is_left_for_single_calls(odd: Any) -> None:
    both = intake()
    plain = {"caller": b"\1" * 20}
    both.item(Given(CONTRACT, plain))
    assert both.columns(Givens([CONTRACT] * 3, [plain] * 3)) is not None
    for data in ([plain, odd, plain], [odd] * 3):
        assert both.columns(Givens([CONTRACT] * 3, data)) is None
    assert both.columns(Givens([CONTRACT], [plain] * 3)) is None
