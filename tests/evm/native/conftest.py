"""Tests of what the native engine is made of; they need it, and without it the reference engine is all there is."""

from __future__ import annotations

import os

from vmloom_evm.config import EvmConfig
from vmloom_evm.engines import native_engine

try:
    native_engine(EvmConfig(engine="native"))
    WHY_NOT = ""
except (ImportError, OSError) as error:
    WHY_NOT = str(error)

# Without llvmlite the modules cannot even be imported. In CI they must be, and then say why they cannot.
collect_ignore_glob = ["test_*.py"] if WHY_NOT and not os.environ.get("CI") else []


def pytest_report_header() -> str | None:
    """Say why these tests are not run."""
    return f"tests/evm/native are left out: {WHY_NOT}" if collect_ignore_glob else None
