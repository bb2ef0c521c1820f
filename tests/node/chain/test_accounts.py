from __future__ import annotations

import pytest
from vmloom.errors import InputError
from vmloom_evm.transaction.signing import address_of
from vmloom_node.chain.accounts import DEV_MNEMONIC, Accounts, derive_key, derive_keys, seed_of


def test_development_accounts_are_those_that_everybody_has() -> None:
    keys = derive_keys()
    assert keys[0].hex() == "ac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80"
    assert [address_of(key).hex() for key in keys[:3]] == [
        "f39fd6e51aad88f6f4ce6ab8827279cfffb92266",
        "70997970c51812dc3a010c7d01b50e0d17dc79c8",
        "3c44cdddb6a900fa2b585dd299e03d12fa4293bc",
    ]
    assert len(set(keys)) == 10


def test_derivation_of_bip_32_test_vector_1() -> None:
    seed = bytes.fromhex("000102030405060708090a0b0c0d0e0f")
    assert derive_key(seed, "m").hex() == "e8f32e723decf4051aefac8e2c93c9c5b214313817cdb01a1494b917c8436b35"
    assert derive_key(seed, "m/0'").hex() == "edb2e14f9ee77d26dd93b4ecede8d16ed408ce149b6cd80b0715a2d911a0afea"
    assert derive_key(seed, "m/0'/1").hex() == "3c6cb8d0f6a264c91ea8b5030fadaa8e538b020f0a387421a12de9319dc93368"
    assert derive_key(seed, "m/0'/1/2'").hex() == "cbce0d719ecf7431d88e6a89fa1483e02e35092af60c042b1df2ff59fa424dca"


def test_seed_of_a_bip_39_test_vector() -> None:
    words = "abandon " * 11 + "about"
    assert seed_of(words, "TREZOR").hex().startswith("c55257c360c07c72029aebc1b53c05ed0362ada38ead3e3e")
    assert seed_of("  ".join(words.split()), "TREZOR") == seed_of(words, "TREZOR")


@pytest.mark.parametrize("path", ["", "44'/60'", "m/x", "m/-1", "m/2147483648", "m/1''", "m//1"])
def test_a_path_that_is_none_is_refused(path: str) -> None:
    with pytest.raises(InputError, match="path"):
        derive_key(seed_of(DEV_MNEMONIC), path)


def test_an_empty_mnemonic_is_refused() -> None:
    with pytest.raises(InputError, match="no words"):
        derive_keys("  ")


def test_keys_do_not_show() -> None:
    accounts = Accounts(derive_keys(count=1))
    assert derive_keys(count=1)[0].hex() not in repr(accounts)
    assert accounts.key_of(accounts.addresses[0]) == derive_keys(count=1)[0]
    assert accounts.key_of(bytes(20)) is None


def test_impersonation_ends() -> None:
    accounts = Accounts()
    somebody = b"\7" * 20
    assert not accounts.is_impersonated(somebody)
    accounts.impersonate(somebody)
    assert accounts.is_impersonated(somebody)
    assert accounts.stop_impersonating(somebody)
    assert not accounts.stop_impersonating(somebody)
    accounts.impersonates_all = True
    assert accounts.is_impersonated(somebody)
