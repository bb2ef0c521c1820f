"""Arithmetic wider than machine words, as kernels that the compiler calls where a body divides or takes powers.

They work in 64-bit words: LLVM's own division of wide integers is a loop over their bits.
"""
