"""Where items of a stack lie: each by itself or the lanes' side by side, which nobody can tell by results."""

from __future__ import annotations

import ctypes
import random

import numpy as np
import pytest
from vmloom_evm.assembly import op, push, raw, ret_top
from vmloom_evm.native.lane_build import LaneSizes
from vmloom_evm.native.state import NativeState

from .conftest import PROGRAMS, batch_on, columns, comparable, natively
from .test_random_programs_on_lanes import program

INTERLEAVED = LaneSizes(interleave=4)
DEEP = raw(b"".join(bytes(push(number)) for number in range(1, 18))) + op("SWAP16")() + op("DUP16")() + ret_top()


def test_interleaved_stacks_come_to_the_same(state: NativeState) -> None:
    """In two groups of lanes, and in a part of one."""
    source = random.Random(7)
    calls = columns([DEEP, *PROGRAMS.values(), *(program(source) for _ in range(60))])
    lanes = batch_on("host", INTERLEAVED)
    assert lanes.lanes == 2 * INTERLEAVED.interleave
    found = lanes.call(state, calls)
    for place, (one, other) in enumerate(zip(found, natively(state, calls), strict=True)):
        assert comparable(one) == comparable(other), f"program {place}: {calls.codes[place].hex()}"
    assert len(set(lanes.statistics.escapes) & {"the device failed"}) == 0


def test_items_of_lanes_are_neighbours_where_stacks_are_interleaved(state: NativeState) -> None:
    """Item `number` of lane `lane` is at `(number * 4 + lane) * 32` of the stacks of its depth."""
    lanes = batch_on("host", INTERLEAVED)
    lanes.call(state, columns([push(0xA11) + op("CALLDATASIZE")() + op("STOP")()] * 4))
    assert lanes._room is not None
    size = INTERLEAVED.build.stack_size
    begin = -(-lanes._room.stacks.address // size) * size
    bottom = np.frombuffer(ctypes.string_at(begin + size, 2 * INTERLEAVED.build.item_size), np.uint64)
    items = bottom.reshape(2, INTERLEAVED.interleave, 4)
    assert items[0, :, 0].tolist() == [0xA11] * 4
    assert items[1, :, 0].tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("interleave", [1, 32])
def test_the_depth_is_told_by_the_address(interleave: int) -> None:
    """Whatever the lane of a group, and however deep."""
    build = LaneSizes(interleave=interleave, stack_items=32).build
    for depth in range(32):
        for lane in range(interleave):
            address = 5 * build.stack_size + depth * build.item_size + 32 * lane
            assert address & build.depth_mask == depth * build.item_size
