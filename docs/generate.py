"""Write the reference pages that come from the code: `python docs/generate.py`, with `--check` to compare only.

`docs/reference/` gets the command line, the configuration, the forks and an index of modules, which are committed;
`--api FOLDER` writes the full API, one page for each module, which is not.
"""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import griffe
import prozvm_tables
from vmloom.cli.commands import root
from vmloom.plugins import PluginRegistry
from vmloom.store.interface import DEFAULT_HISTORY
from vmloom_evm.forks import FORKS, LATEST
from vmloom_evm.specification import Specification
from vmloom_evm.table import OPS
from vmloom_node.rpc.reference import reference

assert Specification is not None  # its module imports the instructions, which fill OPS

REPOSITORY = Path(__file__).resolve().parents[1]
REFERENCE = REPOSITORY / "docs/reference"
PACKAGES = {
    "vmloom": "core/src",
    "vmloom_evm": "plugins/evm/src",
    "vmloom_native": "plugins/native/src",
    "vmloom_cuda": "plugins/cuda/src",
    "vmloom_precompiles_classic": "plugins/precompiles-classic/src",
    "vmloom_precompiles_kzg": "plugins/precompiles-kzg/src",
    "vmloom_precompiles_bls12_381": "plugins/precompiles-bls12-381/src",
    "vmloom_precompiles_p256": "plugins/precompiles-p256/src",
    "vmloom_prozvm": "plugins/prozvm/src",
    "vmloom_node": "plugins/node/src",
    "vmloom_state_lmdb": "plugins/state-lmdb/src",
    "vmloom_wasm": "plugins/wasm/src",
}
NOTE = "<!-- Written by docs/generate.py: change the code, then run it. -->\n\n"
SECTIONS = {
    "engine": ("vmloom", "engine.config.EngineConfig"),
    "vm.evm": ("vmloom_evm", "config.EvmConfig"),
    "vm.evm.jit": ("vmloom_evm", "config.EvmJitConfig"),
    "vm.prozvm": ("vmloom_prozvm", "config.ProzVmConfig"),
    "vm.prozvm.memory": ("vmloom_prozvm", "config.MemoryModel"),
    "vm.prozvm.register_config": ("vmloom_prozvm", "config.RegisterConfig"),
    "vm.prozvm.gas_schedule": ("vmloom_prozvm", "gas.GasSchedule"),
    "vm.prozvm.call_prices": ("vmloom_prozvm", "config.CallPrices"),
    "vm.prozvm.code": ("vmloom_prozvm", "config.CodeConfig"),
    "vm.prozvm.jit": ("vmloom_prozvm", "config.JitConfig"),
    "vm.prozvm.language": ("vmloom_prozvm", "config.LanguageConfig"),
    "vm.wasm": ("vmloom_wasm", "config.WasmConfig"),
    "vm.wasm.limits": ("vmloom_wasm", "config.ModuleLimits"),
    "vm.wasm.host_gas": ("vmloom_wasm", "prices.HostPrices"),
    "state.lmdb": ("vmloom_state_lmdb", "config.LmdbConfig"),
    "accelerator.cpu": ("vmloom_native", "config.CpuConfig"),
    "accelerator.cuda": ("vmloom_cuda", "config.CudaConfig"),
    "node": ("vmloom_node", "config.NodeConfig"),
    "node.genesis": ("vmloom_node", "config.GenesisConfig"),
    "node.accounts": ("vmloom_node", "config.AccountsConfig"),
    "node.mining": ("vmloom_node", "config.MiningConfig"),
    "node.store": ("vmloom_node", "config.StoreConfig"),
    "node.pool": ("vmloom_node", "config.PoolConfig"),
    "node.rpc": ("vmloom_node", "config.RpcConfig"),
    "plugins": ("vmloom", "settings.PluginSettings"),
    "logging": ("vmloom", "settings.LoggingSettings"),
}
TYPES = {
    "str": "text",
    "bool": "true or false",
    "PositiveInt": "number, 1 and up",
    "PositiveInt | None": "number, 1 and up",
    "NonNegativeInt": "number, 0 and up",
    "NonNegativeInt | None": "number, 0 and up",
    "NonNegativeFloat": "number, 0 and up",
    "Annotated[float, Field(ge=0, lt=1)]": "number, 0 to below 1",
    "Annotated[float, Field(ge=0.0, le=1.0)]": "number, 0 to 1",
    "tuple[str, ...] | None": "list of texts",
    "tuple[NonNegativeInt, ...] | None": "list of numbers, 0 and up",
    "Annotated[float, Field(gt=0.0, le=1.0)]": "number above 0, up to 1",
    "Annotated[int, Field(ge=WARP, le=BLOCK, multiple_of=WARP)]": "32, 64, 96 or 128",
    "Annotated[int, Field(ge=0, le=65536)]": "number, 0 to 65,536",
    "Annotated[int, Field(ge=1000, le=100000)]": "number, 1,000 to 100,000",
    "Engine": "`auto`, `reference`, `native` or `jit`",
    "Literal['default', 'cosmwasm']": "`default` or `cosmwasm`",
    "Literal['allow', 'read_only', 'deny']": "`allow`, `read_only` or `deny`",
    "Annotated[int, Field(ge=64, le=8192)]": "number, 64 to 8,192",
    "Annotated[int, Field(ge=1, le=128)]": "number, 1 to 128",
    "Annotated[int, Field(ge=1, le=4096)]": "number, 1 to 4,096",
    "Annotated[int, Field(ge=1, le=32)]": "number, 1 to 32",
    "Annotated[int, Field(ge=16, le=65536)]": "number, 16 to 65,536",
    "Annotated[int, Field(ge=0, le=3)]": "number, 0 to 3",
    "Price": "number, 0 to 2^63 - 1",
    "Mapping[Opcode, Price]": "table",
    "MemoryModel": "the section `[vm.prozvm.memory]`",
    "RegisterConfig": "the section `[vm.prozvm.register_config]`",
    "GasSchedule": "the section `[vm.prozvm.gas_schedule]`",
    "CallPrices": "the section `[vm.prozvm.call_prices]`",
    "CodeConfig": "the section `[vm.prozvm.code]`",
    "Literal['hot', 'first']": "`hot`, `first`",
    "Annotated[float, Field(gt=0, le=1000)]": "number above 0, up to 1,000",
    "Annotated[int, Field(gt=0, le=1 << 20)]": "1 to 1,048,576",
    "Annotated[float, Field(gt=0)]": "number above 0",
    "Annotated[int, Field(ge=1 << 16)]": "integer from 65,536",
    "EvmJitConfig": "the section `[vm.evm.jit]`",
    "JitConfig": "the section `[vm.prozvm.jit]`",
    "LanguageConfig": "the section `[vm.prozvm.language]`",
    "ModuleLimits": "the section `[vm.wasm.limits]`",
    "HostPrices": "the section `[vm.wasm.host_gas]`",
    "frozenset[OpcodeName]": "list of names",
    "frozenset[AddressKey] | None": "list of addresses",
    "frozenset[ImportName] | None": "list of names",
    "tuple[str, ...]": "list of text",
    "PositiveFloat": "number above 0",
    "Address": "address",
    "tuple[Namespace, ...]": "list of names",
    "Annotated[int, Field(ge=5000)]": "number, 5,000 and up",
    "Annotated[int, Field(ge=0, le=10000)]": "number, 0 to 10,000",
    "Annotated[int, Field(ge=0, le=65535)]": "number, 0 to 65,535",
    "Annotated[int, Field(ge=1, le=2 ** 53 - 1)]": "number, 1 to 2^53 - 1",
    "Literal['transaction', 'interval', 'manual']": "`transaction`, `interval` or `manual`",
    "Literal['memory', 'lmdb']": "`memory` or `lmdb`",
    "GenesisConfig": "the section `[node.genesis]`",
    "AccountsConfig": "the section `[node.accounts]`",
    "MiningConfig": "the section `[node.mining]`",
    "StoreConfig": "the section `[node.store]`",
    "PoolConfig": "the section `[node.pool]`",
    "RpcConfig": "the section `[node.rpc]`",
    "dict[AddressKey, ImportPath]": "table",
    "dict[OpcodeName, NonNegativeInt]": "table",
    "dict[str, NonNegativeInt]": "table",
    "dict[OpcodeName, CustomOpcode]": "table of tables",
    "dict[str, Any]": "table",
    "Mapping[str, Mapping[str, str]]": "table of tables",
}
"""Types of settings in the words of a configuration file."""


