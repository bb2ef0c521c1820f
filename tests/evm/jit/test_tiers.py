"""When contracts are compiled, and that nobody can tell but by the time it takes."""

from __future__ import annotations

import ctypes
import io
import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from vmloom import Account
from vmloom.errors import ConfigError
from vmloom.hashing import keccak256
from vmloom.kernel.memory import size_of
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import (
    Bytecode,
    add,
    call,
    create,
    deployer,
    dup,
    gas,
    gt,
    jumpi,
    label,
    mload,
    mstore,
    push,
    raw,
    ret_top,
    sload,
    sstore,
)
from vmloom_evm.config import EvmJitConfig
from vmloom_evm.jit import compile as compiler
from vmloom_evm.jit import tiers
from vmloom_evm.jit.cache import ENTRY_BYTES, OBJECT_KIND, CodeCache, shared_cache
from vmloom_evm.jit.statistics import JitStatistics
from vmloom_evm.jit.worker import QUEUE_LENGTH, Worker
from vmloom_evm.native import layout
from vmloom_evm.native.state import NativeState
from vmloom_evm.testing import BLOCK, SENDER, EvmUnderTest, Outcome
from vmloom_evm.trace.eip3155 import Eip3155Tracer

EAGER = {"trigger": "hot", "patience": 1e-6, "disk_cache": False}
"""Hot is what has been seen to run at all."""
FIRST = {"trigger": "first", "disk_cache": False}
PAUSE = layout.PAUSE_INTERVAL


def counting(turns: int, step: int = 1) -> Bytecode:
    """Counts to `turns` and returns the sum."""
    return push(0) + label("on") + add(step) + jumpi("on", gt(turns, dup(1))) + ret_top()


def jit(**config: Any) -> EvmUnderTest:
    return EvmUnderTest("jit", **{"jit": EAGER, **config})


def run(evm: EvmUnderTest, code: Bytecode | bytes) -> Outcome:
    """With gas for all turns."""
    return evm.run(code, gas=10**9)


def told(evm: EvmUnderTest) -> JitStatistics:
    found = evm.vm.jit_statistics()
    assert found is not None
    return found


def same(outcome: Outcome, expected: Outcome) -> None:
    assert outcome.result == expected.result


# When


@pytest.mark.usefixtures("fresh", "at_once")
def test_loop_goes_on_compiled_while_it_runs() -> None:
    evm, code = jit(), counting(3 * PAUSE)
    same(run(evm, code), run(EvmUnderTest("native"), code))
    found = told(evm)
    assert (found.compiles, found.promotions, found.failures) == (2, 1, {})
    assert (found.improvements, found.entries) == (1, 1)  # quickly, and in full in its place
    assert found.code_bytes == 2 * len(bytes(code))
    assert found.machine_code_bytes > 0
    assert found.deoptimisations > 0  # its pauses are the interpreter's


@pytest.mark.usefixtures("fresh", "at_once")
def test_contract_that_runs_often_without_a_loop_is_compiled() -> None:
    evm, code = jit(), ret_top(add(3, 4))
    evm.state = NativeState({SENDER: Account(balance=1)})  # type: ignore[assignment]
    for _ in range(tiers.PATIENCE - 1):
        assert run(evm, code).output_int == 7
    assert told(evm).compiles == 0
    assert run(evm, code).output_int == 7
    assert (told(evm).compiles, told(evm).promotions) == (1, 1)


@pytest.mark.usefixtures("fresh", "at_once")
def test_contract_is_not_hot_before_it_has_run_as_long_as_compiling_takes() -> None:
    evm = jit(jit={**EAGER, "patience": 1000.0})
    run(evm, counting(3 * PAUSE))
    assert told(evm).compiles == 0


