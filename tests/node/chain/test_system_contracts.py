"""The system contracts are what their EIPs deploy: the deployment transactions lead to address and code."""

from __future__ import annotations

import pytest
from vmloom import BlockContext, MemoryState
from vmloom.hashing import create_address
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.block.system_calls import (
    BEACON_ROOTS_ADDRESS,
    CONSOLIDATION_REQUESTS_ADDRESS,
    HISTORY_STORAGE_ADDRESS,
    WITHDRAWAL_REQUESTS_ADDRESS,
)
from vmloom_evm.forks import CANCUN, OSAKA, SHANGHAI
from vmloom_evm.transaction.signing import recover_sender
from vmloom_evm.transaction.types import Signature, Transaction
from vmloom_node.chain.system_contracts import system_contracts

# Prefix of the init code, and s of the signature; r is 0x539. From the EIPs.
QUEUE = "7fffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff5f55"
DEPLOYMENTS = {
    BEACON_ROOTS_ADDRESS: ("60618060095f395ff3", 0x1B9B6EB1F0),
    HISTORY_STORAGE_ADDRESS: ("60538060095f395ff3", 0xAA12693182426612186309F02CFE8A80A0000),
    WITHDRAWAL_REQUESTS_ADDRESS: (QUEUE + "6101f880602d5f395ff3", 0x5FEEB084551E4E03A3581E269BC2EA2F8D0008),
    CONSOLIDATION_REQUESTS_ADDRESS: (QUEUE + "61019e80602d5f395ff3", 0xC0730F92DC275B663D377A7CBB141B6600052),
}


@pytest.mark.parametrize("address", list(DEPLOYMENTS))
def test_code_is_what_the_deployment_of_the_eip_makes(address: bytes) -> None:
    code = system_contracts(OSAKA.rules)[address]
    prefix, s = DEPLOYMENTS[address]
    tx = Transaction(
        max_fee_per_gas=10**12,
        max_priority_fee_per_gas=10**12,
        gas_limit=250_000,
        data=bytes.fromhex(prefix) + code,
        signature=Signature(0, 0x539, s),
    )
    sender = recover_sender(tx, OSAKA.rules)
    assert create_address(sender, 0) == address
    state = MemoryState()
    state.set_balance(sender, 10**18)
    result = Evm(EvmConfig(engine="reference")).apply_transaction(tx, BlockContext(), state)
    assert result.success
    assert state.get_code(address) == code


def test_a_fork_has_those_that_it_calls() -> None:
    assert system_contracts(SHANGHAI.rules) == {}
    assert list(system_contracts(CANCUN.rules)) == [BEACON_ROOTS_ADDRESS]
    assert len(system_contracts(OSAKA.rules)) == 4
