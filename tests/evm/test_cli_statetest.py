"""`vmloom evm statetest`: output and exit codes as geth's, what bad files lead to, and the summary."""

from __future__ import annotations

import copy
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from vmloom.cli.commands import root
from vmloom.hashing import create_address
from vmloom_evm.assembly import op, ret_top, sstore
from vmloom_evm.cli import parallel
from vmloom_evm.cli.report import Finding, print_summary, with_progress
from vmloom_evm.dump import checksum_address
from vmloom_evm.statetest.fixture import filled_under_eip7610

SENDER = "0xa94f5374fce5edbc8e2a8697c15331677e6ebf0b"
SECRET_KEY = "0x45a915e4d060149eb4365960e6a7a45f334393093061116b197e3240065ff2d8"
CONTRACT = "0x" + "c0" * 20
NO_LOGS = "0x1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347"

Invoke = Callable[..., Result]


@pytest.fixture
def statetest() -> Invoke:
    """Run the command in this process."""

    def invoke(*args: object, input: str | None = None) -> Result:
        return CliRunner().invoke(root, ["evm", "statetest", *map(str, args)], input=input)

    return invoke


def a_test(code: bytes | None = None, *, forks: tuple[str, ...] = ("London",), **changes: Any) -> dict[str, Any]:
    """A state test that stores 7 in slot 0, expecting a root that is not its own."""
    test: dict[str, Any] = {
        "_info": {"comment": "made for this project"},
        "env": {
            "currentCoinbase": "0x" + "cb" * 20,
            "currentDifficulty": "0x20000",
            "currentGasLimit": "0x1000000",
            "currentNumber": "0x1",
            "currentTimestamp": "0x3e8",
            "currentBaseFee": "0x10",
            "currentRandom": "0x" + "00" * 32,
        },
        "pre": {
            SENDER: {"balance": "0xffffffffffff", "nonce": "0x0", "code": "0x", "storage": {}},
            CONTRACT: {
                "balance": "0x0",
                "nonce": "0x1",
                "code": "0x" + bytes(sstore(0, 7) if code is None else code).hex(),
                "storage": {},
            },
        },
        "transaction": {
            "data": ["0x"],
            "gasLimit": ["0x100000"],
            "gasPrice": "0x10",
            "nonce": "0x0",
            "secretKey": SECRET_KEY,
            "to": CONTRACT,
            "value": ["0x0"],
        },
        "post": {
            fork: [{"hash": "0x" + "00" * 32, "logs": NO_LOGS, "indexes": {"data": 0, "gas": 0, "value": 0}}]
            for fork in forks
        },
    }
    return {**test, **changes}


def write(path: Path, **tests: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tests))
    return path


def passing(statetest: Invoke, path: Path, test: dict[str, Any]) -> Path:
    """The file of `test` with the roots that it comes to, so that it passes."""
    write(path, it=test)
    results = json.loads(statetest(path).stdout)
    fixed = copy.deepcopy(test)
    positions: dict[str, int] = {}
    for result in results:
        position = positions.get(result["fork"], 0)
        fixed["post"][result["fork"]][position]["hash"] = result["stateRoot"]
        positions[result["fork"]] = position + 1
    return write(path, it=fixed)


def error_of(result: Result) -> str:
    """The one line that an error is."""
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("warning: ", '{"stateRoot"'))]
    assert len(lines) == 1, result.stderr
    assert "Traceback" not in result.stderr
    return lines[0]


# As geth


def test_results_are_an_array_on_stdout_and_roots_lines_on_stderr(statetest: Invoke, tmp_path: Path) -> None:
    result = statetest(write(tmp_path / "a.json", it=a_test()))
    assert result.exit_code == 0  # as geth: a case that fails is a result, not a failure of the command
    (finding,) = json.loads(result.stdout)
    state_root = finding["stateRoot"]
    assert result.stdout == (
        "[\n  {\n"
        '    "name": "it",\n'
        '    "pass": false,\n'
        f'    "stateRoot": "{state_root}",\n'
        '    "fork": "London",\n'
        f'    "error": "post state root mismatch: got {state_root[2:]}, want {"00" * 32}"\n'
        "  }\n]\n"
    )
    assert result.stderr == f'{{"stateRoot": "{state_root}"}}\n'


