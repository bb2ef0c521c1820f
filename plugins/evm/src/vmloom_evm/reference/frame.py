"""The machine's vocabulary over Python objects: integers, a bytearray, and the journaled state of the core.

Addresses are integers for op functions and 20 bytes for the state; slots and words are integers for both.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING

from vmloom import Event
from vmloom.hashing import create2_address, create_address, keccak256
from vmloom.kernel import U256_MAX
from vmloom.marks import CREATED
from vmloom.state import NO_ACCOUNT

from ..delegation import delegation_target
from ..hashing import code_hash
from ..marks import DESTROYED, TOUCHED
from ..rules import Rules
from .analysis import PADDING, jump_destinations

if TYPE_CHECKING:
    from .execution import Execution

RIPEMD160_ADDRESS = 3
VM_NAME = "evm"


def to_address(value: int) -> bytes:
    """An address as the state has it."""
    return value.to_bytes(20, "big")


Guest = Callable[["EvmFrame"], None]
"""Runs a frame that is not EVM code (a precompile, a contract of another VM) and closes it."""


class EvmFrame:
    """One frame. Implements `machine.Machine`, whose docstrings say what fields and verbs mean."""

    __slots__ = (
        "account",
        "address",
        "caller",
        "checkpoint",
        "code",
        "code_address",
        "depth",
        "gas",
        "guest",
        "input",
        "is_create",
        "is_static",
        "memory",
        "memory_words",
        "output_offset",
        "output_size",
        "parent",
        "pc",
        "program",
        "refund",
        "return_data",
        "rules",
        "run",
        "stack",
        "state",
        "value",
        "warm_accounts",
        "warm_slots",
    )

    def __init__(
        self,
        run: Execution,
        parent: EvmFrame | None,
        *,
        gas: int,
        caller: int,
        address: int,
        code_address: int,
        code: bytes,
        value: int = 0,
        input: bytes = b"",
        output_offset: int = 0,
        output_size: int = 0,
        is_static: bool = False,
        is_create: bool = False,
        guest: Guest | None = None,
        depth: int = 0,
    ) -> None:
        self.run = run
        self.parent = parent
        self.rules: Rules = run.rules
        self.state = run.state
        self.depth = depth
        self.gas = gas
        self.caller = caller
        self.address = address
        self.account = address.to_bytes(20, "big")
        self.code_address = code_address
        self.code = code
        self.program = code + PADDING
        self.value = value
        self.input = input
        self.output_offset = output_offset
        self.output_size = output_size
        self.is_static = is_static
        self.is_create = is_create
        self.guest = guest
        self.checkpoint = self.state.snapshot()
        self.refund = 0
        self.pc = 0
        self.stack: list[int] = []
        self.memory = bytearray()
        self.memory_words = 0
        self.return_data = b""
        self.warm_accounts: dict[Hashable, bool] = run.warm_accounts
        self.warm_slots: dict[Hashable, bool] = run.warm_slots

    # Stack and flow

    def push(self, value: int) -> None:
        self.stack.append(value)

    def is_jump_destination(self, destination: int) -> bool:
        return destination in jump_destinations(self.code)

    # Memory

    def grow_memory(self, words: int) -> None:
        self.memory.extend(bytes((words - self.memory_words) * 32))
        self.memory_words = words

    def memory_read(self, offset: int) -> int:
        return int.from_bytes(self.memory[offset : offset + 32], "big")

    def memory_read_byte(self, offset: int) -> int:
        return self.memory[offset]

    def memory_write(self, offset: int, value: int) -> None:
        self.memory[offset : offset + 32] = value.to_bytes(32, "big")

    def memory_write_byte(self, offset: int, value: int) -> None:
        self.memory[offset] = value

    def memory_move(self, destination: int, source: int, size: int) -> None:
        if size:
            self.memory[destination : destination + size] = self.memory[source : source + size]

    def memory_fill(self, destination: int, source: bytes, offset: int, size: int) -> None:
        if size:
            self.memory[destination : destination + size] = source[offset : offset + size].ljust(size, b"\0")

    def memory_hash(self, offset: int, size: int) -> int:
        return int.from_bytes(keccak256(self._range(offset, size)), "big")

    def read_word(self, source: bytes, offset: int) -> int:
        return int.from_bytes(source[offset : offset + 32].ljust(32, b"\0"), "big")

    def _range(self, offset: int, size: int) -> bytes:
        return bytes(self.memory[offset : offset + size]) if size else b""

    # Accounts

    def exists(self, account: int) -> bool:
        return self.state.account_exists(to_address(account))

    def is_empty(self, account: int) -> bool:
        return self.state.is_empty(to_address(account))

    def balance(self, account: int) -> int:
        return self.state.get_balance(to_address(account))

    def nonce(self, account: int) -> int:
        return self.state.get_nonce(to_address(account))

    def set_nonce(self, account: int, nonce: int) -> None:
        self.state.set_nonce(to_address(account), nonce)

    def code_of(self, account: int) -> bytes:
        return self.state.get_code(to_address(account))

    def code_hash(self, account: int) -> int:
        return code_hash(self.state.get_code(to_address(account)))

    def set_code(self, account: int, offset: int, size: int) -> None:
        code = self._range(offset, size)
        self.state.set_code(to_address(account), code, VM_NAME if code else "")

    def delegate_of(self, account: int) -> int:
        target = delegation_target(self.state.get_code(to_address(account)))
        return 0 if target is None else (1 << 160) + int.from_bytes(target, "big")

    def move_balance(self, source: int, destination: int, value: int) -> None:
        if value:
            state, giver, taker = self.state, to_address(source), to_address(destination)
            state.set_balance(giver, state.get_balance(giver) - value)
            # No chain has 2**256 wei; a made-up state may, and its sum wraps as a word does.
            state.set_balance(taker, (state.get_balance(taker) + value) & U256_MAX)

    def burn_balance(self, account: int) -> None:
        self.state.set_balance(to_address(account), 0)

    def bring_about(self, account: int) -> None:
        address = to_address(account)
        if not self.state.account_exists(address):
            self.state.set_account(address, NO_ACCOUNT)

    def touch(self, account: int) -> None:
        if account == RIPEMD160_ADDRESS:
            # Mainnet history has this account deleted though the frame that touched it ran out of gas
            # (block 2,675,119); every client keeps its touch through a revert.
            self.state.marks(TOUCHED)[to_address(account)] = True
        else:
            self.state.mark(TOUCHED, to_address(account))

    def is_warm(self, account: int) -> bool:
        return account in self.warm_accounts

    def warm(self, account: int) -> None:
        if account not in self.warm_accounts:
            self.state.journal.set(self.warm_accounts, account, True)

    # Storage

    def load_slot(self, key: int) -> int:
        return self.state.get_storage(self.account, key)

    def original_slot(self, key: int) -> int:
        return self.state.get_original_storage(self.account, key)

    def store_slot(self, key: int, value: int) -> None:
        self.state.set_storage(self.account, key, value)

    def is_warm_slot(self, key: int) -> bool:
        return (self.address, key) in self.warm_slots

    def warm_slot(self, key: int) -> None:
        self.state.journal.set(self.warm_slots, (self.address, key), True)

    def load_transient(self, key: int) -> int:
        return self.state.get_transient(self.account, key)

    def store_transient(self, key: int, value: int) -> None:
        self.state.set_transient(self.account, key, value)

    # Creation and destruction

    def create_address(self, nonce: int) -> int:
        return int.from_bytes(create_address(self.account, nonce), "big")

    def create2_address(self, salt: int, offset: int, size: int) -> int:
        return int.from_bytes(create2_address(self.account, salt, self._range(offset, size)), "big")

    def has_storage(self, account: int) -> bool:
        return self.state.has_storage(to_address(account))

    def begin_account(self, account: int) -> None:
        address = to_address(account)
        self.state.clear_storage(address)
        self.state.mark(CREATED, address)

    def was_created(self, account: int) -> bool:
        return to_address(account) in self.state.marks(CREATED)

    def was_destroyed(self, account: int) -> bool:
        return to_address(account) in self.state.marks(DESTROYED)

    def destroy(self, account: int) -> None:
        self.state.mark(DESTROYED, to_address(account))

    # Logs

    def record(self, offset: int, size: int, count: int, a: int, b: int, c: int, d: int) -> None:
        self.state.emit(Event(self.account, (a, b, c, d)[:count], self._range(offset, size)))

    # Surroundings

    def origin(self) -> int:
        return self.run.origin

    def gas_price(self) -> int:
        return self.run.gas_price

    def blob_hash(self, index: int) -> int:
        hashes = self.run.blob_hashes
        return int.from_bytes(hashes[index], "big") if index < len(hashes) else 0

    def block_hash(self, number: int) -> int:
        return int.from_bytes(self.state.get_block_hash(number), "big")

    def block_number(self) -> int:
        return self.run.block.number

    def coinbase(self) -> int:
        return int.from_bytes(self.run.block.coinbase, "big")

    def timestamp(self) -> int:
        return self.run.block.timestamp

    def randomness(self) -> int:
        return self.run.block.prev_randao if self.rules.proof_of_stake else self.run.block.difficulty

    def block_gas_limit(self) -> int:
        return self.run.block.gas_limit

    def chain_id(self) -> int:
        return self.run.block.chain_id

    def base_fee(self) -> int:
        return self.run.block.base_fee

    def blob_base_fee(self) -> int:
        return self.run.block.blob_base_fee

    # Frames

    def open_call(
        self,
        gas: int,
        caller: int,
        address: int,
        code_address: int,
        delegated: bool,
        value: int,
        input_offset: int,
        input_size: int,
        output_offset: int,
        output_size: int,
        is_static: bool,
    ) -> EvmFrame:
        code, guest = self.run.code_and_guest(code_address, delegated)
        return self.run.enter(
            EvmFrame(
                self.run,
                self,
                gas=gas,
                caller=caller,
                address=address,
                code_address=code_address,
                code=code,
                value=value,
                input=self._range(input_offset, input_size),
                output_offset=output_offset,
                output_size=output_size,
                is_static=is_static,
                guest=guest,
                depth=self.depth + 1,
            )
        )

    def open_create(self, gas: int, address: int, value: int, input_offset: int, input_size: int) -> EvmFrame:
        return self.run.enter(
            EvmFrame(
                self.run,
                self,
                gas=gas,
                caller=self.address,
                address=address,
                code_address=address,
                code=self._range(input_offset, input_size),
                value=value,
                is_create=True,
                depth=self.depth + 1,
            )
        )

    def close(self, status: int, offset: int, size: int) -> EvmFrame:
        return self.run.leave(self, status, self._range(offset, size))

    def close_empty(self, status: int) -> EvmFrame:
        return self.run.leave(self, status, b"")

    def clear_return_data(self) -> None:
        self.return_data = b""

    def decline(self, status: int, gas: int) -> None:
        self.run.status = status
        self.gas += gas
        self.stack.append(0)

    def undo(self, checkpoint: int) -> None:
        self.state.revert(checkpoint)
