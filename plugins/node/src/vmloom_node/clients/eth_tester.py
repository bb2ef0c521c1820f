"""vmloom's chain as a backend of eth-tester: `EthereumTester(VmloomBackend())`.

`ETHEREUM_TESTER_CHAIN_BACKEND=vmloom_node.clients.eth_tester.VmloomBackend` makes it the default one. It behaves
as eth-tester's own backend, PyEVM's: ten accounts with a million ether each, blocks when `EthereumTester` asks for
them, one fork for all blocks. Raises eth-tester's exceptions, and no others of this package.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import replace
from io import StringIO
from typing import Any, Final

from vmloom import ExecutionState, MemoryState
from vmloom.errors import InputError, InvalidTransaction
from vmloom.vm import VmHost
from vmloom_evm.block import Withdrawal
from vmloom_evm.forks import LATEST
from vmloom_evm.transaction.codec import encode_transaction
from vmloom_evm.transaction.types import Refusal, TransactionRefused, TransactionType

from ..chain import Chain, ChainOptions
from ..chain.accounts import Accounts, derive_keys
from ..chain.block import Block
from ..chain.errors import CallFailed, ChainError, UnknownBlock, UnknownTransaction
from ..chain.genesis import Genesis, dev_genesis
from ..chain.requests import BlockRef, TransactionRequest
from .tester_fields import Fields, block_fields, receipt_fields, request_of, signature_of, transaction_fields

with redirect_stdout(StringIO()):  # where it prints, as it is imported, that there is no py-evm
    from eth_tester.backends.base import BaseChainBackend
    from eth_tester.exceptions import (
        BlockNotFound,
        SnapshotNotFound,
        TransactionFailed,
        TransactionNotFound,
        ValidationError,
    )

CHAIN_ID: Final = 131_277_322_940_537
"""eth-tester's."""
GAS_LIMIT: Final = 30_029_122
BALANCE: Final = 1_000_000 * 10**18
"""wei"""
ACCOUNTS: Final = 10
DEFAULT_FEE: Final = 10**9
"""wei per gas, most and tip alike, of transactions that say nothing of fees."""
MNEMONIC_PATH: Final = "m/44'/60'/0'"
_ZERO_ADDRESS: Final = bytes(20)
_MAX_FEE_HISTORY: Final = 1024
_ERROR_STRING: Final = bytes.fromhex("08c379a0")
_GENESIS_PARAMETERS: Final = {
    "coinbase": "coinbase",
    "difficulty": "difficulty",
    "extra_data": "extra_data",
    "gas_limit": "gas_limit",
    "mix_hash": "mix_hash",
    "nonce": "nonce",
    "timestamp": "timestamp",
    "base_fee_per_gas": "base_fee",
}


