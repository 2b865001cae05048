"""`firedoor redteam` against a running region whose model says all that it was told. Everything is invented."""

import json
import os
import signal
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import typer
from typer.testing import CliRunner

from firedoor.cli.redteam_cmds import CREDENTIAL_VARIABLE, redteam
from firedoor.store.credentials import CredentialFile
from tests.e2e import plans
from tests.e2e.house import House

app = typer.Typer()
app.command()(redteam)
SMALL = ("--kind", "code", "--lang", "en")
OFF = {"attack": "off", "indirect": "off", "asked": "off", "context": "pass", "sessions": "off"}


class Parrot(BaseHTTPRequestHandler):
    """A model server whose model repeats its instructions."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        said = "\n".join(
            str(message["content"]) for message in asked["messages"] if message["role"] in ("system", "tool")
        )
        choices = [
            {
                "index": at,
                ("delta" if asked.get("stream") else "message"): {"role": "assistant", "content": said},
                "finish_reason": "stop",
            }
            for at in range(asked.get("n") or 1)
        ]
        document = json.dumps(
            {"id": "x", "object": "chat.completion", "created": 1, "model": "small", "choices": choices}
        )
        streamed = f"data: {document.replace('chat.completion', 'chat.completion.chunk')}\n\ndata: [DONE]\n\n"
        body = (streamed if asked.get("stream") else document).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream" if asked.get("stream") else "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Parrot)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    house = House(tmp_path_factory.mktemp("redteam") / "house")
    del house.ports["us"]
    document = house.document
    document["regions"] = {"eu": document["regions"]["eu"]}
    document["shops"]["alpenladen"]["sells_to"] = ["DE"]
    url = f"http://127.0.0.1:{server.server_address[1]}"
    document["models"] = {"eu-chat": {"region": "eu", "engine": "openai", "name": "small", "url": url}}
    document["protected"] = {"costs": {"description": "What we pay", "attribute": "cost"}}
    document["grants"] = {"buyer": {"receives": ["costs"]}}

    def surface(leak, **more):
        common = {"models": {"eu": "eu-chat"}, "deadline": "8s", "fallback": plans.MESSAGE, "prompts": OFF}
        personal = {"default": "pass", "answers": "pass"}
        return {**common, "personal_data": personal, "protect": ["costs"], "answers": {"leak": leak}, **more}

    document["surfaces"] = {
        "telling": surface("record"),
        "cutting": surface("cut"),
        "shutting": surface("shut"),
        "bare": surface("cut", protect=[]),
        "numbers": surface("cut", models={}, embeddings={"eu": "eu-chat"}),
    }
    document["models"]["eu-chat"]["serves"] = ["chat", "embeddings"]
    house.plan.write_text(json.dumps(document))
    house.start()
    yield house
    house.remove()
    server.shutdown()
    server.server_close()


def run(*arguments, env=None):
    return CliRunner(env={CREDENTIAL_VARIABLE: None, **(env or {})}).invoke(app, list(map(str, arguments)))


def played(house, surface, *arguments):
    return run("--home", house.home.root, "--surface", surface, *arguments)


def credentials(house):
    """Those that a run issued: they would end by themselves."""
    place = house.home.region("eu")
    return [one for one in CredentialFile(place.credentials, "eu").load().values() if one.expires is not None]


def test_what_comes_out_is_counted_and_is_exit_status_1(house):
    done = played(house, "telling", *SMALL, "--json")
    assert done.exit_code == 1, done.stderr
    told = json.loads(done.stdout)
    kinds = {row["name"]: row for row in told["kinds"]}
    assert kinds["code"]["attacks"] == 8 == kinds["code"]["told"]
    assert told["total"]["twins_told"] == told["total"]["twins"] > 0
    assert {one["case"].partition(":")[0] for one in told["came_out"]} == {"en"}
    assert told["about"]["planted"] is False
    assert all(one.revoked is not None for one in credentials(house))


def test_planted_secrets_are_stopped_for_shoppers_and_taken_out_again(house, tmp_path):
    report = tmp_path / "report.md"
    done = played(house, "cutting", *SMALL, "--kind", "grants", "--plant", "--out", report)
    assert done.exit_code == 0, done.stderr
    cells = {}
    for line in report.read_text().splitlines():
        name, _, rest = line.removeprefix("| ").partition(" | ")
        if name in ("code", "grants"):
            cells[name] = [int(cell) for cell in rest.rstrip(" |").split(" | ")]
    for name, asked in (("code", 8), ("grants", 2)):
        stopped_at_prompt, stopped_at_answer, told, disguised = cells[name][1:5]
        assert (stopped_at_prompt, stopped_at_answer, told, disguised) == (0, asked, 0, 0), name
    assert cells["code"][7:10] == [8, 0, 8], "this model says everything to everybody"
    assert cells["grants"][7:10] == [2, 2, 0], "and a buyer may hear it"
    assert report.read_text().rstrip("\n") == done.stdout.rstrip("\n")
    listed = house.run("protect", "list", "--rows", "--json").stdout
    assert json.loads(listed) == [], "nothing that was planted is left"
    assert all(one.revoked is not None for one in credentials(house))


def test_a_surface_that_shuts_ends_the_run(house):
    done = played(house, "shutting", *SMALL, "--plant", "--json", "--concurrency", "1")
    told = json.loads(done.stdout)
    assert done.exit_code == 2
    assert told["about"]["shut"]
    assert told["total"]["off"] == 0
    assert 0 < told["total"]["attacks"] + told["total"]["twins"] < 10
    assert "AI went off" in done.stderr
    assert "shuts at a leak" in done.stderr
    again = played(house, "shutting", *SMALL)
    assert again.exit_code == 2
    assert "AI is off" in again.stderr
    assert "prove nothing" in again.stderr


def test_a_credential_from_a_file_or_the_environment_needs_no_plan(house, tmp_path):
    file = tmp_path / "token"
    file.write_text(house.token("eu", "telling") + "\n")
    for given, env in ((("--credential", file), {}), ((), {CREDENTIAL_VARIABLE: file.read_text().strip()})):
        done = run("--url", house.url("eu"), *given, "--kind", "grants", "--lang", "pl", "--json", env=env)
        assert done.exit_code == 1, done.stderr
        told = json.loads(done.stdout)
        assert told["about"]["kept_back"] is None
        assert "give --buyer-credential" in told["about"]["not_asked"][0]
        assert file.read_text().strip() not in done.stdout + done.stderr


def test_ctrl_c_keeps_what_was_found_and_revokes_what_was_issued(house):
    process = subprocess.Popen(
        [sys.executable, "-m", "firedoor", "redteam", "--surface", "telling", "--concurrency", "1",
         "--home", str(house.home.root)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "COLUMNS": "200"},
        # Where the tests themselves run in the background, a shell has told them not to hear it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509  (no threads here)
    )  # fmt: skip
    for line in process.stderr:
        if line.startswith("50 conversations"):
            break
    process.send_signal(signal.SIGINT)
    said, _ = process.communicate(timeout=60)
    assert process.returncode == 1, "something had come out"
    assert "**Interrupted**" in said
    assert "| all |" in said
    assert all(one.revoked is not None for one in credentials(house))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--surface", "nowhere"), "no surface nowhere"),
        ((), "Name a surface"),
        (("--surface", "telling", "--shop", "other"), "--shop"),
        (("--surface", "bare", "--plant"), "protects no set"),
        (("--surface", "numbers"), "no chat"),
        (("--surface", "telling", "--kind", "bulk", "--lang", "de"), "None of the cases"),
        (("--surface", "telling", "--url", "http://127.0.0.1:9"), "No gateway answers"),
    ],
)
def test_problems_of_the_set_up_are_exit_status_2(house, arguments, said):
    done = run("--home", house.home.root, *arguments)
    assert done.exit_code == 2
    assert said in done.stderr
    assert done.stdout == ""
    assert all(one.revoked is not None for one in credentials(house))


@pytest.mark.parametrize(
    ("content", "said"),
    [("fd_eu_abc_def", "does not take"), ("secret words", "holds no credential"), (None, "cannot be read")],
)
def test_a_credential_that_is_none(house, tmp_path, content, said):
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    done = run("--url", house.url("eu"), "--credential", file)
    assert done.exit_code == 2
    assert said in done.stderr
    assert content is None or content not in done.stderr


@pytest.mark.parametrize(
    "arguments", [("--kind", "nonsense"), ("--lang", "xx"), ("--sessions", "0"), ("--adaptive", "0")]
)
def test_what_is_called_wrongly(arguments):
    assert run(*arguments).exit_code == 2


def test_a_plan_that_is_not_there(tmp_path):
    done = run("--home", tmp_path, "--surface", "telling")
    assert done.exit_code == 2
    assert "no plan" in done.stderr
    done = run("--url", "http://127.0.0.1:9")
    assert done.exit_code == 2
    assert "needs a credential" in done.stderr


def test_the_search_needs_no_region(tmp_path):
    out = tmp_path / "search.json"
    done = run("--adaptive", "3", "--budget", "5", "--kind", "direct", "--out", out)
    assert done.exit_code == 0, done.stderr
    assert done.stdout.startswith("# Search past the detector")
    told = json.loads(out.read_text())
    assert told["seeds"] == 3 == len(told["found"])
    assert all(one["queries"] <= 5 for one in told["found"])
