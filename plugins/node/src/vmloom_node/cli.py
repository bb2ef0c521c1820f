"""The command `vmloom node`: a node from a configuration and the options that people know from other nodes."""

from __future__ import annotations

import gc
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import click
from vmloom.cli import EXIT_OK, App, pass_app
from vmloom.cli.app import configure_logging
from vmloom.errors import ConfigError
from vmloom.settings import DEFAULT, LoggingSettings, Origin, Settings

from .config import NodeConfig

if TYPE_CHECKING:
    from .node import Node

_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "host": ("rpc", "host"),
    "port": ("rpc", "port"),
    "chain_id": ("chain_id",),
    "hardfork": ("hardfork",),
    "vms": ("vms",),
    "accounts": ("accounts", "count"),
    "balance": ("accounts", "balance"),
    "mnemonic": ("accounts", "mnemonic"),
    "genesis": ("genesis", "file"),
    "timestamp": ("genesis", "timestamp"),
    "gas_limit": ("genesis", "gas_limit"),
    "base_fee": ("genesis", "base_fee"),
    "replay": ("replay",),
    "read_only": ("read_only",),
    "log_requests": ("rpc", "log_requests"),
}
"""The keys of `[node]` that options set."""


@click.command()
@click.option("--config", "config_file", metavar="FILE", help="Read FILE instead of vmloom.toml.")
@click.option("--host", metavar="ADDRESS", help="Listen at ADDRESS instead of loopback.")
@click.option("--port", metavar="NUMBER", help="Listen at this port; 0 takes a free one. Default: 8545.")
@click.option("--chain-id", metavar="NUMBER", help="The chain's number. Default: 31337.")
@click.option("--hardfork", metavar="NAME", help="The fork of the EVM, such as cancun.")
@click.option("--vm", "vms", multiple=True, metavar="NAME", help="Serve this machine and the EVM. May be repeated.")
@click.option("--accounts", "-a", metavar="NUMBER", help="How many development accounts. Default: 10.")
@click.option("--balance", metavar="ETHER", help="What each of them has in block 0. Default: 10000.")
@click.option("--mnemonic", "-m", metavar="WORDS", help="The phrase that their keys are derived from.")
@click.option("--block-time", "-b", metavar="SECONDS", help="Make a block each SECONDS, not one for each transaction.")
@click.option("--no-mining", is_flag=True, help="Make blocks only when evm_mine asks for them.")
@click.option("--state", metavar="DIR", help="Keep the chain in the folder DIR, and go on from what is there.")
@click.option("--genesis", "--init", metavar="FILE", help="Block 0 from FILE: geth's JSON, or TOML.")
@click.option("--timestamp", metavar="SECONDS", help="The time of block 0.")
@click.option("--gas-limit", metavar="GAS", help="Gas of each block. Default: 30000000.")
@click.option("--base-fee", metavar="WEI", help="The base fee of block 0. Default: 1000000000.")
@click.option(
    "--replay", multiple=True, metavar="FILE", help="Run and check the blocks in FILE first. May be repeated."
)
@click.option("--read-only", is_flag=True, help="Take no transactions and make no blocks.")
@click.option("--log-requests", is_flag=True, help="Log each call.")
@click.option("--quiet", is_flag=True, help="Print nothing but the address that it listens at.")
@pass_app
def node(app: App, /, config_file: str | None, quiet: bool, **options: Any) -> int:
    """Run a node: JSON-RPC over HTTP and WebSocket, an explorer for browsers, metrics, all at one address.

    Without options it is a chain for development in memory, with ten funded accounts and a block for each transaction.
    It ends on SIGINT and SIGTERM, when the requests that it has begun are answered.
    """
    from .node import Node

    app = app.with_config(config_file)
    settings = configured(app.settings, options)
    configure_logging(log_settings(settings))
    config = read_config(settings)
    with Node.from_settings(settings, config, app.plugins) as running:
        running.replay(config.replay)
        rest_collector()
        running.serve(lambda url: _greet(app, running, url, quiet))
    return EXIT_OK


def rest_collector() -> None:
    """Have the collector of cycles leave alone what lives as long as the node.

    It looks at the rest as often as ever: that takes less than one percent of the time of a transaction, and what calls
    and traces leave behind is large. Looking at it a thirtieth as often made a node of 0.3 GB one of 0.9.
    """
    gc.collect()
    gc.freeze()


def configured(settings: Settings, options: Mapping[str, Any]) -> Settings:
    """The settings with what the command's options say on top. Raises `ConfigError` for options that exclude others."""
    if options["no_mining"] and options["block_time"] is not None:
        raise ConfigError("--no-mining and --block-time exclude each other")
    given: list[tuple[str, tuple[str, ...], Any]] = [
        (name, _KEYS[name], value)
        for name, value in options.items()
        if name in _KEYS and value not in (None, (), False)
    ]
    if options["no_mining"]:
        given.append(("no_mining", ("mining", "mode"), "manual"))
    if options["block_time"] is not None:
        given.append(("block_time", ("mining", "mode"), "interval"))
        given.append(("block_time", ("mining", "interval"), options["block_time"]))
    if options["state"] is not None:
        given.append(("state", ("store", "kind"), "lmdb"))
        given.append(("state", ("store", "path"), options["state"]))
    for name, key, value in given:
        option = "--vm" if name == "vms" else "--" + name.replace("_", "-")
        settings = settings.overridden(_nested(("node", *key), value), Origin("option", option))
    return settings


def read_config(settings: Settings) -> NodeConfig:
    """The section `[node]`. Raises `ConfigError`."""
    config = settings.section("command", "node", NodeConfig)
    assert config is not None
    return config


def log_settings(settings: Settings) -> LoggingSettings:
    """`[logging]`, but a node tells what it does unless it is told not to."""
    chosen = settings.logging
    return replace(chosen, level="info") if settings.origin(("logging", "level")) == DEFAULT else chosen


def _nested(key: tuple[str, ...], value: Any) -> dict[str, Any]:
    for word in reversed(key):
        value = {word: value}
    nested: dict[str, Any] = value
    return nested


def _greet(app: App, running: Node, url: str, quiet: bool) -> None:
    """Say what the node is and where, as soon as it answers."""
    if not quiet:
        for line in running.banner():
            app.console.print(line, soft_wrap=True)
    click.echo(f"Listening at {url}")
