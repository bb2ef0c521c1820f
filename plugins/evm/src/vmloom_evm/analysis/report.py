"""`CodeAnalysis` of EVM code."""

from __future__ import annotations

from collections.abc import Mapping

from vmloom.bytecode import BasicBlock, CodeAnalysis

from ..table import OpRow
from .flow import STACK_LIMIT, Flow, effect, follow, peak
from .instructions import Block, Listing


def analyse(code: bytes, rows: Mapping[int, OpRow]) -> CodeAnalysis:
    """What can be told of `code`. Where jumps are not resolved, every jump destination counts as reachable."""
    listing = Listing(code, rows)
    flow = follow(listing)
    reached = [flow.depths[number] for number in flow.depths]
    unbounded = not flow.is_complete or any(high >= STACK_LIMIT for _, high in reached)
    return CodeAnalysis(
        size=len(code),
        blocks=tuple(_described(listing, flow, number, block) for number, block in enumerate(listing.blocks)),
        jump_destinations=tuple(sorted(listing.destinations)),
        unresolved=tuple(sorted(listing.items[index].offset for index in flow.unresolved)),
        stack_low=None if unbounded or not reached else min(low for low, _ in reached),
        stack_high=None
        if unbounded or not reached
        else min(STACK_LIMIT, max(peak(listing, flow, number) for number in flow.depths)),
        selectors={f"0x{selector:08x}": offset for selector, offset in sorted(flow.selectors.items())},
    )


def _described(listing: Listing, flow: Flow, number: int, block: Block) -> BasicBlock:
    needs, changes = effect(listing, block)
    is_known = flow.is_complete and not any(index in flow.unresolved for index in range(block.first, block.last))
    successors = flow.successors.get(number)
    return BasicBlock(
        listing.start(block),
        listing.end(block),
        needs,
        changes,
        tuple(sorted(listing.start(listing.blocks[one]) for one in successors or ())) if is_known else None,
        is_reachable=successors is not None or not flow.is_complete,
    )
