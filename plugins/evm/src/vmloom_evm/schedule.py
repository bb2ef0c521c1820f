"""When forks begin on a network: by block number up to Paris, by time since Shanghai.

Figures are those of the networks' published configurations (EIP-6953 for the kinds of activation, and each
fork's meta EIP).
"""

from __future__ import annotations

from dataclasses import dataclass

from .forks import FORKS, Fork


@dataclass(frozen=True, slots=True)
class Schedule:
    """The forks of a network. `blocks` and `timestamps` name forks by their first block number or UNIX second."""

    name: str
    chain_id: int
    blocks: tuple[tuple[int, str], ...]
    timestamps: tuple[tuple[int, str], ...] = ()

    def fork_at(self, number: int, timestamp: int) -> Fork:
        """The fork of the block with this number and time."""
        name = self.blocks[0][1]
        for start, since in self.blocks:
            if number >= start:
                name = since
        if number >= self.blocks[-1][0]:
            for start, since in self.timestamps:
                if timestamp >= start:
                    name = since
        return FORKS[name]


MAINNET = Schedule(
    "mainnet",
    chain_id=1,
    blocks=(
        (0, "frontier"),
        (1_150_000, "homestead"),
        (2_463_000, "tangerine_whistle"),
        (2_675_000, "spurious_dragon"),
        (4_370_000, "byzantium"),
        (7_280_000, "petersburg"),
        (9_069_000, "istanbul"),
        (12_244_000, "berlin"),
        (12_965_000, "london"),
        (15_537_394, "paris"),
    ),
    timestamps=(
        (1_681_338_455, "shanghai"),
        (1_710_338_135, "cancun"),
        (1_746_612_311, "prague"),
        (1_764_798_551, "osaka"),
        (1_765_290_071, "bpo1"),
        (1_767_747_671, "bpo2"),
    ),
)

SEPOLIA = Schedule(
    "sepolia",
    chain_id=11_155_111,
    blocks=((0, "london"), (1_735_371, "paris")),
    timestamps=(
        (1_677_557_088, "shanghai"),
        (1_706_655_072, "cancun"),
        (1_741_159_776, "prague"),
        (1_760_427_360, "osaka"),
        (1_761_017_184, "bpo1"),
        (1_761_607_008, "bpo2"),
    ),
)

HOODI = Schedule(
    "hoodi",
    chain_id=560_048,
    blocks=((0, "paris"),),
    timestamps=(
        (0, "cancun"),
        (1_742_999_832, "prague"),
        (1_761_677_592, "osaka"),
        (1_762_365_720, "bpo1"),
        (1_762_955_544, "bpo2"),
    ),
)

NETWORKS: dict[str, Schedule] = {schedule.name: schedule for schedule in (MAINNET, SEPOLIA, HOODI)}
