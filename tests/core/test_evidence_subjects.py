"""Keys of subjects: the published XAES-256-GCM vectors, cells, minting, re-wrapping, and what a body is bound to."""

from hashlib import shake_128

import msgspec
import pytest
from cryptography.exceptions import InvalidTag
from hypothesis import given
from hypothesis import strategies as st

from firedoor.core.evidence.leaf import GENESIS, Leaf
from firedoor.core.evidence.subjects import (
    CELL_BYTES,
    NOBODY,
    RANDOM_BYTES,
    WRAPPED_BYTES,
    Cell,
    EpochPrivate,
    Sealing,
    SubjectKey,
    body_context,
    context_of,
    decode_cell,
    mint,
    rewrap,
)
from firedoor.core.evidence.xaes import OVERHEAD, Xaes, open_message
from firedoor.errors import EvidenceDamaged

EPOCH = EpochPrivate("eu", 1, bytes(range(32)))
RANDOM = bytes(range(100, 100 + RANDOM_BYTES))
LOOKUP = "5a" * 16
hexes = st.binary(min_size=16, max_size=16).map(bytes.hex)
cells = st.builds(
    Cell, hexes, hexes, st.integers(0, 2**64 - 1), st.binary(min_size=WRAPPED_BYTES, max_size=WRAPPED_BYTES)
)


class TestXaes:
    """C2SP XAES-256-GCM."""

    @pytest.mark.parametrize(
        ("key", "context", "message_key", "sealed"),
        [
            (
                "01" * 32,
                b"",
                "c8612c9ed53fe43e8e005b828a1631a0bbcb6ab2f46514ec4f439fcfd0fa969b",
                "ce546ef63c9cc60765923609b33a9a1974e96e52daf2fcf7075e2271",
            ),
            (
                "03" * 32,
                b"c2sp.org/XAES-256-GCM",
                "e9c621d4cdd9b11b00a6427ad7e559aeedd66b3857646677748f8ca796cb3fd8",
                "986ec1832593df5443a179437fd083bf3fdb41abd740a21f71eb769d",
            ),
        ],
    )
    def test_published_vectors(self, key, context, message_key, sealed):
        cipher, nonce = Xaes(bytes.fromhex(key)), b"ABCDEFGHIJKLMNOPQRSTUVWX"
        assert cipher.message_key(nonce).hex() == message_key
        assert cipher.seal(nonce, b"XAES-256-GCM", context) == nonce + bytes.fromhex(sealed)
        assert cipher.open(nonce + bytes.fromhex(sealed), context) == b"XAES-256-GCM"

    def test_published_accumulated_vectors(self):
        """10,000 messages drawn from a SHAKE-128 stream; the hash of all ciphertexts is published."""
        stream, at = shake_128().digest(10_000 * 600), 0
        assert stream.startswith(bytes.fromhex("7f9c2ba4e88f827d616045507605853e"))
        digest = shake_128()
        for _ in range(10_000):
            key, nonce, at = stream[at : at + 32], stream[at + 32 : at + 56], at + 56
            data, at = stream[at + 1 : at + 1 + stream[at]], at + 1 + stream[at]
            context, at = stream[at + 1 : at + 1 + stream[at]], at + 1 + stream[at]
            digest.update(Xaes(key).seal(nonce, data, context)[24:])
        assert digest.hexdigest(32) == "e6b9edf2df6cec60c8cbd864e2211b597fb69a529160cd040d56c0c210081939"

    @given(st.binary(max_size=100), st.binary(max_size=20), st.data())
    def test_any_changed_bit_is_refused(self, data, context, draw):
        cipher = Xaes(bytes(range(32)))
        sealed = cipher.seal(bytes(24), data, context)
        assert len(sealed) == len(data) + OVERHEAD
        assert open_message(cipher.message_key(sealed), sealed, context) == data
        bit = draw.draw(st.integers(0, 8 * len(sealed) - 1))
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(InvalidTag):
            cipher.open(bytes(changed), context)
        with pytest.raises(InvalidTag):
            cipher.open(sealed, context + b"\0")

    @pytest.mark.parametrize("length", [0, 23, 24, OVERHEAD - 1])
    def test_too_short_is_refused(self, length):
        with pytest.raises(ValueError, match="too short"):
            Xaes(bytes(32)).open(bytes(length), b"")

    @pytest.mark.parametrize("length", [0, 16, 31, 33])
    def test_a_key_has_32_bytes(self, length):
        with pytest.raises(ValueError, match="32 bytes"):
            Xaes(bytes(length))

    def test_a_message_key_opens_only_its_message(self):
        cipher = Xaes(bytes(32))
        one, other = cipher.seal(bytes(24), b"one", b""), cipher.seal(b"\1" * 24, b"other", b"")
        assert open_message(cipher.message_key(one), one, b"") == b"one"
        with pytest.raises(InvalidTag):
            open_message(cipher.message_key(one), other, b"")


