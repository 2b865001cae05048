"""Sealed models and datasets: no key without the right signature, and weights that a model server gets in memory only."""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import importlib.util
import json
import mmap
import os
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.cli.home import furnish

from firedoor.app.regionkeys import open_region
from firedoor.app.sealed import SUFFIX, Unlocked, What, beside, collect, seal
from firedoor.app.up import Installation
from firedoor.core.sealedfile import CHUNK, file_context
from firedoor.errors import KeyUnusable, SealBroken, SetupError
from firedoor.keys.manifest import Manifest, Signer, file_hash
from firedoor.keys.ring import create_ring
from firedoor.keys.roots.file import FileRoot
from firedoor.store.planfile import load
from firedoor.store.sealedfile import SealedReader, parts
from firedoor.upstream import embedded, sealedweights
from firedoor.upstream.http import HttpModelServer
from firedoor.upstream.process import ModelProcess, embedded_argv
from firedoor.upstream.sealedweights import MemoryWeights

MODEL, DATASET = What("model", "eu-chat"), What("dataset", "orders")
SIGNER, STRANGER = (Signer(ec.generate_private_key(ec.SECP256R1())) for _ in range(2))
GGUF = b"GGUF" + bytes(range(256)) * 200


class Asked:
    """A region's ring that remembers whether a key was taken out of it."""

    def __init__(self, folder: Path, region: str) -> None:
        self.region = region
        self.asked: list[str] = []
        self._ring = create_ring(folder / region, region, FileRoot(folder / region / "root.json", region))

    def file_key(self, purpose: str, name: str) -> bytes:
        self.asked.append(name)
        return self._ring.file_key(purpose, name)


@pytest.fixture
def eu(tmp_path):
    return Asked(tmp_path / "keys", "eu")


@pytest.fixture
def us(tmp_path):
    return Asked(tmp_path / "keys", "us")


@pytest.fixture
def weights(tmp_path, eu):
    """Sealed and signed weights; nothing has asked for their key since."""
    (tmp_path / "w.gguf").write_bytes(GGUF)
    target = tmp_path / f"w.gguf{SUFFIX}"
    seal(collect([tmp_path / "w.gguf"]), target, MODEL, eu, SIGNER)
    (tmp_path / "w.gguf").unlink()
    eu.asked.clear()
    return target


@pytest.fixture
def orders(tmp_path, eu):
    """A sealed and signed folder."""
    source = tmp_path / "orders"
    (source / "2026").mkdir(parents=True)
    (source / "2026" / "jan.jsonl").write_bytes(b"january " * 5000)
    (source / "2026" / "feb.jsonl").write_bytes(b"february " * 5000)
    (source / "readme").write_bytes(b"")
    target = tmp_path / "orders.sealed"
    seal(collect([source]), target, DATASET, eu, SIGNER)
    eu.asked.clear()
    return target


def refused(sealed: Path, what: What, keys: Asked, error: type[Exception], says: str) -> None:
    """Nothing opens, and no key was released for it."""
    with pytest.raises(error, match=says):
        Unlocked(sealed, what, keys)
    assert keys.asked == []


def memory(unlocked: Unlocked, part: str = "") -> bytes:
    descriptor = os.memfd_create("test")
    try:
        sizes = unlocked.open_into(descriptor, part)
        assert sizes.clear == unlocked.size(part)
        return os.pread(descriptor, sizes.clear + 1, 0)
    finally:
        os.close(descriptor)


def test_weights_open_in_their_region(weights, eu):
    unlocked = Unlocked(weights, MODEL, eu)
    assert unlocked.signed
    assert memory(unlocked) == GGUF
    with unlocked.reader() as reader:
        assert reader.read(100, 10) == GGUF[100:110]


def test_the_key_and_the_context_are_the_documented_ones(weights, eu):
    context = file_context("eu", "model", "eu-chat", "", SIGNER.public.fingerprint)
    with SealedReader(weights, eu.file_key("model", "eu-chat"), context) as reader:
        assert reader.read(0, 4) == b"GGUF"


def test_no_signature_no_key(weights, eu):
    place = beside(weights)
    signature, public = place.signature.read_bytes(), place.public.read_bytes()
    place.signature.unlink()
    refused(weights, MODEL, eu, SealBroken, "no signature")
    place.public.unlink()
    refused(weights, MODEL, eu, SealBroken, "not signed")
    place.signature.write_bytes(signature)
    refused(weights, MODEL, eu, KeyUnusable, "cannot be read")
    place.public.write_bytes(public)
    assert memory(Unlocked(weights, MODEL, eu)) == GGUF


