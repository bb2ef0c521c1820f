"""The chain: blocks, the state after them, the mempool, and everything that a node lets its clients do with these.

`Chain` is what all else in the node speaks to: the JSON-RPC methods, the explorer, the backend of eth-tester. It takes
and gives Python objects. Its methods are safe to call from any thread: those that change something go one after the
other, those that read do not wait for them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

from vmloom import BlockContext, StateAccess
from vmloom.errors import InputError
from vmloom.hashing import keccak256
from vmloom.store import Store
from vmloom.vm import VmHost
from vmloom_evm.block import SignedTransaction
from vmloom_evm.forks import Fork
from vmloom_evm.native.raw import read_transaction
from vmloom_evm.overrides import AccountOverride
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.codec import decode_transaction, encode_transaction
from vmloom_evm.transaction.outcome import TransactionResult
from vmloom_evm.transaction.signing import recover_sender, sign_transaction
from vmloom_evm.transaction.types import AccessListEntry, Transaction, TransactionRefused, TransactionType

from .accounts import Accounts
from .admission import admit
from .block import Block, TransactionEntry
from .calls import NO_OVERRIDE, BlockOverride, Calls, MakeTracers
from .changes import ChangeableChain
from .core import UnlessBusy
from .engine import stand_in
from .errors import PoolRefusal, PoolRefused, UnknownAccount, UnknownTransaction
from .events import PendingTransaction
from .foreign import Deployment, encode_envelope
from .genesis import Genesis
from .options import ChainOptions
from .pool import PoolContent
from .reorganize import reorganize
from .replay import Branches
from .requests import BlockRef, TransactionRequest
from .simulation import BlockOfCalls, SimulatedBlock, simulate

LIGHT_GAS: Final = 250_000
"""Gas that takes native code less than a few milliseconds, whatever it is used for."""


class Chain(ChangeableChain):
    """A chain of blocks, beginning with `genesis`, kept in `store`.

    An empty store gets the genesis block; one that holds a chain goes on with it, and must have begun with the same.
    Without arguments it is a chain for development, in memory: ten rich accounts, a block for each transaction.

    Raises `StateError` for a store with another chain, `ConfigError` for an engine that is not there, and `UnknownVm`
    for an account of the genesis whose VM is not.
    """

    def __init__(
        self,
        genesis: Genesis | None = None,
        *,
        store: Store | None = None,
        host: VmHost | None = None,
        options: ChainOptions | None = None,
        accounts: Accounts | None = None,
    ) -> None:
        super().__init__(genesis, store=store, host=host, options=options, accounts=accounts)
        self._calls = Calls(self)
        self._branches = Branches(self)
        self._read_transaction = _read_transaction if self.evm.engine == "reference" else read_transaction
        self._last_read: tuple[bytes, Rules | None, tuple[Transaction, bytes, bytes | None]]
        self._last_read = b"", None, (Transaction(), b"", None)
        if self.mining == "interval":
            self.set_mining("interval")

    def close(self) -> None:
        """Stop mining and give back what the store lends; the store itself stays open."""
        self.set_mining("manual")
        with self._lock:
            self._readers.close()

    def import_block(self, data: bytes) -> Block:
        """Check a block in full, run it and append it; `data` is its RLP.

        One that follows another block than the last begins or continues a branch, which becomes the chain once its
        total difficulty is greater. A block that the chain has is just returned.

        Raises `InvalidHeader` and `InvalidBlock` with what is wrong, `UnknownBlock` where nobody knows the parent, and
        `StatePruned` for a branch that begins too far back; then nothing has changed.
        """
        with self._writing:
            return self._branches.add(data)

    def reorg(self, depth: int, transactions: Sequence[tuple[TransactionRequest | bytes, int]] = ()) -> list[Block]:
        """Put other blocks in place of the last `depth`; returns them.

        They are empty but for `transactions`: requests or signed ones as they travel, each with the position of its
        block among these, 0 and up; nonces and gas are found where they are missing. One whose gas the block does not
        have left, or that does not pay its base fee, is left out. Transactions of the former blocks are gone, what
        waits goes on to. Raises `InputError` if there are not as many blocks, `StatePruned`, `ReadOnlyChain`, and for
        transactions as `send` and `send_request`; then nothing has changed.
        """
        self._check_writable()
        with self._writing:
            return reorganize(self, depth, transactions)

    # Transactions that come

    def send_raw(self, data: bytes) -> bytes:
        """Take a signed transaction as it travels; returns its hash. Raises as `send`."""
        self._check_writable()
        return self._take(self.signed_raw(data))

    def signed_raw(self, data: bytes) -> SignedTransaction:
        """A transaction as it travels, and who signed it by the next block's rules. Raises `TransactionRefused`."""
        return self._signed(data, self._next_fork())

    def _signed(self, data: bytes, fork: Fork) -> SignedTransaction:
        """The transaction in `data`, and who signed it. Raises `TransactionRefused`."""
        rules = fork.rules
        tx, transaction_hash, digest = self._read(data, rules)
        recover = self.evm.recovery(fork)
        sender = recover_sender(tx, rules, self.chain_id, encoded=data, digest=digest, recover=recover)
        return SignedTransaction(tx, sender, data, transaction_hash)

    def _read(self, data: bytes, rules: Rules) -> tuple[Transaction, bytes, bytes | None]:
        """The transaction in `data`, its hash, and its signing hash if that is known.

        The last one is remembered, since who asks whether it is light sends it then.
        """
        known, by, found = self._last_read
        if known != data or by is not rules:
            found = self._read_transaction(data, rules)
            self._last_read = data, rules, found
        return found

    def send(self, tx: Transaction) -> bytes:
        """Take a signed transaction; returns its hash, 32 bytes.

        It is in a block when this returns if the chain mines for each transaction and it can run now. Raises
        `TransactionRefused` for one that cannot run as things stand, `PoolRefused` for one that the mempool does not
        take, `ReadOnlyChain`.
        """
        return self.send_raw(encode_transaction(tx))

    def send_request(self, request: TransactionRequest) -> bytes:
        """Sign and take what a request comes to, or take it unsigned for an account that is impersonated.

        Returns the hash. Raises as `send` and `fill`, and `UnknownAccount`.
        """
        self._check_writable()
        with self._writing:
            return self._take(self.signed_request(request))

    def signed_request(self, request: TransactionRequest) -> SignedTransaction:
        """What a request comes to, signed, or as of an account that is impersonated. Raises as `fill` and `sign`."""
        sender = self.sender_of(request)
        signed = self.sign(self.fill(replace(request, sender=sender)), sender)
        encoded = encode_transaction(signed)
        return SignedTransaction(signed, sender, encoded, keccak256(encoded))

    def sender_of(self, request: TransactionRequest) -> bytes:
        """Who is to send it: by default the first of the node's accounts. Raises `UnknownAccount`."""
        if request.sender is not None:
            return request.sender
        known = self.accounts.addresses
        if not known:
            raise UnknownAccount("no sender is named, and the node has no accounts")
        return known[0]

    def sign(self, tx: Transaction, sender: bytes) -> Transaction:
        """`tx` with the signature of one of the node's accounts, or what stands in for one. Raises `UnknownAccount`."""
        if tx.type == TransactionType.LEGACY and not self._next_rules().chain_id_signatures:
            tx = replace(tx, chain_id=None)  # EIP-155
        key = self.accounts.key_of(sender)
        if key is not None:
            return sign_transaction(tx, key)
        if self.accounts.is_impersonated(sender):
            return replace(tx, signature=stand_in(sender))
        raise UnknownAccount(f"the node has no key of 0x{sender.hex()}, and does not impersonate it")

    def is_light(self, encoded: bytes) -> bool:
        """Whether `send_raw` of these bytes will be done within a few milliseconds, if nothing else is under way.

        Much gas may take long, a disk may, and so may all that waits if it is mined with it.
        """
        if self._is_slow or (self.mining == "transaction" and len(self.pool)):
            return False
        try:
            return self._read(encoded, self._next_rules())[0].gas_limit <= LIGHT_GAS
        except TransactionRefused:
            return True

    def unless_busy(self) -> UnlessBusy:
        """For a `with` block, which gets whether no other thread changes the chain; none will then while it lasts."""
        return UnlessBusy(self._lock)

    def _take(self, signed: SignedTransaction) -> bytes:
        tx, sender, _, transaction_hash = signed
        with self._writing:
            made = self.next_draft()
            mines = self.mining == "transaction"
            # A creation may be of another machine, whose rules are not those of the transaction that runs in the end.
            if mines and tx.to is not None and self.pool.is_passed_by(signed) and self._mine_at_once(made, signed):
                return transaction_hash
            account = self._world.state.get_account(sender)
            nonce = 0 if account is None else account.nonce
            if tx.nonce < nonce and self._ledger.place_of(transaction_hash) is not None:
                raise PoolRefused(PoolRefusal.ALREADY_KNOWN, f"0x{transaction_hash.hex()} is in a block already")
            admit(
                tx,
                sender,
                account,
                made.rules,
                made.input.context,
                needs_base_fee=mines,
                is_impersonated=self.accounts.is_impersonated(sender),
            )
            is_next = mines and tx.nonce == nonce and not len(self.pool)
            if is_next:  # it would come out of the mempool as soon as it was there
                self.pool.check(signed, nonce)
            else:
                self.pool.add(signed, nonce)
            if self._subscribers:
                self._events.append(PendingTransaction(TransactionEntry(tx, transaction_hash, sender)))
            if is_next:
                self._mine_only(made, signed)
            elif mines and self.pool.is_ready(signed, nonce):
                self._mine_for(signed)
        return transaction_hash

    def drop(self, transaction_hash: bytes) -> bool:
        """Take a transaction out of the mempool; False if it is not there."""
        with self._writing:
            return self.pool.remove(transaction_hash)

    def pool_content(self) -> PoolContent:
        """What waits, by whether it could run now."""
        with self._lock:
            return self.pool.content(self._world.state.get_nonce)

    def fill(self, request: TransactionRequest) -> Transaction:
        """The unsigned transaction that a request comes to: nonce, fees and gas limit are found where they are missing.

        Raises `InputError` for fields that contradict each other, `CallFailed` where the gas cannot be estimated
        because the transaction would fail, `UnknownVm`.
        """
        sender = self.sender_of(request)
        rules = self._next_rules()
        tip = self.suggested_tip()
        tx = request.transaction(
            chain_id=self.chain_id,
            nonce=self.nonce(sender, "pending") if request.nonce is None else request.nonce,
            gas_limit=0,
            max_fee=2 * self.next_base_fee() + tip if rules.base_fee else self.gas_price(),
            tip=tip,
            has_base_fee=rules.base_fee,
            blob_fee=2 * self.blob_base_fee(),
        )
        if request.gas_limit is None:
            tx = replace(tx, gas_limit=self.estimate(replace(request, sender=sender), "pending"))
        return self.enveloped(tx, request)

    def enveloped(self, tx: Transaction, request: TransactionRequest) -> Transaction:
        """`tx` with its data in an envelope, if the request names the VM that it is for. Raises `InputError`."""
        if request.vm in (None, "", self.evm.host.default_vm):
            return tx
        if request.to is not None:
            raise InputError("vm: only a creation says which VM it is for")
        assert request.vm is not None
        self.evm.host.get_vm(request.vm)
        return replace(tx, data=encode_envelope(Deployment(request.vm, request.data)))

    # Runs that leave nothing behind

    def call(
        self,
        request: TransactionRequest,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
        block: BlockOverride = NO_OVERRIDE,
    ) -> TransactionResult:
        """What the transaction would do after a block, on the state as `overrides` change it. A failure is a result.

        Raises `TransactionRefused` for one that may not run, and as `state_at`.
        """
        return self._calls.call(request, ref, overrides, block, None)

    def estimate(
        self,
        request: TransactionRequest,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
        block: BlockOverride = NO_OVERRIDE,
    ) -> int:
        """The least gas limit with which the transaction succeeds. Raises `CallFailed` if none does, and as `call`."""
        return self._calls.estimate(request, ref, overrides, block)

    def estimate_on(self, state: StateAccess, request: TransactionRequest, block: BlockContext) -> int:
        """Gas for it on a state: what it asks for, or the least with which it succeeds, or all that there is."""
        return self._calls.estimate_on(state, request, block)

    def access_list(
        self,
        request: TransactionRequest,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
    ) -> tuple[tuple[AccessListEntry, ...], TransactionResult]:
        """The access list that the transaction would use, and its result with it. EIP-2930. Raises as `call`."""
        return self._calls.access_list(request, ref, overrides)

    def trace_call(
        self,
        request: TransactionRequest,
        make_tracers: MakeTracers,
        ref: BlockRef = "latest",
        *,
        overrides: Mapping[bytes, AccountOverride] | None = None,
        block: BlockOverride = NO_OVERRIDE,
    ) -> TransactionResult:
        """`call`, watched by the tracers that `make_tracers` gives."""
        return self._calls.call(request, ref, overrides, block, make_tracers)

    def trace_calls(
        self, requests: Sequence[TransactionRequest], make_tracers: MakeTracers, ref: BlockRef = "latest"
    ) -> list[TransactionResult]:
        """Calls one after the other, each on what those before it have left, watched as in `trace_call`."""
        return self._calls.call_many(requests, ref, make_tracers)

    def trace_raw(self, data: bytes, make_tracers: MakeTracers, ref: BlockRef = "pending") -> TransactionResult:
        """What a signed transaction would do after a block, checked and paid for as in a block, watched by tracers.

        Raises `TransactionRefused`, and as `state_at`.
        """
        return self._calls.transact(lambda fork: self._signed(data, fork), ref, make_tracers)

    def trace(self, transaction_hash: bytes, make_tracers: MakeTracers) -> TransactionResult:
        """Run a transaction again in its block, watched by tracers. Raises `UnknownTransaction`, `StatePruned`."""
        place = self._ledger.place_of(transaction_hash)
        if place is None:
            raise UnknownTransaction(f"transaction 0x{transaction_hash.hex()} is in no block")
        return self._calls.trace(place[0], make_tracers, place[1])[0]

    def trace_block(self, ref: BlockRef, make_tracers: MakeTracers) -> list[TransactionResult]:
        """Run all transactions of a block again, each watched by tracers of its own; their results, in order.

        Raises `UnknownBlock`, `StatePruned`. The genesis block has none.
        """
        number = self._ledger.number_of(ref)
        return self._calls.trace(number, make_tracers, None) if number > self.genesis.number else []

    def simulate(
        self,
        blocks: Sequence[BlockOfCalls],
        ref: BlockRef = "latest",
        *,
        trace_transfers: bool = False,
        validation: bool = False,
    ) -> list[SimulatedBlock]:
        """What would come of blocks of calls after the block `ref`, one on the other; gaps in numbers are filled.

        `trace_transfers` has transfers of ether among the logs, `validation` checks transactions as in real blocks.
        Raises `TransactionRefused` for a call that may not run, `SimulationRefused` for blocks out of order, and as
        `state_at`.
        """
        return simulate(self, blocks, ref, trace_transfers=trace_transfers, validation=validation)

    def context(self, ref: BlockRef = "latest", block: BlockOverride = NO_OVERRIDE) -> BlockContext:
        """The block in which calls at `ref` run. Raises `UnknownBlock`."""
        return self._calls.context(ref, block)


def _read_transaction(data: bytes, rules: Rules) -> tuple[Transaction, bytes, bytes | None]:
    """As `read_transaction`, without native code."""
    return decode_transaction(data, rules), keccak256(data), None
