"""`vmloom_*`: what no other node has: the machines, the contracts of each, and the node's own numbers."""

from __future__ import annotations

from contextlib import suppress
from importlib.metadata import version
from typing import Final

from vmloom.errors import InputError, PluginError
from vmloom.factory import VmFactory
from vmloom.vm import VmHost

from ...chain.foreign import Deployment, NodeHost, encode_envelope
from ..contracts import MAX_CONTRACTS, contracts_json
from ..encoding import Json, hexed
from ..parameters import Address, Data, ShortNumber
from ..session import Session
from ..table import method

_NO_INPUT: Final = b""


@method("vmloom_nodeInfo")
def node_info(session: Session) -> Json:
    """Version, machines, fork, mining and store of this node."""
    chain = session.chain
    return {
        "version": version("vmloom-node"),
        "vms": _machines(session.chain.evm.host),
        "engine": chain.evm.engine,
        "hardfork": chain.fork("pending").name,
        "chainId": hex(chain.chain_id),
        "mining": chain.mining,
        "store": type(chain.store).__name__.removesuffix("Store").lower(),
        "head": hex(chain.head.number),
    }


def _machines(host: VmHost) -> list[Json]:
    """The virtual machines that contracts may be of, and can be used: name, version, and what they are."""
    inner = host.host if isinstance(host, NodeHost) else host
    if not isinstance(inner, VmFactory):
        default = host.get_vm(host.default_vm)
        return [{"name": default.vm_type, "version": str(default.vm_version), "summary": ""}]
    machines: list[Json] = []
    for offer in inner.plugins.offers("vm"):
        name = offer.spec.name
        with suppress(PluginError):
            vm_version = str(inner.get_vm(name).vm_version)
            machines.append({"name": name, "version": vm_version, "summary": offer.spec.summary})
    return machines


@method("vmloom_contracts")
def contracts(session: Session, limit: ShortNumber = MAX_CONTRACTS, after: Address | None = None) -> list[Json]:
    """Contracts by address, at most `limit` (1,000) of those beyond `after`: their VM, and who created them where.

    What a contract created, not a transaction, has null for block, creator and transaction.
    """
    if not 0 < limit <= MAX_CONTRACTS:
        raise InputError(f"limit: 1 to {MAX_CONTRACTS}, got {limit}")
    return contracts_json(session.chain, session.creations, limit, after)


@method("vmloom_metrics")
def metrics(session: Session) -> dict[str, float]:
    """The numbers of `/metrics`, by name."""
    return session.metrics.numbers()


@method("vmloom_encodeDeployment")
def encode_deployment(session: Session, vm: str, code: Data, input: Data = _NO_INPUT) -> str:
    """The data of a transaction that creates a contract of `vm`, with `input` for its constructor."""
    session.chain.evm.host.get_vm(vm)
    return hexed(encode_envelope(Deployment(vm, code, input)))
