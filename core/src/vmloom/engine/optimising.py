"""Code made shorter or cheaper by its VM; what cannot be is left as it is, with the reason."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from ..bytecode import OptimisationReport, Refusal
from ..errors import CodeError, InputError, Unsupported
from ..suggest import nearest
from ..vm import VirtualMachine

LEVELS: Final = range(4)


def check_bytes(codes: Sequence[object]) -> None:
    """Raises `InputError` with the index of the first that is not bytes."""
    for index, code in enumerate(codes):
        if not isinstance(code, (bytes, bytearray)):
            raise InputError(f"bytecode_list: item {index}: bytes are needed, got {type(code).__name__}")


def optimise(vm: VirtualMachine, code: bytes, rules: Sequence[str] | None, level: int) -> OptimisationReport:
    """What `vm` makes of `code`. Raises `InputError` for a rule that it does not know, or a level that there is not."""
    if level not in LEVELS:
        raise InputError(f"optimization_level: 0 to {LEVELS[-1]}, not {level!r}")
    known = vm.optimisation_rules()
    for rule in rules or ():
        if rule not in known:
            near = nearest(rule, known)
            hint = f" (did you mean {near!r}?)" if near else ""
            raise InputError(f"optimization_rules: {vm.vm_type} has no rule {rule!r}{hint}")
    try:
        return vm.optimise(bytes(code), rules=rules, level=level)
    except (CodeError, Unsupported) as error:
        reason = str(error)
    except Exception as error:  # what is wrong with a VM must not take the other codes of the batch with it
        reason = f"{vm.vm_type} failed with {type(error).__name__}: {error}"
    return OptimisationReport(bytes(code), bytes(code), refused=(Refusal("", reason),))
