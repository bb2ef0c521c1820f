"""0x09: the compression function F of BLAKE2b, with as many rounds as the caller asks and pays for.

`blake2b-py` runs it where it is installed (about 20 ns a round); `compress` is the same in plain Python.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct

from vmloom.precompile import PrecompileFailure, PrecompileKernel, PurePrecompile

try:
    from blake2b import compress as compress_natively  # type: ignore[import-untyped]
except ImportError:
    compress_natively = None

LAYOUT = Struct(">I 64s 128s 16s B")
"""rounds, h, m, t, f: big-endian, but the 64-bit words inside h, m and t are little-endian"""

WORD_MASK = 2**64 - 1
IV = (
    0x6A09E667F3BCC908,
    0xBB67AE8584CAA73B,
    0x3C6EF372FE94F82B,
    0xA54FF53A5F1D36F1,
    0x510E527FADE682D1,
    0x9B05688C2B3E6C1F,
    0x1F83D9ABFB41BD6B,
    0x5BE0CD19137E2179,
)
SIGMA = (
    (0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
    (14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3),
    (11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4),
    (7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8),
    (9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13),
    (2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9),
    (12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11),
    (13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10),
    (6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5),
    (10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0),
)
"""RFC 7693, section 2.7: the order in which each round reads the message words."""
MIXES = (
    (0, 4, 8, 12),
    (1, 5, 9, 13),
    (2, 6, 10, 14),
    (3, 7, 11, 15),
    (0, 5, 10, 15),
    (1, 6, 11, 12),
    (2, 7, 8, 13),
    (3, 4, 9, 14),
)
"""The words of v that the eight mixes of a round work on: four columns, then four diagonals."""


class Blake2F(PurePrecompile):
    """BLAKE2F at 0x09 since Istanbul. EIP-152.

    Input, exactly 213 bytes: rounds (4) | h (64) | m (128) | t (16) | final block flag (1).
    Output: the new h (64). Gas: 1 per round. Fails if the input has another size or the flag is neither 0 nor 1.
    """

    name = "BLAKE2F"

    def gas_cost(self, input: bytes) -> int:
        """The number of rounds; nothing for an input of the wrong size, which fails."""
        return int.from_bytes(input[:4], "big") if len(input) == LAYOUT.size else 0

    def compute(self, input: bytes) -> bytes:
        """The new state. Raises `PrecompileFailure` for a wrong size or flag."""
        if len(input) != LAYOUT.size:
            raise PrecompileFailure(f"the input has {len(input)} bytes, not {LAYOUT.size}")
        rounds, state, message, offset, final = LAYOUT.unpack(input)
        if final > 1:
            raise PrecompileFailure(f"the final block flag is {final}, neither 0 nor 1")

        function = compress if compress_natively is None else compress_natively
        output: bytes = function(rounds, little_words(state), little_words(message), little_words(offset), final == 1)
        return output

    @property
    def kernel(self) -> PrecompileKernel:
        """The same in the kernel language."""
        from .kernels import blake2f

        return PrecompileKernel(blake2f.gas, blake2f.run)


def compress(rounds: int, state: Sequence[int], message: Sequence[int], offset: Sequence[int], final: bool) -> bytes:
    """F of RFC 7693, section 3.2: `state` (8 words), mixed with `message` (16 words), as 64 bytes.

    `offset` (2 words) is how much was hashed so far, `final` whether this is the last block.
    """
    v = [*state, *IV]
    v[12] ^= offset[0]
    v[13] ^= offset[1]
    if final:
        v[14] ^= WORD_MASK
    for number in range(rounds):
        order = iter(SIGMA[number % 10])
        for (a, b, c, d), x, y in zip(MIXES, order, order, strict=True):
            va, vb, vc, vd = v[a], v[b], v[c], v[d]
            va = (va + vb + message[x]) & WORD_MASK
            vd ^= va
            vd = (vd >> 32) | (vd << 32) & WORD_MASK
            vc = (vc + vd) & WORD_MASK
            vb ^= vc
            vb = (vb >> 24) | (vb << 40) & WORD_MASK
            va = (va + vb + message[y]) & WORD_MASK
            vd ^= va
            vd = (vd >> 16) | (vd << 48) & WORD_MASK
            vc = (vc + vd) & WORD_MASK
            vb ^= vc
            v[a], v[b], v[c], v[d] = va, (vb >> 63) | (vb << 1) & WORD_MASK, vc, vd
    return b"".join((h ^ v[i] ^ v[i + 8]).to_bytes(8, "little") for i, h in enumerate(state))


def little_words(data: bytes) -> list[int]:
    """The little-endian 64-bit words of `data`."""
    return [int.from_bytes(data[i : i + 8], "little") for i in range(0, len(data), 8)]
