"""Why a frame ended: the numbers that `Halt` carries, and their names in results and traces.

The names are those of geth's traces, so that trace comparison tools accept ours.
"""

from __future__ import annotations

SUCCESS = 0
REVERT = 1
OUT_OF_GAS = 2
STACK_UNDERFLOW = 3
STACK_OVERFLOW = 4
INVALID_OPCODE = 5
INVALID_JUMP = 6
WRITE_PROTECTION = 7
RETURN_DATA_OUT_OF_BOUNDS = 8
CODE_TOO_LARGE = 9
INVALID_CODE_PREFIX = 10
CODE_STORE_OUT_OF_GAS = 11
ADDRESS_COLLISION = 12
CALL_DEPTH = 13
INSUFFICIENT_BALANCE = 14
NONCE_OVERFLOW = 15
PRECOMPILE_FAILURE = 16
INITCODE_TOO_LARGE = 17
MEMORY_LIMIT = 18
FOREIGN_FAILURE = 19
NO_CODE = 20

HALT_NAMES: dict[int, str] = {
    SUCCESS: "",
    REVERT: "execution reverted",
    OUT_OF_GAS: "out of gas",
    STACK_UNDERFLOW: "stack underflow",
    STACK_OVERFLOW: "stack limit reached",
    INVALID_OPCODE: "invalid opcode",
    INVALID_JUMP: "invalid jump destination",
    WRITE_PROTECTION: "write protection",
    RETURN_DATA_OUT_OF_BOUNDS: "return data out of bounds",
    CODE_TOO_LARGE: "max code size exceeded",
    INVALID_CODE_PREFIX: "invalid code: must not begin with 0xef",
    CODE_STORE_OUT_OF_GAS: "contract creation code storage out of gas",
    ADDRESS_COLLISION: "contract address collision",
    CALL_DEPTH: "max call depth exceeded",
    INSUFFICIENT_BALANCE: "insufficient balance for transfer",
    NONCE_OVERFLOW: "nonce uint64 overflow",
    PRECOMPILE_FAILURE: "precompile failed",
    INITCODE_TOO_LARGE: "max initcode size exceeded",
    MEMORY_LIMIT: "memory limit exceeded",
    FOREIGN_FAILURE: "contract of another VM failed",
    NO_CODE: "no code is there",
}
