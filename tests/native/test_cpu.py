"""The accelerator `cpu`: each operation against Python's own arithmetic, and nothing read that is not in a column."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from vmloom.accelerator import Accelerator, Capability
from vmloom.factory import VmFactory
from vmloom.kernel import U64_MAX, Ptr, u8, u64
from vmloom.settings import Settings
from vmloom_native import costs, operations
from vmloom_native.config import CpuConfig
from vmloom_native.cpu import CpuAccelerator
from vmloom_native.operations import ARITHMETIC, Digests, PrecompileHash, Recoveries

WRAP = 1 << 256
EDGES = [0, 1, 2, 3, (1 << 64) - 1, 1 << 64, (1 << 128) - 1, 1 << 128, 1 << 255, WRAP - 2, WRAP - 1]

IN_PYTHON: dict[str, Callable[..., int]] = {
    "u256_add": lambda x, y: (x + y) % WRAP,
    "u256_sub": lambda x, y: (x - y) % WRAP,
    "u256_mul": lambda x, y: x * y % WRAP,
    "u256_div": lambda x, y: x // y if y else 0,
    "u256_mod": lambda x, y: x % y if y else 0,
    "u256_addmod": lambda x, y, m: (x + y) % m if m else 0,
    "u256_mulmod": lambda x, y, m: x * y % m if m else 0,
    "u256_exp": lambda x, y: pow(x, y, WRAP),
}


def words(values: list[int]) -> Any:
    return np.frombuffer(b"".join(value.to_bytes(32, "little") for value in values), np.uint64).reshape(-1, 4)


def numbers(column: Any) -> list[int]:
    return [int.from_bytes(row.tobytes(), "little") for row in column]


@pytest.fixture(scope="module")
def accelerator() -> CpuAccelerator:
    return CpuAccelerator(CpuConfig(threads=2))


# Arithmetic


def test_every_operation_on_words_is_checked() -> None:
    assert set(IN_PYTHON) == set(ARITHMETIC)


@pytest.mark.parametrize("name", IN_PYTHON)
def test_arithmetic_on_edges_and_random_words(accelerator: CpuAccelerator, name: str) -> None:
    chance = random.Random(name)
    count = IN_PYTHON[name].__code__.co_argcount
    rows = [[x, y, EDGES[-1 - i]][:count] for i, x in enumerate(EDGES) for y in EDGES]
    rows += [[chance.getrandbits(chance.choice((8, 64, 130, 256))) for _ in range(count)] for _ in range(500)]
    operands = [list(column) for column in zip(*rows, strict=True)]
    (result,) = accelerator.run(name, [words(column) for column in operands])
    assert numbers(result) == [IN_PYTHON[name](*row) for row in rows]


@pytest.mark.parametrize(
    ("threads", "costs", "grain", "expected"),
    [
        (2, 10_001, 4096, [(0, 5_000), (5_000, 10_001)]),
        (2, 8_191, 4096, [(0, 8_191)]),
        (3, 2, 1, [(0, 1), (1, 2)]),
        (1, 10_000, 1, [(0, 10_000)]),
        (4, 0, 1, [(0, 0)]),
        (2, [100, 110, 120, 220, 230], 50, [(0, 3), (3, 4)]),  # by what rows cost, not by how many there are
        (4, [0, 1000], 10, [(0, 1)]),
        (3, [0, 900, 901, 902], 1, [(0, 1), (1, 1), (1, 3)]),
    ],
)
def test_threads_share_a_batch(threads: int, costs: Any, grain: int, expected: list[tuple[int, int]]) -> None:
    parts: list[tuple[int, int]] = []
    given = costs if isinstance(costs, int) else np.array(costs, np.uint64)
    CpuAccelerator(CpuConfig(threads=threads))._spread(grain, given, lambda first, end: parts.append((first, end)))
    assert sorted(parts) == expected


def test_parts_of_a_large_batch_are_all_done(accelerator: CpuAccelerator) -> None:
    values = list(range(10_001))
    (result,) = accelerator.run("u256_add", [words(values), words(values)])
    assert numbers(result) == [2 * value for value in values]


def test_empty_batch(accelerator: CpuAccelerator) -> None:
    (result,) = accelerator.run("u256_add", [words([]), words([])])
    assert (result.shape, result.dtype) == ((0, 4), np.uint64)


def test_columns_with_gaps_are_packed(accelerator: CpuAccelerator) -> None:
    spaced = words(list(range(10)))[::2]
    reversed_ = words(list(range(5)))[::-1]
    (result,) = accelerator.run("u256_add", [spaced, reversed_])
    assert numbers(result) == [4, 5, 6, 7, 8]


def test_operands_are_left_alone(accelerator: CpuAccelerator) -> None:
    x, y = words([1]), words([2])
    accelerator.run("u256_add", [x, y])
    assert (numbers(x), numbers(y)) == ([1], [2])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([words([1])], "takes 2 columns, not 1"),
        ([words([1])] * 3, "takes 2 columns, not 3"),
        ([words([1]), words([1, 2])], "columns differ in length: 1, 2"),
        ([words([1]), words([1]).astype(np.int64)], r"uint64 \(n, 4\), not int64 \(1, 4\)"),
        ([words([1]), words([1]).astype(">u8")], r"should be uint64 \(n, 4\), not >u8"),
        ([words([1]), words([1])[:, :3]], r"not uint64 \(1, 3\)"),
        ([words([1]), words([1]).reshape(-1)], r"not uint64 \(4,\)"),
        ([words([1]), [[1, 0, 0, 0]]], "not list"),
        ([words([1]), np.uint64(1)], "not uint64"),
        ([words([1]), np.array(1, np.uint64)], r"not uint64 \(\)"),
    ],
)
def test_columns_that_do_not_fit(accelerator: CpuAccelerator, columns: list[Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        accelerator.run("u256_add", columns)


def test_unknown_operation(accelerator: CpuAccelerator) -> None:
    with pytest.raises(KeyError):
        accelerator.run("u256_sqrt", [])


# Rows of bytes: a kernel that tells what it was given


def told(input: Ptr[u8], size: u64, output: Ptr[u8]) -> u64:
    """Its size, first and last byte; nothing for rows of 7 bytes, failure for rows of 8. It uses all its room."""
    if size == 8:
        return U64_MAX
    for at in range(max(size, 256)):
        output[at] = 0
    if size == 7:
        return 0
    output[0] = u8(size)
    output[1] = input[0] if size != 0 else 0
    output[2] = input[size - 1] if size != 0 else 0
    output[12] = u8(size)
    return 32


def rows_of(sizes: list[int]) -> tuple[Any, Any, list[bytes]]:
    rows = [bytes((size + at) % 256 for at in range(size)) for size in sizes]
    offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.uint64)
    return np.frombuffer(b"".join(rows), np.uint8), offsets, rows


@pytest.fixture
def telling(accelerator: CpuAccelerator) -> Callable[..., Any]:
    return lambda *columns: accelerator._run(Digests(PrecompileHash("told", told)), columns)[0]


def expected(row: bytes) -> bytes:
    ends = (row[0], row[-1]) if row else (0, 0)
    return bytes([len(row) % 256, *ends]).ljust(12, b"\0") + bytes([len(row) % 256]) + bytes(19)


@pytest.mark.parametrize("sizes", [[], [0], [1], [3, 0, 5, 0, 0, 9], [300, 1, 1000], list(range(9, 1500))])
def test_rows_of_any_size(telling: Callable[..., Any], sizes: list[int]) -> None:
    data, offsets, rows = rows_of(sizes)
    output = telling(data, offsets)
    assert output.shape == (len(sizes), 32)
    assert [row.tobytes() for row in output] == [expected(row) for row in rows]


@pytest.mark.parametrize(("count", "size"), [(0, 64), (1, 64), (3, 0), (700, 64), (5, 1000)])
def test_rows_of_one_size(telling: Callable[..., Any], count: int, size: int) -> None:
    column = np.arange(count * size, dtype=np.uint64).astype(np.uint8).reshape(count, size)
    assert [row.tobytes() for row in telling(column)] == [expected(row.tobytes()) for row in column]


def test_bytes_between_rows_do_not_belong_to_any(telling: Callable[..., Any]) -> None:
    data, _, _ = rows_of([20])
    output = telling(data, np.array([5, 9, 12], np.uint64))
    assert [row.tobytes() for row in output] == [expected(data[5:9].tobytes()), expected(data[9:12].tobytes())]


@pytest.mark.parametrize(
    "offsets",
    [[], [0, 21], [5, 4, 20], [21], [0, 2**64 - 1], [2**63, 2**63 + 1]],
)
def test_offsets_that_lead_outside_are_refused(telling: Callable[..., Any], offsets: list[int]) -> None:
    data, _, _ = rows_of([20])
    with pytest.raises(ValueError, match="offsets should rise"):
        telling(data, np.array(offsets, np.uint64))


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ((), "not 0 columns"),
        ((np.zeros(4, np.uint8),), "two dimensions"),
        ((np.zeros((4, 4), np.int8),), r"uint8 \(n, 4\), not int8"),
        ((b"abc", np.zeros(1, np.uint64)), "not bytes"),
        ((np.zeros(4, np.uint8), np.zeros(1, np.int64)), "not int64"),
        ((np.zeros((4, 1), np.uint8), np.zeros(1, np.uint64)), r"not uint8 \(4, 1\)"),
    ],
)
def test_rows_that_do_not_fit(telling: Callable[..., Any], columns: tuple[Any, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        telling(*columns)


def test_where_there_is_no_signer_the_address_is_zero(accelerator: CpuAccelerator) -> None:
    data, offsets, _ = rows_of([9, 7, 8, 10])
    addresses, found = accelerator._run(Recoveries(PrecompileHash("told", told)), (data, offsets))
    assert found.tolist() == [True, False, False, True]
    assert [row.tobytes() for row in addresses] == [bytes([9]) + bytes(19), bytes(20), bytes(20), b"\n" + bytes(19)]


# As an accelerator


def test_it_is_one_and_says_what_it_runs_on(accelerator: CpuAccelerator) -> None:
    status = accelerator.status()
    assert isinstance(accelerator, Accelerator)
    assert status.available
    assert "2 threads" in status.device


def test_costs_are_measured_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(costs, "MEASURED", 1e-6)
    fresh = CpuAccelerator(CpuConfig(threads=1))
    found = dict(fresh.capabilities())
    assert set(ARITHMETIC) <= set(found)
    for name, cost in found.items():
        assert cost.operation == name
        assert 0 <= cost.fixed < 1
        assert 0 <= cost.per_item < 1
    assert len(fresh.capabilities()) == len(found)
    assert all(fresh.capabilities()[name] is cost for name, cost in found.items())


def test_only_what_is_asked_for_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = []
    fresh = CpuAccelerator(CpuConfig(threads=1))

    def measure(name: str, operation: operations.Operation) -> Capability:
        measured.append(name)
        return Capability(name, 0.0, 1.0, operation.item_size)

    monkeypatch.setattr(fresh, "_measure", measure)
    costs = fresh.capabilities()
    assert costs["keccak256"].item_size == 64
    assert costs["u256_add"].item_size == 0
    assert costs.get("u256_sqrt") is None
    assert measured == ["keccak256", "u256_add"]


def test_without_numpy_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    fresh = CpuAccelerator()
    assert not fresh.status().available
    assert 'pip install "vmloom-native[accelerator]"' in fresh.status().reason
    assert fresh.capabilities() == {}


def test_factory_makes_it_with_its_section() -> None:
    made = VmFactory(Settings({"accelerator": {"cpu": {"threads": 3}}})).accelerator("cpu")
    assert "3 threads" in made.status().device


def test_ecrecover_of_an_installed_precompile(accelerator: CpuAccelerator) -> None:
    if "ecrecover" not in accelerator._operations:
        pytest.skip("no installed precompile has an ECRECOVER kernel")
    signature = np.frombuffer(operations.SIGNATURE, np.uint8)
    rows = np.tile(signature, (3, 1))
    rows[1, 63] = 29
    addresses, found = accelerator.run("ecrecover", [rows])
    signer = bytes.fromhex("7156526fbd7a3c72969b54f64e42c10fbb768c8a")
    assert found.tolist() == [True, False, True]
    assert [row.tobytes() for row in addresses] == [signer, bytes(20), signer]
