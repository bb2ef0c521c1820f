"""Row bodies as modules: PTX, the same for the host, and what is no row body."""

from __future__ import annotations

import ctypes
import hashlib
import os
import random
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from vmloom.kernel import Halt, Ptr, i64, local, outline, struct, u8, u16, u32, u64, u256
from vmloom.kernel.keccak import keccak256
from vmloom.kernel.subset import KernelError
from vmloom.object_cache import ObjectCache
from vmloom_cuda.emulator import Emulator
from vmloom_cuda.kernels import modules
from vmloom_cuda.ptx import BLOCK, EmissionError, Row, Target, emission, module
from vmloom_native.program import Program

ROWS = 150
"""More than a block, so that some threads of the second one have no row."""


@struct
class Pair:
    low: u64
    high: u64


@outline
def mixed(x: u64, y: u64) -> u64:
    return u64(x * 3 + (y ^ x))


def mix_rows(row: u64, count: u64, x: Ptr[u64], pair: Pair, small: u16, result: Ptr[u64]) -> None:
    result[row] = u64(mixed(x[row], pair.high) + pair.low + small + count)


def sum_before(row: u64, count: u64, x: Ptr[u32], result: Ptr[u64]) -> None:
    """A loop, and an array of its own."""
    seen = local(u64, 4)
    for index in range(row + 1):
        seen[index & 3] = u64(seen[index & 3] + x[index])
    result[row] = u64(seen[0] * 7 + seen[1] * 5 + seen[2] * 3 + seen[3])


def hash_rows(row: u64, count: u64, data: Ptr[u8], offsets: Ptr[u64], digests: Ptr[u8]) -> None:
    keccak256(data + offsets[row], offsets[row + 1] - offsets[row], digests + 32 * row)


def on_the_host(name: str, body: Callable[..., None] | Row, count: int, *columns: bytes, extra: int) -> bytes:
    """The last of the columns, `extra` bytes that the kernel writes."""
    buffers = [ctypes.create_string_buffer(column, len(column)) for column in (*columns, bytes(extra))]
    module({name: body}).host().run(name, count, *map(ctypes.addressof, buffers))
    return buffers[-1].raw


def on_the_device(name: str, body: Callable[..., None] | Row, count: int, *columns: bytes, extra: int) -> bytes:
    emulator = Emulator(module({name: body}).ptx)
    addresses = []
    for column in (*columns, bytes(extra)):
        addresses.append(emulator.memory.allocate(len(column)))
        emulator.memory.write(addresses[-1], column)
    emulator.launch(name, count, addresses)
    return emulator.memory.read(addresses[-1], extra)


RUNNERS = pytest.mark.parametrize("run", [on_the_host, on_the_device])


def packed(values: list[int], size: int) -> bytes:
    return b"".join(value.to_bytes(size, "little") for value in values)


@RUNNERS
def test_digests(run: Callable[..., bytes]) -> None:
    from Crypto.Hash import keccak

    rng = random.Random(1)
    rows = [rng.randbytes(rng.choice((0, 1, 7, 8, 31, 135, 136, 137, 272, 300))) for _ in range(40)]
    offsets = [sum(map(len, rows[:index])) for index in range(len(rows) + 1)]
    found = run("digest", hash_rows, len(rows), b"".join(rows), packed(offsets, 8), extra=32 * len(rows))
    expected = [keccak.new(digest_bits=256, data=row).digest() for row in rows]
    assert [found[at : at + 32] for at in range(0, len(found), 32)] == expected


@RUNNERS
def test_loops_and_arrays(run: Callable[..., bytes]) -> None:
    rng = random.Random(2)
    x = [rng.getrandbits(32) for _ in range(ROWS)]
    found = run("sums", sum_before, ROWS, packed(x, 4), extra=8 * ROWS)
    weights = (7, 5, 3, 1)
    expected = [sum(weights[i & 3] * x[i] for i in range(row + 1)) % 2**64 for row in range(ROWS)]
    assert found == packed(expected, 8)


