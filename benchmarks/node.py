"""The node: ERC-20 transfers, sent as raw transactions and mined, beside other development nodes.

    uv run --group bench python benchmarks/node.py [--transactions N] [--peers NAMES] [--node-modules FOLDER]
        [--tester-transactions N] [--json]

Every transfer is signed beforehand, goes to an account that had no token, and is seen to have moved its token. Two
parts:

* single: one `eth_sendRawTransaction` after the other, a block for each;
* blocks: batches of 200 and then `evm_mine`: a block of 200 transfers.

Who takes part:

* vmloom, hardhat, anvil: nodes that are spoken to over HTTP;
* eth-tester on py-evm and on vmloom, in this process. In blocks, eth-tester is passed over and its backend is called.
  py-evm's makes the block anew with each transaction, so that its large blocks are dear; it gets blocks of 10, which
  are the best for it. py-evm gets fewer transactions, which helps it: its time for one grows with the chain;
* py-evm alone, in blocks only: `MiningChain.mine_all`, which makes a block of 200 at once. No node offers that; it is
  the best that py-evm can do.
* durable: vmloom's chain in this process, blocks of 200 transfers on the durable store and in memory.

All take turns, in five rounds of each part, so that a machine whose speed changes is no better for one than for
another. A ratio is transactions per second of the processor of vmloom's node, HTTP and JSON included, over those of the
peer in the same part. The processor's time is the server's (this process's where all is in it), which others on the
machine change little; transactions per second of the clock stand beside it, and how long one call takes, or one block
(p50, p99). What a target says is met or missed. Wrong results end the run with exit code 1; a missed target does not.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import node_peers
from node_peers import PeerMissing, Server
from vmloom.hashing import create_address
from vmloom.store import MemoryStore, Store
from vmloom_evm.demo.token import TOKEN
from vmloom_evm.transaction.codec import encode_transaction
from vmloom_evm.transaction.signing import sign_transaction
from vmloom_evm.transaction.types import Transaction, TransactionType
from vmloom_node.chain import Chain, ChainOptions
from vmloom_node.chain.accounts import Accounts, derive_keys
from vmloom_node.chain.genesis import dev_genesis
from vmloom_node.clients.eth_tester import CHAIN_ID as TESTER_CHAIN_ID
from vmloom_node.clients.eth_tester import VmloomBackend
from vmloom_state_lmdb import LmdbStore

PER_BLOCK: Final = 200
PYEVM_PER_BLOCK: Final = 10
"""Through eth-tester; where py-evm does most, of 1, 10, 25, 50 and 200"""
FEE: Final = 100 * 10**9
"""wei per gas at most, above whatever the base fee becomes"""
CHAIN_ID: Final = 31_337
SENDERS: Final = 10
ROUNDS: Final = 5
REFS: Final = ("latest", "pending")
VMLOOM: Final = "vmloom"
TARGETS: Final = {"eth-tester, py-evm": 20.0, "py-evm alone": 20.0, "hardhat": 3.0}
"""How many times as many transactions per second vmloom's node is to do, by peer."""
DURABLE_TARGET: Final = 1.3
"""How many times as long a block may take on the durable store."""


class WrongResult(Exception):
    """A node did not do what it was to do; its figures would mean nothing."""


@dataclass(frozen=True)
class Row:
    """What was measured of one side. Seconds; `cpu` is the processor's, `clock` the wall's."""

    part: str
    name: str
    transactions: int
    cpu: float
    clock: float
    p50: float | None = None
    p99: float | None = None

    @property
    def per_cpu_second(self) -> float:
        """Transactions for each second of the processor."""
        return self.transactions / max(self.cpu, 1 / node_peers.TICK)  # the system counts ticks


@dataclass
class Sum:
    """The rounds of one side in one part."""

    transactions: int = 0
    cpu: float = 0.0
    clock: float = 0.0
    latencies: list[float] = field(default_factory=list)
    """Seconds for each call, or block."""

    @contextlib.contextmanager
    def timed(self, cpu: Callable[[], float], transactions: int) -> Iterator[None]:
        """Count a round; `cpu` tells seconds of the processor."""
        used, begin = cpu(), time.perf_counter()
        yield
        self.clock += time.perf_counter() - begin
        self.cpu += cpu() - used
        self.transactions += transactions

    @contextlib.contextmanager
    def one(self) -> Iterator[None]:
        """Time a call, or a block."""
        begin = time.perf_counter()
        yield
        self.latencies.append(time.perf_counter() - begin)

    def row(self, part: str, name: str) -> Row:
        """What it comes to."""
        cuts = statistics.quantiles(self.latencies, n=100, method="inclusive") if len(self.latencies) > 1 else None
        p50, p99 = (cuts[49], cuts[98]) if cuts else (None, None)
        return Row(part, name, self.transactions, self.cpu, self.clock, p50, p99)


