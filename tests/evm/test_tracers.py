"""The trace formats, held to what geth writes for the same programs."""

from __future__ import annotations

import io
import json
from typing import Any

import pytest
from rich.console import Console
from vmloom.hashing import create_address, keccak256
from vmloom_evm.assembly import (
    Bytecode,
    call,
    create_from,
    delegatecall,
    deployer,
    jump,
    mload,
    mstore,
    op,
    pop,
    push,
    raw,
    ret_bytes,
    ret_top,
    revert,
    sload,
    sstore,
    staticcall,
    stop,
)
from vmloom_evm.testing import BLOCK, COINBASE, CONTRACT, FUNDS, SENDER, EvmUnderTest
from vmloom_evm.trace.calltree import CallFrame, CallTreeTracer, draw, revert_reason
from vmloom_evm.trace.eip3155 import Eip3155Tracer
from vmloom_evm.trace.hooks import TracedFrame, Tracer, hook_table
from vmloom_evm.trace.markdown import MarkdownTracer
from vmloom_evm.trace.prestate import PrestateTracer
from vmloom_evm.trace.structlog import StructLogTracer, StructTextTracer, hex_dump

HEIR = bytes.fromhex("be" * 20)


def trace(
    evm: EvmUnderTest, code: Bytecode | bytes, *, gas: int = 1_000_000, call_frames: bool = False, **options: Any
) -> list[str]:
    """The EIP-3155 lines of a program."""
    sink = io.StringIO()
    rows = evm.vm.specification(evm.vm.fork_at(BLOCK)).rows
    tracer = Eip3155Tracer(sink, rows, call_frames=call_frames, **options)
    outcome = evm.run(code, gas=gas, tracers=[tracer])
    tracer.finish(outcome.output, outcome.gas_used, outcome.error)
    return sink.getvalue().splitlines()


def steps(lines: list[str]) -> list[dict[str, Any]]:
    """Those lines that are instructions."""
    return [document for line in lines if "pc" in (document := json.loads(line))]


# EIP-3155


def test_lines_are_those_of_geth(evm: EvmUnderTest) -> None:
    assert trace(evm, raw("6040"), gas=10_000_000_000) == [
        '{"pc":0,"op":96,"gas":"0x2540be400","gasCost":"0x3","memSize":0,"stack":[],"depth":1,"refund":0,"opName":"PUSH1"}',
        '{"pc":2,"op":0,"gas":"0x2540be3fd","gasCost":"0x0","memSize":0,"stack":["0x40"],"depth":1,"refund":0,"opName":"STOP"}',
        '{"output":"","gasUsed":"0x3"}',
    ]


def test_instruction_that_fails_in_action_stands_twice_and_its_operands_are_gone(evm: EvmUnderTest) -> None:
    assert trace(evm, raw("60ff56"), gas=100)[1:] == [
        '{"pc":2,"op":86,"gas":"0x61","gasCost":"0x8","memSize":0,"stack":["0xff"],"depth":1,"refund":0,"opName":"JUMP"}',
        '{"pc":2,"op":86,"gas":"0x61","gasCost":"0x8","memSize":0,"stack":[],"depth":1,"refund":0,"opName":"JUMP",'
        '"error":"invalid jump destination"}',
        '{"output":"","gasUsed":"0x64","error":"invalid jump destination"}',
    ]


@pytest.mark.parametrize(
    ("code", "op_name"), [("fe", "INVALID"), ("0c", "opcode 0xc not defined"), ("ef", "opcode 0xef not defined")]
)
def test_invalid_opcode_is_named(evm: EvmUnderTest, code: str, op_name: str) -> None:
    start = (
        f'{{"pc":0,"op":{int(code, 16)},"gas":"0x64","gasCost":"0x0","memSize":0,"stack":[],"depth":1,"refund":0,'
        f'"opName":"{op_name}"'
    )
    assert trace(evm, raw(code), gas=100) == [
        start + "}",
        f'{start},"error":"invalid opcode: {op_name}"}}',
        f'{{"output":"","gasUsed":"0x64","error":"invalid opcode: {op_name}"}}',
    ]


