#pragma version 0.4.3
#pragma evm-version cancun

"""
@title Benchmark router
@license MIT
@notice Pays a pair, asks it for what that is worth and passes it on.
"""

interface Token:
    def transferFrom(sender: address, receiver: address, amount: uint256) -> bool: nonpayable

interface Pair:
    def token0() -> address: view
    def reserves() -> (uint256, uint256): view
    def swap(amount0_out: uint256, amount1_out: uint256, receiver: address): nonpayable


@external
def swap(pair: address, paid: address, amount: uint256, least: uint256, deadline: uint256) -> uint256:
    """
    @notice Pay `amount` of the token `paid` for at least `least` of the pair's other token; how much it was.
    """
    assert block.timestamp <= deadline, "too late"
    return self._swap(pair, paid, amount, least)


@external
def swap_many(pair: address, paid: address, amount: uint256, count: uint256) -> uint256:
    """
    @notice `swap`, `count` times in a row; how much the last one brought.
    """
    received: uint256 = 0
    for _: uint256 in range(count, bound=100_000):
        received = self._swap(pair, paid, amount, 1)
    return received


@internal
def _swap(pair: address, paid: address, amount: uint256, least: uint256) -> uint256:
    is_first: bool = staticcall Pair(pair).token0() == paid
    reserve0: uint256 = 0
    reserve1: uint256 = 0
    reserve0, reserve1 = staticcall Pair(pair).reserves()
    received: uint256 = 0
    if is_first:
        received = self._worth(amount, reserve0, reserve1)
    else:
        received = self._worth(amount, reserve1, reserve0)
    assert received >= least, "too little received"
    assert extcall Token(paid).transferFrom(msg.sender, pair, amount)
    if is_first:
        extcall Pair(pair).swap(0, received, msg.sender)
    else:
        extcall Pair(pair).swap(received, 0, msg.sender)
    return received


@internal
@pure
def _worth(amount: uint256, reserve_in: uint256, reserve_out: uint256) -> uint256:
    after_fee: uint256 = amount * 997
    return after_fee * reserve_out // (reserve_in * 1000 + after_fee)
