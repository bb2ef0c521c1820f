"""Every rule of the kernel language that the compiler enforces: what breaks it is refused, with file, line and rule.

Rules that the syntax alone shows are those of `vmloom.kernel.subset`, which `tests/core/test_kernel_subset.py` has.
"""

from __future__ import annotations

import ast
import inspect
import itertools
import textwrap
from collections.abc import Callable
from pathlib import Path
from types import FunctionType, TracebackType
from typing import Any

import pytest
import vmloom_native
from vmloom.kernel.subset import KernelError
from vmloom_native.program import Program

HEADER = """\
from __future__ import annotations
from collections.abc import Callable
from typing import Final, Protocol
from vmloom.kernel import *
BIG = 1 << 200
HUGE = 1 << 512
TEXT = "text"
ROOTS = table(u64, (1, 2, 3))
EMPTY = table(u64, ())
u24 = UInt.of_width(24)
NARROW = table(u24, (1,))
class Machine(Protocol):
    gas: u64
class Other(Protocol):
    gas: u64
@struct
class Slot:
    key: u256
    flag: bool
    gas: u64
    next: Slot
    items: Ptr[u64] = embedded(4)
    run: Callable[[Ptr[u8], u64], u64]
    wide: Callable[[u256], u64]
    LIMIT = 5
    NAME = "slot"
    def total(self) -> u64:
        return self.gas
    @property
    def half(self) -> u64:
        return self.gas // 2
    @property
    def twice(self) -> u64:
        return self.gas
    @twice.setter
    def twice(self, value: u64) -> None:
        self.gas = value
    unreadable = property(None, twice.fset)
def nothing(x: u64) -> None:
    pass
def one(x: u64) -> u64:
    return x
def halting(x: u64) -> u64:
    if x:
        raise Halt(1)
    return x
"""
PARAMETERS = "m: Machine, slot: Slot, p: Ptr[u64], q: Ptr[u8], data: bytes, x: u64, y: u64, n: u8, k: u8, "
PARAMETERS += "w: u256, v: u256, s: i64, flag: bool"
RULES = type("RuleSet", (), {"limit": 7, "name": "osaka", "berlin": True})()

