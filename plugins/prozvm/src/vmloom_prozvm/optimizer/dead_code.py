"""Dead code elimination: what no path from the first instruction reaches is removed, GAS_CHARGE included."""

from __future__ import annotations

from .code import Code, Edit


def remove_dead_code(code: Code) -> int:
    """Remove unreachable blocks. Returns how many instructions went."""
    reachable = set(code.graph.reachable_blocks())
    dead = [block for block in code.graph.blocks if block not in reachable]
    # No jump that stays leads into them; those from one dead block into another go with them.
    code.apply([Edit(block.start, block.stop) for block in dead])
    return sum(block.stop - block.start for block in dead)
