"""Calls of other contracts: what gas they get, what they may do, what comes back, and how failures undo them."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import pytest
from vmloom_evm.assembly import (
    Bytecode,
    add,
    address,
    balance,
    call,
    callcode,
    calldatacopy,
    calldataload,
    calldatasize,
    caller,
    callvalue,
    codecopy,
    codesize,
    create,
    create2,
    delegatecall,
    deployer,
    gas,
    invalid,
    iszero,
    jumpdest,
    jumpi,
    label,
    log0,
    mload,
    msize,
    mstore,
    mstore8,
    mstore_bytes,
    mul,
    op,
    pop,
    push,
    ret_bytes,
    ret_top,
    return_,
    returndatacopy,
    returndatasize,
    revert,
    selfdestruct,
    sload,
    sstore,
    staticcall,
    stop,
    sub,
    tload,
    tstore,
)
from vmloom_evm.testing import CONTRACT, SENDER, EvmUnderTest

MAX = 2**256 - 1
Calling = Callable[..., Bytecode]
CALLS: list[Calling] = [call, callcode, delegatecall, staticcall]
BASE = {"frontier": 40, "tangerine_whistle": 700, "spurious_dragon": 700, "istanbul": 700, "berlin": 2_600}
"""What a first call costs before value and new accounts."""


def number_of(address: bytes) -> int:
    return int.from_bytes(address, "big")


def operands(calling: Calling) -> int:
    """How many operands, each of which a PUSH puts there for 3 gas."""
    return 7 if calling in (call, callcode) else 6


# Gas that is passed on


@pytest.mark.parametrize("calling", CALLS)
@pytest.mark.parametrize("asked", [MAX, 2**64, 2**64 - 1, 10**9])
def test_call_gets_at_most_all_but_one_64th_of_what_is_left(evm: EvmUnderTest, calling: Calling, asked: int) -> None:
    callee = evm.deploy(ret_top(gas))
    outcome = evm.run(calling(callee, gas=asked, output=(0, 32)) + return_(0, 32), gas=1_000_000)
    left = 1_000_000 - 3 * operands(calling) - 3 - 2_600  # operands, the word of memory, a cold account
    assert outcome.output_int == left - left // 64 - 2


@pytest.mark.parametrize("calling", CALLS)
def test_call_that_asks_for_less_gets_what_it_asks_for(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(ret_top(gas))
    assert evm.run(calling(callee, gas=5_000, output=(0, 32)) + return_(0, 32)).output_int == 5_000 - 2


@pytest.mark.parametrize("calling", CALLS)
def test_gas_that_the_callee_leaves_comes_back(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(jumpdest * 100)
    used = evm.gas_of(calling(callee, gas=50_000))
    assert used == 3 * operands(calling) + 2_600 + 100


@pytest.mark.parametrize("fork", ["frontier", "homestead"])
@pytest.mark.parametrize("asked", [99_000, 2**64, MAX])
def test_before_eip_150_asking_for_more_than_there_is_is_out_of_gas(evm: EvmUnderTest, fork: str, asked: int) -> None:
    evm = evm.at(fork)
    callee = evm.deploy(stop)
    assert evm.run(call(callee, gas=asked), gas=99_000).error == "out of gas"
    exactly = 99_000 - 7 * 3 - 40
    assert evm.run(call(callee, gas=exactly) + ret_top(), gas=99_000 + 50).output_int == 1


def test_a_64th_stays_with_the_caller(evm: EvmUnderTest) -> None:
    callee = evm.deploy(invalid)
    outcome = evm.run(call(callee) + gas + ret_top(), gas=64_000 + 21 + 2_600 - 1)
    # 64,001 gas at the call, of which the GAS operand has paid 2 instead of 3: 64,001 // 64 = 1,000 stay.
    assert outcome.output_int == 1_000 - 2


# Value


@pytest.mark.parametrize("calling", [call, callcode])
def test_value_costs_9000_and_brings_a_stipend(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(ret_top(gas))
    program = calling(callee, gas=0, value=1, output=(0, 32)) + return_(0, 32)
    assert evm.run(program, balance=1).output_int == 2_300 - 2


@pytest.mark.parametrize("calling", [call, callcode])
def test_stipend_that_is_not_used_goes_to_the_caller(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy()
    used = evm.gas_of(calling(callee, gas=0, value=1), balance=1)
    assert used == 7 * 3 + 2_600 + 9_000 - 2_300


@pytest.mark.parametrize("calling", [call, callcode])
def test_stipend_comes_on_top_of_the_64th(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(ret_top(gas))
    program = calling(callee, gas=MAX, value=1, output=(0, 32)) + return_(0, 32)
    left = 1_000_000 - 7 * 3 - 3 - 2_600 - 9_000
    assert evm.run(program, gas=1_000_000, balance=1).output_int == left - left // 64 + 2_300 - 2


def test_call_moves_value(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_top(callvalue))
    outcome = evm.run(call(callee, value=7, output=(0, 32)) + pop + return_(0, 32), balance=10)
    assert outcome.output_int == 7
    assert (evm.balance(CONTRACT), evm.balance(callee)) == (3, 7)


def test_callcode_moves_value_to_itself(evm: EvmUnderTest) -> None:
    library = evm.deploy(ret_top(callvalue))
    outcome = evm.run(callcode(library, value=7, output=(0, 32)) + pop + return_(0, 32), balance=10)
    assert outcome.output_int == 7
    assert (evm.balance(CONTRACT), evm.balance(library)) == (10, 0)


def test_call_to_itself_with_all_its_value_changes_nothing(evm: EvmUnderTest) -> None:
    program = jumpi("nested", calldatasize) + call(address, value=10, input=(0, 1)) + ret_top() + label("nested") + stop
    assert evm.run(program, balance=10).output_int == 1
    assert evm.balance(CONTRACT) == 10


# New accounts


def test_call_that_cannot_pay_for_itself_is_out_of_gas_in_the_caller(evm: EvmUnderTest) -> None:
    """Memory, access, new account and value are all charged before the callee gets anything."""
    program = call(0xDEAD, gas=0, value=1, output=(0, 32))
    needed = 7 * 3 + 3 + 2_600 + 25_000 + 9_000
    for missing in (1, 9_000, 34_000, 36_600):
        outcome = evm.run(program, gas=needed - missing, balance=1)
        assert (outcome.error, outcome.gas_used) == ("out of gas", needed - missing)
        assert not evm.exists((0xDEAD).to_bytes(20, "big"))
    assert evm.run(program, gas=needed, balance=1).success


@pytest.mark.parametrize(
    ("fork", "value", "new"),
    [
        ("frontier", 0, 25_000),
        ("frontier", 1, 25_000),
        ("tangerine_whistle", 0, 25_000),
        ("spurious_dragon", 0, 0),  # EIP-161
        ("spurious_dragon", 1, 25_000),
        ("berlin", 0, 0),
        ("berlin", 1, 25_000),
    ],
)
def test_call_pays_for_the_account_that_it_brings_about(evm: EvmUnderTest, fork: str, value: int, new: int) -> None:
    evm = evm.at(fork)
    used = evm.gas_of(call(0xDEAD, gas=0, value=value), balance=value)
    assert used == 7 * 3 + BASE[fork] + new + (9_000 - 2_300 if value else 0)
    assert evm.exists((0xDEAD).to_bytes(20, "big")) == (value > 0 or new > 0)


@pytest.mark.parametrize(("fork", "new"), [("tangerine_whistle", 0), ("spurious_dragon", 25_000), ("osaka", 25_000)])
def test_empty_account_counts_as_new_since_eip_161(evm: EvmUnderTest, fork: str, new: int) -> None:
    evm = evm.at(fork)
    empty = evm.deploy(nonce=0)
    alive = evm.deploy(nonce=1)
    cost = {account: evm.gas_of(call(account, gas=0, value=1), balance=1) for account in (empty, alive)}
    assert cost[empty] - cost[alive] == new


def test_callcode_never_pays_for_a_new_account(evm: EvmUnderTest) -> None:
    assert evm.gas_of(callcode(0xDEAD, gas=0, value=1), balance=1) == 7 * 3 + 2_600 + 9_000 - 2_300


# Memory


@pytest.mark.parametrize("calling", CALLS)
@pytest.mark.parametrize(
    ("input", "output", "words"), [((0, 64), (0, 0), 2), ((0, 0), (0, 96), 3), ((96, 1), (0, 32), 4)]
)
def test_call_pays_for_the_memory_of_input_and_output(
    evm: EvmUnderTest, calling: Calling, input: tuple[int, int], output: tuple[int, int], words: int
) -> None:
    callee = evm.deploy(stop)
    used = evm.gas_of(calling(callee, gas=0, input=input, output=output))
    assert used == 3 * operands(calling) + 2_600 + 3 * words
    assert evm.value_of(pop(calling(callee, gas=0, input=input, output=output)) + msize) == 32 * words


@pytest.mark.parametrize("calling", CALLS)
def test_ranges_of_no_bytes_ignore_their_offsets(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(ret_bytes(b"output"))
    assert evm.value_of(calling(callee, input=(MAX, 0), output=(MAX, 0)) + add(msize)) == 1


@pytest.mark.parametrize("calling", CALLS)
def test_callee_sees_the_input_range(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(calldatacopy(0, 0, calldatasize) + return_(0, calldatasize))
    program = mstore_bytes(b"abcdef") + pop(calling(callee, input=(2, 3), output=(32, 32))) + return_(32, 4)
    assert evm.run(program).output == b"cde\0"


@pytest.mark.parametrize("calling", CALLS)
def test_output_is_copied_as_far_as_it_goes_and_the_rest_stays(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(ret_bytes(b"ab"))
    for size, expected in [(0, b"\xff" * 4), (1, b"a\xff\xff\xff"), (2, b"ab\xff\xff"), (4, b"ab\xff\xff")]:
        program = mstore(0, MAX) + pop(calling(callee, output=(0, size))) + return_(0, 4)
        assert evm.run(program).output == expected


@pytest.mark.parametrize("calling", CALLS)
def test_revert_data_is_copied_too(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(mstore(0, 0x41 << 248) + revert(0, 1))
    program = mstore(0, MAX) + pop(calling(callee, output=(0, 4))) + mstore(32, returndatasize) + return_(0, 64)
    assert evm.run(program).output[:4] == b"A\xff\xff\xff"
    assert evm.run(program).words[1] == 1


@pytest.mark.parametrize("calling", CALLS)
def test_halt_leaves_the_output_range_as_it_was(evm: EvmUnderTest, calling: Calling) -> None:
    callee = evm.deploy(mstore(0, 5) + invalid)
    program = mstore(0, MAX) + pop(calling(callee, gas=1_000, output=(0, 4))) + mstore(32, returndatasize)
    assert evm.run(program + return_(0, 64)).words == [MAX, 0]


# Return data (EIP-211)


def test_return_data_is_empty_before_the_first_call(evm: EvmUnderTest) -> None:
    assert evm.value_of(returndatasize) == 0


def test_returndatacopy_reads_the_last_output(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_bytes(b"hello world"))
    program = pop(call(callee)) + returndatacopy(0, 6, 5) + return_(0, 5)
    assert evm.run(program).output == b"world"


@pytest.mark.parametrize(
    ("offset", "size"), [(0, 12), (11, 1), (12, 0), (MAX, 0), (MAX, 1), (1, MAX), (2**64, 0), (5, 7)]
)
def test_returndatacopy_beyond_the_end_halts_even_for_no_bytes(evm: EvmUnderTest, offset: int, size: int) -> None:
    callee = evm.deploy(ret_bytes(b"hello world"))
    outcome = evm.run(pop(call(callee)) + returndatacopy(0, offset, size), gas=100_000)
    assert outcome.error == ("return data out of bounds" if size < 2**32 else "out of gas")
    assert outcome.gas_used == 100_000


def test_returndatacopy_up_to_the_very_end_is_allowed(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_bytes(b"hello world"))
    assert evm.run(pop(call(callee)) + returndatacopy(0, 11, 0) + returndatacopy(0, 0, 11)).success


def test_return_data_does_not_change_with_memory(evm: EvmUnderTest) -> None:
    """The identity precompile's output is the range of memory that was its input, and its output lands on it."""
    program = (
        mstore_bytes(b"abcdef")
        + pop(call(4, input=(0, 6), output=(1, 6)))
        + mstore(0, MAX)
        + returndatacopy(32, 0, returndatasize)
        + return_(32, 6)
    )
    assert evm.run(program).output == b"abcdef"


