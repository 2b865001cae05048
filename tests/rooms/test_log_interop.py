"""Tools that other people wrote read our log: `tlog-scales` (tiles, proofs, signatures), `witness-log` (a C2SP witness)."""

import base64
import subprocess
import sys
from importlib.util import find_spec

import pytest

from firedoor.core.evidence.checkpoint import open_checkpoint
from firedoor.core.evidence.note import COSIGNER_ED25519, Vkey, log_signers, parse_note
from firedoor.core.evidence.tree import leaf_hash, verify_inclusion
from firedoor.store.tilelog import open_log

from .logs import ORIGIN, SEEDS, entries, log_of, signer

needs_tlog_scales = pytest.mark.skipif(
    find_spec("tlog_scales") is None, reason='tlog-scales is not installed: pip install "tlog-scales"'
)
needs_witness_log = pytest.mark.skipif(
    find_spec("witness_log") is None, reason='witness-log is not installed: pip install "witness-log"'
)
SIZE = 256 * 256 + 300
VKEYS = [one.vkey for one in log_signers(ORIGIN, SEEDS)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return log_of(tmp_path_factory.mktemp("interop") / "w0", 300, SIZE, keys=signer(keys=2))


def tlog_tiles(*arguments):
    command = [sys.executable, "-m", "tlog_scales.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, check=False, timeout=60)


@needs_tlog_scales
@pytest.mark.parametrize("index", [0, 255, 256, 299, 65_535, 65_536, SIZE - 1])
def test_tlog_scales_finds_every_leaf_included(folder, index):
    done = tlog_tiles("get-leaf", "-c", folder, index)
    assert (done.returncode, done.stdout) == (0, entries(index, index + 1)[0]), done.stderr


@needs_tlog_scales
def test_tlog_scales_makes_proofs_that_we_accept(folder):
    index = 65_600
    done = tlog_tiles("gen-proof", folder, index)
    assert done.returncode == 0, done.stderr
    head, _, note = done.stdout.partition(b"\n\n")
    version, stated, *proof = head.decode().split("\n")
    assert (version, stated) == ("c2sp.org/tlog-proof@v1", f"index {index}")
    checkpoint, _ = open_checkpoint(note, VKEYS)
    assert checkpoint.size == SIZE
    path = [base64.b64decode(step) for step in proof]
    verify_inclusion(index, SIZE, leaf_hash(entries(index, index + 1)[0]), checkpoint.root, path)


@needs_tlog_scales
@pytest.mark.parametrize("kind", ["entries", "0"])
def test_tlog_scales_refuses_a_flipped_bit(tmp_path, kind):
    folder = log_of(tmp_path / "w0", 700)
    for name, index in ((f"tile/{kind}/001", 300), (f"tile/{kind}/002.p/188", 699)):
        assert tlog_tiles("get-leaf", "-c", folder, index).returncode == 0
        data = bytearray((folder / name).read_bytes())
        at = data.index(b"entry", data.index(b"%d" % index) - 20) if kind == "entries" else 32 * ((index ^ 1) % 256)
        data[at] ^= 1
        (folder / name).write_bytes(data)
        assert tlog_tiles("get-leaf", "-c", folder, index).returncode != 0


@needs_tlog_scales
def test_tlog_scales_verifies_both_signatures_and_consistency(folder):
    from tlog_scales.backend import LocalBackend
    from tlog_scales.reader import TilesReader
    from tlog_scales.signing import Vkey as TheirVkey
    from tlog_scales.signing import VkeySet

    reader = TilesReader(LocalBackend(folder))
    checkpoint = reader.get_checkpoint()
    assert (checkpoint.origin, checkpoint.size) == (ORIGIN, SIZE)
    assert reader.calculate_root_hash() == checkpoint.root_hash
    keys = VkeySet(*(TheirVkey.from_string(str(vkey)) for vkey in VKEYS))
    assert len(keys.verify(checkpoint.signatures, checkpoint)) == 2

    log = open_log(folder, signer(keys=2))
    for old in (1, 256, 300, 65_536, SIZE):
        assert log.reader().consistency(old) == reader.get_consistency_proof(old, SIZE).node_hashes
    log.close()


@needs_witness_log
def test_the_witness_of_witness_log_cosigns_our_log_and_refuses_a_fork(tmp_path):
    from witness_log import WitnessService

    witness = WitnessService.new("witness.example/us", bytes([9] * 32))
    assert witness.add_log(ORIGIN, str(VKEYS[0]))
    witness_key = Vkey.parse(witness.vkey())
    assert witness_key.kind == COSIGNER_ED25519
    log = open_log(tmp_path / "w0", signer())

    def ask(note, old, proof):
        lines = [f"old {old}", *(base64.b64encode(step).decode() for step in proof), ""]
        return witness.handle_add_checkpoint("\n".join(lines) + "\n" + note.decode())

    old = 0
    for size in (5, 300, 700):
        log.append(entries(log.size, size))
        note = log.publish()
        status, answer = ask(note, old, log.reader().consistency(old))
        assert status == 200, answer
        assert log.cosign(note + answer.encode())
        _, verified = open_checkpoint(log.note, VKEYS)
        assert len(verified) == 1
        assert [one.by(witness_key) for one in parse_note(log.note).signatures] == [False, True]
        old = size
    log.close()

    fork = open_log(tmp_path / "fork", signer())
    fork.append([b"rewritten", *entries(1, 900)])
    note = fork.publish()
    status, _ = ask(note, 700, fork.reader().consistency(700))
    assert status == 422
    fork.close()