class VmloomBackend(BaseChainBackend):  # type: ignore[misc] # eth-tester has no types
    """A chain for eth-tester.

    `genesis_parameters` are fields of block 0 by PyEVM's names; `genesis_state` gives accounts by their 20-byte address
    (`balance`, `nonce`, `code`, `storage`) and stands in place of the default ones. The keys are 1, 2, ..., or those of
    a `mnemonic` below `hd_path`, as many as there are accounts. `hardfork` is one fork for all blocks, `host` a factory
    other than the default one. Raises `ValidationError` for parameters that are none.
    """

    def __init__(
        self,
        genesis_parameters: Mapping[str, Any] | None = None,
        genesis_state: Mapping[bytes, Mapping[str, Any]] | None = None,
        *,
        mnemonic: str | None = None,
        hd_path: str | None = None,
        hardfork: str = LATEST.name,
        host: VmHost | None = None,
    ) -> None:
        count = len(genesis_state) if genesis_state else ACCOUNTS
        keys = derive_keys(mnemonic, count, hd_path or MNEMONIC_PATH) if mnemonic else _numbered_keys(count)
        self._keys = keys
        self._host = host
        self._genesis = _genesis(genesis_parameters or {}, genesis_state, keys, hardfork)
        self.reset_to_genesis()

    @classmethod
    def from_mnemonic(
        cls,
        mnemonic: str,
        genesis_state_overrides: Mapping[str, Any] | None = None,
        num_accounts: int | None = None,
        genesis_parameters: Mapping[str, Any] | None = None,
        hd_path: str | None = None,
    ) -> VmloomBackend:
        """A backend whose accounts are those of a phrase, each with `genesis_state_overrides`."""
        account = {"balance": BALANCE, **(genesis_state_overrides or {})}
        keys = derive_keys(mnemonic, num_accounts or ACCOUNTS, hd_path or MNEMONIC_PATH)
        state = dict.fromkeys(Accounts(keys).addresses, account)
        return cls(genesis_parameters, state, mnemonic=mnemonic, hd_path=hd_path)

    # Snapshots

    def take_snapshot(self) -> int:
        """A number for `revert_to_snapshot`."""
        return self.chain.snapshot()

    def revert_to_snapshot(self, snapshot: int) -> None:
        """Go back; the same snapshot can be gone back to again. Raises `SnapshotNotFound`."""
        if not self.chain.revert(snapshot, keep=True):
            raise SnapshotNotFound(f"No snapshot found for id: {snapshot}")

    def reset_to_genesis(self) -> None:
        """Begin anew: block 0, and the accounts that there were at first."""
        options = ChainOptions(mining="manual", by_arrival=True)
        self.chain = Chain(self._genesis, host=self._host, options=options, accounts=Accounts(list(self._keys)))

    # Time and blocks

    def time_travel(self, to_timestamp: int) -> int:
        """Mine a block so that the one after it can be at `to_timestamp`, which is returned."""
        self.chain.mine(timestamp=to_timestamp - 1)
        return to_timestamp

    def mine_blocks(self, num_blocks: int = 1, coinbase: bytes = _ZERO_ADDRESS) -> tuple[bytes, ...]:
        """Make blocks, the first of what was sent; returns their hashes."""
        self.chain.coinbase = coinbase
        return tuple(block.hash for block in self.chain.mine(num_blocks))

    def get_block_by_number(self, block_number: object, full_transaction: bool = True) -> Fields:
        """The block, `pending` being what would be mined now. Raises `BlockNotFound`."""
        return block_fields(self._block(block_number), full=full_transaction)

    def get_block_by_hash(self, block_hash: bytes, full_transaction: bool = True) -> Fields:
        """The block. Raises `BlockNotFound`."""
        return block_fields(self._block(block_hash), full=full_transaction)

    def apply_withdrawals(self, withdrawals_list: Sequence[Mapping[str, Any]]) -> None:
        """Mine a block with these withdrawals: `index`, `validator_index`, `address` in hex, `amount` in gwei."""
        if not self.chain.head.header.withdrawals_root:
            raise ValidationError("Withdrawals are only supported after the Shanghai fork")
        self.chain.next_block.withdrawals = tuple(
            Withdrawal(one["index"], one["validator_index"], bytes.fromhex(one["address"][2:]), one["amount"])
            for one in withdrawals_list
        )
        self.chain.mine()

    def get_fee_history(
        self, block_count: int = 1, newest_block: object = "latest", reward_percentiles: Iterable[float] = ()
    ) -> Fields:
        """Base fees and fill of the blocks before `newest_block`, as PyEVM has it: newest first, without rewards."""
        if not 1 <= block_count <= _MAX_FEE_HISTORY:
            raise ValidationError("block_count must be between 1 and 1024")
        newest = self._block("latest" if newest_block == "pending" else newest_block).number
        headers = [self.chain.block(number).header for number in range(newest - 1, -1, -1)[:block_count]]
        return {
            "oldest_block": 1,
            "base_fee_per_gas": [header.base_fee for header in headers],
            "gas_used_ratio": [header.gas_used / header.gas_limit for header in headers],
            "reward": [],
        }

    # Accounts and state

    def get_accounts(self) -> tuple[bytes, ...]:
        """Those that `send_transaction` signs for, 20 bytes each."""
        return tuple(self.chain.accounts.addresses)

    def add_account(self, private_key: bytes) -> None:
        """Sign for the account of a 32-byte key, too."""
        self.chain.accounts.add(private_key)

    def get_nonce(self, account: bytes, block_number: object = "latest") -> int:
        """The next nonce after a block. Raises `BlockNotFound`, as all below do."""
        return self.chain.account(account, self._ref(block_number)).nonce

    def get_balance(self, account: bytes, block_number: object = "latest") -> int:
        """wei"""
        return self.chain.account(account, self._ref(block_number)).balance

    def get_code(self, account: bytes, block_number: object = "latest") -> bytes:
        """Empty for an account without."""
        return self.chain.account(account, self._ref(block_number)).code

    def get_storage(self, account: bytes, slot: int, block_number: object = "latest") -> int:
        """The word in a slot."""
        return self.chain.storage(account, slot, self._ref(block_number))

    def get_base_fee(self, block_number: object = "latest") -> int:
        """wei per gas; 0 before London."""
        return self._block(block_number).header.base_fee or 0

    # Transactions

    def get_transaction_by_hash(self, transaction_hash: bytes) -> Fields:
        """A transaction, mined or not. Raises `TransactionNotFound`."""
        with _found():
            entry = self.chain.transaction(transaction_hash)
        return transaction_fields(entry, pending=entry.block_number is None)

    def get_transaction_receipt(self, transaction_hash: bytes) -> Fields:
        """What came of a transaction, or what would if a block were mined now. Raises `TransactionNotFound`."""
        try:
            return receipt_fields(self.chain.receipt(transaction_hash), pending=False)
        except UnknownTransaction:
            for receipt in self.chain.pending()[1]:
                if receipt.transaction_hash == transaction_hash:
                    return receipt_fields(receipt, pending=True)
        raise TransactionNotFound(f"No transaction found for transaction hash: 0x{transaction_hash.hex()}")

    def send_transaction(self, transaction: Mapping[str, Any]) -> bytes:
        """Sign and take a transaction; returns its hash. Raises `ValidationError` for one that cannot run."""
        if self.chain.accounts.key_of(transaction["from"]) is None:
            raise ValidationError(
                'No valid "from" key was provided in the transaction which is required for transaction signing.'
            )
        request = self._with_fees(request_of(transaction))
        with _validated():
            tx = self.chain.fill(request)
            if tx.type == TransactionType.LEGACY and "chain_id" not in transaction:
                # eth-tester sends what waits a second time, and does not take a v with a chain id (EIP-155) then.
                tx = replace(tx, chain_id=None)
            return self._take(encode_transaction(self.chain.sign(tx, transaction["from"])))

    def send_signed_transaction(self, transaction: Mapping[str, Any], block_number: object = "latest") -> bytes:
        """Take a transaction that is signed already (`v`, `r`, `s`); returns its hash. Raises `ValidationError`."""
        signature, chain_id = signature_of(transaction)
        request = self._with_fees(request_of(transaction))
        with _validated():
            tx = replace(self.chain.fill(request), signature=signature)
            if tx.type == TransactionType.LEGACY:
                tx = replace(tx, chain_id=chain_id)
            return self._take(encode_transaction(tx))

    def send_raw_transaction(self, raw_transaction: bytes) -> bytes:
        """Take a transaction as it travels; returns its hash.

        Raises `ValidationError`; for bytes that are no transaction, what PyEVM raises where py-evm is installed.
        """
        with _validated(decoding=True):
            return self._take(raw_transaction)

    def _take(self, encoded: bytes) -> bytes:
        """Take what can be in the next block; what could only wait there for others is refused, as by PyEVM."""
        transaction_hash = self.chain.send_raw(encoded)
        entry = self.chain.transaction(transaction_hash)
        account_nonce = self.chain.account(entry.sender).nonce
        waiting = self.chain.pool_content().pending.get(entry.sender, {})
        base_fee = self.chain.next_base_fee()
        if entry.tx.nonce not in waiting:
            self.chain.drop(transaction_hash)
            raise ValidationError(f"nonce too high: {entry.tx.nonce}, the next one is {account_nonce + len(waiting)}")
        if entry.tx.max_fee_per_gas < base_fee:
            self.chain.drop(transaction_hash)
            raise ValidationError(f"max fee per gas {entry.tx.max_fee_per_gas} is below the base fee {base_fee}")
        return transaction_hash

    def estimate_gas(self, transaction: Mapping[str, Any], block_number: object = "latest") -> int:
        """The least gas with which it succeeds. Raises `TransactionFailed`."""
        request = replace(request_of(transaction), gas_limit=None)
        try:
            with _validated():
                return self.chain.estimate(request, self._ref(block_number))
        except CallFailed as error:
            raise _failed(error.error, error.return_data, is_revert=error.is_revert) from error

    def call(self, transaction: Mapping[str, Any], block_number: object = "latest") -> bytes:
        """The output. Raises `TransactionFailed` with the reason of a revert, or with its data as text of bytes."""
        with _validated():
            result = self.chain.call(request_of(transaction), self._ref(block_number))
        if result.success:
            return result.return_data
        raise _failed(result.error, result.return_data, is_revert=result.state is ExecutionState.REVERTED)

    def _with_fees(self, request: TransactionRequest) -> TransactionRequest:
        if request.gas_price is not None or request.max_fee_per_gas is not None:
            return request
        tip = request.max_priority_fee_per_gas
        if tip is None:
            return replace(request, max_fee_per_gas=DEFAULT_FEE, max_priority_fee_per_gas=DEFAULT_FEE)
        return replace(request, max_fee_per_gas=tip + 2 * (self.chain.head.header.base_fee or 0))

    # Blocks by what eth-tester calls them

    def _ref(self, block_number: object) -> BlockRef:
        if block_number is None or isinstance(block_number, bytes | int | str):
            with _found():
                ref: Any = "latest" if block_number is None else block_number
                if ref != "pending":
                    self.chain.block(ref)
                return ref  # type: ignore[no-any-return]
        raise BlockNotFound(f"No block found for block number: {block_number}")

    def _block(self, block_number: object) -> Block:
        if block_number is None:
            raise BlockNotFound(f"No block found for block number: {block_number}")
        return self.chain.block(self._ref(block_number))


