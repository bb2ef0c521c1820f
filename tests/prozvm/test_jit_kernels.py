"""The kernels that machine code of ProzVM programs calls do the same compiled as in CPython, and what they promise."""

from __future__ import annotations

import ctypes
import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

import cbor2
import pytest
from vmloom.kernel import Halt, address_of, local, u8
from vmloom.object_cache import ObjectCache
from vmloom_prozvm.jit.native import encodings, kernels, program, slots
from vmloom_prozvm.jit.native import layout as at
from vmloom_prozvm.jit.native.layout import BOOL, FOREIGN, INT, NONE, Run
from vmloom_prozvm.jit.native.memory import Memory

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("vmloom_native") is None or importlib.util.find_spec("llvmlite") is None,
    reason="needs vmloom-native",
)

Call = Callable[..., Any]
EDGES = sorted(
    {sign * (1 << bits) + add for bits in (0, 3, 5, 8, 16, 31, 32, 62) for sign in (1, -1) for add in (-1, 0, 1)}
)
EDGES += [-(1 << 63), 1 - (1 << 63), (1 << 63) - 1, 23, 24, -24, -25]
SLOTS = 5
CONSTANTS = 3


def _plainly(kernel: Call, *arguments: Any) -> Any:
    return kernel(*arguments)


@pytest.fixture(scope="module")
def compiled() -> Call:
    """All kernels, as programs have them."""
    from vmloom_native.testing import Compiled

    return Compiled(*kernels.KERNELS)


@pytest.fixture(params=("in CPython", "compiled"))
def call(request: pytest.FixtureRequest) -> Call:
    """How a kernel is called."""
    if request.param == "in CPython":
        return _plainly
    found: Call = request.getfixturevalue("compiled")
    return found


class Bench:
    """The memory of a run, and a Python side that answers by chance, but always the same for a seed."""

    def __init__(self, seed: int, *, writable: bool = True) -> None:
        self.memory = Memory(["text"] * CONSTANTS, registers=0, incoming=0, slots=SLOTS, spill=0, sha256=0)
        self.memory.reset()
        self.memory.answer = self.answer
        self.words = self.memory.words
        self.words[at.WRITABLE] = writable
        self.random = Random(seed)
        self.asked: list[tuple[int, int]] = []

    @property
    def run(self) -> Any:
        """What kernels take."""
        return Run.at(self.memory.address)  # type: ignore[attr-defined]

    def slot(self, number: int) -> list[int]:
        """The words of a slot."""
        place = self.memory.begin[at.SLOTS] + number * at.SLOT
        return list(self.words[place : place + at.SLOT])

    def answer(self, what: int, which: int) -> bool:
        """What the transactions of a run would say."""
        self.asked.append((what, which))
        place = self.memory.begin[at.SLOTS] + which * at.SLOT
        good = self.random.random() < 0.8
        if what == at.READ:
            kind = self.random.choice((INT, BOOL, NONE)) if good else FOREIGN
            self.words[place] = kind
            self.words[place + at.SLOT_WORD] = self.random.choice(EDGES) if kind == INT else 0
        elif what == at.WRITE:
            self.words[place + at.SLOT_WRITABLE] = good
        elif what == at.APPEND:
            self.words[self.memory.begin[at.CHECKED] + which] = good
        return good

    def allow(self, what: int, which: int) -> bool:
        """The same of those that let everything be written and appended."""
        if what == at.WRITE:
            self.words[self.memory.begin[at.SLOTS] + which * at.SLOT + at.SLOT_WRITABLE] = 1
        return True

    def content(self) -> list[int]:
        """All words but addresses."""
        first = self.memory.begin[at.SLOTS]
        head = [
            word for number, word in enumerate(self.words[: at.HEAD]) if number not in (*self.memory.begin, at.NEED)
        ]
        return head + list(self.words[first:])


def _steps(seed: int, count: int) -> Iterator[tuple[Call, tuple[int, ...]]]:
    random = Random(f"steps {seed}")
    for _ in range(count):
        kernel = random.choices(
            (slots.read, slots.write, slots.begin, slots.commit, slots.revert, slots.append), (4, 8, 3, 1, 2, 2)
        )[0]
        if kernel is slots.read:
            yield kernel, (random.randrange(SLOTS),)
        elif kernel is slots.write:
            kind = random.choice((INT, BOOL))
            yield kernel, (random.randrange(SLOTS), kind, random.choice(EDGES) if kind == INT else random.randrange(2))
        elif kernel is slots.append:
            yield kernel, (random.randrange(CONSTANTS + 2),)
        else:
            yield kernel, ()


@pytest.mark.parametrize("seed", range(20))
def test_state_and_ledger_are_the_same_compiled(compiled: Call, seed: int) -> None:
    ours, theirs = Bench(seed, writable=seed % 3 > 0), Bench(seed, writable=seed % 3 > 0)
    done = 0
    for kernel, arguments in _steps(seed, 120):
        results = []
        for bench, call in ((ours, _plainly), (theirs, compiled)):
            result = call(kernel, bench.run, *arguments)
            if kernel is slots.append:
                address = result if isinstance(result, int) else address_of(result)
                result = address and address - bench.memory.address
            results.append(result)
        assert results[0] == results[1], (kernel, arguments)
        assert ours.asked == theirs.asked
        assert ours.content() == theirs.content(), (kernel, arguments)
        done += bool(results[0])
    assert done > 20


