"""Tries of hashed keys in native memory: keys are changed one by one, and then whatever lies above them is hashed.

`NativeTries` calls these. All keys of a trie are equally long, so that no branch has a value. A node is a row, its
children are rows or, where nobody needed them yet, hashes. The trie of an account's storage hangs from the leaf of the
account. What these kernels do not do (`NOT_HERE`), such as nodes that stand in their parents, `Trie` does; both give
the same nodes. Yellow paper, appendix D.

Every function changes nothing before it has all that it needs, so that it can be called again once that is there.
"""

from __future__ import annotations

from vmloom.hashing import keccak256 as keccak_of
from vmloom.kernel import (
    Halt,
    Ptr,
    byteswap,
    copy,
    count_ones,
    embedded,
    inline,
    load,
    local,
    outline,
    store,
    struct,
    trailing_zeros,
    u8,
    u32,
    u64,
    u256,
)
from vmloom.kernel.keccak import keccak256

NEED_NODE = 1
"""The node at `needed_path`, which is a child of `needed_row`, is to be brought by `take_node`."""
NEED_ROOM = 2
"""Rows of nodes and branches."""
NEED_OUTPUT = 3
"""Room in `output`."""
NEED_STORAGE_ROOT = 4
"""The root of the storage of the account `next_item`, which the trie does not have yet."""
NOT_HERE = 5

LEAF = 1
EXTENSION = 2
BRANCH = 3

REMOVE = 0
WORD = 1
ACCOUNT = 2
ACCOUNT_OF_SAME_STORAGE = 3
SAME_ACCOUNT = 4
"""Kinds of items: the value goes, is a word, or is an account, with its root of storage or with the one it had. Of an
account that stays as it is only words follow."""

CHANGING_ACCOUNTS = 0
CHANGING_WORDS = 1
HASHING = 2
"""How far `update` is."""

DIGITS = 64
"""Of a hashed key."""
VALUE_SIZE = 112
"""That an encoded account has at most: nonce and balance with their headers have 9 and 33 bytes, hashes 33 each."""
LARGEST = 544
"""Bytes of a node at most: of a branch with 16 hashes."""
SPARE = 4
"""Rows that one change adds at most."""
RECORD = 128
"""Bytes of an account or a word, with its key, at most."""
ROOT_SIZE = 65
"""Bytes from the root of the storage in an encoded account to its end."""
EMPTY_ROOT = int.from_bytes(keccak_of(b"\x80"), "little")
EMPTY_CODE = int.from_bytes(keccak_of(b""), "little")

# Keys of the store, as `vmloom.store.encoding` and `state` have them
NODES = 0x74
NODES_OF_ACCOUNTS = 0x61
NODES_OF_STORAGE = 0x73
STORED_ACCOUNT = 0x61
STORED_WORD = 0x73
EVM_NAME = 0x65766D
EMPTY_LIST = 0xC0
EMPTY = 0x80
HASH = 0xA0
LONG = 55


@struct
class Node:
    """A leaf, with the rest of its path and its value; an extension, with its path and a child; or a branch.

    The value of an extension is the hash of its child, and `below` that child's row, 0 while it is not there; of a
    branch `below` is the row of its children, of an account's leaf that of the root of its storage, or 0.
    """

    kind: u64
    changed: u64
    """Whether it has to be hashed again."""
    below: u64
    length: u64
    path: Ptr[u8] = embedded(64)
    """A digit in each byte."""
    size: u64
    value: Ptr[u8] = embedded(112)


@struct
class Children:
    """Those of a branch: which there are, their rows, 0 for one that was not needed yet, and their hashes."""

    present: u64
    rows: Ptr[u32] = embedded(16)
    hashes: Ptr[u8] = embedded(512)


@struct
class Item:
    """A change of an account or a word. `key` is the address or the slot, `number` the balance or the word."""

    kind: u64
    account: u64
    """Of a word: the place of its account among the items."""
    vm: u64
    """Of an account: 0 for the default VM, 1 for one that is named `evm`."""
    nonce: u64
    number: u256
    key: Ptr[u8] = embedded(32)
    storage_root: Ptr[u8] = embedded(32)
    code_hash: Ptr[u8] = embedded(32)
    # What `update` notes of an account whose words change
    leaf: u64
    """Row of its leaf, 0 before that has been looked for."""
    root: u64
    is_known: u64


