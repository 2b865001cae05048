"""`firedoor init`, `check` and `schema`, as a person and a script meet them."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from firedoor.cli.plan_cmds import app
from firedoor.core.plan.checks_people import STARTERS
from firedoor.core.plan.schema import plan_schema
from firedoor.models import installed
from firedoor.store.planfile import add_person, load

PLANS = Path(__file__).parent.parent / "vectors" / "plans"


def firedoor(*words: object, home: Path | None = None):
    env = {"COLUMNS": "200", **({"FIREDOOR_HOME": str(home)} if home else {})}
    return CliRunner().invoke(app, [str(word) for word in words], env=env)


def test_from_nothing_to_a_plan_in_order(tmp_path):
    home = tmp_path / "home"
    made = firedoor("init", home)
    assert made.exit_code == 0
    assert sorted(path.name for path in home.iterdir()) == ["catalog.jsonl", "plan.schema.json", "plan.yaml"]
    assert f"export FIREDOOR_HOME={home}\n" in made.output
    plan = home / "plan.yaml"
    assert plan.read_text().startswith("# yaml-language-server: $schema=plan.schema.json\n")
    checked = firedoor("check", home=home)
    assert checked.exit_code == 1
    for person, (name, roles) in STARTERS.items():
        command = f'firedoor people add {person} --name "{name}" ' + " ".join(f"--role {role}" for role in roles)
        assert command in made.output
        assert f"    Run: {command}" in checked.output
        add_person(plan, person, name, roles, load(PLANS / "good.yaml").plan.people[person].key)
    checked = firedoor("check", plan)
    assert checked.exit_code == 0
    assert "Ana Example" in checked.output


def test_the_sample_catalogue_is_the_starter_shops(tmp_path):
    firedoor("init", tmp_path)
    rows = [json.loads(line) for line in (tmp_path / "catalog.jsonl").read_text().splitlines()]
    assert len(rows) >= 40
    assert {row["catalog"] for row in rows} == {"alpenladen"}


def test_init_in_the_installations_own_folder(tmp_path):
    made = firedoor("init", home=tmp_path)
    assert made.exit_code == 0
    assert "export" not in made.output
    assert (tmp_path / "plan.yaml").exists()


def test_init_overwrites_nobodys_work(tmp_path):
    (tmp_path / "plan.yaml").write_text("mine")
    refused = firedoor("init", tmp_path)
    assert refused.exit_code == 2
    assert [path.name for path in tmp_path.iterdir()] == ["plan.yaml"]
    assert (tmp_path / "plan.yaml").read_text() == "mine"


def test_init_where_no_folder_can_be(tmp_path):
    (tmp_path / "file").write_text("")
    assert firedoor("init", tmp_path / "file" / "home").exit_code == 2


def test_check_tells_of_a_deep_model_that_is_not_here(tmp_path, monkeypatch):
    plan = tmp_path / "plan.yaml"
    plan.write_text((PLANS / "good.yaml").read_text())
    monkeypatch.setattr(installed, "DISTRIBUTION", "no-such-distribution")
    told = [firedoor("check", plan).stderr]
    plan.write_text(plan.read_text().replace("{default: pass,", "{deep: always, default: pass,"))
    told.append(firedoor("check", plan).stderr)
    assert ["deep model" in said for said in told] == [False, True]


def test_check_shows_what_it_understood():
    shown = firedoor("check", PLANS / "good.yaml")
    assert shown.exit_code == 0
    rows = [[cell.strip() for cell in line.strip("│┃").split("│")] for line in shown.output.splitlines()]
    assert ["us", "US, CA-QC", "https://us.ai.alpenladen.example", "127.0.0.1:8082", "1", "us-chat, us-drill"] in rows
    assert ["gutschein", "fraud_scoring", "eu", "eu-chat", "800ms"] in [row[:5] for row in rows]
    assert ["alpenladen-us", "fraud_scoring", "us", "none: fallback only"] in [row[:4] for row in rows]
    assert ["cleo", "Cleo Example", "dpo, communications, legal", "yes", "none"] in rows
    assert ["soc_analyst", "nobody", "ben"] in rows
    assert ["any", "shut", "one", "purge cache", "everybody"] in rows
    assert ["zone", "UTC"] in rows
    assert ["us", "CA-QC US"] in rows


def test_check_tells_where_calls_reach_nobody(tmp_path):
    shown = firedoor("check", PLANS / "good.yaml", "--json")
    assert json.loads(shown.stdout)["not_called"] == ["eu", "us"]
    assert "is not reached in eu, us: no system is told of it" in shown.stderr
    pager = "{webhook: https://pager.example/in, jurisdiction: DE, secret_file: pager.secret, events: calls}"
    plan = (PLANS / "good.yaml").read_text() + f"\nincidents: {{systems: {{pager: {pager}}}}}\n"
    (tmp_path / "plan.yaml").write_text(plan)
    shown = firedoor("check", tmp_path / "plan.yaml", "--json")
    assert json.loads(shown.stdout)["not_called"] == ["us"]


def test_check_as_json():
    shown = json.loads(firedoor("check", PLANS / "good.yaml", "--json").stdout)
    assert shown["ok"] is True
    assert shown["digest"] == load(PLANS / "good.yaml").digest
    assert shown["jurisdictions"]["NO"] == "eu"
    assert "EU" not in shown["jurisdictions"]
    support = next(row for row in shown["surfaces"] if row["shop"] == "alpenladen" and row["surface"] == "support")
    assert support == {
        "shop": "alpenladen",
        "surface": "support",
        "region": "eu",
        "model": "eu-chat",
        "embeddings": None,
        "deadline": 20.0,
        "stream_deadline": 60.0,
        "lease": 2.5,
        "fallback": "message (en, no)",
        "personal_data": "pass; mask EMAIL, CREDIT_CARD, IBAN",
        "protect": ["supplier_prices"],
    }


def test_problems_as_text():
    path = PLANS / "unknown-names.yaml"
    shown = firedoor("check", path)
    assert shown.exit_code == 1
    lines = shown.output.splitlines()
    at = lines.index(f"{path}:44: models.us-drill.region: unknown region 'su'")
    assert lines[at + 1] == "    Known here: eu, us."
    assert lines[-1] == f"{path}: 6 problems"


def test_problems_as_json():
    shown = firedoor("check", PLANS / "ports.yaml", "--json")
    assert shown.exit_code == 1
    assert json.loads(shown.output) == {
        "ok": False,
        "source": str(PLANS / "ports.yaml"),
        "problems": [
            {
                "line": 28,
                "path": "regions.us.listen",
                "message": "port 8081 is already bound by region eu",
                "remedy": "Give each region its own port.",
            }
        ],
    }


@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_file_that_cannot_be_read(tmp_path, options):
    shown = firedoor("check", tmp_path / "none.yaml", *options)
    assert shown.exit_code == 2
    assert "firedoor init" in shown.output


def test_brackets_in_names_are_no_markup(tmp_path):
    plan = tmp_path / "plan.yaml"
    plan.write_text((PLANS / "good.yaml").read_text().replace("Ana Example", "Ana [/bold] [red]"))
    shown = firedoor("check", plan)
    assert shown.exit_code == 0
    assert "Ana [/bold] [red]" in shown.output


def test_schema():
    shown = firedoor("schema")
    assert shown.exit_code == 0
    assert json.loads(shown.output) == json.loads(json.dumps(plan_schema()))
