#pragma version 0.4.3
#pragma evm-version cancun

"""
@title Benchmark token
@license MIT
@notice An ERC-20 token that anyone may mint, and loops over its own functions, so that one call does the work of many.
"""

event Transfer:
    sender: indexed(address)
    receiver: indexed(address)
    amount: uint256

event Approval:
    owner: indexed(address)
    spender: indexed(address)
    amount: uint256

FIRST_HOLDER: constant(uint256) = 2**159
HOLDERS: constant(uint256) = 256

name: public(constant(String[5])) = "Bench"
symbol: public(constant(String[5])) = "BENCH"
decimals: public(constant(uint8)) = 18

totalSupply: public(uint256)
balanceOf: public(HashMap[address, uint256])
allowance: public(HashMap[address, HashMap[address, uint256]])


@external
def mint(receiver: address, amount: uint256) -> bool:
    """
    @notice Create `amount` units for `receiver`.
    """
    self._mint(receiver, amount)
    return True


@external
def transfer(receiver: address, amount: uint256) -> bool:
    """
    @notice Move `amount` units of the caller's to `receiver`.
    """
    self._move(msg.sender, receiver, amount)
    return True


@external
def approve(spender: address, amount: uint256) -> bool:
    """
    @notice Let `spender` move up to `amount` units of the caller's.
    """
    self._approve(msg.sender, spender, amount)
    return True


@external
def transferFrom(sender: address, receiver: address, amount: uint256) -> bool:
    """
    @notice Move `amount` units of `sender`'s to `receiver`, within what the caller is allowed.
    """
    allowed: uint256 = self.allowance[sender][msg.sender]
    assert allowed >= amount, "insufficient allowance"
    self.allowance[sender][msg.sender] = allowed - amount
    self._move(sender, receiver, amount)
    return True


@external
def mint_many(count: uint256) -> uint256:
    """
    @notice Mint `count` times, each time for a holder who had nothing; the new supply.
    """
    for n: uint256 in range(count, bound=1_000_000):
        self._mint(self._holder(n), n + 1)
    return self.totalSupply


@external
def transfer_many(count: uint256) -> uint256:
    """
    @notice `count` transfers from the caller to 256 holders in turn; what the caller has left.
    """
    for n: uint256 in range(count, bound=1_000_000):
        self._move(msg.sender, self._holder(n % HOLDERS), n % 7 + 1)
    return self.balanceOf[msg.sender]


@external
def approve_many(count: uint256) -> uint256:
    """
    @notice Let each of 256 holders in turn spend another amount, `count` times; the last amount.
    """
    for n: uint256 in range(count, bound=1_000_000):
        self._approve(msg.sender, self._holder(n % HOLDERS), n + 1)
    return self.allowance[msg.sender][self._holder((count - 1) % HOLDERS)]


@internal
@pure
def _holder(n: uint256) -> address:
    return convert(FIRST_HOLDER + n, address)


@internal
def _mint(receiver: address, amount: uint256):
    self.totalSupply += amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=empty(address), receiver=receiver, amount=amount)


@internal
def _move(sender: address, receiver: address, amount: uint256):
    assert receiver != empty(address), "transfer to nobody"
    assert self.balanceOf[sender] >= amount, "insufficient balance"
    self.balanceOf[sender] -= amount
    self.balanceOf[receiver] += amount
    log Transfer(sender=sender, receiver=receiver, amount=amount)


@internal
def _approve(owner: address, spender: address, amount: uint256):
    self.allowance[owner][spender] = amount
    log Approval(owner=owner, spender=spender, amount=amount)
