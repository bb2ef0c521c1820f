"""Small contracts in the text format, put together for one test each."""

from __future__ import annotations

from functools import cache

from vmloom import Account, BlockContext, ExecutionContext, ExecutionResult, MemoryState, StateAccess
from vmloom_wasm.abi import FUNCTIONS
from vmloom_wasm.engine import signature
from vmloom_wasm.vm import WasmVm
from wasmtime import wat2wasm

CONTRACT = bytes.fromhex("c0de").rjust(20, b"\0")
CALLER = bytes.fromhex("ca11e4").rjust(20, b"\0")
ORIGIN = bytes.fromhex("0419").rjust(20, b"\0")
OTHER = bytes.fromhex("07e4").rjust(20, b"\0")
BLOCK = BlockContext(
    number=1000,
    timestamp=1_700_000_000,
    coinbase=b"\xcb" * 20,
    gas_limit=36_000_000,
    base_fee=7,
    prev_randao=5 << 250,
    chain_id=1337,
)
GAS = 1_000_000
WAT_TYPES = {"i": "i32", "I": "i64", "f": "f32", "F": "f64"}


def imports(*names: str) -> str:
    """Imports of host functions, each called by its name."""
    lines = []
    for name in names:
        kind = signature(FUNCTIONS[name].types)
        parameters = "".join(f" (param {WAT_TYPES[letter]})" for letter in kind.parameters)
        results = "".join(f" (result {WAT_TYPES[letter]})" for letter in kind.results)
        lines.append(f'(import "env" "{name}" (func ${name}{parameters}{results}))')
    return "\n".join(lines)


def bytes_at(offset: int, data: bytes) -> str:
    """A data segment."""
    text = "".join(f"\\{byte:02x}" for byte in data)
    return f'(data (i32.const {offset}) "{text}")'


@cache
def module(text: str) -> bytes:
    """The binary of `(module text)`."""
    return bytes(wat2wasm(f"(module {text})"))


def contract(body: str, *, uses: str = "", rest: str = "", memory: str = '(memory (export "memory") 1)') -> bytes:
    """A module whose `main` is `body`, followed by success. `uses`: the host functions, by name.

    Parameters are $size, $input and $output; $x is an i32 and $y an i64 of its own.
    """
    main = """(func $main (export "main") (param $size i32) (param $input i32) (param $output i32) (result i32)
        (local $x i32) (local $y i64)"""
    return module(f"{imports(*uses.split())} {memory} {rest} {main} {body} (i32.const 1))")


def returning(body: str, size: int, *, uses: str = "", rest: str = "", at: int = 0) -> bytes:
    """A contract whose output is the `size` bytes of memory at `at` after `body`."""
    return contract(f"{body} (call $finish (i32.const {at}) (i32.const {size}))", uses=f"{uses} finish", rest=rest)


def world(*codes: tuple[bytes, bytes, str]) -> MemoryState:
    """A state with callers that have wei, and contracts: (address, code, vm)."""
    accounts = {CALLER: Account(1, 10**18), ORIGIN: Account(1, 10**18), CONTRACT: Account(1, 1000)}
    for address, code, vm in codes:
        accounts[address] = Account(1, 1000, code, vm)
    return MemoryState(accounts)


def run(
    vm: WasmVm, code: bytes, *, state: StateAccess | None = None, input: bytes = b"", gas: int = GAS, **fields: object
) -> ExecutionResult:
    """Run `code` as the contract's in a transaction of its own."""
    context = ExecutionContext(
        caller=CALLER,
        address=CONTRACT,
        origin=ORIGIN,
        input=input,
        gas_limit=gas,
        block=BLOCK,
        **fields,  # type: ignore[arg-type]
    )
    return vm.execute(code, context, world() if state is None else state)
