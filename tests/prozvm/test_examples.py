"""The contracts of `examples/proz-*`: what they do alone, and with contracts of the EVM in one transaction."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from vmloom import Account, BlockContext, ExecutionContext, ExecutionResult, ExecutionState, MemoryState
from vmloom.calls import create_contract
from vmloom.factory import VmFactory
from vmloom.hashing import keccak256
from vmloom.settings import Settings
from vmloom_evm.assembly import (
    Bytecode,
    call,
    iszero,
    jumpi,
    label,
    mstore,
    mstore_bytes,
    op,
    pop,
    ret_top,
    revert,
    stop,
)
from vmloom_evm.assembly import return_ as evm_return
from vmloom_evm.demo.token import TOKEN as EVM_TOKEN
from vmloom_prozvm.language.abi import (
    decode_reason,
    decode_result,
    encode_call,
    encode_construction,
    load_abi,
)
from vmloom_prozvm.language.formatter import format_source
from vmloom_prozvm.runtime.world import StateWorld

EXAMPLES = Path(__file__).parents[2] / "examples"
NAMES = ["token", "voting", "auction"]
ALICE, BOB, CAROL = (bytes([number]) * 20 for number in (0xA1, 0xB0, 0xCA))
EVM = bytes.fromhex("e7").rjust(20, b"\0")
GAS = 5_000_000
NOW = 1_000
ETHER = 10**18


def source_of(name: str) -> Path:
    return EXAMPLES / f"proz-{name}" / f"{name}.proz"


@cache
def _factory() -> VmFactory:
    """Compiles early, so that calls run on both tiers."""
    return VmFactory(Settings({"vm": {"prozvm": {"jit": {"threshold": 2}}}}))


@dataclass
class World:
    """A state with people who have ether, and the machines of a factory."""

    factory: VmFactory = field(default_factory=_factory)
    state: MemoryState = field(
        default_factory=lambda: MemoryState({who: Account(0, 10 * ETHER) for who in (ALICE, BOB, CAROL)})
    )
    block: BlockContext = field(default_factory=lambda: BlockContext(number=1, timestamp=NOW))

    def deploy(self, name: str, *arguments: Any, creator: bytes = ALICE) -> Contract:
        """Create the example's container, as it is in the repository."""
        abi = load_abi(source_of(name).with_suffix(".json").read_text("utf-8"))
        code = source_of(name).with_suffix(".prozc").read_bytes()
        address, result = self.create(code, encode_construction(abi, *arguments), creator)
        assert result.success, result.error
        return Contract(self, address, abi)

    def create(self, code: bytes, input: bytes = b"", creator: bytes = ALICE) -> tuple[bytes, ExecutionResult]:
        context = ExecutionContext(caller=creator, origin=creator, gas_limit=GAS, input=input, block=self.block)
        self.state.begin_transaction()
        result, address = create_contract(self.factory, self.state, context, code)
        self.state.commit()
        return address, result

    def place(self, address: bytes, code: Bytecode) -> None:
        """Put a contract of the EVM somewhere."""
        self.state.set_account(address, Account(1, 0, bytes(code)))
        self.state.commit()

    def send(self, address: bytes, input: bytes, caller: bytes, value: int = 0) -> ExecutionResult:
        """A transaction: a call of the contract at `address`, and the wei that come with it."""
        account = self.state.get_account(address)
        assert account is not None
        checkpoint = self.state.snapshot()
        self.state.set_balance(caller, self.state.get_balance(caller) - value)
        self.state.set_balance(address, self.state.get_balance(address) + value)
        context = ExecutionContext(
            caller=caller, origin=caller, address=address, gas_limit=GAS, input=input, value=value, block=self.block
        )
        result = self.factory.get_vm(account.vm or "evm").execute(account.code, context, self.state)
        if not result.success:
            self.state.revert(checkpoint)
        self.state.commit()
        return result

    def wait(self, seconds: int) -> None:
        self.block = replace(self.block, timestamp=self.block.timestamp + seconds)