@struct
class Tries:
    """The tables, and the trie that is worked on."""

    nodes: Ptr[Node]
    node_count: u64
    node_room: u64
    """As many rows has the table of children."""
    children: Ptr[Children]
    children_count: u64
    output: Ptr[u8]
    """Keys and values, one behind the other."""
    output_size: u64
    output_room: u64
    ends: Ptr[u32]
    """Where in `output` each key and each value ends; one that is empty says that there is none any more."""
    record_count: u64
    """How many keys there are in `output`."""
    record_room: u64
    removed_count: u64
    """To how many of them there is no value."""
    # What `NativeTries` writes at once
    items: Ptr[Item]
    """Accounts, and behind them words."""
    account_count: u64
    item_count: u64
    with_values: u64
    """Whether accounts and words are written to `output`, too."""
    phase: u64
    next_item: u64
    # The trie that is worked on
    current: u64
    """0 for that of the accounts, or else 1 plus the place of the account whose storage it is."""
    root: u64
    """Row of the root, 0 if the trie is empty."""
    is_known: u64
    """Whether `root` is; else it has to be brought."""
    accounts_root: u64
    """What `root` and `is_known` are of the trie of the accounts, while another one is worked on."""
    accounts_known: u64
    prefix: Ptr[u8] = embedded(32)
    prefix_size: u64
    needed_row: u64
    """Row of the parent; 0 for the root."""
    needed_digit: u64
    needed_length: u64
    needed_path: Ptr[u8] = embedded(64)
    brought: Ptr[u8]
    brought_size: u64
    digest: Ptr[u8] = embedded(32)
    """The root's hash."""


# A block


def update(tries: Tries) -> None:
    """Do the items from `next_item` on, and hash what they have changed. The root's hash is in `digest` then."""
    if tries.phase == CHANGING_ACCOUNTS:
        change_accounts(tries)
        tries.phase = CHANGING_WORDS
    if tries.phase == CHANGING_WORDS:
        change_words(tries)
        tries.phase = HASHING
        tries.next_item = 0
    hash_storages(tries)
    enter(tries, 0)
    hash_all(tries)


def change_accounts(tries: Tries) -> None:
    """Do what becomes of the accounts."""
    enter(tries, 0)
    while tries.next_item < tries.account_count:
        item = tries.items[tries.next_item]
        if item.kind != SAME_ACCOUNT:
            change(tries, item, 20)
            if tries.with_values != 0:
                write_account(tries, item)
        tries.next_item += 1


def change_words(tries: Tries) -> None:
    """Do what becomes of the words, each in the trie of its account."""
    while tries.next_item < tries.item_count:
        item = tries.items[tries.next_item]
        account = tries.items[item.account]
        if account.leaf == 0:
            enter(tries, 0)
            find_leaf(tries, account)
        enter(tries, item.account + 1)
        change(tries, item, 32)
        if tries.with_values != 0:
            write_word(tries, item, account)
        tries.next_item += 1


def change(tries: Tries, item: Item, key_size: u64) -> None:
    """Do an item in the trie that is worked on."""
    path = local(u8, 64)
    reserve(tries)
    digits_of(item.key, key_size, path)
    if item.kind == REMOVE:
        remove(tries, path)
    else:
        put(tries, path, item)


def hash_storages(tries: Tries) -> None:
    """Hash the tries of words that have changed, and put their roots into the accounts."""
    while tries.next_item < tries.account_count:
        item = tries.items[tries.next_item]
        if item.leaf != 0:
            enter(tries, tries.next_item + 1)
            hash_all(tries)
            leaf = tries.nodes[item.leaf]
            leaf.below = tries.root
            copy(leaf.value + (leaf.size - ROOT_SIZE), tries.digest, 32)
        tries.next_item += 1


