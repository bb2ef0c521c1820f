"""A transition from its inputs to its outputs. Called by the command line; all its failures are `TransitionError`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from vmloom import MemoryState
from vmloom.alloc import parse_alloc
from vmloom.errors import ConfigError, InputError, PluginError, StateError, UnknownRevision
from vmloom.hexadecimal import parse_hex

from ..block.invalid import InvalidBlock
from ..block.process import NOBODY, process_block
from ..rules import Rules
from ..specification import Specification
from ..transaction.types import Refusal, TransactionRefused
from ..vm import Evm
from .environment import Environment, HashedState, read_environment
from .failure import ExitCode, TransitionError
from .fields import Fields, parse_json
from .output import alloc_json, body_json, describe, result_json, write_outputs
from .rulesets import DEFAULT_RULESET, Ruleset, ruleset_named
from .tracing import OpcodeCounter, Recorder, StepRecorder, Watch, recorder_named
from .transactions import Candidate, decode_body, read_transactions

STDIN = "stdin"
ACCOUNT_FIELDS = ("code", "storage", "balance", "nonce", "vm", "records")


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """What trace files tell of."""

    memory: bool = False
    stack: bool = True
    return_data: bool = False
    call_frames: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """A transition. Inputs are files or `stdin`; outputs are files in `folder`, `stdout`, `stderr`, or empty for none.

    `reward` is in wei, -1 for none. `tracer` names what gathers into trace files, with `tracer_config` as JSON; without
    one, `trace` says what lines by instruction tell of, None for no trace files.
    """

    alloc: str = "alloc.json"
    env: str = "env.json"
    txs: str = "txs.json"
    folder: str = ""
    output_alloc: str = "alloc.json"
    output_result: str = "result.json"
    output_body: str = ""
    fork: str = DEFAULT_RULESET
    chain_id: int = 1
    reward: int = 0
    transactions_only: bool = False
    trace: TraceOptions | None = None
    tracer: str = ""
    tracer_config: str = ""
    opcode_count: str = ""


def run(options: Options, evm: Evm) -> None:
    """Read, run the block, write. Raises `TransitionError`; then nothing but trace files has been written."""
    with _failures():
        _run(options, evm)


def _run(options: Options, evm: Evm) -> None:
    stdin = _stdin() if STDIN in (options.alloc, options.env, options.txs) else Fields({}, STDIN)
    env = Fields(_input(options.env, "env", stdin), "env")
    ruleset = ruleset_named(options.fork, env.number("currentNumber", bits=64), env.number("currentTimestamp", bits=64))
    environment = read_environment(
        env,
        ruleset,
        chain_id=options.chain_id,
        reward=options.reward,
        transactions_only=options.transactions_only,
    )
    state = _state(_input(options.alloc, "alloc", stdin), environment)
    transactions = _transactions(options, stdin, ruleset)
    folder = _folder(options.folder)
    specification = evm.specification(ruleset.fork)
    counter = OpcodeCounter() if options.opcode_count else None
    watch = Watch(folder, _recorder(options, state, environment, specification), counter)
    try:
        result = process_block(
            specification,
            state,
            environment.block,
            (_with_price(one, environment, ruleset.fork.rules) for one in transactions),
            transactions_only=options.transactions_only,
            observer=watch if watch.watches else NOBODY,
            host=evm.host,
            engine=evm.executor,
        )
    finally:
        watch.close()
    outputs: dict[str, tuple[str, Any]] = {
        "alloc": (options.output_alloc, alloc_json(state)),
        "body": (options.output_body, body_json(result)),
        "result": (options.output_result, result_json(result, environment)),
    }
    if counter is not None:
        outputs["opcodeCount"] = (options.opcode_count, counter.named(specification.rows))
    write_outputs(folder, outputs)


@contextmanager
def _failures() -> Iterator[None]:
    """Give every foreseen error its exit code."""
    try:
        yield
    except InvalidBlock as error:
        raise TransitionError(ExitCode.EVM, str(error)) from None
    except OverflowError:
        # Only with more ether than there can be, which an alloc may claim there is; clients differ in what follows.
        raise TransitionError(ExitCode.EVM, "a balance would exceed 256 bits") from None
    except (UnknownRevision, ConfigError, PluginError) as error:
        raise TransitionError(ExitCode.CONFIG, str(error)) from None
    except (InputError, StateError) as error:
        raise TransitionError(ExitCode.JSON, str(error)) from None


# Inputs


def _stdin() -> Fields:
    return Fields(parse_json(sys.stdin.buffer.read(), STDIN), STDIN)


def _input(source: str, name: str, stdin: Fields) -> Any:
    """The JSON value of an input: the file, or its part of stdin."""
    if source == STDIN:
        if not stdin.has(name):
            raise InputError(f"{STDIN}: no {name!r}")
        return stdin.values[name]
    return parse_json(_read(source), source)


def _read(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except (OSError, ValueError) as error:  # ValueError: no path can have a zero byte
        raise TransitionError(ExitCode.IO, f"{path}: cannot be read: {describe(error)}") from None


def _state(alloc: object, environment: Environment) -> MemoryState:
    if isinstance(alloc, Mapping):
        alloc = {address: _known(account) for address, account in alloc.items()}
    read = parse_alloc(alloc)
    state = HashedState(dict(read.accounts()), environment.block_hashes)
    for address, _ in read.accounts():
        for slot, word in read.storage_of(address).items():
            state.set_storage(address, slot, word)
        for key, value in read.records_of(address).items():
            state.set_record(address, key, value)
    state.commit()
    state.begin_transaction()
    return state


def _known(account: object) -> object:
    """The account without comments and keys, which geth's files have and its tool skips."""
    return {key: account[key] for key in ACCOUNT_FIELDS if key in account} if isinstance(account, Mapping) else account


def _transactions(options: Options, stdin: Fields, ruleset: Ruleset) -> list[Candidate]:
    """From JSON, or from the RLP of a body as hex: in a string, or on stdin as `txsRlp`."""
    rules = ruleset.fork.rules
    if options.txs == STDIN:
        body = stdin.data("txsRlp", default=b"")
        if body:
            return decode_body(body, rules, f"{STDIN}.txsRlp")
        values = stdin.values.get("txs")
    else:
        values = parse_json(_read(options.txs), options.txs)
    if isinstance(values, str):
        return decode_body(parse_hex(values, "txs"), rules, "txs")
    return [] if values is None else read_transactions(values, rules, options.chain_id, "txs")


def _with_price(one: Candidate, environment: Environment, rules: Rules) -> Candidate:
    """`one`, refused if it has blobs and nobody knows what they cost."""
    if isinstance(one, TransactionRefused) or not one.blob_hashes or not rules.blobs:
        return one
    if environment.excess_blob_gas is None:
        return TransactionRefused(
            Refusal.BLOB_FEE_TOO_LOW, "env.currentExcessBlobGas: missing, so that blobs have no price"
        )
    return one


# Outputs


def _folder(name: str) -> Path:
    folder = Path(name)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, ValueError) as error:
        raise TransitionError(ExitCode.IO, f"{name}: cannot be made: {describe(error)}") from None
    return folder


def _recorder(
    options: Options, state: MemoryState, environment: Environment, specification: Specification
) -> Recorder | None:
    if options.tracer:
        context = environment.block.context
        return recorder_named(options.tracer, options.tracer_config, state, context, specification)
    if options.trace is None:
        return None
    trace = options.trace
    return StepRecorder(specification.rows, trace.memory, trace.stack, trace.return_data, trace.call_frames)
