"""The EVM under test, on every engine."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Final

import pytest
from vmloom_evm.config import EvmConfig
from vmloom_evm.engines import native_engine
from vmloom_evm.testing import EvmUnderTest


def _why_not_native() -> str:
    try:
        native_engine(EvmConfig(engine="native"))
    except (ImportError, OSError) as error:
        return str(error)
    return ""


WHY_NOT_NATIVE = _why_not_native()
"""Why the native engine cannot be used here, empty if it can. `test_engines` says so, and in CI fails."""
ENGINES = ("reference",) if WHY_NOT_NATIVE else ("reference", "native", "jit")
"""Every engine that there is: each semantic test runs on each."""
OPTIONS: Final[dict[str, dict[str, Any]]] = {"jit": {"jit": {"trigger": "first"}}}
"""Of engines: the compiler of contracts has to compile them all, be they ever so seldom run."""


@pytest.fixture(params=ENGINES)
def evm(request: pytest.FixtureRequest) -> EvmUnderTest:
    """An EVM of the latest fork with a state of its own; `evm.at(fork)` is one of another fork."""
    return EvmUnderTest(request.param, **OPTIONS.get(request.param, {}))


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, None]:
    """Add the last program of a failed test, and the end of its trace."""
    outcome = yield
    report = outcome.get_result()
    evm = getattr(item, "funcargs", {}).get("evm")
    if report.when == "call" and report.failed and isinstance(evm, EvmUnderTest):
        report.sections.append(("the last program that ran", evm.report()))
