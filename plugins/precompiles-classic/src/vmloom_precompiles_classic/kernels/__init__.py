"""The precompiles of this package in the kernel language, which compiled engines run. See `vmloom.kernel`.

Nothing here is imported until an engine asks a precompile for its `kernel`. The libraries that the precompiles use in
Python stay the reference that these are tested against.
"""
