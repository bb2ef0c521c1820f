"""Structs of the kernel language: classes whose annotated names are fields in memory, and whose instances refer to it.

Their layout is that of `memory`: fields in the order of declaration, each at a multiple of its alignment.
"""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar, cast, get_origin

from .memory import FunctionKind, Ptr, PtrKind, address_of, codec_of, field_codec_of

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Field:
    """Where a field of a struct is, `offset` bytes from its start, and the type of what reading it gives.

    `count` is 0, or the number of elements of an embedded array; `kind` is `Ptr[element]` then.
    """

    name: str
    offset: int
    kind: Any
    count: int


@dataclass(frozen=True, slots=True)
class Embedded:
    """The default value of a field that is an array inside its struct."""

    count: int


def embedded(count: int) -> Any:
    """Make a field annotated `Ptr[T]` an array of `count` elements inside the struct, 1 and up."""
    if count < 1:
        raise ValueError(f"an embedded array has at least 1 element, got {count}")
    return Embedded(count)


def struct(cls: type[T]) -> type[T]:
    """Make `cls` a struct: its annotated names become fields, and its instances references to a place in memory.

    The class gets `size` (bytes), `fields` (name to `Field`), `at(address, owner=None)`, which makes a reference, and
    `__kernel_struct__`; references get `address`, unless a field has that name. mypy does not see what decorators
    add: for it there are `size_of`, `fields_of`, `address_of`, and `Ptr(cls, address)[0]` to make a reference.
    Functions, properties and class variables stay. Annotations are resolved when the layout is first needed, so
    structs may refer to each other. Raises `TypeError` if a base class is a struct.
    """
    if any(isinstance(base, StructClass) for base in cls.__bases__):
        raise TypeError(f"struct {cls.__name__} inherits from a struct")
    scope = sys._getframe(1)
    names = {} if scope.f_locals is scope.f_globals else dict(scope.f_locals)
    layout = Layout(cls, scope.f_globals, names)
    gone = (*layout.declared, "__dict__", "__weakref__")
    body = {name: it for name, it in vars(cls).items() if name not in gone}
    body |= {name: Attribute(name, layout) for name in layout.declared}
    body |= {"__slots__": ("_kernel_address", "_kernel_owner"), "__kernel_struct__": True, "__kernel_layout__": layout}
    body.setdefault("address", property(address_of, doc="Where in memory the struct is."))
    meta = StructClass if type(cls) is type else type("StructClass", (StructClass, type(cls)), {})
    layout.cls = meta(cls.__name__, cls.__bases__, body)
    return cast("type[T]", layout.cls)


def fields_of(cls: type) -> Mapping[str, Field]:
    """The fields of a struct by name, in the order of declaration. Not a kernel function."""
    return cast("Layout", cls.__kernel_layout__).fields  # type: ignore[attr-defined]


class StructClass(type):
    """The type of structs. Its attributes are not in the way of fields of the same names."""

    @property
    def size(cls) -> int:
        """The struct's size in bytes."""
        return cast("Layout", cls.__kernel_layout__).size  # type: ignore[attr-defined]

    @property
    def fields(cls) -> Mapping[str, Field]:
        """The fields by name, in the order of declaration."""
        return fields_of(cls)

    @property
    def at(cls) -> Callable[..., Any]:
        """`at(address, owner=None)`: a reference to the struct at `address`; it keeps `owner` alive."""

        def at(address: int, owner: object = None) -> Any:
            reference: Any = object.__new__(cast("type", cls))
            reference._kernel_address, reference._kernel_owner = address, owner
            return reference

        return at

    def __call__(cls, *arguments: Any) -> Any:
        """Structs are not made, they are referred to."""
        raise TypeError(f"{cls.__name__} is a struct: {cls.__name__}.at(address) refers to one in memory")


class Layout:
    """Where the fields of a struct are; computed when it is first asked for."""

    def __init__(self, cls: type, module: dict[str, Any], names: Mapping[str, Any]) -> None:
        """`module` and `names`: what the annotations may name, looked up when the layout is computed."""
        annotations = inspect.get_annotations(cls)
        self.cls, self.module, self.names = cls, module, names
        self.declared = {name: it for name, it in annotations.items() if "ClassVar" not in str(it)}
        self.defaults = {name: cls.__dict__[name] for name in self.declared if name in cls.__dict__}
        self._computed: tuple[dict[str, Field], int] | None = None

    @property
    def fields(self) -> dict[str, Field]:
        """The fields by name."""
        return self._compute()[0]

    @property
    def size(self) -> int:
        """The size in bytes."""
        return self._compute()[1]

    def _compute(self) -> tuple[dict[str, Field], int]:
        if self._computed is None:
            fields: dict[str, Field] = {}
            offset = 0
            for name in self.declared:
                kind, count = self._kind(name), self._count(name)
                if count and not isinstance(kind, PtrKind):
                    raise TypeError(f"{self.cls.__name__}.{name}: only a field annotated `Ptr[...]` can be embedded")
                try:
                    codec = codec_of(kind.element) if count else field_codec_of(kind)
                except TypeError as error:
                    raise TypeError(f"{self.cls.__name__}.{name}: {error}") from None
                offset = -(-offset // codec.alignment) * codec.alignment
                fields[name] = Field(name, offset, kind, count)
                offset += codec.size * (count or 1)
            self._computed = fields, -(-offset // 8) * 8
        return self._computed

    def _kind(self, name: str) -> Any:
        annotation = self.declared[name]
        if isinstance(annotation, str):
            annotation = eval(annotation, self.module, {**self.names, self.cls.__name__: self.cls})
        return FunctionKind(annotation) if get_origin(annotation) is not None else annotation

    def _count(self, name: str) -> int:
        default = self.defaults.get(name, Embedded(0))
        if not isinstance(default, Embedded):
            raise TypeError(f"{self.cls.__name__}.{name}: a field has no default value but `embedded(n)`")
        return default.count


class Attribute:
    """A field as references show it: reading and writing it go to memory."""

    def __init__(self, name: str, layout: Layout) -> None:
        self.name, self.layout = name, layout

    def __get__(self, reference: Any, owner: type | None = None) -> Any:
        if reference is None:
            return self
        return self.read(reference._kernel_address + self.offset, reference._kernel_owner)

    def __set__(self, reference: Any, value: Any) -> None:
        self.write(reference._kernel_address + self.offset, value, reference._kernel_owner)

    def __getattr__(self, name: str) -> Any:
        """Find out where the field is, once, when that is first needed."""
        if name not in ("offset", "read", "write"):
            raise AttributeError(f"field `{self.name}` has no attribute `{name}`")
        field = self.layout.fields[self.name]
        self.offset = field.offset
        self.read: Callable[[int, object], Any]
        self.write: Callable[[int, Any, object], None]
        if field.count:
            self.read, self.write = partial(Ptr, field.kind.element), self._refuse
        else:
            codec = field_codec_of(field.kind)
            self.read, self.write = codec.read, codec.write
        return getattr(self, name)

    def _refuse(self, address: int, value: Any, owner: object) -> None:
        raise TypeError(f"field `{self.name}` is an embedded array: its elements are assigned, or it is copied to")
