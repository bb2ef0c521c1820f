"""What native code laid down, read by Python: logs as events, changes of rows as changes of state."""

from __future__ import annotations

from collections.abc import Container, Iterator
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from vmloom import Event, StateChange
from vmloom.kernel.memory import size_of

from . import layout

if TYPE_CHECKING:
    from .state import NativeState

CHANGE: Final = Struct("<QQQ24s32s32s32s")
LOG: Final = Struct("<24sQQQ128s")
assert size_of(layout.Change) == CHANGE.size
assert size_of(layout.Log) == LOG.size

EVM_NAME: Final = "evm"


@dataclass(frozen=True, slots=True)
class ReadSet:
    """What a run has looked at: accounts by address, slots by address and number. What was undone counts, too."""

    accounts: frozenset[bytes]
    slots: frozenset[tuple[bytes, int]]


def decode_reads(data: bytes) -> ReadSet:
    """The reads in an array of `layout.Change`."""
    accounts, slots = set(), set()
    for kind, _, _, address, key, _, _ in CHANGE.iter_unpack(data):
        if kind == layout.SLOT:
            slots.add((address[:20][::-1], int.from_bytes(key, "little")))
        else:
            accounts.add(address[:20][::-1])
    return ReadSet(frozenset(accounts), frozenset(slots))


class Names:
    """What numbers in native memory stand for: names of VMs, and codes that Python has seen, by row."""

    def __init__(self, vms: list[str] | None = None) -> None:
        self.vms: list[str] = ["", EVM_NAME] if vms is None else vms
        self.codes: dict[int, bytes] = {0: b""}

    def number_of(self, vm: str) -> int:
        """The number of a VM's name."""
        if vm not in self.vms:
            self.vms.append(vm)
        return self.vms.index(vm)


def decode_events(logs: bytes, data: bytes) -> list[Event]:
    """The logs in an array of `layout.Log`."""
    events = []
    for address, count, offset, size, topics in LOG.iter_unpack(logs):
        words = tuple(int.from_bytes(topics[32 * n : 32 * n + 32], "little") for n in range(count))
        events.append(Event(address[:20][::-1], words, data[offset : offset + size]))
    return events


def decode_changes(data: bytes, state: NativeState) -> Iterator[StateChange]:
    """The changes in an array of `layout.Change`: accounts first, then words; what was changed back is left out."""
    fields: dict[bytes, dict[int, tuple[int, int, int]]] = {}
    words: dict[bytes, dict[int, tuple[int, int, int]]] = {}
    epochs: dict[bytes, int] = {}
    for kind, epoch, account_epoch, raw, key, former, now in CHANGE.iter_unpack(data):
        address = raw[:20][::-1]
        row = (int.from_bytes(key, "little"), int.from_bytes(former, "little"), int.from_bytes(now, "little"))
        if kind == layout.SLOT:
            epochs[address] = account_epoch
            words.setdefault(address, {}).setdefault(row[0], (epoch, row[1], row[2]))
        else:
            fields.setdefault(address, {}).setdefault(kind, row)
    for address, found in fields.items():
        yield from _account_changes(address, found, state)
    for address, slots in words.items():
        cleared = fields.get(address, {}).get(layout.EPOCH)
        for slot, (epoch, former, now) in slots.items():
            begun = epochs[address] if cleared is None else cleared[1]
            # A word of another epoch than that in which the run began was zero then, if it had been loaded.
            old = former if epoch == begun else 0
            if epoch == layout.NO_EPOCH and begun == 0 and state.source is not None:
                old = state.source.get_storage(address, slot)
            if old != now:
                yield StateChange(address, "storage", slot, old, now)
    for address, found in fields.items():
        if layout.EPOCH in found and found[layout.EPOCH][1] == 0:
            yield from _unseen_changes(address, words.get(address, {}), state)


def read_diff(data: bytes) -> tuple[dict[bytes, None], dict[bytes, dict[int, int]]] | None:
    """The accounts that have changed, and the words there are now, in an array of `layout.Change`.

    None where a storage was cleared: what has become of its words takes more than to look at them.
    """
    accounts: dict[bytes, None] = {}
    words: dict[bytes, dict[int, int]] = {}
    for kind, _, _, raw, key, _, now in CHANGE.iter_unpack(data):
        address = raw[19::-1]
        if kind == layout.SLOT:
            words.setdefault(address, {})[int.from_bytes(key, "little")] = int.from_bytes(now, "little")
        elif kind == layout.EPOCH:
            return None
        else:
            accounts[address] = None
    return accounts, words


def _unseen_changes(address: bytes, seen: Container[int], state: NativeState) -> Iterator[StateChange]:
    """Words that went with an account's storage without having been loaded before."""
    if state.source is not None:
        for slot in sorted(state.load_slots(address)):
            if slot not in seen:
                word = state.source.get_storage(address, slot)
                if word:
                    yield StateChange(address, "storage", slot, word, 0)


def cleared_accounts(data: bytes) -> set[bytes]:
    """The accounts whose storage was cleared, in an array of `layout.Change`."""
    return {change[3][:20][::-1] for change in CHANGE.iter_unpack(data) if change[0] == layout.EPOCH}


def _account_changes(
    address: bytes, found: dict[int, tuple[int, int, int]], state: NativeState
) -> Iterator[StateChange]:
    """Those of one account, in the order of its fields."""
    for kind, name in ((layout.FLAGS, "exists"), (layout.NONCE, "nonce"), (layout.BALANCE, "balance")):
        if kind in found:
            _, old, new = found[kind]
            if old != new:
                values: tuple[Any, Any] = (bool(old), bool(new)) if name == "exists" else (old, new)
                yield StateChange(address, name, None, *values)
    if layout.CODE in found:
        vms, old, new = found[layout.CODE]
        if old != new:
            yield StateChange(address, "code", None, state.code_of_row(old), state.code_of_row(new))
        former, now = state.names.vms[vms >> 64], state.names.vms[vms & layout.NO_EPOCH]
        if former != now:
            yield StateChange(address, "vm", None, former, now)
