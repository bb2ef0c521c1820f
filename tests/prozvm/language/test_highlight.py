"""Colours: every character is kept, every construct has its kind, and terminals are safe."""

from __future__ import annotations

import importlib
import re
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pygments.token import Comment, Error, Keyword, Name, Number, String
from vmloom_prozvm.language.highlight import ProzLexer, highlight

from .corpus import Case, cases


def kinds(text: str) -> dict[str, object]:
    """The kind of each piece of a source."""
    return {value: kind for kind, value in ProzLexer(stripnl=False, ensurenl=False).get_tokens(text)}


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_corpus_is_known_and_kept(case: Case) -> None:
    pieces = list(ProzLexer(stripnl=False, ensurenl=False).get_tokens(case.source))
    assert "".join(value for _, value in pieces) == case.source
    if not case.is_syntax:
        assert [value for kind, value in pieces if kind is Error] == []


@pytest.mark.parametrize(
    ("source", "piece", "kind"),
    [
        ("let x = 1;", "let", Keyword.Declaration),
        ("let x = 1;", "1", Number.Integer),
        ("action f(a: int) { }", "f", Name.Function),
        ("action f(a: int) { }", "int", Keyword.Type),
        ("int(5)", "int", Name.Builtin),
        ("STATE.let", "let", Name.Attribute),
        ("TX { }", "TX", Name.Builtin.Pseudo),
        ("true", "true", Keyword.Constant),
        ("while (a) { }", "while", Keyword),
        ('"a\\n"', "\\n", String.Escape),
        ('hex"ff"', 'hex"ff"', String.Other),
        ("# note", "# note", Comment.Single),
        ("/* a\nb */", "/* a\nb */", Comment.Multiline),
        ("1.5", "1", Error),
        ("letter", "letter", Name),
    ],
)
def test_kind(source: str, piece: str, kind: object) -> None:
    assert kinds(source)[piece] is kind


def test_colours_are_all_that_is_added() -> None:
    source = 'action f(x) { return "a" + x; } // end\n'
    assert highlight(source, color=False) == source
    coloured = highlight(source)
    assert coloured != source
    assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == source


@given(st.text())
def test_terminals_are_safe_from_any_text(text: str) -> None:
    shown = re.sub(r"\x1b\[[0-9;]*m", "", highlight(text))
    assert shown == highlight(text, color=False)
    assert all(character.isprintable() or character in "\n\t" for character in shown)


def test_pygments_is_told_of_it() -> None:
    project = tomllib.loads((Path(__file__).parents[3] / "plugins/prozvm/pyproject.toml").read_text("utf-8"))
    module, _, name = project["project"]["entry-points"]["pygments.lexers"]["proz"].partition(":")
    assert getattr(importlib.import_module(module), name) is ProzLexer
    assert {"proz"} <= set(ProzLexer.aliases)
