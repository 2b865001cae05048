"""The emergency plan as typed values. ``decode.py`` reads them from YAML; ``checks.py`` asks for more than types."""

from __future__ import annotations

from typing import Annotated, Literal, get_args

import msgspec
from msgspec import Meta, Struct

from firedoor.core.patterns import END
from firedoor.core.plan.response import (
    Contacts,
    Duty,
    Hooks,
    IncidentRules,
    Legal,
)
from firedoor.core.plan.words import (
    DAY,
    CountryCode,
    Duration,
    Language,
    Name,
    Part,
    PublicKey,
    Role,
    Text,
    Url,
)

Label = Literal[
    "PERSON", "EMAIL", "PHONE", "STREET_ADDRESS", "POSTCODE", "CITY", "CREDIT_CARD", "IBAN", "NATIONAL_ID", "TAX_ID",
    "IP", "USERNAME", "SECRET", "ORDER_ID", "ACCOUNT_ID", "DATE_OF_BIRTH", "URL",
]  # fmt: skip
Handling = Literal["pass", "mask", "generalise", "drop", "refuse"]
Attribute = Literal[
    "cost", "margin", "floor_price", "supplier", "discount_code", "unreleased", "order", "staff", "prompt", "other"
]
"""What a protected set tells: words for it are known in the shop's languages."""
Doubtful = Literal["record", "mask", "cut", "fallback"]
Confirmed = Literal["record", "mask", "cut", "fallback", "shut"]
Asked = Literal["off", "record", "fallback", "refuse"]
LABELS: tuple[str, ...] = get_args(Label)
NatsUrl = Annotated[str, Meta(pattern=r"^(nats|tls)://[^\s]+" + END, description="URL: nats:// or tls://")]
VerifierKey = Annotated[
    str,
    Meta(
        pattern=r"^[^\s+]{1,200}\+[0-9a-f]{8}\+[A-Za-z0-9+/=]{44,2000}" + END,
        description="verifier key of a signed note: name+id+base64",
    ),
]

MAY_OPEN: frozenset[str] = frozenset({"incident_commander", "platform_engineer", "ai_engineer", "dpo"})
"""Roles whose signature counts towards opening a switch. Shutting is open to every person of the plan."""

CHECKOUT_SURFACES = frozenset({"fraud_scoring", "payment_validation"})
"""Surfaces in the checkout path: their fallback must be `rules`, so that checkout always gets a decision."""


class Person(Part, frozen=True, kw_only=True):
    """An operator. `key` is the public half; the private half is in a file that only they have."""

    name: Text
    roles: tuple[Role, ...]
    key: PublicKey
    contacts: Contacts = Contacts()


class FileRoot(Part, tag="file", tag_field="kind", frozen=True, kw_only=True):
    """The root of the region's keys is a file on this machine: for development."""


class Pkcs11Root(Part, tag="pkcs11", tag_field="kind", frozen=True, kw_only=True):
    """The root is in an HSM. `module` is the path of its PKCS#11 library; the PIN is read from `pin_file`."""

    module: Text
    token: Text
    pin_file: Text


class VaultRoot(Part, tag="vault", tag_field="kind", frozen=True, kw_only=True):
    """The root is in the transit engine of a Vault or OpenBao server that stands in the region's `jurisdiction`."""

    url: Url
    mount: Name = "transit"
    token_file: Text
    jurisdiction: CountryCode
    ca_file: Text | None = None


class AwsKmsRoot(Part, tag="aws_kms", tag_field="kind", frozen=True, kw_only=True):
    """The root is in AWS KMS: single-Region keys of the AWS Region `aws_region`, which stands in `jurisdiction`."""

    aws_region: Annotated[
        str, Meta(pattern=r"^[a-z]{2}(-[a-z]+)+-\d" + END, description="AWS Region, such as eu-central-1")
    ]
    jurisdiction: CountryCode
    endpoint: Url | None = None


Root = FileRoot | Pkcs11Root | VaultRoot | AwsKmsRoot


