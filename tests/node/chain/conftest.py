"""Chains for tests: on both engines where it matters what runs, with a clock that stands still."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from vmloom.factory import VmFactory
from vmloom_evm import EvmConfig
from vmloom_node.chain import Chain, ChainOptions, TransactionRequest, dev_genesis
from vmloom_node.chain.accounts import Accounts, derive_keys
from vmloom_node.chain.block import TransactionReceipt
from vmloom_node.chain.genesis import Genesis

NOW = 1_800_000_000
HOST = VmFactory()
MakeChain = Callable[..., Chain]

STORE_CALLER_INPUT = bytes.fromhex("600035600055" + "600054600052" + "60206000a0" + "600054602052" + "60406000f3")
"""Stores the first word of its input in slot 0, logs 32 bytes of it without topics, and returns 64 bytes."""
REVERTER = bytes.fromhex("63deadbeef5f526004601cfd")
"""Reverts with 4 bytes."""


def init_code(runtime: bytes) -> bytes:
    """Init code that deploys `runtime`, up to 255 bytes."""
    return bytes.fromhex(f"60{len(runtime):02x}600c60003960{len(runtime):02x}6000f3") + runtime


def options(engine: str = "auto", **changes: Any) -> ChainOptions:
    """Options with a clock that stands still."""
    return ChainOptions(evm=EvmConfig(engine=engine), clock=lambda: NOW, **changes)  # type: ignore[arg-type]


def dev_accounts() -> Accounts:
    """The accounts that development nodes begin with."""
    return Accounts(derive_keys())


@pytest.fixture(params=["reference", "native"])
def engine(request: pytest.FixtureRequest) -> str:
    """Both engines."""
    return str(request.param)


@pytest.fixture
def make_chain() -> Iterator[MakeChain]:
    """Makes development chains, which are closed in the end."""
    made: list[Chain] = []

    def make(
        engine: str = "auto", *, genesis: Genesis | None = None, fork: str = "osaka", store: Any = None, **changes: Any
    ) -> Chain:
        accounts = dev_accounts()
        made.append(
            Chain(
                genesis or dev_genesis(accounts.addresses, fork=fork),
                store=store,
                host=HOST,
                options=options(engine, **changes),
                accounts=accounts,
            )
        )
        return made[-1]

    yield make
    for chain in made:
        chain.close()


@pytest.fixture
def chain(make_chain: MakeChain) -> Chain:
    """A development chain."""
    return make_chain()


def send(chain: Chain, **fields: Any) -> TransactionReceipt:
    """Send a transaction, by default of the first account, mine it if need be, and give its receipt."""
    request = TransactionRequest(**{"sender": chain.accounts.addresses[0], **fields})
    transaction_hash = chain.send_request(request)
    if chain.mining != "transaction":
        chain.mine()
    return chain.receipt(transaction_hash)


def deploy(chain: Chain, runtime: bytes) -> bytes:
    """Deploy EVM code; returns the contract's address."""
    receipt = send(chain, data=init_code(runtime))
    assert receipt.success
    assert receipt.contract is not None
    return receipt.contract
