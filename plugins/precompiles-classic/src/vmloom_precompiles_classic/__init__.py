"""Ethereum's precompiles 0x01 to 0x09. `precompiles.ClassicPrecompiles` is the set; one module per family."""
