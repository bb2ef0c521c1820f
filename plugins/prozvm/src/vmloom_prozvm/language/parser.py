"""From tokens to the tree, with as many errors as can be told apart.

Lark's table says what may come next; this drives it token by token. After an error the parser leaves the statement at
fault, goes back to the list of statements that it is in, and reads on: what it finds next is an error of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from lark import Token
from lark.exceptions import UnexpectedToken

from . import hints
from .builder import Rejected, TreeBuilder
from .diagnostics import MOST, Diagnostic, Note, SyntaxErrors, quote
from .lexer import Lexer, grammar, span_of
from .tree import Block, ExpressionStatement, IndexAssign, MapEntry, Node, Program, Span, StateAccess, children

MAX_NESTING: Final = 100
"""Levels of a source: of brackets, and of expressions and statements in each other."""

_OPENING: Final = {"LPAR": ")", "LSQB": "]", "BLOCK_OPEN": "}", "MAP_OPEN": "}"}
_CLOSING: Final = frozenset(("RPAR", "RSQB", "RBRACE"))
_END: Final = "$END"


class Parser:
    """Reads the program of a lexer. `errors` are what is wrong with it, once it has been read."""

    def __init__(self, lexer: Lexer) -> None:
        self.lexer: Final = lexer
        self.errors: list[Diagnostic] = []
        self._tokens: list[Token] = []
        self._at = 0
        self._open: list[Token] = []

    def parse_program(self) -> Program:
        """The program. Raises `SyntaxErrors` with all `errors` if there are any."""
        source = self.lexer.source
        self.errors = list(self.lexer.errors)
        self._tokens = [*self.lexer, Token(_END, "", len(source.text), end_pos=len(source.text))]
        self._at = 0
        self._open = []
        deep = _nested_too_deep(self._tokens)
        if deep is not None:
            self.errors.append(deep)
        else:
            statements = self._statements()
            program = Program(Span(0, len(source.text)), tuple(statements), source)
            if not self.errors:
                self.errors += _grown_too_deep(program)
        if self.errors:
            raise SyntaxErrors(source, self.errors)
        return program

    def _statements(self) -> list[Any]:
        """Feed all tokens; the result is worth nothing if there are errors."""
        machine = _Machine()
        while True:
            token = machine.fit(self._tokens[self._at], self._tokens[self._at - 1] if self._at else None)
            try:
                result: list[Any] | None = machine.feed(token)
            except UnexpectedToken:
                self._report(self._unexpected(machine, token))
            except Rejected as error:
                self._report(Diagnostic(error.span, error.message, error.hint))
            else:
                self._count(token)
                self._at += 1
                if token.type == _END:
                    return result or []
                continue
            if len(self.errors) >= MOST or token.type == _END:
                return []
            self._skip(machine)

    def _count(self, token: Token) -> None:
        if token.type in _OPENING:
            self._open.append(token)
        elif token.type in _CLOSING and self._open:
            self._open.pop()

    def _report(self, found: Diagnostic) -> None:
        # One mistake can make the parser stumble twice: over what the lexer replaced, or over the rest of a statement.
        source = self.lexer.source
        lines = {source.position(known.span.start).line for known in self.errors}
        before = self._tokens[self._at - 1].line if self._at else None
        if source.position(found.span.start).line not in lines and before not in lines:
            self.errors.append(found)

    def _unexpected(self, machine: _Machine, token: Token) -> Diagnostic:
        place = hints.Place(
            source=self.lexer.source,
            tokens=self._tokens,
            at=self._at,
            token=token,
            expected=machine.expected(),
            opened=self._open[-1] if self._open else None,
        )
        return hints.explain(place)

    # After an error

    def _skip(self, machine: _Machine) -> None:
        """Go on where the next statement may begin."""
        while self._open and self._open[-1].type != "BLOCK_OPEN":
            # Brackets of the statement that is left; a map's brace still has its end to come.
            if self._open.pop().type == "MAP_OPEN":
                self._skip_to_brace()
        machine.leave_statement()
        while True:
            token = self._tokens[self._at]
            if token.type == _END or (token.type == "RBRACE" and self._open) or self._begins_statement():
                return
            self._at += 1
            if token.type == "SEMICOLON":
                return
            if token.type == "BLOCK_OPEN":
                self._skip_to_brace()
                if self._tokens[self._at].type not in ("SEMICOLON", "ELSE"):
                    return

    def _skip_to_brace(self) -> None:
        """Go past the brace that closes the one just left behind."""
        depth = 1
        while depth and self._tokens[self._at].type != _END:
            kind = self._tokens[self._at].type
            depth += (kind == "BLOCK_OPEN") - (kind == "RBRACE")
            self._at += 1

    def _begins_statement(self) -> bool:
        """Whether a word that only statements begin with stands first in its line."""
        token, before = self._tokens[self._at], self._tokens[self._at - 1]
        return token.type in hints.STATEMENT_WORDS and token.line != before.line


UltimateParser = Parser


def parse(source: str, name: str = "<source>") -> Program:
    """The program of a source text, which messages call `name`. Raises `SyntaxErrors`."""
    return Parser(Lexer(source, name)).parse_program()


class _Machine:
    """Lark's parser for one source."""

    def __init__(self) -> None:
        self._parser = grammar(_BUILDER).parse_interactive("", start="program")
        self._state = self._parser.parser_state
        self._table = self._state.parse_conf.states

    def fit(self, token: Token, before: Token | None) -> Token:
        """The token as what it is here: the lexer does not know whether a brace opens a map, or what a dot precedes."""
        kind = token.type
        if kind == "BLOCK_OPEN":
            here = self._table[self._state.position]
            if kind not in here and "MAP_OPEN" in here:
                return token.update(type="MAP_OPEN")
        elif before is not None and before.type == "DOT" and token[:1].isalpha():
            return token.update(type="NAME")
        return token

    def feed(self, token: Token) -> list[Any] | None:
        """Take a token; the statements of the program after the last. Raises `UnexpectedToken`, `Rejected`."""
        result: list[Any] | None = self._state.feed_token(token, token.type == _END)
        return result

    def expected(self) -> set[str]:
        """The kinds of tokens that could come here."""
        kinds: set[str] = self._parser.accepts()  # type: ignore[no-untyped-call]  # Lark does not say
        return kinds

    def leave_statement(self) -> None:
        """Forget what was read of the innermost statement."""
        state = self._state
        while "let" not in self._table[state.position]:  # where a statement may begin, the table has where it leads
            state.state_stack.pop()
            state.value_stack.pop()


