"""keccak256, and what Ethereum derives from it."""

from __future__ import annotations

from functools import lru_cache

from Crypto.Hash import keccak

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
    encoded_nonce = _rlp_integer(nonce)
    payload = b"\x94" + sender + encoded_nonce
    return keccak256(bytes([0xC0 + len(payload)]) + payload)[12:]


def create2_address(sender: bytes, salt: int, init_code: bytes | memoryview) -> bytes:
    """Address of the contract that `sender` creates from `init_code` with `salt`. EIP-1014."""
    return keccak256(b"\xff" + sender + salt.to_bytes(32, "big") + keccak256(init_code))[12:]


def _rlp_integer(value: int) -> bytes:
    if value == 0:
        return b"\x80"
    data = value.to_bytes((value.bit_length() + 7) // 8, "big")
    return data if value < 0x80 else bytes([0x80 + len(data)]) + data
