"""Contracts compiled to machine code, which runs among the instructions of the native interpreter.

`narrow` tells how large words can be.
"""
