"""Rewrites a module so that it counts gas and stack height by itself.

Called once per module, before it is compiled, with a module that the engine's validator accepted as it came:
instrumented first, a hostile module could reach the globals that are added here. Wherever and however it is compiled,
the result runs the same, pays the same and stops at the same place. Import indices and function indices stay.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from vmloom.errors import CodeError, CodeTooLarge, InvalidCode

from ..binary.code import Instruction, instructions
from ..binary.module import I32, I64, Body, Export, FunctionType, Global, GlobalType, Kind, Module
from .blocks import BLOCK, END, IF, LOOP, RETURN, blocks
from .costs import DEFAULT, WasmGasCosts
from .heights import Signatures, highest
from .sequences import Meters, branch, signed, signed_word

RESERVED_PREFIX: Final = "vmloom:"
"""Exports of a contract must not begin like this."""

GAS_EXPORT: Final = "vmloom:gas_left"
"""Mutable i64 global: unsigned units of the table. 0 at first: set it before each run."""

EXHAUSTED_EXPORT: Final = "vmloom:exhausted"
"""Mutable i32 global: an `Exhausted`. Clear it before each run."""

STACK_EXPORT: Final = "vmloom:stack_left"
"""Mutable i32 global: unsigned words. Set it before a second run, as a trap leaves it where it was."""

START_EXPORT: Final = "vmloom:start"
"""The start function, where there is one: call it once after setting the globals. Nothing runs unmetered."""

FUNCTION_GAS_EXPORT: Final = "vmloom:gas:"
"""With `profile`, and the index of a function after it: mutable i64 global, unsigned units that this function itself
paid, not what it called. It grows from run to run."""

FUNCTION_CALLS_EXPORT: Final = "vmloom:calls:"
"""With `profile`, and the index of a function after it: mutable i64 global, how many frames it had."""

FRAME_WORDS: Final = 4
"""Words that each frame takes beside its parameters, locals and operands: the return address and the like."""

_CALLS = frozenset((0x10, 0x11))
INSTRUCTIONS_PER_WORD: Final = 4
"""Each so many instructions take a word of the frame: the compiler keeps what is computed twice from the first time to
the second, beside what the code itself keeps. At most 1.34 bytes for an instruction were seen; a word stands for 32."""

_LARGEST_FRAME = (1 << 32) - 1


def instrument(
    module: Module,
    costs: WasmGasCosts = DEFAULT,
    frame_words: int = FRAME_WORDS,
    *,
    stack_words: int = 0,
    profile: bool = False,
) -> Module:
    """Return `module` with metering by `costs`.

    Stack: each call takes `frame_words` >= 0 words, those of its values, and one for every `INSTRUCTIONS_PER_WORD`
    instructions of the function, of the `stack_words` (32 bits) that an instance begins with.

    Gas: each metered block is paid before it runs (see `WasmGasCosts.pays_ahead`), and bulk instructions before they
    run by the size that they are given, even if they then trap or fail. What can not be paid traps with GAS in
    `EXHAUSTED_EXPORT` and is not deducted. A frame that does not fit traps with STACK there. Functions with loops keep
    the counter to themselves between calls: after a trap of the contract's own it may say more than was left.

    With `profile`, two more globals for each function of the module's own count what it pays and how often it is
    called, for `read_profile`. Such a module is slower, and does, pays and stops as it does without them.

    Raises:
        InvalidCode: an export has a reserved name.
        ProhibitedOpcode: an instruction without a price; names the function.
        CodeTooLarge: a frame of more than 2^32 - 1 words.
    """
    for export in module.exports:
        if export.name.startswith(RESERVED_PREFIX):
            raise InvalidCode(f"export {export.name!r}: names that begin with {RESERVED_PREFIX!r} are reserved")
    signatures = Signatures(module)
    first = len(module.imported(Kind.GLOBAL)) + len(module.globals)
    rewriter = _Rewriter(signatures, costs, frame_words)
    meters = Meters(first, first + 1, first + 2)
    bodies = []
    for position, body in enumerate(module.bodies):
        index = signatures.imported + position
        if profile:
            counter = first + 3 + 2 * position
            meters = meters._replace(function_gas=counter, function_calls=counter + 1)
        try:
            bodies.append(rewriter.rewrite(body, signatures.of_function(index), meters))
        except CodeError as error:
            error.args = (f"function {index}: {error}",)
            raise
    profiled = range(signatures.imported, len(signatures.functions)) if profile else range(0)
    meter_globals = (_counter(I64), _counter(I32), _counter(I32, stack_words))
    return replace(
        module,
        types=tuple(rewriter.types),
        globals=(*module.globals, *meter_globals, *[_counter(I64)] * (2 * len(profiled))),
        exports=(*module.exports, *_exports(module, first, profiled)),
        start=None,
        bodies=tuple(bodies),
    )


def _counter(value: int, start: int = 0) -> Global:
    """A mutable global of the type `value` that begins with `start`, of 32 bits."""
    return Global(GlobalType(value, True), bytes((0x42 if value == I64 else 0x41, *signed_word(start), END)))


def _exports(module: Module, first: int, profiled: range) -> list[Export]:
    """What is exported beside the module's own; `first` is the index of the first global that was added."""
    names = [GAS_EXPORT, EXHAUSTED_EXPORT, STACK_EXPORT]
    for function in profiled:
        names += f"{FUNCTION_GAS_EXPORT}{function}", f"{FUNCTION_CALLS_EXPORT}{function}"
    exports = [Export(name, Kind.GLOBAL, index) for index, name in enumerate(names, first)]
    if module.start is not None:
        exports.append(Export(START_EXPORT, Kind.FUNCTION, module.start))
    return exports


