"""From source text to tokens: words, numbers, operators and the rest, as `grammar.lark` describes them.

Every mistake that can be seen in one token is found here, all of them in one go; the parser gets something of the same
kind in its place. The values of literals are computed here, too, and bounded: a source may come from anybody.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from importlib.resources import files
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from lark import Lark, Token

from ..values import DEFAULT_LIMITS
from .diagnostics import MOST, Diagnostic, quote
from .tree import Source, Span

if TYPE_CHECKING:
    from lark import Transformer

MAX_SIZE: Final = 1 << 20
"""Bytes of a source in UTF-8."""
MAX_TOKENS: Final = 1 << 18
"""Tokens of a source."""
MAX_NAME: Final = 255
"""Characters of a name."""
MAX_DIGITS: Final = 2500
"""Characters of a number: more than the largest integer needs."""

WORDS: Final = frozenset((
    "let", "const", "action", "export", "payable", "if", "else", "while", "for", "each", "in", "break", "continue",
    "return", "spawn", "await", "true", "false", "none", "require", "TX", "REVERT", "GAS", "LIMIT", "LEDGER",
    "EMIT", "HASH", "VERIFY_SIG", "MERKLE", "STATE", "CALLER", "ADDRESS", "VALUE", "INPUT", "BLOCK", "CALL",
))  # fmt: skip
"""The words of the language; none of them is a name."""

_START: Final = ("program", "outside")
_PROHIBITED: Final = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200b\u2028\u2029\u202a-\u202e\u2066-\u2069\ufeff\ud800-\udfff]|\r(?!\n)"
)
"""What no source has, not even in comments and strings: one would not see it, or it makes one see another text."""
_ESCAPE: Final = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|(.))")
_ESCAPES: Final[Mapping[str, str]] = MappingProxyType(
    {"n": "\n", "r": "\r", "t": "\t", "0": "\0", "\\": "\\", '"': '"'}
)
_OPERATORS: Final[Mapping[str, str]] = MappingProxyType(
    {
        "===": "values are compared with `==`, which compares their kinds, too",
        "!==": "values are compared with `!=`, which compares their kinds, too",
        "=>": "a function is written `action(x) { return x; }`; at least is `>=`",
        ":=": "a variable is declared with `let` and set with `=`",
        "<<": "there are no shifts: multiply by a power of two",
        ">>": "there are no shifts: divide by a power of two",
        "++": "write `+= 1`",
        "**=": "write the operation out: `x = x ** y`",
        "&": "logic is `&&`; there are no operations on bits",
        "|": "logic is `||`; there are no operations on bits",
        "^": "powers are `**`; there are no operations on bits",
        "~": "there are no operations on bits",
        "?": "write `if (...) { } else { }`, or `??` for what takes the place of none",
        "@": "",
        "$": "",
        "`": 'a string is written "..."',
        "\\": 'a backslash has a meaning in "..." only',
    }
)


@cache
def grammar(transformer: Transformer[Token, object] | None = None) -> Lark:
    """The grammar, read once for each way of making trees."""
    text = files(__package__).joinpath("grammar.lark").read_text("utf-8")
    return Lark(
        text,
        parser="lalr",
        lexer="basic",
        start=list(_START),
        keep_all_tokens=True,
        maybe_placeholders=False,
        transformer=transformer,
    )


class Lexer:
    """The tokens of a source, to be iterated over; `comments` and `errors` are those found on the way."""

    def __init__(self, source: str | Source, name: str = "<source>") -> None:
        self.source: Final = source if isinstance(source, Source) else Source(source, name)
        self.comments: Final[list[Token]] = []
        self.errors: Final[list[Diagnostic]] = []
        self.tokens: Final[list[Token]] = []
        if self._is_small_enough():
            self._find_prohibited()
            self._read()

    def __iter__(self) -> Iterator[Token]:
        return iter(self.tokens)

    def __len__(self) -> int:
        return len(self.tokens)

    def _is_small_enough(self) -> bool:
        text = self.source.text
        if len(text) <= MAX_SIZE and len(text.encode("utf-8", "surrogatepass")) <= MAX_SIZE:
            return True
        self._fault(Span(0, 1), f"a source of more than {MAX_SIZE:,} bytes", "compile it in parts")
        return False

    def _find_prohibited(self) -> None:
        for found in _PROHIBITED.finditer(self.source.text):
            if len(self.errors) == MOST:
                break
            code = f"\\u{{{ord(found[0]):x}}}"
            hint = (
                "no source has such a character" if "\ud800" <= found[0] <= "\udfff" else f"in a string, write {code}"
            )
            self._fault(Span(*found.span()), f"the character {code} cannot be seen or misleads who reads it", hint)

    def _read(self) -> None:
        for token in grammar().lex(self.source.text):
            kind = token.type
            if kind == "COMMENT":
                self.comments.append(token)
                continue
            if kind in _READERS:
                read = _READERS[kind](self, token)
                if read is None:
                    continue
                token = read
            self.tokens.append(token)
            if len(self.tokens) > MAX_TOKENS:
                self._fault(span_of(token), f"a source of more than {MAX_TOKENS:,} tokens", "compile it in parts")
                self.tokens.clear()
                return

    def _fault(self, span: Span, message: str, hint: str = "") -> None:
        if len(self.errors) < MOST:
            self.errors.append(Diagnostic(span, message, hint))

    # What is looked at closer, by kind. Each gives the token for the parser, None if there is none for it.

    def _name(self, token: Token) -> Token:
        if len(token) > MAX_NAME:
            self._fault(span_of(token), f"a name of {len(token):,} characters; at most {MAX_NAME} are allowed")
        return token

    def _integer(self, token: Token) -> Token:
        if len(token) <= MAX_DIGITS and integer_value(token).bit_length() <= DEFAULT_LIMITS.integer_bits:
            return token
        self._fault(span_of(token), f"an integer of more than {DEFAULT_LIMITS.integer_bits:,} bits")
        return _instead(token, "INTEGER", "0")

    def _string(self, token: Token) -> Token:
        known = len(self.errors)
        start = token.start_pos or 0
        for found in _ESCAPE.finditer(token):
            message = _escape_fault(found)
            if message:
                span = Span(start + found.start(), start + found.end())
                self._fault(span, message, r"known are \n \r \t \0 \\ \" and \u{1F600}")
        size = len(token.encode("utf-8", "surrogatepass"))
        if len(self.errors) == known and size > DEFAULT_LIMITS.string_size:
            self._fault(span_of(token), f"a string of more than {DEFAULT_LIMITS.string_size:,} bytes")
        return token if len(self.errors) == known else _instead(token, "STRING", '""')

    def _bytes(self, token: Token) -> Token:
        digits = token[4:-1]
        if re.fullmatch(r"(?:[0-9A-Fa-f]{2})*", digits):
            return token
        what = "an odd number of digits" if re.fullmatch("[0-9A-Fa-f]*", digits) else "something that is no hex digit"
        self._fault(span_of(token), f"a byte string with {what}", 'two hex digits make a byte: hex"c0ffee"')
        return _instead(token, "BYTES", 'hex""')

    def _float(self, token: Token) -> Token:
        hint = "count in a smaller unit, as in cents for euros"
        self._fault(
            span_of(token), f"the number {quote(token)} has a fraction or exponent; there are integers only", hint
        )
        return _instead(token, "INTEGER", "0")

    def _wrong_number(self, token: Token) -> Token:
        hint = "numbers are written 10, 1_000 or 0xff, names begin with a letter"
        if token.isdecimal() and token.isascii():
            hint = f"leave out the zeros before it: {quote(token.lstrip('0') or '0')}"
        self._fault(span_of(token), f"{quote(token)} is not a number", hint)
        return _instead(token, "INTEGER", "0")

    def _open_string(self, token: Token) -> Token:
        start = token.start_pos or 0
        hint = r'a string ends with " in the line in which it begins; a line break in it is \n'
        self._fault(Span(start, start + 1), "a string without an end", hint)
        return _instead(token, "STRING", '""')

    def _open_bytes(self, token: Token) -> Token:
        self._fault(Span(token.start_pos or 0, (token.start_pos or 0) + 4), "a byte string without an end")
        return _instead(token, "BYTES", 'hex""')

    def _open_comment(self, token: Token) -> None:
        start = token.start_pos or 0
        self._fault(Span(start, start + 2), "a comment without an end", "it ends with */; comments are not nested")

    def _quoted(self, token: Token) -> Token:
        self._fault(span_of(token), f"strings are written in double quotes, not {quote(token)}")
        return _instead(token, "STRING", '""')

    def _wrong_operator(self, token: Token) -> None:
        self._fault(span_of(token), f"there is no operator {quote(token)}", _OPERATORS[token])

    def _wrong_word(self, token: Token) -> Token:
        hint = "names are made of the letters A to Z and a to z, digits and _"
        self._fault(span_of(token), f"the name {quote(token)} has other letters than names can", hint)
        return _instead(token, "NAME", "_")

    def _unknown(self, token: Token) -> None:
        if not _PROHIBITED.match(token):  # those are reported already
            self._fault(span_of(token), f"the character {quote(token)} means nothing here", _OPERATORS.get(token, ""))


_READERS: Final[Mapping[str, Callable[[Lexer, Token], Token | None]]] = MappingProxyType(
    {
        "NAME": Lexer._name,
        "INTEGER": Lexer._integer,
        "STRING": Lexer._string,
        "BYTES": Lexer._bytes,
        "FLOAT": Lexer._float,
        "WRONG_NUMBER": Lexer._wrong_number,
        "OPEN_STRING": Lexer._open_string,
        "OPEN_BYTES": Lexer._open_bytes,
        "OPEN_COMMENT": Lexer._open_comment,
        "QUOTED": Lexer._quoted,
        "WRONG_OPERATOR": Lexer._wrong_operator,
        "WRONG_WORD": Lexer._wrong_word,
        "UNKNOWN": Lexer._unknown,
    }
)


def span_of(token: Token) -> Span:
    """Where a token stands."""
    return Span(token.start_pos or 0, token.end_pos or 0)


def integer_value(text: str) -> int:
    """The value of an INTEGER."""
    return int(text.replace("_", ""), 16 if text.startswith("0x") else 10)


def string_value(text: str) -> str:
    """The value of a STRING, which has no fault."""
    return _ESCAPE.sub(lambda found: chr(int(found[1], 16)) if found[1] else _ESCAPES[found[2]], text[1:-1])


def bytes_value(text: str) -> bytes:
    """The value of BYTES, which have no fault."""
    return bytes.fromhex(text[4:-1])


def _escape_fault(found: re.Match[str]) -> str:
    if found[1]:
        code = int(found[1], 16)
        is_character = code <= 0x10FFFF and not 0xD800 <= code <= 0xDFFF
        return "" if is_character else f"{quote(found[0])} is not a character"
    return "" if found[2] in _ESCAPES else f"{quote(found[0])} has no meaning in a string"


def _instead(token: Token, kind: str, text: str) -> Token:
    """What the parser gets for a token at fault: `text`, in its place."""
    return Token.new_borrow_pos(kind, text, token)
