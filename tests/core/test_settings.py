"""Where settings come from, which wins, and what is said of wrong ones."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, Field
from vmloom.errors import ConfigError
from vmloom.settings import Settings, load_settings


class Inner(BaseModel, extra="forbid"):
    price: int = 1
    names: tuple[str, ...] = ()


class Model(BaseModel):  # lenient on purpose: the core must refuse unknown keys for it
    revision: str = "osaka"
    stack_limit: int = Field(default=1024, ge=1)
    disabled: tuple[str, ...] = ()
    numbers: list[int] | None = None
    fast: bool = False
    inner: Inner = Inner()
    prices: dict[str, int] = Field(default_factory=dict)


def load(folder: Path, *overrides: tuple[str, str], config: str | None = None, **variables: str) -> Settings:
    return load_settings(overrides=overrides, config=config, environment=variables, directory=folder)


def evm(settings: Settings) -> Model:
    model = settings.section("vm", "evm", Model)
    assert model is not None
    return model


def test_every_source_overrides_the_weaker_ones(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.vmloom.vm.evm]\nrevision = 'a'\nstack_limit = 1\nfast = true\n")
    (tmp_path / "vmloom.toml").write_text("[vm.evm]\nrevision = 'b'\nstack_limit = 2\nnumbers = [2]\n")
    settings = load(
        tmp_path, ("vm.evm.revision", "d"), VMLOOM_VM__EVM__REVISION="c", VMLOOM_VM__EVM__NUMBERS="3,4", HOME="/"
    )
    model = evm(settings)
    assert (model.revision, model.numbers, model.stack_limit, model.fast) == ("d", [3, 4], 2, True)
    keys = [".".join(value.key) for value in settings.values(("vm", "evm"), model)]
    assert "vm.evm.inner.price" in keys  # each key of a table within the section
    sources = {value.key[-1]: str(value.origin) for value in settings.values(("vm", "evm"), model)}
    assert sources == {
        "revision": "--set",
        "numbers": "VMLOOM_VM__EVM__NUMBERS",
        "stack_limit": "vmloom.toml",
        "fast": "pyproject.toml",
        "disabled": "default",
        "price": "default",
        "names": "default",
        "prices": "default",
    }


def test_no_source_at_all_is_all_defaults(tmp_path: Path) -> None:
    assert evm(load(tmp_path)) == Model()


def test_chosen_file_replaces_the_usual_one(tmp_path: Path) -> None:
    (tmp_path / "vmloom.toml").write_text("[vm.evm]\nrevision = 'usual'\nfast = true\n")
    (tmp_path / "node.toml").write_text("[vm.evm]\nrevision = 'chosen'\n")
    assert evm(load(tmp_path, VMLOOM_CONFIG="node.toml")) == Model(revision="chosen")
    assert evm(load(tmp_path, config="node.toml", VMLOOM_CONFIG="nope.toml")) == Model(revision="chosen")


def test_tables_are_merged_key_by_key(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.vmloom.vm.evm.prices]\nADD = 1\nMUL = 2\n")
    (tmp_path / "vmloom.toml").write_text("[vm.evm.prices]\nMUL = 3\n")
    settings = load(tmp_path)
    assert evm(settings).prices == {"ADD": 1, "MUL": 3}
    assert str(settings.origin(("vm", "evm", "prices", "ADD"))) == "pyproject.toml"


@pytest.mark.parametrize(
    ("text", "expected"),
    [("a,b", ("a", "b")), (" a , b,", ("a", "b")), ('["a", "b,c"]', ("a", "b,c")), ("", ()), ("a", ("a",))],
)
def test_lists_in_variables(tmp_path: Path, text: str, expected: tuple[str, ...]) -> None:
    assert load(tmp_path, VMLOOM_PLUGINS__DISABLE=text).plugins.disable == expected
    assert evm(load(tmp_path, VMLOOM_VM__EVM__DISABLED=text)).disabled == expected
    assert evm(load(tmp_path, ("vm.evm.disabled", text))).disabled == expected


def test_other_types_in_variables(tmp_path: Path) -> None:
    settings = load(
        tmp_path,
        VMLOOM_VM__EVM__FAST="1",
        VMLOOM_VM__EVM__STACK_LIMIT="7",
        VMLOOM_VM__EVM__PRICES='{"ADD": 5}',
        VMLOOM_VM__EVM__INNER__PRICE="9",
        VMLOOM_VM__EVM__INNER__NAMES="a,b",
    )
    inner = Inner(price=9, names=("a", "b"))
    assert evm(settings) == Model(fast=True, stack_limit=7, prices={"ADD": 5}, inner=inner)


def test_an_empty_table_is_the_origin_of_nothing_in_it(tmp_path: Path) -> None:
    (tmp_path / "vmloom.toml").write_text("[vm.evm]\n[vm.evm.inner]\n[vm.evm.prices]\n")
    settings = load(tmp_path)
    assert {
        str(value.origin) for value in settings.values(("vm", "evm"), evm(settings)) if value.key[-1] != "prices"
    } == {"default"}


def test_a_section_of_a_command(tmp_path: Path) -> None:
    (tmp_path / "vmloom.toml").write_text("[node]\nstack_limit = 2\n[node.inner]\nprice = 3\n")
    settings = load(tmp_path, VMLOOM_NODE__INNER__NAMES="a")
    assert settings.section_names("command") == ["node"]
    assert settings.section("command", "node", Model) == Model(stack_limit=2, inner=Inner(price=3, names=("a",)))
    with pytest.raises(ConfigError, match=r"^VMLOOM_NODE__INNER__PRISE: unknown key"):
        load(tmp_path, VMLOOM_NODE__INNER__PRISE="1").section("command", "node", Model)


def test_hyphens_are_underscores_in_variables(tmp_path: Path) -> None:
    settings = load(
        tmp_path, VMLOOM_PRECOMPILES__BLS12_381__FAST="true", VMLOOM_PLUGINS__PREFER__PRECOMPILES__BLS12_381="x"
    )
    assert settings.section("precompiles", "bls12-381", Model) == Model(fast=True)
    assert settings.plugins.prefer == {"precompiles": {"bls12-381": "x"}}


def test_where_fixtures_are_is_no_setting(tmp_path: Path) -> None:
    assert evm(load(tmp_path, VMLOOM_FIXTURES="x")) == Model()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[vm.evm]\nrevison = 'x'", "node.toml: [vm.evm] revison: unknown key (did you mean `revision`?)"),
        ("[vm.evm]\nqqq = 1", "node.toml: [vm.evm] qqq: unknown key"),
        ("[vm.evm.inner]\nprize = 1", "node.toml: [vm.evm.inner] prize: unknown key (did you mean `price`?)"),
        (
            "[vm.evm]\nstack_limit = 'x'",
            "node.toml: [vm.evm] stack_limit: input should be a valid integer, "
            "unable to parse string as an integer, got 'x'",
        ),
        (
            "[vm.evm]\nstack_limit = 0",
            "node.toml: [vm.evm] stack_limit: input should be greater than or equal to 1, got 0",
        ),
        (
            "[vm.evm]\nnumbers = [1, 'x']",
            "node.toml: [vm.evm] numbers[1]: input should be a valid integer, "
            "unable to parse string as an integer, got 'x'",
        ),
        ("[vms.evm]\nx = 1", "node.toml: [vms]: unknown section (did you mean `vm`?)"),
        ("[plugins]\ndisabel = []", "node.toml: [plugins] disabel: unknown key (did you mean `disable`?)"),
        ("[plugins.prefer.vmm]\nx = 'y'", "unknown key (did you mean `vm`?)"),
        ("[logging]\nlevel = 'loud'", "node.toml: [logging] level: input should be 'debug', 'info', 'warning'"),
        ("vm = 3", "node.toml: vm: must be a section, not a value"),
        ("[vm]\nevm = 3", "node.toml: [vm] evm: must be in a section such as [vm.evm]"),
        ("x = ", "node.toml: Invalid value (at end of document)"),
        ("[vm.evm]\nrevision = 'a'\nrevision = 'b'", "node.toml: "),
    ],
)
def test_wrong_file(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "node.toml").write_text(text)
    with pytest.raises(ConfigError) as caught:
        evm(load(tmp_path, config="node.toml"))
    assert str(caught.value).startswith("node.toml: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_wrong_pyproject_is_named_with_its_table(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.vmloom.vm.evm]\nrevison = 'x'\n")
    with pytest.raises(ConfigError, match=r"^pyproject.toml: \[tool.vmloom.vm.evm\] revison: unknown key \(did you"):
        evm(load(tmp_path))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("VMLOOM_VM__EVM__REVISON", "unknown key (did you mean `VMLOOM_VM__EVM__REVISION`?)"),
        ("VMLOOM_PLUGIN__DISABLE", "unknown variable (did you mean `VMLOOM_PLUGINS__DISABLE`?)"),
        ("VMLOOM_PLUGINS_DISABLE", "unknown variable (did you mean `VMLOOM_PLUGINS__DISABLE`?)"),
        ("VMLOOM_CONFG", "unknown variable (did you mean `VMLOOM_CONFIG`?)"),
        ("VMLOOM_PLUGINS__DISABEL", "unknown key (did you mean `VMLOOM_PLUGINS__DISABLE`?)"),
        ("VMLOOM_ZZZZ", "unknown variable"),
        ("VMLOOM_VM", "unknown variable"),
        ("VMLOOM_VM____X", "unknown variable"),
        ("VMLOOM_VM__EVM", "must be in a section such as [vm.evm]"),
    ],
)
def test_wrong_variable(tmp_path: Path, name: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        evm(load(tmp_path, **{name: "x"}))
    assert str(caught.value).startswith(f"{name}: {message}")


def test_wrong_option(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^--set vm.evm.revison: unknown key \(did you mean `vm.evm.revision`\?\)$"):
        evm(load(tmp_path, ("vm.evm.revison", "x")))
    with pytest.raises(ConfigError, match=r"a key has the form section.key"):
        load(tmp_path, ("revision", "x"))


def test_missing_and_unreadable_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^VMLOOM_CONFIG: no file 'nope.toml'$"):
        load(tmp_path, VMLOOM_CONFIG="nope.toml")
    with pytest.raises(ConfigError, match=r"^--config: no file 'nope.toml'$"):
        load(tmp_path, config="nope.toml")
    with pytest.raises(ConfigError, match=r"Is a directory$"):
        load(tmp_path, config=".")
    (tmp_path / "vmloom.toml").write_bytes(b"# \xff")
    with pytest.raises(ConfigError, match=r"^vmloom.toml: byte 2: not UTF-8$"):
        load(tmp_path)


def test_section_without_model_takes_nothing() -> None:
    assert Settings().section("vm", "calc", None) is None
    with pytest.raises(ConfigError, match=r"^\[vm.calc\] x: unknown key"):
        Settings({"vm": {"calc": {"x": 1}}}).section("vm", "calc", None)


def test_overriding_leaves_the_original_alone() -> None:
    settings = Settings({"vm": {"evm": {"revision": "a", "prices": {"ADD": 1}}}})
    changed = settings.overridden({"vm": {"evm": {"prices": {"ADD": 2}}}})
    assert evm(settings).prices == {"ADD": 1}
    assert evm(changed) == Model(revision="a", prices={"ADD": 2})


def test_reading_settings_imports_nothing_heavy(tmp_path: Path) -> None:
    program = (
        "import sys, vmloom.cli.commands, vmloom.settings as s; s.load_settings(environment={})\n"
        "print([name for name in ('pydantic', 'structlog', 'rich.table') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_importing_the_package_does_not_look_for_plugins(tmp_path: Path) -> None:
    program = (
        "import sys, vmloom, vmloom.testing.pytest_plugin\n"
        "print([name for name in ('vmloom.factory', 'vmloom.plugins', 'pydantic') if name in sys.modules])\n"
        "print(vmloom.VmFactory.__module__, vmloom.Settings.__module__, hasattr(vmloom, 'Vmfactory'))"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "[]\nvmloom.factory vmloom.settings False\n"


def test_values_are_not_shared_with_the_caller() -> None:
    source: dict[str, Any] = {"vm": {"evm": {"prices": {"ADD": 1}}}}
    settings = Settings(source)
    source["vm"]["evm"]["prices"]["ADD"] = 9
    assert evm(settings).prices == {"ADD": 1}
