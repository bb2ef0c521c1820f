"""What the compiler is given: the same text in every process, or the object cache would never be hit."""

from __future__ import annotations

import os
import subprocess
import sys

from vmloom_evm.forks import FORKS
from vmloom_evm.native.build import interpreter_ir
from vmloom_evm.specification import specify

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