def test_case_that_passes_has_no_error(statetest: Invoke, tmp_path: Path) -> None:
    path = passing(statetest, tmp_path / "a.json", a_test())
    (finding,) = json.loads(statetest(path).stdout)
    assert list(finding) == ["name", "pass", "stateRoot", "fork"]
    assert finding["pass"] is True


def test_folder_is_walked_in_order_and_other_files_are_left_alone(statetest: Invoke, tmp_path: Path) -> None:
    write(tmp_path / "b" / "x.json", third=a_test())
    write(tmp_path / "a" / "y.json", second=a_test())
    write(tmp_path / "a" / "x.json", first=a_test())
    (tmp_path / "a" / "notes.txt").write_text("no test")
    names = [finding["name"] for finding in json.loads(statetest(tmp_path).stdout)]
    assert names == ["first", "second", "third"]


def test_names_of_files_come_from_stdin_and_each_is_reported_alone(statetest: Invoke, tmp_path: Path) -> None:
    first, second = write(tmp_path / "a.json", a=a_test()), write(tmp_path / "b.json", b=a_test())
    result = statetest(input=f"{first}\n{second}\n\nnot read\n")
    arrays = result.stdout.replace("]\n[", "]\0[").split("\0")
    assert [json.loads(array)[0]["name"] for array in arrays] == ["a", "b"]


