"""Metering of WebAssembly by rewriting the module: gas, and a stack height that no compiler decides."""

from __future__ import annotations

from .costs import COSMWASM, DEFAULT, TABLES, Linear, PriceGroup, WasmGasCosts
from .instrument import (
    EXHAUSTED_EXPORT,
    FRAME_WORDS,
    FUNCTION_CALLS_EXPORT,
    FUNCTION_GAS_EXPORT,
    GAS_EXPORT,
    RESERVED_PREFIX,
    STACK_EXPORT,
    START_EXPORT,
    instrument,
)
from .profile import FunctionProfile, read_profile
from .sequences import Exhausted

__all__ = [
    "COSMWASM",
    "DEFAULT",
    "EXHAUSTED_EXPORT",
    "FRAME_WORDS",
    "FUNCTION_CALLS_EXPORT",
    "FUNCTION_GAS_EXPORT",
    "GAS_EXPORT",
    "RESERVED_PREFIX",
    "STACK_EXPORT",
    "START_EXPORT",
    "TABLES",
    "Exhausted",
    "FunctionProfile",
    "Linear",
    "PriceGroup",
    "WasmGasCosts",
    "instrument",
    "read_profile",
]
