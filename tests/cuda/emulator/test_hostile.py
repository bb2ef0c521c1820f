"""Text that is no PTX, or no good PTX, gives an error that names a line: no other exception, and no endless loop."""

from __future__ import annotations

import random

import pytest
from vmloom_cuda.emulator import DeviceMemory, Emulator, EmulatorFault, PtxError

from .programs import HEAD

LOOP = """
.global .align 8 .b8 table[16] = {1, 2, 3};
.func (.param .b64 r) f(.param .b64 f_0)
{
	.reg .b64 %rd<3>;
	ld.param.b64 %rd1, [f_0];
	add.s64 %rd2, %rd1, 1;
	st.param.b64 [r], %rd2;
	ret;
}
.visible .entry k(
	.param .u64 k_0,
	.param .u64 .ptr .global .align 8 k_1
)
.maxntid 128, 1, 1
{
	.local .align 16 .b8 __local_depot0[32];
	.reg .b64 %SP;
	.reg .pred %p<3>;
	.reg .b32 %r<6>;
	.reg .b64 %rd<9>;
	mov.b64 %SP, __local_depot0;
	ld.param.b64 %rd1, [k_1];
	cvta.to.global.u64 %rd2, %rd1;
	mov.u32 %r1, %tid.x;
	mov.b32 %r2, 3;
$L__BB0_1:
	.pragma "nounroll";
	{ // callseq 0, 0
	.param .b64 param0;
	st.param.b64 [param0], %rd2;
	.param .b64 retval0;
	call.uni (retval0), f, (param0);
	ld.param.b64 %rd3, [retval0];
	} // callseq 0
	add.s32 %r2, %r2, -1;
	setp.ne.b32 %p1, %r2, 0;
	@%p1 bra $L__BB0_1;
$targets: .branchtargets $L__BB0_2, $L__BB0_3;
	brx.idx %r2, $targets;
$L__BB0_2:
	st.global.b64 [%rd2+8], %rd3;
$L__BB0_3:
	ret;
}
"""


def test_the_program_itself_runs() -> None:
    emulator = Emulator(HEAD + LOOP)
    address = emulator.memory.allocate(16)
    emulator.launch("k", 1, (address,))
    assert int.from_bytes(emulator.memory.read(address + 8, 8), "little") == address + 1


def outcome(text: str) -> str:
    """What loading a text and running what it has comes to. Any other exception is a fault of the emulator."""
    try:
        emulator = Emulator(text, step_limit=2_000)
        for kernel in emulator.kernels:
            address = emulator.memory.allocate(64)
            emulator.run(kernel, [address for _ in emulator.parameters(kernel)])
    except (PtxError, EmulatorFault, ValueError) as error:
        return str(error)
    return "it ran"


def sound(said: str) -> bool:
    """Whether it ran, or whoever wrote the text is told where to look. An address may be too large for a parameter."""
    return said == "it ran" or "PTX line" in said or "bits do not hold" in said


def test_text_that_ends_anywhere() -> None:
    text = HEAD + LOOP
    for end in range(0, len(text), 3):
        assert sound(outcome(text[:end]))


def test_text_with_something_else_in_it() -> None:
    """Tokens left out, doubled, exchanged for others, and letters changed, at random but always the same."""
    rng = random.Random(8)
    words = LOOP.split(" ")
    for _ in range(600):
        changed = list(words)
        for _ in range(rng.randrange(1, 4)):
            place = rng.randrange(len(changed))
            match rng.randrange(4):
                case 0:
                    del changed[place]
                case 1:
                    changed[place] = rng.choice(words)
                case 2:
                    changed.insert(place, changed[place])
                case _:
                    word = list(changed[place]) or ["x"]
                    word[rng.randrange(len(word))] = rng.choice("%$.;,{}[]()0189afx_@!-+\n\0\u00e9")
                    changed[place] = "".join(word)
        assert sound(outcome(HEAD + " ".join(changed)))


