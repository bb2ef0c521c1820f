"""The transition tool: a state, a block's environment and transactions in, a state and the block's results out.

Flags, JSON shapes and exit codes are those of geth's `evm t8n` (which EELS' tool shares), so that what drives one can
drive the other. `transition.run` is the whole; the command line is in `cli.t8n`.
"""

from __future__ import annotations
