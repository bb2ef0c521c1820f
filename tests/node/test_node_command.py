"""`vmloom node`: options and configuration, the banner, how it ends, and that it goes on where it ended."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from vmloom.cli.commands import root
from vmloom.errors import ConfigError
from vmloom.factory import VmFactory
from vmloom.settings import Settings, load_settings
from vmloom_node.cli import configured, log_settings, read_config
from vmloom_node.config import NodeConfig, StoreConfig, known_vms
from vmloom_node.node import Node, checksummed

NOTHING: dict[str, Any] = {"no_mining": False, "block_time": None, "state": None}
FIRST = "0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266"


def ask(url: str, method: str, *params: Any) -> Any:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": params}).encode()
    with urllib.request.urlopen(urllib.request.Request(url, body, {"content-type": "application/json"})) as answer:
        return json.load(answer)["result"]


@contextlib.contextmanager
def running(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[str], str, str]]:
    """The process, its URL, and what it printed before it; the process has ended well afterwards."""
    command = [sys.executable, "-m", "vmloom", "node", "--port", "0", *options]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("VMLOOM_CONFIG")}
    process = subprocess.Popen(
        command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    try:
        printed = ""
        for line in process.stdout:
            if line.startswith("Listening at "):
                yield process, line.removeprefix("Listening at ").strip(), printed
                break
            printed += line
        else:
            raise AssertionError(process.communicate()[1])
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        process.communicate(timeout=30)
    finally:
        if process.poll() is None:
            process.kill()
        process.communicate()


def test_a_chain_goes_on_after_the_node_was_ended(tmp_path: Path) -> None:
    with running(tmp_path, "--state", "chain", "--config", _config(tmp_path)) as (process, url, printed):
        assert FIRST in printed
        assert "0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80" in printed
        sender, receiver = ask(url, "eth_accounts")[:2]
        hash_ = ask(url, "eth_sendTransaction", {"from": sender, "to": receiver, "value": "0x5"})
        assert ask(url, "eth_chainId") == hex(777)
        process.send_signal(signal.SIGINT)
        _, log = process.communicate(timeout=30)
    assert process.returncode == 0
    events = [json.loads(line) for line in log.splitlines() if "compiling" not in line]  # a notice of the first use
    assert [one["event"] for one in events] == ["chain opened", "listening", "stopped"]
    with running(tmp_path, "--state", "chain", "--config", "node.toml", "--quiet") as (_, url, printed):
        assert printed == ""
        assert ask(url, "eth_getTransactionReceipt", hash_)["status"] == "0x1"
        assert ask(url, "eth_getBalance", receiver, "latest") == hex(3 * 10**18 + 5)
        with urllib.request.urlopen(url + "/ready") as answer:
            assert json.load(answer) == {"ready": True, "head": 1}
        with urllib.request.urlopen(url + "/metrics") as answer:
            assert b"vmloom_head_number 1.0" in answer.read()


def _config(folder: Path) -> str:
    (folder / "node.toml").write_text(
        "[node]\nchain_id = 777\n[node.accounts]\ncount = 2\nbalance = 3\n[logging]\nformat = 'json'\n"
    )
    return "node.toml"


def test_a_phrase_of_ones_own_is_not_shown_with_its_keys() -> None:
    phrase = "legal winner thank year wave sausage worth useful legal winner thank yellow"
    with Node(NodeConfig.model_validate({"accounts": {"mnemonic": phrase, "count": 25}}), VmFactory()) as node:
        from rich.console import Console

        console = Console(record=True, width=200, file=open(os.devnull, "w"))  # noqa: SIM115, PTH123 # rich closes none
        for part in node.banner():
            console.print(part)
        console.file.close()
        text = console.export_text()
        keys = [node.chain.accounts.key_of(address) for address in node.chain.accounts.addresses]
    assert "private key" not in text
    assert not any(key.hex() in text for key in keys if key)
    assert "... and 5 more" in text


def test_options_go_before_the_file(tmp_path: Path) -> None:
    (tmp_path / "vmloom.toml").write_text("[node]\nchain_id = 5\n[node.rpc]\nport = 1\n")
    settings = configured(
        load_settings(directory=tmp_path, environment={}),
        {**NOTHING, "port": "2", "block_time": "0.5", "state": "here", "vms": ("wasm",), "host": None},
    )
    config = read_config(settings)
    assert (config.chain_id, config.rpc.port, config.vms) == (5, 2, ("wasm",))
    assert (config.mining.mode, config.mining.interval) == ("interval", 0.5)
    assert config.store == StoreConfig(kind="lmdb", path="here")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"port": "http"}, "--port: input should be a valid integer"),
        ({"hardfork": "cancum"}, "--hardfork: unknown fork 'cancum'"),
        ({"mnemonic": "too few words"}, "--mnemonic: a mnemonic has 12"),
        ({"no_mining": True, "block_time": "1"}, "--no-mining and --block-time exclude each other"),
        ({"block_time": "-1"}, "--block-time: input should be greater than 0"),
    ],
)
def test_a_wrong_option_is_named(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_config(configured(Settings(), {**NOTHING, **options}))
    assert str(refused.value).startswith(message)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[node]\nport = 1", "node.toml: [node] port: unknown key"),
        ("[node.rpc]\nhots = 'x'", "node.toml: [node.rpc] hots: unknown key (did you mean `host`?)"),
        ("[node.store]\nkind = 'lmdb'", "the store lmdb needs a path"),
        ("[node.store]\npath = 'x'", "the store memory keeps nothing"),
        ("[node.rpc]\ncors_origins = ['example.org']", "an origin has the form"),
        ("[node]\nvms = ['wsam']", "no installed plugin offers vm 'wsam' (did you mean `wasm`?)"),
        ("[node.genesis]\nfile = 'nowhere.json'", "nowhere.json: No such file"),
    ],
)
def test_a_wrong_configuration_is_one_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "node.toml").write_text(text)
    with contextlib.chdir(tmp_path):
        done = CliRunner().invoke(root, ["node", "--config", "node.toml"])
    assert done.exit_code == 2, done.output
    (line, *_) = [one for one in done.stderr.splitlines() if one.startswith("error: ")]
    assert message in line


def test_a_port_in_use_is_told(tmp_path: Path) -> None:
    with Node(NodeConfig.model_validate({"rpc": {"port": 0}}), VmFactory()) as node, node.background() as server:
        port = server.url.rpartition(":")[2]
        with contextlib.chdir(tmp_path):
            done = CliRunner().invoke(root, ["node", "--port", port])
    assert done.exit_code == 2
    assert "cannot listen" in done.stderr
    assert "fix: choose another port with --port" in done.stderr


def test_a_node_logs_unless_it_is_told_not_to() -> None:
    assert log_settings(Settings()).level == "info"
    assert log_settings(Settings({"logging": {"level": "error"}})).level == "error"


def test_machines_are_chosen() -> None:
    assert known_vms(NodeConfig(), ["evm", "wasm"]) == ("evm", "wasm")
    assert known_vms(NodeConfig(vms=("wasm",)), ["evm", "prozvm", "wasm"]) == ("evm", "wasm")
    with pytest.raises(ValueError, match="did you mean `wasm`"):
        known_vms(NodeConfig(vms=("wasn",)), ["evm", "wasm"])


def test_checksums_of_addresses() -> None:
    """The examples of EIP-55."""
    for text in (
        "0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed",
        "0xfB6916095ca1df60bB79Ce92cE3Ea74c37c5d359",
        "0xdbF03B407c01E7cD3CBea99509d93f8DDDC8C6FB",
    ):
        assert checksummed(bytes.fromhex(text[2:])) == text
