"""The token of `examples/wasm-token`: four languages, one behaviour, the bytes that the compilers make, and the SDK."""

from __future__ import annotations

import importlib.util
import random
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

import pytest
from vmloom import Account, Event, ExecutionContext, ExecutionResult, ExecutionState, MemoryState
from vmloom.hashing import keccak256
from vmloom_evm import Evm
from vmloom_evm.demo.abi import Artifact
from vmloom_wasm.abi import FUNCTIONS
from vmloom_wasm.binary.module import Kind, decode
from vmloom_wasm.binary.names import function_names
from vmloom_wasm.config import WasmConfig
from vmloom_wasm.contract import Contract, OutputPlace
from vmloom_wasm.vm import WasmVm

REPOSITORY = Path(__file__).parents[2]
EXAMPLE = REPOSITORY / "examples/wasm-token"
SDK = REPOSITORY / "plugins/wasm/src/vmloom_wasm/sdk"


def _build() -> ModuleType:
    spec = importlib.util.spec_from_file_location("wasm_token_build", EXAMPLE / "build.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # its dataclasses look their annotations up there
    spec.loader.exec_module(module)
    return module


BUILD = _build()
SOURCES = [target.source for target in BUILD.TARGETS]
ARTIFACTS = {target.source: target.artifact for target in BUILD.TARGETS}

TOKEN = b"\x70" * 20
ALICE, BOB, CAROL = (bytes([letter]) * 20 for letter in (0xA1, 0xB0, 0xCA))
NOBODY = bytes(20)
MOST = 2**256 - 1
SUPPLY = 1_000
TOTAL_SUPPLY, BALANCE_OF, ALLOWANCE, INITIALIZED = range(4)
METHODS = {
    "name": "",
    "symbol": "",
    "decimals": "",
    "totalSupply": "",
    "balanceOf": "address",
    "allowance": "address,address",
    "initialize": "uint256",
    "transfer": "address,uint256",
    "approve": "address,uint256",
    "transferFrom": "address,address,uint256",
}

Value = int | bytes


def word(value: Value) -> bytes:
    return value.to_bytes(32, "big") if isinstance(value, int) else value.rjust(32, b"\0")


def number(value: Value) -> int:
    return int.from_bytes(word(value), "big")


def call_data(method: str, *values: Value) -> bytes:
    return keccak256(f"{method}({METHODS[method]})".encode())[:4] + b"".join(map(word, values))


def text(content: str) -> bytes:
    """A string as Solidity returns it; for up to 32 letters."""
    return word(32) + word(len(content)) + content.encode().ljust(32, b"\0")


def reason(content: str) -> bytes:
    """Error(string) as Solidity reverts with it."""
    return bytes.fromhex("08c379a0") + text(content)


def slot(mapping: int, *keys: Value) -> int:
    """Where Solidity keeps an entry of a mapping, or of a mapping of mappings."""
    place = word(mapping)
    for key in keys:
        place = keccak256(word(key) + place)
    return int.from_bytes(place, "big")


def event(signature: str, first: Value, second: Value, amount: int) -> Event:
    topics = (int.from_bytes(keccak256(signature.encode()), "big"), number(first), number(second))
    return Event(TOKEN, topics, word(amount))


def moved(sender: Value, receiver: Value, amount: int) -> Event:
    return event("Transfer(address,address,uint256)", sender, receiver, amount)


def approved(owner: Value, spender: Value, amount: int) -> Event:
    return event("Approval(address,address,uint256)", owner, spender, amount)


@dataclass
class Token:
    """A contract with a state to itself."""

    source: str
    vm: WasmVm
    state: MemoryState = field(default_factory=MemoryState)

    def __post_init__(self) -> None:
        self.code = ARTIFACTS[self.source].read_bytes()
        self.state.set_account(TOKEN, Account(nonce=1, code=self.code, vm="wasm"))

    def send(self, data: bytes, caller: bytes = ALICE, *, value: int = 0, is_static: bool = False) -> ExecutionResult:
        context = ExecutionContext(
            caller=caller, origin=caller, address=TOKEN, value=value, input=data, is_static=is_static
        )
        return self.vm.execute(self.code, context, self.state)

    def call(self, caller: bytes, method: str, *values: Value) -> ExecutionResult:
        return self.send(call_data(method, *values), caller)

    def answer(self, method: str, *values: Value) -> int:
        """What a function that changes nothing returns."""
        result = self.send(call_data(method, *values), CAROL, is_static=True)
        assert result.success, (self.source, method, result.error)
        assert len(result.return_data) == 32
        return int.from_bytes(result.return_data, "big")

    @property
    def storage(self) -> dict[int, int]:
        return self.state.storage_of(TOKEN)


@pytest.fixture(scope="module")
def vm() -> Iterator[WasmVm]:
    vm = WasmVm(WasmConfig(disk_cache=False))
    yield vm
    vm.cache.clear()


@pytest.fixture(params=SOURCES)
def untouched(request: pytest.FixtureRequest, vm: WasmVm) -> Token:
    """A token that nobody has initialized."""
    return Token(request.param, vm)


@pytest.fixture
def token(untouched: Token) -> Token:
    """A token of which Alice has all."""
    assert untouched.call(ALICE, "initialize", SUPPLY).success
    return untouched


def assert_succeeds(result: ExecutionResult, output: bytes, *events: Event) -> None:
    assert (result.state, result.error) == (ExecutionState.SUCCESS, "")
    assert (result.return_data, result.events) == (output, events)


def assert_reverts(result: ExecutionResult, output: bytes) -> None:
    assert (result.state, result.return_data, result.events) == (ExecutionState.REVERTED, output, ())
    assert result.gas_used < 10_000_000


# What the token does


def test_initialize_gives_the_caller_everything(untouched: Token) -> None:
    assert_succeeds(untouched.call(ALICE, "initialize", MOST), b"", moved(NOBODY, ALICE, MOST))
    assert untouched.storage == {TOTAL_SUPPLY: MOST, INITIALIZED: 1, slot(BALANCE_OF, ALICE): MOST}


@pytest.mark.parametrize("supply", [0, SUPPLY])
def test_initialize_works_once(untouched: Token, supply: int) -> None:
    assert untouched.call(ALICE, "initialize", supply).success
    before = untouched.storage
    for caller in (ALICE, BOB):
        assert_reverts(untouched.call(caller, "initialize", 5), reason("already initialized"))
    assert untouched.storage == before


def test_constants(untouched: Token) -> None:
    assert_succeeds(untouched.call(BOB, "name"), text("Loom"))
    assert_succeeds(untouched.call(BOB, "symbol"), text("LOOM"))
    assert_succeeds(untouched.call(BOB, "decimals"), word(18))


def test_questions_are_answered_from_solidity_s_slots(untouched: Token) -> None:
    assert untouched.answer("totalSupply") == 0
    untouched.state.set_storage(TOKEN, TOTAL_SUPPLY, MOST - 1)
    untouched.state.set_storage(TOKEN, slot(BALANCE_OF, BOB), 2**255 + 7)
    untouched.state.set_storage(TOKEN, slot(ALLOWANCE, BOB, CAROL), 2**200 + 9)
    assert untouched.answer("totalSupply") == MOST - 1
    assert (untouched.answer("balanceOf", BOB), untouched.answer("balanceOf", CAROL)) == (2**255 + 7, 0)
    assert (untouched.answer("allowance", BOB, CAROL), untouched.answer("allowance", CAROL, BOB)) == (2**200 + 9, 0)


def test_transfer_moves_and_tells(token: Token) -> None:
    assert_succeeds(token.call(ALICE, "transfer", BOB, 300), word(1), moved(ALICE, BOB, 300))
    assert token.storage == {
        TOTAL_SUPPLY: SUPPLY,
        INITIALIZED: 1,
        slot(BALANCE_OF, ALICE): 700,
        slot(BALANCE_OF, BOB): 300,
    }


@pytest.mark.parametrize("amount", [0, 1, SUPPLY])
def test_transfer_to_oneself_changes_nothing(token: Token, amount: int) -> None:
    before = token.storage
    assert_succeeds(token.call(ALICE, "transfer", ALICE, amount), word(1), moved(ALICE, ALICE, amount))
    assert token.storage == before


def test_all_can_be_sent_and_no_more(token: Token) -> None:
    before = token.storage
    for amount in (SUPPLY + 1, 2**255, MOST):
        assert_reverts(token.call(ALICE, "transfer", BOB, amount), reason("insufficient balance"))
    assert token.storage == before
    assert token.call(ALICE, "transfer", BOB, SUPPLY).success
    assert (token.answer("balanceOf", ALICE), token.answer("balanceOf", BOB)) == (0, SUPPLY)
    assert_reverts(token.call(ALICE, "transfer", BOB, 1), reason("insufficient balance"))


def test_nothing_goes_to_nobody(token: Token) -> None:
    assert_reverts(token.call(ALICE, "transfer", NOBODY, 0), reason("transfer to nobody"))
    assert_reverts(token.call(ALICE, "transfer", NOBODY, MOST), reason("transfer to nobody"))
    assert_succeeds(token.call(ALICE, "transfer", bytes(19) + b"\1", 1), word(1), moved(ALICE, 1, 1))


@pytest.mark.parametrize("balance", [1, 2**8, 2**64, 2**255, MOST])
def test_amounts_carry_and_borrow_through_all_bytes(untouched: Token, balance: int) -> None:
    untouched.state.set_storage(TOKEN, slot(BALANCE_OF, ALICE), balance)
    untouched.state.set_storage(TOKEN, slot(BALANCE_OF, BOB), MOST - balance)
    assert untouched.call(ALICE, "transfer", BOB, 1).success
    assert untouched.call(ALICE, "transfer", BOB, balance - 1).success
    assert (untouched.answer("balanceOf", ALICE), untouched.answer("balanceOf", BOB)) == (0, MOST)


def test_balance_that_would_not_fit_in_a_word(untouched: Token) -> None:
    untouched.state.set_storage(TOKEN, slot(BALANCE_OF, ALICE), 2)
    untouched.state.set_storage(TOKEN, slot(BALANCE_OF, BOB), MOST - 1)
    before = untouched.storage
    assert_reverts(untouched.call(ALICE, "transfer", BOB, 2), reason("balance overflow"))
    assert untouched.storage == before


def test_approve_replaces_and_tells(token: Token) -> None:
    for amount in (MOST, 7, 0):
        assert_succeeds(token.call(ALICE, "approve", BOB, amount), word(1), approved(ALICE, BOB, amount))
        assert token.storage.get(slot(ALLOWANCE, ALICE, BOB), 0) == amount


def test_approve_takes_anyone(token: Token) -> None:
    assert_succeeds(token.call(BOB, "approve", NOBODY, 5), word(1), approved(BOB, NOBODY, 5))


@pytest.mark.parametrize("allowed", [400, MOST])
def test_transfer_from_uses_the_allowance_up(token: Token, allowed: int) -> None:
    assert token.call(ALICE, "approve", BOB, allowed).success
    assert_succeeds(token.call(BOB, "transferFrom", ALICE, CAROL, 300), word(1), moved(ALICE, CAROL, 300))
    assert token.storage == {
        TOTAL_SUPPLY: SUPPLY,
        INITIALIZED: 1,
        slot(BALANCE_OF, ALICE): 700,
        slot(BALANCE_OF, CAROL): 300,
        slot(ALLOWANCE, ALICE, BOB): allowed - 300,
    }


def test_transfer_from_needs_an_allowance_even_from_oneself(token: Token) -> None:
    assert token.call(ALICE, "approve", BOB, 10).success
    before = token.storage
    for caller, amount in ((BOB, 11), (BOB, MOST), (CAROL, 1), (ALICE, 1)):
        assert_reverts(token.call(caller, "transferFrom", ALICE, CAROL, amount), reason("insufficient allowance"))
    assert token.storage == before


def test_reverted_transfer_from_keeps_the_allowance(token: Token) -> None:
    assert token.call(ALICE, "approve", BOB, MOST).success
    before = token.storage
    assert_reverts(token.call(BOB, "transferFrom", ALICE, CAROL, SUPPLY + 1), reason("insufficient balance"))
    assert_reverts(token.call(BOB, "transferFrom", ALICE, NOBODY, 1), reason("transfer to nobody"))
    assert token.storage == before


def test_words_are_too_short_or_no_address(token: Token) -> None:
    before = token.storage
    for method, kinds in METHODS.items():
        kinds_of = [kind for kind in kinds.split(",") if kind]
        values: list[Value] = [BOB if kind == "address" else 1 for kind in kinds_of]
        if values:
            assert_reverts(token.send(call_data(method, *values)[:-1]), b"")
        for at, kind in enumerate(kinds_of):
            if kind == "address":
                for wrong in (2**160, 2**255):
                    bad = [*values[:at], wrong + number(BOB), *values[at + 1 :]]
                    assert_reverts(token.call(ALICE, method, *bad), b"")
    assert token.storage == before


@pytest.mark.parametrize("data", [b"", b"\x06", b"\x06\xfd\xde", b"\x06\xfd\xde\x04", b"\xde\xfd\x06\x03", bytes(100)])
def test_unknown_functions(token: Token, data: bytes) -> None:
    assert_reverts(token.send(data), b"")


@pytest.mark.parametrize("method", METHODS)
def test_no_function_takes_ether(untouched: Token, method: str) -> None:
    values: list[Value] = [BOB if kind == "address" else 0 for kind in METHODS[method].split(",") if kind]
    assert_reverts(untouched.send(call_data(method, *values), value=1), b"")
    assert_reverts(untouched.send(call_data(method, *values), value=2**255), b"")
    assert untouched.send(call_data(method, *values)).success


@pytest.mark.parametrize("extra", [1, 32, 180, 256, 64_000, 65_536, 200_000])
def test_input_may_be_longer_than_needed(token: Token, extra: int) -> None:
    data = call_data("transfer", BOB, 300) + b"\xff" * extra
    assert_succeeds(token.send(data), word(1), moved(ALICE, BOB, 300))


def test_static_calls_answer_and_do_not_write(token: Token) -> None:
    assert token.answer("balanceOf", ALICE) == SUPPLY
    before = token.storage
    for data in (call_data("transfer", BOB, 1), call_data("approve", BOB, 1)):
        result = token.send(data, is_static=True)
        assert result.state is ExecutionState.FAILED
        assert result.gas_used == 10_000_000
    assert token.storage == before


# All do the same, and what the EVM's token does


EVM_TOKEN = Artifact.load("vmloom_evm.demo", "token.json")


@dataclass
class EvmToken:
    """The demo's token, of which Alice has minted herself all."""

    evm: Evm
    state: MemoryState = field(default_factory=MemoryState)

    def __post_init__(self) -> None:
        context = ExecutionContext(caller=ALICE, origin=ALICE, address=TOKEN)
        created = self.evm.execute(EVM_TOKEN.bytecode, context, self.state)
        assert created.success, created.error
        self.state.set_account(TOKEN, Account(nonce=1, code=created.return_data))
        assert self.send(EVM_TOKEN.encode_call("mint", ALICE, SUPPLY), ALICE).success

    def send(self, data: bytes, caller: bytes, value: int = 0) -> ExecutionResult:
        context = ExecutionContext(caller=caller, origin=caller, address=TOKEN, value=value, input=data)
        return self.evm.execute(self.state.get_code(TOKEN), context, self.state)


def random_call(chance: random.Random) -> tuple[bytes, bytes, int]:
    """Input, caller, and wei: mostly calls that make sense."""
    people = [ALICE, BOB, CAROL, chance.choice((ALICE, NOBODY))]
    method = chance.choice(sorted(set(METHODS) - {"initialize"}) + ["transfer", "transferFrom", "approve"] * 3)
    amounts = (0, 1, chance.randrange(SUPPLY), chance.randrange(SUPPLY * 2), MOST, chance.getrandbits(256))
    values: list[Value] = [
        chance.choice(people) if kind == "address" else chance.choice(amounts)
        for kind in METHODS[method].split(",")
        if kind
    ]
    data = call_data(method, *values)
    if chance.random() < 0.1:
        data = chance.choice((data[: chance.randrange(len(data))], data + bytes(7), chance.randbytes(4) + data[4:]))
    return data, chance.choice(people), int(chance.random() < 0.05)


@pytest.mark.parametrize("source", SOURCES)
@pytest.mark.parametrize("seed", range(3))
def test_random_calls_do_what_they_do_on_the_evm(vm: WasmVm, source: str, seed: int) -> None:
    chance = random.Random(seed)
    ours, theirs = Token(source, vm), EvmToken(Evm())
    assert ours.call(ALICE, "initialize", SUPPLY).success
    succeeded = 0
    for _ in range(150):
        data, caller, value = random_call(chance)
        result, expected = ours.send(data, caller, value=value), theirs.send(data, caller, value)
        shown = f"seed {seed}: {data.hex()} from {caller.hex()} with {value}"
        assert (result.state, result.return_data, result.events) == (
            expected.state, expected.return_data, expected.events,
        ), shown  # fmt: skip
        succeeded += result.success
    assert 50 < succeeded < 140
    for person in (ALICE, BOB, CAROL):
        balance = theirs.state.get_storage(TOKEN, EVM_TOKEN.slot("balanceOf", person))
        assert ours.state.get_storage(TOKEN, slot(BALANCE_OF, person)) == balance


def test_languages_leave_the_same_storage(vm: WasmVm) -> None:
    storages = []
    for source in SOURCES:
        token, chance = Token(source, vm), random.Random(99)
        token.call(ALICE, "initialize", SUPPLY)
        for _ in range(150):
            data, caller, value = random_call(chance)
            token.send(data, caller, value=value)
        storages.append(token.storage)
    assert len(storages[0]) > 6
    assert storages == storages[:1] * 4


# What the modules are


@pytest.mark.parametrize("target", BUILD.TARGETS, ids=SOURCES)
def test_artifact_is_what_its_source_compiles_to(target: object) -> None:
    assert isinstance(target, BUILD.Target)
    try:
        wanted = target.compile()
    except BUILD.ToolMissing as missing:
        pytest.skip(f"cannot be compiled to the same bytes here: {missing}")
    assert target.artifact.read_bytes() == wanted, f"run {EXAMPLE / 'build.py'}"


def test_readme_names_compilers_and_sizes() -> None:
    page = (EXAMPLE / "README.md").read_text("utf-8")
    for source, artifact in ARTIFACTS.items():
        assert re.search(rf"^\| `{source}` .* {artifact.stat().st_size:,} bytes \|", page, re.MULTILINE), source
    for tool in BUILD.TOOLS.values():
        version = tool.version.split()[-1]
        assert re.search(rf"\b{re.escape(version)}\b", page), tool


@pytest.mark.parametrize("source", SOURCES)
def test_modules_need_neither_floats_nor_start_functions(source: str) -> None:
    strict = WasmConfig(disk_cache=False, allow_floats=False, allow_start=False)
    WasmVm(strict).validate_code(ARTIFACTS[source].read_bytes())


@pytest.mark.parametrize("source", SOURCES)
def test_modules_are_small_and_keep_the_names_of_functions(source: str) -> None:
    code = ARTIFACTS[source].read_bytes()
    assert len(code) < 10_240
    module = decode(code)
    imported = len(module.imported(Kind.FUNCTION))
    own = [name for index, name in function_names(module).items() if index >= imported]
    assert any("move" in name or "transfer" in name for name in own), own


@pytest.mark.parametrize("source", SOURCES)
def test_no_path_of_the_machine_is_in_a_module(source: str) -> None:
    assert not re.search(rb"/(home|root|tmp|usr|work|build)/", ARTIFACTS[source].read_bytes())


def test_each_language_shows_another_way_to_leave_output(vm: WasmVm) -> None:
    places = {}
    for source in SOURCES:
        contract = vm.cache.get(ARTIFACTS[source].read_bytes())
        assert isinstance(contract, Contract)
        places[source] = contract.output
    assert places == {
        "token.wat": OutputPlace.AREA,
        "token.c": OutputPlace.ADDRESSES,
        "token.rs": OutputPlace.CALLS,
        "token.ts": OutputPlace.VALUES,
    }


# The SDK


def _types(parameters: str, result: str, letter: Callable[[str], str]) -> str:
    kinds = [one.strip() for one in parameters.replace("\n", " ").split(",")]
    return "".join(letter(kind) for kind in kinds if kind not in ("", "void")) + ":" + letter(result)


def _c(source: str) -> Iterator[tuple[str, str]]:
    def letter(kind: str) -> str:
        return "" if kind.endswith("void") else "I" if kind.startswith("uint64_t") else "i"

    found = re.findall(r'^VMLOOM_HOST\("(\w+)"\) ([\w ]+) vmloom_(\w+)\(([^)]*)\);', source, re.MULTILINE)
    for imported, result, name, parameters in found:
        assert imported == name
        yield name, _types(parameters, result, letter)


def _rust(source: str) -> Iterator[tuple[str, str]]:
    def letter(kind: str) -> str:
        return "" if kind in ("", "!") else "I" if kind.endswith("u64") else "i"

    for name, parameters, result in re.findall(r"pub fn (\w+)\(([^)]*)\)(?: -> (\S+))?;", source):
        yield name, _types(parameters, result, letter)


def _assemblyscript(source: str) -> Iterator[tuple[str, str]]:
    def letter(kind: str) -> str:
        return "" if kind == "void" else "I" if kind.endswith("u64") else "i"

    pattern = r'@external\("env", "(\w+)"\) export declare function (\w+)\(([^)]*)\): (\w+);'
    for imported, name, parameters, result in re.findall(pattern, source):
        assert imported == name
        yield name, _types(parameters, result, letter)


@pytest.mark.parametrize(
    ("name", "read"), [("vmloom.h", _c), ("vmloom.rs", _rust), ("vmloom.ts", _assemblyscript)], ids=["c", "rust", "as"]
)
def test_sdk_declares_the_host_functions(name: str, read: Callable[[str], Iterator[tuple[str, str]]]) -> None:
    source = (SDK / name).read_text("utf-8")
    declared = list(read(source))
    assert sorted(declared) == sorted((one.name, one.types) for one in FUNCTIONS.values() if one.name != "abort")


@pytest.mark.parametrize("name", ["vmloom.h", "vmloom.rs", "vmloom.ts"])
def test_sdk_says_what_each_function_does(name: str) -> None:
    lines = (SDK / name).read_text("utf-8").splitlines()
    starts = ("VMLOOM_HOST(", "    pub fn ", "@external(")
    declarations = [at for at, line in enumerate(lines) if line.startswith(starts)]
    assert len(declarations) == len(FUNCTIONS) - 1
    for at in declarations:
        assert re.fullmatch(r"\s*(/\*\*? \S.* \*/|/// \S.*)", lines[at - 1]), lines[at]


_CALLS_ALL = {
    "vmloom.h": (
        '#include "{sdk}"\n'
        'VMLOOM_EXPORT("main") int32_t all(int32_t a, int32_t b, int32_t c) {{\n{calls}return a + b + c;}}',
        "if (a == {index}) vmloom_{name}({zeros});",
        "0",
    ),
    "vmloom.rs": (
        '#![no_std]\n#[path = "{sdk}"]\nmod vmloom;\n'
        "#[panic_handler]\nfn panic(_: &core::panic::PanicInfo) -> ! {{ loop {{}} }}\n"
        '#[export_name = "main"]\npub unsafe extern "C" fn all(a: i32, b: i32, c: i32) -> i32 {{\n{calls}a + b + c}}',
        "if a == {index} {{ vmloom::{name}({zeros}); }}",
        "0 as _",
    ),
    "vmloom.ts": (
        'import * as vmloom from "{sdk}";\n'
        "export function main(a: i32, b: i32, c: i32): i32 {{\n{calls}return a + b + c;}}",
        "if (a == {index}) vmloom.{name}({zeros});",
        "0",
    ),
}
"""For each declaration file: a contract, a call in it, and a zero of any type."""


@pytest.mark.parametrize(
    ("name", "source"), [("vmloom.h", "token.c"), ("vmloom.rs", "token.rs"), ("vmloom.ts", "token.ts")]
)
def test_every_declaration_of_the_sdk_compiles_to_its_import(name: str, source: str, tmp_path: Path) -> None:
    contract, call, zero = _CALLS_ALL[name]
    wanted = [one for one in FUNCTIONS.values() if one.name != "abort"]
    calls = "\n".join(
        call.format(index=index, name=one.name, zeros=", ".join([zero] * len(one.signature.parameters)))
        for index, one in enumerate(wanted)
    )
    sdk = (tmp_path / name).with_suffix("" if name.endswith(".ts") else Path(name).suffix)
    (tmp_path / name).write_bytes((SDK / name).read_bytes())
    (tmp_path / source).write_text(contract.format(sdk=f"./{sdk.name}", calls=calls), "utf-8")
    target = next(target for target in BUILD.TARGETS if target.source == source)
    try:
        code = target.compile(tmp_path)
    except BUILD.ToolMissing as missing:
        pytest.skip(f"cannot be compiled here: {missing}")
    found = {
        entry.name: module.types[entry.description]
        for module in [decode(code)]
        for entry in module.imported(Kind.FUNCTION)
        if isinstance(entry.description, int)
    }
    assert found == {one.name: one.function_type for one in wanted}
