"""What the demo does: six signed transactions around one token, run one after the other on a state in memory.

Knows nothing of how it is shown; `show` and `--json` read the `Story`.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from vmloom import BlockContext, MemoryState, StateChange
from vmloom.hashing import keccak256

from ..trace.calltree import revert_reason
from ..trace.eip3155 import Eip3155Tracer
from ..transaction.apply import TransactionResult
from ..transaction.codec import decode_transaction, encode_transaction
from ..transaction.signing import address_of, sign_transaction
from ..transaction.types import Transaction, TransactionType
from ..vm import Evm
from .abi import Artifact, DecodedEvent

ETHER = 10**18
"""wei"""
GWEI = 10**9
LOOM = 10**18
"""units of the token, which has 18 decimals as ether has"""
GAS_LIMIT = 2_000_000
BLOCK = BlockContext(number=1, timestamp=1_767_225_600, coinbase=keccak256(b"fees")[12:], base_fee=7 * GWEI)
PEOPLE = ("alice", "bob", "carol")


def key_of(person: str) -> bytes:
    """The private key of someone in the demo: anyone can compute it, so it must hold no money elsewhere."""
    return keccak256(b"vmloom demo: " + person.encode())


@dataclass(frozen=True, slots=True)
class Step:
    """One transaction with all that it left behind. `raw` is the transaction as it would travel to a node."""

    number: int
    title: str
    call: str
    sender: str
    raw: bytes
    result: TransactionResult
    events: tuple[DecodedEvent, ...]
    reason: str
    """Why it reverted, in the contract's words."""
    trace: tuple[dict[str, Any], ...] = field(repr=False)
    """EIP-3155 lines of its instructions; empty when not traced."""

    @property
    def hash(self) -> bytes:
        """The transaction's hash."""
        return keccak256(self.raw)


@dataclass(frozen=True, slots=True)
class Story:
    """All steps. `names` maps addresses to people and contracts, `slots` the token's slots to what they mean."""

    revision: str
    compiler: str
    token: bytes
    names: Mapping[bytes, str]
    slots: Mapping[int, str]
    steps: tuple[Step, ...]
    balances: Mapping[str, tuple[int, int]]
    """By person: LOOM units and wei."""
    seconds: float
    """What all of it took: signing, recovering senders, running, and tracing if asked for."""


def tell(evm: Evm, *, trace: bool = True) -> Story:
    """Run the transactions on `evm`. Raises `TransactionRefused` on forks that lack type 2 (before London)."""
    return _Teller(evm, trace).tell()


