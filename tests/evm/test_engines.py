"""Which engine runs, and that a batch of transactions is what its transactions are one by one."""

from __future__ import annotations

import inspect
import os
from collections.abc import Sequence
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest
from structlog.testing import capture_logs
from vmloom import BlockContext
from vmloom.errors import ConfigError
from vmloom.kernel import u256
from vmloom.kernel.subset import KernelError, check
from vmloom_evm import Checks, Evm, EvmConfig, TransactionResult, engines, frames, gas
from vmloom_evm.assembly import add, blockhash, log1, push, raw, revert, sload, sstore
from vmloom_evm.engines import choose_engine, native_engine
from vmloom_evm.machine import Machine
from vmloom_evm.reference.engine import REFERENCE, ReferenceEngine
from vmloom_evm.table import OpRow
from vmloom_evm.testing import BLOCK, COINBASE, FUNDS, SENDER, EvmUnderTest
from vmloom_evm.transaction import checks, life
from vmloom_evm.transaction.signing import address_of, sign_transaction
from vmloom_evm.transaction.types import Refusal, Transaction, TransactionRefused, TransactionType

EOA = (0xE0A).to_bytes(20, "big")
KEY = b"\x45" * 32
SIGNER = address_of(KEY)
BLOB = b"\x01" + bytes(31)
BLOB_GAS = 131_072


# The choice


def test_native_engine_is_here() -> None:
    try:
        engine = native_engine(EvmConfig(engine="native"))
    except (ImportError, OSError) as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"the tests run on the reference engine only: {error}")
    assert engine.name == "native"
    assert Evm().engine == "jit"
    assert Evm(EvmConfig(enable_jit=False)).engine == "native"
    assert Evm(EvmConfig(engine="jit", enable_jit=False)).engine == "jit"


