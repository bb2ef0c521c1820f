"""Dominators of a graph: through which node all ways to another one lead (Lengauer and Tarjan, with path compression).

The time is at most proportional to the edges, times the logarithm of their number, whatever the graph: contracts are
written by others, and iterating until nothing changes takes the square of that for code whose tests all lead to one
failure.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field


@dataclass(slots=True)
class Tree:
    """Nodes as a search that goes deep first finds them. Number 0 is before all roots and no node."""

    nodes: list[int] = field(default_factory=lambda: [-1])
    """By number, in the order in which they were found."""
    parents: list[int] = field(default_factory=lambda: [0])
    """By number, the number of the node from which it was found."""
    finished: list[int] = field(default_factory=list)
    """Nodes, each after all that was found from it."""


def search(roots: Iterable[int], ways: Callable[[int], Iterable[int]]) -> Tree:
    """All that `ways` lead to from `roots`, one root after the other."""
    tree = Tree()
    seen: set[int] = set()
    open_: list[tuple[int, int, Iterator[int]]] = []

    def find(node: int, parent: int) -> None:
        seen.add(node)
        tree.nodes.append(node)
        tree.parents.append(parent)
        open_.append((node, len(tree.nodes) - 1, iter(ways(node))))

    for root in roots:
        if root not in seen:
            find(root, 0)
        while open_:
            node, number, left = open_[-1]
            way = next((way for way in left if way not in seen), None)
            if way is not None:
                find(way, number)
            else:
                tree.finished.append(node)
                open_.pop()
    return tree


def dominators(tree: Tree, before: Mapping[int, Iterable[int]]) -> dict[int, int]:
    """The nearest dominator of each node that has one; `before` has the nodes that lead to one.

    The roots of the tree have none, nor has what can be reached from several of them on ways apart.
    """
    count = len(tree.nodes)
    numbers = {node: number for number, node in enumerate(tree.nodes)}
    forest = _Forest(count)
    semi = forest.semi
    found = [0] * count
    waiting: list[list[int]] = [[] for _ in range(count)]
    for number in range(count - 1, 0, -1):
        parent = tree.parents[number]
        ways = [numbers[node] for node in before[tree.nodes[number]]]
        semi[number] = min((semi[forest.least(way)] for way in ways), default=number)
        semi[number] = min(semi[number], parent)
        waiting[semi[number]].append(number)
        forest.above[number] = parent
        for one in waiting[parent]:
            least = forest.least(one)
            found[one] = least if semi[least] < semi[one] else parent
        waiting[parent] = []
    for number in range(1, count):
        if found[number] != semi[number]:
            found[number] = found[found[number]]
    return {tree.nodes[number]: tree.nodes[found[number]] for number in range(1, count) if found[number]}


class _Forest:
    """The part of the tree that has been looked at, from its end; ways up in it get shorter as they are gone."""

    def __init__(self, count: int) -> None:
        self.semi = list(range(count))
        self.above = [-1] * count
        """The node above in the forest, -1 where there is none."""
        self.best = list(range(count))
        """The one whose `semi` is least, of those between a node and `above`."""

    def least(self, number: int) -> int:
        """The node on the way up from `number` whose `semi` is least, without the last one."""
        above, best, semi = self.above, self.best, self.semi
        if above[number] < 0:
            return number
        path = []
        place = number
        while above[above[place]] >= 0:
            path.append(place)
            place = above[place]
        for place in reversed(path):
            upper = above[place]
            if semi[best[upper]] < semi[best[place]]:
                best[place] = best[upper]
            above[place] = above[upper]
        return best[number]
