"""The modules: which bodies are emitted together, with what in place of their stand-ins. Each is made once."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from vmloom.kernel import Ptr, blake2b, keccak, sha256, u8, u64
from vmloom_native import batches

from ..ptx import PtxModule, Row, module
from . import arithmetic, digests, in_registers, merkle, recovery
from .aligned import put_32, put_64, word_32, word_64

Kernel = Callable[..., Any]
Body = Callable[..., None] | Row


@dataclass(frozen=True, slots=True)
class HashFunction:
    """A hash function, and what its builds replace: its words `read` and `written`.

    `inlined` is what it calls for each block: with its state in registers, that goes without local memory. So it has
    parts replaced by those `in_registers`.
    """

    function: Callable[[Ptr[u8], u64, Ptr[u8]], None]
    read: Mapping[Kernel, Kernel]
    written: Mapping[Kernel, Kernel]
    inlined: frozenset[Kernel] = frozenset()
    in_registers: Mapping[Kernel, Kernel] = field(default_factory=dict)


HASHES: Final[Mapping[str, HashFunction]] = {
    "keccak256": HashFunction(
        keccak.keccak256,
        {keccak.word_at: word_64},
        {keccak.put_word: put_64},
        frozenset({keccak.permute}),
        {keccak.add_words: in_registers.add_words},
    ),
    "sha256": HashFunction(sha256.sha256, {sha256.word_at: word_32}, {sha256.put_word: put_32}),
    "blake2b_256": HashFunction(
        blake2b.blake2b_256, {blake2b.word_at: word_64}, {blake2b.put_word: put_64}, frozenset({blake2b.mix})
    ),
}
WORD: Final = 8
"""Rows of a multiple of that many bytes are words, and digests of them are `digests_of_words`."""


@functools.cache
def digests_of_bytes(name: str) -> PtxModule:
    """`digest`, `digest_of_size`: of rows wherever they begin. Digests are written at multiples of 32 bytes."""
    found = HASHES[name]
    bodies: dict[str, Body] = {"digest": digests.digest, "digest_of_size": digests.digest_of_size}
    return module(
        bodies,
        replacements={digests.hash_bytes: found.function, **found.written, **found.in_registers},
        inlined=found.inlined,
    )


@functools.cache
def digests_of_words(name: str) -> PtxModule:
    """`digest_of_size` of rows that begin at multiples of 8 bytes, and `leaf`, `level` and `root` of trees."""
    found = HASHES[name]
    bodies: dict[str, Body] = {
        "digest_of_size": digests.digest_of_size,
        "leaf": merkle.leaf,
        "level": merkle.level,
        "root": merkle.root,
    }
    replacements = {digests.hash_bytes: found.function, **found.read, **found.written, **found.in_registers}
    return module(bodies, replacements=replacements, inlined=found.inlined)


@functools.cache
def digests_of_known_size(name: str, size: int) -> PtxModule:
    """`digest_of_size` of rows of one of `digests.KNOWN_SIZES`: what follows from their size is not computed."""
    found = HASHES[name]
    replacements: dict[Kernel, Kernel] = {
        digests.hash_bytes: found.function,
        digests.known_size: digests.KNOWN_SIZES[size],
        **found.read,
        **found.written,
    }
    bodies: dict[str, Body] = {"digest_of_size": digests.digest_of_size}
    return module(bodies, replacements=replacements, inlined=found.inlined | {found.function})


def digests_of_rows(name: str, size: int) -> PtxModule:
    """The module that has `digest_of_size` for rows of `size` bytes, one behind the other."""
    if size in digests.KNOWN_SIZES:
        return digests_of_known_size(name, size)
    return digests_of_words(name) if size % WORD == 0 else digests_of_bytes(name)


@functools.cache
def words() -> PtxModule:
    """Arithmetic, by the operations' names."""
    return module(arithmetic.ROWS)


@functools.cache
def recoveries(kernel: Kernel) -> PtxModule:
    """`recover` and `recover_of_size` by the kernel of a precompile."""
    bodies: dict[str, Body] = {
        "recover": recovery.recover,
        "recover_of_size": recovery.recover_of_size,
    }
    return module(bodies, replacements={batches.precompile: kernel, **_in_step()})


@functools.cache
def recoveries_in_passes(kernel: Kernel) -> PtxModule | None:
    """`invert_r`, `find_key` and `write_signers` for the kernel of a precompile, where such passes are known for it."""
    try:
        from vmloom_precompiles_classic.kernels import recover, recover_in_passes
    except ImportError:
        return None
    if kernel is not recover.run:
        return None
    bodies = (recover_in_passes.invert_r, recover_in_passes.find_key, recover_in_passes.write_signers)
    return module({one.__name__: one for one in bodies}, replacements=_in_step(), inlined=frozenset({keccak.permute}))


def _in_step() -> Mapping[Kernel, Kernel]:
    """What the installed precompiles have for threads that run in step, by what it stands for."""
    try:
        from vmloom_precompiles_classic.kernels import secp256k1, secp256k1_in_step
    except ImportError:  # ECRECOVER is somebody else's
        return {}
    return {secp256k1.combine: secp256k1_in_step.combine_in_step}