def test_instruction_of_a_later_fork_has_its_name(evm: EvmUnderTest) -> None:
    assert [step["opName"] for step in steps(trace(evm.at("london"), raw("5f")))] == ["PUSH0", "PUSH0"]
    assert steps(trace(evm, raw("44")))[0]["opName"] == "DIFFICULTY"
    assert steps(trace(evm, raw("6000600020")))[2]["opName"] == "KECCAK256"


def test_stack_faults_say_how_many_items_there_are(evm: EvmUnderTest) -> None:
    underflow = trace(evm, raw("600101"), gas=100)
    assert underflow[1:] == [
        '{"pc":2,"op":1,"gas":"0x61","gasCost":"0x3","memSize":0,"stack":["0x1"],"depth":1,"refund":0,"opName":"ADD",'
        '"error":"stack underflow (1 \\u003c=\\u003e 2)"}',
        '{"output":"","gasUsed":"0x64","error":"stack underflow (1 \\u003c=\\u003e 2)"}',
    ]
    overflow = trace(evm, raw("5f" * 1025))
    assert json.loads(overflow[-1])["error"] == "stack limit reached 1024 (1023)"


def test_out_of_gas_stands_once(evm: EvmUnderTest) -> None:
    lines = trace(evm, raw("6001600101"), gas=8)
    assert lines[2:] == [
        '{"pc":4,"op":1,"gas":"0x2","gasCost":"0x3","memSize":0,"stack":["0x1","0x1"],"depth":1,"refund":0,'
        '"opName":"ADD","error":"out of gas"}',
        '{"output":"","gasUsed":"0x8","error":"out of gas"}',
    ]


def test_memory_size_is_that_before_the_instruction(evm: EvmUnderTest) -> None:
    mstore_step, stop_step = steps(trace(evm, mstore(32, 7) + stop, memory=True))[2:]
    assert (mstore_step["memSize"], mstore_step["gasCost"]) == (0, "0x9")
    assert "memory" not in mstore_step
    assert stop_step["memSize"] == 64
    assert stop_step["memory"] == "0x" + "00" * 63 + "07"


def test_revert_stands_twice_and_shows_its_output(evm: EvmUnderTest) -> None:
    lines = trace(evm, mstore(0, 0xAB) + revert(31, 1))
    first, second = steps(lines)[-2:]
    assert first["opName"] == second["opName"] == "REVERT"
    assert "error" not in first
    assert first["stack"] == ["0x1", "0x1f"]
    assert second["stack"] == []
    assert second["error"] == "execution reverted"
    assert json.loads(lines[-1]) == {"output": "ab", "gasUsed": hex(18), "error": "execution reverted"}


def test_frames_end_with_a_line_each(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_top(7))
    lines = [json.loads(line) for line in trace(evm, call(callee, gas=5000) + stop)]
    ends = [index for index, line in enumerate(lines) if "output" in line]
    assert lines[ends[0] - 1]["opName"] == "RETURN"
    assert lines[ends[0] - 1]["depth"] == 2
    assert lines[ends[0]] == {"output": f"{7:064x}", "gasUsed": hex(18)}
    assert lines[ends[0] + 1]["opName"] == "STOP"
    assert ends[-1] == len(lines) - 1


def test_price_of_a_call_has_the_gas_it_passes_on_and_that_of_a_creation_not(evm: EvmUnderTest) -> None:
    callee = evm.deploy(stop)
    calling = next(step for step in steps(trace(evm, call(callee, gas=5000))) if step["opName"] == "CALL")
    assert int(calling["gasCost"], 16) == 2600 + 5000
    creating = steps(trace(evm, op("CREATE")(0, 0, 0)))[3]
    assert int(creating["gasCost"], 16) == 32000


def test_refund_has_what_the_instruction_adds(evm: EvmUnderTest) -> None:
    evm.state.set_storage(CONTRACT, 0, 1)
    evm.state.commit()
    evm.state.begin_transaction()
    refunds = [(step["opName"], step["refund"]) for step in steps(trace(evm, sstore(0, 0) + stop))]
    assert refunds == [("PUSH1", 0), ("PUSH1", 0), ("SSTORE", 4800), ("STOP", 4800)]


