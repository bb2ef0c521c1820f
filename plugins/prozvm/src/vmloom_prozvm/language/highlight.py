"""Colours for sources: a lexer of Pygments, and what the terminal is shown.

Takes any text, whether the parser would or not.
"""

from __future__ import annotations

from io import StringIO
from typing import Any, ClassVar, Final

from pygments import format as format_tokens
from pygments.formatters.terminal import TerminalFormatter
from pygments.lexer import RegexLexer, bygroups, words
from pygments.token import (
    Comment,
    Error,
    Keyword,
    Name,
    Number,
    Operator,
    Punctuation,
    String,
    Text,
    Whitespace,
)

from .builtins import BUILTINS
from .diagnostics import visible
from .lexer import WORDS

_DECLARATIONS: Final = ("let", "const", "action", "export", "payable")
_VALUES: Final = ("true", "false", "none")
_OF_LEDGERS: Final = tuple(sorted(word for word in WORDS if word.isupper()))
_OTHERS: Final = tuple(sorted(WORDS - {*_DECLARATIONS, *_VALUES, *_OF_LEDGERS}))
_TYPES: Final = ("int", "bool", "str", "bytes", "address", "list", "map", "any")


class ProzLexer(RegexLexer):  # type: ignore[misc]  # Pygments does not say its types
    """The contract language of ProzVM, for Pygments."""

    name = "ProzVM"
    aliases: ClassVar[list[str]] = ["proz", "prozvm"]
    filenames: ClassVar[list[str]] = ["*.proz"]
    mimetypes: ClassVar[list[str]] = ["text/x-proz"]
    tokens: ClassVar[dict[str, Any]] = {
        "root": [
            (r"[ \t\r\n]+", Whitespace),
            (r"(?://|#)[^\n]*", Comment.Single),
            (r"/\*[^*]*\*+(?:[^/*][^*]*\*+)*/", Comment.Multiline),
            (r"/\*(?:.|\n)*", Error),
            (r'hex"[0-9A-Fa-f]*"', String.Other),
            (r'"', String.Double, "string"),
            (r"0x[0-9A-Fa-f_]+", Number.Hex),
            (r"[0-9][0-9_]*(?![\w.])", Number.Integer),
            (r"(action)(\s+)([A-Za-z_]\w*)", bygroups(Keyword.Declaration, Whitespace, Name.Function)),
            (r"(\.)([A-Za-z_]\w*)", bygroups(Punctuation, Name.Attribute)),
            (rf"(:|->)(\s*)({'|'.join(_TYPES)})\b", bygroups(Punctuation, Whitespace, Keyword.Type)),
            (words(_DECLARATIONS, prefix=r"\b", suffix=r"\b"), Keyword.Declaration),
            (words(_VALUES, prefix=r"\b", suffix=r"\b"), Keyword.Constant),
            (words(_OF_LEDGERS, prefix=r"\b", suffix=r"\b"), Name.Builtin.Pseudo),
            (words(_OTHERS, prefix=r"\b", suffix=r"\b"), Keyword),
            (words(tuple(BUILTINS), prefix=r"\b", suffix=r"(?=\s*\()"), Name.Builtin),
            (r"[A-Za-z_][A-Za-z0-9_]*(?=\s*\()", Name.Function),
            (r"[A-Za-z_][A-Za-z0-9_]*", Name),
            (r"->|\*\*|&&|\|\||\?\?|[=!<>]=|[-+*/%]=|[-+*/%<>=!]", Operator),
            (r"[()\[\]{},;:.]", Punctuation),
            (r".", Error),
        ],
        "string": [
            (r'\\(?:[nrt0\\"]|u\{[0-9A-Fa-f]{1,6}\})', String.Escape),
            (r'[^"\\\n]+', String.Double),
            (r'"', String.Double, "#pop"),
            (r"\\", Error),
            (r"\n", Text, "#pop"),
        ],
    }


def highlight(text: str, color: bool = True) -> str:
    """The text for a terminal, with colours if `color`; nothing in it is acted on by the terminal but those."""
    shown = visible(text)
    if not color:
        return shown
    out = StringIO()
    format_tokens(ProzLexer(stripnl=False, ensurenl=False).get_tokens(shown), TerminalFormatter(), out)
    return out.getvalue()
