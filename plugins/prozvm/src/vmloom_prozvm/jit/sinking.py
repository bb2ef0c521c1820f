"""Transactions and the state in local variables of generated functions.

What a function reads of the state under a constant key stays in `v0`, `v1` and so on, one for each key. A transaction
that it begins is not begun on the `TransactionStack` (`T`) at all, as long as nothing else can see that: what it
writes is in those variables, what they had before in `u0`, entries of the ledger in `l`. To commit hands them over, to
revert puts the old values back. Integers that a key gets after its first commit are handed over later still, when
something may look (`d0` says that one is due), so that a loop of transactions works on variables alone.

Where anything else may look, which is at calls, at the end, and wherever the interpreter takes over, `T` is brought to
the state that it would have. The order in which keys were first written is part of that: a value waits only if its key
has a place already (`e0`), and a transaction whose paths write in different orders is begun on `T`.

Only who breaks off a run from outside, as by KeyboardInterrupt, may find the last commits of a loop missing.

By the number of a key: `v0` is its value, UNSET if it is not known; `u0` the value before the open transaction wrote;
`w0` whether that has written, where it is not certain; `d0` whether a committed value is due; `e0` whether `T` has a
value of it that stays. `ok` is whether this run was found to be allowed to write.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Final

from ..bytecode.opcodes import Opcode
from ..runtime.loaded import Instruction
from ..runtime.transactions import TransactionStack
from ..values import Value
from .kinds import ANY, NOTHING
from .state import Conflict, State, Sunk
from .text import Constants, Entry, Resume
from .writing import Emitter, Mode, is_limb

_ATTEMPTS: Final = 8
"""How often some transactions are given up before all of a function are."""
_MAX_KEYS: Final = 16
"""of a function that keeps them in variables: at each call something is written for every one"""
_MAX_STAMPS: Final = 16
"""Entries of the ledger that are kept."""


class StateWriter(Emitter):
    """Writes the instructions of the state and of transactions."""

    def __init__(self, mode: Mode, constants: Constants) -> None:
        super().__init__(mode, constants)
        self._keys: Final[dict[str, int]] = {}
        self._maybe: Final[set[int]] = set()
        """Keys of which it is not everywhere certain whether the open transaction has written them."""
        self._waiting: Final[set[int]] = set()
        """Keys whose values may be due."""
        self._has_ledger = self._has_writes = False
        self._stamps: Final[set[int]] = set()
        """LEDGER_APPEND of constants: their entries are in `y` and the number of the instruction."""
        self._refused: Final[set[int]] = set()
        """TX_BEGIN that are done on `T`."""
        self._conflicts = 0
        self._direct = False
        """Whether all is done on `T`."""

    def _count_keys(self, instructions: Iterable[Instruction]) -> None:
        """Keep none in variables where there are too many."""
        keys = {operand for opcode, operand in instructions if opcode in (Opcode.STATE_READ, Opcode.STATE_WRITE)}
        self._direct = len(keys) > _MAX_KEYS

    @property
    def keys(self) -> Sequence[str]:
        """The keys by number."""
        return tuple(self._keys)

    # What was found out

    def _refuse(self, conflict: Conflict) -> None:
        """Begin these transactions on `T`, and after too many such conflicts all of them."""
        self._refused.update(conflict.begins)
        self._conflicts += 1

    def _note_uncertain(self, state: State) -> None:
        if state.sunk is not None:
            self._maybe.update(key for key, certain in state.sunk.writes if not certain)

    def _declare(self) -> None:
        """Give the variables their first values."""
        values = self._unknown()
        if values:
            self._text.line(" = ".join((*values, "UNSET")))
        flags = [f"{letter}{key}" for key in sorted(self._waiting) for letter in "de"]
        if self._has_writes:
            flags.append("ok")
        if flags:
            self._text.line(" = ".join((*flags, "False")))

    # Reading and writing

    def _read_state(self, key: str) -> None:
        if self._direct:
            self._fetch(self._push(ANY), self._key(key))
            return
        number, known = self._slot(key), self._key(key)
        kind = self._state.keys.get(number)
        written = False if self._state.sunk is None else self._state.sunk.has(number)
        name, value = f"t{self._at}", f"v{number}"
        kind = kind or ANY
        if not (written or kind.is_limb):
            guards = " and ".join(is_limb(Entry(value, kind)))
            test = f"not ({guards})" if written is False else f"not (w{number} or {guards})"
            with self._text.suite(f"if {test}:"):
                self._fetch(value, known)
            kind = ANY
        self._text.line(f"{name} = {value}")
        self._state.keys[number] = kind
        self._push(kind)

    def _fetch(self, value: str, key: str) -> None:
        """Read from `T` what is not due."""
        if self._mode.priced:
            self._text.line(f"{value}, gas = x_STATE_READ(gas, T, {key})", self._here)
        else:
            self._text.line(f"{value} = read(T, {key})", self._here)

    def _write_state(self, key: str) -> None:
        (entry,) = self._pop(1)
        sunk = self._state.sunk
        if sunk is None:
            self._charge_size(Opcode.STATE_WRITE, entry)
            self._text.line(f"T.write({self._key(key)}, {entry.text})", self._final(Opcode.STATE_WRITE, key))
        if self._direct:
            return
        number = self._slot(key)
        if sunk is None:
            if number in self._waiting:
                self._text.line(f"d{number} = e{number} = False")
            self._state.due -= {number}
        else:
            self._allow(key, entry)
            self._state.sunk = self._noted(sunk, number)
        self._text.line(f"v{number} = {entry.text}")
        self._state.keys[number] = entry.kind

    def _allow(self, key: str, entry: Entry) -> None:
        """Charge for the value, and see that it may be written."""
        self._has_writes = True
        guards = ["ok", *is_limb(entry)]
        with self._text.suite(f"if not ({' and '.join(guards)}):"):
            self._charge_size(Opcode.STATE_WRITE, entry)
            self._text.line(f"ok = allowed(T, {entry.text})", self._final(Opcode.STATE_WRITE, key))

    def _noted(self, sunk: Sunk, number: int) -> Sunk:
        """Keep the value that the key had before; the transaction as it is then."""
        has = sunk.has(number)
        if has:
            return sunk
        if has is None:
            if sunk.writes[-1][0] != number:  # it would come after what is behind it
                raise Conflict((sunk.begin,))
            with self._text.suite(f"if not w{number}:"):
                self._text.line(f"u{number} = v{number}")
                self._text.line(f"w{number} = True")
            return Sunk(sunk.begin, (*sunk.writes[:-1], (number, True)))
        self._text.line(f"u{number} = v{number}")
        if number in self._maybe:
            self._text.line(f"w{number} = True")
        return Sunk(sunk.begin, (*sunk.writes, (number, True)))

    def _read_path(self, count: int) -> None:
        if count == 1:  # it may be one of the keys
            self._settle()
        keys = ", ".join(entry.text for entry in self._pop(count))
        if self._mode.priced:
            self._text.line(f"{self._push(ANY)}, gas = x_STATE_READ_AT(gas, T, {keys})", self._here)
        else:
            self._text.line(f"{self._push(ANY)} = read(T, path({keys}))", self._here)

    def _write_path(self, count: int) -> None:
        """The path is known only now, so it is written to `T`."""
        if count == 1 or self._state.sunk is not None:
            self._settle()
        *keys, value = (entry.text for entry in self._pop(count + 1))
        if self._mode.priced:
            self._text.line(f"p, gas = x_STATE_WRITE_AT(gas, T, {value}, {', '.join(keys)})", self._here)
        else:
            self._text.line(f"p = path({', '.join(keys)})", self._here)
        self._text.line(f"T.write(p, {value})", self._final(Opcode.STATE_WRITE_AT, count))
        if count == 1:
            self._forget()

    def _append_ledger(self, _: None) -> None:
        (entry,) = self._pop(1)
        self._charge_size(Opcode.LEDGER_APPEND, entry)
        final = self._final(Opcode.LEDGER_APPEND, None)
        if self._state.sunk is None:
            self._text.line(f"T.append({entry.text})", final)
        else:
            self._has_ledger = True
            known = entry.literal is not None and (self._at in self._stamps or len(self._stamps) < _MAX_STAMPS)
            if not known:
                self._text.line(f"l.append(T.stamp({entry.text}))", final)
            else:  # it comes to the same each time
                self._stamps.add(self._at)
                with self._text.suite(f"if y{self._at} is UNSET:"):
                    self._text.line(f"y{self._at} = T.stamp({entry.text})", final)
                self._text.line(f"l.append(y{self._at})")

    def _charge_size(self, opcode: Opcode, entry: Entry) -> None:
        if self._mode.priced and not entry.kind.is_small:
            self._text.line(f"gas = x_{opcode.name}(gas, {entry.text})", self._here)

    # Transactions

    def _begin(self, _: None) -> None:
        refused = self._direct or self._at in self._refused or self._conflicts > _ATTEMPTS
        if refused or self._state.sunk is not None:
            self._settle()
        if refused:
            self._text.line("T.begin()")
            return
        for number in sorted(self._maybe):
            self._text.line(f"w{number} = False")
        if self._has_ledger:
            self._text.line("l = []")
        self._state.sunk = Sunk(self._at)

    def _commit(self, _: None) -> None:
        sunk = self._state.sunk
        if sunk is None:
            self._settle()
            self._text.line("T.commit()", self._final(Opcode.TX_COMMIT, None))
            return
        for number, certain in sunk.writes:
            with self._if_written(number, certain):
                self._commit_key(number)
        self._deliver()
        self._state.sunk = None

    def _commit_key(self, number: int) -> None:
        """Hand a value over, or let it wait if it is an integer of one limb whose key has its place."""
        kind = self._state.keys.get(number, ANY)
        guards = [f"e{number}", *is_limb(Entry(f"v{number}", kind))]
        with self._text.suite(f"if {' and '.join(guards)}:"):
            self._text.line(f"d{number} = True")
        with self._text.suite("else:"):
            self._text.line(f"T.put({self._known_key(number)}, v{number})")
            self._text.line(f"d{number} = False")
            stays = "True" if not kind.mask & NOTHING else f"v{number} is not None"
            self._text.line(f"e{number} = {stays}")
        self._waiting.add(number)
        self._state.due |= {number}

    def _revert(self, _: None) -> None:
        sunk = self._state.sunk
        if sunk is None:
            self._settle()
            self._text.line("T.revert()", self._final(Opcode.TX_REVERT, None))
            self._forget()
            return
        for number, certain in sunk.writes:
            with self._if_written(number, certain):
                self._text.line(f"v{number} = u{number}")
            self._state.keys.pop(number, None)
        self._state.sunk = None

    # Bringing `T` to the state that it would have

    def _settle(self) -> None:
        """Hand over what is due and what the open transaction has done, which is then open on `T`."""
        sunk = self._state.sunk
        for number in sorted(self._state.due):
            with self._text.suite(f"if d{number}:"):
                written = False if sunk is None else sunk.has(number)
                if written is None:
                    value = f"u{number} if w{number} else v{number}"
                else:
                    value = f"u{number}" if written else f"v{number}"
                self._text.line(f"T.put({self._known_key(number)}, {value})")
                self._text.line(f"d{number} = False")
        self._state.due = frozenset()
        if sunk is None:
            return
        self._text.line("T.begin()")
        for number, certain in sunk.writes:
            with self._if_written(number, certain):
                self._text.line(f"T.put({self._known_key(number)}, v{number})")
        self._deliver()
        self._state.sunk = None
        self._here = self._here._replace(writes=None)

    def _deliver(self) -> None:
        if self._has_ledger:
            self._text.line("if l: deliver(T, l)")

    def _forget(self) -> None:
        """Something else may have written: nothing is known of the state. What is due must have been handed over."""
        names = self._unknown()
        if names:
            self._text.line(" = ".join((*names, "UNSET")))
        flags = [f"e{number}" for number in sorted(self._waiting)]
        if flags:
            self._text.line(" = ".join((*flags, "False")))
        self._state.keys.clear()

    def _unknown(self) -> list[str]:
        return [*(f"v{number}" for number in self._keys.values()), *(f"y{at}" for at in sorted(self._stamps))]

    # Keys

    def _slot(self, key: str) -> int:
        return self._keys.setdefault(key, len(self._keys))

    def _key(self, key: str) -> str:
        return self._constants.entry(key).text

    def _known_key(self, number: int) -> str:
        return self._key(list(self._keys)[number])

    def _if_written(self, number: int, certain: bool) -> AbstractContextManager[None]:
        return nullcontext() if certain else self._text.suite(f"if w{number}:")


# For the namespace of the text, and for who goes on behind it


def allowed(transactions: TransactionStack, value: Value) -> bool:
    """True. Raises what writing `value` in a transaction would."""
    transactions.check(value)
    return True


def deliver(transactions: TransactionStack, entries: Sequence[Value]) -> None:
    """Append entries that `stamp` made to the ledger, now or when the transactions that are open on `T` commit."""
    for entry in entries:
        transactions.append_stamped(entry)


def hand_over(
    transactions: TransactionStack, keys: Sequence[str], resume: Resume, variables: Mapping[str, Any]
) -> None:
    """Bring `transactions` to the state before the instruction of `resume`: what `_settle` writes, at run time."""
    writes = {number: certain or variables[f"w{number}"] for number, certain in resume.writes or ()}
    for number, key in enumerate(keys):
        if variables.get(f"d{number}"):
            transactions.put(key, variables[f"{'u' if writes.get(number) else 'v'}{number}"])
    if resume.writes is None:
        return
    transactions.begin()
    for number, written in writes.items():
        if written:
            transactions.put(keys[number], variables[f"v{number}"])
    deliver(transactions, variables.get("l", ()))
