"""The types of the kernel language as the compiler sees them: how LLVM spells them, and how they lie in memory.

`kind_of` turns what an annotation evaluates to into a kind. Nothing here knows about functions or about LLVM itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, TypeAlias

from vmloom.kernel import UInt


@dataclass(frozen=True, slots=True)
class Integer:
    """An integer type of `bits` bits; `bool` is the one with a single bit."""

    bits: int
    signed: bool = False
    low: int = field(init=False, compare=False, repr=False)
    high: int = field(init=False, compare=False, repr=False)
    llvm: str = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "low", -(1 << (self.bits - 1)) if self.signed else 0)
        object.__setattr__(self, "high", (1 << (self.bits - self.signed)) - 1)
        object.__setattr__(self, "llvm", f"i{self.bits}")

    def __str__(self) -> str:
        return "bool" if self.bits == 1 else f"{'i' if self.signed else 'u'}{self.bits}"

    def holds(self, low: int, high: int) -> bool:
        """Whether every integer of `low` .. `high` is one of this type."""
        return self.low <= low and high <= self.high


@dataclass(frozen=True, slots=True)
class Pointer:
    """A pointer to elements. Structs lie in place: element i of `Ptr[Slot]` is a reference to the i-th."""

    element: Kind
    llvm = "ptr"

    def __str__(self) -> str:
        return f"Ptr[{self.element}]"


@dataclass(frozen=True, slots=True)
class Reference:
    """A reference to a struct, which is its address."""

    struct: Any
    llvm = "ptr"

    def __str__(self) -> str:
        return str(self.struct.__name__)


@dataclass(frozen=True, slots=True)
class View:
    """`bytes`: a pointer and a length."""

    llvm = "{ptr, i64}"

    def __str__(self) -> str:
        return "bytes"


@dataclass(frozen=True, slots=True)
class CFunction:
    """The address of a C function, which fields of structs hold."""

    parameters: tuple[Kind, ...]
    returns: Kind
    llvm = "ptr"

    def __str__(self) -> str:
        return f"Callable[[{', '.join(map(str, self.parameters))}], {self.returns}]"


@dataclass(frozen=True, slots=True)
class Nothing:
    """What a function that returns None gives."""

    llvm = "void"

    def __str__(self) -> str:
        return "None"


Kind: TypeAlias = Integer | Pointer | Reference | View | CFunction | Nothing

BOOL, I64, VIEW, NOTHING = Integer(1), Integer(64, signed=True), View(), Nothing()
UNSIGNED = {bits: Integer(bits) for bits in (8, 16, 32, 64, 128, 160, 256, 512)}
U8, U64, U128, U256, U512 = (UNSIGNED[bits] for bits in (8, 64, 128, 256, 512))
BYTES = Pointer(U8)


def kind_of(value: Any) -> Kind | None:
    """The kind that an annotation's value stands for; `int` is what `i64` is at run time. None if it is no kind."""
    if isinstance(value, UInt):
        return UNSIGNED.get(value.bits)
    if value is bool or value is int or value is bytes:
        return BOOL if value is bool else VIEW if value is bytes else I64
    if getattr(value, "__kernel_struct__", False) is True:
        return Reference(value)
    if type(value).__name__ == "PtrKind":
        element = kind_of(value.element)
        return None if element is None else Pointer(element)
    if type(value).__name__ == "FunctionKind":
        return c_function(value.parameters, value.result)
    return None


def c_function(parameters: tuple[Any, ...], result: Any) -> CFunction | None:
    """The kind of C functions whose parameters and result are the values of annotations."""
    kinds = [kind for kind in map(kind_of, parameters) if kind is not None]
    returns = NOTHING if result is None else kind_of(result)
    return CFunction(tuple(kinds), returns) if returns is not None and len(kinds) == len(parameters) else None


def memory_size(kind: Kind) -> int:
    """The bytes that an element of an array takes."""
    match kind:
        case Integer(bits=bits):
            return (bits + 7) // 8 if bits < 64 else -(-bits // 64) * 8
        case Reference(struct=struct):
            return int(struct.size)
    return 8


def memory_type(kind: Kind) -> str:
    """LLVM's type for a value of this kind in memory."""
    if isinstance(kind, Integer) and kind.bits in (1, 160):
        return "i8" if kind.bits == 1 else "i192"
    return kind.llvm


def alignment(kind: Kind) -> int:
    """What a value in memory is aligned to, in bytes; LLVM would assume more of wide integers than holds."""
    return min(memory_size(kind), 8) if isinstance(kind, Integer) else 8
