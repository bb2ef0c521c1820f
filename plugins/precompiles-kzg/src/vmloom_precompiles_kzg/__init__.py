"""Ethereum's precompile 0x0a, KZG point evaluation. `precompiles.KzgPrecompiles` is the set."""
