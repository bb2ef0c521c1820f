"""Nodes that a benchmark can start, speak to and count the processor's time of; and a client that is lean enough.

The time of a server is that of all processes of its session, read from /proc, so this needs Linux. What its client and
others on the machine use is not in it.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

START_SECONDS: Final = 60.0
TICK: Final = os.sysconf("SC_CLK_TCK")


class PeerMissing(Exception):
    """A peer that is not installed; the message says what would install it."""


@dataclass
class Wire:
    """One kept connection. Bodies are made beforehand, so that little time goes into the client."""

    host: str
    port: int
    _connection: http.client.HTTPConnection = field(init=False)

    def __post_init__(self) -> None:
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=120)

    def post(self, body: bytes) -> bytes:
        """The answer's body."""
        headers = {"content-type": "application/json"}
        try:
            self._connection.request("POST", "/", body, headers)
        except (BrokenPipeError, ConnectionResetError):  # some servers end a connection after a while: nothing was sent
            self._connection.close()
            self._connection.request("POST", "/", body, headers)
        return self._connection.getresponse().read()

    def call(self, method: str, *params: Any) -> Any:
        """The result of a call. Raises `RuntimeError` for an error."""
        answer = json.loads(self.post(request(method, *params)))
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return answer["result"]

    def close(self) -> None:
        """Hang up."""
        self._connection.close()


def request(method: str, *params: Any, number: int = 1) -> bytes:
    """The text of a call."""
    return json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params}).encode()


def batch(method: str, items: Sequence[Any]) -> bytes:
    """The text of a batch of calls, one for each parameter."""
    return b"[" + b",".join(request(method, item, number=number) for number, item in enumerate(items)) + b"]"


@dataclass
class Server:
    """A running node."""

    name: str
    process: subprocess.Popen[bytes]
    wire: Wire

    def cpu(self) -> float:
        """Seconds that the processors have spent on it and its children."""
        return sum(_seconds(pid) for pid in _session(self.process.pid))

    def resident(self) -> int:
        """Bytes of memory that it and its children hold, without pages of files."""
        return sum(_resident(pid) for pid in _session(self.process.pid))

    def open_files(self) -> int:
        """File descriptors, of it alone."""
        return len(os.listdir(f"/proc/{self.process.pid}/fd"))  # noqa: PTH208 # names are all that is wanted


def _session(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                if int(_stat(int(entry.name))[3]) == leader:
                    found.append(int(entry.name))
    return found


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name, which may have spaces in it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def _seconds(pid: int) -> float:
    with contextlib.suppress(OSError):
        return sum(map(int, _stat(pid)[11:15])) / TICK
    return 0.0


def _resident(pid: int) -> int:
    """Without pages of files, such as those of a store that is mapped: the system takes these back when it likes."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return 1024 * int(line.split()[1])
    return 0


@contextlib.contextmanager
def started(name: str, command: Sequence[str], port: int, *, folder: Path | None = None) -> Iterator[Server]:
    """A server of its own session, once it answers; ended at the end."""
    process = subprocess.Popen(
        command,
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "HARDHAT_DISABLE_TELEMETRY_PROMPT": "true"},
    )
    try:
        wire = _answering(name, process, port)
        yield Server(name, process, wire)
        wire.close()
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _answering(name: str, process: subprocess.Popen[bytes], port: int) -> Wire:
    until = time.monotonic() + START_SECONDS
    while time.monotonic() < until:
        if process.poll() is not None:
            raise RuntimeError(f"{name} ended with exit code {process.returncode} as it was started")
        wire = Wire("127.0.0.1", port)
        try:
            wire.call("eth_chainId")
        except (OSError, http.client.HTTPException, ValueError):
            wire.close()
            time.sleep(0.1)
        else:
            return wire
    raise RuntimeError(f"{name} did not answer within {START_SECONDS:g} s")


def vmloom(
    port: int, folder: Path, *options: str, settings: Sequence[str] = ()
) -> contextlib.AbstractContextManager[Server]:
    """`vmloom node` of this environment, in an empty folder; `settings` are keys with their values."""
    chosen = [word for one in settings for word in ("--set", one)]
    command = [sys.executable, "-m", "vmloom", *chosen, "node", "--port", str(port), "--quiet", *options]
    return started("vmloom", command, port, folder=folder)


def hardhat(port: int, folder: Path, modules: Path | None) -> contextlib.AbstractContextManager[Server]:
    """Hardhat's node. Raises `PeerMissing`."""
    program = _module(modules, "hardhat", "npm install hardhat@2")
    config = folder / "hardhat.config.cjs"
    config.write_text(
        "module.exports = {solidity: '0.8.24', networks: {hardhat: {chainId: 31337, loggingEnabled: false}}};"
    )
    assert modules is not None
    command = [str(program), "--config", str(config), "node", "--hostname", "127.0.0.1", "--port", str(port)]
    return started("hardhat", command, port, folder=modules.parent)


def anvil(port: int, folder: Path, modules: Path | None) -> contextlib.AbstractContextManager[Server]:
    """Foundry's anvil, from npm or the PATH. Raises `PeerMissing`."""
    found = shutil.which("anvil")
    program = Path(found) if found else _module(modules, "anvil", "npm install @foundry-rs/anvil")
    return started("anvil", [str(program), "--silent", "--port", str(port), "--host", "127.0.0.1"], port, folder=folder)


def _module(modules: Path | None, name: str, install: str) -> Path:
    program = (modules or Path("node_modules")) / ".bin" / name
    if not program.exists():
        raise PeerMissing(f"{name} is not installed: {install}, and give --node-modules FOLDER/node_modules")
    return program


def environment() -> Mapping[str, str]:
    """Versions of what runs the peers."""
    node = shutil.which("node")
    versions = {"python": sys.version.split()[0]}
    if node:
        versions["node"] = subprocess.run(
            [node, "--version"], capture_output=True, text=True, check=False
        ).stdout.strip()
    return versions
