"""Errors as people see them."""

from __future__ import annotations

import io
import pickle
from pathlib import Path

import pytest
from rich.console import Console
from vmloom.errors import CodeError
from vmloom_prozvm.language.diagnostics import Diagnostic, LanguageError, SyntaxErrors, closest, quote, render, visible
from vmloom_prozvm.language.parser import parse
from vmloom_prozvm.language.tree import Source, Span


def errors(text: str, name: str = "token.proz") -> str:
    """What is said about a source."""
    with pytest.raises(SyntaxErrors) as caught:
        parse(text, name)
    return str(caught.value)


def test_an_error_shows_its_place_and_what_to_do() -> None:
    assert errors("let x = 1;\nif (x = 2) {\n}\n") == (
        "token.proz:2:7: error: expected `)`, found `=`\n"
        "  2 | if (x = 2) {\n"
        "    |       ^\n"
        "    = hint: `==` compares; an assignment is a statement and has no value"
    )


def test_a_missing_semicolon_is_shown_where_it_is_missing() -> None:
    assert errors("let x = 1   // one\n\n\nlet y = 2;") == (
        "token.proz:1:10: error: expected `;`, found `let`\n"
        "  1 | let x = 1   // one\n"
        "    |          ^\n"
        "    = hint: a statement ends with `;`"
    )


def test_an_open_bracket_is_named() -> None:
    assert errors("action f() {\n    print((1);\n}\nlet x = 1;") == (
        "token.proz:2:14: error: expected `,` or `)`, found `;`\n  2 |     print((1);\n    |              ^"
    )
    assert errors("action f() {\n    x;\n") == (
        "token.proz:3:1: error: expected `}`, found the end of the source\n"
        "  3 | \n"
        "    | ^\n"
        "    = `{` was opened at 1:12"
    )


def test_indentation_tells_which_brace_is_not_closed() -> None:
    source = "action f(a) {\n    if (a) {\n        g({});\n\n    while (a) {\n    }\n}\nf(1);\n"
    assert errors(source).endswith("= to go by the indentation, what is not closed is the `{` at 2:12")


@pytest.mark.parametrize(
    ("source", "message", "hint"),
    [
        ("function f() { }", "`function` is no word of the language", "functions are declared with `action`"),
        ("fn f(x) { }", "`fn` is no word of the language", "functions are declared with `action`"),
        ("var x = 1;", "`var` is no word of the language", "variables are declared with `let`"),
        ("if (a) { } elif (b) { }", "`elif` is no word of the language", "write `else if`"),
        ("while (a and b) { }", "`and` is no word of the language", "write `&&`"),
        ("for (let i = 0; i < 3; i += 1) { }", "expected `each`, found `(`", "for each item in"),
        ("x++;", "there is no operator `++`", "write `+= 1`"),
        ("if (a === b) { }", "there is no operator `===`", "with `==`"),
        ("let x = 1.5;", "the number `1.5` has a fraction", "smaller unit"),
        ("let x = 'a';", "strings are written in double quotes", ""),
        ("let x;", "expected `=`, found `;`", "let x = none;"),
        ("let x: int = 1;", "expected `=`, found `:`", "only parameters"),
        ("{ let x = 1, y = 2; }", "expected `;`, found `,`", "a `let` of its own"),
        ("let x = y = 2;", "expected `;`, found `=`", "an assignment is a statement"),
        ("while x { }", "expected `(`, found `x`", "while (...) { }"),
        ("if (a) return;", "expected `{`, found `return`", "in braces"),
        ("else { }", "expected a statement, found `else`", "follows the block of an `if`"),
        ("export let x = 1;", "expected `action`, found `let`", "only actions"),
        ("f() = 1;", "this cannot be assigned to", "a name, an item"),
        ("(STATE.a)[1] = 1;", "this cannot be assigned to", "leave out the parentheses"),
        ("spawn f;", "expected `(`, found `;`", "what is spawned is a call"),
        ("LIMIT x { }", "expected a number, found `x`", "LIMIT 1000"),
        ("let a = b ? c : d;", "the character `?` means nothing here", "if (...)"),
        ("let é = 1;", "the name `é` has other letters", "letters A to Z"),
    ],
)
def test_common_mistakes_have_an_answer(source: str, message: str, hint: str) -> None:
    with pytest.raises(SyntaxErrors) as caught:
        parse(source)
    (found,) = caught.value.diagnostics
    assert found.message.startswith(message)
    assert hint in found.hint


