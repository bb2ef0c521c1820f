"""The assembler and the world that tests are written with: what they say is what runs."""

from __future__ import annotations

import pytest
from vmloom_evm import assembly
from vmloom_evm.assembly import (
    Bytecode,
    add,
    call,
    create2,
    deployer,
    dup,
    gas,
    invalid,
    jump,
    jumpi,
    label,
    mark,
    mstore,
    mstore_bytes,
    mul,
    op,
    pop,
    push,
    raw,
    repeat,
    ret_bytes,
    ret_top,
    revert,
    sload,
    sstore,
    stop,
    swap,
)
from vmloom_evm.testing import CONTRACT, EvmUnderTest


def test_instruction_is_code_and_a_function_of_its_operands() -> None:
    assert bytes(add).hex() == "01"
    assert bytes(add(1, 2)).hex() == "6002" + "6001" + "01"  # the first operand is on top
    assert bytes(add(1)).hex() == "6001" + "01"  # the other is on the stack already
    assert bytes(add(mul(2, 3), 4)).hex() == "6004" + "6003" + "6002" + "02" + "01"


def test_too_many_operands_are_refused() -> None:
    with pytest.raises(TypeError, match="ADD> takes 2 operands, 3 given"):
        add(1, 2, 3)


@pytest.mark.parametrize(
    ("operand", "code"),
    [
        (0, "6000"),
        (255, "60ff"),
        (256, "610100"),
        (2**256 - 1, "7f" + "ff" * 32),
        (b"\0\1", "610001"),
        (bytes(20), "73" + "00" * 20),
        (stop, "00"),
    ],
)
def test_push_is_as_short_as_the_operand(operand: assembly.Operand, code: str) -> None:
    assert bytes(push(operand)).hex() == code


def test_push_of_a_given_size() -> None:
    assert bytes(push(1, 4)).hex() == "6300000001"
    with pytest.raises(ValueError, match="256 does not fit 1 bytes"):
        push(256, 1)


@pytest.mark.parametrize("operand", [-1, 2**256, b"", bytes(33)])
def test_what_no_word_holds_is_refused(operand: assembly.Operand) -> None:
    with pytest.raises(ValueError):
        push(operand)


def test_labels_lead_forwards_and_backwards() -> None:
    program = label("back") + jumpi("on", 1) + jump("back") + label("on")
    assert bytes(program).hex() == "5b" + "6001" + "61000b" + "57" + "610000" + "56" + "5b"


def test_mark_names_data_without_a_jumpdest() -> None:
    assert bytes(push("data") + mark("data") + raw("c0ffee")).hex() == "610003c0ffee"


def test_label_that_is_missing_or_stands_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="no label 'there'"):
        bytes(jump("there"))
    with pytest.raises(ValueError, match="label 'here' stands twice"):
        bytes(label("here") * 2)


def test_call_names_its_operands() -> None:
    code = call(b"\xaa" * 20, gas=1, value=2, input=(3, 4), output=(5, 6))
    assert bytes(code).hex() == "6006" + "6005" + "6004" + "6003" + "6002" + "73" + "aa" * 20 + "6001" + "f1"
    assert bytes(call(1))[-2:] == bytes(gas + op("CALL"))


def test_dup_and_swap_are_counted_from_1() -> None:
    assert (bytes(dup(1)), bytes(dup(16)), bytes(swap(1)), bytes(swap(16))) == (b"\x80", b"\x8f", b"\x90", b"\x9f")


def test_push_is_no_plain_instruction() -> None:
    with pytest.raises(KeyError, match="PUSH2 has immediate bytes"):
        op("PUSH2")
    with pytest.raises(KeyError):
        op("JUMPSUB")


def test_listing_has_offsets_operands_and_jump_destinations() -> None:
    assert str(label("x") + push(7) + sstore + invalid).split("\n") == [
        "0000  JUMPDEST  ; jump destination",
        "0001  PUSH1 0x07",
        "0003  SSTORE",
        "0004  INVALID 0xfe",
    ]
    assert repr(push(7) + pop) == "<Bytecode PUSH1 0x07; POP>"
    assert repr(pop) == "<Op POP>"


