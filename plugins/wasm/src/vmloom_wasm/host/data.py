"""What comes in and goes out: input, output, what a call returned, and how a run ends on purpose."""

from __future__ import annotations

from typing import Final, NoReturn

from ..abi import offered
from ..run import Failure, Finished, Reverted, Run

LONGEST_TEXT: Final = 1_024
"""Bytes of a message that are shown."""


@offered(":i")
def input_size(run: Run) -> int:
    """Bytes of the input."""
    run.charge(run.prices.host_call)
    return len(run.context.input)


@offered("iii:")
def input_copy(run: Run, destination: int, offset: int, size: int) -> None:
    """Copy `size` bytes of the input, zeros beyond its end."""
    run.charge(run.prices.host_call)
    run.charge_copy(size)
    run.write_padded(destination, run.context.input[offset : offset + size], size)


@offered(":i")
def return_data_size(run: Run) -> int:
    """Bytes that the last call or creation returned."""
    run.charge(run.prices.host_call)
    return len(run.return_data)


@offered("iii:")
def return_data_copy(run: Run, destination: int, offset: int, size: int) -> None:
    """Copy `size` bytes of what the last call returned; beyond its end is a failure. EIP-211."""
    run.charge(run.prices.host_call)
    run.charge_copy(size)
    if offset + size > len(run.return_data):
        raise Failure(f"{size} bytes at {offset} are beyond the return data of {len(run.return_data)} bytes")
    run.write(destination, run.return_data[offset : offset + size])


@offered("ii:")
def set_output(run: Run, source: int, size: int) -> None:
    """Make a copy of these bytes the output, whatever `output_ptr` and `output_len` say in the end."""
    run.charge(run.prices.host_call)
    run.charge_copy(size)
    run.output = run.read(source, size)


@offered("ii:")
def finish(run: Run, source: int, size: int) -> NoReturn:
    """End with success and this output."""
    run.charge(run.prices.host_call)
    run.charge_copy(size)
    raise Finished(run.read(source, size))


@offered("ii:")
def revert(run: Run, source: int, size: int) -> NoReturn:
    """End, undo all changes, keep the gas that is left, and give this output to the caller."""
    run.charge(run.prices.host_call)
    run.charge_copy(size)
    raise Reverted(run.read(source, size))


@offered("iiii:")
def abort(run: Run, message: int, file: int, line: int, column: int) -> NoReturn:
    """What AssemblyScript compiles `abort` and failed assertions to: a failure with their text."""
    run.charge(run.prices.host_call)
    raise Failure(f"{_text(run, message) or 'abort'} ({_text(run, file) or 'unknown'}:{line}:{column})")


def _text(run: Run, pointer: int) -> str:
    """A string of AssemblyScript: UTF-16, with its size in bytes in front. Empty for null."""
    if pointer < 4:
        return ""
    size = int.from_bytes(run.read(pointer - 4, 4), "little")
    return run.read(pointer, min(size, LONGEST_TEXT) & ~1).decode("utf-16-le", "replace")
