"""Products of words that are wider than a word, row by row of the schoolbook's method.

LLVM multiplies halves of halves, and adds carries where they meet again. A row for each word of one factor is two
chains of additions instead, one to put the row together and one to add it to those before it, and a product is there a
sixth sooner.
"""

from __future__ import annotations

from functools import cache
from typing import Final

from .values import Value, Writer

BITS: Final = 64
"""Of a machine word."""
WIDTH: Final = 4 * BITS
"""Of a word of the EVM."""
WRAPPING: Final = "wrapping_product"


def product(writer: Writer, left: Value, right: Value, width: int, *, least: int = 0, plus: int = 0) -> str:
    """The product of two integers that are at least 0, and `plus`, in `width` bits, which hold it.

    What stands below word `least` is left out, and lower halves of what stands at it: what comes of it is less by up
    to `most_left_out`.
    `plus` has fewer bits than the wider factor has words.
    """
    rows, columns = _words(writer, left), _words(writer, right)
    if len(rows) > len(columns):
        rows, columns = columns, rows
    size = (len(columns) + 1) * BITS
    kind = f"i{size}"
    done: list[str] = []
    above = str(plus) if plus else ""
    for place, factor in enumerate(rows):
        skipped = max(0, least - place)
        halves = [("0", "0")] * skipped + [_halves(writer, factor, word) for word in columns[skipped:]]
        lows = [low for low, _ in halves]
        if 0 < least >= place:
            lows[least - place] = "0"
        low = _together(writer, lows, kind)
        high = _together(writer, ["0", *(high for _, high in halves)], kind)
        row = writer.emit(f"add nuw {kind} {low}, {high}")
        if above:
            row = writer.emit(f"add nuw {kind} {row}, {above}")
        done.append(writer.emit(f"trunc {kind} {row} to i{BITS}"))
        above = writer.emit(f"lshr {kind} {row}, {BITS}")
    rest = [_word(writer, above, size, index) for index in range(len(columns))]
    return _together(writer, [*done, *rest][: width // BITS], f"i{width}")


@cache
def wrapping_product() -> str:
    """The definition of a function `WRAPPING` of two words that gives the low 256 bits of their product.

    A row for each word of the first one, without what stands above: the lower words are there long before the upper
    ones. It is to be part of who calls it, but not before LLVM's passes have run, which take long for such text.
    """
    writer = Writer()
    rows, columns = (_words(writer, Value(name, WIDTH, 0, (1 << WIDTH) - 1)) for name in ("%x", "%y"))
    done: list[str] = []
    above = ""
    for place, factor in enumerate(rows):
        size = len(columns) - place
        kind = f"i{size * BITS}"
        halves = [_halves(writer, factor, word) for word in columns[: size - 1]]
        last = writer.emit(f"mul i{BITS} {factor}, {columns[size - 1]}")
        row = _together(writer, [*(low for low, _ in halves), last], kind)
        if halves:
            high = _together(writer, ["0", *(high for _, high in halves)], kind)
            row = writer.emit(f"add {kind} {row}, {high}")
        if above:
            row = writer.emit(f"add {kind} {row}, {above}")
        done.append(_word(writer, row, size * BITS, 0))
        if halves:
            moved = writer.emit(f"lshr {kind} {row}, {BITS}")
            above = writer.emit(f"trunc {kind} {moved} to i{(size - 1) * BITS}")
    result = _together(writer, done, f"i{WIDTH}")
    head = f"define internal i{WIDTH} @{WRAPPING}(i{WIDTH} %x, i{WIDTH} %y)"
    attributes = "alwaysinline nounwind willreturn memory(none)"
    return "\n".join((f"{head} {attributes} {{", *writer.lines, f"  ret i{WIDTH} {result}", "}"))


def most_left_out(least: int) -> int:
    """What comes to that which a product leaves out, at most."""
    below = sum((place + 1) * ((1 << BITS) - 1) ** 2 << BITS * place for place in range(least))
    return below + ((least + 1) * ((1 << BITS) - 1) << BITS * least) if least else 0


def _words(writer: Writer, value: Value) -> list[str]:
    """The words of an integer, as many as it can have, the lowest first."""
    count = max(1, -(-value.high.bit_length() // BITS))
    if value.constant is not None:
        return [str(value.low >> BITS * index & (1 << BITS) - 1) for index in range(count)]
    width = max(value.width, BITS)
    text = writer.cast(value, width)
    return [_word(writer, text, width, index) for index in range(count)]


def _word(writer: Writer, text: str, width: int, index: int) -> str:
    if width == BITS:
        return text
    moved = writer.emit(f"lshr i{width} {text}, {BITS * index}") if index else text
    return writer.emit(f"trunc i{width} {moved} to i{BITS}")


def _halves(writer: Writer, one: str, other: str) -> tuple[str, str]:
    """The two words of the product of two words."""
    if "0" in (one, other):
        return "0", "0"
    double = f"i{2 * BITS}"
    factors = [writer.emit(f"zext i{BITS} {it} to {double}") if it[0] == "%" else it for it in (one, other)]
    both = writer.emit(f"mul nuw {double} {factors[0]}, {factors[1]}")
    low = writer.emit(f"trunc {double} {both} to i{BITS}")
    return low, writer.emit(f"trunc {double} {writer.emit(f'lshr {double} {both}, {BITS}')} to i{BITS}")


def _together(writer: Writer, words: list[str], kind: str) -> str:
    """One integer of words, the lowest first."""
    result = ""
    for index, word in enumerate(words):
        if word == "0":
            continue
        part = writer.emit(f"zext i{BITS} {word} to {kind}") if kind != f"i{BITS}" else word
        if index:
            part = writer.emit(f"shl nuw {kind} {part}, {BITS * index}")
        result = writer.emit(f"or disjoint {kind} {result}, {part}") if result else part
    return result or "0"
