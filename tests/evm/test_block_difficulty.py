"""Difficulty from the parent block: each fork's step, the bomb and its delays, the minimum."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_evm.block.difficulty import BOMB_DELAYS, MINIMUM_DIFFICULTY, difficulty
from vmloom_evm.forks import FORKS

PARENT = 2_048_000_000
STEP = PARENT // 2048


def difficulty_of(fork: str, *, number: int = 1, seconds: int = 1, parent: int = PARENT, **how: Any) -> int:
    given = {"parent_has_ommers": False, "bomb_delay": 0, **how}
    return difficulty(
        FORKS[fork].rules, number, timestamp=1_000 + seconds, parent_timestamp=1_000, parent_difficulty=parent, **given
    )


def test_first_block_of_mainnet() -> None:
    found = difficulty(
        FORKS["frontier"].rules,
        1,
        timestamp=1_438_269_988,
        parent_timestamp=0,
        parent_difficulty=17_179_869_184,
        parent_has_ommers=False,
        bomb_delay=0,
    )
    assert found == 17_171_480_576


@pytest.mark.parametrize(
    ("fork", "seconds", "ommers", "steps"),
    [
        ("frontier", 12, False, 1),
        ("frontier", 13, False, -1),
        ("frontier", 10_000, True, -1),
        ("homestead", 9, False, 1),
        ("homestead", 10, False, 0),
        ("homestead", 10, True, 0),
        ("homestead", 20, False, -1),
        ("homestead", 10_000, False, -99),
        ("byzantium", 8, False, 1),
        ("byzantium", 8, True, 2),
        ("byzantium", 9, False, 0),
        ("london", 18, True, 0),
        ("london", 10_000, True, -99),
    ],
)
def test_step_by_the_time_since_the_parent(fork: str, seconds: int, ommers: bool, steps: int) -> None:
    assert difficulty_of(fork, seconds=seconds, parent_has_ommers=ommers) == PARENT + steps * STEP


@pytest.mark.parametrize(("name", "delay"), list(BOMB_DELAYS.items()))
def test_bomb_begins_two_periods_after_its_delay(name: str, delay: int) -> None:
    fork = {"muir_glacier": "istanbul", "arrow_glacier": "london", "gray_glacier": "london"}.get(name, name)
    bomb = {
        number: difficulty_of(fork, number=delay + number, bomb_delay=delay) - PARENT - STEP
        for number in (1, 199_999, 200_000, 299_999, 300_000, 1_200_000)
    }
    assert bomb == {1: 0, 199_999: 0, 200_000: 1, 299_999: 1, 300_000: 2, 1_200_000: 1 << 10}


def test_every_proof_of_work_fork_has_a_delay() -> None:
    assert {name for name, fork in FORKS.items() if not fork.rules.proof_of_stake} <= BOMB_DELAYS.keys()


def test_difficulty_does_not_fall_below_the_minimum() -> None:
    assert difficulty_of("byzantium", seconds=100_000, parent=MINIMUM_DIFFICULTY) == MINIMUM_DIFFICULTY


def test_block_that_is_not_later_than_its_parent_has_none() -> None:
    with pytest.raises(ValueError, match="cannot follow"):
        difficulty_of("london", seconds=0)
