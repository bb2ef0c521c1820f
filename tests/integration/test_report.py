"""Reports about real traces, as a browser shows them; by headless Chromium, where it is installed."""

from __future__ import annotations

import html
import html.parser
import io
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from vmloom import Account, ExecutionContext, MemoryState
from vmloom.cli.commands import root
from vmloom.report import build, read_trace
from vmloom_evm import Evm
from vmloom_evm.assembly import (
    Bytecode,
    call,
    delegatecall,
    mstore,
    op,
    pop,
    ret_top,
    revert,
    sload,
    sstore,
    staticcall,
)
from vmloom_evm.trace.structlog import StructLogTracer

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_browser = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed: apt-get install chromium")

CALLEE = 0xDD
IDENTITY = 4
INNER = mstore(0, 0xABCD) + sstore(1, 7) + sstore(2, sload(1)) + revert(0, 32)
OUTER = (
    sstore(0, 5)
    + pop(call(CALLEE, gas=200_000))
    + pop(staticcall(IDENTITY, gas=5_000))
    + pop(delegatecall(CALLEE, gas=100_000))
    + sstore(1, sload(0))
    + mstore(32, op("ADDRESS"))
    + ret_top(sload(1))
)
SEE = """
document.documentElement.dataset.seen =
  [...document.querySelectorAll('{}')].map((one) => one.textContent).join('|')
"""


