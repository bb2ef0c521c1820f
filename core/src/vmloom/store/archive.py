"""One version of a store as a file: to move it, to keep it, or to begin another store with it.

docs/reference/state-files.md describes the format. What is read comes from outside: every entry is checked, and a store
has either all of a file that is right or nothing.
"""

from __future__ import annotations

import gzip
import hashlib
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from struct import Struct
from typing import IO, Final

from ..errors import InputError, StateError
from ..hashing import keccak256
from .encoding import ACCOUNT, CHAIN, CODE, EMPTY_CODE_HASH, RECORD, SLOT, TRIE, decode_account, read_record
from .interface import Store, StoreView

NAME: Final = b"vmloom-state "
FORMAT: Final = b"1"
LONGEST_VALUE: Final = 1 << 26
"""Bytes of a value that are read; the longest that are written are codes and blocks."""
_SIZES: Final = Struct(">BI")
_END: Final = Struct(">BQ")
_COMPRESSED: Final = b"\x1f\x8b"


@dataclass(slots=True)
class Contents:
    """What a file holds: entries in all and by namespace, and the SHA-256 that it ends with, in hexadecimal digits."""

    entries: int = 0
    accounts: int = 0
    codes: int = 0
    slots: int = 0
    records: int = 0
    trie_nodes: int = 0
    chain: int = 0
    sha256: str = ""
    _missing_codes: set[bytes] = field(default_factory=set, repr=False)


def export_state(view: StoreView, path: str | Path) -> Contents:
    """Write the version that `view` shows to the file `path`, compressed if its name ends in `.gz`.

    The file is there when all of it is. Raises `StateError` if it cannot be written.
    """
    target = Path(path)
    partial = target.with_name(target.name + ".partial")
    contents, digest = Contents(), hashlib.sha256()
    try:
        with _opened(partial, "wb", target.suffix == ".gz") as file:

            def put(data: bytes) -> None:
                digest.update(data)
                file.write(data)

            put(NAME + FORMAT + b"\n")
            for key, value in view.scan(b""):
                _count(contents, key)
                put(_SIZES.pack(len(key), len(value)) + key + value)
            put(_END.pack(0, contents.entries))
            file.write(digest.digest())
        partial.replace(target)
    except OSError as error:
        raise StateError(f"{target}: cannot be written: {error.strerror}") from None
    finally:
        with suppress(OSError):
            partial.unlink()
    contents.sha256 = digest.hexdigest()
    return contents


def import_state(store: Store, path: str | Path) -> Contents:
    """Fill the empty `store` from a file that `export_state` wrote; it has the one version 0 then.

    Raises `InputError` for a file that is not one, with the offset (in what is compressed) and the cause, and
    `StateError` for a store that is not empty or cannot be written. The store is empty after either.
    """
    source = Path(path)
    contents = Contents()
    try:
        with source.open("rb") as file:
            is_compressed = file.read(2) == _COMPRESSED
        with _opened(source, "rb", is_compressed) as file:
            store.fill(_Reader(file, str(source), contents).entries())
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise InputError(f"{source}: the compressed data are damaged: {error}") from None
    except OSError as error:
        raise InputError(f"{source}: cannot be read: {error.strerror or error}") from None
    return contents


@contextmanager
def _opened(path: Path, mode: str, is_compressed: bool) -> Iterator[IO[bytes]]:
    with path.open(mode) as file:
        if not is_compressed:
            yield file
            return
        # Neither name nor time: the same state is the same file.
        with gzip.GzipFile("", mode, fileobj=file, mtime=0) as inner:
            yield inner  # type: ignore[misc]  # it is one, less what nobody needs here