def test_tests_forks_and_cases_are_selected(statetest: Invoke, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", one=a_test(forks=("London", "Merge", "Cancun")), other=a_test())

    def selected(*args: object) -> list[tuple[str, str]]:
        return [(finding["name"], finding["fork"]) for finding in json.loads(statetest(*args, path).stdout)]

    assert selected("--run", "^o.*r$") == [("other", "London")]
    assert selected("--fork", "paris") == [("one", "Merge")]
    assert selected("--statetest.fork", "London") == [("one", "London"), ("other", "London")]
    assert selected("-statetest.index=2") == [("one", "Cancun")]
    assert selected("--run", "nothing") == []


def test_human_output_is_a_line_for_each_case(statetest: Invoke, tmp_path: Path) -> None:
    path = passing(statetest, tmp_path / "a.json", a_test())
    name = "tests/shanghai/eip3855_push0/test_push0.py::test_push0[fork_Osaka-state_test-key_sstore]"
    write(tmp_path / "b.json", **{name: a_test()})
    result = statetest("--human", path, tmp_path / "b.json")
    first, second, line, count = result.stdout.splitlines()
    assert first == "[PASS] it"
    assert second.startswith("[FAIL] eip3855_push0 test_push0, param=key_sstore, err=post state root mismatch: got ")
    assert second.endswith(", fork=London")
    assert (line, count) == ("--", "1 tests passed, 1 tests failed.")


def test_dump_adds_the_state(statetest: Invoke, tmp_path: Path) -> None:
    (finding,) = json.loads(statetest("--dump", write(tmp_path / "a.json", it=a_test())).stdout)
    assert finding["state"]["root"] == finding["stateRoot"][2:]
    contract = finding["state"]["accounts"][checksum_address(bytes.fromhex(CONTRACT[2:]))]
    assert list(contract) == ["balance", "nonce", "root", "codeHash", "code", "storage", "address", "key"]
    assert contract["storage"] == {"0x" + "00" * 32: "07"}
    assert (contract["balance"], contract["nonce"], contract["address"]) == ("0", 1, CONTRACT)


def test_bench_adds_costs(statetest: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmloom_evm.cli.statetest.BENCH_SECONDS", 0.0)
    (finding,) = json.loads(statetest("--bench", write(tmp_path / "a.json", it=a_test())).stdout)
    stats = finding["benchStats"]
    assert list(stats) == ["time", "allocs", "bytesAllocated", "gasUsed"]
    assert stats["gasUsed"] == 21_000 + 6 + 22_100
    assert stats["time"] > 0


def test_refusal_is_judged(statetest: Invoke, tmp_path: Path) -> None:
    poor = a_test()
    poor["transaction"]["gasLimit"] = ["0x5"]
    (finding,) = json.loads(statetest(write(tmp_path / "a.json", it=poor)).stdout)
    assert finding["error"].startswith("unexpected error: INTRINSIC_GAS_TOO_LOW")
    rich = a_test()
    rich["post"]["London"][0]["expectException"] = "TransactionException.INTRINSIC_GAS_TOO_LOW"
    (finding,) = json.loads(statetest(write(tmp_path / "a.json", it=rich)).stdout)
    assert finding["error"] == 'expected error "TransactionException.INTRINSIC_GAS_TOO_LOW", got no error'


def test_json_says_what_is_the_default(statetest: Invoke, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", it=a_test())
    assert statetest("--json", path).stdout == statetest(path).stdout
    assert statetest("--json", "--human", path).stdout == statetest(path).stdout


# Traces


def test_trace_goes_to_stderr_before_the_root(statetest: Invoke, tmp_path: Path) -> None:
    result = statetest("--trace", write(tmp_path / "a.json", it=a_test()))
    lines = [json.loads(line) for line in result.stderr.splitlines()]
    assert [line.get("opName") for line in lines] == ["PUSH1", "PUSH1", "SSTORE", "STOP", None, None]
    assert lines[-2] == {"output": "", "gasUsed": hex(6 + 22_100)}
    assert list(lines[-1]) == ["stateRoot"]


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--trace", "--trace.format", "struct"], "SSTORE          pc=00000004"),
        (["--trace", "--trace.format=md"], "|    4  |     SSTORE  |  22100 |"),
        (["-trace", "-trace.format=md", "--trace.nostack"], "|    4  |     SSTORE  |  22100 |         0 |\n"),
        (["--debug"], "Storage:\n" + "00" * 32 + ": " + "00" * 31 + "07"),
        (["--trace", "--nostack"], '"stack":null'),
    ],
)
def test_trace_has_geths_forms_and_switches(
    statetest: Invoke, tmp_path: Path, options: list[str], expected: str
) -> None:
    assert expected in statetest(*options, write(tmp_path / "a.json", it=a_test())).stderr


def test_memory_is_shown_only_when_its_switch_is_off(statetest: Invoke, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", it=a_test(bytes(ret_top(7))))
    assert '"memory"' not in statetest("--trace", path).stderr
    assert '"memory"' not in statetest("--trace", "--trace.nomemory", path).stderr
    assert '"memory":"0x' in statetest("--trace", "--trace.nomemory=false", path).stderr


# Bad input


def test_file_that_is_not_there(statetest: Invoke, tmp_path: Path) -> None:
    assert error_of(statetest(tmp_path / "none.json")) == f"error: {tmp_path / 'none.json'}: no such file or folder"


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("{", "not JSON: Expecting property name"),
        ("[" * 200_000, "not JSON: "),
        ("[1]", "holds an object of tests"),
        ('{"it": 5}', "it: not a state test"),
        ('{"it": {"post": {"London": [{}]}}}', "it: not a state test"),
        ("1" * 5000, "not JSON: "),
    ],
)
def test_file_that_is_no_state_test(statetest: Invoke, tmp_path: Path, text: str, cause: str) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    line = error_of(statetest(path))
    assert line.startswith(f"error: {path}: ")
    assert cause in line


