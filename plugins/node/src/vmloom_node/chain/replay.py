"""Blocks that others have made: checked in full, run, and appended to the chain.

The format of the public `BlockchainTests` is read here, too: a genesis, blocks of which some are invalid, and what must
come of it. A proof of work is not checked; those tests have none.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vmloom import StateAccess
from vmloom.alloc import parse_alloc
from vmloom.errors import InputError, VmloomError
from vmloom.hashing import keccak256
from vmloom.hexadecimal import parse_hex, parse_number
from vmloom_evm import rlp
from vmloom_evm.block import BlockResult, InvalidBlock, SignedTransaction
from vmloom_evm.block.withdrawals import withdrawals_root
from vmloom_evm.commitment import ordered_root
from vmloom_evm.forks import FORKS, fork_named
from vmloom_evm.rlp import RlpError
from vmloom_evm.rules import Rules
from vmloom_evm.transaction.signing import Recover, recover_sender
from vmloom_evm.transaction.types import TransactionRefused

from .block import Block, EncodedBlock, decode_block
from .building import Draft, block_input, expected_difficulty, vms_of
from .errors import UnknownBlock
from .genesis import ForkSchedule, Genesis, schedule_of
from .header import Header, decode_header, validate_header
from .records import StoredBlock

if TYPE_CHECKING:
    from .chain import Chain

KEPT_BRANCH_BLOCKS: Final = 256
MAX_OMMERS: Final = 2
OMMER_DEPTH: Final = 6
"""Generations back to the parent of an ommer."""


def split_blocks(data: bytes) -> Iterator[bytes]:
    """The blocks of a file that has them one behind the other, as clients export them. Raises `InvalidBlock`."""
    at = 0
    while at < len(data):
        try:
            _, _, end = rlp.extent(data, at, len(data))
        except RlpError as error:
            raise InvalidBlock(f"blocks: {error}") from None
        yield data[at:end]
        at = end


def import_file(chain: Chain, path: str | Path) -> int:
    """Import the blocks of a file, RLP one behind the other as clients export them; returns how many were new.

    Raises `InputError` for a file that cannot be read, and as `Chain.import_block`; blocks before that are kept.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise InputError(f"{path}: {error.strerror or error}") from None
    before = chain.head.number
    for block in split_blocks(data):
        chain.import_block(block)
    return chain.head.number - before


class Branches:
    """Blocks that are valid but not in the chain: those of other branches, of which one may become the heavier one."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._blocks: OrderedDict[bytes, tuple[bytes, bytes]] = OrderedDict()
        """Parent's hash and RLP by hash."""

    def add(self, data: bytes) -> Block:
        """See `Chain.import_block`; the chain's lock is held."""
        chain = self._chain
        header = _header_of(data)
        if header.parent_hash == chain.head.hash:
            return import_block(chain, data)
        with suppress(UnknownBlock):
            return chain.block(header.hash)
        ancestor, path = self._path(header)
        return self._try(ancestor, [*path, data])

    def _path(self, header: Header) -> tuple[int, list[bytes]]:
        """Number of the block in the chain where the branch begins, and its blocks before `header`."""
        path: list[bytes] = []
        at = header.parent_hash
        while True:
            with suppress(UnknownBlock):
                return self._chain.block(at).number, path
            if at not in self._blocks:
                raise UnknownBlock(
                    f"block {header.number} follows 0x{at.hex()}, which is neither in the chain nor in a branch"
                )
            at, data = self._blocks[at]
            path.insert(0, data)

    def _try(self, ancestor: int, path: list[bytes]) -> Block:
        """Run a branch, which shows whether it is valid; stay on it if it is heavier than the chain was, or longer."""
        chain = self._chain
        former = [chain.stored_block(number) for number in range(ancestor + 1, chain.head.number + 1)]
        weight = chain.head.total_difficulty, chain.head.number
        with chain.rewound(ancestor) as accept:
            try:
                block = [import_block(chain, data) for data in path][-1]
                if (block.total_difficulty, block.number) > weight:
                    accept()
                    for one in former:
                        self._keep(one.block.header, one.raw)
                    return block
            except VmloomError:
                self._restore(ancestor, former)
                raise
            self._restore(ancestor, former)
        self._keep(block.header, path[-1])
        return block

    def _restore(self, ancestor: int, former: list[StoredBlock]) -> None:
        self._chain.rewind(ancestor)
        for one in former:
            import_block(self._chain, one.raw)

    def _keep(self, header: Header, data: bytes) -> None:
        self._blocks[header.hash] = header.parent_hash, data
        while len(self._blocks) > KEPT_BRANCH_BLOCKS:
            self._blocks.popitem(last=False)


