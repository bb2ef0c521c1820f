"""What a plugin can offer. The whole surface is the five hooks of `VmloomSpecs`.

A hook returns light descriptions (`*Spec`): a name and the import path of the thing, which is imported when it
is first used. So listing plugins is instant and a broken backend breaks only itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pluggy

API_VERSION = 1
"""Version of these hooks and of the classes they lead to. A plugin built for another one is not loaded."""

PROJECT = "vmloom"
"""Name of the pluggy project and of the entry point group."""

STDERR_IS_DATA = "vmloom.stderr_is_data"
"""Key of click's `Context.meta`: a command sets it if programs read its stderr, where nothing else may appear then."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@dataclass(frozen=True, slots=True)
class Spec:
    """Something offered: `target` is its import path `package.module:Name`.

    `config` is the import path of the pydantic model of its section of the configuration, empty if it has none.
    """

    name: str
    target: str
    config: str = ""
    summary: str = ""
    """One line for people."""
    api: int = API_VERSION


@dataclass(frozen=True, slots=True)
class VmSpec(Spec):
    """A `VirtualMachine` class. It is called with `config=` (its model) and `host=` (a `vmloom.factory.VmHost`)."""

    magic: bytes = b""
    """The first bytes of all code for this VM, by which new code is known to be its; empty if there are none."""
    demo: str = ""
    """The import path of the `vmloom.demo.DemoToken` that `vmloom demo` runs on this VM; empty if there is none."""


@dataclass(frozen=True, slots=True)
class PrecompileSpec(Spec):
    """A `PrecompileSet` class for the VM called `vm`, called with `config=` if it has a model."""

    vm: str = "evm"


@dataclass(frozen=True, slots=True)
class AcceleratorSpec(Spec):
    """An `Accelerator` class, called with `config=` if it has a model."""

    absence: str = ""
    """The import path of a function that says why the accelerator cannot be used here, as far as that can be told at
    once; empty if nothing is known against it. It is called with the section as it was read, for `vmloom plugins`;
    whether a device can indeed be used is what `Accelerator.status` finds out, which may take its time."""


@dataclass(frozen=True, slots=True)
class StateSpec(Spec):
    """A `StateAccess` class, called with `config=` if it has a model."""


@dataclass(frozen=True, slots=True)
class CommandSpec(Spec):
    """A click command, added to the command line under `name`.

    `config` is the model of the section of that name, for a command that has one; the core knows which may: `[node]`.
    """


class VmloomSpecs:
    """The hooks. Each is called once per process and must not import what its specs point at."""

    @hookspec
    def vmloom_virtual_machines(self) -> Iterable[VmSpec]:
        """The virtual machines this package offers."""
        raise NotImplementedError

    @hookspec
    def vmloom_precompiles(self) -> Iterable[PrecompileSpec]:
        """The precompile sets this package offers."""
        raise NotImplementedError

    @hookspec
    def vmloom_accelerators(self) -> Iterable[AcceleratorSpec]:
        """The accelerators this package offers."""
        raise NotImplementedError

    @hookspec
    def vmloom_states(self) -> Iterable[StateSpec]:
        """The state stores this package offers."""
        raise NotImplementedError

    @hookspec
    def vmloom_commands(self) -> Iterable[CommandSpec]:
        """The commands this package adds to `vmloom`."""
        raise NotImplementedError