BODIES: dict[str, str] = {
    # Statements
    "x: u8 = 5  # <-": "`x` is `u64` already",
    "z: u8 = 5\nz: u16 = 5  # <-": "`z` is `u8` already",
    "z = 1\nz = w  # <-": "u256 becomes u64 without a cast (`z` is `u64`)",
    "z = nothing(x)  # <-": "`z` is given nothing",
    "z = BIG\nz = HUGE  # <-": f"constant {1 << 512} does not fit u256 (`z` is `u256`)",
    "flag = x  # <-": "an integer stands where `bool` is needed: compare it with something (`flag` is `bool`)",
    "p = q  # <-": "`Ptr[u8]` stands where `Ptr[u64]` is needed (`p` is `Ptr[u64]`)",
    "return w  # <-": "u256 becomes u64 without a cast",
    "return  # <-": "the function returns `u64`",
    "for i in range(x, y, x):  # <-\n    pass": "the step of a range is a positive constant",
    "for i in range(x, y, 0):  # <-\n    pass": "the step of a range is a positive constant",
    "for i in range(9, 0, -1):  # <-\n    pass": "the step of a range is a positive constant",
    "for i in range(-1, x):  # <-\n    pass": "constant -1 does not fit u64",
    "for i in range(s, x - w):  # <-\n    pass": "i64 and u256 meet: cast one of them",
    "raise Halt(0)  # <-": "0 is no reason to halt: it is what a function returns that does not",
    "raise Halt(s)  # <-": "i64 becomes u64 without a cast",
    # Names
    "z = z + 1  # <-\nz = 1": "`z` has no value yet",
    "if x:\n    z = 1\nreturn z  # <-": "`z` may have no value here",
    "for i in range(x):\n    z = i\nreturn z  # <-": "`z` may have no value here",
    "for i in range(x):\n    pass\nreturn i  # <-": "`i` may have no value here",
    "while x > 5:\n    z = 1\n    x -= 1\nreturn z  # <-": "`z` may have no value here",
    "while True:\n    if x > 5:\n        break\n    z = x\n    if z > 3:\n        break\nreturn z  # <-": (
        "`z` may have no value here"
    ),
    "if x:\n    z = 1\nz += 1  # <-": "`z` may have no value here",
    # Fields, elements, attributes
    "z = slot.missing  # <-": "`Slot` has no field `missing`",
    "z = slot.NAME  # <-": "`Slot` has no field `NAME`",
    "z = slot.total  # <-": "`Slot` has no field `total`",
    "slot.missing = 1  # <-": "`Slot` has no field `missing`",
    "slot.LIMIT = 1  # <-": "`Slot` has no field `LIMIT`",
    "slot.half = 1  # <-": "the property cannot be assigned",
    "z = slot.unreadable  # <-": "the property cannot be read",
    "slot.items = p  # <-": "`items` is an embedded array: its elements are assigned",
    "slot.key = w + w  # <-": "a result that may leave u256 is masked or cast where it is computed",
    "slot.gas = w  # <-": "u256 becomes u64 without a cast",
    "slot.flag = 1  # <-": "an integer stands where `bool` is needed: compare it with something",
    "z = x.real  # <-": "`u64` has no attributes",
    "z = x[0]  # <-": "`u64` has no elements",
    "x[0] = 1  # <-": "`u64` has no elements",
    "data[0] = 1  # <-": "`bytes` has no elements",
    "z = slot[0]  # <-": "`Slot` has no elements",
    "pointer(Slot, x)[0] = slot  # <-": "a struct is assigned field by field",
    "z = p[-1]  # <-": "a pointer is moved by an unsigned integer",
    "z = p[s]  # <-": "a pointer is moved by an unsigned integer",
    "z = p + s  # <-": "a pointer is moved by an unsigned integer",
    "z = p[w]  # <-": "u256 becomes u64 without a cast",
    "z = p - p  # <-": "`Ptr[u64]` stands where `u64` is needed",
    "z = p * 2  # <-": "`Ptr[u64]` is not an integer",
    "z = ROOTS[3]  # <-": "the table has no element 3",
    "z = ROOTS[-1]  # <-": "the table has no element -1",
    "z = EMPTY[x]  # <-": "a table has elements, of a kernel type, not 0 of u64",
    "z = NARROW[0]  # <-": "a table has elements, of a kernel type, not 1 of u24",
    "z = m.rules  # <-": "`m.rules` is not an integer or a boolean",
    "z = m.rules.name  # <-": "`m.rules.name` is not an integer or a boolean",
    "z = m.rules.homestead  # <-": "`m.rules` has no `homestead`",
    # Calls
    "z = x.bit_count()  # <-": "`u64` has no method `bit_count`",
    "z = slot.missing()  # <-": "`Slot` has no method `missing`",
    "z = slot.gas()  # <-": "`gas` is not a function",
    "z = slot.total(x)  # <-": "`total` takes 1 argument(s), not 2",
    "z = slot.run(q)  # <-": "`run` takes 2 argument(s), not 1",
    "z = slot.run(p, x)  # <-": "`Ptr[u64]` stands where `Ptr[u8]` is needed",
    "z = slot.wide(w)  # <-": "`u256` is not what C functions take or return",
    "z = one(x, y)  # <-": "`one` takes 1 argument(s), not 2",
    "z = one(w)  # <-": "u256 becomes u64 without a cast (parameter `x` of `one`)",
    "z = attempt(one, x)  # <-": "`attempt` calls functions that return nothing; `one` returns `u64`",
    "z = attempt(nothing, x, y)  # <-": "`nothing` takes 1 argument(s), not 2",
    "z = u24(x)  # <-": "`u24` is no kernel type",
    "z = u64(p)  # <-": "`Ptr[u64]` cannot be cast to u64",
    "z = i64(w)  # <-": "u256 becomes i64 without a mask",
    "z = i64(U64_MAX)  # <-": f"constant {(1 << 64) - 1} does not fit i64",
    "z = u64(n + k)  # <-": "a result that may leave u8 becomes u64: cast an operand to u64 first",
    "z = len(p)  # <-": "`Ptr[u64]` stands where `bytes` is needed",
    "z = s.bit_length()  # <-": "`i64` has no bit_length here",
    "z = max(flag, 1)  # <-": "`max` does not work on booleans",
    "z = min(s, x)  # <-": "i64 and an unsigned integer meet in `min`: cast one of them",
    "z = min(w + v, w)  # <-": "a result that may leave u256 is masked or cast where it is computed",
    "z = max(x - y, 0)  # <-": "`max` changes no u64, which the result may leave: cast an operand",
    "z = min(U64_MAX, x + y)  # <-": "`min` changes no u64, which the result may leave: cast an operand",
    "z = unlikely(x, y)  # <-": "`unlikely` takes 1 argument(s) in the kernel language",
    "z = byteswap(i64, x)  # <-": "the first argument of `byteswap` is an unsigned integer type",
    "z = load(bool, q)  # <-": "the first argument of `load` is an unsigned integer type",
    "z = load(u64, p)  # <-": "`Ptr[u64]` stands where `Ptr[u8]` is needed",
    "store(u8, q, x)  # <-": "u64 becomes u8 without a cast",
    "z = rotate_left(u64, x, s)  # <-": "`%` does not work on i64: cast it",
    "copy(q, data, x)  # <-": "`bytes` stands where `Ptr[u8]` is needed",
    "fill(q, x, x)  # <-": "u64 becomes u8 without a cast",
    "z = is_null(x)  # <-": "`u64` is no pointer",
    "z = address_of(data)  # <-": "`bytes` is no pointer",
    "z = is_null(slot.run)  # <-": "`Callable[[Ptr[u8], u64], u64]` is no pointer",
    "z = pointer(u64, p)  # <-": "`Ptr[u64]` stands where `u64` is needed",
    "z = pointer(bytes, x)  # <-": "`bytes` are not kept in memory: keep a pointer and a length",
    "z = pointer(u24, x)  # <-": "`u24` is no kernel type",
    "z = local(u64, x)  # <-": "the size of a local array is a constant, 1 and up",
    "z = local(u64, 0)  # <-": "the size of a local array is a constant, 1 and up",
    "z = local(u64, 8193)  # <-": "a local array takes at most 65536 bytes, which are on the stack, not 65544",
    "z = local(bytes, 1)  # <-": "`bytes` are not kept in memory: keep a pointer and a length",
    # Operators
    "w = w + v  # <-": "a result that may leave u256 is masked or cast where it is computed (`w` is `u256`)",
    "w = w << 1  # <-": "a result that may leave u256 is masked or cast where it is computed (`w` is `u256`)",
    "w = (w + v) >> 1  # <-": "a result that may leave u256 is masked or cast where it is computed",
    "w = (w * v) // 3  # <-": "a result that may leave u256 is masked or cast where it is computed",
    "w = (w - v) % 3  # <-": "a result that may leave u256 is masked or cast where it is computed",
    "if w + v:  # <-\n    pass": "a result that may leave u256 is masked or cast where it is computed",
    "if w - v > w:  # <-\n    pass": "a result that may leave u256 is masked or cast where it is computed",
    "z = one(u64(w + v >> 3))  # <-": "a result that may leave u256 is masked or cast where it is computed",
    "z = 0 - x  # <-": "a result below 0 is masked or cast where it is computed: it leaves u64 (`z` is `u64`)",
    "z = -x  # <-": "a result below 0 is masked or cast where it is computed: it leaves u64 (`z` is `u64`)",
    "z = u8(200) + u8(100)  # <-": "constant 300 does not fit u8 (`z` is `u8`)",
    "z = x & -1  # <-": "constant -1 does not fit u64",
    "z = x + HUGE  # <-": f"constant {1 << 512} does not fit u64",
    "z = n + k + x  # <-": "a result that may leave u8 becomes u64: cast an operand to u64 first",
    "z = x if flag else n + k  # <-": "a result that may leave u8 becomes u64: cast an operand to u64 first",
    "z = (x - y) & U256_MAX  # <-": "the mask is wider than u64, which the result may leave: cast an operand",
    "z = BIG & (x + y)  # <-": "the mask is wider than u64, which the result may leave: cast an operand",
    "z = s + w  # <-": "i64 and u256 meet: cast one of them",
    "z = s % 4  # <-": "`%` does not work on i64: cast it",
    "z = s & 1  # <-": "`&` does not work on i64: cast it",
    "z = s << 1  # <-": "`<<` does not work on i64: cast it",
    "z = s // 3  # <-": "i64 is divided, with `//`, by constant powers of two only",
    "z = s // -2  # <-": "i64 is divided, with `//`, by constant powers of two only",
    "z = s >> x  # <-": "i64 is shifted by constants only",
    "z = x // 0  # <-": "division by zero",
    "z = 5 % 0  # <-": "division by zero",
    "z = 1 << 5000  # <-": "shift by 5000",
    "z = 1 >> -1  # <-": "shift by -1",
    "z = x << -1  # <-": "constant -1 does not fit u64",
    "z = data + data  # <-": "`bytes` is not an integer",
    "z = nothing(x) + 1  # <-": "`None` is not an integer",
    "z = x and y  # <-": "`and` as a value needs booleans: compare with 0",
    "z = flag or x  # <-": "`or` as a value needs booleans: compare with 0",
    "z = p if flag else 0  # <-": "`Ptr[u64]` is not an integer",
    "if p:  # <-\n    pass": "`Ptr[u64]` is no condition",
    "while data:  # <-\n    pass": "`bytes` is no condition",
    "z = not slot  # <-": "`Slot` is no condition",
    "z = flag and nothing(x)  # <-": "`and` as a value needs booleans: compare with 0",
    # Comparisons
    "z = p == q  # <-": "`Ptr[u64]` is not an integer",
    "z = p < p + 1  # <-": "`<` does not work on pointers: compare what `address_of` gives",
    "z = slot == slot.next  # <-": "`Slot` is not an integer",
    "z = data == data  # <-": "`bytes` is not an integer",
    "z = x > -1  # <-": "constant -1 does not fit u64",
    "z = x - y < 0  # <-": "`<` has one answer for each u64, which the result may leave: cast an operand",
    "z = U64_MAX < x + y  # <-": "`<` has one answer for each u64, which the result may leave: cast an operand",
    "z = x + y == BIG  # <-": "`==` has one answer for each u64, which the result may leave: cast an operand",
    "z = n + k < 256  # <-": "`<` has one answer for each u8, which the result may leave: cast an operand",
    # Lines
    "z = (\n    x\n    + one(data)  # <-\n)": "`bytes` stands where `u64` is needed (parameter `x` of `one`)",
    "z = (x +\n    (y +  # <-\n    p))": "`Ptr[u64]` is not an integer",
    "if x:\n    y = 1\nelif w + v:  # <-\n    y = 2": (
        "a result that may leave u256 is masked or cast where it is computed"
    ),
}