def enter(tries: Tries, number: u64) -> None:
    """Work on another trie, which `number` names as `current` does."""
    if tries.current == number and tries.prefix_size != 0:
        return
    if tries.current == 0:
        tries.accounts_root = tries.root
        tries.accounts_known = tries.is_known
    else:
        left = tries.items[tries.current - 1]
        left.root = tries.root
        left.is_known = tries.is_known
    tries.current = number
    tries.prefix[0] = NODES
    if number == 0:
        tries.root = tries.accounts_root
        tries.is_known = tries.accounts_known
        tries.prefix[1] = NODES_OF_ACCOUNTS
        tries.prefix_size = 2
    else:
        item = tries.items[number - 1]
        tries.root = item.root
        tries.is_known = item.is_known
        tries.prefix[1] = NODES_OF_STORAGE
        copy(tries.prefix + 2, item.key, 20)
        tries.prefix_size = 22


def find_leaf(tries: Tries, item: Item) -> None:
    """Find the leaf of an account, and the root of its storage; what lies above is to be hashed again."""
    path = local(u8, 64)
    way = local(u64, 66)
    digits_of(item.key, 20, path)
    steps = descend(tries, path, way)
    if steps == 0:
        raise Halt(NOT_HERE)
    row = way[steps - 1]
    leaf = tries.nodes[row]
    if leaf.size < ROOT_SIZE:
        raise Halt(NOT_HERE)
    for index in range(steps):
        tries.nodes[way[index]].changed = 1
    item.leaf = row
    item.root = leaf.below
    is_empty = load(u256, leaf.value + (leaf.size - ROOT_SIZE)) == EMPTY_ROOT
    item.is_known = u64(leaf.below != 0 or is_empty)


# Changes


def digits_of(key: Ptr[u8], size: u64, path: Ptr[u8]) -> None:
    """The digits of the hash of a key."""
    digest = local(u8, 32)
    keccak256(key, size, digest)
    for index in range(32):
        path[2 * index] = digest[index] >> 4
        path[2 * index + 1] = digest[index] & 15


@inline
def need_node(tries: Tries, row: u64, digit: u64, path: Ptr[u8], length: u64) -> None:
    """Stop until the child of `row` at the path is there."""
    tries.needed_row = row
    tries.needed_digit = digit
    tries.needed_length = length
    copy(tries.needed_path, path, length)
    raise Halt(NEED_NODE)


@inline
def reserve(tries: Tries) -> None:
    """Make sure that a change has the rows and the output that it may take."""
    if tries.node_count + SPARE > tries.node_room:
        raise Halt(NEED_ROOM)
    reserve_output(tries, SPARE * LARGEST + RECORD)


@inline
def reserve_output(tries: Tries, size: u64) -> None:
    """Make sure that some records of `size` bytes have room."""
    if tries.output_size + size > tries.output_room or tries.record_count + 2 * SPARE > tries.record_room:
        raise Halt(NEED_OUTPUT)


@inline
def matching(node: Node, path: Ptr[u8]) -> u64:
    """How many digits of the node's path stand at the beginning of `path`."""
    count = u64(0)
    while count < node.length and node.path[count] == path[count]:
        count += 1
    return count


def put(tries: Tries, path: Ptr[u8], item: Item) -> None:
    """Set the value at a path; `reserve` has seen to the room."""
    value = local(u8, 160)
    if tries.is_known == 0:
        need_node(tries, 0, 0, path, 0)
    if tries.root == 0:
        size = encode_value(tries, item, 0, value)
        tries.root = new_leaf(tries, path, DIGITS, value, size)
        return
    way = local(u64, 66)
    steps = u64(0)
    row = tries.root
    depth = u64(0)
    while True:
        way[steps] = row
        steps += 1
        node = tries.nodes[row]
        if node.kind == BRANCH:
            children = tries.children[node.below]
            digit = u64(path[depth])
            if children.present >> digit & 1 == 0:
                size = encode_value(tries, item, 0, value)
                children.rows[digit] = u32(new_leaf(tries, path + (depth + 1), DIGITS - depth - 1, value, size))
                children.present |= u64(1) << digit
                break
            depth += 1
            row = u64(children.rows[digit])
            if row == 0:
                need_node(tries, way[steps - 1], digit, path, depth)
        else:
            common = matching(node, path + depth)
            if common < node.length:
                size = encode_value(tries, item, 0, value)
                fork(tries, way, steps, path, depth, common, value, size)
                break
            if node.kind == LEAF:
                node.size = encode_value(tries, item, row, value)
                copy(node.value, value, node.size)
                if item.kind == ACCOUNT:  # which has another storage than before
                    node.below = 0
                break
            depth += node.length
            row = node.below
            if row == 0:
                need_node(tries, way[steps - 1], 0, path, depth)
    for index in range(steps):
        tries.nodes[way[index]].changed = 1


