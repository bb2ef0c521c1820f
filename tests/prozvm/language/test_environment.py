"""Environments: names, what is around them, and what programs may leave in them."""

from __future__ import annotations

import pytest
from vmloom_prozvm.errors import TypeMismatch, ValueTooLarge
from vmloom_prozvm.language.environment import Environment, Scope
from vmloom_prozvm.values import ValueLimits


def test_environment_is_made_with_unlimited_gas() -> None:
    assert Environment()["_gas_remaining"] == float("inf")


def test_get_of_a_missing_name_gives_the_default() -> None:
    assert Environment().get("x") is None
    assert Environment().get("_ledger", []) == []


def test_set_gives_the_value_back() -> None:
    environment = Environment()
    assert environment.set("x", 1) == 1
    assert environment.get("x") == 1


def test_child_sees_what_is_around_it() -> None:
    child = Environment({"x": 1}).child()
    assert child["x"] == 1
    assert "x" in child


def test_child_keeps_what_is_set_in_it() -> None:
    outer = Environment({"x": 1})
    child = outer.child()
    child["x"] = 2
    assert (child["x"], outer["x"]) == (2, 1)


def test_assigning_in_a_child_changes_the_variable_where_it_is() -> None:
    outer = Environment({"x": 1})
    outer.child().assign("x", 2)
    assert outer["x"] == 2


def test_assigning_what_is_nowhere_sets_it_in_the_child() -> None:
    outer = Environment()
    child = outer.child()
    child.assign("x", 2)
    assert "x" not in outer
    assert child["x"] == 2


@pytest.mark.parametrize("name", ["_blockchain_state", "_ledger", "_gas_remaining", "_block_timestamp"])
def test_children_share_state_ledger_gas_and_time(name: str) -> None:
    outer = Environment()
    outer.child().child()[name] = 7
    assert outer[name] == 7


def test_names_are_counted_once_however_many_environments_have_them() -> None:
    child = Environment({"x": 1, "y": 2}).child()
    child["x"] = 3
    assert sorted(child) == ["_gas_remaining", "x", "y"]
    assert len(child) == 3


def test_variables_and_functions_are_told_apart() -> None:
    environment = Environment({"x": 1, "print": print})
    assert environment.variables == {"x": 1}
    assert environment.functions == {"print": print}


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeMismatch):
        Environment({"x": 1.5})


def test_value_beyond_the_limits_is_refused() -> None:
    with pytest.raises(ValueTooLarge):
        Environment(limits=ValueLimits(items=2)).child().set("x", [1, 2, 3])


def test_temporaries_of_programs_are_not_kept() -> None:
    environment = Environment()
    environment["~1"] = 1
    environment["x~2"] = 1
    assert environment.variables == {}


def test_constants_of_what_is_around_are_constants_until_the_name_is_declared_anew() -> None:
    outer = Environment()
    outer.declare("x", 1, constant=True)
    child = outer.child()
    assert child.constants == {"x"}
    child.declare("x", 2)
    assert child.constants == frozenset()
    assert outer.constants == {"x"}


def test_deleting_a_constant_frees_its_name() -> None:
    environment = Environment()
    environment.declare("x", 1, constant=True)
    del environment["x"]
    assert environment.constants == frozenset()
    with pytest.raises(KeyError):
        del environment["x"]


def test_scope_declares_its_own_names_and_assigns_the_others() -> None:
    outer = Environment({"x": 1, "y": 1})
    child = outer.child()
    scope = Scope(child, {"x": True})
    scope["x"] = 2
    scope["y"] = 2
    assert (outer["x"], child["x"], outer["y"]) == (1, 2, 2)
    assert child.constants == {"x"}
    assert dict(scope) == dict(child)
    assert len(scope) == len(child)
    del scope["x"]
    assert scope["x"] == 1
