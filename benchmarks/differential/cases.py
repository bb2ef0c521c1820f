"""Random cases: a state, a block, and steps that are taken one after the other, each a run of new programs."""

from __future__ import annotations

from dataclasses import dataclass, replace
from random import Random
from typing import Final

from vmloom import Account, BlockContext, ExecutionContext, StateAccess
from vmloom_evm.delegation import designator
from vmloom_evm.forks import FORKS
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.outcome import ALL_CHECKS, Checks
from vmloom_evm.transaction.types import AccessListEntry, Authorization, Transaction, TransactionType

from .functions import Functions
from .places import (
    ABSENT,
    COINBASE,
    CONTRACTS,
    CREATED,
    DELEGATED,
    EMPTY,
    FORGED,
    PLAIN,
    PRECOMPILES,
    SENDERS,
    SYSTEM,
    TARGETS,
    UNSIGNED,
    authorization,
    place,
)
from .programs import INITCODES, U64, WORD, Maze, Writer, grammar_of, mutated

STATES: Final = (*["memory"] * 3, *["native"] * 7, *["sourced"] * 5, "cramped", "cramped", "cramped sourced", "guarded")
"""What the native engine runs on: `MemoryState`; `NativeState` alone or before another state, perhaps with tables that
must grow at once, or with those and guard pages behind them."""
FUNDS: Final = 10**24
"""wei"""
STEPS: Final = 24
"""Steps of a case; those that follow up on another do not count."""
NEARLY: Final = 8
"""Gas that a run may lack at most if it lacks little."""
FEW_MAZES: Final = 0.02
"""They run long."""
BRIEF: Final = 20_000
"""Gas of a traced program."""
VAST: Final = 1 << 32
"""Gas of which a loop would take hours to use it up. A block with room for it has such runs do little."""
LITTLE: Final = (b"\x5a\x60\x00\x55", b"\x5a\x60\x00\x52\x60\x20\x60\x00\xf3")
"""Programs that tell how much gas there is, mostly the first one: by a slot, or by what they return."""
VERSIONED: Final = b"\x01" + bytes(31)