def test_a_signature_that_was_changed_no_key(weights, eu):
    place = beside(weights)
    bundle = json.loads(place.signature.read_bytes())
    bundle["dsseEnvelope"]["signatures"][0]["sig"] = "MEQCIA=="
    place.signature.write_text(json.dumps(bundle))
    refused(weights, MODEL, eu, SealBroken, "does not verify")


@pytest.mark.parametrize("at", [3, 40, 100, -1])
def test_a_changed_file_no_key(weights, eu, at):
    data = bytearray(weights.read_bytes())
    data[at] ^= 1
    weights.write_bytes(data)
    refused(weights, MODEL, eu, SealBroken, "changed")


def test_weights_of_another_region_no_key(weights, us):
    refused(weights, MODEL, us, KeyUnusable, "sealed for region eu; region us does not open it")


@pytest.mark.parametrize("what", [What("model", "eu-other"), What("dataset", "eu-chat")])
def test_weights_under_another_name_no_key(weights, eu, what):
    refused(weights, what, eu, KeyUnusable, "sealed as model eu-chat")


def test_a_strangers_signature_over_our_file_opens_nothing(weights, eu):
    """Who can write the folder can sign anew with a key of their own; the file itself says whose signature counts."""
    place = beside(weights)
    for sealed in (SIGNER.public.verify(place.signature.read_bytes()).sealed, None):
        bundle = STRANGER.sign(Manifest("w", {".": file_hash(weights)}, (), sealed))
        place.signature.write_bytes(bundle)
        place.public.write_bytes(STRANGER.public.pem)
        with pytest.raises(KeyUnusable, match="another key, or as something else"):
            memory(Unlocked(weights, MODEL, eu))


def test_a_signature_made_by_another_tool_with_the_signers_key_counts(weights, eu):
    beside(weights).signature.write_bytes(SIGNER.sign(Manifest("w", {".": file_hash(weights)})))
    assert memory(Unlocked(weights, MODEL, eu)) == GGUF


def test_a_file_exchanged_after_the_check_is_noticed(weights, eu, tmp_path):
    """Another file that the same region sealed and the same person signed, put in place between check and opening."""
    (tmp_path / "other").write_bytes(b"GGUF other")
    seal(collect([tmp_path / "other"]), tmp_path / "o", MODEL, eu, SIGNER)
    unlocked = Unlocked(weights, MODEL, eu)
    weights.write_bytes((tmp_path / "o").read_bytes())
    with pytest.raises(SealBroken, match="changed while it was opened"):
        memory(unlocked)
    with pytest.raises(SealBroken, match="changed while it was opened"):
        unlocked.open_to(tmp_path / "clear")
    assert not (tmp_path / "clear").exists()


def test_a_false_claim_about_the_clear_content_is_noticed(weights, eu):
    place = beside(weights)
    manifest = SIGNER.public.verify(place.signature.read_bytes())
    assert manifest.sealed is not None
    assert manifest.sealed.clear == {".": hashlib.sha256(GGUF).hexdigest()}
    manifest.sealed.clear["."] = "00" * 32
    place.signature.write_bytes(SIGNER.sign(manifest))
    with pytest.raises(SealBroken, match="not what was signed"):
        memory(Unlocked(weights, MODEL, eu))


def test_a_folder_comes_back_whole(orders, eu, tmp_path):
    names = sorted(path.relative_to(orders).as_posix() for path in orders.rglob("*") if path.is_file())
    assert names == ["2026/feb.jsonl.sealed", "2026/jan.jsonl.sealed", "firedoor.pub", "firedoor.sig", "readme.sealed"]
    unlocked = Unlocked(orders, DATASET, eu)
    unlocked.open_to(tmp_path / "clear")
    for part, path in parts(tmp_path / "orders").items():
        assert (tmp_path / "clear" / part).read_bytes() == path.read_bytes()
    assert memory(unlocked, "2026/feb.jsonl") == b"february " * 5000
    sealed = SIGNER.public.verify((orders / "firedoor.sig").read_bytes()).sealed
    assert sealed is not None
    assert sealed.algorithm == "hmac-sha256"
    plain = {hashlib.sha256(path.read_bytes()).hexdigest() for path in parts(tmp_path / "orders").values()}
    assert plain.isdisjoint(sealed.clear.values())


def test_files_of_a_folder_do_not_change_places(orders, eu):
    jan, feb = orders / "2026" / "jan.jsonl.sealed", orders / "2026" / "feb.jsonl.sealed"
    jan_data, feb_data = jan.read_bytes(), feb.read_bytes()
    jan.write_bytes(feb_data)
    feb.write_bytes(jan_data)
    refused(orders, DATASET, eu, SealBroken, "changed")
    for path in beside(orders):  # without any signature the place is still part of what each is sealed as
        path.unlink()
    with pytest.raises(KeyUnusable):
        memory(Unlocked(orders, DATASET, eu), "2026/jan.jsonl")


