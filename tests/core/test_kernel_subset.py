"""The kernel language: every rule that `check` enforces, and that every op body keeps them."""

from __future__ import annotations

import importlib
import inspect
import pkgutil
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import vmloom_evm.ops
from vmloom.kernel import wrapping_pow
from vmloom.kernel.subset import KernelError, check
from vmloom_evm.table import OPS

HEADER = """\
from __future__ import annotations
from typing import Protocol
from vmloom.kernel import Halt, Ptr, attempt, byteswap, copy, load, local, start, store, struct, table
from vmloom.kernel import i64, u8, u64, u256
LIMIT = 100
NUMBERS = [1, 2]
ROOTS = table(u64, (1, 2))
class Machine(Protocol):
    gas: i64
@struct
class Slot:
    key: u256
    next: Slot
    def double(self, x: u64) -> u64:
        return x + x
def helper(x: u64) -> u64:
    return x
"""
FIRST_LINE = HEADER.count("\n") + 1

Define = Callable[[str], Callable[..., Any]]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    """A function from source text: the first function that the text defines, below `HEADER`."""

    def build(source: str) -> Callable[..., Any]:
        file = tmp_path / "kernels.py"
        file.write_text(HEADER + textwrap.dedent(source))
        names: dict[str, Any] = {"__name__": "kernels"}
        exec(compile(file.read_text(), str(file), "exec"), names)
        ours = [it for it in names.values() if inspect.isfunction(it) and it.__globals__ is names]
        return next(it for it in ours if it.__code__.co_firstlineno >= FIRST_LINE)

    return build


def with_body(statements: str) -> str:
    """A kernel function `f(m, slot, p, x, y)` whose body begins on its second line."""
    return "def f(m: Machine, slot: Slot, p: Ptr[u64], x: u64, y: u64) -> u64:\n" + textwrap.indent(
        textwrap.dedent(statements).strip(), "    "
    )


