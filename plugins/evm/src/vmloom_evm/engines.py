"""Which engine runs: what is installed, what the configuration asks for, and what custom instructions allow."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from vmloom.errors import ConfigError
from vmloom.kernel.subset import KernelError

from .config import EvmConfig
from .engine import Engine
from .reference.engine import REFERENCE

if TYPE_CHECKING:
    from .table import OpRow

INSTALL_NATIVE = "pip install vmloom-native"


def choose_engine(config: EvmConfig, custom_ops: Sequence[OpRow] = ()) -> Engine:
    """The engine that `config` asks for; `auto` is the native one if it is installed and can run `custom_ops`.

    `jit` is the native one, too, with the compiler of contracts above it, which `auto` has unless `enable_jit` is off.
    Raises `ConfigError` for either where it is not installed, or cannot run one of them.
    """
    if config.engine == "reference":
        return REFERENCE
    try:
        engine = native_engine(config)
    except (ImportError, OSError) as error:  # OSError: a library of LLVM's that does not load
        if config.engine == "auto":
            return REFERENCE
        raise ConfigError(f"[vm.evm] engine: the native engine is not usable: {error}").with_fix(
            INSTALL_NATIVE
        ) from None
    try:
        engine.check(custom_ops)
    except (KernelError, OSError) as error:  # OSError: no source to compile
        if config.engine == "auto":
            _warn(error)
            return REFERENCE
        raise ConfigError(f"[vm.evm] custom_opcodes: the native engine cannot run this function: {error}").with_fix(
            'keep to docs/reference/kernel-language.md, or set engine = "reference"'
        ) from None
    return engine


def native_engine(config: EvmConfig) -> Engine:
    """The native engine. Raises `ImportError` or `OSError` where it cannot be used."""
    # Looked for, not imported: the compiler is loaded only if something has to be compiled.
    for name in ("vmloom_native", "llvmlite"):
        if importlib.util.find_spec(name) is None:
            raise ImportError(f"{name} is not installed")
    make: Callable[[EvmConfig], Engine] = importlib.import_module("vmloom_evm.native.engine").NativeEngine
    return make(config)


def _warn(error: Exception) -> None:
    import structlog  # costs more to import than the rest; only what goes wrong needs it

    structlog.get_logger("vmloom").warning(
        "a custom instruction cannot be compiled, so the reference engine runs all code", cause=str(error)
    )