@pytest.mark.usefixtures("fresh")
def test_each_contract_is_compiled_before_its_first_run_where_that_is_asked_for() -> None:
    evm = jit(jit=FIRST)
    callee = evm.deploy(ret_top(add(20, 22)))
    code = call(callee) + ret_top()
    assert run(evm, code).output_int == 1
    assert (told(evm).compiles, told(evm).promotions) == (2, 2)
    assert run(evm, code).output_int == 1
    assert told(evm).compiles == 2


@pytest.mark.usefixtures("fresh")
def test_contract_is_compiled_in_the_background() -> None:
    evm, code = jit(), counting(3 * PAUSE)
    expected = run(EvmUnderTest("native"), code)
    same(run(evm, code), expected)
    assert tiers.WORKER.wait(60)
    same(run(evm, code), expected)
    assert tiers.WORKER.wait(60)
    same(run(evm, code), expected)
    found = told(evm)
    assert (found.compiles, found.promotions, found.improvements, found.pending) == (2, 1, 1, 0)


@pytest.mark.usefixtures("fresh", "at_once")
def test_contract_is_compiled_in_full_only_once_it_has_run_compiled_for_as_long_as_that_takes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    measured = tiers.Measured()
    measured.rates[:] = (1e-9, 1e6)
    monkeypatch.setattr(tiers, "measured", measured)
    monkeypatch.setattr(measured, "add", lambda *_: None)
    evm, code = jit(jit={**EAGER, "time_limit": 1e12}), counting(5 * PAUSE)
    expected = run(EvmUnderTest("native"), code)
    evm.state = NativeState({SENDER: Account(balance=1)})  # type: ignore[assignment]
    same(run(evm, code), expected)
    assert (told(evm).compiles, told(evm).improvements) == (1, 0)
    row = evm.state.code_row(bytes(code))  # type: ignore[attr-defined]
    quick = row_of(evm.state, row)[4]
    assert row_of(evm.state, row)[5] > tiers.NEVER  # Python is asked about it again
    measured.rates[tiers.FULL] = 1e-9
    same(run(evm, code), expected)
    assert (told(evm).compiles, told(evm).improvements, told(evm).entries) == (2, 1, 1)
    assert row_of(evm.state, row)[4] not in (0, quick)
    assert row_of(evm.state, row)[5] == tiers.NEVER


@pytest.mark.usefixtures("fresh", "at_once")
def test_contract_that_cannot_be_improved_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    emit_object = compiler.emit_object

    def refuse(text: str, deadline: float = 0, level: int = compiler.FULL) -> bytes:
        if level == compiler.FULL:
            raise RuntimeError("LLVM ERROR: no")
        return emit_object(text, deadline, level)

    evm, code = jit(), counting(5 * PAUSE)
    expected = run(EvmUnderTest("native"), code)
    run(evm, counting(5 * PAUSE, 2))  # what is shared by all contracts has been made
    monkeypatch.setattr(compiler, "emit_object", refuse)
    for _ in range(2):
        same(run(evm, code), expected)
    found = told(evm)
    assert (found.failures, found.improvements, found.promotions) == ({"RuntimeError": 1}, 1, 2)


# What must not change


@pytest.mark.usefixtures("fresh")
def test_forks_and_prices_do_not_share_machine_code() -> None:
    """On one state, one after the other and back again."""
    code = sstore(0, add(sload(0), 1)) + ret_top(gas)
    settings: list[dict[str, Any]] = [{"revision": "istanbul"}, {"revision": "cancun"}, {"gas": {"ADD": 77}}]
    expected = [run(EvmUnderTest("reference", **one), code).result for one in settings]
    assert len({result.gas_used for result in expected}) == 3
    machines = [
        (EvmUnderTest(engine, jit=FIRST, **one).vm, result)
        for one, result in zip(settings, expected, strict=True)
        for engine in ("jit", "native")
    ]
    evm = EvmUnderTest("jit")
    evm.state = NativeState({SENDER: Account(balance=1)})  # type: ignore[assignment]
    for vm, result in [*machines, *machines[::-1]]:
        evm.vm = vm
        checkpoint = evm.state.snapshot()
        assert run(evm, code).result == result
        evm.state.revert(checkpoint)


