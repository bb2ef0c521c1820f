"""The explorer as a browser shows it: a chain of all kinds, and headless Chromium where it is installed."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from vmloom.factory import VmFactory
from vmloom_evm.assembly import call, deployer, mstore, pop, ret_top, revert, sstore
from vmloom_node.chain import TransactionRequest
from vmloom_node.config import NodeConfig, RpcConfig
from vmloom_node.explorer import page
from vmloom_node.node import Node

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")
HOSTILE = "<img src=x onerror=document.title=1>&lt;"
WASM = Path(__file__).parents[3] / "examples/wasm-token/token-wat.wasm"
GAS = 500_000


@dataclass(frozen=True)
class World:
    """A node that runs, with its transactions by name, in hex."""

    node: Node
    url: str
    transactions: dict[str, str]
    callee: str


def error_text(text: str) -> bytes:
    """`Error(string)`"""
    data = text.encode()
    return bytes.fromhex("08c379a0") + (32).to_bytes(32, "big") + len(data).to_bytes(32, "big") + data.ljust(64, b"\0")


def fill(node: Node) -> tuple[dict[str, str], str]:
    """Contracts that call each other, a revert with a hostile reason, a contract of another VM."""
    chain = node.chain

    def send(**fields: object) -> tuple[str, bytes | None]:
        request = TransactionRequest(sender=chain.accounts.addresses[0], gas_limit=GAS, **fields)  # type: ignore[arg-type]
        hash_ = chain.send_request(request)
        return "0x" + hash_.hex(), chain.receipt(hash_).contract

    _, callee = send(data=bytes(deployer(sstore(7, 0xABCD) + ret_top(1))))
    assert callee is not None
    inner = int.from_bytes(callee, "big")
    _, caller = send(data=bytes(deployer(pop(call(inner, gas=100_000)) + pop(call(inner, gas=50_000)))))
    reason = error_text(HOSTILE)
    words = [int.from_bytes(reason[at : at + 32].ljust(32, b"\0"), "big") for at in range(0, len(reason), 32)]
    stores = [mstore(32 * at, word) for at, word in enumerate(words)]
    body = stores[0]
    for one in stores[1:]:
        body = body + one
    _, hostile = send(data=bytes(deployer(body + revert(0, len(reason)))))
    calls, _ = send(to=caller)
    reverts, _ = send(to=hostile)
    chain.send_request(
        TransactionRequest(sender=chain.accounts.addresses[0], gas_limit=15_000_000, data=WASM.read_bytes())
    )
    return {"calls": calls, "reverts": reverts}, "0x" + callee.hex()


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    with Node(NodeConfig(rpc=RpcConfig(port=0)), VmFactory()) as node:
        transactions, callee = fill(node)
        with node.background() as server:
            yield World(node, server.url, transactions, callee)


@pytest.fixture
def browse(tmp_path: Path) -> Callable[[str], str]:
    """The DOM that a browser has made of an address, as text."""

    def browse(url: str) -> str:
        assert CHROMIUM is not None
        options = ["--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
        command = [CHROMIUM, *options, "--virtual-time-budget=4000", "--dump-dom", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        assert "data-ready" in done.stdout, done.stderr
        return done.stdout

    return browse


def main_of(dom: str) -> str:
    """What stands in the page itself, without its script."""
    return dom[dom.index("<main") : dom.index("</main>")]


def texts_of(dom: str) -> str:
    """What people read of it."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main_of(dom))).split())


@needs_browser
def test_the_chain(world: World, browse: Callable[[str], str]) -> None:
    dom = browse(world.url)
    text = texts_of(dom)
    assert "Chain id 31,337" in text
    assert "Fork osaka" in text
    assert "Machines evm, prozvm, wasm" in text
    assert dom.count('href="#/block/') >= 7
    assert f'href="#/tx/{world.transactions["calls"]}"' in dom
    assert 'class="badge good" role="status">live' in dom


@needs_browser
def test_calls_gas_and_storage_of_a_transaction(world: World, browse: Callable[[str], str]) -> None:
    dom = browse(f"{world.url}/#/tx/{world.transactions['calls']}")
    text = texts_of(dom)
    assert "Calls (3)" in text
    tree = dom[dom.index('id="tree"') : dom.index('id="flame"')]
    assert tree.count(f'href="#/address/{world.callee}"') == 2
    flame = dom[dom.index('id="flame"') : dom.index("Storage changes")]
    assert flame.count("<rect") == 3
    assert "100.0% of all" in flame
    assert "Storage changes Account Slot Before After" in text
    assert "0x7 0x0 0xabcd" in text


@needs_browser
def test_what_contracts_say_stays_text(world: World, browse: Callable[[str], str]) -> None:
    dom = browse(f"{world.url}/#/tx/{world.transactions['reverts']}")
    assert f"execution reverted: {HOSTILE}" in texts_of(dom)
    assert "<img" not in dom
    assert "<title>Transaction" in dom
    dom = browse(f"{world.url}/#/<img src=x onerror=document.title=1>")
    assert "There is no page /<img src=x" in texts_of(dom)
    assert "<img" not in main_of(dom)


@needs_browser
def test_contracts_by_machine_and_metrics(world: World, browse: Callable[[str], str]) -> None:
    text = texts_of(browse(f"{world.url}/#/contracts"))
    assert "wasm 1 contract" in text
    dom = browse(f"{world.url}/#/metrics")
    assert "vmloom_head_number" in dom
    assert main_of(dom).count('class="chart"') == 2


@needs_browser
def test_a_node_that_says_less(browse: Callable[[str], str]) -> None:
    config = NodeConfig(rpc=RpcConfig(port=0, namespaces=("eth",)))
    with Node(config, VmFactory()) as node, node.background() as server:
        assert "Chain id 31,337" in texts_of(browse(server.url))
        assert "does not say which contracts there are" in texts_of(browse(f"{server.url}/#/contracts"))


def test_the_page_lets_nothing_run_but_its_script() -> None:
    made = page()
    text = made.body.decode()
    policy = made.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        (content,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{rule} 'sha256-{digest}'" in policy
    assert not re.search(r" on\w+=|style=\"|innerHTML|insertAdjacentHTML|\beval\(", text)
    # The namespace of SVG is a name, not a place.
    assert set(re.findall(r"https?://[\w./]+", text)) == {"http://www.w3.org/2000/svg"}


def test_it_is_served_only_if_it_is_wanted(world: World) -> None:
    with urllib.request.urlopen(world.url) as answer:
        assert answer.read() == page().body
        assert answer.headers["content-security-policy"] == page().headers["content-security-policy"]
    config = NodeConfig(rpc=RpcConfig(port=0, explorer=False))
    with Node(config, VmFactory()) as node, node.background() as server:
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(server.url)
        assert refused.value.code == 405
        refused.value.close()
        body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "eth_chainId"}).encode()
        request = urllib.request.Request(server.url, body, {"content-type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            assert json.load(answer)["result"] == "0x7a69"
