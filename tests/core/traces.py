"""Lines of made-up traces, for the tests of reports."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from typing import Any, Final

from vmloom.report import Run, build, read_trace

CALLER: Final = "0x" + "11" * 20
FIRST: Final = "0x" + "aa" * 20
OTHER: Final = "0x" + "bb" * 20

OPS: Final = {"STOP": 0, "ADD": 1, "ADDRESS": 0x30, "POP": 0x50, "MSTORE": 0x52, "SLOAD": 0x54, "SSTORE": 0x55,
              "PUSH1": 0x60, "CREATE": 0xF0, "CALL": 0xF1, "RETURN": 0xF3, "DELEGATECALL": 0xF4, "REVERT": 0xFD,
              "INVALID": 0xFE, "SELFDESTRUCT": 0xFF}  # fmt: skip


def step(name: str, gas: int, *stack: int, cost: int = 3, depth: int = 1, pc: int = 0, **more: Any) -> dict[str, Any]:
    """The line of an instruction; the top of the stack comes last."""
    return {
        "pc": pc,
        "op": OPS[name],
        "gas": hex(gas),
        "gasCost": hex(cost),
        "memSize": 0,
        "stack": [hex(one) for one in stack],
        "depth": depth,
        "refund": 0,
        "opName": name,
        **more,
    }


def enter(kind: str, to: str, gas: int, sender: str = CALLER, value: str | None = "0x0") -> dict[str, Any]:
    """The line of a frame that begins."""
    return {"from": sender, "to": to, "gas": hex(gas), "value": value, "type": kind}


def leave(gas_used: int, error: str = "", output: str = "") -> dict[str, Any]:
    """The line of a frame that ends."""
    return {"output": output, "gasUsed": hex(gas_used), **({"error": error} if error else {})}


def lines(*documents: Any) -> bytes:
    """A trace; what is text stands in it as it is."""
    return "".join((one if isinstance(one, str) else json.dumps(one)) + "\n" for one in documents).encode()


def run_of(documents: Sequence[Any] | bytes, **options: Any) -> Run:
    """The run that a trace tells of."""
    text = documents if isinstance(documents, bytes) else lines(*documents)
    return build(read_trace(io.BytesIO(text)), **options)
