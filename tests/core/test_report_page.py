"""The page: one file that fetches nothing, and in which text from a trace is only text."""

from __future__ import annotations

import base64
import hashlib
import html.parser
import json
import re
from typing import Any

import pytest
from vmloom.report import Run, page

from .traces import FIRST, OTHER, enter, leave, run_of, step

HOSTILE = "</script><script>alert(1)</script><!-- <b>&amp;' \" \u2028 \ud800"


class Elements(html.parser.HTMLParser):
    """What a browser would see: elements with their attributes, and the text inside of those that have any."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        self._open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts.setdefault(self._open[-1], []).append(data)


def a_run(**more: Any) -> Run:
    return run_of(
        [
            enter("CALL", FIRST, 1000),
            step("PUSH1", 1000, **more),
            enter("CALL", OTHER, 500, FIRST, "0x5"),
            leave(100, "out of gas"),
            step("STOP", 900, 1, cost=0),
            leave(100, output="c0de"),
        ]
    )


def data_of(text: str) -> Any:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def test_page_is_one_file_that_fetches_nothing() -> None:
    text = page(a_run(), title="A trace")
    seen = Elements(text)
    assert not [attributes for _, attributes in seen.found if "src" in attributes]
    assert {tag for tag, _ in seen.found} >= {"header", "nav", "main", "h1", "noscript"}
    assert not [tag for tag, _ in seen.found if tag in ("link", "img", "iframe", "object")]
    targets = [attributes["href"] for tag, attributes in seen.found if tag == "a"]
    assert targets
    assert all(target is not None and target.startswith("#") for target in targets)
    assert "url(" not in text
    assert "@import" not in text


def test_policy_lets_nothing_run_but_the_script_of_the_page() -> None:
    text = page(a_run(), title="A trace")
    policy = next(str(found["content"]) for tag, found in Elements(text).found if found.get("http-equiv"))
    assert "default-src 'none'" in policy
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (content,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_references_of_the_script_are_elements_of_the_page() -> None:
    text = page(a_run(), title="A trace")
    wanted = set(re.findall(r'byId\("([\w-]+)"\)', text))
    there = {attributes.get("id") for _, attributes in Elements(text).found}
    assert wanted
    assert wanted <= there


def test_labels_name_every_control() -> None:
    seen = Elements(page(a_run(), title="A trace"))
    ids = {attributes.get("id") for _, attributes in seen.found}
    for _, attributes in seen.found:
        label = attributes.get("aria-labelledby")
        assert label is None or label in ids
    inputs = [attributes for tag, attributes in seen.found if tag == "input"]
    assert len(inputs) == len([tag for tag, _ in seen.found if tag == "label"]) == 2


def test_summary_is_there_without_scripts() -> None:
    seen = Elements(page(a_run(), title="A trace"))
    assert [text for text in seen.texts["dd"] if text.strip()] == ["100", "2", "2", "2"]
    assert "success" in seen.texts["span"]


@pytest.mark.parametrize(
    ("end", "kind", "words"),
    [
        (leave(5), "good", "success"),
        (leave(5, "execution reverted"), "warn", "reverted"),
        (leave(5, HOSTILE), "bad", f"failed: {HOSTILE}"),
        (step("STOP", 1), "warn", "not told"),
    ],
)
def test_outcome(end: dict[str, Any], kind: str, words: str) -> None:
    seen = Elements(page(run_of([step("STOP", 10, cost=0), end]), title="A trace"))
    (badge,) = [attributes for tag, attributes in seen.found if "badge" in str(attributes.get("class"))]
    assert badge["class"] == f"badge {kind}"
    assert words.replace("\ud800", "?") in "".join(seen.texts["span"])


def test_text_of_a_trace_ends_no_element() -> None:
    run = run_of([
        enter(HOSTILE, HOSTILE, 1000, HOSTILE),
        step("PUSH1", 1000, opName=HOSTILE),
        step("STOP", 990, error=HOSTILE),
        leave(1000, HOSTILE),
    ])  # fmt: skip
    text = page(run, title=HOSTILE)
    seen = Elements(text)
    assert [tag for tag, _ in seen.found].count("script") == 2
    assert "b" not in {tag for tag, _ in seen.found}
    frame = data_of(text)["frames"][0]
    assert (frame["kind"], frame["to"], frame["from"], frame["error"]) == (HOSTILE,) * 4


def test_data_are_what_the_run_has() -> None:
    data = data_of(page(a_run(memory="0xff"), title="A trace"))
    root, call = data["frames"]
    assert (root["used"], root["output"], call["value"], call["error"]) == (100, ["c0de", 2], "5", "out of gas")
    steps = data["steps"]
    assert (steps["pc"], steps["gas"], steps["pushed"], data["words"]) == ([0, 0], [1000, 900], [0, 1], ["1"])
    assert steps["memory"] == {"0": [[0, 1, [[0, "ff"]]]]}


def test_numbers_that_javascript_does_not_have_are_text() -> None:
    gas = (1 << 63) - 1
    data = data_of(page(run_of([step("STOP", gas, cost=0), leave(gas)]), title="A trace"))
    assert (data["steps"]["gas"], data["frames"][0]["used"]) == ([str(gas)], str(gas))


def test_inputs_and_outputs_are_shortened_and_tell_their_size() -> None:
    run = run_of([step("STOP", 10, cost=0), leave(0, output="ab" * 5000)])
    shown, size = data_of(page(run, title="A trace"))["frames"][0]["output"]
    assert (len(shown), size) == (2 * 2048, 5000)
