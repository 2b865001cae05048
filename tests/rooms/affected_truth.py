"""Invented exchanges with what is true of each, written as leaves by the parts that write them in earnest."""

from __future__ import annotations

import shutil
from types import SimpleNamespace
from typing import NamedTuple

from hypothesis import strategies as st
from tests.rooms.indexed import SECOND, Region, lookup

from firedoor.app.affected import affected_source
from firedoor.config import RegionHome
from firedoor.core.evidence.checkpoint import Checkpoint, sign
from firedoor.core.evidence.note import NoteSeeds, log_signers
from firedoor.core.evidence.questions import LONGEST
from firedoor.core.evidence.subjects import CELL_BYTES, decode_cell
from firedoor.store.index import IndexPlace

SHOPS = ("alpenladen", "mode")
SURFACES = ("support", "account_chat")
SLOTS = ("w0", "w1")
LABELS = ("EMAIL", "IBAN", "PHONE")
START, END = 2000, 4000
"""Seconds between which exchanges are asked for, in most tests."""
LIMIT = LONGEST // SECOND


class Spec(NamedTuple):
    """An exchange. `ending` is its outcome on record: None while it is open. `really_ended`, `really_exposed` and
    `really` (whom it was about) are true and perhaps on no record. Times are seconds.
    """

    slot: str
    shop: str
    surface: str
    country: str | None
    subject: int | None
    really: int | None
    began: int
    took: int
    ending: str | None
    released: int
    really_exposed: bool
    labels: frozenset
    restored: frozenset
    rules: frozenset
    taken_back: bool
    lost_key: bool
    really_in: str

    @property
    def ended(self):
        return self.began + self.took

    @property
    def exposed(self):
        if self.ending in (None, "unknown"):
            return self.really_exposed or self.released > 0
        return self.released > 0 or (self.ending in ("answered", "minimised") and not self.taken_back)

    @property
    def person(self):
        return self.subject if self.subject is not None else self.really

    @property
    def leaked(self):
        return bool(self.rules & {"honeytoken", "partial_value"})  # the one by rule, the other by verdict


RULES = {"honeytoken": "cut", "partial_value": "shut", "rounded_amount": "cut", "prompt_attack": "refuse"}


def specs(*, sure):
    """Exchanges; with `sure` everything about them is on record."""
    doubtful = [] if sure else [None, "unknown"]
    return st.builds(
        Spec,
        slot=st.sampled_from(SLOTS),
        shop=st.sampled_from(SHOPS),
        surface=st.sampled_from(SURFACES),
        country=st.sampled_from(["DE", "FR"] if sure else ["DE", "FR", None]),
        subject=st.integers(1, 4) if sure else st.none() | st.integers(1, 4),
        really=st.sampled_from([None, 1, 2, 90, 91, 92]),
        began=st.integers(START - 1500, END + 200),
        took=st.integers(0, LIMIT - 1),
        ending=st.sampled_from(["answered", "minimised", "fallback", "cut", "refused", *doubtful]),
        released=st.sampled_from([0, 0, 40]),
        really_exposed=st.booleans(),
        labels=st.frozensets(st.sampled_from(LABELS), max_size=2),
        restored=st.frozensets(st.sampled_from(LABELS), max_size=1),
        rules=st.frozensets(st.sampled_from(sorted(RULES)), max_size=1),
        taken_back=st.just(False) if sure else st.booleans(),
        lost_key=st.just(False) if sure else st.sampled_from([False, False, True]),
        really_in=st.sampled_from(["DE", "FR", "PL"]),
    )


def records(name, spec):
    """What is written of an exchange: (second, kind, facts), in order. Recovery writes long after."""
    place = {
        "shop": spec.shop, "surface": spec.surface, "model": "eu-chat", "jurisdiction": spec.country,
        "credential": f"c-{spec.shop}", "plan": "p",
    }  # fmt: skip
    found = [(spec.began, "intent", {**place, "minimised": dict.fromkeys(spec.labels, 1)})]
    found += [(spec.began, "finding", {**place, "rule": rule, "verdict": RULES[rule]}) for rule in sorted(spec.rules)]
    said = {"released": spec.released} if spec.released else {}
    if said:
        found.append((spec.began, "progress", {**place, **said}))
    if spec.ending == "unknown":
        found.append((END + 3000, "outcome", {"outcome": "unknown", "reason": "recovered"}))
    elif spec.ending is not None:
        done = {**place, **said, "restored": dict.fromkeys(spec.restored, 1), "reason": None}
        found.append((spec.ended, "outcome", {**done, "outcome": spec.ending}))
        if spec.taken_back and not spec.released and spec.ending in ("answered", "minimised"):
            found.append((spec.ended, "outcome", {**place, "outcome": "fallback", "reason": "leak"}))
    return [(at, name, kind, facts) for at, kind, facts in found]


