"""The loader: every rule of which plugin is used, and what is said of the others."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from vmloom.cli.commands import root
from vmloom.errors import PluginError, UnknownVm
from vmloom.plugins import RESERVED, PluginRecord, PluginRegistry

GOOD = "@hookimpl\ndef vmloom_virtual_machines():\n    return [VmSpec('{0}', 'no_such_module:Vm')]\n"


def only(registry: PluginRegistry) -> PluginRecord:
    (record,) = registry.records
    return record


def statuses(registry: PluginRegistry) -> dict[str, str]:
    return {record.dist: record.status.value for record in registry.records}


def test_nothing_installed_is_no_error(environment: Any) -> None:
    registry = PluginRegistry()
    assert registry.records == []
    assert registry.names("vm") == []


def test_targets_are_not_imported_by_listing(environment: Any) -> None:
    environment.add_calc()
    registry = PluginRegistry()
    assert registry.names("vm") == ["calc"]
    assert "calcvm.vm" not in sys.modules or sys.modules.pop("calcvm.vm")
    registry = PluginRegistry()
    assert "calcvm.vm" not in sys.modules
    assert registry.load(registry.find("vm", "calc")).__name__ == "CalcVm"
    assert "calcvm.vm" in sys.modules


def test_a_broken_plugin_does_not_hide_the_others(environment: Any) -> None:
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin="import no_such_thing\n")
    environment.add_vm("bbb", "bbb")
    environment.add("ccc", "ccc = ccc_plugin", ccc_plugin="raise SystemExit(3)\n")
    environment.add_vm("ddd", "ddd")
    registry = PluginRegistry()
    assert statuses(registry) == {"aaa": "error", "bbb": "loaded", "ccc": "error", "ddd": "loaded"}
    assert registry.names("vm") == ["bbb", "ddd"]
    assert registry.records[0].detail == "ModuleNotFoundError: No module named 'no_such_thing'"


def test_the_cause_is_one_line(environment: Any) -> None:
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin="raise RuntimeError('first\\n  second\\nthird')\n")
    assert only(PluginRegistry()).detail == "RuntimeError: first second third"


def test_a_misspelled_hook_is_an_error(environment: Any) -> None:
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin="@hookimpl\ndef vmloom_virtual_machine():\n    return []\n")
    environment.add_vm("bbb", "bbb")
    registry = PluginRegistry()
    assert statuses(registry) == {"aaa": "error", "bbb": "loaded"}
    assert "unknown hook 'vmloom_virtual_machine'" in registry.records[0].detail


def test_a_hook_with_an_unknown_argument_is_an_error(environment: Any) -> None:
    source = "@hookimpl\ndef vmloom_virtual_machines(registry):\n    return []\n"
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin=source)
    environment.add_vm("bbb", "bbb")
    registry = PluginRegistry()
    assert statuses(registry) == {"aaa": "error", "bbb": "loaded"}
    assert "registry" in registry.records[0].detail


def test_a_hook_without_its_mark_is_an_error(environment: Any) -> None:
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin="def vmloom_virtual_machines():\n    return []\n")
    assert only(PluginRegistry()).detail == "PluginError: vmloom_virtual_machines is not marked with @hookimpl"


def test_a_plugin_that_offers_nothing_is_an_error(environment: Any) -> None:
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin="x = 1\n")
    assert only(PluginRegistry()).detail == "PluginError: it implements no hook of vmloom"


def test_a_hook_that_raises_half_way_offers_nothing(environment: Any) -> None:
    source = "@hookimpl\ndef vmloom_virtual_machines():\n    yield VmSpec('one', 'a:B')\n    raise OSError('disk')\n"
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin=source)
    registry = PluginRegistry()
    assert only(registry).detail == "OSError: disk"
    assert registry.names("vm") == []


@pytest.mark.parametrize(
    ("spec", "cause"),
    [
        ("'evm'", "must give VmSpec objects, got str"),
        ("PrecompileSpec('x', 'a:B')", "must give VmSpec objects, got PrecompileSpec"),
        ("VmSpec('Evm', 'a:B')", "'Evm' is no name"),
        ("VmSpec('my_vm', 'a:B')", "'my_vm' is no name"),
        ("VmSpec('evm', 'a.B')", "'a.B' is no import path"),
        ("VmSpec('evm', 'a:B', config='model')", "'model' is no import path"),
    ],
)
def test_a_bad_spec_is_an_error(environment: Any, spec: str, cause: str) -> None:
    source = f"@hookimpl\ndef vmloom_virtual_machines():\n    return [{spec}]\n"
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin=source)
    record = only(PluginRegistry())
    assert record.status == "error"
    assert cause in record.detail


def test_another_api_version_is_incompatible(environment: Any) -> None:
    environment.add_vm("aaa", "aaa", api=7)
    record = only(PluginRegistry())
    assert record.status == "incompatible"
    assert record.detail == "was built for plugin API 7 ('aaa'), but this core has 1"
    assert record.fix == "pip install --upgrade vmloom-core aaa"


def test_another_core_version_is_incompatible_and_not_imported(environment: Any) -> None:
    environment.add("aaa", "a = aaa_plugin", requires="vmloom-core<99,>=98", aaa_plugin="raise AssertionError\n")
    record = only(PluginRegistry())
    assert record.status == "incompatible"
    assert record.detail.startswith("needs vmloom-core<99,>=98, but ")


@pytest.mark.parametrize("requires", ["vmloom-core>=98; extra == 'test'", "other>=98", ""])
def test_requirements_that_do_not_apply_are_passed_over(environment: Any, requires: str) -> None:
    environment.add("aaa", "aaa = aaa_plugin", requires=requires, aaa_plugin=GOOD.format("aaa"))
    assert only(PluginRegistry()).status == "loaded"


@pytest.mark.parametrize("name", ["one", "aaa-dist", "AAA_dist"])
def test_disabled_by_entry_point_or_distribution(environment: Any, name: str) -> None:
    environment.add("aaa-dist", "one = aaa_plugin", aaa_plugin="raise AssertionError\n")
    assert only(PluginRegistry(disable=[name])).status == "disabled"


def test_same_name_from_two_packages_is_a_conflict(environment: Any) -> None:
    environment.add_vm("aaa", "same")
    environment.add_vm("bbb", "same")
    environment.add_vm("ccc", "other")
    registry = PluginRegistry()
    assert statuses(registry) == {"aaa": "conflict", "bbb": "conflict", "ccc": "loaded"}
    assert registry.names("vm") == ["other"]
    assert registry.records[-1].detail == "virtual machine 'same' is offered by aaa, bbb"
    assert registry.records[-1].fix == '[plugins] prefer.vm.same = "aaa"'


def test_preference_settles_a_conflict(environment: Any) -> None:
    environment.add_vm("aaa", "same")
    environment.add_vm("bbb", "same")
    registry = PluginRegistry(prefer={"vm": {"same": "bbb"}})
    assert statuses(registry) == {"aaa": "disabled", "bbb": "loaded"}
    assert registry.find("vm", "same").dist == "bbb"


def test_preference_for_what_is_not_there_is_a_conflict(environment: Any) -> None:
    environment.add_vm("aaa", "same")
    registry = PluginRegistry(prefer={"vm": {"same": "zzz"}})
    assert only(registry).status == "conflict"
    assert "asks for that of 'zzz'" in only(registry).detail


def test_conflict_on_one_name_leaves_the_others(environment: Any) -> None:
    source = "@hookimpl\ndef vmloom_virtual_machines():\n    return [VmSpec('same', 'a:B'), VmSpec('own', 'a:B')]\n"
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin=source)
    environment.add_vm("bbb", "same")
    assert PluginRegistry().names("vm") == ["own"]
    assert statuses(PluginRegistry(prefer={"vm": {"same": "bbb"}})) == {"aaa": "loaded", "bbb": "loaded"}


def test_same_name_of_different_kinds_is_no_conflict(environment: Any) -> None:
    source = GOOD.format("same") + "@hookimpl\ndef vmloom_accelerators():\n    yield AcceleratorSpec('same', 'a:B')\n"
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin=source)
    assert only(PluginRegistry()).status == "loaded"


def test_one_package_offering_a_name_twice_is_a_conflict(environment: Any) -> None:
    environment.add(
        "aaa", "one = one_plugin", "two = two_plugin", one_plugin=GOOD.format("x"), two_plugin=GOOD.format("x")
    )
    assert [record.status for record in PluginRegistry().records] == ["conflict", "conflict"]


def test_names_of_the_core_cannot_be_taken(environment: Any) -> None:
    environment.add(
        "aaa", "aaa = aaa_plugin", aaa_plugin="@hookimpl\ndef vmloom_commands():\n    yield CommandSpec('run', 'a:B')\n"
    )
    registry = PluginRegistry()
    assert only(registry).detail == "command 'run' is the core's own"
    assert registry.names("command") == []
    assert RESERVED["command"] == set(root.commands)


def test_order_does_not_depend_on_installation(environment: Any) -> None:
    for dist in ("mmm", "zzz", "aaa"):
        environment.add_vm(dist, dist)
    pairs = environment.installed()
    names = [
        [record.dist for record in PluginRegistry(installed=order).records]
        for order in (pairs, pairs[::-1], pairs[1:] + pairs[:1])
    ]
    assert names == [["aaa", "mmm", "zzz"]] * 3


def test_strict_raises_what_the_plugin_raised(environment: Any) -> None:
    environment.add("aaa", "aaa = aaa_plugin", aaa_plugin="import no_such_thing\n")
    with pytest.raises(ModuleNotFoundError, match="no_such_thing"):
        PluginRegistry(strict=True)


def test_strict_raises_for_conflict_and_incompatibility(environment: Any) -> None:
    environment.add_vm("aaa", "same")
    environment.add_vm("bbb", "same")
    with pytest.raises(PluginError, match="offered by aaa, bbb"):
        PluginRegistry(strict=True)
    environment.add_vm("ccc", "ccc", api=0)
    with pytest.raises(PluginError, match=r"ccc 1.0 was built for plugin API 0"):
        PluginRegistry(strict=True)


def test_unknown_vm_says_what_there_is(environment: Any) -> None:
    environment.add_vm("aaa", "calc")
    environment.add("vmloom-evm", "evm = evm_plugin", evm_plugin="import no_such_thing\n")
    registry = PluginRegistry()
    with pytest.raises(UnknownVm) as caught:
        registry.find("vm", "evm")
    message = str(caught.value)
    assert "no usable virtual machine 'evm'" in message
    assert "usable: calc" in message
    assert "vmloom-evm 1.0 [error] ModuleNotFoundError" in message
    assert caught.value.fix == "pip install --force-reinstall vmloom-evm"
    with pytest.raises(UnknownVm, match="did you mean 'calc'") as caught:
        registry.find("vm", "clac")
    with pytest.raises(UnknownVm) as caught:
        registry.find("vm", "wasm")
    assert caught.value.fix == "pip install vmloom-wasm"
    assert "fix: pip install vmloom-wasm" in caught.value.__notes__


def test_unknown_vm_in_conflict_gives_the_line_of_configuration(environment: Any) -> None:
    environment.add_vm("aaa", "same")
    environment.add_vm("bbb", "same")
    with pytest.raises(UnknownVm) as caught:
        PluginRegistry().find("vm", "same")
    assert caught.value.fix == '[plugins] prefer.vm.same = "aaa"'


def test_target_that_cannot_be_imported(environment: Any) -> None:
    environment.add_vm("aaa", "aaa")
    registry = PluginRegistry()
    with pytest.raises(
        PluginError, match=r"virtual machine 'aaa' of aaa 1.0 cannot be imported from no_such_module:Vm"
    ):
        registry.load(registry.find("vm", "aaa"))
