"""The searches of a worker: shared where they are the same, and blind, not lenient, where detectors are missing."""

import msgspec
import pytest
from tests.cli.home import PLAN

from firedoor.app.prepare import prepare_files
from firedoor.app.searches import SharedSearches
from firedoor.config import Home
from firedoor.core.plan.model import PersonalDataRules
from firedoor.errors import SetupError
from firedoor.models import installed
from firedoor.store.catalog import FtsCatalog
from firedoor.store.planfile import load

PRODUCT = '{"sku": "1", "type": "simple", "name": "Bluza Zimowa", "price": 1, "currency": "EUR"}\n'
TEXT = "I am Nora Field, nora.field@example.com"


@pytest.fixture
def searches():
    made = SharedSearches(lambda shop: ["Nora Field Jacket"] if shop == "outdoor" else [])
    yield made
    made.close()


def labels(found):
    return [span.label for span in found]


def test_surfaces_that_look_for_the_same_share_their_search(searches):
    assert searches.of("other", PersonalDataRules()) is searches.of("other", PersonalDataRules())
    assert searches.of("other", PersonalDataRules()) is not searches.of("outdoor", PersonalDataRules())
    assert searches.of("other", PersonalDataRules()) is not searches.of("other", PersonalDataRules(answer_names=True))


def test_products_of_the_shop_are_nobody(searches):
    assert labels(searches.of("other", PersonalDataRules()).find(TEXT)) == ["PERSON", "EMAIL"]
    assert labels(searches.of("outdoor", PersonalDataRules()).find(TEXT)) == ["EMAIL"]


def test_a_detector_that_is_missing_finds_nothing_and_says_so_each_time(searches, monkeypatch):
    monkeypatch.setattr(installed, "DISTRIBUTION", "no-such-distribution")
    deep = searches.of("other", PersonalDataRules(deep="always"))
    for find in (deep.find, deep.find_beside, deep.rules, deep.find):
        with pytest.raises(SetupError, match="not installed"):
            find(TEXT)
    assert labels(searches.of("other", PersonalDataRules()).find(TEXT)) == ["PERSON", "EMAIL"]


@pytest.fixture
def plan(tmp_path):
    """A plan whose shops have catalogues that no fallback answers from."""
    (tmp_path / "plan.yaml").write_text(PLAN)
    loaded = load(tmp_path / "plan.yaml")
    shops = {name: msgspec.structs.replace(shop, catalog="c.jsonl") for name, shop in loaded.plan.shops.items()}
    return msgspec.structs.replace(loaded, plan=msgspec.structs.replace(loaded.plan, shops=shops))


def test_names_of_products_need_no_fallback_that_searches(plan, tmp_path):
    (tmp_path / "c.jsonl").write_text(PRODUCT)
    place = Home(tmp_path).region("eu")
    prepare_files(place, plan, tmp_path)
    for shop in plan.plan.shops:
        assert FtsCatalog(place.catalog(shop)).names() == ["Bluza Zimowa"]


@pytest.mark.parametrize("content", [None, "no JSON\n"])
def test_a_catalogue_that_no_fallback_needs_stops_nobody(plan, tmp_path, content):
    if content is not None:
        (tmp_path / "c.jsonl").write_text(content)
    place = Home(tmp_path).region("eu")
    prepare_files(place, plan, tmp_path)
    assert not any(place.catalog(shop).exists() for shop in plan.plan.shops)
