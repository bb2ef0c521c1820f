"""The curve BN254 (alt_bn128), its pairing, and the precompiles that offer them.

No library with wheels, upkeep and these checks exists for it in Python, so the arithmetic is ours, on GMP's integers:
`field` (Fp2, Fp12), `curve` (G1, G2), `pairing`, and `precompiles` on top, which alone reads untrusted bytes.
Points are affine throughout, since GMP inverts in the time of six multiplications; None is the point at infinity.
"""
