"""Ethereum's precompiles 0x0b to 0x11, the curve BLS12-381. `precompiles.Bls12381Precompiles` is the set.

`points` reads and writes points; `addition`, `multiplication`, `pairing` and `mapping` are the operations.
"""
