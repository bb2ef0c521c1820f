"""The PTX of lanes, as it is emitted, run by the emulator: the same results."""

from __future__ import annotations

from vmloom_evm.native.state import NativeState

from .conftest import PROGRAMS, batch_on, columns, comparable, natively


def test_emitted_lanes_come_to_what_the_native_engine_comes_to(state: NativeState) -> None:
    """All in one test, for the emulator takes seconds to read the text."""
    lanes = batch_on("emulated")
    calls = columns(list(PROGRAMS.values()), gas=60_000)
    before = lanes.statistics.escapes.total()
    found = lanes.call(state, calls)
    assert lanes.statistics.escapes.total() == before
    for name, one, other in zip(PROGRAMS, found, natively(state, calls), strict=True):
        assert comparable(one) == comparable(other), name
    assert lanes.device.path == "emulated"