BODIES = {
    # Statements
    "try: x = 1\nfinally: x = 2": "try statements are not in the kernel language",
    "with m: x = 1": "with statements are not in the kernel language",
    "def g(): pass": "nested functions are not in the kernel language",
    "class C: pass": "classes are not in the kernel language",
    "global z\nz = 1": "global statements are not in the kernel language",
    "import os": "import statements are not in the kernel language",
    "del x": "delete statements are not in the kernel language",
    "assert x": "assert statements are not in the kernel language",
    "match x:\n    case 1: pass": "match statements are not in the kernel language",
    "x + y": "an expression on its own must be a call",
    "x = y = 1": "an assignment has one target: a name, an attribute or an element",
    "x, y = y, x": "an assignment has one target: a name, an attribute or an element",
    "x, m[0] = 1, 2": "an assignment has one target: a name, an attribute or an element",
    "p[0:1] = 1": "slices are not in the kernel language",
    "NUMBERS[0] = 1": "global `NUMBERS` is not a `table`",
    "p[y / 2] += 1": "div operators are not in the kernel language",
    "slot.key = 'a'": "constant 'a' is not an integer or a boolean",
    "x **= 2": "pow operators are not in the kernel language",
    "z: u64": "an annotation stands where a name is assigned",
    "m.z: u64 = 1": "an annotation stands where a name is assigned",
    "z: int = 1": "`z` needs a kernel type or a protocol as its annotation",
    "while x: pass\nelse: x = 1": "`else` after a loop is not in the kernel language",
    "for z in range(x): pass\nelse: x = 1": "`else` after a loop is not in the kernel language",
    "for z in NUMBERS: pass": "a for loop has the form `for name in range(...)`",
    "for z in range(x, step=2): pass": "a for loop has the form `for name in range(...)`",
    "for z in range(x): z = z / 2": "div operators are not in the kernel language",
    "for m.gas in range(x): pass": "a for loop has the form `for name in range(...)`",
    "raise": "raise takes the form `raise Halt(reason)`",
    "raise Halt": "raise takes the form `raise Halt(reason)`",
    "raise ValueError(1)": "raise takes the form `raise Halt(reason)`",
    "raise Halt(reason=1)": "raise takes the form `raise Halt(reason)`",
    "raise Halt()": "raise takes the form `raise Halt(reason)`",
    "raise Halt(1, x=2)": "raise takes the form `raise Halt(reason)`",
    "raise Halt(1) from None": "raise takes the form `raise Halt(reason)`",
    # Expressions
    "x = y / 2": "div operators are not in the kernel language",
    "x = x ** 2": "pow operators are not in the kernel language",
    "x = ~x": "invert operators are not in the kernel language",
    "x = +x": "plus signs are not in the kernel language",
    "x = 1 if x is y else 2": "is operators are not in the kernel language",
    "x = 1 if 0 < x < y else 2": "comparisons are not chained in the kernel language",
    "x = 1.5": "constant 1.5 is not an integer or a boolean",
    "x = 'a'": "constant 'a' is not an integer or a boolean",
    "x = None": "constant None is not an integer or a boolean",
    "x = [1]": "lists are not in the kernel language",
    "x = {x for x in y}": "set comps are not in the kernel language",
    "x = NUMBERS[0]": "global `NUMBERS` is not a `table`",
    "x = ROOTS": "global `ROOTS` is not an integer or a boolean",
    "x = missing[0]": "name `missing` is not defined",
    "x = p[0, 1]": "tuples are not in the kernel language",
    "x = (z := y)": "assignment expressions are not in the kernel language",
    "z = lambda: z": "lambdas are not in the kernel language",
    "x = f'{y}'": "f-strings are not in the kernel language",
    "yield x": "an expression on its own must be a call",
    "x = yield": "yields are not in the kernel language",
    "x = NUMBERS": "global `NUMBERS` is not an integer or a boolean",
    "x = helper": "global `helper` is not an integer or a boolean",
    "x = missing": "name `missing` is not defined",
    "for z in range(missing): pass": "name `missing` is not defined",
    "raise Halt(missing)": "name `missing` is not defined",
    "z: u64 = missing": "name `missing` is not defined",
    "x = missing.bit_length()": "name `missing` is not defined",
    "m.gas = Machine.gas": "global `Machine` is not an integer or a boolean",
    # Calls
    "x = missing(x)": "name `missing` is not defined",
    "x = sum(x)": "`sum` is not a kernel function, a cast or a builtin",
    "x = int(x)": "`int` is not a kernel function, a cast or a builtin",
    "x = Slot(x)": "`Slot` is not a kernel function, a cast or a builtin",
    "x = x(y)": "only names, and methods of a parameter or local, can be called",
    "x = (x + y).price(x)": "only names, and methods of a parameter or local, can be called",
    "x = p[0](x)": "only names, and methods of a parameter or local, can be called",
    "x = load(u64)": "`load` takes 2 argument(s) in the kernel language",
    "x = load(p, p)": "the first argument of `load` is a type",
    "x = load(8, p)": "the first argument of `load` is a type",
    "copy(p, p)": "`copy` takes 3 argument(s) in the kernel language",
    "x = byteswap(u64, y / 2)": "div operators are not in the kernel language",
    "q = local(float, 2)": "the first argument of `local` is a type",
    "x = attempt()": "`attempt` takes a kernel function and its arguments",
    "x = attempt(y, x)": "`attempt` takes a kernel function and its arguments",
    "x = attempt(Halt, x)": "`attempt` takes a kernel function and its arguments",
    "x = attempt(helper, x / 2)": "div operators are not in the kernel language",
    "x = m.parent().gas(x)": "only names, and methods of a parameter or local, can be called",
    "x = NUMBERS.pop()": "global `NUMBERS` is not an integer or a boolean",
    "x = helper(x=x)": "calls have positional arguments only",
    "x = helper(*x)": "starred expressions are not in the kernel language",
    "x = max(x)": "`max` takes 2 argument(s) in the kernel language",
    "x = u64()": "`u64` takes 1 argument(s) in the kernel language",
    "x = i64(x, y)": "`i64` takes 1 argument(s) in the kernel language",
    "x = f(m, slot, p, x, y)": "recursion is not in the kernel language",
}


@pytest.mark.parametrize("body", BODIES)
def test_a_body_outside_the_language_is_refused_with_its_rule_and_line(define: Define, body: str) -> None:
    with pytest.raises(KernelError) as caught:
        check(define(with_body(f"x = y\n{body}")))
    error = caught.value
    assert error.rule == BODIES[body]
    assert error.line == FIRST_LINE + 2
    assert Path(error.file).name == "kernels.py"
    assert str(error) == f"{error.file}:{error.line}: {error.rule}"


SIGNATURES = {
    "def f(x) -> u64: return x": "parameter `x` needs a kernel type or a protocol as its annotation",
    "def f(x: int) -> u64: return x": "parameter `x` needs a kernel type or a protocol as its annotation",
    "def f(x: Halt) -> u64: return x": "parameter `x` needs a kernel type or a protocol as its annotation",
    "def f(x: 'u64') -> u64: return x": "parameter `x` needs a kernel type or a protocol as its annotation",
    "def f(x: missing) -> u64: return x": "name `missing` is not defined",
    "def f(x: Ptr[int]) -> u64: return x": "parameter `x` needs a kernel type or a protocol as its annotation",
    "def f(x: Ptr) -> u64: return x": "parameter `x` needs a kernel type or a protocol as its annotation",
    "def f(x: list[u64]) -> u64: return x": "parameter `x` needs a kernel type or a protocol as its annotation",
    "def f(x: u64): return x": "the result needs a kernel type or a protocol as its annotation",
    "def f(x: u64) -> float: return x": "the result needs a kernel type or a protocol as its annotation",
    "def f(x: u64 = 1) -> u64: return x": "parameters are positional and have no default values in the kernel language",
    "def f(*x: u64) -> u64: return 1": "parameters are positional and have no default values in the kernel language",
    "def f(**x: u64) -> u64: return 1": "parameters are positional and have no default values in the kernel language",
    "def f(*, x: u64) -> u64: return x": "parameters are positional and have no default values in the kernel language",
    "async def f(x: u64) -> u64: return x": "coroutines are not in the kernel language",
}


