#pragma version 0.4.3
#pragma evm-version cancun

"""
@title Benchmark pair
@license MIT
@notice Two tokens that are exchanged for each other at a constant product of the reserves, less a fee of 0.3%.
"""

interface Token:
    def balanceOf(owner: address) -> uint256: view
    def transfer(receiver: address, amount: uint256) -> bool: nonpayable

event Sync:
    reserve0: uint256
    reserve1: uint256

event Swap:
    caller: indexed(address)
    receiver: indexed(address)
    amount0_in: uint256
    amount1_in: uint256
    amount0_out: uint256
    amount1_out: uint256

token0: public(address)
token1: public(address)
reserve0: public(uint256)
reserve1: public(uint256)
updated: public(uint256)


@deploy
def __init__(token0: address, token1: address):
    self.token0 = token0
    self.token1 = token1


@external
@view
def reserves() -> (uint256, uint256):
    """
    @notice What the pair knows to have of each token.
    """
    return self.reserve0, self.reserve1


@external
def sync():
    """
    @notice Take what the pair has for its reserves.
    """
    self._update(staticcall Token(self.token0).balanceOf(self), staticcall Token(self.token1).balanceOf(self))


@external
@nonreentrant
def swap(amount0_out: uint256, amount1_out: uint256, receiver: address):
    """
    @notice Send the amounts to `receiver`, provided that the caller has paid enough of the other token.
    """
    assert amount0_out + amount1_out > 0, "nothing to send"
    old0: uint256 = self.reserve0
    old1: uint256 = self.reserve1
    assert amount0_out < old0 and amount1_out < old1, "insufficient reserves"
    if amount0_out > 0:
        extcall Token(self.token0).transfer(receiver, amount0_out)
    if amount1_out > 0:
        extcall Token(self.token1).transfer(receiver, amount1_out)
    balance0: uint256 = staticcall Token(self.token0).balanceOf(self)
    balance1: uint256 = staticcall Token(self.token1).balanceOf(self)
    amount0_in: uint256 = balance0 - min(balance0, old0 - amount0_out)
    amount1_in: uint256 = balance1 - min(balance1, old1 - amount1_out)
    assert amount0_in + amount1_in > 0, "nothing was paid"
    adjusted0: uint256 = balance0 * 1000 - amount0_in * 3
    adjusted1: uint256 = balance1 * 1000 - amount1_in * 3
    assert adjusted0 * adjusted1 >= old0 * old1 * 1_000_000, "too little was paid"
    self._update(balance0, balance1)
    log Swap(
        caller=msg.sender,
        receiver=receiver,
        amount0_in=amount0_in,
        amount1_in=amount1_in,
        amount0_out=amount0_out,
        amount1_out=amount1_out,
    )


@internal
def _update(balance0: uint256, balance1: uint256):
    self.reserve0 = balance0
    self.reserve1 = balance1
    self.updated = block.timestamp
    log Sync(reserve0=balance0, reserve1=balance1)