def new_leaf(tries: Tries, path: Ptr[u8], length: u64, value: Ptr[u8], size: u64) -> u64:
    """Row of a new leaf."""
    row = tries.node_count
    tries.node_count += 1
    node = tries.nodes[row]
    node.kind = LEAF
    node.changed = 1
    node.below = 0
    node.length = length
    copy(node.path, path, length)
    node.size = size
    copy(node.value, value, size)
    return row


@outline
def fork(
    tries: Tries, way: Ptr[u64], steps: u64, path: Ptr[u8], depth: u64, common: u64, value: Ptr[u8], size: u64
) -> None:
    """Put a branch into the path of the last node of `way`, of which `common` digits agree with those from `depth`.

    The row of that node, which its parent knows, becomes the branch, or an extension to it.
    """
    row = way[steps - 1]
    node = tries.nodes[row]
    below = tries.children_count
    tries.children_count += 1
    children = tries.children[below]
    forget_children(children)
    old = u64(node.path[common])
    if node.kind == EXTENSION and node.length == common + 1:  # its child hangs from the branch itself
        children.rows[old] = u32(node.below)
        copy(children.hashes + 32 * old, node.value, 32)
    else:
        kept = new_leaf(tries, node.path + (common + 1), node.length - common - 1, node.value, node.size)
        tries.nodes[kept].kind = node.kind
        tries.nodes[kept].below = node.below
        children.rows[old] = u32(kept)
    digit = u64(path[depth + common])
    left = DIGITS - depth - common - 1
    children.rows[digit] = u32(new_leaf(tries, path + (depth + common + 1), left, value, size))
    children.present = u64(1) << old | u64(1) << digit
    if common != 0:
        branch = new_leaf(tries, path, 0, value, 0)
        node.kind = EXTENSION
        node.length = common
        node.size = 32
        node.below = branch
        node = tries.nodes[branch]
    node.kind = BRANCH
    node.length = 0
    node.size = 0
    node.below = below


def forget_children(children: Children) -> None:
    """There are none."""
    children.present = 0
    for digit in range(16):
        children.rows[digit] = 0


def remove(tries: Tries, path: Ptr[u8]) -> None:
    """Remove the value at a path, if there is one; `reserve` has seen to the room."""
    way = local(u64, 66)
    steps = descend(tries, path, way)
    if steps == 1:
        tries.root = 0
        gone(tries, path, 0)
    elif steps != 0:
        take_out(tries, way, steps - 1, path, depth_of(tries, way, steps))


def descend(tries: Tries, path: Ptr[u8], way: Ptr[u64]) -> u64:
    """Put the nodes from the root to the leaf at a path into `way`; returns how many, 0 if there is no leaf."""
    if tries.is_known == 0:
        need_node(tries, 0, 0, path, 0)
    steps = u64(0)
    row = tries.root
    depth = u64(0)
    while row != 0:
        way[steps] = row
        steps += 1
        node = tries.nodes[row]
        if node.kind == BRANCH:
            children = tries.children[node.below]
            digit = u64(path[depth])
            if children.present >> digit & 1 == 0:
                return 0
            depth += 1
            row = u64(children.rows[digit])
            if row == 0:
                need_node(tries, way[steps - 1], digit, path, depth)
        else:
            if matching(node, path + depth) < node.length:
                return 0
            if node.kind == LEAF:
                return steps
            depth += node.length
            row = node.below
            if row == 0:
                need_node(tries, way[steps - 1], 0, path, depth)
    return 0