def import_block(chain: Chain, data: bytes) -> Block:
    """Append a block that follows the last one; the chain's lock is held. Raises as `Chain.import_block`."""
    parent = chain.head
    header = _header_of(data)
    fork = chain.genesis.schedule.fork_at(header.number, header.timestamp)
    rules = fork.rules
    block = decode_block(data, rules)
    difficulty = None
    if not rules.proof_of_stake and header.timestamp > parent.header.timestamp:
        difficulty = expected_difficulty(chain.genesis, parent.header, header.number, header.timestamp, rules)
    validate_header(header, parent.header, rules, difficulty=difficulty)
    _check_body(block, rules)
    _check_ommers(chain, block, parent)
    signed = list(_signed(block, rules, chain.chain_id, chain.evm.recovery(fork)))
    made = Draft(
        fork,
        block_input(chain.genesis, header, rules, withdrawals=block.withdrawals or (), ommers=block.ommers),
        header,
    )

    def check(state: StateAccess, result: BlockResult) -> StoredBlock:
        vms = vms_of(state, result, chain.evm.host.default_vm)
        return _checked(block, signed, result, vms, parent.total_difficulty)

    return chain.append_checked(made, signed, check)


def _header_of(data: bytes) -> Header:
    try:
        item = rlp.decode(data)
    except RlpError as error:
        raise InvalidBlock(f"block: {error}") from None
    if not isinstance(item, list) or not item:
        raise InvalidBlock("block: no list of header, transactions, ommers and withdrawals")
    return decode_header(item[0])


def _check_body(block: EncodedBlock, rules: Rules) -> None:
    header = block.header
    _agree("transactions_root", ordered_root(block.encoded), header.transactions_root)
    _agree("ommers_hash", keccak256(rlp.encode([one.items() for one in block.ommers])), header.ommers_hash)
    if (block.withdrawals is not None) != rules.withdrawals:
        raise InvalidBlock("withdrawals: missing" if rules.withdrawals else "withdrawals: this fork has none")
    if block.withdrawals is not None:
        _agree("withdrawals_root", withdrawals_root(block.withdrawals), header.withdrawals_root)


def _check_ommers(chain: Chain, block: EncodedBlock, parent: Block) -> None:
    """Yellow paper, section 11.1: recent, not in the chain, not included before, no more than two."""
    if not block.ommers:
        return
    if len(block.ommers) > MAX_OMMERS:
        raise InvalidBlock(f"ommers: {len(block.ommers)}, at most {MAX_OMMERS} are allowed")
    ancestors: dict[bytes, Header] = {}
    used: set[bytes] = set()
    number = parent.number
    while number >= max(chain.genesis.number, parent.number - OMMER_DEPTH):
        ancestor = chain.block(number)
        ancestors[ancestor.hash] = ancestor.header
        used.update(one.hash for one in ancestor.ommers)
        number -= 1
    for ommer in block.ommers:
        if ommer.hash in used:
            raise InvalidBlock(f"ommers: 0x{ommer.hash.hex()} is included already")
        used.add(ommer.hash)
        origin = ancestors.get(ommer.parent_hash)
        if ommer.hash in ancestors or origin is None or ommer.parent_hash == block.header.parent_hash:
            raise InvalidBlock(f"ommers: 0x{ommer.hash.hex()} is no stale block of the last {OMMER_DEPTH} generations")
        rules = chain.genesis.schedule.fork_at(ommer.number, ommer.timestamp).rules
        difficulty = None
        if ommer.timestamp > origin.timestamp:
            difficulty = expected_difficulty(chain.genesis, origin, origin.number + 1, ommer.timestamp, rules)
        validate_header(ommer, origin, rules, difficulty=difficulty)


