"""Who vouches for a sealed model or dataset: an OpenSSF Model Signing v1.0 signature over its sealed files.

The format is a Sigstore bundle v0.3 with a DSSE envelope (secure-systems-lab/dsse v1.0.0) around an in-toto statement
of predicate type ``https://model_signing/signature/v1.0``, signed with a bare key; the package ``model-signing``
verifies it. Bare keys of that format are EC keys, so a person's Ed25519 key cannot sign here: a signer has an ECDSA
P-256 key of their own. Beyond the hashes of the sealed files the predicate says, under ``firedoor``, what they are
sealed as and the hashes of their clear content; other verifiers pass over that.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization as forms
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from msgspec import Meta, Struct

from firedoor.core.patterns import END
from firedoor.errors import KeyUnusable, SealBroken
from firedoor.keys.files import open_plain

BUNDLE_TYPE: Final = "application/vnd.dev.sigstore.bundle.v0.3+json"
PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"
STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE: Final = "https://model_signing/signature/v1.0"
MAX_BUNDLE = 32 * 1024 * 1024
"""Bytes of a signature file: room for the hashes of 10,000 files with long paths."""
MAKE_SIGNER = "openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -aes256 -out signer.pem"
"""How an operator makes a key to sign with."""

_KEY_LIMIT = 16 * 1024
_HASH_BLOCK = 4 * 1024 * 1024

Digest = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}" + END)]
PartName = Annotated[str, Meta(min_length=1, max_length=4096)]


class SealedAs(Struct, frozen=True, forbid_unknown_fields=True):
    """What files are sealed as, and the hashes of their clear content by file.

    The algorithm is plain SHA-256 for models; for datasets it is HMAC-SHA256 under a key of the region, because what
    stands in a small file about a person could be guessed from its plain hash.
    """

    region: str
    purpose: Literal["model", "dataset"]
    name: str
    algorithm: Literal["sha256", "hmac-sha256"]
    clear: dict[PartName, Digest]


class Manifest(Struct, frozen=True):
    """SHA-256 (hex) of each sealed file by its path; a single file is ``.``. `sealed` is None if others signed it."""

    name: str
    files: dict[PartName, Digest]
    ignored: tuple[str, ...] = ()
    sealed: SealedAs | None = None


class _Described(Struct, frozen=True):
    name: str
    digest: dict[str, str]


class _Resource(Struct, frozen=True):
    name: PartName
    algorithm: Literal["sha256"]
    digest: Digest


class _Serialization(Struct, frozen=True):
    method: Literal["files"]
    hash_type: Literal["sha256"]
    allow_symlinks: bool
    ignore_paths: tuple[str, ...] = ()


class _Predicate(Struct, frozen=True, omit_defaults=True):
    serialization: _Serialization
    resources: tuple[_Resource, ...]
    firedoor: SealedAs | None = None


class _Statement(Struct, frozen=True):
    type: Literal["https://in-toto.io/Statement/v1"] = msgspec.field(name="_type")
    subject: Annotated[tuple[_Described, ...], Meta(min_length=1, max_length=1)]
    predicate_type: Literal["https://model_signing/signature/v1.0"] = msgspec.field(name="predicateType")
    predicate: _Predicate


class _Signature(Struct, frozen=True):
    sig: str
    keyid: str = ""


class _Envelope(Struct, frozen=True, rename="camel"):
    payload: str
    payload_type: Literal["application/vnd.in-toto+json"]
    signatures: Annotated[tuple[_Signature, ...], Meta(min_length=1, max_length=1)]


class _Hint(Struct, frozen=True):
    hint: str


class _Material(Struct, frozen=True, rename="camel"):
    public_key: _Hint
    tlog_entries: list[Any] = []


class _Bundle(Struct, frozen=True, rename="camel"):
    media_type: Literal["application/vnd.dev.sigstore.bundle.v0.3+json"]
    verification_material: _Material
    dsse_envelope: _Envelope


class Signer:
    """A private key that signs manifests. It signs here and is never kept."""

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        self._key = key
        self.public = VerifyingKey(key.public_key())

    def sign(self, manifest: Manifest) -> bytes:
        """The signature file for `manifest`: a Sigstore bundle."""
        payload = msgspec.json.encode(_statement(manifest), order="sorted")
        signature = self._key.sign(_pre_authentication(payload), ec.ECDSA(SHA256()))
        envelope = _Envelope(_base64(payload), PAYLOAD_TYPE, (_Signature(_base64(signature)),))
        return msgspec.json.encode(_Bundle(BUNDLE_TYPE, _Material(_Hint(self.public.fingerprint)), envelope)) + b"\n"


class VerifyingKey:
    """A signer's public key. `fingerprint` is the SHA-256 (hex) of its PEM form: it is sealed into what they signed."""

    def __init__(self, key: ec.EllipticCurvePublicKey) -> None:
        if not isinstance(key.curve, ec.SECP256R1):
            raise KeyUnusable("The signer's key is not on the curve P-256.", remedy=f"Make one: {MAKE_SIGNER}")
        self._key = key
        self.pem = key.public_bytes(forms.Encoding.PEM, forms.PublicFormat.SubjectPublicKeyInfo)
        self.fingerprint = hashlib.sha256(self.pem).hexdigest()

    def verify(self, bundle: bytes) -> Manifest:
        """What this key's owner signed. Raises `SealBroken` if `bundle` is not a signature of theirs."""
        try:
            read = msgspec.json.decode(bundle, type=_Bundle)
            payload = base64.b64decode(read.dsse_envelope.payload, validate=True)
            signature = base64.b64decode(read.dsse_envelope.signatures[0].sig, validate=True)
        except (msgspec.MsgspecError, ValueError, RecursionError):
            raise _no_signature("is not an OpenSSF Model Signing v1.0 signature of a bare key") from None
        if read.verification_material.public_key.hint != self.fingerprint:
            raise _no_signature("is of another key than the one beside it")
        try:
            self._key.verify(signature, _pre_authentication(payload), ec.ECDSA(SHA256()))
        except InvalidSignature:
            raise _no_signature("does not verify") from None
        return _manifest(payload)


