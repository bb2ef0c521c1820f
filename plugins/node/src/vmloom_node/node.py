"""A node: a chain, the store it is kept in, and the server that speaks for it, put together from a configuration.

The command `vmloom node` makes one; so may a program that wants a node of its own.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import structlog
from vmloom.errors import ConfigError
from vmloom.factory import VmFactory
from vmloom.plugins import PluginRegistry
from vmloom.settings import Settings
from vmloom.store import MemoryStore, Store
from vmloom_evm import EvmConfig

from .chain import Chain, ChainOptions, records
from .chain.accounts import DEV_MNEMONIC, Accounts, derive_keys
from .chain.genesis import Genesis, dev_genesis, load_genesis
from .chain.pool import PoolLimits
from .config import NodeConfig, known_vms
from .rpc.dispatcher import Dispatcher
from .rpc.server import BackgroundServer, make_app, serve

if TYPE_CHECKING:
    from rich.console import RenderableType

_ETHER: Final = 10**18


class Node:
    """A chain that goes on in `store`, and the server for it. Use it as a context manager, or `close` it.

    Raises `ConfigError`, `InputError` for a genesis file that cannot be used, `StateError` for a store with another
    chain.
    """

    def __init__(self, config: NodeConfig, host: VmFactory, store: Store | None = None) -> None:
        self.config = config
        self.host = host
        self.store = open_store(config) if store is None else store
        try:
            keys = derive_keys(config.accounts.mnemonic, config.accounts.count, config.accounts.path)
            accounts = Accounts(keys)
            self.chain = Chain(
                genesis_of(config, self.store, accounts.addresses),
                store=self.store,
                host=host,
                options=_options(config, host),
                accounts=accounts,
            )
        except BaseException:
            self.store.close()
            raise
        self.dispatcher = Dispatcher(self.chain, config.rpc)
        self.app = make_app(self.dispatcher)
        _tell("chain opened", chain_id=self.chain.chain_id, head=self.chain.head.number, store=config.store.kind)

    @classmethod
    def from_settings(cls, settings: Settings, config: NodeConfig, plugins: PluginRegistry) -> Self:
        """The node that `settings` describe, of which `config` is the section `[node]`. Raises as the class does."""
        host = VmFactory(settings, plugins=_chosen(settings, config, plugins))
        return cls(config, host, open_store(config))

    def replay(self, files: Sequence[str]) -> None:
        """Run and check the blocks in `files`. Raises `InputError` for files, `InvalidBlock` for blocks."""
        for file in files:
            from .chain.replay import import_file

            count = import_file(self.chain, file)
            _tell("blocks replayed", file=file, blocks=count, head=self.chain.head.number)

    def serve(self, on_start: Callable[[str], None] = lambda _: None) -> None:
        """Answer until SIGINT or SIGTERM, then let running requests finish. `on_start` gets the URL.

        Raises `ConfigError` if the address cannot be listened at.
        """

        def started(url: str) -> None:
            _tell("listening", url=url)
            on_start(url)

        with _asked_to_end():
            serve(self.app, self.config.rpc, started)
        _tell("stopped", head=self.chain.head.number)

    def background(self) -> BackgroundServer:
        """The server in a thread, for a `with` block."""
        return BackgroundServer(self.app, self.config.rpc)

    def close(self) -> None:
        """Stop mining, and close chain and store. What was mined is kept; what waited in the mempool is gone."""
        self.dispatcher.close()
        self.chain.close()
        self.store.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def banner(self) -> Iterator[RenderableType]:
        """What people want to know of it, to be printed: accounts, chain, machines."""
        from rich.table import Table
        from rich.text import Text

        chain, config = self.chain, self.config
        yield Text(f"vmloom node {version('vmloom-node')}", "bold")
        if chain.accounts.addresses:
            yield from _accounts(chain, config)
        facts = Table(box=None, show_header=False, pad_edge=False)
        for name, value in self._facts():
            facts.add_row(name, Text(value))
        yield facts
        if config.rpc.host not in ("127.0.0.1", "localhost", "::1"):
            yield Text("Others can reach this node, and send transactions from its accounts.", "yellow")

    def _facts(self) -> Iterator[tuple[str, str]]:
        chain, config = self.chain, self.config
        head = chain.head
        yield "chain id", str(chain.chain_id)
        yield "fork", chain.genesis.schedule.fork_at(head.number + 1, max(head.header.timestamp, int(time.time()))).name
        yield "head", f"block {head.number:,}, 0x{head.hash.hex()}"
        yield "gas limit", f"{head.header.gas_limit:,}"
        if head.header.base_fee is not None:
            yield "base fee", f"{chain.next_base_fee():,} wei"
        modes = {"transaction": "a block for each transaction", "manual": "when evm_mine asks for it"}
        each = f"a block each {config.mining.interval:g} seconds"
        yield "mining", "none, the node only answers" if config.read_only else modes.get(config.mining.mode, each)
        yield "state", config.store.path if config.store.kind == "lmdb" else "in memory"
        yield "machines", ", ".join(known_vms(config, self.host.available()))


def _tell(event: str, **fields: Any) -> None:
    """Log, if the program has configured that: a library does not write to a program's streams by itself."""
    if structlog.is_configured():
        structlog.get_logger("vmloom.node").info(event, **fields)


