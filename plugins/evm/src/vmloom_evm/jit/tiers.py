"""Which contracts are compiled, when, and how what comes of it gets into the states that run them.

An `Installation` belongs to a native state: native code tells it when a code has run as often as was agreed
(`NEED_HOT`) and, by its pauses, where time goes (`NEED_PAUSE`). It puts machine code into the rows of codes, between
two steps of native code, and keeps it alive as long as a row names it. A `Tier` belongs to an interpreter: it weighs
the time that a contract has run interpreted against what compiling it costs, and has it compiled in the background.

Whatever goes wrong here is counted, and the contract stays interpreted.
"""

from __future__ import annotations

import ctypes
import threading
import time
import weakref
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import Enum
from functools import cached_property
from struct import Struct
from typing import TYPE_CHECKING, Final

from vmloom.hashing import keccak256
from vmloom.kernel.memory import size_of
from vmloom.kernel.structs import fields_of
from vmloom.object_keys import key_of
from vmloom_native.build import host

from ..config import EvmJitConfig
from ..native import layout
from .cache import Entry, shared_cache
from .leaving import Leaving
from .statistics import Counts, JitStatistics
from .worker import FORKED, WORKER

if TYPE_CHECKING:
    from ..native.build import Interpreter
    from ..native.memory import NativeMemory

NEVER: Final = 0
"""`Code.patience` of a code that Python is not asked about."""
FIRST_RUN: Final = 1
PATIENCE: Final = 1024
"""Runs of a code until Python is asked about it, again and again."""
SECONDS_PER_RUN: Final = 0.3e-6
"""What a run counts, be it ever so short; how long runs are is known by pauses."""
SHORTEST_PAUSE: Final = 0.2e-3
LONGEST_PAUSE: Final = 50e-3
"""Seconds that may count from one pause to the next: a thread may have done other things in between."""
DISK_SECONDS: Final = 1e-3
"""After so much time it is worth to look on the disk, which takes about as long."""
CONTRACTS: Final = 4096
"""Contracts of which something is remembered."""
QUICK: Final = 0
FULL: Final = 1
"""Levels, see `compile`, which is not imported before something is to be compiled."""
RATES: Final = (75e-6, 150e-6)
"""Seconds of the processor by byte of code that compiling takes, by level, until it has been measured."""
BASE: Final = 3e-3
"""Seconds that compiling the shortest contract takes."""
LEARNING: Final = 0.3
"""How much the last compile counts among those before it."""

STOP: Final = b"\0"
"""The least code there is."""
CODE: Final = Struct("@QQ32sQQQ")
"""`layout.Code`"""
_FRAME: Final = fields_of(layout.Frame)
_CODE: Final = fields_of(layout.Code)


class Status(Enum):
    """How far a contract is."""

    COLD = "interpreted"
    WAITING = "waits for the compiler"
    WARM = "compiled quickly"
    IMPROVING = "compiled quickly, and waits for the compiler"
    READY = "compiled"
    REFUSED = "stays interpreted"


@dataclass(slots=True)
class Contract:
    """What is known of a code.

    `heat` is the time in seconds that it has run interpreted, as far as it was seen, or in its quick machine code.
    """

    digest: bytes
    """keccak256 of the code, least significant byte first, as rows of codes have it"""
    size: int
    heat: float = 0.0
    status: Status = Status.COLD
    level: int = QUICK
    """Of its machine code."""
    is_not_on_disk: bool = False
    refusal: str = ""
    """Why it stays interpreted."""


@dataclass(frozen=True, slots=True)
class Ahead:
    """What came of compiling a contract ahead of time.

    `origin` is `compiled`, `cache` where its machine code was there already, or empty where there is none: then
    `refusal` says why it stays interpreted. Sizes are in bytes.
    """

    code_bytes: int
    machine_code_bytes: int
    seconds: float
    origin: str
    refusal: str

    def to_dict(self) -> dict[str, str | int | float]:
        """JSON-ready."""
        return asdict(self)


