"""`anvil_*` and `hardhat_*` on accounts, the mempool and the node: what is changed by hand, as tools name it.

Numbers may be JSON numbers or quantities, since the tools differ in it. Times are in seconds.
"""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Mapping
from typing import Annotated, Any, Final, TypeAlias, cast

from vmloom.alloc import dump_alloc, parse_alloc
from vmloom.errors import InputError
from vmloom.state import MemoryState
from vmloom.store import StoredState

from ..encoding import Json, hexed
from ..parameters import Address, Data, Hash, Number, Shape, ShortNumber, Slot, read_object
from ..protocol import loads
from ..session import Session
from ..table import method
from .net import CLIENT_VERSION

_MAX_STATE_BYTES: Final = 1 << 28
"""Of a state that is loaded, once it is unpacked."""

# Accounts


@method("anvil_setBalance", "hardhat_setBalance")
def set_balance(session: Session, address: Address, balance: Number) -> bool:
    """Give an account exactly so many wei; true."""
    session.chain.set_balance(address, balance)
    return True


@method("anvil_addBalance", "hardhat_addBalance")
def add_balance(session: Session, address: Address, wei: Number) -> bool:
    """Give an account so many wei more; true."""
    with session.chain.edit() as state:
        balance = state.get_balance(address) + wei
        if balance >> 256:
            raise InputError("wei: the balance would not fit 256 bits")
        state.set_balance(address, balance)
    return True


@method("anvil_setCode", "hardhat_setCode")
def set_code(session: Session, address: Address, code: Data, vm: str | None = None) -> bool:
    """Set an account's code, and the VM that runs it, by default the one whose magic it begins with; true."""
    session.chain.set_code(address, code, vm)
    return True


@method("anvil_setNonce", "hardhat_setNonce", "evm_setAccountNonce")
def set_nonce(session: Session, address: Address, nonce: ShortNumber) -> bool:
    """Set an account's nonce; true."""
    session.chain.set_nonce(address, nonce)
    return True


@method("anvil_setStorageAt", "hardhat_setStorageAt")
def set_storage(session: Session, address: Address, slot: Slot, word: Slot) -> bool:
    """Set a word of an account's storage; true."""
    session.chain.set_storage(address, slot, word)
    return True


@method("anvil_impersonateAccount", "hardhat_impersonateAccount")
def impersonate(session: Session, address: Address) -> bool:
    """Take transactions of an account without its key; true."""
    session.chain.accounts.impersonate(address)
    return True


@method("anvil_stopImpersonatingAccount", "hardhat_stopImpersonatingAccount")
def stop_impersonating(session: Session, address: Address) -> bool:
    """Take them no more; false if they were not taken."""
    return session.chain.accounts.stop_impersonating(address)


@method("anvil_autoImpersonateAccount", "hardhat_autoImpersonateAccount")
def impersonate_all(session: Session, enabled: bool) -> bool:
    """Take transactions of any account without its key, or no more; true."""
    session.chain.accounts.impersonates_all = enabled
    return True


# The mempool


@method("anvil_dropTransaction")
def drop_transaction(session: Session, hash: Hash) -> str | None:
    """Take a transaction out of the mempool; its hash, or null if it is not there."""
    return hexed(hash) if session.chain.drop(hash) else None


@method("hardhat_dropTransaction")
def hardhat_drop_transaction(session: Session, hash: Hash) -> bool:
    """Take a transaction out of the mempool; false if it is not there."""
    return session.chain.drop(hash)


@method("anvil_dropAllTransactions", "hardhat_dropAllTransactions")
def drop_all_transactions(session: Session) -> None:
    """Empty the mempool."""
    for digest in session.chain.pool.hashes():
        session.chain.drop(digest)


@method("anvil_removePoolTransactions")
def remove_pool_transactions(session: Session, address: Address) -> None:
    """Take all transactions of a sender out of the mempool."""
    content = session.chain.pool_content()
    for group in (content.pending, content.queued):
        for waiting in group.get(address, {}).values():
            session.chain.drop(waiting.hash)


