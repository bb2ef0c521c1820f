"""Ten minutes of everything at once against a node that keeps its chain: transfers, questions, and what hurts.

    uv run --group bench python benchmarks/node_soak.py [--seconds N] [--json]

Clients, each on a thread of its own:

* senders: signed ERC-20 transfers, one after the other, each in a block of its own;
* readers: calls, logs, blocks, fee histories, proofs, traces, estimates;
* spoilers: malformed JSON, wrong types, batches and bodies that are too large, unknown methods, bytes that are no text;
* bombers: endless loops, memory and deep recursion in `eth_call`, in estimates, in traces, and in transactions;
* dawdlers: requests that arrive a byte at a time or never end, and subscribers that do not read.

Then the node is ended (SIGTERM), started again on its folder, and asked for every transaction that it had accepted.

What must hold, or the exit code is 1: the node never ends by itself, and every honest request is answered, as is every
bad one in the way that is right for it; all accepted transactions are there after the restart, and succeeded; memory
and open files stay below what `--memory-growth` (MiB, from a quarter of the time on) and 64 more files allow.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import random
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Final

import node_peers
from node import CHAIN_ID, Transfers, addresses, free_port
from node_peers import Server, Wire, request
from vmloom.hashing import create_address
from vmloom_evm.assembly import call, deployer, jump, label, mload, op, pop, push
from vmloom_evm.demo.token import TOKEN
from vmloom_node.chain.accounts import derive_keys

SENDERS: Final = 4
SUBSCRIBERS: Final = 3
FILES_ALLOWED: Final = 64
SLOWEST: Final = 45.0
"""Seconds after which a request counts as not answered; the node's own limit for a call is 30."""
OK: Final = "result"


@dataclass
class Tally:
    """What was seen. Threads share it."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    """By kind of client and what it was told."""
    latencies: dict[str, list[float]] = field(default_factory=dict)
    accepted: list[bytes] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, kind: str, outcome: str, seconds: float | None = None) -> None:
        """Count an answer, and how long it took if that matters."""
        with self.lock:
            self.answers[kind, outcome] += 1
            if seconds is not None:
                self.latencies.setdefault(kind, []).append(seconds)

    def fault(self, text: str) -> None:
        """Something that must not be. A hundred are enough to know."""
        with self.lock:
            if len(self.faults) < 100:
                self.faults.append(text)


@dataclass
class Soak:
    """A run: where the node is, until when, and what was seen."""

    port: int
    token: bytes
    until: float
    pace: float
    """Seconds between two requests of a client."""
    tally: Tally = field(default_factory=Tally)

    @property
    def goes_on(self) -> bool:
        """Whether there is time left."""
        return time.monotonic() < self.until

    def wire(self) -> Wire:
        """A connection of one's own."""
        return Wire("127.0.0.1", self.port)

    def rest(self) -> None:
        """Between two requests."""
        time.sleep(self.pace)


def outcome_of(text: bytes) -> str:
    """`result`, or the code of the error."""
    answer = json.loads(text)
    if isinstance(answer, list):
        return "batch"
    return str(answer["error"]["code"]) if "error" in answer else OK


# Honest clients


def sender(soak: Soak, transfers: Transfers) -> None:
    """Transfers, each remembered if it was accepted."""
    wire = soak.wire()
    while soak.goes_on:
        (raw,) = transfers.take(1)
        begin = time.monotonic()
        answer = json.loads(wire.post(request("eth_sendRawTransaction", "0x" + raw.hex())))
        soak.tally.note("sender", OK if "result" in answer else "error", time.monotonic() - begin)
        if "result" in answer:
            with soak.tally.lock:
                soak.tally.accepted.append(bytes.fromhex(answer["result"][2:]))
        else:
            soak.tally.fault(f"a transfer was refused: {answer['error']}")
        soak.rest()
    wire.close()


def reader(soak: Soak, seed: int) -> None:
    """Questions of all kinds."""
    chance, wire = random.Random(seed), soak.wire()
    token = "0x" + soak.token.hex()
    data = "0x" + TOKEN.encode("totalSupply", ()).hex()
    while soak.goes_on:
        head = int(wire.call("eth_blockNumber"), 16)
        number = hex(chance.randint(max(0, head - 50), head))
        questions: list[tuple[str, list[Any]]] = [
            ("eth_call", [{"to": token, "data": data}, number]),
            ("eth_getBlockByNumber", [number, True]),
            ("eth_getLogs", [{"address": token, "fromBlock": hex(max(0, head - 20)), "toBlock": hex(head)}]),
            ("eth_feeHistory", ["0x10", "latest", [10, 90]]),
            ("eth_getProof", [token, ["0x0"], "latest"]),
            ("eth_estimateGas", [{"to": token, "data": data}]),
            ("eth_getBlockReceipts", [number]),
            ("debug_traceCall", [{"to": token, "data": data}, "latest", {"tracer": "callTracer"}]),
        ]
        method, params = chance.choice(questions)
        begin = time.monotonic()
        text = wire.post(request(method, *params))
        soak.tally.note("reader", outcome_of(text), time.monotonic() - begin)
        if outcome_of(text) != OK:
            soak.tally.fault(f"{method}: {text[:200]!r}")
        soak.rest()
    wire.close()