@dataclass
class Contract:
    """An example that is deployed."""

    world: World
    address: bytes
    abi: list[dict[str, Any]]

    def input(self, action: str, *arguments: Any) -> bytes:
        return encode_call(self.abi, action, *arguments)

    def call(self, caller: bytes, action: str, *arguments: Any, value: int = 0) -> Any:
        """What the action returns."""
        result = self.world.send(self.address, self.input(action, *arguments), caller, value)
        assert result.success, f"{result.error}: {decode_reason(result.return_data)!r}"
        return decode_result(self.abi, action, result.return_data)

    def refuse(self, caller: bytes, action: str, *arguments: Any, value: int = 0) -> str:
        """Why the action reverts; nothing has changed then."""
        before = self.world.state.get_balance(caller)
        result = self.world.send(self.address, self.input(action, *arguments), caller, value)
        assert result.state is ExecutionState.REVERTED, result.error
        assert result.state_changes == ()
        assert result.events == ()
        assert self.world.state.get_balance(caller) == before
        reason = decode_reason(result.return_data)
        assert isinstance(reason, str)
        return reason

    def ledger(self) -> list[Any]:
        records = StateWorld(self.world.state, self.address, self.world.block)
        return [records.ledger_entry(number) for number in range(records.ledger_size())]


@pytest.fixture
def world() -> World:
    return World()


# Artifacts


