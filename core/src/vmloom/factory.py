"""The factory: creates, configures and caches virtual machines and what belongs to them.

The one place where plugins, settings and the classes that plugins offer come together. Safe to share by threads.
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

from .accelerator import Accelerator
from .errors import ConfigError, PluginError
from .hookspecs import PrecompileSpec, VmSpec
from .plugins import KINDS, Kind, Offer, PluginRecord, PluginRegistry, Status, one_line
from .precompile import PrecompileSet
from .settings import Settings, load_settings, section_key
from .state import MemoryState, StateAccess
from .vm import VirtualMachine, VmHost, VmType

__all__ = ["VmFactory", "VmFactoryConfig", "VmHost", "check_sections", "default_factory"]

VmFactoryConfig: TypeAlias = Settings
"""What a factory is configured by. Each field lives in the section of the plugin that owns it.

The sketch of the factory (seed 001) lists the fields of one VM flatly; they are found here, all in `[vm.evm]`:

| the sketch's name | key | unit |
|---|---|---|
| `evm_enable_jit` | `enable_jit` (and `engine`) | |
| `evm_max_memory_size` | `max_memory_size` | bytes |
| `evm_stack_limit` | `stack_limit` | items |
| `max_call_depth` | `call_depth_limit` | calls |
| `max_create_contract_limit` | `create_contract_limit` | bytes |
| `evm_disabled_opcodes` | `disabled_opcodes` | names |
| `evm_precompile_addresses` | `precompile_addresses` | |
| `evm_revision` | `revision` | |
"""

DEFAULT_VM: Final = "evm"
"""See `VmHost.default_vm`."""
ENABLED: Final = "enabled"
"""The one key of `[precompiles.<set>]` that is the core's: `enabled = false` leaves the set out."""


