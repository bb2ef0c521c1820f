"""What to say about a token that does not fit: what was expected in human words, and what was probably meant.

Knows the grammar's tokens by their names and the mistakes that people make who come from other languages.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from lark import Token

from .diagnostics import Diagnostic, Note, quote
from .lexer import WORDS, grammar, span_of
from .tree import Source, Span

STATEMENT_WORDS: Final = frozenset((
    "LET", "CONST", "EXPORT", "IF", "WHILE", "FOR", "BREAK", "CONTINUE", "RETURN", "TX", "REVERT", "GAS", "LIMIT",
    "LEDGER", "EMIT", "REQUIRE",
))  # fmt: skip
"""Tokens that only a statement begins with."""

_VALUES: Final = frozenset(("INTEGER", "STRING", "BYTES", "TRUE", "FALSE", "NONE", "LSQB", "NAME"))
_CLOSERS: Final = frozenset(("RPAR", "RSQB", "RBRACE"))
_ENDS: Final = ("SEMICOLON", "COMMA", "COLON", "RPAR", "RSQB", "RBRACE", "BLOCK_OPEN", "ELSE", "IN", "EACH", "DOT")
"""What is expected after a value, most likely first; other than operators, which could always come."""
_WORD_HINTS: Final[Mapping[str, str]] = MappingProxyType(
    {
        **dict.fromkeys(("function", "fn", "func", "fun", "def", "proc"), "functions are declared with `action`"),
        **dict.fromkeys(("var", "mut", "auto", "int", "bytes", "bool", "string"), "variables are declared with `let`"),
        **dict.fromkeys(("elif", "elsif", "elseif"), "write `else if`"),
        **dict.fromkeys(("foreach", "loop"), "write `for each item in collection { }` or `while (condition) { }`"),
        **dict.fromkeys(("switch", "match", "case"), "write `if (...) { } else if (...) { }`"),
        **dict.fromkeys(("try", "catch"), "errors end the program; a `TX { }` undoes what it wrote with `REVERT;`"),
        **dict.fromkeys(("throw", "raise", "assert"), 'write `REVERT "reason";` or `require(condition, "reason");`'),
        **dict.fromkeys(("class", "struct", "contract", "interface"), "use a map; a contract is a source with exports"),
        **dict.fromkeys(("import", "include", "use", "from"), "a source stands alone: there are no imports"),
        **dict.fromkeys(("public", "pub", "external"), "actions are offered with `export action`"),
        **dict.fromkeys(("async",), "any call can be a task: `spawn f()`, then `await`"),
        **dict.fromkeys(("do", "until", "repeat"), "loops are `while (condition) { }`"),
        **dict.fromkeys(("print", "echo"), "functions are called with parentheses"),
        **dict.fromkeys(("and",), "write `&&`"),
        **dict.fromkeys(("or",), "write `||`"),
        **dict.fromkeys(("not",), "write `!`"),
    }
)


@dataclass(frozen=True, slots=True)
class Place:
    """Where the parser stopped."""

    source: Source
    tokens: Sequence[Token]
    at: int
    """Index of the token that does not fit."""
    token: Token
    expected: set[str]
    """Kinds of tokens that would."""
    opened: Token | None
    """The innermost bracket that is open."""

    @property
    def before(self) -> Token | None:
        """The token before."""
        return self.tokens[self.at - 1] if self.at else None

    @property
    def after(self) -> Token | None:
        """The token after."""
        return self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None

    @property
    def found(self) -> str:
        """The token, in a message."""
        return quote(self.token) if self.token.type != "$END" else "the end of the source"


def explain(place: Place) -> Diagnostic:
    """The error at that place."""
    for rule in _RULES:
        found = rule(place)
        if found is not None:
            return found
    return Diagnostic(span_of(place.token), f"expected {_expected(place)}, found {place.found}", note=_opened(place))


# Mistakes with an answer of their own. Each gives its error, or None if it is not that.


def _unknown_word(place: Place) -> Diagnostic | None:
    """`function f() {`, `var x`, `elif (c) {`, `a and b`: a word of another language, here or where it began."""
    at: int | None = None
    if place.token in ("and", "or") and "STAR" in place.expected:
        at = place.at
    elif place.token.type == "BLOCK_OPEN" and place.before is not None and place.before.type == "RPAR":
        at = _before_parentheses(place)
    elif place.before is not None and place.before.type == "NAME":
        at = place.at - 1
    if at is None or place.tokens[at] not in _WORD_HINTS or not (at == place.at or _is_first(place, at)):
        return None
    word = place.tokens[at]
    return Diagnostic(span_of(word), f"{quote(word)} is no word of the language", _WORD_HINTS[word])


def _is_first(place: Place, at: int) -> bool:
    """Whether a statement begins with that token."""
    return at == 0 or place.tokens[at - 1].type in ("SEMICOLON", "RBRACE", "BLOCK_OPEN")


def _before_parentheses(place: Place) -> int | None:
    """What stands before the parentheses that end before the token."""
    depth = 0
    for index in range(place.at - 1, 0, -1):
        depth += (place.tokens[index].type == "RPAR") - (place.tokens[index].type == "LPAR")
        if depth == 0:
            return index - 1
    return None


def _counting_loop(place: Place) -> Diagnostic | None:
    if place.expected != {"EACH"}:
        return None
    hint = "write `for each item in collection { }`, as in `for each i in range(0, 10) { }`"
    return Diagnostic(span_of(place.token), f"expected `each`, found {place.found}", hint)


def _word_as_name(place: Place) -> Diagnostic | None:
    if "NAME" not in place.expected or place.expected >= _VALUES or place.token not in WORDS:
        return None
    message = f"expected a name, found {place.found}"
    return Diagnostic(span_of(place.token), message, f"{place.found} is a word of the language and cannot be a name")


def _assignment_as_value(place: Place) -> Diagnostic | None:
    if place.token.type != "EQUAL" or not {"RPAR", "COMMA", "SEMICOLON", "RSQB"} & place.expected:
        return None
    hint = "`==` compares; an assignment is a statement and has no value"
    return Diagnostic(span_of(place.token), f"expected {_expected(place)}, found `=`", hint)


def _map_as_statement(place: Place) -> Diagnostic | None:
    if place.token.type != "COLON" or place.opened is None or place.tokens[place.at - 2] is not place.opened:
        return None
    hint = "`{` at the beginning of a statement opens a block; put parentheses around a map: `({...})`"
    message = f"expected {_expected(place)}, found {place.found}"
    return Diagnostic(span_of(place.token), message, hint, _opened(place, always=True))


def _no_value(place: Place) -> Diagnostic | None:
    before = place.before
    if before is None or before.type != "NAME" or place.expected != {"EQUAL"} or place.token.type != "SEMICOLON":
        return None
    hint = f"a variable has a value from the beginning: `let {before[:40]} = none;`"
    return Diagnostic(span_of(place.token), "expected `=`, found `;`", hint)


def _typed_variable(place: Place) -> Diagnostic | None:
    if place.token.type != "COLON" or place.expected != {"EQUAL"}:
        return None
    return Diagnostic(span_of(place.token), "expected `=`, found `:`", "only parameters and results have types")


def _second_variable(place: Place) -> Diagnostic | None:
    if place.token.type != "COMMA" or "SEMICOLON" not in place.expected:
        return None
    hint = "a statement ends with `;`, and each variable has a `let` of its own"
    return Diagnostic(span_of(place.token), "expected `;`, found `,`", hint)


def _missing_semicolon(place: Place) -> Diagnostic | None:
    if "SEMICOLON" not in place.expected or place.before is None:
        return None
    kind = place.token.type
    begins = kind in STATEMENT_WORDS or kind in _VALUES or kind in ("ACTION", "BLOCK_OPEN", "STATE", "SPAWN", "AWAIT")
    if not begins or place.expected >= _VALUES:
        return None
    # Where it is missing, not where that was noticed, which may be many lines further on.
    end = span_of(place.before).end
    return Diagnostic(Span(end, end), f"expected `;`, found {place.found}", "a statement ends with `;`")


def _nothing_open(place: Place) -> Diagnostic | None:
    if place.token.type not in _CLOSERS or place.opened is not None:
        return None
    return Diagnostic(span_of(place.token), f"{place.found} closes nothing", "no bracket is open here")


def _stray_else(place: Place) -> Diagnostic | None:
    if place.token.type != "ELSE":
        return None
    hint = "`else` follows the block of an `if` at once: `if (...) { } else { }`"
    return Diagnostic(span_of(place.token), f"expected {_expected(place)}, found `else`", hint)


def _not_exported(place: Place) -> Diagnostic | None:
    if place.before is None or place.before.type not in ("EXPORT", "PAYABLE") or "ACTION" not in place.expected:
        return None
    return Diagnostic(
        span_of(place.token), f"expected `action`, found {place.found}", "only actions with a name can be exported"
    )


def _no_parentheses(place: Place) -> Diagnostic | None:
    if place.expected != {"LPAR"} or place.before is None or place.before.type not in ("IF", "WHILE"):
        return None
    hint = f"the condition is in parentheses: `{place.before} (...) {{ }}`"
    return Diagnostic(span_of(place.token), f"expected `(`, found {place.found}", hint)


def _no_braces(place: Place) -> Diagnostic | None:
    if place.expected not in ({"BLOCK_OPEN"}, {"BLOCK_OPEN", "IF"}):
        return None
    hint = "bodies are in braces, even those of one statement"
    return Diagnostic(span_of(place.token), f"expected `{{`, found {place.found}", hint)


def _no_amount(place: Place) -> Diagnostic | None:
    if place.expected != {"INTEGER"}:
        return None
    hint = "the amount is a number: `GAS 50;`, `LIMIT 1000 { }`"
    return Diagnostic(span_of(place.token), f"expected a number, found {place.found}", hint)


def _spawned_value(place: Place) -> Diagnostic | None:
    before = place.before
    if before is None or "LPAR" not in place.expected or "SEMICOLON" in place.expected or "LSQB" not in place.expected:
        return None
    index = place.at - 1
    while index >= 0 and place.tokens[index].type in ("NAME", "LSQB", "RSQB", "INTEGER", "STRING"):
        index -= 1
    if index < 0 or place.tokens[index].type != "SPAWN":
        return None
    return Diagnostic(
        span_of(place.token), f"expected `(`, found {place.found}", "what is spawned is a call: `spawn f(x)`"
    )


_RULES: Final[Sequence[Callable[[Place], Diagnostic | None]]] = (
    _unknown_word,
    _counting_loop,
    _word_as_name,
    _no_value,
    _typed_variable,
    _second_variable,
    _assignment_as_value,
    _map_as_statement,
    _stray_else,
    _nothing_open,
    _not_exported,
    _no_parentheses,
    _no_braces,
    _no_amount,
    _spawned_value,
    _missing_semicolon,
)
"""The first that applies is what is said."""


def _opened(place: Place, *, always: bool = False) -> Note | None:
    """Where the bracket was opened that is not closed, if that is what it is about."""
    opened = place.opened
    ended = place.token.type in _CLOSERS or place.token.type == "$END" or always
    if opened is None or not (ended or (opened.line != place.token.line and _CLOSERS & place.expected)):
        return None
    suspect = _misindented(place.tokens[: place.at]) if place.token.type == "$END" else None
    if suspect is not None:
        return Note(span_of(suspect), f"to go by the indentation, what is not closed is the {quote(suspect)}")
    return Note(span_of(opened), f"{quote(opened)} was opened")


def _misindented(tokens: Sequence[Token]) -> Token | None:
    """The first brace whose end does not stand below the line that it is in: the one after it was meant to end it."""
    opened: list[tuple[Token, int | None]] = []
    line, indent = None, None
    for token in tokens:
        is_first = token.line != line
        if is_first:
            line, indent = token.line, token.column
        if token.type == "BLOCK_OPEN":
            opened.append((token, indent))
        elif token.type == "RBRACE" and opened:
            brace, expected = opened.pop()
            if is_first and indent != expected:
                return brace
    return None


def _expected(place: Place) -> str:
    """What could have come, in words."""
    expected = place.expected
    if "LET" in expected:
        words = ["a statement"]
        words += ["`}`"] if "RBRACE" in expected else []
    elif expected >= _VALUES:
        words = ["a value"]
        words += [f"`{_form(kind)}`" for kind in ("SEMICOLON", *sorted(_CLOSERS)) if kind in expected]
    else:
        words = [f"`{_form(kind)}`" for kind in _ENDS if kind in expected]
        if not words:
            words = [_form_in_words(kind) for kind in sorted(expected)]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"


def _form_in_words(kind: str) -> str:
    names = {"NAME": "a name", "INTEGER": "a number", "$END": "the end of the source"}
    return names.get(kind) or f"`{_form(kind)}`"


def _form(kind: str) -> str:
    """How a kind of token is written."""
    pattern = next((terminal.pattern for terminal in grammar().terminals if terminal.name == kind), None)
    return str(pattern.value) if pattern is not None else kind.lower()
