"""The examples of the instructions' first description, as they stand there but for the paths of the imports.

Each example is followed by what its comments promise. Where the description's examples go on from one another, the
later ones take the imports of the first.
"""

from __future__ import annotations

import pytest
from vmloom_prozvm.bytecode import Bytecode
from vmloom_prozvm.jit import JITCompiler
from vmloom_prozvm.optimizer import BytecodeOptimizer
from vmloom_prozvm.vm import VM

HEXADECIMAL = set("0123456789abcdef")


def test_block_hashing(capsys: pytest.CaptureFixture[str]) -> None:
    # Create bytecode
    bytecode = Bytecode()
    block_data = {"index": 1, "transactions": ["tx1", "tx2"], "timestamp": 1234567890}
    bytecode.add_constant(block_data)
    bytecode.add_instruction("LOAD_CONST", 0)
    bytecode.add_instruction("HASH_BLOCK")

    # Execute
    vm = VM()
    block_hash = vm.execute(bytecode)
    print(f"Block hash: {block_hash}")  # 64-character SHA-256 hash

    assert isinstance(block_hash, str)
    assert len(block_hash) == 64
    assert set(block_hash) <= HEXADECIMAL
    assert capsys.readouterr().out == f"Block hash: {block_hash}\n"


def test_merkle_tree(capsys: pytest.CaptureFixture[str]) -> None:
    # Calculate Merkle root of transactions
    bytecode = Bytecode()
    transactions = ["tx1", "tx2", "tx3", "tx4"]

    # Push transactions onto stack
    for i, tx in enumerate(transactions):
        bytecode.add_constant(tx)
        bytecode.add_instruction("LOAD_CONST", i)

    # Calculate Merkle root
    bytecode.add_instruction("MERKLE_ROOT", len(transactions))

    vm = VM()
    merkle_root = vm.execute(bytecode)
    print(f"Merkle root: {merkle_root}")

    assert isinstance(merkle_root, str)
    assert len(merkle_root) == 64
    assert set(merkle_root) <= HEXADECIMAL
    assert capsys.readouterr().out == f"Merkle root: {merkle_root}\n"


def test_transaction_with_state() -> None:
    # Transaction: Transfer tokens
    bytecode = Bytecode()
    bytecode.add_constant("alice_balance")
    bytecode.add_constant("bob_balance")
    bytecode.add_constant(1000)
    bytecode.add_constant(100)

    # Begin transaction
    bytecode.add_instruction("TX_BEGIN")

    # Deduct from Alice
    bytecode.add_instruction("STATE_READ", 0)  # Read alice_balance
    bytecode.add_instruction("LOAD_CONST", 3)  # Amount to transfer
    bytecode.add_instruction("SUB")  # Subtract
    bytecode.add_instruction("STATE_WRITE", 0)  # Write back

    # Add to Bob
    bytecode.add_instruction("STATE_READ", 1)  # Read bob_balance
    bytecode.add_instruction("LOAD_CONST", 3)  # Amount to transfer
    bytecode.add_instruction("ADD")  # Add
    bytecode.add_instruction("STATE_WRITE", 1)  # Write back

    # Commit transaction
    bytecode.add_instruction("TX_COMMIT")

    vm = VM()
    # Set initial balances
    vm.env["_blockchain_state"] = {"alice_balance": 1000, "bob_balance": 500}
    vm.execute(bytecode)

    assert vm.env["_blockchain_state"] == {"alice_balance": 900, "bob_balance": 600}


def test_gas_metering(capsys: pytest.CaptureFixture[str]) -> None:
    # Smart contract with gas limits
    bytecode = Bytecode()
    bytecode.add_constant("counter")
    bytecode.add_constant(1)

    # Set gas limit
    vm = VM()
    vm.env["_gas_remaining"] = 1000

    # Charge gas for operations
    bytecode.add_instruction("GAS_CHARGE", 50)  # Charge 50 gas
    bytecode.add_instruction("LOAD_CONST", 1)
    bytecode.add_instruction("GAS_CHARGE", 100)  # Charge 100 gas
    bytecode.add_instruction("STATE_WRITE", 0)
    bytecode.add_instruction("GAS_CHARGE", 50)  # Charge 50 gas

    result = vm.execute(bytecode)
    print(f"Gas remaining: {vm.env['_gas_remaining']}")  # 800

    assert result is None
    assert capsys.readouterr().out == "Gas remaining: 800\n"
    assert vm.env["_blockchain_state"] == {"counter": 1}  # outside a transaction, which only the workbench allows