@pytest.mark.parametrize("source", SIGNATURES)
def test_a_signature_outside_the_language_is_refused_with_its_rule(define: Define, source: str) -> None:
    with pytest.raises(KernelError) as caught:
        check(define(source))
    assert (caught.value.rule, caught.value.line) == (SIGNATURES[source], FIRST_LINE)


@pytest.mark.parametrize("thing", [len, 3, lambda x: x], ids=["builtin", "integer", "lambda"])
def test_only_functions_that_def_defines_are_kernels(thing: Any) -> None:
    with pytest.raises(KernelError, match="is not a function defined with `def`"):
        check(thing)


def test_a_function_of_a_closure_is_refused(define: Define) -> None:
    """A global of the same name, as `LIMIT`, is not what it means."""
    outer = define(
        "def outer(LIMIT: u64):\n    def inner(x: u64) -> u64:\n        return x + LIMIT\n    return inner\n"
    )
    with pytest.raises(KernelError, match="`LIMIT` belongs to the function around this one"):
        check(outer(1))


def test_an_operator_outside_the_language_is_reported_where_it_stands(define: Define) -> None:
    with pytest.raises(KernelError) as caught:
        check(define(with_body("x = (y +\n    x ** 2)")))
    assert caught.value.line == FIRST_LINE + 2


def test_the_line_of_a_decorated_function_is_that_of_its_file(define: Define) -> None:
    with pytest.raises(KernelError) as caught:
        check(define("def keep(f):\n    return f\n@keep\ndef f(x: u64) -> u64:\n    return x / 2\ndel keep\n"))
    assert caught.value.line == FIRST_LINE + 4


def test_everything_in_the_language_is_accepted(define: Define) -> None:
    check(
        define(
            '''
            def f(m: Machine, x: u64, y: u256, flag: bool, small: i64) -> u256:
                """Documented."""
                total: u256 = 0
                for index in range(1, x):
                    if index % 2 == 0 and not flag or index > LIMIT:
                        continue
                    elif total >> 3 != y // 2:
                        break
                    total += u256(index) * helper(index) - (y & 0xFF | x ^ 3)
                while m.gas >= 0 and small < -1:
                    m.gas -= max(u8(total), min(x, 7)) << 1
                    m.tick(total, (x + 1).bit_length())
                    pass
                child = m.open(x)
                child.push(len(child.code) if child.rules.wide else child.rules.narrow)
                if x <= 5:
                    raise Halt(LIMIT)
                return total
            '''
        )
    )


def test_memory_structs_and_methods_are_accepted(define: Define) -> None:
    function = define(
        """
        def f(m: Machine, slots: Ptr[Slot], rows: Ptr[Ptr[u64]], data: bytes, slot: Slot) -> Ptr[u64]:
            words = local(u64, 4)
            words[1] = ROOTS[helper(1)] + rows[2][3]
            words[words[0]] += slots[1].next.double(load(u64, start(data)))
            slots[0].next.key = byteswap(u256, slot.key)
            store(u64, start(data) + 8, attempt(helper, words[0]))
            while True:
                slot = slot.next
                if len(data) > 4:
                    break
            return words
        """
    )
    check(function)


def test_methods_of_structs_are_checked_with_self_as_it_is(define: Define) -> None:
    function = define(
        "def f() -> None:\n    pass\n@struct\nclass Other:\n    def g(self) -> u64:\n        return 1 / 2\n"
    )
    check(function.__globals__["Slot"].double)
    with pytest.raises(KernelError, match="div operators") as caught:
        check(function.__globals__["Other"].g)
    assert caught.value.line == FIRST_LINE + 5


def kernel_functions() -> Iterator[Callable[..., Any]]:
    """Every function of the modules of op bodies, so that a new module or helper is covered as it is written."""
    names = [f"vmloom_evm.ops.{entry.name}" for entry in pkgutil.iter_modules(vmloom_evm.ops.__path__)]
    for module in map(importlib.import_module, ["vmloom_evm.gas", *names]):
        for _, function in inspect.getmembers(module, inspect.isfunction):
            if function.__module__ == module.__name__:
                yield function


@pytest.mark.parametrize("function", list(kernel_functions()), ids=lambda f: f"{f.__module__}.{f.__name__}")
def test_every_op_body_and_helper_is_in_the_language(function: Callable[..., Any]) -> None:
    check(function)


def test_every_op_body_of_the_table_was_checked() -> None:
    checked = set(kernel_functions())
    ours = {row.function for row in OPS.values() if row.function and row.function.__module__.startswith("vmloom_evm.")}
    assert ours
    assert ours <= checked


def test_a_builtin_with_a_kernel_of_its_own_is_called_but_not_translated() -> None:
    with pytest.raises(KernelError):
        check(wrapping_pow)