class Transfers:
    """Signed transfers of one token, from all senders in turn, each to an account of its own."""

    def __init__(self, chain_id: int, keys: Sequence[bytes], first: int = 1 << 152) -> None:
        self._chain_id = chain_id
        self._keys = keys
        self._nonces = [0] * len(keys)
        self._made = 0
        self._first = first
        """The address of the first receiver, as a number; the others follow."""
        self.token = b""

    def nonce_of(self, sender: int) -> int:
        """The next one of a sender, by its place among the keys."""
        return self._nonces[sender]

    def continue_from(self, nonces: Sequence[int]) -> None:
        """Have each sender go on with its nonce."""
        self._nonces = list(nonces)

    def signed(self, sender: int, to: bytes | None, data: bytes, gas: int) -> bytes:
        """The sender's next transaction, as it travels."""
        tx = Transaction(
            TransactionType.FEE_MARKET,
            self._chain_id,
            self._nonces[sender],
            max_fee_per_gas=FEE,
            max_priority_fee_per_gas=10**9,
            gas_limit=gas,
            to=to,
            data=data,
        )
        self._nonces[sender] += 1
        return encode_transaction(sign_transaction(tx, self._keys[sender]))

    def preparation(self, token: bytes) -> Iterator[bytes]:
        """Deploy the token, which will be at `token`, and give every sender plenty."""
        self.token = token
        yield self.signed(0, None, TOKEN.code, 2_000_000)
        for address in addresses(self._keys):
            yield self.signed(0, token, TOKEN.encode("mint", (address, 10**18)), 200_000)

    def take(self, count: int) -> list[bytes]:
        """The next `count` transfers."""
        taken = []
        for _ in range(count):
            receiver = (self._first + self._made).to_bytes(20, "big")
            data = TOKEN.encode("transfer", (receiver, 1))
            taken.append(self.signed(self._made % len(self._keys), self.token, data, 100_000))
            self._made += 1
        return taken

    def receivers(self) -> Iterator[bytes]:
        """Who got one token each: the first, the last, and some between."""
        for number in sorted({*range(0, self._made, max(1, self._made // 20)), self._made - 1}):
            yield (self._first + number).to_bytes(20, "big")


def addresses(keys: Sequence[bytes]) -> list[bytes]:
    """Of the accounts with these keys."""
    return Accounts(list(keys)).addresses


def in_blocks(raws: Sequence[bytes], size: int) -> Iterator[Sequence[bytes]]:
    """`size` at a time."""
    return (raws[at : at + size] for at in range(0, len(raws), size))


# Who takes part: each does a round of a part, and is checked at the end


class Side(ABC):
    """One who takes part."""

    name: str
    parts: tuple[str, ...] = ("single", "blocks")

    @abstractmethod
    def run(self, part: str, count: int, total: Sum) -> None:
        """Do a round of a part, of `count` transactions. Raises `WrongResult`."""

    @abstractmethod
    def check(self) -> None:
        """Raise `WrongResult` unless the transfers have moved their tokens."""


class ByHttp(Side):
    """A node, spoken to over HTTP, on the chain that it begins with."""

    def __init__(self, server: Server) -> None:
        self.name = server.name
        self._server = server
        self._wire = server.wire
        keys = derive_keys(count=SENDERS)
        self._senders = addresses(keys)
        self._transfers = Transfers(CHAIN_ID, keys)
        self._mines_itself = True
        token = create_address(self._senders[0], 0)
        for raw in (*self._transfers.preparation(token), *self._transfers.take(100)):  # some is compiled at first
            self._wire.call("eth_sendRawTransaction", "0x" + raw.hex())

    def run(self, part: str, count: int, total: Sum) -> None:
        """A round. Raises `WrongResult`."""
        raws = self._transfers.take(count)
        if self._mines_itself != (part == "single"):
            self._mines_itself = part == "single"
            self._wire.call("evm_setAutomine", self._mines_itself)
        if part == "single":
            self._single(raws, total)
        else:
            self._blocks(raws, total)

    def _single(self, raws: Sequence[bytes], total: Sum) -> None:
        bodies = [node_peers.request("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]
        with total.timed(self._server.cpu, len(raws)):
            for body in bodies:
                with total.one():
                    answer = self._wire.post(body)
                if b'"error"' in answer:
                    raise WrongResult(f"{self.name}: {answer.decode()}")
            self._settle()

    def _blocks(self, raws: Sequence[bytes], total: Sum) -> None:
        bodies = [
            node_peers.batch("eth_sendRawTransaction", ["0x" + raw.hex() for raw in block])
            for block in in_blocks(raws, PER_BLOCK)
        ]
        first = int(self._wire.call("eth_blockNumber"), 16)
        with total.timed(self._server.cpu, len(raws)):
            for body in bodies:
                with total.one():
                    answer = self._wire.post(body)
                    self._wire.call("evm_mine")
                if b'"error"' in answer:
                    raise WrongResult(f"{self.name}: {answer[:500].decode()}")
        last = int(self._wire.call("eth_blockNumber"), 16)
        mined = [
            len(self._wire.call("eth_getBlockByNumber", hex(number), False)["transactions"])
            for number in range(first + 1, last + 1)
        ]
        if sum(mined) != len(raws):
            raise WrongResult(f"{self.name}: blocks of {mined} transactions for {len(raws)}")

    def _settle(self) -> None:
        """Wait until nothing waits: some nodes answer before they mine."""
        until = time.monotonic() + 60
        for sender in self._senders:
            counts = [partial(self._wire.call, "eth_getTransactionCount", "0x" + sender.hex(), at) for at in REFS]
            while counts[0]() != counts[1]():
                if time.monotonic() > until:
                    raise WrongResult(f"{self.name}: transactions wait and are not mined")
                time.sleep(0.02)
                self._wire.call("evm_mine")  # what came while a block was made may wait for the next transaction

    def check(self) -> None:
        """Ask for some balances. Raises `WrongResult`."""
        for receiver in self._transfers.receivers():
            data = "0x" + TOKEN.encode("balanceOf", (receiver,)).hex()
            call = {"to": "0x" + self._transfers.token.hex(), "data": data}
            if int(self._wire.call("eth_call", call, "latest"), 16) != 1:
                raise WrongResult(f"{self.name}: 0x{receiver.hex()} did not get its token")


class ByTester(Side):
    """eth-tester in this process; in blocks, of `per_block`, its backend without eth-tester's own checks."""

    def __init__(self, name: str, backend: Any, per_block: int) -> None:
        from eth_tester import EthereumTester

        self.name = name
        self._backend = backend
        self._per_block = per_block
        self._tester = EthereumTester(backend=backend)
        keys = [number.to_bytes(32, "big") for number in range(1, SENDERS + 1)]
        self._transfers = Transfers(TESTER_CHAIN_ID, keys)
        token = create_address(addresses(keys)[0], 0)
        for raw in (*self._transfers.preparation(token), *self._transfers.take(20)):
            self._tester.send_raw_transaction("0x" + raw.hex())

    def run(self, part: str, count: int, total: Sum) -> None:
        """A round. Raises `WrongResult`."""
        raws = self._transfers.take(count)
        if part == "single":
            texts = ["0x" + raw.hex() for raw in raws]
            with total.timed(time.process_time, count):
                for text in texts:
                    with total.one():
                        self._tester.send_raw_transaction(text)
            return
        with total.timed(time.process_time, count):
            for block in in_blocks(raws, self._per_block):
                with total.one():
                    self._mine(block)

    def _mine(self, raws: Sequence[bytes]) -> None:
        for raw in raws:
            self._backend.send_raw_transaction(raw)
        deque(self._backend.mine_blocks(1), maxlen=0)  # py-evm's is a generator

    def check(self) -> None:
        """Ask for some balances. Raises `WrongResult`."""
        sender = self._tester.get_accounts()[0]
        for receiver in self._transfers.receivers():
            data = "0x" + TOKEN.encode("balanceOf", (receiver,)).hex()
            call = {"from": sender, "to": "0x" + self._transfers.token.hex(), "data": data, "gas": 100_000}
            if int(self._tester.call(call), 16) != 1:
                raise WrongResult(f"{self.name}: 0x{receiver.hex()} did not get its token")


class PyEvmAlone(ByTester):
    """py-evm in this process, without a node around it: it makes each block at once."""

    parts = ("blocks",)

    def _mine(self, raws: Sequence[bytes]) -> None:
        chain = self._backend.chain
        decode = chain.get_vm().get_transaction_builder().decode
        chain.mine_all([decode(raw) for raw in raws], coinbase=bytes(20), mix_hash=os.urandom(32), blob_gas_used=0)


class InProcess(Side):
    """vmloom's chain in this process, over a store."""

    parts = ("durable",)

    def __init__(self, name: str, store: Store) -> None:
        self.name = name
        self._store = store
        keys = derive_keys(count=SENDERS)
        accounts = Accounts(keys)
        genesis = dev_genesis(accounts.addresses, timestamp=1)
        self._chain = Chain(genesis, store=store, options=ChainOptions(mining="manual"), accounts=accounts)
        self._transfers = Transfers(CHAIN_ID, keys)
        for raw in self._transfers.preparation(create_address(accounts.addresses[0], 0)):
            self._chain.send_raw(raw)
        self._chain.mine()

    def run(self, part: str, count: int, total: Sum) -> None:
        """A round. Raises `WrongResult`."""
        for raws in in_blocks(self._transfers.take(count), PER_BLOCK):
            with total.timed(time.process_time, len(raws)), total.one():
                for raw in raws:
                    self._chain.send_raw(raw)
                (block,) = self._chain.mine()
            if len(block.transactions) != len(raws) or not all(one.success for one in self._chain.receipts()):
                raise WrongResult(f"{self.name}: not every transfer was mined and succeeded")

    def check(self) -> None:
        """Each block was looked at when it was made."""

    def close(self) -> None:
        """Let go of the chain and its store."""
        self._chain.close()
        self._store.close()


# What is run, and what is told


def measure(arguments: argparse.Namespace, skipped: list[str]) -> Iterator[Row]:
    """Every row that can be; what cannot is told in `skipped`."""
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        counts = dict.fromkeys(_nodes(arguments, folder, stack, skipped), arguments.transactions)
        counts |= dict.fromkeys(_testers(arguments), arguments.tester_transactions)
        for part in ("single", "blocks"):
            yield from in_turns(part, ROUNDS, {one: counts[one] for one in counts if part in one.parts}, skipped)
        for side in counts:
            if not any(line.startswith(f"{side.name}: ") for line in skipped):
                guarded(side, side.check, skipped)
        stores = [InProcess("in memory", MemoryStore(history=128)), InProcess("durable", LmdbStore(folder / "chain"))]
        for store in stores:
            stack.callback(store.close)
        yield from in_turns("durable", arguments.blocks, dict.fromkeys(stores, arguments.blocks * PER_BLOCK), skipped)


def in_turns(part: str, rounds: int, counts: Mapping[Any, int], skipped: list[str]) -> Iterator[Row]:
    """The rows of a part, in which each side gets so many transactions; one that does wrong is left out from then."""
    totals: dict[Side, Sum] = {side: Sum() for side in counts}
    for number in range(rounds):
        for side in list(totals):
            done, goal = (counts[side] * reached // rounds for reached in (number, number + 1))
            if not guarded(side, partial(side.run, part, goal - done, totals[side]), skipped):
                del totals[side]
    for side, total in totals.items():
        yield total.row(part, side.name)


def guarded(side: Side, work: Callable[[], None], skipped: list[str]) -> bool:
    """Whether `work` went well; if not, it is told in `skipped`, or raised if it is vmloom's own."""
    try:
        work()
    except (WrongResult, OSError) as wrong:
        if not isinstance(side, ByHttp) or side.name == VMLOOM:
            raise
        skipped.append(f"{side.name}: {wrong}")
        return False
    return True


def _nodes(
    arguments: argparse.Namespace, folder: Path, stack: contextlib.ExitStack, skipped: list[str]
) -> Iterator[Side]:
    modules = Path(arguments.node_modules).resolve() if arguments.node_modules else None
    makers: dict[str, Callable[[int], Any]] = {
        VMLOOM: partial(node_peers.vmloom, folder=folder),
        "hardhat": partial(node_peers.hardhat, folder=folder, modules=modules),
        "anvil": partial(node_peers.anvil, folder=folder, modules=modules),
    }
    for name in (VMLOOM, *(one for one in wanted(arguments) if one in makers)):
        try:
            yield ByHttp(stack.enter_context(makers[name](free_port())))
        except PeerMissing as missing:
            skipped.append(str(missing))


def _testers(arguments: argparse.Namespace) -> Iterator[Side]:
    yield ByTester("eth-tester, vmloom", VmloomBackend(), PER_BLOCK)
    if "py-evm" in wanted(arguments):
        from eth_tester.backends.pyevm import PyEVMBackend

        yield ByTester("eth-tester, py-evm", PyEVMBackend(), PYEVM_PER_BLOCK)
        yield PyEvmAlone("py-evm alone", PyEVMBackend(), PER_BLOCK)


def wanted(arguments: argparse.Namespace) -> list[str]:
    """The peers that are asked for."""
    return [name for name in arguments.peers.split(",") if name]


def free_port() -> int:
    """One at which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """How many times as many transactions per second of the processor vmloom's node does, by part and peer.

    And how many times as long a block takes on the durable store as in memory: the median by the clock, the mean by the
    processor.
    """
    by = {(row.part, row.name): row for row in rows}
    found = {
        f"{row.part}: {row.name}": by[row.part, VMLOOM].per_cpu_second / row.per_cpu_second
        for row in rows
        if (row.part, VMLOOM) in by and row.name != VMLOOM
    }
    memory, stored = by["durable", "in memory"], by["durable", "durable"]
    found["durable: time of a block, processor"] = stored.cpu / memory.cpu
    if memory.p50 and stored.p50:
        found["durable: time of a block, clock"] = stored.p50 / memory.p50
    return found


def verdicts(found: Mapping[str, float]) -> Iterator[str]:
    """What is said of each target."""
    for name, target in TARGETS.items():
        for part in ("single", "blocks"):
            ratio = found.get(f"{part}: {name}")
            if ratio is not None:
                yield f"{part}: {ratio:.1f} times {name}, target {target:g}: {'met' if ratio >= target else 'missed'}"
    ratio = found.get("durable: time of a block, clock")
    if ratio is not None:
        verdict = "met" if ratio <= DURABLE_TARGET else "missed"
        yield f"durable: {ratio:.2f} times as long as in memory, target {DURABLE_TARGET:g}: {verdict}"


def show(rows: Sequence[Row], skipped: Sequence[str]) -> None:
    """The table, the ratios and the targets."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    table = Table(box=None)
    columns = ("part", "node", "transactions", "cpu s", "per cpu second", "per second", "p50 ms", "p99 ms", "ratio")
    for name in columns:
        table.add_column(name, justify="left" if name in ("part", "node") else "right", no_wrap=True)
    found = ratios(rows)
    for row in rows:
        ratio = found.get(f"{row.part}: {row.name}")
        table.add_row(
            row.part,
            row.name,
            f"{row.transactions:,}",
            f"{row.cpu:.2f}",
            f"{row.per_cpu_second:,.0f}",
            f"{row.transactions / row.clock:,.0f}",
            *(f"{1000 * one:.2f}" if one is not None else "" for one in (row.p50, row.p99)),
            f"{ratio:.1f}" if ratio is not None else "",
        )
    console.print(table)
    console.print("p50 and p99: of a call in single, of a block in blocks and durable.")
    console.print("ratio: transactions per second of the server's processor, vmloom's node over this peer, same part.")
    for line in verdicts(found):
        console.print(line)
    for line in skipped:
        console.print(f"skipped: {line}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description="The node beside other development nodes.")
    parser.add_argument("--transactions", type=int, default=10_000, help="sent to each node in each part")
    parser.add_argument("--tester-transactions", type=int, default=2_000, help="through eth-tester, and to py-evm")
    parser.add_argument("--blocks", type=int, default=25, help="of 200 transfers, on each store")
    parser.add_argument("--peers", default="hardhat,anvil,py-evm")
    parser.add_argument("--node-modules", default="", help="the folder node_modules with hardhat and anvil")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    skipped: list[str] = []
    try:
        rows = list(measure(arguments, skipped))
    except WrongResult as wrong:
        sys.exit(str(wrong))
    if arguments.json:
        report = {
            "environment": node_peers.environment(),
            "rows": [asdict(row) for row in rows],
            "ratios": ratios(rows),
            "verdicts": list(verdicts(ratios(rows))),
            "skipped": skipped,
        }
        print(json.dumps(report, indent=2))
    else:
        show(rows, skipped)


if __name__ == "__main__":
    main()