class _Reader:
    """Reads the entries of a file, checks them and counts."""

    def __init__(self, file: IO[bytes], name: str, contents: Contents) -> None:
        self._file = file
        self._name = name
        self._contents = contents
        self._digest = hashlib.sha256()
        self._at = 0
        """Where the entry begins that is being read."""
        self._offset = 0

    def error(self, detail: str) -> InputError:
        return InputError(f"{self._name}: offset {self._at:#x}: {detail}")

    def take(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise self.error(f"cut short: {size} bytes announced, {len(data)} there")
        self._digest.update(data)
        self._offset += size
        return data

    def entries(self) -> Iterator[tuple[bytes, bytes]]:
        self.check_header()
        last = b""
        while True:
            self._at = self._offset
            key_size, value_size = self.take(1)[0], 0
            if key_size == 0:
                break
            value_size = int.from_bytes(self.take(4), "big")
            if value_size > LONGEST_VALUE:
                raise self.error(f"a value of {value_size} bytes, at most {LONGEST_VALUE} are read")
            key, value = self.take(key_size), self.take(value_size)
            if key <= last:
                raise self.error(f"key 0x{key.hex()} is not after 0x{last.hex()}")
            last = key
            self.check_entry(key, value)
            yield key, value
        self.check_end()

    def check_header(self) -> None:
        line = self._file.read(len(NAME) + 8).split(b"\n", 1)[0]
        if not line.startswith(NAME):
            raise self.error(f"not a state file, which begins with '{NAME.decode()}'")
        if line != NAME + FORMAT:
            found = line.removeprefix(NAME).decode(errors="replace")
            raise self.error(f"a state file of format {found!r}, this version reads {FORMAT.decode()!r}").with_fix(
                "export it again with the vmloom that reads it"
            )
        self._file.seek(0)
        self.take(len(line) + 1)

    def check_entry(self, key: bytes, value: bytes) -> None:
        _count(self._contents, key, self.error)
        check = _CHECKS.get(key[:1])
        try:
            problem = "" if check is None else check(self._contents, key, value)
        except StateError as error:
            problem = str(error)
        if problem:
            raise self.error(f"key 0x{key.hex()}: {problem}")

    def check_end(self) -> None:
        found = self._contents
        count = int.from_bytes(self.take(8), "big")
        if count != found.entries:
            raise self.error(f"{count} entries announced, {found.entries} there")
        found.sha256 = self._digest.hexdigest()
        digest = self.take(32)
        if digest.hex() != found.sha256:
            raise self.error(f"the SHA-256 of the contents is {found.sha256}, the file says {digest.hex()}")
        if self._file.read(1):
            raise self.error("the file goes on after its end")
        if found._missing_codes:
            code = min(found._missing_codes).hex()
            raise self.error(f"{len(found._missing_codes)} codes of accounts are missing, one is 0x{code}")


def _count(contents: Contents, key: bytes, error: Callable[[str], Exception] = StateError) -> None:
    name = _NAMES.get(key[:1])
    if name is None:
        raise error(f"key 0x{key.hex()}: no namespace begins with 0x{key[:1].hex()}")
    contents.entries += 1
    setattr(contents, name, getattr(contents, name) + 1)


def _check_account(contents: Contents, key: bytes, value: bytes) -> str:
    account = decode_account(value)
    if account.code_hash != EMPTY_CODE_HASH:
        contents._missing_codes.add(account.code_hash)
    return "" if len(key) == 21 else "an address has 20 bytes"


def _check_code(contents: Contents, key: bytes, value: bytes) -> str:
    contents._missing_codes.discard(key[1:])
    return "" if keccak256(value) == key[1:] else f"the code's hash is 0x{keccak256(value).hex()}"


def _check_slot(_: Contents, key: bytes, value: bytes) -> str:
    if len(key) != 53:
        return "an address and a slot have 52 bytes"
    return "" if 0 < len(value) <= 32 and value[0] else f"0x{value[:40].hex()} is no word without leading zeros"


def _check_record(_: Contents, key: bytes, value: bytes) -> str:
    read_record(key, value)
    return ""


_NAMES: Final = {
    ACCOUNT: "accounts",
    CODE: "codes",
    SLOT: "slots",
    RECORD: "records",
    TRIE: "trie_nodes",
    CHAIN: "chain",
}
_CHECKS: Final[dict[bytes, Callable[[Contents, bytes, bytes], str]]] = {
    ACCOUNT: _check_account,
    CODE: _check_code,
    SLOT: _check_slot,
    RECORD: _check_record,
}
