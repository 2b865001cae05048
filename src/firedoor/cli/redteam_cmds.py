"""`firedoor redteam`: attacks of our own, and their harmless twins, played against a running region."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import time
from contextlib import AbstractContextManager, ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, get_args

import msgspec
import typer

from firedoor.app.protection import Stores
from firedoor.app.redteam import Options, Run, Target
from firedoor.app.redteam_region import TAKEN_UP, Mark, buyer_role, issued, mark, planted, recorded
from firedoor.app.redteam_search import adapt
from firedoor.app.redteam_suite import Wanted, conversations, load
from firedoor.app.regionkeys import open_region
from firedoor.cli.options import HomeOption, RegionOption, planned_region
from firedoor.config import Home, RegionHome
from firedoor.core.plan.model import Loaded
from firedoor.core.redteam.canaries import Canaries, Judge, invent
from firedoor.core.redteam.cases import KINDS, Language, chosen
from firedoor.core.redteam.forms import Conversation
from firedoor.core.redteam.report import About, Report, markdown, report
from firedoor.core.redteam.search import Searches
from firedoor.core.redteam.search import markdown as search_markdown
from firedoor.errors import ActRefused, EvidenceDamaged, FiredoorError, SetupError
from firedoor.store import planfile

CREDENTIAL_VARIABLE = "FIREDOOR_REDTEAM_CREDENTIAL"
TOKEN_LIMIT = 256
"""Characters of a credential's file; a token has about 80."""
SET_UP = 2
"""Exit status where nothing could be learnt. 1 is that something came out, 0 that nothing did."""


