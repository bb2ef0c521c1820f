"""What a fork decides, as data. Op functions read these fields; compiled engines fold them as constants.

A field is named for what it is, with the EIP that brought it. `forks` fills them in, fork by fork.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Rules:
    """One fork's parameters, defaults being Frontier's. Prices are in gas, sizes in bytes, fees in wei."""

    # Accounts
    state_clearing: bool = False
    """EIP-161: touched empty accounts are deleted, and only dead ones count as new."""
    reject_storage_collision: bool = False
    """EIP-7610: no creation onto non-empty storage. Declined for a mainnet fork: a switch, off by default."""
    contract_nonce: int = 0
    """EIP-161: the nonce a new contract begins with."""
    delegations: bool = False
    """EIP-7702"""

    # Warm and cold access
    access_lists: bool = False
    """EIP-2929: the first access of a transaction to an account or slot costs more."""
    warm_access: int = 0
    cold_account: int = 0
    cold_sload: int = 0
    warm_coinbase: bool = False
    """EIP-3651"""

    # Storage
    net_metering: bool = False
    """EIP-1283, EIP-2200: a write costs by the transaction's net change of the slot."""
    sstore_sentry: bool = False
    """EIP-2200: SSTORE halts with no more gas than a stipend left."""
    sstore_set: int = 20_000
    sstore_reset: int = 5_000
    sstore_dirty: int = 0
    """Price of a write that changes nothing, or a slot that has changed before."""
    sstore_clear_refund: int = 15_000

    # Calls and creation
    all_but_one_64th: bool = False
    """EIP-150: a frame keeps 1/64 of its gas, and asking for more than the rest gets the rest."""
    call_depth_limit: int = 1024
    call_value: int = 9_000
    call_stipend: int = 2_300
    new_account: int = 25_000
    selfdestruct_new_account: int = 0
    """EIP-150"""
    selfdestruct_refund: int = 24_000
    selfdestruct_only_created: bool = False
    """EIP-6780"""
    code_deposit_byte: int = 200
    deposit_failure_reverts: bool = False
    """EIP-2: a creation that cannot pay for its code fails; in Frontier it leaves an empty contract."""
    code_size_limit: int = 0
    """EIP-170; 0 is no limit."""
    reject_ef_code: bool = False
    """EIP-3541"""
    initcode_size_limit: int = 0
    """EIP-3860; 0 is no limit."""
    initcode_word: int = 0
    """EIP-3860"""

    # Instructions
    exp_byte: int = 10
    copy_word: int = 3
    keccak_word: int = 6
    log_byte: int = 8
    log_topic: int = 375
    memory_size_limit: int = 0
    """Bytes of memory a frame may have, for private chains; 0 is no limit but gas."""
    stack_limit: int = 1024
    charge_memory_expansion: bool = True

    # Transactions
    typed_transactions: int = 0
    """The highest EIP-2718 transaction type accepted."""
    chain_id_signatures: bool = False
    """EIP-155"""
    low_s_signatures: bool = False
    """EIP-2"""
    transaction_base: int = 21_000
    transaction_create: int = 0
    """EIP-2"""
    transaction_zero_byte: int = 4
    transaction_data_byte: int = 68
    access_list_account: int = 2_400
    access_list_slot: int = 1_900
    authorization: int = 25_000
    """EIP-7702, intrinsic gas of one authorisation"""
    authorization_refund: int = 12_500
    """EIP-7702, refund for an authority that exists"""
    floor_token: int = 0
    """EIP-7623: least gas for a token of call data (a zero byte is one, another byte four)"""
    transaction_gas_limit: int = 0
    """EIP-7825; 0 is no limit."""
    refund_quotient: int = 2
    """EIP-3529: at most gas used / quotient is refunded."""
    base_fee: bool = False
    """EIP-1559"""
    status_receipts: bool = False
    """EIP-658"""

    # Blocks
    proof_of_stake: bool = False
    """EIP-3675, EIP-4399"""
    blobs: bool = False
    """EIP-4844"""
    blob_target: int = 0
    """Blobs a block aims at."""
    blob_limit: int = 0
    """Blobs a block may carry."""
    blob_transaction_limit: int = 0
    """EIP-7594: blobs a transaction may carry; 0 is as many as a block."""
    blob_fee_fraction: int = 0
    blob_reserve_price: bool = False
    """EIP-7918"""
    beacon_root_contract: bool = False
    """EIP-4788"""
    history_contract: bool = False
    """EIP-2935"""
    request_contracts: bool = False
    """EIP-7002, EIP-7251"""
    withdrawals: bool = False
    """EIP-4895"""
    block_reward: int = 5 * 10**18
    """wei"""
