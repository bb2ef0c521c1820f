"""Does anything notice when the compiler of contracts is wrong? Plants one mistake after the other, and looks.

    uv run python benchmarks/jit_mutants.py [--seconds S] [--seed S] [--tests] [--only WORD] [--list] [--json]

Each mutant is the compiler with one mistake of the kind that is made: a check forgotten, operands exchanged, a width
too small, a wrong target of a jump, knowledge that is kept too long. In a process of its own the fuzzer of
`differential_engines.py` compares it with the interpreter until it finds a difference, or its seconds are over. With
`--tests`, the tests of the compiler run on it, too. The exit code is 1 if nothing finds one of the mutants.
"""

from __future__ import annotations

import argparse
import importlib
import inspect
import json
import multiprocessing
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from io import StringIO
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import Progress

TESTS: Final = Path(__file__).parents[1] / "tests" / "evm"
SEED: Final = 2026
ENGINES: Final = ("native", "jit", "tiered")
FORK: Final = "osaka"
PATIENCE: Final = 60
"""So many times its CPU seconds may pass, and at least as many seconds, until a process is taken to hang."""


@dataclass(frozen=True)
class Mutant:
    """A mistake: in the source of `function` in the module `jit.module`, `old` stands for `new`."""

    name: str
    module: str
    function: str
    old: str
    new: str

    @contextmanager
    def planted(self) -> Iterator[None]:
        """Have the compiler make the mistake. Raises `ValueError` if the source does not have `old` just once."""
        owner: Any = importlib.import_module(f"vmloom_evm.jit.{self.module}")
        *path, name = self.function.split(".")
        for part in path:
            owner = getattr(owner, part)
        former = getattr(owner, name)
        source = textwrap.dedent(inspect.getsource(former))
        if source.count(self.old) != 1:
            raise ValueError(f"mutant {self.name!r}: {self.function} has {self.old!r} {source.count(self.old)} times")
        made: dict[str, Any] = {}
        text = source.replace(self.old, self.new)
        code = compile(text, f"<{self.name}>", "exec", flags=annotations.compiler_flag, dont_inherit=True)
        exec(code, former.__globals__, made)
        jit = [module for name, module in sys.modules.items() if name.startswith("vmloom_evm.jit.")]
        # Modules that have imported it have it, too.
        places = [one for one in (owner, *jit) if getattr(one, name, None) is former]
        for place in places:
            setattr(place, name, made[name])
        try:
            yield
        finally:
            for place in places:
                setattr(place, name, former)