# The command line


def command_line() -> str:
    """Every command with its arguments and options."""
    lines = ["# Command line", "", NOTE.strip(), "", _help_text(root), ""]
    lines += ["Data goes to stdout, everything else to stderr. Exit codes: 0 all went well; 1 the contract failed or"]
    lines += ["reverted, or what was asked about is not in order; 2 the command line, the configuration or an input"]
    lines += [
        "cannot be used, and nothing was run. Commands that mimic another tool keep that tool's codes and say so."
    ]
    with click.Context(root, info_name="vmloom") as context:
        lines += _command(root, context, "vmloom")
    return "\n".join(lines) + "\n"


def _help_text(command: click.Command) -> str:
    """The command's help as Markdown paragraphs."""
    return inspect.cleandoc(command.help or "").replace("\b\n", "")


def _command(command: click.Command, context: click.Context, path: str) -> Iterator[str]:
    yield from ("", f"## `{path}`", "")
    if command is not root:
        yield from (_help_text(command), "")
    usage = " ".join(command.collect_usage_pieces(context))
    yield from ("```text", f"{path} {usage}".strip(), "```")
    options = [one for one in command.params if isinstance(one, click.Option) and not one.hidden]
    if options:
        yield from ("", "| option | |", "|---|---|")
        for option in options:
            yield f"| {_names(option, context)} | {_cell(_help(option))} |"
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                with click.Context(below, info_name=name, parent=context) as inner:
                    yield from _command(below, inner, f"{path} {name}")


