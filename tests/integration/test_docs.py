"""Every page tells the truth: its commands run and print what it shows, its links lead somewhere.

Fenced blocks mean what they say:

* ```console: a session. `$ ` begins a command (a line that ends in a backslash goes on in the next one), what follows
  is its output, stdout and stderr together. `...` stands for anything within a line, and alone on a line for any lines.
  A command must exit with 0; a page that shows a failure ends it with `; echo "exit code $?"`.
* ```python: a script. Blocks of one page share their names. If a ```text block follows at once, it is the output.
* any language with title="NAME": a file, written before what comes after it runs.
* other languages are only shown.

All blocks of a page run in order in one empty folder, which has `docs` and `examples` as the repository has them.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

REPOSITORY = Path(__file__).parents[2]
SHOWN_ONLY = {"text", "toml", "json", "yaml", "vyper", "diff"}
TIMEOUT = 120
"""Seconds for one command."""
NOT_RUN = {
    "python -m pip install uv && uv run vmloom demo": "installs into the reader's environment; .ci/run takes this path",
    "python -m pip install -c constraints.txt -r requirements-dev.txt": "installs; .ci/run checks that it resolves",
    "source .venv/bin/activate": "an environment is active already",
    "uv run pytest": "the whole suite, of which this is a part",
    "uv run --group bench python benchmarks/evm.py --peers pyrevm,py-evm": "installs them, and times differ each time",
    "vmloom evm statetest --summary --workers 0 $VMLOOM_FIXTURES/state_tests": "106,387 cases take far too long",
    "uv run python benchmarks/differential_engines.py --programs 1000000": "takes far too long; tests run it for less",
    "uv run python benchmarks/differential_prozvm.py --programs 100000": "takes far too long; tests run it for less",
    "uv run python benchmarks/wasm_fuzz.py --modules 100000": "takes a quarter of an hour; tests run it for less",
    "vmloom wasm spectest testsuite/": "needs a checkout of the suite",
    "uv run python benchmarks/cuda.py --out benchmarks/results": "needs a GPU; a test runs it in the emulator",
    "python examples/contracts/build.py --check": "tests/evm/test_demo.py runs it, and to compile twice is slow",
    "python examples/build_proz.py --check": "tests/prozvm/test_examples.py runs it",
    ".ci/run": "the whole suite, of which this is a part",
}
"""Commands that pages show and this test does not run, each with its reason."""

_NOTICE = re.compile(r"^vmloom: compiling .*\n", re.MULTILINE)
"""What the first command on a computer says while it compiles; it is on no page, for the second does not say it."""
_FENCE = re.compile(r"^```(\w*)(?: title=\"([^\"]+)\")?$")


@dataclass(frozen=True, slots=True)
class Block:
    """A fenced block: its language, the file it is, its text, and where it stands."""

    language: str
    title: str
    text: str
    line: int
    follows: bool
    """Whether nothing but blank lines lies between the block before and this one."""


@dataclass(frozen=True, slots=True)
class Command:
    """A command of a console block with the output that the page shows, empty if it shows none."""

    text: str
    output: str
    line: int


class PageError(AssertionError):
    """A page that does not tell the truth."""


def pages() -> list[Path]:
    """Every page of the repository that people read."""
    folders = ("docs", "core", "plugins", "examples", "benchmarks")
    found = [*REPOSITORY.glob("*.md"), *(page for folder in folders for page in (REPOSITORY / folder).rglob("*.md"))]
    return sorted(page for page in found if not any(part.startswith(".") or part == "build" for part in page.parts))


def blocks(page: Path) -> Iterator[Block]:
    """The fenced blocks of a page, in order. Raises `PageError` for one whose opening line is not understood."""
    lines = page.read_text("utf-8").splitlines()
    follows, at = False, 0
    while at < len(lines):
        line = lines[at]
        if not line.startswith("```"):
            follows = follows and not line.strip()
            at += 1
            continue
        fence = _FENCE.match(line)
        if fence is None:
            raise PageError(f"{page}:{at + 1}: {line!r} opens no block of a known form")
        end = lines.index("```", at + 1)
        yield Block(fence[1], fence[2] or "", "\n".join(lines[at + 1 : end]), at + 1, follows)
        follows, at = True, end + 1


def commands(block: Block) -> Iterator[Command]:
    """The commands of a console block."""
    current: list[str] = []
    output: list[str] = []
    start = block.line
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        if line.startswith("$ "):
            if current:
                yield Command("\n".join(current), "\n".join(output), start)
            current, output, start = [line[2:]], [], number
        elif current and current[-1].endswith("\\") and not output:
            current.append(line)
        else:
            output.append(line)
    if not current:
        raise PageError(f"line {block.line}: a console block without a command")
    yield Command("\n".join(current), "\n".join(output), start)


def carry_out(page: Path, folder: Path) -> None:
    """Run the blocks of `page` in `folder`, but for the commands in `NOT_RUN`. Raises `PageError`."""
    for name in ("docs", "examples"):
        (folder / name).symlink_to(REPOSITORY / name)
    names: dict[str, Any] = {"__name__": "__page__"}
    output: str | None = None
    for block in blocks(page):
        where = f"{page.relative_to(REPOSITORY)}:{block.line}"
        if block.title:
            target = folder / block.title
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text + "\n", "utf-8")
        elif block.language == "console":
            for command in commands(block):
                if command.text not in NOT_RUN:
                    run(command, folder, where)
        elif block.language == "python":
            output = execute(block, names, folder)
            continue
        elif block.language == "text" and block.follows and output is not None:
            compare(block.text, output, where)
        elif block.language not in SHOWN_ONLY:
            raise PageError(f"{where}: a block of {block.language or 'no language'} would not be checked")
        output = None


def run(command: Command, folder: Path, where: str) -> None:
    """Run a command as a reader would, who has activated the environment."""
    variables = {name: value for name, value in os.environ.items() if not name.startswith("VMLOOM_")}
    variables |= {"COLUMNS": "80", "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
    done = subprocess.run(
        ["bash", "-c", command.text],
        cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=TIMEOUT,
    )  # fmt: skip
    if done.returncode != 0:
        raise PageError(f"{where}: $ {command.text}\nexit code {done.returncode}\n{done.stdout}")
    if command.output.strip():
        compare(command.output, _NOTICE.sub("", done.stdout), f"{where}: $ {command.text}")


def execute(block: Block, names: dict[str, Any], folder: Path) -> str:
    """Run a script block and return what it prints."""
    # A file with as many lines before the block as the page has: tracebacks point at the page's line, and
    # functions have a source that can be inspected.
    script = folder / f"line_{block.line}.py"
    script.write_text("\n" * block.line + block.text + "\n", "utf-8")
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(script.read_text("utf-8"), script, "exec"), names)
    return printed.getvalue()


def compare(shown: str, given: str, where: str) -> None:
    """Raise `PageError` unless `given` is what `shown` says; blanks at the ends of lines do not count."""
    if not _pattern(shown).fullmatch(_stripped(given)):
        raise PageError(f"{where}\n--- the page shows\n{_stripped(shown)}\n--- but it is\n{_stripped(given)}")


def _pattern(shown: str) -> re.Pattern[str]:
    lines = []
    for line in _stripped(shown).splitlines():
        if line.strip() == "...":
            lines.append(r"(?:[^\n]*\n)*?")
        else:
            lines.append(".*?".join(map(re.escape, line.split("..."))) + r"\n")
    return re.compile("".join(lines))


def _stripped(text: str) -> str:
    """The text without blanks at the ends of lines, and without blank lines around it; it ends with a line break."""
    lines = [line.rstrip() for line in text.splitlines()]
    return "\n".join(lines).strip("\n") + "\n"


@pytest.mark.parametrize("page", [str(page.relative_to(REPOSITORY)) for page in pages()])
def test_page_shows_what_happens(page: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in os.environ if name.startswith("VMLOOM_")]:
        monkeypatch.delenv(name)
    before = set(sys.modules)
    try:
        carry_out(REPOSITORY / page, tmp_path)
    finally:
        for name in set(sys.modules) - before:  # a file of one page must not be taken for that of another
            if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
                del sys.modules[name]


@pytest.mark.parametrize("page", [str(page.relative_to(REPOSITORY)) for page in pages()])
def test_links_lead_somewhere(page: str) -> None:
    text = re.sub(r"^```.*?^```$", "", (REPOSITORY / page).read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        path, _, anchor = target.partition("#")
        if "://" in target or path.startswith("mailto:"):
            continue
        found = (REPOSITORY / page).parent / path if path else REPOSITORY / page
        assert found.exists(), f"{page} links to {target}, which is not there"
        if anchor:
            assert anchor in headings(found), f"{page} links to {target}, which has no such heading"


@pytest.mark.parametrize(
    ("shown", "given", "same"),
    [
        ("one\ntwo", "one  \ntwo\n\n", True),
        ("one\n...\nfour", "one\ntwo\nthree\nfour\n", True),
        ("took ... ms", "took 12 ms\n", True),
        ("took ... ms", "took 12 s\n", False),
        ("one", "one\ntwo\n", False),
        ("one\n...\nfour", "one\ntwo\n", False),
        ("a.c", "abc\n", False),
    ],
)
def test_output_is_compared_line_by_line(shown: str, given: str, same: bool) -> None:
    if same:
        compare(shown, given, "page")
    else:
        with pytest.raises(PageError):
            compare(shown, given, "page")


def test_what_is_not_run_is_still_shown_somewhere() -> None:
    shown = {
        command.text
        for page in pages()
        for block in blocks(page)
        if block.language == "console"
        for command in commands(block)
    }
    assert set(NOT_RUN) <= shown


def test_pip_users_get_the_tools_that_uv_users_get() -> None:
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))
    lines = [line for line in (REPOSITORY / "requirements-dev.txt").read_text("utf-8").splitlines() if line.strip()]
    assert [line for line in lines if line[0] not in "-#"] == project["dependency-groups"]["dev"]


def test_constraints_name_no_registry_and_pin_every_dependency() -> None:
    lines = (REPOSITORY / "constraints.txt").read_text("utf-8").splitlines()
    assert not [line for line in lines if "://" in line or " @ " in line or line.startswith("-")]
    pinned = {line.partition("==")[0].strip() for line in lines}
    for path in members():
        for requirement in tomllib.loads(path.read_text("utf-8"))["project"]["dependencies"]:
            name = re.match(r"[\w.-]+", requirement)
            assert name is not None
            assert name[0].startswith("vmloom-") or name[0].lower() in pinned, f"{path.parent.name}: {requirement}"


def members() -> list[Path]:
    """The project files of the workspace's packages."""
    return sorted([REPOSITORY / "core/pyproject.toml", *REPOSITORY.glob("plugins/*/pyproject.toml")])


def headings(page: Path) -> set[str]:
    """The anchors of a page, as GitHub forms them."""
    found = set()
    for heading in re.findall(r"^#+ (.+)$", page.read_text("utf-8"), flags=re.MULTILINE):
        found.add(re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-"))
    return found
