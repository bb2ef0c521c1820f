"""Memory of the emulator: state spaces, vectors, atomic operations, parameters and calls; and what is no access."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_cuda.emulator import DeviceMemory, Emulator, EmulatorFault, PtxError, StepLimit
from vmloom_cuda.ptx import assembler

from .programs import HEAD

REGISTERS = ".reg .b64 %p, %q, %d<8>; .reg .b32 %r<8>; .reg .b16 %h<8>; .reg .pred %c<4>;"
PTXAS = assembler.find()


def kernel(body: str, before: str = "") -> str:
    """A kernel `k(pointer)`, whose `%p` is the pointer."""
    head = f"{HEAD}{before}\n.visible .entry k(.param .u64 k_0)"
    return f"{head}\n{{ {REGISTERS}\nld.param.u64 %p, [k_0];\n{body}\nret; }}\n"


def loaded(text: str, memory: DeviceMemory | None = None, **options: Any) -> Emulator:
    """An emulator for a program that NVIDIA's assembler, where there is one, takes for one, too."""
    if PTXAS is not None:
        assembler.assembled(text.encode(), "sm_75")
    return Emulator(text, memory, **options)


def run(body: str, data: bytes = bytes(64), before: str = "", threads: int = 1) -> bytes:
    """What is in memory that held `data`, once a kernel was there."""
    emulator = loaded(kernel(body, before))
    address = emulator.memory.allocate(len(data))
    emulator.memory.write(address, data)
    emulator.run("k", (address,), block=threads)
    return emulator.memory.read(address, len(data))


def number(data: bytes, at: int, size: int = 8) -> int:
    return int.from_bytes(data[at : at + size], "little")


def test_each_width_is_loaded_and_stored() -> None:
    data = bytes(range(0x81, 0x91)) + bytes(48)
    found = run(
        "ld.global.u8 %r0, [%p]; ld.global.s8 %r1, [%p]; ld.global.u16 %h0, [%p+2]; ld.global.s16 %r2, [%p+2];"
        "ld.global.b32 %r3, [%p+4]; ld.global.s32 %d0, [%p+4]; ld.global.b64 %d1, [%p+8];"
        "st.global.u8 [%p+16], %r1; st.global.b16 [%p+18], %h0; st.global.b32 [%p+20], %r1; st.global.u64 [%p+24], %d0;"
        "st.global.b32 [%p+32], %r2; st.global.b64 [%p+40], %d1; st.global.b32 [%p+48], %r0;"
        "st.global.b32 [%p+52], %r3; st.global.b8 [%p+56], 511; st.global.b16 [%p+58], %r3;",
        data,
    )
    assert found[:16] == data[:16]
    assert found[16] == 0x81
    assert found[18:20] == data[2:4]
    assert number(found, 20, 4) == 0xFFFFFF81
    assert number(found, 24) == 0xFFFFFFFF88878685
    assert number(found, 32, 4) == 0xFFFF8483
    assert found[40:48] == data[8:16]
    assert number(found, 48, 4) == 0x81
    assert found[52:56] == data[4:8]
    assert found[56] == 255
    assert found[58:60] == data[4:6]


def test_vectors_are_loaded_and_stored() -> None:
    data = bytes(range(64))
    found = run(
        "ld.global.v2.b64 {%d0, %d1}, [%p]; st.global.v2.b64 [%p+32], {%d1, %d0};"
        "ld.global.nc.v4.u32 {%r0, _, %r2, %r3}, [%p+16]; st.global.v4.b32 [%p+48], {%r3, %r2, 5, %r0};",
        data,
    )
    assert found[32:48] == data[8:16] + data[:8]
    assert found[48:] == data[28:32] + data[24:28] + (5).to_bytes(4, "little") + data[16:20]


def test_what_only_others_would_notice_changes_nothing() -> None:
    found = run(
        "ld.volatile.global.u64 %d0, [%p]; st.relaxed.gpu.global.u64 [%p+8], %d0; ld.acquire.sys.global.u64 %d1, [%p];"
        "st.release.cta.global.u64 [%p+16], %d1; fence.acq_rel.gpu; membar.gl; ld.global.cg.u64 %d2, [%p];"
        "st.global.wb.u64 [%p+24], %d2; ld.global.L1::no_allocate.u64 %d3, [%p]; prefetch.global.L2 [%p];"
        "st.weak.global.u64 [%p+32], %d3; ldu.global.u64 %d4, [%p]; nanosleep.u32 100; st.global.u64 [%p+40], %d4;",
        bytes(range(64)),
    )
    assert found[8:48] == bytes(range(8)) * 5


