"""Reads scripts (`*.wast`) in the text form of the official test suite.

Only what is around modules is read here. Modules themselves, and numbers, are put into bytes by wasmtime's
assembler, which knows every feature; it decides nothing about their validity.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import wasmtime
from vmloom.errors import InputError

from ..binary.code import instructions
from ..binary.module import decode
from .commands import Action, Command, CommandKind, Source, Value

TEXT_FORMAT: Final = "about the text format, in which no contract is"

_TOKEN: Final = re.compile(r'\s+|;;[^\n]*|\(;|[()]|"(?:[^"\\]|\\.)*"|[^\s()";]+|.', re.DOTALL)
_COMMENT_EDGE: Final = re.compile(r"\(;|;\)")
_ESCAPE: Final = re.compile(rb"\\(?:u\{([0-9a-fA-F_]+)\}|([0-9a-fA-F]{2})|(.))", re.DOTALL)
_PLAIN_ESCAPES: Final = {b"t": b"\t", b"n": b"\n", b"r": b"\r"}
_NUMBER: Final = re.compile(r"(i32|i64|f32|f64)\.const")
_BITS: Final = {"i32": 32, "i64": 64, "f32": 32, "f64": 64}


@dataclass(frozen=True, slots=True)
class Form:
    """Something in parentheses: `items` are forms and atoms, strings with their quotes, and where it is in the text."""

    items: tuple[Form | str, ...]
    begin: int
    end: int

    @property
    def head(self) -> str:
        """Its first atom, or nothing."""
        first = self.items[0] if self.items else ""
        return first if isinstance(first, str) else ""

    @property
    def forms(self) -> tuple[Form, ...]:
        """What in it is a form."""
        return tuple(item for item in self.items if isinstance(item, Form))

    @property
    def identifier(self) -> str | None:
        """The first atom that begins with `$`, if it stands before all forms."""
        for item in self.items[1:]:
            if not isinstance(item, str):
                break
            if item.startswith("$"):
                return item
        return None

    def strings(self) -> tuple[bytes, ...]:
        """The strings in it, without quotes and escapes."""
        return tuple(unquoted(item) for item in self.items if isinstance(item, str) and item.startswith('"'))


def read_wast(path: Path) -> Iterator[Command]:
    """The commands of a script. Raises `InputError` where it cannot be read as one."""
    try:
        yield from _Script(path.read_bytes().decode()).commands()
    except (OSError, ValueError) as error:
        raise InputError(f"{path}: {error}") from None


def unquoted(literal: str) -> bytes:
    """The bytes that a string in quotes stands for. Core specification 2.0, section 6.3.3."""

    def replaced(match: re.Match[bytes]) -> bytes:
        point, byte, char = match.groups()
        if point is not None:
            return chr(int(point.replace(b"_", b""), 16)).encode()
        return bytes((int(byte, 16),)) if byte is not None else _PLAIN_ESCAPES.get(char, char)

    return _ESCAPE.sub(replaced, literal[1:-1].encode())


def forms(text: str) -> list[Form]:
    """Everything in parentheses at the top of `text`. Raises `ValueError` if they do not match."""
    found: list[Form | str] = []
    open_forms: list[tuple[int, list[Form | str]]] = []
    at = 0
    while at < len(text):
        match = _TOKEN.match(text, at)
        assert match is not None  # the last alternative takes anything
        token, begin, at = match.group(), at, match.end()
        if token == "(;":
            at = _comment_end(text, begin)
        elif token == "(":
            open_forms.append((begin, []))
        elif token == ")":
            if not open_forms:
                raise ValueError(f"a parenthesis too many at character {begin}")
            start, items = open_forms.pop()
            form = Form(tuple(items), start, at)
            if form.head.startswith("@"):
                continue  # an annotation
            (open_forms[-1][1] if open_forms else found).append(form)
        elif open_forms and not token.isspace() and not token.startswith(";;"):
            open_forms[-1][1].append(token)
    if open_forms:
        raise ValueError(f"nothing closes the parenthesis at character {open_forms[-1][0]}")
    return [form for form in found if isinstance(form, Form)]


def _comment_end(text: str, begin: int) -> int:
    """Where the block comment that begins there ends; such comments may contain each other."""
    depth = 0
    for edge in _COMMENT_EDGE.finditer(text, begin):
        depth += 1 if edge.group() == "(;" else -1
        if not depth:
            return edge.end()
    raise ValueError(f"nothing ends the comment at character {begin}")


class _Script:
    """One script. Its numbers are put into bytes all at once: one by one takes much longer."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._forms = forms(text)
        if self._forms and self._forms[0].head not in _READERS:  # a file may be one module without its parentheses
            self._text = f"(module {text}\n)"
            self._forms = forms(self._text)
        self._lines = [match.start() for match in re.finditer("\n", self._text)]
        self._numbers = _assembled(set(_number_texts(self._forms)))

    def commands(self) -> Iterator[Command]:
        """The commands in their order."""
        for form in self._forms:
            read = _READERS.get(form.head)
            line = bisect_right(self._lines, form.begin) + 1
            if read is None:
                raise ValueError(f"line {line}: unknown command {form.head}")
            yield Command(line=line, **read(self, form))

    def module(self, form: Form) -> dict[str, Any]:
        """`(module ...)`: as it is, `definition`, or `instance`."""
        word = form.items[1] if len(form.items) > 1 else ""
        if word == "instance":
            names = [item for item in form.items[2:] if isinstance(item, str)]
            return {
                "kind": CommandKind.INSTANCE,
                "name": names[-1] if names else None,
                "text": names[0] if names else "",
            }
        kind = CommandKind.DEFINITION if word == "definition" else CommandKind.MODULE
        return {"kind": kind, "name": form.identifier, "source": self.source(form)}

    def register(self, form: Form) -> dict[str, Any]:
        """`(register "name" $module?)`."""
        (name,) = form.strings()
        return {"kind": CommandKind.REGISTER, "name": form.identifier, "text": name.decode()}

    def bare_action(self, form: Form) -> dict[str, Any]:
        """`(invoke ...)` or `(get ...)`, whatever comes of it."""
        return {"kind": CommandKind.ACTION, "action": self.action(form)}

    def assertion(self, form: Form) -> dict[str, Any]:
        """`(assert_... action-or-module expected...)`."""
        kind = CommandKind(form.head)
        subject, *expected = form.forms
        text = b" ".join(form.strings()).decode()
        if kind is CommandKind.ASSERT_MALFORMED and "quote" in subject.items:
            return {"kind": kind, "source": Source(trouble=TEXT_FORMAT), "text": text}
        if subject.head == "module":
            if kind is CommandKind.ASSERT_TRAP:
                kind = CommandKind.ASSERT_UNINSTANTIABLE
            return {"kind": kind, "source": self.source(subject), "text": text}
        values = tuple(self.value(one) for one in expected)
        return {"kind": kind, "action": self.action(subject), "expected": values, "text": text}

    def action(self, form: Form) -> Action:
        """`(invoke $module? "field" value*)` or `(get $module? "field")`."""
        (field,) = form.strings()
        arguments = tuple(self.value(one) for one in form.forms)
        return Action(field.decode(), arguments, form.identifier, is_get=form.head == "get")

    def value(self, form: Form) -> Value:
        """`(i32.const 1)`, `(f32.const nan:canonical)`; others are known by their head only."""
        match = _NUMBER.fullmatch(form.head)
        if match is None or len(form.items) != 2 or not isinstance(form.items[1], str):
            return Value(form.head)
        type_, text = match[1], form.items[1]
        if text in ("nan:canonical", "nan:arithmetic"):
            return Value(type_, nan=text.removeprefix("nan:"))
        return Value(type_, self._numbers[type_, text])

    def source(self, form: Form) -> Source:
        """The module in bytes."""
        skipped = [item for item in form.items[1:4] if isinstance(item, str)]
        if "binary" in skipped:
            return Source(b"".join(form.strings()))
        if "quote" in skipped:
            text = f"(module {b' '.join(form.strings()).decode(errors='replace')})"
        else:
            text = re.sub(r"^\(module\s+definition", "(module", self._text[form.begin : form.end])
        # The assembler refuses some characters that look like others, but takes them in this form.
        text = re.sub(r"[^\0-\x7f]", lambda char: f"\\u{{{ord(char[0]):x}}}", text)
        try:
            return Source(bytes(wasmtime.wat2wasm(text)))
        except wasmtime.WasmtimeError as error:
            return Source(trouble=f"cannot be assembled: {str(error).partition(chr(10))[0]}")


