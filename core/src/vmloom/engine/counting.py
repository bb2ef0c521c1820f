"""VMs that count their instructions, where they can: those whose configuration has the key `instruction_metrics`."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Final

from ..factory import VmFactory
from ..precompile import PrecompileSet
from ..vm import VirtualMachine, VmType

KEY: Final = "instruction_metrics"


class CountingHost:
    """The VMs of `factory`, each as one that counts if it can. A `VmHost`."""

    def __init__(self, factory: VmFactory) -> None:
        self._factory: Final = factory
        self._vms: dict[VmType, VirtualMachine] = {}
        self._lock = threading.Lock()

    @property
    def default_vm(self) -> VmType:
        """The factory's."""
        return self._factory.default_vm

    def vm_of_code(self, code: bytes) -> VmType:
        """The factory's answer."""
        return self._factory.vm_of_code(code)

    def precompile_sets(self, vm: VmType) -> Sequence[PrecompileSet]:
        """The factory's."""
        return self._factory.precompile_sets(vm)

    def get_vm(self, vm_type: VmType) -> VirtualMachine:
        """The VM of that type, made once. Raises as `VmFactory.get_vm` does."""
        with self._lock:
            found = self._vms.get(vm_type)
            if found is None:
                can_count = hasattr(self._factory.check("vm", vm_type), KEY)
                found = self._factory.create_vm(vm_type, **{KEY: True}) if can_count else self._factory.get_vm(vm_type)
                self._vms[vm_type] = found
            return found