@pytest.mark.parametrize(
    ("operation", "before", "operand", "after"),
    [
        ("add.u32", 2**32 - 1, "3", 2),
        ("add.u64", 5, "-7", 2**64 - 2),
        ("min.u32", 7, "0x80000000", 7),
        ("min.s32", 7, "0x80000000", 2**31),
        ("max.s64", 2**64 - 3, "-2", 2**64 - 2),
        ("max.u64", 9, "8", 9),
        ("and.b32", 0xFF0F, "0x0FF0", 0x0F00),
        ("or.b64", 0xF0, "0x0F", 0xFF),
        ("xor.b32", 0xF0, "0xFF", 0x0F),
        ("exch.b64", 1, "2", 2),
        ("inc.u32", 4, "5", 5),
        ("inc.u32", 5, "5", 0),
        ("inc.u32", 9, "5", 0),
        ("dec.u32", 0, "5", 5),
        ("dec.u32", 6, "5", 5),
        ("dec.u32", 3, "5", 2),
        ("cas.b32", 3, "3, 8", 8),
        ("cas.b64", 3, "4, 8", 3),
    ],
)
@pytest.mark.parametrize("space", ["", ".global"])
def test_atomic_operations(operation: str, before: int, operand: str, after: int, space: str) -> None:
    size = int(operation[-2:]) // 8
    register = "%r0" if size == 4 else "%d0"
    data = before.to_bytes(size, "little").ljust(16, b"\0")
    found = run(f"atom{space}.{operation} {register}, [%p], {operand}; st.global.b{8 * size} [%p+8], {register};", data)
    assert (number(found, 0, size), number(found, 8, size)) == (after, before)


def test_reductions_have_no_result() -> None:
    assert number(run("red.global.add.u64 [%p], 5; red.relaxed.gpu.global.max.s32 [%p+8], 9;", bytes(16)), 0) == 5


def test_threads_of_a_block_take_turns() -> None:
    text = "mov.u32 %r0, %tid.x; mul.wide.u32 %d0, %r0, 4; add.u64 %d0, %p, %d0; st.global.u32 [%d0], %r0;"
    found = run(text, bytes(64), threads=16)
    assert [number(found, 4 * it, 4) for it in range(16)] == list(range(16))


def test_threads_that_race_give_something_else_backwards() -> None:
    """Each thread adds what its neighbour has to what it has itself: before or after the neighbour did so."""
    body = (
        "mov.u32 %r0, %tid.x; mul.wide.u32 %d0, %r0, 4; add.u64 %d0, %p, %d0; ld.u32 %r1, [%d0]; ld.u32 %r2, [%d0+4];"
        "add.u32 %r1, %r1, %r2; st.u32 [%d0{}], %r1;"
    )
    for place, differs in (("", True), ("+1024", False)):
        found = []
        for backwards in (False, True):
            emulator = loaded(kernel(body.format(place)), backwards=backwards)
            address = emulator.memory.allocate(2048)
            emulator.memory.write(address, bytes(range(256)) * 8)
            emulator.run("k", (address,), grid=1, block=16)
            found.append(emulator.memory.read(address, 2048))
        assert (found[0] != found[1]) == differs


def test_the_grid_can_be_read() -> None:
    names = ["%tid.x", "%ntid.x", "%ctaid.x", "%nctaid.x", "%tid.y", "%ntid.z", "%laneid", "%warpid"]
    stores = "".join(f"mov.u32 %r0, {name}; st.global.u32 [%p+{4 * at}], %r0;" for at, name in enumerate(names))
    emulator = loaded(kernel(stores))
    address = emulator.memory.allocate(32)
    emulator.run("k", (address,), grid=3, block=40)
    found = emulator.memory.read(address, 32)
    assert [number(found, 4 * it, 4) for it in range(8)] == [39, 40, 2, 3, 0, 1, 7, 1]


# State spaces


def test_local_memory_has_generic_addresses() -> None:
    found = run(
        ".local .align 16 .b8 depot[32]; mov.u64 %q, depot; st.local.u64 [%q+8], 77; cvta.local.u64 %d0, %q;"
        "ld.u64 %d1, [%d0+8]; st.global.u64 [%p], %d1; cvta.to.local.u64 %d2, %d0; ld.local.u64 %d3, [%d2+8];"
        "st.global.u64 [%p+8], %d3; setp.eq.u64 %c0, %d2, %q; selp.u64 %d4, 1, 0, %c0; st.u64 [%p+16], %d4;"
        "isspacep.local %c1, %d0; selp.u64 %d5, 1, 0, %c1; st.u64 [%p+24], %d5;"
        "isspacep.global %c1, %d0; selp.u64 %d5, 1, 0, %c1; st.u64 [%p+32], %d5;"
        "isspacep.global %c1, %p; selp.u64 %d5, 1, 0, %c1; st.u64 [%p+40], %d5; st.u64 [%p+48], %d0;"
    )
    assert [number(found, at) for at in range(0, 48, 8)] == [77, 77, 1, 1, 0, 1]
    assert number(found, 48) >= 1 << 60


