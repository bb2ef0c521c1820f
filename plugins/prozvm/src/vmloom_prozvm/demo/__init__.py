"""The token as `vmloom demo` runs it beside those of other machines: that of `examples/proz-token`."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from typing import Final

from vmloom.demo import DemoToken, Value

from ..bytecode import BytecodeBuilder, pack
from ..language.abi import decode_reason, decode_result, encode_call, load_abi
from ..language.highlight import ProzLexer

_FOLDER: Final = files(__package__)
_ABI: Final = load_abi(_FOLDER.joinpath("token.json").read_text("utf-8"))
_ACTIONS: Final = {"transferFrom": "transfer_from", "balanceOf": "balance_of"}
"""What the token calls them; the others have the same name."""


def _encode(method: str, values: tuple[Value, ...]) -> bytes:
    return encode_call(_ABI, _ACTIONS.get(method, method), *values)


def _decode(output: bytes) -> int:
    amount = decode_result(_ABI, "balance_of", output)
    assert isinstance(amount, int)
    return amount


def _reason(output: bytes) -> str:
    reason = decode_reason(output)
    return reason if isinstance(reason, str) else ""


def _source() -> str:
    """The action that transfers are made of."""
    text = _FOLDER.joinpath("token.proz").read_text("utf-8")
    begin = text.index("action move(")
    return text[begin : text.index("\n}\n", begin) + 2]


def relay(calls: Sequence[tuple[bytes, bytes]]) -> bytes:
    """A contract that makes all calls, and reverts with the output of the first that fails."""
    builder = BytecodeBuilder()
    for number, (address, data) in enumerate(calls):
        builder.emit("LOAD_CONST", address).emit("LOAD_CONST", data).emit("LOAD_CONST", 0).emit("CALL_CONTRACT")
        builder.emit("STORE_NAME", "answer").emit("LOAD_NAME", "answer").emit("LOAD_CONST", "status").emit("INDEX")
        builder.emit("NOT").emit("JUMP_IF_FALSE", f"next {number}")
        builder.emit("LOAD_NAME", "answer").emit("LOAD_CONST", "output").emit("INDEX").emit("REVERT")
        builder.label(f"next {number}")
    return pack(builder.emit("LOAD_CONST", None).emit("RETURN").build())


TOKEN: Final = DemoToken(
    written_in="Proz",
    code=_FOLDER.joinpath("token.prozc").read_bytes(),
    encode=_encode,
    decode=_decode,
    reason=_reason,
    source=_source(),
    lexer=ProzLexer(),
    relay=relay,
)
"""Loom in the contract language of ProzVM."""
