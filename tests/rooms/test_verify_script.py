"""verify.py, the receiver's verifier, and our own check: on good bundles, damaged ones, hostile ones. They must agree."""

import ast
import hashlib
import json
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import pyrage
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs

from firedoor.app.bundlecheck import verify_bundle
from firedoor.core.evidence.bundle import CustodySignature, Selection, decode_custody, decode_signature
from firedoor.core.evidence.leaf import hour
from firedoor.core.evidence.note import log_signers
from firedoor.core.evidence.policy import write
from firedoor.core.evidence.record import Record
from firedoor.errors import EvidenceDamaged
from firedoor.store.bodies import blank
from firedoor.store.cells import erase
from firedoor.store.holds import living

from .bundles import SCRIPT, House, agreed, filled, load_script, lookup, receiver, run_script

script = load_script()
CHOSEN = Selection(exchanges=("ex_0", "ex_1"))


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A bundle with bodies, the receiver's key, and the record keys in clear. Not to be changed."""
    folder = tmp_path_factory.mktemp("bundle")
    house = filled(folder)
    identity, recipient = receiver()
    house.export(folder / "bundle", CHOSEN, bodies_to=recipient, grant=agreed(house, CHOSEN, recipient))
    keys = folder / "record-keys.json"
    keys.write_bytes(pyrage.decrypt((folder / "bundle" / "record-keys.age").read_bytes(), [identity]))
    return house, folder / "bundle", keys


@pytest.fixture
def copy(made, tmp_path):
    shutil.copytree(made[1], tmp_path / "copy")
    return tmp_path / "copy"


def ours(bundle, policy=None):
    """What our own check says; a bundle that cannot be opened at all is damaged too."""
    try:
        return [(damage.file, damage.problem) for damage in verify_bundle(bundle, policy).damage]
    except EvidenceDamaged as error:
        return [(bundle.name, error.message)]


def both(bundle):
    """Whether each of the two finds the bundle good: always the same answer."""
    theirs, mine = script.verify(str(bundle)).wrong, ours(bundle)
    assert bool(theirs) == bool(mine), (theirs, mine)
    return not theirs


def resealed(bundle):
    """Make custody.json fit the files that are there, and its digest fit it: an editor who hides their traces."""
    custody = decode_custody((bundle / "custody.json").read_bytes())
    files = {name: hashlib.sha256((bundle / name).read_bytes()).hexdigest() for name in custody.files}
    data = structs.replace(custody, files=files).encode()
    (bundle / "custody.json").write_bytes(data)
    sealed = CustodySignature(hashlib.sha256(data).hexdigest())
    (bundle / "custody.sig.json").write_bytes(sealed.encode())


def test_a_good_bundle_verifies_in_a_process_without_us(made):
    _, bundle, keys = made
    status, result = run_script(bundle, "--keys", str(keys), "--show")
    assert (status, result["ok"], result["wrong"]) == (0, True, [])
    assert result["cosigned"] == {"by": ["witness.example/regulator"], "size": 3, "of": 3}
    assert (result["by"], result["approved_by"], result["region"]) == ("ben", ["ben", "ana"], "eu")
    assert result["bodies"] == {"whole": 4, "opened": 4, "gone": 0}
    assert {one["body"] for one in result["shown"]} == {"question 0", "question 1", "an answer"}
    report = verify_bundle(bundle)
    assert (report.ok, report.records, report.bodies, report.manifest) == (
        True,
        result["records"],
        4,
        result["manifest"],
    )
    assert run_script(bundle, script=bundle / "verify.py")[0] == 0  # the one that went along


