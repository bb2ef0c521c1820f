"""evmone through EVMC, with ctypes: programs that ask nothing of the world around them.

EVMC leaves accounts, storage, logs, calls and precompiled contracts to a host, and libevmone has none. One in Python
would be all that is measured, so rows that need it have no figure here.
"""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from ctypes import POINTER, c_char, c_char_p, c_int, c_int32, c_int64, c_size_t, c_uint8, c_uint32, c_void_p
from functools import partial
from pathlib import Path

from suite.work import CALLER, REVISION, Block, Call, Work

from .side import Outcome, Prepared, Unsupported, capped_refund, log_digest

ABI_VERSION = 12
REVISIONS = {"cancun": 12, "prague": 13}
"""`evmc_revision`"""
RETURNS = {"get_storage": 32, "get_balance": 32, "get_code_hash": 32, "get_block_hash": 32, "get_transient_storage": 32}
RETURNS |= {"call": 80, "get_tx_context": 200}
"""Bytes of the structs that these functions of a host return, at least; the others return a number."""
HOST_FUNCTIONS = (
    *("account_exists", "get_storage", "set_storage", "get_balance", "get_code_size", "get_code_hash", "copy_code"),
    *("selfdestruct", "call", "get_tx_context", "get_block_hash", "emit_log", "access_account", "access_storage"),
    *("get_transient_storage", "set_transient_storage"),
)
"""In the order of `evmc_host_interface`."""

_HostFunction = ctypes.CFUNCTYPE(c_void_p, c_void_p)


class _Message(ctypes.Structure):
    """`evmc_message`"""

    _fields_ = (
        ("kind", c_int),
        ("flags", c_uint32),
        ("depth", c_int32),
        ("gas", c_int64),
        ("recipient", c_uint8 * 20),
        ("sender", c_uint8 * 20),
        ("input_data", c_char_p),
        ("input_size", c_size_t),
        ("value", c_uint8 * 32),
        ("create2_salt", c_uint8 * 32),
        ("code_address", c_uint8 * 20),
        ("code", c_char_p),
        ("code_size", c_size_t),
    )


class _Result(ctypes.Structure):
    """`evmc_result`"""

    _fields_ = (
        ("status_code", c_int),
        ("gas_left", c_int64),
        ("gas_refund", c_int64),
        ("output_data", c_void_p),
        ("output_size", c_size_t),
        ("release", ctypes.CFUNCTYPE(None, c_void_p)),
        ("create_address", c_uint8 * 20),
        ("padding", c_uint8 * 4),
    )


class _Vm(ctypes.Structure):
    """`evmc_vm`"""

    _fields_ = (
        ("abi_version", c_int),
        ("name", c_char_p),
        ("version", c_char_p),
        ("destroy", c_void_p),
        (
            "execute",
            ctypes.CFUNCTYPE(_Result, c_void_p, c_void_p, c_void_p, c_int, POINTER(_Message), c_char_p, c_size_t),
        ),
        ("get_capabilities", c_void_p),
        ("set_option", c_void_p),
    )


class EvmoneSide:
    """evmone's default interpreter, from the shared library at `path`. Raises `Unsupported` for another ABI."""

    name = "evmone"

    def __init__(self, path: Path) -> None:
        if platform.machine() != "x86_64":
            raise Unsupported("the host here returns structs as x86-64 does")
        create = ctypes.CDLL(str(path)).evmc_create_evmone
        create.restype = POINTER(_Vm)
        self._pointer = create()
        self._vm = self._pointer.contents
        if self._vm.abi_version != ABI_VERSION:
            raise Unsupported(f"EVMC ABI {self._vm.abi_version}, not {ABI_VERSION}")
        self.version = self._vm.version.decode()
        self._asked: list[str] = []
        self._callbacks = [_HostFunction(partial(self._answer, name)) for name in HOST_FUNCTIONS]
        self._host = (c_void_p * len(HOST_FUNCTIONS))(
            *(ctypes.cast(callback, c_void_p).value for callback in self._callbacks)
        )

    def prepare(self, work: Work) -> Prepared:
        """Calls only: whole transactions are the host's business."""
        if isinstance(work, Block):
            raise Unsupported("evmone leaves transactions to its host")
        self._asked.clear()
        return Prepared(self._run(work), lambda: None, partial(self._outcome, work))

    def _answer(self, name: str, first: int) -> int:
        """Any function of the host: zero. A struct is returned where the hidden first argument says."""
        self._asked.append(name)
        if name not in RETURNS:
            return 0
        ctypes.memset(first, 0, RETURNS[name])
        return first

    def _run(self, work: Call) -> Callable[[], tuple[int, int, int, bytes]]:
        to = (c_uint8 * 20)(*work.to)
        data, code = work.input, work.world[work.to].code
        message = _Message(
            gas=work.gas,
            recipient=to,
            sender=(c_uint8 * 20)(*CALLER),
            input_data=data,
            input_size=len(data),
            code_address=to,
        )
        execute, vm, host = self._vm.execute, self._pointer, ctypes.byref(self._host)
        revision = REVISIONS[REVISION]

        def run() -> tuple[int, int, int, bytes]:
            result = execute(vm, host, None, revision, message, code, len(code))
            output = (c_char * result.output_size).from_address(result.output_data).raw if result.output_size else b""
            if result.release:
                result.release(ctypes.addressof(result))
            return result.status_code, result.gas_left, result.gas_refund, output

        return run

    def _outcome(self, work: Call, result: tuple[int, int, int, bytes]) -> Outcome:
        if self._asked:
            raise Unsupported(f"needs a host: {self._asked[0]}")
        status, gas_left, refund, output = result
        gas = work.gas - gas_left
        return Outcome(status == 0, gas, capped_refund(gas, refund, work.input), output, log_digest([]))
