"""What trace_* puts on a run, and the JSON that comes of it: traces in Parity's format, and where they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from vmloom_evm.block.rewards import miner_reward, ommer_reward
from vmloom_evm.trace.calltree import CallTreeTracer
from vmloom_evm.trace.parity import FlatTrace, flatten, reward_trace, state_diff
from vmloom_evm.trace.vmtrace import VmTracer
from vmloom_evm.transaction.outcome import TransactionResult

from ..chain import Chain
from ..chain.block import Block
from ..chain.building import block_input
from ..chain.calls import TracedTransaction, output_of
from .arguments import TraceTypes
from .encoding import Json, hexed
from .tracing import Begin, Begun, BoundedCallTree, Budget, name_creation

_BYTES_OF_STEP: Final = 8
"""Of a path, where a trace is in its tree."""
_BYTES_OF_INSTRUCTION: Final = 1_000
"""About what Python takes for one."""


class BoundedVmTrace(VmTracer):
    """A tracer of instructions that keeps them as far as there is room for them."""

    def __init__(self, budget: Budget) -> None:
        super().__init__()
        self._budget = budget

    def on_kept(self, size: int) -> None:
        """Raises `Abort` if there is no room."""
        self._budget.take(_BYTES_OF_INSTRUCTION + 2 * size)


def flat_traces(about: TracedTransaction, budget: Budget) -> Begun:
    """Of each transaction a list of `FlatTrace`."""
    tree = BoundedCallTree(budget)
    return [tree], lambda result: _flattened(tree, about, budget, result)


def _flattened(
    tree: CallTreeTracer, about: TracedTransaction, budget: Budget, result: TransactionResult
) -> list[FlatTrace]:
    name_creation(tree, about, result)
    if tree.root is None:  # a creation whose address was taken has no frame
        return []
    found: list[FlatTrace] = []
    for trace in flatten(tree.root, about.specification.precompiles):
        budget.take(_BYTES_OF_STEP * len(trace.path))
        found.append(trace)
    return found


def replayed(*wanted: TraceTypes) -> Begin:
    """Of each transaction what is `wanted` of it, as JSON: the first of these for the first one, and so on.

    What stands last is wanted of all further ones.
    """
    left = list(wanted)

    def begin(about: TracedTransaction, budget: Budget) -> Begun:
        types = left.pop(0) if len(left) > 1 else left[0]
        tracers, finish = flat_traces(about, budget) if "trace" in types else ((), None)
        instructions = BoundedVmTrace(budget) if "vmTrace" in types else None

        def result_json(result: TransactionResult) -> Json:
            return {
                "output": hexed(output_of(result)),
                "stateDiff": state_diff(result.state_changes, about.state) if "stateDiff" in types else None,
                "trace": [one.to_dict() for one in finish(result)] if finish is not None else [],
                "vmTrace": None if instructions is None else instructions.root,
            }

        return [*tracers, *([] if instructions is None else [instructions])], result_json

    return begin


def localized(trace: FlatTrace, block: Block, index: int) -> Json:
    """A trace of the transaction at `index` of a block, with its place. Numbers are plain there, as with Parity."""
    return {
        **trace.to_dict(),
        "blockHash": hexed(block.hash),
        "blockNumber": block.number,
        "transactionHash": hexed(block.hashes[index]),
        "transactionPosition": index,
    }


def rewarded(chain: Chain, block: Block) -> list[tuple[bytes, int, str]]:
    """Who got how many wei for a block: the miner (`block`), and those of its ommers (`uncle`). None since Paris."""
    rules = chain.genesis.schedule.fork_at(block.number, block.header.timestamp).rules
    if rules.proof_of_stake or block.number == chain.genesis.number:
        return []
    ommers = block_input(chain.genesis, block.header, rules, ommers=block.ommers).ommers
    miner = (block.header.coinbase, miner_reward(rules.block_reward, len(ommers)), "block")
    return [miner, *((one.address, ommer_reward(rules.block_reward, one), "uncle") for one in ommers)]


def rewards(chain: Chain, block: Block) -> Iterator[tuple[bytes, Json]]:
    """Who was rewarded for a block, with the traces of it."""
    for author, wei, kind in rewarded(chain, block):
        place = {"blockHash": hexed(block.hash), "blockNumber": block.number}
        nobody = {"transactionHash": None, "transactionPosition": None}
        yield author, {**reward_trace(author, wei, kind), **place, **nobody}