def depth_of(tries: Tries, way: Ptr[u64], steps: u64) -> u64:
    """At how many digits from the root the last of the `steps` nodes of `way` is."""
    depth = u64(0)
    for index in range(steps - 1):
        node = tries.nodes[way[index]]
        depth += u64(1) if node.kind == BRANCH else node.length
    return depth


@outline
def take_out(tries: Tries, way: Ptr[u64], steps: u64, path: Ptr[u8], depth: u64) -> None:
    """Take the leaf at `depth` out of the last of the `steps` nodes of `way`, a branch."""
    node = tries.nodes[way[steps - 1]]
    children = tries.children[node.below]
    digit = u64(path[depth - 1])
    left = children.present ^ u64(1) << digit
    if count_ones(u64, left) == 1:
        other = trailing_zeros(u64, left)
        place = local(u8, 64)
        copy(place, path, depth - 1)
        place[depth - 1] = u8(other)
        if children.rows[other] == 0:
            need_node(tries, way[steps - 1], other, place, depth)
        gone(tries, path, depth)
        top = node
        if steps > 1 and tries.nodes[way[steps - 2]].kind == EXTENSION:
            gone(tries, path, depth - 1)
            top = tries.nodes[way[steps - 2]]
        join(tries, top, other, u64(children.rows[other]), children.hashes + 32 * other, place, depth)
    else:
        gone(tries, path, depth)
        children.present = left
        children.rows[digit] = 0
    for index in range(steps):
        tries.nodes[way[index]].changed = 1


def join(tries: Tries, top: Node, digit: u64, row: u64, digest: Ptr[u8], place: Ptr[u8], depth: u64) -> None:
    """Have `top`, a branch or an extension to one, be what its only child is left to be; the child is at `place`."""
    child = tries.nodes[row]
    if top.kind == BRANCH:
        top.length = 0
    top.path[top.length] = u8(digit)
    top.length += 1
    if child.kind == BRANCH:
        top.kind = EXTENSION
        top.below = row
        top.size = 32
        copy(top.value, digest, 32)
        return
    gone(tries, place, depth)
    top.kind = child.kind
    top.below = child.below
    copy(top.path + top.length, child.path, child.length)
    top.length += child.length
    top.size = child.size
    copy(top.value, child.value, child.size)


# Values


def encode_value(tries: Tries, item: Item, row: u64, value: Ptr[u8]) -> u64:
    """Write the value of an item to `value`; returns its size. `row` is that of the leaf that has its former one, or 0.

    RLP of a word, or of nonce, balance, root of the storage and hash of the code.
    """
    if item.kind == WORD:
        return put_number(value, 0, item.number)
    end = put_number(value, 2, u256(item.nonce))
    end = put_number(value, end, item.number)
    value[end] = HASH
    if item.kind == ACCOUNT:
        copy(value + (end + 1), item.storage_root, 32)
    elif row == 0:
        raise Halt(NEED_STORAGE_ROOT)
    else:
        leaf = tries.nodes[row]
        if leaf.size < ROOT_SIZE:
            raise Halt(NOT_HERE)
        copy(value + (end + 1), leaf.value + (leaf.size - ROOT_SIZE), 32)
    value[end + 33] = HASH
    copy(value + (end + 34), item.code_hash, 32)
    value[0] = 0xF8
    value[1] = u8(end + 64)
    return end + 66


def put_number(data: Ptr[u8], at: u64, number: u256) -> u64:
    """Write the RLP of a number, and zeros behind it; returns where it ends."""
    if number < EMPTY:
        data[at] = u8(number) if number != 0 else u8(EMPTY)
        return at + 1
    size = (u64(number.bit_length()) + 7) // 8
    data[at] = u8(EMPTY + size)
    store(u256, data + (at + 1), byteswap(u256, u256(number << (256 - 8 * size))))
    return at + 1 + size


# Accounts and words as the store has them; see `vmloom.store.encoding`


