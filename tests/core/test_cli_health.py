"""`vmloom doctor`, and what `vmloom plugins` says of accelerators that cannot be used."""

from __future__ import annotations

import json
from typing import Any

import pytest
from vmloom import object_cache
from vmloom.object_cache import ObjectCache

ACCELERATOR = """
@hookimpl
def vmloom_accelerators():
    return [AcceleratorSpec("{name}", "{name}_classes:{name}", absence="{absence}")]
"""
CLASS = """
from vmloom.accelerator import Accelerator, AcceleratorStatus
class {name}(Accelerator):
    name = "{name}"
    def __init__(self):
        {made}
    def status(self):
        {answer}
    def capabilities(self):
        return {{}}
    def run(self, operation, columns):
        raise KeyError(operation)
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A cache of compiled code of this test's own."""
    monkeypatch.setattr(object_cache, "default_folder", lambda: tmp_path / "objects")
    return tmp_path / "objects"


def add(environment: Any, name: str, answer: str, made: str = "pass", absence: str = "") -> None:
    """An accelerator; `absence` is what the function says that `vmloom plugins` asks, if it has one."""
    sources = {
        f"{name}_plugin": ACCELERATOR.format(name=name, absence=f"{name}_presence:told" if absence else ""),
        f"{name}_classes": CLASS.format(name=name, answer=answer, made=made),
        f"{name}_presence": f"def told(section):\n    {absence}\n",
    }
    environment.add(name, f"{name} = {name}_plugin", **sources)


def findings(vmloom: Any) -> dict[tuple[str, str], dict[str, str]]:
    return {(one["kind"], one["name"]): one for one in json.loads(vmloom("doctor", "--json").stdout)}


def test_all_is_well(vmloom: Any) -> None:
    result = vmloom("doctor")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    found = findings(vmloom)
    assert {one["verdict"] for one in found.values()} == {"ok"}
    assert found["vm", "calc"]["remark"]
    assert found["plugin", "calc"]["remark"] == "calcvm 1.2.0"


def test_accelerators_say_what_they_run_on_or_why_not(vmloom: Any, environment: Any) -> None:
    add(environment, "fast", "return AcceleratorStatus(True, device='a card', path='gpu')")
    add(environment, "absent", "return AcceleratorStatus(False, 'no driver is installed')")
    add(environment, "liar", "raise ValueError('it said it would not')")
    add(environment, "unmade", "return None", made="raise RuntimeError('no such thing')")
    result = vmloom("doctor")
    assert result.exit_code == 0, "nothing needs an accelerator"
    found = {name: findings(vmloom)["accelerator", name] for name in ("fast", "absent", "liar", "unmade")}
    assert (found["fast"]["verdict"], found["fast"]["remark"]) == ("ok", "a card, by gpu")
    assert (found["absent"]["verdict"], found["absent"]["remark"]) == ("not usable", "no driver is installed")
    assert found["liar"]["remark"] == "ValueError: it said it would not"
    assert "no such thing" in found["unmade"]["remark"]
    for reason in ("no driver is installed", "it said it would not", "no such thing"):
        assert reason in result.stdout


def test_plugins_say_why_an_accelerator_is_not_used(vmloom: Any, environment: Any) -> None:
    never = "raise AssertionError('devices are not asked by who lists plugins')"
    add(environment, "absent", never, made=never, absence="return 'no driver is installed'")
    add(environment, "fast", never, made=never, absence="return ''")
    add(environment, "silent", never, made=never)
    add(environment, "hasty", never, made=never, absence="raise ValueError('too soon')")
    result = vmloom("plugins")
    assert result.exit_code == 0
    assert "no driver is installed" in next(line for line in result.stdout.splitlines() if "absent" in line)
    assert "no driver is installed" in vmloom("plugins", "--all").stdout
    offers = {one["name"]: one["offers"][0] for one in json.loads(vmloom("plugins", "--json").stdout)}
    assert offers["absent"]["reason"] == "no driver is installed"
    assert offers["fast"]["reason"] == offers["silent"]["reason"] == ""
    assert offers["hasty"]["reason"] == "ValueError: too soon"


def test_what_is_configured_may_make_a_difference(vmloom: Any, environment: Any) -> None:
    add(environment, "absent", "return None", absence="return 'no driver' + str(section)")
    assert "no driver{'emulated': 'true'}" in vmloom("--set", "accelerator.absent.emulated=true", "plugins").stdout


def test_a_plugin_that_is_broken_is_told_with_the_way_out(vmloom: Any, environment: Any) -> None:
    environment.add("broken", "broken = broken_plugin", broken_plugin="import no_such_thing\n")
    environment.add_vm("wrong", "wrong")
    result = vmloom("doctor")
    assert result.exit_code == 1
    found = findings(vmloom)
    assert found["plugin", "broken"]["verdict"] == "broken"
    assert "no_such_thing" in found["plugin", "broken"]["remark"]
    assert found["vm", "wrong"]["verdict"] == "broken"
    assert "no_such_module" in found["vm", "wrong"]["remark"]


def test_a_cache_that_cannot_be_used_is_told(vmloom: Any, cache: Any) -> None:
    cache.write_text("in the way")
    result = vmloom("doctor")
    assert result.exit_code == 1
    found = findings(vmloom)["cache", str(cache)]
    assert found["verdict"] == "broken"
    store = ObjectCache(cache)
    store.entries()
    assert found["remark"] == store.problem != ""
