"""JSON-RPC: what Ethereum's clients speak, over HTTP and WebSocket or within the process.

`protocol` knows the text, `parameters` and `encoding` the values in it, `table` and `methods` what can be asked;
`dispatcher` brings them together, and `server` puts it on a port. The chain itself is `..chain`.
"""

from __future__ import annotations
