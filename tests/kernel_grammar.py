"""Random expressions of the kernel language, for those who compile them."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

HEADER = """\
from __future__ import annotations
from vmloom.kernel import *
"""
WIDTHS = (8, 16, 32, 64, 128, 160, 256, 512)


class Grammar:
    """Writes expressions whose value lies in their type, as the language demands, over one parameter of each width."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng

    def value(self, width: int, depth: int) -> str:
        if depth == 0:
            return self.leaf(width)
        forms = (
            self.arithmetic,
            self.bits,
            self.division,
            self.shift,
            self.choice,
            self.extreme,
            self.cast,
            self.builtin,
        )
        return self.rng.choice(forms)(width, depth - 1)

    def leaf(self, width: int) -> str:
        if self.rng.random() < 0.7:
            return f"x{width}"
        edges = (0, 1, 2, 7, 1 << (width - 1), (1 << width) - 1)
        return f"u{width}({self.rng.choice((*edges, self.rng.getrandbits(width)))})"

    def narrower(self, width: int) -> int:
        return self.rng.choice([it for it in WIDTHS if it <= width])

    def sum(self, width: int, depth: int) -> str:
        """What may leave the type, to be masked by whoever asks."""
        a, b = self.value(width, depth), self.value(self.narrower(width), depth)
        if self.rng.random() < 0.3:
            a, b = b, a
        if self.rng.random() < 0.2 and depth:
            a = f"({self.sum(width, depth - 1)})"
        if self.rng.random() < 0.1:
            return f"-{self.value(width, depth)} {self.rng.choice('+-')} {b}"
        if self.rng.random() < 0.2:
            return f"(u{width}({a}) << {self.rng.randrange(width)}) {self.rng.choice('+-*&|^')} {b}"
        return f"{a} {self.rng.choice('+-*')} {b}"

    def arithmetic(self, width: int, depth: int) -> str:
        if self.rng.random() < 0.5:
            return f"u{width}({self.sum(width, depth)})"
        return f"(u{width}(x{width} ^ {self.sum(width, depth)}) & U{width}_MAX)"

    def bits(self, width: int, depth: int) -> str:
        return f"({self.value(width, depth)} {self.rng.choice('&|^')} {self.value(self.narrower(width), depth)})"

    def division(self, width: int, depth: int) -> str:
        operator = self.rng.choice(("//", "%"))
        if self.rng.random() < 0.3:
            divisor = self.rng.choice([it for it in (1, 2, 3, 10, 16, 1 << (width - 1)) if it < 1 << width])
            return f"({self.value(width, depth)} {operator} {divisor})"
        divisor = self.value(self.narrower(width), depth)
        return f"({self.value(width, depth)} {operator} {divisor} if {divisor} else {self.leaf(width)})"

    def shift(self, width: int, depth: int) -> str:
        amount = self.rng.choice((str(self.rng.randrange(2 * width)), "(x64 & 1023)", "(x8 % 67)", f"(x8 % {width})"))
        if self.rng.random() < 0.5:
            return f"u{width}({self.value(width, depth)} >> {amount})"
        return f"u{width}(u{width}({self.value(width, depth)}) << {amount})"

    def choice(self, width: int, depth: int) -> str:
        return f"({self.value(width, depth)} if {self.condition(depth)} else {self.value(width, depth)})"

    def extreme(self, width: int, depth: int) -> str:
        return (
            f"{self.rng.choice(('min', 'max'))}({self.value(width, depth)}, {self.value(self.narrower(width), depth)})"
        )

    def cast(self, width: int, depth: int) -> str:
        return f"u{width}({self.value(self.rng.choice(WIDTHS), depth)})"

    def builtin(self, width: int, depth: int) -> str:
        value = self.value(width, depth)
        match self.rng.randrange(6):
            case 0:
                return f"byteswap(u{width}, {value})"
            case 1:
                return f"rotate_left(u{width}, {value}, {self.value(64, 0)})"
            case 2:
                return f"rotate_right(u{width}, {value}, {self.rng.randrange(2 * width)})"
            case 3:
                return f"u{width}(count_ones(u{width}, {value}))"
            case 4:
                return f"u{width}(trailing_zeros(u{width}, {value}))"
        return f"u{width}({value}.bit_length())"

    def signed(self, depth: int) -> str:
        """A small signed number."""
        value = f"i64(u64({self.value(64, depth)}) & 0xFFFF)"
        form = self.rng.choice(
            ("{} - 0x8000", "-{}", "({} - 0x7000) >> 3", "({} - 0x7000) // 8", "({} - 9) * 7", "s64")
        )
        return f"({form.format(value)})"

    def condition(self, depth: int) -> str:
        roll = self.rng.random()
        if depth == 0 or roll < 0.4:
            a, b = (self.value(self.rng.choice(WIDTHS), max(depth - 1, 0)) for _ in "ab")
            return f"{a} {self.rng.choice(('==', '!=', '<', '<=', '>', '>='))} {b}"
        if roll < 0.6:
            a, b = (
                self.signed(depth - 1),
                self.rng.choice((self.signed(depth - 1), self.value(64, depth - 1), "x256", "-3")),
            )
            return f"{a} {self.rng.choice(('==', '!=', '<', '<=', '>', '>='))} {b}"
        if roll < 0.7:
            return self.value(self.rng.choice(WIDTHS), depth - 1)
        if roll < 0.8:
            return f"not ({self.condition(depth - 1)})"
        return f"(({self.condition(depth - 1)}) {self.rng.choice(('and', 'or'))} ({self.condition(depth - 1)}))"

    def function(self, name: str) -> str:
        parameters = ", ".join(f"x{width}: u{width}" for width in WIDTHS)
        width, kind = self.rng.choice(WIDTHS), self.rng.random()
        head = f"def {name}({parameters}, s64: i64)"
        if kind < 0.15:
            return f"{head} -> bool:\n    return True if {self.condition(3)} else False\n"
        if kind < 0.25:
            return f"{head} -> i64:\n    return {self.signed(2)} + {self.signed(1)}\n"
        return f"{head} -> u{width}:\n    a = {self.value(width, 2)}\n    return u{width}(a + {self.value(width, 3)})\n"


def arguments(rng: random.Random) -> tuple[int, ...]:
    """One integer of each width: edges, and random ones of every length."""

    def one(width: int) -> int:
        edges = (0, 1, 2, (1 << width) - 1, 1 << (width - 1), (1 << (width - 1)) - 1, (1 << width) - 2)
        return rng.choice(edges) if rng.random() < 0.4 else rng.getrandbits(rng.randrange(1, width + 1))

    return (*map(one, WIDTHS), rng.choice((0, 1, -1, -(2**62), 2**62 - 1, rng.randrange(-1000, 1000))))


def functions_of(source: str, file: Path) -> list[Callable[..., Any]]:
    file.write_text(HEADER + source)
    names: dict[str, Any] = {"__name__": "random_kernels"}
    exec(compile(HEADER + source, str(file), "exec"), names)
    return [it for name, it in names.items() if name.startswith("f_")]
