"""The little of the contract ABI that the demo needs: calls and events of addresses and 256-bit numbers.

Reads an artifact that `examples/contracts/build.py` wrote. For anything larger there are `eth-abi` and `web3`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from vmloom import Event
from vmloom.hashing import keccak256

WORD = 32
"""bytes"""

Value = int | bytes
"""A number, or an address of 20 bytes."""


@dataclass(frozen=True, slots=True)
class Parameter:
    """A named, typed place in a call or event; `indexed` ones are topics."""

    name: str
    type: str
    indexed: bool = False


@dataclass(frozen=True, slots=True)
class DecodedEvent:
    """An event by its name, with its values by parameter name."""

    name: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Artifact:
    """A compiled contract. `bytecode` creates it, `storage` maps its variables to their slots."""

    compiler: str
    bytecode: bytes
    storage: Mapping[str, int]
    methods: Mapping[str, tuple[Parameter, ...]]
    events: Mapping[str, tuple[Parameter, ...]]

    @classmethod
    def load(cls, package: str, name: str) -> Artifact:
        """The artifact in the file `name` beside the code of `package`."""
        return cls.parse(json.loads(files(package).joinpath(name).read_text("utf-8")))

    @classmethod
    def parse(cls, artifact: Mapping[str, Any]) -> Artifact:
        """The artifact that the JSON value describes."""
        entries: dict[str, dict[str, tuple[Parameter, ...]]] = {"function": {}, "event": {}, "constructor": {}}
        for entry in artifact["abi"]:
            parameters = tuple(
                Parameter(one["name"], one["type"], one.get("indexed", False)) for one in entry["inputs"]
            )
            entries[entry["type"]][entry.get("name", "")] = parameters
        return cls(
            compiler=artifact["compiler"],
            bytecode=bytes.fromhex(artifact["bytecode"].removeprefix("0x")),
            storage=artifact["storage"],
            methods=entries["function"],
            events=entries["event"],
        )

    def encode_call(self, method: str, *values: Value) -> bytes:
        """Call data: the method's selector and one word for each value."""
        parameters = self.methods[method]
        if len(values) != len(parameters):
            raise TypeError(f"{method} takes {len(parameters)} values, got {len(values)}")
        return keccak256(_signature(method, parameters))[:4] + b"".join(map(encode_word, values))

    def decode_event(self, event: Event) -> DecodedEvent:
        """The event in the contract's words. Raises `KeyError` for one that is not of this contract."""
        for name, parameters in self.events.items():
            if event.topics and event.topics[0] == int.from_bytes(keccak256(_signature(name, parameters)), "big"):
                topics = iter(event.topics[1:])
                words = iter(
                    int.from_bytes(event.data[at : at + WORD], "big") for at in range(0, len(event.data), WORD)
                )
                values = {one.name: _decode(one.type, next(topics if one.indexed else words)) for one in parameters}
                return DecodedEvent(name, values)
        raise KeyError(f"no event with the topics {event.topics}")

    def slot(self, variable: str, *keys: Value) -> int:
        """Where Vyper keeps `variable`, or with `keys` an entry of it: keccak256 of slot and key, once for each key."""
        slot = self.storage[variable]
        for key in keys:
            slot = int.from_bytes(keccak256(slot.to_bytes(WORD, "big") + encode_word(key)), "big")
        return slot


def encode_word(value: Value) -> bytes:
    """The value as 32 bytes, zeros in front."""
    return value.to_bytes(WORD, "big") if isinstance(value, int) else value.rjust(WORD, b"\0")


def _signature(name: str, parameters: Sequence[Parameter]) -> bytes:
    return f"{name}({','.join(one.type for one in parameters)})".encode()


def _decode(type_name: str, word: int) -> Value:
    return (word % (1 << 160)).to_bytes(20, "big") if type_name == "address" else word
