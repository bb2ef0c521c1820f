"""What an engine logs: nothing by itself; each execution where it is asked for; batches as a whole."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs
from vmloom import Account
from vmloom.engine import ExecutionEngine
from vmloom.engine.batch import CHUNK
from vmloom_evm.assembly import stop

MakeEngine = Callable[..., ExecutionEngine]
CALLER, CONTRACT = b"\1" * 20, b"\2" * 20
FROM = {"caller": CALLER}
BAD = {**FROM, "gas_limit": -1}
POOR = {**FROM, "gas_limit": 1}
CODE = bytes(stop) + b"\0"


@pytest.fixture(autouse=True)
def _unconfigured() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


@pytest.fixture
def events() -> Iterator[list[Any]]:
    """What is logged to a program that has set up structlog."""
    structlog.configure()
    with capture_logs() as found:
        yield found


def test_each_execution_is_an_event(make_engine: MakeEngine, events: list[Any]) -> None:
    spending = bytes.fromhex("6001600155")
    engine = make_engine({CONTRACT: Account(code=spending)}, log_executions=True)
    good = engine.execute_contract(CONTRACT, CALLER)
    engine.execute_contracts_batch([CONTRACT] * 2, [POOR, BAD])
    first, second = (one for one in events if one["event"] == "execution")
    assert first.pop("seconds") > 0
    assert first == {
        "event": "execution",
        "log_level": "info",
        "vm": "evm",
        "contract": "0x" + CONTRACT.hex(),
        "state": "success",
        "gas_used": good.gas_used,
        "error": "",
    }
    assert (second["state"], second["gas_used"], second["error"]) == ("failed", 1, "out of gas")


def test_a_batch_is_summed_up(make_engine: MakeEngine, events: list[Any]) -> None:
    engine = make_engine({CONTRACT: Account(code=CODE)}, metrics=False)
    for mode in ("independent", "block"):
        engine.execute_contracts_batch([CONTRACT] * 1500, [FROM, BAD, FROM] * 500, mode=mode)  # type: ignore[arg-type]
    results = engine.iterate_contracts_batch([CONTRACT] * 1500, [FROM] * 1500)
    next(results)
    results.close()
    assert [(one["log_level"], one["event"], one["mode"]) for one in events] == [
        ("debug", "batch", "independent"),
        ("debug", "batch", "block"),
        ("debug", "batch", "independent"),
    ]
    assert [one["items"] for one in events[:2]] == [1500, 1500]
    assert 1 <= events[2]["items"] <= CHUNK
    assert [(one["success"], one["failed"]) for one in events[:2]] == [(1000, 500)] * 2
    assert all(one["seconds"] > 0 for one in events)


def test_nothing_is_logged_without_being_asked(make_engine: MakeEngine, capsys: pytest.CaptureFixture[str]) -> None:
    engine = make_engine({CONTRACT: Account(code=CODE)}, log_executions=True)
    engine.execute_contract(CONTRACT, CALLER)
    engine.execute_contracts_batch([CONTRACT], [FROM])
    assert capsys.readouterr() == ("", "")


def test_logs_and_metrics_are_apart(make_engine: MakeEngine, events: list[Any]) -> None:
    engine = make_engine({CONTRACT: Account(code=CODE)}, metrics=False, log_executions=True)
    engine.execute_contract(CONTRACT, CALLER)
    assert len(events) == 1
    assert engine.get_performance_metrics()["executions"] == 0
