"""Compiled objects on disk, so that a computer compiles each of them once.

To load an object is to execute it. So the folder belongs to the user alone, and each file carries a code
(HMAC-SHA256) made with a secret of that user: one that was altered, cut short, renamed or put there by somebody else
is deleted and compiled again. Packages that compile keep their objects here, and `vmloom cache` shows and deletes
them. Imports nothing heavy, and knows nothing of compilers.
"""

from __future__ import annotations

import contextlib
import hashlib
import hmac
import os
import stat
import struct
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

try:
    import fcntl
except ImportError:  # Windows: two processes may compile the same object side by side, and the last one's stays
    fcntl = None  # type: ignore[assignment]

FOLDER_VARIABLE: Final = "VMLOOM_CACHE_DIR"
DEFAULT_LIMIT: Final = 256 << 20

_MAGIC: Final = b"vmloom object\n"
_VERSION: Final = 1
_HEAD: Final = struct.Struct("<14sHIQ64s32s")
"""Magic, version, bytes of the label, bytes of the object, key in hexadecimal, code. Label and object follow."""
_OTHER_SUFFIXES: Final = (".lock", ".tmp")
_SECRET: Final = "secret"
_LABEL_LIMIT: Final = 1_000
_MARGIN: Final = 16
"""This part of the limit is kept free where files are added: looking at all of them for each new one is slow."""
_WRITERS: Final = 4
"""Processes that may fill what is free side by side before any of them looks how much is left."""
_ABANDONED: Final = 3600.0
"""Seconds after which a temporary file or a lock is left over from a process that died."""
_PATIENCE: Final = 60.0
"""Seconds to wait for another process that compiles the same object."""

_said: set[tuple[str, Path, str]] = set()
"""Warnings that this process has given."""


@dataclass(frozen=True, slots=True)
class Entry:
    """An object in the cache: its key, what it is, its size in bytes, and when it was last used (Unix time)."""

    key: str
    label: str
    size: int
    used: float


def default_folder() -> Path:
    """Where objects are kept: below `$VMLOOM_CACHE_DIR`, else where this system keeps a user's caches.

    Raises `RuntimeError` where the user has no home.
    """
    named = os.environ.get(FOLDER_VARIABLE)
    if named:
        return Path(named).absolute() / "objects"
    if sys.platform == "win32":
        parent = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        parent = Path.home() / "Library" / "Caches"
    else:
        # The XDG base directory specification says that paths which are not absolute are to be ignored.
        named = os.environ.get("XDG_CACHE_HOME", "")
        parent = Path(named) if Path(named).is_absolute() else Path.home() / ".cache"
    return parent / "vmloom" / "objects"