def _names(option: click.Option, context: click.Context) -> str:
    names = ", ".join(f"`{name}`" for name in [*option.opts, *option.secondary_opts])
    value = "" if option.is_flag or option.count or option.type is click.BOOL else f" `{option.make_metavar(context)}`"
    return _cell(names + value)


def _help(option: click.Option) -> str:
    text = option.help or ""
    if option.show_default and isinstance(option.default, int | str) and not option.is_flag:
        text += f" Default: {option.default}."
    return text


# The configuration


def configuration() -> str:
    """Every key of every section, with type and default."""
    lines = ["# Configuration", "", NOTE.strip(), ""]
    lines += [
        "Where values come from, strongest first: options of the command line (`--set vm.evm.revision=cancun`, and"
    ]
    lines += [
        "those of a command), environment variables (`VMLOOM_VM__EVM__REVISION=cancun`: two underscores where the key"
    ]
    lines += ["has a point), `vmloom.toml` or the file that `--config` or `VMLOOM_CONFIG` names, `[tool.vmloom]` in"]
    lines += [
        "`pyproject.toml`, defaults. They are merged key by key; `vmloom config show` prints each value and its source."
    ]
    lines += ["An unknown section, key or variable is an error that names the nearest known one."]
    for section, (package, path) in SECTIONS.items():
        model = load(package)[path]
        lines += [
            "",
            f"## `[{section}]`",
            "",
            _first_line(model),
            "",
            "| key | type | default | |",
            "|---|---|---|---|",
        ]
        for name, member in model.members.items():
            if isinstance(member, griffe.Attribute) and not name.startswith("_") and member.annotation is not None:
                if name == "model_config" or "property" in member.labels:
                    continue
                default = "" if member.value is None else f"`{_default(str(member.value))}`"
                kind = TYPES.get(str(member.annotation), f"`{member.annotation}`")
                cells = (f"`{name}`", kind, default, _one_line(member))
                lines.append("| " + " | ".join(map(_cell, cells)) + " |")
    lines += ["", "## `[precompiles.<set>]`", ""]
    names = ", ".join(f"`{name}`" for name in PluginRegistry().names("precompiles"))
    lines += [f"`enabled = false` leaves an installed set out. The sets of this repository are {names}."]
    return "\n".join(lines) + "\n"


