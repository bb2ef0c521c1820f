"""Bytes of memory by whole words: what `load`, `store`, `copy` and `fill` do, at every place, and nothing besides."""

from __future__ import annotations

import ctypes
from random import Random
from typing import Any, Final

import pytest
from vmloom.kernel import Ptr, copy, fill, load, store, u8, u32, u64, u128, u256
from vmloom_cuda.emulator import Emulator
from vmloom_cuda.ptx import PtxModule, module
from vmloom_evm.native import lane_words
from vmloom_native.program import Program

ROOM: Final = 160
SIZES: Final = (0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 40, 63, 64)


def move_32(_row: u64, _count: u64, to: Ptr[u8], source: Ptr[u8]) -> None:
    store(u256, to, u256(load(u32, source)))


def move_64(_row: u64, _count: u64, to: Ptr[u8], source: Ptr[u8]) -> None:
    store(u64, to, load(u64, source))


def move_128(_row: u64, _count: u64, to: Ptr[u8], source: Ptr[u8]) -> None:
    store(u256, to, u256(load(u128, source)))


def move_256(_row: u64, _count: u64, to: Ptr[u8], source: Ptr[u8]) -> None:
    store(u256, to, load(u256, source))


def copied(_row: u64, _count: u64, to: Ptr[u8], source: Ptr[u8], size: u64) -> None:
    copy(to, source, size)


def filled(_row: u64, _count: u64, to: Ptr[u8], byte: u8, size: u64) -> None:
    fill(to, byte, size)


MOVES: Final = {move_32: (4, 32), move_64: (8, 8), move_128: (16, 32), move_256: (32, 32)}
"""How many bytes each reads, and how many it writes, the rest of them zeros."""


@pytest.fixture(scope="module")
def made() -> PtxModule:
    """All of them, by words."""
    program = Program(replacements=lane_words.BY_WORDS)
    for function, text in lane_words.ALIGNED.items():
        program.intrinsic(function, text)
    return module({body.__name__: body for body in (*MOVES, copied, filled)}, program=program)


class OnHost:
    """The kernels on this processor, on memory from a multiple of 64."""

    def __init__(self, made: PtxModule) -> None:
        self.kernels = made.host()
        self._memory = ctypes.create_string_buffer(ROOM + 64)
        self.begin = -(-ctypes.addressof(self._memory) // 64) * 64

    def run(self, memory: bytes, name: str, *arguments: int) -> bytes:
        """What `memory` is afterwards; the first argument is a place in it."""
        ctypes.memmove(self.begin, memory, ROOM)
        self.kernels.run(name, 1, *arguments)
        return ctypes.string_at(self.begin, ROOM)


class InEmulator:
    """The PTX, each access of which has to be aligned and within the memory."""

    def __init__(self, made: PtxModule) -> None:
        self.emulator = Emulator(made.ptx)
        self.begin = self.emulator.memory.allocate(ROOM)

    def run(self, memory: bytes, name: str, *arguments: int) -> bytes:
        """See `OnHost.run`."""
        self.emulator.memory.write(self.begin, memory)
        self.emulator.launch(name, 1, arguments, block=1)
        return bytes(self.emulator.memory.view(self.begin, ROOM))


class InPython:
    """The bodies as they stand."""

    def __init__(self, _: PtxModule) -> None:
        self._memory = ctypes.create_string_buffer(ROOM + 64)
        self.begin = -(-ctypes.addressof(self._memory) // 64) * 64

    def run(self, memory: bytes, name: str, *arguments: int) -> bytes:
        """See `OnHost.run`."""
        ctypes.memmove(self.begin, memory, ROOM)
        to, *rest = (Ptr(u8, one) if one >= self.begin else one for one in arguments)
        match name:
            case "copied":
                lane_words.copy_bytes(to, *rest)
            case "filled":
                lane_words.fill_bytes(to, *rest)
            case _:
                bits = name.removeprefix("move_")
                value = getattr(lane_words, f"load_{bits}")(*rest)
                (lane_words.store_64 if bits == "64" else lane_words.store_256)(to, value)
        return ctypes.string_at(self.begin, ROOM)


@pytest.fixture(scope="module", params=[OnHost, InEmulator, InPython])
def machine(request: pytest.FixtureRequest, made: PtxModule) -> Any:
    """Each of the ways to run them."""
    return request.param(made)


def random_memory(rng: Random) -> bytes:
    """Bytes of which none is like its neighbours."""
    return bytes(rng.sample(range(256), ROOM))


@pytest.mark.parametrize("body", MOVES)
def test_words_are_moved_between_all_places(machine: Any, body: Any) -> None:
    """Up to the last byte of the memory, and the bytes around stay."""
    rng = Random(1)
    read, written = MOVES[body]
    for place in range(33):
        source = ROOM - read - place
        to = rng.randrange(0, 64) if place % 2 else place
        memory = random_memory(rng)
        found = machine.run(memory, body.__name__, machine.begin + to, machine.begin + source)
        moved = memory[source : source + read].ljust(written, b"\0")
        assert found == memory[:to] + moved + memory[to + written :], (to, source)


def test_bytes_are_copied_whatever_overlaps(machine: Any) -> None:
    rng = Random(2)
    for number in range(300):
        size = SIZES[number % len(SIZES)]
        source = rng.randrange(ROOM - size + 1)
        to = min(max(0, source + rng.randrange(-70, 71)), ROOM - size)
        memory = random_memory(rng)
        found = machine.run(memory, "copied", machine.begin + to, machine.begin + source, size)
        assert found == memory[:to] + memory[source : source + size] + memory[to + size :], (to, source, size)


def test_bytes_are_filled_and_no_others(machine: Any) -> None:
    rng = Random(3)
    for number in range(150):
        size = SIZES[number % len(SIZES)]
        to = rng.randrange(ROOM - size + 1)
        byte = rng.randrange(256)
        memory = random_memory(rng)
        found = machine.run(memory, "filled", machine.begin + to, byte, size)
        assert found == memory[:to] + bytes([byte]) * size + memory[to + size :], (to, size)


def test_words_are_read_in_words(made: PtxModule) -> None:
    """As a GPU reads what is known to be aligned: nothing of a word is read byte by byte."""
    text = made.ptx.decode()
    body = text[text.index("entry move_256(") :]
    lines = map(str.split, body[: body.index("\n}")].splitlines())
    accesses = {words[0] for words in lines if words and words[0].startswith(("ld.", "st."))}
    assert not {one for one in accesses if one.endswith("b8")}, accesses
    assert {one for one in accesses if ".v2.b64" in one}, accesses
