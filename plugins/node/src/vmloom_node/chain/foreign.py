"""Contracts of other VMs, created by ordinary transactions: what says which VM is meant, and how it is done.

A creation (no `to`) is for the VM whose magic its data begins with (`VmSpec.magic`: WebAssembly, ProzVM), or, for VMs
without one and for constructors with input, for the one that this envelope names:

    ef 56 4d | n | name of the VM, n bytes | size of the code, 4 bytes, big-endian | code | input of the constructor

No creation of the EVM begins so: 0xef is no instruction (EIP-3541). The transaction costs what a creation costs, and
the contract stands where that of the EVM would.

The EVM's engines know nothing of it. To them the transaction is a call of `DEPLOYER`, an account that is there only
while it runs, and whose VM, `Deployer`, makes the contract.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from vmloom import Account, ExecutionContext, ExecutionResult, ExecutionState, StateAccess, VirtualMachine
from vmloom.calls import create_contract
from vmloom.errors import InvalidCode, UnknownVm
from vmloom.hashing import create_address, keccak256
from vmloom.precompile import PrecompileSet
from vmloom.vm import VmHost, VmVersion
from vmloom_evm.gas import words_of
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.outcome import TransactionResult
from vmloom_evm.transaction.types import Transaction

ENVELOPE: Final = b"\xefVM"
DEPLOYER_VM: Final = "vmloom-deployer"
DEPLOYER: Final = keccak256(b"vmloom: the account that makes contracts of other VMs")[12:]
_CODE_SIZE = 4
_OUT_OF_GAS = "out of gas"


@dataclass(frozen=True, slots=True)
class Deployment:
    """A contract to be made: the VM's name, its code, and the input of its constructor."""

    vm: str
    code: bytes
    input: bytes = b""


def deployment_of(data: bytes, host: VmHost) -> Deployment | None:
    """What a creation with this data makes, None for a contract of the default VM. Raises `InvalidCode`."""
    if data.startswith(ENVELOPE):
        return decode_envelope(data)
    vm = host.vm_of_code(data)
    return None if vm == host.default_vm else Deployment(vm, data)


def is_foreign(tx: Transaction, host: VmHost) -> bool:
    """Whether `tx` creates a contract of another VM."""
    return tx.to is None and (tx.data.startswith(ENVELOPE) or host.vm_of_code(tx.data) != host.default_vm)


def decode_envelope(data: bytes) -> Deployment:
    """The deployment in an envelope. Raises `InvalidCode` for one that is cut short or names no VM."""
    at = len(ENVELOPE)
    size = data[at] if len(data) > at else 0
    name, begin = data[at + 1 : at + 1 + size], at + 1 + size + _CODE_SIZE
    length = int.from_bytes(data[begin - _CODE_SIZE : begin], "big")
    if not name or not name.isascii() or len(data) < begin + length:
        raise InvalidCode("an envelope for a contract of another VM is cut short, or names none", offset=at)
    return Deployment(name.decode("ascii"), data[begin : begin + length], data[begin + length :])


def encode_envelope(deployment: Deployment) -> bytes:
    """The data of a creation that makes `deployment`. Raises `ValueError` for a name that does not fit."""
    name = deployment.vm.encode("ascii")
    if not 0 < len(name) < 256:
        raise ValueError(f"the name of a VM has 1 to 255 characters, got {len(name)}")
    code = deployment.code
    return ENVELOPE + bytes([len(name)]) + name + len(code).to_bytes(_CODE_SIZE, "big") + code + deployment.input


class NodeHost:
    """A `VmHost` that has the deployer beside the VMs of another one."""

    def __init__(self, host: VmHost) -> None:
        self.host = host
        self._deployer = Deployer(self)

    @property
    def default_vm(self) -> str:
        """See `VmHost`."""
        return self.host.default_vm

    def get_vm(self, vm_type: str) -> VirtualMachine:
        """See `VmHost`."""
        return self._deployer if vm_type == DEPLOYER_VM else self.host.get_vm(vm_type)

    def vm_of_code(self, code: bytes) -> str:
        """See `VmHost`."""
        return self.host.vm_of_code(code)

    def precompile_sets(self, vm: str) -> Sequence[PrecompileSet]:
        """See `VmHost`."""
        return self.host.precompile_sets(vm)


class _Naming(NodeHost):
    """A host to which new code is for one VM, whatever it begins with: the envelope has said so."""

    def __init__(self, host: VmHost, vm: str) -> None:
        self.host = host
        self._vm = vm

    def get_vm(self, vm_type: str) -> VirtualMachine:
        return self.host.get_vm(vm_type)

    def vm_of_code(self, code: bytes) -> str:
        return self._vm


class Deployer(VirtualMachine):
    """Runs a call of `DEPLOYER` as the creation that its input describes."""

    def __init__(self, host: VmHost) -> None:
        self._host = host

    @property
    def vm_type(self) -> str:
        """See `VirtualMachine`."""
        return DEPLOYER_VM

    @property
    def vm_version(self) -> VmVersion:
        """See `VirtualMachine`."""
        return VmVersion(0, 1, 0)

    def validate_code(self, code: bytes) -> None:
        """Nothing is deployed for it: raises `InvalidCode`."""
        raise InvalidCode(f"{DEPLOYER_VM} is no VM for contracts")

    def execute(self, code: bytes, context: ExecutionContext, state: StateAccess) -> ExecutionResult:
        """Make the contract; `code` is the price of the creation itself, which a call has not paid yet."""
        price = int.from_bytes(code, "big")
        if context.depth or price > context.gas_limit:
            return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=_OUT_OF_GAS)
        sender = context.caller
        try:
            deployment = deployment_of(context.input, self._host)
            assert deployment is not None
            host = _Naming(self._host, deployment.vm)
            # As before the transaction's own call, whose value and nonce are those of the creation.
            state.set_balance(DEPLOYER, state.get_balance(DEPLOYER) - context.value)
            state.set_balance(sender, state.get_balance(sender) + context.value)
            state.set_nonce(sender, state.get_nonce(sender) - 1)
            call = replace(context, input=deployment.input, gas_limit=context.gas_limit - price, code_address=None)
            result, _ = create_contract(host, state, call, deployment.code)
        except (InvalidCode, UnknownVm) as error:
            return ExecutionResult(ExecutionState.FAILED, context.gas_limit, error=str(error))
        return replace(result, gas_used=price + result.gas_used)


def deploy(
    run: Callable[[Transaction], TransactionResult], rules: Rules, state: StateAccess, tx: Transaction, sender: bytes
) -> TransactionResult:
    """Run `tx`, a creation of another VM's contract, as the call of an account that is there for as long."""
    price = rules.transaction_create + rules.initcode_word * words_of(len(tx.data))
    nonce = state.get_nonce(sender)
    checkpoint = state.snapshot()
    state.set_account(DEPLOYER, Account(code=price.to_bytes(8, "big"), vm=DEPLOYER_VM))
    try:
        result = run(replace(tx, to=DEPLOYER))
    except BaseException:
        state.revert(checkpoint)
        raise
    state.delete_account(DEPLOYER)
    return replace(
        result,
        created=create_address(sender, nonce) if result.success else None,
        state_changes=tuple(change for change in result.state_changes if change.address != DEPLOYER),
    )
