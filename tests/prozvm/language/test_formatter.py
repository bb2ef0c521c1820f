"""The canonical form: what it looks like, and that it keeps what the program means and what people wrote about it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from vmloom_prozvm.language.diagnostics import SyntaxErrors
from vmloom_prozvm.language.formatter import format_source
from vmloom_prozvm.language.lexer import Lexer
from vmloom_prozvm.language.parser import parse

from .corpus import Case, cases

PROGRAMS = [case for case in cases() if not case.is_syntax]


def check(source: str) -> str:
    """The canonical form, which must mean the same, have the same comments, and be its own canonical form."""
    formatted = format_source(source)
    assert parse(formatted) == parse(source)
    assert list(comments(formatted)) == list(comments(source))
    assert format_source(formatted) == formatted
    assert all(line == line.rstrip() for line in formatted.splitlines())
    assert "\n\n\n" not in formatted or "/*" in formatted
    return formatted


def comments(source: str) -> Iterator[str]:
    """The comments of a source, whatever their lines end with."""
    for comment in Lexer(source).comments:
        yield "\n".join(line.rstrip() for line in comment.splitlines())


@pytest.mark.parametrize(
    ("source", "formatted"),
    [
        ("", ""),
        ("x", "x;\n"),
        ("let   x=1+2 ; ;", "let x = 1 + 2;\n"),
        ("x+=-1", "x += -1;\n"),
        ("- -1 - -1", "- -1 - -1;\n"),
        ("!a&&! !b", "!a && !!b;\n"),
        ("a ** - b", "a ** -b;\n"),
        ("f ( a , b ) [ 0 ] ( )", "f(a, b)[0]();\n"),
        ("[ 1,2, ]", "[1, 2];\n"),
        ("x={'a'".replace("'", '"') + ":1,2:{ }}", 'x = {"a": 1, 2: {}};\n'),
        ("(a+b)*c", "(a + b) * c;\n"),
        ("STATE . a [ b ] . let=1", "STATE.a[b].let = 1;\n"),
        ("HASH (a)", "HASH(a);\n"),
        ("await   spawn f ( 1 )", "await spawn f(1);\n"),
        ("action  f(a:int,b)->int{return a}", "action f(a: int, b) -> int { return a; }\n"),
        ("export  payable action f(){}", "export payable action f() { }\n"),
        ("let f=action (x){return x}", "let f = action(x) { return x; };\n"),
        ("if(a){b}else if(c){d}else{}", "if (a) { b; } else if (c) { d; } else { }\n"),
        ("while(a){b;c}", "while (a) {\n    b;\n    c;\n}\n"),
        ("for each i in[1]{\nb}", "for each i in [1] {\n    b;\n}\n"),
        ("TX{GAS 5;}LIMIT 5{}", "TX { GAS 5; }\nLIMIT 5 { }\n"),
        ("TX{if(a){REVERT}}", "TX {\n    if (a) { REVERT; }\n}\n"),
        ("{};{}[1]", "{ }\n{ }\n[1];\n"),
        ("a;\n\n\n\nb;\nc", "a;\n\nb;\nc;\n"),
        ("{\n\n\na;\n\n}", "{\n    a;\n}\n"),
        ("a; // one\n// two\nb", "a; // one\n// two\nb;\n"),
        ("// head\n\n\na", "// head\n\na;\n"),
        ("a /* b */ + c", "a /* b */ + c;\n"),
        ("a // b\n;", "a; // b\n"),
        ("f(a, // b\nc)", "f(\n    a, // b\n    c\n);\n"),
        ("if (a) { // why\nb }", "if (a) { // why\n    b;\n}\n"),
        ("{ // only\n}", "{ // only\n}\n"),
        ("a\r\n// b\r\n", None),
        ("a;\r\n// b\r\nc", "a;\n// b\nc;\n"),
    ],
)
def test_canonical_form(source: str, formatted: str | None) -> None:
    assert check(source) == (formatted if formatted is not None else "a;\n// b\n")


def test_what_does_not_fit_on_a_line_is_broken_at_its_brackets() -> None:
    long = "a" * 40
    assert check(f"f({long}, {long}, {long})") == f"f(\n    {long},\n    {long},\n    {long}\n);\n"
    assert check(f"x = [{long}, {long}, {long}]") == f"x = [\n    {long},\n    {long},\n    {long},\n];\n"
    assert check(f'LEDGER({{"a": {long}, "b": {long}, "c": 1}})') == (
        f'LEDGER({{\n    "a": {long},\n    "b": {long},\n    "c": 1,\n}});\n'
    )
    assert check(f"f(action(x) {{ return {long} + {long} + {long}; }})") == (
        f"f(action(x) {{\n    return {long} + {long} + {long};\n}});\n"
    )


@pytest.mark.parametrize("short", [True, False])
def test_a_line_has_a_hundred_columns(short: bool) -> None:
    line = f"f({'a' * 40}, {'b' * 40}, {'c' * (13 - short)});"
    assert len(line) == 101 - short
    assert (check(line) == f"{line}\n") is short


def test_only_the_brackets_that_must_are_broken() -> None:
    long = "a" * 45
    assert check(f"f({long}, {long}, g(1, [2]))") == f"f(\n    {long},\n    {long},\n    g(1, [2])\n);\n"


def test_sources_that_are_not_of_the_language_are_refused() -> None:
    with pytest.raises(SyntaxErrors) as caught:
        format_source("let x = ;", "x.proz")
    assert str(caught.value).startswith("x.proz:1:9: error:")


@pytest.mark.parametrize("case", PROGRAMS, ids=lambda case: case.name)
def test_corpus_keeps_its_meaning(case: Case) -> None:
    check(case.source)


@given(st.sampled_from(PROGRAMS), st.data())
def test_comments_and_line_breaks_may_be_anywhere(case: Case, data: st.DataObject) -> None:
    gaps = st.sampled_from(
        ["", " ", "\n", "\n\n\n", " // c\n", "\n// c\n", " /* c */ ", "\n/* c\n  d */", "\n\n# c\n\n"]
    )
    pieces = []
    for token in Lexer(case.source):
        pieces += [data.draw(gaps), " ", str(token)]
    check("".join(pieces) + data.draw(gaps))


def test_a_large_source_is_formatted_in_proportion() -> None:
    check("let list = [" + ", ".join(map(str, range(20_000))) + "];\n")
    check("f(a, {}, [1, [2, [3]]]);\n" * 2_000)