MUTANTS: Final = (
    # Gas
    Mutant(
        "gas of the last instruction forgotten",
        "blocks",
        "_measured",
        "+= prices[row.name]",
        "+= prices[row.name] if item is not items[-1] else 0",
    ),
    Mutant(
        "a gas too few asked for",
        "emit",
        "_BlockWriter.check",
        "block.gas + block.ahead}",
        "block.gas + block.ahead - 1}",
    ),
    Mutant("gas not looked at after a call", "emit", "_BlockWriter.call", "if wanted:", "if False:"),
    Mutant("more gas where control leaves", "emit", "_BlockWriter.exit", "more - self.paid)", "more - self.paid + 3)"),
    # The stack
    Mutant("underflow unseen", "blocks", "_measured", "row.pops - depth)", "row.pops - depth - 1)"),
    Mutant("overflow unseen by one", "blocks", "_measured", "max(growth, depth)", "max(growth, depth - 1)"),
    Mutant(
        "depth not looked at where control enters",
        "emit",
        "Emitter._write_entry",
        "is_sure = least == 0 and most >= self.stack_limit",
        "is_sure = True",
    ),
    Mutant(
        "DUP takes the top",
        "emit",
        "_BlockWriter.instruction",
        "self.stack.append(self.stack[-row.pops])",
        "self.stack.append(self.stack[-1])",
    ),
    Mutant(
        "SWAP one too high",
        "emit",
        "_BlockWriter.instruction",
        "self.stack[-1], self.stack[-row.pops] = self.stack[-row.pops], self.stack[-1]",
        "self.stack[-1], self.stack[1 - row.pops] = self.stack[1 - row.pops], self.stack[-1]",
    ),
    Mutant(
        "an item not written where control leaves",
        "emit",
        "_BlockWriter.exit",
        "self.unwritten()",
        "self.unwritten()[:-1]",
    ),
    Mutant("stack not written for the interpreter", "emit", "_BlockWriter.hand_over", "    self.flush()\n", ""),
    Mutant(
        "registers in the wrong order",
        "emit",
        "_BlockWriter.go_to",
        "enumerate(self.stack[kept:])",
        "enumerate(self.stack[kept:][::-1])",
    ),
    Mutant(
        "memory of the stack remembered after a call",
        "emit",
        "_BlockWriter.otherwise_called",
        "if place < end and (place < self.bottom or items[place] is value)",
        "if place < end + row.pops",
    ),
    # Jumps
    Mutant(
        "condition upside down",
        "emit",
        "_BlockWriter.jump",
        "label %{taken}, label %{not_taken}",
        "label %{not_taken}, label %{taken}",
    ),
    Mutant("decided jump goes the other way", "emit", "_BlockWriter.jump", "elif not decided:", "elif decided:"),
    Mutant(
        "one of some targets confused",
        "emit",
        "_BlockWriter.go_to_one_of",
        "label %{labels[0]} [",
        "label %{labels[-1]} [",
    ),
    Mutant("jump to what is no destination", "blocks", "_link", " and blocks.blocks[number].is_destination", ""),
    Mutant(
        "a known target left out",
        "facts",
        "_Run.jump",
        "self.targets[offset] = known | words",
        "self.targets[offset] = known or words",
    ),
    # Widths and arithmetic
    Mutant("width a bit too small", "specialise", "narrowest", "high >> width == 0", "high >> width <= 1"),
    Mutant(
        "operands exchanged",
        "specialise",
        "Specialiser.operation",
        "texts = self.writer.cast(left, width), self.writer.cast(right, width)",
        "texts = self.writer.cast(right, width), self.writer.cast(left, width)",
    ),
    Mutant("shift by the width not 0", "specialise", "Specialiser.shift", "if right.high >= width:", "if False:"),
    Mutant("sum taken not to wrap", "narrow", "_wrapped", "if turns != high // _MODULUS:", "if False:"),
    Mutant(
        "bits of a negative number forgotten",
        "values",
        "Writer.cast",
        '"sext" if value.low < 0 else',
        '"zext" if value else',
    ),
    Mutant(
        "operands of a comparison exchanged",
        "specialise",
        "Specialiser.comparison",
        "texts = self.writer.cast(left, width), self.writer.cast(right, width)",
        "texts = self.writer.cast(right, width), self.writer.cast(left, width)",
    ),
    # Knowledge
    Mutant("only the first way in counts", "facts", "joined", "max(one.high, other.high)", "one.high"),
    Mutant("what grows is taken to stay", "facts", "widened", "return UNKNOWN", "return former"),
    Mutant("guards left out", "emit", "guard_rows", "return rows", "return []"),
    Mutant(
        "memory taken to be there where control enters",
        "emit",
        "Emitter._write_entry",
        "    if least:\n",
        "    if False:\n",
    ),
    Mutant("memory taken for a word larger", "specialise", "Registers.refine", "max(low, self", "max(low + 1, self"),
    Mutant(
        "fields remembered though memory has changed",
        "specialise",
        "Registers.forget",
        "if key in self.constant_fields",
        "if True",
    ),
    Mutant("dominator of one way only", "dominators", "dominators", "for way in ways)", "for way in ways[:1])"),
)


@dataclass
class Verdict:
    """What became of a mutant."""

    name: str
    found_by_fuzzer: bool = False
    programs: int = 0
    """That the fuzzer ran, until it found a difference."""
    how: str = ""
    """The difference in short."""
    found_by_tests: bool | None = None
    """None where they were not asked."""
    test: str = ""
    """The first that failed."""

    @property
    def found(self) -> bool:
        """By either."""
        return self.found_by_fuzzer or bool(self.found_by_tests)


# The process that has a mutant


def fuzz(mutant: Mutant, seed: int, seconds: float, at: Any, pipe: Connection) -> None:
    """Compare the mutant with the interpreter; send how they differ, empty if they do not. `at` counts programs."""
    from differential.compare import Difference, compare

    with mutant.planted():
        until, number, found = time.process_time() + seconds, 0, ""
        while time.process_time() < until and not found:
            try:
                at.value += compare(seed, number, FORK, ENGINES)
            except Difference as difference:
                found = " ".join(difference.text.split())
            number += 1
    pipe.send(found)


