"""The kernel compiler of vmloom: typed Python functions to machine code, and the CPU as an accelerator."""
