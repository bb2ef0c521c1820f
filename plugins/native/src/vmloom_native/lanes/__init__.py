"""Hash functions of many messages at once, in the kernel language: one message in each lane of the vectors.

A loop over lanes inside each step is what LLVM turns into vector instructions, of whatever width the processor has. A
lane that ends its message takes the next row, so rows of all sizes keep the lanes busy.
"""
