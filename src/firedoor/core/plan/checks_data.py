"""Checks of what lies at rest: datasets, sealed weights, roots of keys, witnesses, time stamps, retention."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from firedoor.core.plan.faults import Fault, Path, nearest, one_of, shown
from firedoor.core.plan.jurisdictions import COUNTRIES, GROUPS, country
from firedoor.core.plan.lookup import JurisdictionTable
from firedoor.core.plan.model import AwsKmsRoot, Plan, VaultRoot
from firedoor.core.plan.words import DAY, Duration

MIN_RETENTION, MAX_RETENTION = 3600, 3660 * DAY
"""Seconds. In less than an hour nobody has looked at an incident; more than ten years no law asks for."""
MIN_EVERY, MAX_EVERY = 60, DAY
"""Seconds between two time stamps: authorities are shared and slow, and a proof of time of days proves little."""


def datasets_live_in_known_regions(plan: Plan) -> Iterator[Fault]:
    """A dataset is in a region of this plan."""
    for name, dataset in plan.datasets.items():
        if dataset.region not in plan.regions:
            problem = f"unknown region {shown(dataset.region)}"
            remedy = f"{nearest(dataset.region, plan.regions)}{one_of(plan.regions)}"
            yield Fault(("datasets", name, "region"), problem, remedy)


def datasets_are_sealed(plan: Plan) -> Iterator[Fault]:
    """Training data and vector stores are encrypted at rest, and it is said by whom."""
    for name, dataset in plan.datasets.items():
        path: Path = ("datasets", name, "sealing")
        if dataset.sealing == "none":
            remedy = "Seal it (`firedoor keys seal`) and write `sealing: firedoor`, or say `provider` if that is so."
            yield Fault(path, "is none: a dataset is sealed at rest", remedy)
        elif dataset.sealing == "firedoor" and dataset.path is None and dataset.url is not None:
            remedy = "Write `sealing: provider` if the server encrypts its disks."
            yield Fault(path, "is firedoor, which seals files: this is a server", remedy)


def datasets_lie_in_one_place(plan: Plan) -> Iterator[Fault]:
    """A dataset is a path or a URL; a server says where it stands."""
    for name, dataset in plan.datasets.items():
        path: Path = ("datasets", name)
        if dataset.path is None and dataset.url is None:
            yield Fault(path, "has neither path nor url", "Say where it lies: `path: FILE`, or `url:` of its server.")
        elif dataset.path is not None and dataset.url is not None:
            yield Fault((*path, "url"), "stands beside a path", "A dataset lies in one place: keep one of the two.")
        if dataset.url is not None and dataset.jurisdiction is None:
            problem = "is missing: a server stands somewhere"
            yield Fault((*path, "jurisdiction"), problem, "Write for example `jurisdiction: DE`.")


def data_and_keys_stay_home(plan: Plan) -> Iterator[Fault]:
    """Servers that hold a region's datasets or the root of its keys stand where the region serves."""
    table = JurisdictionTable(plan)
    for path, region, code in _homes(plan):
        serving = table.region_of(code)
        if region not in plan.regions or serving == region or not _exists(code):
            continue
        problem = f"{code} is served by region {serving}" if serving is not None else f"no region serves {code}"
        remedy = f"What belongs to region {region} stays in its jurisdictions: use a server in one of them."
        yield Fault(path, f"{problem}, not by {region}" if serving is not None else problem, remedy)


def places_exist(plan: Plan) -> Iterator[Fault]:
    """Jurisdictions of servers are countries or unions that there are."""
    outside: list[tuple[Path, str]] = [(path, code) for path, _, code in _homes(plan)]
    for name, witness in plan.evidence.witnesses.items():
        outside.append((("evidence", "witnesses", name, "jurisdiction"), witness.jurisdiction))
    if plan.evidence.timestamps is not None:
        outside.append((("evidence", "timestamps", "jurisdiction"), plan.evidence.timestamps.jurisdiction))
    for path, code in outside:
        if not _exists(code):
            yield Fault(path, f"{code} is no country of ISO 3166-1", "Use the two letters of ISO 3166-1, EU or EEA.")


def sealed_weights_can_be_opened(plan: Plan) -> Iterator[Fault]:
    """Only a model server that Firedoor starts can be given weights in memory."""
    for name, model in plan.models.items():
        if not model.sealed:
            continue
        path: Path = ("models", name)
        if model.engine != "embedded":
            problem = f"engine {model.engine} loads its weights without Firedoor"
            yield Fault((*path, "sealed"), problem, "Write `engine: embedded`, or remove `sealed`.")
        elif model.weights is None:
            problem = "is missing: sealed weights are a file"
            yield Fault((*path, "weights"), problem, "Name the file that `firedoor keys seal` made: `weights: FILE`.")