def test_file_that_is_not_text(statetest: Invoke, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_bytes(b"{\xff")
    assert error_of(statetest(tmp_path / "bad.json")).endswith("byte 1: not UTF-8")


@pytest.mark.parametrize("key", ["currentCoinbase", "currentNumber", "currentGasLimit"])
def test_environment_that_cannot_be_read(statetest: Invoke, tmp_path: Path, key: str) -> None:
    test = a_test()
    test["env"][key] = "-0x1"
    line = error_of(statetest(write(tmp_path / "a.json", it=test)))
    assert line.startswith(f"error: {tmp_path / 'a.json'}: it/London/0: not a state test: ")


@pytest.mark.parametrize(
    "change",
    [
        {"value": ["0x" + "f" * 65]},
        {"nonce": "-0x1"},
        {"data": ["0xzz"]},
        {"gasLimit": []},
        {"to": "0x12"},
        {"secretKey": "0x" + "00" * 32},
        {"gasPrice": None},
        {"accessLists": [5]},
    ],
)
def test_transaction_that_no_one_can_send_is_refused(statetest: Invoke, tmp_path: Path, change: dict[str, Any]) -> None:
    test = a_test()
    test["transaction"].update(change)
    result = statetest(write(tmp_path / "a.json", it=test))
    assert result.exit_code == 0, result.output
    (finding,) = json.loads(result.stdout)
    assert finding["error"].startswith("unexpected error: FIELD_OVERFLOW")


def test_fork_of_a_file_that_is_unknown_fails_its_cases_only(statetest: Invoke, tmp_path: Path) -> None:
    result = statetest(write(tmp_path / "a.json", it=a_test(forks=("Gondwana", "London"))))
    first, second = json.loads(result.stdout)
    assert first == {"name": "it", "pass": False, "fork": "Gondwana", "error": 'unsupported fork "Gondwana"'}
    assert "stateRoot" in second
    assert result.exit_code == 0


def test_fork_that_is_asked_for_and_unknown(statetest: Invoke, tmp_path: Path) -> None:
    line = error_of(statetest("--fork", "cancum", write(tmp_path / "a.json", it=a_test())))
    assert line.startswith("error: unknown fork 'cancum' (did you mean 'cancun'?)")


def test_pattern_that_is_none(statetest: Invoke, tmp_path: Path) -> None:
    line = error_of(statetest("--run", "(", write(tmp_path / "a.json", it=a_test())))
    assert line.startswith("error: --run (: not a regular expression: ")


def test_unknown_option_is_an_error_of_use(statetest: Invoke) -> None:
    result = statetest("--frok", "London")
    assert result.exit_code == 2
    assert "--frok" in result.stderr


# Summary


def test_summary_counts_by_folder_and_fork_and_exits_with_1_on_failure(statetest: Invoke, tmp_path: Path) -> None:
    passing(statetest, tmp_path / "stA" / "deep" / "a.json", a_test(forks=("Cancun", "London")))
    write(tmp_path / "stB" / "b.json", bad=a_test())
    result = statetest("--summary", tmp_path)
    assert result.exit_code == 1
    assert result.stderr == ""
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in result.stdout.splitlines() if "│" in line]
    assert rows == [["stA", "London", "1", "0"], ["", "Cancun", "1", "0"], ["stB", "London", "0", "1"]]
    assert "FAIL stB: bad (London): post state root mismatch" in result.stdout
    assert "3 cases, 1 failed" in result.stdout
    assert statetest("--summary", tmp_path / "stA").exit_code == 0


def test_summary_beside_json_is_on_stderr(statetest: Invoke, tmp_path: Path) -> None:
    result = statetest("--summary", "--json", write(tmp_path / "a.json", it=a_test()))
    assert len(json.loads(result.stdout)) == 1
    assert "1 cases, 1 failed" in result.stderr


def test_summary_shows_no_more_failures_than_one_can_read(capsys: pytest.CaptureFixture[str]) -> None:
    print_summary([Finding(f"n{number}", "London", "f", "wrong") for number in range(100)], 1.0)
    out = capsys.readouterr().out
    assert "n39" in out
    assert "n40" not in out
    assert "... and 60 more" in out


def test_progress_passes_everything_on() -> None:
    assert list(with_progress(iter([1, 2, 3]), 3)) == [1, 2, 3]


# Workers


def test_workers_keep_the_order(statetest: Invoke, tmp_path: Path) -> None:
    for number in range(5):
        write(tmp_path / f"{number}.json", **{f"test {number}": a_test()})
    alone, together = statetest(tmp_path), statetest("--workers", "2", tmp_path)
    assert together.stdout == alone.stdout
    assert together.stderr == alone.stderr


