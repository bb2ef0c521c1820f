"""The set: 0x0a since Cancun."""

from __future__ import annotations

from collections.abc import Mapping

from vmloom.precompile import Precompile, PrecompileSet, Revision

from .point_evaluation import PointEvaluation

ADDRESS = (0x0A).to_bytes(20, "big")


class KzgPrecompiles(PrecompileSet):
    """0x0a since Cancun."""

    def at(self, revision: Revision) -> Mapping[bytes, Precompile]:
        """The precompiles of `revision` by 20-byte address."""
        return {ADDRESS: PointEvaluation()} if revision.includes("cancun") else {}
