"""Random expressions of the kernel language do the same compiled as in CPython."""

from __future__ import annotations

import itertools
import random
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from vmloom_native.testing import Compiled

from ..kernel_grammar import Grammar, arguments, functions_of

FUNCTIONS = 24
"""for each module: compiling one takes as long as running it thousands of times"""
COUNT = itertools.count()


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("kernels")


@settings(max_examples=12)
@given(seed=st.integers(0, 2**64 - 1))
def test_random_expressions_do_the_same(folder: Path, seed: int) -> None:
    rng = random.Random(seed)
    grammar = Grammar(rng)
    source = "".join(grammar.function(f"f_{number}") for number in range(FUNCTIONS))
    functions = functions_of(source, folder / f"m{next(COUNT)}.py")
    compiled = Compiled(*functions)
    for function in functions:
        for _ in range(40):
            given_ = arguments(rng)
            assert compiled(function, *given_) == function(*given_), (function.__name__, given_, source)