def test_structs_and_small_integers() -> None:
    x = [random.Random(3).getrandbits(64) for _ in range(ROWS)]
    expected = [(v * 3 + (11 ^ v) + 5 + 0xFFFF + ROWS) % 2**64 for v in x]
    made = module({"mix": mix_rows})
    values, pair = (ctypes.c_uint64 * ROWS)(*x), (ctypes.c_uint64 * 2)(5, 11)
    result = (ctypes.c_uint64 * ROWS)()
    addresses = [ctypes.addressof(values), ctypes.addressof(pair), 0xFFFF, ctypes.addressof(result)]
    made.host().function("mix")(0, 10, ROWS, *addresses)
    assert list(result) == [*expected[:10], *[0] * (ROWS - 10)]
    made.host().function("mix")(10, ROWS, ROWS, *addresses)
    assert list(result) == expected
    emulator = Emulator(made.ptx)
    assert emulator.parameters("mix") == (8, 8, 8, 2, 8)
    device = [emulator.memory.allocate(size) for size in (8 * ROWS, 16, 8 * ROWS)]
    emulator.memory.write(device[0], values)
    emulator.memory.write(device[1], pair)
    emulator.launch("mix", ROWS, (device[0], device[1], 0xFFFF, device[2]))
    assert emulator.memory.read(device[2], 8 * ROWS) == packed(expected, 8)


@RUNNERS
def test_handwritten_bodies(run: Callable[..., bytes]) -> None:
    """IR that calls a kernel function of the program that it is defined in."""
    program = Program()
    called = program.function(mixed)
    program.define(
        "define internal void @body(i64 %row, i64 %count, ptr %result) alwaysinline {\n"
        f"  %x = call i64 @{called.symbol}(i64 %row, i64 %count)\n"
        "  %place = getelementptr i64, ptr %result, i64 %row\n  store i64 %x, ptr %place, align 8\n  ret void\n}"
    )
    made = module({"twice": Row("body", ("ptr",))}, program=program)
    expected = packed([(row * 3 + (9 ^ row)) % 2**64 for row in range(9)], 8)
    if run is on_the_host:
        result = ctypes.create_string_buffer(72)
        made.host().run("twice", 9, ctypes.addressof(result))
        assert result.raw == expected
    else:
        emulator = Emulator(made.ptx)
        address = emulator.memory.allocate(72)
        emulator.launch("twice", 9, (address,))
        assert emulator.memory.read(address, 72) == expected


def test_texts_are_part_of_the_module() -> None:
    text = "define void @nothing(i64 %row, i64 %count) {\n  ret void\n}"
    assert Emulator(module({"k": Row("nothing", ())}, texts=[text]).ptx).launch("k", 3).threads == BLOCK


def test_outlined_functions_are_inlined_on_demand() -> None:
    assert b"call" in module({"mix": mix_rows}).ptx
    assert b"call" not in module({"mix": mix_rows}, inlined={mixed}).ptx


def test_many_kernels_are_one_module() -> None:
    made = module({"digest": hash_rows, "sums": sum_before})
    assert made.kernels == ("digest", "sums")
    assert sorted(Emulator(made.ptx).kernels) == ["digest", "sums"]
    assert made.digest == hashlib.sha256(made.ptx).hexdigest()
    assert re.findall(rb"^\.target (\S+)", made.ptx, re.MULTILINE) == [b"sm_75"]
    assert b".maxntid 128" in made.ptx


# What is no row body


def no_count(row: u64, x: Ptr[u64]) -> None:
    x[row] = 0


def wide(row: u64, count: u64, x: u256) -> None:
    pass


def flag(row: u64, count: u64, x: bool) -> None:
    pass


def view(row: u64, count: u64, x: bytes) -> None:
    pass


def answers(row: u64, count: u64) -> u64:
    return row


def may_halt(row: u64, count: u64, x: Ptr[u64]) -> None:
    if x[row] == 0:
        raise Halt(1)


def signed(row: u64, count: u64, x: i64, result: Ptr[u64]) -> None:
    result[row] = u64(x >> 1)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (no_count, "begins with `row: u64, count: u64`"),
        (wide, "`x` is `u256`: kernels take pointers and integers of 8 to 64 bits"),
        (flag, "`x` is `bool`"),
        (view, "`x` is `bytes`"),
        (answers, "it returns `u64`"),
        (may_halt, "it may halt, and a kernel has nobody to tell"),
    ],
)
def test_other_functions_are_refused(body: Callable[..., None], reason: str) -> None:
    with pytest.raises(KernelError, match=f"kernel `k`: .*{re.escape(reason)}") as caught:
        _ = module({"k": body}).ptx
    assert Path(__file__).name in str(caught.value)


def test_options_belong_to_the_program() -> None:
    with pytest.raises(ValueError, match="belong to the program"):
        module({}, program=Program(), replacements={mixed: mixed})


