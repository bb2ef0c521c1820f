"""The reference of methods in Markdown, from the table: `docs/generate.py` writes it into the documentation."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from . import methods
from .protocol import Code
from .table import METHODS, REQUIRED, Method, Parameter

assert methods  # importing them fills METHODS

INTRODUCTION: Final = """\
`vmloom node` answers JSON-RPC 2.0 at one address: HTTP POST with the content type `application/json`, and WebSocket.
Batches are lists of calls. What is answered has the shapes of geth, and so have errors; receipts have one field more,
`vm`, the machine that ran the outermost call.

Names in the tables are positions: parameters are a list. One with a default may be left out, or be `null`.

| parameter | what it is |
|---|---|
| address, 32-byte hash, data | `0x` and two hex digits for each byte |
| quantity | `0x` and hex digits, the first one not zero but for `0x0` |
| number or quantity | a JSON number, or hex or decimal digits in a string |
| slot | `0x` and up to 64 hex digits |
| block number or tag | a quantity, or `earliest`, `latest`, `pending`, `safe`, `finalized` |
| block | that, a 32-byte hash, or an object with `blockNumber` or `blockHash` (EIP-1898) |
| transaction object | `from`, `to`, `gas`, `value`, `data` or `input`, `nonce`, fees, `accessList`, and so on; `vm` \
names the machine that a creation is for |
| filter object | `address`, `topics`, and `fromBlock` and `toBlock`, or `blockHash` |
| state overrides | by address: `balance`, `nonce`, `code`, and `state` or `stateDiff` |
| block overrides | `number`, `time`, `gasLimit`, `feeRecipient`, `prevRandao`, `baseFeePerGas`, `blobBaseFee` |
| trace options | `tracer`, `tracerConfig`, `enableMemory`, `disableStack`, `disableStorage`, `enableReturnData`, \
`limit`; for a call also `stateOverrides` and `blockOverrides` |
| trace types | a list of `trace` (the calls), `stateDiff` (what changed) and `vmTrace` (every instruction); what is \
not asked for is `[]` or `null` in the answer |
| trace filter | `fromBlock`, `toBlock`, `fromAddress` and `toAddress` (lists), `mode`, `after`, `count` |

How large, how many, how long and how fast requests may be is set in [`[node.rpc]`](configuration.md#noderpc).
"""
ERRORS: Final = {
    Code.REVERTED: "the call reverted; `data` is its output",
    Code.NOT_MINED: "the transaction was taken, but is in no block when the time is up; `data` is its hash (EIP-7966)",
    Code.SERVER_ERROR: "the request cannot be met; `message` says why, in geth's words where geth has some",
    Code.TIMED_OUT: "the time that a call may take is up",
    Code.RESPONSE_TOO_LARGE: "the answer, or all answers of a batch together, are too large",
    Code.UNSUPPORTED: "this node does not do it, such as sending where it only imports blocks",
    Code.LIMIT_EXCEEDED: "too much was asked for, or too fast",
    Code.HISTORY_PRUNED: "the state after that block is not kept any more",
    Code.PARSE_ERROR: "the text is no JSON, or nested too deeply",
    Code.INVALID_REQUEST: "the JSON is no request, or the batch is empty or too large",
    Code.METHOD_NOT_FOUND: "there is no such method, or its namespace is not served",
    Code.INVALID_PARAMS: "a parameter is missing or wrong; `message` says which and how",
    Code.INTERNAL_ERROR: "a fault of the node, which its log tells",
}
NAMESPACES: Final = {
    "eth": "Ethereum's own methods.",
    "net": "The network.",
    "web3": "The node, and a hash.",
    "debug": "Traces and encodings.",
    "trace": "Traces in Parity's format, as OpenEthereum, Erigon, Reth and anvil have them.",
    "txpool": "The mempool.",
    "personal": "Signatures, as wallets ask for them.",
    "ots": "What the explorer Otterscan asks for.",
    "erigon": "A name of Erigon's, for Otterscan.",
    "evm": "Development: snapshots, mining, time.",
    "anvil": "Development, under the names of Foundry's node.",
    "hardhat": "Development, under the names of Hardhat's node.",
    "vmloom": "What no other node has.",
}


def reference() -> str:
    """All methods by namespace, with their parameters, and the codes of errors."""
    lines = [INTRODUCTION, "## Errors", "", "| code | |", "|---|---|"]
    lines += [f"| {code.value} | {meaning} |" for code, meaning in ERRORS.items()]
    lines += ["", "eth_simulateV1 has codes of its own for calls that may not run, from its specification."]
    for namespace, about in NAMESPACES.items():
        lines += ["", f"## {namespace}", "", about, "", "| method | parameters | |", "|---|---|---|"]
        lines += [_row(one) for _, one in sorted(METHODS.items()) if one.namespace == namespace]
    return "\n".join(lines) + "\n"


def _row(one: Method) -> str:
    text = " ".join(one.documentation.split())
    if one.aliases:
        text += " Also " + ", ".join(f"`{name}`" for name in one.aliases) + "."
    return f"| `{one.name}` | {', '.join(_parameters(one))} | {text} |".replace("|  |", "| |")


def _parameters(one: Method) -> Iterator[str]:
    for parameter in one.parameters:
        kind = "" if parameter.shape.name == parameter.name else f": {parameter.shape.name}"
        yield f"`{parameter.name}`{kind}{_default(parameter)}"


def _default(parameter: Parameter) -> str:
    """What stands for a parameter that is left out, where JSON can say it."""
    if parameter.default is REQUIRED:
        return ""
    if isinstance(parameter.default, bool | int | str):
        return f" = `{json.dumps(parameter.default)}`"
    return " (optional)"
