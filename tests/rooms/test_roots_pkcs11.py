"""A root in a real PKCS#11 token: SoftHSM2, through its library."""

import os
import shutil
import subprocess
import threading
from pathlib import Path

import pytest

from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.ring import create_ring, open_ring
from firedoor.keys.roots.pkcs11 import Pkcs11Root

from .rings import CONTEXT, check_root, exports

LIBRARIES = (
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
)
LIBRARY = next((path for path in LIBRARIES if Path(path).exists()), None)
PIN = "1234-test"

pytestmark = pytest.mark.skipif(
    LIBRARY is None or shutil.which("softhsm2-util") is None, reason="SoftHSM2 is missing: run `make system`"
)


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    """The folder of the tokens. The library reads its settings once for each process: so one folder for this file."""
    folder = tmp_path_factory.mktemp("softhsm")
    tokens = folder / "tokens"
    tokens.mkdir()
    (folder / "softhsm2.conf").write_text(
        f"directories.tokendir = {tokens}\nobjectstore.backend = file\nlog.level = ERROR\n"
    )
    (folder / "pin").write_text(f"{PIN}\n")
    (folder / "pin").chmod(0o600)
    patch = pytest.MonkeyPatch()
    patch.setenv("SOFTHSM2_CONF", str(folder / "softhsm2.conf"))
    for label in ("eu-root", "us-root"):
        command = ["softhsm2-util", "--init-token", "--free", "--label", label, "--pin", PIN, "--so-pin", "so-pin-test"]
        subprocess.run(command, check=True, capture_output=True)
    yield folder
    import pkcs11

    pkcs11.unload(LIBRARY)
    patch.undo()


def hsm(store, region="eu", **other):
    settings = {"module": LIBRARY, "token": f"{region}-root", "pin_file": store / "pin", "refused": store / "refused"}
    return Pkcs11Root(region, **(settings | other))


@pytest.fixture
def root(store):
    made = hsm(store)
    yield made
    made._close()


def test_it_does_what_a_root_owes(store, root):
    stranger = hsm(store, "us")
    check_root(root, stranger)
    stranger._close()
    assert not exports(root)
    assert root.describe() == "PKCS#11 token 'eu-root' through libsofthsm2.so"


def test_the_token_does_not_give_the_key_out(root):
    import pkcs11

    handle = root.create("base")
    key = root._key(root._session, handle)
    assert (key[pkcs11.Attribute.SENSITIVE], key[pkcs11.Attribute.EXTRACTABLE]) == (True, False)
    assert key[pkcs11.Attribute.NEVER_EXTRACTABLE] is True
    assert key[pkcs11.Attribute.TOKEN] is True
    with pytest.raises(pkcs11.PKCS11Error):
        _ = key[pkcs11.Attribute.VALUE]


def test_a_ring_lives_in_it(tmp_path, store, root):
    ring = create_ring(tmp_path / "keys", "eu", root)
    again = open_ring(tmp_path / "keys", "eu", hsm(store))
    assert again.worker_bundle() == ring.worker_bundle()
    assert again.epoch_private(1).public == ring.worker().epoch


@pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"
)  # the binding, letting go of the dead one
def test_a_lost_session_is_opened_again(root):
    handle = root.create("base")
    wrapped = root.wrap(handle, b"data", CONTEXT)
    root._session.close()  # as when the HSM restarts
    assert root.unwrap(handle, wrapped, CONTEXT) == b"data"
    root._package().lib(LIBRARY).reinitialize()  # ends every session, also those of others
    assert root.unwrap(handle, wrapped, CONTEXT) == b"data"


def test_a_removed_token_is_an_error_until_it_is_back(store, root):
    handle = root.create("base")
    wrapped = root.wrap(handle, b"data", CONTEXT)
    tokens, away = store / "tokens", store / "away"
    tokens.rename(away)
    tokens.mkdir()
    try:
        for call in (
            lambda: root.unwrap(handle, wrapped, CONTEXT),
            lambda: root.wrap(handle, b"x", CONTEXT),
            lambda: root.create("base"),
            lambda: root.destroy(handle),  # unreachable is not destroyed
            root.check,
        ):
            with pytest.raises(KeyUnusable, match="HSM of region eu refused"):
                call()
    finally:
        tokens.rmdir()
        away.rename(tokens)
    assert root.unwrap(handle, wrapped, CONTEXT) == b"data"
    root.check()


def test_a_forked_child_is_refused_and_the_parent_goes_on(root):
    handle = root.create("base")
    wrapped = root.wrap(handle, b"data", CONTEXT)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            root.unwrap(handle, wrapped, CONTEXT)
            os.write(writer, b"opened")
        except KeyUnusable as error:
            os.write(writer, error.message.encode())
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    os.close(writer)
    assert os.read(reader, 1000) == b"The HSM of region eu was opened by the parent of this process."
    os.close(reader)
    assert root.unwrap(handle, wrapped, CONTEXT) == b"data"


def test_threads_take_turns(root):
    handle = root.create("base")
    seen = []

    def work(number):
        data = bytes([number]) * 32
        seen.extend(root.unwrap(handle, root.wrap(handle, data, CONTEXT), CONTEXT) == data for _ in range(20))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 80


def test_a_wrong_pin_is_tried_once(store, tmp_path):
    import pkcs11

    pin = tmp_path / "pin"
    pin.write_text("wrong-pin")
    pin.chmod(0o600)
    refused = tmp_path / "refused"
    with pytest.raises(KeyUnusable, match="refused the PIN: PinIncorrect"):
        hsm(store, pin_file=pin, refused=refused).check()
    assert b"wrong" not in refused.read_bytes()
    for _ in range(20):  # a supervisor that starts control and agent again and again: a token has three to ten tries
        with pytest.raises(KeyUnusable, match="refused the PIN: not tried again"):
            hsm(store, pin_file=pin, refused=refused).check()
    pin.write_text(PIN)
    hsm(store, pin_file=pin, refused=refused).check()
    flags = pkcs11.lib(LIBRARY).get_token(token_label="eu-root").flags
    assert not flags & pkcs11.TokenFlag.USER_PIN_LOCKED


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"module": "/nowhere/hsm.so"}, "HSM of region eu refused: PKCS11Error"),
        ({"token": "no-such-token"}, "HSM of region eu refused: NoSuchToken"),
        ({"pin_file": Path("/nowhere/pin")}, "PIN file of region eu is missing"),
    ],
)
def test_what_the_plan_names_must_be_there(store, change, message):
    with pytest.raises(KeyUnusable, match=message) as caught:
        hsm(store, **change).check()
    assert PIN not in str(caught.value)


@pytest.mark.parametrize(
    ("mode", "content", "message"), [(0o644, PIN, "chmod 600"), (0o600, "\n", "empty"), (0o600, b"\xff", "not text")]
)
def test_a_pin_file_is_private_and_has_a_pin(store, tmp_path, mode, content, message):
    pin = tmp_path / "pin"
    pin.write_bytes(content if isinstance(content, bytes) else content.encode())
    pin.chmod(mode)
    with pytest.raises(KeyUnusable, match=message):
        hsm(store, pin_file=pin).check()


def test_the_package_may_be_missing(store, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pkcs11", None)
    with pytest.raises(SetupError, match=r"firedoor\[hsm\]"):
        hsm(store).check()