def test_artifacts_are_what_the_sources_compile_to() -> None:
    command = [sys.executable, str(EXAMPLES / "build_proz.py"), "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("name", NAMES)
def test_sources_are_formatted(name: str) -> None:
    text = source_of(name).read_text("utf-8")
    assert format_source(text) == text


# The token


@pytest.fixture
def token(world: World) -> Contract:
    token = world.deploy("token")
    assert token.call(ALICE, "mint", ALICE, 1_000) is True
    return token


def topic(number: int | bytes) -> int:
    return number if isinstance(number, int) else int.from_bytes(number, "big")


def moved(sender: bytes, receiver: bytes, amount: int) -> tuple[tuple[int, ...], bytes]:
    signature = topic(keccak256(b"Transfer(address,address,uint256)"))
    return (signature, topic(sender), topic(receiver)), amount.to_bytes(32, "big")


def events(result: ExecutionResult) -> list[tuple[tuple[int, ...], bytes]]:
    return [(event.topics, event.data) for event in result.events]


def test_transfers_move_amounts_and_leave_the_events_of_erc20(world: World, token: Contract) -> None:
    result = world.send(token.address, token.input("transfer", BOB, 250), ALICE)
    assert result.success
    assert events(result) == [moved(ALICE, BOB, 250)]
    assert [token.call(ALICE, "balance_of", who) for who in (ALICE, BOB, CAROL)] == [750, 250, 0]
    assert token.call(ALICE, "transfer", ALICE, 750) is True
    assert (token.call(ALICE, "balance_of", ALICE), token.call(ALICE, "supply")) == (750, 1_000)
    assert token.call(CAROL, "name") == "Loom"


def test_transfers_beyond_what_is_there_are_refused(token: Contract) -> None:
    assert token.refuse(ALICE, "transfer", BOB, 1_001) == "insufficient balance"
    assert token.refuse(BOB, "transfer", ALICE, 1) == "insufficient balance"
    assert token.refuse(ALICE, "transfer", BOB, -1) == "negative amount"
    assert token.refuse(ALICE, "transfer", bytes(20), 1) == "transfer to nobody"
    assert token.refuse(BOB, "mint", BOB, 1) == "only the owner mints"
    assert token.refuse(ALICE, "mint", BOB, -1) == "negative amount"


def test_allowances_are_used_up(world: World, token: Contract) -> None:
    assert token.refuse(CAROL, "transfer_from", ALICE, CAROL, 60) == "insufficient allowance"
    result = world.send(token.address, token.input("approve", CAROL, 100), ALICE)
    assert events(result)[0][0] == (
        topic(keccak256(b"Approval(address,address,uint256)")), topic(ALICE), topic(CAROL),
    )  # fmt: skip
    assert token.call(CAROL, "transfer_from", ALICE, BOB, 60) is True
    assert token.call(BOB, "allowance", ALICE, CAROL) == 40
    assert token.refuse(CAROL, "transfer_from", ALICE, BOB, 41) == "insufficient allowance"
    assert token.call(BOB, "balance_of", BOB) == 60
    assert token.refuse(ALICE, "approve", CAROL, -1) == "negative amount"


def test_value_and_malformed_calls_are_refused(world: World, token: Contract) -> None:
    assert token.refuse(ALICE, "transfer", BOB, 1, value=1)
    for data in (b"\x00", b"\x81\x64nope", encode_call(token.abi, "name") + b"\0", b"\x83\x68transfer\x01\x02"):
        result = world.send(token.address, data, ALICE)
        assert result.state in (ExecutionState.REVERTED, ExecutionState.FAILED), data


# The auction


@pytest.fixture
def auction(world: World) -> Contract:
    return world.deploy("auction", CAROL, NOW + 100)


def test_the_highest_bid_wins_and_others_take_theirs_back(world: World, auction: Contract) -> None:
    assert auction.call(ALICE, "leader") == [None, 0]
    assert auction.call(ALICE, "bid", value=100) == 100
    assert auction.refuse(BOB, "bid", value=100) == "the bid is too low"
    assert auction.call(BOB, "bid", value=150) == 150
    assert auction.call(BOB, "leader") == [BOB, 150]
    assert auction.refuse(BOB, "withdraw") == "nothing to withdraw"
    assert auction.call(ALICE, "withdraw") == 100
    assert auction.refuse(ALICE, "withdraw") == "nothing to withdraw"
    assert world.state.get_balance(ALICE) == 10 * ETHER
    assert auction.refuse(CAROL, "settle") == "the auction is not over"
    world.wait(100)
    assert auction.refuse(ALICE, "bid", value=1_000) == "the auction is over"
    assert auction.call(ALICE, "settle") == 150
    assert auction.refuse(ALICE, "settle") == "settled already"
    assert world.state.get_balance(CAROL) == 10 * ETHER + 150
    assert world.state.get_balance(auction.address) == 0
    assert auction.ledger() == [
        {"bidder": ALICE, "bid": 100, "timestamp": NOW},
        {"bidder": BOB, "bid": 150, "timestamp": NOW},
    ]


def test_bids_of_one_bidder_add_up_to_one_refund(world: World, auction: Contract) -> None:
    for amount in (100, 150, 200):
        auction.call(ALICE, "bid", value=amount)
    auction.call(BOB, "bid", value=201)
    assert auction.call(ALICE, "withdraw") == 450
    assert world.state.get_balance(auction.address) == 201


def test_an_auction_without_bids_pays_nothing(world: World, auction: Contract) -> None:
    world.wait(100)
    assert auction.call(BOB, "settle") == 0
    assert world.state.get_balance(CAROL) == 10 * ETHER


def test_only_payable_actions_take_money(auction: Contract) -> None:
    assert auction.refuse(ALICE, "withdraw", value=5)


def test_it_must_end_in_the_future(world: World) -> None:
    abi = load_abi(source_of("auction").with_suffix(".json").read_text("utf-8"))
    code = source_of("auction").with_suffix(".prozc").read_bytes()
    address, result = world.create(code, encode_construction(abi, CAROL, NOW))
    assert result.state is ExecutionState.REVERTED
    assert decode_reason(result.return_data) == "the auction ends before it begins"
    assert world.state.get_code(address) == b""


# In one transaction with contracts of the EVM


def evm_call(address: bytes, input: bytes, value: int = 0) -> Bytecode:
    """Call, and revert with the callee's words if that fails."""
    size = op("RETURNDATASIZE")
    failing = op("RETURNDATACOPY")(0, 0, size) + revert(0, size)
    done = f"done{address.hex()}{hash(input)}{value}"
    calling = call(address, input=(0, len(input)), value=value)
    return mstore_bytes(input) + jumpi(done, calling) + failing + label(done)


def test_one_evm_contract_uses_token_and_auction(world: World, token: Contract, auction: Contract) -> None:
    """It pays with the token, bids with ether, and passes on what the token answers."""
    code = (
        evm_call(token.address, token.input("transfer", BOB, 30))
        + evm_call(auction.address, auction.input("bid"), value=77)
        + mstore(0, op("RETURNDATASIZE")())
        + evm_return(0, 32)
    )
    world.place(EVM, code)
    token.call(ALICE, "transfer", EVM, 50)
    result = world.send(EVM, b"", ALICE, value=100)
    assert result.success, (result.error, result.return_data)
    assert token.call(ALICE, "balance_of", EVM) == 20
    assert token.call(ALICE, "balance_of", BOB) == 30
    assert auction.call(ALICE, "leader") == [EVM, 77]
    assert (world.state.get_balance(EVM), world.state.get_balance(auction.address)) == (23, 77)
    assert [event.address for event in result.events] == [token.address, auction.address]


def test_a_bid_that_is_refused_takes_the_transfer_back(world: World, token: Contract, auction: Contract) -> None:
    auction.call(BOB, "bid", value=77)
    code = evm_call(token.address, token.input("transfer", BOB, 30)) + evm_call(
        auction.address, auction.input("bid"), value=77
    )
    world.place(EVM, code + stop)
    token.call(ALICE, "transfer", EVM, 50)
    result = world.send(EVM, b"", ALICE, value=100)
    assert result.state is ExecutionState.REVERTED
    assert decode_reason(result.return_data) == "the bid is too low"
    assert result.state_changes == ()
    assert token.call(ALICE, "balance_of", EVM) == 50
    assert world.state.get_balance(EVM) == 0


def test_an_evm_contract_that_is_outbid_gets_its_money_by_its_code(world: World, auction: Contract) -> None:
    """It bids when it gets money from someone, withdraws when called without, and counts payments in a slot."""
    bid = mstore_bytes(auction.input("bid")) + pop(
        call(auction.address, input=(0, len(auction.input("bid"))), value=op("CALLVALUE")())
    )
    withdraw = mstore_bytes(auction.input("withdraw")) + pop(
        call(auction.address, input=(0, len(auction.input("withdraw"))))
    )
    paid = label("paid") + op("SSTORE")(0, op("ADD")(op("SLOAD")(0), op("CALLVALUE")())) + stop
    is_auction = op("EQ")(op("CALLER")(), auction.address)
    code = jumpi("paid", is_auction) + jumpi("withdraw", iszero(op("CALLVALUE")())) + bid + stop
    world.place(EVM, code + label("withdraw") + withdraw + stop + paid)
    assert world.send(EVM, b"", ALICE, value=60).success
    assert auction.call(ALICE, "leader") == [EVM, 60]
    auction.call(BOB, "bid", value=61)
    assert world.send(EVM, b"", ALICE).success
    assert world.state.get_balance(EVM) == 60
    assert world.state.get_storage(EVM, 0) == 60
    assert world.state.get_balance(auction.address) == 61


def test_the_auction_pays_an_evm_contract_or_not_at_all(world: World) -> None:
    """A beneficiary that refuses the money leaves the auction as it was."""
    auction = world.deploy("auction", EVM, NOW + 10)
    world.place(EVM, revert(0, 0))
    auction.call(BOB, "bid", value=9)
    world.wait(10)
    assert auction.refuse(ALICE, "settle") == "the payment was refused"
    assert world.state.get_balance(auction.address) == 9
    world.place(EVM, op("SSTORE")(7, op("CALLVALUE")()) + stop)
    assert auction.call(ALICE, "settle") == 9
    assert (world.state.get_balance(EVM), world.state.get_storage(EVM, 7)) == (9, 9)


def test_who_is_paid_cannot_be_paid_twice(world: World, auction: Contract) -> None:
    """A contract that withdraws again while it is being paid gets its money once, or nothing."""
    again = mstore_bytes(auction.input("withdraw")) + pop(
        call(auction.address, input=(0, len(auction.input("withdraw"))))
    )
    bid = mstore_bytes(auction.input("bid")) + pop(
        call(auction.address, input=(0, len(auction.input("bid"))), value=op("CALLVALUE")())
    )
    is_first = op("SLOAD")(0)
    code = jumpi("again", is_first) + op("SSTORE")(0, 1) + bid + stop + label("again") + again + stop
    world.place(EVM, code)
    assert world.send(EVM, b"", ALICE, value=10).success
    auction.call(BOB, "bid", value=100)
    assert world.send(EVM, b"", ALICE).success
    assert world.state.get_balance(EVM) == 10
    assert world.state.get_balance(auction.address) == 100


# The vote, weighed by a token of the EVM


@pytest.fixture
def evm_token(world: World) -> bytes:
    """The demo's token in Vyper: Alice has 1,000, Bob 250 of it."""
    address, result = world.create(EVM_TOKEN.code)
    assert result.success, result.error
    for who, amount in ((ALICE, 1_000), (BOB, 250)):
        assert world.send(address, EVM_TOKEN.encode("mint", (who, amount)), ALICE).success
    return address


@pytest.fixture
def voting(world: World, evm_token: bytes) -> Contract:
    return world.deploy("voting", evm_token, ["red", "blue"], NOW + 100)


def test_votes_weigh_what_the_voters_have_of_the_token(world: World, voting: Contract) -> None:
    assert voting.call(BOB, "vote", 0) == 250
    assert voting.call(ALICE, "vote", 1) == 1_000
    assert voting.refuse(ALICE, "vote", 1) == "voted already"
    assert voting.refuse(CAROL, "vote", 1) == "no tokens, no voice"
    assert voting.refuse(CAROL, "vote", 2) == "no such proposal"
    assert voting.refuse(CAROL, "vote", -1) == "no such proposal"
    assert voting.call(CAROL, "votes") == {"red": 250, "blue": 1_000}
    assert voting.refuse(CAROL, "winner") == "the vote is not over"
    world.wait(100)
    assert voting.refuse(CAROL, "vote", 1) == "the vote is over"
    assert voting.call(CAROL, "winner") == "blue"
    assert voting.ledger()[0] == {"voter": BOB, "proposal": 0, "weight": 250, "timestamp": NOW}


def test_nobody_wins_a_vote_without_voices(world: World, voting: Contract) -> None:
    world.wait(100)
    assert voting.call(CAROL, "winner") == "nobody"


def test_an_evm_contract_votes_with_the_tokens_it_gets_in_the_same_transaction(
    world: World, voting: Contract, evm_token: bytes
) -> None:
    take = EVM_TOKEN.encode("transferFrom", (ALICE, EVM, 400))
    world.place(EVM, evm_call(evm_token, take) + evm_call(voting.address, voting.input("vote", 0)) + stop)
    assert world.send(evm_token, EVM_TOKEN.encode("approve", (EVM, 400)), ALICE).success
    result = world.send(EVM, b"", CAROL)
    assert result.success, (result.error, result.return_data)
    assert voting.call(CAROL, "votes") == {"red": 400, "blue": 0}
    assert {change.address for change in result.state_changes} == {evm_token, voting.address}


def test_a_token_that_does_not_answer_is_no_token(world: World) -> None:
    for code in (stop, revert(0, 0), mstore(0, 1) + evm_return(0, 31)):
        world.place(EVM, code)
        voting = world.deploy("voting", EVM, ["red"], NOW + 100)
        assert voting.refuse(ALICE, "vote", 0) == "the token does not answer"
    world.place(EVM, ret_top(7))
    assert world.deploy("voting", EVM, ["red"], NOW + 100).call(ALICE, "vote", 0) == 7