@pytest.mark.parametrize("change", ["more", "less", "clear"])
def test_files_more_or_less_in_a_folder_no_key(orders, eu, change):
    if change == "less":
        (orders / "readme.sealed").unlink()
    else:
        (orders / ("more.sealed" if change == "more" else "clear.jsonl")).write_bytes(b"x")
    refused(orders, DATASET, eu, SealBroken, "not sealed" if change == "clear" else "other files")


def test_a_dataset_may_go_unsigned(tmp_path, eu, us):
    (tmp_path / "d").write_bytes(b"rows")
    target = tmp_path / "d.sealed"
    seal(collect([tmp_path / "d"]), target, DATASET, eu, None)
    assert not any(path.exists() for path in beside(target))
    unlocked = Unlocked(target, DATASET, eu)
    assert not unlocked.signed
    assert memory(unlocked) == b"rows"
    for keys, what in ((us, DATASET), (eu, What("dataset", "other"))):
        with pytest.raises(KeyUnusable, match="not sealed, or with another key"):
            memory(Unlocked(target, what, keys))


def test_a_clear_file_where_a_sealed_one_should_be(tmp_path, eu):
    (tmp_path / "clear").write_bytes(b"rows " * 100)
    with pytest.raises(KeyUnusable, match="not sealed"):
        memory(Unlocked(tmp_path / "clear", DATASET, eu))


def test_sealing_refuses_before_it_writes(tmp_path, eu):
    (tmp_path / "d").mkdir()
    (tmp_path / "d" / "a").write_bytes(b"1")
    (tmp_path / "a").write_bytes(b"2")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SetupError, match="with a signature"):
        seal(collect([tmp_path / "a"]), tmp_path / "o", MODEL, eu, None)
    with pytest.raises(SetupError, match="one file"):
        seal(collect([tmp_path / "d"]), tmp_path / "o", MODEL, eu, SIGNER)
    with pytest.raises(SetupError, match="there already"):
        seal(collect([tmp_path / "d"]), tmp_path / "a", DATASET, eu, SIGNER)
    with pytest.raises(SetupError, match="named a"):
        collect([tmp_path / "a", tmp_path / "d" / "a"])
    assert sorted(tmp_path.rglob("*")) == before
    (tmp_path / "o.sig").write_bytes(b"mine")
    with pytest.raises(SetupError, match="there already"):
        seal(collect([tmp_path / "a"]), tmp_path / "o", MODEL, eu, SIGNER)
    assert not (tmp_path / "o").exists()
    assert list(collect([tmp_path / "a", tmp_path / "d"])) == ["a", "d/a"]


def test_memory_weights_cannot_be_changed(weights, eu):
    unlocked = Unlocked(weights, MODEL, eu)
    opened = MemoryWeights("eu-chat", unlocked.size(), unlocked.open_into)
    assert Path(opened.path).read_bytes() == GGUF
    writable = os.open(opened.path, os.O_RDWR)
    for change in (
        lambda: os.pwrite(writable, b"x", 0),
        lambda: os.ftruncate(writable, 1),
        lambda: os.ftruncate(writable, len(GGUF) + 1),
        lambda: mmap.mmap(writable, 0, mmap.MAP_SHARED, mmap.PROT_WRITE),
        lambda: fcntl.fcntl(writable, fcntl.F_ADD_SEALS, 0),
    ):
        with pytest.raises(PermissionError):
            change()
    os.close(writable)
    opened.close()
    opened.close()
    assert opened.descriptor == -1


def open_descriptors() -> set[str]:
    return {entry.name for entry in Path("/proc/self/fd").iterdir()}


def test_memory_weights_that_are_none_leave_nothing_open(tmp_path, eu, monkeypatch):
    before = open_descriptors()
    with pytest.raises(SetupError, match="not a GGUF"):
        MemoryWeights("w", 4, lambda fd: os.write(fd, b"PK\3\4"))

    def fail(_: int) -> None:
        raise SealBroken("changed")

    with pytest.raises(SealBroken):
        MemoryWeights("w", 4, fail)
    with pytest.raises(SetupError, match="of memory are free"):
        MemoryWeights("w", sealedweights.available_memory() * 2, fail)
    assert open_descriptors() == before