class Page(html.parser.HTMLParser):
    """The DOM that a browser has made: texts of elements by id, and how often tags and classes occur."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = text
        self.by_id: dict[str, str] = {}
        self.classes: list[str] = []
        self.attributes: dict[str, str | None] = {}
        self._open: list[tuple[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = dict(attrs)
        self.classes += (attributes.get("class") or "").split()
        if tag == "html":
            self.attributes = attributes
        if tag not in ("meta", "input", "link", "br"):
            self._open.append((tag, attributes.get("id")))

    def handle_endtag(self, tag: str) -> None:
        while self._open and self._open.pop()[0] != tag:
            pass

    def handle_data(self, data: str) -> None:
        for _, name in self._open:
            if name:
                self.by_id[name] = self.by_id.get(name, "") + data


def vmloom(*arguments: object, exit_code: int = 0) -> str:
    result = CliRunner().invoke(root, [str(one) for one in arguments])
    assert result.exit_code == exit_code, result.output
    return result.stdout


def traced(folder: Path, code: Bytecode, *options: str) -> Path:
    """The trace of a run in which the callee is there."""
    alloc = {f"0x{CALLEE:040x}": {"code": "0x" + bytes(INNER).hex()}}
    (folder / "alloc.json").write_text(json.dumps(alloc))
    trace = folder / "trace.jsonl"
    vmloom("run", bytes(code).hex(), "--vm", "evm", "--state", folder / "alloc.json", "--trace", trace, *options)
    return trace


def lines_of(trace: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in trace.read_text().splitlines()]


def steps_of(trace: Path) -> list[dict[str, Any]]:
    """The lines that are steps of the page: a second one of the same instruction only says why it failed."""
    return [line for line in lines_of(trace) if "pc" in line and "error" not in line]


@pytest.fixture
def report(tmp_path: Path) -> Callable[..., Path]:
    """The page about a trace."""

    def make(trace: Path, *options: object) -> Path:
        vmloom("report", trace, "--html", tmp_path / "page.html", *options)
        return tmp_path / "page.html"

    return make


def shown(page: Path, place: str = "", script: str = "") -> Page:
    """What a browser makes of the page, and of a script that runs after its own."""
    assert CHROMIUM is not None
    if script:  # the page's policy lets no other script run, as it should
        text = re.sub(r"<meta http-equiv[^>]*>", "", page.read_text("utf-8"))
        page = page.with_name("driven.html")
        page.write_text(text.replace("</body>", f"<script>{script}</script></body>"), "utf-8")
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={page.parent / 'profile'}"]
    command += ["--window-size=1280,900", "--virtual-time-budget=5000", "--dump-dom", page.as_uri() + place]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True)
    found = Page(done.stdout)
    assert found.attributes.get("data-ready") == "yes", done.stderr[-2000:]
    return found


def seen(page: Path, actions: str, selector: str, place: str = "") -> list[str]:
    """The texts of the elements that `selector` finds after `actions`."""
    found = shown(page, place, f"{actions}; {SEE.format(selector)}")
    return (found.attributes["data-seen"] or "").split("|")


def walk(start: int, *keys: str) -> str:
    """Actions: from step `start` on keys are pressed in the list; the step that they lead to is written down."""
    presses = "".join(
        f"list.dispatchEvent(new KeyboardEvent('keydown', {{key: '{key}', bubbles: true}}));" for key in keys
    )
    return f"""{{
      const list = document.getElementById('list'), jump = document.getElementById('jump');
      jump.value = '{start}';
      jump.dispatchEvent(new Event('change'));
      {presses}
      const note = document.createElement('i');
      note.textContent = document.querySelector('#list-rows [aria-selected=true] span').textContent;
      document.body.append(note);
    }}"""


# What is recorded


@pytest.mark.parametrize("engine", ["reference", "native"])
def test_run_records_memory_return_data_and_frames_where_asked(tmp_path: Path, engine: str) -> None:
    bare = lines_of(traced(tmp_path, OUTER, "--engine", engine))
    full = lines_of(traced(tmp_path, OUTER, "--engine", engine, "--trace-memory"))
    assert not [line for line in bare if "type" in line or "memory" in line or "returnData" in line]
    assert [line["type"] for line in full if "type" in line] == ["CALL", "CALL", "STATICCALL", "DELEGATECALL"]
    assert any(line.get("returnData") == "0x" + f"{0xABCD:064x}" for line in full)
    assert any(line.get("memory") == "0x" + f"{0xABCD:064x}" for line in full)
    added = ("memory", "returnData")
    assert [{name: line[name] for name in line if name not in added} for line in full if "type" not in line] == bare


def test_page_tells_the_same_of_a_trace_without_lines_of_frames(tmp_path: Path, report: Callable[..., Path]) -> None:
    def told(*options: str) -> Any:
        text = report(traced(tmp_path, OUTER, *options)).read_text("utf-8")
        data = json.loads(text.split('id="data">')[1].split("</script>")[0])
        frames = [(one["kind"], one["used"], one["error"], one["first"], one["steps"]) for one in data["frames"]]
        return frames[1:], data["opcodes"], [row[3:] for row in data["storage"]]

    frames, opcodes, storage = told()
    assert len(frames) == 3
    assert [row[-1] for row in storage] == [0, 1, 1, 0, 1, 1]
    with_frames = told("--trace-memory")
    assert (frames, opcodes) == with_frames[:2]
    assert [row[1:] for row in storage] == [row[1:] for row in with_frames[2]]


@pytest.mark.parametrize("memory", [False, True])
def test_page_tells_the_same_of_struct_logs(tmp_path: Path, memory: bool) -> None:
    def told(text: bytes) -> Any:
        run = build(read_trace(io.BytesIO(text)))
        frames = [(one.kind, one.to, one.gas_used, one.reverted, one.first_step, one.steps) for one in run.frames]
        changes = [(one.slot, one.before, one.after, one.undone) for one in run.changes]
        return frames[1:], run.opcodes, changes, run.steps.gas, run.steps.memory if memory else None

    lines = traced(tmp_path, OUTER, *(["--trace-memory"] if memory else [])).read_bytes()
    evm, tracer = Evm(), StructLogTracer(memory=memory)
    here, there = (number.to_bytes(20, "big") for number in (0xC0DE, CALLEE))
    state = MemoryState({here: Account(code=bytes(OUTER)), there: Account(code=bytes(INNER))})
    context = ExecutionContext(address=here, gas_limit=10_000_000)
    result = evm.execute_traced(bytes(OUTER), context, state, [tracer])
    frames, opcodes, *others = told(json.dumps(tracer.result(result.gas_used)).encode())
    expected = told(lines)
    assert others == list(expected[2:])
    # Struct logs do not tell what precompiles used: it is the price of the call.
    assert [one for one in frames if one[0] != "STATICCALL"] == [one for one in expected[0] if one[0] != "STATICCALL"]
    assert {name: one for name, one in opcodes.items() if name != "STATICCALL"} == {
        name: one for name, one in expected[1].items() if name != "STATICCALL"
    }


# What a browser shows


@needs_browser
def test_browser_shows_calls_gas_instructions_and_storage(tmp_path: Path, report: Callable[..., Path]) -> None:
    (tmp_path / "inner.hex").write_text(bytes(INNER).hex())
    page = shown(report(traced(tmp_path, OUTER, "--trace-memory"), "--code", tmp_path / "inner.hex"))
    tree = page.by_id["tree"]
    assert tree.count("execution reverted") == 2
    assert "CALLinner0x000000…0000dd" in tree
    assert "DELEGATECALLinner" in tree
    assert page.by_id["flame"].startswith("CALL 0x000000…00c0de ")
    assert page.classes.count("lost") == 2
    assert page.by_id["opcode-table"].index("SSTORE") < page.by_id["opcode-table"].index("PUSH1")
    storage = page.by_id["storage-rows"]
    assert (storage.count("undone"), storage.count("0x00000000000000000000000000000000000000dd")) == (4, 1)


@needs_browser
def test_browser_shows_every_step(tmp_path: Path, report: Callable[..., Path]) -> None:
    trace = traced(tmp_path, OUTER, "--trace-memory")
    page = report(trace)
    steps = steps_of(trace)
    names = [step["opName"] for step in steps]
    for number in (0, names.index("MSTORE") + 1, names.index("REVERT"), len(steps) - 1):
        step = steps[number]
        seen_page = shown(page, f"#step={number}")
        assert seen_page.by_id["now"] == f"{step['opName']} at {step['pc']:#06x}"
        for value in (int(step["gas"], 16), int(step["gasCost"], 16), step["depth"]):
            assert f"{value:,}" in seen_page.by_id["now-facts"]
        stack = "".join(f"{at}{word}" for at, word in enumerate(reversed(step["stack"])))
        assert seen_page.by_id["stack"] == (stack or "empty")
        memory = re.sub(r"0x[0-9a-f]{4}|[^0-9a-f]", "", seen_page.by_id["memory"].replace(".", ""))
        if "memory" in step:
            assert step["memory"][2:] in memory
        else:
            assert seen_page.by_id["memory"] == "empty"


@needs_browser
def test_browser_shows_storage_as_it_is_known_at_a_step(tmp_path: Path, report: Callable[..., Path]) -> None:
    trace = traced(tmp_path, OUTER)
    steps = steps_of(trace)
    page = report(trace)
    revert_at = next(at for at, one in enumerate(steps) if one["opName"] == "REVERT")
    assert shown(page, f"#step={revert_at}").by_id["slots"] == "0x2= 0x70x1= 0x7"
    last = shown(page, f"#step={len(steps) - 1}")
    assert last.by_id["slots"] == "0x1= 0x50x0= 0x5"
    assert "vmloom run CODE --trace FILE --trace-memory" in last.by_id["memory"]


@needs_browser
def test_keys_move_through_the_steps(tmp_path: Path, report: Callable[..., Path]) -> None:
    trace = traced(tmp_path, OUTER)
    steps = steps_of(trace)
    page = report(trace)
    call_at = next(at for at, one in enumerate(steps) if one["opName"] == "CALL")
    after = next(at for at in range(call_at + 1, len(steps)) if steps[at]["depth"] == 1)
    walks = [
        (0, ("j", "j", "ArrowDown", "k"), 2),
        (0, ("ArrowUp",), 0),
        (0, ("End",), len(steps) - 1),
        (9, ("Home",), 0),
        (call_at, ("o",), after),
        (call_at + 3, ("u",), call_at),
    ]
    ends = seen(page, "".join(walk(start, *keys) for start, keys, _ in walks), "body > i")
    assert ends == [f"{end:,}" for _, _, end in walks]


@needs_browser
def test_instructions_are_found_and_rows_sorted(tmp_path: Path, report: Callable[..., Path]) -> None:
    page = report(traced(tmp_path, OUTER))
    search = "document.getElementById('find').value = 'sload'; document.getElementById('find-next').click()"
    assert seen(page, search, "#found, #now") == ["1 of 4", "SLOAD at 0x000d"]
    by_name = "document.querySelector('#opcode-table button[data-key=\"0\"]').click()"
    names = seen(page, by_name, "#opcode-table tbody tr td:first-child")
    assert names == sorted(names)
    zoom = "document.querySelector('#flame .lost').parentNode.dispatchEvent(new MouseEvent('click'))"
    assert "CALL · 0x00000000000000000000000000000000000000dd · 44,330 gas" in seen(page, zoom, "#flame-text")[0]


@needs_browser
def test_texts_of_a_hostile_trace_are_texts(tmp_path: Path, report: Callable[..., Path]) -> None:
    attack = "</script><img src=x onerror=\"document.documentElement.dataset.owned='yes'\"><script>x</script>"
    lines = [
        {"from": attack, "to": attack, "gas": "0xff", "value": None, "type": attack},
        {"pc": 0, "op": 1, "gas": "0xff", "gasCost": "0x1", "stack": ["0x1"], "depth": 1, "opName": attack},
        {"pc": 1, "op": 0, "gas": "0xfe", "gasCost": "0x0", "stack": [], "depth": 1, "opName": "STOP", "error": attack},
        {"output": "", "gasUsed": "0xff", "error": attack},
    ]
    trace = tmp_path / "trace.jsonl"
    trace.write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = shown(report(trace, "--title", attack), "#step=1")
    assert "data-owned" not in page.attributes
    assert html.unescape(page.by_id["now-error"]) == attack
    assert attack in page.by_id["tree"]
    assert "<img" not in re.sub(r"<script.*?</script>", "", page.text, flags=re.DOTALL)


@needs_browser
def test_reason_of_a_revert_is_text(tmp_path: Path, report: Callable[..., Path]) -> None:
    said = "<b>too little</b>"
    reason = bytes.fromhex("08c379a0") + b"".join(number.to_bytes(32, "big") for number in (32, len(said)))
    step = {"pc": 0, "op": 0xFD, "gas": 9, "gasCost": 0, "stack": ["0x0", "0x0"], "depth": 1}
    end = {"output": (reason + said.encode().ljust(32, b"\0")).hex(), "gasUsed": "0x0", "error": "execution reverted"}
    trace = tmp_path / "trace.jsonl"
    trace.write_text(json.dumps(step) + "\n" + json.dumps(end) + "\n")
    assert f"execution reverted: {said}" in shown(report(trace)).by_id["tree"]


@needs_browser
def test_long_list_draws_only_what_is_seen(tmp_path: Path, report: Callable[..., Path]) -> None:
    trace = tmp_path / "trace.jsonl"
    with trace.open("w") as sink:
        for number in range(100_000):
            stack = [hex(number - back) for back in (2, 1, 0) if number >= back]
            step = {
                "pc": number % 999,
                "op": 0x60,
                "gas": 200_000 - number,
                "gasCost": 1,
                "depth": 1,
                "opName": "PUSH1",
            }
            sink.write(json.dumps({**step, "stack": stack}) + "\n")
        sink.write('{"output":"","gasUsed":"0x186a0"}\n')
    page = shown(report(trace), "#step=99999")
    assert page.by_id["stack"] == "00x1869f10x1869e20x1869d"
    assert page.text.count('role="option"') < 100
