"""Asks wasmtime whether a module is valid, without compiling it."""

from __future__ import annotations

import re
from typing import NamedTuple

import wasmtime

from vmloom_wasm.engine.config import Engine

# What wasmtime appends to most messages.
_PLACE = re.compile(r"\s*\(at offset 0x([0-9a-f]+)\)\s*$")


class Invalidity(NamedTuple):
    """Why a module is not valid."""

    message: str
    offset: int | None
    """Where in the module, in bytes, if wasmtime said it."""


def invalidity(engine: Engine, code: bytes) -> Invalidity | None:
    """Return why `code` is no valid module with the features of `engine`; None if it is one."""
    try:
        wasmtime.Module.validate(engine.handle, code)
    except wasmtime.WasmtimeError as error:
        message = str(error)
        place = _PLACE.search(message)
        if place is None:
            return Invalidity(message, None)
        return Invalidity(message[: place.start()], int(place[1], 16))
    return None
