"""`firedoor credentials`: what a shop's server shows to the gateway, one per shop and surface and region."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from firedoor.cli.options import (
    HomeOption,
    JsonOption,
    RegionOption,
    echo_json,
    moment,
    parse_age,
    planned_region,
    read_plan,
)
from firedoor.config import Home
from firedoor.errors import ActRefused
from firedoor.store.credentials import Credential, CredentialFile

app = typer.Typer(no_args_is_help=True, help="The shops' credentials for the gateway.")


@app.command()
def issue(
    shop: Annotated[str, typer.Option(help="Shop of the plan.")],
    surface: Annotated[str, typer.Option(help="Surface of the plan that serves this shop.")],
    home: HomeOption = None,
    region: RegionOption = None,
    expires: Annotated[str | None, typer.Option(help="Age at which it ends: 12h, 90d. Without: never.")] = None,
    role: Annotated[
        str | None, typer.Option(help="Role of the plan's `grants` that its callers have. Without: shoppers.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Make a credential. The token is printed this once; only its hash is kept."""
    found = Home.find(home)
    plan = read_plan(found)
    where = planned_region(found, plan, region)
    if not plan.serves(surface, shop):
        raise ActRefused(
            "not_in_plan",
            f"The plan has no surface {surface} for shop {shop}.",
            remedy="Declare both in the plan first.",
        )
    if role is not None and role not in plan.grants:
        declared = ", ".join(sorted(plan.grants)) or "none"
        raise ActRefused("unknown_role", f"The plan grants nothing to a role {role}.", remedy=f"Declared: {declared}.")
    now = time.time()
    where.make()
    token, credential = CredentialFile(where.credentials, where.name).issue(
        shop, surface, now, now + parse_age(expires) if expires else None, role
    )
    if as_json:
        echo_json({"token": token, **_row(credential, now)})
        return
    typer.echo(token)
    typer.echo(f"Credential {credential.id} of {shop}/{surface} in {where.name}. It is not shown again.", err=True)


@app.command("list")
def list_credentials(home: HomeOption = None, region: RegionOption = None, as_json: JsonOption = False) -> None:
    """Credentials and their state; never a token or its hash."""
    now = time.time()
    rows = [_row(credential, now) for credential in _file(home, region).load().values()]
    if as_json:
        echo_json(rows)
        return
    for row in rows:
        ends = f"ends {row['expires']}" if row["expires"] else "no end"
        typer.echo(
            f"{row['id']}  {row['state']:<8} {row['shop']}/{row['surface']}  {row['role'] or 'shopper'}  "
            f"made {row['created']}  {ends}"
        )


@app.command()
def revoke(credential_id: str, home: HomeOption = None, region: RegionOption = None) -> None:
    """End a credential now. It stays in the list."""
    revoked = _file(home, region).revoke(credential_id, time.time())
    typer.echo(f"{revoked.id} of {revoked.shop}/{revoked.surface} is revoked")


def _file(home: Path | None, region: str | None) -> CredentialFile:
    found = Home.find(home)
    where = planned_region(found, read_plan(found), region)
    return CredentialFile(where.credentials, where.name)


def _row(credential: Credential, now: float) -> dict[str, str | None]:
    state = "revoked" if credential.revoked is not None else "usable" if credential.usable(now) else "expired"
    return {
        "id": credential.id,
        "state": state,
        "shop": credential.shop,
        "surface": credential.surface,
        "role": credential.role,
        "created": moment(credential.created),
        "expires": None if credential.expires is None else moment(credential.expires),
        "revoked": None if credential.revoked is None else moment(credential.revoked),
    }