def test_immutable_ledger(capsys: pytest.CaptureFixture[str]) -> None:
    # Append audit trail to ledger
    bytecode = Bytecode()

    # Create audit entry
    entry = {"action": "token_transfer", "from": "alice", "to": "bob", "amount": 100}
    bytecode.add_constant(entry)
    bytecode.add_instruction("LOAD_CONST", 0)
    bytecode.add_instruction("LEDGER_APPEND")

    vm = VM()
    vm.execute(bytecode)

    # Ledger entries are immutable and timestamped
    ledger = vm.env.get("_ledger", [])
    print(f"Ledger entries: {len(ledger)}")
    print(f"Entry timestamp: {ledger[0]['timestamp']}")

    timestamp = ledger[0]["timestamp"]
    assert isinstance(timestamp, int)
    assert capsys.readouterr().out == f"Ledger entries: 1\nEntry timestamp: {timestamp}\n"
    assert ledger[0] == {**entry, "timestamp": timestamp}
    with pytest.raises(TypeError):
        ledger[0]["amount"] = 0
    assert "timestamp" not in entry


def test_viewing_bytecode_disassembly() -> None:
    bytecode = Bytecode()  # of `let x = 10; let y = 20; x + y`, which a compiler of that language would give
    for constant in (10, "x", 20, "y"):
        bytecode.add_constant(constant)
    bytecode.add_instruction("LOAD_CONST", 0)
    bytecode.add_instruction("STORE_NAME", 1)
    bytecode.add_instruction("LOAD_CONST", 2)
    bytecode.add_instruction("STORE_NAME", 3)
    bytecode.add_instruction("LOAD_NAME", 1)
    bytecode.add_instruction("LOAD_NAME", 3)
    bytecode.add_instruction("ADD")

    shown = """\
Bytecode Object (7 instructions, 4 constants)
============================================================

Constants:
    0: 10
    1: 'x'
    2: 20
    3: 'y'

Instructions:
     0  LOAD_CONST            0
     1  STORE_NAME            1
     2  LOAD_CONST            2
     3  STORE_NAME            3
     4  LOAD_NAME             1
     5  LOAD_NAME             3
     6  ADD"""
    lines = bytecode.disassemble().rstrip("\n").split("\n")
    assert [line.rstrip() for line in lines] == shown.split("\n")
    assert VM().execute(bytecode) == 30


def hot_bytecode() -> Bytecode:
    """Some code for the examples that name theirs only: 10 + 20."""
    bytecode = Bytecode()
    bytecode.add_constant(10)
    bytecode.add_constant(20)
    bytecode.add_instruction("LOAD_CONST", 0)
    bytecode.add_instruction("LOAD_CONST", 1)
    bytecode.add_instruction("ADD")
    bytecode.add_instruction("RETURN")
    return bytecode


def test_hot_path_detection() -> None:
    bytecode = hot_bytecode()

    # Code is tracked for every execution
    vm = VM(use_jit=True, jit_threshold=100)

    # After 100 executions, code is automatically JIT-compiled
    for _ in range(200):
        result = vm.execute(bytecode)  # First 100: bytecode, Next 100: JIT-native
        assert result == 30

    assert vm.get_jit_stats()["jit_executions"] == 100


def test_mining_loop(capsys: pytest.CaptureFixture[str]) -> None:
    vm = VM(use_jit=True, jit_threshold=50)

    # Mining simulation: repeated hashing
    mining_bytecode = Bytecode()
    mining_bytecode.add_constant("block_header_data")
    mining_bytecode.add_constant(0)  # nonce
    mining_bytecode.add_instruction("LOAD_CONST", 0)
    mining_bytecode.add_instruction("LOAD_CONST", 1)
    mining_bytecode.add_instruction("HASH_BLOCK")
    mining_bytecode.add_instruction("GAS_CHARGE", 10)
    mining_bytecode.add_instruction("RETURN")

    # First 50 executions: Tier 1 bytecode
    # After 50: Automatically JIT-compiled to Tier 2
    for nonce in range(1000):
        block_hash = vm.execute(mining_bytecode)
        assert isinstance(block_hash, str)
        if block_hash.startswith("0000"):
            print(f"Block mined! Nonce: {nonce}")
            break

    # Check JIT statistics
    stats = vm.get_jit_stats()
    print(f"JIT Executions: {stats['jit_executions']}")
    print(f"Hot Paths Detected: {stats['hot_paths_detected']}")
    print(f"Cache Hits: {stats['cache_hits']}")

    assert stats["jit_executions"] == 950
    assert stats["hot_paths_detected"] == 1
    assert capsys.readouterr().out.startswith("JIT Executions: 950\nHot Paths Detected: 1\nCache Hits: ")
    assert len(block_hash) == 64


