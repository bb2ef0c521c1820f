"""Rows that run the compiled contracts in `benchmarks/contracts`, and the calls whose latency counts."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

from vmloom import ExecutionContext, MemoryState
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import stop
from vmloom_evm.demo.abi import Artifact, Value, encode_word

from .work import BLOCK_TIME, CALLER, REVISION, TARGET, Call, Preset, Row, World

FOLDER = Path(__file__).parents[1] / "contracts"
PAIR = bytes.fromhex("ba" * 20)
TOKENS = (bytes.fromhex("70" * 20), bytes.fromhex("71" * 20))
RECEIVER = bytes.fromhex("d0" * 20)
PLENTY = 10**30


@cache
def artifact(name: str) -> Artifact:
    """The compiled contract `name`."""
    return Artifact.parse(json.loads((FOLDER / f"{name}.json").read_text("utf-8")))


@cache
def deployed(name: str, *arguments: Value) -> Preset:
    """The contract `name` as its constructor leaves it when it is called with `arguments`."""
    vm = Evm(EvmConfig(revision=REVISION, engine="reference"))
    init = artifact(name).bytecode + b"".join(map(encode_word, arguments))
    state = MemoryState()
    result = vm.execute(init, ExecutionContext(address=TARGET, gas_limit=10**8), state)
    assert result.success, result.error
    return Preset(result.return_data, storage=state.storage_of(TARGET))


def token(holders: dict[bytes, int], allowances: dict[tuple[bytes, bytes], int] | None = None) -> Preset:
    """A token that `holders` own, with `allowances` by owner and spender."""
    slot = artifact("token").slot
    storage = {slot("totalSupply"): sum(holders.values())}
    storage |= {slot("balanceOf", holder): amount for holder, amount in holders.items()}
    storage |= {slot("allowance", *who): amount for who, amount in (allowances or {}).items()}
    return Preset(deployed("token").code, storage=storage)


def exchange() -> World:
    """A router at `TARGET` and a pair of two tokens, of which `CALLER` has plenty and the router may take all."""
    allowances = {(CALLER, TARGET): PLENTY}
    reserves = (5 * 10**24, 3 * 10**24)
    tokens = {
        at: token({CALLER: PLENTY, PAIR: reserve}, allowances) for at, reserve in zip(TOKENS, reserves, strict=True)
    }
    pair = deployed("pair", *TOKENS)
    slot = artifact("pair").slot
    known = {slot("reserve0"): reserves[0], slot("reserve1"): reserves[1], slot("updated"): BLOCK_TIME - 12}
    return {TARGET: deployed("router"), PAIR: replace(pair, storage={**pair.storage, **known}), **tokens}


def _call(name: str, world: World, method: str, *values: Value) -> Call:
    return Call(world, artifact(name).encode_call(method, *values))


def _token_call(method: str, *values: Value) -> Call:
    return _call("token", {TARGET: token({CALLER: PLENTY, RECEIVER: 1})}, method, *values)


def mint(count: int) -> Call:
    """`mint_many`: each for a new holder."""
    return _token_call("mint_many", count)


def transfer(count: int) -> Call:
    """`transfer_many`: to 256 holders in turn."""
    return _token_call("transfer_many", count)


def approve(count: int) -> Call:
    """`approve_many`: for 256 spenders in turn."""
    return _token_call("approve_many", count)


def swaps(count: int) -> Call:
    """`swap_many` of the router."""
    return _call("router", exchange(), "swap_many", PAIR, TOKENS[0], 10**18, count)


def ray_tracer(columns: int) -> Call:
    """A picture of `columns` by three quarters of that."""
    return _call("raytracer", {TARGET: deployed("raytracer")}, "render", columns, columns * 3 // 4)


def _numbers(method: str, *values: Value) -> Call:
    return _call("numbers", {TARGET: deployed("numbers")}, method, *values)


def mandelbrot(columns: int) -> Call:
    """`columns` by three quarters of that, at most 100 steps each."""
    return _numbers("mandelbrot", columns, columns * 3 // 4, 100)


def orbits(count: int) -> Call:
    """`count` steps of five planets."""
    return _numbers("orbits", count)


def heapsort(count: int) -> Call:
    """Sort `count` words."""
    return _numbers("heapsort", count)


def sieve(limit: int) -> Call:
    """Primes below `limit`."""
    return _numbers("sieve", limit)


def nothing(_: int) -> Call:
    """A contract of one STOP."""
    return Call({TARGET: Preset(bytes(stop))})


def one_transfer(_: int) -> Call:
    """`transfer` to someone who has tokens already."""
    return _token_call("transfer", RECEIVER, 10**18)


def one_swap(_: int) -> Call:
    """`swap` of the router: seven calls of four contracts."""
    return _call("router", exchange(), "swap", PAIR, TOKENS[0], 10**18, 1, 1 << 63)


def fresh_transfer(count: int) -> Call:
    """`one_transfer`, described anew each time."""
    return replace(one_transfer(count), fresh=True)


def large_contract(_: int) -> Call:
    """A call of 24,576 bytes of code, most of them JUMPDEST, that stops at once."""
    return Call({TARGET: Preset(bytes(stop) + b"\x5b" * 24_575)})


GROUP = "contracts"
LATENCY = "one call"
_FRESH = "vmloom makes its ExecutionContext anew; peers take arguments in any case"
ROWS = (
    Row("ray tracer", GROUP, ray_tracer, 64, 4),
    Row("Mandelbrot set", GROUP, mandelbrot, 64, 4),
    Row("orbits of planets", GROUP, orbits, 500, 1),
    Row("heap sort", GROUP, heapsort, 4_000, 20),
    Row("sieve", GROUP, sieve, 65_536, 100),
    Row("ERC-20 mint x 2,000", GROUP, mint, 2_000, 5),
    Row("ERC-20 transfer x 5,000", GROUP, transfer, 5_000, 5),
    Row("ERC-20 approve x 5,000", GROUP, approve, 5_000, 5),
    Row("token swap x 200", GROUP, swaps, 200, 2),
    Row("empty contract", LATENCY, nothing),
    Row("empty contract, 24 KiB", LATENCY, large_contract),
    Row("one ERC-20 transfer", LATENCY, one_transfer),
    Row("one transfer, context anew", LATENCY, fresh_transfer, note=_FRESH),
    Row("one token swap", LATENCY, one_swap),
)
