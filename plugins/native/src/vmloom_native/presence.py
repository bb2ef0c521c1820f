"""Whether the accelerator `cpu` has what it needs: asked by whoever lists plugins, so nothing is imported."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from typing import Any


def absence(section: Mapping[str, Any]) -> str:  # noqa: ARG001 (what is configured makes no difference)
    """Why it cannot be used; empty if it can. See `AcceleratorSpec.absence`."""
    if importlib.util.find_spec("numpy") is None:
        return 'NumPy is not installed: pip install "vmloom-native[accelerator]"'
    return ""
