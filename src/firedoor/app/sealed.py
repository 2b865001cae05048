"""Sealed models and datasets: sealing and signing them, and the one way to open them.

The order of opening is fixed: (1) the signature beside the files verifies and (2) is about what is asked for, (3) the
files are the signed ones, (4) only then the region's key is taken out of the ring. The fingerprint of the signer's
public key is part of what a file is sealed as: whoever replaces signature and public key by their own opens nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDFExpand

from firedoor.core.sealedfile import clear_size, file_context
from firedoor.errors import KeyUnusable, SealBroken, SetupError
from firedoor.keys.manifest import Manifest, SealedAs, Signer, check_files, load_verifying_key, read_bundle
from firedoor.ports.keys import FileKeys
from firedoor.store.files import write_atomic
from firedoor.store.sealedfile import (
    MAX_PARTS,
    SealedReader,
    Sizes,
    fresh_file,
    fresh_folder,
    open_stream,
    parts,
    reading,
    seal_file,
    writer,
)

SUFFIX = ".sealed"
"""Ends the name of every file in a sealed folder."""

FOLDER_SIGNATURE, FOLDER_KEY = "firedoor.sig", "firedoor.pub"


class What(NamedTuple):
    """What something is sealed as; `name` is that of the model instance or dataset in the plan."""

    purpose: Literal["model", "dataset"]
    name: str

    def __str__(self) -> str:
        return f"{self.purpose} {self.name}"


class Beside(NamedTuple):
    """Where the signature and the signer's public key of something sealed lie."""

    signature: Path
    public: Path


def beside(sealed: Path, *, folder: bool | None = None) -> Beside:
    """In a sealed folder, or next to a sealed file."""
    if sealed.is_dir() if folder is None else folder:
        return Beside(sealed / FOLDER_SIGNATURE, sealed / FOLDER_KEY)
    return Beside(sealed.with_name(f"{sealed.name}.sig"), sealed.with_name(f"{sealed.name}.pub"))


def collect(sources: Sequence[Path]) -> dict[str, Path]:
    """The files to seal by their part: of one source as `parts` has them, of several below the source's name.

    Raises `SetupError`.
    """
    if len(sources) == 1:
        return parts(sources[0])
    files: dict[str, Path] = {}
    for source in sources:
        for part, path in parts(source).items():
            name = f"{source.name}/{part}" if part else source.name
            if name in files:
                raise SetupError(f"Two of the files are named {name}.", remedy="Seal one of them by itself.")
            files[name] = path
    if len(files) > MAX_PARTS:
        raise SetupError(f"These are more than {MAX_PARTS} files.", remedy="Put them into archives.")
    return files


def seal(files: dict[str, Path], target: Path, what: What, keys: FileKeys, signer: Signer | None) -> Sizes:
    """Seal `files` (see `collect`) into the new file or folder `target`, and sign it.

    `target` is there whole or not at all, and what is sealed stays as it is. Weights are one file and must be signed.
    Raises `SetupError`, `KeyUnusable`.
    """
    if what.purpose == "model" and files.keys() != {""}:
        raise SetupError("Weights are one file.", remedy="Name the GGUF file.")
    if what.purpose == "model" and signer is None:
        raise SetupError("Weights are sealed with a signature.", remedy="Name the signer's key: --sign-key FILE.")
    if files.keys() == {""}:
        return _seal_one(files[""], target, what, keys, signer)
    with fresh_folder(target) as folder:
        made = _Sealing(what, keys, signer)
        for part, path in files.items():
            out = folder / f"{part}{SUFFIX}"
            out.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            made.add(part, path, out)
        made.sign(target.name, beside(folder))
    return made.sizes


def _seal_one(source: Path, target: Path, what: What, keys: FileKeys, signer: Signer | None) -> Sizes:
    place = beside(target, folder=False)
    for path in place:
        if path.exists():
            raise SetupError(f"{path} is there already.", remedy="Choose another name, or move it away.")
    made = _Sealing(what, keys, signer)
    made.add("", source, target)
    try:
        made.sign(target.name, place)
    except BaseException:
        for path in (target, *place):
            path.unlink(missing_ok=True)
        raise
    return made.sizes


class _Sealing:
    """Files being sealed as one thing."""

    def __init__(self, what: What, keys: FileKeys, signer: Signer | None) -> None:
        self.sizes = Sizes(0, 0)
        self._what = what
        self._region = keys.region
        self._key = keys.file_key(*what)
        self._signer = signer
        self._sealed: dict[str, str] = {}
        self._clear: dict[str, str] = {}

    def add(self, part: str, source: Path, target: Path) -> None:
        fingerprint = self._signer.public.fingerprint if self._signer is not None else ""
        context = file_context(self._region, *self._what, part, fingerprint)
        sealed_hash, clear_hash = hashlib.sha256(), _clear_hash(self._what, self._key)
        if self._signer is None:
            sizes = seal_file(source, target, self._key, context)
        else:
            sizes = seal_file(source, target, self._key, context, clear_hash=clear_hash, sealed_hash=sealed_hash)
        self.sizes = Sizes(self.sizes.clear + sizes.clear, self.sizes.sealed + sizes.sealed)
        self._sealed[_signed_name(part)] = sealed_hash.hexdigest()
        self._clear[_signed_name(part)] = clear_hash.hexdigest()

    def sign(self, name: str, place: Beside) -> None:
        if self._signer is None:
            return
        algorithm: Literal["sha256", "hmac-sha256"] = "sha256" if self._what.purpose == "model" else "hmac-sha256"
        sealed = SealedAs(self._region, self._what.purpose, self._what.name, algorithm, self._clear)
        ignored = (FOLDER_KEY, FOLDER_SIGNATURE) if place.signature.name == FOLDER_SIGNATURE else ()
        bundle = self._signer.sign(Manifest(name, self._sealed, ignored, sealed))
        try:
            write_atomic(place.public, self._signer.public.pem, 0o644)
            write_atomic(place.signature, bundle, 0o644)
        except OSError as error:
            raise SetupError(f"{place.signature} cannot be written: {error.strerror}.") from None


