"""From the rules of `grammar.lark` to nodes of the tree: one method for each rule, called as the parser recognises it.

Children are what the rule lists, in order: nodes, lists of nodes, and tokens with their punctuation, so that a node's
span is from its first to its last child. No state: one builder serves all parsers.
"""

# ruff: noqa: D102  # a rule is described where it is written, in the grammar
from __future__ import annotations

from dataclasses import replace
from typing import Any, Final

from lark import Token, Transformer

from . import tree
from .lexer import bytes_value, integer_value, span_of, string_value
from .tree import Node, Span


class Rejected(Exception):
    """What the grammar takes and the language does not."""

    def __init__(self, span: Span, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.span = span
        self.message = message
        self.hint = hint


_WORDS: Final = {"true": True, "false": False, "none": None}


class TreeBuilder(Transformer[Token, Any]):
    """What Lark calls with the children of each rule."""

    # Programs and blocks

    def program(self, children: list[Any]) -> list[tree.Statement]:
        """The statements; who parses knows the source."""
        return _nodes(children)

    def block(self, children: list[Any]) -> tree.Block:
        return tree.Block(_span(children), tuple(_nodes(children)))

    # Simple statements

    def let(self, children: list[Any]) -> tree.Let:
        _, name, _, value = children
        return tree.Let(_span(children), name, value)

    def const(self, children: list[Any]) -> tree.Const:
        _, name, _, value = children
        return tree.Const(_span(children), name, value)

    def assignment(self, children: list[Any]) -> tree.Statement:
        target, operator, value = children
        return _assignment(_span(children), target, str(operator)[:-1], value)

    def expression_statement(self, children: list[Any]) -> tree.ExpressionStatement:
        return tree.ExpressionStatement(_span(children), children[0])

    def return_statement(self, children: list[Any]) -> tree.Return:
        return tree.Return(_span(children), _optional(children))

    def break_statement(self, children: list[Any]) -> tree.Break:
        return tree.Break(_span(children))

    def continue_statement(self, children: list[Any]) -> tree.Continue:
        return tree.Continue(_span(children))

    def revert(self, children: list[Any]) -> tree.Revert:
        return tree.Revert(_span(children), _optional(children))

    def gas(self, children: list[Any]) -> tree.Gas:
        return tree.Gas(_span(children), _amount(children[1]))

    def ledger(self, children: list[Any]) -> tree.Ledger:
        return tree.Ledger(_span(children), *_nodes(children))

    def emit(self, children: list[Any]) -> tree.Emit:
        return tree.Emit(_span(children), *_nodes(children))

    def require(self, children: list[Any]) -> tree.Require:
        condition, *reason = _nodes(children)
        return tree.Require(_span(children), condition, reason[0] if reason else None)

    # Statements with blocks

    def if_statement(self, children: list[Any]) -> tree.If:
        test, then, *otherwise = _nodes(children)
        return tree.If(_span(children), test, then, otherwise[0] if otherwise else None)

    def while_statement(self, children: list[Any]) -> tree.While:
        return tree.While(_span(children), *_nodes(children))

    def for_each(self, children: list[Any]) -> tree.ForEach:
        return tree.ForEach(_span(children), *_nodes(children))

    def named_action(self, children: list[Any]) -> tree.Action:
        export = children[0] if isinstance(children[0], tree.Export) else None
        _, name, *function = children[1:] if export else children
        return tree.Action(_span(children), name, *_function(function), export)

    def export(self, children: list[Any]) -> tree.Export:
        return tree.Export(_span(children), len(children) > 1)

    def transaction(self, children: list[Any]) -> tree.Transaction:
        return tree.Transaction(_span(children), children[1])

    def limit(self, children: list[Any]) -> tree.Limit:
        _, amount, body = children
        return tree.Limit(_span(children), _amount(amount), body)

    # Parts of actions

    def parameters(self, children: list[Any]) -> list[tree.Parameter]:
        return _nodes(children)

    def parameter(self, children: list[Any]) -> tree.Parameter:
        name, *annotation = _nodes(children)
        return tree.Parameter(_span(children), name, annotation[0] if annotation else None)

    def result(self, children: list[Any]) -> tree.TypeName:
        name: tree.TypeName = children[1]
        return name

    def type_name(self, children: list[Any]) -> tree.TypeName:
        return tree.TypeName(_span(children), str(children[0]))

    # Operators

    def binary(self, children: list[Any]) -> tree.Binary:
        left, operator, right = children
        return tree.Binary(_span(children), str(operator), left, right)

    def unary(self, children: list[Any]) -> tree.Unary:
        operator, operand = children
        return tree.Unary(_span(children), str(operator), operand)

    def await_task(self, children: list[Any]) -> tree.Await:
        return tree.Await(_span(children), children[1])

    def spawn(self, children: list[Any]) -> tree.Spawn:
        return tree.Spawn(_span(children), children[1])

    def index(self, children: list[Any]) -> tree.Index:
        return tree.Index(_span(children), *_nodes(children))

    def call(self, children: list[Any]) -> tree.Call:
        callee, *arguments = _nodes(children)
        return tree.Call(_span(children), callee, tuple(arguments))

    def state(self, children: list[Any]) -> tree.StateAccess:
        before = children[0].path if isinstance(children[0], tree.StateAccess) else ()
        (key,) = _nodes(children[1:])
        return tree.StateAccess(_span(children), (*before, key))

    # What operators apply to

    def literal(self, children: list[Any]) -> tree.Literal:
        token = children[0]
        return tree.Literal(span_of(token), _value(token))

    def name(self, children: list[Any]) -> tree.Name:
        return tree.Name(span_of(children[0]), str(children[0]))

    def word(self, children: list[Any]) -> tree.Literal:
        return tree.Literal(span_of(children[0]), str(children[0]))

    def parenthesized(self, children: list[Any]) -> Node:
        """The expression; its place is that of the parentheses, for what follows to be shown with both."""
        node: Node = replace(children[1], span=_span(children))
        return node

    def list_literal(self, children: list[Any]) -> tree.ListLiteral:
        return tree.ListLiteral(_span(children), tuple(_nodes(children)))

    def map_literal(self, children: list[Any]) -> tree.MapLiteral:
        return tree.MapLiteral(_span(children), tuple(_nodes(children)))

    def entry(self, children: list[Any]) -> tree.MapEntry:
        return tree.MapEntry(_span(children), *_nodes(children))

    def lambda_action(self, children: list[Any]) -> tree.Lambda:
        return tree.Lambda(_span(children), *_function(children[1:]))

    def hash(self, children: list[Any]) -> tree.Hash:
        return tree.Hash(_span(children), *_nodes(children))

    def verify_signature(self, children: list[Any]) -> tree.VerifySignature:
        return tree.VerifySignature(_span(children), *_nodes(children))

    def merkle(self, children: list[Any]) -> tree.Merkle:
        return tree.Merkle(_span(children), tuple(_nodes(children)))

    def surrounding(self, children: list[Any]) -> tree.Surrounding:
        return tree.Surrounding(_span(children), str(children[0]))

    def block_field(self, children: list[Any]) -> tree.BlockField:
        word = children[2]
        return tree.BlockField(_span(children), tree.Name(word.span, word.value))

    def contract_call(self, children: list[Any]) -> tree.ContractCall:
        return tree.ContractCall(_span(children), *_nodes(children))


def _nodes(children: list[Any]) -> list[Any]:
    return [child for child in children if isinstance(child, Node)]


def _span(children: list[Any]) -> Span:
    return Span(_place(children[0]).start, _place(children[-1]).end)


def _place(child: Any) -> Span:
    if isinstance(child, Token):
        return span_of(child)
    span: Span = child.span
    return span


def _optional(children: list[Any]) -> Any:
    """The expression after a word, if there is one."""
    return children[1] if len(children) > 1 else None


def _function(children: list[Any]) -> tuple[tuple[tree.Parameter, ...], tree.TypeName | None, tree.Block]:
    """Parameters, result and body."""
    parameters, *result, body = children
    return tuple(parameters), result[0] if result else None, body


def _value(token: Token) -> int | str | bytes | bool | None:
    if token.type == "INTEGER":
        return integer_value(token)
    if token.type == "STRING":
        return string_value(token)
    return bytes_value(token) if token.type == "BYTES" else _WORDS[token]


def _amount(token: Token) -> int:
    amount = integer_value(token)
    if amount >= 1 << 63:
        raise Rejected(span_of(token), "an amount of gas is less than 2 ** 63")
    return amount


def _assignment(span: Span, target: Node, operator: str, value: tree.Expression) -> tree.Statement:
    if isinstance(target, tree.Name):
        return tree.Assign(span, target, operator, value)
    if isinstance(target, tree.StateAccess):
        return tree.StateAssign(span, target, operator, value)
    keys: list[tree.Expression] = []
    at: Node = target
    while isinstance(at, tree.Index):
        keys.append(at.key)
        at = at.collection
    if keys and isinstance(at, tree.Name):
        return tree.IndexAssign(span, at, tuple(reversed(keys)), operator, value)
    hint = "what can be assigned is a name, an item of one as in name[key], or a record of STATE"
    if keys and isinstance(at, tree.StateAccess):
        hint = "read the record into a variable, change that, and assign the record; or leave out the parentheses"
    raise Rejected(target.span, "this cannot be assigned to", hint)