def witnesses_have_their_ports(plan: Plan) -> Iterator[Fault]:
    """A witness listens where no gateway and no other witness does; a wildcard address is every address."""
    bound = [(address_of(region.listen), f"the gateway of region {name}") for name, region in plan.regions.items()]
    for name, region in plan.regions.items():
        if region.witness is None:
            continue
        path: Path = ("regions", name, "witness", "listen")
        host, port = address_of(region.witness.listen)
        if not 1 <= port <= 65_535:
            yield Fault(path, f"{port} is no port", "Ports go from 1 to 65535.")
        for (rival_host, rival_port), rival in bound:
            if port == rival_port and (host == rival_host or {host, rival_host} & {"0.0.0.0", "*"}):
                yield Fault(path, f"port {port} is already bound by {rival}", "Give each its own port.")
        bound.append(((host, port), f"the witness of region {name}"))


def quorums_can_be_met(plan: Plan) -> Iterator[Fault]:
    """A region does not vouch for itself: the other regions' witnesses and external ones must be enough."""
    external = plan.evidence.witnesses
    for name, witness in external.items():
        if not witness.keys:
            remedy = "Write the verifier keys that its operator publishes."
            yield Fault(("evidence", "witnesses", name, "keys"), "is empty: nothing it signs could be checked", remedy)
    for name in plan.regions:
        others = sum(region.witness is not None for other, region in plan.regions.items() if other != name)
        there = others + len(external)
        if plan.evidence.quorum > there:
            problem = f"is {plan.evidence.quorum}, and region {name} has {there} witness{'' if there == 1 else 'es'}"
            remedy = "Lower it, or add witnesses: `witness:` in another region, or under `evidence.witnesses`."
            yield Fault(("evidence", "quorum"), problem, remedy)
            return


def times_at_rest_are_sane(plan: Plan) -> Iterator[Fault]:
    """Retention and the beat of time stamps lie where they mean something."""
    retentions: list[tuple[Path, Duration]] = [
        *((("regions", name, "retention"), region.retention) for name, region in plan.regions.items()),
        *((("surfaces", name, "retention"), surface.retention) for name, surface in plan.surfaces.items()),
    ]
    for path, value in retentions:
        if not MIN_RETENTION <= value <= MAX_RETENTION:
            yield Fault(path, f"{value} is out of bounds", "From 1h to 3660d.")
    stamps = plan.evidence.timestamps
    if stamps is not None and not MIN_EVERY <= stamps.every <= MAX_EVERY:
        yield Fault(("evidence", "timestamps", "every"), f"{stamps.every} is out of bounds", "From 1m to 1d.")


def servers_hold_no_passwords(plan: Plan) -> Iterator[Fault]:
    """The plan crosses between regions and stands in evidence, so it holds no secret."""
    for path, url in _urls(plan):
        person, at, _ = url.partition("://")[2].partition("/")[0].rpartition("@")
        if at and (":" in person or path[-1] != "state"):
            remedy = (
                "Remove the password; it goes into the file that PGPASSFILE names (libpq's passfile)."
                if path[-1] == "state"
                else "Remove them; secrets go into files that the plan names."
            )
            yield Fault(path, "holds a user name or password" if path[-1] != "state" else "holds a password", remedy)


def _homes(plan: Plan) -> Iterator[tuple[Path, str, str]]:
    """Path, region and jurisdiction of every server that holds what must stay in a region."""
    for name, region in plan.regions.items():
        if isinstance(region.root, VaultRoot | AwsKmsRoot):
            yield ("regions", name, "root", "jurisdiction"), name, region.root.jurisdiction
    for name, dataset in plan.datasets.items():
        if dataset.jurisdiction is not None:
            yield ("datasets", name, "jurisdiction"), dataset.region, dataset.jurisdiction


def _urls(plan: Plan) -> Iterator[tuple[Path, str]]:
    for name, region in plan.regions.items():
        named: Mapping[tuple[str, ...], str | None] = {
            ("root", "url"): region.root.url if isinstance(region.root, VaultRoot) else None,
            ("root", "endpoint"): region.root.endpoint if isinstance(region.root, AwsKmsRoot) else None,
            ("witness", "address"): region.witness.address if region.witness is not None else None,
            ("state",): region.state,
        }
        yield from ((("regions", name, *key), url) for key, url in named.items() if url is not None)
        for position, url in enumerate(region.bus.servers if region.bus is not None else ()):
            yield ("regions", name, "bus", "servers", position), url
    for name, dataset in plan.datasets.items():
        if dataset.url is not None:
            yield ("datasets", name, "url"), dataset.url
    for name, witness in plan.evidence.witnesses.items():
        yield ("evidence", "witnesses", name, "address"), witness.address
    if plan.evidence.timestamps is not None:
        yield ("evidence", "timestamps", "url"), plan.evidence.timestamps.url


def _exists(code: str) -> bool:
    return code in GROUPS or country(code) in COUNTRIES


def address_of(listen: str) -> tuple[str, int]:
    """Host and port of ``host:port``."""
    host, _, digits = listen.rpartition(":")
    return host, int(digits)
