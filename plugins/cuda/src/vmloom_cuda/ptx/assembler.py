"""`ptxas`, NVIDIA's assembler: what a kernel needs on a GPU, without one. It comes with CUDA, and as a wheel.

What it accepts a driver accepts, and the registers that it counts are those the kernel will have.
"""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

DEFAULT_ARCHITECTURE: Final = "sm_90"
VARIABLE: Final = "PTXAS"
"""Environment variable with the path of the program, if it is not on the search path."""
WHEEL: Final = "nvidia-cuda-nvcc-cu12"
"""The one that brings nothing else."""
DEFAULT_TIMEOUT: Final = 600.0

_KERNEL: Final = re.compile(r"Compiling entry function '([^']+)' for '[^']+'")
_FRAME: Final = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED: Final = re.compile(r"Used (\d+) registers")
_CUMULATIVE: Final = re.compile(r"(\d+) bytes cumulative stack size")


class AssemblerError(Exception):
    """`ptxas` is not there, or refuses the PTX. The message says which, and what to do."""


@dataclass(frozen=True, slots=True)
class Resources:
    """What one thread of a kernel needs: registers of 32 bits; the rest in bytes.

    `stack` is what the kernel and all it calls keep in local memory; spills are registers that did not fit.
    """

    registers: int
    stack: int
    spill_stores: int
    spill_loads: int


def find() -> Path | None:
    """The program: `$PTXAS`, else on the search path, else in a wheel `nvidia-cuda-nvcc`. None if there is none."""
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named) if os.access(named, os.X_OK) else None
    found = shutil.which("ptxas")
    return Path(found) if found else _in_wheel()


def _in_wheel() -> Path | None:
    """Wheels put it below the package `nvidia`, in a folder of CUDA's version."""
    spec = importlib.util.find_spec("nvidia")
    places = (spec.submodule_search_locations if spec else None) or ()
    for place in places:
        for path in sorted(Path(place).glob("c*/bin/ptxas*"), reverse=True):
            if path.stem == "ptxas" and os.access(path, os.X_OK):
                return path
    return None


def resources_of(
    ptx: bytes, architecture: str = DEFAULT_ARCHITECTURE, timeout: float = DEFAULT_TIMEOUT
) -> dict[str, Resources]:
    """What each kernel of a module needs. Raises `AssemblerError`."""
    return _resources(assembled(ptx, architecture, timeout)[1])


def assembled(
    ptx: bytes, architecture: str = DEFAULT_ARCHITECTURE, timeout: float = DEFAULT_TIMEOUT
) -> tuple[bytes, str]:
    """Machine code for GPUs of an architecture, such as `sm_90`, and what `ptxas -v` tells. Raises `AssemblerError`."""
    program = find()
    if program is None:
        raise AssemblerError(
            f"there is no ptxas: install CUDA or the wheel {WHEEL}, or let ${VARIABLE} be the path of the program"
        )
    with tempfile.TemporaryDirectory(prefix="ptxas") as folder:
        source, result = Path(folder) / "kernels.ptx", Path(folder) / "kernels.cubin"
        source.write_bytes(ptx)
        command = [str(program), "-v", f"-arch={architecture}", str(source), "-o", str(result)]
        try:
            process = subprocess.run(command, capture_output=True, timeout=timeout, check=False)
        except subprocess.TimeoutExpired:
            raise AssemblerError(f"{program} took longer than {timeout:g} s for {architecture}") from None
        except OSError as cause:
            raise AssemblerError(f"{program} cannot be run: {cause}") from cause
        said = (process.stderr + process.stdout).decode(errors="replace")
        if process.returncode != 0:
            raise AssemblerError(f"{program} refuses the PTX for {architecture}: {said.strip()[:2000]}")
        return result.read_bytes(), said


def _resources(said: str) -> dict[str, Resources]:
    """From the lines that follow `Compiling entry function` of each kernel."""
    found = {}
    parts = _KERNEL.split(said)
    for name, told in zip(parts[1::2], parts[2::2], strict=True):
        frame, used, all_frames = _FRAME.search(told), _USED.search(told), _CUMULATIVE.search(told)
        if frame is None or used is None:
            raise AssemblerError(f"ptxas did not tell what `{name}` needs: {told.strip()[:500]}")
        stack = max(int(frame[1]), int(all_frames[1]) if all_frames else 0)
        found[name] = Resources(int(used[1]), stack, int(frame[2]), int(frame[3]))
    return found
