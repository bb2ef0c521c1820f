"""The interface of a contract: what its description says, and calls and results as bytes.

The description is JSON: a list with an entry for the constructor, if there is one, and for each exported action,

    {"type": "action", "name": "transfer", "inputs": [{"name": "to", "type": "address"}, ...], "output": "bool",
     "payable": false}

where the constructor's type is `constructor`, and an output that was not declared is null. A call is the canonical
encoding of a list, the action's name and its arguments; the constructor gets a list of its arguments alone, or nothing
if it has none. Used by who calls contracts; nothing here runs one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, TypeAlias

from vmloom.context import ADDRESS_SIZE
from vmloom.errors import InputError
from vmloom.json_text import read_json

from ..errors import NotCanonical, ProzError
from ..values import Value, canonical, kind_of, parse_canonical
from .diagnostics import closest

Entry: TypeAlias = "Mapping[str, Any]"
Abi: TypeAlias = "Sequence[Entry]"

ACTION: Final = "action"
CONSTRUCTOR: Final = "constructor"
KINDS: Final[Mapping[str, str]] = {
    "int": "integer",
    "bool": "bool",
    "str": "string",
    "bytes": "bytes",
    "address": "bytes",
    "list": "list",
    "map": "map",
}
"""The kind of value that each type stands for; `any` stands for all that have an encoding."""


class AbiError(InputError):
    """A call that does not fit the description of a contract, or a result that does not."""


def encode_call(abi: Abi, name: str, *arguments: Value) -> bytes:
    """The input that calls an action.

    Raises:
        AbiError: There is no such action, or it takes other arguments.
    """
    entry = find(abi, name)
    _check_arguments(entry, arguments)
    return _encoded([name, *arguments], name)


def encode_construction(abi: Abi, *arguments: Value) -> bytes:
    """The input that deploys a contract; empty if its constructor takes nothing, or if there is none.

    Raises:
        AbiError: The constructor takes other arguments.
    """
    entry = next((entry for entry in abi if entry["type"] == CONSTRUCTOR), None)
    if entry is None:
        if arguments:
            raise AbiError(f"the contract has no constructor and takes no arguments, not {len(arguments)}")
        return b""
    _check_arguments(entry, arguments)
    return _encoded(list(arguments), entry["name"]) if arguments else b""


def decode_result(abi: Abi, name: str, data: bytes) -> Value:
    """What an action returned, from the output of its call.

    Without a declared type: None for no output, the value that the output is the encoding of, or else the bytes.

    Raises:
        AbiError: There is no such action, or the output is not of its type.
    """
    output = find(abi, name)["output"]
    if output is None:
        return _guessed(data)
    if output in ("bytes", "address"):
        _check_type(output, data, f"the result of `{name}`")
        return data
    try:
        value = parse_canonical(data)
    except (NotCanonical, ProzError) as error:
        raise AbiError(f"the result of `{name}` is no {output}: {error}") from None
    _check_type(output, value, f"the result of `{name}`")
    return value


def decode_reason(data: bytes) -> Value:
    """What a call that reverted gave as its reason: None, a value, or bytes that are no encoding of one."""
    return _guessed(data)


def find(abi: Abi, name: str) -> Entry:
    """The entry of an action. Raises `AbiError`, with what was probably meant."""
    actions = {entry["name"]: entry for entry in abi if entry["type"] == ACTION}
    if name not in actions:
        near = closest(name, actions)
        raise AbiError(f"the contract has no action `{name}`" + (f" (did you mean `{near}`?)" if near else ""))
    return actions[name]


def dump_abi(abi: Abi) -> str:
    """The description as JSON, the same for the same contract, with a newline at the end."""
    return json.dumps(list(map(dict, abi)), indent=2, ensure_ascii=False) + "\n"


def load_abi(text: str) -> list[dict[str, Any]]:
    """The description from JSON. Raises `AbiError` for anything else."""
    try:
        abi = read_json(text)
    except ValueError as error:
        raise AbiError(f"not a description of a contract: {error}") from None
    if not isinstance(abi, list) or not all(map(_is_entry, abi)):
        raise AbiError("not a description of a contract: it is a list of actions")
    return abi


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or entry.keys() != {"type", "name", "inputs", "output", "payable"}:
        return False
    return (
        entry["type"] in (ACTION, CONSTRUCTOR)
        and isinstance(entry["name"], str)
        and isinstance(entry["inputs"], list)
        and all(
            isinstance(given, dict) and isinstance(given.get("name"), str) and _is_type(given.get("type"))
            for given in entry["inputs"]
        )
        and (entry["output"] is None or _is_type(entry["output"]))
        and isinstance(entry["payable"], bool)
    )


def _is_type(name: Any) -> bool:
    return isinstance(name, str) and (name in KINDS or name == "any")


def _check_arguments(entry: Entry, arguments: Sequence[Value]) -> None:
    inputs = entry["inputs"]
    if len(arguments) != len(inputs):
        shown = ", ".join(f"{given['name']}: {given['type']}" for given in inputs)
        raise AbiError(f"`{entry['name']}` takes ({shown}), not {len(arguments)} arguments")
    for given, argument in zip(inputs, arguments, strict=True):
        _check_type(given["type"], argument, f"`{given['name']}` of `{entry['name']}`")


def _check_type(name: str, value: Value, what: str) -> None:
    kind = kind_of(value)
    if name != "any" and kind != KINDS[name]:
        raise AbiError(f"{what} is of type {name}; got {kind}")
    if name == "address" and len(value) != ADDRESS_SIZE:  # type: ignore[arg-type]  # bytes
        raise AbiError(f"{what} is an address of {ADDRESS_SIZE} bytes; got {len(value)}")  # type: ignore[arg-type]


def _encoded(value: Value, name: str) -> bytes:
    try:
        return canonical(value)
    except ProzError as error:
        raise AbiError(f"`{name}`: {error}") from None


def _guessed(data: bytes) -> Value:
    if not data:
        return None
    try:
        return parse_canonical(data)
    except (NotCanonical, ProzError):
        return data