def redteam(
    home: HomeOption = None,
    region: RegionOption = None,
    surface: Annotated[str | None, typer.Option(help="Surface of the plan; a credential is issued for it.")] = None,
    shop: Annotated[str | None, typer.Option(help="Shop of the plan; needed if there are several.")] = None,
    credential: Annotated[
        Path | None, typer.Option(help=f"File with a credential; or the environment's {CREDENTIAL_VARIABLE}.")
    ] = None,
    buyer_credential: Annotated[
        Path | None, typer.Option(help="File with a credential of a role that receives costs.")
    ] = None,
    url: Annotated[str | None, typer.Option(help="Address of the gateway, where there is no plan.")] = None,
    kind: Annotated[list[str] | None, typer.Option(help="Only this kind; repeat for several.")] = None,
    lang: Annotated[list[str] | None, typer.Option(help="Only this language; repeat for several.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="A small sample, under a minute.")] = False,
    all_forms: Annotated[bool, typer.Option("--all-forms", help="Every case in every form of a request.")] = False,
    plant: Annotated[
        bool, typer.Option("--plant", help="Protect the invented secrets in the region for the run.")
    ] = False,
    sessions: Annotated[int, typer.Option(min=1, max=64, help="Sessions over which turns are spread.")] = 1,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="Conversations at a time.")] = 4,
    answer_tokens: Annotated[
        int | None, typer.Option(min=1, max=4096, help="Longest answer; 48 unless given, 24 with --quick.")
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed asks the same.")] = 1,
    go_on: Annotated[bool, typer.Option("--go-on", help="Go on when AI goes off.")] = False,
    adaptive: Annotated[
        int | None, typer.Option(min=1, max=2000, metavar="SEEDS", help="Search ways past the detector; no region.")
    ] = None,
    budget: Annotated[int, typer.Option(min=1, max=10_000, help="Queries for each seed of --adaptive.")] = 200,
    out: Annotated[Path | None, typer.Option(help="Write the report here: JSON for .json, else Markdown.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Play attacks and their harmless twins against a running region.

    Exit status 0: nothing came out; 1: something did; 2: it could not be asked, or not to the end.
    """
    wanted = Wanted(
        _known("--kind", kind, tuple(KINDS)),
        _known("--lang", lang, get_args(Language)),
        quick=quick,
        all_forms=all_forms,
    )
    try:
        if adaptive is not None:
            suite = load()
            cases = list(chosen(suite.cases, wanted.kinds, wanted.languages))
            found = adapt(suite, cases, adaptive, budget, seed)
            _give(found, search_markdown(found, budget, seed), out, as_json=as_json)
            return
        options = Options(
            run=secrets.token_hex(4), sessions=sessions, concurrency=concurrency,
            answer_tokens=answer_tokens or (24 if quick else 48), go_on=go_on,
        )  # fmt: skip
        with ExitStack() as stack:
            place = _Place.find(home, region, surface, shop, url, given=_token(credential) is not None, plant=plant)
            target, lacking = _target(place, _token(credential), _token_in(buyer_credential), stack)
            canaries = invent(random.Random(seed), random.Random(options.run))  # noqa: S311  invented values, no keys
            asked = conversations(load(), wanted, canaries)
            left_out = sum(one.who == "buyer" for one in asked) if target.buyer is None else 0
            asked = [one for one in asked if one.who == "shopper" or target.buyer is not None]
            if not asked:
                raise SetupError("None of the cases is of that kind and language.", remedy="Leave one of them out.")
            if plant:
                stack.enter_context(place.planted(canaries))
                time.sleep(TAKEN_UP)
            notes = (f"{left_out} questions of a buyer: {lacking}",) if left_out else ()
            told = _played(place, target, options, canaries, asked, wanted, seed, notes, plant=plant)
    except FiredoorError as error:
        typer.echo(f"firedoor: {error.message}", err=True)
        if error.remedy:
            typer.echo(f"  {error.remedy}", err=True)
        raise typer.Exit(SET_UP) from None
    _give(told, markdown(told), out, as_json=as_json)
    stopped = told.about.shut and not go_on
    raise typer.Exit(1 if told.leaked else SET_UP if stopped else 130 if told.about.interrupted else 0)


def _played(
    place: _Place, target: Target, options: Options, canaries: Canaries, asked: list[Conversation], wanted: Wanted,
    seed: int, notes: tuple[str, ...], *, plant: bool,
) -> Report:  # fmt: skip
    """The run and its report; of one that was interrupted too."""
    run = Run(target, options, Judge(canaries), _say)
    since = place.mark()
    started, begun = datetime.now(UTC), time.monotonic()
    asyncio.run(run.perform(asked))
    results, kept_back = run.results, None
    if since is not None:
        try:
            results, kept_back = recorded(results, since)
        except (EvidenceDamaged, OSError) as error:
            notes = (*notes, f"what the evidence says ({type(error).__name__})")
    if run.shut and not options.go_on:
        notes = (*notes, f"{len(asked) - len(results)} conversations after AI went off")
    about = About(
        run=options.run, seed=seed, surface=place.surface or "of the credential", model=run.model, suite=str(wanted),
        planted=plant, started=started.isoformat(timespec="seconds"), seconds=round(time.monotonic() - begun, 1),
        sessions=options.sessions, interrupted=run.interrupted, shut=run.shut, not_asked=notes, kept_back=kept_back,
    )  # fmt: skip
    return report(about, results)


class _Place:
    """The region that is asked, as far as this machine knows it."""

    def __init__(self, url: str, loaded: Loaded | None, region: RegionHome | None, home: Home | None) -> None:
        self.url = url
        self.loaded = loaded
        self.region = region
        self.home = home
        self.surface = ""
        self.shop = ""

    @classmethod
    def find(
        cls, home: Path | None, region: str | None, surface: str | None, shop: str | None, url: str | None,
        *, given: bool, plant: bool,
    ) -> _Place:  # fmt: skip
        """The region of the plan, or just `url`. Raises `SetupError`, `ActRefused`, `PlanInvalid`."""
        if url is not None and given and surface is None and home is None:
            if plant:
                raise SetupError("--plant needs the region's own machine.", remedy="Name its folder with --home.")
            return cls(url.rstrip("/"), None, None, None)
        if url is not None and surface is None and not given:
            raise SetupError("--url needs a credential.", remedy=f"Give --credential, or {CREDENTIAL_VARIABLE}.")
        found = Home.find(home)
        loaded = planfile.load(found.plan)
        where = planned_region(found, loaded.plan, region)
        here = cls((url or loaded.plan.regions[where.name].address).rstrip("/"), loaded, where, found)
        if surface is not None or plant or not given:
            here.choose(surface, shop)
        return here

    def choose(self, surface: str | None, shop: str | None) -> None:
        """The surface, and one of its shops."""
        assert self.loaded is not None
        plan = self.loaded.plan
        if surface is None or surface not in plan.surfaces:
            what = "Name a surface with --surface" if surface is None else f"The plan has no surface {surface}"
            raise ActRefused("not_in_plan", f"{what}.", remedy=f"Declared: {', '.join(plan.surfaces)}.")
        shops = [name for name in plan.shops if plan.serves(surface, name)]
        if shop is None and len(shops) == 1:
            shop = shops[0]
        if shop not in shops:
            raise ActRefused(
                "not_in_plan", f"Name a shop of {surface} with --shop.", remedy=f"Its: {', '.join(shops)}."
            )
        self.surface, self.shop = surface, shop

    def mark(self) -> Mark | None:
        """Where the evidence is now; None where it is not here to read."""
        if self.region is None or not self.region.journals.is_dir():
            return None
        try:
            return mark(self.region)
        except (EvidenceDamaged, OSError):
            return None

    def planted(self, canaries: Canaries) -> AbstractContextManager[None]:
        """The canaries as protected content, for the run."""
        assert self.loaded is not None
        assert self.region is not None
        assert self.home is not None
        plan = self.loaded.plan
        if plan.surfaces[self.surface].answers.leak == "shut":
            _say(f"{self.surface} shuts at a leak (answers: leak). Two people open it again.")
        box = open_region(self.region, self.loaded, self.home.plan.parent).worker().protect
        return planted(Stores.of(self.region, box), plan, self.surface, canaries)


def _target(place: _Place, token: str | None, buyer: str | None, stack: ExitStack) -> tuple[Target, str]:
    """Where to ask, with credentials that are given or issued; and why no buyer asks, if none does."""
    role = None
    if token is None:
        assert place.region is not None
        assert place.loaded is not None
        token = stack.enter_context(issued(place.region, place.shop, place.surface))
        role = buyer_role(place.loaded.plan, place.surface)
        if buyer is None and role is not None:
            buyer = stack.enter_context(issued(place.region, place.shop, place.surface, role))
    lacking = "no role of the plan receives costs there" if place.loaded is not None else "give --buyer-credential"
    return Target(place.url, token, buyer), lacking


def _token(file: Path | None) -> str | None:
    return _token_in(file) or os.environ.get(CREDENTIAL_VARIABLE) or None


def _token_in(file: Path | None) -> str | None:
    """The credential in `file`. Raises `SetupError`; what is in it is never repeated."""
    if file is None:
        return None
    try:
        with file.open(encoding="ascii") as opened:
            text = opened.read(TOKEN_LIMIT + 1).strip()
    except (OSError, UnicodeDecodeError) as error:
        raise SetupError(
            f"{file} cannot be read: {type(error).__name__}.", remedy="Name the credential's file."
        ) from None
    if not text.startswith("fd_") or len(text) > TOKEN_LIMIT or not text.isprintable() or " " in text:
        raise SetupError(f"{file} holds no credential.", remedy="Issue one with `firedoor credentials issue`.")
    return text


def _known(option: str, given: list[str] | None, known: tuple[str, ...]) -> frozenset[str]:
    for name in given or ():
        if name not in known:
            raise typer.BadParameter(f"{option} {name}: one of {', '.join(known)}.")
    return frozenset(given or ())


def _give(told: Report | Searches, text: str, out: Path | None, *, as_json: bool) -> None:
    """Print the report, and write it."""
    document = msgspec.json.encode(told)
    if out is not None:
        written = msgspec.json.format(document, indent=1) + b"\n" if out.suffix == ".json" else text.encode()
        try:
            out.write_bytes(written)
        except OSError as error:
            _say(f"{out} cannot be written ({type(error).__name__}); the report follows")
    typer.echo(document.decode() if as_json else text.rstrip("\n"))


def _say(line: str) -> None:
    typer.echo(line, err=True)
