"""The driver of one loop and one switch: what it is for, and what it is not. That it agrees is for `tests/cuda/evm`."""

from __future__ import annotations

import pytest
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.forks import fork_named
from vmloom_evm.native.build import BINDINGS
from vmloom_evm.native.lane_build import LaneSizes, lane_program, slab_of
from vmloom_evm.native.lanes import (
    REGION_COUNT,
    analyse_code,
    pack_outcome,
    run_lane,
    spread_transaction,
    summarise,
)
from vmloom_evm.native.machine import Build
from vmloom_evm.native.switch import Switch
from vmloom_native.program import Program

OSAKA = Evm(EvmConfig()).specification(fork_named("osaka"))


def test_lanes_need_nothing_that_other_processors_lack() -> None:
    """No tail calls, no calls by address, no jumps by address, no symbols from elsewhere."""
    program = lane_program(OSAKA, LaneSizes())
    for body in (run_lane, analyse_code, spread_transaction, summarise, pack_outcome):
        program.function(body)
    text = program.ir()
    lines = text.splitlines()
    assert not [line for line in lines if "musttail" in line or "indirectbr" in line or "preserve_none" in line]
    assert not [line for line in lines if " call " in line and "@" not in line.partition(" call ")[2].partition("(")[0]]
    assert not [line for line in lines if line.startswith("declare") and "@llvm." not in line]
    assert text.count("switch i8 %op,") == 1


def test_traced_builds_are_refused() -> None:
    """Their tracers are Python's."""
    build = Build(traced=True)
    program = Program(bindings=BINDINGS, constants={"rules": OSAKA.rules, "build": build})
    with pytest.raises(ValueError, match="threaded driver"):
        Switch(program, OSAKA.rows.values(), OSAKA.fork.gas, build, OSAKA.rules.stack_limit).write()


@pytest.mark.parametrize("sizes", [LaneSizes(), LaneSizes(frames=3, stack_items=2048, accounts=1, memory=7)])
def test_parts_of_a_slab_do_not_overlap(sizes: LaneSizes) -> None:
    slab = slab_of(sizes)
    begins = sorted(
        begin for offset, _, index, mask in slab.regions for begin in ([offset, index] if mask else [offset])
    )
    assert len(slab.regions) == REGION_COUNT
    assert len(set(begins)) == len(begins)
    assert all(begin % 64 == 0 for begin in begins)
    assert slab.size % 64 == 0
    assert begins[-1] < slab.size
