"""The EVM's section of the configuration, `[vm.evm]`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeInt,
    PositiveInt,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from vmloom.errors import UnknownRevision
from vmloom.suggest import nearest

from . import ops
from .forks import LATEST, fork_named
from .rules import Rules
from .schedule import NETWORKS
from .table import OPS

assert ops is not None  # importing the instructions fills OPS, which names are checked against

Engine = Literal["auto", "reference", "native", "jit"]
OpcodeName = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9]*$")]
AddressKey = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{1,40}$")]
ImportPath = Annotated[str, Field(pattern=r"^[A-Za-z_][\w.]*:[A-Za-z_]\w*$")]


class CustomOpcode(BaseModel):
    """An instruction of one's own: a kernel function, its opcode and its static gas."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    code: Annotated[int, Field(ge=0, le=255)]
    function: ImportPath
    """Import path `package.module:function`; parameters are operands, after an optional machine `m`."""
    gas: NonNegativeInt = 0


class EvmJitConfig(BaseModel):
    """When contracts are compiled, and within which bounds; see docs/explanation/jit.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    trigger: Literal["hot", "first"] = "hot"
    """`hot`: once a contract has run long enough, in the background. `first`: before it first runs, which waits."""
    patience: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """How long a contract has to run before it is hot: so many times as long as compiling it takes."""
    code_size_limit: Annotated[int, Field(gt=0, le=1 << 20)] = 24_576
    """Bytes of the largest contract that is compiled; larger ones stay interpreted."""
    time_limit: Annotated[float, Field(gt=0)] = 10.0
    """Seconds of the processor that compiling one contract may take; one that takes longer stays interpreted."""
    cache_size: Annotated[int, Field(ge=1 << 16)] = 64 << 20
    """Bytes of machine code in memory, of all EVMs of the process that have the same limit together."""
    disk_cache: bool = True
    """Whether machine code is kept on the disk, for later processes."""


class EvmConfig(BaseModel):
    """Settings of the EVM. Prices are in gas, sizes in bytes."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    revision: str = LATEST.name
    """The fork, unless `network` decides by block: `frontier` ... `osaka`, or a test suite's name for it."""
    network: str = ""
    """A schedule of forks by block number and time: `mainnet`, `sepolia`, `hoodi`; empty for one fork."""
    engine: Engine = "auto"
    """Which engine runs code; `auto` is the fastest one that is installed and can run all custom instructions."""
    enable_jit: bool = True
    """Whether `auto` compiles contracts that run often; without a compiling engine installed it changes nothing."""
    jit: EvmJitConfig = EvmJitConfig()
    """How contracts are compiled, by `auto` or `jit`."""
    stack_limit: PositiveInt = 1024
    """Items."""
    max_memory_size: NonNegativeInt = 0
    """Bytes of memory that one frame may have; 0 leaves it to gas, as on Ethereum."""
    charge_memory_expansion: bool = True
    """Whether memory growth costs gas. Without it, `max_memory_size` must bound memory."""
    call_depth_limit: NonNegativeInt = 1024
    """Calls that may stand above the first."""
    create_contract_limit: NonNegativeInt | None = None
    """Bytes of code that a contract may have, 0 for no limit; by default as the fork has it (EIP-170)."""
    max_code_size: NonNegativeInt | None = None
    """Bytes of code that `validate_code` accepts, 0 for no limit; by default the limit of created contracts."""
    disabled_opcodes: frozenset[OpcodeName] = frozenset()
    """Names of instructions that halt as if they did not exist, and that `validate_code` refuses."""
    precompile_addresses: frozenset[AddressKey] | None = None
    """The only addresses at which precompiles of the installed sets are active; by default all."""
    precompiles: dict[AddressKey, ImportPath] = {}
    """Further precompiles, or replacements: address to import path of a `Precompile` class."""
    gas: dict[OpcodeName, NonNegativeInt] = {}
    """Static prices that differ from the fork's. An instruction that the fork lacks exists once it has a price."""
    rules: dict[str, Any] = {}
    """Rules that differ from the fork's, by their name in `vmloom_evm.rules.Rules`: `reject_storage_collision`, ..."""
    custom_opcodes: dict[OpcodeName, CustomOpcode] = {}
    """Instructions of one's own, by name."""
    instruction_metrics: bool = False
    """Whether results count instructions, their gas and time. Costs time; off, it costs nothing."""
    estimate_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """How far above the least gas limit an estimate may lie, as a part of it; 0 finds the least."""

    @field_validator("revision")
    @classmethod
    def _known_revision(cls, value: str) -> str:
        try:
            return fork_named(value).name
        except UnknownRevision as error:
            raise ValueError(str(error)) from None

    @field_validator("network")
    @classmethod
    def _known_network(cls, value: str) -> str:
        if value and value not in NETWORKS:
            raise ValueError(f"unknown network {value!r}; known: {', '.join(NETWORKS)}")
        return value

    @field_validator("disabled_opcodes")
    @classmethod
    def _known_opcodes(cls, value: frozenset[str]) -> frozenset[str]:
        for name in value:
            if name not in OPS:
                raise ValueError(_unknown("opcode", name, OPS))
        return value

    @field_validator("rules")
    @classmethod
    def _known_rules(cls, value: dict[str, Any]) -> dict[str, Any]:
        checked: dict[str, Any] = {}
        for name, setting in value.items():
            rule = Rules.__dataclass_fields__.get(name)
            if rule is None:
                raise ValueError(_unknown("rule", name, Rules.__dataclass_fields__))
            wanted = type(rule.default)
            try:
                checked[name] = TypeAdapter(wanted).validate_python(setting)
            except ValidationError:
                raise ValueError(f"rule {name!r} is of type {wanted.__name__}, got {setting!r}") from None
        return checked

    @model_validator(mode="after")
    def _known_prices(self) -> Self:
        for name in self.gas:
            if name not in OPS and name not in self.custom_opcodes:
                raise ValueError("gas: " + _unknown("opcode", name, OPS))
        return self


def _unknown(kind: str, name: str, known: Iterable[str]) -> str:
    hint = nearest(name, known)
    return f"unknown {kind} {name!r}" + (f" (did you mean {hint!r}?)" if hint else "")
