"""What `firedoor bench pii` measures: our own tiers, and Presidio where somebody has installed it.

As a program: load one of them in a fresh process, use it once, and print what that took.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
from msgspec import Struct

from firedoor.bench.pii_score import Spans
from firedoor.core.detect.pipeline import Pipeline
from firedoor.core.detect.rules.tier import Rules
from firedoor.core.detect.spans import Detector
from firedoor.models.deep import load_deep
from firedoor.models.shipped import Weights

Find = Callable[[str], Spans]


def _model() -> Detector:
    weights = Weights()
    return weights.classifier(weights.embedder())


TIERS: dict[str, Callable[[], Detector]] = {"rule": Rules, "model": _model, "deep": load_deep}
"""The tiers that depend on the text alone, and how each is made."""

PEER = "presidio"
_PEER_MODELS = ("en_core_web_lg", "en_core_web_md", "en_core_web_sm")
_PEER_SCORE = 0.35
"""The score from which Presidio's own demonstration shows a finding; its bare default of 0 masks most numbers."""
_PEER_NEUTRAL = frozenset({"DATE_TIME", "NRP", "ORGANIZATION"})
_WARM_UP = "Hello, I am Nora Field from Leeds, nora.field@example.com, +44 20 7946 0958. Where is order 100482?"


class Cost(Struct, frozen=True):
    """What a tool takes in a process of its own: seconds until its first answer, resident memory after it."""

    load_seconds: float
    rss_mib: float


class Peer(NamedTuple):
    """Somebody else's tool, as it is installed here."""

    name: str
    find: Find


def ours(tiers: Sequence[str]) -> Find:
    """The named tiers together. Raises `SetupError` if weights are damaged or not installed."""
    pipeline = Pipeline([TIERS[tier]() for tier in tiers])
    return lambda text: [(span.start, span.end, span.label) for span in pipeline.find(text)]


def peer() -> Peer | None:
    """Presidio for English: all recognisers with a spaCy model, its patterns alone without; None without Presidio."""
    if importlib.util.find_spec("presidio_analyzer") is None:
        return None
    presidio: Any = importlib.import_module("presidio_analyzer")
    model = next((name for name in _PEER_MODELS if importlib.util.find_spec(name)), None)
    analyze = _patterns(presidio) if model is None else _engine(presidio, model)

    def find(text: str) -> Spans:
        return [
            (found.start, found.end, found.entity_type)
            for found in analyze(text)
            if found.score >= _PEER_SCORE and found.entity_type not in _PEER_NEUTRAL
        ]

    return Peer(f"{PEER} {model or '(patterns alone)'}", find)


def _engine(presidio: Any, model: str) -> Callable[[str], Any]:
    engines: Any = importlib.import_module("presidio_analyzer.nlp_engine")
    settings = {"nlp_engine_name": "spacy", "models": [{"lang_code": "en", "model_name": model}]}
    nlp = engines.NlpEngineProvider(nlp_configuration=settings).create_engine()
    analyzer = presidio.AnalyzerEngine(nlp_engine=nlp, supported_languages=["en"])
    return lambda text: analyzer.analyze(text=text, language="en")


def _patterns(presidio: Any) -> Callable[[str], Any]:
    registry = presidio.RecognizerRegistry()
    registry.load_predefined_recognizers(languages=["en"])
    recognisers = [r for r in registry.recognizers if isinstance(r, presidio.PatternRecognizer)]
    return lambda text: [
        found for r in recognisers for found in r.analyze(text=text, entities=r.supported_entities, nlp_artifacts=None)
    ]


def _resident_mib() -> float:
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmRSS:")[2].split()[0]) / 1024


def main() -> None:
    """Print the `Cost` of the tiers named, or of the peer, as JSON."""
    begun = time.perf_counter()
    other = peer() if sys.argv[1:] == [PEER] else None
    find = other.find if other is not None else ours(sys.argv[1:])
    find(_WARM_UP)
    cost = Cost(time.perf_counter() - begun, _resident_mib())
    sys.stdout.write(msgspec.json.encode(cost).decode() + "\n")


if __name__ == "__main__":
    main()
