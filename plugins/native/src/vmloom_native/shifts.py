"""Shifts of wide integers by counts that are not known: word by word.

Left to LLVM, the integer would go to the stack and come back from another place, which is slow on processors and, on
GPUs, takes memory of each thread.
"""

from __future__ import annotations

from typing import Final, Protocol

WORD: Final = 64


class Writer(Protocol):
    """Writes IR: what `lower` has."""

    def emit(self, text: str) -> str:
        """Write an instruction; its result."""

    def intrinsic(self, result: str, name: str, *arguments: str) -> str:
        """Write a call of one of LLVM's intrinsics, whose arguments are `type value`; its result."""


def shifted(writer: Writer, value: str, bits: int, count: str, most: int, *, left: bool) -> str:
    """An unsigned integer of more than a word, shifted by a count of the same type that is at most `most`.

    What a count of `bits` or more gives is anything, but something.
    """
    size = -(-bits // WORD)
    wide, kind = f"i{size * WORD}", f"i{bits}"
    if wide != kind:
        value = writer.emit(f"zext {kind} {value} to {wide}")
    words = [writer.emit(f"trunc {wide} {_moved(writer, wide, value, index)} to i64") for index in range(size)]
    low_count = writer.emit(f"trunc {kind} {count} to i64")
    order = words if left else words[::-1]
    if most >= WORD:
        order = _by_words(writer, order, low_count, most)
    below = ("0", *order[:-1])
    bits_count = writer.emit(f"and i64 {low_count}, {WORD - 1}")
    made = [_funnel(writer, word, other, bits_count, left) for word, other in zip(order, below, strict=True)]
    result = _together(writer, wide, made if left else made[::-1])
    return result if wide == kind else writer.emit(f"trunc {wide} {result} to {kind}")


def _moved(writer: Writer, wide: str, value: str, index: int) -> str:
    """The integer with word `index` as its lowest one."""
    return writer.emit(f"lshr {wide} {value}, {WORD * index}") if index else value


def _by_words(writer: Writer, words: list[str], count: str, most: int) -> list[str]:
    """The words, the one that zeros come in at first, moved on by as many places as the count has whole words.

    The count is at most `most`.
    """
    step = 1
    while step < len(words) and step * WORD <= most:
        bit = writer.emit(f"and i64 {count}, {WORD * step}")
        moves = writer.emit(f"icmp ne i64 {bit}, 0")
        earlier = ["0"] * step + words[:-step]
        words = [
            writer.emit(f"select i1 {moves}, i64 {before}, i64 {word}")
            for word, before in zip(words, earlier, strict=True)
        ]
        step *= 2
    return words


def _funnel(writer: Writer, word: str, other: str, count: str, left: bool) -> str:
    """A word that is shifted by a count below 64, with bits of the other one coming in."""
    if other == "0":
        return writer.emit(f"{'shl' if left else 'lshr'} i64 {word}, {count}")
    high, low, name = (word, other, "fshl") if left else (other, word, "fshr")
    return writer.intrinsic("i64", f"llvm.{name}.i64", f"i64 {high}", f"i64 {low}", f"i64 {count}")


def _together(writer: Writer, wide: str, words: list[str]) -> str:
    """One integer of words, the lowest one first."""
    result = ""
    for index, word in enumerate(words):
        part = writer.emit(f"zext i64 {word} to {wide}")
        if index:
            part = writer.emit(f"shl nuw {wide} {part}, {WORD * index}")
        result = writer.emit(f"or disjoint {wide} {result}, {part}") if result else part
    return result
