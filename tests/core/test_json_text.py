"""Texts that would overflow the stack are refused whatever the interpreter's recursion limit is."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom.json_text import MAX_DEPTH, NestedTooDeeply, read_json

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(VALUES)
def test_values_are_those_of_json(value: Any) -> None:
    text = json.dumps(value)
    assert read_json(text) == read_json(text.encode()) == value


@pytest.mark.parametrize("opening", ["[", '{"a":'])
def test_the_depth_is_bounded(opening: str) -> None:
    closing = "]" if opening == "[" else "}"
    at_bound = opening * MAX_DEPTH + "1" + closing * MAX_DEPTH
    assert read_json(at_bound) is not None
    with pytest.raises(NestedTooDeeply, match=str(MAX_DEPTH)):
        read_json(opening + at_bound + closing)
    with pytest.raises(NestedTooDeeply):
        read_json("[[]]", depth=1)


def test_brackets_in_strings_and_beside_each_other_are_not_depth() -> None:
    assert read_json(json.dumps(["[" * 5000, '"[' * 5000, "\\[" * 5000])) == ["[" * 5000, '"[' * 5000, "\\[" * 5000]
    assert read_json("[" + ",".join(["[]"] * 5000) + "]") == [[]] * 5000


@pytest.mark.parametrize("string", ["]" * 600, "]\\\\", "[[", '\\"]]'])
def test_brackets_in_strings_do_not_hide_depth(string: str) -> None:
    shallow = f'["{string}",' * 100 + "1" + "]" * 100
    assert read_json(shallow) is not None
    with pytest.raises(NestedTooDeeply):
        read_json(f'["{string}",' * 600 + "1" + "]" * 600)
    with pytest.raises(NestedTooDeeply):
        read_json(f'["{string}' + f'",["{string}' * 600)


@pytest.mark.parametrize("text", ["[", '"[[[', b"\xff", "[" * 600 + "]" * 5, "]" * 600 + "[" * 600])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_json(text)


def test_a_lifted_recursion_limit_does_no_harm() -> None:
    program = """
import sys
sys.setrecursionlimit(10**6)
from vmloom.json_text import NestedTooDeeply, read_json
try:
    read_json("[" * 10**6)
except NestedTooDeeply:
    print("refused")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "refused\n"


def test_a_caller_that_is_nested_deeply_is_told_the_same() -> None:
    def deep(left: int) -> Any:
        return read_json("[" * 500 + "]" * 500) if left == 0 else deep(left - 1)

    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(1000)
    try:
        with pytest.raises(NestedTooDeeply):
            deep(600)
    finally:
        sys.setrecursionlimit(limit)
