"""web3.py on a chain in the same process: `Web3(VmloomProvider())`.

Requests go through the same dispatcher as those over HTTP, as text, so what works here works there; only the socket is
missing.
"""

from __future__ import annotations

import asyncio
from typing import Any

from web3.providers.async_base import AsyncJSONBaseProvider
from web3.providers.base import JSONBaseProvider
from web3.types import RPCEndpoint, RPCResponse

from ..chain import Chain
from ..config import RpcConfig
from ..rpc.dispatcher import Dispatcher


def _dispatcher(chain: Chain | Dispatcher | None, config: RpcConfig | None) -> Dispatcher:
    return chain if isinstance(chain, Dispatcher) else Dispatcher(chain or Chain(), config)


class VmloomProvider(JSONBaseProvider):
    """A provider over `chain`, or over the dispatcher of a node that serves it as well.

    Without arguments it has a chain for development of its own: ten rich accounts, a block for each transaction.
    """

    def __init__(
        self, chain: Chain | Dispatcher | None = None, config: RpcConfig | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.dispatcher = _dispatcher(chain, config)

    @property
    def chain(self) -> Chain:
        """What is spoken to."""
        return self.dispatcher.chain

    def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The response to one call."""
        return self.decode_rpc_response(self.dispatcher.handle(self.encode_rpc_request(method, params)) or b"")

    def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        """The responses to a batch, in its order; or one response that says why there are none."""
        answer: Any = self.decode_rpc_response(self.dispatcher.handle(self.encode_batch_rpc_request(requests)) or b"[]")
        responses: list[RPCResponse] | RPCResponse = answer
        return responses

    def is_connected(self, show_traceback: bool = False) -> bool:
        """True: there is nothing to connect to."""
        return True


class AsyncVmloomProvider(AsyncJSONBaseProvider):
    """`VmloomProvider` for `AsyncWeb3`. Calls run in threads, so that they do not hold up the event loop."""

    def __init__(
        self, chain: Chain | Dispatcher | None = None, config: RpcConfig | None = None, **options: Any
    ) -> None:
        super().__init__(**options)
        self.dispatcher = _dispatcher(chain, config)

    @property
    def chain(self) -> Chain:
        """What is spoken to."""
        return self.dispatcher.chain

    async def make_request(self, method: RPCEndpoint, params: Any) -> RPCResponse:
        """The response to one call."""
        answer = await asyncio.to_thread(self.dispatcher.handle, self.encode_rpc_request(method, params))
        return self.decode_rpc_response(answer or b"")

    async def make_batch_request(self, requests: list[tuple[RPCEndpoint, Any]]) -> list[RPCResponse] | RPCResponse:
        """The responses to a batch, in its order; or one response that says why there are none."""
        answer: Any = await asyncio.to_thread(self.dispatcher.handle, self.encode_batch_rpc_request(requests))
        responses: list[RPCResponse] | RPCResponse = self.decode_rpc_response(answer or b"[]")
        return responses

    async def is_connected(self, show_traceback: bool = False) -> bool:
        """True: there is nothing to connect to."""
        return True
