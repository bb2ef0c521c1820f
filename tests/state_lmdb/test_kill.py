"""A store whose process is killed opens at the last committed block: a few of the kills that the benchmark does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "state_kill.py"


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are killed with SIGKILL")
def test_killed_at_any_moment_the_store_has_whole_blocks() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT), "--kills", "25", "--json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert seen["kills"] == 25
    assert seen["versions"] > 25  # it got on in between