def _installed() -> bool:
    try:
        metadata.distribution(embedded.WEIGHTS_DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return False
    return importlib.util.find_spec("xllamacpp") is not None


@pytest.mark.model
@pytest.mark.skipif(
    not _installed(), reason=f"needs the embedded model: {embedded.NO_SERVER} and {embedded.NO_WEIGHTS}"
)
def test_the_real_model_answers_from_memory_and_again_after_it_died(tmp_path, eu):
    shipped = embedded.find_weights()
    data = tmp_path / "data"
    data.mkdir()
    target = data / "smollm2.sealed"
    seal(collect([shipped]), target, MODEL, eu, SIGNER)
    middle = shipped.stat().st_size // 2
    with shipped.open("rb") as file:
        file.seek(middle)
        sample = file.read(64)

    async def main() -> None:
        unlocked = Unlocked(target, MODEL, eu)
        opened = MemoryWeights("eu-chat", unlocked.size(), unlocked.open_into)
        argv = embedded_argv("smollm2", context=512, slots=1, weights=opened.path, memory_weights=True)
        model = ModelProcess(
            argv, name="eu-chat", key_file=data / "k", log_path=data / "log", pass_fds=[opened.descriptor]
        )
        await model.start()
        server = HttpModelServer(model.base_url, (data / "k").read_text())
        try:
            await answers(server)
            eu.asked.clear()
            first = model.pid
            assert first is not None
            os.kill(first, 9)
            while model.pid in {first, None}:  # noqa: ASYNC110  # nobody tells when the next one has a pid
                await asyncio.sleep(0.01)
            await model.wait_listening()
            await answers(server)
            assert eu.asked == []
            look(model.pid)
        finally:
            await server.aclose()
            await model.stop()
            opened.close()
        assert not any(sample in path.read_bytes() for path in data.rglob("*") if path.is_file())

    def look(pid: int | None) -> None:
        """The server has the weights mapped from memory, and no file of ours but its log and key."""
        maps = Path(f"/proc/{pid}/maps").read_text()
        assert "/memfd:firedoor-eu-chat" in maps
        assert shipped.name not in maps
        files = {str(entry.readlink()) for entry in Path(f"/proc/{pid}/fd").iterdir()}
        assert {path for path in files if path.startswith(str(tmp_path))} <= {str(data / "log")}

    async def answers(server: HttpModelServer) -> None:
        body = {"messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 4, "temperature": 0}
        answer = await server.call("/chat/completions", json.dumps(body).encode(), timeout=30)
        assert answer.status == 200
        said = json.loads(b"".join([chunk async for chunk in answer.chunks()]))
        assert said["choices"][0]["message"]["content"]

    asyncio.run(main())


@pytest.mark.torture
def test_up_starts_no_model_with_weights_of_another_region(tmp_path):
    home = furnish(tmp_path / "home")
    loaded = load(home.plan)
    (tmp_path / "w").write_bytes(GGUF)
    us = open_region(home.region("us"), loaded, home.root)
    seal(collect([tmp_path / "w"]), home.root / "w.sealed", MODEL, us, SIGNER)
    said: list[str] = []

    async def main() -> None:
        installation = Installation(home, loaded, home.plan, said.append)
        await installation.start()
        try:
            assert "sealed for region us; region eu does not open it" in installation.troubles["eu/eu-chat"]
            assert set(installation.pids("eu")) >= {"worker-0", "control"}  # the shop gets its fallbacks
            assert "model:eu-chat" not in installation.pids("eu")
        finally:
            await installation.stop()

    asyncio.run(main())
    assert not any("listens" in line for line in said)
    assert any("MODEL INSTANCE eu-chat DOES NOT RUN" in line for line in said)


def test_a_server_that_holds_weights_in_memory_dumps_none_of_it(tmp_path):
    """Before it loads anything: the process is not dumpable, which also shuts out debuggers of the same user."""
    program = (
        "import ctypes, sys; from firedoor.upstream import embedded\n"
        "assert embedded.main(['--model', 'm', '--memory-weights', '--weights', sys.argv[1]]) == 1\n"
        "sys.stderr.write(f'dumpable={ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)}')"
    )
    (tmp_path / "w").write_bytes(b"none")
    ran = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "w")], check=False, capture_output=True, text=True
    )
    assert "dumpable=0" in ran.stderr


def test_bits_and_chunks_agree_with_the_store(tmp_path, eu):
    """A dataset of more than one chunk opens by parts as it does whole."""
    clear = os.urandom(3 * CHUNK + 3)
    (tmp_path / "d").write_bytes(clear)
    seal(collect([tmp_path / "d"]), tmp_path / "s", DATASET, eu, SIGNER)
    unlocked = Unlocked(tmp_path / "s", DATASET, eu)
    with unlocked.reader() as reader:
        assert reader.read(CHUNK - 5, CHUNK + 10) == clear[CHUNK - 5 : 2 * CHUNK + 5]
    assert memory(unlocked) == clear
