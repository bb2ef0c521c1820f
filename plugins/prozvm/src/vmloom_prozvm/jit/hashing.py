"""Hashes of small values: the encoding is put together where it is needed, from parts that are known.

HASH_BLOCK of a list that BUILD_LIST makes right before takes no list at all, and a constant is hashed once. All else
is left to `runtime.hashes`, which says what an encoding is; `canonical` makes every part that is constant.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Final

from ..bytecode.opcodes import Opcode
from ..gas import SIZED_AFTER, SIZED_BEFORE
from ..runtime.hashes import hash_block
from ..runtime.limits import Limits
from ..values import Value, ValueLimits, canonical, cells
from .kinds import BOOL, BYTES, INT, LIST, NOTHING, STRING, TEXT, Kind
from .sinking import StateWriter
from .text import Constants, Entry, Resume
from .writing import Mode, is_limb

_PARTS: Final = TEXT | BYTES | BOOL | NOTHING
"""Constants of these kinds may be parts."""
_MAX_ITEMS: Final = 23
"""Of a list whose head has one byte."""
_LIST: Final = 0x80
_NEGATIVE: Final = 0x20
_SMALL: Final = 24


class HashWriter(StateWriter):
    """Writes HASH_BLOCK, and BUILD_LIST before it."""

    def __init__(self, mode: Mode, constants: Constants, limits: Limits) -> None:
        super().__init__(mode, constants)
        self._values: Final = limits.values
        self._list: tuple[Sequence[Entry], Resume] | None = None
        """The items of a list that is made only if its hash cannot be found without, and the place of BUILD_LIST."""

    def _delay_list(self, count: int) -> bool:
        """Leave a BUILD_LIST to the HASH_BLOCK behind it, if that can do without the list."""
        items = self._state.stack[len(self._state.stack) - count :]
        if not 0 < count <= min(_MAX_ITEMS, self._values.items) or not all(map(_is_part, items)):
            return False
        if 1 + sum(_cells(item) for item in items) > self._values.cells:
            return False
        self._list = self._pop(count), self._here
        return True

    def _hash(self) -> None:
        (entry,) = self._pop(1)
        items, self._list = self._list, None
        if items is None:
            self._hash_value(entry)
        else:
            self._hash_list(entry, *items)
        self._push(STRING)

    def _hash_value(self, entry: Entry) -> None:
        literal, mask = entry.literal, entry.kind.mask
        if literal is not None and not mask & ~_PARTS and _is_named(entry):
            self._charge((Opcode.HASH_BLOCK, literal.value), self._here)
            self._text.line(f"t{self._at} = hashed({entry.text})")
        elif literal is None and mask & INT:
            guards = list(is_limb(entry))
            with self._if(guards):
                self._text.line(f"t{self._at} = sha256(integer({entry.text})).hexdigest()")
            if guards:
                with self._text.suite("else:"):
                    self._slow(Opcode.HASH_BLOCK, (entry,), STRING, push=False)
        else:
            self._slow(Opcode.HASH_BLOCK, (entry,), STRING, push=False)

    def _hash_list(self, entry: Entry, items: Sequence[Entry], made: Resume) -> None:
        parts = [f"c_{len(items)}", *map(_part, items)]
        sample: list[Value] = [0 if item.literal is None else item.literal.value for item in items]
        guards = [guard for item in items if item.literal is None for guard in is_limb(item)]
        with self._if(guards):
            self._charge((Opcode.BUILD_LIST, sample), made, (Opcode.HASH_BLOCK, sample))
            self._text.line(f"t{self._at} = sha256({' + '.join(parts)}).hexdigest()")
        if guards:
            with self._text.suite("else:"):
                here, at = self._here, self._at
                self._here, self._at = made, made.at
                self._slow(Opcode.BUILD_LIST, items, Kind(LIST), push=False)
                self._here, self._at = here, at
                self._slow(Opcode.HASH_BLOCK, (entry,), STRING, push=False)

    def _if(self, guards: Sequence[str]) -> AbstractContextManager[None]:
        return self._text.suite(f"if {' and '.join(guards)}:") if guards else nullcontext()

    def _charge(self, one: tuple[Opcode, Value], here: Resume, *more: tuple[Opcode, Value]) -> None:
        """Charge for sizes that are known."""
        schedule = self._mode.schedule
        if not self._mode.metered or schedule is None:
            return
        total = sum(schedule.sizes(opcode, (value,)) + schedule.after(opcode, value) for opcode, value in (one, *more))
        if total:
            self._text.line(f"gas -= {total}")
            self._text.line("if gas < 0: raise LEAVE", here._replace(refund=here.refund + total))

    def _slow(self, opcode: Opcode, taken: Sequence[Entry], kind: Kind, *, push: bool = True) -> None:
        """Call the operation, which charges for sizes."""
        arguments = ", ".join(entry.text for entry in taken)
        name = f"t{self._at}"
        if self._mode.priced and (opcode in SIZED_BEFORE or opcode in SIZED_AFTER):
            self._text.line(f"{name}, gas = x_{opcode.name}({', '.join(('gas', arguments))})", self._here)
        else:
            self._text.line(f"{name} = o_{opcode.name}({arguments})", self._here)
        if push:
            self._push(kind)


def _is_named(entry: Entry) -> bool:
    """Whether the text has a name for this constant, rather than itself."""
    return entry.literal is not None and entry.text.startswith("k")


def _is_part(item: Entry) -> bool:
    """Whether the encoding of an item can be put together."""
    if item.literal is None:
        return bool(item.kind.mask & INT)
    return item.kind.is_limb or not item.kind.mask & ~_PARTS


def _part(item: Entry) -> str:
    """The expression of an item's encoding."""
    if item.literal is None or item.kind.is_limb:
        return f"integer({item.text})"
    return f"c_{item.text}" if _is_named(item) else f"encoded({item.text})"


def _cells(item: Entry) -> int:
    return 1 if item.literal is None else cells(item.literal.value)


# For the namespace of the text


def integer(number: int) -> bytes:
    """The encoding of an integer of one limb. RFC 8949, section 3.1."""
    major = 0
    if number < 0:
        major, number = _NEGATIVE, -1 - number
    if number < _SMALL:
        return bytes((major + number,))
    if number < 1 << 8:
        return bytes((major + 24, number))
    if number < 1 << 16:
        return (((major + 25) << 16) + number).to_bytes(3, "big")
    if number < 1 << 32:
        return (((major + 26) << 32) + number).to_bytes(5, "big")
    return (((major + 27) << 64) + number).to_bytes(9, "big")


def remembering(limits: ValueLimits) -> Callable[[Value], str]:
    """`hash_block` for constants of one text, which does each once."""
    known: dict[int, str] = {}

    def hashed(value: Value) -> str:
        found = known.get(id(value))  # the text keeps them alive
        if found is None:
            found = known[id(value)] = hash_block(value, limits)
        return found

    return hashed


def encodings(names: Iterable[str], constants: Mapping[str, Value], limits: ValueLimits) -> dict[str, bytes]:
    """What the names in a text that begin with `c_` mean: a constant's encoding, or the beginning of a list's.

    A list of at most 23 items begins with one byte. RFC 8949, section 3.
    """
    parts = {name: name[2:] for name in names if name.startswith("c_")}
    return {
        name: bytes((_LIST + int(part),)) if part.isdecimal() else canonical(constants[part], limits)
        for name, part in parts.items()
    }
