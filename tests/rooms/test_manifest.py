"""Signatures over sealed files: the published format, both ways with its own tool, and refused in every other case."""

import base64
import json
import logging
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.errors import KeyUnusable, SealBroken
from firedoor.keys import manifest as m
from firedoor.keys.manifest import Manifest, SealedAs, Signer, check_files, file_hash, load_signer, load_verifying_key

PEM = forms.Encoding.PEM
KEY = ec.generate_private_key(ec.SECP256R1())
SIGNER = Signer(KEY)
FILES = {"deep/b.sealed": "ab" * 32, "a.sealed": "cd" * 32}
SEALED = SealedAs("eu", "dataset", "orders", "hmac-sha256", dict.fromkeys(FILES, "01" * 32))
MANIFEST = Manifest("orders.sealed", FILES, ("firedoor.pub", "firedoor.sig"), SEALED)


def private(key: object, passphrase: bytes | None = None) -> bytes:
    lock = forms.BestAvailableEncryption(passphrase) if passphrase else forms.NoEncryption()
    return key.private_bytes(PEM, forms.PrivateFormat.PKCS8, lock)  # type: ignore[attr-defined]


@pytest.fixture
def keys(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys" / "private").write_bytes(private(KEY))
    (tmp_path / "keys" / "public").write_bytes(SIGNER.public.pem)
    return tmp_path / "keys"


@pytest.fixture(scope="module")
def their():
    signing = pytest.importorskip("model_signing.signing", reason="the package model-signing is not installed")
    from model_signing import verifying

    logging.getLogger("model_signing").setLevel(logging.CRITICAL)
    return signing, verifying


@pytest.fixture(params=["file", "folder"])
def sealed(tmp_path, request):
    """Something to sign, its manifest, and where its signature goes."""
    if request.param == "file":
        path = tmp_path / "weights.sealed"
        path.write_bytes(b"sealed weights")
        sealed = SealedAs("eu", "model", "eu-chat", "sha256", {".": "01" * 32})
        return path, Manifest(path.name, {".": file_hash(path)}, (), sealed), tmp_path / "weights.sealed.sig"
    folder = tmp_path / "orders.sealed"
    (folder / "deep").mkdir(parents=True)
    names = ["a.sealed", "deep/b.sealed", "deep-er.sealed"]
    for name in names:
        (folder / name).write_bytes(name.encode())
    files = {name: file_hash(folder / name) for name in names}
    return folder, Manifest(folder.name, files, ("firedoor.sig",), None), folder / "firedoor.sig"


class TestTheReferenceTool:
    def test_verifies_what_we_sign(self, keys, sealed, their):
        path, manifest, signature = sealed
        signature.write_bytes(SIGNER.sign(manifest))
        verifier = their[1].Config().use_elliptic_key_verifier(public_key=keys / "public")
        verifier.verify(path, signature)
        changed = path if path.is_file() else path / "a.sealed"
        changed.write_bytes(b"other")
        with pytest.raises(ValueError, match="mismatch"):
            their[1].Config().use_elliptic_key_verifier(public_key=keys / "public").verify(path, signature)

    def test_signs_what_we_verify(self, keys, sealed, their):
        path, manifest, signature = sealed
        if path.is_dir():
            from model_signing import hashing

            hashing_config = hashing.Config().set_ignored_paths(paths=[signature.name])
            config = their[0].Config().set_hashing_config(hashing_config)
        else:
            config = their[0].Config()
        config.use_elliptic_key_signer(private_key=keys / "private").sign(path, signature)
        found = load_verifying_key(keys / "public").verify(signature.read_bytes())
        assert found.files == manifest.files
        assert found.sealed is None
        parts = {name.removeprefix("."): path / name if path.is_dir() else path for name in found.files}
        if path.is_dir():
            parts = {name: path / name for name in found.files}
        check_files(found, parts)


def test_what_was_signed_comes_back():
    assert SIGNER.public.verify(SIGNER.sign(MANIFEST)) == MANIFEST


def test_files_must_be_the_signed_ones(tmp_path):
    for name in ("a", "b", "c"):
        (tmp_path / name).write_bytes(name.encode())
    files = {name: file_hash(tmp_path / name) for name in ("a", "b")}
    signed = Manifest("set", files)
    there = {name: tmp_path / name for name in files}
    check_files(signed, there)
    with pytest.raises(SealBroken, match="other files"):
        check_files(signed, {"a": tmp_path / "a"})
    with pytest.raises(SealBroken, match="other files"):
        check_files(signed, {**there, "c": tmp_path / "c"})
    with pytest.raises(SealBroken, match="changed"):
        check_files(signed, {**there, "b": tmp_path / "c"})
    (tmp_path / "b").unlink()
    with pytest.raises(SealBroken, match="cannot be read"):
        check_files(signed, there)


def test_another_key_does_not_verify():
    other = Signer(ec.generate_private_key(ec.SECP256R1()))
    bundle = other.sign(MANIFEST)
    with pytest.raises(SealBroken, match="another key"):
        SIGNER.public.verify(bundle)
    forged = bundle.replace(other.public.fingerprint.encode(), SIGNER.public.fingerprint.encode())
    with pytest.raises(SealBroken, match="does not verify"):
        SIGNER.public.verify(forged)


def rewritten(change) -> bytes:
    """A bundle whose payload was changed and signed again by the right key."""
    bundle = json.loads(SIGNER.sign(MANIFEST))
    payload = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
    change(payload)
    data = json.dumps(payload).encode()
    signature = KEY.sign(m._pre_authentication(data), ec.ECDSA(m.SHA256()))
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(data).decode()
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = base64.b64encode(signature).decode()
    return json.dumps(bundle).encode()


def test_more_fields_are_passed_over():
    assert SIGNER.public.verify(rewritten(lambda p: p["predicate"].update(card="x"))) == MANIFEST


@pytest.mark.parametrize(
    "change",
    [
        lambda p: p.update(_type="https://in-toto.io/Statement/v0.1"),
        lambda p: p.update(predicateType="https://model_signing/Digests/v0.1"),
        lambda p: p.update(subject=[]),
        lambda p: p.update(subject=p["subject"] * 2),
        lambda p: p["subject"][0]["digest"].update(sha256="00" * 32),
        lambda p: p["predicate"].update(resources=[]),
        lambda p: p["predicate"]["resources"].pop(),
        lambda p: p["predicate"]["resources"].reverse(),
        lambda p: p["predicate"]["resources"][0].update(algorithm="md5"),
        lambda p: p["predicate"]["resources"][0].update(digest="xyz"),
        lambda p: p["predicate"]["resources"][1].update(name=p["predicate"]["resources"][0]["name"]),
        lambda p: p["predicate"]["serialization"].update(method="shards"),
        lambda p: p["predicate"]["firedoor"].update(purpose="backup"),
        lambda p: p["predicate"]["firedoor"].update(extra=1),
        lambda p: p["predicate"]["firedoor"].update(clear={}),
        lambda p: p.pop("predicate"),
    ],
)
def test_a_statement_that_says_something_else_is_refused_even_signed(change):
    with pytest.raises(SealBroken):
        SIGNER.public.verify(rewritten(change))


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b.update(mediaType="application/vnd.dev.sigstore.bundle.v0.2+json"),
        lambda b: b["dsseEnvelope"].update(payloadType="text/plain"),
        lambda b: b["dsseEnvelope"].update(signatures=[]),
        lambda b: b["dsseEnvelope"].update(signatures=b["dsseEnvelope"]["signatures"] * 2),
        lambda b: b["dsseEnvelope"].update(payload="é"),
        lambda b: b["dsseEnvelope"]["signatures"][0].update(sig="AAAA"),
        lambda b: b["verificationMaterial"].pop("publicKey"),
        lambda b: b.clear(),
    ],
)
def test_a_bundle_of_another_kind_is_refused(change):
    bundle = json.loads(SIGNER.sign(MANIFEST))
    change(bundle)
    with pytest.raises(SealBroken):
        SIGNER.public.verify(json.dumps(bundle).encode())