def write_account(tries: Tries, item: Item) -> None:
    """Write what the store has of an account to `output`."""
    at = tries.output_size
    tries.output[at] = STORED_ACCOUNT
    copy(tries.output + (at + 1), item.key, 20)
    begin = at + 21
    end = begin
    if item.kind != REMOVE:
        end = put_sized(tries.output, end, u256(item.nonce))
        end = put_sized(tries.output, end, item.number)
        end = put_sized(tries.output, end, u256(EVM_NAME if item.vm != 0 else 0))
        if load(u256, item.code_hash) != EMPTY_CODE:
            copy(tries.output + end, item.code_hash, 32)
            end += 32
    end_record(tries, begin, end)


def write_word(tries: Tries, item: Item, account: Item) -> None:
    """Write what the store has of a word to `output`."""
    at = tries.output_size
    tries.output[at] = STORED_WORD
    copy(tries.output + (at + 1), account.key, 20)
    copy(tries.output + (at + 21), item.key, 32)
    begin = at + 53
    end_record(tries, begin, put_bytes(tries.output, begin, item.number) if item.kind == WORD else begin)


def put_sized(data: Ptr[u8], at: u64, number: u256) -> u64:
    """Write a number behind its size in bytes; returns where it ends."""
    end = put_bytes(data, at + 1, number)
    data[at] = u8(end - at - 1)
    return end


def put_bytes(data: Ptr[u8], at: u64, number: u256) -> u64:
    """Write a number, big-endian without leading zeros, and zeros behind it; returns where it ends."""
    if number == 0:
        return at
    size = (u64(number.bit_length()) + 7) // 8
    store(u256, data + at, byteswap(u256, u256(number << (256 - 8 * size))))
    return at + size


# Hashes


def hash_all(tries: Tries) -> None:
    """Hash what has changed in a trie, from the leaves up, and write it to `output`; `digest` is the root's hash."""
    path = local(u8, 64)
    if tries.is_known == 0:
        need_node(tries, 0, 0, path, 0)
    if tries.root == 0:
        path[0] = EMPTY
        keccak256(path, 1, tries.digest)
        return
    tries.nodes[tries.root].changed = 1
    rows = local(u64, 66)
    tried = local(u64, 66)
    lengths = local(u64, 66)
    rows[0] = tries.root
    steps = u64(1)
    while steps > 0:
        row = rows[steps - 1]
        length = lengths[steps - 1]
        node = tries.nodes[row]
        child = next_changed(tries, node, tried, steps - 1)
        if child != 0:
            if node.kind == BRANCH:
                path[length] = u8(tried[steps - 1] - 1)
                lengths[steps] = length + 1
            else:
                copy(path + length, node.path, node.length)
                lengths[steps] = length + node.length
            rows[steps] = child
            tried[steps] = 0
            steps += 1
            continue
        write_node(tries, node, path, length)
        steps -= 1
        if steps > 0:
            parent = tries.nodes[rows[steps - 1]]
            if parent.kind == BRANCH:
                copy(tries.children[parent.below].hashes + 32 * u64(path[length - 1]), tries.digest, 32)
            else:
                copy(parent.value, tries.digest, 32)
        node.changed = 0


def next_changed(tries: Tries, node: Node, tried: Ptr[u64], step: u64) -> u64:
    """Row of the next child that has changed, 0 if there is none; `tried` of the step counts the children seen."""
    if node.kind == BRANCH:
        children = tries.children[node.below]
        while tried[step] < 16:
            row = u64(children.rows[tried[step]])
            tried[step] += 1
            if row != 0 and tries.nodes[row].changed != 0:
                return row
    elif node.kind == EXTENSION and tried[step] == 0:
        tried[step] = 1
        if node.below != 0 and tries.nodes[node.below].changed != 0:
            return node.below
    return 0


def write_node(tries: Tries, node: Node, path: Ptr[u8], length: u64) -> None:
    """Write a node and its place to `output`, and its hash to `digest`."""
    reserve_output(tries, 2 * LARGEST)
    begin = put_place(tries, path, length)
    encoded = tries.output + begin
    size = encode_branch(tries, node, encoded) if node.kind == BRANCH else encode_short(node, encoded)
    if size < 32 and length != 0:
        raise Halt(NOT_HERE)
    keccak256(encoded, size, tries.digest)
    end_record(tries, begin, begin + size)


