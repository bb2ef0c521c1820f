"""Reading traces: what others write is understood, and what is wrong is an error with its place."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from vmloom.report import TraceError, build, read_trace
from vmloom.report.reading import Entry, Exit, Step

from .traces import FIRST, enter, leave, lines, run_of, step

GOOD = step("STOP", 100)


def records(text: bytes) -> list[Any]:
    return list(read_trace(io.BytesIO(text)))


def test_lines_become_records() -> None:
    first, second, third = records(
        lines(enter("CALL", FIRST, 200), step("PUSH1", 200, 1, memory="0x0a", returnData="0x0b"), leave(9, "bad", "0c"))
    )
    assert isinstance(first, Entry)
    assert (first.kind, first.to, first.gas, first.value) == ("CALL", FIRST, 200, "0x0")
    assert isinstance(second, Step)
    assert (second.name, second.gas, second.cost, second.stack) == ("PUSH1", 200, 3, ["0x1"])
    assert (second.memory, second.return_data) == (b"\x0a", b"\x0b")
    assert isinstance(third, Exit)
    assert (third.gas_used, third.error, third.output) == (9, "bad", b"\x0c")


def test_what_other_tools_write_is_read() -> None:
    plain = {"pc": 1, "op": 0x55, "gas": 50, "gasCost": "7", "stack": None, "depth": 1}
    (found,) = records(lines("", plain, {"stateRoot": "0x00"}))
    assert (found.name, found.op, found.gas, found.cost, found.stack) == ("SSTORE", 0x55, 50, 7, None)
    (unnamed,) = records(lines({**plain, "op": "0x20"}))
    assert unnamed.name == "op 0x20"


@pytest.mark.parametrize("indent", [None, 2])
@pytest.mark.parametrize("envelope", [False, True])
def test_struct_logs_are_read(indent: int | None, envelope: bool) -> None:
    logs = [
        {"pc": 0, "op": "PUSH1", "gas": 100, "gasCost": 3, "depth": 1, "stack": [], "memory": []},
        {
            "pc": 2,
            "op": "STOP",
            "gas": 97,
            "gasCost": 0,
            "depth": 1,
            "stack": ["00" * 31 + "07"],
            "memory": ["ab" * 32],
        },
    ]
    document: Any = {"gas": 21003, "failed": False, "returnValue": "0x01", "structLogs": logs}
    if envelope:
        document = {"jsonrpc": "2.0", "id": 1, "result": document}
    run = run_of(json.dumps(document, indent=indent).encode())
    assert (run.step_count, run.frames[0].gas_used, run.frames[0].output) == (2, 21003, b"\x01")
    assert (list(run.steps.names), list(run.steps.words)) == (["PUSH1", "STOP"], ["7"])
    assert run.steps.memory == {0: [(1, 32, [(0, "ab" * 32)])]}
    assert run.is_complete


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ('{"pc":0,"op":1', "line 2: no JSON: it ends too early"),
        ('{"pc":0,"op":"A', "line 2: no JSON: it ends too early"),
        ('{"pc":0 "op":1}', "line 2: no JSON: character 9"),
        ("[1]", "line 2: a JSON object is needed, got [1]"),
        ("{}", "line 2: neither an instruction (pc), nor a frame (type, from), nor an end (output, gasUsed)"),
        ('{"pc":%s}' % ("9" * 5000), "line 2: a number of too many digits"),
        ('{"pc":%s}' % ("[" * 100_000), "line 2: JSON that is nested too deeply"),
        ({**GOOD, "pc": None}, "line 2: pc: is missing"),
        ({**GOOD, "pc": -1}, "line 2: pc: must be from 0 to"),
        ({**GOOD, "pc": True}, "line 2: pc: a number is needed, got True"),
        ({**GOOD, "pc": 1.5}, "line 2: pc: a number is needed, got 1.5"),
        ({**GOOD, "gas": "many"}, "line 2: gas: a number is needed, got 'many'"),
        ({**GOOD, "gas": 10**400}, "line 2: gas: must be from 0 to 18446744073709551615, got a huge number"),
        ({**GOOD, "gasCost": "0x" + "f" * 500}, "line 2: gasCost: a number is needed, got"),
        ({**GOOD, "op": 256}, "line 2: op: must be from 0 to 255, got 256"),
        ({**GOOD, "opName": ["ADD"]}, "line 2: opName: text is needed, got ['ADD']"),
        ({**GOOD, "stack": "0x1"}, "line 2: stack: a list is needed, got '0x1'"),
        ({**GOOD, "stack": ["0x1"] * 1025}, "line 2: stack: at most 1024 words, not 1025"),
        ({**GOOD, "stack": ["0xg"]}, "line 2: stack: a word in hex is needed, got '0xg'"),
        ({**GOOD, "stack": ["0x" + "1" * 65]}, "line 2: stack: a word of more than 256 bits"),
        ({**GOOD, "stack": [{}]}, "line 2: stack: a number is needed, got {}"),
        ({**GOOD, "memory": 7}, "line 2: memory: bytes in hex are needed, got 7"),
        ({**GOOD, "returnData": "0x0"}, "line 2: returnData: bytes in hex are needed, got '0x0'"),
        ({**GOOD, "error": {"a": 1}}, "line 2: error: text is needed"),
        ({"output": "", "gasUsed": "0x-1"}, "line 2: gasUsed: a number is needed, got '0x-1'"),
        ({**enter("CALL", FIRST, 1), "value": hex(1 << 256)}, "line 2: value: must be from 0 to"),
        ({**enter("CALL", FIRST, 1), "type": 5}, "line 2: type: text is needed, got 5"),
        ({**GOOD, "depth": 3}, "line 2: depth 3 follows depth 1"),
        ({**GOOD, "depth": 0}, "line 2: depth 0 is above that of the first frame"),
    ],
)
def test_error_has_line_and_reason(document: Any, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        run_of([GOOD, document])
    assert str(caught.value).startswith(message)
    assert caught.value.line == 2
    assert len(str(caught.value)) < 200


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the trace is empty"),
        (b"\n  \n", "the trace is empty"),
        (b"\xff\xfe", "line 1: no JSON: the bytes are no UTF-8 text"),
        (lines({**GOOD, "depth": 4}), "line 1: the trace begins at depth 4: what comes before is missing"),
        (lines({"stateRoot": "0x00"}), "the trace is empty"),
        (b'{"jsonrpc":"2.0","error":{"code":-32000}}', "this JSON-RPC answer has no trace: {'code': -32000}"),
        (b'{"structLogs":{}}', "structLogs: a list is needed, got {}"),
        (b'{"structLogs":[7]}', "structLogs[0]: a JSON object is needed, got 7"),
        (b'{"structLogs":[{"pc":0}]}', "structLogs[0]: gas: is missing"),
    ],
)
def test_error_of_the_whole(text: bytes, message: str) -> None:
    with pytest.raises(TraceError) as caught:
        build(read_trace(io.BytesIO(text)))
    assert str(caught.value) == message


def test_second_run_is_refused() -> None:
    with pytest.raises(TraceError, match="line 3: a second run begins here"):
        run_of([GOOD, leave(3), GOOD, leave(3)])