SIGNED = SIGNER.sign(MANIFEST)  # once: each signature is another one, and not of the same length


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_one_changed_byte_never_verifies_as_something_else(data):
    bundle = bytearray(SIGNED)
    at = data.draw(st.integers(0, len(bundle) - 1))
    bundle[at] = data.draw(st.integers(0, 255))
    try:
        assert SIGNER.public.verify(bytes(bundle)) == MANIFEST  # white space, an unread member, or no change
    except SealBroken:
        pass


@given(
    st.binary(max_size=200)
    | st.recursive(st.none() | st.text(max_size=3), st.lists).map(lambda v: json.dumps(v).encode())
)
@settings(max_examples=60, deadline=None)
def test_any_other_bytes_are_refused(data):
    with pytest.raises(SealBroken):
        SIGNER.public.verify(data)


def test_keys_of_signers(tmp_path):
    path = tmp_path / "key"
    path.write_bytes(private(KEY, b"long enough"))
    assert m.is_encrypted(path)
    assert load_signer(path, "long enough").public.pem == SIGNER.public.pem
    with pytest.raises(KeyUnusable, match="is encrypted"):
        load_signer(path)
    with pytest.raises(KeyUnusable, match="does not open"):
        load_signer(path, "wrong")
    path.write_bytes(private(KEY))
    assert not m.is_encrypted(path)
    with pytest.raises(KeyUnusable, match="has no passphrase"):
        load_signer(path, "any")
    for other, says in (
        (Ed25519PrivateKey.generate(), "not an EC key"),
        (ec.generate_private_key(ec.SECP384R1()), "P-256"),
    ):
        path.write_bytes(private(other))
        with pytest.raises(KeyUnusable, match=says) as refused:
            load_signer(path)
        assert "openssl genpkey" in refused.value.remedy
        path.write_bytes(other.public_key().public_bytes(PEM, forms.PublicFormat.SubjectPublicKeyInfo))
        with pytest.raises(KeyUnusable):
            load_verifying_key(path)
    path.write_bytes(b"nothing")
    for load in (load_signer, load_verifying_key):
        with pytest.raises(KeyUnusable):
            load(path)
        with pytest.raises(KeyUnusable, match="cannot be read"):
            load(Path(tmp_path / "none"))


def test_signature_files_have_a_bound(tmp_path, monkeypatch):
    with pytest.raises(SealBroken, match="no signature"):
        m.read_bundle(tmp_path / "none")
    (tmp_path / "sig").write_bytes(b"12345")
    assert m.read_bundle(tmp_path / "sig") == b"12345"
    monkeypatch.setattr(m, "MAX_BUNDLE", 4)
    with pytest.raises(SealBroken, match="larger"):
        m.read_bundle(tmp_path / "sig")