@pytest.mark.usefixtures("fresh")
def test_engine_that_does_not_compile_finds_no_machine_code_in_a_state() -> None:
    code = bytes(counting(10))
    evm = jit(jit=FIRST)
    evm.state = NativeState({SENDER: Account(balance=1)})  # type: ignore[assignment]
    run(evm, code)
    row = evm.state.code_row(code)  # type: ignore[attr-defined]
    assert row_of(evm.state, row)[4] != 0
    evm.vm = Evm(EvmConfig(engine="native"))
    run(evm, code)
    assert row_of(evm.state, row)[4:] == (0, tiers.NEVER)
    evm.run(ret_top(1))
    assert row_of(evm.state, row + 1)[4:] == (0, tiers.NEVER)


def row_of(state: Any, row: int) -> tuple[Any, ...]:
    return tiers.CODE.unpack(ctypes.string_at(state.memory.get("codes") + tiers.CODE.size * row, tiers.CODE.size))


def test_rows_of_codes_are_as_they_are_read() -> None:
    assert tiers.CODE.size == size_of(layout.Code)
    assert list(layout.Code.__annotations__) == ["data", "size", "hash", "jump_destinations", "compiled", "patience"]
    state, code = NativeState(), b"\x5b\x00"
    row = state.code_row(code)
    _, size, digest, *_ = row_of(state, row)
    assert (size, digest) == (2, keccak256(code)[::-1])


@pytest.mark.usefixtures("fresh")
def test_traced_run_shows_every_instruction_of_a_compiled_contract() -> None:
    code = bytes(counting(3))
    traces = []
    for evm in (EvmUnderTest("reference"), jit(jit=FIRST)):
        evm.state = NativeState({SENDER: Account(balance=1)})  # type: ignore[assignment]
        first = run(evm, code)
        sink = io.StringIO()
        tracer = Eip3155Tracer(sink, evm.vm.specification(evm.vm.fork_at(BLOCK)).rows)
        same(evm.run(code, tracers=[tracer]), first)
        same(run(evm, code), first)
        traces.append(sink.getvalue())
    assert traces[0] == traces[1]
    assert traces[0].count("\n") > 10


@pytest.mark.usefixtures("fresh")
def test_state_that_forgets_its_codes_forgets_their_machine_code() -> None:
    evm = jit(jit=FIRST)
    state = NativeState({SENDER: Account(balance=1)})
    evm.state = state  # type: ignore[assignment]
    assert evm.run(ret_top(add(1, 2))).output_int == 3
    state.clear()
    for number in range(5):
        assert evm.run(ret_top(add(number, 2))).output_int == number + 2
    assert told(evm).compiles == 5  # the first one is remembered


@pytest.mark.usefixtures("fresh")
def test_code_of_a_deployed_contract_is_compiled_when_it_runs_not_when_it_is_made() -> None:
    runtime = bytes(ret_top(add(5, 6)))
    init = bytes(deployer(raw(runtime)))
    evm = jit(jit=FIRST)
    stored = Bytecode()
    for at in range(0, len(init), 32):
        stored += mstore(at, int.from_bytes(init[at : at + 32].ljust(32, b"\0"), "big"))
    code = stored + call(create(0, 0, len(init)), output=(0, 32)) + ret_top(mload(0))
    assert run(evm, code).output_int == 11
    assert told(evm).compiles == 2  # of init code, none


# What cannot be compiled


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RuntimeError("LLVM ERROR: no"), "RuntimeError"),
        (MemoryError(), "MemoryError"),
        (RecursionError("deep"), "RecursionError"),
        (compiler.Uncompilable("blocks", "too many of them"), "blocks"),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.usefixtures("fresh")
