"""`vmloom wasm sdk`: the declarations of the host functions, to be compiled with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Final

import click
from vmloom.cli.app import EXIT_OK
from vmloom.errors import InputError

FILES: Final = ("vmloom.h", "vmloom.rs", "vmloom.ts")


@click.command()
@click.argument("directory", type=click.Path(path_type=Path), default=".")
@click.option("--force", is_flag=True, help="Replace files that are there and differ.")
def sdk(directory: Path, force: bool) -> int:
    """Write the declarations of all host functions for C, Rust and AssemblyScript into DIRECTORY.

    Names what it has written. Refuses to replace a file that is not the same.
    """
    contents = {name: (files("vmloom_wasm") / "sdk" / name).read_text("utf-8") for name in FILES}
    try:
        differing = [name for name in FILES if _differs(directory / name, contents[name])]
        if differing and not force:
            raise InputError(f"{directory / differing[0]}: there is another file of this name").with_fix("--force")
        directory.mkdir(parents=True, exist_ok=True)
        for name, content in contents.items():
            (directory / name).write_text(content, "utf-8")
            click.echo(directory / name)
    except OSError as error:
        raise InputError(f"{error.filename}: {error.strerror}") from None
    return EXIT_OK


def _differs(path: Path, content: str) -> bool:
    return path.exists() and path.read_bytes() != content.encode()