def test(mutant: Mutant, _seed: int, _seconds: float, _at: Any, pipe: Connection) -> None:
    """Run the tests of the compiler on the mutant; send the first that fails, empty if none does."""
    import pytest

    class Failures:
        first = ""

        def pytest_runtest_logreport(self, report: Any) -> None:
            if report.failed and not self.first:
                self.first = report.nodeid

    failures = Failures()
    with mutant.planted(), redirect_stdout(StringIO()):
        paths = [str(TESTS / "jit"), *(str(TESTS / name) for name in ("test_ops_flow.py", "test_ops_memory.py"))]
        own = f"--deselect={TESTS / 'jit' / 'test_mutants.py'}"
        late = "ignore::pytest.PytestAssertRewriteWarning"  # what is mutated is imported before
        pytest.main(["-x", "-q", "-n", "0", "-p", "no:cacheprovider", "-W", late, own, *paths], plugins=[failures])
    pipe.send(failures.first)


def asked(target: Any, mutant: Mutant, seed: int, seconds: float) -> tuple[str, int]:
    """What a process of its own says of a mutant, and the programs it ran; one that dies or hangs has found it, too."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    at = context.Value("Q", 0, lock=False)
    process = context.Process(target=target, args=(mutant, seed, seconds, at, theirs), daemon=True)
    process.start()
    theirs.close()
    try:
        answer = ours.recv() if ours.poll(PATIENCE * max(1.0, seconds)) else "hangs"
    except EOFError:
        process.join()
        answer = f"ended its process with {process.exitcode}"
    if process.is_alive():
        process.terminate()
    process.join()
    return answer, at.value


def judged(mutant: Mutant, options: argparse.Namespace) -> Verdict:
    """What finds the mutant."""
    how, programs = asked(fuzz, mutant, options.seed, options.seconds)
    verdict = Verdict(mutant.name, bool(how), programs, how)
    if options.tests:
        verdict.test, _ = asked(test, mutant, options.seed, options.seconds)
        verdict.found_by_tests = bool(verdict.test)
    return verdict


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="CPU seconds of the fuzzer on each (default 20)")
    parser.add_argument("--seed", type=int, default=SEED, help=f"of its programs (default {SEED})")
    parser.add_argument("--tests", action="store_true", help="run the tests of the compiler, too")
    parser.add_argument("--only", default="", metavar="WORD", help="only mutants whose name has the word")
    parser.add_argument("--list", action="store_true", help="name the mutants and do nothing")
    parser.add_argument("--json", action="store_true", help="print the result as JSON, all else to stderr")
    options = parser.parse_args(arguments)
    chosen = [mutant for mutant in MUTANTS if options.only in mutant.name]
    if not chosen:
        raise SystemExit(f"error: no mutant is called like {options.only!r}; --list names them")
    if options.list:
        print("\n".join(mutant.name for mutant in chosen))
        return 0
    for mutant in chosen:
        with mutant.planted():
            pass  # one that cannot be planted must not seem to be found
    console = Console(stderr=options.json)
    verdicts = []
    with Progress(console=console, transient=True) as progress:
        for mutant in progress.track(chosen, description="mutants"):
            verdict = judged(mutant, options)
            verdicts.append(verdict)
            fuzzer = (
                f"{verdict.programs:,} programs: {verdict.how[:60]}"
                if verdict.how
                else f"not in {verdict.programs:,} programs"
            )
            tests = "" if verdict.found_by_tests is None else f"; tests: {verdict.test.rpartition('/')[2] or 'none'}"
            console.print(f"{mutant.name}: fuzzer: {fuzzer}{tests}", markup=False, highlight=False, soft_wrap=True)
    found = sum(verdict.found for verdict in verdicts)
    by_fuzzer = sum(verdict.found_by_fuzzer for verdict in verdicts)
    console.print(f"{found} of {len(verdicts)} mutants found, {by_fuzzer} by the fuzzer", highlight=False)
    if options.json:
        print(json.dumps([asdict(verdict) for verdict in verdicts]))
    return 0 if found == len(verdicts) else 1


if __name__ == "__main__":
    sys.exit(main())
