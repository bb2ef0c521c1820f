"""Code of Solidity's compiler: every jump and function is found, and optimised code does the same."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from vmloom import Account, ExecutionContext, MemoryState
from vmloom.hashing import keccak256
from vmloom_evm import Evm

FOLDER = Path(__file__).parent / "contracts"
ARTIFACT = json.loads((FOLDER / "token.json").read_text())
CODES = {name: bytes.fromhex(ARTIFACT[name]) for name in ("optimized", "plain")}
TOKEN, ALICE, BOB = b"\xaa" * 20, b"\xbb" * 20, b"\xcc" * 20
SIGNATURES = [
    "balanceOf(address)",
    "allowance(address,address)",
    "totalSupply()",
    "transfer(address,uint256)",
    "approve(address,uint256)",
    "transferFrom(address,address,uint256)",
    "sum(uint256)",
]
_BUILD = """
const solc = require("solc"), fs = require("fs");
const settings = {optimizer: {enabled: process.argv[2] == "optimized"}, evmVersion: "cancun"};
settings.outputSelection = {"*": {"*": ["evm.deployedBytecode.object"]}};
const sources = {"token.sol": {content: fs.readFileSync(process.argv[3], "utf8")}};
const output = JSON.parse(solc.compile(JSON.stringify({language: "Solidity", sources, settings})));
console.log(output.contracts["token.sol"].Token.evm.deployedBytecode.object);
"""


def word(value: int | bytes) -> bytes:
    return (value if isinstance(value, int) else int.from_bytes(value, "big")).to_bytes(32, "big")


def call(signature: str, *arguments: int | bytes) -> bytes:
    return keccak256(signature.encode())[:4] + b"".join(map(word, arguments))


def outcome(evm: Evm, code: bytes, data: bytes) -> tuple[Any, int]:
    state = MemoryState({TOKEN: Account(code=code), ALICE: Account(balance=1)})
    state.set_storage(TOKEN, int.from_bytes(keccak256(word(ALICE) + word(0)), "big"), 1000)
    state.set_storage(TOKEN, 2, 1000)
    result = evm.execute(code, ExecutionContext(caller=ALICE, address=TOKEN, input=data, gas_limit=1_000_000), state)
    return (result.state, result.return_data, result.events, state.storage_of(TOKEN)), result.gas_used


@pytest.fixture(scope="module")
def evm() -> Evm:
    return Evm()


@pytest.mark.parametrize("name", CODES)
def test_every_jump_and_function_is_found(evm: Evm, name: str) -> None:
    analysis = evm.analyse(CODES[name])
    assert analysis.unresolved == ()
    assert set(analysis.selectors) == {"0x" + call(signature).hex() for signature in SIGNATURES}
    assert analysis.stack_high is not None
    assert analysis.unreachable_bytes > 50  # the compiler's notes behind the code


@pytest.mark.parametrize("name", CODES)
def test_optimised_tokens_do_the_same_for_no_more_gas(evm: Evm, name: str) -> None:
    report = evm.optimise(CODES[name], level=3)
    assert report.refused == ()
    assert report.saved_bytes > 90
    calls = [
        call("transfer(address,uint256)", BOB, 7),
        call("transfer(address,uint256)", BOB, 70_000),
        call("transferFrom(address,address,uint256)", ALICE, BOB, 3),
        call("approve(address,uint256)", BOB, 9),
        call("balanceOf(address)", ALICE),
        call("sum(uint256)", 60),
        call("sum(uint256)", 10**9),
        call("totalSupply()"),
        b"",
        b"\1\2\3\4",
    ]
    saved = 0
    for data in calls:
        before, gas_before = outcome(evm, CODES[name], data)
        after, gas_after = outcome(evm, report.code, data)
        assert before == after, data.hex()
        assert gas_after <= gas_before
        saved += gas_before - gas_after
    assert saved > 0


@pytest.mark.parametrize("name", CODES)
def test_the_artifact_is_what_the_source_compiles_to(name: str, tmp_path: Path) -> None:
    node = shutil.which("node")
    if node is None or subprocess.run([node, "-e", "require('solc')"], capture_output=True, check=False).returncode:
        pytest.skip("solc is not installed: npm install solc@0.8.28, with NODE_PATH at its node_modules")
    script = tmp_path / "build.js"
    script.write_text(_BUILD)
    command = [node, str(script), name, str(FOLDER / "token.sol")]
    built = subprocess.run(command, capture_output=True, text=True, check=True)
    assert built.stdout.strip() == ARTIFACT[name]