class Witness(Part, frozen=True, kw_only=True):
    """Where this region's agent cosigns the checkpoints of other regions (C2SP tlog-witness): only hashes come in."""

    listen: Annotated[str, Meta(pattern=r"^[^\s:]+:\d{1,5}" + END, description="host:port")]
    address: Url


class NatsBus(Part, tag="nats", tag_field="kind", frozen=True, kw_only=True):
    """Switch tables reach the region's hosts over core NATS. `credentials_file` is a NATS ``.creds`` file.

    A leaf node or gateway of that NATS carries the global table, and nothing else, to the other regions.
    """

    servers: Annotated[tuple[NatsUrl, ...], Meta(min_length=1, max_length=16)]
    credentials_file: Text | None = None
    ca_file: Text | None = None


class Region(Part, frozen=True, kw_only=True):
    """A sovereign compartment. `address` is where shops reach it; `listen` what its gateway workers bind.

    `retention` is the longest that bodies stay here, whatever a surface asks for. `state` is the URL of the region's
    PostgreSQL database; without it the state is a SQLite file. `log_keys` are the public keys of its evidence log and
    witness, as `firedoor evidence keys` prints them: needed where regions live on different machines. With a `bus` the
    region may have several hosts, and each host's agent keeps its switch page from it. `switch_keys` are the public
    keys of the region's switch tables, as `firedoor switches keys` prints them: needed by regions on other machines.
    """

    jurisdictions: tuple[CountryCode, ...]
    address: Annotated[
        str, Meta(pattern=r"^https?://[^\s/]+" + END, description="address without a path: https://host[:port]")
    ]
    listen: Annotated[str, Meta(pattern=r"^[^\s:]+:\d{1,5}" + END, description="host:port")]
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    root: Root = FileRoot()
    retention: Duration = msgspec.field(default_factory=lambda: Duration(365 * DAY))
    witness: Witness | None = None
    log_keys: tuple[VerifierKey, ...] = ()
    state: Annotated[str, Meta(pattern=r"^postgresql://[^\s]+" + END, description="postgresql:// URL")] | None = None
    bus: NatsBus | None = None
    switch_keys: tuple[PublicKey, ...] = ()
    hooks: Hooks | None = None


class Probe(Part, frozen=True, kw_only=True):
    """A question whose answer is known: asked again at every look, with temperature 0 and a fixed seed."""

    ask: Text
    tokens: Annotated[int, Meta(ge=1, le=256)] = 16


class Integrity(Part, frozen=True, kw_only=True):
    """How a model instance is watched for having been exchanged or changed.

    What differs from its baseline is a finding; with `on_drift: shut` it shuts the instance.
    """

    every: Duration = msgspec.field(default_factory=lambda: Duration(300))
    probes: tuple[Probe, ...] = ()
    on_drift: Literal["record", "shut"] = "record"


class BreakerRules(Part, frozen=True, kw_only=True):
    """When a gateway worker stops asking a model instance for a while, and when it begins again.

    It trips after `failures` in a row, or when more than `share` of at least `minimum` calls of the last `window`
    failed. It rests for `rest`, twice as long after each trip that follows, up to `longest_rest`. Then single calls
    probe, and `probes` that succeed close it.
    """

    failures: Annotated[int, Meta(ge=1, le=1000)] = 5
    window: Duration = msgspec.field(default_factory=lambda: Duration(10))
    share: Annotated[float, Meta(gt=0, le=1)] = 0.5
    minimum: Annotated[int, Meta(ge=1, le=10_000)] = 20
    rest: Duration = msgspec.field(default_factory=lambda: Duration(1))
    longest_rest: Duration = msgspec.field(default_factory=lambda: Duration(30))
    probes: Annotated[int, Meta(ge=1, le=100)] = 2


