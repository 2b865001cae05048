"""`firedoor keys seal` and `open`, as a person and a script meet them."""

import json
import subprocess
import sys

import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec
from typer.testing import CliRunner

from firedoor.app.regionkeys import open_region
from firedoor.errors import ActRefused, FiredoorError, KeyUnusable, SealBroken, SetupError
from firedoor.store.journal_read import read
from firedoor.store.opening import BodyOpener
from firedoor.store.planfile import load
from tests.cli.home import PLAN, app, furnish

REASON = "Checked for the audit of Ana Example"


@pytest.fixture
def home(tmp_path):
    return furnish(tmp_path / "home", PLAN.replace(", sealed: true", "").replace(", weights: w.sealed", ""))


@pytest.fixture
def signer(tmp_path):
    key = ec.generate_private_key(ec.SECP256R1())
    lock = forms.BestAvailableEncryption(b"correct horse")
    path = tmp_path / "signer.pem"
    path.write_bytes(key.private_bytes(forms.Encoding.PEM, forms.PrivateFormat.PKCS8, lock))
    (tmp_path / "passphrase").write_text("correct horse\n")
    return path


@pytest.fixture
def weights(tmp_path):
    path = tmp_path / "w.gguf"
    path.write_bytes(b"GGUF weights")
    return path


def firedoor(home, *words: object):
    """The result; an error of ours is raised as `main` would print it."""
    ran = CliRunner().invoke(app, [*map(str, words), "--home", str(home.root)])
    if isinstance(ran.exception, FiredoorError):
        raise ran.exception
    return ran


def seal(home, signer, *words: object):
    return firedoor(home, "seal", *words, "--sign-key", signer, "--passphrase-file", signer.with_name("passphrase"))


def facts(home, kind: str, region: str = "eu") -> list[dict]:
    return [stored.leaf.facts for stored in operator(home, region) if stored.leaf.kind == kind]


def operator(home, region: str = "eu"):
    slot = home.region(region).journal("operator")
    return list(read(slot)) if slot.exists() else []


def test_there_and_back(home, signer, weights, tmp_path):
    made = seal(home, signer, weights, "--as", "model:eu-chat", "--json")
    assert made.exit_code == 0, made.output
    target = tmp_path / "w.gguf.sealed"
    said = json.loads(made.stdout)
    assert said == {
        "sealed": str(target), "what": "model eu-chat", "region": "eu", "files": 1, "signed": True,
        "clear_bytes": 12, "sealed_bytes": 84,
    }  # fmt: skip
    assert weights.read_bytes() == b"GGUF weights"
    assert b"GGUF" not in target.read_bytes()
    assert facts(home, "key") == [
        {"act": "file_key", "by": facts(home, "key")[0]["by"], "purpose": "model", "name": "eu-chat"}
    ]
    opened = firedoor(home, "open", target, "--as", "model:eu-chat", "--to", tmp_path / "back", "--reason", REASON)
    assert opened.exit_code == 0
    assert "IN CLEAR on this disk" in opened.output
    assert (tmp_path / "back").read_bytes() == b"GGUF weights"
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o600


def test_an_opening_is_on_record_before_it_happens_and_its_reason_is_sealed(home, signer, weights, tmp_path):
    seal(home, signer, weights, "--as", "model:eu-chat")
    target = tmp_path / "w.gguf.sealed"
    data = target.read_bytes()
    firedoor(home, "open", target, "--as", "model:eu-chat", "--to", tmp_path / "back", "--reason", REASON)
    found = facts(home, "access")
    assert [(f["opened"], f["name"], f["to_disk"]) for f in found] == [("model", "eu-chat", True)]
    place = home.region("eu")
    files = [path.read_bytes() for path in place.root.rglob("*") if path.is_file()]
    assert not any(REASON.encode() in content for content in files)
    leaf = next(stored.leaf for stored in operator(home) if stored.leaf.kind == "access")
    ring = open_region(place, load(home.plan), home.root)
    assert BodyOpener(place.bodies, place.subjects, ring).open(leaf) == REASON.encode()
    target.write_bytes(data[:-1] + b"!")
    with pytest.raises(SealBroken):
        firedoor(home, "open", target, "--as", "model:eu-chat", "--to", tmp_path / "again", "--reason", REASON)
    assert len(facts(home, "access")) == 1  # refused: there was nothing to record
    assert not (tmp_path / "again").exists()


