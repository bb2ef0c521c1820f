"""Make `chain/genesis.json` and `chain/blocks.rlp`: a token, some transfers, and one that fails. `python make_chain.py`

Everything in them follows from this file, so they can be made again, byte for byte.
"""

from __future__ import annotations

import json
from pathlib import Path

from vmloom.hashing import create_address
from vmloom_evm.demo.token import TOKEN
from vmloom_node.chain import Chain, ChainOptions, TransactionRequest
from vmloom_node.chain.accounts import Accounts, derive_keys
from vmloom_node.chain.genesis import load_genesis
from vmloom_node.rpc import Dispatcher

FOLDER = Path(__file__).parent / "chain"
START = 1_700_000_000
"""The time of block 0; each block is twelve seconds after the one before."""


def genesis() -> dict[str, object]:
    """Geth's format: all forks up to Shanghai from the beginning, three accounts with 1,000 ether."""
    blocks = ("homestead", "eip150", "eip155", "eip158", "byzantium", "constantinople", "petersburg", "istanbul")
    forks = {f"{name}Block": 0 for name in (*blocks, "berlin", "london")}
    return {
        "config": {
            "chainId": 1234,
            **forks,
            "terminalTotalDifficulty": 0,
            "terminalTotalDifficultyPassed": True,
            "shanghaiTime": 0,
        },
        "timestamp": hex(START),
        "gasLimit": "0x1c9c380",
        "difficulty": "0x0",
        "baseFeePerGas": "0x3b9aca00",
        "alloc": {"0x" + one.hex(): {"balance": hex(1_000 * 10**18)} for one in accounts().addresses},
    }


def accounts() -> Accounts:
    """The first three of the phrase that all development nodes share."""
    return Accounts(derive_keys(count=3))


def main() -> None:
    """Write both files."""
    FOLDER.mkdir(exist_ok=True)
    path = FOLDER / "genesis.json"
    path.write_text(json.dumps(genesis(), indent=2) + "\n", "utf-8")
    known = accounts()
    chain = Chain(load_genesis(path), options=ChainOptions(mining="manual"), accounts=known)
    owner, friend, stranger = known.addresses
    token = create_address(owner, 0)
    steps = [
        (owner, None, TOKEN.code),
        (owner, token, TOKEN.encode("mint", (owner, 1_000))),
        (owner, token, TOKEN.encode("transfer", (friend, 30))),
        (stranger, token, TOKEN.encode("transfer", (friend, 1))),  # it has none, so this one fails
    ]
    for number, (sender, to, data) in enumerate(steps, 1):
        chain.send_request(TransactionRequest(sender=sender, to=to, data=data, gas_limit=1_000_000))
        chain.mine(timestamp=START + 12 * number)
    dispatcher = Dispatcher(chain)
    raw = [dispatcher.call("debug_getRawBlock", [hex(number)]) for number in range(1, len(steps) + 1)]
    (FOLDER / "blocks.rlp").write_bytes(b"".join(bytes.fromhex(one[2:]) for one in raw))


if __name__ == "__main__":
    main()
