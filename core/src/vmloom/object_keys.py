"""Keys of compiled objects: digests of all that an object depends on, so that an old one is never taken for a new one.

Packages that compile call this; what they make goes into an `ObjectCache`. Imports nothing of what it looks at.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_STARTED: Final = time.time()


def key_of(*parts: str | bytes | int) -> str:
    """A key that two lists of parts share only if they are equal: 64 hexadecimal digits."""
    digest = hashlib.sha256()
    for part in parts:
        data = part if isinstance(part, bytes) else str(part).encode()
        digest.update(f"{type(part).__name__} {len(data)} ".encode())
        digest.update(data)
    return digest.hexdigest()


def source_digest(*modules: str) -> bytes:
    """SHA-256 of the source of modules, by their full names; of a package, of all that is in it.

    What compiles is the module as it was imported. So where a file has changed since this process
    began, the digest is one that never comes again, and what is compiled now is of use to this process only.

    Raises `ModuleNotFoundError` for a module that is not there or has no file.
    """
    digest = hashlib.sha256()
    for name in modules:
        for path, below in _sources(name):
            data = path.read_bytes()
            digest.update(f"{name} {below} {len(data)} ".encode())
            digest.update(data)
            if _STARTED < path.stat().st_mtime <= time.time():
                digest.update(os.urandom(32))
    return digest.digest()


def _sources(name: str) -> Iterator[tuple[Path, str]]:
    """Source files of a module, each with its path below the module's folder, in an order that does not change."""
    spec = importlib.util.find_spec(name)
    if spec is None:
        raise ModuleNotFoundError(f"no module named {name!r}", name=name)
    folders = [Path(folder) for folder in spec.submodule_search_locations or ()]
    for folder in folders:
        for path in sorted(folder.rglob("*.py")):
            yield path, path.relative_to(folder).as_posix()
    if not folders:
        if not spec.has_location or spec.origin is None:
            raise ModuleNotFoundError(f"module {name!r} has no source file", name=name)
        yield Path(spec.origin), Path(spec.origin).name
