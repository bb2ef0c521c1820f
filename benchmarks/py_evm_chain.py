"""py-evm, set up to run bare calls."""

from __future__ import annotations

from typing import Any

from eth.chains.base import MiningChain
from eth.consensus.noproof import NoProofConsensus
from eth.db.atomic import AtomicDB


def py_evm_chain(vm_class: Any, *, proof_of_stake: bool = True) -> MiningChain:
    """A chain of one fork without proofs, in memory; `get_vm()` gives a VM with a state of its own."""
    vm = vm_class.configure(consensus_class=NoProofConsensus)
    chain_class: Any = MiningChain.configure(__name__="BenchmarkChain", vm_configuration=((0, vm),), chain_id=1)
    genesis = {
        "difficulty": 0 if proof_of_stake else 1 << 34,
        "gas_limit": 300_000_000,
        "timestamp": 1,
        "coinbase": bytes(20),
        "extra_data": b"",
        "nonce": bytes(8),
        "mix_hash": bytes(32),
    }
    chain: MiningChain = chain_class.from_genesis(AtomicDB(), genesis, {})
    return chain
