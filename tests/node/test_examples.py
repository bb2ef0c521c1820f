"""The example nodes: their configurations are right, and the blocks to be replayed are what their script makes."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
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


def test_the_unit_and_the_image_name_what_there_is() -> None:
    unit = (EXAMPLES / "vmloom-node.service").read_text()
    assert "vmloom node --config" in unit
    image = (EXAMPLES / "Containerfile").read_text()
    named = {word.rpartition("/")[2] for word in image.split() if word.startswith("/src/plugins/")}
    assert named == {folder.name for folder in (ROOT / "plugins").iterdir() if folder.is_dir()}