class TestCells:
    @given(cells)
    def test_a_cell_comes_back(self, cell):
        data = cell.encode()
        assert len(data) == CELL_BYTES
        assert decode_cell(data) == cell

    @given(cells, st.integers(0, 8 * CELL_BYTES - 1))
    def test_any_changed_bit_is_damage(self, cell, bit):
        changed = bytearray(cell.encode())
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(EvidenceDamaged):
            decode_cell(bytes(changed))

    def test_zeros_are_an_erased_cell(self):
        assert decode_cell(bytes(CELL_BYTES)) is None

    @pytest.mark.parametrize(
        "data", [b"", bytes(127), bytes(129), b"FDK1" + bytes(124), b"FDK2" + bytes(124), b"\1" * 128]
    )
    def test_other_bytes_are_damage(self, data):
        with pytest.raises(EvidenceDamaged):
            decode_cell(data)


class TestMinting:
    def test_the_epoch_opens_what_its_public_half_sealed(self):
        cell, key = mint(EPOCH.public, LOOKUP, 9, RANDOM)
        assert (cell.key, cell.lookup, cell.made_at) == (RANDOM[:16].hex(), LOOKUP, 9)
        assert EPOCH.unwrap(cell) == RANDOM[16:48]
        assert RANDOM[16:48] not in cell.encode()
        again = SubjectKey(cell.key, EPOCH.unwrap(cell), cell.lookup)
        assert (again.id, again.subject) == (key.id, key.subject)

    @pytest.mark.parametrize(
        "change",
        [{"key": "00" * 16}, {"lookup": "5b" * 16}, {"wrapped": bytes(80)}],
        ids=["key", "lookup", "wrapped"],
    )
    def test_a_cell_of_another_subject_or_id_does_not_open(self, change):
        cell, _ = mint(EPOCH.public, LOOKUP, 9, RANDOM)
        with pytest.raises(EvidenceDamaged, match="was not sealed to epoch 1 of region eu"):
            EPOCH.unwrap(cell._replace(**change))

    @pytest.mark.parametrize(
        "other",
        [
            EpochPrivate("us", 1, bytes(range(32))),
            EpochPrivate("eu", 2, bytes(range(32))),
            EpochPrivate("eu", 1, bytes(range(1, 33))),
        ],
    )
    def test_another_region_epoch_or_key_does_not_open_it(self, other):
        cell, _ = mint(EPOCH.public, LOOKUP, 9, RANDOM)
        with pytest.raises(EvidenceDamaged):
            other.unwrap(cell)

    @given(st.integers(0, 8 * WRAPPED_BYTES - 1))
    def test_a_changed_bit_does_not_open(self, bit):
        cell, _ = mint(EPOCH.public, LOOKUP, 9, RANDOM)
        changed = bytearray(cell.wrapped)
        changed[bit // 8] ^= 1 << bit % 8
        # X25519 ignores the top bit of a public key (RFC 7748, 5); here it is part of the derivation.
        with pytest.raises(EvidenceDamaged):
            EPOCH.unwrap(cell._replace(wrapped=bytes(changed)))

    def test_rewrapping_keeps_the_key_and_leaves_the_old_epoch_behind(self):
        new = EpochPrivate("eu", 2, b"\7" * 32)
        sealing = Sealing(new.public, b"\x09" * 32)
        pairs = [mint(EPOCH.public, f"{n:032x}", n, RANDOM[: RANDOM_BYTES - 1] + bytes([n])) for n in range(3)]
        moved = [rewrap(cell, EPOCH, sealing) for cell, _ in pairs]
        for (old, key), cell in zip(pairs, moved, strict=True):
            assert (cell.key, cell.lookup, cell.made_at) == (old.key, old.lookup, old.made_at)
            assert SubjectKey(cell.key, new.unwrap(cell), cell.lookup).subject == key.subject
            with pytest.raises(EvidenceDamaged):
                EPOCH.unwrap(cell)
        with pytest.raises(EvidenceDamaged):
            rewrap(moved[0], EPOCH, sealing)
        assert len({cell.wrapped[32:] for cell in moved}) == 3

    def test_nobody_has_no_pseudonym(self):
        assert mint(EPOCH.public, NOBODY, 9, RANDOM)[1].subject is None


class TestBodies:
    KEY = SubjectKey("7" * 32, bytes(range(32)), LOOKUP)
    LEAF = Leaf(2, "eu", "w0", 2, GENESIS, "intent", "fx-1", 5, {}, KEY.id)

    def sealed(self):
        return self.KEY.seal(b"n" * 24, b"Liefert Alpen AG den Kessel?", body_context(self.LEAF))

    def test_a_body_opens_as_its_record(self):
        assert b"Kessel" not in self.sealed()
        assert self.KEY.open(self.LEAF, self.sealed()) == b"Liefert Alpen AG den Kessel?"
        opened = open_message(self.KEY.record_key(self.sealed()), self.sealed(), body_context(self.LEAF))
        assert opened == b"Liefert Alpen AG den Kessel?"

    @pytest.mark.parametrize(
        "change",
        [{"seq": 3}, {"region": "us"}, {"slot": "w1"}, {"kind": "outcome"}, {"exchange": "fx-2"}, {"key": "8" * 32}],
        ids=str,
    )
    def test_a_body_moved_to_another_record_does_not_open(self, change):
        with pytest.raises(EvidenceDamaged, match="does not open"):
            self.KEY.open(msgspec.structs.replace(self.LEAF, **change), self.sealed())

    def test_another_subjects_key_does_not_open_it(self):
        with pytest.raises(EvidenceDamaged, match="does not open"):
            SubjectKey(self.KEY.id, bytes(32), LOOKUP).open(self.LEAF, self.sealed())

    def test_a_leaf_without_key_has_no_body(self):
        with pytest.raises(EvidenceDamaged, match="does not open"):
            self.KEY.open(msgspec.structs.replace(self.LEAF, key=None), self.sealed())

    @given(
        *[st.lists(st.from_regex(r"[a-z][a-z0-9_.-]{0,5}", fullmatch=True), min_size=3, max_size=3)] * 2,
        *[st.tuples(st.integers(0, 99), st.text("ab\0", max_size=5))] * 2,
    )
    def test_no_two_records_share_a_context(self, one, other, these, those):
        first, second = (*one, *these), (*other, *those)
        contexts = [context_of(r, s, seq, kind, exchange, "7" * 32) for r, s, kind, seq, exchange in (first, second)]
        assert (contexts[0] == contexts[1]) == (first == second)

    @given(hexes, hexes, hexes)
    def test_pseudonyms_differ_by_kind_key_and_lookup(self, lookup, session, other):
        key = SubjectKey("7" * 32, bytes(range(32)), lookup)
        assert key.session(session) == key.session(session) == key.pseudonym("session", session)
        assert key.session(other) == key.pseudonym("session", other)
        assert key.pseudonym("subject", session) != key.session(session)
        assert SubjectKey("7" * 32, bytes(32), lookup).session(session) != key.session(session)
