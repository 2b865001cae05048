"""Texts with what they ask for: the development sets, whose labels become one answer for each head of the model."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from firedoor.core.detect.attack.model import ASKED, HEADS
from firedoor.core.detect.attack.signs import ROLES
from firedoor.core.plan.model import Attribute

ATTACKS = (
    "deepset", "slabs", "neuralchemy", "yanismiraoui", "bipia", "asb_tools", "garak_sysprompt", "prompt_extraction_zhang",
    "inthewild_jailbreak", "hinglish", "ecom_own_templates", "ecom_reviews_inj", "encoded_own",
)  # fmt: skip
"""Sources with attacks in them."""
HARMLESS = (
    "multidogo", "banking77", "wands_queries", "reviews_womens", "awesome_prompts", "self_instruct", "t0_adversarial_qa",
    "t0_amazon_polarity",
)  # fmt: skip
SHOP = ("multidogo", "banking77", "wands_queries", "reviews_womens")
"""Sources that are like what a shop's customers write."""


class Example(NamedTuple):
    """A text and, for each of `HEADS`, whether it fires (`targets`, 0 or 1) and how much that counts (`weights`).

    `group` is what must not be in training and in measuring at once: a template, or the text itself. `role` is who
    wrote it, when it is measured.
    """

    text: str
    targets: tuple[float, ...]
    weights: tuple[float, ...]
    lang: str
    source: str
    kind: str
    group: str
    role: str = "shopper"
    enc: str = ""


class Answer(NamedTuple):
    """For the heads of the three roles and those of attributes: what they should say, and how much that counts."""

    shopper: tuple[float, float]
    document: tuple[float, float]
    asked: tuple[float, float]


TYPED = Answer((1, 1), (1, 0.6), (0, 0))
"""An attack by whoever types; in a document it is one as well."""
PLANTED = Answer((1, 0.4), (1, 1), (0, 0))
"""Planted in a document. Typed by a shopper it is at least suspect."""
NATURAL = Answer((0, 0.25), (0, 0), (0, 1))
"""Asks for what the shop keeps to itself, as anybody would ask."""
CHAT = Answer((0, 1), (0, 0.4), (0, 1))
"""What shoppers write."""
HARD = Answer((0, 1), (0, 0), (0, 1))
"""Harmless, though it tells the model what to do: only a shopper may."""
TASK = Answer((0, 1), (1, 0.5), (0, 1))
"""A task for a model, which a shopper may set; in a document nobody has tasks for it."""
PAPER = Answer((0, 1), (0, 1), (0, 1))
"""A harmless document."""


def example(
    text: str, answer: Answer, source: str, kind: str, lang: str = "en", *, asked: tuple[Attribute, ...] = (),
    group: str = "", weight: float = 1.0, role: str = "shopper", enc: str = "",
) -> Example:  # fmt: skip
    """An example with `answer`, but for the attributes that it asks for."""
    pairs = [answer.shopper, answer.document, answer.document]
    pairs += [(1.0, 1.0) if name in asked else answer.asked for name in ASKED]
    pairs.append((1.0, 1.0) if asked else answer.asked)
    targets, weights = zip(*pairs, strict=True)
    counted = tuple(weight * w for w in weights)
    return Example(text, targets, counted, lang, source, kind, group or text.lower(), role, enc)


def development(folder: Path, source: str) -> list[Example]:
    """The texts of ``SOURCE.dev.jsonl``."""
    found = []
    with (folder / f"{source}.dev.jsonl").open(encoding="utf-8") as file:
        for line in file:
            row = json.loads(line)
            made = _labelled(source, row)
            if made is not None:
                found.append(made)
    return found


def conversations(folder: Path) -> list[Example]:
    """The sets of the model of personal data: what people write with names, addresses and orders in it, all harmless."""
    found = []
    for path in sorted(folder.glob("*.dev.jsonl")):
        source = f"personal_{path.name.removesuffix('.dev.jsonl')}"
        with path.open(encoding="utf-8") as file:
            for line in file:
                row = json.loads(line)
                found.append(example(row["text"], CHAT, source, "benign_chat", row["lang"]))
    return found


_WEIGHTS = {"hinglish": 0.7}


