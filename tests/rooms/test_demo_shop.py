"""The demonstration's shop: it never sells what it has not, and sells when everything AI is dead."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path

import pytest

from firedoor.client import ShopClient, SurfaceFallback
from firedoor.core.plan.model import Rule, RulesFallback
from firedoor.core.rules import Decision
from firedoor.demo.shop import Customer, DemoShop
from firedoor.errors import CallerError, SetupError
from firedoor.store.catalog import Product, read_products

BUYER = Customer(id="c-1", bill_country="DE", ship_country="DE", account_age_days=400)
TENT, MUG = "T-1", "M-1"
RULES = RulesFallback(
    rules=(
        Rule(field="amount", op="gt", value=1500, points=45, reason="high_amount"),
        Rule(field="ship_country", op="differs_from", value="bill_country", points=60, reason="countries_differ"),
    ),
    review=45,
    block=100,
)


def says(decision):
    return lambda transaction: Decision(decision, 1.0, ("because",), "model", "x-9")


@pytest.fixture
def shop(tmp_path):
    shop = DemoShop(tmp_path / "shop.sqlite")
    shop.stock_up(
        [
            Product(sku=TENT, type="simple", name="Tent", price=329.0, currency="EUR", stock=20),
            Product(sku=MUG, type="simple", name="Mug", price=9.95, currency="EUR", stock=5),
            Product(sku="USD-1", type="simple", name="Card", price=1, currency="USD", stock=5),
            Product(sku="P-1", type="configurable", name="Parent", price=1, currency="EUR"),
        ]
    )
    return shop


@pytest.mark.parametrize(
    ("decision", "status", "left", "in_cart"),
    [("allow", "placed", 18, False), ("review", "held", 18, False), ("block", "refused", 20, True)],
)
def test_the_decision_settles_the_order(shop, decision, status, left, in_cart):
    shop.add_to_cart("k", TENT, 2)
    shop.add_to_cart("k", MUG)
    order = shop.checkout("k", BUYER, says(decision))
    assert (order.status, order.cents, order.currency) == (status, 66_795, "EUR")
    assert (order.decision.reasons, order.decision.exchange) == (("because",), "x-9")
    assert shop.stock(TENT) == left
    assert shop.orders() == [order]
    if in_cart:
        assert shop.checkout("k", BUYER, says("allow")).status == "placed"
    else:
        with pytest.raises(CallerError, match="nothing in this cart"):
            shop.checkout("k", BUYER, says("allow"))


def test_what_scoring_is_told(shop):
    told = []
    shop.add_to_cart("k", MUG, 3)
    shop.checkout("k", BUYER, lambda transaction: told.append(transaction) or says("allow")(transaction))
    assert told == [
        {
            "amount": 29.85,
            "currency": "EUR",
            "items": 3,
            "bill_country": "DE",
            "ship_country": "DE",
            "account_age_days": 400,
            "attempts": 1,
        }
    ]


def test_a_sold_out_article_undoes_the_whole_order(shop):
    shop.add_to_cart("k", TENT, 2)
    shop.add_to_cart("k", MUG, 6)
    with pytest.raises(CallerError) as caught:
        shop.checkout("k", BUYER, says("allow"))
    assert caught.value.code == "out_of_stock"
    assert (shop.stock(TENT), shop.stock(MUG), shop.orders()) == (20, 5, [])


def test_a_cart_changed_while_deciding_is_not_sold(shop):
    shop.add_to_cart("k", MUG)

    def slow(transaction):
        shop.add_to_cart("k", TENT, 5)
        return says("allow")(transaction)

    with pytest.raises(CallerError) as caught:
        shop.checkout("k", BUYER, slow)
    assert (caught.value.code, shop.orders()) == ("cart_changed", [])


def test_a_cart_is_sold_once_however_often_it_is_sent(shop):
    shop.add_to_cart("k", MUG, 2)

    def buy(_):
        try:
            return shop.checkout("k", BUYER, says("allow")).status
        except CallerError as error:
            return error.code

    with ThreadPoolExecutor(6) as pool:
        came = list(pool.map(buy, range(6)))
    assert came.count("placed") == 1
    assert set(came) <= {"placed", "cart_changed", "empty_cart"}
    assert shop.stock(MUG) == 3


def test_many_threads_never_sell_more_than_there_is(shop):
    def buy(number):
        cart = f"k{number}"
        shop.add_to_cart(cart, TENT)
        try:
            return shop.checkout(cart, BUYER, says("allow")).status
        except CallerError as error:
            return error.code

    with ThreadPoolExecutor(8) as pool:
        came = list(pool.map(buy, range(32)))
    assert (came.count("placed"), came.count("out_of_stock")) == (20, 12)
    assert shop.stock(TENT) == 0
    assert sum(line.quantity for order in shop.orders() for line in order.lines) == 20


@pytest.mark.parametrize(
    ("sku", "quantity", "code"),
    [
        ("P-1", 1, "unknown_article"),
        ("USD-1", 1, "other_currency"),
        (MUG, 0, "too_many"),
        (MUG, -1, "too_many"),
        (MUG, 100, "too_many"),
    ],
)
def test_what_does_not_go_into_a_cart(shop, sku, quantity, code):
    shop.add_to_cart("k", MUG)
    with pytest.raises(CallerError) as caught:
        shop.add_to_cart("k", sku, quantity)
    assert caught.value.code == code


def test_checkout_goes_on_when_no_gateway_answers(shop):
    surface = SurfaceFallback(surface="fraud_scoring", model="m", deadline=5, fallback=RULES)
    abroad = Customer(id="c-2", bill_country="DE", ship_country="US", account_age_days=1)
    with ShopClient("http://127.0.0.1:9/v1", "fd_x", surface=surface) as client:
        came = []
        for cart, quantity, buyer in (("a", 1, BUYER), ("b", 1, abroad), ("c", 10, abroad)):
            shop.add_to_cart(cart, TENT, quantity)
            came.append(shop.checkout(cart, buyer, client.decide))
    assert [order.status for order in came] == ["placed", "held", "refused"]
    assert {order.decision.by for order in came} == {"local-rules"}


def test_the_sample_catalogue_fills_the_shop(tmp_path):
    shop = DemoShop(tmp_path / "shop.sqlite")
    products = list(read_products(Path(str(files("firedoor") / "data" / "sample-catalog.jsonl"))))
    sellable = [product for product in products if product.type == "simple"]
    assert shop.stock_up(products) == len(sellable)
    assert shop.stock("AL-4001-FERN") > 0
    again = DemoShop(tmp_path / "shop.sqlite")
    assert again.stock("AL-4001-FERN") == shop.stock("AL-4001-FERN")


def test_a_file_that_is_no_database_is_named(tmp_path):
    (tmp_path / "shop.sqlite").write_bytes(b"this is not a database" * 100)
    with pytest.raises(SetupError, match="cannot be the shop"):
        DemoShop(tmp_path / "shop.sqlite")
