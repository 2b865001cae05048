"""The shipped classifier: bounded and steady for any text, and damage to its files is told."""

from __future__ import annotations

import itertools
import json
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from firedoor.core.detect.classifier import MAX_VECTORS, Classifier
from firedoor.core.plan.model import LABELS
from firedoor.errors import SetupError
from firedoor.models import files
from firedoor.models.shipped import Weights

texts = st.text(max_size=300) | st.lists(
    st.sampled_from(
        ["my name is", "Anna", "Kowalska", "\n", "12345", "@", "Berlin", "\u200b", "\ud800", "🙂", "\u202e"]
    ),
    max_size=60,
).map(" ".join)


@pytest.fixture(scope="module")
def weights() -> Weights:
    return Weights()


@pytest.fixture(scope="module")
def classifier(weights: Weights) -> Classifier:
    return weights.classifier(weights.embedder())


@given(texts)
@settings(max_examples=150)
def test_spans_are_ordered_apart_and_of_the_plans_labels(text: str) -> None:
    found = _SHARED.find(text)
    assert found == sorted(found)
    assert all(left.end <= right.start for left, right in itertools.pairwise(found))
    for span in found:
        assert 0 <= span.start < span.end <= len(text)
        assert span.label in LABELS
        assert span.tier == "model"
        assert 0 <= span.score <= 1
        assert any(map(str.isalnum, text[span.start : span.end]))


@given(texts)
@settings(max_examples=50)
def test_the_same_text_gives_the_same_spans(text: str) -> None:
    assert _SHARED.find(text) == _SHARED.find(text)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hi, my name is Pauline Webster and my parcel is late.", "Pauline Webster"),
        ("hi im jonas keller, wo bleibt mein paket", "jonas keller"),
        ("Bonjour, je m'appelle Amélie Rousseau.", "Amélie Rousseau"),
        ("Hola, soy Begoña Serrano, no ha llegado mi pedido.", "Begoña Serrano"),
        ("Buongiorno, sono Ludovica Ferrante.", "Ludovica Ferrante"),
        ("Mijn naam is Sjoerd Hofman.", "Sjoerd Hofman"),
        ("Dzień dobry, nazywam się Zofia Wrzesińska.", "Zofia Wrzesińska"),
    ],
)
def test_a_name_is_found_in_every_language(classifier: Classifier, text: str, name: str) -> None:
    covered = "".join(text[s.start : s.end] + " " for s in classifier.find(text) if s.label == "PERSON")
    assert covered.strip() == name


def test_a_question_about_products_is_nobodys(classifier: Classifier) -> None:
    for text in (
        "Do you have waterproof hiking boots in size 43?",
        "Ist die Kaffeemaschine auch in Schwarz verfügbar?",
        "What is the difference between the Pro 2 and the Max 3?",
    ):
        assert classifier.find(text) == []


def test_a_long_text_is_read_in_windows_and_nothing_is_lost_between_them(classifier: Classifier) -> None:
    filler = "the parcel has not arrived yet and nobody answers the phone . " * 60
    text = (filler + "My name is Pauline Webster. ") * 3
    found = [text[s.start : s.end] for s in classifier.find(text) if s.label == "PERSON"]
    assert found.count("Pauline Webster") == 3


def test_a_higher_threshold_finds_no_more(weights: Weights) -> None:
    text = "anna came by and asked for the one from Paris, maybe call 0170 and ask Jo"
    low = weights.classifier(weights.embedder(), dict.fromkeys(LABELS, 0.05)).find(text)
    high = weights.classifier(weights.embedder(), dict.fromkeys(LABELS, 0.95)).find(text)
    covered = {i for s in low for i in range(s.start, s.end)}
    assert {i for s in high for i in range(s.start, s.end)} <= covered
    assert len(covered) > sum(s.end - s.start for s in high)


def test_the_memory_of_words_is_bounded(weights: Weights) -> None:
    embedder = weights.embedder()
    for start in range(0, 3 * MAX_VECTORS, 5000):
        embedder.vectors([f"w{n}" for n in range(start, start + 5000)])
    assert len(embedder._places) <= MAX_VECTORS


def test_a_vector_is_the_same_before_and_after_it_was_forgotten(weights: Weights) -> None:
    embedder = weights.embedder()
    before = embedder.vectors([" Anna", "!"]).copy()
    embedder._places.clear()
    assert (embedder.vectors(["x", " Anna", "!"])[1:] == before).all()


@pytest.mark.parametrize("name", ["personal-data.npz", "personal-data.onnx", "names.bin", "personal-data.json"])
def test_damaged_weights_are_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in ("personal-data.npz", "personal-data.onnx", "names.bin", "personal-data.json"):
        data = resources.files("firedoor.data").joinpath(file).read_bytes()
        (tmp_path / file).write_bytes(data[:-9] + b"damage..." if file == name else data)
    monkeypatch.setattr(files.resources, "files", lambda _: tmp_path)
    with pytest.raises(SetupError, match="damaged"):
        Weights()


def test_weights_of_other_features_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    card = json.loads(resources.files("firedoor.data").joinpath("personal-data.json").read_bytes())
    (tmp_path / "personal-data.json").write_text(json.dumps({**card, "features": card["features"] + 1}))
    monkeypatch.setattr(files.resources, "files", lambda _: tmp_path)
    with pytest.raises(SetupError, match="features"):
        Weights()


_WEIGHTS = Weights()
_SHARED = _WEIGHTS.classifier(_WEIGHTS.embedder())