# Bad ones


BAD_BODIES: Final[tuple[tuple[bytes, tuple[str, ...]], ...]] = (
    (b"", ("-32700",)),
    (b"{", ("-32700",)),
    (b"\xff\xfe{}", ("-32700",)),
    (b"[" * 100_000, ("-32700",)),
    (b'{"jsonrpc":"2.0","id":1,"method":"a', ("-32700",)),
    (b"[]", ("-32600",)),
    (b"3", ("-32600",)),
    (b'{"jsonrpc":"1.0","id":1,"method":"eth_chainId"}', ("-32600", OK)),
    (b'{"jsonrpc":"2.0","id":1,"method":7}', ("-32600",)),
    (request("eth_noSuchThing"), ("-32601",)),
    (request("eth_getBalance", 7), ("-32602",)),
    (request("eth_getBalance", "0x12", "latest"), ("-32602",)),
    (request("eth_getBlockByNumber", "0x" + "f" * 80, True), ("-32602",)),
    (request("eth_call", {"to": ["0x"]}, "latest"), ("-32602",)),
    (request("eth_getLogs", {"fromBlock": "0x0", "toBlock": "0xzz"}), ("-32602",)),
    (request("eth_sendRawTransaction", "0x02ff"), ("-32602", "-32000", "-32003")),
    (request("debug_traceTransaction", "0x" + "00" * 32, {"tracer": "noSuchTracer"}), ("-32602", "-32000", "-32001")),
    (request("eth_feeHistory", "0xffffffff", "latest", [200]), ("-32602", "-32000")),
    (b"[" + b",".join([request("eth_chainId")] * 5_000) + b"]", ("-32600", "-32005", "batch")),
    (b"[" + b",".join([request("eth_blockNumber")] * 900) + b"]", ("batch",)),
)
"""Bodies, and what they may be told."""


def spoiler(soak: Soak, seed: int) -> None:
    """What no client should send."""
    chance, wire = random.Random(seed), soak.wire()
    while soak.goes_on:
        body, expected = chance.choice(BAD_BODIES)
        try:
            text = wire.post(body)
            told = outcome_of(text)
            if told not in expected:
                soak.tally.fault(f"{body[:60]!r} was answered {text[:160]!r}")
        except (OSError, http.client.HTTPException, ValueError) as error:
            told = type(error).__name__
            soak.tally.fault(f"{body[:60]!r}: {error!r}")
            wire = soak.wire()
        soak.tally.note("spoiler", told)
        if chance.random() < 0.05:
            soak.tally.note("spoiler", oversized(soak))
        soak.rest()
    wire.close()


def oversized(soak: Soak) -> str:
    """A body beyond the limit must be turned away, and the connection with it."""
    connection = http.client.HTTPConnection("127.0.0.1", soak.port, timeout=SLOWEST)
    try:
        connection.request("POST", "/", b" " * 6_000_000, {"content-type": "application/json"})
        status = str(connection.getresponse().status)
    except OSError:
        return "cut off"  # it need not read what it does not want
    finally:
        connection.close()
    if status != "413":
        soak.tally.fault(f"6 MB were answered with {status}")
    return status


def _bombs(token: bytes) -> list[tuple[str, list[Any]]]:
    loop = bytes(label("again") + pop(push(1)) + jump("again"))
    memory = bytes(label("again") + pop(mload(op("MSIZE"))) + jump("again"))
    recursion = bytes(pop(call(0xB0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0B0)))
    address = "0x" + "b0" * 20
    found: list[tuple[str, list[Any]]] = []
    for code in (loop, memory, recursion):
        overrides = {address: {"code": "0x" + code.hex()}}
        wanted = {"to": address, "gas": hex(90_000_000)}
        found.append(("eth_call", [wanted, "latest", overrides]))
        found.append(("eth_estimateGas", [wanted, "latest", overrides]))
        found.append(("debug_traceCall", [wanted, "latest", {"stateOverrides": overrides, "disableStack": True}]))
        found.append(("debug_traceCall", [wanted, "latest", {"stateOverrides": overrides, "tracer": "callTracer"}]))
    sender_address = "0x70997970c51812dc3a010c7d01b50e0d17dc79c8"
    bomb = "0x" + bytes(deployer(loop)).hex()
    found.append(("eth_sendTransaction", [{"from": sender_address, "data": "0x" + loop.hex(), "gas": hex(1_000_000)}]))
    found.append(("eth_call", [{"data": bomb, "gas": hex(10**18)}, "latest"]))
    found.append(("eth_getLogs", [{"fromBlock": "0x0", "toBlock": "latest"}]))
    found.append(("eth_call", [{"to": "0x" + token.hex(), "data": "0x" + "ab" * 500_000}, "latest"]))
    return found


