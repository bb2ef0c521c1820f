"""The node: ERC-20 transfers, sent as raw transactions and mined, beside other development nodes.

    uv run --group bench python benchmarks/node.py [--transactions N] [--peers NAMES] [--node-modules FOLDER]
        [--tester-transactions N] [--json]

Every transfer is signed beforehand, goes to an account that had no token, and is seen to have moved its token.

* single: one `eth_sendRawTransaction` after the other, a block for each. Transactions per second, and how long one call
  takes (p50, p99).
* blocks: batches of 200, and then `evm_mine`: a block of 200 transfers.
* tester: the same as single through eth-tester, in the process, on py-evm and on vmloom. py-evm gets fewer of them,
  which helps it: its time for one grows with the chain.
* tester blocks: blocks of 200 by the backend alone, without eth-tester's own checks. py-evm makes the block anew with
  each transaction, so that large ones cost it more for each than small ones.
* durable: blocks of 200 transfers on the durable store and in memory, in turns within this process.

The figures that are compared count the processor's time of the server (of this process for `tester` and `durable`),
which others on the machine change little; those per second of the clock stand beside them. What a target says is met
or missed. Wrong results end the run with exit code 1; a missed target does not.
"""

from __future__ import annotations

import argparse
import json
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
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
FEE: Final = 100 * 10**9
"""wei per gas at most, above whatever the base fee becomes"""
CHAIN_ID: Final = 31_337
SENDERS: Final = 10
REFS: Final = ("latest", "pending")
TARGETS: Final = {"eth-tester, py-evm": 20.0, "hardhat": 3.0}
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


# By HTTP


def by_http(server: Server, count: int) -> Iterator[Row]:
    """Both parts of a server, on the chain that it begins with."""
    keys = derive_keys(count=SENDERS)
    transfers = Transfers(CHAIN_ID, keys)
    token = create_address(addresses(keys)[0], 0)
    for raw in transfers.preparation(token):
        server.wire.call("eth_sendRawTransaction", "0x" + raw.hex())
    for raw in transfers.take(100):  # what is compiled or cached at first is not what is measured
        server.wire.call("eth_sendRawTransaction", "0x" + raw.hex())
    yield _single(server, addresses(keys), transfers.take(count))
    server.wire.call("evm_setAutomine", False)
    yield _blocks(server, transfers.take(count))
    _check(server, transfers)


def _single(server: Server, senders: Sequence[bytes], raws: Sequence[bytes]) -> Row:
    bodies = [node_peers.request("eth_sendRawTransaction", "0x" + raw.hex()) for raw in raws]
    latencies, cpu, begin = [], server.cpu(), time.perf_counter()
    for body in bodies:
        sent = time.perf_counter()
        answer = server.wire.post(body)
        latencies.append(time.perf_counter() - sent)
        if b'"error"' in answer:
            raise WrongResult(f"{server.name}: {answer.decode()}")
    _settle(server, senders)
    clock = time.perf_counter() - begin
    return Row("single", server.name, len(raws), server.cpu() - cpu, clock, *_percentiles(latencies))


def _blocks(server: Server, raws: Sequence[bytes]) -> Row:
    bodies = [
        node_peers.batch("eth_sendRawTransaction", ["0x" + raw.hex() for raw in raws[at : at + PER_BLOCK]])
        for at in range(0, len(raws), PER_BLOCK)
    ]
    first = int(server.wire.call("eth_blockNumber"), 16)
    cpu, begin = server.cpu(), time.perf_counter()
    for body in bodies:
        answer = server.wire.post(body)
        if b'"error"' in answer:
            raise WrongResult(f"{server.name}: {answer[:500].decode()}")
        server.wire.call("evm_mine")
    clock = time.perf_counter() - begin
    row = Row("blocks", server.name, len(raws), server.cpu() - cpu, clock)
    last = int(server.wire.call("eth_blockNumber"), 16)
    mined = [
        len(server.wire.call("eth_getBlockByNumber", hex(number), False)["transactions"])
        for number in range(first + 1, last + 1)
    ]
    if sum(mined) != len(raws):
        raise WrongResult(f"{server.name}: blocks of {mined} transactions for {len(raws)}")
    return row


