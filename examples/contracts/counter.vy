#pragma version 0.4.3
#pragma evm-version london

"""
@title Counter
@license MIT
@notice The contract of the tour: one number, one method that raises it, one that refuses.
"""

event Incremented:
    caller: indexed(address)
    count: uint256

count: public(uint256)


@external
def increment() -> uint256:
    """
    @notice Add one, and return the new count.
    """
    self.count += 1
    log Incremented(caller=msg.sender, count=self.count)
    return self.count


@external
def set(count: uint256):
    """
    @notice Set the count; it only ever rises.
    """
    assert count >= self.count, "the count only rises"
    self.count = count
