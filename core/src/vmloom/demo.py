"""What `vmloom demo` tells: six steps of a token on each machine that has one, then one transaction through them all.

A plugin names its `DemoToken` in `VmSpec.demo`. Knows neither plugins by name nor how the story is shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Final, TypeAlias

from .calls import create_contract
from .context import BlockContext, ExecutionContext
from .hashing import keccak256
from .result import ExecutionResult
from .state import MemoryState
from .vm import VmHost

LOOM: Final = 10**18
"""Units of the token, which has 18 decimals."""
GAS_LIMIT: Final = 10_000_000
BLOCK: Final = BlockContext(number=1, timestamp=1_767_225_600, coinbase=keccak256(b"fees")[12:])
PEOPLE: Final = {person: keccak256(b"vmloom demo: " + person.encode())[12:] for person in ("alice", "bob", "carol")}
"""Everyone in the story, with addresses to which nobody has a key."""

Value: TypeAlias = int | bytes
"""An amount in units, or an address of 20 bytes."""


@dataclass(frozen=True, slots=True)
class DemoToken:
    """A token contract for one machine, and what is needed to talk to it.

    Its methods are `mint(receiver, amount)`, `transfer(receiver, amount)`, `approve(spender, amount)`,
    `transferFrom(sender, receiver, amount)` and `balanceOf(person)`; only who created it mints. A transfer of more than
    there is must revert.
    """

    written_in: str
    """Language and compiler, for people."""
    code: bytes
    """What is deployed."""
    encode: Callable[[str, tuple[Value, ...]], bytes]
    """The input of a call: of the name of a method and its values."""
    decode: Callable[[bytes], int]
    """The amount that the output of `balanceOf` stands for."""
    reason: Callable[[bytes], str]
    """Why a call reverted, by its output; empty if that does not say."""
    source: str
    """The lines of the source that move an amount."""
    lexer: Any
    """A lexer of Pygments for them, or its name; `text` if there is none."""
    relay: Callable[[Sequence[tuple[bytes, bytes]]], bytes] | None = None
    """Code to deploy of a contract that, when called, calls each (address, input), and reverts if one of them does."""


@dataclass(frozen=True, slots=True)
class Step:
    """What someone wants of the token: the call of a method, or its creation where there is none."""

    who: str
    wants: str
    method: str = ""
    values: tuple[Value, ...] = ()


STEPS: Final = (
    Step("alice", "create the token"),
    Step("alice", "mint 1,000 LOOM for herself", "mint", (PEOPLE["alice"], 1_000 * LOOM)),
    Step("alice", "send bob 250 LOOM", "transfer", (PEOPLE["bob"], 250 * LOOM)),
    Step("bob", "send carol 900 LOOM", "transfer", (PEOPLE["carol"], 900 * LOOM)),
    Step("bob", "let carol take 100 LOOM", "approve", (PEOPLE["carol"], 100 * LOOM)),
    Step("carol", "take 60 LOOM from bob", "transferFrom", (PEOPLE["bob"], PEOPLE["carol"], 60 * LOOM)),
)
REFUSED: Final = 3
"""Index of the step that must revert; all others must succeed."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """The steps on one machine. `balances` are in units, by person, after the last step."""

    vm: str
    token: DemoToken
    address: bytes
    size: int
    """Bytes of the code that is stored."""
    results: tuple[ExecutionResult, ...]
    balances: Mapping[str, int]
    seconds: float

    @property
    def refusal(self) -> str:
        """Why the fourth step was refused, in the contract's words."""
        result = self.results[REFUSED]
        return self.token.reason(result.return_data) or result.error

    @property
    def is_as_told(self) -> bool:
        """Whether each step ended as it should."""
        return all(result.success != (index == REFUSED) for index, result in enumerate(self.results))


