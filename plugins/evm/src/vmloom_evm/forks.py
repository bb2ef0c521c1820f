"""The forks, each as the previous one and its differences. Data only.

`gas` holds the static price of every instruction that the fork knows: an instruction without a price does
not exist there. `FORKS` is in order of activation on mainnet; `fork_named` knows the aliases of the test suites.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from vmloom.errors import UnknownRevision
from vmloom.precompile import Revision
from vmloom.suggest import nearest

from .rules import Rules


@dataclass(frozen=True, slots=True, eq=False)
class Fork:
    """A set of rules with a name. `gas` maps instruction names to their static price."""

    name: str
    rules: Rules
    gas: Mapping[str, int]
    lineage: tuple[str, ...] = field(default=())

    def amend(
        self,
        name: str,
        *,
        gas: Mapping[str, int] | None = None,
        rules: Mapping[str, Any] | None = None,
        extends: bool = True,
    ) -> Fork:
        """The fork that differs from this one by `gas` and `rules`. Raises `TypeError` for an unknown rule.

        `extends=False` is for a variant of the same fork (configured prices), which adds nothing to the lineage.
        """
        return Fork(
            name=name,
            rules=replace(self.rules, **dict(rules or {})),
            gas={**self.gas, **(gas or {})},
            lineage=(*self.lineage, name) if extends else self.lineage,
        )

    @property
    def revision(self) -> Revision:
        """The fork as precompile sets see it: a name and what came before."""
        return Revision(self.name, self.lineage)

    def differences(self, other: Fork) -> dict[str, tuple[Any, Any]]:
        """What changes from `self` to `other`: rule or instruction name to (old, new); None where it is absent."""
        changed: dict[str, tuple[Any, Any]] = {}
        for name in sorted(set(self.gas) | set(other.gas)):
            if self.gas.get(name) != other.gas.get(name):
                changed[name] = (self.gas.get(name), other.gas.get(name))
        for rule in Rules.__dataclass_fields__:
            if getattr(self.rules, rule) != getattr(other.rules, rule):
                changed[rule] = (getattr(self.rules, rule), getattr(other.rules, rule))
        return changed


def _priced(price: int, names: str) -> dict[str, int]:
    return dict.fromkeys(names.split(), price)


def _numbered(price: int, prefix: str, first: int, last: int) -> dict[str, int]:
    return {f"{prefix}{n}": price for n in range(first, last + 1)}


FRONTIER = Fork(
    "frontier",
    Rules(),
    gas={
        **_priced(0, "STOP RETURN SELFDESTRUCT"),
        **_priced(1, "JUMPDEST"),
        **_priced(2, "ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE COINBASE TIMESTAMP NUMBER"),
        **_priced(2, "DIFFICULTY GASLIMIT POP PC MSIZE GAS"),
        **_priced(3, "ADD SUB NOT LT GT SLT SGT EQ ISZERO AND OR XOR BYTE CALLDATALOAD MLOAD MSTORE MSTORE8"),
        **_priced(3, "CALLDATACOPY CODECOPY"),
        **_numbered(3, "PUSH", 1, 32),
        **_numbered(3, "DUP", 1, 16),
        **_numbered(3, "SWAP", 1, 16),
        **_priced(5, "MUL DIV SDIV MOD SMOD SIGNEXTEND"),
        **_priced(8, "ADDMOD MULMOD JUMP"),
        **_priced(10, "JUMPI EXP"),
        **_priced(20, "BALANCE EXTCODESIZE EXTCODECOPY BLOCKHASH"),
        **_priced(30, "KECCAK256"),
        **_priced(40, "CALL CALLCODE"),
        **_priced(50, "SLOAD"),
        **_priced(0, "SSTORE"),
        **_priced(375, "LOG0 LOG1 LOG2 LOG3 LOG4"),
        **_priced(32_000, "CREATE"),
    },
    lineage=("frontier",),
)

HOMESTEAD = FRONTIER.amend(
    "homestead",
    gas={"DELEGATECALL": 40},  # EIP-7
    rules={"transaction_create": 32_000, "low_s_signatures": True, "deposit_failure_reverts": True},  # EIP-2
)

TANGERINE_WHISTLE = HOMESTEAD.amend(
    "tangerine_whistle",  # EIP-150
    gas={
        **_priced(700, "EXTCODESIZE EXTCODECOPY CALL CALLCODE DELEGATECALL"),
        "BALANCE": 400,
        "SLOAD": 200,
        "SELFDESTRUCT": 5_000,
    },
    rules={"all_but_one_64th": True, "selfdestruct_new_account": 25_000},
)

SPURIOUS_DRAGON = TANGERINE_WHISTLE.amend(
    "spurious_dragon",
    rules={
        "chain_id_signatures": True,  # EIP-155
        "exp_byte": 50,  # EIP-160
        "state_clearing": True,  # EIP-161
        "contract_nonce": 1,  # EIP-161
        "code_size_limit": 24_576,  # EIP-170
    },
)

BYZANTIUM = SPURIOUS_DRAGON.amend(
    "byzantium",
    gas={
        "REVERT": 0,  # EIP-140
        "RETURNDATASIZE": 2,  # EIP-211
        "RETURNDATACOPY": 3,  # EIP-211
        "STATICCALL": 700,  # EIP-214
    },
    rules={"status_receipts": True, "block_reward": 3 * 10**18},  # EIP-658, EIP-649
)

CONSTANTINOPLE = BYZANTIUM.amend(
    "constantinople",
    gas={
        **_priced(3, "SHL SHR SAR"),  # EIP-145
        "CREATE2": 32_000,  # EIP-1014
        "EXTCODEHASH": 400,  # EIP-1052
    },
    rules={"net_metering": True, "sstore_dirty": 200, "block_reward": 2 * 10**18},  # EIP-1283, EIP-1234
)

PETERSBURG = CONSTANTINOPLE.amend("petersburg", rules={"net_metering": False, "sstore_dirty": 0})  # EIP-1716

ISTANBUL = PETERSBURG.amend(
    "istanbul",
    gas={
        "CHAINID": 2,  # EIP-1344
        "SELFBALANCE": 5,  # EIP-1884
        "SLOAD": 800,
        "BALANCE": 700,
        "EXTCODEHASH": 700,
    },
    rules={
        "transaction_data_byte": 16,  # EIP-2028
        "net_metering": True,  # EIP-2200
        "sstore_sentry": True,
        "sstore_dirty": 800,
    },
)

BERLIN = ISTANBUL.amend(
    "berlin",
    gas=_priced(100, "SLOAD BALANCE EXTCODESIZE EXTCODECOPY EXTCODEHASH CALL CALLCODE DELEGATECALL STATICCALL"),
    rules={
        "access_lists": True,  # EIP-2929: static prices are the warm ones, the rest is dynamic
        "warm_access": 100,
        "cold_account": 2_600,
        "cold_sload": 2_100,
        "sstore_reset": 2_900,
        "sstore_dirty": 100,
        "typed_transactions": 1,  # EIP-2718, EIP-2930
    },
)

LONDON = BERLIN.amend(
    "london",
    gas={"BASEFEE": 2},  # EIP-3198
    rules={
        "base_fee": True,  # EIP-1559
        "typed_transactions": 2,
        "refund_quotient": 5,  # EIP-3529
        "selfdestruct_refund": 0,
        "sstore_clear_refund": 4_800,
        "reject_ef_code": True,  # EIP-3541
    },
)

PARIS = LONDON.amend("paris", rules={"proof_of_stake": True, "block_reward": 0})  # EIP-3675, EIP-4399

SHANGHAI = PARIS.amend(
    "shanghai",
    gas={"PUSH0": 2},  # EIP-3855
    rules={
        "warm_coinbase": True,  # EIP-3651
        "initcode_size_limit": 49_152,  # EIP-3860
        "initcode_word": 2,
        "withdrawals": True,  # EIP-4895
    },
)

CANCUN = SHANGHAI.amend(
    "cancun",
    gas={
        **_priced(100, "TLOAD TSTORE"),  # EIP-1153
        "BLOBHASH": 3,  # EIP-4844
        "MCOPY": 3,  # EIP-5656
        "BLOBBASEFEE": 2,  # EIP-7516
    },
    rules={
        "typed_transactions": 3,  # EIP-4844
        "blobs": True,
        "blob_target": 3,
        "blob_limit": 6,
        "blob_fee_fraction": 3_338_477,
        "beacon_root_contract": True,  # EIP-4788
        "selfdestruct_only_created": True,  # EIP-6780
    },
)

PRAGUE = CANCUN.amend(
    "prague",
    rules={
        "history_contract": True,  # EIP-2935
        "request_contracts": True,  # EIP-7002, EIP-7251
        "floor_token": 10,  # EIP-7623
        "blob_target": 6,  # EIP-7691
        "blob_limit": 9,
        "blob_fee_fraction": 5_007_716,
        "typed_transactions": 4,  # EIP-7702
        "delegations": True,
    },
)

OSAKA = PRAGUE.amend(
    "osaka",
    gas={"CLZ": 5},  # EIP-7939
    rules={
        "transaction_gas_limit": 1 << 24,  # EIP-7825
        "blob_transaction_limit": 6,  # EIP-7594
        "blob_reserve_price": True,  # EIP-7918
    },
)

# EIP-7892: forks that change only how many blobs a block aims at and may carry, and how fast their price moves.

BPO1 = OSAKA.amend("bpo1", rules={"blob_target": 10, "blob_limit": 15, "blob_fee_fraction": 8_346_193})  # EIP-8134

BPO2 = BPO1.amend("bpo2", rules={"blob_target": 14, "blob_limit": 21, "blob_fee_fraction": 11_684_671})  # EIP-8135

FORKS: dict[str, Fork] = {
    fork.name: fork
    for fork in (
        FRONTIER,
        HOMESTEAD,
        TANGERINE_WHISTLE,
        SPURIOUS_DRAGON,
        BYZANTIUM,
        CONSTANTINOPLE,
        PETERSBURG,
        ISTANBUL,
        BERLIN,
        LONDON,
        PARIS,
        SHANGHAI,
        CANCUN,
        PRAGUE,
        OSAKA,
        BPO1,
        BPO2,
    )
}

LATEST = OSAKA

_ALIASES = {
    "eip150": "tangerine_whistle",
    "tangerinewhistle": "tangerine_whistle",
    "eip158": "spurious_dragon",
    "spuriousdragon": "spurious_dragon",
    "constantinoplefix": "petersburg",
    "merge": "paris",
    "latest": "osaka",
}


def fork_named(name: str) -> Fork:
    """The fork called `name`, in any case and by the aliases that test suites use (`EIP150`, `Merge`, ...).

    Raises `UnknownRevision`, which names the nearest known fork.
    """
    key = name.strip().lower()
    fork = FORKS.get(_ALIASES.get(key, key))
    if fork is None:
        hint = nearest(key, [*FORKS, *_ALIASES])
        known = ", ".join(FORKS)
        raise UnknownRevision(
            f"unknown fork {name!r}" + (f" (did you mean {hint!r}?)" if hint else "") + f"; known: {known}"
        )
    return fork
