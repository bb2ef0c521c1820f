"""The sides of the comparison: vmloom and its peers, each of which runs the work of `suite` in its own way.

A peer's module is imported only when it is asked for, since its library need not be installed.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from .side import Side

PEERS = ("pyrevm", "py-evm", "evmone")
ENGINES = ("auto", "jit", "native", "reference")
"""Of vmloom: one is our side, and others may be compared with it like peers."""
_LIBRARIES = {"pyrevm": "pyrevm", "py-evm": "eth"}


def is_installed(peer: str, evmone: Path | None) -> bool:
    """Whether the library of `peer` is there; for evmone, whether a file is named."""
    return evmone is not None if peer == "evmone" else importlib.util.find_spec(_LIBRARIES[peer]) is not None


def make_side(name: str, *, engine: str, evmone: Path | None = None) -> Side:
    """The side called `name`: `vmloom` with `engine`, another engine of vmloom by its name, or one of `PEERS`.

    `evmone` is the path of its library.
    """
    if name == "pyrevm":
        from .revm import PyrevmSide

        return PyrevmSide()
    if name == "py-evm":
        from .py_evm import PyEvmSide

        return PyEvmSide()
    if name == "evmone":
        from .evmone import EvmoneSide

        assert evmone is not None
        return EvmoneSide(evmone)
    from .ours import VmloomSide

    return VmloomSide(name, engine) if name not in ENGINES else VmloomSide(name, name)
