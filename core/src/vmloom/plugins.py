"""The loader: which installed packages offer something to vmloom, and whether each can be used.

Called by the factory and the command line. Every entry point is dealt with on its own, so one bad plugin never
hides another; nothing that a spec points at is imported before `load` is asked for it.
"""

from __future__ import annotations

import importlib
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from importlib.metadata import Distribution, EntryPoint, PackageNotFoundError, distributions, version
from typing import Any, Final, Literal, TypeAlias, get_args

import pluggy
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from .errors import PluginError, UnknownVm
from .hookspecs import (
    API_VERSION,
    PROJECT,
    AcceleratorSpec,
    CommandSpec,
    PrecompileSpec,
    Spec,
    StateSpec,
    VmloomSpecs,
    VmSpec,
)
from .suggest import nearest

CORE: Final = "vmloom-core"
"""The distribution whose version plugins name in their requirements."""

Kind: TypeAlias = Literal["vm", "precompiles", "accelerator", "state", "command"]
"""What can be offered; also the first word of its section in a configuration."""
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)

_HOOKS: Final[dict[str, tuple[Kind, type[Spec]]]] = {
    "vmloom_virtual_machines": ("vm", VmSpec),
    "vmloom_precompiles": ("precompiles", PrecompileSpec),
    "vmloom_accelerators": ("accelerator", AcceleratorSpec),
    "vmloom_states": ("state", StateSpec),
    "vmloom_commands": ("command", CommandSpec),
}
_WORDS: Final[dict[Kind, str]] = {"vm": "virtual machine", "precompiles": "precompile set", "state": "state store"}

_OURS: Final[Mapping[Kind, tuple[str, tuple[str, ...]]]] = {
    "vm": ("vmloom-", ("evm", "prozvm", "wasm")),
    "precompiles": ("vmloom-precompiles-", ("bls12-381", "classic", "kzg", "p256")),
    "accelerator": ("vmloom-", ("cuda", "native")),
}
"""By kind, how the packages of this project are called and what they offer: to say what could be installed."""

RESERVED: Final[Mapping[Kind, frozenset[str]]] = {
    "state": frozenset({"memory"}),
    "command": frozenset(
        {"bench", "cache", "config", "demo", "disasm", "doctor", "estimate", "plugins", "report", "run", "validate"}
    ),
}
"""Names that the core itself provides; no plugin may take them."""

# Hyphens only: in the names of environment variables an underscore stands for one.
_NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_TARGET = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*")


class Status(StrEnum):
    """Whether a plugin can be used."""

    LOADED = "loaded"
    DISABLED = "disabled"
    """By the configuration."""
    ERROR = "error"
    """It cannot be imported or does not keep to the hooks."""
    INCOMPATIBLE = "incompatible"
    """It was built for another version of the core."""
    CONFLICT = "conflict"
    """Another package offers something of the same name, and the configuration picks neither."""


@dataclass(frozen=True, slots=True)
class Offer:
    """One thing that a plugin offers; `dist` and `version` are those of its distribution."""

    kind: Kind
    spec: Spec
    dist: str
    version: str

    def __str__(self) -> str:
        return f"{_WORDS.get(self.kind, self.kind)} '{self.spec.name}'"


@dataclass(slots=True)
class PluginRecord:
    """One entry point `name` of the distribution `dist`, its status and, in one line, the cause and the way out."""

    name: str
    dist: str
    version: str
    status: Status = Status.LOADED
    detail: str = ""
    fix: str = ""
    offers: list[Offer] = field(default_factory=list)

    @property
    def needs_attention(self) -> bool:
        """Whether it should be usable and is not."""
        return self.status not in (Status.LOADED, Status.DISABLED)

    def __str__(self) -> str:
        return f"{self.dist} {self.version} [{self.status}]" + (f" {self.detail}" if self.detail else "")

    def reject(self, status: Status, detail: str, fix: str = "") -> None:
        """Set the status with its cause; further causes are appended."""
        self.status = status
        self.detail = f"{self.detail}; {detail}" if self.detail else detail
        self.fix = self.fix or fix


class _Incompatible(Exception):
    pass


