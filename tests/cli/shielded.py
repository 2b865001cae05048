"""An installation with protected sets, grants and surfaces of several verdicts."""

from __future__ import annotations

import json

from typer.testing import CliRunner

from firedoor.app.prepare import prepare
from firedoor.cli.main import app
from firedoor.config import Home
from firedoor.store.planfile import load
from tests.cli.home import PLAN

SHIELDED = (
    PLAN.replace(
        "  alpenladen: {platform: other, home: DE}", "  alpenladen: {platform: other, home: DE, catalog: shop.jsonl}"
    )
    + """\
    protect: [costs, contracts, codes, orders]
    answers: {leak: cut, system_prompt: cut}
  lenient: {models: {eu: eu-chat}, deadline: 2s, fallback: {kind: refuse}, protect: [codes], answers: {leak: record, secrets: record}}
  masking: {models: {eu: eu-chat}, deadline: 2s, fallback: {kind: refuse}, protect: [codes], answers: {leak: mask}}
  strict: {models: {eu: eu-chat}, deadline: 2s, fallback: {kind: refuse}, protect: [codes], personal_data: {answers: cut}}
protected:
  costs: {description: what we pay, attribute: cost}
  contracts: {description: contracts}
  codes: {description: codes}
  orders: {description: customers orders, attribute: order}
grants:
  buyer: {receives: [costs, contracts]}
  clerk: {receives: [codes], surfaces: [lenient]}
"""
)

CONTRACT = (
    "The dye house in Brescia grants a rebate of nineteen percent from the third container on, which must not be "
    "mentioned to any customer before the embargo ends. Finance keeps a deposit of forty thousand euros in escrow.\n"
)
PRODUCTS = [
    {"sku": "AL-1001", "type": "simple", "name": "Gratwind Rain Jacket", "price": 149.9, "currency": "EUR",
     "description": "Waterproof three-layer shell with pit zips and a hood that fits over a helmet.",
     "attributes": {"cost": 61.37, "supplier": "Nordkessel GmbH"}},
    {"sku": "AL-1002", "type": "simple", "name": "Firnlicht Down Jacket", "price": 219, "currency": "EUR",
     "attributes": {"cost": 97.45, "supplier": "Alpfaden AG"}},
]  # fmt: skip


def furnish(root):
    """The installation, as `firedoor up` would make it, with the shop's catalogue."""
    root.mkdir(mode=0o700)
    (root / "plan.yaml").write_text(SHIELDED)
    (root / "shop.jsonl").write_text("".join(json.dumps(product) + "\n" for product in PRODUCTS))
    home = Home(root)
    prepare(home, load(home.plan), root)
    return home


def empty(home):
    """Have nothing be protected any more."""
    place = home.region("eu")
    for path in (place.protected, place.rows):
        path.unlink(missing_ok=True)
    if place.documents.is_dir():
        for path in place.documents.iterdir():
            path.unlink()


def run(*words, given=""):
    """A command of this installation; its output, and its exit status."""
    ran = CliRunner().invoke(app, [*map(str, words)], input=given)
    if ran.exception is not None and not isinstance(ran.exception, SystemExit):
        raise ran.exception
    return ran


def told(*words, given=""):
    """What a command prints as JSON."""
    ran = run(*words, "--region", "eu", "--json", given=given)
    return json.loads(ran.stdout)
