"""Settings: where each value may come from, who checks it, and what to say when it is wrong.

Sources, strongest first: the command line, `VMLOOM_*` environment variables, `vmloom.toml` (or the file that
`VMLOOM_CONFIG` names), `[tool.vmloom]` in `pyproject.toml`, defaults. They are merged key by key, and every value
keeps its origin. A plugin's section stays raw here; `Settings.section` checks it with the plugin's own model.
Pydantic is imported by the first section that is checked, not before.
"""

from __future__ import annotations

import copy
import os
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import UnionType
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, get_args, get_origin

from .errors import ConfigError
from .json_text import read_json
from .plugins import KINDS
from .suggest import nearest

if TYPE_CHECKING:
    from pydantic import BaseModel, ValidationError

    from .engine.config import EngineConfig

    Model = TypeVar("Model", bound=BaseModel)

Key = tuple[str, ...]
"""The words of a key: `("vm", "evm", "revision")` for `revision` in the section `[vm.evm]`."""

PREFIX: Final = "VMLOOM_"
CONFIG_VARIABLE: Final = "VMLOOM_CONFIG"
OTHER_VARIABLES: Final = frozenset({CONFIG_VARIABLE, "VMLOOM_CACHE_DIR", "VMLOOM_FIXTURES"})
"""Variables that set no value: the file to read, where compiled code is kept, and where our tests find their data."""
FILE: Final = "vmloom.toml"
LOG_LEVELS: Final = ("debug", "info", "warning", "error")