def test_several_files_and_folders_of_a_dataset(home, signer, tmp_path):
    (tmp_path / "in" / "2026").mkdir(parents=True)
    (tmp_path / "in" / "2026" / "a").write_bytes(b"1")
    (tmp_path / "b").write_bytes(b"2")
    out = tmp_path / "orders.sealed"
    with pytest.raises(SetupError, match="into one folder"):
        firedoor(home, "seal", tmp_path / "in", tmp_path / "b", "--as", "dataset:orders")
    made = seal(home, signer, tmp_path / "in", tmp_path / "b", "--as", "dataset:orders", "--out", out)
    assert made.exit_code == 0, made.output
    firedoor(home, "open", out, "--as", "dataset:orders", "--to", tmp_path / "back", "--reason", REASON)
    assert (tmp_path / "back" / "in" / "2026" / "a").read_bytes() == b"1"
    assert (tmp_path / "back" / "b").read_bytes() == b"2"
    with pytest.raises(SetupError, match="is a folder"):
        firedoor(home, "open", out, "--as", "dataset:orders", "--to", "-", "--reason", REASON)


def test_an_unsigned_dataset_goes_to_standard_output(home, tmp_path):
    (tmp_path / "rows").write_bytes(b"rows " * 9999)
    made = firedoor(home, "seal", tmp_path / "rows", "--as", "dataset:orders", "--region", "eu")
    assert made.exit_code == 0
    words = ["open", str(tmp_path / "rows.sealed"), "--as", "dataset:orders", "--to", "-", "--reason", REASON]
    program = "import sys; from tests.cli.home import app; app(sys.argv[1:])"
    ran = subprocess.run(
        [sys.executable, "-c", program, *words, "--home", str(home.root)], check=True, capture_output=True
    )
    assert ran.stdout == b"rows " * 9999
    assert facts(home, "access")[0]["to_disk"] is False


@pytest.mark.parametrize(
    ("words", "error", "says"),
    [
        (["--as", "model:eu-chat"], SetupError, "with a signature"),
        (["--as", "model:eu-chta"], SetupError, "no model eu-chta"),
        (["--as", "dataset:eu-chat"], SetupError, "no dataset eu-chat"),
        (["--as", "dataset:orders", "--region", "us"], SetupError, "in region eu, not us"),
        (["--as", "dataset:orders", "--sign-key", "none.pem"], KeyUnusable, "cannot be read"),
    ],
)
def test_refusals_lose_nothing_and_write_nothing(home, weights, tmp_path, words, error, says):
    before = {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()}
    with pytest.raises(error, match=says):
        firedoor(home, "seal", weights, *words)
    assert {path: path.read_bytes() for path in tmp_path.iterdir() if path.is_file()} == before


def test_words_that_mean_nothing(home, weights):
    for word in ("eu-chat", "weights:eu-chat", "model"):
        ran = firedoor(home, "seal", weights, "--as", word)
        assert ran.exit_code == 2


def test_an_existing_target_is_kept(home, signer, weights, tmp_path):
    (tmp_path / "w.gguf.sealed").write_bytes(b"mine")
    with pytest.raises(SetupError, match="there already"):
        seal(home, signer, weights, "--as", "model:eu-chat")
    (tmp_path / "w.gguf.sealed").unlink()
    seal(home, signer, weights, "--as", "model:eu-chat")
    with pytest.raises(SetupError, match="there already"):
        firedoor(home, "open", tmp_path / "w.gguf.sealed", "--as", "model:eu-chat", "--to", weights, "--reason", REASON)
    assert weights.read_bytes() == b"GGUF weights"


@pytest.mark.parametrize("reason", ["", "   ", "x" * 1001])
def test_opening_wants_a_reason(home, weights, tmp_path, reason):
    with pytest.raises(ActRefused, match="Say why"):
        firedoor(home, "open", weights, "--as", "model:eu-chat", "--to", tmp_path / "back", "--reason", reason)


def test_the_wrong_passphrase_of_the_signer(home, signer, weights, tmp_path):
    (tmp_path / "passphrase").write_text("another\n")
    with pytest.raises(KeyUnusable, match="does not open"):
        seal(home, signer, weights, "--as", "model:eu-chat")
    assert operator(home) == []