def test_bad_file_in_a_worker_is_one_line(statetest: Invoke, tmp_path: Path) -> None:
    write(tmp_path / "a.json", it=a_test())
    (tmp_path / "b.json").write_text("{")
    assert "b.json: not JSON" in error_of(statetest("--workers", "2", tmp_path))


@pytest.mark.skipif(os.name == "nt", reason="Windows has no process groups to interrupt")
def test_interrupt_ends_workers_and_exits_with_130(tmp_path: Path) -> None:
    endless = a_test(bytes.fromhex("5b600056"))
    endless["transaction"]["gasLimit"] = ["0xffffffffff"]
    endless["env"]["currentGasLimit"] = "0xffffffffffff"
    endless["pre"][SENDER]["balance"] = "0xffffffffffffffffffff"
    write(tmp_path / "0.json", it=a_test())
    for number in (1, 2):
        write(tmp_path / f"{number}.json", it=endless)
    command = [sys.executable, "-m", "vmloom", "evm", "statetest", "--workers", "2", str(tmp_path)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    ) as process:
        assert process.stderr is not None
        while "stateRoot" not in (line := process.stderr.readline()):  # a notice of compiling may come first
            assert line
        # The first file is done, and the workers are at the others.
        os.killpg(process.pid, signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert "Traceback" not in errors


@pytest.mark.skipif(os.name == "nt", reason="Windows has no signal masks")
def test_workers_are_not_interrupted_themselves() -> None:
    """In a fresh process, where the first worker is also the first child that multiprocessing starts."""
    program = """
import functools, signal
from vmloom_evm.cli.parallel import in_processes
if __name__ == "__main__":
    held_back = in_processes(functools.partial, (signal.pthread_sigmask, signal.SIG_BLOCK), [(), ()], 2)
    assert list(held_back) == [{signal.SIGINT}] * 2
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == set()
"""
    subprocess.run([sys.executable, "-c", program], check=True)


def test_work_is_done_here_too() -> None:
    parallel._begin(lambda offset: lambda item: item + offset, (1,))
    assert parallel._work(2) == 3


# EIP-7610


def colliding() -> dict[str, Any]:
    """A test that creates a contract where storage is."""
    test = a_test(bytes(op("CREATE")(0, 0, 0)))
    at = "0x" + create_address(bytes.fromhex(CONTRACT[2:]), 1).hex()
    test["pre"][at] = {"balance": "0x1", "nonce": "0x0", "code": "0x", "storage": {"0x1": "0x1"}}
    return test


def root_of(result: Result) -> str:
    (finding,) = json.loads(result.stdout)
    return str(finding["stateRoot"])


def test_creation_onto_storage_is_refused_as_the_file_was_filled(statetest: Invoke, tmp_path: Path) -> None:
    path = write(tmp_path / "a.json", it=colliding())
    allowed, refused = root_of(statetest("--no-eip7610", path)), root_of(statetest("--eip7610", path))
    assert allowed != refused
    assert root_of(statetest(path)) == allowed
    filled = {**colliding(), "_info": {"filling-tool-version": "retesteth-0.3.2-cancun+commit.2ab0208e.Linux.g++"}}
    assert root_of(statetest(write(tmp_path / "b.json", it=filled))) == refused


@pytest.mark.parametrize(
    ("info", "refuses"),
    [
        ({"filling-tool-version": "retesteth-0.3.2-cancun+commit.2ab0208e.Linux.g++"}, True),
        ({"filling-tool-version": "retesteth-0.3.1-shanghai+commit.1e18e0b3.Linux.g++"}, False),
        ({"filledwith": "testeth 1.7.0-alpha.0+commit.2b11ce5c"}, False),
        ({"fixture-format": "state_test", "filling-transition-tool": "2.19.0"}, True),
        ({"fixture-format": "state_test", "filling-transition-tool": "2.20.0"}, False),
        ({"fixture-format": "state_test", "filling-transition-tool": "ethereum-spec-evm-resolver 0.0.5"}, True),
        ({"fixture_format": "state_test"}, True),
        ({}, False),
    ],
)
def test_fillers_that_refuse_creation_onto_storage(info: dict[str, str], refuses: bool) -> None:
    assert filled_under_eip7610(info) is refuses
