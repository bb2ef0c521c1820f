"""From source to tree: what each construct becomes, what binds how, and that hostile sources cost little."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lark import Lark
from vmloom_prozvm.language import lexer, tree
from vmloom_prozvm.language.diagnostics import MOST, SyntaxErrors
from vmloom_prozvm.language.lexer import MAX_SIZE, WORDS, Lexer, grammar, span_of
from vmloom_prozvm.language.parser import MAX_NESTING, Parser, UltimateParser, parse
from vmloom_prozvm.language.tree import Position

from .corpus import Case, cases

CASES = cases()


def shown(node: Any) -> Any:
    """A tree without spans, as nested tuples: easy to write down."""
    if isinstance(node, tree.Literal):
        return node.value
    if isinstance(node, tree.Name | tree.TypeName):
        return node.identifier if isinstance(node, tree.Name) else node.name
    if isinstance(node, tree.Binary):
        return (node.operator, shown(node.left), shown(node.right))
    if isinstance(node, tree.Unary):
        return (node.operator, shown(node.operand))
    if isinstance(node, tree.ExpressionStatement):
        return shown(node.value)
    if isinstance(node, tuple):
        return [shown(item) for item in node]
    if isinstance(node, tree.Node):
        names = [name for name in node.__dataclass_fields__ if name not in ("span", "source")]
        return (type(node).__name__, *(shown(getattr(node, name)) for name in names))
    return node


def one(source: str) -> Any:
    """The only statement of a source, shown."""
    (statement,) = parse(source).statements
    return shown(statement)


# Statements


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("let x = 5", ("Let", "x", 5)),
        ('const s = "a"', ("Const", "s", "a")),
        ("x = 5", ("Assign", "x", "", 5)),
        ("x += 5", ("Assign", "x", "+", 5)),
        ("x %= 5", ("Assign", "x", "%", 5)),
        ("a[0] = 5", ("IndexAssign", "a", [0], "", 5)),
        ('a["k"][i] *= 5', ("IndexAssign", "a", ["k", "i"], "*", 5)),
        ("STATE.n = 5", ("StateAssign", ("StateAccess", ["n"]), "", 5)),
        ('STATE["a"][b].c += 5', ("StateAssign", ("StateAccess", ["a", "b", "c"]), "+", 5)),
        ("if (a) { b }", ("If", "a", ("Block", ["b"]), None)),
        ("if (a) { } else { b }", ("If", "a", ("Block", []), ("Block", ["b"]))),
        ("if (a) { } else if (b) { }", ("If", "a", ("Block", []), ("If", "b", ("Block", []), None))),
        ("while (a) { break; continue }", ("While", "a", ("Block", [("Break",), ("Continue",)]))),
        ("for each i in a { }", ("ForEach", "i", "a", ("Block", []))),
        ("for each i in {} { }", ("ForEach", "i", ("MapLiteral", []), ("Block", []))),
        ("return", ("Return", None)),
        ("return a", ("Return", "a")),
        ("TX { REVERT; }", ("Transaction", ("Block", [("Revert", None)]))),
        ('REVERT "r"', ("Revert", "r")),
        ("GAS 50", ("Gas", 50)),
        ("LIMIT 1_000 { }", ("Limit", 1000, ("Block", []))),
        ("LEDGER(a)", ("Ledger", "a")),
        ("EMIT([1], b)", ("Emit", ("ListLiteral", [1]), "b")),
        ("require(a)", ("Require", "a", None)),
        ('require(a, "r")', ("Require", "a", "r")),
        ("{ a; { b } }", ("Block", ["a", ("Block", ["b"])])),
        (
            "action f(a: int, b,) -> bool { }",
            ("Action", "f", [("Parameter", "a", "int"), ("Parameter", "b", None)], "bool", ("Block", []), None),
        ),
        ("export action f() { }", ("Action", "f", [], None, ("Block", []), ("Export", False))),
        ("export payable action f() { }", ("Action", "f", [], None, ("Block", []), ("Export", True))),
    ],
)
def test_statement(source: str, expected: Any) -> None:
    assert one(source) == expected
    assert one(source + ";") == expected


# Expressions


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2 * 3", ("+", 1, ("*", 2, 3))),
        ("1 - 2 - 3", ("-", ("-", 1, 2), 3)),
        ("2 ** 3 ** 4", ("**", 2, ("**", 3, 4))),
        ("-2 ** 2", ("-", ("**", 2, 2))),
        ("2 ** -1", ("**", 2, ("-", 1))),
        ("!a && -b", ("&&", ("!", "a"), ("-", "b"))),
        (
            "a ?? b || c && d == e < f + g * h",
            ("??", "a", ("||", "b", ("&&", "c", ("==", "d", ("<", "e", ("+", "f", ("*", "g", "h"))))))),
        ),
        ("a ?? b ?? c", ("??", ("??", "a", "b"), "c")),
        ("(a ?? b) + c", ("+", ("??", "a", "b"), "c")),
        ("a[0][1]", ("Index", ("Index", "a", 0), 1)),
        ("f(a)(b, c)", ("Call", ("Call", "f", ["a"]), ["b", "c"])),
        ("f(a,)[0]", ("Index", ("Call", "f", ["a"]), 0)),
        ("[1, [2],]", ("ListLiteral", [1, ("ListLiteral", [2])])),
        ('({"a": 1, 2: x,})', ("MapLiteral", [("MapEntry", "a", 1), ("MapEntry", 2, "x")])),
        ("({})", ("MapLiteral", [])),
        ("action(x) { return x }", ("Lambda", [("Parameter", "x", None)], None, ("Block", [("Return", "x")]))),
        ("spawn f(1)", ("Spawn", ("Call", "f", [1]))),
        ("spawn f(1)(2)", ("Spawn", ("Call", ("Call", "f", [1]), [2]))),
        ("await t + 1", ("+", ("Await", "t"), 1)),
        ("await spawn f()", ("Await", ("Spawn", ("Call", "f", [])))),
        ("-await t ** 2", ("-", ("**", ("Await", "t"), 2))),
        ("HASH(a)", ("Hash", "a")),
        ("VERIFY_SIG(a, b, c)", ("VerifySignature", "a", "b", "c")),
        ("MERKLE(a, b)", ("Merkle", ["a", "b"])),
        ("MERKLE()", ("Merkle", [])),
        ("STATE.name", ("StateAccess", ["name"])),
        ("STATE.balances[who].x", ("StateAccess", ["balances", "who", "x"])),
        ("(STATE.balances)[who]", ("Index", ("StateAccess", ["balances"]), "who")),
        ("STATE.let", ("StateAccess", ["let"])),
        ("CALLER", ("Surrounding", "CALLER")),
        ("BLOCK.timestamp", ("BlockField", "timestamp")),
        ("CALL(a, b, c)", ("ContractCall", "a", "b", "c")),
    ],
)
def test_expression(source: str, expected: Any) -> None:
    assert one(source) == expected


@pytest.mark.parametrize(
    ("source", "value"),
    [
        ("0", 0),
        ("0xFf", 255),
        ("1_000_000", 1_000_000),
        ('""', ""),
        (r'"\n\r\t\0\\\""', '\n\r\t\0\\"'),
        (r'"\u{41}\u{1F600}\u{00e9}"', "A😀é"),
        ('"日本 // no comment"', "日本 // no comment"),
        ('hex""', b""),
        ('hex"c0FFee"', b"\xc0\xff\xee"),
        ("true", True),
        ("false", False),
        ("none", None),
    ],
)
def test_literal(source: str, value: object) -> None:
    found = one(source)
    assert found == value
    assert type(found) is type(value)


def test_a_brace_opens_a_block_where_a_statement_begins_and_a_map_elsewhere() -> None:
    assert one("{ }") == ("Block", [])
    assert one("let m = { }") == ("Let", "m", ("MapLiteral", []))
    assert one("return {}") == ("Return", ("MapLiteral", []))
    assert one("f({}, {})") == ("Call", "f", [("MapLiteral", []), ("MapLiteral", [])])


def test_semicolons_may_be_left_out_after_blocks_and_at_the_end() -> None:
    assert parse("if (a) { b } c; { d }") == parse(";; if (a) { b; } ; c; { d; };")


def test_words_of_the_language_are_those_of_the_grammar() -> None:
    written = {str(terminal.pattern.value) for terminal in grammar().terminals}
    assert {text for text in written if text.isidentifier()} == WORDS


def test_the_grammar_has_no_conflicts(caplog: pytest.LogCaptureFixture) -> None:
    text = Path(str(lexer.__file__)).with_name("grammar.lark").read_text("utf-8")
    with caplog.at_level(logging.DEBUG, logger="lark"):
        Lark(text, parser="lalr", lexer="basic", start=["program", "outside"], debug=True)
    assert [record.message for record in caplog.records if "onflict" in record.message] == []


def test_spans_have_the_parentheses() -> None:
    (statement,) = parse("x = (a + b) * (c)").statements
    assert isinstance(statement, tree.Assign)
    assert statement.value.span == (4, 17)
    assert isinstance(statement.value, tree.Binary)
    assert statement.value.left.span == (4, 11)
    assert statement.value.right.span == (14, 17)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_corpus_is_read_or_refused_as_it_says(case: Case) -> None:
    if not case.is_syntax:
        assert parse(case.source, case.name).source.text == case.source
        return
    with pytest.raises(SyntaxErrors) as caught:
        parse(case.source, case.name)
    assert caught.value.positions == tuple(refusal.position for refusal in case.refusals)
    for refusal, found in zip(case.refusals, caught.value.diagnostics, strict=True):
        assert refusal.text in found.message


# The way the parts are used


def test_lexer_gives_tokens_with_their_places() -> None:
    tokens = [(str(token), span_of(token)) for token in Lexer("let x = /* no */ 10;")]
    assert tokens == [("let", (0, 3)), ("x", (4, 5)), ("=", (6, 7)), ("10", (17, 19)), (";", (19, 20))]


def test_parser_takes_a_lexer_and_keeps_the_errors() -> None:
    assert UltimateParser is Parser
    parser = Parser(Lexer("let x = 1; x"))
    assert parser.parse_program() == parse("let x = 1; x")
    assert parser.errors == []
    parser = Parser(Lexer("let = 1;\nlet y = ;"))
    with pytest.raises(SyntaxErrors):
        parser.parse_program()
    assert len(parser.errors) == 2


def test_a_parser_can_be_used_again() -> None:
    parser = Parser(Lexer("let = 1; let y = 2;"))
    for _ in range(2):
        with pytest.raises(SyntaxErrors):
            parser.parse_program()
        assert len(parser.errors) == 1


# Hostile sources


def refusal(source: str) -> tuple[Position, str]:
    """The first error of a source that is refused."""
    with pytest.raises(SyntaxErrors) as caught:
        parse(source)
    str(caught.value)
    assert len(caught.value.diagnostics) <= MOST
    return caught.value.positions[0], caught.value.diagnostics[0].message


def test_too_large() -> None:
    assert "bytes" in refusal("é" * (MAX_SIZE // 2) + "x")[1]
    assert "tokens" in refusal(";" * MAX_SIZE)[1]
    parse("/" * 2 + "x" * (MAX_SIZE - 2))


@pytest.mark.parametrize("brackets", ["()", "[]", "{}", "f()"])
def test_brackets_nest_to_the_limit_and_no_further(brackets: str) -> None:
    def nested(levels: int) -> str:
        inner = "" if brackets == "{}" else "1"
        return brackets[:-1] * levels + inner + brackets[-1] * levels

    parse(nested(MAX_NESTING - 2))
    position, message = refusal(nested(MAX_NESTING + 1))
    assert message.endswith(f"nested deeper than {MAX_NESTING}")
    assert position == (1, (MAX_NESTING + 1) * (len(brackets) - 1))


@pytest.mark.parametrize(
    "source",
    [
        "-" * 40_000 + "1",
        "!" * 40_000 + "1",
        "1" + " + 1" * 20_000,
        "2" + " ** 2" * 20_000,
        "a" + "[0]" * 20_000,
        "f" + "()" * 20_000,
        "a" + "[0]" * 100 + " = 1",
        "STATE" + "[0]" * 101,
        "await " * 40_000 + "t",
        "if (a) { } " + "else if (a) { } " * 5_000,
        "[" * 40_000,
        "}" * 40_000,
        "{" * 40_000,
        "(" * 90 + "1" + ("+1" * 500 + ")") * 90,
    ],
    ids=lambda source: source[:8] + source[-8:],
)
def test_deep_sources_are_refused_without_recursion(source: str) -> None:
    refusal(source)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1" + "0" * 5000, "bits"),
        ("0x" + "f" * 1_000_000, "bits"),
        ('"' + "a" * 70_000 + '"', "65,536 bytes"),
        ("x" * 300, "300 characters"),
        ("let x = \0;", r"\u{0}"),
        ("let x = 1;\rlet y = 2;", r"\u{d}"),
        ("// \u202e hidden", r"\u{202e}"),
        ('"\ud800"', r"\u{d800}"),
        (r'"\u{d800}"', "is not a character"),
        (r'"\u{110000}"', "is not a character"),
        (r'"\u{1234567}"', "no meaning"),
        ("/* open", "without an end"),
        ("\ufefflet x = 1;", r"\u{feff}"),
        ("GAS 9223372036854775808", "2 ** 63"),
    ],
    ids=lambda text: text[:12].encode("ascii", "backslashreplace").decode(),
)
def test_what_no_source_has(source: str, message: str) -> None:
    assert message in refusal(source)[1]


@pytest.mark.parametrize(
    "unit", ['"', "*a", "1.", "a'", '"\\', "éa", "hex", "/*", 'hex"', "0x", "a.", "1_"], ids=lambda unit: unit
)
def test_reading_takes_time_in_proportion(unit: str) -> None:
    begin = time.process_time()
    refusal("/*" * (unit == "*a") + unit * (150_001 // len(unit)))
    assert time.process_time() - begin < 20  # quadratic time would be minutes


def is_read_or_refused(text: str) -> None:
    """Nothing but `SyntaxErrors` may come of any text, and they can be shown."""
    try:
        parse(text)
    except SyntaxErrors as error:
        said = str(error)
        if not error.diagnostics or not all(line.isprintable() for line in said.split("\n")):
            raise AssertionError(said) from error


@given(st.text(max_size=200) | st.text('(){}[];:,.=+-*/"\\ \nxif1', max_size=200))
def test_any_text_is_read_or_refused(text: str) -> None:
    is_read_or_refused(text)


@given(st.sampled_from([case for case in CASES if not case.is_syntax]), st.data())
def test_a_program_with_a_piece_missing_is_read_or_refused(case: Case, data: st.DataObject) -> None:
    tokens = list(Lexer(case.source))
    first = data.draw(st.integers(0, len(tokens)))
    del tokens[first : first + data.draw(st.integers(1, 5))]
    is_read_or_refused(" ".join(tokens))