def test_signed_integers_are_passed() -> None:
    made = module({"k": signed})
    emulator = Emulator(made.ptx)
    address = emulator.memory.allocate(8)
    emulator.launch("k", 1, (-6, address))
    assert emulator.memory.read(address, 8) == packed([2**64 - 3], 8)


# Emission


def module_of(text: str, **options: object) -> bytes:
    return emission.emit(text, kernels="k", **options)  # type: ignore[arg-type]


@pytest.fixture
def cache(tmp_path: Path) -> ObjectCache:
    return ObjectCache(tmp_path / "objects")


SOUND = "define ptx_kernel void @k() {\n  ret void\n}\n"


def test_the_same_text_is_emitted_once(cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    first = module_of(SOUND, cache=cache)
    monkeypatch.setattr(emission.subprocess, "run", None)
    assert module_of(SOUND, cache=cache) == first
    with pytest.raises(TypeError):
        module_of(SOUND, cache=cache, target=Target(level=2))
    assert [entry.label for entry in cache.entries()] == ["PTX of k"]


def test_ptx_is_the_same_in_every_process(tmp_path: Path) -> None:
    """In one that hashes otherwise, and has nothing in its cache yet."""
    script = "from vmloom_cuda.kernels import modules; print(modules.digests_of_words('sha256').digest)"
    found = []
    for seed in ("1", "2"):
        folder = tmp_path / seed
        environment = {**os.environ, "PYTHONHASHSEED": seed, "VMLOOM_CACHE_DIR": str(folder)}
        command = [sys.executable, "-c", script]
        found.append(subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout)
        assert list(folder.rglob("*.object"))
    assert found == [f"{modules.digests_of_words('sha256').digest}\n"] * 2


def test_what_is_missing_is_named() -> None:
    for line, name in (
        (".extern .func  (.param .b64 func_retval0) strlen\n(\n\t.param .b64 strlen_param_0\n)\n;", "strlen"),
        (".extern .func f\n()\n;", "f"),
        (".extern .global .align 4 .u32 x;", "x"),
        (".extern .shared .align 16 .b8 room[];", "room"),
    ):
        with pytest.raises(EmissionError, match=f"PTX of k: `{name}` is not defined"):
            emission.checked(f".version 8.0\n{line}\n".encode(), "k")


def test_ir_that_is_not_sound_is_refused(cache: ObjectCache) -> None:
    with pytest.raises(EmissionError, match=r"(?s)PTX of k: LLVM refuses the IR: .*expected"):
        module_of("define void @f( {", cache=cache)
    with pytest.raises(EmissionError, match="LLVM refuses the IR"):
        module_of("define i32 @f() { ret i64 0 }", cache=cache)
    assert cache.entries() == []


def test_what_llvm_cannot_select_does_not_end_this_process(cache: ObjectCache) -> None:
    """An indirect branch: LLVM ends the process in which it meets one."""
    text = (
        "@t = constant [2 x ptr] [ptr blockaddress(@k, %a), ptr blockaddress(@k, %b)]\n"
        "define ptx_kernel void @k(i64 %i, ptr %p) {\n  %q = getelementptr ptr, ptr @t, i64 %i\n"
        "  %x = load ptr, ptr %q\n  indirectbr ptr %x, [label %a, label %b]\n"
        "a:\n  store i32 1, ptr %p\n  ret void\nb:\n  store i32 2, ptr %p\n  ret void\n}\n"
    )
    with pytest.raises(EmissionError, match=rf"(?s)PTX of k.*signal {signal.SIGABRT:d}.*brind") as caught:
        module_of(text, cache=cache)
    assert "it cannot select what the kernel asks for" in str(caught.value)


def test_what_is_defined_nowhere_is_refused(cache: ObjectCache) -> None:
    text = "declare i64 @strlen(ptr)\ndefine ptx_kernel void @k(ptr %p) {\n  %n = call i64 @strlen(ptr %p)\n"
    text += "  store i64 %n, ptr %p\n  ret void\n}\n"
    with pytest.raises(EmissionError, match="PTX of k: `strlen` is not defined, and a GPU has no library of it"):
        module_of(text, cache=cache)


def test_llvm_may_not_take_for_ever(cache: ObjectCache) -> None:
    with pytest.raises(EmissionError, match=r"PTX of k: LLVM took longer than 0\.001 s"):
        module_of(SOUND, cache=cache, timeout=0.001)


def test_without_a_python_there_is_no_ptx(cache: ObjectCache, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(EmissionError, match="no process for LLVM could be started"):
        module_of(SOUND, cache=cache)
