"""Forks as differences: each fork changes what its EIPs say, and nothing else."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from vmloom.errors import UnknownRevision
from vmloom_evm.forks import FORKS, FRONTIER, fork_named

EIPS: dict[str, dict[str, tuple[Any, Any]]] = {
    "homestead": {
        "DELEGATECALL": (None, 40),  # EIP-7
        "deposit_failure_reverts": (False, True),  # EIP-2
        "transaction_create": (0, 32_000),
        "low_s_signatures": (False, True),
    },
    "tangerine_whistle": {  # EIP-150
        "EXTCODESIZE": (20, 700),
        "EXTCODECOPY": (20, 700),
        "BALANCE": (20, 400),
        "SLOAD": (50, 200),
        "CALL": (40, 700),
        "DELEGATECALL": (40, 700),
        "CALLCODE": (40, 700),
        "SELFDESTRUCT": (0, 5_000),
        "selfdestruct_new_account": (0, 25_000),
        "all_but_one_64th": (False, True),
    },
    "spurious_dragon": {
        "chain_id_signatures": (False, True),  # EIP-155
        "exp_byte": (10, 50),  # EIP-160
        "state_clearing": (False, True),  # EIP-161
        "contract_nonce": (0, 1),
        "code_size_limit": (0, 0x6000),  # EIP-170
    },
    "byzantium": {
        "REVERT": (None, 0),  # EIP-140
        "RETURNDATASIZE": (None, 2),  # EIP-211
        "RETURNDATACOPY": (None, 3),
        "STATICCALL": (None, 700),  # EIP-214
        "status_receipts": (False, True),  # EIP-658
        "block_reward": (5 * 10**18, 3 * 10**18),  # EIP-649
    },
    "constantinople": {
        "SHL": (None, 3),  # EIP-145
        "SHR": (None, 3),
        "SAR": (None, 3),
        "CREATE2": (None, 32_000),  # EIP-1014
        "EXTCODEHASH": (None, 400),  # EIP-1052
        "net_metering": (False, True),  # EIP-1283
        "sstore_dirty": (0, 200),
        "block_reward": (3 * 10**18, 2 * 10**18),  # EIP-1234
    },
    "petersburg": {  # EIP-1716: without EIP-1283
        "net_metering": (True, False),
        "sstore_dirty": (200, 0),
    },
    "istanbul": {
        "CHAINID": (None, 2),  # EIP-1344
        "SELFBALANCE": (None, 5),  # EIP-1884
        "SLOAD": (200, 800),
        "BALANCE": (400, 700),
        "EXTCODEHASH": (400, 700),
        "transaction_data_byte": (68, 16),  # EIP-2028
        "net_metering": (False, True),  # EIP-2200
        "sstore_sentry": (False, True),
        "sstore_dirty": (0, 800),
    },
    "berlin": {
        "SLOAD": (800, 100),  # EIP-2929: warm prices
        "BALANCE": (700, 100),
        "EXTCODESIZE": (700, 100),
        "EXTCODECOPY": (700, 100),
        "EXTCODEHASH": (700, 100),
        "CALL": (700, 100),
        "CALLCODE": (700, 100),
        "DELEGATECALL": (700, 100),
        "STATICCALL": (700, 100),
        "access_lists": (False, True),
        "warm_access": (0, 100),
        "cold_account": (0, 2_600),
        "cold_sload": (0, 2_100),
        "sstore_reset": (5_000, 5_000 - 2_100),
        "sstore_dirty": (800, 100),
        "typed_transactions": (0, 1),  # EIP-2718, EIP-2930
    },
    "london": {
        "BASEFEE": (None, 2),  # EIP-3198
        "base_fee": (False, True),  # EIP-1559
        "typed_transactions": (1, 2),
        "refund_quotient": (2, 5),  # EIP-3529
        "selfdestruct_refund": (24_000, 0),
        "sstore_clear_refund": (15_000, 4_800),
        "reject_ef_code": (False, True),  # EIP-3541
    },
    "paris": {
        "proof_of_stake": (False, True),  # EIP-3675, EIP-4399
        "block_reward": (2 * 10**18, 0),
    },
    "shanghai": {
        "PUSH0": (None, 2),  # EIP-3855
        "warm_coinbase": (False, True),  # EIP-3651
        "initcode_size_limit": (0, 2 * 0x6000),  # EIP-3860
        "initcode_word": (0, 2),
        "withdrawals": (False, True),  # EIP-4895
    },
    "cancun": {
        "TLOAD": (None, 100),  # EIP-1153
        "TSTORE": (None, 100),
        "BLOBHASH": (None, 3),  # EIP-4844
        "MCOPY": (None, 3),  # EIP-5656
        "BLOBBASEFEE": (None, 2),  # EIP-7516
        "typed_transactions": (2, 3),
        "blobs": (False, True),
        "blob_target": (0, 3),
        "blob_limit": (0, 6),
        "blob_fee_fraction": (0, 3_338_477),
        "beacon_root_contract": (False, True),  # EIP-4788
        "selfdestruct_only_created": (False, True),  # EIP-6780
    },
    "prague": {
        "history_contract": (False, True),  # EIP-2935
        "request_contracts": (False, True),  # EIP-7002, EIP-7251
        "floor_token": (0, 10),  # EIP-7623
        "blob_target": (3, 6),  # EIP-7691
        "blob_limit": (6, 9),
        "blob_fee_fraction": (3_338_477, 5_007_716),
        "typed_transactions": (3, 4),  # EIP-7702
        "delegations": (False, True),
    },
    "osaka": {
        "CLZ": (None, 5),  # EIP-7939
        "transaction_gas_limit": (0, 16_777_216),  # EIP-7825
        "blob_transaction_limit": (0, 6),  # EIP-7594
        "blob_reserve_price": (False, True),  # EIP-7918
    },
    "bpo1": {  # EIP-8134
        "blob_target": (6, 10),
        "blob_limit": (9, 15),
        "blob_fee_fraction": (5_007_716, 8_346_193),
    },
    "bpo2": {  # EIP-8135
        "blob_target": (10, 14),
        "blob_limit": (15, 21),
        "blob_fee_fraction": (8_346_193, 11_684_671),
    },
}

ORDER = [
    *("frontier", "homestead", "tangerine_whistle", "spurious_dragon", "byzantium", "constantinople", "petersburg"),
    *("istanbul", "berlin", "london", "paris", "shanghai", "cancun", "prague", "osaka"),
    *("bpo1", "bpo2"),
]


def test_forks_are_in_the_order_of_mainnet() -> None:
    assert list(FORKS) == ORDER


@pytest.mark.parametrize(("before", "after"), list(pairwise(ORDER)))
def test_fork_changes_what_its_eips_say(before: str, after: str) -> None:
    assert FORKS[before].differences(FORKS[after]) == EIPS[after]


def test_difference_of_a_fork_and_itself_is_nothing() -> None:
    assert FRONTIER.differences(FRONTIER) == {}


def test_differences_read_backwards_are_exchanged() -> None:
    forth = FORKS["berlin"].differences(FORKS["london"])
    back = FORKS["london"].differences(FORKS["berlin"])
    assert back == {name: (new, old) for name, (old, new) in forth.items()}


def test_petersburg_undoes_the_net_metering_of_constantinople_and_nothing_else() -> None:
    assert set(FORKS["byzantium"].differences(FORKS["petersburg"])) == set(EIPS["constantinople"]) - {
        "net_metering",
        "sstore_dirty",
    }


@pytest.mark.parametrize("name", ORDER)
def test_lineage_is_the_fork_and_all_before_it(name: str) -> None:
    assert FORKS[name].lineage == tuple(ORDER[: ORDER.index(name) + 1])
    assert FORKS[name].revision.includes("frontier")
    assert FORKS[name].revision.includes("osaka") == (name in ORDER[ORDER.index("osaka") :])


@pytest.mark.parametrize(
    ("alias", "name"),
    [
        ("EIP150", "tangerine_whistle"),
        ("TangerineWhistle", "tangerine_whistle"),
        ("EIP158", "spurious_dragon"),
        ("ConstantinopleFix", "petersburg"),
        ("Merge", "paris"),
        ("Istanbul", "istanbul"),
        (" OSAKA ", "osaka"),
        ("latest", "osaka"),
    ],
)
def test_names_of_the_test_suites_are_understood(alias: str, name: str) -> None:
    assert fork_named(alias).name == name


def test_unknown_fork_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownRevision, match="did you mean 'shanghai'"):
        fork_named("shangai")


def test_rule_that_does_not_exist_cannot_be_amended() -> None:
    with pytest.raises(TypeError):
        FRONTIER.amend("mine", rules={"free_lunch": True})


def test_variant_of_a_fork_adds_nothing_to_the_lineage() -> None:
    variant = FRONTIER.amend("frontier", gas={"ADD": 1}, extends=False)
    assert variant.lineage == ("frontier",)
    assert variant.gas["ADD"] == 1
    assert FRONTIER.gas["ADD"] == 3