class Model(Part, frozen=True, kw_only=True):
    """A model instance: one model server in one region.

    `engine: embedded` is the llama.cpp server Firedoor starts itself, `openai` any OpenAI-compatible URL, `scripted` a
    server that plays `script` (drills, demonstrations). `name` is the model name callers use; `remote_name` what the
    server calls it, when that differs. `weights` is a GGUF file for `engine: embedded`; with `sealed: true` it is one
    that `firedoor keys seal` made, opened in memory only.
    """

    region: Name
    engine: Literal["embedded", "openai", "scripted"]
    name: Text
    serves: tuple[Literal["chat", "embeddings"], ...] = ("chat",)
    url: Url | None = None
    remote_name: Text | None = None
    api_key_file: Text | None = None
    script: Text | None = None
    weights: Text | None = None
    sealed: bool = False
    context: Annotated[int, Meta(ge=256, le=1_048_576)] = 8192
    slots: Annotated[int, Meta(ge=1, le=256)] = 4
    integrity: Integrity | None = None
    breaker: BreakerRules = msgspec.field(default_factory=BreakerRules)


class Shop(Part, frozen=True, kw_only=True):
    """A merchant storefront. `home` is the jurisdiction assumed when the shop's server does not state one."""

    platform: Literal["shopify", "magento", "other"]
    home: CountryCode
    sells_to: tuple[CountryCode, ...] = ()
    catalog: Text | None = None


class MessageFallback(Part, tag="message", tag_field="kind", frozen=True, kw_only=True):
    """A static text per language. The language is the request's, else `default`."""

    text: dict[Language, Text]
    default: Language = "en"


class SearchFallback(Part, tag="search", tag_field="kind", frozen=True, kw_only=True):
    """Full-text search in the shop's catalogue; `text` introduces the hits, `empty` is said when there are none."""

    text: dict[Language, Text]
    empty: dict[Language, Text]
    default: Language = "en"
    hits: Annotated[int, Meta(ge=1, le=20)] = 3


class Rule(Part, frozen=True, kw_only=True):
    """One line of a deterministic score: when `field` compares true, add `points`."""

    field: Text
    op: Literal["gt", "ge", "lt", "le", "eq", "ne", "in", "not_in", "missing", "differs_from"]
    value: float | str | bool | tuple[str, ...] | None = None
    points: float
    reason: Name


class RulesFallback(Part, tag="rules", tag_field="kind", frozen=True, kw_only=True):
    """A deterministic score with thresholds: `>= block` is `block`, `>= review` is `review`, else `allow`."""

    rules: tuple[Rule, ...]
    review: float
    block: float
    base: float = 0.0


class RefuseFallback(Part, tag="refuse", tag_field="kind", frozen=True, kw_only=True):
    """No answer: an error with code `surface_unavailable`."""


Fallback = MessageFallback | SearchFallback | RulesFallback | RefuseFallback


class Limits(Part, frozen=True, kw_only=True):
    """Bounds on one request. Each is checked before the work it bounds."""

    body_bytes: Annotated[int, Meta(ge=1024, le=16_777_216)] = 1_048_576
    messages: Annotated[int, Meta(ge=1, le=10_000)] = 256
    tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 32_768
    answer_tokens: Annotated[int, Meta(ge=1, le=1_000_000)] = 4096
    choices: Annotated[int, Meta(ge=1, le=16)] = 8


class FieldRule(Part, frozen=True, kw_only=True):
    """What becomes of the values at `path` (JSONPath, RFC 9535) of a structured request, before any text is read.

    `label` says what the values are; without it the text there is searched like any other, unless `handling` drops it.
    """

    path: Text
    handling: Handling
    label: Label | None = None


