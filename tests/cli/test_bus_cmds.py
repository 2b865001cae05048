"""`firedoor switches nats` and `nats-key`: what an operator gives to a NATS server."""

import pytest
from typer.testing import CliRunner

from firedoor.cli.switches_show import app
from firedoor.config import Home
from firedoor.core.natsconfig import render
from firedoor.core.nkeys import parse_credentials
from firedoor.errors import SetupError
from firedoor.store.planfile import load
from tests.cli.home import PLAN

BUS = """\
switches: {home: eu}
"""


@pytest.fixture
def home(tmp_path):
    plan = PLAN.replace(
        'listen: "127.0.0.1:1"}', 'listen: "127.0.0.1:1", bus: {kind: nats, servers: ["tls://eu.example"]}}'
    )
    plan = plan.replace(
        'listen: "127.0.0.1:2"}',
        'listen: "127.0.0.1:2", bus: {kind: nats, servers: ["nats://10.0.0.1:4222", "nats://10.0.0.2:4333"]}}',
    )
    (tmp_path / "plan.yaml").write_text(plan + BUS)
    return Home(tmp_path)


def run(*arguments):
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_the_configuration_is_printed_as_the_plan_declares_it(home):
    printed = run("nats", "--region", "us", "--server", 1, "--home", home.root)
    assert printed.stdout == render(load(home.plan), "us", 1)
    assert 'listen: "0.0.0.0:4333"' in printed.stdout
    assert '"tls://eu.example:7422"' in printed.stdout
    hub = run("nats", "--region", "eu", "--home", home.root).stdout
    assert 'listen: "0.0.0.0:7422"' in hub
    assert "tls: {cert_file: $FIREDOOR_NATS_CERT" in hub
    assert "nkey: $FIREDOOR_NATS_LEAF_US" in hub


def test_which_region_must_be_said_if_there_are_several(home):
    with pytest.raises(SetupError, match="Name a region"):
        run("nats", "--home", home.root)
    with pytest.raises(SetupError, match="names 1 NATS servers for region eu"):
        run("nats", "--region", "eu", "--server", 1, "--home", home.root)
    assert run("nats", "--region", "eu", "--server", 16, "--home", home.root).exit_code == 2


def test_a_key_is_made_once_and_shown_by_its_public_half_only(tmp_path):
    path = tmp_path / "eu.creds"
    printed = run("nats-key", path)
    assert path.stat().st_mode & 0o777 == 0o600
    made = parse_credentials(path.read_bytes())
    assert printed.stdout == made.public + "\n"
    with pytest.raises(SetupError, match="File exists"):
        run("nats-key", path)
    assert parse_credentials(path.read_bytes()) == made
    with pytest.raises(SetupError, match="No such file"):
        run("nats-key", tmp_path / "nowhere" / "x")