def test_failure_is_counted_and_the_contract_stays_interpreted(
    monkeypatch: pytest.MonkeyPatch, error: Exception, reason: str
) -> None:
    evm, calls = jit(jit=FIRST), []

    def emit_object(*_: Any, **__: Any) -> bytes:
        calls.append(1)
        raise error

    assert evm.run(ret_top(1)).output_int == 1  # what is shared by all contracts has been made
    monkeypatch.setattr(compiler, "emit_object", emit_object)
    for _ in range(3):
        assert evm.run(counting(5)).output_int == 5
    assert told(evm).failures == {reason: 1}
    assert len(calls) == 1
    assert told(evm).promotions == 1


@pytest.mark.usefixtures("fresh")
def test_limits_of_size_and_time_stand_before_the_compiler() -> None:
    evm = jit(jit={**FIRST, "code_size_limit": len(bytes(counting(5)))})
    assert evm.run(counting(5)).output_int == 5
    assert evm.run(ret_top(1) + push(0) * 10).output_int == 1
    assert (told(evm).failures, told(evm).promotions) == ({"size": 1}, 1)
    slow = jit(jit={**FIRST, "time_limit": 1e-9})
    assert slow.run(counting(6)).output_int == 6
    assert told(slow).failures == {"time": 1}


@pytest.mark.usefixtures("fresh")
def test_compile_that_takes_longer_than_it_may_is_given_up() -> None:
    specification = Evm().specification(Evm().fork_at(BLOCK))
    with pytest.raises(compiler.Uncompilable, match="longer than it may") as caught:
        compiler.emit(specification, bytes(counting(5)), deadline=0)
    assert caught.value.reason == "time"


# Memory


class Made:
    """Stands for machine code."""

    def __init__(self, size: int) -> None:
        self.size, self.address, self.library = size, 1, None


def test_memory_keeps_what_was_asked_for_last() -> None:
    cache = CodeCache(4 * (ENTRY_BYTES + 1000))
    for name in "abcd":
        cache.add(name, Made(1000))  # type: ignore[arg-type]
    assert len(cache) == 4
    held = cache.get("a")
    entry = cache.get("b")
    assert entry is not None
    cache.add("e", Made(1000))  # type: ignore[arg-type]
    assert cache.get("c") is None
    assert held is cache.get("a") is not None
    assert (cache.evictions, entry.evicted) == (1, False)
    cache.add("large", Made(1 << 20))  # type: ignore[arg-type]
    assert len(cache) == 1
    assert entry.evicted
    cache.clear()
    assert (len(cache), cache.bytes, cache.get("large")) == (0, 0, None)


def test_memory_is_full_when_states_hold_too_much_of_what_was_evicted() -> None:
    cache = CodeCache(1 << 16)
    held = [cache.add(str(number), Made(1 << 15)) for number in range(2)]  # type: ignore[arg-type]
    assert not cache.is_full
    held += [cache.add(str(number), Made(1 << 15)) for number in range(2, 4)]  # type: ignore[arg-type]
    assert cache.is_full
    held.clear()
    assert not cache.is_full


@pytest.mark.usefixtures("fresh")
def test_states_let_go_of_what_was_evicted() -> None:
    """With room for some few contracts; results stay right, and all that is alive is bounded."""
    evm = jit(jit={**FIRST, "cache_size": 1 << 16})
    evm.state = NativeState({SENDER: Account(balance=1)})  # type: ignore[assignment]
    for turn in range(2):
        for number in range(12):
            assert evm.run(ret_top(add(number, 3))).output_int == number + 3, turn
    found = told(evm)
    assert found.evictions > 10
    assert found.entries < 4
    installation = evm.state.installation  # type: ignore[attr-defined]
    assert len(installation._entries) <= 5
    assert "memory is full" not in (found.failures or {})


