"""`eth_*` on accounts, storage and proofs, after any block whose state is kept."""

from __future__ import annotations

from vmloom.errors import InputError
from vmloom_evm.trie import AccountProof, StorageProof

from ..arguments import BlockArgument
from ..encoding import Json, hexed, word
from ..limits import MAX_PROOF_KEYS
from ..parameters import Address, Slot
from ..session import Session
from ..shortness import in_memory, state_after
from ..table import method


@method("eth_getBalance", is_short=state_after(1))
def balance(session: Session, address: Address, block: BlockArgument = "latest") -> str:
    """Balance of an account in wei."""
    return hex(session.chain.account(address, block).balance)


@method("eth_getCode", is_short=state_after(1))
def code(session: Session, address: Address, block: BlockArgument = "latest") -> str:
    """Code of an account, of whichever VM."""
    return hexed(session.chain.account(address, block).code)


@method("eth_getTransactionCount", is_short=in_memory)
def transaction_count(session: Session, address: Address, block: BlockArgument = "latest") -> str:
    """The account's next nonce; with `pending`, after what waits in the mempool."""
    return hex(session.chain.nonce(address, block))


@method("eth_getAccountInfo", is_short=state_after(1))
def account_info(session: Session, address: Address, block: BlockArgument = "latest") -> Json:
    """Balance, nonce and code of an account."""
    found = session.chain.account(address, block)
    return {"balance": hex(found.balance), "nonce": hex(found.nonce), "code": hexed(found.code)}


@method("eth_getAccount")
def account(session: Session, address: Address, block: BlockArgument = "latest") -> Json:
    """An account as the trie of the state has it: balance, nonce, codeHash and storageRoot."""
    proof = session.chain.proof(address, (), block)
    return {
        "balance": hex(proof.balance),
        "nonce": hex(proof.nonce),
        "codeHash": hexed(proof.code_hash),
        "storageRoot": hexed(proof.storage_hash),
    }


@method("eth_getStorageAt", is_short=state_after(2))
def storage_at(session: Session, address: Address, slot: Slot, block: BlockArgument = "latest") -> str:
    """A word of an account's storage, 32 bytes."""
    return word(session.chain.storage(address, slot, block))


@method("eth_getProof")
def proof(session: Session, address: Address, slots: list[Slot], block: BlockArgument = "latest") -> Json:
    """An account and words of its storage with their Merkle proofs, up to the block's state root. EIP-1186"""
    if len(slots) > MAX_PROOF_KEYS:
        raise InputError(f"too many slots: {len(slots)}, the limit is {MAX_PROOF_KEYS}")
    return proof_json(session.chain.proof(address, slots, block))


def proof_json(found: AccountProof) -> Json:
    """A proof as EIP-1186 has it."""
    return {
        "address": hexed(found.address),
        "accountProof": [hexed(node) for node in found.proof],
        "balance": hex(found.balance),
        "codeHash": hexed(found.code_hash),
        "nonce": hex(found.nonce),
        "storageHash": hexed(found.storage_hash),
        "storageProof": [_storage_proof_json(one) for one in found.storage],
    }


def _storage_proof_json(one: StorageProof) -> Json:
    return {"key": word(one.slot), "value": hex(one.value), "proof": [hexed(node) for node in one.proof]}
