"""What every root owes, and regions with keys and cells to try it on."""

import os
import re

import pytest

from firedoor.core.evidence.subjects import RANDOM_BYTES, decode_cell, mint
from firedoor.errors import KeyUnusable
from firedoor.keys.ring import create_ring
from firedoor.keys.roots.file import FileRoot

CONTEXT = "eu|epoch|3|1"


def check_root(root, stranger, gone="now"):
    """The contract of `firedoor.ports.keys.Root`; `stranger` is another region's root in the same place."""
    root.check()
    assert root.region == "eu"
    assert root.kind in {"file", "pkcs11", "vault", "aws_kms"}
    first, second = root.create("base"), root.create("base")
    assert first != second  # a name is not a handle
    for size in (1, 32, 64):
        data = os.urandom(size)
        wrapped = root.wrap(first, data, CONTEXT)
        assert size == 1 or data not in wrapped
        assert wrapped != root.wrap(first, data, CONTEXT)
        assert root.unwrap(first, wrapped, CONTEXT) == data
    for size in (0, 65):
        with pytest.raises(ValueError, match="64 bytes"):
            root.wrap(first, bytes(size), CONTEXT)
    for context in ("us|epoch|3|1", "eu|epoch|2|1", "eu|epoch|3|2", "eu|model|3|1", ""):
        with pytest.raises(KeyUnusable):
            root.unwrap(first, wrapped, context)
    flipped = [
        wrapped[:at] + bytes([wrapped[at] ^ 1]) + wrapped[at + 1 :] for at in (0, len(wrapped) // 2, -1 % len(wrapped))
    ]
    for damaged in (*flipped, wrapped[:-1], wrapped + b"x", wrapped[:20], b"", b"\xff" * 60):
        with pytest.raises(KeyUnusable):
            root.unwrap(first, damaged, CONTEXT)
    with pytest.raises(KeyUnusable):
        root.unwrap(second, wrapped, CONTEXT)
    with pytest.raises(KeyUnusable):
        stranger.unwrap(first, wrapped, CONTEXT)
    for name in ("", "a/b", "A", "a b", "x" * 40):
        with pytest.raises(ValueError, match="wrapping key is named"):
            root.create(name)
    when = root.destroy(first)
    assert re.fullmatch(gone, when)
    assert root.destroy(first) == when  # an act that was cut short is done again
    for call in (lambda: root.unwrap(first, wrapped, CONTEXT), lambda: root.wrap(first, b"x", CONTEXT)):
        with pytest.raises(KeyUnusable):
            call()
    kept = root.wrap(second, b"kept", CONTEXT)
    assert root.unwrap(second, kept, CONTEXT) == b"kept"
    assert "\n" not in root.describe()


def exports(root):
    """Names of public attributes and methods: none of them may give a key out."""
    return {name for name in dir(root) if not name.startswith("_")} - {
        "check", "create", "describe", "destroy", "kind", "region", "unwrap", "wrap",
    }  # fmt: skip


def make_ring(folder, region="eu"):
    """A region's first keys, under a development root beside them."""
    return create_ring(folder, region, FileRoot(folder / "root.json", region))


def write_cells(ring, slot, count, epoch=None):
    """Append `count` new keys to the slot's file as a worker does; the keys (clear, for the test) by id."""
    public = epoch or ring.worker().epoch
    folder = ring.subjects / str(public.epoch)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    ring.subjects.chmod(0o700)
    minted, path = {}, folder / f"{slot}.cells"
    with path.open("ab") as file:
        for number in range(count):
            random = os.urandom(RANDOM_BYTES)
            cell, _ = mint(public, f"{number:032x}", 1_790_000_000_000_000_000 + number, random)
            file.write(cell.encode())
            minted[cell.key] = random[16:48]
    path.chmod(0o600)
    return minted


def names(folder):
    """What lies in a folder."""
    return {path.name for path in folder.iterdir()}


def living(ring):
    """(epoch, key id, clear key) of every cell on the disk that the ring still opens, in the order it lies there."""
    found, destroyed = [], {entry.name for entry in ring.state.epochs("destroyed")}
    for path in sorted(ring.subjects.glob("*/*.cells")):
        if path.parent.name in destroyed:
            continue
        private = ring.epoch_private(int(path.parent.name))
        data = path.read_bytes()
        for at in range(0, len(data), 128):
            cell = decode_cell(data[at : at + 128])
            if cell is not None:
                found.append((private.public.epoch, cell.key, private.unwrap(cell)))
    return found


class Recorded(list):
    """A recorder of acts on keys that remembers what it was told."""

    def __call__(self, kind, facts):
        assert kind == "key"
        self.append(facts)

    @property
    def acts(self):
        return [facts["act"] for facts in self]