def test_every_named_instruction_is_called_as_in_the_table() -> None:
    named = {name: one for name, one in vars(assembly).items() if isinstance(one, assembly.Op)}
    assert named.pop("prevrandao") == named["difficulty"]
    wrong = [name for name, one in named.items() if repr(one) != f"<Op {name.rstrip('_').upper()}>"]
    assert not wrong
    assert len(named) > 80


def test_operand_that_is_code_must_not_be_mistaken_for_an_addition() -> None:
    with pytest.raises(TypeError):
        add + 1  # type: ignore[operator]


def test_phrases_do_what_they_say(evm: EvmUnderTest) -> None:
    assert evm.run(ret_top(5)).output_int == 5
    assert evm.run(push(6) + ret_top()).output_int == 6
    assert evm.run(ret_bytes(b"x" * 70)).output == b"x" * 70
    assert evm.value_of(push(1) + repeat(8, swap(1) + mul(2) + swap(1))) == 256
    assert evm.run(mstore_bytes(b"ab", 3) + assembly.return_(3, 2)).output == b"ab"
    created = evm.run(assembly.create_from(deployer(ret_top(9)), salt=1) + ret_top()).output[12:]
    assert evm.code(created) == bytes(ret_top(9))


def test_repeated_phrases_do_not_share_labels(evm: EvmUnderTest) -> None:
    program = push(0) + repeat(2, repeat(3, dup(3) + add(1) + swap(3) + pop))
    # Two counters lie above the number: the inner one, the outer one, the number.
    assert evm.value_of(program) == 6
    assert bytes(repeat(0, invalid)) == b""


# The world


def test_world_counts_value_nonce_and_storage(evm: EvmUnderTest) -> None:
    account = evm.deploy(stop, balance=5, nonce=7, storage={1: 2})
    assert (evm.balance(account), evm.nonce(account), evm.storage(account, 1)) == (5, 7, 2)
    assert evm.deploy() != evm.deploy()
    evm.run(sstore(0, 1), value=3)
    assert (evm.balance(CONTRACT), evm.storage(CONTRACT, 0), evm.nonce(CONTRACT)) == (3, 1, 1)
    evm.run(sload(0), balance=1)
    assert evm.balance(CONTRACT) == 1


def test_output_of_a_run_that_halted_is_no_number(evm: EvmUnderTest) -> None:
    with pytest.raises(AssertionError, match="invalid opcode"):
        assert evm.run(invalid).output_int == 0
    assert evm.run(mstore(0, 4) + revert(0, 32)).output_int == 4
    with pytest.raises(AssertionError, match="out of gas"):
        evm.gas_of(stop * 0 + push(1), gas=2)


def test_another_fork_has_a_state_of_its_own(evm: EvmUnderTest) -> None:
    account = evm.deploy(stop)
    other = evm.at("berlin")
    assert (evm.fork, other.fork) == ("osaka", "berlin")
    assert not other.exists(account)


def test_report_shows_the_program_and_the_end_of_its_trace(evm: EvmUnderTest) -> None:
    assert evm.report() == "nothing has run"
    fresh = evm.at("berlin")
    fresh.run(sstore(0, 1) + repeat(30, Bytecode()) + add, gas=99_999)
    report = evm.report().split("\n")  # of the last run of the family
    assert report[0].startswith(f"fork berlin, engine {evm.vm.config.engine}: stack underflow, 99999 gas used")
    assert report[1] == "99999 gas, 0 wei, depth 0, input 0x"
    assert "0004  SSTORE" in report
    assert report[-1].startswith('{"output":"","gasUsed":"0x1869f"')
    assert any('"opName":"ADD"' in line for line in report)
    assert any("lines of trace" in line for line in report)
    assert fresh.storage(CONTRACT, 0) == 0


def test_report_of_a_transaction_shows_it(evm: EvmUnderTest) -> None:
    evm.transact(evm.deploy(create2(0, 0, 0, 0) + invalid))
    report = evm.report()
    assert "Transaction(" in report
    assert "CREATE2" in report
    assert "invalid opcode" in report
