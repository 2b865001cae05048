"""An installation in a folder, with keys and nothing running."""

from __future__ import annotations

from pathlib import Path

import typer

from firedoor.app.prepare import prepare
from firedoor.cli.doctor_cmds import doctor
from firedoor.cli.seal_cmds import open_, seal
from firedoor.config import Home
from firedoor.store.planfile import load

PLAN = """\
firedoor: 1
name: alpenladen
people:
  ana: {name: Ana Example, roles: [incident_commander, platform_engineer, ai_engineer], key: "ed25519:AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="}
  ben: {name: Ben Example, roles: [dpo, soc_analyst, communications, legal], key: "ed25519:AgICAgICAgICAgICAgICAgICAgICAgICAgICAgICAgI="}
regions:
  eu: {jurisdictions: [EU], address: "https://eu.example", listen: "127.0.0.1:1"}
  us: {jurisdictions: [US], address: "https://us.example", listen: "127.0.0.1:2"}
models:
  eu-chat: {region: eu, engine: embedded, name: m, weights: w.sealed, sealed: true}
  us-chat: {region: us, engine: openai, name: m, url: "http://127.0.0.1:3"}
datasets:
  orders: {region: eu, kind: training, sealing: firedoor, path: orders.sealed}
  vectors: {region: us, kind: vector_store, sealing: provider, url: "http://127.0.0.1:4", jurisdiction: US}
shops:
  alpenladen: {platform: other, home: DE}
surfaces:
  support:
    models: {eu: eu-chat, us: us-chat}
    deadline: 2s
    fallback: {kind: message, text: {en: "A person will answer."}}
"""

app = typer.Typer()
app.command()(seal)
app.command("open")(open_)
app.command()(doctor)


def furnish(root: Path, plan: str = PLAN) -> Home:
    """The installation, as `firedoor up` would find or make it."""
    root.mkdir(mode=0o700)
    (root / "plan.yaml").write_text(plan)
    home = Home(root)
    prepare(home, load(home.plan), root)
    return home
