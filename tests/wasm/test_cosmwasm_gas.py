"""The gas totals that CosmWasm asserts in its own tests, reached with our table and pass.

Needs its contract: set VMLOOM_COSMWASM to a checkout of CosmWasm/cosmwasm (commit fe92977 or close). The host here
is the smallest one that runs `hackatom` as `packages/vm/src/instance.rs` does, with the prices of its `GasConfig`.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime
from vmloom_wasm.binary.module import decode
from vmloom_wasm.binary.writer import encode
from vmloom_wasm.metering import COSMWASM, GAS_EXPORT, STACK_EXPORT, instrument

CONTRACT = Path(os.environ.get("VMLOOM_COSMWASM", "")) / "packages/vm/testdata/hackatom.wasm"
LIMIT = 10**12
LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"

pytestmark = pytest.mark.skipif(
    not CONTRACT.is_file(), reason="set VMLOOM_COSMWASM to a checkout of CosmWasm/cosmwasm to run its contract"
)


def regroup(data: list[int], bits: int, to: int, *, pad: bool) -> list[int]:
    """Split a string of bits, given in items of `bits`, into items of `to`."""
    pool = held = 0
    groups = []
    for item in data:
        pool, held = pool << bits | item, held + bits
        while held >= to:
            held -= to
            groups.append(pool >> held & (1 << to) - 1)
    if pad and held:
        groups.append(pool << to - held & (1 << to) - 1)
    return groups


def bech32(raw: bytes) -> str:
    """An address, as in BIP 173."""

    def checksum(values: list[int]) -> int:
        check = 1
        for value in values:
            top, check = check >> 25, (check & 0x1FFFFFF) << 5 ^ value
            for bit, factor in enumerate((0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)):
                check ^= factor if top >> bit & 1 else 0
        return check

    prefix = "cosmwasm"
    values = regroup(list(raw), 8, 5, pad=True)
    spread = [ord(letter) >> 5 for letter in prefix] + [0] + [ord(letter) & 31 for letter in prefix]
    total = checksum(spread + values + [0] * 6) ^ 1
    return f"{prefix}1" + "".join(LETTERS[item] for item in values + [total >> 5 * (5 - i) & 31 for i in range(6)])


def address(name: str) -> str:
    return bech32(hashlib.sha256(name.encode()).digest())


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


class Contract:
    """An instance of the contract, and the host functions that it imports under their own names."""

    def __init__(self) -> None:
        engine = wasmtime.Engine()
        self.store = wasmtime.Store(engine)
        self.kept: dict[bytes, bytes] = {}
        compiled = wasmtime.Module(engine, encode(instrument(decode(CONTRACT.read_bytes()), COSMWASM)))
        linker = wasmtime.Linker(engine)
        for entry in compiled.imports:
            assert entry.name is not None
            assert isinstance(entry.type, wasmtime.FuncType)
            linker.define_func(entry.module, entry.name, entry.type, self.paid(getattr(self, entry.name, self.missing)))
        self.exports = linker.instantiate(self.store, compiled).exports(self.store)
        self.memory, self.gas = self.exports["memory"], self.exports[GAS_EXPORT]
        self.gas.set_value(self.store, LIMIT)
        self.exports[STACK_EXPORT].set_value(self.store, 100_000)

    def paid(self, function: Callable[..., object]) -> Callable[..., object]:
        def run(*arguments: int) -> object:
            self.charge(18_000)
            return function(*arguments)

        return run

    def missing(self, *_: int) -> int:
        raise AssertionError("the contract calls what these messages do not need")

    def charge(self, cost: int) -> None:
        self.gas.set_value(self.store, self.gas.value(self.store) - cost)

    def region(self, at: int) -> list[int]:
        raw = self.memory.read(self.store, at, at + 12)
        return [int.from_bytes(raw[i : i + 4], "little") for i in (0, 4, 8)]

    def read(self, at: int) -> bytes:
        begin, _, size = self.region(at)
        self.charge(200_000 + 115 * size)
        return bytes(self.memory.read(self.store, begin, begin + size))

    def write(self, at: int, content: bytes) -> None:
        self.charge(230_000 + 570 * len(content))
        self.memory.write(self.store, content, self.region(at)[0])
        self.memory.write(self.store, len(content).to_bytes(4, "little"), at + 8)

    def put(self, content: bytes) -> int:
        at = self.exports["allocate"](self.store, len(content))
        self.write(at, content)
        return int(at)

    def db_read(self, key: int) -> int:
        name = self.read(key)
        self.charge(len(name))
        return self.put(self.kept[name]) if name in self.kept else 0

    def db_write(self, key: int, value: int) -> None:
        name, content = self.read(key), self.read(value)
        self.charge(len(name) + len(content))
        self.kept[name] = content

    def addr_validate(self, text: int) -> int:
        self.charge(28_700 + 1400 * len(self.read(text)) + 9 * 140_000)
        return 0

    def addr_canonicalize(self, text: int, to: int) -> int:
        given = self.read(text)
        self.charge(28_700 + 1400 * len(given) + 5 * 140_000)
        values = [LETTERS.index(chr(letter)) for letter in given.split(b"1", 1)[1][:-6]]
        self.write(to, bytes(regroup(values, 5, 8, pad=False)))
        return 0

    def addr_humanize(self, raw: int, to: int) -> int:
        given = self.read(raw)
        self.charge(4 * 140_000)
        self.write(to, bech32(given).encode())
        return 0

    def debug(self, text: int) -> None:
        self.read(text)

    def query_chain(self, request: int) -> int:
        every = "all_balances" in json.loads(self.read(request))["bank"]
        balance = {"amount": [] if every else {"denom": "earth", "amount": "0"}}
        answer = compact({"ok": {"ok": base64.b64encode(compact(balance)).decode()}})
        self.charge(100_000 + 100 * len(answer))
        return self.put(answer)

    def call(self, name: str, *messages: bytes) -> int:
        """Call an entry point and return the gas that it took."""
        before = self.gas.value(self.store)
        result = self.exports[name](self.store, *[self.put(message) for message in messages])
        assert self.read(result).startswith(b'{"ok"')
        self.exports["deallocate"](self.store, result)
        return int(before - self.gas.value(self.store))


def test_totals_of_hackatom() -> None:
    contract = Contract()
    transaction = base64.b64encode(bytes.fromhex("E5469DACEC17CEF8A260FD37675ED87E7FB6A2B5AD95193C51308006C7E494B3"))
    environment = compact(
        {
            "block": {"height": 12345, "time": "1571797419879305533", "chain_id": "cosmos-testnet-14002"},
            "transaction": {"index": 3, "hash": transaction.decode()},
            "contract": {"address": address("cosmos2contract")},
        }
    )

    def sender(name: str, amount: int) -> bytes:
        return compact({"sender": address(name), "funds": [{"denom": "earth", "amount": str(amount)}]})

    # the tests there write this message with blanks
    parties = json.dumps({"verifier": address("verifies"), "beneficiary": address("benefits")}).encode()
    assert contract.call("instantiate", environment, sender("creator", 1000), parties) == 18_034_576
    assert contract.call("query", environment, b'{"verifier":{}}') == 11_105_566
    release = b'{"release":{"denom":"earth"}}'
    assert contract.call("execute", environment, sender("verifies", 15), release) == 24_624_366