class _Teller:
    def __init__(self, evm: Evm, trace: bool) -> None:
        self.evm = evm
        self.trace = trace
        self.specification = evm.specification(evm.fork_at(BLOCK))
        self.artifact = Artifact.load(__package__, "token.json")
        self.addresses = {person: address_of(key_of(person)) for person in PEOPLE}
        self.state = MemoryState()
        self.token: bytes | None = None
        self.steps: list[Step] = []

    def tell(self) -> Story:
        for address in self.addresses.values():
            self.state.set_balance(address, 10 * ETHER)
        self.state.commit()
        started = perf_counter()
        alice, bob, carol = (self.addresses[person] for person in PEOPLE)
        self.token = self.send("alice", "create the token", "constructor()", self.artifact.bytecode).result.created
        self.call("alice", "mint 1,000 LOOM for herself", "mint", alice, 1_000 * LOOM)
        self.call("alice", "send bob 250 LOOM", "transfer", bob, 250 * LOOM)
        self.call("bob", "send carol 900 LOOM", "transfer", carol, 900 * LOOM)
        self.call("bob", "let carol take 100 LOOM", "approve", carol, 100 * LOOM)
        self.call("carol", "take 60 LOOM from bob", "transferFrom", bob, carol, 60 * LOOM)
        seconds = perf_counter() - started
        assert self.token is not None
        return Story(
            revision=self.specification.fork.name,
            compiler=self.artifact.compiler,
            token=self.token,
            names=self.names(),
            slots=self.slots(),
            steps=tuple(self.steps),
            balances={person: self.balances_of(person) for person in PEOPLE},
            seconds=seconds,
        )

    def call(self, sender: str, title: str, method: str, *values: int | bytes) -> None:
        """Send a call of the token's `method`."""
        names = self.names()
        shown = (names[one] if isinstance(one, bytes) else f"{one // LOOM:,} LOOM" for one in values)
        self.send(sender, title, f"{method}({', '.join(shown)})", self.artifact.encode_call(method, *values))

    def send(self, sender: str, title: str, call: str, data: bytes) -> Step:
        """Sign a transaction, encode it, and run what comes out of the decoder, as a node would."""
        unsigned = Transaction(
            type=TransactionType.FEE_MARKET,
            chain_id=BLOCK.chain_id,
            nonce=self.state.get_nonce(self.addresses[sender]),
            max_fee_per_gas=20 * GWEI,
            max_priority_fee_per_gas=GWEI,
            gas_limit=GAS_LIMIT,
            to=self.token,
            data=data,
        )
        raw = encode_transaction(sign_transaction(unsigned, key_of(sender)))
        sink = io.StringIO()
        tracers = [Eip3155Tracer(sink, self.specification.rows)] if self.trace else []
        tx = decode_transaction(raw, self.specification.rules)
        result = self.evm.apply_transaction(tx, BLOCK, self.state, tracers=tracers)
        self.state.commit()
        step = Step(
            number=len(self.steps) + 1,
            title=title,
            call=call,
            sender=sender,
            raw=raw,
            result=result,
            events=tuple(self.artifact.decode_event(event) for event in result.events),
            reason=revert_reason(result.return_data),
            trace=tuple(line for line in map(json.loads, sink.getvalue().splitlines()) if "opName" in line),
        )
        self.steps.append(step)
        return step

    def names(self) -> dict[bytes, str]:
        names = {address: person for person, address in self.addresses.items()}
        names[BLOCK.coinbase] = "fee recipient"
        names[bytes(20)] = "nobody"
        if self.token is not None:
            names[self.token] = "token"
        return names

    def slots(self) -> dict[int, str]:
        slots = {self.artifact.slot("totalSupply"): "totalSupply"}
        for one, address in self.addresses.items():
            slots[self.artifact.slot("balanceOf", address)] = f"balanceOf[{one}]"
            for other, spender in self.addresses.items():
                slots[self.artifact.slot("allowance", address, spender)] = f"allowance[{one}][{other}]"
        return slots

    def balances_of(self, person: str) -> tuple[int, int]:
        address = self.addresses[person]
        assert self.token is not None
        units = self.state.get_storage(self.token, self.artifact.slot("balanceOf", address))
        return units, self.state.get_balance(address)


def describe(story: Story, change: StateChange) -> tuple[str, str, str, str]:
    """A change in words: account, what of it, before, after."""
    account = story.names.get(change.address, "0x" + change.address.hex())
    amount: Callable[[Any], str]
    what = change.field
    if change.field == "storage":
        assert isinstance(change.key, int)
        what, amount = story.slots.get(change.key, f"slot {change.key:#x}"), loom
    elif change.field == "balance":
        amount = ether
    elif change.field == "code":
        amount = _bytes
    else:
        amount = str
    return account, what, amount(change.old), amount(change.new)


def loom(units: int) -> str:
    """An amount of the token."""
    return f"{_decimal(units, 18)} LOOM"


def ether(wei: int) -> str:
    """An amount of ether, to the sixth place."""
    return f"{wei / ETHER:.6f} ETH"


def _decimal(units: int, places: int) -> str:
    whole, part = divmod(units, 10**places)
    return f"{whole:,}" + (f".{part:0{places}d}".rstrip("0") if part else "")


def _bytes(code: bytes | None) -> str:
    return f"{len(code or b''):,} bytes"
