"""Traces as records: EIP-3155 lines, and the struct logs that debug_traceTransaction answers.

EIP-3155 is what geth, evmone, Besu, Nethermind, Reth and others write, with differences: fields may be missing, numbers
be hex text or plain, frames have lines of their own or not. Records are what all have in common; one is made at a time.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, BinaryIO, Final, TypeAlias

from ..errors import InputError
from ..json_text import NestedTooDeeply, read_json

MAX_GAS: Final = (1 << 64) - 1
MAX_STACK: Final = 1024
_MAX_COUNT: Final = (1 << 53) - 1
"""Of what a page calculates with: the whole numbers that JavaScript has exactly."""
_SHOWN: Final = 40
_TEXT_LIMIT: Final = 300
"""Characters kept of a name or an error."""
_HEX: Final = re.compile(r"(?:0[xX])?([0-9a-fA-F]*)")

EFFECTS: Final = {
    0x30: "ADDRESS",
    0x54: "SLOAD",
    0x55: "SSTORE",
    0xF0: "CREATE",
    0xF1: "CALL",
    0xF2: "CALLCODE",
    0xF4: "DELEGATECALL",
    0xF5: "CREATE2",
    0xFA: "STATICCALL",
    0xFD: "REVERT",
    0xFF: "SELFDESTRUCT",
}
"""Instructions that say something of frames or storage. They are known by their bytes where a trace has no names."""


class TraceError(InputError):
    """A trace that cannot be read. `line` counts from 1; of struct logs it is None, and the message has the index."""

    def __init__(self, message: str, *, line: int | None = None) -> None:
        super().__init__(message if line is None else f"line {line}: {message}")
        self.line = line


@dataclass(slots=True)
class Step:
    """An instruction before it acts. None is what the trace does not tell; `stack` is hex text, the top last."""

    place: Place
    pc: int
    op: int | None
    name: str
    gas: int
    cost: int
    depth: int
    stack: list[Any] | None
    memory: bytes | None
    memory_size: int | None
    return_data: bytes | None
    refund: int
    error: str


@dataclass(slots=True)
class Entry:
    """A frame that begins. Addresses and `value`, wei, are `0x` hex text, `value` empty if there is none."""

    place: Place
    kind: str
    sender: str
    to: str
    input: bytes | None
    gas: int
    value: str


@dataclass(slots=True)
class Exit:
    """A frame, or the whole run, that has ended; `gas_used` is None where it is not told."""

    place: Place
    output: bytes
    gas_used: int | None
    error: str


Record: TypeAlias = Step | Entry | Exit


@dataclass(frozen=True, slots=True)
class Place:
    """Where a record stands: a line, or an index of the struct logs."""

    line: int | None
    index: int | None = None

    def error(self, message: str) -> TraceError:
        """The error of what is wrong there."""
        if self.line is None:
            return TraceError(f"structLogs[{self.index}]: {message}" if self.index is not None else message)
        return TraceError(message, line=self.line)


def read_trace(source: BinaryIO) -> Iterator[Record]:
    """The records of a trace, in order. Raises `TraceError`, once it comes to what is wrong.

    Lines are read one by one; struct logs are one JSON document, which is read whole.
    """
    number, first = 0, b""
    for number, line in enumerate(source, 1):  # noqa: B007 - the number of the first line that is not blank
        first = line
        if line.strip():
            break
    if not first.strip():
        raise TraceError("the trace is empty")
    try:
        document = _json(first, Place(number))
    except TraceError:
        rest = source.read()
        whole = _whole(first + rest)
        if whole is None:
            raise
        document = whole
    if _holds_struct_logs(document):
        yield from _struct_logs(document)
        return
    yield from _record(document, Place(number))
    for place, line in zip(map(Place, count(number + 1)), source, strict=False):
        if line.strip():
            yield from _record(_json(line, place), place)


def _whole(text: bytes) -> Any:
    """The struct logs that are written over several lines; None if it is something else."""
    try:
        document = _json(text, Place(None))
    except TraceError:
        return None
    return document if _holds_struct_logs(document) else None


def _json(text: bytes, place: Place) -> Any:
    try:
        return read_json(text.decode("utf-8-sig"))
    except json.JSONDecodeError as error:
        is_cut = error.pos >= len(error.doc.rstrip()) or error.msg.startswith("Unterminated string")
        reason = "it ends too early" if is_cut else f"character {error.pos + 1}"
        raise place.error(f"no JSON: {reason}") from None
    except UnicodeDecodeError:
        raise place.error("no JSON: the bytes are no UTF-8 text") from None
    except NestedTooDeeply:
        raise place.error("JSON that is nested too deeply") from None
    except ValueError:  # int() refuses thousands of digits
        raise place.error("a number of too many digits") from None


# EIP-3155


def _record(document: Any, place: Place) -> Iterator[Record]:
    """The record of a line; none for lines that say what a page does not show, such as a state root."""
    if not isinstance(document, dict):
        raise place.error(f"a JSON object is needed, got {_shown(document)}")
    if "pc" in document:
        yield _step(document, place)
    elif "type" in document and "from" in document:
        yield _entry(document, place)
    elif "gasUsed" in document or "output" in document:
        error = document.get("error", "")
        used = document.get("gasUsed")
        yield Exit(
            place,
            _bytes(document.get("output"), "output", place) or b"",
            None if used is None else _number(used, "gasUsed", place, MAX_GAS),
            _text(error, "error", place),
        )
    elif "stateRoot" not in document:
        raise place.error("neither an instruction (pc), nor a frame (type, from), nor an end (output, gasUsed)")


def _step(document: dict[str, Any], place: Place) -> Step:
    op, name = document.get("op"), document.get("opName")
    if isinstance(op, str) and op[:2] not in ("0x", "0X") and not op.isdecimal():  # struct logs have the name here
        op, name = None, op
    byte = None if op is None else _number(op, "op", place, 255)
    if name is None:
        name = "" if byte is None else EFFECTS.get(byte, f"op {byte:#04x}")
    return Step(
        place=place,
        pc=_number(_needed(document, "pc", place), "pc", place, _MAX_COUNT),
        op=byte,
        name=_text(name, "opName", place) or "?",
        gas=_number(_needed(document, "gas", place), "gas", place, MAX_GAS),
        cost=_number(document.get("gasCost") or 0, "gasCost", place, MAX_GAS),
        depth=_number(_needed(document, "depth", place), "depth", place, _MAX_COUNT),
        stack=_stack(document.get("stack"), place),
        memory=_memory(document.get("memory"), place),
        memory_size=None if "memSize" not in document else _number(document["memSize"], "memSize", place, _MAX_COUNT),
        return_data=_bytes(document.get("returnData"), "returnData", place),
        refund=_number(document.get("refund") or 0, "refund", place, MAX_GAS),
        error=_text(document.get("error"), "error", place),
    )


def _entry(document: dict[str, Any], place: Place) -> Entry:
    value = document.get("value")
    return Entry(
        place=place,
        kind=_text(document["type"], "type", place),
        sender=_text(document["from"], "from", place),
        to=_text(document.get("to"), "to", place),
        input=_bytes(document.get("input"), "input", place),
        gas=_number(document.get("gas") or 0, "gas", place, MAX_GAS),
        value="" if value is None else hex(_number(value, "value", place, (1 << 256) - 1)),
    )


# Struct logs


def _holds_struct_logs(document: Any) -> bool:
    if not isinstance(document, dict):
        return False
    return "structLogs" in document or "jsonrpc" in document


def _struct_logs(document: dict[str, Any]) -> Iterator[Record]:
    """The records of an answer, or of the JSON-RPC object around it."""
    if "structLogs" not in document:
        answer = document.get("result")
        if not isinstance(answer, dict) or "structLogs" not in answer:
            reason = document.get("error", "its result has no structLogs")
            raise TraceError(f"this JSON-RPC answer has no trace: {_shown(reason)}")
        document = answer
    logs = document["structLogs"]
    if not isinstance(logs, list):
        raise TraceError(f"structLogs: a list is needed, got {_shown(logs)}")
    for index, log in enumerate(logs):
        place = Place(None, index)
        if not isinstance(log, dict):
            raise place.error(f"a JSON object is needed, got {_shown(log)}")
        yield _step(log, place)
    end = Place(None)
    used = document.get("gas")
    yield Exit(
        end,
        _bytes(document.get("returnValue"), "returnValue", end) or b"",
        None if used is None else _number(used, "gas", end, MAX_GAS),
        "execution failed" if document.get("failed") is True else "",
    )


# Values


def _needed(document: dict[str, Any], key: str, place: Place) -> Any:
    value = document.get(key)
    if value is None:
        raise place.error(f"{key}: is missing")
    return value


def _number(value: Any, key: str, place: Place, limit: int) -> int:
    """A whole number, plain or as text, from 0 to `limit`."""
    if type(value) is str and len(value) <= 80:
        try:
            value = int(value, 16 if value[:2] in ("0x", "0X") else 10)
        except ValueError:
            raise place.error(f"{key}: a number is needed, got {_shown(value)}") from None
    if type(value) is not int:
        raise place.error(f"{key}: a number is needed, got {_shown(value)}")
    if not 0 <= value <= limit:
        raise place.error(f"{key}: must be from 0 to {limit}, got {_shown(value)}")
    return value


def _stack(value: Any, place: Place) -> list[Any] | None:
    """The list as it is: its words are read where they are new, see `model.Words`."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise place.error(f"stack: a list is needed, got {_shown(value)}")
    if len(value) > MAX_STACK:
        raise place.error(f"stack: at most {MAX_STACK} words, not {len(value)}")
    return value


