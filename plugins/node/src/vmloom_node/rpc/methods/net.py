"""`net_*` and `web3_*`: what node this is, and on which network."""

from __future__ import annotations

import platform
from importlib.metadata import version
from typing import Final

from vmloom.hashing import keccak256

from ..encoding import hexed
from ..parameters import Data
from ..session import Session
from ..shortness import always
from ..table import method

CLIENT_VERSION: Final = (
    f"vmloom/v{version('vmloom-node')}/{platform.system().lower()}/python{platform.python_version()}"
)


@method("web3_clientVersion", is_short=always)
def client_version(_: Session) -> str:
    """The node's name and version, and what it runs on."""
    return CLIENT_VERSION


@method("web3_sha3")
def sha3(_: Session, data: Data) -> str:
    """Keccak-256 of `data`."""
    return hexed(keccak256(data))


@method("net_version", is_short=always)
def network(session: Session) -> str:
    """The chain id, in decimal."""
    return str(session.chain.chain_id)


@method("net_listening", is_short=always)
def listening(_: Session) -> bool:
    """True: the node answers, as one sees."""
    return True


@method("net_peerCount", is_short=always)
def peers(_: Session) -> str:
    """Zero: the node has no peers."""
    return "0x0"