def body(text: str) -> str:
    return (
        f"{HEAD}.visible .entry k() {{ .reg .b32 %r<4>; .reg .b64 %d<4>; .reg .pred %p<4>; .reg .b16 %h<4>;\n{text} }}"
    )


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "line 1"),
        ("add.u32 %r9, %r1, %r2; ret;", "'%r9' is not declared"),
        ("add.u32 %d1, %r1, %r2; ret;", "makes 32 bits, and '%d1' has 64"),
        ("add.u64 %d1, %d1, %r2; ret;", "takes 64 bits, and '%r2' has 32"),
        ("add.u32 5, %r1, %r2; ret;", "goes to no register"),
        ("add.u32 %r1, %r2; ret;", "has 2 operands"),
        ("add %r1, %r2, %r3; ret;", "has 0 types, not 1"),
        ("add.u128 %r1, %r2, %r3; ret;", r"\.u128 is not known here"),
        ("add.wide.u32 %r1, %r2, %r3; ret;", r"\.wide is not known here"),
        ("addc.u16 %h1, %h2, %h3; ret;", "no form of 16 bits"),
        ("mul.u32 %r1, %r2, %r3; ret;", r"needs one of \.lo, \.hi, \.wide"),
        ("mul.lo.hi.u32 %r1, %r2, %r3; ret;", r"needs one of \.lo, \.hi, \.wide"),
        ("setp.lt.b32 %p1, %r2, %r3; ret;", "no instruction"),
        ("setp.lo.s32 %p1, %r2, %r3; ret;", "no instruction"),
        ("setp.u32 %p1, %r2, %r3; ret;", "compares nothing"),
        ("setp.lt.and.u32 %p1, %r2, %r3; ret;", "has 3 operands"),
        ("add.f32 %r1, %r2, %r3; ret;", "floating point is not emulated"),
        ("mov.f32 %r1, 0f3F800000; ret;", "floating-point constants are not emulated"),
        ("add.u32 %r1, %r2, 0x10000000000000000; ret;", "larger than 64 bits"),
        ("bar.sync 0; ret;", "cannot wait for one another"),
        ("shfl.sync.idx.b32 %r1, %r2, 0, 31, -1; ret;", "cannot wait for one another"),
        ("ld.shared.u32 %r1, [%d1]; ret;", r"\.shared is not known here"),
        ("ld.global.u32 %r1, %d1; ret;", "has no address"),
        ("ld.global.u32 %r1, [%r1]; ret;", "takes 64 bits, and '%r1' has 32"),
        ("ld.global.u64 %r1, [%d1]; ret;", "makes 64 bits, and '%r1' has 32"),
        ("ld.global.v2.u32 {%r1, %r2, %r3}, [%d1]; ret;", "has 3 elements, not 2"),
        ("ld.global.u32 %r1, [nowhere]; ret;", "'nowhere' is not defined"),
        ("ld.param.u32 %r1, [nowhere]; ret;", "'nowhere' is no parameter"),
        ("{ .param .b32 a; st.param.b64 [a], %d1; } ret;", "has no 8 bytes at 0 of 4"),
        ("{ .param .b64 a; } st.param.b64 [a], %d1; ret;", "'a' is no parameter"),
        ("st.const.u32 [%d1], %r1; ret;", "constants are not written to"),
        ("bra $nowhere; ret;", "is no label"),
        ("bra %r1; ret;", "without a label"),
        ("ret; $end: }", "nothing follows|not emulated here|is not PTX|expected"),
        ("bra $end; $end:", "nothing follows the label"),
        ("add.u32 %r1, %r2, %r3;", "control runs out of 'k'"),
        ("@%p1 ret;", "control runs out of 'k'"),
        ("@%r1 ret; ret;", "takes 1 bits, and '%r1' has 32"),
        ("$a: ret; $a: ret;", "'\\$a' is defined twice"),
        ("brx.idx %r1, $t; ret;", "no list of branch targets"),
        ("call g; ret;", "no function that can be called"),
        ("call k; ret;", "no function that can be called"),
        ("call (%d1), k; ret;", "only parameters are emulated in a call"),
        ("mov.u32 %r1, %smoke.x; ret;", "'%smoke.x' is not emulated"),
        ("mov.u16 %h1, %tid.x; ret;", "has no 16 bits"),
        ("mov.u64 %d1, k_0; ret;", "'k_0' is not defined"),
        ("lop3.b32 %r1, %r1, %r2, %r3, 256; ret;", "a table of 8 bits"),
        ("cvt.sat.u32.u16 %r1, %h1; ret;", "no number is too large"),
        ("tex.1d.v4.s32.s32 {%r1, %r2, %r3, %r1}, [t, {%r1}]; ret;", "expected"),
        (".reg .b32 %r<9>; ret;", "'%r' is declared twice"),
        (".local .b8 many[1000000]; ret;", "more than 524288 bytes of local memory"),
        (".local .b8 many[99999999999]; ret;", "an array of 99999999999 elements"),
        (".local .align 3 .b8 many[9]; ret;", "an alignment to 3"),
        (".shared .b8 many[9]; ret;", "not emulated in a function"),
        ("{{{{" * 20, "braces nested too deep"),
        ("ret", "expected a number, found '}'"),
        ("\u00e9;", "is not PTX"),
    ],
)
def test_reasons(text: str, reason: str) -> None:
    with pytest.raises(PtxError, match=reason) as caught:
        Emulator(body(text) if text else "nonsense")
    assert 1 <= caught.value.line <= 6


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (".extern .func f;", "defined elsewhere"),
        (".shared .b8 x[4];", "threads run one after the other"),
        (".global .b8 x[2] = {1, 2, 3};", "has 2 elements, and 3 values"),
        (".global .b64 x = y;", "'y' is not defined"),
        (".global .b8 x; .global .b8 x;", "defined twice"),
        (".global .b8 x[];", "without a size"),
        (".global .b64 x[100]; .global .b64 y[100];", "'y' does not fit into memory"),
        (".global x;", "without a type"),
        (".address_size 32", "64 bits"),
        (".func f() { ret; } .func f() { ret; }", "defined twice"),
        (".alias a, b;", "'.alias' is not emulated here"),
        (".func (.param .b32 a, .param .b32 b) f() { ret; }", "more than one result"),
    ],
)
def test_reasons_outside_of_functions(text: str, reason: str) -> None:
    with pytest.raises(PtxError, match=reason):
        Emulator(HEAD + text, DeviceMemory(1500))
