"""The token as `vmloom demo` runs it beside those of other machines: that of `examples/wasm-token`, in Rust."""

from __future__ import annotations

from importlib.resources import files
from typing import Final

from vmloom.demo import DemoToken, Value
from vmloom.hashing import keccak256

_SIGNATURES: Final = {
    "mint": "initialize(uint256)",
    "transfer": "transfer(address,uint256)",
    "approve": "approve(address,uint256)",
    "transferFrom": "transferFrom(address,address,uint256)",
    "balanceOf": "balanceOf(address)",
}
"""It has no owner who mints: who calls `initialize` first gets the whole supply."""
_ERROR: Final = bytes.fromhex("08c379a0")
"""The selector of Solidity's `Error(string)`."""
_SOURCE: Final = """
fn transfer(sender: Word, receiver: Word, amount: Word) -> Answer {
    if receiver == Word::ZERO {
        return Err(Failure::Because("transfer to nobody"));
    }
    let slot = BALANCE_OF.at(&sender);
    let left = slot.load().minus(&amount).ok_or(Failure::Because("insufficient balance"))?;
    slot.store(&left);
    let slot = BALANCE_OF.at(&receiver); // read after the sender's is written: they may be the same
    let balance = slot.load().plus(&amount).ok_or(Failure::Because("balance overflow"))?;
    slot.store(&balance);
    emit(TRANSFER, sender, receiver, &amount);
    Ok(Output::Word(Word::ONE))
}
"""


def _encode(method: str, values: tuple[Value, ...]) -> bytes:
    given = values[1:] if method == "mint" else values
    words = (one.to_bytes(32, "big") if isinstance(one, int) else one.rjust(32, b"\0") for one in given)
    return keccak256(_SIGNATURES[method].encode())[:4] + b"".join(words)


def _decode(output: bytes) -> int:
    return int.from_bytes(output, "big")


def _reason(output: bytes) -> str:
    """The text of `Error(string)`."""
    if output[:4] != _ERROR or len(output) < 68:
        return ""
    size = int.from_bytes(output[36:68], "big")
    return output[68 : 68 + size].decode("utf-8", "replace")


TOKEN = DemoToken(
    written_in="Rust",
    code=files(__package__).joinpath("token.wasm").read_bytes(),
    encode=_encode,
    decode=_decode,
    reason=_reason,
    source=_SOURCE,
    lexer="rust",
)
"""Loom as a module of WebAssembly."""
