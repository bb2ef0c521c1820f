"""Machine code of kernel functions, ready to call: from this process, from the cache, or made now.

Engines and accelerators call `compiled`. What the code depends on goes into a key, so that a warm start runs no part of
the compiler; the front end included, which is the slower half.
"""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from types import FunctionType, ModuleType
from typing import TYPE_CHECKING, Any, Final

from vmloom.hookspecs import STDERR_IS_DATA
from vmloom.object_cache import ObjectCache
from vmloom.object_keys import key_of, source_digest

from .llvm import process_triple, processor, processor_features

if TYPE_CHECKING:
    from .library import Library

NOTICE_AFTER: Final = 0.5
"""Seconds of compiling after which the command line says so."""

_libraries: dict[str, Library] = {}
_locks: dict[str, threading.Lock] = {}


def kernel_digest(*functions: Callable[..., Any]) -> bytes:
    """SHA-256 of all that the IR of kernel functions can depend on, besides what `host` has.

    That is the source of their modules, of the modules whose functions, classes and constants those use, and so on; and
    the constants themselves, for where an integer was imported from cannot be seen.

    Raises `ModuleNotFoundError` if one of the modules has no source file.
    """
    modules: dict[str, None] = {}
    first = {function.__module__: None for function in functions}
    open_ = dict(first)
    constants = hashlib.sha256()
    while open_:
        name = open_.popitem()[0]
        if name in modules or (name not in first and _is_known(name)):
            continue
        modules[name] = None
        if getattr(sys.modules.get(name), "__spec__", None) is None:
            raise ModuleNotFoundError(f"module {name!r} has no source file", name=name)
        for key, value in sorted(vars(sys.modules[name]).items()):
            if isinstance(value, ModuleType):
                open_[value.__name__] = None
            elif isinstance(value, (FunctionType, type)):
                open_[value.__module__] = None
            elif isinstance(value, int) or (isinstance(value, tuple) and all(isinstance(it, int) for it in value)):
                constants.update(f"{name} {key} {value!r} ".encode())
    return source_digest(*sorted(modules)) + constants.digest()


def _is_known(module: str) -> bool:
    """Whether `host` has all of a module."""
    return module.partition(".")[0] in (*sys.stdlib_module_names, "vmloom_native") or f"{module}.".startswith(
        "vmloom.kernel."
    )


@functools.cache
def host() -> bytes:
    """All that machine code depends on besides its source: the processor, the tools and their versions."""
    return bytes.fromhex(
        key_of(
            process_triple(),
            processor(),
            processor_features(),
            importlib.metadata.version("llvmlite"),
            sys.implementation.name,
            ".".join(map(str, sys.version_info)),
            source_digest("vmloom.kernel", "vmloom_native"),
        )
    )


def compiled(
    parts: Iterable[str | bytes | int] | None,
    make_ir: Callable[[], str],
    *,
    subject: str,
    level: int = 2,
    vectorised: bool = False,
    cache: ObjectCache | None = None,
) -> Library:
    """The library for the IR that `make_ir` would make, which is called only where nothing has been kept.

    `parts` are all that the IR depends on besides `host`: a `source_digest` of the modules of the kernels, and the
    options. Without them (`None`) the key is that of the IR itself, which is then made each time: right for kernels
    that do not come from a module's file. `subject` says what it is, for people: `"the EVM for osaka"`. `level` and
    `vectorised` are the compiler's, see `codegen`.

    Threads that ask for the same get the same, compiled once. Raises what `make_ir` raises.
    """
    if parts is None:
        text = make_ir()
        parts, make_ir = ("ir", text), lambda: text
    key = key_of("vmloom-native", host(), level, int(vectorised), *parts)

    def emit() -> bytes:
        from .codegen import emit_object

        return emit_object(make_ir(), level=level, vectorised=vectorised)

    found = _libraries.get(key)
    if found is None:
        with _locks.setdefault(key, threading.Lock()):
            found = _libraries.get(key)
            if found is None:
                found = _libraries[key] = _loaded(key, emit, subject, cache or ObjectCache())
    return found


def _loaded(key: str, emit: Callable[[], bytes], subject: str, cache: ObjectCache) -> Library:
    from .library import Library

    content = cache.get(key)
    if content is None:
        with _announced(subject), cache.writing(key):
            content = cache.get(key)  # while we waited, another process may have made it
            if content is None:
                content = emit()
                cache.put(key, content, subject)
    return Library(content)


def _after_fork() -> None:
    """In a child, locks that another thread of the parent held would never be released."""
    _locks.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)


# What is said meanwhile


@contextmanager
def _announced(subject: str) -> Iterator[None]:
    """Say what is happening: to the log where one is set up, and to whoever waits at the command line."""
    began = time.perf_counter()
    log = _log()
    if log is not None:
        log.info("compiling", subject=subject, reason="not in the object cache")
    notice = _Notice(f"vmloom: compiling {subject} (first use here) ...")
    try:
        with notice:
            yield
    finally:
        if log is not None:
            log.info("compiled", subject=subject, seconds=round(time.perf_counter() - began, 2))


def _log() -> Any:
    """The log, if anybody has set one up. A library is silent otherwise, and structlog would not be."""
    structlog = sys.modules.get("structlog")
    return structlog.get_logger("vmloom") if structlog is not None and structlog.is_configured() else None


class _Notice:
    """A line on stderr while something takes long, within a command of the command line; nothing anywhere else.

    On a terminal it goes away afterwards. Where programs read stderr it is only for terminals.
    """

    def __init__(self, text: str) -> None:
        self._text = text
        self._guard = threading.Lock()
        self._over = False
        self._status: Any = None
        self._timer = threading.Timer(NOTICE_AFTER, self._show)
        self._timer.daemon = True

    def __enter__(self) -> None:
        click = sys.modules.get("click")
        context = click.get_current_context(silent=True) if click is not None else None
        if context is not None and (sys.stderr.isatty() or not context.meta.get(STDERR_IS_DATA)):
            self._timer.start()

    def __exit__(self, *_details: object) -> None:
        self._timer.cancel()
        with self._guard:
            self._over = True
            if self._status is not None:
                self._status.stop()

    def _show(self) -> None:
        if not sys.stderr.isatty():
            with self._guard:
                if not self._over:
                    print(self._text, file=sys.stderr, flush=True)
            return
        from rich.console import Console
        from rich.text import Text

        with self._guard:
            if not self._over:
                self._status = Console(stderr=True, highlight=False).status(Text(self._text))
                self._status.start()
