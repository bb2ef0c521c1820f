"""What modules may be and contain, as settings. Part of the section `[vm.wasm]` of the configuration."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt

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
    function_size: PositiveInt = 262_144
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