def word(value: Any, place: Place) -> str:
    """A word of 256 bits as hex digits without zeros in front. Raises `TraceError`."""
    if isinstance(value, str):
        match = _HEX.fullmatch(value)
        digits = match[1].lstrip("0").lower() if match is not None else None
        if digits is None:
            raise place.error(f"stack: a word in hex is needed, got {_shown(value)}")
    else:
        digits = f"{_number(value, 'stack', place, (1 << 256) - 1):x}".lstrip("0")
    if len(digits) > 64:
        raise place.error(f"stack: a word of more than 256 bits: {_shown(value)}")
    return digits or "0"


def _memory(value: Any, place: Place) -> bytes | None:
    """Memory as one text, or as a list of words."""
    if isinstance(value, list):
        rows = [_bytes(row, "memory", place) or b"" for row in value]
        return b"".join(rows)
    return _bytes(value, "memory", place)


def _bytes(value: Any, key: str, place: Place) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        try:
            return bytes.fromhex(value[2:] if value[:2] in ("0x", "0X") else value)
        except ValueError:
            pass
    raise place.error(f"{key}: bytes in hex are needed, got {_shown(value)}")


def _text(value: Any, key: str, place: Place) -> str:
    if value is None:
        return ""
    if not isinstance(value, str):
        raise place.error(f"{key}: text is needed, got {_shown(value)}")
    return value if len(value) <= _TEXT_LIMIT else f"{value[:_TEXT_LIMIT]}... ({len(value)} characters)"


def _shown(value: Any) -> str:
    """Something wrong, short enough for a message."""
    if isinstance(value, int) and value.bit_length() > 600:
        return "a huge number"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
