"""BN254 in the kernel language: `field` (Fp), `tower` (Fp2, Fp6, Fp12), `curve` (G1), `pairing`, `precompiles`.

Numbers modulo P are in Montgomery's form, times 2**256, and below P: so equal numbers have equal words.
"""