# The node


def _read_reset(value: Any, place: str) -> Mapping[str, Any]:
    options = read_object(value, place)
    if options.get("forking"):
        raise InputError(f"{place}.forking: this node does not fork other chains")
    return options


ResetOptions: TypeAlias = Annotated[Mapping[str, Any], Shape("object", _read_reset)]


@method("anvil_reset", "hardhat_reset")
def reset(session: Session, options: ResetOptions | None = None) -> bool:  # noqa: ARG001  it says only what is refused
    """Go back to the genesis block; true. Forking another chain is not offered."""
    session.chain.reset()
    return True


@method("anvil_dumpState", "hardhat_dumpState")
def dump_state(session: Session) -> str:
    """All accounts after the last block, as data for anvil_loadState: an alloc file as JSON, packed with gzip."""
    store = session.chain.store
    with store.at(store.version) as view:
        accounts = dump_alloc(cast("MemoryState", StoredState(view)))
    return hexed(gzip.compress(json.dumps(accounts, separators=(",", ":")).encode(), compresslevel=1, mtime=0))


@method("anvil_loadState", "hardhat_loadState")
def load_state(session: Session, data: Data) -> bool:
    """Set the accounts that anvil_dumpState has written, leaving all others; true."""
    loaded = parse_alloc(_unpacked(data), "state")
    with session.chain.edit() as state:
        for address, account in loaded.accounts():
            state.set_account(address, account)
            state.clear_storage(address)
            for slot, word in loaded.storage_of(address).items():
                state.set_storage(address, slot, word)
            for key, value in loaded.records_of(address).items():
                state.set_record(address, key, value)
    return True


def _unpacked(data: bytes) -> Any:
    """The JSON in a packed state. Raises `InputError`, also for one that would fill the memory."""
    unpacker = zlib.decompressobj(wbits=31)
    try:
        text = unpacker.decompress(data, _MAX_STATE_BYTES)
        if unpacker.unconsumed_tail or not unpacker.eof:
            raise InputError(f"state: cut short, or more than {_MAX_STATE_BYTES} bytes")
        return loads(text)
    except (zlib.error, ValueError) as error:
        raise InputError(f"state: not what anvil_dumpState writes: {error}") from None


@method("anvil_setLoggingEnabled", "hardhat_setLoggingEnabled")
def set_logging_enabled(session: Session, enabled: bool) -> bool:
    """Log all requests from now on, of whichever client, or none; true."""
    session.log.is_on = enabled
    return True


@method("anvil_getGenesisTime")
def genesis_time(session: Session) -> int:
    """UNIX seconds of the first block."""
    return session.chain.block("earliest").header.timestamp


@method("anvil_nodeInfo")
def node_info(session: Session) -> Json:
    """The head, the fork and the fees, as anvil tells them."""
    chain = session.chain
    head = chain.head
    return {
        "currentBlockNumber": head.number,
        "currentBlockTimestamp": head.header.timestamp,
        "currentBlockHash": hexed(head.hash),
        "hardFork": chain.fork().name,
        "transactionOrder": "fifo" if chain.options.by_arrival else "fees",
        "environment": {
            "baseFee": hex(chain.next_base_fee()),
            "chainId": chain.chain_id,
            "gasLimit": hex(head.header.gas_limit),
            "gasPrice": hex(chain.gas_price()),
        },
        "forkConfig": {"forkUrl": None, "forkBlockNumber": None, "forkRetryBackoff": None},
    }


@method("anvil_metadata", "hardhat_metadata")
def metadata(session: Session) -> Json:
    """Version, chain and head."""
    chain = session.chain
    return {
        "clientVersion": CLIENT_VERSION,
        "chainId": chain.chain_id,
        "instanceId": hexed(chain.block("earliest").hash),
        "latestBlockNumber": chain.head.number,
        "latestBlockHash": hexed(chain.head.hash),
    }
