"""Reads scripts in the form that `wast2json` of wabt makes: a list of commands in JSON, beside the modules."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from vmloom.errors import InputError

from .commands import Action, Command, CommandKind, Source, Value
from .wast import TEXT_FORMAT

_NUMBERS: Final = ("i32", "i64", "f32", "f64")


def read_json(path: Path) -> Iterator[Command]:
    """The commands of a script. Raises `InputError` if it cannot be read as one."""
    try:
        script = json.loads(path.read_bytes())
        entries = script["commands"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path}: {error!r}").with_fix("give a file that wast2json wrote") from None
    for entry in entries:
        try:
            yield _command(entry, path.parent)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{path}: {error!r} in {json.dumps(entry)[:200]}") from None


def _command(entry: Mapping[str, Any], folder: Path) -> Command:
    kind = CommandKind(entry["type"])
    if kind is CommandKind.ASSERT_TRAP and "filename" in entry:
        kind = CommandKind.ASSERT_UNINSTANTIABLE
    source = None
    if "filename" in entry:
        is_text = entry.get("module_type") == "text"
        source = Source(trouble=TEXT_FORMAT) if is_text else Source((folder / entry["filename"]).read_bytes())
    action = _action(entry["action"]) if "action" in entry else None
    expected = tuple(_value(value) for value in entry.get("expected", ())) if kind is CommandKind.ASSERT_RETURN else ()
    text = entry["as"] if kind is CommandKind.REGISTER else entry.get("text", "")
    return Command(kind, entry["line"], entry.get("name"), source, action, expected, text)


def _action(entry: Mapping[str, Any]) -> Action:
    arguments = tuple(_value(value) for value in entry.get("args", ()))
    return Action(entry["field"], arguments, entry.get("module"), is_get=entry["type"] == "get")


def _value(entry: Mapping[str, Any]) -> Value:
    type_, value = entry["type"], entry.get("value")
    if type_ not in _NUMBERS or not isinstance(value, str):
        return Value(type_)
    return Value(type_, nan=value.removeprefix("nan:")) if value.startswith("nan:") else Value(type_, int(value))