def test_a_zip_is_as_good_as_a_folder(made, tmp_path):
    _, bundle, _ = made
    packed = Path(shutil.make_archive(str(tmp_path / "by-hand"), "zip", bundle.parent, bundle.name))
    assert both(packed)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_flipped_byte_of_any_file_is_found(copy, data):
    path = data.draw(st.sampled_from(sorted(p for p in copy.rglob("*") if p.is_file())))
    good = path.read_bytes()
    at, bit = data.draw(st.integers(0, len(good) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :])
    try:
        assert not both(copy)
        assert path.relative_to(copy).as_posix() in {where for where, _ in script.verify(str(copy)).wrong} | {
            "custody.json",  # either of the two is blamed for a digest that does not fit
            "custody.sig.json",
        }
    finally:
        path.write_bytes(good)


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_who_hides_a_change_in_custody_is_found_by_the_signatures(copy, data):
    evidence = [p for p in sorted(copy.rglob("*")) if p.is_file() and p.relative_to(copy).parts[0] in ("log", "bodies")]
    path = data.draw(st.sampled_from(evidence))
    good = {p: p.read_bytes() for p in (path, copy / "custody.json", copy / "custody.sig.json")}
    at, bit = data.draw(st.integers(0, len(good[path]) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(good[path][:at] + bytes([good[path][at] ^ 1 << bit]) + good[path][at + 1 :])
    resealed(copy)
    verdict = both(copy)
    for changed, before in good.items():
        changed.write_bytes(before)
    # Signatures by keys that the policy does not know are passed over (signed-note): nothing else may be.
    assert not verdict or path.name in ("checkpoint", "cosigned")


@pytest.fixture(scope="module")
def large(tmp_path_factory):
    """A bundle of logs with full tiles, and records of many shapes."""
    folder = tmp_path_factory.mktemp("large")
    house = House(folder)
    for part in range(3):
        records = [r for n in range(120) for r in house.exchange(f"ex_{part}_{n}", lookup(f"shopper {n % 7}"))]
        odd = {
            "note": 'ä "quoted" \\ text',
            "score": 0.1234,
            "labels": {"EMAIL": 2, "IBAN": 1},
            "list": ["a", "b"],
            "no": None,
        }
        records += [structs.replace(records[0], facts={**records[0].facts, **odd, "n": -n}) for n in range(9)]
        house.write("w0", records)
        house.publish(cosign=part == 1)
    house.export(folder / "bundle", Selection(surface="support"))
    return folder / "bundle"


def test_a_log_of_full_tiles_verifies(large):
    assert both(large)
    assert script.verify(str(large)).facts["records"] > 2 * 256
    assert (large / "log/w0/tile/0/001").exists()


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_any_flipped_byte_of_a_larger_log_is_found(large, data):
    evidence = sorted(p for p in (large / "log" / "w0").rglob("*") if p.is_file())
    path = data.draw(st.sampled_from(evidence))
    good = {p: p.read_bytes() for p in (path, large / "custody.json", large / "custody.sig.json")}
    at, bit = data.draw(st.integers(0, len(good[path]) - 1)), data.draw(st.integers(0, 7))
    path.write_bytes(good[path][:at] + bytes([good[path][at] ^ 1 << bit]) + good[path][at + 1 :])
    resealed(large)
    try:
        assert not both(large) or path.name == "checkpoint"
    finally:
        for changed, before in good.items():
            changed.write_bytes(before)


# Records


def entry(**changes):
    """A record as the slot `w0` would write it first."""
    leaf = {
        "at": 1790000000000000, "body": None, "exchange": "ex_1", "facts": {"n": 1, "t": "x"}, "key": None,
        "kind": "intent", "prev": "0" * 64, "region": "eu", "seq": 1, "session": None, "slot": "w0", "subject": None, "v": 2,
    }  # fmt: skip
    return json.dumps({**leaf, **changes}, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def following(*entries):
    """Whether these are good records one after another, by reading alone and with learned shapes."""
    verdicts = []
    for shapes in (0, 8):
        records = script.Records("eu", "w0", set(), set())
        script.SHAPES = shapes
        try:
            records.follow(list(entries), lambda leaf: None)
            verdicts.append(True)
        except script.Wrong:
            verdicts.append(False)
        finally:
            script.SHAPES = 8
    assert verdicts[0] == verdicts[1], entries
    return verdicts[0]


def chained(*changes):
    entries, prev = [], "0" * 64
    for number, change in enumerate(changes, 1):
        entries.append(entry(**{"seq": number, "prev": prev, **change}))
        prev = hashlib.sha256(entries[-1]).hexdigest()
    return entries


VALUES = st.one_of(
    st.text(max_size=8), st.integers(-(2**52), 2**52), st.none(), st.booleans(), st.integers(-(10**9), 10**9).map(lambda n: n // 10 + 0.5),
    st.dictionaries(st.sampled_from(["EMAIL", "IBAN", "é"]), st.integers(0, 9), max_size=3), st.lists(st.text(max_size=3)),
)  # fmt: skip
FACTS = st.dictionaries(st.sampled_from(["a", "b", "c", 'q"', "ü"]), VALUES, max_size=4)


@settings(max_examples=200, deadline=None)
@given(st.lists(FACTS, min_size=1, max_size=6))
def test_a_learned_shape_and_reading_say_the_same_about_good_records(facts):
    assert following(*chained(*({"facts": one} for one in facts)))


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_a_learned_shape_and_reading_say_the_same_about_changed_records(data):
    body = {"file": 1, "length": 9, "offset": 0, "retention": "support", "sha256": "a" * 64}
    shared = {
        "facts": {"n": 1, "m": {"EMAIL": 2}, "t": "x", "z": None},
        "key": "b" * 32,
        "body": body,
        "subject": "c" * 32,
    }
    entries = chained(*[shared] * 3)
    last = entries[2]
    at = data.draw(st.integers(0, len(last) - 1))
    insert = data.draw(
        st.sampled_from([b'"', b"\\", b" ", b",", b"}", b"{", b"0", b"1", b"-", b"e", b"\n", b"\xc3", b"x", b"\x7f"])
    )
    cut = data.draw(st.integers(0, 2))
    entries[2] = last[:at] + insert + last[at + cut :]
    following(*entries)


@pytest.mark.parametrize(
    "facts",
    ['{"n":1,"n":2}', '{"t":"x","n":1}', '{"n": 1}', '{"n":01}', '{"n":1.0}', '{"n":-0}', '{"n":1e2}', '{"n":NaN}',
     '{"n":"\\u0041"}', '{"n":"\\/"}', '{"n":123456789012345678901}', '{"n":{"b":1,"a":2}}', '{"n":tru}', '{"n":[1 ]}'],
)  # fmt: skip
def test_facts_that_could_be_written_otherwise_are_refused(facts):
    plain = entry(facts={"n": 1})
    entries = [plain, entry(facts={"n": 1}, seq=2, prev=hashlib.sha256(plain).hexdigest())]
    entries[1] = entries[1].replace(b'{"n":1}', facts.encode())
    assert not following(*entries)


@pytest.mark.parametrize(
    "change",
    [{"seq": 3}, {"prev": "1" * 64}, {"slot": "w1"}, {"region": "us"}, {"v": 1}, {"key": "short"}, {"at": -1},
     {"at": 2**53}, {"exchange": 5}, {"facts": []}, {"body": {}}, {"more": 1}],
)  # fmt: skip
def test_a_record_that_does_not_follow_is_refused(change):
    assert following(*chained({}, {}))
    assert not following(*chained({}, change))


def names(report):
    return {where for where, _ in report.wrong}


@pytest.mark.parametrize(
    ("change", "blamed"),
    [
        (lambda b: (b / "log/w0/tile/0/000.p/6").unlink(), "log/w0/tile/0/000.p/6"),
        (lambda b: (b / "log/w1/tile/entries/000.p/3").unlink(), "log/w1/tile/entries/000.p/3"),
        (lambda b: (b / "log/checkpoints/checkpoint").unlink(), "log/checkpoints/checkpoint"),
        (lambda b: (b / "bodies/w0/2").unlink(), "bodies/w0/2"),
        (lambda b: (b / "policy").unlink(), "policy"),
        (lambda b: (b / "README.md").unlink(), "README.md"),
        (lambda b: (b / "more.txt").write_text("x"), "more.txt"),
        (lambda b: (b / "bodies/w1/9").write_text("x"), "bodies/w1/9"),
        (lambda b: (b / "policy").write_bytes(b"x" * (2 * 1024 * 1024)), "policy"),
        (lambda b: (b / "bodies/w0/2").rename(b / "bodies/w0/3.old"), "bodies/w0/2"),
        (lambda b: swap(b / "bodies/w0/2", b / "bodies/w0/3"), "bodies/w0/2"),
    ],
)
def test_what_is_missing_added_or_swapped_is_named(copy, change, blamed):
    change(copy)
    assert not both(copy)
    assert blamed in names(script.verify(str(copy)))
    assert blamed in {file for file, _ in ours(copy)}


def swap(left, right):
    first, second = left.read_bytes(), right.read_bytes()
    left.write_bytes(second)
    right.write_bytes(first)


# Insiders: the whole history written anew, with the region's own keys


def test_a_history_that_was_written_anew_has_no_quorum(tmp_path):
    house = filled(tmp_path, exchanges=2)
    shutil.rmtree(house.place.logs / "w0")
    shutil.rmtree(house.place.journal("w0"))
    house.write("w0", house.exchange("ex_0", lookup("shopper 0"), body=b"quite another question"))
    house.publish(cosign=False)
    house.export(tmp_path / "bundle", Selection(exchanges=("ex_0",)))
    assert not both(tmp_path / "bundle")
    problems = " ".join(what for _, what in script.verify(str(tmp_path / "bundle")).wrong)
    assert "rewritten" in problems or "another history" in problems


def test_a_region_log_that_was_written_anew_is_not_the_cosigned_one(tmp_path):
    house = filled(tmp_path, exchanges=2)
    cosigned = (house.place.logs / "checkpoints" / "cosigned").read_bytes()
    shutil.rmtree(house.place.logs / "checkpoints")
    shutil.rmtree(house.place.journal("checkpoints"))
    house.now += 5
    house.publish(cosign=False, ticks=2)
    (house.place.logs / "checkpoints" / "cosigned").write_bytes(cosigned)
    house.export(tmp_path / "bundle", Selection(exchanges=("ex_0",)))
    assert not both(tmp_path / "bundle")


def test_without_a_quorum_nothing_verifies_and_none_asked_for_is_fine(tmp_path):
    for quorum, expected in ((1, False), (0, True)):
        folder = tmp_path / str(quorum)
        folder.mkdir()
        house = House(folder, quorum=quorum)
        house.write("w0", house.exchange("ex_1", lookup("shopper")))
        house.publish(cosign=False, ticks=2)
        house.export(folder / "bundle")
        assert both(folder / "bundle") is expected


def test_an_older_cosigned_checkpoint_still_counts(tmp_path):
    house = filled(tmp_path, exchanges=2)
    house.write("w0", house.exchange("ex_9", lookup("shopper 9")))
    house.publish(cosign=False)
    house.export(tmp_path / "bundle", Selection(exchanges=("ex_9",)))
    assert both(tmp_path / "bundle")
    result = script.verify(str(tmp_path / "bundle")).facts["cosigned"]
    assert 0 < result["size"] < result["of"]


def test_the_policy_of_the_receiver_decides(made, tmp_path):
    house, bundle, _ = made
    mine = tmp_path / "policy"
    mine.write_bytes((bundle / "policy").read_bytes())
    assert script.verify(str(bundle), str(mine)).wrong == []
    assert ours(bundle, mine.read_bytes()) == []
    seeds = structs.replace(house.ring.log_seeds(), ed25519=bytes(32))
    others = log_signers(f"{house.name}/checkpoints", seeds)
    mine.write_bytes(write([s.vkey for s in others], {}, 0).encode())
    assert script.verify(str(bundle), str(mine)).wrong
    assert ours(bundle, mine.read_bytes())


def test_where_nobody_can_look_at_ml_dsa_it_says_so(made, monkeypatch):
    monkeypatch.setattr(script, "MLDSA44PublicKey", None)
    report = script.verify(str(made[1]))
    assert report.wrong == []
    assert any("nobody looked" in note for note in report.notes)


# Bodies that are gone


def test_erased_and_expired_bodies_are_explained_by_a_record(tmp_path):
    house = filled(tmp_path, exchanges=3)
    keys = [found.cell.key for found in living(house.place.subjects, lookup("shopper 0"))]
    for found in living(house.place.subjects, lookup("shopper 0")):
        erase(found.path, [found.offset])
    folder = house.place.bodies / "support" / hour(house.now * 1_000_000)
    files = sorted(folder.glob("w0.*"))
    blank(files[0], [(0, files[0].stat().st_size)])
    for file in folder.glob("w1.*"):
        file.unlink()
    gone = [f"support/{folder.name}"]
    house.write("control", [Record(kind="erasure", exchange="", at=house.clock(), facts={"keys": keys})])
    unexplained = Selection(exchanges=("ex_0", "ex_1"))
    _, recipient = receiver()
    house.publish(ticks=2)
    house.export(tmp_path / "one", unexplained, bodies_to=recipient, grant=agreed(house, unexplained, recipient))
    assert not both(tmp_path / "one")
    assert {where for where, _ in script.verify(str(tmp_path / "one")).wrong} == {"record w1#2", "record w1#3"}
    house.write("control", [Record(kind="expiry", exchange="", at=house.clock(), facts={"hours": gone})])
    house.publish(ticks=2)
    house.export(tmp_path / "two", unexplained, bodies_to=recipient, grant=agreed(house, unexplained, recipient))
    assert both(tmp_path / "two")
    notes = " ".join(script.verify(str(tmp_path / "two")).notes)
    assert "body erased, erasure record control#2" in notes
    assert "body expired, expiry record control#4" in notes


def test_keys_that_do_not_fit_open_nothing(made, tmp_path):
    _, bundle, keys = made
    document = json.loads(keys.read_text())
    document["keys"][0]["key"] = "00" * 32
    del document["keys"][1]
    (tmp_path / "keys.json").write_text(json.dumps(document))
    report = script.verify(str(bundle), None, str(tmp_path / "keys.json"))
    assert sum("does not open" in what for _, what in report.wrong) == 2
    (tmp_path / "keys.json").write_text("{}")
    assert script.verify(str(bundle), None, str(tmp_path / "keys.json")).wrong


# Persons


def edited(bundle, change):
    """Change custody.json, keeping its digest but not the person's signature."""
    data = structs.replace(decode_custody((bundle / "custody.json").read_bytes()), **change).encode()
    (bundle / "custody.json").write_bytes(data)
    old = decode_signature((bundle / "custody.sig.json").read_bytes())
    sealed = structs.replace(old, custody=hashlib.sha256(data).hexdigest())
    (bundle / "custody.sig.json").write_bytes(sealed.encode())


@pytest.mark.parametrize(
    "change",
    [{"by": "ana"}, {"reason": "audit"}, {"made_at": 5}, {"recipient": None}, {"approval": None}, {"tool": "x"},
     {"plan": "0" * 64}, {"selection": Selection(exchanges=("ex_2",))}, {"problems": ()}, {"region": "us"}],
)  # fmt: skip
def test_what_a_person_signed_cannot_be_changed(copy, change):
    edited(copy, {"made_at": 1, **change})
    assert not both(copy)


def test_one_signature_is_no_approval(copy):
    approval = decode_custody((copy / "custody.json").read_bytes()).approval
    for rows in (approval.signatures[:1], (approval.signatures[0],) * 2, approval.signatures[::-1]):
        edited(copy, {"approval": structs.replace(approval, signatures=rows)})
        (copy / "custody.sig.json").write_bytes(
            CustodySignature(hashlib.sha256((copy / "custody.json").read_bytes()).hexdigest()).encode()
        )
        assert not both(copy)


# Hostile bundles


def zip_of(path, members):
    with zipfile.ZipFile(path, "w") as packed:
        for name, data in members:
            packed.writestr(name, data)
    return path


@pytest.mark.parametrize(
    "name", ["../outside", "/tmp/outside", "a/../../outside", "log\\..\\x", "x" * 200, "a/" * 20 + "b", ".hidden"]
)
def test_names_that_lead_outside_are_refused(tmp_path, name):
    assert not both(zip_of(tmp_path / "bad.zip", [("custody.json", b"{}"), (name, b"x"), ("a", b"")]))
    assert list(tmp_path.iterdir()) == [tmp_path / "bad.zip"]


def test_what_is_no_bundle_is_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04" + bytes(100))
    twice = tmp_path / "twice.zip"
    with pytest.warns(UserWarning, match="Duplicate"):
        zip_of(twice, [("custody.json", b"{}"), ("custody.json", b"{}"), ("x", b"")])
    for place in (tmp_path / "empty", tmp_path / "no.zip", twice):
        assert not both(place)


def test_a_zip_bomb_is_not_unpacked(made, tmp_path):
    members = [(str(p.relative_to(made[1])), p.read_bytes()) for p in made[1].rglob("*") if p.is_file()]
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, data in members:
            packed.writestr(name, data if name != "log/w0/tile/0/000.p/6" else bytes(300_000_000))
    assert bomb.stat().st_size < 2_000_000
    assert not both(bomb)


def test_deep_or_endless_json_is_refused(copy):
    for data in (b"[" * 200_000, b'{"a":' * 200_000, b"9" * 100_000, b'{"custody": NaN}'):
        (copy / "custody.json").write_bytes(data)
        sealed = CustodySignature(hashlib.sha256(data).hexdigest()).encode()
        (copy / "custody.sig.json").write_bytes(sealed)
        assert not both(copy)


def test_a_checkpoint_of_an_endless_log_ends_with_the_first_missing_tile(copy):
    for name in ("log/w0/checkpoint", "log/checkpoints/checkpoint"):
        path = copy / name
        lines = path.read_bytes().split(b"\n")
        lines[1] = b"9223372036854775807"
        path.write_bytes(b"\n".join(lines))
    resealed(copy)
    assert not both(copy)


def test_links_are_not_followed(copy, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("mine")
    (copy / "README.md").unlink()
    (copy / "README.md").symlink_to(secret)
    assert not both(copy)
    assert stat.S_ISLNK((copy / "README.md").lstat().st_mode)


def test_called_wrongly_it_says_how(tmp_path):
    for options in ([], [str(tmp_path / "absent")], [str(tmp_path), "--what"]):
        done = subprocess.run(
            [sys.executable, "-I", str(SCRIPT), *options], capture_output=True, text=True, timeout=30, check=False
        )
        assert done.returncode == 2
        assert "usage" in done.stderr


def test_the_script_needs_nothing_of_ours():
    tree = ast.parse(SCRIPT.read_text())
    imported = {
        alias.name.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    imported |= {(node.module or "").partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert imported <= set(sys.stdlib_module_names) | {"cryptography"}