class VmFactory:
    """Virtual machines by type. Without `settings` everything has its default; nothing is read from files.

    `plugins` replaces the registry that the settings describe. Raises `ConfigError` for a section that belongs to
    nothing installed, and with `strict` settings `PluginError` for a plugin that cannot be used.
    """

    def __init__(self, settings: VmFactoryConfig | None = None, *, plugins: PluginRegistry | None = None) -> None:
        self.settings = Settings() if settings is None else settings
        chosen = self.settings.plugins
        self.plugins = plugins or PluginRegistry(disable=chosen.disable, prefer=chosen.prefer, strict=chosen.strict)
        self._made: dict[tuple[Kind, str], Any] = {}
        self._being_made: list[tuple[Kind, str]] = []
        self._lock = threading.RLock()
        check_sections(self.settings, self.plugins)

    @property
    def records(self) -> list[PluginRecord]:
        """The installed plugins with their statuses, in a stable order."""
        return self.plugins.records

    # Virtual machines

    def available(self) -> list[VmType]:
        """The types of VM that can be asked for, sorted."""
        return self.plugins.names("vm")

    def get_vm(self, vm_type: VmType) -> VirtualMachine:
        """The VM of that type; the same one each time.

        Raises `UnknownVm`, which lists what there is, `PluginError` if it cannot be created and `ConfigError`.
        """
        vm: VirtualMachine = self._get("vm", vm_type, lambda: self.create_vm(vm_type))
        return vm

    def create_vm(self, vm_type: VmType, **values: Any) -> VirtualMachine:
        """A new VM that is not cached. `values` override those of its section. Raises as `get_vm` does."""
        offer = self.plugins.find("vm", vm_type)
        settings = self.settings.overridden({"vm": {vm_type: values}}) if values else self.settings
        vm: VirtualMachine = self._create(offer, VirtualMachine, settings, host=self)
        return vm

    @property
    def default_vm(self) -> VmType:
        """See `VmHost`."""
        return DEFAULT_VM

    def vm_of_code(self, code: bytes) -> VmType:
        """See `VmHost`. Raises `PluginError` for a magic that two VMs claim: a guess would decide what contracts do."""
        for magic, names in self._magics:
            if code.startswith(magic):
                if len(names) > 1:
                    raise PluginError(
                        f"code that begins with 0x{magic.hex()} is claimed by the VMs {' and '.join(names)}"
                    ).with_fix("name the packages not to be used in [plugins] disable")
                return names[0]
        return DEFAULT_VM

    @functools.cached_property
    def _magics(self) -> list[tuple[bytes, list[VmType]]]:
        """First bytes of code with the VMs that claim them, longest first."""
        found: dict[bytes, list[VmType]] = {}
        for offer in self.plugins.offers("vm"):
            if isinstance(offer.spec, VmSpec) and offer.spec.magic:
                found.setdefault(offer.spec.magic, []).append(offer.spec.name)
        return sorted(found.items(), key=lambda item: len(item[0]), reverse=True)

    # What belongs to them

    def precompile_sets(self, vm: VmType) -> Sequence[PrecompileSet]:
        """The precompile sets for the VM of that type, by name, less those whose section says `enabled = false`.

        Raises `PluginError` for one that cannot be created: to run without it would change what contracts do.
        """
        return [
            self._get("precompiles", offer.spec.name, functools.partial(self._create, offer, PrecompileSet))
            for offer in self.plugins.offers("precompiles")
            if isinstance(offer.spec, PrecompileSpec) and offer.spec.vm == vm and self._is_enabled(offer.spec.name)
        ]

    def accelerator(self, name: str) -> Accelerator:
        """The accelerator of that name; the same one each time. Raises `PluginError`."""
        offer = self.plugins.find("accelerator", name)
        accelerator: Accelerator = self._get("accelerator", name, lambda: self._create(offer, Accelerator))
        return accelerator

    def accelerators(self) -> list[Accelerator]:
        """Every accelerator that can be created, by name. What cannot be is logged and left out: all are optional."""
        found = []
        for name in self.plugins.names("accelerator"):
            try:
                found.append(self.accelerator(name))
            except PluginError as error:
                _log().warning("accelerator left out", name=name, cause=str(error))
        return found

    def create_state(self, name: str = "memory") -> StateAccess:
        """A new state store; `memory` is the core's own, others come from plugins. Raises `PluginError`."""
        if name == "memory":
            return MemoryState()
        state: StateAccess = self._create(self.plugins.find("state", name), StateAccess)
        return state

    def check(self, kind: Kind, name: str) -> Any:
        """The checked section of an offer, None if it has none. Raises `ConfigError` and `PluginError`."""
        return self._section(self.plugins.find(kind, name), self.settings)

    # How they are made

    def _get(self, kind: Kind, name: str, make: Callable[[], Any]) -> Any:
        made = self._made.get((kind, name))
        if made is not None:  # the usual case, without a lock
            return made
        with self._lock:
            made = self._made.get((kind, name))
            if made is None:
                if (kind, name) in self._being_made:
                    chain = " -> ".join(name for _, name in [*self._being_made, (kind, name)])
                    raise PluginError(f"{chain}: it asks for itself while it is being created")
                self._being_made.append((kind, name))
                try:
                    made = self._made[kind, name] = make()
                finally:
                    self._being_made.pop()
            return made

    def _create(self, offer: Offer, base: type[Any], settings: Settings | None = None, **arguments: Any) -> Any:
        config = self._section(offer, settings or self.settings)
        # A VM is always told its configuration; what has no model of its own is called without one.
        if config is not None or offer.kind == "vm":
            arguments["config"] = config
        cls = self.plugins.load(offer)
        try:
            made = cls(**arguments)
        except (PluginError, ConfigError):
            raise
        except Exception as cause:
            raise PluginError(
                f"{offer} of {offer.dist} {offer.version} cannot be created: {one_line(cause)}"
            ) from cause
        if not isinstance(made, base):
            raise PluginError(f"{offer} of {offer.dist} {offer.version}: {offer.spec.target} is no {base.__name__}")
        return made

    def _section(self, offer: Offer, settings: Settings) -> Any:
        model = self.plugins.load_config_model(offer)
        skip = (ENABLED,) if offer.kind == "precompiles" else ()
        return settings.section(offer.kind, offer.spec.name, model, skip=skip)

    def _is_enabled(self, name: str) -> bool:
        enabled = self.settings.raw("precompiles", name).get(ENABLED, True)
        if str(enabled).lower() not in ("true", "false", "1", "0"):
            raise self.settings.error(("precompiles", name, ENABLED), f"should be true or false, got {enabled!r}")
        return str(enabled).lower() in ("true", "1")


@functools.lru_cache(maxsize=1)
def default_factory() -> VmFactory:
    """The factory for the settings that `load_settings` finds where the process runs. The same one each time."""
    return VmFactory(load_settings())


def check_sections(settings: Settings, plugins: PluginRegistry) -> None:
    """Raise `ConfigError` for a section that belongs to nothing installed.

    As long as some plugin cannot be asked what it offers, the section may be its own, and is let pass.
    """
    if any(record.status is not Status.LOADED for record in plugins.records):
        return
    for kind in KINDS:
        known = plugins.names(kind)
        for name in settings.section_names(kind):
            if name not in known:
                where = section_key(kind, name)
                raise settings.unknown_section(where, known, f"no installed plugin offers {kind} '{name}'")


def _log() -> Any:
    import structlog  # costs more to import than the rest of the core; only what goes wrong needs it

    return structlog.get_logger("vmloom")
