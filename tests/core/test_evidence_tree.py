"""The hash tree against a recursive reading of RFC 6962, its test vectors, and the layout of C2SP tlog-tiles."""

from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.evidence.tree import (
    EMPTY_ROOT,
    ENTRY_LIMIT,
    TILE_WIDTH,
    Frontier,
    consistency_proof,
    decode_bundle,
    edge_root,
    encode_bundle,
    entries_path,
    inclusion_proof,
    leaf_hash,
    levels,
    node_hash,
    perfect_root,
    tile_nodes,
    tile_path,
    tile_width,
    verify_consistency,
    verify_inclusion,
)
from firedoor.errors import EvidenceDamaged

LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = (  # of the trees of the first 1 to 8 of these leaves, as published with the CT reference implementations
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
MANY = [b"leaf %d" % n for n in range(600)]
HASHES = [leaf_hash(leaf) for leaf in MANY]


def naive_root(leaves):
    """RFC 6962, 2.1, word for word."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\0" + leaves[0]).digest()
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return sha256(b"\1" + naive_root(leaves[:k]) + naive_root(leaves[k:])).digest()


def naive_path(index, leaves):
    """RFC 6962, 2.1.1."""
    if len(leaves) == 1:
        return []
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if index < k:
        return [*naive_path(index, leaves[:k]), naive_root(leaves[k:])]
    return [*naive_path(index - k, leaves[k:]), naive_root(leaves[:k])]


def naive_proof(old, leaves, known=True):
    """RFC 6962, 2.1.2."""
    if old == len(leaves):
        return [] if known else [naive_root(leaves)]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    if old <= k:
        return [*naive_proof(old, leaves[:k], known), naive_root(leaves[k:])]
    return [*naive_proof(old - k, leaves[k:], False), naive_root(leaves[:k])]


def node(height, index):
    return naive_root(MANY[index << height : (index + 1) << height])


def tiles_of(size):
    """All tiles of the first `size` of `HASHES`, by (level, index)."""
    tiles, row, level = {}, HASHES[:size], 0
    while row:
        for start in range(0, len(row), TILE_WIDTH):
            tiles[level, start // TILE_WIDTH] = b"".join(row[start : start + TILE_WIDTH])
        row = [perfect_root(tiles[level, n]) for n in range(len(row) // TILE_WIDTH)]
        level += 1
    return tiles


sizes = st.integers(0, len(MANY))


def test_published_vectors():
    frontier = Frontier()
    assert (
        frontier.root()
        == EMPTY_ROOT
        == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )
    for leaf, root in zip(LEAVES, ROOTS, strict=True):
        frontier.append(leaf_hash(leaf))
        assert frontier.root().hex() == root
    assert naive_root(LEAVES).hex() == ROOTS[-1]


@given(sizes, sizes)
def test_a_frontier_grows_to_the_same_root_however_it_is_fed(size, first):
    first = min(first, size)
    one = Frontier()
    one.extend(HASHES[:first])
    two = Frontier(first, one.peaks)
    for hash_ in HASHES[first:size]:
        two.append(hash_)
    assert (two.size, two.root()) == (size, naive_root(MANY[:size]))
    assert len(two.peaks) == size.bit_count()


@given(sizes)
def test_whole_subtrees_can_be_appended(size):
    frontier, at = Frontier(), 0
    while at < size:
        height = min((size - at).bit_length() - 1, (at & -at).bit_length() - 1 if at else 64)
        frontier.append(node(height, at >> height), height)
        at += 1 << height
    assert frontier.root() == naive_root(MANY[:size])


def test_a_frontier_refuses_what_cannot_stand_there():
    frontier = Frontier(3, [node(1, 0), node(0, 2)])
    with pytest.raises(ValueError, match="height 1"):
        frontier.append(bytes(32), 1)
    for size, peaks in ((3, [bytes(32)]), (-1, []), (2**63, [bytes(32)])):
        with pytest.raises(ValueError, match="perfect subtrees"):
            Frontier(size, peaks)


@settings(max_examples=60)
@given(st.data())
def test_inclusion_proofs(data):
    size = data.draw(st.integers(1, len(MANY)))
    index = data.draw(st.integers(0, size - 1))
    root = naive_root(MANY[:size])
    proof = inclusion_proof(index, size, node)
    assert proof == naive_path(index, MANY[:size])
    verify_inclusion(index, size, HASHES[index], root, proof)

    wrong = [
        (index, size, HASHES[index], node_hash(root, root), proof),
        (index, size, leaf_hash(b"another"), root, proof),
        (index, size, HASHES[index], root, [*proof, bytes(32)]),
        (size, size, HASHES[index], root, proof),
        (-1, size, HASHES[index], root, proof),
        (index, size, HASHES[index], root, [*proof[:-1], b"short"]),
        (index, size, HASHES[index], root, [bytes(32)] * 65),
    ]
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        flipped = bytes([proof[place][0] ^ 1]) + proof[place][1:]
        wrong += [
            (index, size, HASHES[index], root, proof[:-1]),
            (index, size, HASHES[index], root, [*proof[:place], flipped, *proof[place + 1 :]]),
            (index ^ 1, size, HASHES[index], root, proof),
        ]
    for case in wrong:
        with pytest.raises(EvidenceDamaged):
            verify_inclusion(*case)


@settings(max_examples=60)
@given(st.data())
def test_consistency_proofs(data):
    size = data.draw(st.integers(1, len(MANY)))
    old = data.draw(st.integers(0, size))
    old_root, root = naive_root(MANY[:old]), naive_root(MANY[:size])
    proof = consistency_proof(old, size, node)
    assert proof == (naive_proof(old, MANY[:size]) if old else [])
    verify_consistency(old, old_root, size, root, proof)

    other = leaf_hash(b"other")
    wrong = [
        (old, other, size, root, proof),
        (size + 1, old_root, size, root, proof),
        (old, old_root, size, root, [*proof, other]),
        (old, old_root, size, root, [*proof[:-1], b"short"]),
    ]
    if old:
        wrong.append((old, old_root, size, other, proof))
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        wrong += [
            (old, old_root, size, root, proof[:-1]),
            (old, old_root, size, root, [*proof[:place], other, *proof[place + 1 :]]),
        ]
    for case in wrong:
        with pytest.raises(EvidenceDamaged):
            verify_consistency(*case)


def test_proofs_of_leaves_and_trees_that_are_not_there():
    for index, size in ((0, 0), (5, 5), (-1, 5), (0, 2**63)):
        with pytest.raises(ValueError, match="no leaf"):
            inclusion_proof(index, size, node)
    for old, size in ((6, 5), (-1, 5), (0, 2**63)):
        with pytest.raises(ValueError, match="cannot follow"):
            consistency_proof(old, size, node)


def test_every_small_tree_is_consistent_with_every_smaller_one_and_no_other():
    for size in range(1, 17):
        for old in range(size + 1):
            proof = consistency_proof(old, size, node)
            for claimed in range(size + 1):
                case = (claimed, naive_root(MANY[:claimed]), size, naive_root(MANY[:size]), proof)
                if claimed == old or (not proof and claimed in (0, size)):
                    verify_consistency(*case)
                elif claimed != old:
                    with pytest.raises(EvidenceDamaged):
                        verify_consistency(*case)


@settings(max_examples=30)
@given(st.data())
def test_nodes_and_roots_out_of_tiles(data):
    size = data.draw(st.integers(1, len(MANY)))
    tiles = tiles_of(size)
    assert max(level for level, _ in tiles) + 1 == levels(size)
    for (level, index), hashes in tiles.items():
        assert len(hashes) == 32 * tile_width(level, index, size)
    rows = [tiles.get((level, (size >> 8 * level) // TILE_WIDTH), b"") for level in range(levels(size))]
    assert edge_root(rows) == naive_root(MANY[:size])

    from_tiles = tile_nodes(lambda level, index: tiles.get((level, index), b""))
    index = data.draw(st.integers(0, size - 1))
    assert inclusion_proof(index, size, from_tiles) == inclusion_proof(index, size, node)
    with pytest.raises(EvidenceDamaged, match=r"tile/0/.* is too short"):
        from_tiles(0, size)


@pytest.mark.parametrize(
    ("level", "index", "width", "path"),
    [
        (0, 0, 256, "tile/0/000"),
        (0, 0, 1, "tile/0/000.p/1"),
        (1, 999, 255, "tile/1/999.p/255"),
        (0, 1000, 256, "tile/0/x001/000"),
        (0, 1_234_067, 256, "tile/0/x001/x234/067"),
        (5, 1_234_067, 8, "tile/5/x001/x234/067.p/8"),
        (0, 10**9, 256, "tile/0/x001/x000/x000/000"),
    ],
)
def test_paths(level, index, width, path):
    assert tile_path(level, index, width) == path
    assert entries_path(index, width) == path.replace(f"tile/{level}/", "tile/entries/")


@pytest.mark.parametrize(("index", "width"), [(-1, 256), (0, 0), (0, 257)])
def test_paths_of_no_tile(index, width):
    with pytest.raises(ValueError, match="there is no tile"):
        tile_path(0, index, width)


def test_widths_of_the_example_in_the_specification():
    assert [tile_width(0, n, 70_000) for n in (0, 272, 273, 274)] == [256, 256, 112, 0]
    assert [tile_width(1, n, 70_000) for n in (0, 1, 2)] == [256, 17, 0]
    assert [tile_width(2, n, 70_000) for n in (0, 1)] == [1, 0]
    assert (tile_width(0, 0, 256), tile_width(0, 1, 256), tile_width(1, 0, 256), levels(256)) == (256, 0, 1, 2)
    assert [levels(size) for size in (0, 1, 255, 65_535, 65_536)] == [0, 1, 1, 2, 3]


@given(st.lists(st.binary(max_size=300), max_size=TILE_WIDTH))
def test_bundles_hold_what_was_put_in(entries):
    assert decode_bundle(encode_bundle(entries)) == entries


@given(st.lists(st.binary(min_size=1, max_size=20), min_size=1, max_size=5), st.data())
def test_a_bundle_cut_anywhere_but_between_entries_is_refused(entries, data):
    whole = encode_bundle(entries)
    borders = {len(encode_bundle(entries[:count])) for count in range(len(entries) + 1)}
    cut = data.draw(st.integers(0, len(whole)))
    if cut in borders:
        assert decode_bundle(whole[:cut]) == entries[: sorted(borders).index(cut)]
    else:
        with pytest.raises(EvidenceDamaged):
            decode_bundle(whole[:cut])


def test_bounds_of_bundles():
    largest = bytes(ENTRY_LIMIT)
    assert decode_bundle(encode_bundle([largest])) == [largest]
    with pytest.raises(ValueError, match="over 65535"):
        encode_bundle([largest + b"x"])
    assert len(decode_bundle(bytes(2 * TILE_WIDTH))) == TILE_WIDTH
    with pytest.raises(EvidenceDamaged):
        decode_bundle(bytes(2 * TILE_WIDTH + 2))
