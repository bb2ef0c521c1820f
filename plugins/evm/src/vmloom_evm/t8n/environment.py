"""The `env` of a transition: the block's own fields, or its parent's to derive them from."""

from __future__ import annotations

from dataclasses import dataclass

from vmloom import BlockContext, MemoryState
from vmloom.hexadecimal import parse_number
from vmloom.kernel import U256_MAX

from ..block.difficulty import difficulty
from ..block.process import BlockInput
from ..block.rewards import MAX_OMMER_AGE, Ommer
from ..block.withdrawals import Withdrawal
from ..fees import blob_base_fee, next_base_fee, next_excess_blob_gas
from ..rules import Rules
from .failure import ExitCode, TransitionError
from .fields import WORD_SIZE, Fields
from .rulesets import Ruleset

NO_OMMERS_HASH = bytes.fromhex("1dcc4de8dec75d7aab85b567b6ccd41ad312451b948a7413f0a142fd40d49347")
"""keccak256 of the RLP of an empty list"""
LARGEST_EXPONENT = 177
"""e to the power of one more exceeds 256 bits."""


@dataclass(frozen=True, slots=True)
class Environment:
    """The block, and what its result repeats. `base_fee` and `excess_blob_gas` are None where there is none.

    A base fee that is given is repeated even if the fork has none.
    """

    block: BlockInput
    block_hashes: dict[int, bytes]
    has_difficulty: bool
    base_fee: int | None
    excess_blob_gas: int | None


class HashedState(MemoryState):
    """Memory, where to ask for a block hash that the environment does not have ends the transition."""

    def get_block_hash(self, number: int) -> bytes:
        """From `block_hashes`. Raises `TransitionError`."""
        found = self.block_hashes.get(number)
        if found is None:
            raise TransitionError(
                ExitCode.MISSING_BLOCK_HASH, f"env.blockHashes: a contract asked for block {number}, which is missing"
            )
        return found


def read_environment(
    env: Fields, ruleset: Ruleset, *, chain_id: int, reward: int, transactions_only: bool
) -> Environment:
    """The environment that `env` describes. Raises `InputError`, and `TransitionError` for what the fork lacks.

    `transactions_only`: what surrounds the transactions is not needed.
    """
    rules = ruleset.fork.rules
    base_fee = _base_fee(env) if rules.base_fee else None
    excess = _excess_blob_gas(env, rules) if rules.blobs else None
    hashes = _block_hashes(env)
    number = env.number("currentNumber", bits=64)
    context = BlockContext(
        number=number,
        timestamp=env.number("currentTimestamp", bits=64),
        coinbase=env.address("currentCoinbase"),
        gas_limit=env.number("currentGasLimit", bits=64),
        base_fee=base_fee or 0,
        difficulty=_difficulty(env, ruleset),
        prev_randao=_randomness(env) if rules.proof_of_stake else 0,
        blob_base_fee=blob_base_fee(excess or 0, rules),
        chain_id=chain_id,
    )
    if rules.beacon_root_contract and not transactions_only and not env.has("parentBeaconBlockRoot"):
        raise _lacking("parentBeaconBlockRoot", "blocks since Cancun have one (EIP-4788)")
    if rules.withdrawals and not transactions_only and not env.has("withdrawals"):
        raise _lacking("withdrawals", "blocks since Shanghai have a list of them (EIP-4895)")
    block = BlockInput(
        context,
        parent_hash=_parent_hash(env, hashes, number),
        parent_beacon_root=env.word("parentBeaconBlockRoot"),
        ommers=tuple(_ommer(one) for one in env.objects("ommers")),
        withdrawals=tuple(_withdrawal(one) for one in env.objects("withdrawals")),
        reward=reward,
    )
    shown_fee = env.optional_number("currentBaseFee") if base_fee is None else base_fee
    return Environment(block, hashes, not rules.proof_of_stake, shown_fee, excess)


def _base_fee(env: Fields) -> int:
    """EIP-1559"""
    if env.has("currentBaseFee"):
        return env.number("currentBaseFee")
    if not env.has("parentBaseFee") or not env.has("parentGasLimit"):
        raise _lacking("currentBaseFee", "nor can it be computed without parentBaseFee and parentGasLimit (EIP-1559)")
    fee = next_base_fee(
        env.number("parentBaseFee"),
        env.number("parentGasUsed", bits=64, default=0),
        env.number("parentGasLimit", bits=64),
    )
    if fee > U256_MAX:
        raise TransitionError(ExitCode.CONFIG, "env.parentBaseFee: with so much, gas costs over 2**256 wei")
    return fee


