"""The token as `vmloom demo` runs it beside those of other machines."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files

from vmloom.demo import DemoToken, Value

from ..assembly import call, deployer, iszero, joined, jumpi, label, mstore_bytes, returndatacopy, returndatasize, stop
from ..assembly import revert as reverting
from ..trace.calltree import revert_reason
from .abi import Artifact

_ARTIFACT = Artifact.load(__package__, "token.json")


def _encode(method: str, values: tuple[Value, ...]) -> bytes:
    return _ARTIFACT.encode_call(method, *values)


def _decode(output: bytes) -> int:
    return int.from_bytes(output, "big")


def _source() -> str:
    """The internal method that transfers are made of."""
    text = files(__package__).joinpath("token.vy").read_text("utf-8")
    return text[text.index("@internal\ndef _move(") :]


def relay(calls: Sequence[tuple[bytes, bytes]]) -> bytes:
    """Init code of a contract that makes all calls, and reverts with the output of the first that fails."""
    steps = (
        mstore_bytes(data) + jumpi("failed", iszero(call(address, input=(0, len(data))))) for address, data in calls
    )
    failing = label("failed") + returndatacopy(0, 0, returndatasize) + reverting(0, returndatasize)
    return bytes(deployer(joined(*steps) + stop + failing))


TOKEN = DemoToken(
    written_in=_ARTIFACT.compiler.capitalize(),
    code=_ARTIFACT.bytecode,
    encode=_encode,
    decode=_decode,
    reason=revert_reason,
    source=_source(),
    lexer="python",
    relay=relay,
)
"""Loom in Vyper."""
