"""CREATE and CREATE2: addresses, what init code sees, what a deployment costs, and all the ways to fail."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from vmloom.hashing import create2_address, create_address, keccak256
from vmloom_evm.assembly import (
    Bytecode,
    address,
    balance,
    call,
    calldatasize,
    caller,
    callvalue,
    codesize,
    create,
    create2,
    create_from,
    deployer,
    extcodehash,
    extcodesize,
    gas,
    invalid,
    mload,
    mstore,
    mstore_bytes,
    op,
    pop,
    push,
    raw,
    ret_bytes,
    ret_top,
    return_,
    returndatacopy,
    returndatasize,
    revert,
    sload,
    sstore,
    stop,
)
from vmloom_evm.testing import CONTRACT, EvmUnderTest

MAX = 2**256 - 1
Creating = Callable[[Bytecode], Bytecode]


def by_nonce(init_code: Bytecode) -> Bytecode:
    return create_from(init_code)


def by_salt(init_code: Bytecode) -> Bytecode:
    return create_from(init_code, salt=5)


BOTH = pytest.mark.parametrize("creating", [by_nonce, by_salt], ids=["CREATE", "CREATE2"])


def contract(evm: EvmUnderTest, creating: Bytecode, **how: int) -> bytes:
    """The address that a program pushes."""
    return evm.value_of(creating, **how).to_bytes(32, "big")[12:]


def home(creating: Creating, init_code: Bytecode, nonce: int = 1) -> bytes:
    """Where the contract that the program at CONTRACT creates must come to be."""
    return create_address(CONTRACT, nonce) if creating is by_nonce else create2_address(CONTRACT, 5, bytes(init_code))


# Addresses


@pytest.mark.parametrize(
    ("sender", "nonce", "created"),
    [  # go-ethereum's vectors
        ("970e8128ab834e8eac17ab8e3812f010678cf791", 0, "333c3310824b7c685133f2bedb2ca4b8b4df633d"),
        ("970e8128ab834e8eac17ab8e3812f010678cf791", 1, "8bda78331c916a08481428e4b07c96d3e916d165"),
        ("970e8128ab834e8eac17ab8e3812f010678cf791", 2, "c9ddedf451bc62ce88bf9292afb13df35b670699"),
    ],
)
def test_address_follows_from_creator_and_nonce(sender: str, nonce: int, created: str) -> None:
    assert create_address(bytes.fromhex(sender), nonce).hex() == created


@pytest.mark.parametrize(
    ("sender", "salt", "init_code", "created"),
    [  # the examples of EIP-1014
        ("00" * 20, 0, "00", "4d1a2e2bb4f88f0250f26ffff098b0b30b26bf38"),
        ("deadbeef" + "00" * 16, 0, "00", "b928f69bb1d91cd65274e3c79d8986362984fda3"),
        ("deadbeef" + "00" * 16, 0xFEED << 144, "00", "d04116cdd17bebe565eb2422f2497e06cc1c9833"),
        ("00" * 20, 0, "deadbeef", "70f2b2914a2a4b783faefb75f459a580616fcb5e"),
        ("00" * 16 + "deadbeef", 0xCAFEBABE, "deadbeef", "60f3f640a8508fc6a86d45df051962668e1e8ac7"),
        ("00" * 16 + "deadbeef", 0xCAFEBABE, "deadbeef" * 11, "1d8bfdc5d46dc4f61d6b6115972536ebe6a8854c"),
        ("00" * 20, 0, "", "e33c0c7f7df4809055c3eba6c09cfe4baf1bd9e0"),
    ],
)
def test_address_follows_from_creator_salt_and_init_code(sender: str, salt: int, init_code: str, created: str) -> None:
    assert create2_address(bytes.fromhex(sender), salt, bytes.fromhex(init_code)).hex() == created


@BOTH
def test_address_is_pushed_and_the_code_stands_there(evm: EvmUnderTest, creating: Creating) -> None:
    runtime = ret_top(42)
    created = contract(evm, creating(deployer(runtime)))
    assert created == home(creating, deployer(runtime))
    assert evm.code(created) == bytes(runtime)


def test_next_creation_has_the_next_nonce(evm: EvmUnderTest) -> None:
    evm.run(pop(create(0, 0, 0)) + pop(create(0, 0, 0)))
    assert evm.exists(create_address(CONTRACT, 1))
    assert evm.exists(create_address(CONTRACT, 2))
    assert evm.nonce(CONTRACT) == 3


def test_creation_through_delegatecall_is_by_the_caller(evm: EvmUnderTest) -> None:
    from vmloom_evm.assembly import delegatecall

    library = evm.deploy(pop(create(0, 0, 0)))
    evm.run(delegatecall(library))
    assert evm.exists(create_address(CONTRACT, 1))
    assert (evm.nonce(CONTRACT), evm.nonce(library)) == (2, 1)


# What init code sees


@BOTH
def test_init_code_runs_as_the_new_account_with_no_input(evm: EvmUnderTest, creating: Creating) -> None:
    init = sstore(0, address) + sstore(1, caller) + sstore(2, calldatasize) + sstore(3, codesize) + sstore(4, callvalue)
    created = contract(evm, creating(init))
    seen = [evm.storage(created, slot) for slot in range(5)]
    assert seen == [int.from_bytes(created, "big"), int.from_bytes(CONTRACT, "big"), 0, len(init), 0]


@BOTH
def test_new_account_has_no_code_while_its_init_code_runs(evm: EvmUnderTest, creating: Creating) -> None:
    init = sstore(0, extcodesize(address)) + sstore(1, extcodehash(address)) + return_(0, 7)
    created = contract(evm, creating(init))
    assert [evm.storage(created, slot) for slot in range(2)] == [0, int.from_bytes(keccak256(b""), "big")]
    assert evm.code(created) == bytes(7)


@pytest.mark.parametrize(("fork", "nonce"), [("frontier", 0), ("tangerine_whistle", 0), ("spurious_dragon", 1)])
def test_new_contract_begins_with_nonce_1_since_eip_161(evm: EvmUnderTest, fork: str, nonce: int) -> None:
    evm = evm.at(fork)
    created = contract(evm, create(0, 0, 0))
    assert (evm.exists(created), evm.nonce(created)) == (True, nonce)


def test_init_code_may_create(evm: EvmUnderTest) -> None:
    created = contract(evm, create_from(pop(create(0, 0, 0))))
    assert evm.exists(create_address(created, 1))
    assert evm.nonce(created) == 2


@BOTH
def test_value_goes_to_the_new_account_beside_what_it_had(evm: EvmUnderTest, creating: Creating) -> None:
    init = sstore(0, callvalue) + sstore(1, balance(address))
    evm.deploy(at=home(creating, init), nonce=0, balance=100)
    value = 7
    program = create_from(init, value=value) if creating is by_nonce else create_from(init, value=value, salt=5)
    created = contract(evm, program, balance=10)
    assert [evm.storage(created, slot) for slot in range(2)] == [7, 107]
    assert (evm.balance(created), evm.balance(CONTRACT)) == (107, 3)


# Return data


@BOTH
def test_return_data_is_empty_after_success(evm: EvmUnderTest, creating: Creating) -> None:
    talker = evm.deploy(ret_bytes(b"hello"))
    assert evm.value_of(pop(call(talker)) + pop(creating(deployer(ret_top(1)))) + returndatasize) == 0


@BOTH
def test_return_data_is_that_of_a_revert(evm: EvmUnderTest, creating: Creating) -> None:
    init = mstore_bytes(b"no!") + revert(0, 3)
    program = mstore(64, creating(init)) + returndatacopy(0, 0, returndatasize) + return_(0, 3)
    assert evm.run(program).output == b"no!"
    assert evm.value_of(creating(init)) == 0


@BOTH
def test_return_data_is_empty_after_a_halt(evm: EvmUnderTest, creating: Creating) -> None:
    talker = evm.deploy(ret_bytes(b"hello"))
    program = pop(call(talker)) + mstore(64, creating(mstore(0, 1) + invalid)) + mstore(96, returndatasize)
    assert evm.run(program + return_(64, 64)).words == [0, 0]


# Gas


@pytest.mark.parametrize("size", [0, 1, 32, 33, 1024])
@pytest.mark.parametrize(("fork", "word"), [("istanbul", 0), ("paris", 0), ("shanghai", 2), ("osaka", 2)])
def test_create_costs_by_words_of_init_code_since_eip_3860(evm: EvmUnderTest, fork: str, word: int, size: int) -> None:
    evm = evm.at(fork)
    words = (size + 31) // 32
    memory = 3 * words + words * words // 512
    assert evm.gas_of(create(0, 0, size)) == 9 + 32_000 + memory + word * words


@pytest.mark.parametrize("size", [0, 1, 32, 33, 1024])
@pytest.mark.parametrize(("fork", "word"), [("constantinople", 6), ("paris", 6), ("shanghai", 8), ("osaka", 8)])
def test_create2_pays_for_hashing_its_init_code(evm: EvmUnderTest, fork: str, word: int, size: int) -> None:
    evm = evm.at(fork)
    words = (size + 31) // 32
    memory = 3 * words + words * words // 512
    assert evm.gas_of(create2(0, 0, size, 0)) == 12 + 32_000 + memory + word * words


@BOTH
def test_init_code_gets_all_but_one_64th(evm: EvmUnderTest, creating: Creating) -> None:
    init = sstore(0, gas)
    setup = evm.gas_of(mstore_bytes(init))
    outcome = evm.run(creating(init) + ret_top(), gas=1_000_000)
    operands, hashing = (3, 0) if creating is by_nonce else (4, 6)
    left = 1_000_000 - setup - 3 * operands - 32_000 - hashing - 2  # one word of init code
    assert evm.storage(outcome.output[12:], 0) == left - left // 64 - 2


def test_before_eip_150_init_code_gets_everything(evm: EvmUnderTest) -> None:
    evm = evm.at("homestead")
    init = sstore(0, gas)
    outcome = evm.run(create_from(init) + ret_top(), gas=1_000_000)
    left = 1_000_000 - evm.gas_of(mstore_bytes(init)) - 9 - 32_000
    assert evm.storage(outcome.output[12:], 0) == left - 2


@pytest.mark.parametrize("size", [0, 1, 100])
def test_deployment_costs_200_a_byte(evm: EvmUnderTest, size: int) -> None:
    nothing = evm.gas_of(create_from(return_(0, push(0, 1))))
    words = (size + 31) // 32
    assert evm.gas_of(create_from(return_(0, push(size, 1)))) == nothing + 200 * size + 3 * words


@pytest.mark.parametrize(("fork", "kept"), [("frontier", True), ("tangerine_whistle", False), ("osaka", False)])
def test_code_that_is_not_paid_for_leaves_an_empty_contract_in_frontier_only(
    evm: EvmUnderTest, fork: str, kept: bool
) -> None:
    evm = evm.at(fork)
    outcome = evm.run(create_from(return_(0, 1_000)) + ret_top(), gas=150_000)
    created = create_address(CONTRACT, 1)
    assert outcome.output_int == (int.from_bytes(created, "big") if kept else 0)
    assert (evm.exists(created), evm.code(created)) == (kept, b"")
    assert (outcome.gas_used < 50_000) == kept


def test_deposit_that_fails_in_homestead_burns_the_gas_of_the_caller_too(evm: EvmUnderTest) -> None:
    """No 64th stayed behind then."""
    evm = evm.at("homestead")
    outcome = evm.run(create_from(return_(0, 1_000)) + ret_top(), gas=150_000)
    assert (outcome.error, evm.exists(create_address(CONTRACT, 1))) == ("out of gas", False)


def test_failed_deposit_burns_all_gas_of_the_frame_and_its_refund(evm: EvmUnderTest) -> None:
    refunding = evm.deploy(sstore(0, 0), storage={0: 1})
    init = pop(call(refunding)) + return_(0, 2_000)
    outcome = evm.run(create_from(init), gas=200_000)
    assert outcome.success
    assert outcome.gas_refunded == 0
    assert outcome.gas_used > 190_000
    assert evm.storage(refunding, 0) == 1


# Limits


@pytest.mark.parametrize(("fork", "limit"), [("spurious_dragon", 24_576), ("osaka", 24_576)])
def test_code_may_have_24576_bytes_since_eip_170(evm: EvmUnderTest, fork: str, limit: int) -> None:
    evm = evm.at(fork)
    assert len(evm.code(contract(evm, create_from(return_(0, limit))))) == limit
    assert evm.value_of(create_from(return_(0, limit + 1))) == 0


def test_code_has_no_limit_before_eip_170(evm: EvmUnderTest) -> None:
    evm = evm.at("tangerine_whistle")
    assert len(evm.code(contract(evm, create_from(return_(0, 30_000))))) == 30_000


@pytest.mark.parametrize("opcode", ["CREATE", "CREATE2"])
def test_init_code_may_have_49152_bytes_since_eip_3860(evm: EvmUnderTest, opcode: str) -> None:
    def creating(size: int) -> Bytecode:
        return create(0, 0, size) if opcode == "CREATE" else create2(0, 0, size, 0)

    assert evm.value_of(creating(49_152)) != 0
    outcome = evm.run(creating(49_153))
    assert (outcome.error, outcome.gas_used) == ("max initcode size exceeded", 10_000_000)
    assert evm.at("paris").value_of(creating(49_153)) != 0


@BOTH
@pytest.mark.parametrize(("fork", "allowed"), [("berlin", True), ("london", False), ("osaka", False)])
def test_code_must_not_begin_with_ef_since_eip_3541(
    evm: EvmUnderTest, fork: str, allowed: bool, creating: Creating
) -> None:
    evm = evm.at(fork)
    assert (evm.value_of(creating(ret_bytes(b"\xef"))) != 0) == allowed
    assert (evm.value_of(creating(ret_bytes(b"\xef\x01\x00" + bytes(20)))) != 0) == allowed
    assert evm.value_of(creating(ret_bytes(b"\xfe\xef"))) != 0


def test_code_size_limit_can_be_configured(evm: EvmUnderTest) -> None:
    assert evm.configured(create_contract_limit=10).value_of(create_from(return_(0, 11))) == 0
    assert evm.configured(create_contract_limit=0).value_of(create_from(return_(0, 30_000)), gas=20_000_000) != 0


# Collisions (EIP-684, EIP-7610)


@BOTH
@pytest.mark.parametrize("there", [{"nonce": 1, "code": b""}, {"nonce": 0, "code": b"\x01"}], ids=["nonce", "code"])
def test_creation_onto_a_contract_fails_burns_the_gas_and_counts_the_nonce(
    evm: EvmUnderTest, creating: Creating, there: dict[str, object]
) -> None:
    place = home(creating, stop)
    evm.deploy(at=place, balance=3, **there)  # type: ignore[arg-type]
    before = evm.contents()[place]
    outcome = evm.run(creating(stop) + ret_top(), gas=640_000)
    assert outcome.output_int == 0
    assert 590_000 < outcome.gas_used < 640_000
    assert evm.nonce(CONTRACT) == 2
    assert evm.contents()[place] == before


@BOTH
def test_creation_onto_an_account_with_nothing_but_wei_succeeds(evm: EvmUnderTest, creating: Creating) -> None:
    place = home(creating, stop)
    evm.deploy(at=place, balance=3, nonce=0)
    assert contract(evm, creating(stop)) == place
    assert evm.balance(place) == 3


@BOTH
@pytest.mark.parametrize("switch", [False, True])
def test_creation_onto_storage_fails_where_eip_7610_is_switched_on(
    evm: EvmUnderTest, creating: Creating, switch: bool
) -> None:
    evm = evm.configured(rules={"reject_storage_collision": switch})
    place = home(creating, sstore(1, sload(0)))
    evm.deploy(at=place, nonce=0, storage={0: 9})
    assert (evm.value_of(creating(sstore(1, sload(0)))) == 0) == switch
    assert evm.storage(place, 0) == (9 if switch else 0)
    assert evm.storage(place, 1) == 0


def test_second_create2_with_the_same_salt_collides(evm: EvmUnderTest) -> None:
    program = mstore(32, by_salt(stop)) + mstore(64, by_salt(stop)) + return_(32, 64)
    first, second = evm.run(program).words
    assert first != 0
    assert second == 0


@BOTH
@pytest.mark.parametrize("outcome", ["success", "revert", "collision"])
def test_address_is_warm_afterwards_whatever_became_of_it(evm: EvmUnderTest, creating: Creating, outcome: str) -> None:
    init = revert(0, 0) if outcome == "revert" else stop
    place = home(creating, init)
    if outcome == "collision":
        evm.deploy(at=place)
    evm.state.commit()
    checkpoint = evm.state.snapshot()
    alone = evm.gas_of(pop(creating(init)))
    evm.state.revert(checkpoint)
    if outcome == "collision":  # which burns all but a 64th of whatever there is: look inside
        program = pop(creating(init)) + gas + pop(balance(place)) + gas + mstore(32) + mstore(0) + return_(0, 64)
        before, after = evm.run(program).words
        assert before - after == 3 + 100 + 2 + 2
    else:
        assert evm.gas_of(pop(creating(init)) + balance(place)) - alone == 3 + 100


# Failures


@BOTH
def test_failed_init_code_leaves_nothing_but_the_nonce(evm: EvmUnderTest, creating: Creating) -> None:
    for ending in (revert(0, 0), invalid):
        fresh = evm.at("osaka")
        init = sstore(0, 1) + ending
        assert fresh.value_of(create_from(init, value=2), balance=5) == 0
        assert not fresh.exists(create_address(CONTRACT, 1))
        assert (fresh.balance(CONTRACT), fresh.nonce(CONTRACT)) == (5, 2)


@BOTH
def test_static_frame_cannot_create_even_without_value(evm: EvmUnderTest, creating: Creating) -> None:
    assert evm.run(creating(stop), static=True).error == "write protection"


def test_nonce_counted_by_a_failed_frame_is_undone_with_it(evm: EvmUnderTest) -> None:
    maker = evm.deploy(pop(create(0, 0, 0)) + revert(0, 0))
    evm.run(call(maker))
    assert evm.nonce(maker) == 1
    assert not evm.exists(create_address(maker, 1))


@pytest.mark.parametrize(("offset", "size"), [(MAX, 1), (0, MAX), (2**64, 32)])
def test_init_code_beyond_all_memory_is_out_of_gas(evm: EvmUnderTest, offset: int, size: int) -> None:
    assert evm.run(create(0, offset, size)).error == "out of gas"
    assert evm.run(create2(0, offset, size, 0)).error == "out of gas"


def test_init_code_of_no_bytes_makes_an_empty_contract(evm: EvmUnderTest) -> None:
    created = contract(evm, create(0, MAX, 0))
    assert (evm.exists(created), evm.code(created), evm.nonce(created)) == (True, b"", 1)


def test_storage_written_by_init_code_stays(evm: EvmUnderTest) -> None:
    created = contract(evm, create_from(sstore(3, 4) + bytes_of(deployer(ret_top(sload(3))))))
    assert evm.storage(created, 3) == 4
    assert evm.value_of(pop(call(created, output=(0, 32))) + mload(0)) == 4


def bytes_of(code: Bytecode) -> Bytecode:
    """A deployer that stands behind other code: its offsets are relative to itself, so it is written out anew."""
    runtime = bytes(code)[15:]
    return mstore_bytes(runtime) + return_(0, len(runtime))


def test_deployer_copies_what_stands_behind_it() -> None:
    assert bytes(deployer(stop)).hex() == "6100016" + "1000f6000396100016000f300"
    assert bytes(deployer(raw("")))[:3] == bytes.fromhex("610000")
    assert bytes(op("CREATE")) == b"\xf0"