class Unlocked:
    """Something sealed, whose signature was checked and whose key is out of the ring."""

    def __init__(self, sealed: Path, what: What, keys: FileKeys) -> None:
        """Raises `SealBroken`, `KeyUnusable`, `SetupError`; no key is released then."""
        self.files = _sealed_parts(sealed)
        self._manifest, fingerprint = check_signature(sealed, self.files, what, keys.region)
        self._contexts = {part: file_context(keys.region, *what, part, fingerprint) for part in self.files}
        self._key = keys.file_key(*what)
        self._what = what

    @property
    def signed(self) -> bool:
        """Whether somebody vouches for it."""
        return self._manifest is not None

    def size(self, part: str = "") -> int:
        """Bytes of a part in clear. Raises `SealBroken`."""
        return clear_size(self.files[part].stat().st_size)

    def reader(self, part: str = "") -> SealedReader:
        """Random access to a part. Raises `SealBroken`, `KeyUnusable`, OSError."""
        return SealedReader(self.files[part], self._key, self._contexts[part])

    def open_into(self, descriptor: int, part: str = "") -> Sizes:
        """Write a part in clear to `descriptor`. Raises `SealBroken`, `KeyUnusable`, OSError.

        Only when this has returned it is known to be all, and what was signed.
        """
        sink, context = writer(descriptor), self._contexts[part]
        with reading(self.files[part]) as source:
            if self._manifest is None:
                return open_stream(source, sink, self._key, context)
            sealed_hash, clear_hash = hashlib.sha256(), _clear_hash(self._what, self._key)
            sizes = open_stream(source, sink, self._key, context, clear_hash=clear_hash, sealed_hash=sealed_hash)
        # The file was compared before the key was released; these are the bytes that were opened.
        name, sealed = _signed_name(part), self._manifest.sealed
        good = hmac.compare_digest(sealed_hash.hexdigest(), self._manifest.files[name])
        if not good or (sealed is not None and clear_hash.hexdigest() != sealed.clear[name]):
            raise SealBroken(
                f"{self.files[part].name} changed while it was opened, or is not what was signed.",
                remedy="Use nothing of it; restore it from a copy.",
            )
        return sizes

    def open_to(self, target: Path) -> Sizes:
        """Write everything in clear to the new file or folder `target`, there whole or not at all."""
        if self.files.keys() == {""}:
            with fresh_file(target) as out:
                return self.open_into(out)
        total = Sizes(0, 0)
        with fresh_folder(target) as folder:
            for part in self.files:
                (folder / part).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
                with fresh_file(folder / part) as out:
                    sizes = self.open_into(out, part)
                total = Sizes(total.clear + sizes.clear, total.sealed + sizes.sealed)
        return total


def check_signature(sealed: Path, files: dict[str, Path], what: What, region: str) -> tuple[Manifest | None, str]:
    """What was signed, and the signer's fingerprint; None and ``""`` for a dataset that nobody signed.

    Needs no key. Raises `SealBroken`, `KeyUnusable` if anything about the signature or the files is not right.
    """
    place = beside(sealed)
    if not place.public.exists() and not place.signature.exists():
        if what.purpose == "model":
            raise SealBroken(
                f"The weights {sealed.name} are not signed.", remedy="Seal them again with `--sign-key FILE`."
            )
        return None, ""
    key = load_verifying_key(place.public)
    manifest = key.verify(read_bundle(place.signature))
    if manifest.sealed is not None:
        _check_what(manifest.sealed, what, region)
    check_files(manifest, {f"{part}{SUFFIX}" if part else "": path for part, path in files.items()})
    return manifest, key.fingerprint


def _check_what(sealed: SealedAs, what: What, region: str) -> None:
    if sealed.region != region:
        raise KeyUnusable(
            f"{what} is sealed for region {sealed.region}; region {region} does not open it.",
            remedy=f"Content stays in its region: seal the {what.purpose} again with --region {region}.",
        )
    if (sealed.purpose, sealed.name) != what:
        raise KeyUnusable(
            f"This is sealed as {sealed.purpose} {sealed.name}, not as {what}.", remedy="Name what it was sealed as."
        )


def _sealed_parts(sealed: Path) -> dict[str, Path]:
    """The sealed files by their part. Raises `SetupError`, `SealBroken`."""
    found = parts(sealed)
    if found.keys() == {""}:
        return found
    files = {part: path for part, path in found.items() if part not in {FOLDER_SIGNATURE, FOLDER_KEY}}
    for part in files:
        if not part.endswith(SUFFIX):
            raise SealBroken(f"{part} in {sealed.name} is not sealed.", remedy="Remove it, or seal the folder again.")
    if not files:
        raise SealBroken(f"{sealed.name} holds nothing sealed.", remedy="Restore it from a copy.")
    return {part.removesuffix(SUFFIX): path for part, path in files.items()}


def _signed_name(part: str) -> str:
    return f"{part}{SUFFIX}" if part else "."


def _clear_hash(what: What, key: bytes) -> hmac.HMAC | hashlib._Hash:
    """See `SealedAs`: what stands in a dataset is not to be guessed from a plain hash."""
    if what.purpose == "model":
        return hashlib.sha256()
    return hmac.new(HKDFExpand(SHA256(), 32, b"firedoor/clear-hash/1").derive(key), digestmod="sha256")
