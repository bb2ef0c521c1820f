"""The top command with its global options and the built-in commands."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version

import click

from ..plugins import CORE
from ..settings import LOG_LEVELS
from . import bench, cache, configuration, demo, execution, health, listing, report
from .app import RootGroup
from .parameters import ASSIGNMENT


def _print_version(ctx: click.Context, _param: click.Parameter, asked: bool) -> None:
    if asked:
        try:
            click.echo(f"vmloom {version(CORE)}")
        except PackageNotFoundError:
            click.echo("vmloom (not installed)")
        ctx.exit()


@click.group(cls=RootGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--config", metavar="FILE", help="Read FILE instead of vmloom.toml.")
@click.option(
    "--set",
    "overrides",
    type=ASSIGNMENT,
    multiple=True,
    help="Set one key of the configuration, such as vm.evm.revision=cancun. May be repeated.",
)
@click.option("--log-level", type=click.Choice(LOG_LEVELS), help="Least level of log lines that are shown, on stderr.")
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show it.")
def root(**_options: object) -> None:
    """Run contracts on any virtual machine that is installed."""


for command in (
    listing.plugins,
    health.doctor,
    configuration.config,
    cache.cache,
    demo.demo,
    execution.run,
    execution.validate,
    execution.estimate,
    execution.disasm,
    report.report,
    bench.bench,
):
    root.add_command(command)