class ObjectCache:
    """Objects by key in one folder, for any number of processes and threads at once.

    Never raises for the state of the disk: what cannot be read is not there, what cannot be written is not kept,
    and a folder that others may write to is not used. `problem` says why, where that is so.

    Attributes:
        folder: Where the objects are.
        limit_bytes: What objects of this kind take together; many processes that fill the folder at once may go a
            little beyond it.
        problem: Why nothing is kept; empty if all is well.
        rejected: How many files were not what they should be, and deleted.
    """

    def __init__(self, folder: Path | None = None, limit_bytes: int = DEFAULT_LIMIT, *, kind: str = "object") -> None:
        """Use `folder` (made when first needed) and keep at most `limit_bytes` of this `kind` in it.

        The kind, a few lowercase letters, ends the names of files. Each has its own limit, so that many small objects
        of one cannot push out those of another that took long to make. Raises `ValueError` for one that is no kind.
        """
        self._suffix = f".{kind}"
        if not (kind.isascii() and kind.isalpha() and kind.islower()) or self._suffix in _OTHER_SUFFIXES:
            raise ValueError(f"a kind is a few lowercase letters, not {kind!r}")
        self.limit_bytes = limit_bytes
        self.problem = ""
        self.rejected = 0
        self._spare = 0
        try:
            self.folder = folder if folder is not None else default_folder()
        except RuntimeError as cause:
            self.folder = Path()
            self._refuse(str(cause))

    # What it is for

    def get(self, key: str) -> bytes | None:
        """The object, or None if there is none that can be trusted. It counts as used now."""
        path = self._path(key)
        try:
            secret = self._opened(create=False)
            head, label, content = _read(path)
            expected = _code(secret, key, label, content)
        except _Refused as cause:
            self._refuse(str(cause))
            return None
        except _Malformed as cause:
            self.reject(key, str(cause))
            return None
        except OSError:
            return None
        if head.key != key or not hmac.compare_digest(head.code, expected):
            self.reject(key, "it is not what this user has put there")
            return None
        with contextlib.suppress(OSError):
            os.utime(path)
        return content

    def put(self, key: str, content: bytes, label: str = "") -> bool:
        """Keep an object under `key`, described for people by `label`. False if that was not possible."""
        path = self._path(key)
        described = label.encode()[:_LABEL_LIMIT]
        try:
            secret = self._opened(create=True)
            code = _code(secret, key, described, content)
            head = _HEAD.pack(_MAGIC, _VERSION, len(described), len(content), key.encode(), code)
            _write(path, head + described + content)
        except _Refused as cause:
            self._refuse(str(cause))
            return False
        except OSError as cause:
            structlog = sys.modules.get("structlog")
            if structlog is not None and structlog.is_configured():  # all works, so a program is told if it listens
                _warn_once("object cache cannot be written to", self.folder, cause.strerror or str(cause))
            return False
        self._spare -= _HEAD.size + len(described) + len(content)
        if self._spare < 0:
            self._shrink(self.limit_bytes - self.limit_bytes // _MARGIN, keep=key)
        return True

    def reject(self, key: str, reason: str) -> None:
        """Delete an object that is of no use, such as one that cannot be loaded, and log why."""
        path = self._path(key)
        _removed(path)
        self.rejected += 1
        _log().warning("object cache: file rejected and deleted", path=str(path), reason=reason)

    @contextlib.contextmanager
    def writing(self, key: str) -> Iterator[None]:
        """Hold off other processes that want to make the same object. Look again with `get` when inside.

        Only saves work: where locks are not to be had, or a process does not let go, it is entered all the same.
        """
        path = self._path(key).with_suffix(".lock")
        if fcntl is None:
            yield
            return
        descriptor = -1
        try:
            with contextlib.suppress(OSError, _Refused):
                self._opened(create=True)
                descriptor = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o600)
                _wait_for(descriptor)
            yield
        finally:
            if descriptor >= 0:
                # Whoever waits for the file that goes away here finds the object when it is let in.
                with contextlib.suppress(OSError):
                    path.unlink()
                os.close(descriptor)

    # What is in it

    def entries(self) -> list[Entry]:
        """What is there, of every kind, last used first. Labels are as found: nothing is verified before it is used."""
        found = []
        for path, status in self._objects():
            try:
                with path.open("rb") as file:
                    head = _Head(file.read(_HEAD.size))
                    label = file.read(min(head.label_size, _LABEL_LIMIT)).decode(errors="replace")
            except (OSError, _Malformed):
                label = "?"
            printable = "".join(letter if letter.isprintable() else "?" for letter in label)
            found.append(Entry(path.stem, printable, status.st_size, status.st_mtime))
        return sorted(found, key=lambda entry: (-entry.used, entry.key))

    def clear(self) -> int:
        """Delete all objects of every kind. Returns how many. The secret stays, for the processes that go on."""
        removed = sum(_removed(path) for path, _ in self._objects())
        for suffix in _OTHER_SUFFIXES:
            for path, _ in self._files(suffix):
                _removed(path)
        return removed

    def prune(self) -> int:
        """Delete what was used longest ago of this kind until the rest is within the limit. Returns how many."""
        return self._shrink(self.limit_bytes)

    def _shrink(self, target: int, keep: str = "") -> int:
        """Delete until there are no more than `target` bytes, and what was left behind; never `keep`."""
        now = time.time()
        for suffix in _OTHER_SUFFIXES:
            for path, status in self._files(suffix):
                if now - status.st_mtime > _ABANDONED:
                    _removed(path)
        files = sorted(self._files(self._suffix), key=lambda file: file[1].st_mtime)
        total, removed = sum(status.st_size for _, status in files), 0
        for path, status in files:
            if total <= target:
                break
            if path.stem != keep:
                removed += _removed(path)
                total -= status.st_size
        self._spare = max(0, self.limit_bytes - total) // _WRITERS
        return removed

    # The folder

    def _path(self, key: str) -> Path:
        if len(key) != 64 or not set(key) <= set("0123456789abcdef"):
            raise ValueError(f"a key is 64 hexadecimal digits, not {key!r}")
        return self.folder / (key + self._suffix)

    def _objects(self) -> list[tuple[Path, os.stat_result]]:
        """Objects of every kind."""
        found = self._files("")
        return [file for file in found if len(file[0].stem) == 64 and file[0].suffix not in ("", *_OTHER_SUFFIXES)]

    def _files(self, suffix: str) -> list[tuple[Path, os.stat_result]]:
        """Regular files of the folder that end so, with what is known of them. None in a folder that is not ours."""
        if not self._is_ours():
            return []
        found = []
        with contextlib.suppress(OSError), os.scandir(self.folder) as items:
            for item in items:
                with contextlib.suppress(OSError):
                    if item.name.endswith(suffix) and item.is_file(follow_symlinks=False):
                        found.append((Path(item.path), item.stat(follow_symlinks=False)))
        return found

    def _is_ours(self) -> bool:
        try:
            if not self.problem:
                _check_folder(self.folder)
        except _Refused as cause:
            self._refuse(str(cause))
        except OSError:
            return False
        return not self.problem

    def _opened(self, *, create: bool) -> bytes:
        """The secret, after checks of the folder.

        Raises `_Refused`, and `OSError` where there is nothing (without `create`) or nothing can be made.
        """
        if self.problem:
            raise _Refused(self.problem)
        if create:
            self.folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            with contextlib.suppress(FileExistsError):
                self.folder.mkdir(mode=0o700)
        _check_folder(self.folder)
        return _secret_of(self.folder, create=create)

    def _refuse(self, problem: str) -> None:
        """Say why there is no cache, and do without."""
        if not self.problem:
            self.problem = problem
            _warn_once("object cache not used", self.folder, problem)


