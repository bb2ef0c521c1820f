"""What every instruction costs, data sizes included.

The interpreter, the generated code and the estimate all ask a `GasSchedule`; nothing else knows a price. An
instruction is charged in two steps: `before` it runs, what its operands already tell, so that nobody gets work for
nothing; `after` it, for each cell of its result beyond the first. Where all integers have one limb (64 bits) both steps
together cost the instruction's `base` alone for arithmetic, comparison, logic and control, so that blocks of such
instructions can be charged at once.

Whatever a run holds has been paid for by its size: constants when they are loaded, what the state has before it is
read, all else when it is made. So looking at a value's size before charging for it takes no more time than was paid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Self

from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator, model_validator

from .bytecode.opcodes import ARITHMETIC, COMPARISON, Opcode
from .values import Value, cells

MAX_PRICE: Final = 2**63 - 1
"""Gas: the largest price, and the largest amount of a GAS_CHARGE."""
SMALL_ENCODING: Final = 9
"""Bytes of a state's value whose reading the base pays for: those of a 64-bit integer."""
Price = Annotated[int, Field(ge=0, le=MAX_PRICE, strict=True)]
"""Gas, 0 to 2^63 - 1."""

_PRODUCTS: Final = frozenset((Opcode.MUL, Opcode.DIV, Opcode.MOD, Opcode.POW))
SIZED_BEFORE: Final = frozenset(
    (
        *_PRODUCTS,
        *COMPARISON,
        Opcode.CALL_NAME,
        Opcode.CALL_FUNC_CONST,
        Opcode.CALL_TOP,
        Opcode.SPAWN,
        Opcode.HASH_BLOCK,
        Opcode.VERIFY_SIGNATURE,
        Opcode.MERKLE_ROOT,
        Opcode.STATE_WRITE,
        Opcode.LEDGER_APPEND,
        Opcode.EMIT,
        Opcode.CALL_CONTRACT,
        Opcode.REVERT,
        Opcode.INDEX,
        Opcode.STORE_INDEX,
        Opcode.ITEMS,
        Opcode.CONTAINS,
        Opcode.RANGE,
        Opcode.TO_STRING,
        Opcode.TO_INTEGER,
        Opcode.TO_BYTES,
        Opcode.ENCODE,
        Opcode.DECODE,
        Opcode.TRY_DECODE,
        Opcode.STATE_READ_AT,
        Opcode.STATE_WRITE_AT,
    )
)
"""The instructions whose operands on the stack may cost more than `base`: for all others `before` is `fixed`."""
SIZED_AFTER: Final = frozenset(
    (
        *ARITHMETIC,
        Opcode.NEG,
        Opcode.BUILD_LIST,
        Opcode.BUILD_MAP,
        Opcode.STORE_INDEX,
        Opcode.CALL_CONTRACT,
        Opcode.SLICE,
        Opcode.CLOSURE,
        Opcode.TO_STRING,
        Opcode.ENCODE,
        Opcode.DECODE,
        Opcode.TRY_DECODE,
    )
)
"""The instructions that make values which may be large: for all others `after` is 0.

What an instruction only passes on, such as the element that INDEX finds, has been paid for by who made it; what ITEMS,
RANGE, TO_INTEGER and TO_BYTES make is paid for before.
"""
_CONVERSIONS: Final = frozenset(
    (
        Opcode.ITEMS,
        Opcode.CONTAINS,
        Opcode.RANGE,
        Opcode.TO_STRING,
        Opcode.TO_INTEGER,
        Opcode.TO_BYTES,
        Opcode.ENCODE,
        Opcode.DECODE,
        Opcode.TRY_DECODE,
    )
)
_FINDING: Final = frozenset((Opcode.INDEX, Opcode.STORE_INDEX))
LOOPING: Final = frozenset(
    (
        Opcode.JUMP,
        Opcode.JUMP_IF_FALSE,
        Opcode.CALL_NAME,
        Opcode.CALL_FUNC_CONST,
        Opcode.CALL_TOP,
        Opcode.SPAWN,
        Opcode.AWAIT,
        Opcode.CALL_CONTRACT,
    )
)
"""No program runs for ever without one of these, so none of them may be free."""


