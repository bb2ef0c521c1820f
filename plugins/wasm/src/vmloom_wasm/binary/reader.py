"""Reads the primitive values of the binary format. Core specification 2.0, sections 5.1 and 5.2.

Used by all decoders here. Whatever the bytes are, only `MalformedModule` is raised, and nothing is allocated
that is larger than the bytes read.
"""

from __future__ import annotations

from typing import NoReturn

from vmloom.errors import InvalidCode


class MalformedModule(InvalidCode):
    """Bytes that are no module: the message names the section, if known; `offset` is the byte at fault."""

    def __init__(self, message: str, *, offset: int | None = None, section: str = "") -> None:
        super().__init__(f"{section} section: {message}" if section else message, offset=offset)
        self.section = section


class Reader:
    """A position in `data` that moves on with each value read, up to `end` (by default the end of `data`).

    `base` is added to offsets in errors, for data that are a part of a module; `section` is named in them.
    All methods raise `MalformedModule` if the value is not there or not well-formed.
    """

    __slots__ = ("base", "data", "end", "offset", "section")

    def __init__(
        self, data: bytes, offset: int = 0, end: int | None = None, *, base: int = 0, section: str = ""
    ) -> None:
        self.data = data
        self.offset = offset
        self.end = len(data) if end is None else end
        self.base = base
        self.section = section

    @property
    def at_end(self) -> bool:
        """Whether everything has been read."""
        return self.offset >= self.end

    def fail(self, message: str, at: int | None = None) -> NoReturn:
        """Raise `MalformedModule` for the byte at `at`, by default the next one."""
        raise MalformedModule(message, offset=self.base + (self.offset if at is None else at), section=self.section)

    def u8(self) -> int:
        """Read one byte."""
        if self.offset >= self.end:
            self.fail("ends too early")
        value = self.data[self.offset]
        self.offset += 1
        return value

    def u32(self) -> int:
        """Read an unsigned LEB128 integer of 32 bits. Section 5.2.2."""
        begin = self.offset
        value = shift = 0
        while True:
            byte = self.u8()
            if shift == 28 and byte > 0x0F:
                self.fail("integer has more than 32 bits", begin)
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7

    def s32(self) -> int:
        """Read a signed LEB128 integer of 32 bits."""
        return self._signed(32)

    def s33(self) -> int:
        """Read a signed LEB128 integer of 33 bits, as block types are."""
        return self._signed(33)

    def s64(self) -> int:
        """Read a signed LEB128 integer of 64 bits."""
        return self._signed(64)

    def f32bits(self) -> int:
        """Read the 32 bits of a float, as an integer, so that the payload of a NaN survives."""
        return int.from_bytes(self.take(4), "little")

    def f64bits(self) -> int:
        """Read the 64 bits of a float, as an integer."""
        return int.from_bytes(self.take(8), "little")

    def take(self, size: int) -> bytes:
        """Read `size` bytes."""
        if size > self.end - self.offset:
            self.fail(f"{size} bytes are announced, {max(0, self.end - self.offset)} are left")
        begin = self.offset
        self.offset = begin + size
        return self.data[begin : self.offset]

    def count(self, what: str) -> int:
        """Read the length of a vector, each of whose items, called `what`, takes a byte at least."""
        begin = self.offset
        count = self.u32()
        if count > self.end - self.offset:
            self.fail(f"{count} {what} are announced, but {self.end - self.offset} bytes are left", begin)
        return count

    def name(self) -> str:
        """Read a name: its length in bytes and as much UTF-8. Section 5.2.4."""
        begin = self.offset
        try:
            return self.take(self.u32()).decode()
        except UnicodeDecodeError:
            self.fail("name is not UTF-8", begin)

    def _signed(self, bits: int) -> int:
        begin = self.offset
        value = shift = 0
        while True:
            byte = self.u8()
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                break
            if shift >= bits:
                self.fail(f"integer has more than {bits} bits", begin)
        if byte & 0x40:
            value -= 1 << shift
        # The last byte may have room for more bits than the type; they must repeat the sign.
        if not -(1 << bits - 1) <= value < 1 << bits - 1:
            self.fail(f"integer has more than {bits} bits", begin)
        return value