def transfer_bytecode() -> Bytecode:
    # Smart contract: token transfer with gas metering
    contract_bytecode = Bytecode()
    contract_bytecode.add_constant("from_balance")
    contract_bytecode.add_constant("to_balance")
    contract_bytecode.add_constant(100)  # transfer amount

    contract_bytecode.add_instruction("GAS_CHARGE", 5)  # Gas: state read
    contract_bytecode.add_instruction("STATE_READ", 0)  # Read from_balance
    contract_bytecode.add_instruction("LOAD_CONST", 2)  # Load 100
    contract_bytecode.add_instruction("GTE")  # Check sufficient balance
    contract_bytecode.add_instruction("JUMP_IF_FALSE", 15)  # Revert if insufficient

    contract_bytecode.add_instruction("GAS_CHARGE", 10)  # Gas: state writes
    contract_bytecode.add_instruction("TX_BEGIN")
    contract_bytecode.add_instruction("STATE_READ", 0)
    contract_bytecode.add_instruction("LOAD_CONST", 2)
    contract_bytecode.add_instruction("SUB")
    contract_bytecode.add_instruction("STATE_WRITE", 0)  # from_balance -= 100
    contract_bytecode.add_instruction("STATE_READ", 1)
    contract_bytecode.add_instruction("LOAD_CONST", 2)
    contract_bytecode.add_instruction("ADD")
    contract_bytecode.add_instruction("STATE_WRITE", 1)  # to_balance += 100
    contract_bytecode.add_instruction("TX_COMMIT")
    contract_bytecode.add_instruction("RETURN")
    return contract_bytecode


def test_smart_contract_execution(capsys: pytest.CaptureFixture[str]) -> None:
    contract_bytecode = transfer_bytecode()
    vm = VM(use_jit=True, jit_threshold=25)
    vm.env["_blockchain_state"] = {"from_balance": 1000, "to_balance": 0}

    # Execute 100 times (JIT kicks in after 25)
    for _ in range(100):
        vm.execute(contract_bytecode)

    stats = vm.get_jit_stats()
    print(f"Total Compilations: {stats['compilations']}")
    print(f"Average Speedup: {stats['speedup_factor']}x")

    assert capsys.readouterr().out.startswith("Total Compilations: 1\nAverage Speedup: ")
    assert stats["jit_executions"] == 75
    # Ten transfers; then the balance does not suffice, and the jump goes to a commit that has nothing to commit.
    assert vm.env["_blockchain_state"] == {"from_balance": 0, "to_balance": 1000}


def test_manual_jit_control(capsys: pytest.CaptureFixture[str]) -> None:
    my_bytecode = hot_bytecode()
    vm = VM()
    results = []

    # Create JIT compiler with custom threshold
    jit = JITCompiler(hot_threshold=10, debug=True)

    # Manually track executions
    for i in range(15):
        bytecode_hash = jit.track_execution(my_bytecode)

        if jit.should_compile(bytecode_hash):
            print(f"🔥 Hot path detected at execution {i}!")
            compiled_fn = jit.compile_hot_path(my_bytecode)

            # Execute compiled version
            result = compiled_fn(vm, stack=[], env={})
            results.append(result)

    # Get detailed statistics
    stats = jit.get_stats()
    print(f"Compilation Time: {stats['compilation_time']:.6f}s")
    print(f"Tier Promotions: {stats['tier_promotions']}")

    assert results
    assert set(results) == {30}
    output = capsys.readouterr().out
    assert "Hot path detected at execution 9!" in output
    assert "Hot path detected at execution 8!" not in output
    assert "Tier Promotions: 1\n" in output
    assert stats["compilations"] == 1