class PersonalDataRules(Part, frozen=True, kw_only=True):
    """What becomes of the personal data of a surface's requests and answers.

    `labels` overrides `default` per kind of data. `mode: shadow` finds and records, and changes nothing. `thresholds`
    is the score (0 to 1) below which a finding of the classifier does not count. `fields` are rules for requests whose
    messages are JSON. `media: pass` lets images, audio and files through, which nobody can look into. `answers` is
    what happens when an answer holds personal data that the caller did not bring; with `answer_names` full names are
    looked for in answers as well, which takes about as long as looking through the request.
    """

    mode: Literal["enforce", "shadow"] = "enforce"
    default: Handling = "mask"
    labels: dict[Label, Handling] = {}
    thresholds: dict[Label, Annotated[float, Meta(ge=0, le=1)]] = {}
    deep: Literal["off", "unsure", "always"] = "off"
    fields: tuple[FieldRule, ...] = ()
    not_personal: tuple[Text, ...] = ()
    media: Literal["refuse", "pass"] = "refuse"
    answers: Literal["pass", "record", "cut"] = "record"
    answer_names: bool = False


class AnswerRules(Part, frozen=True, kw_only=True):
    """What becomes of an answer that holds what it must not.

    `leak` is a confirmed one: a protected value, a honeytoken, an amount with its product, a stretch of a document.
    `doubtful` may be chance: a rounded amount, most of a value at the end. `secrets` are keys, tokens and payment cards
    that the caller did not bring. `system_prompt` is what the shop's own instructions say. Each is only recorded,
    masked, cut off (a whole answer is replaced by the fallback), or replaced by the fallback; a confirmed leak may also
    shut the scope.
    """

    leak: Confirmed = "shut"
    doubtful: Doubtful = "cut"
    secrets: Doubtful = "cut"
    system_prompt: Literal["off"] | Confirmed = "off"


class PromptRules(Part, frozen=True, kw_only=True):
    """What becomes of a request that attacks the model, or asks for what its caller may not have.

    `attack` is one by whoever writes to the model. `indirect` is one planted in what the model is told: documents,
    reviews, names, results of tools; `withhold` leaves the passage out and goes on. `asked` is a question for what a
    protected set of the surface tells, or for another person's order or the instructions, by a caller without the
    grant. `context: withhold` takes protected content that the caller may not receive out of what the model is told.
    `sessions` is the strictest that may befall a session which keeps trying; `slow` makes each of its turns wait
    `delay`. `mode: shadow` finds and records, and changes nothing.
    """

    mode: Literal["enforce", "shadow"] = "enforce"
    attack: Asked = "fallback"
    indirect: Literal["off", "record", "withhold", "fallback", "refuse"] = "withhold"
    asked: Asked = "fallback"
    context: Literal["pass", "withhold"] = "withhold"
    sessions: Literal["off", "observe", "slow", "refuse"] = "refuse"
    delay: Duration = msgspec.field(default_factory=lambda: Duration(1))


class CacheRules(Part, frozen=True, kw_only=True):
    """Answers that are given again to the same request: the same shopper's, or (`scope`) the whole surface's."""

    scope: Literal["subject", "surface"] = "subject"
    ttl: Duration = msgspec.field(default_factory=lambda: Duration(600))
    entries: Annotated[int, Meta(ge=1, le=1_000_000)] = 10_000


class Surface(Part, frozen=True, kw_only=True):
    """One AI feature. `models` names the model instance that serves it in each region.

    AI runs while the region's switch table is younger than `lease`, and the global one than `global_lease`; without
    that, what the global table shut stays shut and nothing depends on its age.
    """

    models: dict[Name, Name]
    deadline: Duration
    fallback: Fallback
    shops: tuple[Name, ...] = ()
    embeddings: dict[Name, Name] = {}
    stream_deadline: Duration = msgspec.field(default_factory=lambda: Duration(120))
    lease: Duration = msgspec.field(default_factory=lambda: Duration(2))
    global_lease: Duration | None = None
    personal_data: PersonalDataRules = PersonalDataRules()
    protect: tuple[Name, ...] = ()
    answers: AnswerRules = AnswerRules()
    prompts: PromptRules = msgspec.field(default_factory=PromptRules)
    cache: CacheRules | None = None
    cut_text: dict[Language, Text] = msgspec.field(default_factory=lambda: {"en": "This answer was stopped."})
    limits: Limits = Limits()
    retention: Duration = msgspec.field(default_factory=lambda: Duration(30 * DAY))


