"""JSON-RPC: what Ethereum's clients speak, over HTTP and WebSocket or within the process.

`protocol` knows the text, `parameters` and `encoding` the values in it, `table` and `methods` what can be asked;
`dispatcher` brings them together, and `server` puts it on a port. The chain itself is `..chain`.
"""

from __future__ import annotations

from .dispatcher import Dispatcher
from .protocol import Code, RpcError
from .server import BackgroundServer, make_app, serve

__all__ = ["BackgroundServer", "Code", "Dispatcher", "RpcError", "make_app", "serve"]
