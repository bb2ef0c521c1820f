"""Gas estimation, also where success is not monotonic in the limit."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom import ExecutionResult, ExecutionState
from vmloom.errors import GasEstimationError
from vmloom.estimate import estimate_gas

CAP = 30_000_000


def attempts(
    succeeds: Callable[[int], bool], used: Callable[[int], int]
) -> tuple[Callable[[int], ExecutionResult], list[int]]:
    """An execution, and the limits that it was tried with."""
    tried: list[int] = []

    def attempt(limit: int) -> ExecutionResult:
        tried.append(limit)
        if succeeds(limit):
            return ExecutionResult(ExecutionState.SUCCESS, used(limit))
        return ExecutionResult(ExecutionState.FAILED, limit, error="out of gas")

    return attempt, tried


@given(need=st.integers(0, CAP), spare=st.integers(0, CAP))
def test_the_least_limit_is_found(need: int, spare: int) -> None:
    used = max(0, need - spare)  # what is used may be less than what must be there, but not more
    attempt, tried = attempts(lambda limit: limit >= need, lambda _: used)
    assert estimate_gas(attempt, cap=CAP) == need
    assert len(tried) <= 40


def test_a_plain_call_takes_few_runs() -> None:
    attempt, tried = attempts(lambda limit: limit >= 21_000, lambda _: 21_000)
    assert estimate_gas(attempt, cap=CAP) == 21_000
    assert len(tried) < 16


def test_one_64th_held_back() -> None:
    """A call 50 deep in which each passes on 63/64: far more must be there than is used."""

    def succeeds(limit: int) -> bool:
        for _ in range(50):
            limit -= 700
            limit -= limit // 64
        return limit >= 20_000

    attempt, _ = attempts(succeeds, lambda _: 55_000)
    gas = estimate_gas(attempt, cap=CAP)
    assert succeeds(gas)
    assert not succeeds(gas - 1)
    assert gas > 1.5 * 55_000


def test_success_that_comes_and_goes_still_gives_a_limit_that_works() -> None:
    """Code that asks GAS may fail in the midst of limits that work."""
    attempt, _ = attempts(lambda limit: limit >= 50_000 and not 200_000 <= limit < 400_000, lambda _: 40_000)
    gas = estimate_gas(attempt, cap=CAP)
    assert attempt(gas).success
    assert not attempt(gas - 1).success


def test_use_that_grows_with_the_limit_still_gives_a_limit_that_works() -> None:
    """Code that burns half of what it is given: what it used at the cap says little about what it needs."""
    attempt, _ = attempts(lambda limit: limit >= 30_000, lambda limit: limit // 2)
    gas = estimate_gas(attempt, cap=CAP)
    assert attempt(gas).success
    assert gas <= CAP // 2


def test_what_works_only_once_is_refused() -> None:
    seen = []

    def attempt(limit: int) -> ExecutionResult:
        seen.append(limit)
        state = ExecutionState.SUCCESS if len(seen) == 1 else ExecutionState.FAILED
        return ExecutionResult(state, 21_000 if len(seen) == 1 else limit, error="out of gas")

    with pytest.raises(GasEstimationError, match="success depends on the gas given"):
        estimate_gas(attempt, cap=100_000)


def test_what_fails_at_the_cap_is_refused_at_once() -> None:
    attempt, tried = attempts(lambda _: False, lambda _: 0)
    with pytest.raises(GasEstimationError, match=r"fails with the gas cap of 30000000: out of gas"):
        estimate_gas(attempt, cap=CAP)
    assert tried == [CAP]


def test_a_revert_shows_its_data() -> None:
    def attempt(limit: int) -> ExecutionResult:
        return ExecutionResult(ExecutionState.REVERTED, 100, b"\xde\xad")

    with pytest.raises(GasEstimationError, match="the call reverts: 0xdead") as caught:
        estimate_gas(attempt, cap=CAP)
    assert caught.value.return_data == b"\xde\xad"


def test_the_floor_is_a_lower_bound() -> None:
    attempt, tried = attempts(lambda limit: limit >= 5, lambda _: 5)
    assert estimate_gas(attempt, cap=CAP, floor=21_000) == 21_000
    assert min(tried) >= 21_000


@pytest.mark.parametrize("need", [1, 100_000, CAP - 1, CAP])
def test_tolerance_ends_early_and_above(need: int) -> None:
    attempt, exact = attempts(lambda limit: limit >= need, lambda _: 1)
    estimate_gas(attempt, cap=CAP)
    attempt, rough = attempts(lambda limit: limit >= need, lambda _: 1)
    gas = estimate_gas(attempt, cap=CAP, tolerance=0.015)
    assert need <= gas <= need * 1.02 + 1
    assert len(rough) <= len(exact)