def test_variables_begin_with_their_values() -> None:
    before = (
        ".visible .global .align 8 .b8 bytes[4] = {1, 255, 0x10};\n.const .align 4 .u32 words[2] = {7, -1};\n"
        ".global .align 8 .u32 words_too[2] = {3, 4};\n.global .align 8 .u64 place = words_too;\n"
    )
    found = run(
        "ld.global.u32 %r0, [bytes]; st.global.u32 [%p], %r0; ld.const.u32 %r1, [words+4]; st.global.u32 [%p+4], %r1;"
        "ld.global.u64 %q, [place]; ld.global.u32 %r2, [%q+4]; st.global.u32 [%p+8], %r2;"
        "mov.u64 %d0, words; cvta.const.u64 %d1, %d0; ld.u32 %r3, [%d1]; st.global.u32 [%p+12], %r3;",
        before=before,
    )
    assert [number(found, at, 4) for at in range(0, 16, 4)] == [0x0010FF01, 2**32 - 1, 4, 7]


def test_variables_are_given_back() -> None:
    memory = DeviceMemory()
    emulator = loaded(kernel("", ".global .u64 many[100];"), memory)
    assert memory.used == 800
    emulator.close()
    assert memory.used == 0


def test_one_memory_serves_several_modules() -> None:
    memory = DeviceMemory()
    first, second = (loaded(kernel(f"st.u64 [%p+{at}], {at};"), memory) for at in (8, 16))
    address = memory.allocate(24)
    first.run("k", (address,))
    second.run("k", (address,))
    assert [number(memory.read(address, 24), at) for at in (8, 16)] == [8, 16]


# Calls

CALLED = """
.func (.param .b64 sum) twice(.param .b64 twice_0, .param .align 8 .b8 twice_1[16])
{ .reg .b64 %d<4>; .reg .pred %c; .local .align 8 .b8 mine[16]; .reg .b64 %SP;
  ld.param.u64 %d0, [twice_0]; ld.param.v2.u64 {%d1, %d2}, [twice_1]; mov.u64 %SP, mine; st.local.u64 [%SP], %d1;
  setp.eq.u64 %c, %d0, 0; @%c bra $end;
  { .param .b64 a; .param .align 8 .b8 b[16]; .param .b64 c;
    sub.u64 %d0, %d0, 1; st.param.u64 [a], %d0; st.param.v2.u64 [b], {%d2, %d1}; call.uni (c), twice, (a, b);
    ld.param.u64 %d3, [c]; }
  ld.local.u64 %d1, [%SP]; add.u64 %d1, %d1, %d3;
$end:
  st.param.u64 [sum], %d1; ret;
}
"""


def called(depth: int, x: int, y: int) -> int:
    return x if depth == 0 else x + called(depth - 1, y, x)


@pytest.mark.parametrize("depth", [0, 1, 7, 100])
def test_functions_call_themselves_with_their_own_memory(depth: int) -> None:
    found = run(
        f"{{ .param .b64 a; .param .align 8 .b8 b[16]; .param .b64 c; st.param.u64 [a], {depth};"
        "st.param.u64 [b], 5; st.param.u64 [b+8], 11; call.uni (c), twice, (a, b); ld.param.u64 %d0, [c]; }"
        "st.global.u64 [%p], %d0;",
        before=CALLED,
    )
    assert number(found, 0) == called(depth, 5, 11)


def test_functions_are_called_by_address() -> None:
    before = ".func (.param .b32 r) f(.param .b32 f_0) { .reg .b32 %r; ld.param.u32 %r, [f_0]; add.u32 %r, %r, 1;"
    before += "st.param.u32 [r], %r; ret; }\n.global .u64 table[1] = {f};"
    found = run(
        "ld.global.u64 %q, [table]; { .param .b32 a; .param .b32 c; st.param.b32 [a], 41;"
        "prototype: .callprototype (.param .b32 _) _ (.param .b32 _); call (c), %q, (a), prototype;"
        "ld.param.b32 %r0, [c]; } st.global.u32 [%p], %r0;",
        before=before,
    )
    assert number(found, 0, 4) == 42