class Tiers:
    """The compiler of an engine: a `Tier` for each interpreter, with the same bounds, memory and statistics."""

    def __init__(self, config: EvmJitConfig) -> None:
        self.config = config
        self.counts = Counts()
        self.cache = shared_cache(config.cache_size, config.disk_cache)
        self._evicted_before = self.cache.evictions
        self.installations: weakref.WeakSet[Installation] = weakref.WeakSet()
        """Those of all states that are alive."""
        self._tiers: dict[int, Tier] = {}
        self.after_fork()
        FORKED.add(self)

    def after_fork(self) -> None:
        """See `worker.Forked`."""
        self._lock = threading.Lock()

    def of(self, interpreter: Interpreter) -> Tier:
        """The tier above `interpreter`; made once."""
        with self._lock:
            found = self._tiers.get(id(interpreter))
            if found is None:  # it holds its interpreter, so that no other can get its id
                found = self._tiers[id(interpreter)] = Tier(self, interpreter)
            return found

    def statistics(self) -> JitStatistics:
        """What was done so far."""
        for installation in list(self.installations):
            installation.count_deoptimisations()
        return self.counts.snapshot(
            evictions=self.cache.evictions - self._evicted_before,
            pending=WORKER.pending,
            entries=len(self.cache),
            bytes=self.cache.bytes,
        )

    @staticmethod
    def wait(seconds: float | None = None) -> bool:
        """Wait until the compiler has nothing to do, at most that long. Whether it has not."""
        return WORKER.wait(seconds)