def load_signer(path: Path, passphrase: str | None = None) -> Signer:
    """The signer's private key in `path` (PEM). Raises `KeyUnusable`. `passphrase` is for an encrypted one."""
    pem = _read_key(path)
    try:
        key = forms.load_pem_private_key(pem, passphrase.encode() if passphrase else None)
    except TypeError:
        asked = "is encrypted" if passphrase is None else "has no passphrase"
        raise KeyUnusable(f"{path} {asked}.", remedy="Give the passphrase that it was made with, or none.") from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} does not open as a private key.", remedy="Check the file and passphrase.") from None
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise KeyUnusable(f"{path} is not an EC key, as the signature format wants.", remedy=f"Make one: {MAKE_SIGNER}")
    return Signer(key)


def is_encrypted(path: Path) -> bool:
    """Whether the key in `path` needs a passphrase. Raises `KeyUnusable`."""
    return b"ENCRYPTED" in _read_key(path)


def load_verifying_key(path: Path) -> VerifyingKey:
    """The signer's public key in `path` (PEM). Raises `KeyUnusable`."""
    try:
        key = forms.load_pem_public_key(_read_key(path))
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(f"{path} is not a public key.", remedy="Restore the signer's .pub file.") from None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        raise KeyUnusable(f"{path} is not an EC key.", remedy="Restore the signer's .pub file.")
    return VerifyingKey(key)


def check_files(manifest: Manifest, files: Mapping[str, Path]) -> None:
    """Raises `SealBroken` unless `files` (by their path, a single one as ``""``) are exactly those that were signed."""
    there = {name or "." for name in files}
    if there != manifest.files.keys():
        odd = min(there.symmetric_difference(manifest.files))
        raise _no_signature(f"is for other files than these: {odd!r} is only in one of them")
    for name, path in files.items():
        if file_hash(path) != manifest.files[name or "."]:
            raise _no_signature(f"is for another content of {path.name}: the file was changed")


def file_hash(path: Path) -> str:
    """SHA-256 (hex) of a file. Raises `SealBroken` if it cannot be read."""
    digest = hashlib.sha256()
    buffer = memoryview(bytearray(_HASH_BLOCK))
    try:
        with path.open("rb", buffering=0) as file:
            while got := file.readinto(buffer):
                digest.update(buffer[:got])
    except OSError as error:
        raise SealBroken(f"{path.name} cannot be read: {error.strerror}.", remedy="Restore it from a copy.") from None
    return digest.hexdigest()


def read_bundle(path: Path) -> bytes:
    """The signature file. Raises `SealBroken` if there is none or it is too large for one."""
    try:
        with open_plain(path) as file:
            data = file.read(MAX_BUNDLE + 1)
    except OSError:
        raise SealBroken(
            f"There is no signature {path.name}.", remedy="Restore it, or seal again with `--sign-key`."
        ) from None
    if len(data) > MAX_BUNDLE:
        raise _no_signature(f"is larger than {MAX_BUNDLE} bytes")
    return data


def _statement(manifest: Manifest) -> _Statement:
    resources = tuple(_Resource(name, "sha256", manifest.files[name]) for name in sorted(manifest.files))
    root = _root_digest(resources)
    serialization = _Serialization("files", "sha256", allow_symlinks=False, ignore_paths=manifest.ignored)
    return _Statement(
        type=STATEMENT_TYPE,
        subject=(_Described(manifest.name, {"sha256": root}),),
        predicate_type=PREDICATE_TYPE,
        predicate=_Predicate(serialization, resources, manifest.sealed),
    )


def _manifest(payload: bytes) -> Manifest:
    """The manifest in a signed statement. Raises `SealBroken`."""
    try:
        statement = msgspec.json.decode(payload, type=_Statement)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        raise _no_signature("says nothing that this release understands") from None
    predicate = statement.predicate
    if statement.subject[0].digest != {"sha256": _root_digest(predicate.resources)}:
        raise _no_signature("contradicts itself")
    files = {resource.name: resource.digest for resource in predicate.resources}
    sealed = predicate.firedoor
    if len(files) != len(predicate.resources) or (sealed is not None and sealed.clear.keys() != files.keys()):
        raise _no_signature("contradicts itself")
    return Manifest(statement.subject[0].name, files, predicate.serialization.ignore_paths, sealed)


def _root_digest(resources: tuple[_Resource, ...]) -> str:
    """SHA-256 over the digests in their order, as the format has it."""
    return hashlib.sha256(b"".join(bytes.fromhex(resource.digest) for resource in resources)).hexdigest()


def _pre_authentication(payload: bytes) -> bytes:
    """What is signed: DSSE's pre-authentication encoding."""
    return f"DSSEv1 {len(PAYLOAD_TYPE)} {PAYLOAD_TYPE} {len(payload)} ".encode() + payload


def _read_key(path: Path) -> bytes:
    try:
        with open_plain(path) as file:
            return file.read(_KEY_LIMIT)
    except OSError as error:
        raise KeyUnusable(f"{path} cannot be read: {error.strerror}.", remedy="Check the name.") from None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _no_signature(how: str) -> SealBroken:
    return SealBroken(f"The signature {how}.", remedy="Use nothing of it; restore files and signature from a copy.")
