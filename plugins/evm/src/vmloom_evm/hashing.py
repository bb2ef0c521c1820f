"""keccak256, and what Ethereum derives from it."""

from __future__ import annotations

from functools import lru_cache

from Crypto.Hash import keccak

from . import rlp

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


EMPTY_CODE_HASH = keccak256(b"")


@lru_cache(maxsize=4096)
def code_hash(code: bytes) -> int:
    """keccak256 of contract code as an integer; cached, since the same code is asked for again and again."""
    return int.from_bytes(keccak256(code), "big")


def create_address(sender: bytes, nonce: int) -> bytes:
    """Address of the contract that `sender` creates at `nonce`. Yellow paper, section 7."""
    return keccak256(rlp.encode([sender, rlp.integer(nonce)]))[12:]


def create2_address(sender: bytes, salt: int, init_code: bytes | memoryview) -> bytes:
    """Address of the contract that `sender` creates from `init_code` with `salt`. EIP-1014."""
    return keccak256(b"\xff" + sender + salt.to_bytes(32, "big") + keccak256(init_code))[12:]
