"""Kills a process that writes blocks to a durable store, again and again, and looks at what the store has afterwards.

    uv run python benchmarks/state_kill.py [--kills N] [--seed S] [--json]

A child commits blocks of accounts, storage and trie nodes as fast as it can, takes some back and prunes, in a file
that has to grow, and says what it has done. SIGKILL meets it at a random moment. Then the store must open at the last
version that was reported, or at the next one, which was not reported any more; each kept version must hold what its
block wrote and nothing else, and its state root must be that of its accounts. Exit code 1 at the first difference.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

from vmloom import Account
from vmloom.store import CHAIN, EMPTY, StoredState, StoreView
from vmloom_evm.commitment import state_root
from vmloom_evm.trie import StateTrie
from vmloom_state_lmdb import LmdbStore

HISTORY = 6
FIRST_MAP = 1 << 16
"""Bytes: the least that LMDB takes for a store with nothing in it."""
LONGEST = 0.03
"""Seconds that a child lives, at most, after its first commit."""
ACCOUNTS = 12
KEPT_BODIES = 64


def write_block(store: LmdbStore, number: int) -> None:
    """Commit the block `number`, of which all that it writes follows."""
    state = StoredState(store)
    draw = random.Random(number)
    for _ in range(4):
        address = bytes([draw.randrange(ACCOUNTS)]) * 20
        state.set_account(address, Account(number + 1, draw.randrange(10**20), draw.randbytes(30), "evm"))
        state.set_storage(address, draw.randrange(8), draw.choice([0, number + 1, 2**255 + number]))
    if number % 7 == 6:
        state.delete_account(bytes([draw.randrange(ACCOUNTS)]) * 20)
    root, nodes = StateTrie(store).update(state.diff())
    header = {CHAIN + b"root": root, CHAIN + b"body%d" % (number % KEPT_BODIES): draw.randbytes(2000)}
    state.commit_with({**nodes, **header})


def write(folder: Path, report: int) -> None:
    """Write blocks until killed. What is reported: a version that is there, or one that may be gone back to."""
    store = LmdbStore(folder, history=HISTORY, map_size=FIRST_MAP, sync=False)
    step = 0
    while True:
        step += 1
        if step % 11 == 10 and store.version > store.oldest:
            os.write(report, f"{store.version - 1}\n".encode())
            store.rollback(store.version - 1)
        elif step % 13 == 12:
            store.prune(HISTORY - 2)
        else:
            write_block(store, store.version + 1)
            os.write(report, f"{store.version}\n".encode())


class Expected:
    """What the versions have to be, from a store in which nobody was killed."""

    def __init__(self, folder: Path) -> None:
        self.store = LmdbStore(folder, history=10**9, sync=False)

    def compare(self, view: StoreView) -> None:
        """Raises `AssertionError` unless `view` is what its version has to be."""
        while self.store.version < view.version:
            write_block(self.store, self.store.version + 1)
        with self.store.at(view.version) as expected:
            assert list(view.scan(b"")) == list(expected.scan(b"")), f"version {view.version} has other contents"
        assert view.version == EMPTY or view.get(CHAIN + b"root") == StateTrie(view).root()

    def compare_root(self, view: StoreView) -> None:
        """Raises `AssertionError` unless the root is that of the accounts."""
        assert StateTrie(view).root() == state_root(StoredState(view)), f"version {view.version} has another root"


def kill_once(folder: Path, draw: random.Random) -> int:
    """Let a child write, and kill it; returns the version that it reported last."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reader)
            write(folder, writer)
        finally:
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader) as reports:
        lines = [reports.readline()]  # it has begun
        time.sleep(draw.random() * LONGEST)
        os.kill(child, signal.SIGKILL)
        lines += reports
    status = os.waitpid(child, 0)[1]
    assert os.WIFSIGNALED(status), "the child ended by itself"
    return int([line for line in lines if line.endswith("\n")][-1])


def run(kills: int, seed: int) -> dict[str, int]:
    """Kill `kills` times; returns what was seen. Raises `AssertionError` at the first difference."""
    draw = random.Random(seed)
    unreported = 0
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch) / "state"
        for _ in range(kills):
            reported = kill_once(folder, draw)
            expected = Expected(Path(scratch) / "expected")
            store = LmdbStore(folder, history=HISTORY, sync=False)
            assert store.version - reported in (0, 1), f"at {store.version}, but {reported} was reported"
            unreported += store.version > reported
            for version in range(store.oldest, store.version + 1):
                with store.at(version) as view:
                    expected.compare(view)
            expected.compare_root(store)
            last = store.version
            store.close()
            expected.store.close()
    return {"kills": kills, "seed": seed, "versions": last + 1, "killed before the report": unreported}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    try:
        seen = run(options.kills, options.seed)
    except AssertionError as error:
        sys.exit(f"difference: {error}")
    print(json.dumps(seen) if options.json else "\n".join(f"{name:<26}{value}" for name, value in seen.items()))


if __name__ == "__main__":
    main()
