"""`vmloom proz`: what each command prints, writes and exits with."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from vmloom import ExecutionContext, MemoryState
from vmloom.cli.commands import root
from vmloom.errors import InputError
from vmloom_prozvm.bytecode.container import unpack
from vmloom_prozvm.cli.execution import Order, run_source
from vmloom_prozvm.cli.repl import is_open
from vmloom_prozvm.config import ProzVmConfig
from vmloom_prozvm.errors import OutOfGas, ProzError
from vmloom_prozvm.language.abi import load_abi
from vmloom_prozvm.language.contract import compile_contract
from vmloom_prozvm.language.diagnostics import LanguageError
from vmloom_prozvm.literals import from_json, literal, path_text, state_from_json, state_to_json, to_json
from vmloom_prozvm.prozvm import ProzVm
from vmloom_prozvm.values import same

from .language.corpus import Case, cases

COUNTING = """\
let total = 0;
action add(n) {
    total += n;
    return total;
}
for each i in range(1, 10) {
    add(i);
}
STATE.total = total;
STATE.by["a"][hex"c0ff"] = [1, none, {"k": true}];
LEDGER({"total": total});
total
"""
FAILING = """\
action f(x) {
    return 10 / x;
}
action g(x) { return f(x - 1); }
TX {
    STATE.a = 1;
    g(1)
}
"""
CONTRACT = """\
export action double(n: int) -> int {
    return n * 2;
}
"""


def run(*arguments: str, input: str | None = None) -> Result:
    return CliRunner(env={"COLUMNS": "100"}).invoke(root, ["proz", *arguments], input=input)


@pytest.fixture
def write(tmp_path: Path) -> Any:
    def write(text: str, name: str = "program.proz") -> str:
        (tmp_path / name).write_text(text, "utf-8")
        return str(tmp_path / name)

    return write


# run


@pytest.mark.parametrize("tier", ["0", "1", "2", "auto"])
def test_every_tier_gives_the_same(write: Any, tier: str) -> None:
    result = run("run", write(COUNTING), "--tier", tier, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["success"], found["value"], found["error"]) == (True, 45, None)
    assert found["gas_used"] == json.loads(run("run", write(COUNTING), "--tier", "1", "--json").stdout)["gas_used"]
    assert found["ledger"] == [{"total": 45, "timestamp": 0}]
    assert {change["place"]: change["new"] for change in found["state_changes"]} == {
        "STATE.total": 45,
        'STATE.by["a"][hex"c0ff"]': [1, None, {"k": True}],
    }


def test_output_for_people_has_value_gas_changes_and_ledger(write: Any) -> None:
    output = run("run", write(COUNTING)).stdout
    for text in ("value     45", "gas used", "of 10,000,000", "state changes", "STATE.total", "ledger", '"total": 45'):
        assert text in output


@pytest.mark.parametrize("tier", ["0", "1", "2", "auto"])
def test_failures_have_line_caret_and_trace(write: Any, tier: str) -> None:
    path = write(FAILING)
    result = run("run", path, "--tier", tier)
    assert result.exit_code == 1
    shown = [line.removeprefix(path) for line in result.stderr.splitlines()]
    assert shown == [
        ":2:12: error: DIV: the divisor is 0",
        "  2 |     return 10 / x;",
        "    |            ^^^^^^",
        "  in `f`",
        f"called in `g`, {path}:4:22:",
        "  4 | action g(x) { return f(x - 1); }",
        f"called in the program, {path}:7:5:",
        "  7 |     g(1)",
    ]
    assert "DIV: the divisor is 0" in result.stdout
    assert "STATE.a" not in result.stdout  # its transaction was open
    found = json.loads(run("run", path, "--tier", tier, "--json").stdout)
    assert found["error"]["kind"] == "DivisionByZero"
    assert [call["function"] for call in found["error"]["trace"]] == ["f", "g", ""]
    assert [call["line"] for call in found["error"]["trace"]] == [2, 4, 7]


def test_reasons_of_reverts_are_shown(write: Any) -> None:
    result = run("run", write('STATE.a = 1;\nREVERT "no " + "way";'))
    assert result.exit_code == 1
    assert "reverted: no way" in result.stdout
    assert "2:1: error: reverted: no way" in result.stderr
    found = json.loads(run("run", write('REVERT [1, hex"ff"];'), "--json").stdout)
    assert found["error"]["reason"] == [1, {"hex": "ff"}]


def test_wrong_sources_are_refused_before_anything_runs(write: Any) -> None:
    result = run("run", write('print("never");\nlet x = ;\nlet y = 1 +;'))
    assert result.exit_code == 2
    assert result.stdout == ""
    assert ":2:9: error: " in result.stderr
    assert ":3:12: error: " in result.stderr
    assert "error: 2 errors in" in result.stderr


def test_gas_is_bounded(write: Any) -> None:
    result = run("run", write("while (true) { }"), "--gas", "5000", "--json")
    found = json.loads(result.stdout)
    assert (result.exit_code, found["error"]["kind"], found["gas_used"]) == (1, "OutOfGas", 5000)


def test_state_travels_through_files(write: Any, tmp_path: Path) -> None:
    program = write("STATE.n = (STATE.n ?? 0) + 1; STATE.by[1] = STATE.n; LEDGER(STATE.n); STATE.n")
    kept = str(tmp_path / "state.json")
    assert json.loads(run("run", program, "--json", "--write-state", kept, "--timestamp", "5").stdout)["value"] == 1
    again = run("run", program, "--json", "--state", kept, "--write-state", kept)
    assert json.loads(again.stdout)["value"] == 2
    assert json.loads(Path(kept).read_text()) == {
        "state": {"n": 2},
        "paths": [[["by", 1], 2]],
        "ledger": [{"entry": 1, "timestamp": 5}, {"entry": 2, "timestamp": 0}],
    }
    assert json.loads(again.stdout)["ledger"] == [{"entry": 2, "timestamp": 0}]


@pytest.mark.parametrize(
    "text", ["[]", "{", '{"state": {"a": 1.5}}', '{"paths": [1]}', '{"paths": [[[true], 1]]}', '{"x": 1}']
)
def test_files_that_are_no_state_are_refused(write: Any, text: str) -> None:
    result = run("run", write("1"), "--state", write(text, "state.json"))
    assert result.exit_code == 2
    assert "state.json" in result.stderr


def test_print_writes_where_it_is_not_in_the_way(write: Any) -> None:
    program = write('print("hello", 5, [hex"01"]);')
    assert run("run", program).stdout.startswith('hello 5 [hex"01"]\n')
    as_json = run("run", program, "--json")
    assert json.loads(as_json.stdout)["success"]
    assert as_json.stderr == 'hello 5 [hex"01"]\n'


def test_profile_has_the_gas_of_each_line(write: Any) -> None:
    found = json.loads(run("run", write(COUNTING), "--profile", "--json").stdout)
    lines = {row["line"]: row for row in found["profile"]}
    assert sum(row["gas"] for row in lines.values()) == found["gas_used"]
    assert lines[3]["instructions"] == 9 * 4
    assert 5 not in lines
    shown = run("run", write(COUNTING), "--profile").stdout
    assert "gas by line" in shown
    assert "total += n;" in shown


@pytest.mark.parametrize(
    "text",
    [
        COUNTING,
        FAILING,
        "let t = spawn action() { return 5; }(); 1",
        "1 + true",
        "let i = 0; while (i < 9) { i += 1; } i",
        "action f(n) { if (n > 0) { return f(n - 1); } return n; } f(50)",
        "action f() { return f(); } f()",
        "GAS 77; none",
        "let n = 0; let f = action() { n += 1; return n; }; f() + f()",
        "TX { STATE.a = 1; REVERT; } STATE.a",
        "while (true) { }",
    ],
)
@pytest.mark.parametrize("gas", [1_000_000, 300])
def test_profiled_runs_are_as_all_others(text: str, gas: int) -> None:
    try:
        plain = run_source(text, "p", Order(tier="1", gas=gas))
    except ProzError as error:
        pytest.fail(f"not a program: {error}")
    profiled = run_source(text, "p", Order(tier="1", gas=gas, with_profile=True))
    assert profiled.gas_used == plain.gas_used
    assert same(profiled.value, plain.value)
    assert (type(profiled.error), str(profiled.error)) == (type(plain.error), str(plain.error))
    assert profiled.trace == plain.trace
    assert (profiled.state, profiled.entries) == (plain.state, plain.entries)
    assert profiled.profile is not None
    if not isinstance(plain.error, OutOfGas):
        assert sum(spent for spent, _ in profiled.profile.values()) == plain.gas_used


@pytest.mark.parametrize("case", cases(), ids=lambda case: case.name)
def test_the_corpus_runs_step_by_step_as_it_does_in_the_loop(case: Case) -> None:
    for gas in (10_000_000, 200):
        order = Order(tier="1", gas=gas, functions={"print": lambda *_: None})
        try:
            plain = run_source(case.source, case.name, order)
        except LanguageError:
            return
        stepped = run_source(case.source, case.name, replace(order, with_profile=True))
        assert (stepped.gas_used, str(stepped.error)) == (plain.gas_used, str(plain.error))
        assert literal(stepped.value) == literal(plain.value)
        assert stepped.trace == plain.trace
        assert (stepped.state, stepped.entries) == (plain.state, plain.entries)


def test_statistics_say_what_was_done(write: Any) -> None:
    found = json.loads(run("run", write(COUNTING), "--tier", "2", "--optimize", "3", "--stats", "--json").stdout)
    assert found["stats"]["compiler"]["compiled"] is True
    assert found["stats"]["optimizer"]["original_size"] > 0
    auto = json.loads(run("run", write(COUNTING), "--stats", "--json").stdout)
    assert set(auto["stats"]["tiers"]) == {"bytecode_compiles", "vm_executions", "vm_fallbacks", "direct_evals"}
    assert "statistics" in run("run", write(COUNTING), "--stats").stdout


def test_optimized_programs_give_the_same_for_no_more_gas(write: Any) -> None:
    plain = json.loads(run("run", write(COUNTING), "--tier", "1", "--json").stdout)
    best = json.loads(run("run", write(COUNTING), "--tier", "1", "--optimize", "3", "--json").stdout)
    assert best["gas_used"] <= plain["gas_used"]
    assert {**best, "gas_used": 0} == {**plain, "gas_used": 0}


def test_options_that_do_not_go_together_are_refused(write: Any) -> None:
    assert run("run", write("1"), "--optimize", "2").exit_code == 2
    assert run("run", write("1"), "--profile", "--tier", "0").exit_code == 2


def test_sources_come_from_stdin() -> None:
    result = run("run", "-", "--json", input="1 + 1")
    assert json.loads(result.stdout)["value"] == 2
    assert "<stdin>:1:5" in run("run", "-", input="1 + ").stderr


def test_what_is_no_source_is_refused(write: Any, tmp_path: Path) -> None:
    assert "no such file" in run("run", str(tmp_path / "nowhere.proz")).stderr.lower()
    (tmp_path / "bytes.proz").write_bytes(b"let x = \xff")
    assert "not UTF-8 at byte 8" in run("run", str(tmp_path / "bytes.proz")).stderr
    (tmp_path / "code.proz").write_bytes(compile_contract(CONTRACT).code)
    assert "a compiled program" in run("run", str(tmp_path / "code.proz")).stderr


# compile


def test_compile_writes_container_and_abi(write: Any, tmp_path: Path) -> None:
    out, abi = tmp_path / "out.prozc", tmp_path / "out.json"
    result = run("compile", write(CONTRACT), "-o", str(out), "--abi", str(abi))
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{out}: {out.stat().st_size:,} bytes; actions: double\n"
    assert out.read_bytes() == compile_contract(CONTRACT).code
    assert load_abi(abi.read_text())[0]["inputs"] == [{"name": "n", "type": "int"}]


def test_the_container_stands_beside_the_source_by_default(write: Any, tmp_path: Path) -> None:
    assert run("compile", write(CONTRACT)).exit_code == 0
    assert (tmp_path / "program.prozc").read_bytes() == compile_contract(CONTRACT).code
    assert run("compile", "-", input=CONTRACT).exit_code == 2


def test_debug_keeps_the_source_map(write: Any, tmp_path: Path) -> None:
    run("compile", write(CONTRACT), "-o", str(tmp_path / "debug.prozc"), "--debug")
    run("compile", write(CONTRACT), "-o", str(tmp_path / "plain.prozc"))
    debug, plain = ((tmp_path / f"{name}.prozc").read_bytes() for name in ("debug", "plain"))
    assert "source_map" in unpack(debug).metadata
    assert "source_map" not in unpack(plain).metadata
    listed = run("disasm", str(tmp_path / "debug.prozc"), "--source", write(CONTRACT)).stdout
    assert "; 2 | return n * 2;" in listed


def test_contracts_must_declare_every_name(write: Any) -> None:
    result = run("compile", write("export action f() { return nowhere; }"))
    assert result.exit_code == 2
    assert "nowhere" in result.stderr


def test_failures_of_contracts_with_a_source_map_name_lines(write: Any, tmp_path: Path) -> None:
    text = "action g(n) {\n    return 10 / n;\n}\nexport action f(n: int) -> int {\n    return g(n - 1);\n}\n"
    text += "action construct(n: int) {\n    g(n);\n}\n"
    for extra, shown in ((["--debug"], ["g:2:12", "f:5:12", "4:15"]), ([], None)):
        out = str(tmp_path / "out.prozc")
        assert run("compile", write(text), "-o", out, *extra).exit_code == 0
        called = CliRunner().invoke(root, ["run", out, "--input", "0x82616601", "--json"])
        assert json.loads(called.stdout)["metadata"]["fault"].get("source") == shown
    state = MemoryState()
    context = ExecutionContext(input=b"\x81\x00", gas_limit=1_000_000)
    deployed = ProzVm().deploy(compile_contract(text, debug=True).code, context, state)
    assert deployed.metadata["fault"]["source"] == ["g:2:12", "construct:8:5", "construct:7:8"]


# profile


def test_calls_of_contracts_are_profiled_by_line(write: Any, tmp_path: Path) -> None:
    source, out = write(CONTRACT), str(tmp_path / "out.prozc")
    run("compile", source, "-o", out, "--debug")
    call = ["--input", "0x8266646f75626c6515"]  # ["double", 21]
    result = run("profile", out, "--source", source, *call, "--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    plain = json.loads(CliRunner().invoke(root, ["run", out, *call, "--json"]).stdout)
    assert found["return_data"] == plain["return_data"] == "0x182a"
    assert found["gas_used"] == plain["gas_used"]
    lines = {row["line"]: row for row in found["lines"]}
    assert lines[2]["instructions"] == 4
    load = ProzVmConfig().load_gas_per_byte * Path(out).stat().st_size
    assert sum(row["gas"] for row in lines.values()) == found["gas_used"] - load
    assert "return n * 2;" in run("profile", out, "--source", source, *call).stdout
    failed = run("profile", out, "--source", source, "--input", "0x8164")
    assert failed.exit_code == 1


def test_a_profile_needs_a_source_map(write: Any, tmp_path: Path) -> None:
    run("compile", write(CONTRACT), "-o", str(tmp_path / "out.prozc"))
    result = run("profile", str(tmp_path / "out.prozc"), "--source", write(CONTRACT))
    assert result.exit_code == 2
    assert "no source map" in result.stderr
    assert "--debug" in result.stderr


# traces


def test_traces_of_contracts_have_functions_lines_and_all_gas(write: Any, tmp_path: Path) -> None:
    out, trace = str(tmp_path / "out.prozc"), tmp_path / "trace.jsonl"
    run("compile", write(CONTRACT), "-o", out, "--debug")
    call = ["run", out, "--input", "0x8266646f75626c6515", "--json"]
    traced = json.loads(CliRunner().invoke(root, [*call, "--trace", str(trace)]).stdout)
    assert traced == json.loads(CliRunner().invoke(root, call).stdout)
    *steps, last = map(json.loads, trace.read_text().splitlines())
    assert last == {"output": "182a", "gasUsed": hex(traced["gas_used"])}
    spent = sum(int(step["gasCost"], 16) for step in steps)
    load = ProzVmConfig().load_gas_per_byte * Path(out).stat().st_size
    assert spent == traced["gas_used"] - load
    (product,) = (step for step in steps if step["opName"] == "MUL")
    assert product == {
        "pc": 2, "function": "double", "op": 12, "opName": "MUL", "gas": product["gas"], "gasCost": "0x5", "depth": 2,
        "stack": ["21", "2"], "line": 2,
    }  # fmt: skip


def test_traces_end_with_the_error(write: Any, tmp_path: Path) -> None:
    out, trace = str(tmp_path / "out.prozc"), tmp_path / "trace.jsonl"
    run("compile", write("export action f(n: int) { return 1 / n; }"), "-o", out)
    failed = CliRunner().invoke(root, ["run", out, "--input", "0x82616600", "--trace", str(trace)])
    assert failed.exit_code == 1
    *_, step, last = map(json.loads, trace.read_text().splitlines())
    assert (step["opName"], step["stack"], "line" in step) == ("DIV", ["1", "0"], False)
    assert "the divisor is 0" in last["error"]


# disasm


def test_listings_have_the_lines_of_the_source(write: Any) -> None:
    output = run("disasm", write(COUNTING)).stdout
    assert output.startswith("program:\n")
    assert "action add:" in output
    assert "  ; 3 | total += n;\n" in output
    assert "STORE_GLOBAL" in output


def test_listings_as_json(write: Any) -> None:
    rows = [json.loads(line) for line in run("disasm", write("let x = 10;\nx + 1"), "--json").stdout.splitlines()]
    assert rows[0] == {
        "function": "", "index": 0, "name": "LOAD_CONST", "operand": "0", "remark": "10", "line": 1,
    }  # fmt: skip
    assert [row["line"] for row in rows] == [1, 1, 2, 2, 2] + [2] * (len(rows) - 5)


def test_contracts_are_listed_with_their_dispatcher(write: Any) -> None:
    output = run("disasm", write(CONTRACT)).stdout
    assert "INPUT" in output
    assert "DECODE" in output
    assert "  ; 2 | return n * 2;" in output


def test_running_a_contract_says_how_to_call_it(write: Any) -> None:
    result = run("run", write(CONTRACT))
    assert result.exit_code == 0
    assert "note: a contract, of which no action was called" in result.stderr


def test_optimized_listings_are_shorter(write: Any) -> None:
    path = write("let x = 1 + 2 * 3;\nx")
    plain, best = run("disasm", path).stdout, run("disasm", path, "--optimize", "2").stdout
    assert len(best.splitlines()) < len(plain.splitlines())


# fmt

UGLY = "let   x=1 ; // one\naction f( a,b ){return a+b;}\n"


def test_format_writes_once(write: Any) -> None:
    path = write(UGLY)
    assert run("fmt", path).stdout == f"{path}: formatted\n"
    text = Path(path).read_text()
    assert text != UGLY
    assert "// one" in text
    assert run("fmt", path).stdout == ""
    assert Path(path).read_text() == text
    assert run("fmt", "--check", path).exit_code == 0


def test_check_and_diff_write_nothing(write: Any) -> None:
    path = write(UGLY)
    checked = run("fmt", "--check", path)
    assert (checked.exit_code, checked.stdout) == (1, f"{path}: would be formatted\n")
    shown = run("fmt", "--diff", path)
    assert shown.exit_code == 1
    assert "-let   x=1 ; // one" in shown.stdout
    assert Path(path).read_text() == UGLY


def test_format_takes_folders_and_stdin(write: Any, tmp_path: Path) -> None:
    write(UGLY, "a.proz")
    write("let x = ;", "b.proz")
    result = run("fmt", str(tmp_path))
    assert result.exit_code == 2
    assert "b.proz:1:9: error" in result.stderr
    assert "a.proz: formatted" in result.stdout
    assert run("fmt", "-", input=UGLY).stdout == (tmp_path / "a.proz").read_text()
    (tmp_path / "empty").mkdir()
    assert "no *.proz" in run("fmt", str(tmp_path / "empty")).stderr


# repl


def test_the_prompt_runs_what_is_piped_in() -> None:
    result = run("repl", input="let x = 10;\naction f(a) {\n    return a + x;\n}\nf(5)\nx = 20;\nf(5)\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "15\n25\n", "")


@pytest.mark.parametrize("tier", ["0", "1", "2", "auto"])
def test_the_prompt_keeps_variables_functions_and_state_on_every_tier(tier: str) -> None:
    lines = "let n = 0;\naction up() { n += 1; STATE.n = n; return n; }\nup(); up()\nup()\n:state\nn\n"
    result = run("repl", "--tier", tier, input=lines)
    assert (result.exit_code, result.stdout) == (0, "2\n3\nSTATE.n = 3\n3\n"), result.stderr


def test_the_prompt_goes_on_after_errors() -> None:
    result = run("repl", input='action f(a) {\n  return a / 0;\n}\nlet y = ;\nf(1)\n"on"\n')
    assert result.exit_code == 1
    assert result.stdout == '"on"\n'
    assert "<2>:1:9: error" in result.stderr
    assert "<1>:2:10: error: DIV: the divisor is 0\n  2 |   return a / 0;" in result.stderr
    assert "called in the program, <3>:1:1:" in result.stderr


def test_commands_of_the_prompt() -> None:
    asking = [":help", ":help len", ":help STATE_WRITE", "let x = 5;", ":env", ":disasm", ":disasm 1 + 2"]
    setting = [":tier 1", ":tier", ":gas 9_000", ":gas", ":quit", "7"]
    result = run("repl", input="\n".join([*asking, *setting, ""]))
    assert result.exit_code == 0, result.stderr
    for text in (
        ":disasm [TEXT]", "len(value): ", "STATE_WRITE (114), operand name", "let x = 5\n", "; 1 | let x = 5;",
        "LOAD_CONST", "1; bytecode compiles", "limit 9,000; the last program used",
    ):  # fmt: skip
        assert text in result.stdout, text
    assert not result.stdout.endswith("7\n")


@pytest.mark.parametrize("line", [":nope", ":tier 9", ":gas much", ":help nothing", ":disasm let"])
def test_wrong_commands_say_so(line: str) -> None:
    result = run("repl", input=f"{line}\n1\n")
    assert result.exit_code == 1
    assert "error" in result.stderr
    assert result.stdout == "1\n"


def test_gas_of_the_prompt_is_for_each_program() -> None:
    result = run("repl", "--gas", "2000", input="while (true) { }\n1 + 1\n")
    assert (result.exit_code, result.stdout) == (1, "2\n")
    assert "out of gas" in result.stderr


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("action f() {", True), ("f(1,", True), ("[1, [2]", True), ("/* begun", True), ("1 + 1", False), ("}", False),
        ('"{"', False), ("// {", False), ("/* { */ 1", False), ('let x = {"a": 1}', False),
    ],
)  # fmt: skip
def test_open_brackets_ask_for_more_lines(text: str, expected: bool) -> None:
    assert is_open(text) is expected


def test_an_empty_line_ends_an_input() -> None:
    result = run("repl", input="action f( {\n\n5\n")
    assert result.stdout == "5\n"
    assert "<1>:1:11: error" in result.stderr


def test_a_terminal_gets_prompts_colours_and_a_history(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    environment = {**os.environ, "XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "COLUMNS": "100"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
    command = [sys.executable, "-m", "vmloom", "proz", "repl"]
    process = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, close_fds=True)
    os.close(theirs)
    os.write(ours, b"let x = [\n41]\nx\n:quit\n")
    output = b""
    try:
        while piece := os.read(ours, 4096):
            output += piece
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait(timeout=30) == 0
    assert b"proz> " in output
    assert b"  ... " in output
    assert b"\x1b[" in output
    assert "let x = [" in (tmp_path / "vmloom/proz-history").read_text()


# Values


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "none"), (True, "true"), (-5, "-5"), ('a"\n\u202e', '"a\\"\\n\\u{202e}"'), (b"\xc0\xff", 'hex"c0ff"'),
        ([1, [b""]], '[1, [hex""]]'), ({"k": 1, 2: b"a"}, '{"k": 1, 2: hex"61"}'), (1 << 200, str(1 << 200)),
    ],
)  # fmt: skip
def test_values_are_shown_as_they_are_written(value: Any, text: str) -> None:
    assert literal(value) == text
    assert same(run_source(f"({text})", "p", Order(tier="0")).value, value)


def test_long_values_are_cut_without_being_written_out() -> None:
    deep: Any = "x" * 1000
    for _ in range(20):
        deep = [deep] * 50
    assert literal(deep, 10) == "[[[[[[[..."
    assert literal(["a" * 50], 12) == '["aaaaaaa...'
    assert literal("a" * 10, 12) == f'"{"a" * 10}"'


@pytest.mark.parametrize(
    "value",
    [None, True, 0, "x", b"\xff", [1, b"", None], {"a": {"b": 1}}, {1: 2}, {b"k": []}, {"hex": "ff"}, {"map": 1}],
)
def test_values_survive_json(value: Any) -> None:
    assert same(from_json(json.loads(json.dumps(to_json(value)))), value)


def test_states_survive_json() -> None:
    state = {"a": 1, "b": b"\xff", ("m", 1, b"k"): [1]}
    assert state_from_json(json.loads(json.dumps(state_to_json(state)))) == state


@pytest.mark.parametrize("data", [1.5, {"hex": "zz"}, {"map": [1]}, {"map": [[None, 1]]}])
def test_data_that_are_no_value_are_refused(data: Any) -> None:
    with pytest.raises(InputError):
        from_json(data)


def test_places_in_the_state_are_shown_as_they_are_written() -> None:
    assert path_text("total") == "STATE.total"
    assert path_text("a b") == 'STATE["a b"]'
    assert path_text(("m", 1, b"\xff")) == 'STATE.m[1][hex"ff"]'


def test_a_broken_container_is_refused_with_its_name(tmp_path: Path) -> None:
    broken = tmp_path / "broken.prozc"
    broken.write_bytes(b"\0proz\1garbage")
    result = run("disasm", str(broken))
    assert result.exit_code == 2
    assert result.stderr == f"error: {broken}: offset 0xd: truncated: a container has more than 38 bytes\n"
