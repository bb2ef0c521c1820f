"""What an engine executes: an account with code, in the state or handed in with the call."""

from __future__ import annotations

from dataclasses import dataclass

from ..context import ADDRESS_SIZE


@dataclass(frozen=True, slots=True)
class SmartContract:
    """The contract at `address`, 20 bytes.

    `code` runs in place of what the state has there; None means the state's own. `vm` names the VM that runs it; where
    it is empty the state's account says it, else the first bytes of the code do.
    """

    address: bytes
    code: bytes | None = None
    vm: str = ""

    def __post_init__(self) -> None:
        if not isinstance(self.address, bytes) or len(self.address) != ADDRESS_SIZE:
            raise ValueError(f"address: {ADDRESS_SIZE} bytes are needed, got {self.address!r}")
        if self.code is not None and not isinstance(self.code, bytes):
            raise ValueError(f"code: bytes are needed, got {type(self.code).__name__}")