def test_reverted_transaction_restores_what_was_there_before_its_first_write(call: Call) -> None:
    bench = Bench(1)
    bench.memory.answer = bench.allow
    assert call(slots.write, bench.run, 2, INT, 7)
    before = bench.slot(2)[:3], bench.slot(3)[:3]
    assert call(slots.begin, bench.run)
    for word in (8, 9):
        assert call(slots.write, bench.run, 2, INT, word)
    assert call(slots.begin, bench.run)
    assert call(slots.write, bench.run, 3, BOOL, 1)
    assert bench.words[at.UNDONE] == 2
    assert call(slots.commit, bench.run)
    assert call(slots.append, bench.run, 0)
    assert bench.words[at.APPENDED] == 1
    assert call(slots.revert, bench.run)
    assert (bench.slot(2)[:3], bench.slot(3)[:3]) == before
    assert bench.words[at.UNDONE] == bench.words[at.APPENDED] == bench.words[at.OPEN] == 0


def test_outside_of_transactions_nothing_is_written_unless_the_run_says_so(call: Call) -> None:
    bench = Bench(1, writable=False)
    bench.memory.answer = bench.allow
    assert not call(slots.write, bench.run, 0, INT, 1)
    assert not call(slots.commit, bench.run)
    assert not call(slots.revert, bench.run)
    assert call(slots.begin, bench.run)
    assert call(slots.write, bench.run, 0, INT, 1)


def test_what_has_no_room_is_refused_and_changes_nothing(call: Call) -> None:
    bench = Bench(1)
    bench.memory.answer = bench.allow
    for _ in range(at.MARKS_ROOM):
        assert call(slots.begin, bench.run)
    bench.words[at.UNDONE], bench.words[at.APPENDED] = at.UNDO_ROOM, at.LEDGER_ROOM
    before = bench.content()
    assert not call(slots.begin, bench.run)
    first = bench.memory.begin[at.SLOTS] + at.SLOT_WRITABLE
    assert not call(slots.write, bench.run, 0, INT, 1)
    bench.words[first] = 0  # that Python was asked may stay
    place = call(slots.append, bench.run, 1)
    assert (place if isinstance(place, int) else address_of(place)) == 0
    assert bench.content() == before


def _power(call: Call, base: int, exponent: int) -> int | None:
    try:
        result = call(encodings.power, base, exponent)
    except Halt:
        return None
    assert isinstance(result, int)
    return result


def test_power_is_exact_or_refused(call: Call) -> None:
    random = Random(5)
    cases = [(base, exponent) for base in EDGES for exponent in (-1, 0, 1, 2, 3, 5, 62, 63, 64, (1 << 63) - 1)]
    cases += [(random.randrange(-20, 20), random.randrange(-1, 70)) for _ in range(200)]
    for base, exponent in cases:
        small = exponent >= 0 and (abs(base) < 2 or exponent < 65)
        exact = (base ** (exponent % 2 + 2) if abs(base) < 2 and exponent > 1 else base**exponent) if small else None
        expected = exact if exact is not None and -(1 << 63) <= exact < 1 << 63 else None
        assert _power(call, base, exponent) == expected, (base, exponent)


def test_encodings_are_those_of_cbor(call: Call) -> None:
    random = Random(6)
    room = local(u8, 80)
    for value in (*EDGES, *(random.randrange(-(1 << 63), 1 << 63) >> random.randrange(64) for _ in range(200))):
        assert _written(call, encodings.put_integer, room, value) == cbor2.dumps(value)
    for _ in range(50):
        data = random.randbytes(32)
        words = [int.from_bytes(data[at_ : at_ + 8], "little") for at_ in range(0, 32, 8)]
        assert _written(call, encodings.put_digest, room, *words) == cbor2.dumps(data.hex())


def _written(call: Call, kernel: Call, room: Any, *arguments: int) -> bytes:
    end = call(kernel, room, *arguments)
    return ctypes.string_at(room.address, (end if isinstance(end, int) else end.address) - room.address)


def test_names_in_text_are_those_of_the_kernels() -> None:
    from vmloom_native.program import Program

    names = Program()
    assert [f"@{names.function(it).symbol}" for it in kernels.KERNELS] == [kernels.symbol(it) for it in kernels.KERNELS]


def test_key_of_a_program_in_the_cache_covers_the_source_of_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    from vmloom_native import build

    sources: list[str] = []

    def source_digest(*modules: str) -> bytes:
        sources.extend(modules)
        return b""

    monkeypatch.setattr(build, "source_digest", source_digest)
    kernels.digest.__wrapped__()
    for module in (encodings, slots, at, kernels):
        assert module.__name__ in sources


def test_program_whose_kernels_have_changed_has_another_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = ObjectCache(tmp_path, kind="prozvm")
    text = "define i64 @enter(ptr %m) {\n  ret i64 0\n}"
    made: list[str] = []
    for digest in (b"1", b"1", b"2"):
        monkeypatch.setattr(kernels, "digest", lambda digest=digest: digest)
        monkeypatch.setattr(ObjectCache, "put", lambda _cache, key, *_: made.append(key))
        program._linked(text, 0, cache)
    assert made[0] == made[1] != made[2]