def test_exit_in_a_function_ends_the_thread() -> None:
    found = run("st.u64 [%p], 1; call f; st.u64 [%p], 2;", before=".func f() { exit; }")
    assert number(found, 0) == 1


def test_branches_by_index() -> None:
    body = "ld.global.u32 %r0, [%p]; t: .branchtargets $a, $b, $c; brx.idx %r0, t;"
    body += "".join(f"${it}: st.global.u32 [%p], {value}; ret;" for it, value in zip("abc", (10, 11, 12), strict=True))
    assert [number(run(body, bytes([it]) + bytes(63)), 0, 4) for it in range(3)] == [10, 11, 12]
    with pytest.raises(EmulatorFault, match="a branch by an index that has no target"):
        run(body, bytes([3]) + bytes(63))


def test_loops_within_loops() -> None:
    found = run(
        "mov.u64 %d0, 0; mov.u32 %r0, 0; $outer: mov.u32 %r1, 0; $inner: add.u64 %d0, %d0, 1; add.u32 %r1, %r1, 1;"
        "setp.lt.u32 %c0, %r1, %r0; @%c0 bra $inner; add.u32 %r0, %r0, 1; setp.ne.u32 %c1, %r0, 10;"
        "@%c1 bra.uni $outer; st.global.u64 [%p], %d0;"
    )
    assert number(found, 0) == 1 + sum(range(1, 10))


# What is no access


@pytest.mark.parametrize(
    ("body", "offset", "reason"),
    [
        ("ld.global.u64 %d0, [%p+64];", 64, "not allocated"),
        ("ld.global.u64 %d0, [%p+-8];", -8, "not allocated"),
        ("st.global.u8 [%p+61], 1;", 61, "not allocated"),
        ("ld.global.u32 %r0, [%p+60];", 60, "not allocated"),
        ("ld.global.v2.u64 {%d0, %d1}, [%p+48];", 48, "not allocated"),
        ("ld.u64 %d0, [%p+4];", 4, "8 bytes that are not aligned"),
        ("ld.v2.u64 {%d0, %d1}, [%p+8];", 8, "16 bytes that are not aligned"),
        ("st.v4.u32 [%p+4], {1, 2, 3, 4};", 4, "16 bytes that are not aligned"),
        ("atom.global.add.u32 %r0, [%p+2], 1;", 2, "4 bytes that are not aligned"),
        ("ld.local.u64 %d0, [%p];", 0, "not allocated"),
        ("ld.const.u64 %d0, [%p];", 0, "not allocated"),
    ],
)
def test_accesses_are_checked(body: str, offset: int, reason: str) -> None:
    text = kernel(f"mov.u32 %r7, %tid.x; setp.ne.u32 %c0, %r7, 2;\n@%c0 bra $end;\n{body}\n$end:")
    emulator = loaded(text)
    address = emulator.memory.allocate(61)
    with pytest.raises(EmulatorFault, match=reason) as caught:
        emulator.run("k", (address,), block=4)
    fault = caught.value
    assert (fault.kernel, fault.block, fault.thread, fault.address) == ("k", 0, 2, address + offset)
    assert text.splitlines()[fault.line - 1] == body


def test_what_was_freed_is_not_there_any_more() -> None:
    emulator = loaded(kernel("ld.u64 %d0, [%p];"))
    address = emulator.memory.allocate(8)
    emulator.memory.free(address)
    with pytest.raises(EmulatorFault, match="not allocated"):
        emulator.run("k", (address,))
    with pytest.raises(ValueError, match="not the address of an allocation"):
        emulator.memory.free(address)


def test_pointers_of_the_host_are_no_pointers() -> None:
    with pytest.raises(EmulatorFault, match=r"not allocated at address 0x7ffdeadbe000"):
        loaded(kernel("ld.u64 %d0, [%p];")).run("k", (0x7FFDEADBE000,))


def test_local_memory_ends_with_its_call() -> None:
    before = ".func (.param .b64 r) f() { .local .b64 x; .reg .b64 %d; mov.u64 %d, x; cvta.local.u64 %d, %d;"
    before += "st.u64 [%d], 5; st.param.u64 [r], %d; ret; }"
    with pytest.raises(EmulatorFault, match="not allocated"):
        run("{ .param .b64 c; call.uni (c), f, (); ld.param.u64 %d0, [c]; } ld.u64 %d1, [%d0];", before=before)