def _default_base() -> dict[Opcode, int]:
    """What takes time is priced by that: none is more than three times cheaper for it than small arithmetic.

    What reads or keeps state costs about what it does on the EVM: a cold slot's reading (EIP-2929), a slot's change
    (EIP-2200), and 312 gas for each further byte, of the 20,000 for 64 that a new slot costs.
    """
    prices = dict.fromkeys(Opcode, 3)
    prices.update(
        {
            Opcode.LOAD_CONST: 2,
            Opcode.LOAD_NAME: 2,
            Opcode.STORE_NAME: 2,
            Opcode.STORE_GLOBAL: 2,
            Opcode.STORE_CONST: 3,  # at most what LOAD_CONST and STORE_NAME cost together
            Opcode.POP: 1,
            Opcode.DUP: 1,
            Opcode.MUL: 5,
            Opcode.DIV: 5,
            Opcode.MOD: 5,
            Opcode.POW: 10,
            Opcode.NEG: 5,
            Opcode.BUILD_LIST: 8,
            Opcode.BUILD_MAP: 12,
            Opcode.INDEX: 5,
            Opcode.STORE_INDEX: 10,
            Opcode.CONTAINS: 10,
            Opcode.JUMP: 2,
            Opcode.RETURN: 1,
            Opcode.CALL_NAME: 20,
            Opcode.CALL_FUNC_CONST: 20,
            Opcode.CALL_TOP: 20,
            Opcode.SPAWN: 50,
            Opcode.AWAIT: 20,
            Opcode.SLICE: 5,
            Opcode.RANGE: 8,
            Opcode.ITEMS: 5,
            Opcode.CLOSURE: 10,
            Opcode.TO_STRING: 10,
            Opcode.TO_INTEGER: 10,
            Opcode.TO_BYTES: 10,
            Opcode.ENCODE: 30,
            Opcode.DECODE: 30,
            Opcode.TRY_DECODE: 30,
            Opcode.HASH_BLOCK: 60,
            Opcode.VERIFY_SIGNATURE: 3000,
            Opcode.MERKLE_ROOT: 60,
            Opcode.STATE_READ: 2_100,
            Opcode.STATE_WRITE: 5_000,
            Opcode.STATE_READ_AT: 2_100,
            Opcode.STATE_WRITE_AT: 5_000,
            Opcode.TX_BEGIN: 50,
            Opcode.TX_COMMIT: 50,
            Opcode.TX_REVERT: 50,
            Opcode.GAS_CHARGE: 1,
            Opcode.LEDGER_APPEND: 8_000,  # an entry, and the count of them
            Opcode.EMIT: 375,
            Opcode.CALL_CONTRACT: 700,
        }
    )
    return prices


