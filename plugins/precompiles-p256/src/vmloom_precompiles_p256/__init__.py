"""Ethereum's precompile 0x100, P256VERIFY. `precompiles.P256Precompiles` is the set."""
