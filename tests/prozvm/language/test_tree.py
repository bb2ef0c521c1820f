"""The tree of a source: places, equality, and the ways through it."""

from __future__ import annotations

import pytest
from vmloom_prozvm.language import tree
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.language.tree import Position, Source, Span

from .corpus import cases

HERE = Span(0, 1)


@pytest.mark.parametrize(
    ("offset", "position"), [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (3, 1)), (6, (3, 2)), (8, (4, 1))]
)
def test_positions_count_lines_and_columns_from_one(offset: int, position: tuple[int, int]) -> None:
    assert Source("ab\nc\nde\n").position(offset) == Position(*position)


def test_columns_count_characters_not_bytes() -> None:
    assert Source("日本 x").position(3) == Position(1, 4)


def test_lines_are_given_without_their_ends() -> None:
    source = Source("ab\r\n\nc")
    assert [source.line(number) for number in range(1, source.lines + 1)] == ["ab", "", "c"]


def test_spans_do_not_count_in_comparisons() -> None:
    assert tree.Name(Span(0, 1), "a") == tree.Name(Span(5, 6), "a")
    assert parse("let x = 1 + 2;") == parse("\n\nlet   x =\n1+2")


def test_literals_of_two_kinds_are_not_the_same() -> None:
    literals = [tree.Literal(HERE, value) for value in (1, True, "1", b"1", 0, False, None, "")]
    assert len(set(literals)) == len(literals)
    assert tree.Literal(HERE, 1) == tree.Literal(Span(3, 4), 1)


def test_children_are_in_the_order_of_the_source() -> None:
    (statement,) = parse("if (a) { b; } else { c; }").statements
    assert isinstance(statement, tree.If)
    assert list(tree.children(statement)) == [statement.test, statement.then, statement.otherwise]


def test_walk_visits_what_is_above_first() -> None:
    names = [node.identifier for node in tree.walk(parse("f(a, b[c]); let d = e;")) if isinstance(node, tree.Name)]
    assert names == ["f", "a", "b", "c", "d", "e"]


@pytest.mark.parametrize("case", [case for case in cases() if not case.is_syntax], ids=lambda case: case.name)
def test_spans_lie_inside_of_those_around_them(case: object) -> None:
    program = parse(case.source)  # type: ignore[attr-defined]
    for node in tree.walk(program):
        assert node.span.start < node.span.end or node is program
        for child in tree.children(node):
            assert node.span.start <= child.span.start
            assert child.span.end <= node.span.end