def test_call_of_an_account_without_code_clears_return_data(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_bytes(b"hello"))
    assert evm.value_of(pop(call(callee)) + pop(call(evm.deploy())) + returndatasize) == 0


def test_callee_does_not_see_the_return_data_of_its_caller(evm: EvmUnderTest) -> None:
    talker = evm.deploy(ret_bytes(b"hello"))
    asker = evm.deploy(ret_top(returndatasize))
    assert evm.value_of(pop(call(talker)) + pop(call(asker, output=(0, 32))) + mload(0)) == 0


# Whose storage, whose caller, whose value


def test_call_runs_as_the_callee(evm: EvmUnderTest) -> None:
    callee = evm.deploy(sstore(0, caller) + sstore(1, address))
    evm.run(call(callee))
    assert (evm.storage(callee, 0), evm.storage(callee, 1)) == (number_of(CONTRACT), number_of(callee))


def test_callcode_runs_as_the_caller_and_is_called_by_it(evm: EvmUnderTest) -> None:
    library = evm.deploy(sstore(0, caller) + sstore(1, address) + sstore(2, callvalue))
    evm.run(callcode(library, value=3), balance=3, value=0)
    assert [evm.storage(CONTRACT, slot) for slot in range(3)] == [number_of(CONTRACT), number_of(CONTRACT), 3]
    assert evm.storage(library, 0) == 0


