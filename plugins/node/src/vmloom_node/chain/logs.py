"""Searching logs by address and topics, helped by the bloom filters of blocks. Yellow paper, section 4.4.3."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from vmloom.result import Event
from vmloom_evm.commitment import bloom_bits

from .block import Log

MAX_TOPICS = 4


@dataclass(frozen=True)
class LogQuery:
    """Which logs are meant: those of any of `addresses`, or of all if there are none.

    `topics` has for each position the words of which one must be there; where there are none any word will do. A log
    with fewer topics than positions does not match.
    """

    addresses: frozenset[bytes] = frozenset()
    topics: tuple[frozenset[int], ...] = ()

    def matches(self, event: Event) -> bool:
        """Whether the event is meant."""
        if self.addresses and event.address not in self.addresses:
            return False
        if len(self.topics) > len(event.topics):
            return False
        return all(not wanted or topic in wanted for wanted, topic in zip(self.topics, event.topics, strict=False))

    def may_be_in(self, bloom: bytes) -> bool:
        """Whether a block with this bloom filter (256 bytes) may have such logs."""
        bits = int.from_bytes(bloom, "big")
        return all(any(bits & mask == mask for mask in masks) for masks in self._masks)

    @cached_property
    def _masks(self) -> tuple[tuple[int, ...], ...]:
        """For each thing that must be there, the bits of its alternatives."""
        groups = [tuple(map(bloom_bits, self.addresses))]
        groups += [tuple(bloom_bits(topic.to_bytes(32, "big")) for topic in wanted) for wanted in self.topics]
        return tuple(group for group in groups if group)

    def select(self, logs: Iterable[Log]) -> list[Log]:
        """Those that are meant."""
        return [log for log in logs if self.matches(log.event)]


def log_query(addresses: Sequence[bytes] = (), topics: Sequence[Sequence[int]] = ()) -> LogQuery:
    """A query from lists. Raises `ValueError` for more than four positions of topics."""
    if len(topics) > MAX_TOPICS:
        raise ValueError(f"a log has at most {MAX_TOPICS} topics, got {len(topics)}")
    return LogQuery(frozenset(addresses), tuple(frozenset(wanted) for wanted in topics))