def gone(tries: Tries, path: Ptr[u8], length: u64) -> None:
    """Tell that there is no node at a place any more, unless one is written after this."""
    end = put_place(tries, path, length)
    end_record(tries, end, end)


def put_place(tries: Tries, path: Ptr[u8], length: u64) -> u64:
    """Begin a record with the store's key of the node at a place; returns where it ends."""
    copy(tries.output + tries.output_size, tries.prefix, tries.prefix_size)
    at = tries.output_size + tries.prefix_size
    for index in range(length):
        digit = u64(path[index])
        tries.output[at + index] = u8(digit + (48 if digit < 10 else 87))
    return at + length


def end_record(tries: Tries, begin: u64, end: u64) -> None:
    """End the record whose value begins and ends there."""
    tries.ends[2 * tries.record_count] = u32(begin)
    tries.ends[2 * tries.record_count + 1] = u32(end)
    tries.record_count += 1
    tries.removed_count += u64(begin == end)
    tries.output_size = end


def encode_branch(tries: Tries, node: Node, data: Ptr[u8]) -> u64:
    """Write the RLP of a branch; returns its size."""
    children = tries.children[node.below]
    payload = 33 * count_ones(u64, children.present) + 17 - count_ones(u64, children.present)
    at = u64(1)
    if payload <= LONG:
        data[0] = u8(EMPTY_LIST + payload)
    elif payload < 256:
        data[0] = 0xF8
        data[1] = u8(payload)
        at = 2
    else:
        data[0] = 0xF9
        data[1] = u8(payload >> 8)
        data[2] = u8(payload & 255)
        at = 3
    for digit in range(16):
        if children.present >> digit & 1 == 0:
            data[at] = EMPTY
            at += 1
        else:
            data[at] = HASH
            copy(data + (at + 1), children.hashes + 32 * digit, 32)
            at += 33
    data[at] = EMPTY
    return at + 1


