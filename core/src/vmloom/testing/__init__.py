"""The kit with which an author tests a VM or a precompile set against the whole contract of its interface.

Subclass `vmloom.testing.conformance.VmConformance` (or `PrecompileConformance`) in a test module. Needs pytest:
`pip install vmloom-core[testing]`.
"""