FUNCTIONS: dict[str, str] = {
    "def f(x: u64) -> u64:  # <-\n    if x:\n        return 1": "the function may end without the `u64`",
    "def f(x: u64) -> u64:  # <-\n    while x:\n        return 1": "the function may end without the `u64`",
    "def f(x: u64) -> u64:  # <-\n    while True:\n        if x:\n            break": (
        "the function may end without the `u64`"
    ),
    "def f(x: u64) -> None:\n    return x  # <-": "the function returns `None`",
    "def f(x: u24) -> u64:  # <-\n    return 1": "`u24` is no kernel type",
    "def f(x: u64) -> u24:  # <-\n    return 1": "`u24` is no kernel type",
    "def f(\n    x: u64,\n    m: Other,  # <-\n) -> u64:\n    return 1": "`Other` is no kernel type",
    "def f(x: Ptr[Ptr[bytes]]) -> u64:  # <-\n    return 1": (
        "`bytes` are not kept in memory: keep a pointer and a length"
    ),
}
EXPORTS: dict[str, str] = {
    "def f(x: u256) -> u64:  # <-\n    return 1": "`x` is `u256`, which C functions do not pass",
    "def f(x: bytes) -> u64:  # <-\n    return 1": "`x` is `bytes`, which C functions do not pass",
    "def f(x: u64) -> u160:  # <-\n    return 1": "`the result` is `u160`, which C functions do not pass",
    "def f(x: u64) -> u64:  # <-\n    return halting(x)": "`f` may halt, so it cannot return a value",
    "def f(x: u64) -> u64:\n    return g(x)\ndef g(x: u64) -> u64:  # <-\n    return f(x)": (
        "recursion is not in the kernel language: `f` comes back to itself"
    ),
    "@struct\nclass Node:\n    x: u64\n    def again(self) -> u64:  # <-\n        return self.again()\n"
    "def f(n: Node) -> u64:\n    return n.again()": (
        "recursion is not in the kernel language: `again` comes back to itself"
    ),
}
UNCHECKED: dict[str, str] = {
    "pass\ndel x  # <-": "`del x` is not in the kernel language",
    "for i in data:  # <-\n    pass": "a for loop has the form `for name in range(...)`",
    "(x, y) = z = 1  # <-": "`x, y = z = 1` is not in the kernel language",
    "(x, y) = 1  # <-": "an assignment has one target: a name, an attribute or an element",
    "z = 'a'  # <-": "`'a'` is not in the kernel language",
    "z = x ** 2  # <-": "`Pow` is not in the kernel language",
    "z = TEXT  # <-": "global `TEXT` is not an integer or a boolean",
    "z = MISSING  # <-": "name `MISSING` is not defined",
    "z = one(x=x)  # <-": "calls have positional arguments only",
    "z = x(y)  # <-": "only names, and methods of a parameter or local, can be called",
    "z = print(x)  # <-": "`print` is not a kernel function, a cast or a builtin",
    "z = attempt(x)  # <-": "`attempt` takes a kernel function and its arguments",
    "z = min(x)  # <-": "`min` takes 2 argument(s) in the kernel language",
    "z = load(u64)  # <-": "`load` takes 2 argument(s) in the kernel language",
    "z = pointer(u64)  # <-": "`pointer` takes 2 argument(s) in the kernel language",
    "z = local(u64)  # <-": "`local` takes 2 argument(s) in the kernel language",
}
"""What `check` refuses first. The front end does not rely on that."""