def test_constants_are_not_written_to() -> None:
    with pytest.raises(EmulatorFault, match="constant memory was written to"):
        run("mov.u64 %d0, x; cvta.const.u64 %d0, %d0; st.u64 [%d0], 1;", before=".const .u64 x = 5;")


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("trap;", "a trap"),
        ("mov.u64 %d0, 0; div.u64 %d1, 5, %d0;", "a division by zero"),
        ("mov.u32 %r0, 0; rem.s32 %r1, 5, %r0;", "a division by zero"),
        (
            "{ .param .b32 a; pt: .callprototype _ (.param .b32 _); st.param.b32 [a], 1; call %p, (a), pt; }",
            "not the address of a function",
        ),
    ],
)
def test_what_ends_a_kernel(body: str, reason: str) -> None:
    with pytest.raises(EmulatorFault, match=reason) as caught:
        run(body)
    assert caught.value.address is None


@pytest.mark.parametrize(
    "body",
    [
        "$l: bra $l;",
        "$l: add.u64 %d0, %d0, 1; setp.ne.u64 %c0, %d0, %p; @%c0 bra $l;",
        "$a: bra.uni $b; $b: @%c1 bra $a; bra $a;",
        "$l: call f; bra $l;",
    ],
)
def test_what_does_not_end_is_ended(body: str) -> None:
    emulator = loaded(kernel(body, ".func f() { ret; }"), step_limit=1000)
    with pytest.raises(StepLimit, match="the thread ran 1000 instructions"):
        emulator.run("k", (0,))


@pytest.mark.parametrize("local", ["", ".local .b64 x;"])
def test_recursion_without_end_is_ended(local: str) -> None:
    with pytest.raises(EmulatorFault, match="calls within calls"):
        run("call f;", before=f".func f() {{ {local} call f; ret; }}")


def test_nothing_relies_on_zeros() -> None:
    """Memory, registers and local memory hold a pattern until they are written."""
    text = kernel(".local .b64 x; mov.u64 %q, x; ld.local.u64 %d0, [%q]; st.u64 [%p+8], %d0; st.u64 [%p+16], %d7;")
    for fill in (0xA5, 0x3C):
        memory = DeviceMemory(fill=fill)
        address = memory.allocate(24)
        loaded(text, memory).run("k", (address,))
        assert memory.read(address, 24) == bytes([fill]) * 24


def test_instructions_are_counted() -> None:
    emulator = loaded(kernel("mov.u64 %d0, 10; $l: sub.u64 %d0, %d0, 1; setp.ne.u64 %c0, %d0, 0; @%c0 bra $l;"))
    execution = emulator.run("k", (0,), grid=2, block=3)
    assert (execution.threads, execution.instructions) == (6, 6 * (1 + 1 + 30 + 1))


# The host's side


def test_memory_has_an_end() -> None:
    memory = DeviceMemory(100)
    first = memory.allocate(60)
    with pytest.raises(MemoryError, match="41 bytes asked for, 40 of 100 free"):
        memory.allocate(41)
    memory.free(first)
    assert memory.allocate(100)


@pytest.mark.parametrize(("offset", "size"), [(0, 17), (16, 1), (-1, 1), (1 << 40, 1)])
def test_copies_are_checked(offset: int, size: int) -> None:
    memory = DeviceMemory()
    address = memory.allocate(16)
    with pytest.raises(ValueError, match="not all allocated"):
        memory.read(address + offset, size)
    with pytest.raises(ValueError, match="not all allocated"):
        memory.write(address + offset, bytes(size))
    assert memory.read(address + 16, 0) == b""


def test_launches_are_checked() -> None:
    text = kernel("").replace("k(.param .u64 k_0)", "k(.param .u64 k_0, .param .u32 k_1)\n.maxntid 64, 2, 1")
    emulator = loaded(text)
    assert emulator.kernels == ("k",)
    assert emulator.parameters("k") == (8, 4)
    assert emulator.launch("k", 130, (1,), block=128).threads == 256
    assert emulator.launch("k", 0, (1,)).threads == 0
    with pytest.raises(KeyError, match="'j' is no kernel here: there are k"):
        emulator.launch("j", 1)
    with pytest.raises(ValueError, match="k takes 2 arguments, not 3"):
        emulator.launch("k", 1, (2, 3))
    with pytest.raises(ValueError, match="argument 1 of k is 4294967296, which 32 bits do not hold"):
        emulator.launch("k", 1, (1 << 32,))
    for block in (0, 129):
        with pytest.raises(ValueError, match="blocks of 1 to 128 threads"):
            emulator.launch("k", 1, (1,), block=block)


def test_errors_tell_the_line() -> None:
    with pytest.raises(PtxError, match=r"PTX line 9: the instruction 'wibble.u32' is not emulated"):
        Emulator(kernel("\nwibble.u32 %r0, %r1;"))