def _settle(server: Server, senders: Sequence[bytes]) -> None:
    """Wait until nothing waits: some nodes answer before they mine."""
    until = time.monotonic() + 60
    for sender in senders:
        counts = [partial(server.wire.call, "eth_getTransactionCount", "0x" + sender.hex(), at) for at in REFS]
        while counts[0]() != counts[1]():
            if time.monotonic() > until:
                raise WrongResult(f"{server.name}: transactions wait and are not mined")
            time.sleep(0.02)
            server.wire.call("evm_mine")  # what came while a block was made may wait for the next transaction


def _check(server: Server, transfers: Transfers) -> None:
    for receiver in transfers.receivers():
        call = {"to": "0x" + transfers.token.hex(), "data": "0x" + TOKEN.encode("balanceOf", (receiver,)).hex()}
        if int(server.wire.call("eth_call", call, "latest"), 16) != 1:
            raise WrongResult(f"{server.name}: 0x{receiver.hex()} did not get its token")


def _percentiles(latencies: Sequence[float]) -> tuple[float, float]:
    cuts = statistics.quantiles(latencies, n=100, method="inclusive")
    return cuts[49], cuts[98]


# Through eth-tester


def by_tester(name: str, backend: Any, count: int) -> Iterator[Row]:
    """Transfers by `send_raw_transaction`, a block for each; and then, by the backend itself, blocks of 200."""
    from eth_tester import EthereumTester

    tester = EthereumTester(backend=backend)
    keys = [number.to_bytes(32, "big") for number in range(1, SENDERS + 1)]
    transfers = Transfers(TESTER_CHAIN_ID, keys)
    token = create_address(addresses(keys)[0], 0)
    for raw in (*transfers.preparation(token), *transfers.take(20)):
        tester.send_raw_transaction("0x" + raw.hex())
    texts = ["0x" + raw.hex() for raw in transfers.take(count)]
    latencies, cpu, begin = [], time.process_time(), time.perf_counter()
    for text in texts:
        sent = time.perf_counter()
        tester.send_raw_transaction(text)
        latencies.append(time.perf_counter() - sent)
    yield Row("tester", name, count, time.process_time() - cpu, time.perf_counter() - begin, *_percentiles(latencies))
    raws = transfers.take(count)
    cpu, begin = time.process_time(), time.perf_counter()
    for at in range(0, count, PER_BLOCK):
        for raw in raws[at : at + PER_BLOCK]:
            backend.send_raw_transaction(raw)
        backend.mine_blocks(1)
    yield Row("tester blocks", name, count, time.process_time() - cpu, time.perf_counter() - begin)
    sender = tester.get_accounts()[0]
    for receiver in transfers.receivers():
        data = "0x" + TOKEN.encode("balanceOf", (receiver,)).hex()
        if int(tester.call({"from": sender, "to": "0x" + token.hex(), "data": data, "gas": 100_000}), 16) != 1:
            raise WrongResult(f"{name}: 0x{receiver.hex()} did not get its token")


# Durable


def durable(blocks: int, folder: Path) -> Iterator[Row]:
    """Blocks of 200 transfers in memory and on the durable store, in turns; the median block of each."""
    sides = [_Side("in memory", MemoryStore(history=128)), _Side("durable", LmdbStore(folder / "chain"))]
    for _ in range(blocks):
        for side in sides:
            side.mine()
    for side in sides:
        yield Row("durable", side.name, PER_BLOCK, statistics.median(side.cpu), statistics.median(side.clock))
        side.close()


class _Side:
    """A chain over a store, and the times of its blocks."""

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
        self.cpu: list[float] = []
        self.clock: list[float] = []

    def mine(self) -> None:
        raws = self._transfers.take(PER_BLOCK)
        cpu, begin = time.process_time(), time.perf_counter()
        for raw in raws:
            self._chain.send_raw(raw)
        (block,) = self._chain.mine()
        self.cpu.append(time.process_time() - cpu)
        self.clock.append(time.perf_counter() - begin)
        if len(block.transactions) != PER_BLOCK or not all(one.success for one in self._chain.receipts()):
            raise WrongResult(f"{self.name}: not every transfer was mined and succeeded")

    def close(self) -> None:
        self._chain.close()
        self._store.close()


# What is run, and what is told