class Dataset(Part, frozen=True, kw_only=True):
    """Training data or a vector store that a model of the region is made from or looks things up in.

    `path` (a file or folder made by `firedoor keys seal`) or `url` (a server in `jurisdiction`) says where it lies.
    `sealing` says who encrypts it at rest: `firedoor` (then `doctor` opens the file's head to see) or `provider` (a
    disk or database encryption of yours that Firedoor cannot see into).
    """

    region: Name
    kind: Literal["training", "vector_store"]
    sealing: Literal["firedoor", "provider", "none"]
    path: Text | None = None
    url: Url | None = None
    jurisdiction: CountryCode | None = None


class ExternalWitness(Part, frozen=True, kw_only=True):
    """A witness that is not a region of this plan, such as a regulator's. It sees checkpoints: hashes and sizes."""

    address: Url
    jurisdiction: CountryCode
    keys: tuple[VerifierKey, ...]


class Timestamps(Part, frozen=True, kw_only=True):
    """An RFC 3161 time-stamp authority. It sees one hash of the region log each `every`."""

    url: Url
    jurisdiction: CountryCode
    certificates: Text
    every: Duration = msgspec.field(default_factory=lambda: Duration(3600))


class Evidence(Part, frozen=True, kw_only=True):
    """Who besides the region vouches for its evidence. `quorum` is how many witnesses make a checkpoint trusted."""

    quorum: Annotated[int, Meta(ge=0, le=64)] = 0
    witnesses: dict[Name, ExternalWitness] = {}
    timestamps: Timestamps | None = None


class ProtectedSet(Part, frozen=True, kw_only=True):
    """A named set of values, amounts and documents that must not leave in an answer.

    They are kept sealed in each region, never here. `attribute` says what the set tells.
    """

    description: Text
    attribute: Attribute = "other"


class RoleGrant(Part, frozen=True, kw_only=True):
    """What callers of a role may receive: protected sets, on the named surfaces or on all of them.

    A credential has a role when it is issued with one; a shopper's has none and receives nothing of a set.
    """

    receives: tuple[Name, ...]
    surfaces: tuple[Name, ...] = ()


class SwitchRules(Part, frozen=True, kw_only=True):
    """How switch tables are told. Every `beat` each region's control says its table anew, signed.

    `home` is the region that keeps the switches of all regions (scopes that begin with ``*``).
    """

    home: Name | None = None
    beat: Duration = msgspec.field(default_factory=lambda: Duration(0.25))


class Plan(Part, frozen=True, kw_only=True):
    """The whole document."""

    firedoor: Literal[1]
    name: Text
    people: dict[Name, Person]
    regions: dict[Name, Region]
    models: dict[Name, Model]
    shops: dict[Name, Shop]
    surfaces: dict[Name, Surface]
    protected: dict[Name, ProtectedSet] = {}
    grants: dict[Name, RoleGrant] = {}
    datasets: dict[Name, Dataset] = {}
    evidence: Evidence = Evidence()
    switches: SwitchRules = msgspec.field(default_factory=SwitchRules)
    duties: dict[Role, Duty] = {}
    incidents: IncidentRules = msgspec.field(default_factory=IncidentRules)
    legal: Legal = msgspec.field(default_factory=Legal)

    def granted(self, role: str | None, surface: str) -> frozenset[str]:
        """The protected sets that a caller with `role` may receive on `surface`."""
        grant = self.grants.get(role or "")
        if grant is None or (grant.surfaces and surface not in grant.surfaces):
            return frozenset()
        return frozenset(grant.receives)

    def serves(self, surface: str, shop: str) -> bool:
        """Whether `surface` is declared for `shop`; a surface without `shops` is for all of them."""
        declared = self.surfaces.get(surface)
        return declared is not None and shop in self.shops and (not declared.shops or shop in declared.shops)


class Loaded(Struct, frozen=True):
    """A plan that passed every check, with the SHA-256 of the exact document it came from (hex)."""

    plan: Plan
    digest: str
    source: str
    document: bytes = msgspec.field(default=b"")
