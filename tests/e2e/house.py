"""A whole installation for the tests: `firedoor up` as a child process, with people, credentials and scripted models."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from firedoor.config import Home
from firedoor.keys import people as person_keys

from . import plans

PASSPHRASE = "correct horse battery staple"
SECRET = "ALP-2210 cost EUR 41.85"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


class House:
    """Two regions, every surface, and the commands a person would use."""

    def __init__(self, folder: Path, **options):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.home = Home(folder)
        self.plan = self.home.plan
        self.ports = {"eu": free_port(), "us": free_port()}
        self.keys = {}
        people = {}
        for name, roles in plans.PEOPLE.items():
            path = folder / f"{name}.key"
            self.keys[name] = path
            people[name] = (roles, person_keys.create(path, PASSPHRASE).public)
        self.document = plans.plan(people, self.ports, **options)
        self.plan.write_text(json.dumps(self.document, indent=1))  # JSON is YAML
        (folder / "leaky.yaml").write_text(json.dumps(plans.script(SECRET)))
        plans.copy_catalog(folder / "catalog.jsonl")
        self.process = None
        self.tokens = {}

    def run(self, *arguments, check=True, **options):
        """A `firedoor` command, as a person types it."""
        env = {**os.environ, "FIREDOOR_HOME": str(self.home.root), "FIREDOOR_PASSPHRASE": PASSPHRASE, "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", "firedoor", *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=60,
            env=env,
            cwd=self.folder,
            check=False,
            **options,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done

    def start(self):
        """`firedoor up`, until every gateway answers."""
        self.log = (self.folder / "up.log").open("wb")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "firedoor", "up", "--home", str(self.home.root)],
            stdout=self.log,
            stderr=self.log,
            cwd=self.folder,
        )
        deadline = time.monotonic() + 60
        while "Firedoor is up" not in (self.folder / "up.log").read_text():
            if self.process.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.folder / "up.log").read_text())
            time.sleep(0.05)
        return self

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)

    def url(self, region):
        return f"http://127.0.0.1:{self.ports[region]}"

    def token(self, region, surface, shop="alpenladen"):
        key = (region, surface, shop)
        if key not in self.tokens:
            done = self.run("credentials", "issue", "--region", region, "--shop", shop, "--surface", surface, "--json")
            self.tokens[key] = json.loads(done.stdout)["token"]
        return self.tokens[key]

    def pids(self, region):
        return json.loads((self.home.region(region).run / "pids.json").read_text())

    def wait(self, condition, seconds=15.0, what="condition"):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.05)
        raise AssertionError(f"{what} did not come true within {seconds} s")

    def remove(self):
        self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)
