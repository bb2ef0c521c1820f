"""The verdict on a block as such."""

from __future__ import annotations

from vmloom.errors import VmloomError


class InvalidBlock(VmloomError):
    """A block that no transaction of it can be blamed for; the state is as it was before the block."""
