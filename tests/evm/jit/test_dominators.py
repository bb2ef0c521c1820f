"""Dominators of any graph, by the definition: without the dominator there is no way to a node."""

from __future__ import annotations

import random
import sys

import pytest
from vmloom_evm.jit.dominators import Tree, dominators, search

Graph = dict[int, list[int]]


def reached(graph: Graph, roots: list[int], without: int | None = None) -> set[int]:
    """All nodes that there are ways to which do not lead through `without`."""
    found: set[int] = set()
    open_ = [root for root in roots if root != without]
    while open_:
        node = open_.pop()
        if node not in found:
            found.add(node)
            open_ += [way for way in graph[node] if way != without]
    return found


def by_definition(graph: Graph, roots: list[int]) -> dict[int, int]:
    """The nearest dominators: of all dominators of a node, the one that the others dominate, too."""
    nodes = reached(graph, roots)
    dominated = {one: nodes - reached(graph, roots, one) - {one} for one in nodes}
    found = {}
    for node in nodes:
        dominators_of = [one for one in nodes if node in dominated[one]]
        nearest = [
            one for one in dominators_of if all(one in dominated[other] or one == other for other in dominators_of)
        ]
        if nearest:
            (found[node],) = nearest
    return found


def found(graph: Graph, tree: Tree) -> dict[int, int]:
    """What the module finds."""
    before: dict[int, list[int]] = {node: [] for node in graph}
    for node in tree.finished:
        for way in graph[node]:
            before[way].append(node)
    return dominators(tree, before)


@pytest.mark.parametrize("ways", [1, 2, 3])
def test_dominators_are_what_the_definition_says(ways: int) -> None:
    seed = random.SystemRandom().getrandbits(32)
    rng = random.Random(seed)
    some = 0
    for _ in range(150):
        size = rng.randint(1, 14)
        graph = {node: [rng.randrange(size) for _ in range(rng.randint(0, ways))] for node in range(size)}
        roots = sorted({0, *(rng.randrange(size) for _ in range(rng.choice((0, 0, 1, 2))))})
        tree = search(roots, graph.__getitem__)
        roots = [node for node, parent in zip(tree.nodes, tree.parents, strict=True) if parent == 0 and node >= 0]
        expected = by_definition(graph, roots)
        assert found(graph, tree) == expected, f"seed {seed}, roots {roots}: {graph}"
        some += len(expected)
    assert some > 30


def test_search_finishes_what_is_found_from_a_node_before_it() -> None:
    tree = search([0, 4], {0: [1, 2], 1: [3], 2: [3], 3: [0], 4: [3]}.__getitem__)
    assert tree.nodes == [-1, 0, 1, 3, 2, 4]
    assert tree.finished == [3, 1, 2, 0, 4]


def steps(graph: Graph) -> int:
    """Lines of Python that finding the dominators runs."""
    count = 0

    def count_lines(frame: object, event: str, _: object) -> object:
        nonlocal count
        count += event == "line"
        return count_lines

    before = sys.gettrace()
    sys.settrace(count_lines)  # type: ignore[arg-type]
    try:
        found(graph, search([0], graph.__getitem__))
    finally:
        sys.settrace(before)
    return count


def one_failure(size: int) -> Graph:
    """Tests one after the other, all of which lead to the same failure."""
    return {node: [node + 1, size] for node in range(size)} | {size: []}


def both_ways(size: int) -> Graph:
    """Two chains, entered at their ends, each of which leads into the other."""
    half = size // 2
    return {node: [min(node + 1, size - 1), max(node - 1, 0), (node + half) % size] for node in range(size)}


@pytest.mark.parametrize("made", [one_failure, both_ways])
def test_time_is_proportional_to_size(made: object) -> None:
    assert callable(made)
    assert steps(made(800)) < 2.4 * steps(made(400))