_BUILDER: Final = TreeBuilder()


def _nested_too_deep(tokens: Sequence[Token]) -> Diagnostic | None:
    opened: list[Token] = []
    for token in tokens:
        if token.type in _OPENING:
            opened.append(token)
            if len(opened) > MAX_NESTING:
                first = span_of(opened[0])
                message = f"brackets nested deeper than {MAX_NESTING}"
                return Diagnostic(span_of(token), message, note=Note(first, f"the outermost, {quote(opened[0])}, is"))
        elif token.type in _CLOSING and opened:
            opened.pop()
    return None


def _grown_too_deep(program: Program) -> list[Diagnostic]:
    """An error if the tree has too many levels."""
    waiting: list[tuple[Node, int]] = [(program, -1)]
    while waiting:
        node, depth = waiting.pop()
        depth += _levels(node)
        if depth > MAX_NESTING:
            hint = "name parts of it with `let`; collect many items with a loop"
            return [Diagnostic(node.span, f"expressions and statements nested deeper than {MAX_NESTING}", hint)]
        waiting.extend((child, depth) for child in children(node))
    return []


def _levels(node: Node) -> int:
    """How many levels a node makes: each key of a path is one, and what only holds others is none."""
    match node:
        case Block() | MapEntry() | ExpressionStatement():
            return 0
        case IndexAssign():
            return 1 + len(node.keys)
        case StateAccess():
            return len(node.path)
        case _:
            return 1