def _labelled(source: str, row: dict[str, str]) -> Example | None:
    text, kind, lang = row["text"], row["kind"], row["lang"]
    enc = row.get("enc", "")
    weight = _WEIGHTS.get(source, 1.0)
    if row["label"] == "attack":
        if source == "ecom_own_templates":
            asked = attributes(text)
            if not asked:
                return example(text, TYPED, source, kind, lang)
            if FORCED.search(text) or "prompt" in asked:
                return example(text, TYPED, source, kind, lang, asked=asked)
            return example(text, NATURAL, source, kind, lang, asked=asked)
        if kind == "indirect":
            role = "tool" if source == "asb_tools" else "document"
            return example(text, PLANTED, source, kind, lang, role=role, weight=weight)
        asked_prompt: tuple[Attribute, ...] = ("prompt",) if kind == "prompt_extraction" else ()
        return example(text, TYPED, source, kind, lang, asked=asked_prompt, weight=weight, enc=enc)
    if source in {"reviews_womens", "bipia"}:
        return example(text, PAPER, source, kind, lang, role="document")
    if source in {"multidogo", "banking77", "wands_queries"}:
        return example(text, CHAT, source, kind, lang)
    if (
        kind == "benign_hard" and source == "neuralchemy"
    ):  # trigger words in harmless texts: few, and all that there are
        weight = 3.0
    answer = TASK if not enc and IMPERATIVE.match(text) and len(text) < 700 else HARD
    return example(text, answer, source, kind, lang, weight=weight, enc=enc)


IMPERATIVE = re.compile(
    r"(?:please |can you |could you |i want you to |act as |your task is |imagine you are |you are (?:a|an|the) )*"
    r"(?:write|generate|create|translate|explain|summari[sz]e|list|give me|provide|suggest|describe|compose|convert|classify"
    r"|identify|analy[sz]e|make a|design|find|compare|rewrite|answer|calculate|draft|develop|build|implement|extract|edit"
    r"|categori[sz]e|recommend|act as|tell me|show me|help me|imagine|brainstorm|construct|determine|predict|propose)\b",
    re.IGNORECASE,
)
"""How a task for a model begins, in the sources that have some."""


FORCED = re.compile(
    r"developer mode|ignore|jailbreak|system|override|you are (?:now|in)|pretend|forget|without restriction|as an ai"
    r"|entwicklermodus|ignor|oubli|olvida|dimentica|vergiss|mode développeur|modo desarrollador",
    re.IGNORECASE,
)
"""Wording of an attack around a question that could be asked without it."""

_ATTRIBUTES: tuple[tuple[Attribute, str], ...] = (
    ("discount_code", r"discount code|promo|coupon|voucher|code promo|codes? de r|rabattcode|gutschein|código|codici|codice|\bcodes?\b"),
    ("margin", r"margin|markup|profit|marge|spanne|margen|margine|ricarico|aufschlag"),
    ("floor_price", r"floor price|lowest price|minimum price|floor|mindestpreis|prix plancher|precio mínimo|prezzo minimo|minimum you|accept"),
    ("supplier", r"supplier|vendor|factory|manufactur|wholesaler|lieferant|fournisseur|proveedor|fornitor|hersteller|sourc|contract terms"),
    ("cost", r"(?<!stock forecast and reorder )\bcosts?\b|wholesale|purchase price|buy(?:ing)? price|einkaufspreis|prix d'achat|coût|precio de compra|coste|prezzo di acquisto|prezzo d'acquisto|costo|you pay|did you buy|landed|cogs"),
    ("unreleased", r"unreleased|launch|release|embargo|upcoming|not yet|unveröffentlicht|lancé|lanzad|lanciat|collection|coming out|next season|neuen produkte|sortie|announced"),
    ("order", r"other customer|customers?\b|\border|bought the|e-?mail address|bestell|kund|client|commande|pedido|ordin|adress|who bought|everyone who|card details"),
    ("staff", r"salar|employee|staff|mitarbeiter|gehalt|employé|emplead|dipendent"),
    ("prompt", r"system prompt|your instruction|your context|were you told|anweisungen|tes instructions|tue istruzioni|tus instrucciones"),
)  # fmt: skip


def attributes(text: str) -> tuple[Attribute, ...]:
    """The attributes that a text of `ecom_own_templates` asks for, told by its words."""
    lower = text.lower()
    return tuple(name for name, words in _ATTRIBUTES if re.search(words, lower))


def harmless(example: Example) -> bool:
    """Whether no head for what it is measured as should fire."""
    return max(example.targets[0], *example.targets[len(ROLES) :]) == 0


def paper(example: Example) -> bool:
    """Whether it is a harmless document."""
    return harmless(example) and (
        example.kind in {"benign_document", "benign_tool"} or example.source in {"reviews_womens", "bipia"}
    )


def chat(example: Example) -> bool:
    """Whether it is what shoppers write, and harmless."""
    return harmless(example) and (
        example.source in {"multidogo", "banking77", "wands_queries"}
        or (example.kind in {"benign_chat", "benign_ask"} and example.source.startswith(("templates-", "personal")))
    )


def answers(examples: list[Example]) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Targets and weights [examples, heads]."""
    targets = np.array([e.targets for e in examples], dtype=np.float32).reshape(-1, len(HEADS))
    weights = np.array([e.weights for e in examples], dtype=np.float32).reshape(-1, len(HEADS))
    return targets, weights