class Tier:
    """Compiles contracts for the interpreter of one specification."""

    def __init__(self, tiers: Tiers, interpreter: Interpreter) -> None:
        self._tiers = tiers
        self.config = tiers.config
        self.counts = tiers.counts
        self.cache = tiers.cache
        self.interpreter = interpreter
        self.compiles_first = tiers.config.trigger == "first"
        self.first_patience = FIRST_RUN if self.compiles_first else PATIENCE
        self._disk = self.cache.disk if interpreter.recipe is not None else None
        self._contracts: OrderedDict[bytes, Contract] = OrderedDict()
        self.after_fork()
        FORKED.add(self)

    def after_fork(self) -> None:
        """See `worker.Forked`. What waited for the compiler waits in the parent only."""
        self._lock = threading.Lock()
        for contract in self._contracts.values():
            if contract.status is Status.WAITING:
                contract.status = Status.COLD
            elif contract.status is Status.IMPROVING:
                contract.status = Status.WARM

    def installation(self, memory: NativeMemory) -> Installation:
        """What brings machine code into a native state."""
        made = Installation(memory, self)
        self._tiers.installations.add(made)
        return made

    @cached_property
    def _recipe(self) -> str:
        """What machine code of contracts depends on besides the contract."""
        from .compile import sources

        recipe = self.interpreter.recipe
        if recipe is None:  # kept in memory only; the library is never freed, so that no other gets its id
            return key_of("vmloom-evm-jit", host(), id(self.interpreter.library))
        return key_of("vmloom-evm-jit", host(), sources(), *recipe)

    @cached_property
    def _is_prepared(self) -> bool:
        """True, once what all contracts of the specification share has been made, which takes longer than they do."""
        from .compile import emit, link

        link(self.interpreter, emit(self.interpreter.specification, STOP))
        return True

    def key(self, contract: Contract, level: int) -> str:
        """Under which its machine code of a level is kept."""
        return key_of(self._recipe, contract.digest, level)

    def contract(self, digest: bytes, size: int) -> Contract:
        """What is known of the code with this digest, as rows of codes have it."""
        with self._lock:
            found = self._contracts.get(digest)
            if found is None:
                found = self._contracts[digest] = Contract(digest, size)
                if len(self.cache):
                    self._find(found)
                if len(self._contracts) > CONTRACTS:
                    self._contracts.popitem(last=False)
            else:
                self._contracts.move_to_end(digest)
            return found

    def _find(self, contract: Contract) -> None:
        """Take what another engine of this process has had compiled."""
        for level, status in ((FULL, Status.READY), (QUICK, Status.WARM)):
            if self.cache.get(self.key(contract, level)) is not None:
                contract.level, contract.status = level, status
                return

    def entry(self, contract: Contract) -> Entry | None:
        """Its machine code, if there is any that is not forgotten."""
        status, level = contract.status, contract.level
        if status not in (Status.WARM, Status.IMPROVING, Status.READY):
            return None
        found = self.cache.get(self.key(contract, level))
        if found is None and level == contract.level and status is not Status.IMPROVING:
            contract.status, contract.heat, contract.is_not_on_disk = Status.COLD, 0.0, False
        return found

    def consider(self, contract: Contract, code: Callable[[], bytes]) -> None:
        """Have a contract compiled if it is time, and what `code` returns is its code.

        The disk is looked at before, as that takes little; it is worth the while early. What is compiled first is
        quick to make; it is made again if it is worth that, too.
        """
        if contract.status is Status.WARM and contract.heat >= self.config.patience * self.cost(contract.size, FULL):
            self._enqueue(contract, code(), self.compile)
        if contract.status is not Status.COLD:
            return
        if self._disk is not None and not contract.is_not_on_disk:
            if contract.heat >= DISK_SECONDS:
                self._enqueue(contract, code(), self.load)
        elif contract.heat >= self.config.patience * self.cost(contract.size, QUICK):
            self._enqueue(contract, code(), self.compile)

    def cost(self, size: int, level: int) -> float:
        """Seconds that compiling a code of `size` bytes will take, going by those before it."""
        return BASE + measured.rates[level] * size

    def compile_now(self, contract: Contract, code: bytes) -> None:
        """Compile it, or load it from the disk, before this returns; it may turn out to stay interpreted."""
        with WORKER.working:
            if contract.status is Status.COLD:
                self.load(contract, code)
            if contract.status in (Status.COLD, Status.WARM):
                self.compile(contract, code, FULL)

    def compile_ahead(self, code: bytes) -> Ahead:
        """Compile a code before anything has run, and keep what comes of it on the disk."""
        contract = self.contract(keccak256(code)[::-1], len(code))
        is_prepared = contract.status in (Status.COLD, Status.WARM) and self._is_prepared
        before, begun = self.counts.snapshot().compiles, time.thread_time()
        self.compile_now(contract, code)
        seconds = time.thread_time() - begun
        entry = self.entry(contract)
        size = entry.compiled.size if entry is not None else 0
        is_new = is_prepared and self.counts.snapshot().compiles > before
        origin = "" if entry is None else "compiled" if is_new else "cache"
        return Ahead(len(code), size, seconds, origin, "" if entry else contract.refusal)

    def load(self, contract: Contract, code: bytes) -> None:
        """Take machine code from the disk, the best that is there."""
        for level in (FULL, QUICK):
            if self._load(contract, level):
                self.counts.add("disk_hits")
                self._made(contract, level, FULL)
                return
        contract.is_not_on_disk = True
        contract.status = Status.COLD

    def _load(self, contract: Contract, level: int) -> bool:
        from .compile import link

        disk, key = self._disk, self.key(contract, level)
        content = disk.get(key) if disk is not None else None
        if content is None:
            return False
        try:
            self.cache.add(key, link(self.interpreter, content))
        except Exception as error:  # whatever it is must not reach the contract
            assert disk is not None
            disk.reject(key, f"{type(error).__name__}: {error}")
            return False
        return True

    @staticmethod
    def _made(contract: Contract, level: int, best: int) -> None:
        """There is machine code of `level`, and could be of `best`."""
        contract.level, contract.heat = level, 0.0
        contract.status = Status.READY if level >= best else Status.WARM

    def compile(self, contract: Contract, code: bytes, level: int | None = None) -> None:
        """Compile a code, unless that is done already, or bounds stand against it.

        If no level is asked for it is the next one: quickly at first, and in full if that is there.
        """
        from .compile import Uncompilable, best_level, emit_object, ir, link

        has_some = contract.status in (Status.WARM, Status.IMPROVING)
        level = level if level is not None else FULL if has_some else QUICK
        key = self.key(contract, level)
        if self.cache.get(key) is not None:
            self._made(contract, level, FULL)
            return
        if self.cache.is_full:  # there may be room later
            contract.status = Status.WARM if has_some else Status.COLD
            contract.heat, contract.refusal = 0.0, "memory is full"
            self.counts.failed(contract.refusal)
            return
        begun, made = time.thread_time(), b""
        try:
            self._check(len(code), level)
            if self._is_prepared:
                begun = time.thread_time()
            deadline = time.thread_time() + self.config.time_limit
            text = ir(self.interpreter.specification, code, deadline, level)
            best = best_level(text)
            made = emit_object(text, deadline, level)
            compiled = link(self.interpreter, made)
        except Exception as error:  # whatever it is must not reach the contract
            contract.status = Status.READY if has_some else Status.REFUSED  # of what it has nothing better will come
            contract.refusal = f"{type(error).__name__}: {error}"
            reason = type(error).__name__
            if isinstance(error, Uncompilable):
                reason, contract.refusal = error.reason, str(error)
            self.counts.failed(reason)
        else:
            self.cache.add(key, compiled)
            self._keep(contract, level, made)
            self._made(contract, level, best)
            if has_some:
                self.counts.add("improvements")
                self.cache.drop(self.key(contract, QUICK))
        seconds = time.thread_time() - begun
        self.counts.compiled(len(code), len(made), seconds)
        if made:
            measured.add(level, len(code), seconds)

    def _keep(self, contract: Contract, level: int, made: bytes) -> None:
        if self._disk is not None:
            name = self.interpreter.specification.fork.name
            subject = f"EVM contract of {contract.size} bytes for {name}{', quickly' if level == QUICK else ''}"
            self._disk.put(self.key(contract, level), made, subject)

    def _check(self, size: int, level: int) -> None:
        """Raises `Uncompilable`."""
        from .compile import Uncompilable

        config = self.config
        if size > config.code_size_limit:
            raise Uncompilable("size", f"{size} bytes of code, at most {config.code_size_limit} are compiled")
        if self.cost(size, level) > config.time_limit:
            raise Uncompilable("time", f"compiling would take longer than {config.time_limit} s")

    def _enqueue(self, contract: Contract, code: bytes, what: Callable[[Contract, bytes], None]) -> None:
        with self._lock:
            before = contract.status
            if before not in (Status.COLD, Status.WARM):
                return
            contract.status = Status.WAITING if before is Status.COLD else Status.IMPROVING
        if not WORKER.submit(lambda: what(contract, code)):
            contract.status = before


