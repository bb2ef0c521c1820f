"""Which fork a block belongs to, by the published configurations of the networks; fees that follow from blocks."""

from __future__ import annotations

import pytest
from vmloom import BlockContext
from vmloom.errors import InputError
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.fees import blob_base_fee, fake_exponential, next_base_fee, next_excess_blob_gas
from vmloom_evm.forks import FORKS
from vmloom_evm.schedule import HOODI, MAINNET, NETWORKS, SEPOLIA, Schedule

PRE_MERGE = 1_600_000_000
BLOB = 131_072


@pytest.mark.parametrize(
    ("number", "fork"),
    [
        (0, "frontier"),
        (1_149_999, "frontier"),
        (1_150_000, "homestead"),
        (2_462_999, "homestead"),
        (2_463_000, "tangerine_whistle"),
        (2_674_999, "tangerine_whistle"),
        (2_675_000, "spurious_dragon"),
        (4_369_999, "spurious_dragon"),
        (4_370_000, "byzantium"),
        (7_279_999, "byzantium"),
        (7_280_000, "petersburg"),  # Constantinople never ran on mainnet
        (9_068_999, "petersburg"),
        (9_069_000, "istanbul"),
        (12_243_999, "istanbul"),
        (12_244_000, "berlin"),
        (12_964_999, "berlin"),
        (12_965_000, "london"),
        (15_537_393, "london"),
        (15_537_394, "paris"),
    ],
)
def test_mainnet_forks_by_number_up_to_paris(number: int, fork: str) -> None:
    assert MAINNET.fork_at(number, PRE_MERGE).name == fork


@pytest.mark.parametrize(
    ("schedule", "timestamp", "fork"),
    [
        (MAINNET, 1_681_338_454, "paris"),
        (MAINNET, 1_681_338_455, "shanghai"),
        (MAINNET, 1_710_338_134, "shanghai"),
        (MAINNET, 1_710_338_135, "cancun"),
        (MAINNET, 1_746_612_310, "cancun"),
        (MAINNET, 1_746_612_311, "prague"),
        (MAINNET, 1_764_798_550, "prague"),
        (MAINNET, 1_764_798_551, "osaka"),
        (SEPOLIA, 1_677_557_087, "paris"),
        (SEPOLIA, 1_677_557_088, "shanghai"),
        (SEPOLIA, 1_706_655_072, "cancun"),
        (SEPOLIA, 1_741_159_776, "prague"),
        (SEPOLIA, 1_760_427_360, "osaka"),
        (HOODI, 1_742_999_831, "cancun"),
        (HOODI, 1_742_999_832, "prague"),
        (HOODI, 1_761_677_592, "osaka"),
    ],
)
def test_forks_by_time_since_shanghai(schedule: Schedule, timestamp: int, fork: str) -> None:
    assert schedule.fork_at(20_000_000, timestamp).name == fork
    assert schedule.fork_at(20_000_000, timestamp).lineage == FORKS[fork].lineage


@pytest.mark.parametrize(
    ("timestamp", "target", "limit", "fraction"),
    [
        (1_764_798_551, 6, 9, 5_007_716),  # Osaka
        (1_765_290_070, 6, 9, 5_007_716),
        (1_765_290_071, 10, 15, 8_346_193),  # BPO1
        (1_767_747_671, 14, 21, 11_684_671),  # BPO2
    ],
)
def test_blob_parameters_change_by_time(timestamp: int, target: int, limit: int, fraction: int) -> None:
    rules = MAINNET.fork_at(23_000_000, timestamp).rules
    assert (rules.blob_target, rules.blob_limit, rules.blob_fee_fraction) == (target, limit, fraction)


def test_time_does_not_matter_before_the_merge_block() -> None:
    assert MAINNET.fork_at(15_537_393, 2_000_000_000).name == "london"


def test_chain_ids_are_those_of_the_networks() -> None:
    assert {name: one.chain_id for name, one in NETWORKS.items()} == {
        "mainnet": 1,
        "sepolia": 11_155_111,
        "hoodi": 560_048,
    }


def test_vm_with_a_network_takes_the_fork_of_the_block() -> None:
    vm = Evm(EvmConfig(network="mainnet"))
    assert vm.fork_at(BlockContext(number=9_069_000, timestamp=PRE_MERGE)).name == "istanbul"
    assert vm.fork_at(BlockContext(number=20_000_000, timestamp=1_710_338_135)).name == "cancun"


