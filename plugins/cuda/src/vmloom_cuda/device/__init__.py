"""Devices: memory, copies, streams and launches, on a GPU through CuPy or in the emulator.

Nothing here knows what a kernel computes; `operations` and `evm` do.
"""
