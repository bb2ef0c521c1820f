"""The section `[node]` of the configuration: the chain, where its state is kept, and how it is served.

Everything a node does is decided here and in the sections of the plugins it uses (`[vm.evm]`, `[precompiles.*]`,
`[accelerator.*]`, `[logging]`). The command `vmloom node` reads it; nothing here opens a file or a socket.
"""

from __future__ import annotations

import re
from typing import Annotated, Literal, Self, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    field_validator,
    model_validator,
)
from vmloom.errors import UnknownRevision
from vmloom.store.interface import DEFAULT_HISTORY
from vmloom.suggest import nearest
from vmloom_evm.forks import LATEST, fork_named

from .chain.accounts import DEV_ACCOUNTS, DEV_MNEMONIC, DEV_PATH
from .chain.genesis import DEV_CHAIN_ID, DEV_GAS_LIMIT

Address = Annotated[str, Field(pattern=r"^0x[0-9a-fA-F]{40}$")]
Namespace = Literal[
    "eth", "net", "web3", "debug", "trace", "txpool", "personal", "ots", "erigon", "evm", "anvil", "hardhat", "vmloom"
]
NAMESPACES: tuple[Namespace, ...] = get_args(Namespace)
_PATH = re.compile(r"m(/\d+'?)+")
_ORIGIN = re.compile(r"\*|https?://[^\s/]+|null")


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class GenesisConfig(_Section):
    """Block 0. What a genesis file says goes before the other values here."""

    file: str = ""
    """Path of a genesis file: geth's JSON, or TOML with the same names; empty for a development chain."""
    timestamp: NonNegativeInt | None = None
    """Seconds since 1970; by default the time of the first start."""
    gas_limit: Annotated[int, Field(ge=5_000)] = DEV_GAS_LIMIT
    """Gas of each block."""
    base_fee: NonNegativeInt = 1_000_000_000
    """Wei per gas, from London on."""


class AccountsConfig(_Section):
    """Development accounts: funded in the genesis block, and signed for by the node."""

    count: Annotated[int, Field(ge=0, le=10_000)] = DEV_ACCOUNTS
    balance: NonNegativeFloat = 10_000
    """Ether that each has in the genesis block."""
    mnemonic: str = DEV_MNEMONIC
    """The phrase that the keys are derived from (BIP-39)."""
    path: str = DEV_PATH
    """The path of the keys (BIP-44), to which the number of the account is appended."""

    @field_validator("mnemonic")
    @classmethod
    def _words(cls, value: str) -> str:
        words = value.split()
        if len(words) not in (12, 15, 18, 21, 24):
            raise ValueError(f"a mnemonic has 12, 15, 18, 21 or 24 words, not {len(words)}")
        return " ".join(words)

    @field_validator("path")
    @classmethod
    def _derivation(cls, value: str) -> str:
        if not _PATH.fullmatch(value):
            raise ValueError(f"a derivation path has the form m/44'/60'/0'/0, not {value!r}")
        return value


class MiningConfig(_Section):
    """When blocks are made, and of what."""

    mode: Literal["transaction", "interval", "manual"] = "transaction"
    """A block for each transaction, one each `interval`, or only when `evm_mine` asks for one."""
    interval: PositiveFloat = 12.0
    """Seconds between blocks, with the mode `interval`."""
    coinbase: Address = "0x0000000000000000000000000000000000000000"
    """The account that gets the tips."""


class StoreConfig(_Section):
    """Where the state and the blocks are kept."""

    kind: Literal["memory", "lmdb"] = "memory"
    """`memory` forgets everything at the end; `lmdb` needs the package vmloom-state-lmdb."""
    path: str = ""
    """The folder of the store `lmdb`, made if it is missing."""
    history: PositiveInt = DEFAULT_HISTORY
    """Blocks whose state can be read and reverted to, counted back from the newest; changes by hand count as blocks."""
    sync: bool = True
    """Whether a block is on the disk before it is answered for; else a crash of the machine may lose the last ones."""

    @model_validator(mode="after")
    def _place(self) -> Self:
        if self.kind == "lmdb" and not self.path:
            raise ValueError('the store lmdb needs a path, such as path = "node-data"')
        if self.kind == "memory" and self.path:
            raise ValueError('a path is given, but the store memory keeps nothing: set kind = "lmdb"')
        return self