def test_delegatecall_keeps_caller_and_value(evm: EvmUnderTest) -> None:
    library = evm.deploy(sstore(0, caller) + sstore(1, address) + sstore(2, callvalue))
    evm.run(delegatecall(library), value=9)
    assert [evm.storage(CONTRACT, slot) for slot in range(3)] == [number_of(SENDER), number_of(CONTRACT), 9]
    assert evm.balance(CONTRACT) == 9


def test_delegatecall_needs_no_balance_for_the_value_that_it_keeps(evm: EvmUnderTest) -> None:
    library = evm.deploy(ret_top(callvalue))
    spend = pop(call(0xDEAD, gas=0, value=9))
    program = spend + delegatecall(library, output=(0, 32)) + pop + return_(0, 32)
    assert evm.run(program, value=9, balance=0).output_int == 9


# Static calls (EIP-214)

WRITES = {
    "SSTORE": sstore(0, 1),
    "SSTORE of what is there": sstore(0, 0),
    "TSTORE": tstore(0, 1),
    **{f"LOG{n}": op(f"LOG{n}")(*[0] * (n + 2)) for n in range(5)},
    "CREATE": create(0, 0, 0),
    "CREATE2": create2(0, 0, 0, 0),
    "SELFDESTRUCT": selfdestruct(0),
    "CALL with value": call(0xDEAD, value=1, gas=0),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_static_call_that_writes_halts(evm: EvmUnderTest, write: Bytecode) -> None:
    callee = evm.deploy(write, balance=10)
    outcome = evm.run(staticcall(callee, gas=100_000) + ret_top())
    assert outcome.output_int == 0
    assert outcome.gas_used > 100_000
    assert evm.run(write, static=True, balance=10).error == "write protection"
    assert evm.run(write, balance=10).success


READS = {
    "SLOAD": pop(sload(0)),
    "TLOAD": pop(tload(0)),
    "CALL without value": pop(call(0xDEAD, gas=0)),
    "CALLCODE with value": pop(callcode(0xDEAD, gas=0, value=1)),
    "BALANCE": pop(balance(0)),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_static_call_may_read(evm: EvmUnderTest, read: Bytecode) -> None:
    assert evm.value_of(staticcall(evm.deploy(read, balance=10), gas=100_000)) == 1


@pytest.mark.parametrize("calling", CALLS)
def test_what_a_static_call_calls_is_static_too(evm: EvmUnderTest, calling: Calling) -> None:
    writer = evm.deploy(sstore(0, 1))
    middle = evm.deploy(ret_top(calling(writer, gas=50_000)))
    assert evm.value_of(pop(staticcall(middle, output=(0, 32))) + mload(0)) == 0
    assert evm.storage(writer, 0) == evm.storage(middle, 0) == 0


def test_static_call_carries_no_value(evm: EvmUnderTest) -> None:
    callee = evm.deploy(ret_top(callvalue))
    assert evm.value_of(pop(staticcall(callee, output=(0, 32))) + mload(0), value=5) == 0


def test_caller_of_a_static_call_may_write_afterwards(evm: EvmUnderTest) -> None:
    assert evm.run(pop(staticcall(evm.deploy(stop))) + sstore(0, 1)).success
    assert evm.storage(CONTRACT, 0) == 1


# What does not open a frame


def refusals(evm: EvmUnderTest) -> Iterator[tuple[str, Bytecode]]:
    yield "CALL", call(evm.deploy(), gas=0, value=1_000)
    yield "CALLCODE", callcode(evm.deploy(), gas=0, value=1_000)
    yield "CREATE", create(1_000, 0, 0)
    yield "CREATE2", create2(1_000, 0, 0, 0)


def test_value_beyond_the_balance_pushes_0_and_clears_return_data(evm: EvmUnderTest) -> None:
    talker = evm.deploy(ret_bytes(b"hello"))
    for name, program in refusals(evm):
        outcome = evm.run(pop(call(talker)) + mstore(0, program) + mstore(32, returndatasize) + return_(0, 64))
        assert outcome.words == [0, 0], name
        assert evm.nonce(CONTRACT) == 1, name


def test_value_beyond_the_balance_gives_the_gas_back_with_the_stipend(evm: EvmUnderTest) -> None:
    callee = evm.deploy()
    for calling in (call, callcode):
        assert evm.gas_of(calling(callee, gas=100_000, value=1)) == 7 * 3 + 2_600 + 9_000 - 2_300
    assert evm.gas_of(create(1, 0, 0)) == 3 * 3 + 32_000


def test_nonce_that_cannot_grow_creates_nothing(evm: EvmUnderTest) -> None:
    maker = evm.deploy(ret_top(create(0, 0, 0)), nonce=2**64 - 1)
    outcome = evm.run(pop(call(maker, output=(0, 32))) + mload(0) + ret_top())
    assert outcome.output_int == 0
    assert evm.nonce(maker) == 2**64 - 1


# Depth

COUNT = call(address, gas=sub(gas, 10_000), output=(0, 32)) + add(mload(0)) + ret_top()
"""Calls itself as deep as it can; returns how many calls below this one succeeded."""


@pytest.fixture
def shallow_python() -> Iterator[None]:
    """Leaves Python hardly any stack: an engine that recurses for each frame fails."""
    limit = sys.getrecursionlimit()
    depth = 0
    frame = sys._getframe()
    while frame is not None:
        depth += 1
        frame = frame.f_back  # type: ignore[assignment]
    sys.setrecursionlimit(depth + 150)
    yield
    sys.setrecursionlimit(limit)


@pytest.mark.parametrize("fork", ["frontier", "tangerine_whistle", "berlin", "osaka"])
@pytest.mark.usefixtures("shallow_python")
def test_calls_nest_1024_deep_and_no_deeper(evm: EvmUnderTest, fork: str) -> None:
    limit = sys.getrecursionlimit()
    outcome = evm.at(fork).run(COUNT, gas=2**50)
    assert outcome.output_int == 1024
    assert sys.getrecursionlimit() == limit


@pytest.mark.parametrize("calling", CALLS)
def test_every_kind_of_call_counts_towards_the_depth(evm: EvmUnderTest, calling: Calling) -> None:
    program = calling(CONTRACT, output=(0, 32)) + add(mload(0)) + ret_top()
    assert evm.run(program, gas=2**50).output_int == 1024


def test_creations_count_towards_the_depth(evm: EvmUnderTest) -> None:
    nesting = log0(0, 0) + codecopy(0, 0, codesize) + pop(create(0, 0, codesize))
    assert len(evm.run(nesting, gas=2**50).events) == 1025


def test_call_beyond_the_depth_gives_its_gas_back_and_clears_return_data(evm: EvmUnderTest) -> None:
    program = pop(call(4, gas=100, input=(0, 5))) + mstore(0, call(CONTRACT, gas=50_000)) + mstore(32, returndatasize)
    outcome = evm.run(program + return_(0, 64), depth=1024, gas=100_000)
    # At depth 1024 not even the precompile can be called.
    assert outcome.words == [0, 0]
    assert outcome.gas_used < 10_000


def test_depth_beyond_1024_keeps_value_and_nonce_where_they_are(evm: EvmUnderTest) -> None:
    outcome = evm.run(
        mstore(0, call(0xDEAD, value=5, gas=0)) + mstore(32, create(5, 0, 0)) + return_(0, 64), depth=1024, balance=5
    )
    assert outcome.words == [0, 0]
    assert (evm.balance(CONTRACT), evm.nonce(CONTRACT)) == (5, 1)


def test_depth_limit_can_be_configured(evm: EvmUnderTest) -> None:
    assert evm.configured(call_depth_limit=3).run(COUNT, gas=10**9).output_int == 3
    assert evm.configured(call_depth_limit=0).run(COUNT, gas=10**9).output_int == 0


# Failures


@pytest.mark.parametrize("ending", [revert(0, 0), invalid], ids=["revert", "halt"])
@pytest.mark.parametrize("calling", [call, callcode, delegatecall])
def test_failed_call_undoes_storage_balance_and_what_it_called(
    evm: EvmUnderTest, calling: Calling, ending: Bytecode
) -> None:
    inner = evm.deploy(sstore(0, 1))
    callee = evm.deploy(sstore(0, 1) + pop(call(inner, value=1)) + ending, balance=5)
    before = evm.contents()
    outcome = evm.run(calling(callee, gas=200_000) + ret_top(), balance=5)
    assert outcome.output_int == 0
    assert {address: evm.contents()[address] for address in (inner, callee)} == {
        address: before[address] for address in (inner, callee)
    }
    assert evm.storage(CONTRACT, 0) == 0


def test_halt_burns_the_gas_of_its_frame_only(evm: EvmUnderTest) -> None:
    callee = evm.deploy(invalid)
    assert evm.gas_of(call(callee, gas=30_000)) == 21 + 2_600 + 30_000


def test_revert_gives_back_the_gas_that_is_left(evm: EvmUnderTest) -> None:
    callee = evm.deploy(revert(0, 0))
    assert evm.gas_of(call(callee, gas=30_000)) == 21 + 2_600 + 6


def test_warmth_added_by_a_failed_call_is_undone(evm: EvmUnderTest) -> None:
    for ending, lost in [(stop, False), (revert(0, 0), True), (invalid, True)]:
        callee = evm.deploy(pop(balance(0xDEAD)) + pop(sload(1)) + ending)
        inside = evm.gas_of(pop(call(callee, gas=50_000)))
        outside = evm.gas_of(pop(call(callee, gas=50_000)) + balance(0xDEAD)) - inside
        assert outside == 3 + (2_600 if lost else 100)


def test_callee_stays_warm_though_its_call_failed(evm: EvmUnderTest) -> None:
    callee = evm.deploy(revert(0, 0))
    assert evm.gas_of(pop(call(callee)) + balance(callee)) - evm.gas_of(pop(call(callee))) == 3 + 100


def test_refunds_of_a_failed_call_are_dropped(evm: EvmUnderTest) -> None:
    for ending, refund in [(stop, 4_800), (revert(0, 0), 0), (invalid, 0)]:
        callee = evm.deploy(sstore(0, 0) + ending, storage={0: 1})
        assert evm.run(call(callee, gas=50_000)).gas_refunded == refund


def test_success_inside_a_failed_call_is_undone_too(evm: EvmUnderTest) -> None:
    inner = evm.deploy(sstore(0, 0) + log0(0, 0), storage={0: 1})
    middle = evm.deploy(pop(call(inner)) + revert(0, 0))
    outcome = evm.run(call(middle))
    assert (outcome.gas_refunded, outcome.events, evm.storage(inner, 0)) == (0, (), 1)


def test_out_of_gas_in_the_callee_does_not_fail_the_caller(evm: EvmUnderTest) -> None:
    callee = evm.deploy(label("on") + jumpi("on", 1))
    assert evm.run(call(callee, gas=10_000) + iszero + ret_top()).output_int == 1


def test_reentrant_call_sees_what_its_caller_has_written(evm: EvmUnderTest) -> None:
    program = (
        jumpi("inner", calldatasize)
        + sstore(0, 7)
        + pop(call(address, input=(0, 1), output=(0, 32)))
        + ret_top(mload(0))
        + label("inner")
        + ret_top(mul(sload(0), 2))
    )
    assert evm.run(program).output_int == 14


# Precompiles


@pytest.mark.parametrize("calling", CALLS)
def test_precompile_is_called_as_a_contract(evm: EvmUnderTest, calling: Calling) -> None:
    program = mstore_bytes(b"abc") + pop(calling(4, input=(0, 3), output=(32, 3))) + return_(32, 3)
    assert evm.run(program).output == b"abc"


def test_precompile_sets_return_data(evm: EvmUnderTest) -> None:
    assert evm.value_of(pop(call(4, input=(0, 5))) + returndatasize) == 5


def test_precompile_costs_its_price_and_a_warm_call(evm: EvmUnderTest) -> None:
    assert evm.gas_of(call(4, gas=1_000)) == 21 + 100 + 15
    assert evm.gas_of(call(4, gas=1_000, input=(0, 33))) == 21 + 2 * 3 + 100 + 15 + 2 * 3


def test_precompile_without_enough_gas_fails_and_burns_it(evm: EvmUnderTest) -> None:
    outcome = evm.run(call(4, gas=14) + ret_top())
    assert outcome.output_int == 0
    assert evm.gas_of(pop(call(4, gas=14))) == 21 + 100 + 14 + 2


def test_precompile_that_fails_leaves_no_return_data_and_burns_its_gas(evm: EvmUnderTest) -> None:
    bad_point = mstore(0, 1) + mstore(32, 1)
    used = evm.gas_of(bad_point + pop(call(6, gas=5_000, input=(0, 64))))
    assert used == evm.gas_of(bad_point) + 21 + 100 + 5_000 + 2
    program = pop(call(4, input=(0, 5))) + bad_point + pop(call(6, gas=5_000, input=(0, 64))) + returndatasize
    assert evm.value_of(program) == 0


def test_value_sent_to_a_precompile_stays_there_and_comes_back_if_it_fails(evm: EvmUnderTest) -> None:
    identity, curve = (4).to_bytes(20, "big"), (6).to_bytes(20, "big")
    bad_point = mstore(0, 1) + mstore(32, 1)
    evm.run(bad_point + pop(call(4, value=1, gas=5_000)) + pop(call(6, value=1, gas=5_000, input=(0, 64))), balance=2)
    assert (evm.balance(identity), evm.balance(curve), evm.balance(CONTRACT)) == (1, 0, 1)


def test_address_of_a_later_precompile_is_an_ordinary_account(evm: EvmUnderTest) -> None:
    evm = evm.at("homestead")
    assert evm.gas_of(call(6, gas=5_000)) == 21 + 40 + 25_000
    assert evm.value_of(call(6, gas=5_000)) == 1


# Odds and ends


def test_code_that_replaces_itself_while_it_runs_goes_on_as_it_was(evm: EvmUnderTest) -> None:
    program = jumpi("again", calldataload(0)) + mstore(0, 1) + pop(call(address, input=(0, 32))) + ret_top(codesize)
    program += label("again") + selfdestruct(caller)
    assert evm.at("shanghai").run(program).output_int == len(program)


def test_call_of_a_contract_that_was_just_created(evm: EvmUnderTest) -> None:
    runtime = ret_top(42)
    program = mstore_bytes(deployer(runtime)) + create(0, 0, len(deployer(runtime)))
    program += mstore(64) + pop(call(mload(64), output=(0, 32))) + return_(0, 32)
    assert evm.run(program).output_int == 42


def test_memory_of_callee_and_caller_are_apart(evm: EvmUnderTest) -> None:
    callee = evm.deploy(mstore8(0, 9) + ret_top(msize))
    program = mstore(0, 5) + pop(call(callee, output=(32, 32))) + return_(0, 64)
    assert evm.run(program).words == [5, 32]


def test_stack_of_callee_and_caller_are_apart(evm: EvmUnderTest) -> None:
    callee = evm.deploy(pop)
    assert evm.value_of(push(5) + call(callee, gas=1_000)) == 0
