"""Programs that every benchmark of the EVM runs, as bytecode with what they need around them.

Each is a loop over one kind of work, so that a ratio says what kind an engine is good at.
"""

from __future__ import annotations

from dataclasses import dataclass

CONTRACT = bytes.fromhex("c0de" * 10)
CALLEE = bytes.fromhex("ca11" * 10)
CALLER = bytes.fromhex("ee" * 20)


@dataclass(frozen=True)
class Workload:
    """`code` runs at CONTRACT with `gas`; `callee` is the code at CALLEE, if the program calls it."""

    name: str
    code: bytes
    gas: int = 100_000_000
    callee: bytes = b""


def loop(body: str, count: int, setup: str = "") -> bytes:
    """`setup`, then `count` times `body` with the counter on top of the stack, which it must leave there."""
    before = bytes.fromhex(setup + "6000")
    start = len(before)
    tail = f"60010162{count:06x}811060{start:02x}5700"
    return before + bytes.fromhex("5b" + body + tail)


ADDMOD_BODY = "80800260070162fffffb900650"
MEMORY_BODY = "8060405260405150"
KECCAK_BODY = "604060002050"
SLOAD_BODY = "60055450"
SSTORE_BODY = "80600555"
SSTORE_MANY_BODY = "808055"
CALL_BODY = "6000600060006000600073" + CALLEE.hex() + "61fffff150"

WORKLOADS = (
    Workload("counting loop", loop("", 50_000)),
    Workload("arithmetic", loop(ADDMOD_BODY, 20_000)),
    Workload("memory", loop(MEMORY_BODY, 20_000)),
    Workload("keccak256", loop(KECCAK_BODY, 10_000)),
    Workload("SLOAD, one warm slot", loop(SLOAD_BODY, 20_000)),
    Workload("SSTORE, one slot", loop(SSTORE_BODY, 10_000)),
    Workload("SSTORE, many slots", loop(SSTORE_MANY_BODY, 2_000)),
    Workload("CALL, empty callee", loop(CALL_BODY, 2_000), callee=bytes.fromhex("00")),
)
