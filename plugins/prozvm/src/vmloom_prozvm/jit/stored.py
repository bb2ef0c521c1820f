"""Generated text on disk, so that a computer writes each of them once.

It is kept in the core's `ObjectCache`, which gives back only what this user's processes have put there: text from
anywhere else is never executed. A key is a digest of all that a text depends on. Values of the program do not go to the
disk: a text names them, and what is stored says in which instructions they are found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from hashlib import sha256
from typing import Any, Final

from vmloom.object_cache import ObjectCache
from vmloom.object_keys import key_of, source_digest

from ..bytecode.container import pack
from ..runtime.loaded import Loaded, LoadedFunction
from .codegen import Generated
from .text import Failure, Literal, Resume
from .writing import Mode

OBJECT_KIND: Final = "proztext"
"""The kind of `ObjectCache` for texts: many small files, with a limit of their own."""
_SOURCES: Final = (
    "vmloom_prozvm.bytecode",
    "vmloom_prozvm.gas",
    "vmloom_prozvm.jit",
    "vmloom_prozvm.runtime",
    "vmloom_prozvm.values",
)
"""What decides how a text is written and what it means."""

_Place = tuple[int, int, int]
"""Where a value is: the function's number, the instruction, the part of the operand, -1 for all of it."""


class StoredTexts:
    """Texts in an `ObjectCache`; `hits` counts those that were found."""

    def __init__(self, disk: ObjectCache) -> None:
        self._disk: Final = disk
        self.hits = 0

    def key(self, loaded: Loaded, mode: Mode) -> str:
        """What the text of a program is stored under."""
        schedule = "" if mode.schedule is None else mode.schedule.model_dump_json()
        settings = (int(mode.metered), schedule, int(mode.strict), mode.depth, repr(loaded.limits))
        return key_of("vmloom-prozvm", _recipe(), sha256(pack(loaded.bytecode)).digest(), *settings)

    def get(self, key: str, loaded: Loaded) -> Generated | None:
        """The text, None if there is none that can be trusted and used."""
        content = self._disk.get(key)
        if content is None:
            return None
        try:
            found = _read(json.loads(content), list(loaded.functions()))
        except (KeyError, IndexError, TypeError, ValueError) as cause:
            self._disk.reject(key, f"not a text of this program: {type(cause).__name__}")
            return None
        self.hits += 1
        return found

    def put(self, key: str, generated: Generated) -> None:
        """Keep a text."""
        self._disk.put(key, json.dumps(_written(generated)).encode(), "compiled ProzVM program")


@cache
def _recipe() -> bytes:
    return source_digest(*_SOURCES)


def _written(generated: Generated) -> dict[str, Any]:
    places = _places(generated)
    return {
        "sources": generated.sources,
        "constants": {name: places[id(value)] for name, value in generated.constants.items()},
        "resumes": [
            [[line, *_written_resume(resume, places)] for line, resume in resumes.items()]
            for resumes in generated.resumes
        ],
        "keys": generated.keys,
        "changed": sorted(generated.changed),
    }


def _written_resume(resume: Resume, places: Mapping[int, _Place]) -> list[Any]:
    stack = [[_written_literal(item, places)] if isinstance(item, Literal) else item for item in resume.stack]
    return [resume.at, resume.refund, stack, resume.failure.name, resume.writes]


def _written_literal(literal: Literal, places: Mapping[int, _Place]) -> Any:
    """What the text has itself, or where in the program it is."""
    value = literal.value
    return value if value is None or type(value) in (int, bool) else {"place": places[id(value)]}


def _places(generated: Generated) -> dict[int, _Place]:
    """By identity, where each value is that an operand has."""
    found: dict[int, _Place] = {}
    for number, function in enumerate(generated.functions):
        for at, (_, operand) in enumerate(function.instructions):
            for part, value in enumerate(operand if type(operand) is tuple else ()):
                found.setdefault(id(value), (number, at, part))
            found.setdefault(id(operand), (number, at, -1))
    return found


def _read(stored: Any, functions: list[LoadedFunction]) -> Generated:
    def value(place: _Place) -> Any:
        number, at, part = place
        operand = functions[number].instructions[at].operand
        return operand if part < 0 else operand[part]

    def literal(item: Any) -> Literal:
        return Literal(value(item["place"]) if type(item) is dict else item)

    def resume(at: int, refund: int, stack: list[Any], failure: str, writes: Any) -> Resume:
        return Resume(
            at,
            refund,
            tuple(item if type(item) is str else literal(item[0]) for item in stack),
            Failure[failure],
            None if writes is None else tuple((key, certain) for key, certain in writes),
        )

    resumes = [{line: resume(*parts) for line, *parts in lines} for lines in stored["resumes"]]
    constants = {name: value(place) for name, place in stored["constants"].items()}
    return Generated(stored["sources"], constants, resumes, functions, stored["keys"], frozenset(stored["changed"]))
