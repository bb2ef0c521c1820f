"""Heads of HTTP requests that are alike but for the length of the body, as those of one client on one connection are.

What a head means is for the parser of HTTP to say. Here is only how to see that a head is one that has been parsed
before, and how much is still to come of a request that is about to be parsed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple, Self

_LENGTH: Final = re.compile(rb"\r\ncontent-length: ?(\d{1,4})(?=\r\n)", re.IGNORECASE)
_END: Final = b"\r\n\r\n"
_MAX_BYTES: Final = 4_096
"""Of a head: a connection remembers one."""


class Head(NamedTuple):
    """All of a head but the digits of the body's length."""

    before: bytes
    after: bytes

    @classmethod
    def of(cls, request: bytes) -> Self | None:
        """The head of a request; None if it is not there in full, is too long, or does not tell one short length."""
        end = request.find(_END, 0, _MAX_BYTES) + len(_END)
        lengths = list(_LENGTH.finditer(request, 0, end))
        if end < len(_END) or len(lengths) != 1:
            return None
        return cls(request[: lengths[0].start(1)], request[lengths[0].end(1) : end])

    def body(self, request: bytes) -> tuple[int, int] | None:
        """Where the body begins and ends if the request begins with such a head, of whatever length."""
        if not request.startswith(self.before):
            return None
        begin = len(self.before)
        end = request.find(self.after, begin, begin + 4 + len(self.after))
        digits = request[begin:end]
        if end < 0 or not digits.isdigit():
            return None
        begin = end + len(self.after)
        return begin, begin + int(digits)


def is_begun(data: bytes) -> bool:
    """Whether these are the first bytes of a POST whose head is still to come in full."""
    return len(data) < _MAX_BYTES and data.startswith(b"POST ") and _END not in data
