"""The section `[state.lmdb]`."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, NonNegativeInt, PositiveInt
from vmloom.store.interface import DEFAULT_HISTORY


class LmdbConfig(BaseModel):
    """Where the state is kept, and how much of its past."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = "vmloom-state"
    """The folder; relative to where the process runs."""
    history: NonNegativeInt = DEFAULT_HISTORY
    """How many versions before the last can be read and rolled back to; a block is one version."""
    map_size: PositiveInt = 1024
    """Address space that the file gets at first, in MiB; it doubles when it is full."""
    sync: bool = True
    """Have each commit on the disk before going on. Without, a loss of power may break the file."""
    read_only: bool = False
    """Open the store beside the process that writes it."""
