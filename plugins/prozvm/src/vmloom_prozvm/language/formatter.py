"""Canonical formatting: one way to write a program, whatever it looked like.

Works on the tokens, which stay as they are but for semicolons and commas at the end of a list; the tree says where
statements begin and end. Comments stay where they stood: behind what they stood behind, or on lines of their own. A
blank line between statements stays; more become one. A block of one short statement stays on its line.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from lark import Token

from . import tree
from .layout import BROKEN, Block, Break, Line, lay_out
from .lexer import Lexer, span_of
from .parser import Parser
from .tree import Program, Source

_OPENING: Final = frozenset(("LPAR", "LSQB", "BLOCK_OPEN", "MAP_OPEN"))
_CLOSING: Final = frozenset(("RPAR", "RSQB", "RBRACE"))
_ENDS_VALUE: Final = frozenset((
    "NAME", "INTEGER", "STRING", "BYTES", "TRUE", "FALSE", "NONE", "RPAR", "RSQB", "RBRACE", "STATE", "CALLER",
    "ADDRESS", "VALUE", "INPUT",
))  # fmt: skip
"""Tokens after which a parenthesis calls, a bracket looks into something, and a minus subtracts."""
_TIGHT: Final = frozenset(("LPAR", "LSQB", "MAP_OPEN"))
"""Brackets that no blank follows."""
_BEFORE_PARENTHESES: Final = frozenset(
    ("HASH", "VERIFY_SIG", "MERKLE", "CALL", "LEDGER", "EMIT", "REQUIRE", "ACTION")
)  # fmt: skip
"""Words that their parentheses follow at once."""
_BLANKS: Final = re.compile(r"[ \t\r]*")
_WITH_BLOCK: Final = (
    tree.Block,
    tree.If,
    tree.While,
    tree.ForEach,
    tree.Action,
    tree.Transaction,
    tree.Limit,
)


def format_source(text: str, name: str = "<source>") -> str:
    """The canonical form of a source, which messages call `name`. Formatting it again changes nothing.

    Raises:
        SyntaxErrors: For a text that is not of the language.
    """
    lexer = Lexer(text, name)
    program = Parser(lexer).parse_program()
    formatted = lay_out(_Formatter(lexer, program).document()).strip("\n")
    return f"{formatted}\n" if formatted else ""


@dataclass(frozen=True)
class _Places:
    """What the tree says of offsets in the source."""

    statements: set[int] = field(default_factory=set)
    """Where statements begin."""
    simple_ends: set[int] = field(default_factory=set)
    """Where statements end that a semicolon ends."""
    blocks: set[int] = field(default_factory=set)
    """Where braces open blocks."""
    short_blocks: set[int] = field(default_factory=set)
    """Those that may stand on one line."""


def _places(program: Program) -> _Places:
    places = _Places()
    for node in tree.walk(program):
        if isinstance(node, tree.Block):
            places.blocks.add(node.span.start)
            if _is_short(node, program.source):
                places.short_blocks.add(node.span.start)
        if isinstance(node, tree.Block | Program):
            for statement in node.statements:
                places.statements.add(statement.span.start)
                if not isinstance(statement, _WITH_BLOCK):
                    places.simple_ends.add(statement.span.end)
    return places


def _is_short(block: tree.Block, source: Source) -> bool:
    """Whether it stands on one line, and has at most one statement, which has no block."""
    if len(block.statements) > 1 or any(isinstance(statement, _WITH_BLOCK) for statement in block.statements):
        return False
    return source.text.find("\n", *block.span) < 0


@dataclass(slots=True)
class _Bracket:
    """An open bracket: its kind, and where its contents go."""

    kind: str
    group: Block
    inside: Block
    is_tight: bool
    """Whether nothing breaks between it and its contents; of a block, whether it may stand on one line."""
    is_empty: bool = True
    """Whether no token stands in it yet."""


class _Formatter:
    """Makes the document of one source."""

    def __init__(self, lexer: Lexer, program: Program) -> None:
        self.source: Final[Source] = lexer.source
        self.places: Final = _places(program)
        self.tokens: Final = list(self.tokens_as_parsed(lexer))
        self.comments: Final = lexer.comments
        self.closers: Final = _closers(self.tokens)
        self.root: Final = Block()
        self.open: Final[list[_Bracket]] = []
        self.before: Token | None = None
        """The token that was put last."""
        self.is_sign = False
        """Whether that is a minus before a value, rather than between two."""
        self.end = 0
        """Where what was read last ends, also if it was left out."""
        self.after_comment = False
        self.must_break = False
        """Whether a comment ends the line."""

    def tokens_as_parsed(self, lexer: Lexer) -> Iterator[Token]:
        """What the lexer gives, by the kinds that the parser takes it for."""
        before = ""
        for token in lexer:
            if token.type == "BLOCK_OPEN" and token.start_pos not in self.places.blocks:
                token = token.update(type="MAP_OPEN")
            elif before == "DOT":
                token = token.update(type="NAME")
            before = token.type
            yield token

    def document(self) -> Block:
        """All of the source."""
        comments = iter(self.comments)
        comment = next(comments, None)
        for index, token in enumerate(self.tokens):
            start, end = span_of(token)
            while comment is not None and span_of(comment).start < start:
                self.put_comment(comment)
                comment = next(comments, None)
            if token.type != "SEMICOLON" and not self.is_last_comma(index):
                self.put(index, token)
                if end in self.places.simple_ends:
                    self.here.add(";")
            self.end = end
        while comment is not None:
            self.put_comment(comment)
            comment = next(comments, None)
        return self.root

    @property
    def here(self) -> Block:
        """Where parts go now."""
        return self.open[-1].inside if self.open else self.root

    @property
    def is_among_statements(self) -> bool:
        """Whether statements stand here, rather than items of a bracket."""
        return not self.open or self.open[-1].kind == "BLOCK_OPEN"

    def begins_statement(self, token: Token) -> bool:
        """Whether a statement begins with the token."""
        return token.start_pos in self.places.statements

    def blank_lines(self, start: int) -> int:
        """How many blank lines there are before what begins at `start`: one is as good as many."""
        return int(self.source.text.count("\n", self.end, start) > 1)

    # Tokens

    def put(self, index: int, token: Token) -> None:
        """Put a token with what comes between it and the one before."""
        if token.type in _CLOSING:
            self.close(token)
        else:
            self.put_gap(token)
            if self.open:
                self.open[-1].is_empty = False
            if token.type in _OPENING:
                self.open_bracket(index, token)
            else:
                self.here.add(str(token))
        self.is_sign = token.type == "MINUS" and not self.follows_value(token)
        self.before = token
        self.must_break = self.after_comment = False

    def follows_value(self, token: Token) -> bool:
        """Whether the token stands behind a value, which it applies to."""
        return self.before is not None and self.before.type in _ENDS_VALUE and not self.begins_statement(token)

    def is_last_comma(self, index: int) -> bool:
        """Whether that is a comma that nothing follows in its bracket."""
        following = index + 1
        return (
            self.tokens[index].type == "COMMA"
            and following < len(self.tokens)
            and self.tokens[following].type in _CLOSING
        )

    def put_gap(self, token: Token) -> None:
        """What comes before a token that closes nothing."""
        if self.begins_statement(token):
            self.put_statement_gap(span_of(token).start)
        elif self.must_break:
            self.here.add(Break())
        elif self.open and self.open[-1].is_empty:
            gap = " " if self.after_comment else ""
            self.here.add(gap if self.open[-1].is_tight else Line(gap))
        elif self.before is not None:
            self.put_inner_gap(self.before, token)

    def put_statement_gap(self, start: int) -> None:
        """What comes before a statement."""
        if not self.after_comment and self.open and self.open[-1].is_empty:
            self.here.add(Line(" ") if self.open[-1].is_tight else Break())
        elif self.after_comment or self.before is not None:
            self.here.add(Break(self.blank_lines(start)))

    def put_inner_gap(self, before: Token, token: Token) -> None:
        """What comes between two tokens of a statement."""
        if before.type == "COMMA" and self.open and not self.open[-1].is_tight:
            self.here.add(Line(" "))
        elif token.type not in ("COMMA", "COLON") and (self.after_comment or self.needs_blank(before, token)):
            self.here.add(" ")

    def needs_blank(self, before: Token, token: Token) -> bool:
        """Whether a blank is between two tokens of a line."""
        if token.type == "DOT" or before.type == "DOT":
            return False
        if before.type == "BANG" or self.is_sign:
            return before.type == token.type == "MINUS"
        if token.type == "LPAR":
            return before.type not in _ENDS_VALUE and before.type not in _BEFORE_PARENTHESES
        return token.type != "LSQB" or before.type not in _ENDS_VALUE

    # Brackets

    def open_bracket(self, index: int, token: Token) -> None:
        """Put what opens a bracket, and go inside."""
        if token.type == "BLOCK_OPEN":
            is_tight = token.start_pos in self.places.short_blocks
        else:
            is_tight = (token.type == "LSQB" and self.follows_value(token)) or self.is_hugged(index)
        group = Block(is_group=True)
        group.add(str(token))
        inside = Block(is_nested=token.type == "BLOCK_OPEN" or not is_tight)
        self.open.append(_Bracket(token.type, group, inside, is_tight))

    def is_hugged(self, index: int) -> bool:
        """Whether it opens parentheses that have one list, map or action in them, and no lines of their own."""
        first, closer = index + 1, self.closers[index]
        if self.tokens[index].type != "LPAR" or first == closer:
            return False
        if self.tokens[first].type == "ACTION":
            first = self.closers[first + 1] + 1  # past the parameters
            while self.tokens[first].type in ("ARROW", "NAME"):
                first += 1
        last = closer - 2 if self.is_last_comma(closer - 1) else closer - 1
        return self.closers.get(first) == last

    def close(self, token: Token) -> None:
        """Put what closes the innermost bracket."""
        bracket = self.open.pop()
        bracket.group.add(bracket.inside)
        if self.must_break:
            bracket.group.add(Break())
        elif bracket.kind == "BLOCK_OPEN":
            is_short = bracket.is_tight or bracket.is_empty
            bracket.group.add(Line(" ") if is_short else Break())
        elif not bracket.is_empty and not bracket.is_tight:
            bracket.group.add(Line(before="," if bracket.kind in ("LSQB", "MAP_OPEN") else ""))
        bracket.group.add(str(token))
        self.here.add(bracket.group)

    # Comments

    def put_comment(self, comment: Token) -> None:
        """Put a comment behind what it stood behind, or on lines of its own."""
        start, end = span_of(comment)
        text = self.source.text
        is_first = self.before is None or text.find("\n", self.end, start) >= 0
        is_alone = is_first or self.must_break
        following = _BLANKS.match(text, end)
        is_last = following is not None and text[following.end() : following.end() + 1] in ("", "\n")
        if is_alone:
            if self.after_comment or self.before is not None:
                self.here.add(Break(self.blank_lines(start) if self.may_have_blank_line else 0))
        elif not (comment.startswith("/*") and self.before is not None and self.before.type in _TIGHT):
            self.here.add(" ")
        self.here.add(comment.replace("\r\n", "\n").rstrip())
        self.after_comment = True
        self.must_break = is_alone or is_last
        if self.must_break:
            self.here.add(BROKEN)
        self.end = end

    @property
    def may_have_blank_line(self) -> bool:
        """Whether a blank line may come now: among statements, and not at the beginning of a block."""
        is_first = bool(self.open) and self.open[-1].is_empty and not self.after_comment
        return self.is_among_statements and not is_first


def _closers(tokens: Sequence[Token]) -> dict[int, int]:
    """The index of each opening bracket's closing one."""
    found: dict[int, int] = {}
    opened: list[int] = []
    for index, token in enumerate(tokens):
        if token.type in _OPENING:
            opened.append(index)
        elif token.type in _CLOSING:
            found[opened.pop()] = index
    return found
