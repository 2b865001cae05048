"""Signed notes and checkpoints: strict, the same as two other implementations write and read, and nothing passes forged."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.evidence.checkpoint import (
    Checkpoint,
    open_checkpoint,
    parse_checkpoint,
    sign,
    signature,
    verify_signature,
    verify_signatures,
)
from firedoor.core.evidence.note import (
    COSIGNER_ED25519,
    COSIGNER_MLDSA44,
    ED25519,
    SIGNATURE_LIMIT,
    Note,
    NoteSeeds,
    Signature,
    Signer,
    Vkey,
    log_signers,
    parse_note,
    parse_signatures,
    vkeys,
)
from firedoor.core.evidence.tree import EMPTY_ROOT
from firedoor.errors import EvidenceDamaged, KeyUnusable

from .logs import NOW, ORIGIN, MemoryLog, seeds, witness_keys

LOG = MemoryLog()
WITNESS = witness_keys("witness.nordlicht.example/w1")
SIGNED = LOG.note(7, *WITNESS)

# From the C2SP specifications: signed-note and tlog-cosignature. Their keys are not published there, the forms are.
SPEC_NOTE = """Ognuno sta solo sul cuor della terra
trafitto da un raggio di sole:

ed è subito sera.

— quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=
"""
SPEC_CHECKPOINT = """example.com/behind-the-sofa
20852163
CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=

