"""An emulator of PTX: runs what LLVM emits, thread by thread, with every access to memory checked."""
