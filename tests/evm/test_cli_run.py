"""`vmloom evm run`: flags, output and exit codes as geth's."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from vmloom.cli.commands import root
from vmloom.hashing import create_address
from vmloom_evm.assembly import Bytecode, call, deployer, mstore, op, ret_bytes, ret_top, revert, sload, sstore

Invoke = Callable[..., Result]
SENDER = b"sender".rjust(20, b"\0")
RECEIVER = b"receiver".rjust(20, b"\0")


@pytest.fixture
def run() -> Invoke:
    """Run the command in this process; code may be a program of the assembler."""

    def invoke(*args: object, input: str | None = None) -> Result:
        texts = [bytes(arg).hex() if isinstance(arg, Bytecode) else str(arg) for arg in args]
        return CliRunner().invoke(root, ["evm", "run", *texts], input=input)

    return invoke


def genesis(path: Path, **fields: Any) -> Path:
    path.write_text(json.dumps(fields))
    return path


def word_of(result: Result) -> int:
    """The word that the program returned."""
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    return int(result.stdout, 16)


def error_of(result: Result) -> str:
    """The one line that an error is."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("warning: ", "  fix: "))]
    assert len(lines) == 1, result.stderr
    return lines[0]


# Output


def test_output_is_hex_on_stdout(run: Invoke) -> None:
    result = run(ret_bytes(b"\xab\xcd"))
    assert (result.exit_code, result.stdout, result.stderr) == (0, "0xabcd\n", "")


@pytest.mark.parametrize(
    ("code", "output"),
    [
        ("fe", "0x\n error: invalid opcode: INVALID\n"),
        ("01", "0x\n error: stack underflow (0 <=> 2)\n"),
        ("5f" * 1025, "0x\n error: stack limit reached 1024 (1023)\n"),
        ("600056", "0x\n error: invalid jump destination\n"),
        (bytes(mstore(0, 0xAB) + revert(31, 1)).hex(), "0xab\n error: execution reverted\n"),
    ],
)
def test_failing_program_prints_its_error_and_exits_with_0(run: Invoke, code: str, output: str) -> None:
    result = run(code)
    assert (result.exit_code, result.stdout) == (0, output)


def test_out_of_gas(run: Invoke) -> None:
    assert run("--gas", 4, "60016001").stdout == "0x\n error: out of gas\n"


def test_creation_prints_the_code(run: Invoke) -> None:
    runtime = ret_top(1)
    assert run("--create", deployer(runtime)).stdout == "0x" + bytes(runtime).hex() + "\n"
    measuring = ret_top(op("CODESIZE"))
    assert word_of(run("--create", "--input", "0xeeee", measuring)) == len(bytes(measuring)) + 2


# What the program sees


def test_code_and_input_come_from_files_and_stdin(run: Invoke, tmp_path: Path) -> None:
    code = bytes(ret_top(op("CALLDATALOAD")(0))).hex()
    (tmp_path / "code.hex").write_text(f"0x{code}\n")
    (tmp_path / "input.hex").write_text(f"{5:064x}\n")
    assert word_of(run("--codefile", tmp_path / "code.hex", "--inputfile", tmp_path / "input.hex")) == 5
    assert word_of(run("--codefile", "-", "--input", f"0x{6:064x}", input=code + "\n")) == 6


@pytest.mark.parametrize(
    ("name", "options", "expected"),
    [
        ("CALLER", [], int.from_bytes(SENDER)),
        ("ORIGIN", ["--sender", "0xabc"], 0xABC),
        ("ADDRESS", [], int.from_bytes(RECEIVER)),
        ("ADDRESS", ["-receiver=0x12"], 0x12),
        ("GASPRICE", ["--price", 9], 9),
        ("CALLVALUE", [], 0),
        ("GASLIMIT", ["--gas", 77_777], 77_777),
        ("CHAINID", [], 1337),
        ("NUMBER", [], 0),
        ("BASEFEE", [], 10**9),
    ],
)
def test_surroundings(run: Invoke, name: str, options: list[object], expected: int) -> None:
    assert word_of(run(*options, ret_top(op(name)))) == expected


def test_value_must_be_there(run: Invoke, tmp_path: Path) -> None:
    assert run("--value", 1, "00").stdout == "0x\n error: insufficient balance for transfer\n"
    assert run("--value", 1, "--create", "00").stdout == "0x\n error: insufficient balance for transfer\n"
    rich = genesis(tmp_path / "g.json", alloc={"0x" + SENDER.hex(): {"balance": "5"}})
    assert word_of(run("--prestate", rich, "--value", 3, ret_top(op("SELFBALANCE")), "--fork", "osaka")) == 3


def test_fork_is_chosen(run: Invoke) -> None:
    assert run("--state.fork", "London", "5f").stdout == "0x\n error: invalid opcode: PUSH0\n"
    assert run("--fork", "Shanghai", "5f").stdout == "0x\n"


