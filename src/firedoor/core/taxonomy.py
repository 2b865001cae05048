"""What analysts call a finding: techniques of MITRE ATLAS, risks of the OWASP Top 10 for LLM Applications 2025."""

from __future__ import annotations

from typing import NamedTuple


class Ids(NamedTuple):
    """Ids of techniques (``AML.T…``) and risks (``LLM01:2025``)."""

    atlas: tuple[str, ...]
    owasp: tuple[str, ...]


_LEAK = Ids(("AML.T0057",), ("LLM02:2025",))  # LLM Data Leakage; Sensitive Information Disclosure
_OUT = Ids(("AML.T0024", "AML.T0057"), ("LLM02:2025",))  # Exfiltration via AI Inference API: a document, piece by piece

IDS: dict[str, Ids] = {
    "protected_value": _LEAK,
    "protected_amount": _LEAK,
    "protected_document": _OUT,
    "honeytoken": _LEAK,
    "partial_value": _LEAK,
    "rounded_amount": _LEAK,
    "stranger_data": _LEAK,
    "payment_card": _LEAK,
    "secret": Ids(("AML.T0055", "AML.T0057"), ("LLM02:2025",)),  # Unsecured Credentials
    "system_prompt": Ids(("AML.T0056",), ("LLM07:2025",)),  # Extract LLM System Prompt; System Prompt Leakage
    "poisoned_cache": Ids(("AML.T0057",), ("LLM02:2025", "LLM04:2025")),
    "replayed_answer": _LEAK,
    "same_answer": _LEAK,
    "model_drift": Ids(("AML.T0010", "AML.T0018"), ("LLM03:2025", "LLM04:2025")),  # Supply Chain; Manipulate AI Model
    "prompt_attack": Ids(("AML.T0051.000", "AML.T0054"), ("LLM01:2025",)),  # LLM Prompt Injection: Direct; Jailbreak
    "indirect_attack": Ids(("AML.T0051.001",), ("LLM01:2025",)),  # LLM Prompt Injection: Indirect
    "asked_attribute": _LEAK,
    "session_refused": Ids(("AML.T0051.000", "AML.T0057"), ("LLM01:2025", "LLM02:2025")),
    "not_scanned": Ids((), ()),
}
"""By the rule of a finding."""


def ids_of(rule: str) -> Ids:
    """The ids for a finding's rule. Raises KeyError for a rule that nobody entered here."""
    return IDS[rule]