Define = Callable[[str], tuple[FunctionType, Path]]


@pytest.fixture
def define(tmp_path: Path) -> Define:
    """The function `f` that a text defines below `HEADER`, and its file."""

    numbers = itertools.count()

    def build(source: str) -> tuple[FunctionType, Path]:
        file = tmp_path / f"rules_{next(numbers)}.py"
        file.write_text(HEADER + source + "\n")
        names: dict[str, Any] = {"__name__": "rules"}
        exec(compile(file.read_text(), str(file), "exec"), names)
        return names["f"], file

    return build


def with_body(statements: str) -> str:
    end = "" if statements.startswith("return") or "\nreturn" in statements else "\n    return 0"
    return f"def f({PARAMETERS}) -> u64:\n{textwrap.indent(statements, '    ')}{end}"


def program_for(function: FunctionType) -> Program:
    names = function.__globals__
    return Program(bindings={names["Machine"]: names["Slot"]}, constants={"rules": RULES})


def translate(program: Program, function: FunctionType) -> None:
    program.function(function)
    program.translate()


def export(program: Program, function: FunctionType) -> None:
    program.export(function.__name__, function)
    program.ir()


def refusal(function: FunctionType, use: Callable[[Program, FunctionType], None] = translate) -> KernelError:
    with pytest.raises(KernelError) as caught:
        use(program_for(function), function)
    return caught.value


