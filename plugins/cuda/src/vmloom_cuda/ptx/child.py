"""The child process that runs LLVM for NVIDIA GPUs: IR without a header comes in on stdin, PTX goes out on stdout.

LLVM ends the process where it meets what it cannot select, so it does not run in ours. Imports nothing of vmloom.
"""

from __future__ import annotations

import sys
from typing import Any, Final

from llvmlite import binding

TRIPLE: Final = "nvptx64-nvidia-cuda"
UNSOUND: Final = 3
"""Exit status for IR that LLVM refuses, with its words on stderr."""


def machine(processor: str, features: str, level: int) -> Any:
    """LLVM's description of a GPU such as `sm_75`."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    target = binding.Target.from_triple(TRIPLE)
    return target.create_target_machine(cpu=processor, features=features, opt=level)


def compiled(text: str, target: Any, level: int) -> str:
    """PTX of a module. Raises `RuntimeError` with LLVM's words.

    The data layout must stand before what is parsed: without one, accesses that do not tell their alignment would be
    taken for badly aligned ones.
    """
    header = f'target datalayout = "{target.target_data}"\ntarget triple = "{TRIPLE}"\n'
    module = binding.parse_assembly(header + text)
    module.verify()
    passes = binding.create_pass_builder(target, binding.create_pipeline_tuning_options(speed_level=level))
    passes.getModulePassManager().run(module, passes)
    return str(target.emit_assembly(module))


def main() -> int:
    """Arguments: processor, features, level of optimisation."""
    processor, features, level = sys.argv[1], sys.argv[2], int(sys.argv[3])
    try:
        ptx = compiled(sys.stdin.buffer.read().decode(), machine(processor, features, level), level)
    except RuntimeError as cause:
        sys.stderr.write(str(cause))
        return UNSOUND
    sys.stdout.buffer.write(ptx.encode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
