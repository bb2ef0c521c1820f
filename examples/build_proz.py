"""Compile the contracts of `examples/proz-*`, and put the token where `vmloom demo` finds it.

    python examples/build_proz.py [--check]

With `--check` nothing is written, and the exit code is 1 if a file is not what its source compiles to.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from vmloom_prozvm.language import compile_contract
from vmloom_prozvm.language.abi import dump_abi

EXAMPLES = Path(__file__).resolve().parent
DEMO = EXAMPLES.parent / "plugins/prozvm/src/vmloom_prozvm/demo"
NAMES = ("token", "voting", "auction")


def artifacts() -> Iterator[tuple[Path, bytes]]:
    """Every file that is made from a source, and what it must hold."""
    for name in NAMES:
        source = EXAMPLES / f"proz-{name}" / f"{name}.proz"
        contract = compile_contract(source.read_text("utf-8"), source.name)
        made = {".prozc": contract.code, ".json": dump_abi(contract.abi).encode()}
        for suffix, content in made.items():
            yield source.with_suffix(suffix), content
        if name == "token":
            for suffix, content in {**made, ".proz": source.read_bytes()}.items():
                yield DEMO / f"token{suffix}", content


def main() -> int:
    """Write or compare; 1 if `--check` finds a difference."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a file is not current")
    options = parser.parse_args()
    stale = 0
    for path, content in artifacts():
        if path.is_file() and path.read_bytes() == content:
            continue
        shown = path.relative_to(EXAMPLES.parent)
        if options.check:
            print(f"{shown} is not current; run: python examples/build_proz.py")
            stale = 1
        else:
            path.write_bytes(content)
            print(f"wrote {shown}")
    return stale


if __name__ == "__main__":
    raise SystemExit(main())
