"""Rows that call precompiled contracts. Each call's input depends on the output before, where that is possible."""

from __future__ import annotations

from vmloom_evm.assembly import add, mload, mstore, mstore_bytes, pop, repeat, return_, staticcall, sub, xor

from .work import Call, Row, program

WORD = 32
G1 = (1, 2)
"""Generator of BN254's first group. EIP-196"""
FIELD = 21888242871839275222246405745257275088696311157297823662689037894645226208583
G2 = (
    11559732032986387107991004021392285783925812861821192530917403151452391805634,
    10857046999023057135944570762232829481370756359578518086990519993285655852781,
    4082367875863433681332203403145435568316851327593401208105741076214120093531,
    8495653923123431417604973247489272438418190587263600148770280649306958101930,
)
"""Generator of BN254's second group, imaginary parts first. EIP-197"""
ORDER = 21888242871839275222246405745257275088548364400416034343698204186575808495617
SECP256K1_X = 0x79BE667EF9DCBBAC55A06295CE870B07029BFCDB2DCE28D959F2815B16F81798
"""x of secp256k1's generator: an r with which every digest has a signer."""
S = 0x1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF1234567890ABCDEF


def words(*numbers: int) -> bytes:
    """32 bytes each."""
    return b"".join(number.to_bytes(WORD, "big") for number in numbers)


def _chain(at: int, count: int, input: bytes, output: tuple[int, int], *, size: int = 0, answer: int = 32) -> Call:
    """`count` calls of the precompile at `at`, whose output goes to `output`, a part of the input, and is returned."""
    body = staticcall(at, input=(0, size or len(input)), output=output) + pop
    return program(mstore_bytes(input) + repeat(count, body) + return_(output[0], answer))


def recover(count: int) -> Call:
    """ecrecover of as many digests as there are calls."""
    signature = words(0, 27, SECP256K1_X, S)
    body = staticcall(1, input=(0, 128), output=(128, 32)) + pop + mstore(0, add(mload(0), xor(mload(128), 1)))
    return program(mstore_bytes(signature) + repeat(count, body) + return_(0, 32))


def sha256_short(count: int) -> Call:
    """SHA-256 of 64 bytes."""
    return _chain(2, count, words(1, 2), (0, 32))


def sha256_long(count: int) -> Call:
    """SHA-256 of 4 KiB."""
    return _chain(2, count, words(1, 2), (0, 32), size=4096)


def ripemd160(count: int) -> Call:
    """RIPEMD-160 of 64 bytes."""
    return _chain(3, count, words(1, 2), (0, 32))


def identity(count: int) -> Call:
    """The precompile that copies, 1 KiB."""
    return _chain(4, count, words(*range(1, 33)), (32, 1024), size=1024)


def modexp_256(count: int) -> Call:
    """x**y mod z with 256 bits each. EIP-198, EIP-2565"""
    return _chain(5, count, words(32, 32, 32, S, ORDER - 2, ORDER), (96, 32))


def modexp_2048(count: int) -> Call:
    """What checks an RSA signature: 2048 bits, exponent 65537."""
    modulus = b"".join(words(S * n % 2**256 | 1) for n in range(1, 9))
    base = b"".join(words(SECP256K1_X * n % 2**256) for n in range(1, 9))
    lengths = words(256, 3, 256)
    exponent = (65537).to_bytes(3, "big")
    return _chain(5, count, lengths + base + exponent + b"\xff" + modulus[1:], (96, 256), size=96 + 515, answer=256)


def bn254_add(count: int) -> Call:
    """Sum of two points. EIP-196, EIP-1108"""
    return _chain(6, count, words(*G1, *G1), (0, 64), answer=64)


def bn254_mul(count: int) -> Call:
    """Multiple of a point. EIP-196, EIP-1108"""
    return _chain(7, count, words(*G1, S), (0, 64), answer=64)


def bn254_pairing(count: int) -> Call:
    """e(kP, Q) e(-kP, Q) = 1 with another k each time. EIP-197, EIP-1108"""
    pairs = words(*G1, *G2, *G1, *G2, *G1, 7)
    point, second, scalar = 384, 192, 448
    step = (
        staticcall(7, input=(point, 96), output=(0, 64))
        + pop
        + mstore(second, mload(0))
        + mstore(second + WORD, sub(FIELD, mload(WORD)))
        + mstore(scalar, add(mload(scalar), 1))
        + staticcall(8, input=(0, 384), output=(480, 32))
        + pop
        + mstore(512, add(mload(512), mload(480)))
    )
    return program(mstore_bytes(pairs) + repeat(count, step) + return_(0, 544))


def blake2f(count: int) -> Call:
    """BLAKE2b's compression function, 12 rounds. EIP-152"""
    state = bytes(range(64))
    message = bytes(range(128, 256))
    return _chain(9, count, (12).to_bytes(4, "big") + state + message + bytes(16) + b"\x01", (4, 64), answer=64)


GROUP = "precompiles"
ROWS = (
    Row("ecrecover", GROUP, recover, 500, 2),
    Row("sha256, 64 bytes", GROUP, sha256_short, 10_000, 10),
    Row("sha256, 4 KiB", GROUP, sha256_long, 1_000, 2),
    Row("ripemd160, 64 bytes", GROUP, ripemd160, 10_000, 10),
    Row("identity, 1 KiB", GROUP, identity, 10_000, 10),
    Row("modexp, 256 bits", GROUP, modexp_256, 500, 2),
    Row("modexp, 2048 bits, 65537", GROUP, modexp_2048, 200, 2),
    Row("BN254 add", GROUP, bn254_add, 2_000, 5),
    Row("BN254 mul", GROUP, bn254_mul, 200, 2),
    Row("BN254 pairing", GROUP, bn254_pairing, 20, 1),
    Row("blake2f, 12 rounds", GROUP, blake2f, 10_000, 10),
)