class GasSchedule(BaseModel):
    """Prices in gas; each is a whole number from 0 to 2^63 - 1.

    A *cell* is 8 bytes of a value as `values.cells` counts them, a *limb* 64 bits of an integer. Raises pydantic's
    `ValidationError` for a price out of range, an instruction that does not exist, and an instruction that can make
    a loop and is free.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: Mapping[Opcode, Price] = Field(default_factory=dict, validate_default=True)
    """The price of each instruction, by opcode or by name. Those not given keep their default price."""
    per_cell: Price = 3
    """Each cell beyond the first that an instruction makes, compares, searches or passes to another contract."""
    constant_cell: Price = 1
    """LOAD_CONST and STORE_CONST: each cell beyond the first. At most `per_cell`, or folding could cost gas."""
    limb_product: Price = 1
    """MUL, DIV, MOD, POW, TO_STRING and TO_INTEGER: each product of two limbs beyond the first."""
    integer_keys: Price = 1
    """INDEX, STORE_INDEX and CONTAINS: each 32 pairs of a map that an integer is looked for in."""
    argument: Price = 1
    """Each argument of a call or task."""
    hash_cell: Price = 6
    """HASH_BLOCK, MERKLE_ROOT, VERIFY_SIGNATURE and ENCODE: each cell beyond the first of each operand."""
    merkle_leaf: Price = 60
    """MERKLE_ROOT: each leaf, which brings two hashes with it."""
    state_read_byte: Price = 2
    """What is read of the state, DECODE and TRY_DECODE: each byte beyond the ninth; a 64-bit integer has no more."""
    key_cell: Price = 6
    """STATE_READ, STATE_WRITE, STATE_READ_AT and STATE_WRITE_AT: each cell of the key or path beyond the first."""
    state_write_cell: Price = 2_500
    """STATE_WRITE and STATE_WRITE_AT: each cell of the value beyond the first; of a path, too, if it has none yet."""
    ledger_cell: Price = 2_500
    """LEDGER_APPEND: each cell beyond the first."""
    event_cell: Price = 64
    """EMIT: each cell beyond the first, of the topics and of the data."""

    @field_validator("base", mode="before")
    @classmethod
    def _read_names(cls, given: Any) -> Any:
        """Defaults first, then what is given; names become opcodes."""
        if not isinstance(given, Mapping):
            return given  # pydantic says what is wrong with it
        prices: dict[Opcode, Any] = _default_base()
        for name, price in given.items():
            prices[_opcode(name)] = price
        return prices

    @field_validator("base", mode="after")
    @classmethod
    def _refuse_free_loops(cls, base: Mapping[Opcode, int]) -> Mapping[Opcode, int]:
        free = sorted(opcode.name for opcode in LOOPING if base[opcode] == 0)
        if free:
            raise ValueError(f"{', '.join(free)}: must cost at least 1 gas, or a program could run for ever")
        return base

    @model_validator(mode="after")
    def _refuse_dear_constants(self) -> Self:
        if self.constant_cell > self.per_cell:
            raise ValueError(f"constant_cell: at most per_cell, which is {self.per_cell}; got {self.constant_cell}")
        return self

    @field_serializer("base")
    def _write_names(self, base: Mapping[Opcode, int]) -> dict[str, int]:
        return {opcode.name: base[opcode] for opcode in Opcode}

    def __hash__(self) -> int:
        # Of few fields, for it is asked for at each run; those prices are always in the same order.
        return hash((tuple(self.base.values()), self.per_cell, self.limb_product))

    def fixed(self, opcode: Opcode, operand: Any = None) -> int:
        """Gas that is known before anything runs: the base, and what the operand in the code adds.

        `operand` is the constant's value for LOAD_CONST and STORE_CONST, the key for STATE_READ and STATE_WRITE, the
        amount for GAS_CHARGE; it is not looked at for the others.
        """
        base = self.base[opcode]
        match opcode:
            case Opcode.LOAD_CONST | Opcode.STORE_CONST:
                return base + self.constant_cell * _extra(operand)
            case Opcode.STATE_READ | Opcode.STATE_WRITE:
                return base + self.key_cell * _extra(operand)
            case Opcode.GAS_CHARGE:
                return base + int(operand)
        return base

    def before(self, opcode: Opcode, operand: Any = None, taken: Sequence[Value] = ()) -> int:
        """Gas to charge before `opcode` runs: what is `fixed`, and what the sizes of `taken` add.

        `taken` are the values it takes from the stack, the deepest first, with those that a count announces. Those of
        a wrong kind may cost nothing: the instruction fails anyway.
        """
        return self.fixed(opcode, operand) + self.sizes(opcode, taken)

    def sizes(self, opcode: Opcode, taken: Sequence[Value]) -> int:
        """What the sizes of `taken` add to what is `fixed`."""
        if opcode not in SIZED_BEFORE:
            return 0
        if opcode in _PRODUCTS:
            return self._product(*taken)
        if opcode in COMPARISON:
            return self.per_cell * _extra(*taken)
        if opcode in _FINDING:
            return self._finding(*taken[:2])
        if opcode in _CONVERSIONS:
            return self._converted(opcode, taken)
        return self._sized(opcode, taken)

    def reading(self, size: int) -> int:
        """Gas to charge before the state reads `size` bytes, as `TransactionStack.size` tells; comes to `before`."""
        return self.state_read_byte * max(0, size - SMALL_ENCODING)

    def creating(self, keys: Sequence[Value]) -> int:
        """Gas to charge before STATE_WRITE_AT gives a value to a path that has none; comes to `before`.

        The keys grow the state once. What names have is in the code, whose deployment paid for them.
        """
        return self.state_write_cell * _path_extra(keys)

    def after(self, opcode: Opcode, result: Value) -> int:
        """Gas to charge once `opcode` has made `result`, 0 if that has one cell."""
        if opcode not in SIZED_AFTER:
            return 0
        extra = cells(result) - 1
        cost = self.per_cell * extra
        if opcode is Opcode.POW:  # the last squaring is the most expensive one
            cost += self.limb_product * ((extra + 1) ** 2 - 1)
        return cost

    def cost(self, opcode: Opcode, operand: Any, taken: Sequence[Value], result: Value) -> int:
        """All of it: `before` and `after` together."""
        return self.before(opcode, operand, taken) + self.after(opcode, result)

    def output(self, value: Value) -> int:
        """Gas for encoding `value` as what a contract returns."""
        return self.per_cell * _extra(value)

    def _product(self, left: Value, right: Value) -> int:
        if type(left) is not int or type(right) is not int:
            return 0
        return self.limb_product * (limbs(left) * limbs(right) - 1)

    def _finding(self, collection: Value, key: Value) -> int:
        """Integers as keys can be chosen so that Python passes all others before it finds one."""
        return self.integer_keys * (len(collection) // 32) if type(collection) is dict and type(key) is int else 0

    def _sized(self, opcode: Opcode, taken: Sequence[Value]) -> int:
        """What the operands add, for the instructions that are neither arithmetic nor comparison."""
        match opcode:
            case Opcode.HASH_BLOCK | Opcode.VERIFY_SIGNATURE:
                return self.hash_cell * _extra(*taken)
            case Opcode.MERKLE_ROOT:
                return self.merkle_leaf * len(taken) + self.hash_cell * _extra(*taken)
            case Opcode.STATE_READ_AT:
                return self.key_cell * _path_extra(taken)
            case Opcode.STATE_WRITE_AT:
                return self.key_cell * _path_extra(taken[:-1]) + self.state_write_cell * _extra(taken[-1])
            case Opcode.STATE_WRITE:
                return self.state_write_cell * _extra(*taken)
            case Opcode.LEDGER_APPEND:
                return self.ledger_cell * _extra(*taken)
            case Opcode.EMIT:
                return self.event_cell * _extra(*taken)
            case Opcode.CALL_CONTRACT | Opcode.REVERT:
                return self.per_cell * _extra(*taken)
        return self.argument * len(taken)  # calls and tasks

    def _converted(self, opcode: Opcode, taken: Sequence[Value]) -> int:
        """What the operands add, for the instructions that make values of other kinds, or look for values."""
        one, other = taken[0], taken[-1]
        match opcode:
            case Opcode.ITEMS:
                return self.per_cell * _items_cells(one)
            case Opcode.CONTAINS:
                if type(one) is dict:
                    return self.per_cell * _extra(other) + self._finding(one, other)
                return self.per_cell * _extra(one, other)
            case Opcode.RANGE:
                return self.per_cell * _range_cells(one, other)
            case Opcode.TO_BYTES:
                made = -(-other // 8) if type(one) is int and type(other) is int and other > 0 else _extra(one)
                return self.per_cell * made
            case Opcode.ENCODE:
                return self.hash_cell * _extra(one)
            case Opcode.DECODE | Opcode.TRY_DECODE:
                return self.reading(len(one)) if type(one) is bytes else 0
            case Opcode.TO_STRING:  # Python takes time that grows with the square of the number of digits
                return self.limb_product * (limbs(one) ** 2 - 1) if type(one) is int else 0
        extra = _extra(one) if type(one) is str or type(one) is bytes else 0
        return self.per_cell * extra + (self.limb_product * extra**2 if type(one) is str else 0)


def limbs(number: int) -> int:
    """How many limbs of 64 bits the absolute value of `number` takes, at least 1."""
    return (number.bit_length() + 63) >> 6 or 1


def _extra(*values: Value) -> int:
    """Cells beyond the first of each value."""
    return sum(map(cells, values)) - len(values)


def _path_extra(keys: Sequence[Value]) -> int:
    """Cells beyond the first of all keys together."""
    return max(0, sum(map(cells, keys)) - 1)


def _items_cells(collection: Value) -> int:
    """Cells beyond the first of what ITEMS makes; none for a list, which it only passes on."""
    match collection:
        case str():
            return 2 * len(collection)
        case bytes():
            return len(collection)
        case dict():
            return sum(map(cells, collection))
    return 0


def _range_cells(begin: Value, end: Value) -> int:
    """Cells beyond the first of what RANGE makes, all integers counted like the longest."""
    if type(begin) is not int or type(end) is not int:
        return 0
    return max(0, end - begin) * max(limbs(begin), limbs(end))


def _opcode(name: Any) -> Opcode:
    try:
        return name if isinstance(name, Opcode) else Opcode[name]
    except KeyError:
        raise ValueError(f"{name}: there is no such instruction") from None
