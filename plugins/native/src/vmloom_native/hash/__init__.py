"""Hash functions as kernels that engines use themselves; those of precompiles are in the packages of precompiles."""
