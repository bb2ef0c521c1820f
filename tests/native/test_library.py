"""Object code in this process: found by name, kept as long as it is used, and loaded without llvmlite's Python half."""

from __future__ import annotations

import ctypes
import gc
import subprocess
import sys
import threading
import weakref
from pathlib import Path

import pytest
from vmloom_native.codegen import emit_object, host_header
from vmloom_native.library import Library


def object_of(number: int) -> bytes:
    """Code of `get`, which returns a number, and of `put`, which needs a symbol of the C library."""
    return emit_object(f"""{host_header()}
        define i64 @get() {{
            ret i64 {number}
        }}
        declare ptr @memmove(ptr, ptr, i64)
        define void @put(ptr %to, ptr %from, i64 %size) {{
            %done = call ptr @memmove(ptr %to, ptr %from, i64 %size)
            ret void
        }}
    """)


@pytest.fixture(scope="module")
def seven() -> bytes:
    return object_of(7)


def test_functions_run(seven: bytes) -> None:
    assert Library(seven).function("get", ctypes.c_uint64)() == 7


def test_symbols_of_the_process_are_found(seven: bytes) -> None:
    source, target = ctypes.create_string_buffer(b"weaving"), ctypes.create_string_buffer(7)
    put = Library(seven).function("put", None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint64)
    put(target, source, 7)
    assert target.raw == b"weaving"


def test_libraries_with_the_same_names_stand_side_by_side(seven: bytes) -> None:
    libraries = [Library(seven), Library(object_of(8)), Library(seven)]
    assert [library.function("get", ctypes.c_uint64)() for library in libraries] == [7, 8, 7]
    assert len({library.address("get") for library in libraries}) == 3


def test_address_does_not_change(seven: bytes) -> None:
    library = Library(seven)
    assert library.address("get") == library.address("get")


def test_unknown_symbol(seven: bytes) -> None:
    library = Library(seven)
    with pytest.raises(KeyError, match="no_such_function"):
        library.address("no_such_function")
    assert library.function("get", ctypes.c_uint64)() == 7


@pytest.mark.parametrize("content", [b"", b"none of it", b"\x7fELF" + bytes(100)])
def test_what_is_no_object_is_refused(content: bytes) -> None:
    with pytest.raises(RuntimeError):
        Library(content)


def test_function_keeps_its_library(seven: bytes) -> None:
    library = Library(seven)
    alive = weakref.ref(library)
    get = library.function("get", ctypes.c_uint64)
    del library
    gc.collect()
    assert alive() is not None
    assert get() == 7
    del get
    gc.collect()
    assert alive() is None


@pytest.mark.skipif(not Path("/proc/self/maps").exists(), reason="only Linux tells what is mapped")
def test_memory_is_released(seven: bytes) -> None:
    """Each library maps pages of its own; a hundred that are gone leave none."""

    def mapped() -> int:
        gc.collect()
        return len(Path("/proc/self/maps").read_text().splitlines())

    Library(seven).address("get")
    before = mapped()
    for _ in range(100):
        Library(seven).address("get")
    assert mapped() < before + 50


def test_threads_load_side_by_side(seven: bytes) -> None:
    results: list[int] = []

    def load() -> None:
        results.extend(Library(seven).function("get", ctypes.c_uint64)() for _ in range(20))

    threads = [threading.Thread(target=load) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [7] * 80


def test_loading_does_not_import_llvmlite(seven: bytes, tmp_path: Path) -> None:
    """Its import takes longer than all else of a warm start together."""
    (tmp_path / "object").write_bytes(seven)
    program = f"""if True:
        import ctypes, sys
        from pathlib import Path
        from vmloom_native.library import Library
        get = Library(Path({str(tmp_path / "object")!r}).read_bytes()).function("get", ctypes.c_uint64)
        assert get() == 7
        assert not [name for name in sys.modules if name.startswith("llvmlite")]
    """
    subprocess.run([sys.executable, "-c", program], check=True)


def test_code_may_be_held_at_the_end_of_the_process(seven: bytes, tmp_path: Path) -> None:
    """What the interpreter takes apart last must not unload what a thread still runs."""
    (tmp_path / "object").write_bytes(seven)
    program = f"""if True:
        import atexit, ctypes
        from pathlib import Path
        from vmloom_native.library import Library
        get = Library(Path({str(tmp_path / "object")!r}).read_bytes()).function("get", ctypes.c_uint64)
        atexit.register(lambda: print(get(), flush=True))
    """
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("7\n", "")