# Files


class _Refused(Exception):
    """The folder cannot be trusted or used; the message says why."""


class _Malformed(Exception):
    """A file that is none of ours, with the reason."""


class _Head:
    """The head of a file. Raises `_Malformed`."""

    def __init__(self, data: bytes) -> None:
        if len(data) != _HEAD.size:
            raise _Malformed("it is cut short")
        magic, version, self.label_size, self.content_size, key, self.code = _HEAD.unpack(data)
        if (magic, version) != (_MAGIC, _VERSION):
            raise _Malformed("it is of another format")
        self.key = key.decode("ascii", "replace")


def _read(path: Path) -> tuple[_Head, bytes, bytes]:
    """Head, label and content of a file. Raises `_Malformed`, `OSError`, `_Refused`."""
    with _open(path) as file:
        data = file.read()
    head = _Head(data[: _HEAD.size])
    start = _HEAD.size + head.label_size
    if len(data) != start + head.content_size:
        raise _Malformed("it is cut short")
    return head, data[_HEAD.size : start], data[start:]


def _open(path: Path) -> Any:
    """Open a file for reading, if it is a regular file of this user and no link. Raises `_Malformed`, `OSError`."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        descriptor = os.open(path, flags)
    except OSError:
        if path.is_symlink():
            raise _Malformed("it is a link") from None
        raise
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode) or not _owned(status):
        os.close(descriptor)
        raise _Malformed("it is no file of this user")
    return os.fdopen(descriptor, "rb")


def _write(path: Path, data: bytes) -> None:
    """Put a file in place at once, so that nobody ever reads a part of it. Raises `OSError`."""
    descriptor, name = _temporary(path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
        Path(name).replace(path)
    except BaseException:
        _removed(Path(name))
        raise


def _temporary(folder: Path) -> tuple[int, str]:
    """A new file that only this user may read, open for writing. Raises `OSError`."""
    import tempfile  # brings much with it that a warm start does not need

    return tempfile.mkstemp(dir=folder, suffix=".tmp")


def _removed(path: Path) -> bool:
    try:
        path.unlink()
    except OSError:
        return False
    return True


def _code(secret: bytes, key: str, label: bytes, content: bytes) -> bytes:
    head = _HEAD.pack(_MAGIC, _VERSION, len(label), len(content), key.encode(), bytes(32))
    code = hmac.new(secret, head, hashlib.sha256)
    code.update(label)
    code.update(content)
    return code.digest()


# Trust


def _owned(status: os.stat_result) -> bool:
    return not hasattr(os, "geteuid") or status.st_uid == os.geteuid()


def _check_folder(folder: Path) -> None:
    """Raises `_Refused` for a folder in which others could have put something, `OSError` if there is none."""
    status = folder.lstat()
    if stat.S_ISLNK(status.st_mode):
        raise _Refused("the folder is a symbolic link")
    if not stat.S_ISDIR(status.st_mode):
        raise _Refused("it is no folder")
    if not _owned(status):
        raise _Refused("the folder belongs to another user")
    if hasattr(os, "geteuid") and status.st_mode & 0o022:
        raise _Refused(f"others may write to the folder (mode {stat.S_IMODE(status.st_mode):04o}): chmod 700")


def _secret_of(folder: Path, *, create: bool) -> bytes:
    """The user's secret, 32 bytes. Raises `_Refused`, `OSError`; `FileNotFoundError` without `create`."""
    path = folder / _SECRET
    for _ in range(3):
        try:
            with _open(path) as file:
                secret: bytes = file.read()
                mode = os.fstat(file.fileno()).st_mode
        except FileNotFoundError:
            if not create:
                raise
            _make_secret(path)
            continue
        except _Malformed as cause:
            raise _Refused(f"{_SECRET}: {cause}") from None
        if hasattr(os, "geteuid") and mode & 0o077:
            raise _Refused(f"others may read {_SECRET} (mode {stat.S_IMODE(mode):04o}): delete it")
        if len(secret) == 32:
            return secret
        _removed(path)  # what was written with it is rejected from now on, and compiled again
        if not create:
            raise FileNotFoundError(path)
    raise _Refused(f"{_SECRET} cannot be made")


def _make_secret(path: Path) -> None:
    """Put a new secret in place, unless another process was first: all must end up with the same."""
    descriptor, name = _temporary(path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.urandom(32))
        try:
            os.link(name, path)  # fails if it is there, which `replace` would not
        except FileExistsError:
            return
        except (OSError, AttributeError, NotImplementedError):  # file systems without hard links
            if not path.exists():
                Path(name).replace(path)
    finally:
        _removed(Path(name))


def _wait_for(descriptor: int) -> None:
    """Take the lock of an open file, or give up after a while. Raises `OSError` where there are no locks."""
    deadline = time.monotonic() + _PATIENCE
    while time.monotonic() < deadline:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return


def _warn_once(event: str, folder: Path, reason: str) -> None:
    """Say it, but not again for each of the objects that an engine needs."""
    if (event, folder, reason) not in _said:
        _said.add((event, folder, reason))
        _log().warning(event, folder=str(folder), reason=reason)


def _log() -> Any:
    import structlog  # costs more to import than all the rest; only what goes wrong needs it

    return structlog.get_logger("vmloom")
