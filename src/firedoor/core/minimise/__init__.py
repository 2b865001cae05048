"""Pseudonymise a request before the model sees it, and restore the answer.

`request.py` replaces personal data by placeholders, `placeholders.py` puts the values back, whole or streaming.
Nothing is kept between requests: the same history gives the same placeholders again.
"""

from firedoor.core.minimise.placeholders import Placeholders, PlaceholderWatch, Replacement, json_escaped
from firedoor.core.minimise.request import Minimised, minimise

__all__ = ["Minimised", "PlaceholderWatch", "Placeholders", "Replacement", "json_escaped", "minimise"]
