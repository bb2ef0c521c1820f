"""0x0c and 0x0e: the sum of many points, each times a scalar (multi-scalar multiplication)."""

from __future__ import annotations

from py_arkworks_bls12381 import G1Point, G2Point, Scalar
from vmloom.precompile import PurePrecompile

from .points import G1_SIZE, G2_SIZE, decode_g1_member, decode_g2_member, encode, slices

SCALAR_SIZE = 32
"""bytes"""

# What each of k multiplications costs in thousandths of a single one; the last entry holds for all k above 127.
# fmt: off
G1_DISCOUNTS = (
    1000, 949, 848, 797, 764, 750, 738, 728, 719, 712, 705, 698, 692, 687, 682, 677,
    673, 669, 665, 661, 658, 654, 651, 648, 645, 642, 640, 637, 635, 632, 630, 627,
    625, 623, 621, 619, 617, 615, 613, 611, 609, 608, 606, 604, 603, 601, 599, 598,
    596, 595, 593, 592, 591, 589, 588, 586, 585, 584, 582, 581, 580, 579, 577, 576,
    575, 574, 573, 572, 570, 569, 568, 567, 566, 565, 564, 563, 562, 561, 560, 559,
    558, 557, 556, 555, 554, 553, 552, 551, 550, 549, 548, 547, 547, 546, 545, 544,
    543, 542, 541, 540, 540, 539, 538, 537, 536, 536, 535, 534, 533, 532, 532, 531,
    530, 529, 528, 528, 527, 526, 525, 525, 524, 523, 522, 522, 521, 520, 520, 519,
)
G2_DISCOUNTS = (
    1000, 1000, 923, 884, 855, 832, 812, 796, 782, 770, 759, 749, 740, 732, 724, 717,
    711, 704, 699, 693, 688, 683, 679, 674, 670, 666, 663, 659, 655, 652, 649, 646,
    643, 640, 637, 634, 632, 629, 627, 624, 622, 620, 618, 615, 613, 611, 609, 607,
    606, 604, 602, 600, 598, 597, 595, 593, 592, 590, 589, 587, 586, 584, 583, 582,
    580, 579, 578, 576, 575, 574, 573, 571, 570, 569, 568, 567, 566, 565, 563, 562,
    561, 560, 559, 558, 557, 556, 555, 554, 553, 552, 552, 551, 550, 549, 548, 547,
    546, 545, 545, 544, 543, 542, 541, 541, 540, 539, 538, 537, 537, 536, 535, 535,
    534, 533, 532, 532, 531, 530, 530, 529, 528, 528, 527, 526, 526, 525, 524, 524,
)
# fmt: on


class G1Msm(PurePrecompile):
    """BLS12_G1MSM at 0x0c since Prague. EIP-2537.

    Input, k slices of 160 bytes, k 1 and up: point (128) | scalar (32), any number.
    Output: the sum (128) of the products. Gas: k * 12000 * discount(k) // 1000.
    Fails if the size is 0 or not a multiple of 160 or one is not a point of the subgroup.
    """

    name = "BLS12_G1MSM"
    slice_size = G1_SIZE + SCALAR_SIZE

    def gas_cost(self, input: bytes) -> int:
        """The discounted price of as many multiplications as there are whole slices."""
        return discounted(12_000, len(input) // self.slice_size, G1_DISCOUNTS)

    def compute(self, input: bytes) -> bytes:
        """The sum. Raises `PrecompileFailure` for a wrong size or for what is not a point of the subgroup."""
        chunks = slices(input, self.slice_size)
        points = [decode_g1_member(chunk[:G1_SIZE]) for chunk in chunks]
        scalars = [Scalar.from_be_bytes_mod_order(chunk[G1_SIZE:]) for chunk in chunks]
        return encode(G1Point.multiexp_unchecked(points, scalars))


class G2Msm(PurePrecompile):
    """BLS12_G2MSM at 0x0e since Prague. EIP-2537.

    Input, k slices of 288 bytes, k 1 and up: point (256) | scalar (32), any number.
    Output: the sum (256) of the products. Gas: k * 22500 * discount(k) // 1000.
    Fails if the size is 0 or not a multiple of 288 or one is not a point of the subgroup.
    """

    name = "BLS12_G2MSM"
    slice_size = G2_SIZE + SCALAR_SIZE

    def gas_cost(self, input: bytes) -> int:
        """The discounted price of as many multiplications as there are whole slices."""
        return discounted(22_500, len(input) // self.slice_size, G2_DISCOUNTS)

    def compute(self, input: bytes) -> bytes:
        """The sum. Raises `PrecompileFailure` for a wrong size or for what is not a point of the subgroup."""
        chunks = slices(input, self.slice_size)
        points = [decode_g2_member(chunk[:G2_SIZE]) for chunk in chunks]
        scalars = [Scalar.from_be_bytes_mod_order(chunk[G2_SIZE:]) for chunk in chunks]
        return encode(G2Point.multiexp_unchecked(points, scalars))


def discounted(price: int, count: int, discounts: tuple[int, ...]) -> int:
    """Gas for `count` multiplications in one call at `price` for a single one; 0 for none."""
    if count == 0:
        return 0
    return count * price * discounts[min(count, len(discounts)) - 1] // 1000
