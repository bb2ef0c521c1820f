"""What all commands share: the settings, plugins and factory of one invocation, and how errors are shown."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Final

import click

from ..errors import PluginError, VmloomError
from ..factory import VmFactory
from ..plugins import Offer, PluginRegistry, one_line
from ..settings import LoggingSettings, Origin, Settings, load_settings

if TYPE_CHECKING:
    from rich.console import Console

EXIT_OK: Final = 0
EXIT_FAILED: Final = 1
"""The contract failed or reverted, or what was asked about (code, plugins) is not in order."""
EXIT_USAGE: Final = 2
"""The command line, the configuration or an input cannot be used; nothing was run."""
EXIT_INTERRUPTED: Final = 130


class App:
    """One invocation of the command line: global options, and what they lead to, made when first needed."""

    def __init__(
        self,
        config: str | None = None,
        overrides: Sequence[tuple[str, str]] = (),
        log_level: str | None = None,
    ) -> None:
        self._config = config
        self._overrides = list(overrides) + ([("logging.level", log_level)] if log_level else [])

    @functools.cached_property
    def settings(self) -> Settings:
        """The settings from all sources. Raises `ConfigError`."""
        return load_settings(overrides=self._overrides, config=self._config)

    @functools.cached_property
    def plugins(self) -> PluginRegistry:
        """The installed plugins."""
        chosen = self.settings.plugins
        try:
            return PluginRegistry(disable=chosen.disable, prefer=chosen.prefer, strict=chosen.strict)
        except VmloomError:
            raise
        except Exception as cause:  # only with `strict`, which lets through whatever a plugin raises
            raise PluginError(f"plugins.strict: {one_line(cause)}").with_fix("vmloom plugins") from cause

    @functools.cached_property
    def factory(self) -> VmFactory:
        """The factory for these settings. Raises `ConfigError` for sections of nothing installed."""
        return VmFactory(self.settings, plugins=self.plugins)

    def factory_with(self, option: str, values: Mapping[str, Any]) -> VmFactory:
        """The factory with an option of a command on top: `("--engine", {"vm": {"evm": {"engine": "native"}}})`."""
        return VmFactory(self.settings.overridden(values, Origin("option", option)), plugins=self.plugins)

    def factory_with_defaults(self) -> VmFactory:
        """A factory for which nothing is configured, whatever files and variables say."""
        return VmFactory(Settings(), plugins=self.plugins)

    def with_config(self, file: str | None) -> App:
        """This invocation, but with FILE instead of what the global option `--config` named; itself for None."""
        return self if file is None else App(file, self._overrides)

    @functools.cached_property
    def console(self) -> Console:
        """Where data for people goes: stdout."""
        from rich.console import Console

        # Without a terminal nothing may be cut off: what reads it is a file or a program.
        return Console(width=None if sys.stdout.isatty() else 200, highlight=False, soft_wrap=False)

    def warn_of_plugins(self) -> None:
        """One line on stderr for each plugin that should be usable and is not."""
        for record in self.plugins.records:
            if record.needs_attention:
                click.echo(f"warning: plugin {record} (see `vmloom plugins`)", err=True)


pass_app = click.make_pass_decorator(App)
"""Decorator of a command that takes the `App` as its first argument."""


class RootGroup(click.Group):
    """The top command: adds the plugins' commands, which are imported when used, and turns errors into one line."""

    quiet: ClassVar[frozenset[str]] = frozenset({"doctor", "plugins"})
    """Commands that show the state of plugins themselves."""

    def app(self, ctx: click.Context) -> App:
        """The `App` for the global options of this invocation."""
        if ctx.obj is None:
            values = ctx.params
            ctx.obj = App(values.get("config"), values.get("overrides") or (), values.get("log_level"))
        app: App = ctx.obj
        return app

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Built-in commands and those of plugins, without importing these."""
        return sorted({*self.commands, *self.app(ctx).plugins.names("command")})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command, imported if it is a plugin's. None if there is none."""
        built_in = super().get_command(ctx, cmd_name)
        if built_in is not None or cmd_name not in self.app(ctx).plugins.names("command"):
            return built_in
        plugins = self.app(ctx).plugins
        loaded = plugins.load(plugins.find("command", cmd_name))
        if not isinstance(loaded, click.Command):
            raise click.ClickException(f"command '{cmd_name}': its plugin's target is no click command")
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """The list in `--help`; a plugin's command is described by its spec, so that it need not be imported."""
        app = self.app(ctx)
        rows = {name: command.get_short_help_str(80) for name, command in self.commands.items()}
        rows |= {offer.spec.name: _summary(offer) for offer in app.plugins.offers("command")}
        with formatter.section("Commands"):
            formatter.write_dl(sorted(rows.items()))
        app.warn_of_plugins()

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command of `args`, after the warnings about plugins and with logging set up."""
        app = self.app(ctx)
        is_quiet = args[0] in self.quiet
        if not is_quiet:
            app.warn_of_plugins()
        # The import costs more than listing plugins, and is only due where something may log.
        if not is_quiet or "structlog" in sys.modules:
            configure_logging(app.settings.logging)
        return super().resolve_command(ctx, args)

    def main(  # type: ignore[override] # click's overloads say that it never returns, which nothing here needs
        self, args: Sequence[str] | None = None, standalone_mode: bool = True, **extra: Any
    ) -> Any:
        """Run, and end the process with one of the documented exit codes (unless not in `standalone_mode`)."""
        run = functools.partial(super().main, args, standalone_mode=False, **extra)
        if not standalone_mode:
            return run()
        sys.exit(_guarded(run))


def _summary(offer: Offer) -> str:
    return f"{offer.spec.summary or 'No description.'} [{offer.dist}]"


def _guarded(run: Callable[[], Any]) -> int:
    try:
        result = run()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return EXIT_USAGE
    except click.UsageError as error:
        path = error.ctx.command_path if error.ctx else "vmloom"
        return _complain(error.format_message().rstrip("."), f"{path} --help")
    except click.ClickException as error:
        return _complain(error.format_message())
    except click.Abort:
        return EXIT_INTERRUPTED
    except VmloomError as error:
        return _complain(str(error), error.fix)
    except BrokenPipeError:
        # The reader of stdout, such as `head`, has seen enough. What is still buffered must not be flushed at exit.
        sys.stdout = None
        return EXIT_OK
    return result if isinstance(result, int) else EXIT_OK


def _complain(message: str, fix: str = "") -> int:
    click.echo(f"error: {' '.join(message.split())}", err=True)
    if fix:
        click.echo(f"  fix: {fix}", err=True)
    return EXIT_USAGE


def configure_logging(settings: LoggingSettings) -> None:
    """Send log lines of `settings.level` and above to stderr. Only the command line may call this."""
    import logging

    import structlog

    level: int = getattr(logging, settings.level.upper())
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if settings.format == "json"
        else structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())
    )
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=lambda *_: structlog.PrintLogger(sys.stderr),  # stderr as it is when a line is written
    )
