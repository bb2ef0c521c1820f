"""Keys of objects: what differs has another key, and what a file says under a running process is not relied on."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from vmloom.object_keys import key_of, source_digest


def test_keys_tell_lists_of_parts_apart() -> None:
    lists: list[tuple[str | bytes | int, ...]] = [
        (),
        ("",),
        ("", ""),
        ("ab",),
        ("a", "b"),
        (b"ab",),
        ("1",),
        (1,),
        (b"1",),
        (True,),
        ("int 1 1",),
    ]
    assert len({key_of(*parts) for parts in lists}) == len(lists)
    assert key_of("a", 1) == key_of("a", 1)
    assert len(key_of()) == 64


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A package of two modules, written an hour ago."""
    folder = tmp_path / "made_up_kernels"
    (folder / "below").mkdir(parents=True)
    for name in ("__init__.py", "below/__init__.py", "below/one.py"):
        write(folder / name, f"# {name}\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield folder
    for name in [name for name in sys.modules if name.startswith("made_up_kernels")]:
        del sys.modules[name]


def write(path: Path, text: str, age: float = 3600) -> None:
    path.write_text(text)
    moment = time.time() - age
    os.utime(path, (moment, moment))


def test_digest_is_of_every_source_in_a_package(package: Path) -> None:
    first = source_digest("made_up_kernels")
    assert first == source_digest("made_up_kernels")
    write(package / "below/one.py", "# other\n")
    second = source_digest("made_up_kernels")
    write(package / "below/two.py", "")
    third = source_digest("made_up_kernels")
    (package / "below/two.py").rename(package / "two.py")
    fourth = source_digest("made_up_kernels")
    assert len({first, second, third, fourth, source_digest("made_up_kernels.below")}) == 5


def test_digest_of_one_module_is_of_its_file(package: Path) -> None:
    before = source_digest("made_up_kernels.below.one")
    write(package / "__init__.py", "# other\n")
    assert source_digest("made_up_kernels.below.one") == before
    write(package / "below/one.py", "# other\n")
    assert source_digest("made_up_kernels.below.one") != before


def test_digest_does_not_import_what_it_reads(package: Path) -> None:
    write(package / "below/one.py", "raise SystemExit('must not be imported')\n")
    assert source_digest("made_up_kernels.below.one")


def test_file_that_changed_under_this_process_gives_no_key_for_others(package: Path) -> None:
    """What was imported may be the old text, so neither text's key may be given to what it compiles to."""
    write(package / "below/one.py", "# edited while we run\n", age=0)
    time.sleep(0.01)
    assert source_digest("made_up_kernels") != source_digest("made_up_kernels")


def test_clock_that_is_behind_does_not_disable_the_cache(package: Path) -> None:
    write(package / "below/one.py", "# from the future\n", age=-3600)
    assert source_digest("made_up_kernels") == source_digest("made_up_kernels")


@pytest.mark.parametrize("name", ["no_such_module_at_all", "sys"])
def test_module_without_source_has_no_digest(name: str) -> None:
    with pytest.raises(ModuleNotFoundError):
        source_digest(name)