# Fees


@pytest.mark.parametrize(
    ("base_fee", "used", "limit", "following"),
    [
        (1_000_000_000, 10_000_000, 20_000_000, 1_000_000_000),  # at the target: unchanged
        (1_000_000_000, 20_000_000, 20_000_000, 1_125_000_000),  # a full block: an eighth up
        (1_000_000_000, 0, 20_000_000, 875_000_000),  # an empty one: an eighth down
        (1_000_000_000, 9_000_000, 20_000_000, 987_500_000),
        (1_072_671_875, 9_000_000, 20_000_000, 1_059_263_477),  # rounded as the EIP rounds
        (1, 20_000_000, 20_000_000, 2),  # at least 1 wei up
        (0, 0, 20_000_000, 0),
    ],
)
def test_base_fee_follows_the_parent_block(base_fee: int, used: int, limit: int, following: int) -> None:
    assert next_base_fee(base_fee, used, limit) == following


@pytest.mark.parametrize(
    ("factor", "numerator", "denominator", "result"),
    # The vectors of EIP-4844 clients
    [
        (1, 0, 1, 1),
        (38_493, 0, 1_000, 38_493),
        (0, 1_234, 2_345, 0),
        (1, 2, 1, 6),
        (1, 4, 2, 6),
        (1, 3, 1, 16),
        (1, 6, 2, 18),
        (1, 4, 1, 49),
        (1, 8, 2, 50),
        (10, 8, 2, 542),
        (11, 8, 2, 596),
        (1, 5, 1, 136),
        (1, 5, 2, 11),
        (2, 5, 2, 23),
        (1, 50_000_000, 2_225_652, 5_709_098_764),
    ],
)
def test_fake_exponential_is_that_of_the_eip(factor: int, numerator: int, denominator: int, result: int) -> None:
    assert fake_exponential(factor, numerator, denominator) == result


@pytest.mark.parametrize(
    ("fork", "excess", "fee"),
    [
        ("shanghai", 10**9, 0),
        ("cancun", 0, 1),
        ("cancun", 2_314_057, 1),
        ("cancun", 2_314_058, 2),
        ("cancun", 10 * 1024 * 1024, 23),
        ("prague", 3_471_080, 1),
        ("prague", 3_471_100, 2),
    ],
)
def test_blob_base_fee_rises_exponentially(fork: str, excess: int, fee: int) -> None:
    assert blob_base_fee(excess, FORKS[fork].rules) == fee


@pytest.mark.parametrize(
    ("excess", "blobs", "following"),
    [(0, 0, 0), (0, 3, 0), (0, 4, 1), (2, 3, 2), (1, 1, 0), (3, 6, 6)],
)
def test_excess_blob_gas_is_what_goes_beyond_the_target(excess: int, blobs: int, following: int) -> None:
    rules = FORKS["cancun"].rules
    assert next_excess_blob_gas(excess * BLOB, blobs * BLOB, 7, rules) == following * BLOB


def test_blob_fee_below_the_price_of_execution_falls_no_further_since_osaka() -> None:
    """EIP-7918: with a high base fee the excess grows by used * (max - target) / max, instead of falling."""
    rules = FORKS["osaka"].rules
    assert next_excess_blob_gas(10 * BLOB, 6 * BLOB, 10**9, rules) == 10 * BLOB + 6 * BLOB * (9 - 6) // 9
    assert next_excess_blob_gas(10 * BLOB, 6 * BLOB, 1, rules) == 10 * BLOB
    assert next_excess_blob_gas(10 * BLOB, 6 * BLOB, 10**9, FORKS["prague"].rules) == 10 * BLOB
    assert next_excess_blob_gas(0, 5 * BLOB, 10**9, rules) == 0  # below the target, nothing remains


def test_blob_fee_beyond_256_bits_is_refused_instead_of_summed_forever() -> None:
    with pytest.raises(InputError, match="would exceed 256 bits"):
        blob_base_fee(2**64 - 1, FORKS["cancun"].rules)


def test_largest_blob_fee_fits_256_bits() -> None:
    rules = FORKS["cancun"].rules
    assert blob_base_fee(177 * rules.blob_fee_fraction, rules) < 2**256
