"""Contracts from source to deployment and calls: the dispatcher, the constructor, types, value and reasons."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import pytest
from vmloom import Account, BlockContext, ExecutionContext, ExecutionResult, ExecutionState, MemoryState
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_prozvm.bytecode import unpack
from vmloom_prozvm.config import JitConfig, ProzVmConfig
from vmloom_prozvm.language.abi import decode_reason, decode_result, encode_call, encode_construction
from vmloom_prozvm.language.contract import Contract, compile_contract
from vmloom_prozvm.language.diagnostics import LanguageError
from vmloom_prozvm.language.sourcemap import locate
from vmloom_prozvm.prozvm import ProzVm
from vmloom_prozvm.runtime.limits import Limits
from vmloom_prozvm.values import canonical

NO_CALL = "the input is no call: the canonical encoding of a list of an action's name and its arguments"
OWNER = b"\x0a" * 20
ADDRESS = b"\x0c" * 20
BLOCK = BlockContext(number=7, timestamp=1_700_000_000)
COUNTER = """
// Counts, for whoever pays attention.
const STEP = 2;
let doubled = STEP * 2;

action construct(start: int, owner: address) {
    require(doubled == 4, "the outermost statements ran");
    doubled += 1;
    TX {
        STATE.count = start;
        STATE.owner = owner;
        STATE.seen = seen();
    }
}

action seen() { return doubled; }

action bump(by: int) {
    TX { STATE.count += by; }
}

export action increment(by: int) -> int {
    require(by > 0, "by must be positive");
    bump(by * STEP);
    return STATE.count;
}

export action count() -> int { return STATE.count; }

export action reset() {
    require(CALLER == STATE.owner, "only the owner");
    TX { STATE.count = 0; }
    EMIT([1], encode(STATE.count));
}

export payable action deposit() -> int {
    TX { STATE.paid = (STATE.paid ?? 0) + VALUE; }
    return STATE.paid;
}

