"""`vmloom proz repl`: programs typed one after the other, on variables and a state that stay."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click
from vmloom.cli.app import EXIT_FAILED, EXIT_OK
from vmloom.cli.parameters import GAS

from ..bytecode.opcodes import OPERATIONS, Opcode
from ..config import LanguageConfig
from ..errors import ProzError
from ..gas import GasSchedule
from ..language.builtins import BUILTINS
from ..language.bytecode_compiler import EvaluatorBytecodeCompiler
from ..language.diagnostics import LanguageError
from ..language.environment import Environment
from ..language.evaluator import Evaluator
from ..language.lexer import WORDS, Lexer
from ..language.lowering import lower
from ..language.parser import parse
from ..language.tree import Action, Program, Source, walk
from ..literals import literal, path_text
from ..runtime.world import LEDGER_KEY, STATE_KEY
from ..values import Function
from ..vm import GAS_KEY
from .execution import TIERS
from .failures import shown, trace_of
from .instructions import WORDS as INSTRUCTIONS
from .listing import shown as listing

if TYPE_CHECKING:
    from rich.console import Console

PROMPT: Final = "proz> "
MORE: Final = "  ... "
HISTORY: Final = 1_000
"""Lines that are kept for the next time."""
_OPENING: Final = frozenset(("LPAR", "LSQB", "BLOCK_OPEN", "MAP_OPEN"))
_CLOSING: Final = frozenset(("RPAR", "RSQB", "RBRACE"))
_HELP: Final = """\
A program, in one line or more, is run at once; what it gives is shown. Open brackets go on in the next line, and an
empty line ends them.

  :help [NAME]     this, or what a builtin or an instruction does
  :env             variables
  :state           state and ledger
  :disasm [TEXT]   the last program, or this one, as instructions
  :tier [TIER]     how programs are run: 0, 1, 2 or auto
  :gas [LIMIT]     gas of the last program, or the limit of those that follow
  :quit            the end, as is Ctrl-D"""


@click.command()
@click.option("--tier", type=click.Choice(TIERS), default="auto", show_default=True, help="How programs are run.")
@click.option("--gas", type=GAS, default=10_000_000, show_default=True, help="Gas limit of each program.")
def repl(tier: str, gas: int) -> int:
    """Type programs of the contract language and see what they give; `:help` says more.

    Variables, functions, state and ledger stay from one to the next. Without a terminal stdin is run in the same way,
    and the exit code is 1 if anything in it failed.
    """
    from rich.console import Console

    is_interactive = sys.stdin.isatty()
    session = Session(tier, gas, Console(highlight=False), Console(stderr=True, highlight=False))
    with _line_editing(session) if is_interactive else _nothing():
        if is_interactive:
            session.console.print("ProzVM. [dim]:help says what can be typed, :quit ends.[/dim]")
        for text in _inputs(_prompting if is_interactive else _reading):
            if not session.take(text):
                break
    return EXIT_OK if is_interactive or not session.failed else EXIT_FAILED


class Session:
    """What stays between inputs."""

    def __init__(self, tier: str, gas: int, console: Console, errors: Console) -> None:
        self.console: Final = console
        self.errors: Final = errors
        self.tier = tier
        self.gas = gas
        self.failed = False
        self.env: Final = Environment({"print": self._print})
        self._number = 0
        self._used: int | None = None
        self._last: Program | None = None
        self._sources: dict[str, Source] = {}
        self._evaluator = _evaluator(tier)

    def take(self, text: str) -> bool:
        """Run an input or a command; whether to go on."""
        word, _, rest = text.strip().partition(" ")
        if word in (":quit", ":q", ":exit"):
            return False
        if word.startswith(":"):
            command = _COMMANDS.get(word)
            if command is None:
                self._complain(f"{word}: no such command; :help lists them")
            else:
                command(self, rest.strip())
        elif text.strip():
            self._run(text)
        return True

    # Programs

    def _run(self, text: str) -> None:
        self._number += 1
        try:
            program = parse(text, f"<{self._number}>")
            self._last = program
            self._remember(program)
            self.env[GAS_KEY] = self.gas
            try:
                value = self._evaluator.evaluate(program, self.env)
            finally:
                self._used = self.gas - self.env[GAS_KEY]
        except LanguageError as error:
            self.failed = True
            self.errors.print(error, soft_wrap=True)
        except ProzError as error:
            self.failed = True
            self.errors.print(shown(error, trace_of(error, None), program.source, self._sources), soft_wrap=True)
        except KeyboardInterrupt:
            self.failed = True
            self._complain("interrupted")
        else:
            if value is not None:
                self._show(literal(value))

    def _remember(self, program: Program) -> None:
        """The source that functions come from, for traces of those that later programs call."""
        for node in walk(program):
            if isinstance(node, Action):
                self._sources[node.name.identifier] = program.source

    def _show(self, text: str) -> None:
        from rich.text import Text

        if self.console.is_terminal:
            from ..language.highlight import highlight

            self.console.print(Text.from_ansi(highlight(text)), soft_wrap=True)
        else:
            self.console.print(Text(text), soft_wrap=True)

    def _print(self, *values: Any) -> None:
        from rich.text import Text

        words = (one if isinstance(one, str) else literal(one) for one in values)
        self.console.print(Text(" ".join(words)), soft_wrap=True)

    def _complain(self, text: str) -> None:
        from rich.text import Text

        self.failed = True
        self.errors.print(Text.assemble(("error: ", "bold red"), text), soft_wrap=True)

    # Commands

    def help(self, about: str) -> None:
        """`:help`"""
        if not about:
            self.console.print(_HELP, markup=False)
        elif about in BUILTINS:
            found = BUILTINS[about]
            self.console.print(f"{found.signature}: {found.about}", markup=False, soft_wrap=True)
        elif about.upper() in Opcode.__members__:
            opcode = Opcode[about.upper()]
            words, price = INSTRUCTIONS[opcode], GasSchedule().base[opcode]
            operand = OPERATIONS[opcode].operand.name.lower().replace("_", " ")
            about = f"{opcode.name} ({int(opcode)}), operand {operand}, {price:,} gas"
            self.console.print(f"{about}: {words.takes} → {words.gives}; {words.does}", markup=False, soft_wrap=True)
        else:
            self._complain(f"{about}: neither a builtin nor an instruction")

    def show_variables(self, _: str) -> None:
        """`:env`"""
        from rich.text import Text

        for name, value in sorted(self.env.variables.items()):
            word = "const" if name in self.env.constants else "let"
            is_action = isinstance(value, Function) and value.name == name
            declared = literal(value, 200) if is_action else f"{word} {name} = {literal(value, 200)}"
            self.console.print(Text(declared), soft_wrap=True)

    def show_state(self, _: str) -> None:
        """`:state`"""
        from rich.text import Text

        for place, value in self.env.get(STATE_KEY, {}).items():
            self.console.print(Text(f"{path_text(place)} = {literal(value, 200)}"), soft_wrap=True)
        for entry in self.env.get(LEDGER_KEY, []):
            self.console.print(Text(f"LEDGER {literal(dict(entry), 200)}"), soft_wrap=True)

    def disassemble(self, text: str) -> None:
        """`:disasm`"""
        try:
            program = parse(text) if text else self._last
            if program is None:
                self._complain(":disasm: nothing has run yet")
                return
            known = frozenset(self.env)
            compiled = EvaluatorBytecodeCompiler(source_map=True).compile_core(lower(program, known=known))
        except LanguageError as error:
            self.failed = True
            self.errors.print(error, soft_wrap=True)
            return
        for line in listing(compiled, program.source):
            self.console.print(line, soft_wrap=True)

    def set_tier(self, tier: str) -> None:
        """`:tier`"""
        if tier and tier not in TIERS:
            self._complain(f":tier: one of {', '.join(TIERS)}")
        elif tier:
            self.tier, self._evaluator = tier, _evaluator(tier)
        else:
            counts = ", ".join(
                f"{name.replace('_', ' ')} {count}" for name, count in self._evaluator.get_vm_stats().items()
            )
            self.console.print(f"{self.tier}; {counts}", markup=False, soft_wrap=True)

    def set_gas(self, limit: str) -> None:
        """`:gas`"""
        if not limit:
            used = "nothing has run yet" if self._used is None else f"the last program used {self._used:,}"
            self.console.print(f"limit {self.gas:,}; {used}", markup=False)
        elif limit.replace("_", "").isdecimal():
            self.gas = int(limit)
        else:
            self._complain(f":gas: a whole number, not {limit}")


_COMMANDS: Final[dict[str, Callable[[Session, str], None]]] = {
    ":help": Session.help,
    ":env": Session.show_variables,
    ":state": Session.show_state,
    ":disasm": Session.disassemble,
    ":tier": Session.set_tier,
    ":gas": Session.set_gas,
}


def _evaluator(tier: str) -> Evaluator:
    """What runs programs on a tier: 1 compiles each, 2 also compiles to Python what runs a second time."""
    schedule = GasSchedule()
    match tier:
        case "0":
            return Evaluator(use_vm=False, gas_schedule=schedule)
        case "1":
            return Evaluator(config=LanguageConfig(compiler_line_threshold=1), gas_schedule=schedule, use_jit=False)
        case "2":
            return Evaluator(config=LanguageConfig(compiler_line_threshold=1), gas_schedule=schedule, jit_threshold=1)
    return Evaluator(gas_schedule=schedule)


# Lines


def is_open(text: str) -> bool:
    """Whether more lines have to follow: a bracket or a comment is open."""
    lexer = Lexer(text)
    depth = 0
    for token in lexer:
        depth += (token.type in _OPENING) - (token.type in _CLOSING)
    return depth > 0 or text.rfind("/*") > text.rfind("*/")


def _inputs(read: Callable[[str], str | None]) -> Iterator[str]:
    """Inputs of one line or more; `read` gives a line, None at the end, and is told what to prompt with."""
    lines: list[str] = []
    while True:
        try:
            line = read(MORE if lines else PROMPT)
        except KeyboardInterrupt:
            click.echo()
            lines = []
            continue
        if line is None:
            break
        lines.append(line)
        text = "\n".join(lines)
        if not line.strip() or text.lstrip().startswith(":") or not is_open(text):
            yield text
            lines = []
    if lines:
        yield "\n".join(lines)


def _prompting(prompt: str) -> str | None:
    try:
        return input(prompt)
    except EOFError:
        click.echo()
        return None


def _reading(_: str) -> str | None:
    line = sys.stdin.readline()
    return line.rstrip("\n") if line else None


@contextmanager
def _nothing() -> Iterator[None]:
    yield


@contextmanager
def _line_editing(session: Session) -> Iterator[None]:
    """Editing, history and completion by readline, where Python has it."""
    try:
        import readline
    except ImportError:
        yield
        return
    path = _history_file()
    with suppress(OSError):  # there is none yet, or it cannot be read
        readline.read_history_file(path)
    readline.set_history_length(HISTORY)
    readline.set_completer(_completer(session))
    readline.parse_and_bind("tab: complete")
    try:
        yield
    finally:
        with suppress(OSError):  # the next session has no history then, which is all
            path.parent.mkdir(parents=True, exist_ok=True)
            readline.write_history_file(path)


def _history_file() -> Path:
    """By the XDG base directory specification."""
    named = os.environ.get("XDG_STATE_HOME", "")
    base = Path(named) if Path(named).is_absolute() else Path.home() / ".local/state"
    return base / "vmloom/proz-history"


def _completer(session: Session) -> Callable[[str, int], str | None]:
    def complete(text: str, number: int) -> str | None:
        known = [*_COMMANDS, ":quit"] if text.startswith(":") else [*WORDS, *BUILTINS, *session.env]
        found = sorted({name for name in known if name.startswith(text) and not name.startswith("_")})
        return found[number] if number < len(found) else None

    return complete