def _excess_blob_gas(env: Fields, rules: Rules) -> int | None:
    """The block's own, or that which follows from its parent's; None if neither is given. EIP-4844, EIP-7918."""
    if env.has("currentExcessBlobGas"):
        return _priceable(env.number("currentExcessBlobGas", bits=64), "currentExcessBlobGas", rules)
    if not env.has("parentExcessBlobGas") or not env.has("parentBlobGasUsed"):
        return None
    if rules.blob_reserve_price and not env.has("parentBaseFee"):
        raise _lacking("parentBaseFee", "the excess of blob gas depends on it (EIP-7918)")
    excess = next_excess_blob_gas(
        _priceable(env.number("parentExcessBlobGas", bits=64), "parentExcessBlobGas", rules),
        env.number("parentBlobGasUsed", bits=64),
        env.number("parentBaseFee", default=0),
        rules,
    )
    return _priceable(excess, "parentBlobGasUsed", rules)


def _priceable(excess: int, name: str, rules: Rules) -> int:
    """`excess`, unless a blob's price has more than 256 bits with it; that of much greater ones takes for ever."""
    if excess > LARGEST_EXPONENT * rules.blob_fee_fraction:
        raise TransitionError(ExitCode.CONFIG, f"env.{name}: with so much, a blob costs over 2**256 wei")
    return excess


def _difficulty(env: Fields, ruleset: Ruleset) -> int:
    rules = ruleset.fork.rules
    given = env.optional_number("currentDifficulty")
    if rules.proof_of_stake:
        if given:
            raise TransitionError(ExitCode.CONFIG, "env.currentDifficulty: must be 0 since Paris (EIP-3675)")
        return 0
    if given is not None:
        return given
    if not env.has("parentDifficulty"):
        raise _lacking("currentDifficulty", "nor can it be computed without parentDifficulty")
    number = env.number("currentNumber", bits=64)
    if number == 0:
        raise _lacking("currentDifficulty", "and block 0 has no parent to compute it from")
    ommers_hash = env.word("parentUncleHash")
    try:
        return difficulty(
            rules,
            number,
            timestamp=env.number("currentTimestamp", bits=64),
            parent_timestamp=env.number("parentTimestamp", bits=64, default=0),
            parent_difficulty=env.number("parentDifficulty"),
            # Zeros stand for "unknown" in files that tools write.
            parent_has_ommers=ommers_hash not in (None, NO_OMMERS_HASH, bytes(WORD_SIZE)),
            bomb_delay=ruleset.bomb_delay,
        )
    except ValueError as error:
        raise TransitionError(ExitCode.CONFIG, f"env.currentDifficulty: missing, and {error}") from None


def _randomness(env: Fields) -> int:
    """EIP-4399"""
    if not env.has("currentRandom"):
        raise _lacking("currentRandom", "blocks since Paris have one (EIP-4399)")
    return env.number("currentRandom")


def _block_hashes(env: Fields) -> dict[int, bytes]:
    table = env.table("blockHashes")
    return {parse_number(key, f"{table.place} {key}", bits=64): table.data(key, size=WORD_SIZE) for key in table.values}


def _parent_hash(env: Fields, hashes: dict[int, bytes], number: int) -> bytes | None:
    """For EIP-2935; None, so that nothing is stored, if no hashes are given at all."""
    if number == 0:
        return None
    if number - 1 in hashes:
        return hashes[number - 1]
    if env.has("parentHash"):
        return env.word("parentHash")
    return bytes(WORD_SIZE) if env.has("blockHashes") else None


def _ommer(ommer: Fields) -> Ommer:
    age = ommer.number("delta", bits=64)
    if age > MAX_OMMER_AGE:
        raise TransitionError(ExitCode.CONFIG, f"{ommer.place}.delta: must be at most {MAX_OMMER_AGE}, got {age}")
    return Ommer(ommer.address("address"), age)


def _withdrawal(withdrawal: Fields) -> Withdrawal:
    return Withdrawal(
        index=withdrawal.number("index", bits=64),
        validator=withdrawal.number("validatorIndex", bits=64),
        address=withdrawal.address("address"),
        amount=withdrawal.number("amount", bits=64),
    )


def _lacking(name: str, why: str) -> TransitionError:
    return TransitionError(ExitCode.CONFIG, f"env.{name}: missing; {why}")