export action divide(a: int, b: int) -> int {
    return a / b;
}
"""


@pytest.fixture(params=["interpreted", "compiled", "optimised"])
def vm(request: pytest.FixtureRequest) -> ProzVm:
    if request.param == "optimised":
        return ProzVm(ProzVmConfig(optimization_level=3, jit=JitConfig(threshold=0)))
    return ProzVm(ProzVmConfig(jit=JitConfig(enabled=request.param == "compiled", threshold=0)))


@dataclass
class Deployed:
    """A contract at `ADDRESS`, and what calls of it give."""

    vm: ProzVm
    contract: Contract
    state: MemoryState

    def send(self, data: bytes, *, value: int = 0, caller: bytes = OWNER) -> ExecutionResult:
        return self.vm.execute(self.contract.code, context(data, value, caller), self.state)

    def call(self, name: str, *arguments: Any, value: int = 0, caller: bytes = OWNER) -> Any:
        """The result of a call that succeeds."""
        result = self.send(encode_call(self.contract.abi, name, *arguments), value=value, caller=caller)
        assert result.success, (result.error, decode_reason(result.return_data))
        return decode_result(self.contract.abi, name, result.return_data)

    def refusal(self, data: bytes, *, value: int = 0, caller: bytes = OWNER) -> Any:
        """The reason of a call that reverts."""
        result = self.send(data, value=value, caller=caller)
        assert result.state is ExecutionState.REVERTED, (result.state, result.error)
        return decode_reason(result.return_data)


def context(data: bytes, value: int = 0, caller: bytes = OWNER) -> ExecutionContext:
    return ExecutionContext(
        caller=caller, address=ADDRESS, origin=caller, input=data, value=value, gas_limit=10_000_000, block=BLOCK
    )


def deploy(vm: ProzVm, source: str, *arguments: Any, value: int = 0) -> Deployed:
    """Compile and deploy; the deployment succeeds."""
    contract = compile_contract(source)
    state = MemoryState({ADDRESS: Account(1, 1000, contract.code, "prozvm"), OWNER: Account(1, 10**18)})
    data = encode_construction(contract.abi, *arguments)
    result = vm.deploy(contract.code, context(data, value), state)
    assert result.success, (result.error, decode_reason(result.return_data))
    return Deployed(vm, contract, state)


def one(vm: ProzVm, source: str) -> Deployed:
    """A contract without a constructor."""
    return deploy(vm, source)


# End to end


def test_counter(vm: ProzVm) -> None:
    counter = deploy(vm, COUNTER, 5, OWNER)
    assert counter.call("count") == 5
    assert counter.call("increment", 3) == 11
    assert counter.call("increment", 1, caller=ADDRESS) == 13
    assert counter.call("reset") is None
    assert counter.call("count") == 0


def test_counter_through_the_factory() -> None:
    contract = compile_contract(COUNTER)
    vm = VmFactory(Settings({})).get_vm("prozvm")
    state = MemoryState({ADDRESS: Account(1, 0, contract.code, "prozvm"), OWNER: Account(1, 10**18)})
    deployment = encode_construction(contract.abi, 40, OWNER)
    assert vm.deploy(contract.code, context(deployment), state).success
    result = vm.execute(contract.code, context(encode_call(contract.abi, "increment", 1)), state)
    assert decode_result(contract.abi, "increment", result.return_data) == 42


def test_requirement_reverts_with_its_reason(vm: ProzVm) -> None:
    counter = deploy(vm, COUNTER, 5, OWNER)
    assert counter.refusal(encode_call(counter.contract.abi, "increment", 0)) == "by must be positive"
    assert counter.refusal(encode_call(counter.contract.abi, "reset"), caller=ADDRESS) == "only the owner"
    assert counter.call("count") == 5


def test_events_are_those_of_calls_that_succeed(vm: ProzVm) -> None:
    counter = deploy(vm, COUNTER, 5, OWNER)
    result = counter.send(encode_call(counter.contract.abi, "reset"))
    (event,) = result.events
    assert (event.topics, event.data) == ((1,), canonical(0))


def test_constructor_runs_after_the_outermost_statements_and_shares_their_variables(vm: ProzVm) -> None:
    source = (
        COUNTER + "export action at_birth() -> int { return STATE.seen; } export action now() -> int { return seen(); }"
    )
    counter = deploy(vm, source, 5, OWNER)
    assert counter.call("at_birth") == 5
    assert counter.call("now") == 4


# The dispatcher


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (canonical(["incremnt", 1]), "the contract has no action of this name"),
        (canonical(["construct", 1, OWNER]), "the contract has no action of this name"),
        (canonical(["bump", 1]), "the contract has no action of this name"),
        (canonical([1]), "the contract has no action of this name"),
        (canonical(["increment"]), "increment takes 1 argument"),
        (canonical(["divide", 1]), "divide takes 2 arguments"),
        (canonical(["count", None]), "count takes 0 arguments"),
        (canonical(["increment", True]), "increment: by must be of type int"),
        (canonical(["increment", "1"]), "increment: by must be of type int"),
        (canonical(["increment", None]), "increment: by must be of type int"),
        (canonical([]), "the input names no action"),
        (canonical("increment"), NO_CALL),
        (canonical({"increment": 1}), NO_CALL),
    ],
)
def test_wrong_calls_revert_with_a_reason(data: bytes, reason: str) -> None:
    counter = deploy(ProzVm(), COUNTER, 5, OWNER)
    assert counter.refusal(data) == reason


@pytest.mark.parametrize("data", [b"\xff", b"\0", canonical(["count"])[:-1], canonical(["count"]) + b"\0", b"\x98\x00"])
def test_input_that_is_no_encoding_is_refused_and_leaves_gas(vm: ProzVm, data: bytes) -> None:
    counter = deploy(vm, COUNTER, 5, OWNER)
    assert counter.refusal(data) == NO_CALL
    result = counter.send(data)
    assert result.gas_used < 100_000


TYPES = """
export action integer(x: int) { return kind(x); }
export action flag(x: bool) { return kind(x); }
export action text(x: str) { return kind(x); }
export action raw(x: bytes) { return kind(x); }
export action address(x: address) { return kind(x); }
export action list(x: list) { return kind(x); }
export action map(x: map) { return kind(x); }
export action anything(x: any) { return kind(x); }
export action untyped(x) { return kind(x); }
"""
VALUES: dict[str, Any] = {
    "integer": 2**70,
    "flag": False,
    "text": "",
    "raw": b"",
    "address": OWNER,
    "list": [],
    "map": {},
}


@pytest.mark.parametrize("name", [*VALUES, "anything", "untyped"])
def test_arguments_are_of_their_types(name: str) -> None:
    deployed = one(ProzVm(), TYPES)
    for other, value in VALUES.items():
        is_fitting = other == name or name in ("anything", "untyped") or (other, name) == ("address", "raw")
        result = deployed.send(canonical([name, value]))
        assert result.success is is_fitting, (other, result.error)
        if not is_fitting:
            assert decode_reason(result.return_data).startswith(f"{name}: x must be of type ")


@pytest.mark.parametrize("value", [None, "a", b"\x01", [1], {"a": b"\xff"}, 2**70])
def test_result_of_any_type_is_told_apart(value: Any) -> None:
    deployed = one(ProzVm(), "export action echo(x) -> any { return x; }")
    assert deployed.call("echo", value) == value


@pytest.mark.parametrize("name", ["int", "bool", "str", "bytes", "address", "list", "map"])
def test_results_are_of_the_declared_type(vm: ProzVm, name: str) -> None:
    deployed = one(vm, f"export action give(x) -> {name} {{ return x; }}")
    for value in VALUES.values():
        is_bytes = type(value) is bytes and (name == "bytes" or (name == "address" and len(value) == 20))
        data = canonical(["give", value])
        if is_bytes or type(value) is {"int": int, "bool": bool, "str": str, "list": list, "map": dict}.get(name):
            assert deployed.send(data).success
        else:
            assert deployed.refusal(data) == f"the result must be of type {name}"


def test_bytes_are_returned_as_they_are() -> None:
    deployed = one(ProzVm(), "export action echo(x: bytes) -> bytes { return x; }")
    assert deployed.send(encode_call(deployed.contract.abi, "echo", b"\x01\x02")).return_data == b"\x01\x02"


def test_action_that_returns_nothing_gives_no_output() -> None:
    deployed = one(ProzVm(), "export action f() { }")
    assert deployed.send(encode_call(deployed.contract.abi, "f")).return_data == b""


# Value


def test_value_needs_a_payable_action(vm: ProzVm) -> None:
    counter = deploy(vm, COUNTER, 5, OWNER)
    assert counter.call("deposit", value=3) == 3
    assert counter.call("deposit", value=4) == 7
    data = encode_call(counter.contract.abi, "count")
    assert counter.refusal(data, value=1) == "count takes no value: it is not payable"


def test_constructor_takes_value_only_if_it_is_payable() -> None:
    source = (
        "export payable action construct() { TX { STATE.v = VALUE; } } export action v() -> int { return STATE.v; }"
    )
    assert deploy(ProzVm(), source, value=9).call("v") == 9
    contract = compile_contract(source.replace("export payable action c", "action c"))
    result = ProzVm().deploy(contract.code, context(b"", 9), MemoryState({OWNER: Account(1, 10**18)}))
    assert decode_reason(result.return_data) == "construct takes no value: it is not payable"


def test_empty_input_receives() -> None:
    source = "export payable action receive() { TX { STATE.got = VALUE; } } export action got() { return STATE.got; }"
    deployed = one(ProzVm(), source)
    assert deployed.send(b"", value=5).success
    assert deployed.call("got") == 5


def test_empty_input_without_receive_does_nothing_and_takes_no_value() -> None:
    deployed = one(ProzVm(), "export payable action f() { }")
    result = deployed.send(b"")
    assert (result.success, result.return_data) == (True, b"")
    assert deployed.refusal(b"", value=1) == "the contract takes no value without a call"


def test_receive_that_is_not_payable_takes_no_value() -> None:
    deployed = one(ProzVm(), "export action receive() { }")
    assert deployed.send(b"").success
    assert deployed.refusal(b"", value=1) == "receive takes no value: it is not payable"


def test_receive_that_is_not_exported_is_an_action_like_others() -> None:
    deployed = one(ProzVm(), "action receive() { TX { STATE.x = 1; } } export action x() { return STATE.x; }")
    assert deployed.send(b"").success
    assert deployed.call("x") is None


# Constructors


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "construct takes 2 arguments"),
        (canonical([1]), "construct takes 2 arguments"),
        (canonical([1, OWNER, 2]), "construct takes 2 arguments"),
        (canonical([OWNER, 1]), "construct: start must be of type int"),
        (canonical([1, b"short"]), "construct: owner must be of type address"),
        (canonical("list"), "the input of a constructor is the canonical encoding of a list of its arguments"),
    ],
)
def test_wrong_arguments_of_the_constructor_revert(data: bytes, reason: str) -> None:
    contract = compile_contract(COUNTER)
    result = ProzVm().deploy(contract.code, context(data), MemoryState({OWNER: Account(1, 10**18)}))
    assert result.state is ExecutionState.REVERTED
    assert decode_reason(result.return_data) == reason


def test_constructor_without_parameters_takes_no_input() -> None:
    source = "action construct() { TX { STATE.x = 1; } } export action x() { return STATE.x; }"
    assert deploy(ProzVm(), source).call("x") == 1
    contract = compile_contract(source)
    result = ProzVm().deploy(contract.code, context(canonical([])), MemoryState({OWNER: Account(1, 10**18)}))
    assert decode_reason(result.return_data) == "construct takes 0 arguments"


def test_constructor_sees_actions_closures_and_blocks_of_the_outermost_scope(vm: ProzVm) -> None:
    source = """
    let total = 0;
    let add = none;
    { let hidden = 10; add = action(n) { hidden += n; total = hidden; return total; }; }
    for each i in [1, 2] { add(i); }
    action construct() { TX { STATE.x = add(5) + total; } }
    export action x() -> int { return STATE.x; }
    export action total_now() -> int { return total; }
    """
    deployed = deploy(vm, source)
    assert deployed.call("x") == 36
    assert deployed.call("total_now") == 13


# What is refused


@pytest.mark.parametrize(
    ("source", "messages"),
    [
        ("", ["the contract exports no action"]),
        ("action f() { }", ["the contract exports no action"]),
        ("action construct() { }", ["the contract exports no action"]),
        ("export action f() { return blance; }", ["nothing is called `blance`"]),
        ("export action f() { print(1); }", ["nothing is called `print`"]),
        ("export action f() { } export action f() { }", ["`f` is declared twice in one scope"]),
        ("export action f(a: integer) { }", ["there is no type `integer`"]),
        ("export action receive(x) { }", ["`receive` takes no parameters, since it runs when there is no input"]),
        ("action construct() -> int { } export action f() { }", ["`construct` returns nothing"]),
        ("x; export action f() { y; }", ["nothing is called `x`", "nothing is called `y`"]),
        (
            "action g(a) { } export action f() { g(); BLOCK.x; }",
            ["`g` takes 1 argument, not 0", "a block has no field `x`"],
        ),
    ],
)
def test_errors_of_contracts(source: str, messages: list[str]) -> None:
    with pytest.raises(LanguageError) as caught:
        compile_contract(source)
    assert [found.message for found in caught.value.diagnostics] == messages


def test_syntax_errors_name_the_contract() -> None:
    with pytest.raises(LanguageError, match=r"token\.proz:1:8: error:"):
        compile_contract("export let x = 1;", "token.proz")


# What is deployed


def test_code_holds_no_source_map_unless_it_is_asked_for() -> None:
    bare, full = compile_contract(COUNTER), compile_contract(COUNTER, debug=True)
    assert unpack(bare.code).metadata == {}
    assert b"source_map" not in bare.code
    assert b"pays attention" not in full.code
    assert unpack(full.code) == full.bytecode == bare.bytecode
    assert locate(unpack(full.code), "seen", 0) is not None


def test_compilation_is_the_same_each_time() -> None:
    assert compile_contract(COUNTER).code == compile_contract(COUNTER).code
    assert compile_contract(COUNTER, "other").code == compile_contract(COUNTER).code


def test_source_map_finds_the_line_of_a_fault(vm: ProzVm) -> None:
    counter = deploy(vm, COUNTER, 5, OWNER)
    result = counter.send(encode_call(counter.contract.abi, "divide", 1, 0))
    assert result.state is ExecutionState.FAILED
    fault = result.metadata["fault"]
    assert fault["kind"] == "DivisionByZero"
    line = counter.contract.source_map.line_of("divide", fault["instruction"])
    assert line is not None
    assert COUNTER.splitlines()[line - 1].strip() == "return a / b;"


def test_explanation_of_a_failed_call_shows_the_calls_in_the_source(vm: ProzVm) -> None:
    source = "action half(n) {\n    return 1 / n;\n}\nexport action f(n: int) -> int {\n    return half(n);\n}"
    deployed = one(vm, source)
    result = deployed.send(encode_call(deployed.contract.abi, "f", 0))
    assert deployed.contract.explain(result, source).splitlines() == [
        "contract:2:12: error: DIV: the divisor is 0",
        "  2 |     return 1 / n;",
        "    |            ^^^^^",
        "called in `f`, contract:5:12:",
        "  5 |     return half(n);",
        "    |            ^^^^^^^",
        "called in the program, contract:4:15:",
        "  4 | export action f(n: int) -> int {",
        "    |               ^",
    ]


def test_explanation_of_other_results() -> None:
    counter = deploy(ProzVm(), COUNTER, 5, OWNER)
    reverted = counter.send(encode_call(counter.contract.abi, "increment", 0))
    assert counter.contract.explain(reverted, COUNTER) == "contract: reverted: 'by must be positive'"
    poor = counter.vm.execute(counter.contract.code, replace(context(b""), gas_limit=10), counter.state)
    assert counter.contract.explain(poor, COUNTER) == "contract: out of gas"
    bare = one(ProzVm(), "export action f() { REVERT; }")
    assert bare.contract.explain(bare.send(encode_call(bare.contract.abi, "f")), "") == "contract: reverted"


def test_contract_too_large_is_an_error() -> None:
    with pytest.raises(LanguageError, match="too large: the code has"):
        compile_contract(COUNTER, limits=Limits(size=1000))
