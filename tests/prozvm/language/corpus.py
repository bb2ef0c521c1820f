"""The corpus: small programs of one behaviour each, with what must come of them in the comments at their beginning.

| Comment | Meaning |
|---|---|
| `// result: VALUE` | the program's value |
| `// error: KIND at LINE:COLUMN` | it fails so there; `with VALUE` after it is what a REVERT gives |
| `// syntax error: LINE:COLUMN TEXT` | the parser refuses it; TEXT is part of the message. One line for each error |
| `// compile error: LINE:COLUMN TEXT` | it can be read, and is refused before it runs |
| `// output: LIST` | what the host's function `print` was called with; nothing if there is no such line |
| `// state: MAP` | values in the end, by name or by list of keys; as at the beginning if there is no such line |
| `// ledger: LIST` | the entries in the end, with a time of 0; none if there is no such line |
| `// initial state: MAP` | values at the beginning |
| `// gas: NUMBER` | gas that there is; without bound if there is no such line |

VALUE and the others are written in the language itself. What a program does must not depend on how it is run.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from vmloom_prozvm.language import tree
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.language.tree import Position

FOLDER: Final = Path(__file__).with_name("corpus")

_COMMENT: Final = re.compile(r"// ([a-z ]+): (.*)")
_PLACE: Final = re.compile(r"(\d+):(\d+)(?: (.*))?")
_FAILURE: Final = re.compile(r"(\w+) at (\d+):(\d+)(?: with (.*))?")


@dataclass(frozen=True, slots=True)
class Failure:
    """How a program ends that fails: the name of the error's class, its place, and what a REVERT gives."""

    kind: str
    position: Position
    output: Any = None


@dataclass(frozen=True, slots=True)
class Refusal:
    """One error of a program that never runs."""

    position: Position
    text: str


@dataclass(slots=True)
class Case:
    """A program and what must come of it: of `result`, `failure` and `refusals` one is set."""

    name: str
    source: str
    result: Any = None
    has_result: bool = False
    failure: Failure | None = None
    refusals: list[Refusal] = field(default_factory=list)
    is_syntax: bool = False
    """Whether it is the parser that refuses."""
    output: list[Any] = field(default_factory=list)
    state: dict[Any, Any] = field(default_factory=dict)
    """Values in the end: by name, or by the tuple of a path's keys."""
    ledger: list[Any] = field(default_factory=list)
    initial_state: dict[Any, Any] = field(default_factory=dict)
    gas: int | None = None


@cache
def cases() -> tuple[Case, ...]:
    """Every program, by name. They are read once, for many tests ask for them before any runs."""
    return tuple(read(path) for path in sorted(FOLDER.glob("*.proz")))


def read(path: Path) -> Case:
    """The program of a file. Raises `ValueError` for one that does not say what must come of it."""
    case = Case(path.stem, path.read_text("utf-8"))
    comments = list(_comments(case.source))
    case.initial_state = case.state = next((_literal(text) for key, text in comments if key == "initial state"), {})
    for key, text in comments:
        _note(case, key, text)
    if case.has_result + (case.failure is not None) + bool(case.refusals) != 1:
        raise ValueError(f"{path.name}: it must have a result, or an error, or syntax errors, or compile errors")
    return case


def _comments(source: str) -> Iterator[tuple[str, str]]:
    for line in source.splitlines():
        found = _COMMENT.fullmatch(line)
        if found is None:
            return
        yield found[1], found[2]


def _note(case: Case, key: str, text: str) -> None:
    match key:
        case "result":
            case.result, case.has_result = _literal(text), True
        case "error":
            case.failure = _failure(text)
        case "syntax error" | "compile error":
            case.refusals.append(_refusal(text))
            case.is_syntax = key == "syntax error"
        case "output" | "state" | "ledger":
            setattr(case, key, _literal(text))
        case "gas":
            case.gas = int(text)
        case "initial state":
            pass
        case _:
            raise ValueError(f"{case.name}: {key!r} is no known comment")


def _failure(text: str) -> Failure:
    found = _FAILURE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not KIND at LINE:COLUMN")
    output = None if found[4] is None else _literal(found[4])
    return Failure(found[1], Position(int(found[2]), int(found[3])), output)


def _refusal(text: str) -> Refusal:
    found = _PLACE.fullmatch(text)
    if found is None:
        raise ValueError(f"{text!r} is not LINE:COLUMN TEXT")
    return Refusal(Position(int(found[1]), int(found[2])), found[3] or "")


def _literal(text: str) -> Any:
    """The value of an expression of literals."""
    (statement,) = parse(f"({text});", "comment").statements
    assert isinstance(statement, tree.ExpressionStatement)
    return _value(statement.value)


def _value(node: tree.Node) -> Any:
    match node:
        case tree.Literal():
            return node.value
        case tree.Unary(operator="-"):
            return -_value(node.operand)
        case tree.ListLiteral():
            return [_value(item) for item in node.items]
        case tree.MapLiteral():
            return {_key(entry.key): _value(entry.value) for entry in node.entries}
        case _:
            raise ValueError(f"{node} is no literal")


def _key(node: tree.Expression) -> Any:
    value = _value(node)
    return tuple(value) if isinstance(value, list) else value
