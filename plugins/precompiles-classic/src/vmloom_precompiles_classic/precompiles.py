"""Which precompile stands at which of the addresses 0x01 to 0x09, fork by fork."""

from __future__ import annotations

from collections.abc import Mapping

from vmloom.precompile import Precompile, PrecompileSet, Revision

from .blake2f import Blake2F
from .bn254.precompiles import BYZANTIUM_PRICES, ISTANBUL_PRICES, Bn254Add, Bn254Mul, Bn254Pairing
from .data import Identity, Ripemd160, Sha256
from .modexp import ModExp, ModExpBerlin, ModExpOsaka
from .recover import EcRecover


class ClassicPrecompiles(PrecompileSet):
    """0x01 to 0x04 since Frontier, 0x05 to 0x08 since Byzantium, 0x09 since Istanbul."""

    def at(self, revision: Revision) -> Mapping[bytes, Precompile]:
        """The precompiles of `revision` by 20-byte address."""
        found: dict[int, Precompile] = {0x01: EcRecover(), 0x02: Sha256(), 0x03: Ripemd160(), 0x04: Identity()}
        if revision.includes("byzantium"):
            prices = ISTANBUL_PRICES if revision.includes("istanbul") else BYZANTIUM_PRICES
            found[0x05] = modexp_of(revision)
            found[0x06] = Bn254Add(prices)
            found[0x07] = Bn254Mul(prices)
            found[0x08] = Bn254Pairing(prices)
        if revision.includes("istanbul"):
            found[0x09] = Blake2F()
        return {number.to_bytes(20, "big"): precompile for number, precompile in found.items()}


def modexp_of(revision: Revision) -> ModExp:
    """MODEXP with the prices and limits of `revision`."""
    if revision.includes("osaka"):
        return ModExpOsaka()
    if revision.includes("berlin"):
        return ModExpBerlin()
    return ModExp()