# Genesis files


def test_prestate_sets_state_block_and_gas(run: Invoke, tmp_path: Path) -> None:
    code = bytes(ret_top(op("ADD")(sload(1), op("ADD")(op("NUMBER"), op("GASLIMIT"))))).hex()
    path = genesis(
        tmp_path / "g.json",
        config={"chainId": 5, "homesteadBlock": 0, "londonBlock": 0, "shanghaiTime": 0},
        number="0x10",
        gasLimit="0x100000",
        alloc={RECEIVER.hex(): {"balance": "0x0", "code": "0x" + code, "storage": {"0x1": "0x20"}}},
    )
    assert word_of(run("--prestate", path)) == 0x20 + 0x10 + 0x100000
    assert word_of(run("--prestate", path, ret_top(op("CHAINID")))) == 5
    assert word_of(run("--prestate", path, "5f" + bytes(ret_top(op("GASLIMIT"))).hex())) == 0x100000


@pytest.mark.parametrize(
    ("config", "fork_has_push0"),
    [
        ({"londonBlock": 0, "shanghaiTime": 0}, True),
        ({"londonBlock": 0, "shanghaiTime": 1}, False),
        ({"LondonBlock": 0, "ShanghaiTime": 0}, True),
        ({"berlinBlock": 0, "shanghaiTime": 0}, False),
    ],
)
def test_prestate_sets_the_fork(run: Invoke, tmp_path: Path, config: dict[str, int], fork_has_push0: bool) -> None:
    path = genesis(tmp_path / "g.json", config=config)
    assert (run("--prestate", path, "5f").stdout == "0x\n") is fork_has_push0


def test_delegation_is_followed(run: Invoke, tmp_path: Path) -> None:
    target = "0x" + "77" * 20
    path = genesis(
        tmp_path / "g.json",
        alloc={
            "0x" + RECEIVER.hex(): {"code": "0xef0100" + "77" * 20},
            target: {"code": "0x" + bytes(ret_top(4)).hex()},
        },
    )
    assert word_of(run("--prestate", path)) == 4


# Dumps, statistics, traces


def test_dump_is_that_of_geth(run: Invoke) -> None:
    result = run("--dump", "--trace", "6040")
    assert json.loads(result.stdout) == {
        "root": "b444481d1367188172f8c6091e948aaa68bae763fd26d6b9e994306a66bf69f9",
        "accounts": {
            "0x0000000000000000000000007265636569766572": {
                "balance": "0",
                "nonce": 0,
                "root": "0x56e81f171bcc55a6ff8345e692c0f86e5b48e01b996cadc001622fb5e363b421",
                "codeHash": "0x3e48ef54b89079a075f3b8fc253c657a86b110a7aed3568c1517b10edf2c3eb6",
                "code": "0x6040",
                "address": "0x0000000000000000000000007265636569766572",
                "key": "0x30d7a0694cb29af31b982480e11d7ebb003a3fca4026939149071f014689b142",
            }
        },
    }


def test_dump_has_what_the_program_did(run: Invoke) -> None:
    text = run("--dump", sstore(1, 0x102)).stdout
    document = json.loads(text[: text.rindex("0x")])
    assert document["accounts"]["0x" + RECEIVER.hex()]["storage"] == {f"0x{1:064x}": "0102"}


def test_dump_after_a_failure_is_the_state_before(run: Invoke) -> None:
    result = run("--dump", sstore(1, 2) + op("STOP") + op("STOP"))
    assert '"storage"' in result.stdout
    result = run("--dump", bytes(sstore(1, 2)).hex() + "fe")
    assert '"storage"' not in result.stdout
    assert result.stdout.endswith("0x\n error: invalid opcode: INVALID\n")


