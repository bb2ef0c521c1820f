"""Fixtures of the accelerator `cuda`: the same cases on the host, in the emulator, and on a GPU where there is one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from vmloom_cuda.accelerator import CudaAccelerator
from vmloom_cuda.config import CudaConfig
from vmloom_cuda.device.on_host import HostDevice

_MADE: dict[str, CudaAccelerator] = {}


@pytest.fixture(params=["host", "emulated", pytest.param("gpu", marks=pytest.mark.gpu)])
def accelerator(request: Any) -> Iterator[CudaAccelerator]:
    """The accelerator, on whose devices alone everything has to run: what the processor had to do fails the test."""
    path = request.param
    if path not in _MADE:
        devices = [HostDevice()] if path == "host" else None
        _MADE[path] = CudaAccelerator(CudaConfig(emulated=path == "emulated"), devices=devices)
    made = _MADE[path]
    status = made.status()
    if path == "gpu" and not status.available:
        pytest.skip(f"no GPU: {status.reason}")
    assert (status.available, status.path) == (True, path), status.reason
    yield made
    told = made.performance()
    assert told["fallbacks"] == 0, told["last_fallback"]
    assert not any(device["failure"] for device in told["devices"])
