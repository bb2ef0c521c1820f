"""The page about a run: one HTML file with its style, script and data inside, which works without a network.

Data stand in a script element that is no script, as JSON in which no `<` is left; the script puts text into the page as
text only. The policy in the head lets nothing run but that script, and nothing be fetched.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from importlib.resources import files
from typing import Any, Final

from .model import Code, Frame, Run

_DATA_BYTES: Final = 2048
"""Shown of the input and output of a frame."""
_DATA_OF_ALL: Final = 16 << 20
"""Shown of the inputs and outputs of all frames."""
_EXACT: Final = (1 << 53) - 1
"""The greatest number that JavaScript has exactly; greater ones are written as text."""


def page(run: Run, *, title: str) -> str:
    """The HTML text. What it says of the run as a whole can be read without scripts, too."""
    style, script = _asset("page.css"), enclosed(calls_script(), _asset("page.js"))
    values = {
        "TITLE": html.escape(title),
        "POLICY": f"default-src 'none'; style-src '{_digest(style)}'; script-src '{_digest(script)}'; base-uri 'none'",
        "SUMMARY": _summary(run),
        "NOTICES": "".join(f"<p>{html.escape(text)}</p>" for text in run.notices),
        "STYLE": style,
        "SCRIPT": script,
        "DATA": _embedded(_data(run)),
    }
    parts = _asset("page.html").split("@@")  # text, name, text, name, ..., text
    parts[1::2] = [values[name] for name in parts[1::2]]
    # JSON may have halves of surrogate pairs, which no file can.
    return "".join(parts).encode("utf-8", "replace").decode()


def calls_script() -> str:
    """The part of a page's script that draws trees of calls and flame graphs, for all pages that show calls."""
    return _asset("calls.js")


def enclosed(*scripts: str) -> str:
    """One script of several, in this order: each may use what those before it define, and nobody else may."""
    return '"use strict";\n(() => {\n' + "\n".join(scripts) + "})();\n"


def _asset(name: str) -> str:
    return files(__package__).joinpath(name).read_text("utf-8")


def _digest(text: str) -> str:
    """By which a policy names an element's content."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()


def _embedded(document: Any) -> str:
    """JSON that ends no element, whatever its texts are."""
    text = json.dumps(document, separators=(",", ":"))
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def _summary(run: Run) -> str:
    root = run.frames[0]
    deepest = max(frame.depth for frame in run.frames) + 1
    outcome = _outcome(run)
    facts = [
        ("Result", f'<span class="badge {outcome[0]}">{html.escape(outcome[1])}</span>'),
        ("Gas used", "not told" if root.gas_used is None else f"{root.gas_used:,}"),
        ("Steps", f"{run.step_count:,}"),
        ("Calls", f"{len(run.frames):,}"),
        ("Depth", f"{deepest:,}"),
    ]
    return "".join(f"<div><dt>{name}</dt><dd>{value}</dd></div>" for name, value in facts)


def _outcome(run: Run) -> tuple[str, str]:
    """A kind, and words for people."""
    root = run.frames[0]
    if root.reverted:
        return "warn", "reverted"
    if root.error:
        return "bad", f"failed: {root.error}"
    return ("good", "success") if run.is_complete else ("warn", "not told")


def _data(run: Run) -> dict[str, Any]:
    """What the script reads: columns and indices, as short as they are clear."""
    steps = run.steps
    words = steps.words

    def index(text: str) -> int:
        return words.setdefault(text, len(words))

    storage = [
        [row.account, index(row.slot), -1 if row.before is None else index(row.before), index(row.after), row.writes,
         int(row.undone)]
        for row in run.changes
    ]  # fmt: skip
    known = [
        [at, account, index(slot), -1 if value is None else index(value)]
        for at, account, slot, value in run.storage_events
    ]
    return {
        "accounts": run.accounts,
        "frames": _frames(run.frames),
        "opcodes": [[name, count, _exact(gas)] for name, (count, gas) in run.opcodes.items()],
        "storage": storage,
        "known": known,
        "codes": [_code(code) for code in run.codes],
        "steps": {
            "first": steps.first,
            "pc": steps.pc,
            "op": steps.op,
            "gas": [_exact(gas) for gas in steps.gas],
            "cost": [_exact(cost) for cost in steps.cost],
            "frame": steps.frame,
            "refund": [_exact(refund) for refund in steps.refund] if any(steps.refund) else None,
            "memorySize": steps.memory_size,
            "popped": steps.popped,
            "pushed": steps.pushed,
            "stackWords": steps.stack_words,
            "errors": steps.errors,
            "memory": steps.memory if steps.has_memory else None,
            "returnData": steps.return_data if steps.has_return_data else None,
            "hasStack": steps.has_stack,
            "clippedAt": steps.clipped_at,
        },
        "names": list(steps.names),
        "words": list(words),
    }


def _frames(frames: list[Frame]) -> list[dict[str, Any]]:
    left = _DATA_OF_ALL
    rows = []
    for frame in frames:
        row = {
            "parent": frame.parent,
            "depth": frame.depth,
            "kind": frame.kind,
            "from": frame.sender,
            "to": frame.to,
            "account": frame.account,
            "gas": _exact(frame.gas),
            "used": None if frame.gas_used is None else _exact(frame.gas_used),
            "value": str(int(frame.value, 16)) if frame.value else "",
            "error": frame.error,
            "reverted": frame.reverted,
            "first": frame.first_step,
            "steps": frame.steps,
            "code": frame.code,
        }
        for name, data in (("input", frame.input), ("output", frame.output)):
            if data is not None:
                shown = data[: min(_DATA_BYTES, left)]
                left -= len(shown)
                row[name] = [shown.hex(), len(data)]
        rows.append(row)
    return rows


def _code(code: Code) -> dict[str, Any]:
    return {
        "label": code.label,
        "lines": [[one.offset, one.name, one.operand, one.remark] for one in code.instructions],
    }


def _exact(number: int) -> int | str:
    return number if number <= _EXACT else str(number)