def test_account_without_code_runs_no_instruction(evm: EvmUnderTest) -> None:
    lines = trace(evm, call(HEIR, gas=100) + stop)
    assert [step["depth"] for step in steps(lines)] == [1] * len(steps(lines))
    assert lines[-3] == '{"output":"","gasUsed":"0x0"}'


def test_selfdestruct_is_a_frame_of_its_own(evm: EvmUnderTest) -> None:
    lines = trace(evm, op("SELFDESTRUCT")(HEIR), call_frames=True)
    assert [json.loads(line).get("type") for line in lines] == ["CALL", None, None, "SELFDESTRUCT", None, None]
    assert json.loads(lines[3])["to"] == "0x" + HEIR.hex()
    assert lines[4] == '{"output":"","gasUsed":"0x0"}'


def test_declined_call_is_a_frame_that_gives_its_gas_back(evm: EvmUnderTest) -> None:
    lines = trace(evm, call(HEIR, gas=0, value=1) + stop, call_frames=True)
    index = next(i for i, line in enumerate(lines) if json.loads(line).get("opName") == "CALL")
    assert lines[index + 1] == (
        f'{{"from":"0x{CONTRACT.hex()}","to":"0x{HEIR.hex()}","gas":"0x8fc","value":"0x1","type":"CALL"}}'
    )
    assert lines[index + 2] == '{"output":"","gasUsed":"0x0","error":"insufficient balance for transfer"}'


