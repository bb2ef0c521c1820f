"""Object code in this process: symbols and their addresses."""

from __future__ import annotations

import ctypes
import functools
from typing import Any


@functools.cache
def _linker() -> Any:
    """LLVM's linker. It lives as long as the process, since code that it loaded may still be running at its end."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding.create_lljit_compiler(use_jit_link=True)


class Library:
    """Loaded object code. Its addresses and functions are valid as long as it lives."""

    _count = 0

    def __init__(self, object_bytes: bytes) -> None:
        from llvmlite import binding

        Library._count += 1
        self._name = f"library{Library._count}"
        builder = binding.JITLibraryBuilder().add_object_img(object_bytes).add_current_process()
        self._tracker = builder.link(_linker(), self._name)
        self._found: dict[str, Any] = {}

    def address(self, name: str) -> int:
        """Where a function is. Raises `KeyError` if there is none of that name."""
        if name not in self._found:
            try:
                self._found[name] = _linker().lookup(self._name, name)
            except RuntimeError as error:
                raise KeyError(name) from error
        return int(self._found[name][name])

    def function(self, name: str, restype: Any, *argtypes: Any) -> Any:
        """A ctypes function, which releases the GIL while it runs. It keeps the library alive."""
        function: Any = ctypes.CFUNCTYPE(restype, *argtypes)(self.address(name))
        function.library = self
        return function