— example.com/behind-the-sofa Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=
— witness.example.com/w1 jWbPPwAAAABkGFDLEZMHwSRaJNiIDoe9DYn/zXcrtPHeolMI5OWXEhZCB9dlrDJsX3b2oyin1nPZqhf5nNo0xUe+mbIUBkBIfZ+qnA==
"""


def test_the_notes_of_the_specification_are_read() -> None:
    poem = parse_note(SPEC_NOTE.encode())
    assert poem.text.endswith("subito sera.\n")
    assert poem.signatures[0].id.hex() == "367ba04b"
    note = parse_note(SPEC_CHECKPOINT.encode())
    assert parse_checkpoint(note.text).size == 20852163
    assert [len(s.payload) for s in note.signatures] == [64, 72]
    assert int.from_bytes(note.signatures[1].payload[:8], "big") == 1679315147
    assert note.encode() == SPEC_CHECKPOINT.encode()


def test_every_kind_of_signature_verifies_and_tells_its_time() -> None:
    checkpoint, by_log = open_checkpoint(SIGNED, LOG.keys)
    assert checkpoint == LOG.checkpoint(7)
    assert [(v.vkey.kind, v.time) for v in by_log] == [(ED25519, None), (COSIGNER_MLDSA44, NOW)]
    cosigned = verify_signatures(checkpoint, parse_note(SIGNED).signatures, vkeys(WITNESS))
    assert [(v.vkey.kind, v.time) for v in cosigned] == [(COSIGNER_ED25519, NOW), (COSIGNER_MLDSA44, NOW)]


def test_what_another_implementation_signs_and_verifies_is_the_same() -> None:
    scales = pytest.importorskip("tlog_scales.signing", reason="pip install tlog-scales")
    tlog = pytest.importorskip("tlog_scales.tlog")
    ours = LOG.checkpoint(7)
    theirs = tlog.Checkpoint(origin=ours.origin, size=ours.size, root_hash=ours.root, signatures=[])
    for key in (*LOG.keys, *vkeys(WITNESS)):
        line = next(s for s in parse_note(SIGNED).signatures if s.by(key))
        scales.Vkey.from_string(str(key)).get_verifier().verify_note(
            scales.NoteSignature.from_line(line.line().rstrip("\n")), theirs
        )
    for signer in (
        scales.PlainEd25519Signer(ORIGIN, seeds("other").ed25519),
        scales.MLDSA44CosignatureSigner("witness.example/m", seeds("other").mldsa44),
    ):
        line = parse_signatures((signer.sign(theirs).serialize() + "\n").encode())[0]
        verify_signature(ours, line, Vkey.parse(signer.vkey.serialize()))


def test_a_verifier_key_reads_back_and_is_checked() -> None:
    for key in (*LOG.keys, *vkeys(WITNESS)):
        assert Vkey.parse(str(key)) == key
    name, id_, rest = str(LOG.keys[0]).split("+", 2)
    for wrong in (
        f"{name}+{id_}",
        f"{name}+00000000+{rest}",
        f"{name}+{id_.upper()}+{rest}" if id_.upper() != id_ else f"{name}+{id_}x+{rest}",
        f"{name}x+{id_}+{rest}",
        f"{name}+{id_}+{rest[:-4]}",
        f"{name}+{id_}+{rest}\n",
        f" {name}+{id_}+{rest}",
        "",
        "x" * 5000,
    ):
        with pytest.raises(EvidenceDamaged):
            Vkey.parse(wrong)
    with pytest.raises(EvidenceDamaged):
        Vkey(name, 2, bytes(32))
    with pytest.raises(EvidenceDamaged):
        Vkey(name, COSIGNER_MLDSA44, bytes(32))


@pytest.mark.parametrize(
    ("what", "change"),
    [
        ("size", lambda c: Checkpoint(c.origin, c.size + 1, c.root)),
        ("root", lambda c: Checkpoint(c.origin, c.size, bytes(32))),
        ("origin", lambda c: Checkpoint(c.origin + "x", c.size, c.root)),
    ],
)
def test_no_signature_verifies_over_another_checkpoint(what, change) -> None:
    changed = change(LOG.checkpoint(7))
    for line in parse_note(SIGNED).signatures:
        for key in (*LOG.keys, *vkeys(WITNESS)):
            with pytest.raises(EvidenceDamaged):
                verify_signature(changed, line, key)


def test_a_cosignature_binds_its_time_and_its_name() -> None:
    checkpoint = LOG.checkpoint(7)
    for signer in WITNESS:
        line = signature(checkpoint, signer, NOW)
        later = Signature(line.name, line.id, (NOW + 1).to_bytes(8, "big") + line.payload[8:])
        with pytest.raises(EvidenceDamaged):
            verify_signature(checkpoint, later, signer.vkey)
    renamed = Signer("witness.other.example/w1", COSIGNER_MLDSA44, seeds("witness.nordlicht.example/w1").mldsa44)
    line = signature(checkpoint, WITNESS[1], NOW)
    with pytest.raises(EvidenceDamaged):
        verify_signature(checkpoint, Signature(renamed.vkey.name, renamed.vkey.id, line.payload), renamed.vkey)


def test_a_note_is_not_the_logs_without_its_own_key() -> None:
    other = MemoryLog("evidence.alpenladen.example/eu/host-2")
    with pytest.raises(EvidenceDamaged, match="not signed by a key"):
        open_checkpoint(sign(LOG.checkpoint(7), WITNESS, NOW), LOG.keys)
    with pytest.raises(EvidenceDamaged, match="not signed by a key"):
        open_checkpoint(sign(LOG.checkpoint(7), other.signers, NOW), (*LOG.keys, *other.keys))
    forged = sign(LOG.checkpoint(7), log_signers(ORIGIN, seeds("thief")), NOW)
    with pytest.raises(EvidenceDamaged):
        open_checkpoint(forged, LOG.keys)


def test_one_bad_signature_of_a_known_key_spoils_the_note() -> None:
    note = parse_note(SIGNED)
    good, bad = note.signatures[0], note.signatures[1]
    spoiled = Note(note.text, (good, Signature(bad.name, bad.id, bad.payload[:-1] + bytes([bad.payload[-1] ^ 1]))))
    with pytest.raises(EvidenceDamaged, match="does not verify"):
        open_checkpoint(spoiled.encode(), LOG.keys)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a\n1\n",
        f"{LOG.checkpoint(7).encode()}extension\n",
        f"{LOG.checkpoint(7).encode()}\n",
        LOG.checkpoint(7).encode().replace("\n7\n", "\n07\n"),
        LOG.checkpoint(7).encode().replace("\n7\n", "\n-7\n"),
        LOG.checkpoint(7).encode().replace("\n7\n", "\n７\n"),
        LOG.checkpoint(7).encode().replace("\n7\n", "\n9223372036854775808\n"),
        LOG.checkpoint(7).encode().replace("\n7\n", "\n0\n"),
        LOG.checkpoint(7).encode().replace("=", ""),
        LOG.checkpoint(7).encode().replace("evidence", "Mara Weiss evidence"),
        LOG.checkpoint(7).encode().replace("evidence", "mara@evidence"),
        "x" * 201 + LOG.checkpoint(7).encode(),
        f"{ORIGIN}\n7\nAAAA\n",
    ],
)
def test_a_checkpoint_is_three_strict_lines(text) -> None:
    with pytest.raises(EvidenceDamaged):
        parse_checkpoint(text)


def test_the_largest_and_the_empty_checkpoint_are_read() -> None:
    for checkpoint in (Checkpoint(ORIGIN, 2**63 - 1, bytes(32)), Checkpoint(ORIGIN, 0, EMPTY_ROOT)):
        assert parse_checkpoint(checkpoint.encode()) == checkpoint
    with pytest.raises(EvidenceDamaged):
        Checkpoint(ORIGIN, 2**63, bytes(32))


@pytest.mark.parametrize(
    "change",
    [
        lambda d: d[:-1],
        lambda d: d + b"\n",
        lambda d: d + "— ".encode(),
        lambda d: d.replace("—".encode(), b"-"),
        lambda d: d.replace("— ".encode(), "—  ".encode()),
        lambda d: d.replace("— ".encode(), b"\xe2\x80\x94\t"),
        lambda d: d.replace(b"\n", b"\r\n"),
        lambda d: d.replace(b"\n\n", b"\n"),
        lambda d: d.partition(b"\n\n")[0] + b"\n\n",
        lambda d: b"\xff" + d,
        lambda d: d + d.split(b"\n")[4] + b"\n",
        lambda d: d + "— name AAAA\n".encode(),
        lambda d: d + b"\xe2\x80\x94 two words AAAAAAAA\n",
        lambda d: d + b"x" * 600_000,
    ],
)
def test_a_note_that_is_not_strict_is_refused(change) -> None:
    with pytest.raises(EvidenceDamaged):
        parse_note(change(SIGNED))


def test_signatures_are_bounded() -> None:
    lines = [Signature(f"w{n}.example", bytes(4), bytes(64)) for n in range(SIGNATURE_LIMIT + 1)]
    assert len(parse_note(Note("a\n", tuple(lines[:-1])).encode()).signatures) == SIGNATURE_LIMIT
    with pytest.raises(EvidenceDamaged):
        parse_note(Note("a\n", tuple(lines)).encode())
    with pytest.raises(EvidenceDamaged):
        parse_note(Note("a\n", (Signature("w.example", bytes(4), bytes(8193)),)).encode())


def test_seeds_stay_out_of_sight_and_have_their_length() -> None:
    assert "'" not in repr(NoteSeeds(b"secret", b"secret"))
    with pytest.raises(KeyUnusable):
        Signer("name", ED25519, bytes(31))
    with pytest.raises(ValueError, match="seconds"):
        signature(LOG.checkpoint(7), WITNESS[0], -1)


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_what_is_read_is_written_the_same_and_a_changed_byte_is_noticed(data) -> None:
    changed = bytearray(SIGNED)
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(changed) - 1))
        changed[place] = data.draw(st.sampled_from([10, 32, 43, 61, 65, 0x80, changed[place] ^ 1]))
    if bytes(changed) == SIGNED:
        return
    try:
        note = parse_note(bytes(changed))
    except EvidenceDamaged:
        return
    assert note.encode() == bytes(changed)
    try:
        checkpoint, verified = open_checkpoint(bytes(changed), LOG.keys)
    except EvidenceDamaged:
        return
    assert checkpoint == LOG.checkpoint(7), "a key of the log signed nothing else"
    assert len(verified) < 2 or note.signatures != parse_note(SIGNED).signatures


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300) | st.text(max_size=200).map(str.encode))
def test_anything_else_is_refused_cleanly(data) -> None:
    for read in (parse_note, parse_signatures):
        try:
            read(data)
        except EvidenceDamaged:
            continue
