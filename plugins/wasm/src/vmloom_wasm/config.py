"""The section `[vm.wasm]` of the configuration: which modules may run, at what price, and within which limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

from .host import FUNCTIONS
from .prices import HostPrices

ImportName = Annotated[str, Field(pattern=r"^[^.]*\..+$")]


class ModuleLimits(BaseModel):
    """How large a module and its parts may be. What a module must not exceed it may reach."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code_size: PositiveInt = 1_048_576
    """Bytes of the whole module."""
    memory_pages: Annotated[int, Field(ge=0, le=65_536)] = 512
    """Pages of 65,536 bytes that a memory may have when it is made. What it may grow to is for the engine."""
    types: NonNegativeInt = 1_000
    """Function types."""
    imports: NonNegativeInt = 100
    exports: NonNegativeInt = 200
    functions: NonNegativeInt = 10_000
    """Functions that are not imported."""
    function_size: PositiveInt = 65_536
    """Bytes of the code of one function. The time to compile one grows faster than its size."""
    params: NonNegativeInt = 100
    """Parameters of one function type."""
    results: NonNegativeInt = 16
    """Results of one function type."""
    locals: NonNegativeInt = 1_024
    """Locals of one function, parameters included."""
    total_locals: NonNegativeInt = 100_000
    """Locals of all functions together, parameters included."""
    globals: NonNegativeInt = 256
    tables: NonNegativeInt = 1
    table_size: NonNegativeInt = 10_000
    """Elements that a table may have when it is made."""
    br_table: NonNegativeInt = 1_024
    """Labels of one `br_table`, without the default one."""
    nesting: PositiveInt = 1_024
    """Blocks that may be open at a time in one function."""
    nesting_locals: PositiveInt = 16_384
    """Open blocks times locals in one function: the time to compile it grows with the square of that."""
    data_segments: NonNegativeInt = 1_000
    element_segments: NonNegativeInt = 1_000


class ValidationConfig(BaseModel):
    """Which modules are accepted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    limits: ModuleLimits = ModuleLimits()
    allowed_imports: frozenset[ImportName] = frozenset()
    """Functions that a module may import, each as `module.name`; by default none."""
    allow_floats: bool = True
    """Whether there may be floats. They give the same results everywhere only if NaNs are made canonical."""
    allow_start: bool = True
    """Whether there may be a start function. It is metered like the rest of the code and runs before `main`."""


class CustomHostFunction(BaseModel):
    """A host function of one's own."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    types: Annotated[str, Field(pattern=r"^[iIfF]*:[iIfF]?$")]
    """A letter for each parameter and the result: i, I, f, F are i32, i64, f32, f64; `"iI:i"`."""
    function: Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]
    """Import path `package.module:function`. It is called with the `vmloom_wasm.run.Run` and the parameters, integers
    unsigned and floats as their bits, and must do the same on every machine."""
    gas: NonNegativeInt = 0
    """Paid before each call, beside `host_call`; what depends on the input the function charges by `run.charge`."""


class WasmConfig(BaseModel):
    """Settings of the WebAssembly VM.

    All but the caches and `optimize` are part of what every machine must agree on.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_memory_pages: Annotated[int, Field(ge=0, le=65_536)] = 512
    """Pages of 65,536 bytes that a contract's memory may have; `memory.grow` beyond it returns -1."""
    max_stack_height: Annotated[int, Field(ge=1_000, le=100_000)] = 65_536
    """Words that all frames of a contract may take together: parameters, locals, operands, and 4 for each frame."""
    gas_costs: Literal["default", "cosmwasm"] = "default"
    """The table of prices of instructions."""
    instruction_gas: dict[str, NonNegativeInt] = {}
    """Prices of single instructions in units, instead of those of the table, such as `{"i64.div_u" = 40}`."""
    host_gas: HostPrices = HostPrices()
    """Prices of what host functions do, in gas."""
    units_per_gas: PositiveInt = 50
    """Units of the table of instructions that one gas pays for. A gas is then about as much time as the EVM's dearest
    instructions take for one: most of what contracts do on either VM is storage and calls."""
    allowed_imports: frozenset[ImportName] | None = None
    """Host functions that may be imported, each as `env.name`; by default all."""
    host_functions: dict[ImportName, CustomHostFunction] = {}
    """More host functions, each as `module.name`."""
    deterministic: bool = True
    """Make NaNs canonical, so that floats are the same on every machine. Without it, for those who need no agreement,
    floats are faster. Threads, relaxed SIMD and whatever else differs between machines are refused either way."""
    allow_floats: bool = True
    allow_start: bool = True
    """Whether a module may have a start function. It is metered like the rest of the code and runs before `main`."""
    limits: ModuleLimits = ModuleLimits()
    reentrancy: Literal["allow", "read_only", "deny"] = "allow"
    """Whether a contract that waits for a call to return may be called again: always, by static calls, or never."""
    cache_size: NonNegativeInt = 268_435_456
    """Bytes of compiled modules that are kept in memory."""
    disk_cache: bool = True
    """Whether compiled modules are kept on disk, too, in the object cache of vmloom (`vmloom cache`)."""
    optimize: bool = True
    """Compile for speed of the code; without it, for speed of compilation. Changes no result."""

    @property
    def validation(self) -> ValidationConfig:
        """Which modules are accepted. Without a list, every host function may be imported."""
        imports = self.allowed_imports
        if imports is None:
            imports = frozenset((*(function.qualified_name for function in FUNCTIONS.values()), *self.host_functions))
        pages = min(self.limits.memory_pages, self.max_memory_pages)
        return ValidationConfig(
            limits=self.limits.model_copy(update={"memory_pages": pages}),
            allowed_imports=imports,
            allow_floats=self.allow_floats,
            allow_start=self.allow_start,
        )
