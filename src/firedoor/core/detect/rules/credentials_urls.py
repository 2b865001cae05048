"""Addresses of pages that say who somebody is.

A URL is personal when one of these holds, and then the whole of it is:

- ``url.named``: a word of possession or of sharing stands before it (``my website``, ``Homepage:``, "I've shared
  files"), and none that makes it a firm's ("our website");
- ``url.person``: it has a log-in, an e-mail address, a query parameter for a person or a way in (``?email=``,
  ``?token=``), the path of a profile (``/in/…``, ``/u/…``, ``/@…``), of an order's status page, or of a shared file;
- ``url.site``: it is written with ``http`` and has neither a path nor a query, and its host is no well-known service
  and no shop: people write their own site so, while links to goods have a path. This one is form alone (0.6).

A link to an article, a help page, a shop or a carrier is none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from firedoor.core.detect.spans import Span

_URL = re.compile(r"(?<![\w@/])(?:https?://|www\.)[^\s<>\"'`|\\^{}\[\]«»“”]{3,2000}", re.IGNORECASE)
_HOST = re.compile(r"(?:https?://)?(?:[^/@?#]{0,200}@)?(?P<host>[^/?#:]{1,255})", re.IGNORECASE)
_TRAIL = ".,;:!?*_~"
_NAMED = re.compile(
    r"(?:\b(?:web ?sites?|web ?pages?|homepages?|home page|my (?:own )?(?:site|page|blog|shop|store|portfolio|profile|"
    r"link)|portfolio|blog|shared|uploaded|posted|files|photos?|album|profile?|profil|perfil|profilo|profiel|linkedin|github|xing|"
    r"webseite|internetseite|netzseite|seite|hochgeladen|geteilt|site (?:web|internet|personnel)|mon site|partagé|"
    r"sitio(?: web)?|página(?: web)?|pagina(?: web)?|compartido|sito(?: web)?|mio sito|condiviso|mijn site|gedeeld|"
    r"strona(?: www| internetowa)?|stronie|moja strona|udostępnił[ea]m|meu site|webbplats|stránk[ay]|i own|web|url|"
    r"follow me)"
    r"[^.!?/@]{0,24}[\s:(<=]{1,4})\Z",
    re.IGNORECASE,
)
_NAMED_REACH = 56
_A_FIRMS = re.compile(
    r"\b(?:our|your|their|its|unsere?r?|eure?r?|ihre?r?|notre|votre|leur|nuestr[oa]|vuestr[oa]|nostr[oa]|vostr[oa]|onze|uw|"
    r"jullie|hun|nasz\w?|wasz\w?|noss[oa])\W[^.!?/@]{0,40}\Z",
    re.IGNORECASE,
)
_PERSON = re.compile(
    r"://[^/?#@]{1,200}@|%40|@[\w-]{1,60}\.|"
    r"[?&#;](?:e?-?mail|user(?:_?name|_?id)?|uid|login|name|(?:first|last|full)_?name|phone|tel|mobile|address|zip|plz|"
    r"customer(?:_?id)?|account|token|key|auth|sig|signature|session(?:_?id)?|sid|code|password|pwd|invite|ref_?user|"
    r"order(?:_?id)?|birth(?:day|date)?|dob|iban)=[^&#\s]{2}|"
    r"/(?:in|u|user|users|usr|profile?s?|profil|perfil|profilo|profiel|member|members|author|people|person|channel|pub|~[\w.-]{2}"
    r"[\w.-]{0,60})/[^\s/?#]{2}|/@[\w.]{2}|/~[\w.]{2}|/account/[^\s/?#]{3}|/orders?/[^\s/?#]{6}|"
    r"(?:drive|docs)\.google\.|dropbox\.com/|wetransfer\.com/|we\.tl/|1drv\.ms/|icloud\.com/|onedrive\.live\.|"
    r"(?:t|wa)\.me/[\w+]{3}|paypal\.me/|calendly\.com/|"
    r"(?:linkedin|facebook|instagram|twitter|x|tiktok|github|gitlab|xing|pinterest|snapchat|reddit|flickr|vimeo|behance|"
    r"etsy|vinted|ebay)\.(?:com|de|fr|es|it|nl|pl)/(?:people/)?@?[\w.-]{3,60}/?(?:[?#]|\Z)",
    re.IGNORECASE,
)
_KNOWN_HOST = re.compile(
    r"shop|store|\bmarkt|kauf|mode|fashion|support|help|status|\bapi\.|\bcdn|localhost|example|"
    r"\b(?:google|amazon|ebay|paypal|klarna|dhl|ups|fedex|dpd|hermes|gls|usps|royalmail|postnl|inpost|colissimo|chronopost|"
    r"laposte|correos|poste|apple|microsoft|youtube|youtu|facebook|instagram|twitter|tiktok|pinterest|linkedin|whatsapp|"
    r"wikipedia|github|stackoverflow|zalando|otto|ikea|nike|adidas|lego|bosch|sony|samsung|dyson|philips|allegro|bol|cdiscount|"
    r"fnac|decathlon|mediamarkt|saturn|aliexpress|alibaba|temu|shein|etsy|walmart|target|trustpilot|shopify|magento|stripe|"
    r"visa|mastercard|trustedshops|idealo|geizhals|europa|w3|gov|bit|t)\.",
    re.IGNORECASE,
)


def urls(text: str) -> Iterator[Span]:
    """The personal ones. Call it for texts with ``://`` or ``www.``."""
    for match in _URL.finditer(text):
        start, end = match.start(), _end(match[0]) + match.start()
        url = text[start:end]
        host = _HOST.match(url)
        if host is None or "." not in host["host"]:
            continue
        since = max(0, start - _NAMED_REACH)
        if _PERSON.search(url):
            yield Span(start, end, "URL", "url.person", 0.9)
        elif _A_FIRMS.search(text, since, start):
            continue
        elif _NAMED.search(text, since, start):
            yield Span(start, end, "URL", "url.named", 0.8)
        elif len(url) - host.end() <= 1 and "://" in url and not _KNOWN_HOST.search(host["host"]):
            yield Span(start, end, "URL", "url.site", 0.6)


def _end(written: str) -> int:
    """The length of a URL without what the sentence put behind it."""
    written = written.rstrip(_TRAIL)
    while written.endswith(")") and written.count("(") < written.count(")"):
        written = written[:-1].rstrip(_TRAIL)
    return len(written)