def measure(arguments: argparse.Namespace, skipped: list[str]) -> Iterator[Row]:
    """Every row that can be; what cannot is told in `skipped`."""
    modules = Path(arguments.node_modules).resolve() if arguments.node_modules else None
    wanted = [name for name in arguments.peers.split(",") if name]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        makers: dict[str, Callable[[int], Any]] = {
            "vmloom": partial(node_peers.vmloom, folder=folder),
            "hardhat": partial(node_peers.hardhat, folder=folder, modules=modules),
            "anvil": partial(node_peers.anvil, folder=folder, modules=modules),
        }
        for peer in ("vmloom", *(one for one in wanted if one in ("hardhat", "anvil"))):
            try:
                with makers[peer](free_port()) as server:
                    yield from list(by_http(server, arguments.transactions))
            except PeerMissing as missing:
                skipped.append(str(missing))
            except (WrongResult, OSError) as wrong:
                if peer == "vmloom":
                    raise
                skipped.append(f"{peer}: {wrong}")
        yield from by_tester("eth-tester, vmloom", VmloomBackend(), arguments.tester_transactions)
        if "py-evm" in wanted:
            from eth_tester.backends.pyevm import PyEVMBackend

            yield from by_tester("eth-tester, py-evm", PyEVMBackend(), arguments.tester_transactions)
        yield from durable(arguments.blocks, folder)


def free_port() -> int:
    """One at which nobody listens now."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def ratios(rows: Sequence[Row]) -> dict[str, float]:
    """How many times as many transactions per second of the processor vmloom does, by part and peer."""
    by = {(row.part, row.name): row for row in rows}
    ours = {part: by[part, "vmloom"] for part in ("single", "blocks")}
    found = {
        f"{row.part}: {row.name}": ours[row.part].per_cpu_second / row.per_cpu_second
        for row in rows
        if row.part in ours and row.name != "vmloom"
    }
    for name in ("eth-tester, py-evm", "eth-tester, vmloom"):
        for part, theirs in (("single", "tester"), ("blocks", "tester blocks")):
            if (theirs, name) in by:
                found[f"{part}: {name}"] = ours[part].per_cpu_second / by[theirs, name].per_cpu_second
    memory, stored = by["durable", "in memory"], by["durable", "durable"]
    found["durable: time of a block, processor"] = stored.cpu / memory.cpu
    found["durable: time of a block, clock"] = stored.clock / memory.clock
    return found


def verdicts(found: dict[str, float]) -> Iterator[str]:
    """What is said of each target."""
    for name, target in TARGETS.items():
        for part in ("single", "blocks"):
            ratio = found.get(f"{part}: {name}")
            if ratio is not None:
                yield f"{part}: {ratio:.1f} times {name}, target {target:g}: {'met' if ratio >= target else 'missed'}"
    ratio = found["durable: time of a block, clock"]
    verdict = "met" if ratio <= DURABLE_TARGET else "missed"
    yield f"durable: {ratio:.2f} times as long as in memory, target {DURABLE_TARGET:g}: {verdict}"


def show(rows: Sequence[Row], skipped: Sequence[str]) -> None:
    """The table, the ratios and the targets."""
    from rich.console import Console
    from rich.table import Table

    console = Console(width=None if sys.stdout.isatty() else 120, highlight=False)
    table = Table(box=None)
    for name in ("part", "node", "transactions", "per cpu second", "per second", "p50 ms", "p99 ms"):
        table.add_column(name, justify="left" if name in ("part", "node") else "right", no_wrap=True)
    for row in rows:
        percentiles = [f"{1000 * one:.2f}" if one is not None else "" for one in (row.p50, row.p99)]
        per_second = row.transactions / row.clock
        table.add_row(
            row.part,
            row.name,
            f"{row.transactions:,}",
            f"{row.per_cpu_second:,.0f}",
            f"{per_second:,.0f}",
            *percentiles,
        )
    console.print(table)
    for line in verdicts(ratios(rows)):
        console.print(line)
    for line in skipped:
        console.print(f"skipped: {line}")


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description="The node beside other development nodes.")
    parser.add_argument("--transactions", type=int, default=10_000, help="sent to each node in each part")
    parser.add_argument("--tester-transactions", type=int, default=300, help="sent through eth-tester")
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
