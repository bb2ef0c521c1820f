"""Pointers and memory of the kernel language, as CPython runs them: on the real memory of this process.

Compiled kernels and CPython runs of the same kernels can work on the same arenas, for an address means the same to both
and the layout is fixed here. Nothing is checked: a wrong address is as fatal here as it is in compiled code. Only
kernels that use memory load this module: `vmloom.kernel` imports it when one of its names is asked for.

Sizes and alignments in bytes: `u8`, `bool` 1/1; `u16` 2/2; `u32` 4/4; `u64`, `i64`, pointers and functions 8/8; `u128`
16/8; `u160` 24/8 (zero-extended); `u256` 32/8; `u512` 64/8; structs, a multiple of 8. All little-endian.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable, Iterable
from types import FunctionType
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, cast, get_args

from .bits import width

T = TypeVar("T")


class Ptr(Generic[T]):
    """A pointer to elements of type `kind`: an integer type, `bool`, a struct, or `Ptr[...]`.

    `p[i]` is element i; of structs, a reference to it. `p + n` and `p - n` move by n elements. `address` is in bytes.
    `owner` is the object whose memory this is, if any; the pointer and what is read through it keep it alive.
    """

    __slots__ = ("_codec", "address", "kind", "owner")

    if not TYPE_CHECKING:

        def __class_getitem__(cls, kind: Any) -> PtrKind:
            """The type of pointers to `kind`."""
            return PtrKind.to(kind)

    def __init__(self, kind: type[T], address: int, owner: object = None) -> None:
        self.kind, self.address, self.owner, self._codec = kind, address, owner, codec_of(cast("Any", kind))

    def __getitem__(self, index: int) -> T:
        codec = self._codec
        return cast("T", codec.read(self.address + index * codec.size, self.owner))

    def __setitem__(self, index: int, value: T) -> None:
        codec = self._codec
        codec.write(self.address + index * codec.size, value, self.owner)

    def __add__(self, count: int) -> Ptr[T]:
        return Ptr(self.kind, self.address + count * self._codec.size, self.owner)

    def __sub__(self, count: int) -> Ptr[T]:
        return Ptr(self.kind, self.address - count * self._codec.size, self.owner)

    def __eq__(self, other: object) -> bool:
        return self.address == other.address if isinstance(other, Ptr) else NotImplemented

    def __hash__(self) -> int:
        return hash(self.address)

    def __repr__(self) -> str:
        return f"Ptr({name_of(self.kind)}, {self.address:#x})"


class PtrKind:
    """What `Ptr[element]` is at run time. There is one per element type, so identity is equality."""

    __slots__ = ("element",)
    _known: ClassVar[dict[Any, PtrKind]] = {}

    def __init__(self, element: Any) -> None:
        self.element = element

    @classmethod
    def to(cls, element: Any) -> PtrKind:
        """The type of pointers to `element`."""
        return cls._known.setdefault(element, cls(element))

    def __call__(self, *arguments: Any) -> Ptr[Any]:
        """`Ptr[T](T, address)` is `Ptr(T, address)`."""
        return Ptr(*arguments)

    def __repr__(self) -> str:
        return f"Ptr[{name_of(self.element)}]"


def name_of(kind: Any) -> str:
    """How `kind` is written in an annotation."""
    return "i64" if kind is int else kind.__name__ if isinstance(kind, type) else repr(kind)


def address_of(reference: Any) -> int:
    """The address of a pointer or of a reference to a struct."""
    return cast("int", reference.address if isinstance(reference, Ptr) else reference._kernel_address)


def size_of(kind: Any) -> int:
    """The bytes that an element of type `kind` takes in memory. Not a kernel function."""
    return codec_of(kind).size


# Builtins


def is_null(pointer: Any) -> bool:
    """Whether a pointer, or a reference to a struct, has the address 0."""
    return address_of(pointer) == 0


def pointer(kind: type[T], address: int) -> Ptr[T]:
    """A pointer to elements of type `kind` at `address`."""
    return Ptr(kind, address)


def local(kind: type[T], count: int) -> Ptr[T]:
    """`count` zeroed elements, a constant, that live until the kernel function returns.

    In CPython they live as long as a pointer to them is in a variable, or in such memory itself.
    """
    block = Block(size_of(kind) * count)
    return Ptr(kind, block.address, block)


def load(kind: type[T], pointer: Ptr[int]) -> T:
    """The unsigned integer of type `kind`, little-endian, in the width / 8 bytes at `pointer`, aligned or not."""
    return cast("T", int.from_bytes(ctypes.string_at(pointer.address, width(kind) // 8), "little"))


def store(kind: type[T], pointer: Ptr[int], value: T) -> None:
    """Write an unsigned integer of type `kind` as `load` reads it."""
    size = width(kind) // 8
    ctypes.memmove(pointer.address, cast("int", value).to_bytes(size, "little"), size)


def copy(destination: Ptr[int], source: Ptr[int], size: int) -> None:
    """Copy `size` bytes; the ranges may overlap."""
    ctypes.memmove(destination.address, source.address, size)


def fill(destination: Ptr[int], byte: int, size: int) -> None:
    """Write `byte` to `size` bytes."""
    ctypes.memset(destination.address, byte, size)


def view(pointer: Ptr[int], size: int) -> bytes:
    """The `size` bytes at `pointer`, to be read only. CPython copies them, so they must not change while in use."""
    made = _View(ctypes.string_at(pointer.address, size))
    made.origin = pointer
    return made


def start(view: bytes) -> Ptr[int]:
    """A pointer to the first byte of a view. To a Python `bytes`, it is valid as long as the pointer lives."""
    if isinstance(view, _View):
        return view.origin
    address = ctypes.cast(ctypes.c_char_p(view), ctypes.c_void_p).value
    return Ptr(_u8(), address or 0, view)


class _View(bytes):
    """Bytes that remember where they came from, so that `start(view(p, n))` is `p`."""

    origin: Ptr[int]


def _u8() -> Any:
    from . import u8

    return u8


class Table(tuple[int, ...]):
    """A constant table of integers of type `kind`, which kernels index with `K[i]`."""

    kind: Any


def table(kind: type[int], values: Iterable[int]) -> Table:
    """The constant table of `values`, for a name of a module.

    `PRIMES: Final = table(u32, (2, 3, 5))` is indexed as `PRIMES[i]`.
    Raises `ValueError` for a value that is not of type `kind`.
    """
    made = Table(values)
    made.kind = kind
    limit = 1 << width(kind)
    for value in made:
        if not 0 <= value < limit:
            raise ValueError(f"{value} is not a {kind!r}")
    return made


# How values lie in memory


class Block:
    """Zeroed memory of `size` bytes. It keeps alive the memory that pointers stored in it point to."""

    def __init__(self, size: int) -> None:
        self._memory = (ctypes.c_char * max(size, 1))()
        self.address = ctypes.addressof(self._memory)
        self._held: dict[int, object] = {}

    @staticmethod
    def hold(owner: object, address: int, held: object) -> None:
        """Remember that `owner`'s memory points to memory of `held` at `address`, if `owner` is a `Block`."""
        if isinstance(owner, Block):
            if held is None or held is owner:
                owner._held.pop(address, None)
            else:
                owner._held[address] = held


