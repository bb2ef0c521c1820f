"""keccak256 and the addresses of new contracts."""

from __future__ import annotations

import pytest
from vmloom.hashing import create2_address, create_address, keccak256

SENDER = bytes.fromhex("6ac7ea33f8831ea9dcc53393aaa88b25a785dbf0")


def test_digest_is_that_of_2013() -> None:
    assert keccak256(b"").hex() == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    assert keccak256(memoryview(b"abc")).hex() == "4e03657aea45a94fc7d47ba826c8d667c0d1e6e33a64a036ec44f58fa12d6c45"


@pytest.mark.parametrize(
    ("nonce", "address"),
    [
        (0, "cd234a471b72ba2f1ccf0a70fcaba648a5eecd8d"),
        (1, "343c43a37d37dff08ae8c4a11544c718abb4fcf8"),
        (2, "f778b86fa74e846c4f0a1fbd1335fe81c00a0c91"),
        (3, "fffd933a0bc612844eaf0c6fe3e5b8e9b6c1d19c"),
    ],
)
def test_address_of_the_first_contracts_of_a_sender(nonce: int, address: str) -> None:
    assert create_address(SENDER, nonce).hex() == address


@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 255, 256, 65_535, 65_536, 2**64 - 1])
def test_nonce_is_hashed_as_rlp_has_it(nonce: int) -> None:
    rlp = pytest.importorskip("rlp", reason="the peer to compare with is a test dependency")
    assert create_address(SENDER, nonce) == keccak256(rlp.encode([SENDER, nonce]))[12:]


@pytest.mark.parametrize(
    ("sender", "salt", "init_code", "address"),
    [
        ("00" * 20, 0, "00", "4d1a2e2bb4f88f0250f26ffff098b0b30b26bf38"),
        ("deadbeef" + "00" * 16, 0, "00", "b928f69bb1d91cd65274e3c79d8986362984fda3"),
        ("deadbeef" + "00" * 16, 0xFEED << 144, "00", "d04116cdd17bebe565eb2422f2497e06cc1c9833"),
        ("00" * 20, 0, "deadbeef", "70f2b2914a2a4b783faefb75f459a580616fcb5e"),
        ("00" * 20, 0, "", "e33c0c7f7df4809055c3eba6c09cfe4baf1bd9e0"),
    ],
)
def test_salted_addresses_of_the_proposal(sender: str, salt: int, init_code: str, address: str) -> None:
    """The examples of EIP-1014."""
    assert create2_address(bytes.fromhex(sender), salt, bytes.fromhex(init_code)).hex() == address


def test_sender_of_another_size_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="an address has 20 bytes, got 19"):
        create_address(bytes(19), 0)
