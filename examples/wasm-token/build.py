"""Compile the Loom token: `python examples/wasm-token/build.py`, with `--check` to compare only.

Each language has one source and one artifact. A compiler is used only at the version named here, which is what makes
the same bytes everywhere; it is looked for in every folder of PATH. Without it the artifact stays as it is.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
SDK = "../../plugins/wasm/sdk"
"""From this folder, where compilers run: no path of this machine can come into an artifact."""


@dataclass(frozen=True)
class Tool:
    """A program in PATH, and the line of `program --version` that says it is the right one."""

    name: str
    version: str

    def find(self) -> str | None:
        """Where in PATH the right version is; None if it is nowhere."""
        for folder in os.get_exec_path():
            program = shutil.which(self.name, path=folder)
            if program is not None and self._is_right(program):
                return program
        return None

    def _is_right(self, program: str) -> bool:
        said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False)
        return self.version in said.stdout.splitlines()


class ToolMissing(Exception):
    """A compiler that is not here at the version that makes the same bytes."""


@dataclass(frozen=True)
class Target:
    """A language: its source, and the programs and arguments that compile it. The first program is the compiler."""

    source: str
    tools: tuple[Tool, ...] = ()
    arguments: tuple[str, ...] = ()

    @property
    def artifact(self) -> Path:
        """The file that is committed, beside the source."""
        return HERE / f"{self.source.replace('.', '-')}.wasm"

    def compile(self, output: Path) -> bytes:
        """The module, which a compiler writes to `output`. Raises `ToolMissing`."""
        if not self.tools:
            return _text_to_binary(HERE / self.source)
        programs = [tool.find() for tool in self.tools]
        for tool, program in zip(self.tools, programs, strict=True):
            if program is None:
                raise ToolMissing(f"{self.source}: no {tool.name} in PATH is `{tool.version}`")
        command = [str(programs[0]), *self.arguments, "-o", str(output), self.source]
        subprocess.run(command, check=True, cwd=HERE)
        return output.read_bytes()


_CLANG = Tool("clang", "Debian clang version 14.0.6")
_RUSTC = Tool("rustc", "rustc 1.63.0")
_LLD = Tool("wasm-ld", "Debian LLD 14.0.6")
_ASC = Tool("asc", "Version 0.28.20")

TARGETS = (
    Target("token.wat"),
    Target(
        "token.c",
        (_CLANG, _LLD),
        (
            "--target=wasm32",
            "-Oz",
            "-ffreestanding",
            "-fno-builtin",
            "-nostdlib",
            "-Wall",
            "-Wextra",
            "-Werror",
            f"-I{SDK}",
            "-Wl,--no-entry,--stack-first,-z,stack-size=16384,--export=output_ptr,--export=output_len",
        ),
    ),
)


def _text_to_binary(source: Path) -> bytes:
    from wasmtime import wat2wasm

    return bytes(wat2wasm(source.read_text("utf-8")))


def main(arguments: list[str]) -> int:
    """Write the artifacts, or with `--check` say which differ; 1 if any does."""
    stale = 0
    for target in TARGETS:
        output = target.artifact.with_suffix(".new")
        try:
            wanted = target.compile(output)
        except ToolMissing as missing:
            print(missing)
            continue
        finally:
            output.unlink(missing_ok=True)
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
