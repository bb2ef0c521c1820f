"""`vmloom state`: what it prints, what it writes, and what it says of mistakes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner, Result
from vmloom.cli.commands import root
from vmloom.store import CHAIN, StoredState
from vmloom_state_lmdb import LmdbStore

ADDRESS = bytes([7]) * 20


def vmloom(*arguments: object) -> Result:
    return CliRunner().invoke(root, ["state", *map(str, arguments)])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store at version 4, whose balance is the version."""
    folder = tmp_path / "state"
    with LmdbStore(folder, history=3) as store:
        state = StoredState(store)
        for balance in range(5):
            state.set_balance(ADDRESS, balance)
            state.commit_with({CHAIN + b"block": b"%d" % balance})
    return folder


def test_info_tells_versions_and_format(folder: Path) -> None:
    told = json.loads(vmloom("info", folder, "--json").stdout)
    size = told.pop("bytes")
    assert told == {"format": "vmloom-state-lmdb 1", "version": 4, "oldest": 1}
    assert size == (folder / "data.mdb").stat().st_size
    assert "version     4\noldest      1\n" in vmloom("info", folder).stdout


@pytest.mark.parametrize(("options", "balance"), [((), 4), (("--version", 2), 2)])
def test_exported_version_is_imported(folder: Path, tmp_path: Path, options: tuple[object, ...], balance: int) -> None:
    exported = vmloom("export", folder, tmp_path / "file.gz", *options, "--json")
    imported = vmloom("import", tmp_path / "new", tmp_path / "file.gz", "--json")
    assert (exported.exit_code, imported.exit_code) == (0, 0), exported.output + imported.output
    assert json.loads(exported.stdout) == json.loads(imported.stdout)
    assert json.loads(exported.stdout)["accounts"] == 1
    with LmdbStore(tmp_path / "new") as store:
        assert (store.version, StoredState(store).get_balance(ADDRESS)) == (0, balance)


def test_import_into_state_that_is_there_is_refused(folder: Path, tmp_path: Path) -> None:
    vmloom("export", folder, tmp_path / "file")
    result = vmloom("import", folder, tmp_path / "file")
    assert (result.exit_code, "only an empty store can be filled" in result.stderr) == (2, True)


def test_what_reads_works_beside_a_writer_and_what_writes_does_not(folder: Path, tmp_path: Path) -> None:
    with LmdbStore(folder, history=3):
        # Within one process LMDB opens a file once: the command is told so, as it is told of another process's lock.
        result = vmloom("prune", folder, "--keep", 1)
        assert (result.exit_code, "another process writes this store" in result.stderr) == (2, True)


def test_backup_and_prune(folder: Path, tmp_path: Path) -> None:
    assert vmloom("backup", folder, tmp_path / "copy").exit_code == 0
    assert vmloom("prune", folder, "--keep", 1).exit_code == 0
    assert json.loads(vmloom("info", folder, "--json").stdout)["oldest"] == 3
    assert json.loads(vmloom("info", tmp_path / "copy", "--json").stdout)["oldest"] == 1


@pytest.mark.parametrize("command", ["info", "export", "backup"])
def test_folder_without_state_is_an_error_and_is_not_made(tmp_path: Path, command: str) -> None:
    arguments = [] if command == "info" else [tmp_path / "target"]
    result = vmloom(command, tmp_path / "absent", *arguments)
    assert result.exit_code == 2
    assert result.stderr == f"error: {tmp_path / 'absent'}: there is no state store to read\n"
    assert not list(tmp_path.iterdir())
