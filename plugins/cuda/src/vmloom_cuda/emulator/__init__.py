"""An emulator of PTX: runs what LLVM emits, thread by thread, with every access to memory checked.

```python
emulator = Emulator(ptx)
address = emulator.memory.allocate(4096)
emulator.launch("keccak256", rows, [address, ...])
```

It proves what a GPU would compute, not how fast. Threads run one after the other, so shared memory, barriers and what
warps do together are refused; so is floating point.
"""

from __future__ import annotations

from .emulator import Emulator, Execution
from .errors import EmulatorFault, PtxError, StepLimit
from .memory import DeviceMemory

__all__ = ["DeviceMemory", "Emulator", "EmulatorFault", "Execution", "PtxError", "StepLimit"]
