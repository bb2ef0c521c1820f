"""The page of methods: it names all of them, all codes and all namespaces, and nothing that is not there."""

from __future__ import annotations

import re

from vmloom_node.config import NAMESPACES
from vmloom_node.rpc import reference
from vmloom_node.rpc.protocol import Code
from vmloom_node.rpc.table import METHODS


def test_every_method_code_and_namespace_is_on_the_page() -> None:
    assert set(reference.ERRORS) == set(Code)
    assert set(reference.NAMESPACES) == set(NAMESPACES)
    rows = re.findall(r"^\| `(\w+_\w+)` \|", reference.reference(), re.MULTILINE)
    assert sorted(rows) == sorted(METHODS)


def test_a_row_has_parameters_defaults_and_other_names() -> None:
    page = reference.reference()
    assert '| `eth_getBalance` | `address`, `block` = `"latest"` | Balance of an account in wei. |' in page
    assert "Also `anvil_snapshot`. |" in page
    rows = [line.strip("|").split("|") for line in page.splitlines() if line.startswith("| `eth_")]
    assert {len(cells) for cells in rows} == {3}
