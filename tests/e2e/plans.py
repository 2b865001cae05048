"""The plan that the end-to-end tests run, as a document."""

import shutil
from importlib.resources import files

PEOPLE = {
    "ana": ("incident_commander", "platform_engineer"),
    "ben": ("dpo", "legal", "communications"),
    "cem": ("soc_analyst", "ai_engineer"),
}
RULES = {
    "kind": "rules",
    "rules": [
        {"field": "amount", "op": "gt", "value": 1000, "points": 40, "reason": "high_amount"},
        {"field": "amount", "op": "missing", "points": 60, "reason": "no_amount"},
    ],
    "review": 40,
    "block": 90,
}
MESSAGE = {
    "kind": "message",
    "text": {"en": "Our team will answer you by mail.", "de": "Unser Team antwortet Ihnen per E-Mail."},
}
UNREAD = {"attack": "off", "indirect": "off", "asked": "off", "context": "pass", "sessions": "off"}
"""Prompts of surfaces whose tests are about something else: the model is asked whatever comes."""
NEVER_TRIPS = {"failures": 1000, "share": 1}
"""The breaker of model instances that fail in test after test."""
SEARCH = {"kind": "search", "text": {"en": "You may like:"}, "empty": {"en": "Nothing found."}}


def plan(people, ports, *, engine="scripted", workers=1, deadline="4s"):
    models = {}
    for region in ports:
        models[f"{region}-chat"] = {
            "region": region,
            "engine": engine,
            "name": "small",
            "serves": ["chat", "embeddings"],
            "breaker": NEVER_TRIPS,
        }
        if engine == "scripted":
            models[f"{region}-chat"]["script"] = "leaky.yaml"
    served = {region: f"{region}-chat" for region in ports}
    # The words in capitals that make the scripted model do something look like names to the classifier.
    words = {"not_personal": ["SHORT", *(rule["name"] for rule in script("")["rules"])]}

    def surface(fallback, **more):
        settled = {"models": served, "deadline": deadline, "protect": ["supplier_prices"], "personal_data": words}
        settled["prompts"] = UNREAD
        return {**settled, "fallback": fallback, **more}

    return {
        "firedoor": 1,
        "name": "tests",
        "people": {
            name: {"name": f"{name.title()} Example", "roles": list(roles), "key": key}
            for name, (roles, key) in people.items()
        },
        "regions": {
            "eu": {
                "jurisdictions": ["EU", "CH"],
                "address": f"http://127.0.0.1:{ports['eu']}",
                "listen": f"127.0.0.1:{ports['eu']}",
                "workers": workers,
            },
            "us": {
                "jurisdictions": ["US"],
                "address": f"http://127.0.0.1:{ports['us']}",
                "listen": f"127.0.0.1:{ports['us']}",
            },
        },
        "models": models,
        "shops": {
            "alpenladen": {
                "platform": "other",
                "home": "DE",
                "sells_to": ["DE", "FR", "US"],
                "catalog": "catalog.jsonl",
            }
        },
        "surfaces": {
            "support": surface(MESSAGE, embeddings=served),
            "account_chat": surface(MESSAGE),
            "product_discovery": surface(SEARCH),
            "recommendations": surface({"kind": "refuse"}),
            "fraud_scoring": surface(RULES, deadline="3s"),
            "payment_validation": surface(RULES, deadline="3s"),
        },
        "protected": {"supplier_prices": {"description": "What we pay our suppliers"}},
    }


SETS = {"codes": "staff", "contracts": "supplier", "costs": "cost", "orders": "order"}
"""Protected sets of the guarded plan, with what they tell."""
ANSWERS = {
    "recorded": {"leak": "record", "doubtful": "record", "secrets": "record"},
    "masked": {"leak": "mask", "doubtful": "mask", "secrets": "mask"},
    "cut": {"leak": "cut"},
    "fallen": {"leak": "fallback", "doubtful": "fallback", "secrets": "fallback"},
    "shut": {},
    "bystander": {"leak": "cut"},
    "prompted": {"leak": "cut", "system_prompt": "cut"},
    "buying": {"leak": "cut"},
    "own_cache": {"leak": "cut"},
    "shared_cache": {"leak": "cut"},
    "raw": {"leak": "cut"},
    "soft": {"leak": "cut"},
    "small": {"leak": "cut"},
}
"""What becomes of leaks, by surface of the guarded plan."""


