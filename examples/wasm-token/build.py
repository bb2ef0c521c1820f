"""Compile the Loom token: `python examples/wasm-token/build.py`, with `--check` to compare only.

Each language has one source and one artifact. A compiler is used only at the version named here, which is what makes
the same bytes everywhere; it is looked for in every folder of PATH. Without it the artifact stays as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SDK = "../../plugins/wasm/src/vmloom_wasm/sdk"
"""From this folder, where compilers run: no path of this machine can come into an artifact."""


@dataclass(frozen=True)
class Tool:
    """A program in PATH, and the line of `program --version` that says it is the right one."""

    name: str
    version: str

    def find(self) -> str:
        """Where in PATH the right version is. Raises `ToolMissing` if it is nowhere."""
        for folder in os.get_exec_path():
            program = shutil.which(self.name, path=folder)
            if program is not None and self._is_right(program):
                return program
        raise ToolMissing(f"no {self.name} in PATH is `{self.version}`")

    def _is_right(self, program: str) -> bool:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        return self.version in said.stdout.splitlines()


class ToolMissing(Exception):
    """A compiler that is not here at the version that makes the same bytes."""


TOOLS = {
    "clang": Tool("clang", "Debian clang version 14.0.6"),
    "linker": Tool("wasm-ld", "Debian LLD 14.0.6"),
    "rustc": Tool("rustc", "rustc 1.63.0"),
    "asc": Tool("asc", "Version 0.28.20"),
}


@dataclass(frozen=True)
class Target:
    """A language: its source, the tools it takes, by their names in `TOOLS`, and the commands to run.

    In a command, a tool's name in braces is where the tool is, and `{output}` where the module goes.
    """

    source: str
    tools: tuple[str, ...] = ()
    commands: tuple[tuple[str, ...], ...] = ()

    @property
    def artifact(self) -> Path:
        """The file that is committed, beside the source."""
        return HERE / f"{self.source.replace('.', '-')}.wasm"

    def compile(self, place: Path = HERE) -> bytes:
        """The module, made of the source in the folder `place`. Raises `ToolMissing`."""
        if not self.commands:
            return _text_to_binary(place / self.source)
        places = {name: TOOLS[name].find() for name in self.tools}
        with tempfile.TemporaryDirectory() as folder:
            output = Path(folder) / "token.wasm"
            for command in self.commands:
                subprocess.run([part.format(output=output, **places) for part in command], check=True, cwd=place)
            return output.read_bytes()


_STACK = ("--stack-first", "-zstack-size=16384")
"""Below the data, so that a stack that overflows leaves the memory."""
_C = ("--target=wasm32", "-Oz", "-ffreestanding", "-fno-builtin", "-Wall", "-Wextra", "-Werror", f"-I{SDK}")
_C_LINK = ("--no-entry", *_STACK, "--export-if-defined=output_ptr", "--export-if-defined=output_len")
_RUST = (
    *("--target=wasm32-unknown-unknown", "--crate-type=cdylib", "--edition=2021", "-Dwarnings"),
    *("-Copt-level=s", "-Ccodegen-units=1", "-Clto=fat", "-Cpanic=abort", "-Cstrip=debuginfo"),
    *("-Clinker={linker}", "-Clinker-flavor=wasm-ld", f"-Clink-args=--demangle {' '.join(_STACK)}"),
)
_ASSEMBLYSCRIPT = ("--runtime", "stub", "-Oz", "--debug", "--exportStart", "_start")
"""`--debug` keeps the names of functions."""

TARGETS = (
    Target("token.wat"),
    # Linked by a command of its own: clang would run whatever `wasm-opt` is in PATH over what it links.
    Target(
        "token.c",
        ("clang", "linker"),
        (
            ("{clang}", *_C, "-c", "-o", "{output}.o", "token.c"),
            ("{linker}", *_C_LINK, "-o", "{output}", "{output}.o"),
        ),
    ),
    Target("token.rs", ("rustc", "linker"), (("{rustc}", *_RUST, "-o", "{output}", "token.rs"),)),
    Target("token.ts", ("asc",), (("{asc}", *_ASSEMBLYSCRIPT, "-o", "{output}", "token.ts"),)),
)


def _text_to_binary(source: Path) -> bytes:
    from wasmtime import wat2wasm

    return bytes(wat2wasm(source.read_text("utf-8")))


def main(arguments: list[str]) -> int:
    """Write the artifacts, or with `--check` say which differ; 1 if any does."""
    stale = 0
    for target in TARGETS:
        try:
            wanted = target.compile()
        except ToolMissing as missing:
            print(f"{target.source} is left as it is: {missing}")
            continue
        if target.artifact.is_file() and target.artifact.read_bytes() == wanted:
            continue
        if "--check" in arguments:
            print(f"{target.artifact.name} is not what {target.source} compiles to; run {Path(__file__).name}")
            stale = 1
        else:
            target.artifact.write_bytes(wanted)
            print(f"wrote {target.artifact.name}: {len(wanted):,} bytes")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
