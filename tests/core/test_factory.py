"""The factory: one configured VM for each type, and clear words when there is none."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from structlog.testing import capture_logs
from vmloom import MemoryState, VirtualMachine
from vmloom.errors import ConfigError, PluginError, UnknownVm
from vmloom.factory import VmFactory, VmHost, default_factory
from vmloom.plugins import PluginRegistry
from vmloom.settings import Settings

VM = """
from vmloom import *

class Vm(VirtualMachine):
    vm_type = "made"
    vm_version = VmVersion(1, 0, 0)
    made = 0

    def __init__(self, *, config, host):
        type(self).made += 1
        self.config, self.host = config, host
        self.prepare()

    def prepare(self): pass
    def execute(self, code, context, state): raise NotImplementedError
    def validate_code(self, code): pass

class Slow(Vm):
    def prepare(self):
        import time
        time.sleep(0.05)

class Selfish(Vm):
    def prepare(self):
        self.host.get_vm("other")

class Other(Vm):
    def prepare(self):
        self.host.get_vm("selfish")

class Failing(Vm):
    def prepare(self):
        raise RuntimeError("no licence")

class Set(PrecompileSet):
    def __init__(self, config=None):
        self.config = config

    def at(self, revision):
        return {}

class Device(Accelerator):
    name = "device"
    def status(self): return AcceleratorStatus(False, "none here")
    def capabilities(self): return {}
    def run(self, operation, columns): raise KeyError(operation)

class Store(MemoryState): pass
def nothing(**arguments): return None
"""
MODEL = """
from pydantic import BaseModel
class Config(BaseModel):
    size: int = 1
"""
HOOKS = """
@hookimpl
def vmloom_virtual_machines():
    for name in ("Vm", "Slow", "Selfish", "Other", "Failing", "nothing"):
        yield VmSpec(name.lower(), f"things:{name}", config="model:Config" if name == "Slow" else "")

@hookimpl
def vmloom_precompiles():
    yield PrecompileSpec("zeta", "things:Set", vm="evm")
    yield PrecompileSpec("alpha", "things:Set", vm="evm", config="model:Config")
    yield PrecompileSpec("foreign", "things:Set", vm="wasm")
    yield PrecompileSpec("broken", "no_such_module:Set", vm="prozvm")

@hookimpl
def vmloom_accelerators():
    yield AcceleratorSpec("device", "things:Device")
    yield AcceleratorSpec("missing", "no_such_module:Device")

@hookimpl
def vmloom_states():
    yield StateSpec("store", "things:Store")
"""


@pytest.fixture
def things(environment: Any) -> Any:
    environment.add("things", "things = hooks", hooks=HOOKS, things=VM, model=MODEL)
    return environment


def test_one_vm_of_each_type(things: Any) -> None:
    factory = VmFactory()
    assert factory.available() == ["failing", "nothing", "other", "selfish", "slow", "vm"]
    assert factory.get_vm("vm") is factory.get_vm("vm")
    assert factory.create_vm("vm") is not factory.get_vm("vm")
    assert isinstance(factory.get_vm("vm"), VirtualMachine)


MAGICAL = """
@hookimpl
def vmloom_virtual_machines():
    yield VmSpec("short", "things:Vm", magic=b"ab")
    yield VmSpec("long", "things:Vm", magic=b"abc")
    yield VmSpec("one", "things:Vm", magic=b"x")
    yield VmSpec("two", "things:Vm", magic=b"x")
    yield VmSpec("plain", "things:Vm")
