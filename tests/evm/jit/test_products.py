"""Products that are written out row by row are right, whatever is known of the factors."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable

import pytest
from vmloom_evm.forks import LATEST
from vmloom_evm.jit import compile as compiler
from vmloom_evm.jit.products import WRAPPING, most_left_out, product, wrapping_product
from vmloom_evm.jit.values import MOST_PRODUCTS, Value, Writer, narrowest, number
from vmloom_evm.vm import Evm
from vmloom_native.codegen import emit_object, host_header, target_machine
from vmloom_native.library import Library

BITS = (1, 64, 65, 128, 129, 192, 200, 256)
EDGES = (0, 1, 2**64 - 1, 2**64, 2**64 + 1, 2**128 - 1, 2**128, 2**128 + 1, 2**192, 2**255, 2**256 - 2**64, 2**256 - 1)
CONSTANTS = (3, 2**64 - 1, 2**64, 2**128 + 5, 2**192, 2**255 - 19, 2**256 - 2**64, 2**256 - 1)


def compiled(left: int, right: Value, width: int = 512, least: int = 0) -> Callable[[int, int], int]:
    """The product of an integer of `left` bits and another one, or a constant, less what stands below word `least`."""
    writer = Writer()
    first = Value("%x", narrowest((1 << left) - 1), 0, (1 << left) - 1)
    result = product(writer, first, right, width, least=least)
    lines = "\n".join(writer.lines)
    names = (("x", first), *((("y", right),) if right.constant is None else ()))
    loads = "\n".join(f"  %{name} = load i{it.width}, ptr %at_{name}, align 8" for name, it in names)
    text = f"define void @go(ptr %at_x, ptr %at_y, ptr %to) {{\n{loads}\n{lines}\n  store i{width} {result}, ptr %to\n"
    library = Library(emit_object(f"{host_header()}\n{text}  ret void\n}}"))
    function = library.function("go", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)

    def multiplied(x: int, y: int) -> int:
        buffers = [ctypes.create_string_buffer(it.to_bytes(64, "little"), 64) for it in (x, y, 0)]
        function(*map(ctypes.addressof, buffers))
        return int.from_bytes(buffers[2].raw, "little")

    multiplied.library = library  # type: ignore[attr-defined] # the code lives as long as what calls it
    return multiplied


def factors(bits: int, chance: random.Random) -> list[int]:
    """Numbers of at most so many bits."""
    most = (1 << bits) - 1
    return [*(it for it in EDGES if it <= most), most, *(chance.getrandbits(bits) for _ in range(8))]


@pytest.mark.parametrize("left", BITS)
def test_products_of_all_sizes_are_exact(left: int) -> None:
    chance = random.Random(left)
    for right in (64, 129, 256):
        multiply = compiled(left, Value("%y", narrowest((1 << right) - 1), 0, (1 << right) - 1))
        for x in factors(left, chance):
            for y in factors(right, chance):
                assert multiply(x, y) == x * y, (hex(x), hex(y))


@pytest.mark.parametrize("constant", CONSTANTS, ids=hex)
def test_products_with_what_stands_in_the_code_are_exact(constant: int) -> None:
    chance = random.Random(constant)
    for bits in (64, 256):
        multiply = compiled(bits, number(constant))
        for x in factors(bits, chance):
            assert multiply(x, 0) == x * constant, hex(x)


@pytest.mark.parametrize("constant", [None, *CONSTANTS], ids=str)
def test_low_words_of_products_are_right(constant: int | None) -> None:
    right = "%y" if constant is None else str(constant)
    text = f"""{wrapping_product()}
define void @go(ptr %at_x, ptr %at_y, ptr %to) {{
  %x = load i256, ptr %at_x, align 8
  %y = load i256, ptr %at_y, align 8
  %product = call i256 @{WRAPPING}(i256 %x, i256 {right})
  store i256 %product, ptr %to
  ret void
}}"""
    library = Library(emit_object(f"{host_header()}\n{text}"))
    function = library.function("go", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p)
    chance = random.Random(constant)
    for x in factors(256, chance):
        for y in factors(256, chance) if constant is None else [constant]:
            buffers = [ctypes.create_string_buffer(it.to_bytes(32, "little"), 32) for it in (x, y, 0)]
            function(*map(ctypes.addressof, buffers))
            assert int.from_bytes(buffers[2].raw, "little") == x * y % 2**256, (hex(x), hex(y))


def test_rows_of_products_are_part_of_who_needs_them() -> None:
    """They are put there after LLVM's passes: no call is left in the machine code's text."""
    text = f"{wrapping_product()}\ndefine i256 @go(i256 %x) {{\n  %p = call i256 @{WRAPPING}(i256 %x, i256 %x)\n"
    module = compiler.optimised(f"{host_header()}\n{text}  ret i256 %p\n}}", target_machine())
    assert "call" not in str(module.get_function("go"))


@pytest.mark.parametrize("least", [1, 2, 3])
def test_what_is_left_out_of_a_product_is_no_more_than_is_told(least: int) -> None:
    chance = random.Random(least)
    multiply = compiled(256, Value("%y", 256, 0, 2**256 - 1), least=least)
    errors = [x * y - multiply(x, y) for x in factors(256, chance) for y in factors(256, chance)]
    assert min(errors) == 0
    assert most_left_out(least) // 2 < max(errors) <= most_left_out(least)


def test_words_that_are_0_are_not_multiplied() -> None:
    writer = Writer()
    product(writer, Value("%x", 256, 0, 2**256 - 1), number(5 << 192 | 7), 512)
    assert sum(" = mul " in line for line in writer.lines) == 8


def test_only_so_many_products_of_a_contract_are_written_out_and_none_where_it_has_to_be_quick() -> None:
    specification = Evm().specification(LATEST)
    step = bytes.fromhex(f"7f{2**255 - 19:064x}81800918")  # PUSH32 DUP2 DUP1 MULMOD XOR: two products of words
    code = bytes.fromhex("5f35") + MOST_PRODUCTS * step + bytes.fromhex("5f5260205ff3")
    full, quick = (compiler.ir(specification, code, level=level) for level in (compiler.FULL, compiler.QUICK))
    assert full.count("mul nuw i512") == MOST_PRODUCTS
    assert quick.count("mul nuw i512") == 2 * MOST_PRODUCTS
    assert "mul nuw i128" in full
    assert "mul nuw i128" not in quick