class Measured:
    """How fast this computer compiles: seconds by byte of code, by level, by the last compiles."""

    def __init__(self) -> None:
        self.rates = list(RATES)

    def add(self, level: int, size: int, seconds: float) -> None:
        """Learn from a compile."""
        rate = max(seconds - BASE, 0) / max(size, 1)
        self.rates[level] += LEARNING * (rate - self.rates[level]) * min(1.0, size / 1000)


measured: Final = Measured()


class Installation:
    """The machine code in a native state: the state's, and used by the thread that uses the state."""

    def __init__(self, memory: NativeMemory, tier: Tier) -> None:
        self.tier = tier
        self._memory = memory
        self._entries: dict[int, Entry] = {}
        """By row, what rows name."""
        self._rows: dict[int, int] = {}
        """Rows by where their code is."""
        self._known = 1
        """Rows that are in it, and row 0."""
        self._last_pause = time.thread_time()
        self._gone = tier.cache.evictions + tier.cache.drops
        self._deoptimised = memory.get("deoptimised")
        self._leaving = Leaving(memory)
        memory.set("patience", tier.first_patience)
        for row in range(1, memory.get("code_count")):
            self._set(row, 0, tier.first_patience)
            self.met(row)

    def remove(self) -> None:
        """Leave the state without machine code. Nothing may run on it."""
        self.count_deoptimisations()
        self._memory.set("patience", NEVER)
        for row in range(1, self._memory.get("code_count")):
            self._set(row, 0, NEVER)
        self.forget()

    def forget(self) -> None:
        """There are no rows any more."""
        self._entries.clear()
        self._rows.clear()
        self._known = 1
        self._leaving.forget()

    def count_deoptimisations(self) -> None:
        """Count those since the last time."""
        before, self._deoptimised = self._deoptimised, self._memory.get("deoptimised")
        self.tier.counts.add("deoptimisations", self._deoptimised - before)

    def settle(self) -> None:
        """Let go of what has been evicted. Nothing may run."""
        self.count_deoptimisations()
        gone = self.tier.cache.evictions + self.tier.cache.drops
        if self._gone == gone:
            return
        self._gone = gone
        for row, entry in list(self._entries.items()):
            if entry.evicted and not self._install(row, self.tier.contract(*self._described(row))):
                self._set(row, 0, self.tier.first_patience)
                del self._entries[row]

    # What native code tells

    def met(self, row: int) -> None:
        """There is new code in `row`."""
        digest, size = self._described(row)
        contract = self.tier.contract(digest, size)
        if self._install(row, contract):
            self.tier.counts.add("memory_hits")

    def hot(self) -> None:
        """The code in `Run.needed_row` has lost its patience."""
        row, tier = self._memory.get("needed_row"), self.tier
        digest, size = self._described(row)
        contract = tier.contract(digest, size)
        if tier.compiles_first:
            if not self._install(row, contract):
                tier.compile_now(contract, self._code(row))
                self._install(row, contract)
        else:
            contract.heat += PATIENCE * SECONDS_PER_RUN
            self._go_on(row, contract)

    def paused(self) -> None:
        """A sample of where time goes: the current frame has it all since the last one."""
        now, before = time.thread_time(), self._last_pause
        self._last_pause = now
        frame = self._memory.get("frame")
        row = self._running(frame)
        if row:
            digest, size = self._described(row)
            contract = self.tier.contract(digest, size)
            compiled = _word(frame, _FRAME["compiled"].offset)
            rested = self._leaving.rests(row)
            if self._leaving.paused(row, now, is_compiled=bool(compiled)):
                if not rested:
                    self.tier.counts.add("rests")
                    self._run_compiled(row, 0, NEVER)
                return
            if compiled and contract.status is Status.READY and self._is_installed(row, compiled):
                return
            contract.heat += min(max(now - before, SHORTEST_PAUSE), LONGEST_PAUSE)
            self._go_on(row, contract)

    def _running(self, frame: int) -> int:
        """The row of the code that a frame runs; 0 if it runs something else."""
        if _word(frame, _FRAME["kind"].offset) != layout.EVM_CODE:
            return 0
        memory = self._memory
        for row in range(self._known, memory.get("code_count")):
            self._rows[_word(self._place(row), _CODE["data"].offset)] = row
        self._known = memory.get("code_count")
        return self._rows.get(_word(frame, _FRAME["code"].offset), 0)

    def _go_on(self, row: int, contract: Contract) -> None:
        """Install the machine code of a contract, or bring it nearer to having some."""
        self.tier.consider(contract, lambda: self._code(row))
        if not self._install(row, contract):
            is_over = contract.status is Status.REFUSED
            _set_word(self._place(row), _CODE["patience"].offset, NEVER if is_over else PATIENCE)

    # Rows

    def _install(self, row: int, contract: Contract) -> bool:
        """Let the code in `row` run compiled from now on, in frames that are open, too. False if it cannot."""
        entry = self.tier.entry(contract) if not self._leaving.rests(row) else None
        if entry is None:
            return False
        if row not in self._entries:
            self.tier.counts.add("promotions")
        self._entries[row] = entry
        self._run_compiled(row, entry.compiled.address, NEVER if contract.status is Status.READY else PATIENCE)
        return True

    def _run_compiled(self, row: int, address: int, patience: int) -> None:
        """Let the code in `row` run in machine code, or interpreted if `address` is 0, in frames that are open, too."""
        self._set(row, address, patience)
        code = _word(self._place(row), _CODE["data"].offset)
        memory, size = self._memory, size_of(layout.Frame)
        frame = memory.get("frames")
        while frame <= memory.get("frame"):
            if _word(frame, _FRAME["code"].offset) == code:
                _set_word(frame, _FRAME["compiled"].offset, address)
            frame += size

    def _is_installed(self, row: int, address: int) -> bool:
        entry = self._entries.get(row)
        return entry is not None and entry.compiled.address == address and not entry.evicted

    def _place(self, row: int) -> int:
        return self._memory.get("codes") + CODE.size * row

    def _described(self, row: int) -> tuple[bytes, int]:
        """Digest and size of the code in `row`."""
        _, size, digest, *_ = CODE.unpack(ctypes.string_at(self._place(row), CODE.size))
        return digest, size

    def _code(self, row: int) -> bytes:
        data, size, *_ = CODE.unpack(ctypes.string_at(self._place(row), CODE.size))
        return ctypes.string_at(data, size)

    def _set(self, row: int, compiled: int, patience: int) -> None:
        place = self._place(row)
        _set_word(place, _CODE["compiled"].offset, compiled)
        _set_word(place, _CODE["patience"].offset, patience)


def _word(place: int, offset: int) -> int:
    return ctypes.c_uint64.from_address(place + offset).value


def _set_word(place: int, offset: int, value: int) -> None:
    ctypes.c_uint64.from_address(place + offset).value = value