def _default(value: str) -> str:
    known = {"LATEST.name": '"osaka"', "frozenset()": "[]", "()": "[]", "field(default_factory=dict)": "{}"}
    known |= {"True": "true", "False": "false", "None": "none", "ModuleLimits()": "{}", "HostPrices()": "{}"}
    known |= {"DEV_CHAIN_ID": "31337", "DEV_GAS_LIMIT": "30000000", "DEV_ACCOUNTS": "10", "NAMESPACES": "all"}
    known |= {"DEFAULT_HISTORY": str(DEFAULT_HISTORY)}
    known |= {"DEV_MNEMONIC": '"test test ... junk"', "DEV_PATH": "\"m/44'/60'/0'/0\""}
    if value.endswith("Config()"):
        return "{}"
    return known.get(value, value.replace("'", '"'))


# Forks


def forks() -> str:
    """What each fork changed, and what instructions there are."""
    lines = ["# Forks and instructions of the EVM", "", NOTE.strip(), ""]
    lines += ["Each fork is the one before it and these differences: static prices of instructions in gas, and rules"]
    lines += [
        "(`vmloom_evm.rules.Rules` says what each means). A price of none means that there is no such instruction."
    ]
    previous = None
    for fork in FORKS.values():
        if previous is not None:
            lines += ["", f"## {fork.name}", "", "| | before | since |", "|---|---|---|"]
            for name, (old, new) in previous.differences(fork).items():
                lines.append(f"| `{name}` | {_value(old)} | {_value(new)} |")
        previous = fork
    lines += ["", "## Instructions", "", f"Static prices are those of {LATEST.name}.", ""]
    lines += ["| code | name | pops | pushes | gas | since |", "|---|---|---|---|---|---|"]
    for row in sorted(OPS.values(), key=lambda row: row.code):
        since = next((fork.name for fork in FORKS.values() if row.name in fork.gas), "")
        price = LATEST.gas.get(row.name, "")
        lines.append(f"| `{row.code:#04x}` | {row.name} | {row.pops} | {row.pushes} | {price} | {since} |")
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    return "none" if value is None else str(value).lower() if isinstance(value, bool) else f"{value:,}"


# JSON-RPC


def json_rpc() -> str:
    """Every method of the node with its parameters, by namespace."""
    return f"# JSON-RPC\n\n{NOTE}{reference().rstrip()}\n"


# ProzVM


def prozvm() -> str:
    """The page as it is, with its tables as the code has them."""
    return prozvm_tables.filled((REFERENCE / "prozvm.md").read_text("utf-8"))


# The API


def load(package: str) -> griffe.Module:
    """The package as griffe reads it from its source."""
    if package not in _loaded:
        module = griffe.load(package, search_paths=[REPOSITORY / PACKAGES[package]], submodules=True)
        assert isinstance(module, griffe.Module)
        _loaded[package] = module
    return _loaded[package]


_loaded: dict[str, griffe.Module] = {}


def modules(module: griffe.Module) -> Iterator[griffe.Module]:
    """The module and all public ones in it, by name."""
    yield module
    for _, inner in sorted(module.modules.items()):
        if not inner.name.startswith("_") and not inner.is_alias:
            yield from modules(inner)


