"""Parity's trace of instructions, held to what geth's tests of it expect."""

from __future__ import annotations

from typing import Any

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    call,
    create_from,
    delegatecall,
    mload,
    mstore,
    op,
    pop,
    push,
    raw,
    ret_bytes,
    return_,
    revert,
    selfdestruct,
    sstore,
    stop,
    tstore,
)
from vmloom_evm.testing import CONTRACT, EvmUnderTest
from vmloom_evm.trace.vmtrace import VmTracer

OTHER = bytes.fromhex("66" * 20)
IDENTITY = 4


def trace(evm: EvmUnderTest, code: Bytecode, *, gas: int = 1_000_000, others: dict[bytes, Any] | None = None) -> Any:
    """The whole trace of a program."""
    tracer = VmTracer()
    for address, other in (others or {}).items():
        evm.deploy(other, at=address)
    evm.run(code, gas=gas, tracers=[tracer])
    assert tracer.root is not None
    return tracer.root


def ops(evm: EvmUnderTest, code: Bytecode, **options: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = trace(evm, code, **options)["ops"]
    return found


def test_an_instruction_tells_what_it_pushed_what_it_cost_and_what_is_left(evm: EvmUnderTest) -> None:
    code = push(3) + push(4) + raw("01") + stop
    assert trace(evm, code, gas=100) == {
        "code": "0x" + bytes(code).hex(),
        "ops": [
            {"cost": 3, "ex": did(97, "0x3"), "op": "PUSH1", "pc": 0, "sub": None},
            {"cost": 3, "ex": did(94, "0x4"), "op": "PUSH1", "pc": 2, "sub": None},
            {"cost": 3, "ex": did(91, "0x7"), "op": "ADD", "pc": 4, "sub": None},
            {"cost": 0, "ex": did(91), "op": "STOP", "pc": 5, "sub": None},
        ],
    }


def did(used: int, *pushed: str) -> dict[str, Any]:
    return {"mem": None, "push": list(pushed), "store": None, "used": used}


def test_the_end_of_code_is_no_instruction_and_copies_show_all_they_reach(evm: EvmUnderTest) -> None:
    found = ops(evm, push(1) + push(2) + op("DUP2") + op("SWAP1"))
    assert [one["op"] for one in found] == ["PUSH1", "PUSH1", "DUP2", "SWAP1"]
    assert [one["ex"]["push"] for one in found[2:]] == [["0x1", "0x2", "0x1"], ["0x1", "0x2"]]


def test_memory_and_storage_that_were_written_are_told(evm: EvmUnderTest) -> None:
    word = "0x" + (42).to_bytes(32, "big").hex()
    code = mstore(0, 42) + pop(mload(0)) + tstore(0, 0) + sstore(0, 0) + sstore(1, 1) + raw("600160026020535e")
    found = [one for one in ops(evm, code) if one["ex"] and (one["ex"]["mem"] or one["ex"]["store"])]
    assert [(one["op"], one["ex"]["mem"], one["ex"]["store"]) for one in found] == [
        ("MSTORE", {"off": 0, "data": word}, None),
        ("MLOAD", {"off": 0, "data": word}, None),
        ("SSTORE", None, {"key": "0x0", "val": "0x0"}),
        ("SSTORE", None, {"key": "0x1", "val": "0x1"}),
        ("MSTORE8", {"off": 32, "data": "0x02"}, None),
    ]


@pytest.mark.parametrize(
    ("code", "names", "has_halted"),
    [
        ("60010c", ["PUSH1"], False),
        ("600101", ["PUSH1"], False),
        ("fe", [], False),
        ("600556", ["PUSH1", "JUMP"], True),
        ("6001600155", ["PUSH1", "PUSH1", "SSTORE"], True),
    ],
    ids=["undefined", "underflow", "invalid", "jump", "gas"],
)
def test_what_could_not_begin_is_left_out_and_what_failed_has_no_outcome(
    evm: EvmUnderTest, code: str, names: list[str], has_halted: bool
) -> None:
    found = ops(evm, raw(code), gas=2_000)
    assert [one["op"] for one in found] == names
    assert [one["ex"] is None for one in found] == [False] * (len(names) - has_halted) + [True] * has_halted


@pytest.mark.parametrize("ending", [return_(0, 32), revert(0, 32), selfdestruct(0)], ids=["return", "revert", "end"])
def test_the_last_instruction_is_told(evm: EvmUnderTest, ending: Bytecode) -> None:
    before, last = ops(evm, ending)[-2:]
    assert last["op"] in ("RETURN", "REVERT", "SELFDESTRUCT")
    assert last["ex"] == did(before["ex"]["used"] - last["cost"])


def test_a_call_contains_the_instructions_of_its_frame(evm: EvmUnderTest) -> None:
    inner = ret_bytes(b"\x07" * 32)
    found = ops(evm, pop(call(OTHER, gas=50_000, output=(64, 32))) + stop, others={OTHER: inner})
    made = next(one for one in found if one["op"] == "CALL")
    before = found[found.index(made) - 1]
    left = made["sub"]["ops"][-1]["ex"]["used"]
    assert made["sub"]["code"] == "0x" + bytes(inner).hex()
    assert made["ex"] == {
        "mem": {"off": 64, "data": "0x" + "07" * 32},
        "push": ["0x1"],
        "store": None,
        "used": before["ex"]["used"] - made["cost"] + left,
    }
    assert made["cost"] == 50_000 + 2_600 + 9  # what is passed on, a cold account, three words of memory


def test_calls_without_code_have_nothing_in_them_and_declined_ones_no_frame(evm: EvmUnderTest) -> None:
    code = (
        pop(call(OTHER))
        + mstore(0, 42)
        + pop(call(IDENTITY, input=(31, 1), output=(32, 32)))
        + pop(call(OTHER, value=1 << 200))
        + pop(delegatecall(OTHER))
        + stop
    )
    calls = [one for one in ops(evm, code) if one["op"] in ("CALL", "DELEGATECALL")]
    empty = {"code": "0x", "ops": []}
    assert [one["sub"] for one in calls] == [empty, empty, None, empty]
    assert [one["ex"]["push"] for one in calls] == [["0x1"], ["0x1"], ["0x0"], ["0x1"]]
    assert calls[1]["ex"]["mem"] == {"off": 32, "data": "0x2a" + "00" * 31}
    assert calls[2]["ex"]["mem"] is None


@pytest.mark.parametrize("salt", [None, 5])
def test_a_creation_costs_what_it_passes_on_too(evm: EvmUnderTest, salt: int | None) -> None:
    init = bytes(sstore(0, 42) + stop)
    found = ops(evm, pop(create_from(init, salt=salt)) + stop)
    made = next(one for one in found if one["op"].startswith("CREATE"))
    first, last = made["sub"]["ops"][0], made["sub"]["ops"][-1]
    passed_on = first["ex"]["used"] + first["cost"]
    assert 32_000 <= made["cost"] - passed_on <= 32_008
    assert made["sub"]["code"] == "0x" + init.hex()
    before = found[found.index(made) - 1]
    assert made["ex"]["used"] == before["ex"]["used"] - made["cost"] + last["ex"]["used"]
    assert len(made["ex"]["push"]) == 1


def test_deep_calls_are_traced(evm: EvmUnderTest) -> None:
    found = trace(evm, pop(call(CONTRACT)) + stop, gas=10_000_000)
    depth = 0
    while found is not None:
        found = next((one["sub"] for one in found["ops"] if one["op"] == "CALL"), None)
        depth += 1
    assert depth > 100
