"""JSON from outside, read without letting it end the process.

Python's parser is recursive and written in C: all that keeps a text of many brackets from overflowing the stack is the
interpreter's recursion limit, which libraries raise for purposes of their own (py_ecc, and thus web3.py, to 100,000).
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final

MAX_DEPTH: Final = 512
"""Lists and objects within each other."""
_STRING: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\Z)', re.DOTALL)
_NO_BRACKETS: Final = bytes(set(range(256)) - set(b"[]{}"))
_STEPS: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class NestedTooDeeply(ValueError):
    """A text whose lists and objects lie deeper within each other than is read."""


def read_json(text: bytes | str, *, depth: int = MAX_DEPTH, **hooks: Any) -> Any:
    """The value of a JSON text, in UTF-8 where it is bytes. `hooks` are those of `json.loads`.

    Raises `ValueError`: `NestedTooDeeply` beyond `depth`, else as `json.loads`.
    """
    if isinstance(text, bytes):
        text = text.decode("utf-8")
    if text.count("[") + text.count("{") > depth and _is_deeper(text, depth):
        raise NestedTooDeeply(f"nested deeper than {depth}")
    try:
        return _decoder(**hooks).decode(text)
    except RecursionError:  # whoever calls is nested deeply, too
        raise NestedTooDeeply(f"nested deeper than {depth}") from None


@lru_cache(maxsize=32)
def _decoder(**hooks: Any) -> json.JSONDecoder:
    """Made once: to make one costs as much as to read a short text."""
    return json.JSONDecoder(**hooks)


def _is_deeper(text: str, depth: int) -> bool:
    """Whether brackets outside of strings nest deeper, up to where they match no more and the parser stops."""
    # Without escapes, every second part between quotes is outside of strings; that is found ten times as fast.
    outside = _STRING.sub("", text) if "\\" in text else "".join(text.split('"')[::2])
    brackets = outside.encode("utf-8", "replace").translate(None, _NO_BRACKETS)
    depths = accumulate(map(_STEPS.__getitem__, brackets))
    return next(filter(depth.__lt__, depths), None) is not None