def public(parent: griffe.Module | griffe.Class) -> Iterator[griffe.Function | griffe.Class | griffe.Attribute]:
    """The public members defined in `parent`, in the order of the source."""
    for name, member in parent.members.items():
        if name.startswith("_") or member.is_alias:
            continue
        is_field = isinstance(member, griffe.Attribute) and (member.docstring or isinstance(parent, griffe.Class))
        if isinstance(member, griffe.Function | griffe.Class) or is_field:
            yield member  # type: ignore[misc] # a flag narrows nothing


def api_index() -> str:
    """One line for each module."""
    lines = ["# API", "", NOTE.strip(), ""]
    lines += ["What each module holds. `python docs/generate.py --api build/api` writes the full reference from the"]
    lines += ["docstrings, one page for each module; `help()` shows the same. Names that begin with `_` are private."]
    for package in PACKAGES:
        lines += ["", f"## {package}", "", "| module | |", "|---|---|"]
        for module in modules(load(package)):
            lines.append(f"| `{module.path}` | {_cell(_first_line(module))} |")
    return "\n".join(lines) + "\n"


def api_page(module: griffe.Module) -> str:
    """The full reference of a module."""
    lines = [f"# {module.path}", "", _text(module), ""]
    for member in public(module):
        lines += [f"## {_heading(member)}", "", *_body(member)]
        if isinstance(member, griffe.Class):
            for inner in public(member):
                lines += [f"### {member.name}.{_heading(inner)}", "", *_body(inner)]
    return "\n".join(lines).rstrip() + "\n"


def _heading(member: griffe.Object) -> str:
    return f"`{member.name}`"


def _body(member: griffe.Object) -> Iterator[str]:
    yield from ("```python", _signature(member), "```", "")
    if _text(member):
        yield from (_text(member), "")


def _signature(member: griffe.Object) -> str:
    if isinstance(member, griffe.Function):
        return f"def {member.signature()}"
    if isinstance(member, griffe.Class):
        bases = ", ".join(map(str, member.bases))
        return f"class {member.name}({bases})" if bases else f"class {member.name}"
    assert isinstance(member, griffe.Attribute)
    annotation = f": {member.annotation}" if member.annotation is not None else ""
    value = f" = {member.value}" if member.value is not None and len(str(member.value)) < 60 else ""
    return f"{member.name}{annotation}{value}"


def _text(member: griffe.Object) -> str:
    return member.docstring.value.strip() if member.docstring else ""


def _first_line(member: griffe.Object) -> str:
    return _text(member).partition("\n\n")[0].replace("\n", " ")


def _one_line(member: griffe.Object) -> str:
    return " ".join(_text(member).split())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


# All of it

PAGES = {
    "cli.md": command_line,
    "configuration.md": configuration,
    "evm-forks.md": forks,
    "json-rpc.md": json_rpc,
    "prozvm.md": prozvm,
    "api.md": api_index,
}


def main(arguments: list[str]) -> int:
    """Write the pages, or with `--check` say which are stale; 1 if any is."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if a page is not current")
    parser.add_argument("--api", metavar="FOLDER", type=Path, help="write the full API there, and nothing else")
    options = parser.parse_args(arguments)
    os.environ["COLUMNS"] = "80"
    if options.api:
        options.api.mkdir(parents=True, exist_ok=True)
        for package in PACKAGES:
            for module in modules(load(package)):
                (options.api / f"{module.path}.md").write_text(api_page(module), "utf-8")
        return 0
    stale = 0
    for name, make in PAGES.items():
        path, wanted = REFERENCE / name, make()
        if path.is_file() and path.read_text("utf-8") == wanted:
            continue
        if options.check:
            print(f"docs/reference/{name} is not current; run: python docs/generate.py")
            stale = 1
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(wanted, "utf-8")
            print(f"wrote docs/reference/{name}")
    return stale


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
