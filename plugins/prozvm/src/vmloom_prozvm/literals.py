"""Values as people and files see them: as the language writes them, and as JSON that can be read back."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from vmloom.errors import InputError

from .runtime.world import Path
from .values import Function, Task, Value, is_key

HEX: Final = "hex"
MAP: Final = "map"
"""JSON has neither bytes nor keys that are no strings: {"hex": "c0ff"}, and {"map": [[key, value], ...]}."""
PATHS: Final = "paths"
"""In the JSON of a state: the entries under paths of keys, [[[key, ...], value], ...]."""
_LONGEST: Final = 2_000
"""Characters of a value that are shown."""


def literal(value: Value, longest: int = _LONGEST) -> str:
    """The value as the language writes it, in one line of printable characters; cut where it is too long."""
    pieces: list[str] = []
    size = 0
    for piece in _pieces(value, longest + 1):
        pieces.append(piece)
        size += len(piece)
        if size > longest:
            return f"{''.join(pieces)[: longest - 3]}..."
    return "".join(pieces)


def _pieces(value: Value, most: int) -> Iterator[str]:
    """The text of the value, piece by piece; of a text or bytes that are longer than `most`, no more than that."""
    match value:
        case None:
            yield "none"
        case bool():
            yield "true" if value else "false"
        case str():
            text = json.dumps(value[:most], ensure_ascii=False)
            yield "".join(one if one.isprintable() else _escaped(one) for one in text)
        case bytes():
            yield f'hex"{value[:most].hex()}"'
        case list():
            yield "["
            for number, item in enumerate(value):
                yield ", " if number else ""
                yield from _pieces(item, most)
            yield "]"
        case dict():
            yield "{"
            for number, (key, item) in enumerate(value.items()):
                yield ", " if number else ""
                yield from _pieces(key, most)
                yield ": "
                yield from _pieces(item, most)
            yield "}"
        case Function():
            yield f"action {value.name}({', '.join(value.parameters[len(value.bound) :])})"
        case Task():
            yield f"task {value.number}"
        case int():
            yield str(value)
        case _:
            yield "cell"


def _escaped(character: str) -> str:
    return f"\\u{{{ord(character):x}}}"


def to_json(value: Value) -> Any:
    """The value as JSON-ready data; what cannot be stored is text."""
    match value:
        case None | bool() | int() | str():
            return value
        case bytes():
            return {HEX: value.hex()}
        case list():
            return [to_json(item) for item in value]
        case dict() if all(type(key) is str for key in value) and not {HEX, MAP} & value.keys():
            return {key: to_json(item) for key, item in value.items()}
        case dict():
            return {MAP: [[to_json(key), to_json(item)] for key, item in value.items()]}
    return literal(value)


def from_json(data: Any) -> Value:
    """The value that `to_json` wrote. Raises `InputError`."""
    match data:
        case None | bool() | int() | str():
            return data
        case list():
            return [from_json(item) for item in data]
        case {"hex": str(text)} if len(data) == 1:
            try:
                return bytes.fromhex(text)
            except ValueError:
                raise InputError(f'{{"hex": {json.dumps(text)}}}: no hex digits') from None
        case {"map": list(pairs)} if len(data) == 1:
            return _map(pairs)
        case dict():
            return {str(key): from_json(item) for key, item in data.items()}
    raise InputError(f"{data!r} is no value; numbers are integers")


def _map(pairs: list[Any]) -> Value:
    found: dict[str | int | bytes, Value] = {}
    for pair in pairs:
        if not isinstance(pair, list) or len(pair) != 2:
            raise InputError(f'"map" has pairs [key, value], not {json.dumps(pair)}')
        key = from_json(pair[0])
        if not is_key(key):
            raise InputError(f"{json.dumps(pair[0])}: keys of maps are strings, integers and bytes")
        found[key] = from_json(pair[1])  # type: ignore[index]  # it is a key
    return found


def state_to_json(state: Mapping[Path, Value]) -> dict[str, Any]:
    """A workbench's state: names as keys, and paths apart."""
    data: dict[str, Any] = {key: to_json(value) for key, value in state.items() if isinstance(key, str)}
    paths = [
        [[to_json(part) for part in key], to_json(value)] for key, value in state.items() if not isinstance(key, str)
    ]
    return {"state": data, PATHS: paths} if paths else {"state": data}


def state_from_json(data: Any) -> dict[Path, Value]:
    """The state that `state_to_json` wrote. Raises `InputError`."""
    if (
        not isinstance(data, dict)
        or not isinstance(data.get("state", {}), dict)
        or data.keys() - {"state", PATHS, "ledger"}
    ):
        raise InputError(
            'a state is {"state": {name: value, ...}, "paths": [[[key, ...], value], ...], "ledger": [...]}'
        )
    state: dict[Path, Value] = {str(key): from_json(value) for key, value in data.get("state", {}).items()}
    for entry in data.get(PATHS, []):
        if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[0], list):
            raise InputError(f'"{PATHS}" has pairs [[key, ...], value], not {json.dumps(entry)}')
        keys = tuple(from_json(key) for key in entry[0])
        if len(keys) < 1 or not all(map(is_key, keys)):
            raise InputError(f"{json.dumps(entry[0])}: keys are strings, integers and bytes")
        state[keys] = from_json(entry[1])  # type: ignore[index]  # all are keys
    return state


def path_text(path: Path) -> str:
    """A place in the state as the language writes it: `STATE.balances[hex"c0ff"]`."""
    first, *rest = (path,) if isinstance(path, str) else path
    name = f".{first}" if isinstance(first, str) and first.isidentifier() else f"[{literal(first)}]"
    return f"STATE{name}{''.join(f'[{literal(key)}]' for key in rest)}"
