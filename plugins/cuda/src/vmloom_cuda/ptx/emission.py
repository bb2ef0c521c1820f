"""From IR to PTX, in a child process, once for each text: what was emitted is kept in the object cache."""

from __future__ import annotations

import importlib.metadata
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from typing import Final

from vmloom.object_cache import ObjectCache
from vmloom.object_keys import key_of

from . import child

DEFAULT_TIMEOUT: Final = 600.0
"""Seconds that LLVM may take for a module."""
_SAID: Final = 2_000
"""Characters of LLVM's words that an error repeats."""
_FUNCTION: Final = re.compile(r"[Ii]n function:? '?@?([\w.$]+)")
_MISSING: Final = re.compile(rb"^\.extern (?:\.func\s*(?:\([^)]*\)\s*)?|[^;\n]*?)([\w$]+)\s*(?:\(|\[|;)", re.MULTILINE)


class EmissionError(Exception):
    """LLVM did not make PTX of a module. The message names the kernels and what LLVM said."""


@dataclass(frozen=True, slots=True)
class Target:
    """What PTX is for. Drivers compile it for any GPU of compute capability `processor` or later.

    `features` has the version of the PTX language, in LLVM's words; `level` is how much LLVM optimises, 0 to 3: below
    3 kernels need more registers.
    """

    processor: str = "sm_75"
    features: str = "+ptx80"
    level: int = 3


DEFAULT_TARGET: Final = Target()
"""The oldest GPUs that CUDA 13 serves, and the language of CUDA 12.0."""


def emit(
    text: str,
    *,
    kernels: str,
    target: Target = DEFAULT_TARGET,
    timeout: float = DEFAULT_TIMEOUT,
    cache: ObjectCache | None = None,
) -> bytes:
    """The PTX of a module of IR without a header. `kernels` are their names, for people.

    The same text gives the same bytes, in every process. Raises `EmissionError`.
    """
    cache = cache or ObjectCache()
    key = key_of(
        "vmloom-cuda ptx",
        importlib.metadata.version("llvmlite"),
        target.processor,
        target.features,
        target.level,
        text,
    )
    found = cache.get(key)
    if found is None:
        with cache.writing(key):
            found = cache.get(key)
            if found is None:
                found = _emitted(text, kernels, target, timeout)
                cache.put(key, found, f"PTX of {kernels}")
    return found


def _emitted(text: str, kernels: str, target: Target, timeout: float) -> bytes:
    command = [sys.executable, "-P", child.__file__, target.processor, target.features, str(target.level)]
    paths = os.pathsep.join(one for one in sys.path if one)  # what was imported here can be imported there
    environment = {**os.environ, "PYTHONPATH": paths}
    try:
        process = subprocess.run(
            command, input=text.encode(), capture_output=True, timeout=timeout, env=environment, check=False
        )
    except subprocess.TimeoutExpired:
        raise EmissionError(
            f"PTX of {kernels}: LLVM took longer than {timeout:g} s; allow it more time, or outline what is large"
        ) from None
    except OSError as cause:
        raise EmissionError(f"PTX of {kernels}: no process for LLVM could be started: {cause}") from cause
    if process.returncode == 0:
        return checked(process.stdout, kernels)
    raise EmissionError(_failure(process.returncode, process.stderr.decode(errors="replace"), kernels))


def _failure(status: int, said: str, kernels: str) -> str:
    """What a child that failed tells. LLVM's words may be longer than a screen; the first lines say what it is."""
    named = _FUNCTION.search(said)
    where = f"{kernels}, in function {named[1]}" if named else kernels
    words = said.strip()[:_SAID] or "nothing"
    if status == child.UNSOUND:
        return f"PTX of {where}: LLVM refuses the IR: {words}"
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return f"PTX of {where}: LLVM ended with {how}: it cannot select what the kernel asks for. It said: {words}"


def checked(ptx: bytes, kernels: str) -> bytes:
    """PTX that stands alone: what it does not have, no GPU has either. Raises `EmissionError`."""
    missing = _MISSING.search(ptx)
    if missing:
        raise EmissionError(f"PTX of {kernels}: `{missing[1].decode()}` is not defined, and a GPU has no library of it")
    return ptx
