"""When forks begin on a network: by block number up to Paris, by time since Shanghai.

Figures are those of the networks' published configurations (EIP-6953 for the kinds of activation, and each
fork's meta EIP). Blob-parameter-only forks (EIP-7892) amend the fork they fall into.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from .forks import FORKS, Fork


@dataclass(frozen=True, slots=True)
class BlobParameters:
    """EIP-7892: from `timestamp` on, blobs a block aims at and may carry, and how fast their price moves."""

    timestamp: int
    target: int
    limit: int
    fee_fraction: int


@dataclass(frozen=True)
class Schedule:
    """The forks of a network. `blocks` and `timestamps` name forks by their first block number or UNIX second."""

    name: str
    chain_id: int
    blocks: tuple[tuple[int, str], ...]
    timestamps: tuple[tuple[int, str], ...] = ()
    blob_parameters: tuple[BlobParameters, ...] = ()

    def fork_at(self, number: int, timestamp: int) -> Fork:
        """The fork of the block with this number and time, with its blob parameters."""
        name = self.blocks[0][1]
        for start, since in self.blocks:
            if number >= start:
                name = since
        if number >= self.blocks[-1][0]:
            for start, since in self.timestamps:
                if timestamp >= start:
                    name = since
        fork = FORKS[name]
        if not fork.rules.blobs:
            return fork
        active = [one for one in self._blob_forks[name] if timestamp >= one[0]]
        return active[-1][1] if active else fork

    @cached_property
    def _blob_forks(self) -> dict[str, list[tuple[int, Fork]]]:
        """For each fork with blobs, its variants by the time from which they hold; made once, so they are the same."""
        return {
            name: [(one.timestamp, _with_blobs(fork, one)) for one in self.blob_parameters]
            for name, fork in FORKS.items()
            if fork.rules.blobs
        }


def _with_blobs(fork: Fork, parameters: BlobParameters) -> Fork:
    return fork.amend(
        fork.name,
        rules={
            "blob_target": parameters.target,
            "blob_limit": parameters.limit,
            "blob_fee_fraction": parameters.fee_fraction,
        },
        extends=False,
    )


def _blob_only_forks(*starts: int) -> tuple[BlobParameters, ...]:
    """The two blob-only forks that followed Osaka, which have the same figures on every network."""
    figures = ((10, 15, 8_346_193), (14, 21, 11_684_671))
    return tuple(BlobParameters(start, *figure) for start, figure in zip(starts, figures, strict=True))


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
    ),
    blob_parameters=_blob_only_forks(1_765_290_071, 1_767_747_671),
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
    ),
    blob_parameters=_blob_only_forks(1_761_017_184, 1_761_607_008),
)

HOODI = Schedule(
    "hoodi",
    chain_id=560_048,
    blocks=((0, "paris"),),
    timestamps=(
        (0, "cancun"),
        (1_742_999_832, "prague"),
        (1_761_677_592, "osaka"),
    ),
    blob_parameters=_blob_only_forks(1_762_365_720, 1_762_955_544),
)

NETWORKS: dict[str, Schedule] = {schedule.name: schedule for schedule in (MAINNET, SEPOLIA, HOODI)}
