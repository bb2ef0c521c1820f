"""The op table: instructions as the yellow paper prints them, what each costs in each fork, and the stack it needs.

Everything here is written from the yellow paper and the EIPs, not from the code.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from vmloom_evm.assembly import Bytecode, jump, jumpi, label, op, pop, push, raw
from vmloom_evm.forks import FORKS
from vmloom_evm.table import OPS
from vmloom_evm.testing import EvmUnderTest

from .conftest import ENGINES

YELLOW_PAPER = """
00 STOP 0 0
01 ADD 2 1
02 MUL 2 1
03 SUB 2 1
04 DIV 2 1
05 SDIV 2 1
06 MOD 2 1
07 SMOD 2 1
08 ADDMOD 3 1
09 MULMOD 3 1
0A EXP 2 1
0B SIGNEXTEND 2 1
10 LT 2 1
11 GT 2 1
12 SLT 2 1
13 SGT 2 1
14 EQ 2 1
15 ISZERO 1 1
16 AND 2 1
17 OR 2 1
18 XOR 2 1
19 NOT 1 1
1A BYTE 2 1
1B SHL 2 1
1C SHR 2 1
1D SAR 2 1
1E CLZ 1 1
20 KECCAK256 2 1
30 ADDRESS 0 1
31 BALANCE 1 1
32 ORIGIN 0 1
33 CALLER 0 1
34 CALLVALUE 0 1
35 CALLDATALOAD 1 1
36 CALLDATASIZE 0 1
37 CALLDATACOPY 3 0
38 CODESIZE 0 1
39 CODECOPY 3 0
3A GASPRICE 0 1
3B EXTCODESIZE 1 1
3C EXTCODECOPY 4 0
3D RETURNDATASIZE 0 1
3E RETURNDATACOPY 3 0
3F EXTCODEHASH 1 1
40 BLOCKHASH 1 1
41 COINBASE 0 1
42 TIMESTAMP 0 1
43 NUMBER 0 1
44 DIFFICULTY 0 1
45 GASLIMIT 0 1
46 CHAINID 0 1
47 SELFBALANCE 0 1
48 BASEFEE 0 1
49 BLOBHASH 1 1
4A BLOBBASEFEE 0 1
50 POP 1 0
51 MLOAD 1 1
52 MSTORE 2 0
53 MSTORE8 2 0
54 SLOAD 1 1
55 SSTORE 2 0
56 JUMP 1 0
57 JUMPI 2 0
58 PC 0 1
59 MSIZE 0 1
5A GAS 0 1
5B JUMPDEST 0 0
5C TLOAD 1 1
5D TSTORE 2 0
5E MCOPY 3 0
5F PUSH0 0 1
A0 LOG0 2 0
A1 LOG1 3 0
A2 LOG2 4 0
A3 LOG3 5 0
A4 LOG4 6 0
F0 CREATE 3 1
F1 CALL 7 1
F2 CALLCODE 7 1
F3 RETURN 2 0
F4 DELEGATECALL 6 1
F5 CREATE2 4 1
FA STATICCALL 6 1
FD REVERT 2 0
FF SELFDESTRUCT 1 0
"""
"""Opcode, mnemonic, items removed and items placed: appendix H.2 and the EIPs since. PUSH, DUP and SWAP are below."""

FIRST_FORK = {
    "DELEGATECALL": "homestead",  # EIP-7
    "REVERT": "byzantium",  # EIP-140
    "RETURNDATASIZE": "byzantium",  # EIP-211
    "RETURNDATACOPY": "byzantium",  # EIP-211
    "STATICCALL": "byzantium",  # EIP-214
    "SHL": "constantinople",  # EIP-145
    "SHR": "constantinople",
    "SAR": "constantinople",
    "CREATE2": "constantinople",  # EIP-1014
    "EXTCODEHASH": "constantinople",  # EIP-1052
    "CHAINID": "istanbul",  # EIP-1344
    "SELFBALANCE": "istanbul",  # EIP-1884
    "BASEFEE": "london",  # EIP-3198
    "PUSH0": "shanghai",  # EIP-3855
    "TLOAD": "cancun",  # EIP-1153
    "TSTORE": "cancun",
    "BLOBHASH": "cancun",  # EIP-4844
    "MCOPY": "cancun",  # EIP-5656
    "BLOBBASEFEE": "cancun",  # EIP-7516
    "CLZ": "osaka",  # EIP-7939
}
"""Instructions that Frontier does not have."""

COLD_ACCOUNT = ("berlin", 2_600)  # EIP-2929
Prices = list[tuple[str, int]]


def all_at(gas: int, names: str) -> dict[str, Prices]:
    return {name: [("frontier", gas)] for name in names.split()}


def numbered(gas: int, prefix: str, last: int) -> dict[str, Prices]:
    return {f"{prefix}{n}": [("frontier", gas)] for n in range(1, last + 1)}


COSTS: dict[str, Prices] = {
    # Appendix G: Wzero, Wbase, Wverylow, Wlow, Wmid, Whigh
    **all_at(0, "STOP RETURN REVERT"),
    **all_at(2, "ADDRESS ORIGIN CALLER CALLVALUE CALLDATASIZE CODESIZE GASPRICE COINBASE TIMESTAMP NUMBER DIFFICULTY"),
    **all_at(2, "GASLIMIT CHAINID RETURNDATASIZE POP PC MSIZE GAS BASEFEE BLOBBASEFEE PUSH0"),
    **all_at(3, "ADD SUB NOT LT GT SLT SGT EQ ISZERO AND OR XOR BYTE SHL SHR SAR CALLDATALOAD BLOBHASH"),
    **all_at(3, "CALLDATACOPY CODECOPY RETURNDATACOPY MCOPY"),
    **numbered(3, "PUSH", 32),
    **numbered(3, "DUP", 16),
    **numbered(3, "SWAP", 16),
    **all_at(5, "MUL DIV SDIV MOD SMOD SIGNEXTEND SELFBALANCE CLZ"),
    **all_at(8, "ADDMOD MULMOD JUMP"),
    **all_at(3 + 3, "MLOAD MSTORE MSTORE8"),  # and a word of memory
    "JUMPI": [("frontier", 10)],
    "JUMPDEST": [("frontier", 1)],
    "EXP": [("frontier", 10)],  # the exponent 0 has no bytes
    "KECCAK256": [("frontier", 30)],
    "BLOCKHASH": [("frontier", 20)],
    **{f"LOG{n}": [("frontier", 375 + 375 * n)] for n in range(5)},
    "CREATE": [("frontier", 32_000)],
    "CREATE2": [("frontier", 32_000)],
    "TLOAD": [("frontier", 100)],
    "TSTORE": [("frontier", 100)],
    # Prices that forks have changed
    "BALANCE": [("frontier", 20), ("tangerine_whistle", 400), ("istanbul", 700), COLD_ACCOUNT],  # EIP-150, EIP-1884
    "EXTCODESIZE": [("frontier", 20), ("tangerine_whistle", 700), COLD_ACCOUNT],
    "EXTCODECOPY": [("frontier", 20), ("tangerine_whistle", 700), COLD_ACCOUNT],
    "EXTCODEHASH": [("frontier", 400), ("istanbul", 700), COLD_ACCOUNT],
    "SLOAD": [("frontier", 50), ("tangerine_whistle", 200), ("istanbul", 800), ("berlin", 2_100)],
    # Writing 0 to an empty slot: a reset (Frontier), no change (EIP-1283), a reset again (EIP-1716), no change
    # (EIP-2200), no change of a cold slot (EIP-2929).
    "SSTORE": [
        *(("frontier", 5_000), ("constantinople", 200), ("petersburg", 5_000), ("istanbul", 800), ("berlin", 2_200))
    ],
    # Account 0 is not there, which costs 25,000 until only value brings an account about (EIP-161).
    "CALL": [*(("frontier", 40 + 25_000), ("tangerine_whistle", 700 + 25_000), ("spurious_dragon", 700), COLD_ACCOUNT)],
    "CALLCODE": [("frontier", 40), ("tangerine_whistle", 700), COLD_ACCOUNT],
    "DELEGATECALL": [("frontier", 40), ("tangerine_whistle", 700), COLD_ACCOUNT],
    "STATICCALL": [("frontier", 700), COLD_ACCOUNT],
    "SELFDESTRUCT": [
        *(("frontier", 0), ("tangerine_whistle", 5_000 + 25_000), ("spurious_dragon", 5_000), ("berlin", 7_600))
    ],
}
"""What an instruction costs whose operands are all 0, by the forks that changed it."""

HALTING = {"STOP", "RETURN", "REVERT", "SELFDESTRUCT"}
FORK_NAMES = list(FORKS)


def rows() -> Iterator[tuple[int, str, int, int]]:
    """The whole table: opcode, name, items removed, items placed."""
    for line in YELLOW_PAPER.split("\n"):
        if line:
            code, name, removed, placed = line.split()
            yield int(code, 16), name, int(removed), int(placed)
    for n in range(1, 33):
        yield 0x60 + n - 1, f"PUSH{n}", 0, 1
    for n in range(1, 17):
        yield 0x80 + n - 1, f"DUP{n}", n, n + 1
        yield 0x90 + n - 1, f"SWAP{n}", n + 1, n + 1


TABLE = sorted(rows())


def has(fork: str, name: str) -> bool:
    return FORK_NAMES.index(fork) >= FORK_NAMES.index(FIRST_FORK.get(name, "frontier"))


def cost(fork: str, name: str) -> int:
    return [gas for since, gas in COSTS[name] if FORK_NAMES.index(since) <= FORK_NAMES.index(fork)][-1]


def bare(name: str, code: int) -> Bytecode:
    """The instruction without operands; a PUSH with its data."""
    return raw(bytes([code]) + bytes(OPS[name].immediate))


def test_table_is_that_of_the_yellow_paper() -> None:
    printed = [
        f"{row.code:02X} {row.name} {row.pops} {row.pushes}" for row in sorted(OPS.values(), key=lambda row: row.code)
    ]
    assert printed == [f"{code:02X} {name} {removed} {placed}" for code, name, removed, placed in TABLE]


def test_push_takes_as_many_bytes_as_its_name_says() -> None:
    immediates = {row.name: row.immediate for row in OPS.values() if row.immediate}
    assert immediates == {f"PUSH{n}": n for n in range(1, 33)}


@pytest.mark.parametrize("fork", FORK_NAMES)
def test_every_instruction_costs_what_papers_say(evm: EvmUnderTest, fork: str) -> None:
    rows = [row for row in TABLE if has(fork, row[1]) and is_looked_at(evm, fork, row[0])]
    found = {name: measured(evm.at(fork), name, code, removed) for code, name, removed, _ in rows}
    assert rows
    assert found == {name: cost(fork, name) for _, name, _, _ in rows}


def is_looked_at(evm: EvmUnderTest, fork: str, code: int) -> bool:
    """Whether an opcode is tried on a fork. All are, but to compile two programs for each takes long.

    So the compiler of contracts gets all of the first fork and of the last one; of the others what differs from the
    fork before or in the one after, and so-manieth ones, others of each fork.
    """
    at = FORK_NAMES.index(fork)
    if evm.vm.engine != "jit" or at in (0, len(FORK_NAMES) - 1) or code % len(FORK_NAMES) == at:
        return True
    name = {code: name for code, name, _, _ in TABLE}.get(code, "")
    changes = {FIRST_FORK.get(name, "frontier"), *(since for since, _ in COSTS.get(name, ()))}
    return not changes.isdisjoint(FORK_NAMES[at : at + 2])


@pytest.mark.skipif("jit" not in ENGINES, reason="there is no compiler of contracts")
def test_what_changes_is_compiled_on_both_sides_of_the_change() -> None:
    evm = EvmUnderTest("jit")
    forks = {name: {fork for fork in FORK_NAMES if is_looked_at(evm, fork, code)} for code, name, _, _ in TABLE}
    changing = {"homestead", "tangerine_whistle", "petersburg", "istanbul", "berlin"}
    assert {FORK_NAMES[0], *changing, FORK_NAMES[-1]} <= forks["SLOAD"]
    assert {"paris", "shanghai"} <= forks["PUSH0"]
    assert min(map(len, forks.values())) >= 2


def measured(evm: EvmUnderTest, name: str, code: int, removed: int) -> int:
    """Gas of the instruction alone, its operands being 0."""
    if name in ("JUMP", "JUMPI"):
        program = jump("end") + label("end") if name == "JUMP" else jumpi("end", 1) + label("end")
        operands = push(0) * removed
        return evm.run(program).gas_used - evm.run(operands).gas_used - 1  # JUMPDEST
    operands = push(0) * removed
    return evm.run(operands + bare(name, code)).gas_used - evm.run(operands).gas_used


@pytest.mark.parametrize("fork", FORK_NAMES)
def test_every_opcode_that_the_fork_lacks_burns_all_gas(evm: EvmUnderTest, fork: str) -> None:
    evm = evm.at(fork)
    known = {code for code, name, _, _ in TABLE if has(fork, name)}
    codes = [code for code in range(256) if code not in known and is_looked_at(evm, fork, code)]
    assert codes
    for code in codes:
        outcome = evm.run(push(0) * 17 + raw(bytes([code])), gas=50_000)
        assert (outcome.error, outcome.gas_used) == ("invalid opcode", 50_000), hex(code)


@pytest.mark.parametrize(("code", "name", "removed"), [row[:3] for row in TABLE if row[2]])
def test_one_item_too_few_is_a_stack_underflow(evm: EvmUnderTest, code: int, name: str, removed: int) -> None:
    for depth in range(removed):
        outcome = evm.run(push(0) * depth + bare(name, code), gas=100_000)
        assert (outcome.error, outcome.gas_used) == ("stack underflow", 100_000)


@pytest.mark.parametrize(("code", "name", "removed", "placed"), TABLE)
def test_stack_holds_1024_items_and_no_more(evm: EvmUnderTest, code: int, name: str, removed: int, placed: int) -> None:
    growth = placed - removed
    full = push(0) * 1024 + bare(name, code)
    if name in ("JUMP", "JUMPI"):
        full = push(0) * (1024 - removed) + (jump("on") if name == "JUMP" else jumpi("on", 0)) + label("on")
    outcome = evm.run(full)
    if growth > 0:
        assert outcome.error == "stack limit reached"
        assert evm.run(push(0) * (1024 - growth) + bare(name, code)).error == ""
    else:
        assert outcome.error == ("execution reverted" if name == "REVERT" else "")


@pytest.mark.parametrize("name", [name for _, name, removed, placed in TABLE if name not in HALTING])
def test_stack_is_as_high_afterwards_as_the_table_says(evm: EvmUnderTest, name: str) -> None:
    """An item too many or too few would show as the wrong word at the bottom."""
    code, _, removed, placed = next(row for row in TABLE if row[1] == name)
    operands = push(0) * removed
    body = operands + bare(name, code)
    if name in ("JUMP", "JUMPI"):
        body = (jump("on") if name == "JUMP" else jumpi("on", 0)) + label("on")
    assert evm.value_of(push(0xB0770) + body + pop * placed) == 0xB0770
    assert evm.run(body + pop * placed + pop).error == "stack underflow"


def test_instruction_without_its_gas_does_not_run(evm: EvmUnderTest) -> None:
    for code, name, removed, _ in TABLE:
        price = cost("osaka", name)
        if price and name not in ("JUMP", "JUMPI"):
            operands = push(0) * removed
            before = evm.run(operands).gas_used
            program = operands + bare(name, code)
            assert evm.run(program, gas=before + price - 1).error == "out of gas", name
            # EIP-2200 keeps SSTORE from running on a call's stipend.
            enough = max(price, 2_301) if name == "SSTORE" else price
            assert evm.run(program, gas=before + enough).error == "", name


def test_assembler_knows_every_instruction() -> None:
    from vmloom_evm import assembly

    codes = {bytes(one) for one in vars(assembly).values() if isinstance(one, assembly.Op)}
    calls = ("CALL", "CALLCODE", "DELEGATECALL", "STATICCALL")  # functions with named arguments
    missing = [name for code, name, _, _ in TABLE if bytes([code]) not in codes and name not in calls]
    assert missing == [name for _, name, _, _ in TABLE if name.rstrip("0123456789") in ("PUSH", "DUP", "SWAP")][1:]
    assert bytes(op("CALL")) == b"\xf1"
