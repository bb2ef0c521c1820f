"""Many calls at once give what they give one by one, and leave nothing: values, guests, failures and forks included."""

from __future__ import annotations

from random import Random
from threading import Lock
from typing import Any

import pytest
from vmloom import (
    Account,
    BlockContext,
    ExecutionContext,
    ExecutionResult,
    MemoryState,
    StateAccess,
    VirtualMachine,
)
from vmloom.engine.columns import CallColumns
from vmloom.engine.overlay import OverlayState
from vmloom.errors import StateError
from vmloom.factory import VmFactory
from vmloom.settings import Settings
from vmloom_evm.assembly import add, call, calldataload, log1, push, raw, ret_top, revert, sload, sstore
from vmloom_evm.native import engine as native_engine
from vmloom_evm.native.state import NativeState
from vmloom_prozvm.bytecode import BytecodeBuilder
from vmloom_prozvm.bytecode.container import pack

CALLER, GUEST = b"\1" * 20, b"\2" * 20
CODES = [
    bytes(sstore(calldataload(0), add(1, sload(calldataload(0)))) + log1(0, 32, 7)),
    bytes(sstore(1, 5) + revert(0, 3)),
    bytes(call(GUEST, gas=100_000) + ret_top()),
    bytes(raw("33ff")),
    bytes(raw("5f5f5ff0") + ret_top()),
    bytes(raw("fe")),
    bytes(ret_top(push(0) + raw("49"))),  # BLOBHASH
]
ADDRESSES = [bytes([0xC0 + number]) * 20 for number in range(len(CODES))]


def guest() -> bytes:
    """A contract of another VM that counts its calls."""
    program = BytecodeBuilder().emit("TX_BEGIN").emit("STATE_READ", "n").emit("DUP").emit("LOAD_CONST", None)
    program.emit("EQ").emit("JUMP_IF_FALSE", "known").emit("POP").emit("LOAD_CONST", 0).label("known")
    program.emit("LOAD_CONST", 1).emit("ADD").emit("DUP").emit("STATE_WRITE", "n").emit("TX_COMMIT").emit("RETURN")
    return pack(program.build())


def world(kind: Any) -> StateAccess:
    accounts = {address: Account(code=code, balance=3) for address, code in zip(ADDRESSES, CODES, strict=True)}
    state: StateAccess = kind({CALLER: Account(balance=1000), **accounts})
    state.set_code(GUEST, guest(), "prozvm")
    state.set_storage(ADDRESSES[0], 0, 41)
    return state


def random_calls(random: Random, count: int) -> list[tuple[bytes, ExecutionContext]]:
    blocks = [BlockContext(), BlockContext(number=7)]
    calls = []
    for _ in range(count):
        which = random.randrange(len(CODES))
        context = ExecutionContext(
            caller=CALLER,
            address=ADDRESSES[which],
            origin=CALLER,
            value=random.choices([0, 1, 5000], [8, 1, 1])[0],
            input=random.randrange(3).to_bytes(32, "big"),
            gas_limit=random.choice([300_000, 30_000, 100]),
            gas_price=random.choice([0, 9]),
            is_static=random.random() < 0.1,
            blob_hashes=random.choice([(), (b"\1" * 32,)]),
            block=blocks[random.random() < 0.2],
        )
        calls.append((CODES[which], context))
    return calls


def random_columns(random: Random, count: int) -> CallColumns:
    """Plain calls of one contract or of several."""
    which = [random.randrange(len(CODES)) for _ in range(count)] if random.random() < 0.6 else [0] * count
    inputs = [bytes(random.choice([0, 2, 31])) + bytes([random.randrange(3)]) for _ in which]
    return CallColumns(
        [ADDRESSES[one] for one in which],
        [CODES[one] for one in which],
        [random.choice([CALLER, b"\7" * 20]) for _ in which],
        inputs,
        [random.choice([300_000, 30_000, 100]) for _ in which],
        gas_price=random.choice([0, 9]),
        block=random.choice([BlockContext(), BlockContext(number=7)]),
    )


def shown(result: Any) -> Any:
    if isinstance(result, Exception):
        return type(result), str(result)
    found = result.to_dict()
    found["state_changes"] = sorted(map(repr, found["state_changes"]))
    return found