def _numbered_keys(count: int) -> list[bytes]:
    """The private keys 1, 2, ..., as eth-tester's other backends have them."""
    return [number.to_bytes(32, "big") for number in range(1, count + 1)]


def _genesis(
    parameters: Mapping[str, Any], state: Mapping[bytes, Mapping[str, Any]] | None, keys: list[bytes], hardfork: str
) -> Genesis:
    unknown = sorted(set(parameters) - {*_GENESIS_PARAMETERS, "receipt_root", "transaction_root"})
    if unknown:  # the two roots are known, but not to be chosen: those of no transactions
        raise ValidationError(
            f"genesis_parameters: unknown {', '.join(unknown)}; known: {', '.join(_GENESIS_PARAMETERS)}"
        )
    addresses = Accounts(keys).addresses if state is None else ()
    genesis = dev_genesis(
        addresses, balance=BALANCE, chain_id=CHAIN_ID, fork=hardfork, gas_limit=GAS_LIMIT, timestamp=int(time.time())
    )
    fields = {_GENESIS_PARAMETERS[name]: value for name, value in parameters.items() if name in _GENESIS_PARAMETERS}
    return replace(genesis, **fields, state=_with_accounts(genesis.state, state or {}))


def _with_accounts(state: MemoryState, accounts: Mapping[bytes, Mapping[str, Any]]) -> MemoryState:
    for address, fields in accounts.items():
        state.set_balance(address, fields.get("balance", 0))
        state.set_nonce(address, fields.get("nonce", 0))
        if fields.get("code"):
            state.set_code(address, fields["code"])
        for slot, word in fields.get("storage", {}).items():
            state.set_storage(address, slot, word)
    state.commit()
    state.begin_transaction()
    return state