class _Rewriter:
    """Rewrites the bodies of one module. `types` are its types and those that were needed beside them."""

    def __init__(self, signatures: Signatures, costs: WasmGasCosts, frame_words: int) -> None:
        self.types = list(signatures.types)
        self._signatures = signatures
        self._costs = costs
        self._frame_words = frame_words
        # A module may have very many types: none is ever looked for in the list.
        self._wrappers = {type_.results: index for index, type_ in enumerate(self.types) if not type_.params}

    def rewrite(self, body: Body, type_: FunctionType, meters: Meters) -> Body:
        """Return the body of a function of this type with metering by `meters`.

        The code becomes a block within the function, so that a branch out of it, whose label stays the same, and the
        end of the code meet before the frame is given back.
        """
        code = list(instructions(body.code, body.offset))
        declared = sum(count for count, _ in body.locals)
        values = len(type_.params) + declared
        opcodes = {instruction.code for instruction in code}
        extra = ((1, I32), (1, I64)) if not opcodes.isdisjoint(self._costs.sizes) else ()
        if LOOP in opcodes:
            meters = meters._replace(gas_local=values + len(extra))
            extra = (*extra, (1, I64))
        wrapped = b"\x02" + self._block_type(type_.results) + self._metered(body.code, code, meters, declared, values)
        words = values + highest(code, self._signatures, len(type_.results)) + self._frame_words
        words += len(code) // INSTRUCTIONS_PER_WORD
        if words > _LARGEST_FRAME:
            raise CodeTooLarge(f"its frame takes {words} words; the largest has {_LARGEST_FRAME}", offset=body.offset)
        begin, end = meters.enter(words) + meters.borrow(), meters.give_back() + meters.leave(words)
        return Body((*body.locals, *extra), begin + wrapped + end + bytes((END,)), body.offset)

    def _block_type(self, results: bytes) -> bytes:
        """The immediate of a block that takes nothing and has these results."""
        if len(results) <= 1:
            return results or b"\x40"
        if results not in self._wrappers:
            self._wrappers[results] = len(self.types)
            self.types.append(FunctionType(b"", results))
        return signed(self._wrappers[results])

    def _metered(self, source: bytes, code: Sequence[Instruction], meters: Meters, declared: int, spare: int) -> bytes:
        """The code with its charges, and branches for returns. Locals `spare` and `spare` + 1 are i32 and i64."""
        charges = self._charges(code, meters, declared)
        chunks: list[bytes] = []
        copied = depth = 0
        for instruction in code:
            opcode, begin = instruction.code, instruction.begin
            if charge := charges.get(begin):
                chunks += source[copied:begin], charge
                copied = begin
            if opcode in (BLOCK, LOOP, IF):
                depth += 1
            elif opcode == END:
                depth -= 1
            elif opcode == RETURN:
                chunks += source[copied:begin], branch(depth)
                copied = instruction.end
            elif opcode in _CALLS:
                called = source[copied : instruction.end]
                chunks += called[: begin - copied], meters.give_back(), called[begin - copied :], meters.borrow()
                copied = instruction.end
            elif size := self._costs.sizes.get(opcode):
                chunks += source[copied:begin], meters.charge_size(size, spare, spare + 1)
                copied = begin
        return b"".join((*chunks, source[copied:]))

    def _charges(self, code: Sequence[Instruction], meters: Meters, declared: int) -> dict[int, bytes]:
        """What is paid before the instruction at each place, as code."""
        ahead = self._costs.pays_ahead
        amounts = {0: self._costs.locals_surcharge(declared)}
        for block in blocks(code, self._costs):
            place = block.begin if ahead else block.last
            amounts[place] = amounts.get(place, 0) + block.cost
        return {place: meters.charge(amount) for place, amount in amounts.items() if amount}