class PluginRegistry:
    """What the installed plugins offer, by kind and name.

    `disable` holds names of entry points or distributions; `prefer` says, by kind and name, which distribution's
    offer to take where several make one. With `strict` the first plugin that cannot be used raises instead of
    being recorded. `installed` replaces what is found in the environment.
    """

    def __init__(
        self,
        *,
        disable: Iterable[str] = (),
        prefer: Mapping[str, Mapping[str, str]] | None = None,
        strict: bool = False,
        installed: Iterable[tuple[EntryPoint, Distribution]] | None = None,
    ) -> None:
        self.records: list[PluginRecord] = []
        self._strict = strict
        self._picked: dict[tuple[Kind, str], Offer] = {}
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(VmloomSpecs)
        disabled = {canonicalize_name(name) for name in disable}
        found = _installed() if installed is None else installed
        for entry, dist in sorted(found, key=lambda pair: (pair[0].name, canonicalize_name(pair[1].metadata["Name"]))):
            record = PluginRecord(entry.name, dist.metadata["Name"], dist.version)
            self.records.append(record)
            if disabled & {canonicalize_name(record.name), canonicalize_name(record.dist)}:
                record.reject(Status.DISABLED, "by the configuration (plugins.disable)")
            else:
                self._examine(entry, dist, record)
        self._settle(prefer or {})

    # What there is

    def names(self, kind: Kind) -> list[str]:
        """The usable names of a kind, sorted."""
        return sorted(name for of, name in self._picked if of == kind)

    def offers(self, kind: Kind) -> list[Offer]:
        """The usable offers of a kind, by name."""
        return [self._picked[kind, name] for name in self.names(kind)]

    def is_usable(self, offer: Offer) -> bool:
        """Whether `offer` is the one taken for its name."""
        return self._picked.get((offer.kind, offer.spec.name)) is offer

    def find(self, kind: Kind, name: str) -> Offer:
        """The usable offer of that name. Raises `PluginError` (`UnknownVm` for a VM) that says what there is."""
        try:
            return self._picked[kind, name]
        except KeyError:
            raise self._missing(kind, name) from None

    def load(self, offer: Offer) -> Any:
        """Import what the offer points at. Raises `PluginError` if that fails."""
        return self._import(offer, offer.spec.target)

    def load_config_model(self, offer: Offer) -> Any:
        """Import the pydantic model of the offer's section; None if it has none. Raises `PluginError`."""
        return self._import(offer, offer.spec.config) if offer.spec.config else None

    def absence(self, offer: Offer, section: Mapping[str, Any]) -> str:
        """Why an accelerator cannot be used, as far as can be told at once; empty otherwise. See `AcceleratorSpec`.

        Never raises: what goes wrong is the reason.
        """
        if not isinstance(offer.spec, AcceleratorSpec) or not offer.spec.absence:
            return ""
        try:
            return str(self._import(offer, offer.spec.absence)(section))
        except PluginError as cause:
            return str(cause)
        except Exception as cause:
            return one_line(cause)

    def load_demo(self, offer: Offer) -> Any:
        """Import what a VM's offer shows in `vmloom demo`; None if that is nothing. Raises `PluginError`."""
        path = getattr(offer.spec, "demo", "")
        return self._import(offer, path) if path else None

    # How it gets there

    def _examine(self, entry: EntryPoint, dist: Distribution, record: PluginRecord) -> None:
        try:
            _check_requirements(dist)
            record.offers = self._ask(entry.load(), record)
        except _Incompatible as cause:
            if self._strict:
                raise PluginError(f"plugin {record.dist} {record.version} {cause}") from None
            record.reject(Status.INCOMPATIBLE, str(cause), f"pip install --upgrade {CORE} {record.dist}")
        except (Exception, SystemExit) as cause:
            if self._strict:
                raise
            record.reject(Status.ERROR, one_line(cause))

    def _ask(self, plugin: Any, record: PluginRecord) -> list[Offer]:
        try:
            self._manager.register(plugin, f"{record.dist}:{record.name}")
            self._manager.check_pending()  # a misspelled hook would never be called
            _check_marked(plugin, [caller.name for caller in self._manager.get_hookcallers(plugin) or []])
            return list(self._offers_of(plugin, record))
        except BaseException:
            if self._manager.is_registered(plugin):
                self._manager.unregister(plugin)
            raise

    def _offers_of(self, plugin: Any, record: PluginRecord) -> Iterator[Offer]:
        for hook, (kind, spec_type) in _HOOKS.items():
            for implementation in getattr(self._manager.hook, hook).get_hookimpls():
                if implementation.plugin is not plugin:
                    continue
                for spec in implementation.function():
                    _check_spec(hook, spec, spec_type)
                    yield Offer(kind, spec, record.dist, record.version)

    def _settle(self, prefer: Mapping[str, Mapping[str, str]]) -> None:
        offered: dict[tuple[Kind, str], list[tuple[Offer, PluginRecord]]] = defaultdict(list)
        for record in self.records:
            for offer in record.offers:
                offered[offer.kind, offer.spec.name].append((offer, record))
        for (kind, name), found in sorted(offered.items()):
            wanted = prefer.get(kind, {}).get(name)
            taken = [pair for pair in found if wanted is None or _same_dist(pair[0].dist, wanted)]
            if name in RESERVED.get(kind, ()):
                self._conflict(found, f"{found[0][0]} is the core's own")
            elif len(taken) == 1:
                self._picked[kind, name] = taken[0][0]
                for offer, record in found:
                    if record is not taken[0][1]:
                        _set_aside(offer, record, taken[0][0].dist)
            elif not taken:
                self._conflict(found, f"{found[0][0]}: plugins.prefer asks for that of '{wanted}', which offers none")
            else:
                dists = ", ".join(sorted(offer.dist for offer, _ in found))
                fix = f'[plugins] prefer.{kind}.{name} = "{taken[0][0].dist}"'
                self._conflict(found, f"{found[0][0]} is offered by {dists}", fix)

    def _conflict(self, found: list[tuple[Offer, PluginRecord]], cause: str, fix: str = "") -> None:
        if self._strict:
            raise PluginError(cause).with_fix(fix) if fix else PluginError(cause)
        for record in {id(record): record for _, record in found}.values():
            record.reject(Status.CONFLICT, cause, fix)

    def _missing(self, kind: Kind, name: str) -> PluginError:
        word, usable = _WORDS.get(kind, kind), self.names(kind)
        unusable = [record for record in self.records if record.status is not Status.LOADED]
        close = nearest(name, usable)
        message = f"no usable {word} '{name}'" + (f" (did you mean '{close}'?)" if close else "")
        message += f"; usable: {', '.join(usable) or 'none'}"
        if unusable:
            message += f"; not usable: {'; '.join(map(str, unusable))}"
        error = (UnknownVm if kind == "vm" else PluginError)(message)
        fix = _fix_for(kind, name, usable, unusable)
        return error.with_fix(fix) if fix else error

    def _import(self, offer: Offer, path: str) -> Any:
        module, _, attribute = path.partition(":")
        try:
            return getattr(importlib.import_module(module), attribute)
        except (Exception, SystemExit) as cause:
            raise PluginError(
                f"{offer} of {offer.dist} {offer.version} cannot be imported from {path}: {one_line(cause)}"
            ) from cause