@pytest.mark.parametrize("kind", [MemoryState, NativeState])
@pytest.mark.parametrize("seed", range(12))
def test_at_once_is_one_by_one(factory: VmFactory, kind: Any, seed: int) -> None:
    evm = factory.get_vm("evm")
    calls = random_calls(Random(seed), 40)
    state = world(kind)
    found = evm.execute_each(calls, state)
    expected = VirtualMachine.execute_each(evm, calls, world(kind))
    for one, other in zip(found, expected, strict=True):
        assert shown(one) == shown(other)
    assert list(state.changes_since(0)) == list(world(kind).changes_since(0))


@pytest.mark.parametrize("kind", [MemoryState, NativeState])
@pytest.mark.parametrize("seed", range(12))
def test_columns_are_their_calls_one_by_one(factory: VmFactory, kind: Any, seed: int) -> None:
    evm = factory.get_vm("evm")
    calls = random_columns(Random(seed), 40)
    expected = [shown(result) for result in VirtualMachine.execute_each(evm, list(calls), world(kind))]
    state, source = world(kind), world(kind)
    overlay = OverlayState(source, Lock())
    for where in (state, overlay, overlay):
        assert list(map(shown, evm.execute_each(calls, where))) == expected
    overlay.close()
    for one in (state, source):
        assert list(one.changes_since(0)) == list(world(kind).changes_since(0))


@pytest.mark.parametrize("gas_limit", [-1, 1 << 63, 1 << 64])
def test_what_native_code_cannot_hold_is_no_call_of_it(factory: VmFactory, gas_limit: int) -> None:
    """An engine refuses such; whoever else makes columns gets what single calls give."""
    evm = factory.get_vm("evm")
    one = ([ADDRESSES[0]], [CODES[0]], [CALLER], [bytes(32)])
    both = [CallColumns(*one, [limit], gas_price=0, block=BlockContext()) for limit in (gas_limit, 10**6)]
    if gas_limit < 0:
        with pytest.raises(ValueError, match="gas_limit"):
            evm.execute_each(both[0], world(NativeState))
    else:
        (result,) = evm.execute_each(both[0], world(NativeState))
        assert shown(result) == shown(evm.execute_each(both[1], world(NativeState))[0])


def test_bytes_of_any_kind_are_read_where_they_are(factory: VmFactory) -> None:
    evm = factory.get_vm("evm")
    inputs: list[Any] = [bytearray(b"\0" * 31 + b"\2"), b"\0" * 31 + b"\2"]
    calls = CallColumns(
        [ADDRESSES[0]] * 2, [CODES[0]] * 2, [CALLER] * 2, inputs, [10**6] * 2, gas_price=0, block=BlockContext()
    )
    first, other = map(shown, evm.execute_each(calls, world(NativeState)))
    assert first["state_changes"]
    assert first == other


@pytest.mark.parametrize("kind", [MemoryState, NativeState])
def test_results_do_not_follow_the_state(factory: VmFactory, kind: Any) -> None:
    """Storage that was cleared without ever being looked at is told as it was when the call ran."""
    settings = {"evm": {"engine": factory.get_vm("evm").config.engine, "revision": "shanghai"}}  # type: ignore[attr-defined]
    evm = VmFactory(Settings({"vm": settings})).get_vm("evm")
    state = world(kind)
    state.set_storage(ADDRESSES[3], 5, 50)
    calls = CallColumns(
        [ADDRESSES[3]] * 3, [CODES[3]] * 3, [CALLER] * 3, [b""] * 3, [10**6] * 3, gas_price=0, block=BlockContext()
    )
    results = [*evm.execute_each(calls, state), *evm.execute_each(list(calls), state)]
    state.set_storage(ADDRESSES[3], 5, 51)
    state.set_code(ADDRESSES[3], b"")
    for result in results:
        assert isinstance(result, ExecutionResult)
        words = [(change.old, change.new) for change in result.state_changes if change.field == "storage"]
        assert words == [(50, 0)]


