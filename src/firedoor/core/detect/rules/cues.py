"""Words that say what a number is, in the languages of the shops we know: en de fr es it nl pl, some pt and Nordic.

A number alone says little: the nearest of these words before it decides whether ten digits are a phone number, an order
or an article. Words are case-folded runs of letters, so ``order_id`` is two words and ``Bestell-Nr.`` as well.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

Kind = Literal["order", "phone", "card", "iban", "ip", "version", "other"]

_WORDS: dict[Kind, str] = {
    "order": """
        order orders orderid orderno ordernumber increment booking reservation confirmation
        bestellung bestellungen bestell bestellnummer bestellnr auftrag auftrags auftragsnummer auftragsnr
        commande commandes cmd pedido pedidos orden encomenda ordine ordini
        bestelling bestellingen bestelnummer bestelnr ordernummer ordernr ordre beställning bestilling
        zamówienie zamówienia zamówieniu zamówieniem zamówień zamowienie zamowienia zamowieniu zam objednávka""",
    "phone": """
        phone telephone phonenumber tel tele ph mobile landline hotline helpline toll tollfree answering texting
        telephonenum cell cellphone call ring dial whatsapp sms fax contact reach callback
        telefon telefonnummer handy handynummer mobil mobilnummer rufnummer festnetz anrufen ruf rufen erreichbar
        erreichen erreicht
        téléphone tél portable appeler appelez appelle joindre joignable gsm
        teléfono telefono móvil movil llamar llámame llamadme llamarme celular fijo
        cellulare chiamare chiamami chiamatemi chiamata contattarmi recapito
        telefoon telefoonnummer mobiel mobiele bellen bel telefonu telefonem komórka komórki komórkowy kom zadzwonić
        zadzwoń zadzwonic dzwonić puhelin telemóvel telefone""",
    "card": """
        card cards cc creditcard debit credit visa mastercard maestro amex karte karten kreditkarte kartennummer
        kreditkartennummer carte cb tarjeta tarjetas carta kaart kaartnummer karta karty kartę karcie
        kartą cartão""",
    "iban": """
        iban konto kontos kontonummer bankverbindung compte rib cuenta conto rekening rekeningnummer konta kontem
        rachunek rachunku rachunkiem account""",
    "ip": "ip ips ipv ipadresse",
    "version": """
        rv version versions v ver versión versione versie wersja wersji firmware build release ios android update
        software driver treiber section chapter kapitel""",
    "other": """
        sku art artikel artikelnummer article artículo articolo item items ean isbn issn gtin upc asin model modell
        modèle modelo modello product produkt produit producto prodotto serial seriennummer imei tracking track
        tracked sendung sendungsnummer sendungsverfolgung suivi colis seguimiento tracciamento spedizione paket
        paketnummer parcel shipment przesyłka przesyłki paczka paczki vat ust ustid tva iva btw nip pesel regon
        siret siren plz zip postcode kundennummer customer client cliente klant klantnummer invoice rechnung
        rechnungsnummer facture factura fattura factuur faktura faktury ticket case pin code otp error fehler size
        größe taille talla""",
}
KINDS: dict[str, Kind] = {word: kind for kind, words in _WORDS.items() for word in words.split()}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


NUMBER_WORDS = _words(
    """
    number numbers no nr nos num nummer nummern id ids ref reference numéro numéros numero número números n nº
    numer numery numeru numerem kenmerk"""
)
"""Between "order" and its id; they also say that an id follows, however short or mixed it is."""

_FILLERS = NUMBER_WORDS | _words(
    """
    is are was the my our with and has ist sind lautet lauten meine mit der die das den und est sont avec et le la les
    es son con y el è e il met en het zijn jest to o s"""
)

REACH = 48
"""Code points before a number in which a word is looked for: a line of a chat."""
_WORDS_BACK = 6
_MAX_FILLERS = 4
_FAR_REACHING: frozenset[Kind] = frozenset({"phone", "card", "iban", "ip"})
"""Kinds that a few other words may follow ("call me after six at …"); the others stand right before their number."""
_LETTERS = re.compile(r"[^\W\d_]+")
_UP_TO_A_DIGIT = re.compile(r"[^\d]*")


class Cue(NamedTuple):
    """The nearest telling word before a number.

    `near`: nothing but fillers stands between. `numbered`: one of the fillers says that a number follows.
    """

    kind: Kind
    near: bool
    numbered: bool


def cue_before(text: str, start: int) -> Cue | None:
    """What the words before the number at `start` say it is. Words before an earlier number belong to that one."""
    back = _UP_TO_A_DIGIT.match(text[max(0, start - REACH) : start][::-1])
    assert back is not None  # the pattern matches nothing as well
    numbered, near = False, True
    for passed, word in enumerate(reversed(_LETTERS.findall(back[0][::-1].casefold()))):
        if passed >= _WORDS_BACK:
            return None
        kind = KINDS.get(word)
        if kind is not None and (near or kind in _FAR_REACHING):
            return Cue(kind, near and passed <= _MAX_FILLERS, numbered)
        numbered = numbered or word in NUMBER_WORDS
        near = near and word in _FILLERS
    return None