def _fix_for(kind: Kind, name: str, usable: list[str], unusable: list[PluginRecord]) -> str:
    for record in unusable:
        if record.fix and any(offer.kind == kind and offer.spec.name == name for offer in record.offers):
            return record.fix
    prefix, names = _OURS.get(kind, ("", ()))
    close = nearest(name, names)
    if close is None or close in usable:
        return ""
    package = prefix + close
    for record in unusable:
        if _same_dist(record.dist, package):
            return record.fix or f"pip install --force-reinstall {package}"
    return f"pip install {package}"


def one_line(cause: BaseException) -> str:
    """Kind and message of an exception in one line."""
    return f"{type(cause).__name__}: {' '.join(str(cause).split())}".rstrip(": ")


def _installed() -> list[tuple[EntryPoint, Distribution]]:
    found: dict[tuple[str, str], tuple[EntryPoint, Distribution]] = {}
    for dist in distributions():
        if f"[{PROJECT}]" not in (dist.read_text("entry_points.txt") or ""):
            continue  # most of an environment; its metadata need not be parsed
        for entry in dist.entry_points:
            if entry.group == PROJECT:  # the first on the path hides others of the same distribution, as in imports
                found.setdefault((entry.name, canonicalize_name(dist.metadata["Name"])), (entry, dist))
    return list(found.values())


def _same_dist(one: str, other: str) -> bool:
    return canonicalize_name(one) == canonicalize_name(other)


def _set_aside(offer: Offer, record: PluginRecord, winner: str) -> None:
    # A package of which nothing else is used is as good as switched off, and the list should say so.
    status = Status.DISABLED if len(record.offers) == 1 and record.status is Status.LOADED else record.status
    record.reject(status, f"{offer} is taken from {winner} (plugins.prefer)")


def _check_requirements(dist: Distribution) -> None:
    """Pip installs pairs that do not fit, with a warning; so the plugin's own requirement is checked here."""
    try:
        core = version(CORE)
    except PackageNotFoundError:
        return  # run from a source tree that is not installed: there is no version to compare
    for text in dist.requires or []:
        requirement = Requirement(text)
        applies = requirement.marker is None or requirement.marker.evaluate({"extra": ""})
        if not applies or not _same_dist(requirement.name, CORE):
            continue
        if not requirement.specifier.contains(core, prereleases=True):
            raise _Incompatible(f"needs {CORE}{requirement.specifier}, but {core} is installed")


def _check_marked(plugin: Any, hooks: list[str]) -> None:
    for name in dir(plugin):
        if name in _HOOKS and name not in hooks:
            raise PluginError(f"{name} is not marked with @hookimpl")
    if not hooks:
        raise PluginError("it implements no hook of vmloom")


def _check_spec(hook: str, spec: object, expected: type[Spec]) -> None:
    if not isinstance(spec, expected):
        raise PluginError(f"{hook} must give {expected.__name__} objects, got {type(spec).__name__}")
    if spec.api != API_VERSION:
        raise _Incompatible(f"was built for plugin API {spec.api} ('{spec.name}'), but this core has {API_VERSION}")
    if not _NAME.fullmatch(spec.name):
        raise PluginError(f"{hook}: {spec.name!r} is no name; use lower-case letters and digits joined by hyphens")
    for path in filter(None, (spec.target, spec.config, getattr(spec, "demo", ""), getattr(spec, "absence", ""))):
        if not _TARGET.fullmatch(path):
            raise PluginError(f"{hook}: {path!r} is no import path of the form package.module:Name")
