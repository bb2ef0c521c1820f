"""The section `[vm.prozvm]` of the configuration: which programs may run, within which limits and at what price."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from .gas import GasSchedule
from .runtime.limits import Limits
from .values import ValueLimits


class MemoryModel(BaseModel):
    """How large one value may be. There is no other memory: a program has its stack, its names and its state."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    integer_bits: Annotated[int, Field(ge=64, le=8192)] = 4096
    """Bits of an integer without its sign."""
    string_size: PositiveInt = 65_536
    """Bytes of a string in UTF-8."""
    bytes_size: PositiveInt = 1_048_576
    """Bytes of a byte string."""
    items: PositiveInt = 65_536
    """Items of one list, pairs of one map."""
    integer_keys: PositiveInt = 512
    """Integer keys of one map. They can be chosen so that Python finds each only after all others."""
    nesting: Annotated[int, Field(ge=1, le=128)] = 32
    """Lists and maps inside each other."""
    cells: PositiveInt = 1_048_576
    """Cells of 8 bytes that one value may take with all that is in it."""


class RegisterConfig(BaseModel):
    """How many names and frames a running program may have. Names become numbered registers when it is loaded."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    registers: PositiveInt = 1024
    """Names of one function; for the main program, of all functions together."""
    frames: Annotated[int, Field(ge=1, le=4096)] = 256
    """Calls of functions, and begun tasks, that wait for one another, with the main program."""
    tasks: PositiveInt = 1024
    """Tasks that have been spawned and not begun."""


class CodeConfig(BaseModel):
    """How large a program may be."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: PositiveInt = 65_536
    """Bytes of the container, with all functions."""
    instructions: PositiveInt = 16_384
    """Instructions of one function."""
    constants: PositiveInt = 4_096
    """Constants of one function."""
    functions: PositiveInt = 1_024
    """Functions of a program, with the program itself and those inside functions."""
    function_nesting: Annotated[int, Field(ge=1, le=32)] = 8
    """Functions inside each other."""
    parameters: PositiveInt = 64
    """Parameters of one function."""


class CallPrices(BaseModel):
    """What CALL_CONTRACT costs, in gas, beyond its price in the gas schedule and what the callee uses."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cold_account: NonNegativeInt = 1_900
    """Calling an account that the transaction has not accessed before. EIP-2929."""
    value: NonNegativeInt = 9_000
    """Sending wei. Yellow paper, appendix G."""
    new_account: NonNegativeInt = 25_000
    """Sending wei to an account that does not exist. EIP-161."""


class JitConfig(BaseModel):
    """When programs are compiled. Changes no result and no gas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    enabled: bool = True
    threshold: NonNegativeInt = 100
    """Executions of a program after which it is compiled; 0 compiles all at once."""
    native: bool = True
    """Whether machine code is tried before Python."""
    disk_cache: bool = False
    """Whether what is compiled is kept in the user's cache, which `vmloom cache` shows, for other processes."""


class LanguageConfig(BaseModel):
    """How `language.hybrid.Evaluator` runs sources. Changes no result and no gas; contracts are always compiled."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    use_hybrid_compiler: bool = True
    """Whether the evaluator chooses what to compile; otherwise it evaluates everything directly."""
    compiler_line_threshold: PositiveInt = 100
    """Lines of source from which on a program is compiled, whatever is in it."""
    fallback_to_interpreter: bool = True
    """Whether what cannot be compiled is evaluated directly; otherwise that is an error."""


class ProzVmConfig(BaseModel):
    """Settings of ProzVM.

    All but `jit`, `language` and `cache_size` are part of what every machine must agree on; so is `optimization_level`,
    since optimised programs use less gas.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    memory: MemoryModel = MemoryModel()
    stack_limit: Annotated[int, Field(ge=16, le=65_536)] = 1024
    """Values on the stack of one function."""
    register_config: RegisterConfig = RegisterConfig()
    gas_schedule: GasSchedule = GasSchedule()
    """Prices of instructions, such as `gas_schedule = {base = {ADD = 4}, per_cell = 5}`; others keep their default."""
    load_gas_per_byte: NonNegativeInt = 4
    """Gas for each byte of a program that is run, whether it has to be read and verified or is known.

    The default is fitted to the code that takes longest to verify, as the prices of instructions are to their time.
    """
    call_prices: CallPrices = CallPrices()
    code: CodeConfig = CodeConfig()
    optimization_level: Annotated[int, Field(ge=0, le=3)] = 0
    """0 runs programs as they are; 1 basic, 2 aggressive, 3 experimental passes."""
    jit: JitConfig = JitConfig()
    language: LanguageConfig = LanguageConfig()
    cache_size: NonNegativeInt = 4_194_304
    """Bytes of programs that are kept ready to run, counted as code; they take up to some hundred times as much."""

    @property
    def values(self) -> ValueLimits:
        """What every value keeps to."""
        return ValueLimits(**self.memory.model_dump())

    @property
    def limits(self) -> Limits:
        """What verification, the loader, the interpreter and compiled code keep to."""
        return Limits(
            **self.code.model_dump(),
            **self.register_config.model_dump(),
            stack=self.stack_limit,
            values=self.values,
        )