_Reader = Callable[[_Script, Form], dict[str, Any]]
_READERS: Final[dict[str, _Reader]] = {
    "module": _Script.module,
    "register": _Script.register,
    "invoke": _Script.bare_action,
    "get": _Script.bare_action,
} | {kind.value: _Script.assertion for kind in CommandKind if kind.value.startswith("assert_")}


def _number_texts(found: Iterable[Form]) -> Iterator[tuple[str, str]]:
    """All numbers outside of modules, as (type, text)."""
    for form in found:
        if form.head == "module":
            continue
        match = _NUMBER.fullmatch(form.head)
        if match is None:
            yield from _number_texts(form.forms)
        elif len(form.items) == 2 and isinstance(form.items[1], str) and form.items[1][4:] not in _NAN_KINDS:
            yield match[1], form.items[1]


_NAN_KINDS: Final = ("canonical", "arithmetic")


def _assembled(numbers: set[tuple[str, str]]) -> dict[tuple[str, str], int]:
    """The bits of numbers, unsigned, as wasmtime's assembler reads them."""
    ordered = sorted(numbers)
    text = "\n".join(f"(global {type_} ({type_}.const {number}))" for type_, number in ordered)
    try:
        module = decode(bytes(wasmtime.wat2wasm(f"(module {text})")))
    except wasmtime.WasmtimeError as error:
        raise ValueError(f"numbers: {error}") from None
    values = (next(instructions(entry.initial)).immediates[0] for entry in module.globals)
    return {key: value & (1 << _BITS[key[0]]) - 1 for key, value in zip(ordered, values, strict=True)}