@pytest.mark.usefixtures("fresh")
def test_machines_of_one_process_compile_a_contract_once() -> None:
    code = counting(9)
    one, other = jit(jit=FIRST), jit(jit=FIRST)
    same(run(one, code), run(other, code))
    assert (told(one).compiles, told(other).compiles) == (1, 0)
    assert told(other).promotions == 1
    assert (told(one).entries, told(one).bytes) == (told(other).entries, told(other).bytes)


# The disk


@pytest.mark.usefixtures("at_once")
def test_machine_code_is_found_on_the_disk_by_later_processes(fresh: Path) -> None:
    code = counting(5 * PAUSE)
    config = {**EAGER, "disk_cache": True}
    first = jit(jit=config)
    expected = run(first, code)
    assert (told(first).compiles, told(first).disk_hits) == (2, 0)
    assert len(list(fresh.rglob(f"*.{OBJECT_KIND}"))) == 2  # quickly made, and in full
    shared_cache.cache_clear()  # as in another process
    second = jit(jit=config)
    same(run(second, code), expected)
    assert (told(second).compiles, told(second).disk_hits, told(second).promotions) == (0, 1, 1)
    other_fork = jit(jit=config, revision="berlin")
    run(other_fork, code)
    assert (told(other_fork).compiles, told(other_fork).disk_hits) == (2, 0)


@pytest.mark.usefixtures("at_once")
def test_machine_code_that_was_altered_on_the_disk_is_never_run(fresh: Path) -> None:
    code, config = counting(3 * PAUSE), {**FIRST, "disk_cache": True}
    expected = run(jit(jit=config), code)
    (path,) = fresh.rglob(f"*.{OBJECT_KIND}")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    shared_cache.cache_clear()
    evm = jit(jit=config)
    same(run(evm, code), expected)
    assert (told(evm).compiles, told(evm).disk_hits) == (1, 0)


@pytest.mark.usefixtures("at_once")
def test_object_that_cannot_be_linked_is_deleted_and_compiled_again(fresh: Path) -> None:
    code, config = counting(5), {**FIRST, "disk_cache": True}
    run(jit(jit=config), code)
    (path,) = fresh.rglob(f"*.{OBJECT_KIND}")
    cache = shared_cache(EvmJitConfig().cache_size, True)
    assert cache.disk is not None
    cache.disk.put(path.stem, b"no object code")
    shared_cache.cache_clear()
    evm = jit(jit=config)
    assert run(evm, code).output_int == 5
    assert (told(evm).compiles, told(evm).disk_hits) == (1, 0)
    (again,) = fresh.rglob(f"*.{OBJECT_KIND}")
    assert again.stat().st_size > 200


def test_ahead_of_time(fresh: Path) -> None:
    evm = jit(jit={"disk_cache": True})
    code = bytes(counting(3 * PAUSE))
    made = evm.vm.compile(code)
    assert (made.code_bytes, made.origin, made.refusal) == (len(code), "compiled", "")
    assert made.machine_code_bytes > 0
    assert made.seconds > 0
    assert evm.vm.compile(code).origin == "cache"
    assert len(list(fresh.rglob(f"*.{OBJECT_KIND}"))) == 1
    run(evm, code)
    assert (told(evm).compiles, told(evm).memory_hits, told(evm).promotions) == (1, 1, 1)
    assert "no code" in evm.vm.compile(b"").refusal
    for engine in ("native", "reference"):
        with pytest.raises(ConfigError, match="does not compile contracts"):
            Evm(EvmConfig.model_validate({"engine": engine})).compile(code)


# Threads and processes


@pytest.mark.usefixtures("fresh")
def test_threads_run_and_promote_side_by_side() -> None:
    evm = jit()
    codes = [bytes(counting(2 * PAUSE, step)) for step in (1, 2, 3)]
    expected = [run(EvmUnderTest("native"), code).result for code in codes]
    found: list[list[Any]] = []

    def work() -> None:
        mine = jit()
        mine.vm = evm.vm
        found.append([[run(mine, code).result for code in codes] for _ in range(3)])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [[expected] * 3] * 4
    assert tiers.WORKER.wait(60)
    assert 3 <= told(evm).compiles <= 6
    assert told(evm).compiles == 3 + told(evm).improvements