def _signed(block: EncodedBlock, rules: Rules, chain_id: int, recover: Recover) -> Iterator[SignedTransaction]:
    for index, (tx, encoded) in enumerate(zip(block.transactions, block.encoded, strict=True)):
        try:
            sender = recover_sender(tx, rules, chain_id, encoded=encoded, recover=recover)
        except TransactionRefused as cause:
            raise InvalidBlock(f"transactions[{index}]: {cause}") from cause
        yield SignedTransaction(tx, sender, encoded, keccak256(encoded))


def _checked(
    block: EncodedBlock, signed: list[SignedTransaction], result: BlockResult, vms: list[str], difficulty_before: int
) -> StoredBlock:
    """The block, once it is known that its header says what came of it. Raises `InvalidBlock`."""
    header = block.header
    for one in result.rejected:
        raise InvalidBlock(f"transactions[{one.index}]: {one.cause}") from one.cause
    _agree("gas_used", result.gas_used, header.gas_used)
    _agree("logs_bloom", result.logs_bloom, header.logs_bloom)
    _agree("receipts_root", result.receipts_root, header.receipts_root)
    _agree("blob_gas_used", result.blob_gas_used, header.blob_gas_used)
    _agree("requests_hash", result.requests_hash, header.requests_hash)
    _agree("state_root", result.state_root, header.state_root)
    return StoredBlock(
        Block(
            header,
            block.transactions,
            tuple(one.sender for one in signed),
            tuple(one.hash for one in signed),
            block.ommers,
            block.withdrawals,
            difficulty_before + header.difficulty,
            len(block.raw),
        ),
        block.raw,
        block.encoded,
        result.encoded_receipts,
        tuple(vms),
    )


def _agree(what: str, found: object, said: object) -> None:
    if found != said:
        shown = ["0x" + one.hex() if isinstance(one, bytes) else str(one) for one in (said, found)]
        raise InvalidBlock(f"{what}: the header says {shown[0]}, but it is {shown[1]}")


# Tests in the public format


@dataclass(frozen=True, slots=True)
class BlockTest:
    """A test: blocks on a genesis, each with why it is invalid (empty if it is not), and the last valid block's hash.

    `post` are accounts that must be there at the end, None where the test does not say.
    """

    name: str
    genesis: Genesis
    genesis_hash: bytes
    blocks: tuple[tuple[bytes, str], ...]
    last_hash: bytes
    post: Mapping[str, Any] | None


_TRANSITION: Final = re.compile(r"(?P<old>\w+?)To(?P<new>\w+)At(?P<time>Time)?(?P<start>[0-9]{1,18})(?P<thousand>k?)")
_GLACIERS: Final = {"muirglacier": "istanbul", "arrowglacier": "london", "grayglacier": "london"}


def read_block_tests(values: object) -> Iterator[BlockTest]:
    """The tests of a file in the public format, as JSON. Raises `InputError` and `UnknownRevision`."""
    if not isinstance(values, Mapping):
        raise InputError("a file of block tests is a JSON object")
    for name, test in values.items():
        if name != "_info":
            yield _block_test(name, test)


def network_schedule(network: str) -> ForkSchedule:
    """The schedule that test suites call `network`, such as `Cancun` or `ShanghaiToCancunAtTime15k`.

    Raises `UnknownRevision`, `InputError` for a change at a total difficulty.
    """
    change = _TRANSITION.fullmatch(network)
    if change is None:
        if "AtDiff" in network:
            raise InputError(f"network {network}: a change at a total difficulty is not supported")
        glacier = network.lower()
        if glacier in _GLACIERS:
            names = {"muirglacier": "muir_glacier", "arrowglacier": "arrow_glacier", "grayglacier": "gray_glacier"}
            return ForkSchedule(((0, _GLACIERS[glacier]),), glaciers=((0, names[glacier]),))
        return schedule_of(network)
    start = int(change["start"]) * (1_000 if change["thousand"] else 1)
    old, new = schedule_of(change["old"]), fork_named(change["new"]).name
    if change["time"]:
        return ForkSchedule(old.blocks, (*old.timestamps, (start, new)))
    return ForkSchedule((*old.blocks, (start, new)))


