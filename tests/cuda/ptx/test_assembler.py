"""What kernels need on GPUs, as NVIDIA's assembler tells: a gate against spills and against stacks that grow."""

from __future__ import annotations

import stat
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from vmloom.kernel import Ptr, rotate_left, u64, u128, u160, u256, u512
from vmloom_cuda.kernels import modules
from vmloom_cuda.ptx import AssemblerError, PtxModule, Resources, assembler, module
from vmloom_native.cpu import installed_kernels

NEEDS_PTXAS = pytest.mark.skipif(
    assembler.find() is None, reason="needs ptxas: of CUDA, of the wheel nvidia-cuda-nvcc-cu12, or where $PTXAS says"
)
ARCHITECTURES = ("sm_75", "sm_90")
SAID = """\
ptxas info    : 0 bytes gmem
ptxas info    : Compiling entry function 'one' for 'sm_90'
ptxas info    : Function properties for one
    16 bytes stack frame, 8 bytes spill stores, 4 bytes spill loads
ptxas info    : Used 40 registers, used 0 barriers, 16 bytes cumulative stack size
ptxas info    : Compile time = 5.000 ms
ptxas info    : Compiling entry function 'two' for 'sm_90'
ptxas info    : Function properties for two
    0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
ptxas info    : Used 8 registers, used 0 barriers
"""


def shifts(row: u64, count: u64, x: Ptr[u256], counts: Ptr[u64], result: Ptr[u256]) -> None:
    result[row] = (u256(x[row] << counts[row]) if counts[row] < 256 else 0) ^ x[row] >> counts[row]


def narrow_shifts(row: u64, count: u64, x: Ptr[u160], counts: Ptr[u64], result: Ptr[u160]) -> None:
    result[row] = (u160(x[row] << counts[row]) if counts[row] < 160 else 0) ^ x[row] >> counts[row]


def wide_shifts(row: u64, count: u64, x: Ptr[u512], counts: Ptr[u64], result: Ptr[u512]) -> None:
    result[row] = (u512(x[row] << counts[row]) if counts[row] < 512 else 0) ^ x[row] >> counts[row]


def rotations(row: u64, count: u64, x: Ptr[u256], counts: Ptr[u64], result: Ptr[u256]) -> None:
    result[row] = rotate_left(u256, x[row], counts[row])