def bomber(soak: Soak, seed: int) -> None:
    """Calls that use all they may. Each must end, one way or another, within its time."""
    chance, wire = random.Random(seed), soak.wire()
    bombs = _bombs(soak.token)
    while soak.goes_on:
        method, params = chance.choice(bombs)
        begin = time.monotonic()
        try:
            told = outcome_of(wire.post(request(method, *params)))
        except (OSError, http.client.HTTPException, ValueError) as error:
            told = type(error).__name__
            soak.tally.fault(f"a bomb by {method}: {error!r}")
            wire = soak.wire()
        seconds = time.monotonic() - begin
        soak.tally.note("bomber", told, seconds)
        if seconds > SLOWEST:
            soak.tally.fault(f"a bomb by {method} held its client for {seconds:.0f} s")
        time.sleep(4 * soak.pace)
    wire.close()


def dawdler(soak: Soak, seed: int) -> None:
    """Requests that take their time or never end."""
    chance = random.Random(seed)
    head = b"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n"
    while soak.goes_on:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", soak.port), timeout=5) as one:
            for byte in head[: chance.choice((5, 60, len(head)))]:
                one.sendall(bytes([byte]))
                if chance.random() < 0.05:
                    time.sleep(0.05)
            time.sleep(chance.random())
        soak.tally.note("dawdler", "hung up")


def subscriber(soak: Soak, _seed: int) -> None:
    """Subscribes to everything and reads nothing."""
    from websockets.exceptions import WebSocketException
    from websockets.sync.client import connect

    while soak.goes_on:
        with (
            contextlib.suppress(OSError, WebSocketException, TimeoutError),
            connect(f"ws://127.0.0.1:{soak.port}/", max_queue=1, ping_interval=None, close_timeout=1) as connection,
        ):
            for topic in ("newHeads", "newPendingTransactions"):
                connection.send(request("eth_subscribe", topic).decode())
            connection.send(request("eth_subscribe", "logs", {}).decode())
            while soak.goes_on:
                time.sleep(0.2)
        soak.tally.note("subscriber", "ended")


# The run


@dataclass(frozen=True)
class Sample:
    """What the node held at a time: seconds since the start, bytes, and file descriptors."""

    at: float
    memory: int
    files: int


def sample(soak: Soak, server: Server, samples: list[Sample], every: float) -> None:
    """Look at the process until the end; that it ended by itself is a fault."""
    begin = time.monotonic()
    while soak.goes_on:
        if server.process.poll() is not None:
            soak.tally.fault(f"the node ended by itself, with exit code {server.process.returncode}")
            return
        samples.append(Sample(time.monotonic() - begin, server.resident(), server.open_files()))
        time.sleep(every)


def run(seconds: float, pace: float, timeout: float, folder: Path) -> tuple[Soak, list[Sample]]:
    """Soak the node for so long, and ask it for everything after it was started again."""
    port, keys = free_port(), derive_keys(count=SENDERS + 1)
    settings = (f"node.rpc.timeout_s={timeout}",)
    options = ("--state", str(folder / "chain"), "--accounts", str(SENDERS + 1))
    samples: list[Sample] = []
    with node_peers.vmloom(port, folder, *options, settings=settings) as server:
        transfers = _prepare(server, [keys[0], *keys[2:]])
        soak = Soak(port, transfers[0].token, time.monotonic() + seconds, pace)
        work: list[Callable[[], None]] = [partial(sender, soak, one) for one in transfers]
        for seed, client in enumerate((reader, reader, spoiler, bomber, dawdler, dawdler, *[subscriber] * SUBSCRIBERS)):
            work.append(partial(client, soak, seed))
        threads = [threading.Thread(target=_guarded, args=(soak, one)) for one in work]
        for thread in threads:
            thread.start()
        sample(soak, server, samples, min(5.0, seconds / 20))
        for thread in threads:
            thread.join()
    if server.process.returncode != 0:
        soak.tally.fault(f"the node ended with exit code {server.process.returncode}")
    with node_peers.vmloom(port, folder, *options, settings=settings) as server:
        _check(server, soak)
    return soak, samples


