"""The corpus on every tier: what a program does must not depend on how it is run."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_prozvm.gas import GasSchedule
from vmloom_prozvm.language.diagnostics import LanguageError, SyntaxErrors
from vmloom_prozvm.language.environment import Environment
from vmloom_prozvm.language.hybrid import Evaluator
from vmloom_prozvm.language.parser import parse

from .corpus import Case, cases
from .tiers import EXACT, TIERS, Seen, Settings, host_functions, lowered, run

CASES = cases()
RUNNING = [case for case in CASES if not case.refusals]
REFUSED = [case for case in CASES if case.refusals]
TIME = 0
"""Of the ledger's entries, in UNIX seconds."""


def _name(case: Case) -> str:
    return case.name


def _settings(case: Case) -> Settings:
    # GAS alone costs anything, as on the workbench.
    return Settings(schedule=None, gas=case.gas, strict=False, state=case.initial_state, time=TIME, contract=False)


def _plain(value: Any) -> Any:
    """An entry of the ledger as a value of the language."""
    if hasattr(value, "items"):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple | list) else value


def _check(case: Case, seen: Seen) -> None:
    outcome = seen.outcome
    if case.failure is None:
        assert outcome.error is None, f"{outcome.error} at {seen.places}"
        assert repr(outcome.result) == repr(case.result)
    else:
        assert outcome.error is not None, f"it gave {outcome.result!r}"
        assert outcome.error.__name__ == case.failure.kind
        assert seen.places[0][1][:2] == case.failure.position
        assert repr(outcome.output) == repr(case.failure.output)
    assert seen.notes == case.output
    assert outcome.state == case.state
    assert _plain(outcome.ledger) == case.ledger


def test_corpus_is_large() -> None:
    assert len(CASES) >= 100
    assert sum(case.failure is not None for case in CASES) >= 20


ALWAYS = [tier for tier in TIERS if tier not in ("compiled", "native")]
"""The tiers that run every program."""


@pytest.mark.parametrize("tier", ALWAYS)
@pytest.mark.parametrize("case", RUNNING, ids=_name)
def test_program_does_what_it_says(case: Case, tier: str) -> None:
    seen = run(tier, lowered(case.source), _settings(case))
    assert seen is not None
    _check(case, seen)


@pytest.mark.parametrize(("tier", "least"), [("compiled", 0.95), ("native", 0.05)])
def test_what_a_compiler_takes_does_what_it_says(tier: str, least: float) -> None:
    taken = 0
    for case in RUNNING:
        seen = run(tier, lowered(case.source), _settings(case))
        if seen is not None:
            taken += 1
            _check(case, seen)
    assert taken >= least * len(RUNNING)


@pytest.mark.parametrize("case", RUNNING, ids=_name)
def test_program_costs_the_same_on_every_tier(case: Case) -> None:
    schedule = GasSchedule()
    used = {tier: seen for tier in EXACT if (seen := run(tier, lowered(case.source), Settings(schedule, 1 << 40)))}
    assert len({str(seen) for seen in used.values()}) == 1


@pytest.mark.parametrize("use_vm", [True, False])
@pytest.mark.parametrize("case", RUNNING, ids=_name)
def test_program_does_what_it_says_in_an_environment(case: Case, use_vm: bool) -> None:
    notes: list[Any] = []
    env = Environment({**host_functions(notes), "_blockchain_state": dict(case.initial_state)})
    if case.gas is not None:
        env["_gas_remaining"] = case.gas
    evaluator = Evaluator(use_vm=use_vm)
    if case.failure is None:
        assert repr(evaluator.evaluate(case.source, env)) == repr(case.result)
    else:
        with pytest.raises(Exception) as raised:
            evaluator.evaluate(case.source, env)
        assert type(raised.value).__name__ == case.failure.kind
        assert raised.value.places[0][1][:2] == case.failure.position  # type: ignore[attr-defined]  # a ProzError
    assert notes == case.output
    assert env["_blockchain_state"] == case.state
    assert _plain(env.get("_ledger", [])) == case.ledger


@pytest.mark.parametrize("case", REFUSED, ids=_name)
def test_program_is_refused_for_what_it_says(case: Case) -> None:
    with pytest.raises(SyntaxErrors if case.is_syntax else LanguageError) as raised:
        (parse if case.is_syntax else lowered)(case.source)
    found = list(zip(raised.value.positions, raised.value.diagnostics, strict=True))
    assert [position for position, _ in found] == [refusal.position for refusal in case.refusals]
    for (_, diagnostic), refusal in zip(found, case.refusals, strict=True):
        assert refusal.text in diagnostic.message
