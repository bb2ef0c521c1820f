"""keccak256, and the addresses of new contracts, which are the same for the contracts of every VM."""

from __future__ import annotations

from Crypto.Hash import keccak

from .context import ADDRESS_SIZE

try:
    import sha3
except ImportError:  # no wheel for this platform
    sha3 = None

if sha3 is not None:

    def keccak256(data: bytes | bytearray | memoryview) -> bytes:
        """The 32-byte keccak256 digest of `data` (the padding of 2013, not that of SHA-3)."""
        digest: bytes = sha3.keccak_256(data).digest()
        return digest
else:

    def keccak256(data: bytes | bytearray | memoryview) -> bytes:
        """The 32-byte keccak256 digest of `data` (the padding of 2013, not that of SHA-3)."""
        return keccak.new(data=data, digest_bits=256).digest()


def create_address(sender: bytes, nonce: int) -> bytes:
    """Address of the contract that `sender`, 20 bytes, creates at `nonce`. Yellow paper, section 7.

    Raises `ValueError` for a sender of another size.
    """
    if len(sender) != ADDRESS_SIZE:
        raise ValueError(f"an address has {ADDRESS_SIZE} bytes, got {len(sender)}")
    digits = nonce.to_bytes((nonce.bit_length() + 7) // 8, "big")
    # RLP of [sender, nonce]: a number from 1 to 127 stands for itself, what is longer has its size in front.
    number = digits if digits and nonce < 0x80 else bytes([0x80 + len(digits)]) + digits
    payload = bytes([0x80 + ADDRESS_SIZE]) + sender + number
    return keccak256(bytes([0xC0 + len(payload)]) + payload)[12:]


def create2_address(sender: bytes, salt: int, init_code: bytes | memoryview) -> bytes:
    """Address of the contract that `sender` creates from `init_code` with `salt`, 0 to 2**256 - 1. EIP-1014."""
    return keccak256(b"\xff" + sender + salt.to_bytes(32, "big") + keccak256(init_code))[12:]