def guarded(document, urls, *, embedded=False):
    """`document` with one region, and a surface for everything that may become of a leak.

    `urls` are those of model servers: of `chat`, and of those that have a surface of their own name.
    """
    document["regions"] = {"eu": document["regions"]["eu"]}
    document["models"] = {
        f"eu-{name}": {"region": "eu", "engine": "openai", "name": "small", "url": url} for name, url in urls.items()
    }
    if embedded:
        document["models"]["eu-small"] = {
            "region": "eu", "engine": "embedded", "name": "small", "context": 2048, "slots": 1,
        }  # fmt: skip
    shop = document["shops"]["alpenladen"]
    document["shops"] = {"alpenladen": {**shop, "sells_to": ["DE", "FR"]}}
    document["protected"] = {
        name: {"description": f"What is in {name}", "attribute": attribute} for name, attribute in SETS.items()
    }
    document["grants"] = {
        "buyer": {"receives": ["costs"], "surfaces": ["buying", "own_cache"]},
        "lawyer": {"receives": ["contracts", "costs"]},
    }
    document["surfaces"] = {
        name: {
            "models": {"eu": f"eu-{name}" if f"eu-{name}" in document["models"] else "eu-chat"},
            "deadline": "8s",  # other tests may want the processor, too
            "fallback": MESSAGE,
            "protect": [*SETS],
            "personal_data": {"default": "pass", "answers": "pass"},
            "answers": rules,
            "prompts": UNREAD,
        }
        for name, rules in ANSWERS.items()
    }
    document["surfaces"]["own_cache"]["cache"] = {"scope": "subject"}
    document["surfaces"]["shared_cache"]["cache"] = {"scope": "surface"}
    return document


def script(secret):
    slow = {"characters": 4, "delay_ms": 20}

    def rule(word, **answer):
        return {"name": word, "when": {"contains": word}, "answer": answer}

    return {
        "model": "small",
        "rules": [
            rule(
                "LEAK",
                text="Well, between us: {leak} is what we pay.",
                leak=secret,
                pace={"characters": 3, "delay_ms": 5},
            ),
            rule("SLOW", text="word " * 400, pace=slow),
            rule("HANG", text="x", fault="hang"),
            rule("MIDWAY", text="Some words and then nothing more at all.", fault="hang_midway"),
            rule("DIES", text="Some words and then the end comes too soon.", fault="die_midway"),
            rule("EXPIRES", text="x", fault="die"),
            rule("GARBAGE", text="x", fault="garbage"),
            rule("BADEVENT", text="Some words and then what is not JSON follows.", fault="garbage_event"),
            rule("LONGLINE", text="x", fault="long_line"),
            rule("REDIRECT", text="x", fault="redirect"),
            rule("TYPE", text="x", fault="wrong_type"),
            rule("HUGE", text="x", fault="huge"),
            rule("CUTLETTER", text="Grüße aus Köln, schöne Grüße!", fault="cut_utf8"),
            rule("NODONE", text="No end mark.", fault="no_done"),
            rule("BUSY", text="x", fault="status_429"),
            rule("BROKEN", text="x", fault="status_500"),
            rule("TOOL", tool_calls=[{"name": "mail", "arguments": {"to": "<EMAIL_1>", "text": 'hi "there"'}}]),
            rule("BYTES", text="One byte at a time, <EMAIL_1>.", wire="byte_by_byte"),
            rule("CRLF", text="Other line ends, <EMAIL_1>.", wire="crlf"),
        ],
        "default": {"text": "You said: {user}", "pace": {"characters": 5}},
    }


def copy_catalog(target):
    shutil.copyfile(str(files("firedoor") / "data" / "sample-catalog.jsonl"), target)
