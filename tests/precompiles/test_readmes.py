"""The programs in the packages' READMEs run."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

PLUGINS = Path(__file__).parents[2] / "plugins"
PROGRAM = re.compile(r"```python\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("package", ["classic", "p256"])
def test_programs_run(package: str) -> None:
    programs = PROGRAM.findall((PLUGINS / f"precompiles-{package}" / "README.md").read_text())
    assert programs
    for program in programs:
        exec(program, {})