def encode_short(node: Node, data: Ptr[u8]) -> u64:
    """Write the RLP of a leaf or an extension; returns its size."""
    packed = node.length // 2 + 1
    first_size = packed if packed == 1 else packed + 1
    second_size = string_size(node)
    payload = first_size + second_size
    at = u64(1)
    if payload <= LONG:
        data[0] = u8(EMPTY_LIST + payload)
    else:
        data[0] = 0xF8
        data[1] = u8(payload)
        at = 2
    if packed != 1:
        data[at] = u8(EMPTY + packed)
        at += 1
    odd = node.length & 1
    flags = 16 * (odd + (2 if node.kind == LEAF else 0))
    data[at] = u8(flags + (u64(node.path[0]) if odd == 1 else 0))
    at += 1
    for index in range(node.length // 2):
        data[at + index] = u8(node.path[odd + 2 * index] << 4 | node.path[odd + 2 * index + 1])
    at += node.length // 2
    return put_string(node, data, at)


def string_size(node: Node) -> u64:
    """Size of the RLP of a node's value."""
    if node.size == 1 and node.value[0] < EMPTY:
        return 1
    return node.size + (1 if node.size <= LONG else 2)


def put_string(node: Node, data: Ptr[u8], at: u64) -> u64:
    """Write the RLP of a node's value; returns where it ends."""
    if node.size != 1 or node.value[0] >= EMPTY:
        if node.size <= LONG:
            data[at] = u8(EMPTY + node.size)
            at += 1
        else:
            data[at] = 0xB8
            data[at + 1] = u8(node.size)
            at += 2
    copy(data + at, node.value, node.size)
    return at + node.size


# Nodes that are brought


def take_node(tries: Tries) -> None:
    """Put the node that was needed, whose RLP is `brought`, under its parent."""
    if tries.node_count + SPARE > tries.node_room:
        raise Halt(NEED_ROOM)
    data = tries.brought
    at = payload_of(data, tries.brought_size)
    count = u64(0)
    place = at
    while place < tries.brought_size:
        place = after(data, place, tries.brought_size)
        count += 1
    row = tries.node_count
    node = tries.nodes[row]
    node.changed = 0
    node.below = 0
    if count == 17:
        read_branch(tries, node, data, at)
    elif count == 2:
        read_short(node, data, at, tries.needed_length)
    else:
        raise Halt(NOT_HERE)
    tries.node_count += 1
    if tries.needed_row == 0:
        tries.root = row
        tries.is_known = 1
    else:
        parent = tries.nodes[tries.needed_row]
        if parent.kind == BRANCH:
            tries.children[parent.below].rows[tries.needed_digit] = u32(row)
        else:
            parent.below = row


def payload_of(data: Ptr[u8], size: u64) -> u64:
    """Where the items of a list begin which is all there is."""
    if size < 3 or data[0] < EMPTY_LIST:
        raise Halt(NOT_HERE)
    first = u64(data[0])
    at = u64(1)
    payload = first - EMPTY_LIST
    if first == 0xF8:
        at = 2
        payload = u64(data[1])
    elif first == 0xF9:
        at = 3
        payload = u64(data[1]) << 8 | data[2]
    elif first > 0xF7:
        raise Halt(NOT_HERE)
    if at + payload != size:
        raise Halt(NOT_HERE)
    return at


def after(data: Ptr[u8], at: u64, end: u64) -> u64:
    """Where the string ends that begins at `at`, which is before `end`, as this is not after it."""
    first = u64(data[at])
    following = at + 1
    if first >= 0xB9:
        raise Halt(NOT_HERE)
    if first == 0xB8:
        if at + 2 > end:
            raise Halt(NOT_HERE)
        following = at + 2 + data[at + 1]
    elif first > EMPTY:
        following = at + 1 + first - EMPTY
    if following > end:
        raise Halt(NOT_HERE)
    return following


def read_branch(tries: Tries, node: Node, data: Ptr[u8], at: u64) -> None:
    """A branch of 17 items, all hashes or nothing."""
    if tries.needed_length >= DIGITS:
        raise Halt(NOT_HERE)
    children = tries.children[tries.children_count]
    forget_children(children)
    for digit in range(16):
        if data[at] == EMPTY:
            at += 1
        else:
            if data[at] != HASH:
                raise Halt(NOT_HERE)
            copy(children.hashes + 32 * digit, data + (at + 1), 32)
            children.present |= u64(1) << digit
            at += 33
    if data[at] != EMPTY:
        raise Halt(NOT_HERE)
    node.kind = BRANCH
    node.length = 0
    node.size = 0
    node.below = tries.children_count
    tries.children_count += 1


def read_short(node: Node, data: Ptr[u8], at: u64, depth: u64) -> None:
    """A leaf or an extension, whose path begins at `depth`."""
    packed = u64(1)
    if data[at] >= EMPTY:
        packed = u64(data[at]) - EMPTY
        at += 1
    if packed < 1 or packed > 33:
        raise Halt(NOT_HERE)
    flags = u64(data[at]) >> 4
    odd = flags & 1
    length = 2 * (packed - 1) + odd
    if flags > 3 or depth + length > DIGITS:
        raise Halt(NOT_HERE)
    if odd == 1:
        node.path[0] = data[at] & 15
    for index in range(1, packed):
        node.path[odd + 2 * index - 2] = data[at + index] >> 4
        node.path[odd + 2 * index - 1] = data[at + index] & 15
    node.length = length
    at += packed
    size = u64(1)
    if data[at] == 0xB8:
        size = u64(data[at + 1])
        at += 2
    elif data[at] >= EMPTY:
        size = u64(data[at]) - EMPTY
        at += 1
    if size > VALUE_SIZE:
        raise Halt(NOT_HERE)
    copy(node.value, data + at, size)
    node.size = size
    node.kind = LEAF
    if flags < 2:
        node.kind = EXTENSION
        if size != 32 or length == 0 or depth + length == DIGITS:
            raise Halt(NOT_HERE)
    elif depth + length != DIGITS:
        raise Halt(NOT_HERE)


FUNCTIONS = (update, take_node)
