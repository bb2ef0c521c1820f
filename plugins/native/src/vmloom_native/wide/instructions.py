"""Steps of a division as the x86 instruction that divides two words by one, in LLVM's text.

On processors since 2020 it takes 15 to 20 cycles, half as long as a reciprocal takes to compute; on those before, up to
ninety. The former have carry-less products of vectors, too, and that is how they are told.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

FEATURES: Final = "adx,vpclmulqdq"
"""What a processor has, in LLVM's words, on which the instruction is worth while."""


def divided(name: str, high: str, low: str, divisor: str) -> Iterator[str]:
    """`%name.digit` and `%name.rest` of `high * 2**64 + low`, where `high` is below the divisor."""
    kinds = "={ax},={dx},{ax},{dx},r,~{flags}"
    yield f'  %{name} = call {{i64, i64}} asm "divq $4", "{kinds}"(i64 {low}, i64 {high}, i64 {divisor})'
    yield f"  %{name}.digit = extractvalue {{i64, i64}} %{name}, 0"
    yield f"  %{name}.rest = extractvalue {{i64, i64}} %{name}, 1"


def reciprocal() -> Iterator[str]:
    """The body of `words.reciprocal(divisor)`: 2**64 is taken from the quotient by inverting the higher word."""
    yield "  %above = xor i64 %divisor, -1"
    yield from divided("whole", "%above", "-1", "%divisor")
    yield "  ret i64 %whole.digit"


def quotient_1() -> Iterator[str]:
    """The body of `words.quotient_1(rest, word, divisor, inverse)`."""
    yield from divided("whole", "%rest", "%word", "%divisor")
    yield "  ret i64 %whole.digit"


def by_word(*, quotient: bool) -> Iterator[str]:
    """The body of `divide.quotient_by_word(above, x, y)` or `remainder_by_word`: digit by digit, as on paper.

    The instruction fails where it divides by 0, whose remainder is 0 here: so is that of 1.
    """
    yield "start:"
    yield "  %is_none = icmp eq i64 %y, 0"
    yield "  %divisor = select i1 %is_none, i64 1, i64 %y"
    for index in range(4):
        yield f"  %moved.{index} = lshr i256 %x, {64 * index}"
        yield f"  %word.{index} = trunc i256 %moved.{index} to i64"
    yield "  %higher = or i64 %word.3, %word.2"
    yield "  %any = or i64 %higher, %above"
    yield "  %is_long = icmp ne i64 %any, 0"
    yield "  br i1 %is_long, label %long, label %short"
    yield "long:"
    yield from divided("fourth", "%above", "%word.3", "%divisor")
    yield from divided("third", "%fourth.rest", "%word.2", "%divisor")
    yield "  br label %short"
    yield "short:"
    for name, digit in (("rest", "third.rest"), ("high.3", "fourth.digit"), ("high.2", "third.digit")):
        yield f"  %{name} = phi i64 [0, %start], [%{digit}, %long]"
    yield from divided("second", "%rest", "%word.1", "%divisor")
    yield from divided("first", "%second.rest", "%word.0", "%divisor")
    if not quotient:
        yield "  ret i64 %first.rest"
        return
    yield "  %sum.0 = zext i64 %first.digit to i256"
    for index, digit in ((1, "second.digit"), (2, "high.2"), (3, "high.3")):
        yield f"  %wide.{index} = zext i64 %{digit} to i256"
        yield f"  %part.{index} = shl nuw i256 %wide.{index}, {64 * index}"
        yield f"  %sum.{index} = or disjoint i256 %sum.{index - 1}, %part.{index}"
    yield "  ret i256 %sum.3"


RECIPROCAL: Final = "\n".join(reciprocal())
QUOTIENT_1: Final = "\n".join(quotient_1())
QUOTIENT_BY_WORD: Final = "\n".join(by_word(quotient=True))
REMAINDER_BY_WORD: Final = "\n".join(by_word(quotient=False))