_NAMED: Final = tuple(kind for kind in KINDS if kind != "command")
"""Sections that hold one section for each plugin's offer: `[vm.evm]`."""
_OF_COMMANDS: Final = ("node",)
"""Sections of commands that plugins offer: `[node]` is read by the model of the command `node`."""
_SECTIONS: Final = (*_NAMED, *_OF_COMMANDS, "plugins", "logging", "engine")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a value was set. `name` is the file, variable or option."""

    kind: Literal["default", "argument", "pyproject", "file", "env", "option"]
    name: str = ""

    def __str__(self) -> str:
        return self.name or self.kind

    @property
    def is_text(self) -> bool:
        """Whether values come as text that is still to be read as a list or number."""
        return self.kind in ("env", "option")

    def place(self, key: Key, name: str | None = None) -> str:
        """The key in the words of its source, with the last one replaced by `name` if given."""
        words = key if name is None else (*key[:-1], name)
        if self.kind == "env":
            return self.name if name is None else _variable(words)
        if self.kind == "option":
            return f"{self.name} {'.'.join(words)}" if self.name == "--set" else self.name
        prefix = f"{self.name}: " if self.name else ""
        return f"{prefix}[{_table(self, words[:-1])}] {words[-1]}" if len(words) > 1 else f"{prefix}{words[-1]}"


DEFAULT: Final = Origin("default")
ARGUMENT: Final = Origin("argument")


def _table(origin: Origin, words: Key) -> str:
    return ".".join(("tool", "vmloom", *words) if origin.kind == "pyproject" else words)


def _variable(key: Key) -> str:
    return PREFIX + "__".join(word.upper().replace("-", "_") for word in key)


@dataclass(frozen=True, slots=True)
class Value:
    """One value of a configuration as it takes effect, and where it was set."""

    key: Key
    value: Any
    origin: Origin


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """`[plugins]`: which plugins are used."""

    disable: tuple[str, ...] = ()
    """Entry points or distributions that are not loaded."""
    prefer: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """`prefer.vm.evm = "dist"`: whose offer to take where several packages make one of that kind and name."""
    strict: bool = False
    """Raise at the first plugin that cannot be used."""


@dataclass(frozen=True, slots=True)
class LoggingSettings:
    """`[logging]`: for the command line only; a library's logging is its application's to configure."""

    level: Literal["debug", "info", "warning", "error"] = "warning"
    format: Literal["console", "json"] = "console"


class Settings:
    """What is configured. `Settings({"vm": {"evm": {"revision": "cancun"}}})` configures from code alone.

    `load_settings` reads all sources. Raises `ConfigError` for what the core can check: sections it does not
    know and the values of `[plugins]`, `[logging]` and `[engine]`. Instances do not change.
    """

    def __init__(self, values: Mapping[str, Any] | None = None, *, origin: Origin = ARGUMENT) -> None:
        self._tree: dict[str, Any] = {}
        self._origins: dict[Key, Origin] = {}
        self._engine: list[EngineConfig] = []
        """The section's model once somebody has asked for it, since it takes pydantic to make."""
        self._merge(values or {}, origin)
        self._check()

    @classmethod
    def merged(cls, layers: Iterable[tuple[Mapping[str, Any], Origin]]) -> Settings:
        """Settings from several layers, weakest first."""
        settings = cls()
        for values, origin in layers:
            settings._merge(values, origin)
        settings._check()
        return settings

    def overridden(self, values: Mapping[str, Any], origin: Origin = ARGUMENT) -> Settings:
        """These settings with `values` on top."""
        settings = Settings()
        settings._tree = copy.deepcopy(self._tree)
        settings._origins = dict(self._origins)
        settings._merge(values, origin)
        settings._check()
        return settings

    # The core's own sections

    @property
    def plugins(self) -> PluginSettings:
        """The section `[plugins]`."""
        return self._plugins

    @property
    def logging(self) -> LoggingSettings:
        """The section `[logging]`."""
        return self._logging

    @property
    def engine(self) -> EngineConfig:
        """The section `[engine]`."""
        if not self._engine:
            self._engine.append(self._read_engine())
        return self._engine[0]

    # Plugins' sections

    def section_names(self, kind: str) -> list[str]:
        """The names that have a section of that kind: `["evm"]` for `[vm.evm]`."""
        if kind == "command":
            return [name for name in _OF_COMMANDS if self._tree.get(name)]
        return sorted(self._tree.get(kind, {}))

    def raw(self, kind: str, name: str) -> dict[str, Any]:
        """The section as it was read, without defaults."""
        return dict((self._tree if kind == "command" else self._tree.get(kind, {})).get(name, {}))

    def section(self, kind: str, name: str, model: type[Model] | None, *, skip: Iterable[str] = ()) -> Model | None:
        """The section checked by `model`; keys in `skip` are someone else's. None without a model.

        Raises `ConfigError` for a key that the model does not have or a value that it refuses.
        """
        raw = {key: value for key, value in self.raw(kind, name).items() if key not in skip}
        where = section_key(kind, name)
        if model is None:
            for key in raw:
                raise self.error((*where, key), f"unknown key ({kind} {name} has no settings)")
            return None
        checked: Model = self._validate(where, raw, model)
        return checked

    def values(self, key: Key, checked: Any) -> Iterator[Value]:
        """Every value of a section `key` that `checked` (its model) holds, defaults included, with its origin."""
        for name in _field_types(type(checked)):
            value = getattr(checked, name)
            if hasattr(type(value), "model_fields"):  # a table within the section
                yield from self.values((*key, name), value)
            else:
                yield Value((*key, name), value, self.origin((*key, name)))

    def origin(self, key: Key) -> Origin:
        """Where the value was set, or the value that it is part of, or else the first value below it."""
        for length in range(len(key), 0, -1):
            # A table in which nothing stands says nothing of the keys that it could have.
            if key[:length] in self._origins and (length == len(key) or self._value(key[:length]) != {}):
                return self._origins[key[:length]]
        below = (origin for other, origin in self._origins.items() if other[: len(key)] == key)
        return next(below, DEFAULT)

    def error(self, key: Key, message: str) -> ConfigError:
        """A `ConfigError` that names the place of `key`."""
        whole = next((key[:n] for n in range(len(key), 0, -1) if key[:n] in self._origins), key)
        part = "".join(f"[{word}]" for word in key[len(whole) :])
        return ConfigError(f"{self.origin(key).place(whole)}{part}: {message}")

    def unknown(self, key: Key, known: Iterable[str], what: str = "unknown key") -> ConfigError:
        """A `ConfigError` for the last word of `key`, with the nearest of the `known` ones."""
        close = nearest(key[-1], known)
        if close is None:
            return self.error(key, what)
        origin = self.origin(key)
        spelled = close if origin.kind in ("file", "pyproject", "argument", "default") else origin.place(key, close)
        return self.error(key, f"{what} (did you mean `{spelled.removeprefix('--set ')}`?)")

    def unknown_section(self, key: Key, known: Iterable[str], why: str = "") -> ConfigError:
        """A `ConfigError` for the whole section `key`, with the nearest of the `known` ones or else the reason."""
        origin, close = self.origin(key), nearest(key[-1], known)
        place = origin.name if origin.is_text else f"{origin.name}: [{_table(origin, key)}]".removeprefix(": ")
        hint = f"did you mean `{'.'.join((*key[:-1], close))}`?" if close else why
        return ConfigError(f"{place}: unknown section" + (f" ({hint})" if hint else ""))

    # How it is put together

    def _value(self, key: Key) -> Any:
        """What was set there."""
        value: Any = self._tree
        for word in key:
            value = value[word]
        return value

    def _merge(self, values: Mapping[str, Any], origin: Origin) -> None:
        for key, value in _leaves(values):
            branch: dict[str, Any] = self._tree
            for word in key[:-1]:
                below = branch.get(word)
                if not isinstance(below, dict):
                    below = branch[word] = {}
                branch = below
            branch[key[-1]] = value
            overlaid = [old for old in self._origins if old[: len(key)] == key or key[: len(old)] == old]
            for old in overlaid:
                del self._origins[old]
            self._origins[key] = origin

    def _check(self) -> None:
        for section, value in self._tree.items():
            if section not in _SECTIONS:
                raise self.unknown_section((section,), _SECTIONS)
            if not isinstance(value, dict):
                raise self.error((section,), "must be a section, not a value")
            for name, inner in value.items() if section in _NAMED else ():
                if not isinstance(inner, dict):
                    raise self.error((section, name), f"must be in a section such as [{section}.evm]")
        self._plugins: PluginSettings = self._read("plugins", PluginSettings)
        self._logging: LoggingSettings = self._read("logging", LoggingSettings)
        self._engine = [self._read_engine()] if self._tree.get("engine") else []
        for kind in self._plugins.prefer:
            if kind not in KINDS:
                raise self.unknown(("plugins", "prefer", kind), KINDS)

    def _read_engine(self) -> EngineConfig:
        from .engine.config import EngineConfig

        checked: EngineConfig = self._read("engine", EngineConfig)
        return checked

    def _read(self, section: str, model: type[Any]) -> Any:
        # Most runs have neither section, and need not pay for importing pydantic.
        raw = self._tree.get(section, {})
        return self._validate((section,), raw, model) if raw else model()

    def _validate(self, key: Key, raw: Mapping[str, Any], model: type[Any]) -> Any:
        from pydantic import TypeAdapter, ValidationError

        values = self._read_texts(key, raw, model)
        try:
            return TypeAdapter(model).validate_python(values)
        except ValidationError as error:
            raise self._refused(key, model, error) from None

    def _read_texts(self, key: Key, raw: Mapping[str, Any], model: type[Any]) -> dict[str, Any]:
        """The values, with what variables and options said as text read by the types of the model's fields."""
        fields = _field_types(model)
        values: dict[str, Any] = {}
        for name, value in raw.items():
            if name not in fields:  # models may be lenient; a configuration is not
                raise self.unknown((*key, name), fields)
            if isinstance(value, Mapping) and hasattr(fields[name], "model_fields"):  # a table within the section
                value = self._read_texts((*key, name), value, fields[name])
            elif isinstance(value, str) and self.origin((*key, name)).is_text:
                value = _from_text(value, fields[name])
            values[name] = value
        return values

    def _refused(self, key: Key, model: type[Any], error: ValidationError) -> ConfigError:
        first = error.errors(include_url=False)[0]
        where = (*key, *(str(word) for word in first["loc"]))
        if first["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
            return self.unknown(where, _field_types_at(model, first["loc"][:-1]))
        message = first["msg"].removeprefix("Value error, ")
        # A model's own message says what it was given.
        given = "" if first["type"] in ("missing", "value_error") else f", got {first['input']!r}"
        if not first["loc"]:  # a rule about several fields: only the section can be named
            return ConfigError(f"{self.origin(key).place((*key, '')).rstrip()}: {message}")
        return self.error(where, f"{message[:1].lower()}{message[1:]}{given}")


def section_key(kind: str, name: str) -> Key:
    """The section of an offer: `[vm.evm]` of the VM `evm`, but `[node]` of the command `node`."""
    return (name,) if kind == "command" else (kind, name)


def load_settings(
    *,
    overrides: Iterable[tuple[str, str]] = (),
    config: str | os.PathLike[str] | None = None,
    environment: Mapping[str, str] | None = None,
    directory: str | os.PathLike[str] = ".",
) -> Settings:
    """The settings from all sources.

    `overrides` are the command line's: (dotted key, text). `config` replaces `vmloom.toml` as `VMLOOM_CONFIG` does,
    and goes before it. Relative files are looked up in `directory`. Raises `ConfigError`.
    """
    variables = os.environ if environment is None else environment
    here = Path(directory)
    layers = [_read_pyproject(here / "pyproject.toml")]
    chosen = config or variables.get(CONFIG_VARIABLE)
    if chosen:
        by = "--config" if config else CONFIG_VARIABLE
        layers.append(_read_file(here / chosen, str(chosen), missing=f"{by}: no file '{chosen}'"))
    else:
        layers.append(_read_file(here / FILE, FILE))
    layers += _read_environment(variables)
    layers += [_read_override(key, text) for key, text in overrides]
    return Settings.merged(layers)


# Sources

_Layer = tuple[Mapping[str, Any], Origin]


def _read_file(path: Path, name: str, *, missing: str = "") -> _Layer:
    origin = Origin("file", name)
    try:
        return tomllib.loads(path.read_text("utf-8")), origin
    except FileNotFoundError:
        if missing:
            raise ConfigError(missing) from None
        return {}, origin
    except OSError as error:
        raise ConfigError(f"{name}: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{name}: byte {error.start}: not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{name}: {error}") from None


def _read_pyproject(path: Path) -> _Layer:
    values, _ = _read_file(path, path.name)
    section = values.get("tool", {}).get("vmloom", {})
    return section, Origin("pyproject", path.name)


def _read_environment(variables: Mapping[str, str]) -> Iterator[_Layer]:
    for name, text in sorted(variables.items()):
        if not name.startswith(PREFIX) or name in OTHER_VARIABLES:
            continue
        words = name.removeprefix(PREFIX).lower().split("__")
        if words[0] not in _SECTIONS or len(words) < 2 or not all(words):
            raise ConfigError(_unknown_variable(name))
        if words[0] in _NAMED:  # names of offers have hyphens, which a variable's name cannot have
            words[1] = words[1].replace("_", "-")
        elif words[:2] == ["plugins", "prefer"]:
            words[3:] = [word.replace("_", "-") for word in words[3:]]
        yield _nest(tuple(words), text), Origin("env", name)


def _unknown_variable(name: str) -> str:
    first, separator, rest = name.removeprefix(PREFIX).partition("__")
    sections = [section.upper() for section in _SECTIONS]
    # The usual slip is one underscore where two belong: VMLOOM_PLUGINS_STRICT.
    meant = [f"{known}__{first[len(known) + 1 :]}" for known in sections if first.startswith(known + "_")]
    close = nearest(first, sections if separator else [*sections, CONFIG_VARIABLE.removeprefix(PREFIX)])
    if close is not None:
        meant.append(close + separator + rest)
    return f"{name}: unknown variable" + (f" (did you mean `{PREFIX}{meant[0]}`?)" if meant else "")


def _read_override(key: str, text: str) -> _Layer:
    words = tuple(key.removeprefix("--").split("."))
    if len(words) < 2 or not all(words):
        raise ConfigError(f"--set {key}: a key has the form section.key, such as vm.evm.revision")
    return _nest(words, text), Origin("option", "--set")


def _nest(key: Key, value: Any) -> dict[str, Any]:
    for word in reversed(key):
        value = {word: value}
    nested: dict[str, Any] = value
    return nested


def _leaves(values: Mapping[str, Any], above: Key = ()) -> Iterator[tuple[Key, Any]]:
    for word, value in values.items():
        # An empty section sets nothing, but a section that does not exist is still an error.
        if isinstance(value, Mapping) and (value or len(above) < 1):
            yield from _leaves(value, (*above, word)) if value else [((*above, word), {})]
        else:
            yield (*above, word), value


# Types of values


def _field_types(model: type[Any]) -> dict[str, Any]:
    fields = getattr(model, "model_fields", None)
    if fields is not None:
        return {field.alias or name: field.annotation for name, field in fields.items()}
    from typing import get_type_hints

    return get_type_hints(model)


def _field_types_at(model: type[Any], path: tuple[int | str, ...]) -> list[str]:
    for word in path:
        inner = _field_types(model).get(str(word))
        if inner is None or not hasattr(inner, "model_fields"):
            return []
        model = inner
    return list(_field_types(model))


def _from_text(text: str, annotation: Any) -> Any:
    """Text of a variable or option as the value it stands for: JSON or comma-separated for lists, JSON for tables."""
    kinds = set(_containers(annotation))
    if kinds <= {str}:
        return text
    if text.strip().startswith(("[", "{")):
        try:
            return read_json(text)
        except ValueError:
            return text  # the model will refuse it and show it
    if list in kinds and str not in kinds:
        return [item.strip() for item in text.split(",") if item.strip()]
    return text


def _containers(annotation: Any) -> Iterator[type]:
    found = get_origin(annotation) or annotation
    if isinstance(found, type):
        if issubclass(found, (list, tuple, set, frozenset)):
            yield list
        elif issubclass(found, Mapping):
            yield dict
        elif found is str:
            yield str
    if not isinstance(found, type) or found is UnionType:  # Optional, unions, Annotated
        for argument in get_args(annotation):
            yield from _containers(argument)