@contextmanager
def _asked_to_end() -> Iterator[None]:
    """Have the signals that end a server end only that: it sends itself another one when it is done."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {one: signal.signal(one, lambda *_: None) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _accounts(chain: Chain, config: NodeConfig) -> Iterator[RenderableType]:
    """The first accounts. Keys are shown of the phrase that everybody knows; others may be somebody's secret."""
    from rich.table import Table
    from rich.text import Text

    is_public = config.accounts.mnemonic == DEV_MNEMONIC
    table = Table(box=None, pad_edge=False)
    for name in ("", "account", "balance", *(["private key"] if is_public else [])):
        table.add_column(name, no_wrap=True)
    shown = chain.accounts.addresses[:20]
    for number, address in enumerate(shown):
        key = chain.accounts.key_of(address)
        cells = [f"({number})", checksummed(address), f"{chain.account(address).balance / _ETHER:,.2f} ether"]
        table.add_row(*map(Text, cells + ([f"0x{key.hex()}"] if is_public and key else [])))
    yield table
    if len(chain.accounts.addresses) > len(shown):
        yield Text(f"... and {len(chain.accounts.addresses) - len(shown):,} more")
    if is_public:
        yield Text("Everybody knows these keys: what they hold on a real network is lost.", "yellow")


def genesis_of(config: NodeConfig, store: Store, addresses: Sequence[bytes]) -> Genesis:
    """Block 0: of the file that is named, or for development. A store with a chain keeps the time that it began at.

    Raises `InputError` for the file.
    """
    chosen = config.genesis
    if chosen.file:
        return load_genesis(chosen.file)
    timestamp = chosen.timestamp
    if timestamp is None:
        begun = records.read_block(store, 0)
        timestamp = int(time.time()) if begun is None else begun.block.header.timestamp
    return dev_genesis(
        addresses,
        balance=int(config.accounts.balance * _ETHER),
        chain_id=config.chain_id,
        fork=config.hardfork,
        gas_limit=chosen.gas_limit,
        timestamp=timestamp,
        base_fee=chosen.base_fee,
    )


def open_store(config: NodeConfig) -> Store:
    """The store of the configuration. Raises `ConfigError` if its package is missing, `StateError` if it is broken."""
    chosen = config.store
    if chosen.kind == "memory":
        return MemoryStore(history=chosen.history)
    try:
        from vmloom_state_lmdb import LmdbStore
    except ImportError as error:
        raise ConfigError(f"[node.store] kind: lmdb: {error}").with_fix("pip install vmloom-state-lmdb") from error
    return LmdbStore(
        chosen.path,
        history=chosen.history,
        sync=chosen.sync,
        read_only=config.read_only and not config.replay,
    )


def checksummed(address: bytes) -> str:
    """The address in hex with the capitals of EIP-55."""
    from vmloom.hashing import keccak256

    plain = address.hex()
    digest = keccak256(plain.encode()).hex()
    return "0x" + "".join(one.upper() if int(mark, 16) >= 8 else one for one, mark in zip(plain, digest, strict=False))


def _options(config: NodeConfig, host: VmFactory) -> ChainOptions:
    evm: Any = host.check("vm", "evm")
    return ChainOptions(
        mining="manual" if config.read_only else config.mining.mode,
        block_time=config.mining.interval,
        coinbase=bytes.fromhex(config.mining.coinbase[2:]),
        gas_limit=None if config.genesis.file else config.genesis.gas_limit,
        pool=PoolLimits(
            max_transactions=config.pool.max_transactions,
            max_bytes=config.pool.max_bytes,
            max_per_account=config.pool.max_per_account,
            price_bump=config.pool.price_bump,
        ),
        call_gas=config.rpc.gas_cap,
        is_read_only=config.read_only,
        evm=evm if isinstance(evm, EvmConfig) else EvmConfig(),
    )


def _chosen(settings: Settings, config: NodeConfig, plugins: PluginRegistry) -> PluginRegistry:
    """The plugins less those of machines that are not wanted. Raises `ConfigError` for one that is not installed."""
    installed = plugins.names("vm")
    try:
        wanted = known_vms(config, installed)
    except ValueError as error:
        raise settings.error(("node", "vms"), str(error)) from None
    left_out = [plugins.find("vm", name).dist for name in installed if name not in wanted]
    if not left_out:
        return plugins
    chosen = settings.plugins
    return PluginRegistry(disable=(*chosen.disable, *left_out), prefer=chosen.prefer, strict=chosen.strict)
