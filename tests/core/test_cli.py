"""The command line: data on stdout, one line for each error on stderr, exit codes as documented."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from vmloom.settings import OTHER_VARIABLES

# Programs of the example's calculator
STORE = "01010101012a05"  # slot 1 = 42
SAY_HI = "0b026869"
REVERT = "09"
LOOP = "010007"
EMIT = "01010a0a"


def error_of(result: Any) -> str:
    """The one line that an error is, without traceback or data."""
    assert result.exit_code == 2, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith(("warning: ", "  fix: "))]
    assert len(lines) == 1, result.stderr
    return str(lines[0])


# run


def test_run_prints_a_table_for_people(vmloom: Any) -> None:
    result = vmloom("run", STORE + SAY_HI + EMIT, "--vm", "calc", "--gas", "1000")
    assert result.exit_code == 0, result.output
    for expected in ("success", "of 1,000", "0x6869", "storage", "0x2a", "events", "0x" + "0" * 62 + "0a"):
        assert expected in result.stdout
    assert result.stderr == ""


def test_run_prints_json_for_programs(vmloom: Any) -> None:
    result = vmloom("run", STORE + SAY_HI, "--json")
    document = json.loads(result.stdout)
    assert document["status"] == 1
    assert document["return_data"] == "0x6869"
    (change,) = document["state_changes"]
    assert (change["field"], change["key"], change["new"]) == ("storage", "0x1", "0x2a")


@pytest.mark.parametrize(("code", "state"), [(REVERT, "reverted"), (LOOP, "failed")])
def test_contract_that_does_not_succeed_exits_with_1(vmloom: Any, code: str, state: str) -> None:
    result = vmloom("run", STORE + code, "--json", "--gas", 500)
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert document["state"] == state
    assert document["state_changes"] == []


def test_code_from_file_stdin_and_argument(vmloom: Any) -> None:
    outputs = [
        vmloom("run", "0x" + SAY_HI, "--json").stdout,
        vmloom("run", SAY_HI.upper(), "--json").stdout,
        vmloom("run", vmloom.write("code.hex", f"0x{SAY_HI[:4]}\n{SAY_HI[4:]}\n"), "--json").stdout,
        vmloom("run", vmloom.write("code.bin", bytes.fromhex(SAY_HI)), "--json").stdout,
        vmloom("run", "-", "--json", input=SAY_HI.encode()).stdout,
        vmloom("run", "-", "--json", input=bytes.fromhex(SAY_HI)).stdout,
    ]
    assert len(set(outputs)) == 1
    assert json.loads(outputs[0])["return_data"] == "0x6869"


def test_bare_hex_may_be_longer_than_the_name_of_a_file(vmloom: Any) -> None:
    code = "00" * 5_000
    assert vmloom("validate", code).output == vmloom("validate", "0x" + code).output


def test_empty_argument_is_empty_code(vmloom: Any) -> None:
    assert vmloom("validate", "").output == vmloom("validate", "0x").output


def test_input_reaches_the_code(vmloom: Any) -> None:
    assert json.loads(vmloom("run", "0c", "--input", "0xbeef", "--json").stdout)["return_data"] == "0xbeef"


def test_value_is_transferred_and_comes_back_on_failure(vmloom: Any) -> None:
    changes = json.loads(vmloom("run", "00", "--value", "0x10", "--json").stdout)["state_changes"]
    assert sorted((change["old"], change["new"]) for change in changes if change["field"] == "balance") == [
        (0, 16),
        (16, 0),
    ]
    failed = vmloom("run", REVERT, "--value", 16, "--write-state", "out.json", "--json")
    assert failed.exit_code == 1
    after = json.loads((vmloom.folder / "out.json").read_text())
    assert {address[-6:]: account["balance"] for address, account in after.items()} == {
        "00c0de": "0x0",
        "ca11e4": "0x10",
    }


def test_state_is_read_and_written_only_when_asked(vmloom: Any) -> None:
    address = "0x" + "aa" * 20
    alloc = {address: {"balance": 5, "storage": {"0x1": "0x29"}}}
    file = vmloom.write("alloc.json", json.dumps(alloc))
    code = "010102" + "010101" + "06" + "010101" + "02" + "05"  # storage[2] = storage[1] + 1
    result = vmloom("run", code, "--state", file, "--address", address, "--write-state", "after.json", "--json")
    assert result.exit_code == 0, result.output
    assert json.loads(file.read_text()) == alloc
    after = json.loads((vmloom.folder / "after.json").read_text())[address]
    assert after["storage"] == {"0x1": "0x29", "0x2": "0x2a"}
    assert after["balance"] == "0x5"
    assert (after["code"], after["vm"]) == ("0x" + code, "calc")
    again = vmloom("run", code, "--state", "after.json", "--address", address, "--json")
    assert again.exit_code == 0


def test_value_that_the_caller_lacks(vmloom: Any) -> None:
    file = vmloom.write("alloc.json", "{}")
    assert "has 0 wei, not the 7 to be sent" in error_of(vmloom("run", "00", "--state", file, "--value", 7))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["0x0b02zz"], "error: CODE: character 7 is 'z', not a hex digit"),
        (["0b0"], "error: CODE: 3 hex digits, an odd number: two make a byte"),
        (["nope.bin"], "error: nope.bin: no such file"),
        (["."], "error: .: is a directory"),
        (["00", "--input", "0x1"], "error: --input: 1 hex digits, an odd number: two make a byte"),
        (["00", "--gas", "-1"], "error: --gas: must not be negative, got '-1'"),
        (["00", "--gas", "many"], "error: --gas: must be a decimal number or 0x and hex digits, got 'many'"),
        (["00", "--gas", str(2**63)], "error: --gas: does not fit in 63 bits"),
        (["00", "--value", hex(2**256)], "error: --value: does not fit in 256 bits"),
        (["00", "--caller", "0x12"], "error: --caller: must have 20 bytes (40 hex digits), got 2 digits"),
        (["00", "--state", "nope.json"], "error: nope.json: no such file"),
        (["00", "--trace", "no/such/folder"], "error: --trace no/such/folder: No such file or directory"),
        (["00", "--write-state", "no/such/folder"], "error: no/such/folder: No such file or directory"),
        (["00", "--vm", "clac"], "error: no usable virtual machine 'clac' (did you mean 'calc'?); usable: calc"),
        (["00", "--engine", "warp"], "error: --engine: unknown key"),
        (["00", "--wm", "calc"], "error: No such option '--wm'"),
        (["ff"], "error: offset 0x0: 0xff: no instruction"),
        ([], "error: Missing argument 'CODE'"),
    ],
)
def test_bad_arguments_of_run(vmloom: Any, arguments: list[str], message: str) -> None:
    assert error_of(vmloom("run", *arguments)).startswith(message)


def test_trace_that_a_vm_does_not_offer(vmloom: Any) -> None:
    assert error_of(vmloom("run", "00", "--trace", "trace.jsonl")) == "error: calc 1.2.0 cannot trace"


def test_vm_must_be_named_where_there_are_several(vmloom: Any, environment: Any) -> None:
    environment.add_vm("aaa", "another")
    assert error_of(vmloom("run", "00")) == "error: --vm NAME is needed (usable: another, calc)"


# The other commands on code


def test_validate(vmloom: Any) -> None:
    assert vmloom("validate", STORE).stdout == "valid: 7 bytes of calc code\n"
    refused = vmloom("validate", "00ff")
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "error: offset 0x1: 0xff: no instruction\n"
    verdict = json.loads(vmloom("validate", "00ff", "--json").stdout)
    assert verdict == {"valid": False, "kind": "InvalidCode", "error": "offset 0x1: 0xff: no instruction", "offset": 1}


def test_estimate(vmloom: Any) -> None:
    gas = int(vmloom("estimate", STORE).stdout)
    assert json.loads(vmloom("estimate", STORE, "--json").stdout) == {"gas": gas}
    assert vmloom("run", STORE, "--gas", gas).exit_code == 0
    assert vmloom("run", STORE, "--gas", gas - 1).exit_code == 1
    refused = vmloom("estimate", REVERT)
    assert (refused.exit_code, refused.stdout) == (1, "")
    assert refused.stderr == "error: the call reverts: 0x\n"


def test_disasm(vmloom: Any) -> None:
    result = vmloom("disasm", STORE + "ff")
    assert [line.split() for line in result.stdout.splitlines() if "0x00" in line] == [
        ["0x0000", "PUSH", "0x01"],
        ["0x0003", "PUSH", "0x2a"],
        ["0x0006", "STORE"],
        ["0x0007", "0xff", "no", "instruction"],
    ]
    rows = [json.loads(line) for line in vmloom("disasm", STORE, "--json").stdout.splitlines()]
    assert [row["name"] for row in rows] == ["PUSH", "PUSH", "STORE"]


# Plugins


def test_plugins_lists_every_status(vmloom: Any, environment: Any) -> None:
    environment.add("broken", "broken = broken_plugin", broken_plugin="import no_such_thing\n")
    environment.add_vm("one", "same")
    environment.add_vm("two", "same")
    environment.add_vm("off", "off")
    environment.add_vm("old", "old", api=0)
    result = vmloom("plugins", VMLOOM_PLUGINS__DISABLE="off")
    assert result.exit_code == 1
    assert result.stderr == ""
    rows = {words[1]: words[3] for words in map(str.split, result.stdout.splitlines()[1:]) if len(words) > 3}
    assert rows == {
        "broken": "error",
        "calcvm": "loaded",
        "off": "disabled",
        "old": "incompatible",
        "one": "conflict",
        "two": "conflict",
    }
    documents = json.loads(vmloom("plugins", "--json", VMLOOM_PLUGINS__DISABLE="off").stdout)
    assert {document["distribution"]: document["status"] for document in documents} == rows
    everything = vmloom("plugins", "--all", VMLOOM_PLUGINS__DISABLE="off").stdout
    assert "Stack calculator with storage and events" in everything
    assert "vm same (not used)" in everything


def test_plugins_in_order_exit_with_0(vmloom: Any) -> None:
    assert vmloom("plugins").exit_code == 0
    assert vmloom("plugins", VMLOOM_PLUGINS__DISABLE="calc").exit_code == 0


def test_no_plugins_says_how_to_get_one(vmloom: Any, environment: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vmloom.plugins._installed", list)
    assert "pip install vmloom-evm" in vmloom("plugins").stdout


def test_help_survives_broken_plugins(vmloom: Any, environment: Any) -> None:
    environment.add("broken", "broken = broken_plugin", broken_plugin="import no_such_thing\n")
    result = vmloom("--help")
    assert result.exit_code == 0
    assert "Run CODE" in result.stdout
    assert result.stderr.startswith("warning: plugin broken 1.0 [error] ModuleNotFoundError")
    assert len(result.stderr.splitlines()) == 1
    assert vmloom("run", "00").exit_code == 0


def test_strict_plugins_are_one_line(vmloom: Any, environment: Any) -> None:
    environment.add("broken", "broken = broken_plugin", broken_plugin="import no_such_thing\n")
    result = vmloom("plugins", VMLOOM_PLUGINS__STRICT="1")
    assert error_of(result) == "error: plugins.strict: ModuleNotFoundError: No module named 'no_such_thing'"


def test_plugins_add_commands_that_are_imported_when_used(vmloom: Any, environment: Any) -> None:
    environment.add(
        "greeter",
        "greeter = greeter_plugin",
        greeter_plugin="@hookimpl\ndef vmloom_commands():\n"
        "    yield CommandSpec('greet', 'greeter_commands:greet', summary='Greet')\n"
        "    yield CommandSpec('gone', 'no_such_module:gone')\n"
        "    yield CommandSpec('wrong', 'json:dumps')\n",
        greeter_commands="import click\nfrom vmloom.cli import pass_app\n"
        "@click.command()\n@pass_app\ndef greet(app):\n    click.echo(app.factory.available())\n    return 1\n",
    )
    shown = vmloom("--help")
    assert "Greet [greeter]" in shown.stdout
    assert "greeter_commands" not in sys.modules
    result = vmloom("greet")
    assert (result.exit_code, result.stdout) == (1, "['calc']\n")
    assert "cannot be imported from no_such_module:gone" in error_of(vmloom("gone"))
    assert error_of(vmloom("wrong")) == "error: command 'wrong': its plugin's target is no click command"


def test_unknown_command(vmloom: Any) -> None:
    assert error_of(vmloom("rn", "00")).startswith("error: No such command 'rn'")


# Configuration


def test_config_show_names_sources(vmloom: Any) -> None:
    vmloom.write("vmloom.toml", "[vm.calc]\nstack_limit = 9\n")
    result = vmloom(
        "--set", "vm.calc.disabled=ADD,MUL", "config", "show", "--json", VMLOOM_VM__CALC__MAX_CODE_SIZE="77"
    )
    rows = json.loads(result.stdout)
    assert rows["vm.calc.stack_limit"] == {"value": 9, "source": "vmloom.toml"}
    assert rows["vm.calc.disabled"] == {"value": ["ADD", "MUL"], "source": "--set"}
    assert rows["vm.calc.max_code_size"] == {"value": 77, "source": "VMLOOM_VM__CALC__MAX_CODE_SIZE"}
    assert rows["logging.level"] == {"value": "warning", "source": "default"}
    table = vmloom("config", "show").stdout
    assert ["vm.calc.stack_limit", "9", "vmloom.toml"] in [line.split() for line in table.splitlines()]


def test_config_check(vmloom: Any, environment: Any) -> None:
    assert vmloom("config", "check").stdout == "ok\n"
    vmloom.write("node.toml", "[vm.calc]\nstack_limt = 9\n")
    result = vmloom("--config", "node.toml", "config", "check")
    assert error_of(result) == "error: node.toml: [vm.calc] stack_limt: unknown key (did you mean `stack_limit`?)"
    vmloom.write("node.toml", "[vm.clac]\nstack_limit = 9\n")
    result = vmloom("--config", "node.toml", "config", "check")
    assert error_of(result) == "error: node.toml: [vm.clac]: unknown section (did you mean `vm.calc`?)"


def test_config_init_writes_what_check_accepts(vmloom: Any) -> None:
    assert vmloom("config", "init").stdout == "wrote vmloom.toml\n"
    written = (vmloom.folder / "vmloom.toml").read_text()
    assert "\n[vm.calc]\n# max_code_size = 4096\n" in written
    assert '\n[logging]\n# level = "warning"\n' in written
    assert vmloom("config", "check").stdout == "ok\n"
    vmloom.write("vmloom.toml", re.sub(r"(?m)^# (\w+ = )", r"\1", written))  # as defaults they change nothing
    assert vmloom("config", "check").stdout == "ok\n"
    assert vmloom("config", "show", "--json").exit_code == 0


def test_config_init_replaces_nothing_unasked(vmloom: Any) -> None:
    vmloom.write("node.toml", "[vm.calc]\n")
    assert error_of(vmloom("config", "init", "node.toml")) == "error: node.toml: is there already"
    assert (vmloom.folder / "node.toml").read_text() == "[vm.calc]\n"
    assert vmloom("config", "init", "node.toml", "--force", "--section", "vm.calc").exit_code == 0
    assert [line for line in (vmloom.folder / "node.toml").read_text().splitlines() if line[:1] == "["] == ["[vm.calc]"]
    refused = vmloom("config", "init", "other.toml", "--section", "vm.clac")
    assert error_of(refused) == "error: --section vm.clac: unknown section (did you mean `vm.calc`?)"


def test_a_section_of_a_command_that_is_not_installed(vmloom: Any) -> None:
    vmloom.write("vmloom.toml", "[node]\nchain_id = 1\n")
    assert "no installed plugin offers command 'node'" in error_of(vmloom("config", "check"))


def test_configuration_takes_effect(vmloom: Any) -> None:
    refused = vmloom("--set", "vm.calc.disabled=STORE", "run", STORE)
    assert error_of(refused) == "error: offset 0x6: STORE is disabled"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--config", "nope.toml", "plugins"], "error: --config: no file 'nope.toml'"),
        (["--set", "vm.calc", "plugins"], "error: --set vm.calc: must have the form key=value"),
        (["--set", "stack=1", "plugins"], "error: --set stack: a key has the form section.key"),
        (["--log-level", "loud", "plugins"], "error: Invalid value for '--log-level'"),
    ],
)
def test_bad_global_options(vmloom: Any, arguments: list[str], message: str) -> None:
    assert error_of(vmloom(*arguments)).startswith(message)


def test_logs_go_to_stderr(vmloom: Any, environment: Any) -> None:
    environment.add(
        "talker",
        "talker = talker_plugin",
        talker_plugin="@hookimpl\ndef vmloom_commands():\n    yield CommandSpec('talk', 'talker_commands:talk')\n",
        talker_commands="import click, structlog\n@click.command()\ndef talk():\n"
        "    structlog.get_logger().info('quiet')\n    structlog.get_logger().warning('loud', n=1)\n",
    )
    result = vmloom("--set", "logging.format=json", "talk")
    assert result.stdout == ""
    assert [json.loads(line)["event"] for line in result.stderr.splitlines()] == ["loud"]
    result = vmloom("--log-level", "info", "talk")
    assert result.stdout == ""
    assert "quiet" in result.stderr


# The process


def test_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "vmloom", "--help"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        trouble = process.stderr.read().decode()
    assert "Traceback" not in trouble


def test_version(vmloom: Any) -> None:
    assert vmloom("--version").stdout.startswith("vmloom ")


def test_environment_of_tests_is_clean() -> None:
    assert not [name for name in os.environ if name.startswith("VMLOOM_") and name not in OTHER_VARIABLES]
