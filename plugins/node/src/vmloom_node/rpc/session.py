"""What methods work on: the chain, the bounds, and the client that asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..config import RpcConfig
from .contracts import Creations
from .metrics import Metrics
from .subscriptions import Hub, Subscriber

if TYPE_CHECKING:
    from ..chain import Chain


@dataclass(slots=True)
class RequestLog:
    """Whether requests are logged, which clients may switch."""

    is_on: bool


@dataclass(frozen=True, slots=True)
class Session:
    """One client's. `subscriber` is None where nothing can be sent to it of the node's own accord, as over HTTP."""

    chain: Chain
    config: RpcConfig
    hub: Hub
    metrics: Metrics
    creations: Creations
    log: RequestLog
    subscriber: Subscriber | None = None