class Codec:
    """How values of one type are read from memory and written to it. `size` and `alignment` are in bytes."""

    size = 8
    alignment = 8

    def read(self, address: int, owner: object) -> Any:
        """The value at `address`."""
        raise NotImplementedError

    def write(self, address: int, value: Any, owner: object) -> None:
        """Put `value` at `address`, which is inside memory of `owner`."""
        raise NotImplementedError


class IntegerCodec(Codec):
    """Integers. Writing one that does not fit raises `OverflowError`: the kernel should have masked it."""

    def __init__(self, bits: int, signed: bool) -> None:
        self.bytes, self.signed = bits // 8, signed
        self.size = self.bytes if self.bytes < 8 else -(-self.bytes // 8) * 8
        self.alignment = min(self.size, 8)
        self.padding = bytes(self.size - self.bytes)

    def read(self, address: int, owner: object) -> int:
        """The integer at `address`."""
        return int.from_bytes(ctypes.string_at(address, self.bytes), "little", signed=self.signed)

    def write(self, address: int, value: int, owner: object) -> None:
        """Write `value`, zero-extended to the size."""
        data = value.to_bytes(self.bytes, "little", signed=self.signed) + self.padding
        ctypes.memmove(address, data, self.size)


class BoolCodec(Codec):
    """A byte that is 0 or 1."""

    size = alignment = 1

    def read(self, address: int, owner: object) -> bool:
        """Whether the byte at `address` is not 0."""
        return ctypes.string_at(address, 1) != b"\0"

    def write(self, address: int, value: bool, owner: object) -> None:
        """Write 1 if `value` is true."""
        ctypes.memset(address, bool(value), 1)


class PointerCodec(Codec):
    """Pointers, which `make` turns from an address and an owner into `Ptr` or into references to structs."""

    def __init__(self, make: Callable[[int, object], Any]) -> None:
        self.make = make

    def read(self, address: int, owner: object) -> Any:
        """The pointer at `address`. It keeps `owner` alive, whose memory may hold what it points to."""
        return self.make(int.from_bytes(ctypes.string_at(address, 8), "little"), owner)

    def write(self, address: int, value: Any, owner: object) -> None:
        """Write the address of `value`."""
        ctypes.memmove(address, address_of(value).to_bytes(8, "little"), 8)
        Block.hold(owner, address, value.owner if isinstance(value, Ptr) else value._kernel_owner)


class StructCodec(Codec):
    """Structs in an array: reading one gives a reference."""

    def __init__(self, cls: Any) -> None:
        self.size, self.refer = cls.size, cls.at

    def read(self, address: int, owner: object) -> Any:
        """A reference to the struct at `address`."""
        return self.refer(address, owner)

    def write(self, address: int, value: Any, owner: object) -> None:
        """Structs are not values: their fields are written."""
        raise TypeError("a struct cannot be assigned to an element: assign its fields, or use `copy`")


class FunctionKind:
    """What `Callable[[parameters], result]` is as the type of a field: the address of a C function.

    `result` is None where the function returns nothing.
    """

    def __init__(self, annotation: Any) -> None:
        *parameters, result = get_args(annotation)
        flat = parameters[0] if len(parameters) == 1 and isinstance(parameters[0], list) else parameters
        self.parameters: tuple[Any, ...] = tuple(flat)
        self.result = None if result is type(None) else result

    @functools.cached_property
    def prototype(self) -> Any:
        """The ctypes type of such functions."""
        types: list[Any] = [None if it is None else _c_type(it) for it in (self.result, *self.parameters)]
        return ctypes.CFUNCTYPE(*types)

    def __repr__(self) -> str:
        return f"Callable[[{', '.join(map(name_of, self.parameters))}], {name_of(self.result)}]"


class FunctionCodec(Codec):
    """C functions. A Python function that is written becomes one, and is kept for good."""

    _callbacks: ClassVar[dict[Any, Any]] = {}

    def __init__(self, kind: FunctionKind) -> None:
        self.kind = kind

    def read(self, address: int, owner: object) -> Callable[..., Any]:
        """The function whose address is at `address`: it takes and returns what kernels use."""
        function = self.kind.prototype(int.from_bytes(ctypes.string_at(address, 8), "little"))
        restore = _from_c(self.kind.result)
        return lambda *arguments: restore(function(*map(_to_c, arguments)))

    def write(self, address: int, value: Any, owner: object) -> None:
        """Write a ctypes function, a Python function, or an address."""
        if isinstance(value, FunctionType):
            value = self.callback(value)
        target = value if isinstance(value, int) else ctypes.cast(value, ctypes.c_void_p).value or 0
        ctypes.memmove(address, target.to_bytes(8, "little"), 8)

    def callback(self, function: Callable[..., Any]) -> Any:
        """The C function that calls `function`."""
        if (function, self.kind) not in self._callbacks:
            take = [_from_c(it) for it in self.kind.parameters]

            def call(*arguments: Any) -> Any:
                return _to_c(function(*(make(it) for make, it in zip(take, arguments, strict=True))))

            self._callbacks[function, self.kind] = self.kind.prototype(call)
        return self._callbacks[function, self.kind]


def _c_type(kind: Any) -> Any:
    if kind is bool:
        return ctypes.c_bool
    if kind is int:
        return ctypes.c_int64
    if isinstance(kind, PtrKind) or is_struct(kind):
        return ctypes.c_void_p
    types = {8: ctypes.c_uint8, 16: ctypes.c_uint16, 32: ctypes.c_uint32, 64: ctypes.c_uint64}
    if width(kind) not in types:
        raise TypeError(f"C functions take and return integers of at most 64 bits, not {kind!r}")
    return types[width(kind)]


def _to_c(value: Any) -> Any:
    return value if value is None or isinstance(value, int) else address_of(value)


def _from_c(kind: Any) -> Callable[[Any], Any]:
    if isinstance(kind, PtrKind):
        return lambda address: Ptr(kind.element, address or 0)
    if is_struct(kind):
        return lambda address: kind.at(address or 0)
    return lambda value: value


def is_struct(kind: Any) -> bool:
    """Whether `kind` is a struct class."""
    return getattr(kind, "__kernel_struct__", False) is True


@functools.cache
def codec_of(kind: Any) -> Codec:
    """How elements of type `kind` lie in memory. Raises `TypeError` for what has no place there."""
    if kind is bool:
        return BoolCodec()
    if kind is int:  # what `i64` is at run time
        return IntegerCodec(64, signed=True)
    if isinstance(kind, PtrKind):
        return PointerCodec(functools.partial(Ptr, kind.element))
    if isinstance(kind, FunctionKind):
        return FunctionCodec(kind)
    if is_struct(kind):
        return StructCodec(kind)
    return IntegerCodec(width(kind), signed=False)


@functools.cache
def field_codec_of(kind: Any) -> Codec:
    """How fields of type `kind` lie in a struct: as elements do, but a struct is a pointer to one."""
    return PointerCodec(kind.at) if is_struct(kind) else codec_of(kind)