@dataclass(frozen=True, slots=True)
class Step:
    """Put `code` at `target`, if that is given, run what the rest says, compare, and do what `after` says.

    `kind`: `execute` has `context`, `transact`, `transact_all`, `send` and `system` have `transactions` and their
    `senders`. `tracer`: `eip3155`, `structlog` or none. `after`: `keep`, `revert` or `commit`. `thorough`: compare
    all accounts.
    """

    kind: str
    code: bytes = b""
    target: bytes | None = None
    context: ExecutionContext | None = None
    transactions: tuple[Transaction, ...] = ()
    senders: tuple[bytes, ...] = ()
    checks: Checks = ALL_CHECKS
    gas_available: int | None = None
    blob_gas_available: int | None = None
    tracer: str = ""
    after: str = "keep"
    thorough: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Where steps are taken. `state` is one of `STATES`."""

    seed: int
    number: int
    fork: str
    state: str
    block: BlockContext
    accounts: dict[bytes, Account]
    storage: dict[bytes, dict[int, int]]
    block_hashes: dict[int, bytes]


class Author:
    """Writes the case that a seed and a number name, and its steps, which depend on the state as it stands."""

    def __init__(self, seed: int, number: int, fork: str | None = None, mazes: float = FEW_MAZES) -> None:
        """`mazes` is the part of programs that are mazes, or made of functions."""
        self.rng = rng = Random(f"{seed}:{number}")
        self.mazes = mazes
        names = list(FORKS)
        self.fork = fork or names[number % len(names)]
        self.rules: Rules = FORKS[self.fork].rules
        self.grammar = grammar_of(self.fork)
        self.recent: list[bytes] = []
        state = rng.choice(STATES)
        self.case = Case(
            seed=seed,
            number=number,
            fork=self.fork,
            state=state,
            block=self._block(),
            accounts=self._accounts(),
            storage=self._storage(state),
            block_hashes={number: bytes([number & 0xFF]) * 32 for number in range(700, 1003)},
        )

    # The world

    def _block(self) -> BlockContext:
        rng = self.rng
        return BlockContext(
            number=rng.choice((0, 1, 256, 257, 1_000, 1_000, 1_000, U64)),
            timestamp=rng.choice((0, 1_900_000_000, U64)),
            coinbase=rng.choice((COINBASE, COINBASE, COINBASE, EMPTY, ABSENT, SENDERS[0], CONTRACTS[0], place(3))),
            gas_limit=rng.choice((*[30_000_000] * 9, 100_000, (1 << 63) - 1)),
            base_fee=rng.choice((0, 7, 7, 1_000)) if self.rules.base_fee else 0,
            difficulty=rng.choice((0, 1 << 40, WORD - 1)),
            prev_randao=rng.getrandbits(256),
            blob_base_fee=rng.choice((1, 1, 1_000, 1 << 70)),
            chain_id=rng.choice((1, 1, 2, U64)),
        )

    def _accounts(self) -> dict[bytes, Account]:
        rng = self.rng
        accounts = {one: Account(rng.choice((0, 0, 1, 5)), FUNDS) for one in SENDERS}
        if rng.random() < 0.1:
            accounts[SENDERS[2]] = Account(rng.choice((0, U64 - 1, U64)), rng.choice((0, 1, 30_000, FUNDS)))
        for one in CONTRACTS:
            nonce = rng.choice((1, 1, 1, 1, 1, 0, 2, U64 - 1, U64))
            accounts[one] = Account(nonce, rng.choice((0, 0, 1, 1_000, 1 << 80)), self.program())
        for one in DELEGATED:
            if rng.random() < 0.5:
                target = rng.choice((*CONTRACTS, *DELEGATED, *PRECOMPILES[:3], PLAIN, ABSENT))
                accounts[one] = Account(rng.choice((0, 1)), rng.choice((0, 10)), designator(target))
        if rng.random() < (0.4 if self.rules.delegations else 0.02):
            accounts[SENDERS[1]] = accounts[SENDERS[1]]._replace(code=designator(rng.choice(CONTRACTS)))
        if rng.random() < 0.05:
            accounts[SENDERS[0]] = accounts[SENDERS[0]]._replace(code=b"\x00")
        if rng.random() < 0.5:
            accounts[EMPTY] = Account()
        accounts[PLAIN] = Account(rng.choice((0, 1)), rng.choice((1, 1_000)))
        if rng.random() < 0.03:  # more than there is, so that sums wrap
            one = rng.choice((PLAIN, COINBASE, CONTRACTS[1]))
            accounts[one] = accounts.get(one, Account())._replace(balance=WORD - rng.choice((1, 2, 100_000)))
        if rng.random() < 0.2:
            accounts[rng.choice(PRECOMPILES)] = Account(0, rng.choice((0, 1)))
        for one in CREATED:
            if rng.random() < 0.06:
                accounts[one] = rng.choice((Account(), Account(0, 5), Account(1, 0), Account(0, 0, b"\x00")))
        return accounts

    def _storage(self, state: str) -> dict[bytes, dict[int, int]]:
        rng = self.rng
        storage = {}
        for one in (*CONTRACTS, DELEGATED[0], SENDERS[1], CREATED[1]):
            if rng.random() < 0.6:
                words = (0, 1, 1, 2, WORD - 1, rng.getrandbits(256))
                storage[one] = {rng.choice((0, 1, 2, WORD - 1)): rng.choice(words) for _ in range(3)}
        return storage

    # Programs

    def program(self) -> bytes:
        """A program: written, mutated, or bytes."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.03:
            return rng.randbytes(rng.randrange(1, 60))
        if rng.random() < self.mazes:
            return (Maze if rng.random() < 0.5 else Functions)(self.grammar, rng).program()
        code = Writer(self.grammar, rng).program(2 + int(rng.random() ** 1.5 * 25))
        if chance < 0.2 and self.recent:
            return mutated(rng, code, rng.choice(self.recent))
        self.recent.append(code)
        return code

    def data(self) -> bytes:
        """Input of a call."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.4:
            return b""
        if chance < 0.7:
            return rng.choice((0, 1, 2, 32, WORD - 1)).to_bytes(32, "big") * rng.randint(1, 3)
        return rng.randbytes(rng.choice((1, 4, 31, 33, 100, 1_000 if chance > 0.98 else 5)))

    # Steps

    def step(self, state: StateAccess) -> Step:
        """The next step where the state is this."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.45:
            step = self._execution(state)
        elif chance < 0.87:
            step = self._transaction(state)
        elif chance < 0.92:
            step = self._batch(state)
        else:
            step = self._message(state)
        chance = rng.random()
        tracer = ""
        if step.kind != "transact_all" and chance < 0.06:
            tracer = "eip3155" if chance < 0.04 else "structlog"
        if tracer:
            step = _briefer(step)
        return replace(
            _ending(step),
            tracer=tracer,
            after=rng.choice(("keep", "keep", "revert", "revert", "revert", "commit")),
            thorough=rng.random() < 0.2,
        )

    def follow_up(self, step: Step, used: int) -> Step | None:
        """The same with less gas, or just what it used, if it can run again; the state must be as it was before it."""
        rng = self.rng
        if step.context is not None:
            limit = rng.randrange(max(1, used)) if rng.random() < 0.6 else max(0, used - rng.randrange(NEARLY))
            return replace(step, context=step.context.with_gas_limit(limit), thorough=False)
        if len(step.transactions) != 1 or used <= 0:
            return None
        least = 0 if step.kind != "transact" else min(used - 1, 21_000 - rng.choice((0, 0, 0, 0, 1)))
        limit = rng.randint(least, used) if rng.random() < 0.6 else max(least, used - rng.randrange(NEARLY))
        tx = replace(step.transactions[0], gas_limit=limit)
        return replace(step, transactions=(tx,), thorough=rng.random() < 0.1)

    def gas(self) -> int:
        """Gas for a program, mostly as much as it asks for."""
        return self.rng.choice((30_000, 60_000, 100_000, 100_000, 150_000, 200_000, 300_000))

    def _execution(self, state: StateAccess) -> Step:
        rng = self.rng
        code, target = self.program(), rng.choice(CONTRACTS)
        chance = rng.random()
        context = ExecutionContext(
            caller=rng.choice((*SENDERS, CONTRACTS[0])),
            address=target if chance < 0.98 else rng.choice(TARGETS),
            origin=rng.choice(SENDERS),
            value=rng.choice((0, 0, 0, 1, WORD - 1)),
            input=self.data(),
            gas_limit=self.gas() if chance < 0.995 else 1 << 63,
            gas_price=rng.choice((0, 10, WORD - 1)),
            is_static=chance > 0.1 and chance < 0.16 and "STATICCALL" in FORKS[self.fork].gas,
            blob_hashes=(VERSIONED,) * rng.choice((0, 0, 1, 6)),
            block=self.case.block,
        )
        if context.gas_limit >= VAST:
            code = LITTLE[chance >= 0.998]
        # Mostly the account has the code, as it would in a call.
        return Step("execute", code=code, target=target if rng.random() < 0.8 else None, context=context)

    def _fields(self, state: StateAccess, to: bytes | None, data: bytes) -> tuple[Transaction, bytes]:
        """A transaction of a sender, mostly a good one."""
        rng, rules, block = self.rng, self.rules, self.case.block
        sender = rng.choice(SENDERS) if rng.random() < 0.99 else rng.choice((EMPTY, ABSENT, CONTRACTS[1], PLAIN))
        kind = rng.randint(0, rules.typed_transactions if rng.random() < 0.97 else 4)
        nonce = state.get_nonce(sender)
        if rng.random() < 0.02:
            nonce = rng.choice((nonce + 1, max(0, nonce - 1), U64, U64 + 1))
        price = rng.choice((block.base_fee, block.base_fee, block.base_fee + 5, 10_000))
        if rng.random() < 0.02:
            price = rng.choice((max(0, block.base_fee - 1), 1 << 120, WORD - 1, WORD))
        tip = min(price, rng.choice((0, 1, price))) if kind >= TransactionType.FEE_MARKET else price
        if rng.random() < 0.01:
            tip = price + 1
        tx = Transaction(
            type=TransactionType(kind),
            chain_id=block.chain_id,
            nonce=nonce,
            max_fee_per_gas=price,
            max_priority_fee_per_gas=tip,
            gas_limit=self.gas() + 21_000 + 68 * len(data) + (53_000 if to is None else 0),
            to=to,
            value=rng.choice((0, 0, 0, 1, 1_000, FUNDS // 2, FUNDS + 1 if rng.random() < 0.1 else 3)),
            data=data,
        )
        if kind and rng.random() < 0.5:
            tx = replace(tx, access_list=self._access_list())
        if kind == TransactionType.BLOB:
            count = rng.choice((1, 2, rules.blob_transaction_limit or rules.blob_limit))
            hashes = (VERSIONED,) * count
            if rng.random() < 0.04:
                hashes = rng.choice(((), (VERSIONED, bytes(32)), (VERSIONED,) * 22, (VERSIONED, b"\x01")))
            fee = block.blob_base_fee + rng.choice((0, 0, 5, -1 if rng.random() < 0.1 else 1))
            tx = replace(tx, blob_hashes=hashes, max_fee_per_blob_gas=fee)
        elif kind == TransactionType.SET_CODE and rng.random() < 0.97:
            signed = tuple(self._authorization(state, sender, nonce) for _ in range(rng.choice((1, 1, 2, 4))))
            tx = replace(tx, authorizations=signed, gas_limit=tx.gas_limit + 25_000 * len(signed))
        if tx.access_list:
            slots = sum(len(entry.slots) for entry in tx.access_list)
            tx = replace(tx, gas_limit=tx.gas_limit + 2_400 * len(tx.access_list) + 1_900 * slots)
        if rng.random() < 0.005:
            tx = replace(tx, gas_limit=rng.choice((0, 20_999, 1 << 24, (1 << 24) + 1, (1 << 63) - 1, 1 << 63, U64)))
        return tx, sender

    def _access_list(self) -> tuple[AccessListEntry, ...]:
        rng = self.rng
        return tuple(
            AccessListEntry(
                rng.choice(TARGETS), tuple(rng.choice((0, 1, 2, WORD - 1)) for _ in range(rng.choice((0, 1, 3))))
            )
            for _ in range(rng.choice((1, 1, 3)))
        )

    def _authorization(self, state: StateAccess, sender: bytes, nonce: int) -> Authorization:
        """Leave to run somebody's code: mostly one that counts."""
        rng = self.rng
        chance = rng.random()
        if chance < 0.06:
            return UNSIGNED if chance < 0.03 else FORGED
        signer = rng.randrange(len(SENDERS))
        theirs = state.get_nonce(SENDERS[signer]) + (SENDERS[signer] == sender)
        if rng.random() < 0.15:
            theirs = rng.choice((0, 1, theirs + 1, U64 - 1, U64))
        chain = rng.choice((0, self.case.block.chain_id, 0, self.case.block.chain_id, 3))
        target = rng.choice((*CONTRACTS, place(0), PRECOMPILES[1], DELEGATED[0], SENDERS[0]))
        return authorization(signer, chain, target, min(theirs, U64))

    def _transaction(self, state: StateAccess) -> Step:
        rng = self.rng
        chance = rng.random()
        code, data, target, to = self.program(), self.data(), None, None
        if chance < 0.005:
            data = bytes(49_152 + rng.choice((0, 1)))
        elif chance < 0.2:
            data = code if chance < 0.17 else rng.choice(INITCODES)
        else:
            target = rng.choice(CONTRACTS)
            to = target if chance < 0.95 else rng.choice(TARGETS)
        tx, sender = self._fields(state, to, data)
        short = rng.random() < 0.01
        return Step(
            "transact",
            code=code if target is not None else b"",
            target=target,
            transactions=(tx,),
            senders=(sender,),
            checks=Checks(*(rng.random() < 0.5 for _ in range(3))) if rng.random() < 0.03 else ALL_CHECKS,
            gas_available=rng.choice((tx.gas_limit, tx.gas_limit - 1)) if short and tx.gas_limit else None,
            blob_gas_available=rng.choice((None, 1 << 17, 1 << 20)) if rng.random() < 0.1 else None,
        )

    def _batch(self, state: StateAccess) -> Step:
        """A few transactions, of senders whose nonces count up."""
        rng = self.rng
        target = rng.choice(CONTRACTS)
        nonces: dict[bytes, int] = {}
        transactions, senders = [], []
        for _ in range(rng.randint(0 if rng.random() < 0.02 else 2, 5)):
            to = target if rng.random() < 0.5 else rng.choice(CONTRACTS)
            if rng.random() < 0.25:
                tx, sender = self._fields(state, None, self.program())
            else:
                tx, sender = self._fields(state, to, self.data())
            ahead = nonces.get(sender, 0)
            nonces[sender] = ahead + 1
            transactions.append(replace(tx, nonce=tx.nonce + ahead))
            senders.append(sender)
        total = sum(tx.gas_limit for tx in transactions)
        return Step(
            "transact_all",
            code=self.program(),
            target=target,
            transactions=tuple(transactions),
            senders=tuple(senders),
            gas_available=rng.choice((None, total, total // 2)),
            blob_gas_available=rng.choice((None, 6 << 17)),
        )

    def _message(self, state: StateAccess) -> Step:
        rng = self.rng
        is_system = rng.random() < 0.6
        target = rng.choice(CONTRACTS)
        chance = rng.random()
        to = target if chance < 0.9 else rng.choice(TARGETS)
        code = self.program()
        value = 0 if is_system else rng.choice((0, 0, 1, FUNDS + 1))
        gas_limit = rng.choice((self.gas(), 30_000))
        tx = Transaction(to=to, data=self.data(), gas_limit=gas_limit, value=value)
        if not is_system and rng.random() < 0.25:
            tx = replace(tx, to=None, data=self.program())
        sender = SYSTEM if is_system and rng.random() < 0.9 else rng.choice(SENDERS)
        kind = "system" if is_system else "send"
        return Step(kind, code=code, target=target, transactions=(tx,), senders=(sender,))


def _ending(step: Step) -> Step:
    """The same, but transactions with vast gas run what ends soon: the program of the step, and it does little."""
    if all(tx.gas_limit < VAST for tx in step.transactions):
        return step
    transactions = [
        tx
        if tx.gas_limit < VAST
        else replace(tx, data=LITTLE[len(tx.data) & 1])
        if tx.to is None
        else replace(tx, to=step.target)
        for tx in step.transactions
    ]
    return replace(step, code=LITTLE[0] if step.target is not None else b"", transactions=tuple(transactions))


def _briefer(step: Step) -> Step:
    """The same with little gas, since traces of loops are long."""
    if step.context is not None:
        return replace(step, context=step.context.with_gas_limit(min(step.context.gas_limit, BRIEF)))
    tx = step.transactions[0]
    if tx.gas_limit >= VAST:
        return step
    return replace(step, transactions=(replace(tx, gas_limit=min(tx.gas_limit, BRIEF + 40_000)),))
