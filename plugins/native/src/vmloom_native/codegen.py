"""From LLVM's text to object code for this computer. The only module that runs LLVM's passes."""

from __future__ import annotations

import functools
from typing import Any


def target_machine(level: int = 2) -> Any:
    """LLVM's description of this computer: its processor's name and features, small position-independent code."""
    from llvmlite import binding

    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    binding.initialize_native_asmparser()  # for instructions that LLVM's text has no word for
    target = binding.Target.from_default_triple()
    return target.create_target_machine(
        cpu=binding.get_host_cpu_name(),
        features=binding.get_host_cpu_features().flatten(),
        opt=level,
        reloc="pic",
        codemodel="small",
    )


@functools.cache
def host_header() -> str:
    """The lines that say for which kind of computer a module is."""
    machine = target_machine()
    return f'target datalayout = "{machine.target_data}"\ntarget triple = "{machine.triple}"'


def optimised(ir_text: str, machine: Any, level: int = 2, *, vectorised: bool = False) -> Any:
    """The parsed and verified module after LLVM's passes. Raises `RuntimeError` with LLVM's words.

    `vectorised` turns innermost loops whose turns do not depend on one another into vector instructions: what is
    written for lanes gains by it, and other code only grows.
    """
    from llvmlite import binding

    module = binding.parse_assembly(ir_text)
    module.verify()
    options = binding.create_pipeline_tuning_options(speed_level=level)
    options.slp_vectorization = options.loop_interleaving = False
    options.loop_vectorization = vectorised
    passes = binding.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    return module


def emit_object(ir_text: str, *, level: int = 2, vectorised: bool = False) -> bytes:
    """Object code for this computer. Raises `RuntimeError` with LLVM's words if the text is not sound."""
    machine = target_machine(level)
    return bytes(machine.emit_object(optimised(ir_text, machine, level, vectorised=vectorised)))


def emit_assembly(ir_text: str, *, level: int = 2, vectorised: bool = False) -> str:
    """The same for people to read."""
    machine = target_machine(level)
    return str(machine.emit_assembly(optimised(ir_text, machine, level, vectorised=vectorised)))