def check_refusal(error: KernelError, file: Path, rule: str) -> None:
    (line,) = (number for number, text in enumerate(file.read_text().splitlines(), 1) if "# <-" in text)
    assert (error.file, error.line, error.rule) == (str(file), line, rule)
    assert str(error) == f"{file}:{line}: {rule}"


@pytest.mark.parametrize("body", BODIES)
def test_a_body_that_breaks_a_rule_is_refused_where_it_does(define: Define, body: str) -> None:
    function, file = define(with_body(body))
    check_refusal(refusal(function), file, BODIES[body])


@pytest.mark.parametrize("source", FUNCTIONS)
def test_a_function_that_breaks_a_rule_is_refused_where_it_does(define: Define, source: str) -> None:
    function, file = define(source)
    check_refusal(refusal(function), file, FUNCTIONS[source])


@pytest.mark.parametrize("source", EXPORTS)
def test_a_program_that_breaks_a_rule_is_refused_where_it_does(define: Define, source: str) -> None:
    function, file = define(source)
    check_refusal(refusal(function, export), file, EXPORTS[source])


@pytest.mark.parametrize("body", UNCHECKED)
def test_what_the_syntax_shows_is_refused_by_the_front_end_as_well(
    define: Define, body: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, file = define(with_body(body))
    rule = refusal(function).rule
    monkeypatch.setattr("vmloom_native.program.check", lambda _: None)
    check_refusal(refusal(function), file, UNCHECKED[body])
    assert rule


@pytest.mark.parametrize("thing", [len, 3, BODIES.keys, lambda x: x])
def test_what_def_does_not_define_is_no_kernel_function(thing: Any) -> None:
    with pytest.raises(KernelError, match="is not a function defined with `def`"):
        Program().function(thing)


@pytest.mark.parametrize(
    "body",
    [
        "if m.rules.limit == 8:\n    return missing(x)",
        "if m.rules.berlin:\n    return 1\nreturn len(x)",
        "if not m.rules.berlin and x:\n    return len(x)",
        "while m.rules.limit < 7:\n    y = len(x)",
        "z = len(x) if m.rules.limit > 7 else 1",
        "return 1\nz = len(x)",
    ],
)
def test_dead_branches_need_no_sound_types(define: Define, body: str) -> None:
    function, _ = define("def missing(z: bool) -> u64:\n    return 1\n" + with_body(body))
    translate(program_for(function), function)


@pytest.mark.parametrize(
    "body",
    [
        "if x:\n    z = 1\nelse:\n    z = 2\nreturn z",
        "if x:\n    z = 1\nelse:\n    return 2\nreturn z",
        "if x:\n    return 2\nelif y:\n    raise Halt(1)\nelse:\n    z = 1\nreturn z",
        "while True:\n    z = x\n    if z > 5:\n        break\n    x += 1\nreturn z",
        "while True:\n    if x > 5:\n        return 1\n    z = x\n    break\nreturn z",
        "for i in range(x):\n    if i > y:\n        continue\n    z = i\n    y = z\nreturn y",
        "if m.rules.berlin:\n    z = 1\nreturn z",
    ],
)
def test_a_name_that_has_a_value_on_every_way_may_be_used(define: Define, body: str) -> None:
    function, _ = define(with_body(body))
    translate(program_for(function), function)


# That nothing was forgotten

RAISED = ("Refused", "KernelError", "self.error")


def test_every_refusal_of_the_compiler_has_a_case(define: Define, monkeypatch: pytest.MonkeyPatch) -> None:
    found = set()
    for body in BODIES:
        found |= sites(refusal(define(with_body(body))[0]))
    for source, use in (*((it, translate) for it in FUNCTIONS), *((it, export) for it in EXPORTS)):
        found |= sites(refusal(define(source)[0], use))
    with pytest.raises(KernelError) as caught:
        Program().function(len)
    found |= sites(caught.value)
    monkeypatch.setattr("vmloom_native.program.check", lambda _: None)
    for body in UNCHECKED:
        found |= sites(refusal(define(with_body(body))[0]))
    assert {site: text for site, text in all_sites().items() if site not in found} == {}


def sites(error: BaseException | None) -> set[tuple[str, int]]:
    """Files and lines of the compiler at which this error, and those it comes from, were raised."""
    found = set()
    while error is not None:
        trace: TracebackType | None = error.__traceback__
        while trace is not None:
            found.add((Path(trace.tb_frame.f_code.co_filename).name, trace.tb_lineno))
            trace = trace.tb_next
        error = error.__context__
    return found


def all_sites() -> dict[tuple[str, int], str]:
    """Where the compiler raises `Refused` or `KernelError`, and what it says there."""
    found = {}
    for file in sorted(Path(inspect.getfile(vmloom_native)).parent.glob("*.py")):
        for node in ast.walk(ast.parse(file.read_text())):
            match node:
                case ast.Raise(exc=ast.Call(func=raised)) if ast.unparse(raised) in RAISED:
                    found[file.name, node.lineno] = ast.unparse(node)
    return found
