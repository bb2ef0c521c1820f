"""What a warm start asks LLVM for, against what llvmlite says."""

from __future__ import annotations

import subprocess
import sys

import llvmlite.binding as binding
from vmloom_native import llvm


def test_same_answers_as_llvmlite() -> None:
    assert llvm.process_triple() == binding.get_process_triple()
    assert llvm.processor() == binding.get_host_cpu_name()
    features = binding.get_host_cpu_features()
    assert sorted(llvm.processor_features().split(",")) == sorted(
        f"{'+' if there else '-'}{name}" for name, there in features.items()
    )


def test_present_features_are_names_of_what_is_there() -> None:
    features = binding.get_host_cpu_features()
    assert llvm.present_features() == {name for name, there in features.items() if there}


def test_answers_do_not_need_the_python_half() -> None:
    program = (
        "import sys; from vmloom_native.build import host; host(); "
        "assert not [name for name in sys.modules if name.startswith('llvmlite')]"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
