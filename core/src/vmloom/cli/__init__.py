"""The command `vmloom`. It knows everything, and nothing knows it.

Data goes to stdout, everything else to stderr. Exit codes: 0 all went well; 1 the contract failed or reverted, or
the thing asked about is not in order; 2 the command line, the configuration or an input cannot be used.
Plugins add commands through the hook `vmloom_commands`; `pass_app` gives them what the built-in ones have.
"""

from __future__ import annotations

from .app import EXIT_FAILED, EXIT_OK, EXIT_USAGE, App, pass_app
from .parameters import ADDRESS, CODE, GAS, HEX, NUMBER

__all__ = ["ADDRESS", "CODE", "EXIT_FAILED", "EXIT_OK", "EXIT_USAGE", "GAS", "HEX", "NUMBER", "App", "main", "pass_app"]


def main() -> None:
    """Run the command line of this process."""
    from .commands import root

    root.main(prog_name="vmloom")
