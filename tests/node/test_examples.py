"""The example nodes: their configurations are right, and the blocks to be replayed are what their script makes."""

from __future__ import annotations

import importlib.util
import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import CliRunner
from vmloom.cli.commands import root
from vmloom.factory import VmFactory
from vmloom.settings import load_settings
from vmloom_node.cli import read_config
from vmloom_node.config import NodeConfig
from vmloom_node.node import Node

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples/node"


def configured(name: str) -> NodeConfig:
    return read_config(load_settings(config=EXAMPLES / name, environment={}))


@pytest.mark.parametrize("name", ["dev.toml", "multi-vm.toml"])
def test_configurations_make_nodes(name: str, tmp_path: Path) -> None:
    settings = load_settings(config=EXAMPLES / name, environment={})
    config = read_config(settings)
    if config.store.path:
        config = config.model_copy(
            update={"store": config.store.model_copy(update={"path": str(tmp_path / config.store.path)})}
        )
    with Node(config, VmFactory(settings)) as node:
        assert node.chain.chain_id == config.chain_id
        assert node.chain.mining == config.mining.mode


def test_the_replay_checks_and_then_only_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = configured("replay.toml")
    with Node(config, VmFactory()) as node:
        node.replay(config.replay)
        assert node.chain.head.number == 4
        assert [node.chain.receipts(number)[0].success for number in range(1, 5)] == [True, True, True, False]
        refused = node.dispatcher.handle(
            b'{"jsonrpc":"2.0","id":1,"method":"eth_sendRawTransaction","params":["0x02"]}'
        )
        assert refused is not None
        assert b'"error"' in refused


def test_the_script_makes_the_same_chain_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    specification = importlib.util.spec_from_file_location("make_chain", EXAMPLES / "make_chain.py")
    assert specification is not None
    assert specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    monkeypatch.setattr(module, "FOLDER", tmp_path)
    make: Callable[[], None] = module.main
    make()
    for name in ("genesis.json", "blocks.rlp"):
        assert (tmp_path / name).read_bytes() == (EXAMPLES / "chain" / name).read_bytes()


WITHOUT_A_PLACE = {"cuda"}
"""Plugins that the image leaves out: a container has no device by default."""


def instruction(name: str) -> str:
    """What follows an instruction of the Containerfile, its lines joined."""
    lines = iter((EXAMPLES / "Containerfile").read_text().splitlines())
    line = next(line for line in lines if line.startswith(f"{name} "))
    while line.endswith("\\"):
        line = line.removesuffix("\\") + next(lines).strip()
    return line.removeprefix(f"{name} ")


def words(name: str) -> list[str]:
    """The command of an instruction, in its JSON form."""
    found: list[str] = json.loads(instruction(name).rpartition("CMD ")[2])
    return found


def test_the_image_installs_every_plugin_by_its_path() -> None:
    paths = [word for word in instruction("RUN").split("&&")[0].split() if word.startswith("/src/")]
    assert all((ROOT / path.removeprefix("/src/") / "pyproject.toml").is_file() for path in paths)
    named = {path.rpartition("/")[2] for path in paths} - {"core"}
    assert named == {folder.name for folder in (ROOT / "plugins").iterdir() if folder.is_dir()} - WITHOUT_A_PLACE


def test_the_images_commands_start_ask_and_stop_a_node(tmp_path: Path) -> None:
    program, *options = [*words("ENTRYPOINT"), *words("CMD")]
    assert program == "vmloom"
    assert options[options.index("--state") + 1].startswith("/data/")  # its volume
    options[options.index("--state") + 1] = str(tmp_path / "chain")
    options[options.index("--host") + 1] = "127.0.0.1"  # a test opens no port to others
    command = [sys.executable, "-m", program, *options, "--port", "0"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        listening = next(line for line in process.stdout if line.startswith("Listening at "))
        port = listening.strip().rpartition(":")[2]
        _, *asking = [word.replace("8545", port) for word in words("HEALTHCHECK")]
        assert subprocess.run([sys.executable, *asking], check=False).returncode == 0
        process.send_signal(signal.Signals[instruction("STOPSIGNAL")])
        assert process.wait(timeout=30) == 0
        assert subprocess.run([sys.executable, *asking], check=False, stderr=subprocess.DEVNULL).returncode != 0


def test_systemd_takes_the_unit_and_the_command_its_options(tmp_path: Path) -> None:
    unit = (EXAMPLES / "vmloom-node.service").read_text()
    started = next(line for line in unit.splitlines() if line.startswith("ExecStart="))
    program, *options = started.removeprefix("ExecStart=").split()
    assert program.endswith("/bin/vmloom")
    runner = CliRunner()
    assert runner.invoke(root, [*options, "--help"]).exit_code == 0
    assert runner.invoke(root, [*options, "--no-such-option", "--help"]).exit_code != 0
    analyze = shutil.which("systemd-analyze")
    if analyze is None:
        pytest.skip("systemd-analyze is not installed: apt-get install systemd")
    there = tmp_path / "vmloom-node.service"
    there.write_text(unit.replace(program, sys.executable))
    checked = subprocess.run([analyze, "verify", "--man=no", there], capture_output=True, text=True, check=False)
    assert (checked.returncode, checked.stderr) == (0, "")