def divisions(row: u64, count: u64, x: Ptr[u512], y: Ptr[u256], result: Ptr[u256]) -> None:
    result[row] = (x[row] % y[row] ^ u128(x[row]) // u128(y[row] | 1)) if y[row] else 0


WIDE = {it.__name__: it for it in (shifts, narrow_shifts, wide_shifts, rotations, divisions)}
"""What LLVM would do with integers on the stack, or bit by bit."""


def recoveries_in_passes() -> PtxModule:
    found = modules.recoveries_in_passes(installed_kernels()["ECRECOVER"].run)
    assert found is not None
    return found


# Registers are those of 32 bits: 128 threads of a block have 65,536 of them, or 512 each if nobody else runs.
GATES: list[tuple[str, Callable[[], PtxModule], int, int]] = [
    ("keccak256 of bytes", lambda: modules.digests_of_bytes("keccak256"), 96, 8),
    ("keccak256 of words", lambda: modules.digests_of_words("keccak256"), 96, 0),
    ("keccak256 of 32 bytes", lambda: modules.digests_of_known_size("keccak256", 32), 80, 0),
    ("keccak256 of 64 bytes", lambda: modules.digests_of_known_size("keccak256", 64), 80, 0),
    ("sha256 of bytes", lambda: modules.digests_of_bytes("sha256"), 64, 384),
    ("sha256 of words", lambda: modules.digests_of_words("sha256"), 64, 384),
    ("blake2b_256 of bytes", lambda: modules.digests_of_bytes("blake2b_256"), 96, 128),
    ("blake2b_256 of words", lambda: modules.digests_of_words("blake2b_256"), 96, 128),
    ("words", modules.words, 72, 0),
    ("wide integers", lambda: module(WIDE), 72, 0),
]
"""What is measured, the most registers of a thread, and the most bytes of its stack."""
SPILLS = {"keccak256 of bytes": 8}
"""Bytes that are stored and loaded in place of registers, where there may be some."""


@NEEDS_PTXAS
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize(("name", "made", "registers", "stack"), GATES, ids=[gate[0] for gate in GATES])
def test_kernels_stay_within_bounds(
    name: str, made: Callable[[], PtxModule], registers: int, stack: int, architecture: str
) -> None:
    kernels = made()
    needed = kernels.resources(architecture)
    assert sorted(needed) == sorted(kernels.kernels)
    for kernel, needs in needed.items():
        assert needs.spill_stores + needs.spill_loads <= SPILLS.get(name, 0), (kernel, needs)
        assert needs.registers <= registers, (kernel, needs)
        assert needs.stack <= stack, (kernel, needs)


@NEEDS_PTXAS
def test_recovery_stays_within_bounds() -> None:
    """On one architecture: it takes the assembler seconds. With 168 registers 3 blocks of 128 threads run at once."""
    for kernel, needs in recoveries_in_passes().resources("sm_90").items():
        assert needs.spill_stores + needs.spill_loads <= 32, (kernel, needs)
        assert needs.registers <= 168, (kernel, needs)
        assert needs.stack <= 1152, (kernel, needs)


@NEEDS_PTXAS
@pytest.mark.parametrize("architecture", ["sm_75", "sm_80", "sm_90", "sm_120"])
def test_one_ptx_is_for_all(architecture: str) -> None:
    machine_code, _ = assembler.assembled(modules.digests_of_words("sha256").ptx, architecture)
    assert machine_code.startswith(b"\x7fELF")


def test_wide_integers_need_no_local_memory() -> None:
    """Whether there is an assembler or not."""
    assert b".local" not in module(WIDE).ptx


@NEEDS_PTXAS
def test_what_is_refused_is_told() -> None:
    with pytest.raises(AssemblerError, match=r"(?s)refuses the PTX for sm_90.*line 1"):
        assembler.resources_of(b"nonsense", "sm_90")
    with pytest.raises(AssemblerError, match="refuses the PTX for sm_2"):
        assembler.resources_of(module({"shifts": shifts}).ptx, "sm_2")


# A stand-in for the program


def stand_in(folder: Path, body: str) -> Path:
    path = folder / "ptxas"
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{body}")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_what_it_tells_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = f"open(sys.argv[-1], 'wb').write(b'code')\nsys.stderr.write({SAID!r})\n"
    monkeypatch.setenv(assembler.VARIABLE, str(stand_in(tmp_path, copy)))
    assert assembler.resources_of(b"text", "sm_90") == {"one": Resources(40, 16, 8, 4), "two": Resources(8, 0, 0, 0)}
    assert assembler.assembled(b"text", "sm_90") == (b"code", SAID)


def test_what_it_does_not_tell_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    said = SAID.replace("Used 8 registers", "")
    copy = f"open(sys.argv[-1], 'wb').write(b'code')\nsys.stderr.write({said!r})\n"
    monkeypatch.setenv(assembler.VARIABLE, str(stand_in(tmp_path, copy)))
    with pytest.raises(AssemblerError, match="did not tell what `two` needs"):
        assembler.resources_of(b"text", "sm_90")


def test_it_may_not_take_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assembler.VARIABLE, str(stand_in(tmp_path, "time.sleep(60)")))
    with pytest.raises(AssemblerError, match=r"took longer than 0\.2 s for sm_90"):
        assembler.resources_of(b"text", "sm_90", timeout=0.2)


def test_it_may_not_be_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(assembler.VARIABLE, str(tmp_path / "nothing"))
    assert assembler.find() is None
    with pytest.raises(AssemblerError, match="there is no ptxas: install CUDA or the wheel nvidia-cuda-nvcc"):
        assembler.resources_of(b"text")


def test_it_is_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the search path, and in the wheel, whose folder has CUDA's version in its name."""
    path = stand_in(tmp_path, "")
    monkeypatch.delenv(assembler.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert assembler.find() == path
    monkeypatch.setenv("PATH", "")
    wheel = tmp_path / "site" / "nvidia" / "cu13" / "bin"
    wheel.mkdir(parents=True)
    inside = stand_in(wheel, "")
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    monkeypatch.delitem(sys.modules, "nvidia", raising=False)
    assert assembler.find() == inside
