"""The set: 0x100 since Osaka."""

from __future__ import annotations

from collections.abc import Mapping

from vmloom.precompile import Precompile, PrecompileSet, Revision

from .verify import P256Verify

ADDRESS = (0x100).to_bytes(20, "big")


class P256Precompiles(PrecompileSet):
    """0x100 since Osaka."""

    def at(self, revision: Revision) -> Mapping[bytes, Precompile]:
        """The precompiles of `revision` by 20-byte address."""
        return {ADDRESS: P256Verify()} if revision.includes("osaka") else {}
