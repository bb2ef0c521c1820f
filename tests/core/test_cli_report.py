"""`vmloom report`: what it reads, writes and says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from .traces import FIRST, enter, leave, lines, step

TRACE = lines(enter("CALL", FIRST, 100), step("ADD", 100, 1, 2), step("STOP", 97, 3, cost=0), leave(3))


def page_of(vmloom: Any, *arguments: object, **more: Any) -> str:
    result = vmloom("report", *arguments, "--html", "page.html", **more)
    assert result.exit_code == 0, result.output
    return str((vmloom.folder / "page.html").read_text("utf-8"))


def test_page_is_written_and_told_of(vmloom: Any) -> None:
    vmloom.write("trace.jsonl", TRACE)
    result = vmloom("report", "trace.jsonl", "--html", "page.html")
    assert (result.exit_code, result.stderr) == (0, "")
    assert result.stdout == "page.html: 2 steps, 1 call, 3 gas\n"
    text = (vmloom.folder / "page.html").read_text("utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert "<h1>Trace trace.jsonl</h1>" in text


def test_trace_comes_from_stdin_and_the_title_from_an_option(vmloom: Any) -> None:
    assert "<h1>a &lt;b&gt;</h1>" in page_of(vmloom, "-", "--title", "a <b>", input=TRACE)


def test_code_is_shown_under_the_name_of_its_file(vmloom: Any) -> None:
    # The calculator's code for: push 2, add
    vmloom.write("sum.hex", "010201" + "02")
    trace = lines({**step("ADD", 100, 1, 2, pc=0), "op": 1}, leave(3))
    text = page_of(vmloom, vmloom.write("trace.jsonl", trace), "--code", "sum.hex", "--vm", "calc")
    data = json.loads(text.split('id="data">')[1].split("</script>")[0])
    assert data["codes"][0]["label"] == "sum"
    assert data["codes"][0]["lines"][0][1] == "PUSH"
    assert data["frames"][0]["code"] == 0


def test_list_of_steps_can_be_chosen(vmloom: Any) -> None:
    vmloom.write("trace.jsonl", TRACE)
    result = vmloom("report", "trace.jsonl", "--html", "page.html", "--first-step", 1, "--max-steps", 1)
    assert "warning: The list has 1 of 2 steps, from step 1 on" in result.stderr
    assert "The list has 1 of 2 steps" in (vmloom.folder / "page.html").read_text("utf-8")


def test_page_is_opened_in_the_browser(vmloom: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", lambda address: opened.append(address) or True)
    page_of(vmloom, vmloom.write("trace.jsonl", TRACE), "--open")
    assert opened == [(vmloom.folder / "page.html").resolve().as_uri()]


@pytest.mark.parametrize(
    ("trace", "arguments", "message"),
    [
        (b"{", [], "error: trace.jsonl: line 1: no JSON: it ends too early"),
        (b"", [], "error: trace.jsonl: the trace is empty"),
        (TRACE, ["--html", "no/such/page.html"], "error: --html no/such/page.html: No such file or directory"),
        (TRACE, ["--code", "nope.hex"], "error: nope.hex: no such file"),
        (TRACE, ["--max-steps", "0"], "error: Invalid value for '--max-steps'"),
    ],
)
def test_what_cannot_be_shown_is_an_error(vmloom: Any, trace: bytes, arguments: list[str], message: str) -> None:
    vmloom.write("trace.jsonl", trace)
    result = vmloom("report", "trace.jsonl", "--html", "page.html", *arguments)
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith(message)
    assert not (vmloom.folder / "page.html").exists()


def test_trace_that_is_not_there(vmloom: Any) -> None:
    result = vmloom("report", "nope.jsonl", "--html", "page.html")
    assert (result.exit_code, result.stderr) == (2, "error: nope.jsonl: no such file\n")
    assert not Path(vmloom.folder / "page.html").exists()


def test_memory_of_a_trace_needs_a_trace(vmloom: Any) -> None:
    result = vmloom("run", "00", "--trace-memory")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("error: --trace-memory needs --trace FILE\n")