# Errors, in eth-tester's words


@contextmanager
def _found() -> Iterator[None]:
    try:
        yield
    except UnknownBlock as error:
        raise BlockNotFound(f"No block found: {error}") from error
    except UnknownTransaction as error:
        raise TransactionNotFound(f"No transaction found: {error}") from error


@contextmanager
def _validated(*, decoding: bool = False) -> Iterator[None]:
    try:
        yield
    except CallFailed:
        raise
    except TransactionRefused as error:
        raise (_undecodable(error) if decoding else None) or ValidationError(str(error)) from error
    except (InvalidTransaction, InputError, ChainError) as error:
        raise ValidationError(str(error)) from error


def _undecodable(error: TransactionRefused) -> Exception | None:
    """PyEVM's own exceptions for bytes that are no transaction, None for any other refusal or where there are none."""
    try:
        if error.refusal == Refusal.TYPE_NOT_SUPPORTED:
            from eth.exceptions import UnrecognizedTransactionType

            unrecognized: Exception = UnrecognizedTransactionType(0, str(error))
            return unrecognized
        if error.refusal == Refusal.MALFORMED:
            from rlp.exceptions import DecodingError

            malformed: Exception = DecodingError(str(error), b"")
            return malformed
    except ImportError:
        pass
    return None


def _failed(error: str, data: bytes, *, is_revert: bool) -> TransactionFailed:
    """web3.py reads custom errors and panics out of the text that PyEVM makes of a revert's data."""
    return TransactionFailed((_reason(data) or str(data)) if is_revert else error)


def _reason(data: bytes) -> str | None:
    """The text of `Error(string)`, None for any other data."""
    if data[:4] != _ERROR_STRING or len(data) < 68:
        return None
    offset = int.from_bytes(data[4:36], "big")
    size = int.from_bytes(data[4 + offset : 36 + offset], "big") if offset <= len(data) else 0
    text = data[36 + offset : 36 + offset + size]
    return text.decode("utf-8", "replace") if len(text) == size else None