def _block_test(name: str, test: Mapping[str, Any]) -> BlockTest:
    header = test["genesisBlockHeader"]
    config = test.get("config", {})
    schedule = network_schedule(test["network"])
    amended = {
        fork_named(fork).name: {
            "blob_target": parse_number(one["target"], "target"),
            "blob_limit": parse_number(one["max"], "max"),
            "blob_fee_fraction": parse_number(one["baseFeeUpdateFraction"], "baseFeeUpdateFraction"),
        }
        for fork, one in config.get("blobSchedule", {}).items()
        if fork.lower() in FORKS
    }
    genesis = Genesis(
        chain_id=parse_number(config.get("chainid", 1), "chainid"),
        schedule=ForkSchedule(schedule.blocks, schedule.timestamps, schedule.glaciers, amended),
        state=parse_alloc(test["pre"], "pre"),
        number=_number(header, "number"),
        timestamp=_number(header, "timestamp"),
        gas_limit=_number(header, "gasLimit"),
        difficulty=_number(header, "difficulty"),
        coinbase=parse_hex(header["coinbase"], "coinbase", size=20),
        extra_data=parse_hex(header["extraData"], "extraData"),
        mix_hash=parse_hex(header["mixHash"], "mixHash", size=32),
        nonce=parse_hex(header["nonce"], "nonce", size=8),
        parent_hash=parse_hex(header["parentHash"], "parentHash", size=32),
        base_fee=_number(header, "baseFeePerGas"),
        excess_blob_gas=_number(header, "excessBlobGas"),
        blob_gas_used=_number(header, "blobGasUsed"),
        parent_beacon_root=parse_hex(header.get("parentBeaconBlockRoot", "00" * 32), "parentBeaconBlockRoot", size=32),
    )
    return BlockTest(
        name,
        genesis,
        parse_hex(header["hash"], "hash", size=32),
        tuple((parse_hex(block["rlp"], "rlp"), _expectation(block)) for block in test["blocks"]),
        parse_hex(test["lastblockhash"], "lastblockhash", size=32),
        test.get("postState"),
    )


def _expectation(block: Mapping[str, Any]) -> str:
    """Why a block is invalid; older files name the network in the key, or leave out the header and say no reason."""
    reasons = [str(value) for key, value in block.items() if key.startswith("expectException")]
    return reasons[0] if reasons else "" if "blockHeader" in block else "invalid"


def _number(values: Mapping[str, Any], key: str) -> int:
    return parse_number(values.get(key, 0), key)


def run_block_test(chain: Chain, test: BlockTest) -> None:
    """Import the blocks of a test into a chain that has begun with its genesis.

    Raises `InvalidBlock` where a valid block is refused, an invalid one accepted, or the last one is not what it should
    be.
    """
    if chain.block("earliest").hash != test.genesis_hash:
        raise InvalidBlock(f"{test.name}: the genesis block is another one: 0x{chain.block('earliest').hash.hex()}")
    for index, (data, expected) in enumerate(test.blocks):
        try:
            chain.import_block(data)
        except VmloomError as error:
            if not expected:
                raise InvalidBlock(f"{test.name}: block {index} is refused: {error}") from error
            continue
        if expected:
            raise InvalidBlock(f"{test.name}: block {index} is accepted, though it is invalid: {expected}")
    if chain.head.hash != test.last_hash:
        raise InvalidBlock(
            f"{test.name}: the last block is 0x{chain.head.hash.hex()}, it should be 0x{test.last_hash.hex()}"
        )