SCRIPT = """
import os, sys, threading, warnings
warnings.simplefilter("ignore")
from vmloom_evm.testing import EvmUnderTest
from vmloom_evm.jit import tiers

def counting(turns):
    return bytes.fromhex("60005b6001018063%08x116002570000" % turns)

jit = {"patience": 1e-6, "disk_cache": False}
evm = EvmUnderTest("jit", jit=jit)
"""
FORK = """
evm.run(counting(600_001), gas=10**9)  # and it may still be compiled
child = os.fork()
if not child:
    for turns in (600_001, 600_002, 600_002):
        assert evm.run(counting(turns), gas=10**9).success
    assert tiers.WORKER.wait(60)
    found = evm.vm.jit_statistics()
    os._exit(0 if found.compiles >= 2 and found.promotions >= 1 and not found.failures else 1)
status = os.waitpid(child, 0)[1]
assert tiers.WORKER.wait(60)
assert evm.run(counting(600_001), gas=10**9).success
print(status, evm.vm.jit_statistics().compiles)
"""
ENDING = """
for turns in range(600_000, 600_020):
    evm.run(counting(turns), gas=10**9)
print("over")
"""


def in_process(script: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT + textwrap.dedent(script)],
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are not forked on this system")
def test_child_of_a_fork_compiles_for_itself() -> None:
    assert in_process(FORK).split() == ["0", "1"]


def test_process_ends_in_the_midst_of_compiling() -> None:
    assert in_process(ENDING) == "over\n"


# What can be asked


@pytest.mark.usefixtures("fresh")
def test_statistics_are_ready_for_json() -> None:
    evm = jit(jit=FIRST)
    evm.run(counting(5))
    found = json.loads(json.dumps(told(evm).to_dict()))
    assert found["compiles"] == 1
    assert found["milliseconds_per_kilobyte"] == pytest.approx(found["seconds"] * 1e3 * 1024 / found["code_bytes"])
    assert JitStatistics().milliseconds_per_kilobyte == 0


@pytest.mark.parametrize(
    ("options", "at"),
    [
        ({"trigger": "warm"}, "trigger"),
        ({"patience": 0}, "patience"),
        ({"code_size_limit": 0}, "code_size_limit"),
        ({"time_limit": 0}, "time_limit"),
        ({"cache_size": 1000}, "cache_size"),
        ({"threshold": 3}, "threshold"),
    ],
)
def test_options_are_checked(options: dict[str, Any], at: str) -> None:
    with pytest.raises(ValidationError, match=f"jit.{at}"):
        EvmConfig.model_validate({"jit": options})


# The thread


def test_worker_does_jobs_in_order_and_ends() -> None:
    worker, done = Worker(), []
    begun, go_on = threading.Event(), threading.Event()

    def first() -> None:
        begun.set()
        assert go_on.wait(30)

    assert worker.submit(first)
    assert begun.wait(30)
    for number in range(QUEUE_LENGTH + 9):
        if not worker.submit(lambda number=number: done.append(number)):
            break
    assert number == QUEUE_LENGTH
    assert worker.pending == QUEUE_LENGTH + 1
    assert not worker.wait(0)
    go_on.set()
    assert worker.wait(30)
    assert done == list(range(QUEUE_LENGTH))
    assert worker.pending == 0
    assert worker.submit(lambda: done.append("again"))
    assert worker.wait(30)
    assert done[-1] == "again"


def test_worker_without_threads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def start(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    worker = Worker()
    monkeypatch.setattr(threading.Thread, "start", start)
    assert not worker.submit(lambda: None)
    assert worker.wait(0)
