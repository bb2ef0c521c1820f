"""Random programs on the reference engine and on py-evm: they must agree on outcome, gas, output and storage.

    uv run --group bench python benchmarks/differential_py_evm.py [--programs N] [--seed S]

Every fork that py-evm has takes its turn. A program calls itself, another program and precompiles, with little gas
and much; most end early, so run many. The first disagreement is printed with all that is needed to repeat it.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth.vm import forks as theirs
from rich.console import Console
from rich.progress import track
from rich.table import Table
from vmloom import Account, BlockContext, ExecutionContext, MemoryState
from vmloom_evm import Evm, EvmConfig
from vmloom_evm.assembly import Bytecode, joined, op, push, raw, ret_top
from vmloom_evm.forks import FORKS
from vmloom_evm.table import OPS

sys.path.insert(0, str(Path(__file__).parent))
from py_evm_chain import py_evm_chain
from workloads import CALLEE, CALLER, CONTRACT

PY_EVM = {name: getattr(theirs, "".join(word.title() for word in name.split("_")) + "VM", None) for name in FORKS}
REVISIONS = [name for name, vm in PY_EVM.items() if vm is not None]
PRECOMPILE_COUNT = {"cancun": 10, "prague": 17}
WORDS = (0, 1, 2, 31, 32, 33, 64, 255, 256, 1000, 2**64 - 1, 2**255, 2**256 - 1)
# What py-evm's bare calls cannot be asked for in the same way: the block's blob prices, history and time.
UNASKED = {"BLOCKHASH", "BLOBHASH", "BLOBBASEFEE", "COINBASE", "TIMESTAMP", "NUMBER", "DIFFICULTY", "GASLIMIT", "CLZ"}
SINGLE = [row.name for row in OPS.values() if not row.immediate and row.name not in UNASKED]
CALLS = ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL")
FUNDS = 10**9
SLOTS = 5


def random_program(rng: random.Random) -> Bytecode:
    """Constants to work on, then a mixture of constants, stack shuffles, calls, writes and single instructions."""
    parts = [push(rng.choice((0, 1, 2, 5, 32, 64, 255))) for _ in range(rng.choice((0, 6, 12, 30)))]
    parts += [_step(rng) for _ in range(rng.randint(3, 60))]
    if rng.random() < 0.4:
        parts.append(ret_top())
    return joined(*parts)


def _step(rng: random.Random) -> Bytecode:
    kind = rng.random()
    if kind < 0.45:
        return push(_account(rng) if rng.random() < 0.1 else _word(rng))
    if kind < 0.60:
        return op(rng.choice(("DUP", "SWAP")) + str(rng.randint(1, 6)))
    if kind < 0.68:
        name = rng.choice(CALLS)
        value = [rng.choice((0, 0, 1))] if name in ("CALL", "CALLCODE") else []
        ranges = (0, rng.choice((0, 32, 64)), 0, rng.choice((0, 32)))
        return op(name)(rng.randint(0, 0xFFFF), _account(rng), *value, *ranges)
    if kind < 0.74:
        return op("SSTORE")(rng.randint(0, 3), rng.randint(0, 3))
    if kind < 0.75:
        return raw(rng.randbytes(3))
    return op(rng.choice(SINGLE))


def _word(rng: random.Random) -> int:
    return rng.choice(WORDS) if rng.random() < 0.8 else rng.getrandbits(rng.choice((8, 16, 160, 256)))


def _account(rng: random.Random) -> bytes:
    return rng.choice((CONTRACT, CALLEE, CALLER, bytes(19) + bytes([rng.randint(1, 4)])))


@dataclass(frozen=True)
class Trial:
    """One run to compare: `code` at CONTRACT, `callee` at CALLEE."""

    revision: str
    code: bytes
    callee: bytes
    data: bytes
    gas: int


Outcome = tuple[bool, int, bytes, tuple[int, ...]]
"""(success, gas used, output of a success or revert, after a success the first slots of the contracts left)"""


def run_ours(vm: Evm, trial: Trial, header: Any) -> tuple[Outcome, str, list[bytes]]:
    """The outcome on the reference engine, why it failed, and the contracts that are left."""
    state = MemoryState(
        {
            CONTRACT: Account(1, 1000, trial.code),
            CALLEE: Account(1, 1000, trial.callee),
            CALLER: Account(0, FUNDS),
        }
    )
    for slot in range(SLOTS):
        state.set_storage(CONTRACT, slot, slot % 3)
    state.commit()
    base_fee = header.base_fee_per_gas if FORKS[trial.revision].rules.base_fee else 0
    block = BlockContext(header.block_number, header.timestamp, header.coinbase, header.gas_limit, base_fee)
    context = ExecutionContext(CALLER, CONTRACT, CALLER, 0, trial.data, trial.gas, block=block)
    result = vm.execute(trial.code, context, state)
    left = [one for one in (CONTRACT, CALLEE) if state.account_exists(one)]
    words = _words(state, left) if result.success else ()
    return (result.success, result.gas_used, result.return_data, words), result.error, left


def run_theirs(chain: Any, trial: Trial, left: list[bytes]) -> Outcome:
    """The outcome on py-evm, with the words of the contracts that are `left`."""
    vm = chain.get_vm()
    state = vm.state
    for address, code in ((CONTRACT, trial.code), (CALLEE, trial.callee)):
        state.set_code(address, code)
        state.set_nonce(address, 1)
        state.set_balance(address, 1000)
    for slot in range(SLOTS):
        state.set_storage(CONTRACT, slot, slot % 3)
    state.set_balance(CALLER, FUNDS)
    state.lock_changes()
    _warm_up(state, trial.revision, vm.get_header().coinbase)
    computation = vm.execute_bytecode(CALLER, 0, trial.gas, CONTRACT, CALLER, 0, trial.data, trial.code, CONTRACT)
    # A bare call of py-evm neither undoes what a failed program wrote nor deletes what destroyed itself.
    words = _words(state, left) if computation.is_success else ()
    used = trial.gas - computation.get_gas_remaining()
    return computation.is_success, used, computation.output, words


def _words(state: Any, contracts: list[bytes]) -> tuple[int, ...]:
    return tuple(state.get_storage(one, slot) for one in contracts for slot in range(SLOTS))


def _warm_up(state: Any, revision: str, coinbase: bytes) -> None:
    """What a transaction would have warmed: a bare call of py-evm does not."""
    rules = FORKS[revision].rules
    if not rules.access_lists:
        return
    count = PRECOMPILE_COUNT.get(revision, 9)
    warm = [CALLER, CONTRACT, *(bytes(19) + bytes([n]) for n in range(1, count + 1))]
    for address in [*warm, coinbase] if rules.warm_coinbase else warm:
        state.mark_address_warm(address)


def main() -> None:
    """Compare many programs; exit code 1 at the first disagreement."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=int, default=5_000, help="how many (default 5000)")
    parser.add_argument("--seed", type=int, default=1, help="another seed, other programs (default 1)")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    console = Console()
    vms = {name: Evm(EvmConfig(revision=name, engine="reference")) for name in REVISIONS}
    chains = {name: py_evm_chain(PY_EVM[name], proof_of_stake=FORKS[name].rules.proof_of_stake) for name in REVISIONS}
    endings: Counter[str] = Counter()
    start = time.monotonic()
    for _ in track(range(options.programs), "comparing", console=console, transient=True):
        code, callee = bytes(random_program(rng)), bytes(random_program(rng))
        data, gas = rng.randbytes(rng.choice((0, 4, 36))), rng.choice((3_000, 30_000, 100_000, 400_000))
        trial = Trial(rng.choice(REVISIONS), code, callee, data, gas)
        chain = chains[trial.revision]
        got, error, left = run_ours(vms[trial.revision], trial, chain.get_vm().get_header())
        expected = run_theirs(chain, trial, left)
        if got != expected:
            console.print("[red]they disagree[/red]", trial.revision, f"gas {trial.gas}", f"input 0x{trial.data.hex()}")
            console.print(f"code   0x{code.hex()}\ncallee 0x{callee.hex()}\nvmloom {got} {error}\npy-evm {expected}")
            raise SystemExit(1)
        endings[error or "success"] += 1
    table = Table(title=f"{options.programs:,} programs on {len(REVISIONS)} forks: no difference")
    table.add_column("ended with")
    table.add_column("programs", justify="right")
    for ending, number in endings.most_common():
        table.add_row(ending, f"{number:,}")
    console.print(table)
    console.print(f"{time.monotonic() - start:.0f} s; seed {options.seed}")


if __name__ == "__main__":
    main()