class House(Region):
    """A region, or one host of it: its folders, journals, logs, and its part of the index."""

    def __init__(self, folder, where=None, host=None):
        super().__init__(folder, where)
        self.subjects = folder / "keys" / "subjects"
        self.subjects.mkdir(parents=True)
        self.host = host
        if host is not None:
            self.home.host_part.write_text(f"{host}\n")

    @property
    def home(self):
        return RegionHome("eu", self.folder)

    @property
    def place(self):
        request = self.folder / "rebuild-index"
        return IndexPlace(self.where, "eu", subjects=self.subjects, request=request, host=self.host)

    def source(self, *, now=10_000, silent=(), tail=20_000):
        declared = None
        if isinstance(self.where, str):
            declared = SimpleNamespace(state=self.where, bus=self.host and "nats")
        return affected_source(self.home, declared, silent=lambda: silent, now_ns=lambda: now * 10**9, tail=tail)

    def write(self, made, erased=()):
        """All records of these exchanges (name: spec), slot by slot in the order of time."""
        every = sorted(
            (record for name, spec in made.items() for record in records(name, spec)), key=lambda record: record[0]
        )
        gone = sorted(erased)
        for at, name, kind, facts in every:
            while gone and gone[0][0] <= at:
                self.erase(gone.pop(0)[1])
            spec = made[name]
            writer = self.slot(spec.slot)
            if spec.lost_key and spec.subject is not None and spec.subject not in writer.keys:
                writer.new_key(spec.subject, cell=False)
            alone = kind == "outcome" and facts["outcome"] == "unknown"
            writer.write(kind, name, at, None if alone else spec.subject, facts=facts)

    def erase(self, subject):
        """As erasing does: the cells of the shopper's keys are blanked, and a record says which they were."""
        keys = [writer.keys.pop(subject).id for writer in self.writers.values() if subject in writer.keys]
        if not keys:
            return
        for writer in self.writers.values():
            if writer.cells.exists():
                data = bytearray(writer.cells.read_bytes())
                for start in range(0, len(data), CELL_BYTES):
                    cell = decode_cell(bytes(data[start : start + CELL_BYTES]))
                    if cell is not None and cell.lookup == lookup(subject):
                        data[start : start + CELL_BYTES] = bytes(CELL_BYTES)
                writer.cells.write_bytes(data)
        next(iter(self.writers.values())).write("erasure", "", facts={"keys": keys})

    def publish(self, slot):
        """A published log that covers all records of the slot: its checkpoint is what counts here."""
        folder = self.home.logs / slot
        folder.mkdir(parents=True, exist_ok=True)
        origin = f"firedoor.test/eu/host/{slot}"
        size = self.writers[slot].scribe.seq
        note = sign(Checkpoint(origin, size, bytes(range(32))), log_signers(origin, NoteSeeds(bytes(32), bytes(32))), 1)
        (folder / "checkpoint").write_bytes(note)

    def cut(self, slot, records):
        """Take the last records of a slot away, as a restored copy of the disk does."""
        (path,) = (self.journals / slot).glob("*.journal")
        ends = frame_ends(path)
        left = max(0, len(ends) - records)
        path.write_bytes(path.read_bytes()[: ends[left - 1] if left else 19])
        return len(ends) - left

    def lose(self, slot):
        """Remove the slot's journal."""
        shutil.rmtree(self.journals / slot)

    def close(self):
        for writer in self.writers.values():
            writer.close()


def frame_ends(path):
    """Where each frame of a segment ends."""
    data, offset, ends = path.read_bytes(), 19, []
    while offset < len(data):
        offset += 12 + (int.from_bytes(data[offset : offset + 4], "little") & ((1 << 31) - 1))
        ends.append(offset)
    return ends


class Truth:
    """The true figures of those of `made` that are in question."""

    def __init__(self, made, *, scopes=None, since=START, until=END, named=()):
        chosen = {
            name: spec
            for name, spec in made.items()
            if name in named
            or (
                (
                    scopes is None
                    or any(s in (f"eu/{spec.shop}/{spec.surface}/*", f"eu/{spec.shop}/*/*") for s in scopes)
                )
                and (until is None or spec.began < until)
                and spec.ended >= since
            )
        }
        self.of = list(chosen.values())
        self.leaked = [spec for name, spec in chosen.items() if spec.leaked or name in named]

    def figures(self):
        """Name to number, flat."""
        found = {
            "exchanges": len(self.of),
            "exposed": sum(spec.exposed for spec in self.of),
            "confirmed": len(self.leaked),
            "subjects": self.people(self.of),
            "exposed_subjects": self.people(spec for spec in self.of if spec.exposed),
        }
        for label in LABELS:
            has = [spec for spec in self.of if label in data_of(spec)]
            found[f"categories {label}"] = len(has)
            found[f"subjects_by_category {label}"] = self.people(has)
        for country in ("DE", "FR"):
            found[f"jurisdictions {country}"] = self.people(s for s in self.of if (s.country or s.really_in) == country)
        for shop in SHOPS:
            found[f"credentials c-{shop}"] = sum(spec.exposed for spec in self.of if spec.shop == shop)
        found["models eu-chat"] = len(self.of)
        return found

    @staticmethod
    def people(some):
        return len({spec.person for spec in some} - {None})


def data_of(spec):
    """The kinds of personal data that its records tell."""
    return spec.labels | (spec.restored if spec.ending not in (None, "unknown") else frozenset())


def ranges(affected):
    """The same names as `Truth.figures`, to (least, most)."""
    found = {
        name: getattr(affected, name) for name in ("exchanges", "exposed", "confirmed", "subjects", "exposed_subjects")
    }
    for kind in ("jurisdictions", "categories", "subjects_by_category"):
        found |= {f"{kind} {name}": value for name, value in getattr(affected, kind).items()}
    for kind, values in affected.recipients.items():
        found |= {f"{kind} {name}": value for name, value in values.items()}
    return {name: (value.least, value.most) for name, value in found.items()}
