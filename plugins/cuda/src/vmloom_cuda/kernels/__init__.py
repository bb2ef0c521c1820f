"""Row bodies: what one thread does with one row, in the kernel language.

What is computed is said elsewhere, once: by the hash functions of `vmloom.kernel`, by the loops that the accelerator
`cpu` compiles, and by the kernels of installed precompiles. Here is only where a row lies and where its result goes.
"""