@pytest.mark.parametrize("kind", [MemoryState, NativeState])
def test_what_one_call_loads_is_news_to_those_before_it(factory: VmFactory, kind: Any) -> None:
    """A word that went with its storage unseen is told, also where the next call has looked at it before that is."""
    settings = {"evm": {"engine": factory.get_vm("evm").config.engine, "revision": "shanghai"}}  # type: ignore[attr-defined]
    evm = VmFactory(Settings({"vm": settings})).get_vm("evm")
    looks = bytes(ret_top(sload(5)))
    state = world(kind)
    state.set_storage(ADDRESSES[3], 5, 50)
    calls = CallColumns(
        [ADDRESSES[3]] * 2, [CODES[3], looks], [CALLER] * 2, [b""] * 2, [10**6] * 2, gas_price=0, block=BlockContext()
    )
    overlay = OverlayState(state, Lock())
    for where in (state, overlay) if evm.engine == "native" else (state,):
        destroyed, looked = evm.execute_each(calls, where)
        assert isinstance(destroyed, ExecutionResult)
        assert isinstance(looked, ExecutionResult)
        assert int.from_bytes(looked.return_data, "big") == 50
        assert [(one.key, one.old, one.new) for one in destroyed.state_changes if one.field == "storage"] == [
            (5, 50, 0)
        ]


def test_results_last_longer_than_what_made_them(factory: VmFactory) -> None:
    evm = factory.get_vm("evm")
    calls = [(CODES[0], ExecutionContext(caller=CALLER, address=ADDRESSES[0], gas_limit=100_000))] * 50
    first = evm.execute_each(calls, world(MemoryState))
    evm.execute_each(random_calls(Random(1), 200), world(MemoryState))
    assert all(shown(result) == shown(first[0]) for result in first)
    assert len(shown(first[0])["state_changes"]) == 1


@pytest.mark.parametrize("seed", range(4))
def test_over_a_native_state_it_is_the_same(factory: VmFactory, seed: int) -> None:
    evm = factory.get_vm("evm")
    source = world(NativeState)
    overlay = OverlayState(source, Lock())
    for _ in range(2):
        calls = [call for call in random_calls(Random(seed), 40) if call[0] != CODES[2]]  # it calls another VM
        found = evm.execute_each(calls, overlay)
        expected = VirtualMachine.execute_each(evm, calls, world(NativeState))
        for one, other in zip(found, expected, strict=True):
            assert shown(one) == shown(other)
        calls = random_calls(Random(seed), 10)
        assert list(map(shown, evm.execute_each(calls, overlay))) == [
            shown(result) for result in VirtualMachine.execute_each(evm, calls, world(NativeState))
        ]
    overlay.close()
    assert list(source.changes_since(0)) == list(world(NativeState).changes_since(0))


def test_calls_read_a_native_state_in_native_code_until_their_overlay_is_closed(factory: VmFactory) -> None:
    """And what ran them is there for the next batch, while results still read what they keep."""
    evm = factory.get_vm("evm")
    source = world(NativeState)
    context = ExecutionContext(caller=CALLER, address=ADDRESSES[4], gas_limit=100_000)
    results, readers = [], []
    for _ in range(2):
        overlay = OverlayState(source, Lock())
        results += evm.execute_each([(CODES[4], context)] * 40, overlay)
        if evm.engine == "native":
            readers.append(overlay.kept[native_engine.READING])
            with pytest.raises(StateError, match="stays as it is"):
                source.set_storage(ADDRESSES[0], 0, 42)
        overlay.close()
        source.set_code(ADDRESSES[4], b"")
    assert len(set(map(id, readers))) <= 1
    (expected,) = VirtualMachine.execute_each(evm, [(CODES[4], context)], world(MemoryState))
    assert all(shown(result) == shown(expected) for result in results)


def test_what_an_overlay_has_changed_is_seen(factory: VmFactory) -> None:
    evm = factory.get_vm("evm")
    source = world(NativeState)
    overlay = OverlayState(source, Lock())
    overlay.set_storage(ADDRESSES[0], 0, 5)
    context = ExecutionContext(caller=CALLER, address=ADDRESSES[0], gas_limit=100_000)
    for state, old in ((overlay, 5), (source, 41)):
        (result,) = evm.execute_each([(CODES[0], context)], state)
        assert isinstance(result, ExecutionResult)
        assert [(change.old, change.new) for change in result.state_changes] == [(old, old + 1)]