def test_jit_statistics_api() -> None:
    vm = VM(use_jit=True)

    # Get statistics dictionary
    stats = vm.get_jit_stats()

    # Available metrics:
    stats["hot_paths_detected"]  # Number of hot paths found
    stats["compilations"]  # Total compilations performed
    stats["compilation_time"]  # Total time spent compiling (seconds)
    stats["jit_executions"]  # Executions via JIT-compiled code
    stats["cache_hits"]  # Compilation cache hits
    stats["cache_misses"]  # Compilation cache misses
    stats["cache_size"]  # Current cache size
    stats["tier_promotions"]  # Code promoted from Tier 1 → Tier 2

    # Clear JIT cache
    vm.clear_jit_cache()

    assert vm.get_jit_stats()["cache_size"] == 0


def test_configuration_options() -> None:
    # Enable/disable JIT
    vm = VM(use_jit=True)  # Default: True
    assert vm.use_jit is VM().use_jit is True

    # Custom hot path threshold
    vm = VM(use_jit=True, jit_threshold=50)  # Default: 100
    assert (vm.jit_threshold, VM().jit_threshold) == (50, 100)

    # Debug mode (print JIT activity)
    jit = JITCompiler(debug=True)
    assert jit.debug


def test_optimizer_usage(capsys: pytest.CaptureFixture[str]) -> None:
    # Create optimizer
    optimizer = BytecodeOptimizer(
        level=1,  # 0=none, 1=basic, 2=aggressive, 3=experimental
        max_passes=5,  # Maximum optimization passes
        debug=False,  # Enable debug output
    )

    # Optimize bytecode
    instructions = [
        ("LOAD_CONST", 0),  # 10
        ("LOAD_CONST", 1),  # 20
        ("ADD", None),
        ("RETURN", None),
    ]
    constants = [10, 20]

    optimized, updated_constants = optimizer.optimize(instructions, constants)

    # Result:
    assert optimized == [("LOAD_CONST", 2), ("RETURN", None)]
    assert updated_constants == [10, 20, 30]  # 30 added by constant folding

    # Get statistics
    stats = optimizer.get_stats()
    print(f"Size reduction: {stats['size_reduction_pct']:.1f}%")
    print(f"Constant folds: {stats['constant_folds']}")
    print(f"Total optimizations: {stats['total_optimizations']}")

    printed = capsys.readouterr().out
    assert printed.startswith("Size reduction: 50.0%\nConstant folds: 1\nTotal optimizations: ")
    assert constants == [10, 20]


def test_optimizer_statistics_api() -> None:
    optimizer = BytecodeOptimizer()
    optimizer.optimize([("LOAD_CONST", 0), ("POP", None), ("RETURN", None)], [1])

    stats = optimizer.get_stats()

    # Returns:
    keys = {
        "original_size",
        "optimized_size",
        "size_reduction_pct",
        "total_optimizations",
        "constant_folds",
        "dead_code_removed",
        "peephole_opts",
        "instructions_combined",
        "passes_run",
    }
    assert keys <= set(stats)


def test_jit_with_optimizer() -> None:
    bytecode = hot_bytecode()

    # JIT with optimizer (level 1 by default)
    vm = VM(use_jit=True, optimization_level=1)

    # Optimizer runs automatically before JIT compilation
    for _ in range(200):
        result = vm.execute(bytecode)
        assert result == 30

    # Check JIT stats
    stats = vm.get_jit_stats()
    # Bytecode was optimized before compilation!
    assert (stats["compilations"], stats["jit_executions"]) == (1, 100)
    assert VM().optimization_level == 1


def test_store_const_is_load_and_store_in_one() -> None:
    before, after = Bytecode(), Bytecode()
    for bytecode in (before, after):
        bytecode.add_constant("value")
        bytecode.add_constant("name")
    before.add_instruction("LOAD_CONST", 0)  # value
    before.add_instruction("STORE_NAME", 1)  # name

    after.add_instruction("STORE_CONST", (1, 0))  # (name_idx, const_idx) - 50% reduction

    for bytecode in (before, after):
        bytecode.add_instruction("LOAD_NAME", 1)
        assert VM().execute(bytecode) == "value"
