"""Take personal data out of a request before the model sees it, and put it back into the answer.

`handlings.py` prepares the plan's rules, `request.py` handles what is found, `persons.py` knows who is who,
`placeholders.py` puts values back, whole or streaming. Nothing is kept between requests: the same history gives the
same placeholders again.
"""

from firedoor.core.minimise.handlings import Handlings
from firedoor.core.minimise.placeholders import Placeholders, PlaceholderWatch, Replacement, json_escaped
from firedoor.core.minimise.request import Minimised, minimise

__all__ = ["Handlings", "Minimised", "PlaceholderWatch", "Placeholders", "Replacement", "json_escaped", "minimise"]