def test_names_of_other_languages_words_are_names() -> None:
    parse("let match = 1; print(match); let string = from(use, loop); case[do] = public;")


def test_all_errors_are_in_one_exception() -> None:
    text = errors("let a = ;\nlet b = 1;\naction f( { }\nlet c = 2 +;\nREVERT REVERT;")
    assert [line.partition(": ")[0] for line in text.splitlines() if ": error: " in line] == [
        "token.proz:1:9",
        "token.proz:3:11",
        "token.proz:4:12",
        "token.proz:5:8",
    ]


def test_reading_goes_on_after_the_semicolon_of_a_statement_at_fault() -> None:
    with pytest.raises(SyntaxErrors) as caught:
        parse("a = ;\nb = 1;\nc = 2 +;\nd[) = 3;\ne(;\nf = 4;")
    assert [place.line for place in caught.value.positions] == [1, 3, 4, 5]


def test_no_more_than_twenty_are_reported() -> None:
    assert errors("let = 1;\n" * 100).count("error: ") == 20
    assert errors("1.5;\n" * 100).count("error: ") == 20


def test_long_lines_are_cut_around_the_place() -> None:
    text = errors("let x = " + "1 + " * 2000 + "* 2" + " + 1" * 2000 + ";")
    shown, mark = text.splitlines()[1:3]
    assert len(shown) < 120
    assert shown[mark.index("^")] == "*"


def test_nothing_that_a_terminal_acts_on_is_shown() -> None:
    text = errors('let x = "\x1b[31m\u202e" \x07;\n', "a\x1b.proz")
    assert all(line.isprintable() for line in text.splitlines())
    assert r"\u{1b}[31m" in text


@pytest.mark.parametrize("before", ["日本", "\t", "e\u0301", "\x01\x02", "ab"])
def test_the_caret_is_below_its_character(before: str) -> None:
    source = Source(f'"{before}" x')
    text = render(source, Diagnostic(Span(len(before) + 3, len(before) + 4), "here"))
    _, shown, mark = text.splitlines()
    wide = sum(character in "日本" for character in shown) - sum(character == "\u0301" for character in shown)
    assert mark.index("^") == shown.index("x", shown.rindex('"')) + wide


def test_rich_prints_colours_and_plain_text_alike() -> None:
    with pytest.raises(SyntaxErrors) as caught:
        parse("let x = ;\nlet y = [a](;")
    plain, coloured = io.StringIO(), io.StringIO()
    Console(file=plain, width=200).print(caught.value)
    Console(file=coloured, width=200, force_terminal=True).print(caught.value)
    assert plain.getvalue().rstrip("\n") == str(caught.value)
    assert "\x1b[" in coloured.getvalue()


def test_errors_are_the_refusals_of_code_and_can_be_pickled() -> None:
    with pytest.raises(CodeError) as caught:
        parse("let")
    again = pickle.loads(pickle.dumps(caught.value))
    assert type(again) is SyntaxErrors
    assert str(again) == str(caught.value)


def test_errors_are_in_the_order_of_the_source() -> None:
    found = [Diagnostic(Span(place, place + 1), "here") for place in (5, 1, 3)]
    assert [place.column for place in LanguageError(Source("abcdefg"), found).positions] == [2, 4, 6]


def test_quotes_are_short_and_harmless() -> None:
    assert quote("a" * 1000) == f"`{'a' * 40}...`"
    assert quote("a\nb") == r"`a\u{a}b`"
    assert visible("a\tb\n\x1b") == "a\tb\n\\u{1b}"


def test_closest_names() -> None:
    assert closest("balnce", ["balance", "owner"]) == "balance"
    assert closest("x" * 100_000, ["balance"]) == ""


def test_the_grammar_is_part_of_the_package() -> None:
    import vmloom_prozvm.language.lexer as lexer

    assert Path(str(lexer.__file__)).with_name("grammar.lark").is_file()