class PoolConfig(_Section):
    """The transactions that wait for a block."""

    max_transactions: PositiveInt = 20_000
    """Transactions of all accounts together."""
    max_bytes: PositiveInt = 67_108_864
    """Bytes of all of them together, as they are encoded."""
    max_per_account: PositiveInt = 10_000
    """Transactions of one account."""
    price_bump: NonNegativeInt = 10
    """Percent by which a transaction must outbid one of the same nonce to replace it."""


class RpcConfig(_Section):
    """The server: JSON-RPC over HTTP and WebSocket, the explorer and the metrics on one port."""

    host: str = "127.0.0.1"
    """The address to listen at. Anything but loopback lets others send transactions from the node's accounts."""
    port: Annotated[int, Field(ge=0, le=65_535)] = 8_545
    """0 takes a free one."""
    namespaces: tuple[Namespace, ...] = NAMESPACES
    """Groups of methods that are served; the methods of all others are unknown."""
    cors_origins: tuple[str, ...] = ()
    """Web pages that may read answers, such as `https://example.org`; `*` for all; by default none."""
    max_body_bytes: PositiveInt = 5_242_880
    """Bytes of one request."""
    max_response_bytes: PositiveInt = 104_857_600
    """Bytes of the answers to one request."""
    max_batch: PositiveInt = 1_000
    """Calls in one batch."""
    timeout_s: PositiveFloat = 30.0
    """Seconds that one call may take."""
    calls_per_second: NonNegativeFloat = 0.0
    """Calls that one client address may make each second, in the long run; 0 for no limit."""
    max_connections: PositiveInt = 512
    """Connections at a time."""
    threads: Annotated[int, Field(ge=1, le=128)] = 8
    """Calls that are dealt with at a time."""
    gas_cap: PositiveInt = 100_000_000
    """Gas that `eth_call`, `eth_estimateGas` and traces may use at most."""
    max_log_blocks: PositiveInt = 100_000
    """Blocks that one search for logs may span."""
    explorer: bool = True
    """Whether a browser that opens the address gets the explorer."""
    metrics: bool = True
    """Whether Prometheus's text is served at `/metrics`."""
    log_requests: bool = False
    """Whether each call is logged, with its method and time."""

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for origin in value:
            if not _ORIGIN.fullmatch(origin):
                raise ValueError(f"an origin has the form https://example.org, without a path, not {origin!r}")
        return value


class NodeConfig(_Section):
    """A node. `vmloom config show` prints all of it with where each value was set."""

    chain_id: Annotated[int, Field(ge=1, le=2**53 - 1)] = DEV_CHAIN_ID
    """The chain's number (EIP-155), unless a genesis file names one."""
    hardfork: str = LATEST.name
    """The fork of the EVM from block 0 on: `frontier` ... `osaka`, unless a genesis file has a schedule."""
    vms: tuple[str, ...] = ()
    """Machines that contracts may be for, besides the EVM; by default all that are installed."""
    read_only: bool = False
    """Whether the node only answers: no transaction is taken and no block is made. For looking at a stored chain."""
    replay: tuple[str, ...] = ()
    """Files of blocks that are run and checked at the start: RLP as geth exports it, or BlockchainTests' JSON."""
    genesis: GenesisConfig = GenesisConfig()
    accounts: AccountsConfig = AccountsConfig()
    mining: MiningConfig = MiningConfig()
    store: StoreConfig = StoreConfig()
    pool: PoolConfig = PoolConfig()
    rpc: RpcConfig = RpcConfig()

    @field_validator("hardfork")
    @classmethod
    def _known_fork(cls, value: str) -> str:
        try:
            return fork_named(value).name
        except UnknownRevision as error:
            raise ValueError(str(error)) from None


def known_vms(config: NodeConfig, installed: list[str]) -> tuple[str, ...]:
    """The machines of a node, the EVM first. Raises `ValueError` for one that is not installed."""
    for name in config.vms:
        if name not in installed:
            close = nearest(name, installed)
            hint = f" (did you mean `{close}`?)" if close else ""
            raise ValueError(f"no installed plugin offers vm '{name}'{hint}; installed: {', '.join(installed)}")
    chosen = config.vms or tuple(installed)
    return ("evm", *(name for name in chosen if name != "evm"))