"""


def test_first_bytes_of_code_say_which_vm_it_is_for(environment: Any) -> None:
    environment.add("magical", "magical = hooks", hooks=MAGICAL)
    factory = VmFactory()
    codes = (b"abcd", b"abd", b"a", b"", b"zzz")
    assert [factory.vm_of_code(code) for code in codes] == ["long", "short", "evm", "evm", "evm"]
    assert factory.default_vm == "evm"


def test_code_that_two_vms_claim_is_nobodys(environment: Any) -> None:
    environment.add("magical", "magical = hooks", hooks=MAGICAL)
    with pytest.raises(PluginError, match="begins with 0x78 is claimed by the VMs one and two"):
        VmFactory().vm_of_code(b"xyz")


def test_vm_gets_its_section_and_the_factory(things: Any) -> None:
    factory = VmFactory(Settings({"vm": {"slow": {"size": 5}}}))
    vm: Any = factory.get_vm("slow")
    assert vm.config.size == 5
    assert vm.host is factory
    created: Any = factory.create_vm("slow", size=6)
    assert created.config.size == 6
    assert vm.config.size == 5
    plain: Any = factory.get_vm("vm")
    assert plain.config is None


def test_threads_get_the_same_vm_made_once(things: Any) -> None:
    factory = VmFactory()
    barrier, seen = threading.Barrier(8), []

    def work() -> None:
        barrier.wait()
        seen.append(factory.get_vm("slow"))

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(seen) == 8
    assert len({id(vm) for vm in seen}) == 1
    assert type(seen[0]).made == 1  # type: ignore[attr-defined]


def test_vms_that_need_each_other_to_begin_are_refused(things: Any) -> None:
    factory = VmFactory()
    with pytest.raises(PluginError, match="selfish -> other -> selfish: it asks for itself"):
        factory.get_vm("selfish")
    with pytest.raises(PluginError, match="other -> selfish -> other"):
        factory.get_vm("other")  # the first failure left nothing behind


def test_failures_name_the_package(things: Any) -> None:
    factory = VmFactory()
    with pytest.raises(PluginError, match=r"'failing' of things 1.0 cannot be created: RuntimeError: no licence"):
        factory.get_vm("failing")
    with pytest.raises(PluginError, match=r"'nothing' of things 1.0: things:nothing is no VirtualMachine"):
        factory.get_vm("nothing")
    with pytest.raises(UnknownVm):
        factory.get_vm("evm")


def test_precompile_sets_are_in_order_and_can_be_left_out(things: Any) -> None:
    factory = VmFactory(Settings({"precompiles": {"alpha": {"size": 3}}}))
    sets: list[Any] = list(factory.precompile_sets("evm"))
    assert [one.config and one.config.size for one in sets] == [3, None]
    assert factory.precompile_sets("evm")[0] is sets[0]
    assert len(factory.precompile_sets("wasm")) == 1
    assert factory.precompile_sets("calc") == []
    limited = VmFactory(Settings({"precompiles": {"alpha": {"enabled": False, "size": 3}}}))
    assert len(limited.precompile_sets("evm")) == 1
    with pytest.raises(ConfigError, match=r"^\[precompiles.alpha\] enabled: should be true or false, got 'maybe'$"):
        VmFactory(Settings({"precompiles": {"alpha": {"enabled": "maybe"}}})).precompile_sets("evm")


def test_a_precompile_set_that_breaks_is_not_left_out_in_silence(things: Any) -> None:
    with pytest.raises(PluginError, match=r"precompile set 'broken' of things 1.0 cannot be imported"):
        VmFactory().precompile_sets("prozvm")


def test_accelerators_that_break_are_left_out(things: Any) -> None:
    factory = VmFactory()
    with capture_logs() as logs:
        assert [accelerator.name for accelerator in factory.accelerators()] == ["device"]
    assert factory.accelerator("device") is factory.accelerator("device")
    (line,) = logs
    assert (line["log_level"], line["name"]) == ("warning", "missing")
    assert "no_such_module" in line["cause"]
    with pytest.raises(PluginError, match="no usable accelerator 'gpu'"):
        factory.accelerator("gpu")


def test_state_stores(things: Any) -> None:
    factory = VmFactory()
    assert type(factory.create_state()) is MemoryState
    assert type(factory.create_state("store")).__name__ == "Store"
    assert factory.create_state("store") is not factory.create_state("store")


def test_section_of_nothing_installed_is_refused(things: Any) -> None:
    with pytest.raises(ConfigError, match=r"^\[vm.sloww\]: unknown section \(did you mean `vm.slow`\?\)$"):
        VmFactory(Settings({"vm": {"sloww": {"size": 1}}}))
    with pytest.raises(ConfigError, match=r"no installed plugin offers state 'redis'"):
        VmFactory(Settings({"state": {"redis": {"size": 1}}}))


def test_section_may_belong_to_a_plugin_that_is_broken(things: Any) -> None:
    things.add("vmloom-evm", "evm = evm_plugin", evm_plugin="import no_such_thing\n")
    assert "vm" in VmFactory(Settings({"vm": {"evm": {"revision": "cancun"}}})).available()


def test_unknown_keys_are_refused_when_the_vm_is_asked_for(things: Any) -> None:
    factory = VmFactory(Settings({"vm": {"slow": {"sise": 1}, "vm": {"x": 1}}}))
    with pytest.raises(ConfigError, match=r"^\[vm.slow\] sise: unknown key \(did you mean `size`\?\)$"):
        factory.get_vm("slow")
    with pytest.raises(ConfigError, match=r"^\[vm.vm\] x: unknown key \(vm vm has no settings\)$"):
        factory.get_vm("vm")


def test_default_factory_reads_the_configuration_once(
    things: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Any
) -> None:
    (tmp_path / "vmloom.toml").write_text("[vm.slow]\nsize = 9\n")
    monkeypatch.chdir(tmp_path)
    default_factory.cache_clear()
    try:
        vm: Any = default_factory().get_vm("slow")
        assert vm.config.size == 9
        assert default_factory() is default_factory()
    finally:
        default_factory.cache_clear()


def test_factory_is_a_host() -> None:
    host: VmHost = VmFactory(plugins=PluginRegistry(installed=[]))
    with pytest.raises(UnknownVm):
        host.get_vm("evm")