@pytest.fixture
def without_native(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        assert name in ("vmloom_native", "llvmlite")

    monkeypatch.setattr("importlib.util.find_spec", missing)


@pytest.mark.usefixtures("without_native")
def test_auto_is_the_reference_engine_where_there_is_no_other() -> None:
    assert Evm().engine == "reference"
    assert Evm(EvmConfig(engine="auto")).executor is REFERENCE


@pytest.mark.usefixtures("without_native")
@pytest.mark.parametrize("engine", ["native", "jit"])
def test_native_engine_that_is_asked_for_must_be_installed(engine: Any) -> None:
    with pytest.raises(ConfigError, match=r"engine.*vmloom_native is not installed") as caught:
        _ = Evm(EvmConfig(engine=engine)).engine
    assert caught.value.fix == "pip install vmloom-native"


def test_reference_engine_that_is_asked_for_is_taken() -> None:
    assert Evm(EvmConfig(engine="reference")).engine == "reference"


class Picky(ReferenceEngine):
    """A stand-in for a compiling engine: it takes kernel functions only."""

    name = "native"

    def check(self, custom_ops: Sequence[OpRow]) -> None:
        for row in custom_ops:
            assert row.function is not None
            check(row.function)


@pytest.fixture
def picky(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engines, "native_engine", lambda _: Picky())


def custom(name: str) -> dict[str, Any]:
    return {"custom_opcodes": {"MINE": {"code": 0x0C, "function": f"{__name__}:{name}", "gas": 3}}}


def uncompilable(number: int) -> int:
    return int(f"{number}") + 1


def compilable(m: Machine) -> u256:
    return m.gas_price()


@pytest.mark.usefixtures("picky")
def test_auto_runs_an_instruction_that_cannot_be_compiled_and_warns_once() -> None:
    with capture_logs() as logs:
        vm = Evm(EvmConfig(**custom("uncompilable")))
        assert vm.engine == "reference"
        assert vm.executor is REFERENCE
    assert [entry["log_level"] for entry in logs] == ["warning"]
    assert "test_engines.py:" in logs[0]["cause"]


@pytest.mark.usefixtures("picky")
def test_native_engine_says_why_an_instruction_cannot_be_compiled() -> None:
    vm = Evm(EvmConfig(engine="native", **custom("uncompilable")))
    line = inspect.getsourcelines(uncompilable)[1]
    with pytest.raises(ConfigError, match=rf"custom_opcodes: .*test_engines\.py:{line}: .*kernel type"):
        _ = vm.engine


@pytest.mark.usefixtures("picky")
@pytest.mark.parametrize("engine", ["auto", "native", "jit"])
def test_instruction_that_can_be_compiled_leaves_the_choice_alone(engine: Any) -> None:
    assert choose_engine(EvmConfig(engine=engine), Evm(EvmConfig(**custom("compilable")))._custom_ops).name == "native"


def test_instruction_that_cannot_be_compiled_runs_on_the_reference_engine() -> None:
    evm = EvmUnderTest("reference", **custom("uncompilable"))
    assert evm.value_of(push(41) + raw(bytes([0x0C]))) == 42


# Kernel functions


@pytest.mark.parametrize("module", [checks, frames, gas, life], ids=lambda module: module.__name__)
def test_rules_beside_instructions_are_kernel_functions(module: ModuleType) -> None:
    functions = [one for one in vars(module).values() if inspect.isfunction(one) and one.__module__ == module.__name__]
    assert functions
    for function in functions:
        check(function)


def test_every_refusal_has_its_code_and_its_words() -> None:
    codes = {name: value for name, value in vars(checks).items() if isinstance(value, int) and name.isupper()}
    named = {value for name, value in codes.items() if value in checks.REFUSALS and hasattr(Refusal, name)}
    assert named == set(checks.REFUSALS) - {checks.WRONG_BLOB_VERSION}
    assert checks.ACCEPTED not in checks.REFUSALS
    assert sorted(checks.REFUSALS) == list(range(1, len(checks.REFUSALS) + 1))
    from vmloom_evm.transaction.validation import _DETAILS

    assert set(_DETAILS) == set(checks.REFUSALS)


# Batches


def plain(outcome: TransactionResult | TransactionRefused) -> object:
    return str(outcome) if isinstance(outcome, TransactionRefused) else outcome


def one_by_one(
    evm: EvmUnderTest, txs: Sequence[Transaction], gas_available: int, block: BlockContext = BLOCK
) -> list[TransactionResult | TransactionRefused]:
    outcomes: list[TransactionResult | TransactionRefused] = []
    for tx in txs:
        try:
            result = evm.vm.apply_transaction(tx, block, evm.state, sender=SENDER, gas_available=gas_available)
        except TransactionRefused as cause:
            outcomes.append(cause)
        else:
            gas_available -= result.gas_used
            outcomes.append(result)
    return outcomes


@pytest.mark.parametrize("fork", ["frontier", "spurious_dragon", "berlin", "osaka"])
def test_batch_is_its_transactions_one_by_one(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    counter = evm.deploy(sstore(0, add(sload(0), 1)) + log1(0, 0, 7))
    failing = evm.deploy(sstore(0, 1) + revert(0, 0))
    txs = [
        Transaction(to=counter, gas_limit=100_000, nonce=0, max_fee_per_gas=2, max_priority_fee_per_gas=2),
        Transaction(to=failing, gas_limit=100_000, nonce=1, value=5),
        Transaction(to=counter, gas_limit=100_000, nonce=1),  # refused: the nonce is taken
        Transaction(to=None, gas_limit=100_000, nonce=2, data=bytes(sstore(0, 1))),
        Transaction(to=EOA, gas_limit=20_999, nonce=3),  # refused: too little gas
        Transaction(to=EOA, gas_limit=10**6, nonce=3),  # refused: more gas than is left
        Transaction(to=counter, gas_limit=60_000, nonce=3),
    ]
    checkpoint = evm.state.snapshot()
    expected = one_by_one(evm, txs, 500_000)
    left = evm.contents()
    evm.state.revert(checkpoint)
    outcomes = evm.vm.apply_transactions(txs, BLOCK, evm.state, senders=[SENDER] * len(txs), gas_available=500_000)
    assert [plain(one) for one in outcomes] == [plain(one) for one in expected]
    assert [isinstance(one, TransactionRefused) for one in outcomes] == [False, False, True, False, True, True, False]
    assert evm.contents() == left
    assert evm.storage(counter, 0) == 2
    assert len(evm.state.events) == 1


def test_batch_of_nothing_does_nothing(evm: EvmUnderTest) -> None:
    assert evm.vm.apply_transactions([], BLOCK, evm.state) == []


def test_batch_has_the_gas_of_its_block(evm: EvmUnderTest) -> None:
    block = replace(BLOCK, gas_limit=63_000)
    txs = [evm.transaction(EOA, nonce=nonce, gas_limit=21_000) for nonce in range(4)]
    outcomes = evm.vm.apply_transactions(txs, block, evm.state, senders=[SENDER] * 4)
    assert [type(one) for one in outcomes[:3]] == [TransactionResult] * 3 or all(
        isinstance(one, TransactionResult) for one in outcomes[:3]
    )
    last = outcomes[3]
    assert isinstance(last, TransactionRefused)
    assert str(last) == "GAS_ALLOWANCE_EXCEEDED: gas limit 21000 exceeds the 0 left in the block"


def test_batch_has_the_blobs_of_its_block(evm: EvmUnderTest) -> None:
    evm = evm.at("cancun")
    fields: dict[str, Any] = {"type": TransactionType.BLOB, "max_fee_per_gas": 7, "max_fee_per_blob_gas": 9}
    txs = [evm.transaction(EOA, nonce=nonce, blob_hashes=(BLOB,) * 4, **fields) for nonce in range(2)]
    first, second = evm.vm.apply_transactions(txs, BLOCK, evm.state, senders=[SENDER] * 2)
    assert isinstance(first, TransactionResult)
    assert first.blob_gas_used == 4 * BLOB_GAS
    assert isinstance(second, TransactionRefused)
    assert second.refusal is Refusal.BLOB_ALLOWANCE_EXCEEDED
    assert str(second).endswith(f"{4 * BLOB_GAS} blob gas, the block has {2 * BLOB_GAS} left")


def test_batch_finds_senders_and_puts_refusals_in_their_places(evm: EvmUnderTest) -> None:
    evm.deploy(at=SIGNER, balance=FUNDS, nonce=0)

    def signed(nonce: int, **fields: Any) -> Transaction:
        given = {"gas_limit": 21_000, "chain_id": BLOCK.chain_id, "to": EOA, **fields}
        return sign_transaction(Transaction(nonce=nonce, **given), KEY)

    txs = [
        Transaction(to=EOA),
        signed(0),
        signed(1, chain_id=5),
        Transaction(to=EOA, gas_limit=1),
        signed(1),
        evm.transaction(EOA),
    ]
    outcomes = evm.vm.apply_transactions(txs, BLOCK, evm.state, senders=[None] * 5 + [SENDER])
    reasons = [one.reason if isinstance(one, TransactionRefused) else "" for one in outcomes]
    assert reasons == ["INVALID_SIGNATURE_VRS", "", "INVALID_CHAINID", "INTRINSIC_GAS_TOO_LOW", "", ""]
    assert evm.nonce(SIGNER) == 2
    assert evm.nonce(SENDER) == 1


def test_batch_needs_a_sender_for_each_transaction(evm: EvmUnderTest) -> None:
    with pytest.raises(ValueError, match="shorter"):
        evm.vm.apply_transactions([evm.transaction(EOA)] * 2, BLOCK, evm.state, senders=[SENDER])


def test_batch_takes_everything_back_where_the_state_raises(evm: EvmUnderTest, monkeypatch: pytest.MonkeyPatch) -> None:
    contract = evm.deploy(sstore(0, blockhash(BLOCK.number - 1)))

    def broken(number: int) -> bytes:
        raise RuntimeError(f"no block {number}")

    monkeypatch.setattr(evm.state, "get_block_hash", broken)
    before = evm.contents()
    txs = [evm.transaction(EOA, nonce=0, value=1), evm.transaction(contract, nonce=1)]
    with pytest.raises(RuntimeError, match="no block 999"):
        evm.vm.apply_transactions(txs, BLOCK, evm.state, senders=[SENDER] * 2)
    assert evm.contents() == before


# The life of a transaction at its edges


def test_blob_that_costs_more_than_was_offered_must_still_be_paid(evm: EvmUnderTest) -> None:
    """Where prices are not checked but balances are."""
    fields: dict[str, Any] = {"type": TransactionType.BLOB, "blob_hashes": (BLOB,), "max_fee_per_blob_gas": 1}
    block = replace(BLOCK, blob_base_fee=FUNDS)
    tx = evm.transaction(EOA, **fields)
    with pytest.raises(TransactionRefused, match=f"up to {FUNDS * BLOB_GAS} wei needed"):
        evm.vm.call(tx, block, evm.state, sender=SENDER, checks=Checks(nonce=False, base_fee=False))
    assert evm.vm.call(tx, block, evm.state, sender=SENDER).success


def test_simulation_does_not_raise_the_largest_nonce(evm: EvmUnderTest) -> None:
    evm.state.set_nonce(SENDER, 2**64 - 1)
    tx = replace(evm.transaction(EOA), nonce=0)
    evm.vm.apply_transaction(tx, BLOCK, evm.state, sender=SENDER, checks=Checks(nonce=False))
    assert evm.nonce(SENDER) == 2**64 - 1


def test_kernel_error_is_what_the_subset_raises() -> None:
    with pytest.raises(KernelError):
        Picky().check([OpRow(0x0C, "MINE", uncompilable, kind=0, pops=1, pushes=1)])  # type: ignore[arg-type]


def test_touching_leaves_an_empty_fee_recipient_out(evm: EvmUnderTest) -> None:
    assert evm.transact(EOA).success
    assert not evm.exists(COINBASE)
    assert evm.at("frontier").transact(EOA).success