def test_collision_shows_the_price_without_the_gas_that_burns(evm: EvmUnderTest) -> None:
    evm.deploy(stop, at=create_address(CONTRACT, 1))
    lines = trace(evm, op("CREATE")(0, 0, 0) + stop, gas=64_000)
    creating = steps(lines)[3]
    assert creating["gasCost"] == hex(32000)
    left = int(creating["gas"], 16) - 32000
    assert json.loads(lines[4]) == {
        "output": "",
        "gasUsed": hex(left - left // 64),
        "error": "contract address collision",
    }


def test_precompile_is_a_frame_without_instructions(evm: EvmUnderTest) -> None:
    lines = trace(evm, call((4).to_bytes(20, "big"), gas=5000, input=(0, 0)) + stop)
    assert '{"output":"","gasUsed":"0xf"}' in lines


def test_creation_ends_with_its_code_and_pays_for_it(evm: EvmUnderTest) -> None:
    runtime = bytes(stop) * 3
    lines = trace(evm, create_from(deployer(runtime)) + stop)
    end = next(json.loads(line) for line in lines if "output" in json.loads(line))
    assert end["output"] == runtime.hex()
    inside = [step for step in steps(lines) if step["depth"] == 2]
    spent = int(inside[0]["gas"], 16) - int(inside[-1]["gas"], 16) + int(inside[-1]["gasCost"], 16)
    assert int(end["gasUsed"], 16) == spent + 200 * len(runtime)


def test_write_in_a_static_call_is_refused_before_the_price(evm: EvmUnderTest) -> None:
    writer = evm.deploy(sstore(0, 1))
    lines = trace(evm, staticcall(writer, gas=50_000) + stop)
    writing = [step for step in steps(lines) if step["opName"] == "SSTORE"]
    assert [step.get("error") for step in writing] == ["write protection"]
    logger = evm.deploy(op("LOG0")(0, 0))
    logging = [step for step in steps(trace(evm, staticcall(logger, gas=50_000))) if step["opName"] == "LOG0"]
    assert [step.get("error") for step in logging] == [None, "write protection"]


def test_stack_can_be_left_out_and_return_data_be_shown(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_bytes(b"\xaa\xbb"))
    last = steps(trace(evm, call(callee, gas=5000) + stop, stack=False, return_data=True))[-1]
    assert last["stack"] is None
    assert last["returnData"] == "0xaabb"


def test_finish_writes_the_summary_of_a_call_that_was_declined(evm: EvmUnderTest) -> None:
    sink = io.StringIO()
    tracer = Eip3155Tracer(sink, {})
    tracer.finish(b"", 0, "insufficient balance for transfer")
    assert sink.getvalue() == '{"output":"","gasUsed":"0x0","error":"insufficient balance for transfer"}\n'


def test_deep_calls_are_traced_without_recursion(evm: EvmUnderTest) -> None:
    tracer = CallTreeTracer()
    again = evm.at("homestead")  # since EIP-150 gas ends the descent long before depth does
    loop = call(CONTRACT, gas=op("SUB")(op("GAS"), 40_000))
    again.run(loop, gas=100_000_000, tracers=[tracer])
    fields, depth = tracer.result(), 0
    while "calls" in fields:
        (fields,) = fields["calls"]
        depth += 1
    assert depth == 1025
    assert fields["error"] == "max call depth exceeded"


# Struct logs


def test_struct_logs_are_what_debug_trace_transaction_answers(evm: EvmUnderTest) -> None:
    evm.deploy(sstore(1, 2) + pop(sload(1)) + ret_top(5), at=CONTRACT)
    tracer = StructLogTracer(memory=True)
    result = evm.transact(tracers=[tracer])
    answer = tracer.result(result.gas_used)
    assert list(answer) == ["gas", "failed", "returnValue", "structLogs"]
    assert (answer["gas"], answer["failed"], answer["returnValue"]) == (result.gas_used, False, f"0x{5:064x}")
    sstore_log = answer["structLogs"][2]
    assert sstore_log == {
        "pc": 4,
        "op": "SSTORE",
        "gas": 1_000_000 - 21_000 - 6,
        "gasCost": 22_100,
        "depth": 1,
        "stack": ["0x2", "0x1"],
        "storage": {f"0x{1:064x}": f"0x{2:064x}"},
    }
    assert "storage" not in answer["structLogs"][3]
    assert answer["structLogs"][4]["storage"] == {f"0x{1:064x}": f"0x{2:064x}"}
    assert answer["structLogs"][-1]["memory"] == [f"0x{5:064x}"]


def test_struct_logs_of_a_failure_have_no_output_and_those_of_a_revert_do(evm: EvmUnderTest) -> None:
    failing, reverting = StructLogTracer(), StructLogTracer()
    evm.run(mstore(0, 1) + raw("fe"), tracers=[failing])
    evm.run(mstore(0, 1) + revert(0, 32), tracers=[reverting])
    assert failing.result(1)["returnValue"] == "0x"
    assert failing.result(1)["failed"] is True
    assert reverting.result(1)["returnValue"] == f"0x{1:064x}"
    assert reverting.result(1)["failed"] is True


def test_struct_text_is_that_of_geth(evm: EvmUnderTest) -> None:
    sink = io.StringIO()
    evm.run(raw("6040"), gas=10_000_000_000, tracers=[StructTextTracer(sink)])
    assert sink.getvalue() == (
        "PUSH1           pc=00000000 gas=10000000000 cost=3\n\n"
        "STOP            pc=00000002 gas=9999999997 cost=0\nStack:\n00000000  0x40\n\n"
    )


def test_struct_text_dumps_memory_and_storage(evm: EvmUnderTest) -> None:
    sink = io.StringIO()
    evm.run(mstore(0, 0x41) + sstore(3, 4), tracers=[StructTextTracer(sink, memory=True)])
    text = sink.getvalue()
    assert f"Storage:\n{3:064x}: {4:064x}\n" in text
    assert "00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 41  |...............A|" in text


def test_hex_dump_of_a_short_line_is_padded() -> None:
    assert list(hex_dump(b"abc")) == ["00000000  61 62 63" + " " * 42 + "|abc|"]


# Markdown


def test_markdown_is_that_of_geth(evm: EvmUnderTest) -> None:
    sink = io.StringIO()
    evm.run(raw("6040"), gas=10_000_000_000, tracers=[MarkdownTracer(sink)])
    text = sink.getvalue()
    assert text.endswith(
        "  - data: ``\n  - gas: `10000000000`\n  - value: `0` wei\n\n"
        "|  Pc   |      Op     | Cost |   Refund  |   Stack   |\n"
        "|-------|-------------|------|-----------|-----------|\n"
        "|    0  |      PUSH1  |    3 |         0 |        [] |\n"
        "|    2  |       STOP  |    0 |         0 |    [0x40] |\n\n"
        "Post-execution info:\n  - output: ``\n  - consumed gas: `3`\n  - error: `<nil>`\n"
    )


def test_markdown_tells_where_it_failed(evm: EvmUnderTest) -> None:
    sink = io.StringIO()
    evm.run(jump(9), tracers=[MarkdownTracer(sink, stack=False)])
    assert "\nError: at pc=2, op=86: invalid jump destination\n" in sink.getvalue()
    assert "  - error: `invalid jump destination`\n" in sink.getvalue()


# Call tree


def error_string(text: str) -> bytes:
    """What solidity's `revert("...")` puts out."""
    data = text.encode()
    body = (32).to_bytes(32, "big") + len(data).to_bytes(32, "big") + data.ljust(-(-len(data) // 32) * 32, b"\0")
    return bytes.fromhex("08c379a0") + body


def tree(evm: EvmUnderTest, code: Bytecode, **options: Any) -> dict[str, Any]:
    tracer = CallTreeTracer(**options)
    evm.run(code, tracers=[tracer])
    return tracer.result()


def test_call_tree_has_geths_fields_in_its_order(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_top(7))
    root = tree(evm, mstore(0, 0xAB) + call(callee, gas=5000, input=(31, 1)) + stop)
    assert list(root) == ["from", "gas", "gasUsed", "to", "input", "calls", "value", "type"]
    assert (root["from"], root["to"], root["type"]) == ("0x" + SENDER.hex(), "0x" + CONTRACT.hex(), "CALL")
    assert root["calls"] == [
        {
            "from": "0x" + CONTRACT.hex(),
            "gas": hex(5000),
            "gasUsed": hex(18),
            "to": "0x" + callee.hex(),
            "input": "0xab",
            "output": f"0x{7:064x}",
            "value": "0x0",
            "type": "CALL",
        }
    ]


def test_kinds_of_calls_say_who_was_called_and_what_was_sent(evm: EvmUnderTest) -> None:
    callee = evm.deploy(stop)
    root = tree(evm, delegatecall(callee, gas=500) + staticcall(callee, gas=500) + create_from(stop))
    delegated, static, created = root["calls"]
    assert (delegated["type"], delegated["to"], delegated["value"]) == ("DELEGATECALL", "0x" + callee.hex(), "0x0")
    assert static["type"] == "STATICCALL"
    assert "value" not in static
    assert (created["type"], created["input"]) == ("CREATE", "0x00")
    assert created["to"] == "0x" + create_address(CONTRACT, 1).hex()


def test_failed_creation_has_no_address(evm: EvmUnderTest) -> None:
    (created,) = tree(evm, create_from(raw("fe")))["calls"]
    assert "to" not in created
    assert created["error"] == "invalid opcode: INVALID"


def test_transaction_stands_in_the_first_frame_with_its_own_gas(evm: EvmUnderTest) -> None:
    evm.deploy(stop, at=CONTRACT)
    tracer = CallTreeTracer()
    result = evm.transact(tracers=[tracer])
    answer = tracer.result(gas_limit=1_000_000, gas_used=result.gas_used)
    assert (answer["gas"], answer["gasUsed"]) == (hex(1_000_000), hex(21_000))


def test_revert_reason_is_read(evm: EvmUnderTest) -> None:
    callee = evm.deploy(mstore_all(error_string("no way")) + revert(0, len(error_string("no way"))))
    (frame,) = tree(evm, call(callee, gas=50_000))["calls"]
    assert (frame["error"], frame["revertReason"]) == ("execution reverted", "no way")


def mstore_all(data: bytes) -> Bytecode:
    """Write `data` to memory at 0."""
    code = Bytecode()
    for start in range(0, len(data), 32):
        code += mstore(start, push(data[start : start + 32].ljust(32, b"\0")))
    return code


def test_revert_reasons_of_hostile_output() -> None:
    assert revert_reason(bytes.fromhex("4e487b71") + (0x11).to_bytes(32, "big")) == "arithmetic underflow or overflow"
    assert revert_reason(bytes.fromhex("4e487b71") + (0x99).to_bytes(32, "big")) == "unknown panic code: 0x99"
    selector = bytes.fromhex("08c379a0")
    for data in (b"", selector, selector + b"\xff" * 32, selector + b"\xff" * 64, error_string("cut off")[:-40]):
        assert revert_reason(data) == ""


def test_logs_stand_where_they_were_made_and_those_of_failures_are_gone(evm: EvmUnderTest) -> None:
    logger = evm.deploy(op("LOG1")(0, 0, 9))
    failing = evm.deploy(op("LOG0")(0, 0) + raw("fe"))
    root = tree(
        evm, op("LOG0")(0, 0) + call(failing, gas=9000) + call(logger, gas=9000) + op("LOG0")(0, 0), with_log=True
    )
    assert [(log["index"], log["position"]) for log in root["logs"]] == [("0x0", "0x0"), ("0x2", "0x2")]
    assert "logs" not in root["calls"][0]
    assert root["calls"][1]["logs"][0]["topics"] == [f"0x{9:064x}"]


def test_only_top_call_leaves_the_others_out(evm: EvmUnderTest) -> None:
    logger = evm.deploy(op("LOG0")(0, 0))
    root = tree(evm, call(logger, gas=9000) + op("LOG0")(0, 0), with_log=True, only_top_call=True)
    assert "calls" not in root
    assert len(root["logs"]) == 1


def test_drawing_shows_calls_and_takes_no_markup_from_contracts(evm: EvmUnderTest) -> None:
    frame = CallFrame(
        "CALL", SENDER, CONTRACT, b"", 100, 0, error="execution reverted", revert_reason="[bold]x[/]\x1b[2J"
    )
    console = Console(file=io.StringIO(), width=200)
    console.print(draw(CallFrame("CALL", SENDER, CONTRACT, b"\x01" * 50, 100, 5, calls=[frame])))
    assert isinstance(console.file, io.StringIO)
    text = console.file.getvalue()
    assert "[bold]x[/]" in text
    assert "\x1b" not in text
    assert "value 5" in text
    assert "(50 bytes)" in text


def test_tracers_watch_only_what_they_need() -> None:
    table = hook_table([CallTreeTracer()])
    assert table[0xF1] is not None
    assert table[0x01] is None
    assert hook_table([CallTreeTracer(with_log=True)])[0xA0] is not None


# Prestate


def prestate(evm: EvmUnderTest, *, to: bytes | None = CONTRACT, **options: Any) -> PrestateTracer:
    """The tracer of a transaction, after it."""
    tx = evm.transaction(to, **options)
    rules = evm.vm.fork_at(BLOCK).rules
    tracer = PrestateTracer(evm.state, tx, SENDER, BLOCK, rules)
    evm.vm.apply_transaction(tx, BLOCK, evm.state, sender=SENDER, tracers=[tracer])
    return tracer


def test_prestate_has_the_accounts_that_were_met_as_they_were(evm: EvmUnderTest) -> None:
    other = evm.deploy(balance=3)
    evm.deploy(sstore(1, add_one(sload(0))) + pop(op("BALANCE")(other)), at=CONTRACT, storage={0: 5})
    tracer = prestate(evm)
    accounts = tracer.prestate()
    assert accounts["0x" + SENDER.hex()] == {"balance": hex(FUNDS)}
    assert accounts["0x" + other.hex()] == {"balance": "0x3", "nonce": 1}
    contract = accounts["0x" + CONTRACT.hex()]
    assert contract["storage"] == {f"0x{0:064x}": f"0x{5:064x}", f"0x{1:064x}": f"0x{0:064x}"}
    assert contract["codeHash"] == "0x" + keccak256(bytes.fromhex(contract["code"][2:])).hex()
    assert "0x" + COINBASE.hex() not in accounts  # it was empty


def add_one(value: Bytecode) -> Bytecode:
    return op("ADD")(1, value)


def test_diff_has_what_changed_only(evm: EvmUnderTest) -> None:
    evm.deploy(sstore(1, 7) + sstore(0, 0) + pop(sload(2)), at=CONTRACT, storage={0: 5, 2: 9})
    tracer = prestate(evm, value=4)
    diff = tracer.diff()
    assert list(diff) == ["post", "pre"]
    contract = "0x" + CONTRACT.hex()
    assert diff["post"][contract] == {"balance": "0x4", "storage": {f"0x{1:064x}": f"0x{7:064x}"}}
    assert diff["pre"][contract]["storage"] == {f"0x{0:064x}": f"0x{5:064x}"}
    assert diff["post"]["0x" + SENDER.hex()]["nonce"] == 1


def test_diff_shows_a_new_contract_in_post_only(evm: EvmUnderTest) -> None:
    tracer = prestate(evm, to=None, data=bytes(deployer(stop)))
    created = "0x" + create_address(SENDER, 0).hex()
    assert tracer.diff()["post"][created] == {"code": "0x00", "codeHash": "0x" + keccak256(b"\0").hex(), "nonce": 1}
    assert created not in tracer.diff()["pre"]


def test_diff_shows_a_destroyed_contract_in_pre_only(evm: EvmUnderTest) -> None:
    old = evm.at("london")
    old.deploy(op("SELFDESTRUCT")(HEIR), at=CONTRACT, balance=8)
    diff = prestate(old).diff()
    assert "0x" + CONTRACT.hex() not in diff["post"]
    assert diff["pre"]["0x" + CONTRACT.hex()]["balance"] == "0x8"
    assert diff["post"]["0x" + HEIR.hex()] == {"balance": "0x8"}


def test_account_of_an_instruction_that_could_not_be_paid_was_not_met(evm: EvmUnderTest) -> None:
    evm.deploy(op("BALANCE")(HEIR), at=CONTRACT)
    tracer = prestate(evm, gas_limit=21_100)
    assert HEIR not in tracer.accounts


def test_declined_creation_has_met_its_address(evm: EvmUnderTest) -> None:
    evm.deploy(op("CREATE2")(1, 0, 0, 5), at=CONTRACT)
    tracer = prestate(evm)
    assert len(tracer.accounts) == 4


def test_memory_words_of_a_trace_are_read_before_the_instruction(evm: EvmUnderTest) -> None:
    tracer = StructLogTracer(memory=True)
    evm.run(mstore(0, 1) + pop(mload(0)), tracers=[tracer])
    assert "memory" not in tracer.logs[2]
    assert tracer.logs[3]["memory"] == [f"0x{1:064x}"]


class Refusing(Tracer):
    """Raises where a frame begins or ends, `depth` frames below the first."""

    def __init__(self, event: str, depth: int) -> None:
        self.event = event
        self.depth = depth

    def enter(self, frame: TracedFrame) -> None:
        self._look(frame, "enter")

    def leave(self, frame: TracedFrame, status: int, output: bytes) -> None:
        self._look(frame, "leave")

    def _look(self, frame: TracedFrame, event: str) -> None:
        if (event, frame.depth) == (self.event, self.depth):
            raise LookupError("seen enough")


@pytest.mark.parametrize("event", ["enter", "leave"])
@pytest.mark.parametrize("depth", [0, 1])
@pytest.mark.parametrize("callee", [CONTRACT, (4).to_bytes(20, "big")], ids=["contract", "precompile"])
def test_what_a_tracer_raises_ends_the_run_and_leaves_no_trace(
    evm: EvmUnderTest, event: str, depth: int, callee: bytes
) -> None:
    caller = evm.deploy(sstore(0, 1) + pop(call(callee, gas=50_000, input=(0, 32))) + sstore(1, 1))
    with pytest.raises(LookupError, match="seen enough"):
        evm.transact(caller, tracers=[Refusing(event, depth)])
    assert (evm.storage(caller, 0), evm.storage(caller, 1)) == (0, 0)
    assert evm.transact(caller).success
    assert (evm.storage(caller, 0), evm.storage(caller, 1)) == (1, 1)
