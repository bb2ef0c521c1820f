"""What a call is: the immutable inputs that every VM gets. The mutable side is `frame.CallFrame`."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

ADDRESS_SIZE = 20
"""bytes"""
ZERO_ADDRESS = bytes(ADDRESS_SIZE)


@dataclass(frozen=True, slots=True)
class BlockContext:
    """The block in which code runs. Times are UNIX seconds, gas limits gas, fees wei per gas."""

    number: int = 1
    timestamp: int = 0
    coinbase: bytes = ZERO_ADDRESS
    gas_limit: int = 30_000_000
    base_fee: int = 0
    difficulty: int = 0
    prev_randao: int = 0
    """32 bytes as an integer (EIP-4399)"""
    blob_base_fee: int = 1
    """wei per blob gas (EIP-4844)"""
    chain_id: int = 1


@dataclass(frozen=True, slots=True)
class ExecutionContext:
    """One call of a contract: who calls what, with which input, value and gas.

    Addresses are 20 bytes, `value` and `gas_price` wei, `gas_limit` gas. `address` is the account whose
    storage and balance the code uses. `depth` counts the calls above this one.
    """

    caller: bytes = ZERO_ADDRESS
    address: bytes = ZERO_ADDRESS
    origin: bytes = ZERO_ADDRESS
    value: int = 0
    input: bytes = b""
    gas_limit: int = 10_000_000
    gas_price: int = 0
    depth: int = 0
    is_static: bool = False
    blob_hashes: tuple[bytes, ...] = ()
    block: BlockContext = field(default_factory=BlockContext)
    code_address: bytes | None = None
    """The account whose code runs, where it is not `address`: in delegate calls and for delegating accounts."""

    def __post_init__(self) -> None:
        if (
            len(self.caller) == len(self.address) == len(self.origin) == ADDRESS_SIZE
            and (self.code_address is None or len(self.code_address) == ADDRESS_SIZE)
            and self.value >= 0
            and self.gas_limit >= 0
            and self.gas_price >= 0
            and self.depth >= 0
        ):
            return
        for name in ("caller", "address", "origin"):
            if len(getattr(self, name)) != ADDRESS_SIZE:
                raise ValueError(f"{name}: an address has {ADDRESS_SIZE} bytes, got {len(getattr(self, name))}")
        if self.code_address is not None and len(self.code_address) != ADDRESS_SIZE:
            raise ValueError(f"code_address: an address has {ADDRESS_SIZE} bytes, got {len(self.code_address)}")
        for name in ("value", "gas_limit", "gas_price", "depth"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name}: must not be negative, got {getattr(self, name)}")

    def with_gas_limit(self, gas_limit: int) -> ExecutionContext:
        """The same call with another gas limit."""
        return replace(self, gas_limit=gas_limit)

    def with_input(self, input: bytes) -> ExecutionContext:
        """The same call with another input."""
        return replace(self, input=input)
