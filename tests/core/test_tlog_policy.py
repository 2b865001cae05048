"""Trust policies: the specification's forms are read, near misses are refused, and a quorum is what it says."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.evidence.note import COSIGNER_ED25519, Note, Signature, Vkey, parse_note, vkeys
from firedoor.core.evidence.policy import parse_policy, satisfied, write
from firedoor.errors import EvidenceDamaged

from .logs import NOW, MemoryLog, witness_keys

LOG = MemoryLog()
ED, ML = LOG.keys
WITNESSES = {name: witness_keys(f"witness.nordlicht.example/{name}") for name in ("eu", "us", "ch")}
KEYS = {name: vkeys(signers) for name, signers in WITNESSES.items()}


def cosigned(*names: str) -> Note:
    return parse_note(LOG.note(9, *(signer for name in names for signer in WITNESSES[name]), now=NOW))


def line(name: str, number: int = 0) -> str:
    return f"witness {name} {KEYS[name][number]}\n"


EXAMPLE = f"""# The example of the specification, two levels of groups
log {ED}   https://log.example/
\t
witness X1 {KEYS["eu"][0]}
  witness X2 {KEYS["us"][0]}\t
group X-witnesses 1 X1 X2
witness Y1 {KEYS["ch"][0]} https://w.example/
group Y-witnesses any Y1
group X-and-Y all X-witnesses Y-witnesses
quorum X-and-Y
"""


def test_the_forms_of_the_specification_are_read() -> None:
    policy = parse_policy(EXAMPLE.encode())
    assert policy.quorum == "X-and-Y"
    assert [(g.name, g.needs) for g in policy.groups] == [("X-witnesses", 1), ("Y-witnesses", 1), ("X-and-Y", 2)]
    assert policy.logs[0].url == "https://log.example/"
    assert parse_policy(policy.encode()) == policy
    assert satisfied(cosigned("us", "ch"), policy, ED) == (
        "witness.nordlicht.example/ch",
        "witness.nordlicht.example/us",
    )
    for too_few in (("eu", "us"), ("ch",), ()):
        with pytest.raises(EvidenceDamaged, match="no quorum"):
            satisfied(cosigned(*too_few), policy, ED)


@pytest.mark.parametrize("quorum", [0, 1, 2, 3])
def test_a_written_policy_wants_its_quorum_of_witnesses(quorum) -> None:
    policy = write(LOG.keys, KEYS, quorum)
    assert parse_policy(policy.encode()) == policy
    for count in range(4):
        note = cosigned(*list(WITNESSES)[:count])
        for key in LOG.keys:
            if count >= quorum:
                assert len(satisfied(note, policy, key)) == count
            else:
                with pytest.raises(EvidenceDamaged, match=f"{count} of 3"):
                    satisfied(note, policy, key)


def test_a_witness_counts_only_with_all_its_keys() -> None:
    policy = write(LOG.keys, KEYS, 1)
    note = cosigned("eu")
    for missing in range(2):
        left = [s for s in note.signatures if not s.by(KEYS["eu"][missing])]
        with pytest.raises(EvidenceDamaged, match="0 of 3"):
            satisfied(Note(note.text, tuple(left)), policy, ED)


def test_what_does_not_verify_does_not_count() -> None:
    policy = write([ED], KEYS, 1)
    note = cosigned("eu")
    for number in range(len(note.signatures)):
        signatures = list(note.signatures)
        s = signatures[number]
        signatures[number] = Signature(s.name, s.id, s.payload[:-1] + bytes([s.payload[-1] ^ 1]))
        if s.by(ML):
            continue  # not asked for, not a key of the policy
        with pytest.raises(EvidenceDamaged):
            satisfied(Note(note.text, tuple(signatures)), policy, ED)
    moved = Note(MemoryLog("other.example/log").checkpoint(9).encode(), note.signatures)
    with pytest.raises(EvidenceDamaged):
        satisfied(moved, policy, ED)


def test_only_the_policys_logs_count() -> None:
    other = MemoryLog("evidence.alpenladen.example/us/host-1")
    with pytest.raises(EvidenceDamaged, match="is not a log of this trust policy"):
        satisfied(cosigned("eu"), write(other.keys, KEYS, 0), ED)
    with pytest.raises(EvidenceDamaged, match="is not a log of this trust policy"):
        satisfied(cosigned("eu"), write([ED], KEYS, 0), ML)
    assert satisfied(cosigned("eu"), write([], KEYS, 1), ED) == ("witness.nordlicht.example/eu",)
    with pytest.raises(EvidenceDamaged, match="not signed with the key asked for"):
        satisfied(cosigned("eu"), write([], KEYS, 1), other.keys[0])


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no quorum line"),
        ("quorum none", "newline"),
        ("quorum none\nquorum none\n", "Line 2"),
        ("quorum eu\n", "not a witness or group named before"),
        (f"quorum eu\n{line('eu')}", "Line 1"),
        (f"log {ED}\nlog {ED}\nquorum none\n", "twice"),
        (f"log {KEYS['eu'][0]}\nquorum none\n", "kind"),
        (f"witness w {ED}\nquorum none\n", "kind"),
        (f"log {str(ED)[:-1]}\nquorum none\n", "Line 1"),
        (f"{line('eu')}{line('eu', 1)}quorum none\n", "taken"),
        (f"{line('eu')}witness other {KEYS['eu'][0]}\nquorum none\n", "twice"),
        (f"witness none {KEYS['eu'][0]}\nquorum none\n", "reserved"),
        (f"witness eu {KEYS['eu'][0]} http://a http://b\nquorum none\n", "not a log, witness"),
        (f"{line('eu')}group g 2 eu\nquorum g\n", "more members"),
        (f"{line('eu')}group g 0 eu\nquorum g\n", "all, any or a number"),
        (f"{line('eu')}group g 01 eu\nquorum g\n", "all, any or a number"),
        (f"{line('eu')}group g some eu\nquorum g\n", "all, any or a number"),
        (f"{line('eu')}group g any\nquorum g\n", "not a log, witness"),
        (f"{line('eu')}group g any eu eu\nquorum g\n", "already"),
        (f"{line('eu')}group g any eu\ngroup h any eu\nquorum g\n", "already"),
        (f"{line('eu')}group g any g\nquorum g\n", "named before"),
        (f"{line('eu')}group g any none\nquorum g\n", "named before"),
        (f"{line('eu')}group eu any eu\nquorum eu\n", "taken"),
        ("quorum none extra\n", "not a log, witness"),
        ("quorum\n", "not a log, witness"),
        ("Quorum none\n", "not a log, witness"),
        ("quorum none\r\n", "control"),
        ("quorum none\n# a\x00b\n", "control"),
        ("# Köln\nquorum none\n", "ASCII"),
    ],
)
def test_near_misses_are_refused_with_their_line(text, says) -> None:
    with pytest.raises(EvidenceDamaged, match=says):
        parse_policy(text.encode())


def test_a_policy_is_bounded() -> None:
    with pytest.raises(EvidenceDamaged, match="larger"):
        parse_policy(b"#" * 1_100_000)
    keys = [Vkey(f"w{n}.example", COSIGNER_ED25519, n.to_bytes(32, "big")) for n in range(257)]
    many = [f"witness w{n} {key}\n" for n, key in enumerate(keys)]
    assert len(parse_policy("".join([*many[:256], "quorum none\n"]).encode()).witnesses) == 256
    with pytest.raises(EvidenceDamaged, match="more than 256"):
        parse_policy("".join([*many, "quorum none\n"]).encode())
    with pytest.raises(EvidenceDamaged, match="more members"):
        write(LOG.keys, KEYS, 4)


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_a_changed_policy_is_refused_or_reads_the_same_again(data) -> None:
    lines = write(LOG.keys, KEYS, 2).encode().split(b"\n")
    for _ in range(data.draw(st.integers(1, 3))):
        place = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "swap", "byte"])):
            case "drop" if len(lines) > 1:
                del lines[place]
            case "swap":
                lines[0], lines[place] = lines[place], lines[0]
            case _:
                at = data.draw(st.integers(0, len(lines[place])))
                lines[place] = lines[place][:at] + data.draw(st.binary(min_size=1, max_size=1)) + lines[place][at:]
    try:
        policy = parse_policy(b"\n".join(lines))
    except EvidenceDamaged:
        return
    assert parse_policy(policy.encode()) == policy