@dataclass(frozen=True, slots=True)
class Finale:
    """Transactions through the contracts of all machines, called by one contract on `vm`."""

    vm: str
    wants: tuple[str, ...]
    results: tuple[ExecutionResult, ...]
    balances: tuple[Mapping[str, int], ...]
    """After each transaction, Carol's units by machine."""

    @property
    def is_as_told(self) -> bool:
        """Whether the first succeeded and the second was taken back whole."""
        return self.results[0].success and not self.results[1].success and self.balances[0] == self.balances[1]


@dataclass(frozen=True, slots=True)
class Story:
    """All of it. There is no finale where fewer than two machines or no contract that calls the others is there."""

    chapters: tuple[Chapter, ...]
    finale: Finale | None

    @property
    def is_as_told(self) -> bool:
        """Whether everything ended as it should."""
        return all(one.is_as_told for one in self.chapters) and (self.finale is None or self.finale.is_as_told)


def tell(host: VmHost, tokens: Mapping[str, DemoToken]) -> Story:
    """Run the story on the machines that `tokens` names, on one state in memory. Raises `UnknownVm`."""
    teller = _Teller(host)
    chapters = tuple(teller.chapter(vm, token) for vm, token in tokens.items())
    relaying = next((chapter for chapter in chapters if chapter.token.relay is not None), None)
    finale = None if relaying is None or len(chapters) < 2 else teller.finale(relaying, chapters)
    return Story(chapters, finale)


class _Teller:
    def __init__(self, host: VmHost) -> None:
        self.host = host
        self.state = MemoryState()

    def chapter(self, vm: str, token: DemoToken) -> Chapter:
        started = perf_counter()
        created, address = self.create("alice", token.code)
        called = [self.call(PEOPLE[one.who], address, token.encode(one.method, one.values)) for one in STEPS[1:]]
        seconds = perf_counter() - started
        balances = {person: self.balance(token, address, person) for person in PEOPLE}
        return Chapter(vm, token, address, len(self.state.get_code(address)), (created, *called), balances, seconds)

    def finale(self, relaying: Chapter, chapters: Sequence[Chapter]) -> Finale:
        """A contract with 10 LOOM on each machine gives Carol 5 on each; the next wants to, and 500 on the last."""
        assert relaying.token.relay is not None
        results, balances, wants = [], [], []
        for amount, last in ((5, 5), (5, 500)):
            amounts = [amount] * (len(chapters) - 1) + [last]
            calls = [
                (one.address, one.token.encode("transfer", (PEOPLE["carol"], amount * LOOM)))
                for one, amount in zip(chapters, amounts, strict=True)
            ]
            _, relay = self.create("alice", relaying.token.relay(calls))
            for one in chapters:
                self.call(PEOPLE["alice"], one.address, one.token.encode("transfer", (relay, 10 * LOOM)))
            results.append(self.call(PEOPLE["alice"], relay, b""))
            balances.append({one.vm: self.balance(one.token, one.address, "carol") for one in chapters})
            wants.append(f"{amount} LOOM on each" + (f", {last} on the last" if last != amount else ""))
        return Finale(relaying.vm, tuple(wants), tuple(results), tuple(balances))

    def create(self, who: str, code: bytes) -> tuple[ExecutionResult, bytes]:
        context = ExecutionContext(caller=PEOPLE[who], origin=PEOPLE[who], gas_limit=GAS_LIMIT, block=BLOCK)
        self.state.begin_transaction()
        result, address = create_contract(self.host, self.state, context, code)
        self.state.commit()
        return result, address

    def call(self, caller: bytes, address: bytes, input: bytes) -> ExecutionResult:
        """A call in a transaction of its own, by the machine of the contract at `address`."""
        account = self.state.get_account(address)
        assert account is not None
        context = ExecutionContext(
            caller=caller, origin=caller, address=address, input=input, gas_limit=GAS_LIMIT, block=BLOCK
        )
        result = self.host.get_vm(account.vm or self.host.default_vm).execute(account.code, context, self.state)
        self.state.commit()
        return result

    def balance(self, token: DemoToken, address: bytes, person: str) -> int:
        result = self.call(PEOPLE[person], address, token.encode("balanceOf", (PEOPLE[person],)))
        return token.decode(result.return_data)
