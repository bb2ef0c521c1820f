"""Events, as the EVM's LOG instructions emit them."""

from __future__ import annotations

from typing import Final

from vmloom import Event

from ..abi import offered
from ..run import Failure, Run

MOST_TOPICS: Final = 4


@offered("iiii:")
def emit(run: Run, topics: int, topic_count: int, data: int, size: int) -> None:
    """Emit an event with up to four topics, words one behind the other, and `size` bytes of data."""
    run.must_not_be_static("emit")
    if topic_count > MOST_TOPICS:
        raise Failure(f"an event has at most {MOST_TOPICS} topics, got {topic_count}")
    prices = run.prices
    run.charge(prices.host_call + prices.event + prices.event_topic * topic_count + prices.event_byte * size)
    packed = run.read(topics, 32 * topic_count)
    words = tuple(int.from_bytes(packed[at : at + 32], "big") for at in range(0, len(packed), 32))
    run.state.emit(Event(run.address, words, run.read(data, size)))
