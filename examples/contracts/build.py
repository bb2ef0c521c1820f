"""Compile the project's Vyper contracts: `python examples/contracts/build.py`, with `--check` to compare only.

Beside every `NAME.vy` stands `NAME.json`, its artifact: compiler, ABI, deployment bytecode and storage layout. The
contracts of this folder also have `NAME.hex`, the bytecode that a deployed contract has, for `vmloom run`.
The compiler is a development dependency (`vyper` in pyproject.toml); the same version gives the same bytes.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
TOKEN = HERE.parents[1] / "plugins/evm/src/vmloom_evm/demo/token.vy"
BENCHMARKS = HERE.parents[1] / "benchmarks/contracts"
FORMATS = ("abi", "bytecode", "bytecode_runtime", "layout")


def vyper(*arguments: str) -> str:
    """Output of the compiler, which runs in a process of its own."""
    command = [sys.executable, "-m", "vyper.cli.vyper_compile", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def compile_contract(source: Path) -> dict[Path, str]:
    """The files that belong beside `source`, and what should be in them."""
    abi, bytecode, runtime, layout = vyper("-f", ",".join(FORMATS), str(source)).splitlines()
    pragmas = dict(line.split()[1:3] for line in source.read_text("utf-8").splitlines() if line.startswith("#pragma"))
    artifact = {
        "contract": source.stem,
        "source": source.name,
        "compiler": f"vyper {vyper('--version').partition('+')[0]}",
        "evm_version": pragmas["evm-version"],
        "abi": json.loads(abi),
        "storage": {name: entry["slot"] for name, entry in json.loads(layout).get("storage_layout", {}).items()},
        "bytecode": bytecode,
    }
    files = {source.with_suffix(".json"): json.dumps(artifact, indent=2) + "\n"}
    if source.parent == HERE:
        files[source.with_suffix(".hex")] = runtime + "\n"
    return files


def main(arguments: list[str]) -> int:
    """Write the files, or with `--check` say which differ; 1 if any does."""
    stale = 0
    for source in [TOKEN, *sorted(HERE.glob("*.vy")), *sorted(BENCHMARKS.glob("*.vy"))]:
        for path, wanted in compile_contract(source).items():
            if path.is_file() and path.read_text("utf-8") == wanted:
                continue
            if "--check" in arguments:
                print(f"{path.name} is not what {source.name} compiles to; run {Path(__file__).name}")
                stale = 1
            else:
                path.write_text(wanted, "utf-8")
                print(f"wrote {path.name}")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
