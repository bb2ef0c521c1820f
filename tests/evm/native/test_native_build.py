"""What the compiler is given: the same text in every process, or the object cache would never be hit."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path

import pytest
from vmloom.kernel.structs import fields_of
from vmloom_evm.assembly import add, ret_top
from vmloom_evm.forks import FORKS
from vmloom_evm.native import layout
from vmloom_evm.native.arena import STACK_SPACING
from vmloom_evm.native.build import interpreter_ir
from vmloom_evm.native.memory import FRAMES, NativeMemory
from vmloom_evm.specification import specify
from vmloom_evm.testing import EvmUnderTest

DIGESTS = """
import hashlib
from vmloom_evm.forks import FORKS
from vmloom_evm.native.build import BINDINGS, FUNCTIONS, interpreter_ir
from vmloom_evm.native.machine import Build
from vmloom_evm.specification import specify
from vmloom_native.program import Program

texts = [interpreter_ir(specify(FORKS["osaka"]), traced=traced) for traced in (False, True)]
program = Program(bindings=BINDINGS, constants={"build": Build(traced=False)})
for function in FUNCTIONS:
    program.export(function.__name__, function)
for text in (*texts, program.ir()):
    print(hashlib.sha256(text.encode()).hexdigest())
"""


def test_the_text_of_the_interpreter_is_the_same_in_every_process() -> None:
    def digests(seed: str) -> list[str]:
        variables = {**os.environ, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [sys.executable, "-c", DIGESTS], env=variables, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    first = digests("1")
    assert len(set(first)) == 3
    assert digests("2") == first


def test_the_text_does_not_depend_on_what_was_compiled_before() -> None:
    before = interpreter_ir(specify(FORKS["frontier"]), traced=False)
    interpreter_ir(specify(FORKS["osaka"]), traced=True)
    assert interpreter_ir(specify(FORKS["frontier"]), traced=False) == before


@pytest.mark.parametrize("engine", ["native", "jit"])
def test_the_source_of_kernels_is_read_once_by_a_process(engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first = EvmUnderTest(engine, jit={"trigger": "first"})
    assert first.run(ret_top(add(1, 2))).output_int == 3

    def read(path: Path) -> bytes:
        raise AssertionError(f"{path} was read again")

    monkeypatch.setattr(Path, "read_bytes", read)
    assert first.at("cancun").run(ret_top(add(1, 2))).output_int == 3


def test_every_frame_has_a_stack_of_its_own_and_lies_between_its_neighbours() -> None:
    memory = NativeMemory()
    first, size = memory.get("frames"), layout.Frame.size

    def field(number: int, name: str) -> int:
        at = first + size * number + fields_of(layout.Frame)[name].offset
        return ctypes.c_uint64.from_address(at).value

    numbers = range(FRAMES)
    assert {field(number, "run") for number in numbers} == {memory.run}
    assert [field(number, "parent") for number in numbers[1:]] == [first + size * number for number in numbers[:-1]]
    assert [field(number, "child") for number in numbers[:-1]] == [first + size * number for number in numbers[1:]]
    bottoms = [field(number, "bottom") for number in numbers]
    assert {after - before for before, after in pairwise(bottoms)} == {32 * STACK_SPACING}
    assert (bottoms[0], field(0, "depth")) == (memory.pages["stacks"].address, 2**64 - 1)