@pytest.mark.parametrize("option", ["--statdump", "--bench"])
def test_statistics_are_on_stderr(run: Invoke, option: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmloom_evm.cli.run.BENCH_SECONDS", 0.0)
    result = run(option, "6040")
    assert result.stdout == "0x\n"
    assert re.fullmatch(
        r"EVM gas used:    3\nexecution time:  \d+\.\d+.?s\nallocations:     \d+\nallocated bytes: \d+\n", result.stderr
    )


def test_bench_leaves_no_traces_of_repetition(run: Invoke) -> None:
    counting = sstore(0, op("ADD")(sload(0), 1)) + ret_top(sload(0))
    assert run("--bench", counting).stdout == f"0x{1:064x}\n"


@pytest.mark.parametrize(
    "options", [["--trace"], ["--json"], ["--trace", "--trace.format", "json"], ["-trace=true"], ["--trace=1"]]
)
def test_trace_is_on_stderr_instead_of_output(run: Invoke, options: list[str]) -> None:
    result = run(*options, "6040")
    assert result.stdout == ""
    assert result.stderr == (
        '{"pc":0,"op":96,"gas":"0x2540be400","gasCost":"0x3","memSize":0,"stack":[],"depth":1,"refund":0,"opName":"PUSH1"}\n'
        '{"pc":2,"op":0,"gas":"0x2540be3fd","gasCost":"0x0","memSize":0,"stack":["0x40"],"depth":1,"refund":0,"opName":"STOP"}\n'
        '{"output":"","gasUsed":"0x3"}\n'
    )


def test_trace_can_be_a_drawing_of_the_calls(run: Invoke) -> None:
    result = run("--trace", "--trace.format=tree", call((4).to_bytes(20, "big"), gas=5000, input=(0, 0)) + op("STOP"))
    first, second = result.stderr.splitlines()
    assert first.startswith(f"CALL 0x{RECEIVER.hex()} gas ")
    assert second == "└── CALL 0x" + "00" * 19 + "04 gas 15/5000 ok"


def test_trace_of_a_declined_call_says_why(run: Invoke) -> None:
    result = run("--trace", "--value", 1, "00")
    assert result.stderr == '{"output":"","gasUsed":"0x0","error":"insufficient balance for transfer"}\n'


def test_debug_shows_logs(run: Invoke) -> None:
    result = run("--debug", mstore(0, 0x41) + op("LOG1")(31, 1, 7))
    assert result.stdout == ""
    assert f"### LOGS\nLOG1: {RECEIVER.hex()} bn=0 txi=0\n00000000  {7:064x}\n00000000  41" in result.stderr


def test_creation_uses_the_senders_nonce(run: Invoke, tmp_path: Path) -> None:
    path = genesis(tmp_path / "g.json", alloc={SENDER.hex(): {"nonce": 3, "balance": "1"}})
    document = run("--prestate", path, "--create", "--dump", "--trace", deployer(op("STOP")), "--fork", "osaka")
    accounts = {name.lower(): account for name, account in json.loads(document.stdout)["accounts"].items()}
    assert accounts["0x" + create_address(SENDER, 3).hex()]["code"] == "0x00"
    assert accounts["0x" + SENDER.hex()]["nonce"] == 4


# Bad input


@pytest.mark.parametrize(
    ("args", "cause"),
    [
        (["zz"], "CODE: character 1 is 'z', not a hex digit"),
        (["600"], "CODE: 3 hex digits, an odd number"),
        (["--input", "0x1", "00"], "--input: 1 hex digits, an odd number"),
        (["--codefile", "nowhere.hex"], "--codefile nowhere.hex: No such file"),
        (["--inputfile", "nowhere.hex", "00"], "--inputfile nowhere.hex: No such file"),
        (["--prestate", "nowhere.json", "00"], "nowhere.json: No such file"),
        (["--sender", "0xnot", "00"], "--sender: character "),
        (["--fork", "gondwana", "00"], "unknown fork 'gondwana'"),
    ],
)
def test_bad_input_is_one_line(run: Invoke, args: list[str], cause: str) -> None:
    assert error_of(run(*args)).startswith(f"error: {cause}")


@pytest.mark.parametrize("args", [["--gas", "-1"], ["--value", "1e3"], ["--price", "0x" + "f" * 65], ["--gaz", "1"]])
def test_bad_numbers_and_options_are_errors_of_use(args: list[str], run: Invoke) -> None:
    result = run(*args, "00")
    assert result.exit_code == 2
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "not JSON"),
        ("[]", "a genesis file: must be an object"),
        ('{"alloc": [1]}', "alloc: must be an object"),
        ('{"alloc": {"0x12": {}}}', "alloc 0x12: must have 20 bytes"),
        ('{"alloc": {"' + "11" * 20 + '": 5}}', "alloc " + "11" * 20 + ": must be an object"),
        (
            '{"alloc": {"' + "11" * 20 + '": {"balance": "-1"}}}',
            "alloc " + "11" * 20 + ": balance: must not be negative",
        ),
        ('{"alloc": {"' + "11" * 20 + '": {"storage": {"1": 5}}}}', "alloc " + "11" * 20 + ": storage 1: must be text"),
        ('{"gasLimit": "0xffffffffffffffffffff"}', "gasLimit: does not fit in 63 bits"),
        ('{"config": {"londonBlock": "soon"}}', "londonblock: must be"),
        ('{"coinbase": 5}', "coinbase: must be text"),
        ("1" * 5000, "not JSON"),
    ],
)
def test_bad_genesis_file_is_one_line(run: Invoke, tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "g.json"
    path.write_text(text)
    assert error_of(run("--prestate", path, "00")).startswith(f"error: {path}: {cause}")


# The group


def test_help_lists_the_subcommands_without_importing_them() -> None:
    result = CliRunner().invoke(root, ["evm", "--help"])
    assert result.exit_code == 0
    for name in ("run", "statetest", "t8n"):
        assert f"  {name} " in result.stdout
    assert CliRunner().invoke(root, ["evm", "nothing"]).exit_code == 2
