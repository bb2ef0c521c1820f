"""The compression function of SHA-256 in the x86 instructions for it, as LLVM IR.

Sean Gulley and others, "Intel SHA Extensions", 2013: `sha256rnds2` does two rounds on the working variables in two
vectors, (f, e, b, a) and (h, g, d, c), lowest element first; `sha256msg1` and `sha256msg2` make four message words.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

CONSTANTS: Final = (
    0x428A2F98, 0x71374491, 0xB5C0FBCF, 0xE9B5DBA5, 0x3956C25B, 0x59F111F1, 0x923F82A4, 0xAB1C5ED5,
    0xD807AA98, 0x12835B01, 0x243185BE, 0x550C7DC3, 0x72BE5D74, 0x80DEB1FE, 0x9BDC06A7, 0xC19BF174,
    0xE49B69C1, 0xEFBE4786, 0x0FC19DC6, 0x240CA1CC, 0x2DE92C6F, 0x4A7484AA, 0x5CB0A9DC, 0x76F988DA,
    0x983E5152, 0xA831C66D, 0xB00327C8, 0xBF597FC7, 0xC6E00BF3, 0xD5A79147, 0x06CA6351, 0x14292967,
    0x27B70A85, 0x2E1B2138, 0x4D2C6DFC, 0x53380D13, 0x650A7354, 0x766A0ABB, 0x81C2C92E, 0x92722C85,
    0xA2BFE8A1, 0xA81A664B, 0xC24B8B70, 0xC76C51A3, 0xD192E819, 0xD6990624, 0xF40E3585, 0x106AA070,
    0x19A4C116, 0x1E376C08, 0x2748774C, 0x34B0BCB5, 0x391C0CB3, 0x4ED8AA4A, 0x5B9CCA4F, 0x682E6FF3,
    0x748F82EE, 0x78A5636F, 0x84C87814, 0x8CC70208, 0x90BEFFFA, 0xA4506CEB, 0xBEF9A3F7, 0xC67178F2,
)  # fmt: skip
"""FIPS 180-4, section 4.2.2."""


def compress() -> Iterator[str]:
    """The body of `sha256.compress(state, data, blocks)`, line by line."""
    yield "start:"
    yield "  %high.place = getelementptr i8, ptr %state, i64 16"
    yield "  %abcd = load <4 x i32>, ptr %state, align 4"
    yield "  %efgh = load <4 x i32>, ptr %high.place, align 4"
    yield from shuffled("feba", "%abcd", "%efgh", 5, 4, 1, 0)
    yield from shuffled("hgdc", "%abcd", "%efgh", 7, 6, 3, 2)
    yield "  %none = icmp eq i64 %blocks, 0"
    yield "  br i1 %none, label %end, label %block"
    yield "block:"
    yield "  %number = phi i64 [0, %start], [%number.next, %block]"
    yield "  %feba.0 = phi <4 x i32> [%feba, %start], [%feba.next, %block]"
    yield "  %hgdc.0 = phi <4 x i32> [%hgdc, %start], [%hgdc.next, %block]"
    yield "  %offset = shl i64 %number, 6"
    yield "  %place.0 = getelementptr i8, ptr %data, i64 %offset"
    for group in range(16):
        yield from message_words(group)
        yield from rounds(group)
    yield "  %feba.next = add <4 x i32> %feba.0, %feba.16"
    yield "  %hgdc.next = add <4 x i32> %hgdc.0, %hgdc.16"
    yield "  %number.next = add i64 %number, 1"
    yield "  %more = icmp ult i64 %number.next, %blocks"
    yield "  br i1 %more, label %block, label %end"
    yield "end:"
    yield "  %feba.end = phi <4 x i32> [%feba, %start], [%feba.next, %block]"
    yield "  %hgdc.end = phi <4 x i32> [%hgdc, %start], [%hgdc.next, %block]"
    yield from shuffled("abcd.end", "%feba.end", "%hgdc.end", 3, 2, 7, 6)
    yield from shuffled("efgh.end", "%feba.end", "%hgdc.end", 1, 0, 5, 4)
    yield "  store <4 x i32> %abcd.end, ptr %state, align 4"
    yield "  store <4 x i32> %efgh.end, ptr %high.place, align 4"
    yield "  ret void"


def shuffled(name: str, first: str, second: str, *elements: int) -> Iterator[str]:
    """`name` is four of the eight elements of two vectors."""
    mask = ", ".join(f"i32 {it}" for it in elements)
    yield f"  %{name} = shufflevector <4 x i32> {first}, <4 x i32> {second}, <4 x i32> <{mask}>"


def message_words(group: int) -> Iterator[str]:
    """`%w.group`: four words of the message schedule, the first sixteen from the data."""
    if group < 4:
        if group:
            yield f"  %place.{group} = getelementptr i8, ptr %place.0, i64 {16 * group}"
        yield f"  %raw.{group} = load <4 x i32>, ptr %place.{group}, align 1"
        yield f"  %w.{group} = call <4 x i32> @llvm.bswap.v4i32(<4 x i32> %raw.{group})"
        return
    four, three, two, one = (f"%w.{group - back}" for back in (4, 3, 2, 1))
    yield f"  %m1.{group} = call <4 x i32> @llvm.x86.sha256msg1(<4 x i32> {four}, <4 x i32> {three})"
    yield from shuffled(f"late.{group}", two, one, 1, 2, 3, 4)
    yield f"  %sum.{group} = add <4 x i32> %m1.{group}, %late.{group}"
    yield f"  %w.{group} = call <4 x i32> @llvm.x86.sha256msg2(<4 x i32> %sum.{group}, <4 x i32> {one})"


def rounds(group: int) -> Iterator[str]:
    """Four rounds: after them the variables are in `%feba` and `%hgdc` of the next group."""
    constants = ", ".join(f"i32 {it}" for it in CONSTANTS[4 * group : 4 * group + 4])
    feba, hgdc, after = f"<4 x i32> %feba.{group}", f"<4 x i32> %hgdc.{group}", f"%hgdc.{group + 1}"
    yield f"  %low.{group} = add <4 x i32> %w.{group}, <{constants}>"
    yield from shuffled(f"high.{group}", f"%low.{group}", "poison", 2, 3, 0, 0)
    yield f"  {after} = call <4 x i32> @llvm.x86.sha256rnds2({hgdc}, {feba}, <4 x i32> %low.{group})"
    middle = f"<4 x i32> {after}, <4 x i32> %high.{group}"
    yield f"  %feba.{group + 1} = call <4 x i32> @llvm.x86.sha256rnds2({feba}, {middle})"


COMPRESS: Final = "\n".join(compress())
