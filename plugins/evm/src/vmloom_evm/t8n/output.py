"""What a transition writes: the post-state, the result and the body, in the JSON shapes of geth's tool."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vmloom import BlockContext, MemoryState

from ..block.process import BlockResult
from ..block.receipts import Receipt
from ..reference.frame import VM_NAME
from ..transaction.codec import encode_transaction
from .environment import Environment
from .failure import ExitCode, TransitionError
from .transactions import encode_body

BLOCK_HASH = "0x1337" + "00" * 30
"""What receipts and logs name as their block, whose hash nobody knows yet; tools expect this very one."""
NO_ADDRESS = bytes(20)


def alloc_json(state: MemoryState) -> dict[str, Any]:
    """Every account: code, storage in full words, balance, nonce; empty fields but the balance left out.

    Accounts of other VMs also have `vm` and `records`, as in vmloom's own alloc files.
    """
    alloc = {}
    for address, account in state.accounts():
        fields: dict[str, Any] = {
            "code": _hex(account.code) if account.code else "",
            "storage": {f"0x{slot:064x}": f"0x{word:064x}" for slot, word in state.storage_of(address).items()},
            "balance": hex(account.balance),
            "nonce": hex(account.nonce) if account.nonce else "",
            "vm": account.vm if account.vm != VM_NAME else "",
            "records": {_hex(key): _hex(value) for key, value in state.records_of(address).items()},
        }
        alloc[_hex(address)] = {name: value for name, value in fields.items() if value}
    return alloc


def result_json(result: BlockResult, environment: Environment) -> dict[str, Any]:
    """Roots, receipts and what the next block derives its fields from."""
    context = environment.block.context
    has_blobs = environment.excess_blob_gas is not None and result.blob_gas_used is not None
    fields: dict[str, Any] = {
        "stateRoot": _hex(result.state_root),
        "txRoot": _hex(result.transactions_root),
        "receiptsRoot": _hex(result.receipts_root),
        "logsHash": _hex(result.logs_hash),
        "logsBloom": _hex(result.logs_bloom),
        "receipts": receipts_json(result.receipts, context),
    }
    if result.rejected:
        fields["rejected"] = [{"index": one.index, "error": str(one.cause)} for one in result.rejected]
    # Since Paris a block has no difficulty (EIP-3675), which is not the same as one of 0.
    fields["currentDifficulty"] = hex(context.difficulty) if environment.has_difficulty else None
    fields["gasUsed"] = hex(result.gas_used)
    if environment.base_fee is not None:
        fields["currentBaseFee"] = hex(environment.base_fee)
    if result.withdrawals_root is not None:
        fields["withdrawalsRoot"] = _hex(result.withdrawals_root)
    if has_blobs:
        fields["currentExcessBlobGas"] = hex(environment.excess_blob_gas or 0)
        fields["blobGasUsed"] = hex(result.blob_gas_used or 0)
    if result.requests_hash is not None:
        fields["requestsHash"] = _hex(result.requests_hash)
    fields["requests"] = None if result.requests is None else [_hex(one) for one in result.requests]
    return fields


def receipts_json(receipts: tuple[Receipt, ...], context: BlockContext) -> list[dict[str, Any]]:
    """The receipts, as an Ethereum node would show them."""
    shown = []
    log_index = 0
    for index, receipt in enumerate(receipts):
        fields: dict[str, Any] = {"type": hex(receipt.type)} if receipt.type else {}
        fields |= {
            "root": _hex(receipt.state_root),
            "status": hex(receipt.success),
            "cumulativeGasUsed": hex(receipt.cumulative_gas_used),
            "logsBloom": _hex(receipt.bloom),
            "logs": logs_json(receipt, index, log_index, context),
            "transactionHash": _hex(receipt.transaction_hash),
            "contractAddress": _hex(receipt.contract or NO_ADDRESS),
            "gasUsed": hex(receipt.gas_used),
            "effectiveGasPrice": hex(receipt.gas_price),
        }
        if receipt.blob_gas_used:
            fields |= {"blobGasUsed": hex(receipt.blob_gas_used), "blobGasPrice": hex(receipt.blob_gas_price)}
        fields |= {"blockHash": BLOCK_HASH, "blockNumber": hex(context.number), "transactionIndex": hex(index)}
        shown.append(fields)
        log_index += len(receipt.events)
    return shown


def logs_json(receipt: Receipt, transaction: int, first: int, context: BlockContext) -> list[dict[str, Any]]:
    """The logs of a receipt; `first` counts those before it in the block."""
    return [
        {
            "address": _hex(event.address),
            "topics": [f"0x{topic:064x}" for topic in event.topics],
            "data": _hex(event.data),
            "blockNumber": hex(context.number),
            "transactionHash": _hex(receipt.transaction_hash),
            "transactionIndex": hex(transaction),
            "blockHash": BLOCK_HASH,
            "blockTimestamp": hex(context.timestamp),
            "logIndex": hex(first + position),
            "removed": False,
        }
        for position, event in enumerate(receipt.events)
    ]


def body_json(result: BlockResult) -> str:
    """The RLP of the included transactions, as hex."""
    return _hex(encode_body([encode_transaction(tx) for tx in result.included]))


def write_outputs(folder: Path, outputs: Mapping[str, tuple[str, Any]]) -> None:
    """Write each of `outputs`, a destination and a JSON value by name. Raises `TransitionError`.

    A destination is a file in `folder`, `stdout` or `stderr` (all that goes to one is one object), or empty for none.
    """
    streams: dict[str, dict[str, Any]] = {"stdout": {}, "stderr": {}}
    for name, (destination, value) in outputs.items():
        if destination in streams:
            streams[destination][name] = value
        elif destination:
            _write_file(folder / destination, value)
    for destination, values in streams.items():
        if values:
            stream = sys.stdout if destination == "stdout" else sys.stderr
            stream.write(json.dumps(values, indent=2) + "\n")


def _write_file(path: Path, value: Any) -> None:
    try:
        path.write_text(json.dumps(value, indent=1), "utf-8")
    except (OSError, ValueError) as error:
        raise TransitionError(ExitCode.IO, f"{path}: cannot be written: {describe(error)}") from None


def describe(error: OSError | ValueError) -> str:
    """What went wrong with a file, without its path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _hex(data: bytes) -> str:
    return "0x" + data.hex()
