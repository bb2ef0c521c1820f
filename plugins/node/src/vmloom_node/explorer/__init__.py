"""The explorer: one static page, served at `/`, that asks the node everything by JSON-RPC.

It is built of the files beside this one, and of what all pages that show calls have in common, when it is first asked
for: no build step, no request to anywhere but the node.
The script puts text into the page as text only, and the policy lets nothing run but that script.
"""

from __future__ import annotations

import base64
import functools
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files

from vmloom.report import calls_script, enclosed

_SCRIPTS = ("base.js", "trace.js", "views.js", "main.js")
"""In this order they make one script; each may use what those before it define."""


@dataclass(frozen=True, slots=True)
class Page:
    """What to answer with: the HTML in UTF-8, and the headers that belong to it."""

    body: bytes
    headers: Mapping[str, str]


@functools.cache
def page() -> Page:
    """The page, the same one each time. `headers` have its type and the policy that it keeps to."""
    style = _asset("page.css")
    script = enclosed(calls_script(), *map(_asset, _SCRIPTS))
    parts = _asset("page.html").split("@@")  # text, name, text, name, ..., text
    parts[1::2] = [{"STYLE": style, "SCRIPT": script}[name] for name in parts[1::2]]
    policy = (
        f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    headers = {
        "content-type": "text/html; charset=utf-8",
        "content-security-policy": policy,
        "referrer-policy": "no-referrer",
        "x-content-type-options": "nosniff",
        "cache-control": "no-cache",
    }
    return Page("".join(parts).encode(), headers)


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """By which a policy names an element's content."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