def _prepare(server: Server, keys: Sequence[bytes]) -> list[Transfers]:
    """The token, and for each sender its transfers."""
    owner = Transfers(CHAIN_ID, keys)
    for raw in owner.preparation(create_address(addresses(keys)[0], 0)):
        server.wire.call("eth_sendRawTransaction", "0x" + raw.hex())
    found = []
    for number, key in enumerate(keys):
        one = Transfers(CHAIN_ID, [key], first=(number + 1) << 100)
        one.token = owner.token
        one.continue_from([owner.nonce_of(number)])
        found.append(one)
    return found


def _guarded(soak: Soak, work: Callable[[], None]) -> None:
    try:
        work()
    except Exception as error:
        soak.tally.fault(f"a client failed: {error!r}")


def _check(server: Server, soak: Soak) -> None:
    """Every accepted transaction is in a block, and succeeded."""
    missing = 0
    for at in range(0, len(soak.tally.accepted), 500):
        hashes = ["0x" + one.hex() for one in soak.tally.accepted[at : at + 500]]
        for answer in json.loads(server.wire.post(node_peers.batch("eth_getTransactionReceipt", hashes))):
            receipt = answer.get("result")
            if not receipt or receipt["status"] != "0x1":
                missing += 1
    if missing:
        soak.tally.fault(f"{missing} of {len(soak.tally.accepted)} accepted transactions are gone after the restart")


def growth(samples: Sequence[Sample]) -> tuple[float, int]:
    """MiB of memory and number of files by which the last quarter lies above the second one, by their medians."""
    quarter = max(1, len(samples) // 4)
    early, late = samples[quarter : 2 * quarter] or samples, samples[-quarter:]
    memory = statistics.median(one.memory for one in late) - statistics.median(one.memory for one in early)
    return memory / (1 << 20), max(one.files for one in late) - min(one.files for one in early)


def report(soak: Soak, samples: Sequence[Sample], seconds: float, allowed: float) -> dict[str, Any]:
    """What is told at the end."""
    memory, files = growth(samples)
    if memory > allowed:
        soak.tally.fault(f"memory has grown by {memory:.0f} MiB, {allowed:g} are allowed")
    if files > FILES_ALLOWED:
        soak.tally.fault(f"{files} more files are open, {FILES_ALLOWED} are allowed")
    percentiles = {}
    for kind, latencies in soak.tally.latencies.items():
        cuts = statistics.quantiles(latencies, n=100, method="inclusive") if len(latencies) > 1 else latencies * 99
        percentiles[kind] = {"p50_ms": round(1000 * cuts[49], 1), "p99_ms": round(1000 * cuts[98], 1)}
    return {
        "seconds": seconds,
        "accepted": len(soak.tally.accepted),
        "answers": {f"{kind}: {told}": count for (kind, told), count in sorted(soak.tally.answers.items())},
        "latencies": percentiles,
        "memory_mib": [round(one.memory / (1 << 20)) for one in (samples[0], samples[len(samples) // 2], samples[-1])],
        "memory_growth_mib": round(memory, 1),
        "file_growth": files,
        "faults": soak.tally.faults,
    }


def lines(told: dict[str, Any]) -> Iterator[str]:
    """The report for people."""
    yield f"{told['seconds']:g} s, {told['accepted']:,} transfers accepted and found again after the restart"
    for kind, values in told["latencies"].items():
        yield f"{kind}: p50 {values['p50_ms']} ms, p99 {values['p99_ms']} ms"
    yield "answers: " + ", ".join(f"{name} {count:,}" for name, count in told["answers"].items())
    first, middle, last = told["memory_mib"]
    yield f"memory: {first} MiB at first, {middle} in the middle, {last} at the end; growth {told['memory_growth_mib']}"
    yield f"open files: {told['file_growth']:+} at most"
    yield from (f"FAULT: {fault}" for fault in told["faults"])
    yield "passed" if not told["faults"] else "FAILED"


def main() -> None:
    """Run what is asked for."""
    parser = argparse.ArgumentParser(description="Everything at once against a node, for a while.")
    parser.add_argument("--seconds", type=float, default=600)
    parser.add_argument("--pace", type=float, default=0.02, help="seconds that a client rests between requests")
    parser.add_argument("--timeout", type=float, default=30, help="seconds that the node gives a call")
    parser.add_argument("--memory-growth", type=float, default=128, help="MiB that are allowed")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        soak, samples = run(arguments.seconds, arguments.pace, arguments.timeout, Path(folder))
    told = report(soak, samples, arguments.seconds, arguments.memory_growth)
    print(json.dumps(told, indent=2) if arguments.json else "\n".join(lines(told)))
    if told["faults"]:
        sys.exit(1)


if __name__ == "__main__":
    main()
