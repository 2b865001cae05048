"""Words for what a protected row tells, and for money and numbers: en de fr es it nl pl pt, some of cs sv da.

All of them are common trade words, collected by us. A phrase ending in ``*`` may go on (``Einkaufspreise``). In
parentheses stand words that shoppers use of public prices as well: they count beside a number, not in a question.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

from firedoor.core.detect.disguise.words import NUMBERS
from firedoor.core.detect.leak.terms import normalise
from firedoor.core.plan.model import Attribute

_COST = """
    purchase price*, purchasing price*, buying price*, cost price*, unit cost*, cost per unit, cost each,
    landed cost*, product cost*, item cost*, cost of goods*, cogs, wholesale*, trade price*, dealer price*,
    ex works, our cost*, costs us, cost us, we pay, we paid, we buy, wir kaufen, nous achetons, compramos,
    compriamo, acquistiamo, we kopen, kupujemy, we bought, buy-in price*, invoice price*, acquisition cost*,
    internal cost*, net cost*, true cost*, actual cost*, cost basis, manufacturing cost*, production cost*,
    (cost), einkaufspreis*, einkaufs preis*, einkaufskosten, ek-preis*, ek, einstandspreis*, einstandskosten,
    selbstkosten*, herstellkosten, herstellungskosten, bezugspreis*, beschaffungskosten, großhandelspreis*,
    händlerpreis*, anschaffungspreis*, wareneinsatz, kostet uns, kosten uns, wir zahlen, wir bezahlen, im einkauf,
    eingekauft, prix d'achat, prix de revient, prix coûtant, coût d'achat, coût de revient, coût unitaire,
    prix de gros, prix fournisseur, nous coûte*, nous payons, nous l'achetons, coûts d'achat, (coût), (coûts),
    precio de compra, precio de coste, precio de costo, coste de compra, costo de compra, coste unitario,
    costo unitario, precio mayorista, precio al por mayor, nos cuesta*, pagamos, precio de adquisición, (coste),
    (costo), prezzo d'acquisto, prezzo di acquisto, costo d'acquisto, costo di acquisto, prezzo di costo,
    prezzo all'ingrosso, ci costa*, paghiamo, costo del venduto, (costi), inkoopprijs*, inkoop prijs*, kostprijs*,
    inkoopkosten, groothandelsprijs*, kost ons, wij betalen, we betalen, inkoopwaarde, ingekocht, cena zakupu,
    ceny zakupu, cenę zakupu, koszt zakupu, koszty zakupu, koszt własny, cena hurtowa, ceny hurtowe, kosztuje nas,
    płacimy, koszt jednostkowy, (koszt), preço de compra, preço de custo, custo de compra, custo unitário,
    preço de aquisição, preço grossista, preço por atacado, custa-nos, nos custa*, (custo), (custos),
    nákupní cena, nákupní ceny, nákupní cenu, pořizovací cena, velkoobchodní cena, náklady, inköpspris*,
    inköpskostnad*, självkostnad*, grossistpris*, kostar oss, indkøbspris*, kostpris*, engrospris*, koster os,
    købspris*"""
_MARGIN = """
    margin, margins, profit*, markup, mark-up, gross margin*, contribution margin*, we earn, we make on, (spread),
    marge, margen, gewinnspanne*, handelsspanne*, rohertrag, deckungsbeitrag*, aufschlag, gewinn, rohgewinn*,
    marges, bénéfice*, taux de marque, margen de beneficio*, márgenes, ganancia*, beneficio bruto, margine,
    margini, ricarico*, guadagn*, winstmarge*, brutomarge*, winst, opslag, marża, marży, marżę, marże, narzut*,
    zysk*, margem, margens, lucro*, marže, marži, zisk*, marginal, vinstmarginal*, bruttomarginal*, påslag,
    avance*, fortjeneste*"""
_FLOOR = """
    floor price*, minimum price*, lowest price we*, price floor*, bottom price*, reserve price*, walk-away price*,
    lowest acceptable*, minimum acceptable*, mindestpreis*, preisuntergrenze*, schmerzgrenze*, untergrenze,
    prix plancher, prix minimum, prix minimal, precio mínimo, precio suelo, prezzo minimo, bodemprijs*,
    minimumprijs*, cena minimalna, ceny minimalnej, najniższa cena, preço mínimo, minimální cena, lägsta pris*,
    minimipris*, minimumspris*, mindstepris*"""
_SUPPLIER = """
    supplier*, vendor*, sourced from, source from, we source, we get it from, bought from, buy it from,
    purchased from, manufacturer, made by, manufactured by, distributor*, wholesaler*, lieferant*, zulieferer*,
    hersteller*, bezogen von, beziehen, bezugsquelle*, vorlieferant*, großhändler*, fournisseur*, fabricant*,
    grossiste*, acheté chez, proveedor*, fabricante*, mayorista*, distribuidor*, fornitor*, produttore,
    grossista*, leverancier*, fabrikant*, groothandel*, dostawc*, producent*, hurtowni*, fornecedor*, grossista,
    dodavatel*, výrobce, leverantör*, tillverkare, leverandør*, producenten"""
_CODE = """
    discount code*, promo code*, coupon*, voucher*, promotion code*, staff discount*, employee discount*,
    rabattcode*, gutschein*, aktionscode*, mitarbeiterrabatt*, code promo*, code de réduction, bon de réduction,
    código de descuento, códigos de descuento, código promocional, cupón, cupones, codice sconto, codici sconto,
    codice promozionale, buono sconto, kortingscode*, actiecode*, kod rabatowy, kody rabatowe, kod promocyjny,
    código de desconto, cupom, cupons, cupão, slevový kód, rabattkod*, rabatkode*"""
_UNRELEASED = """
    unreleased, release date*, launch date*, launches on, embargo*, not yet announced, upcoming*, coming soon,
    pre-release, erscheint*, erscheinungsdatum, markteinführung, unveröffentlicht*, date de sortie, sortie prévue,
    fecha de lanzamiento, lanzamiento, data di uscita, data di lancio, releasedatum, verschijnt, lanceerdatum,
    data premiery, premiera, premierę, data de lançamento, lançamento, datum vydání, lanseringsdatum,
    lanceringsdato, udgivelsesdato"""
_ORDER = """
    order, orders, ordered, order total*, invoice*, total amount, amount paid, paid, tracking*, delivered to,
    shipped to, bestellung*, bestellt, rechnung*, gesamtbetrag, bezahlt, commande*, facture*, montant total,
    pedido*, factura*, importe total, ordine, ordini, fattura, importo totale, bestelling*, factuur, totaalbedrag,
    zamówieni*, faktura, faktury, encomenda*, fatura*, objednávk*, beställning*, bestilling*"""
_STAFF = """
    salary, salaries, wage*, extension, employee*, staff, personnel, home address, personal phone, gehalt*, lohn,
    durchwahl, mitarbeiter*, salaire*, employé*, salario*, sueldo*, empleado*, stipendio*, dipendente*, salaris*,
    medewerker*, pensja, wynagrodzeni*, pracownik*, ordenado*, funcionário*, mzda, plat, lön, løn, medarbejder*"""
_TABLES: dict[Attribute, str] = {
    "cost": _COST,
    "margin": _MARGIN,
    "floor_price": _FLOOR,
    "supplier": _SUPPLIER,
    "discount_code": _CODE,
    "unreleased": _UNRELEASED,
    "order": _ORDER,
    "staff": _STAFF,
}
_BITS: dict[Attribute, int] = {attribute: 1 << at for at, attribute in enumerate(_TABLES)}
_PRICES = _BITS["cost"] | _BITS["margin"] | _BITS["floor_price"]
ANY = (1 << len(_BITS)) - 1


class Word(NamedTuple):
    """What a folded phrase speaks of, as bits. `sure`: shoppers do not say it of public prices. `open`: may go on."""

    bits: int
    sure: bool
    open: bool


def bits_of(attribute: Attribute) -> int:
    """The bits of the words that speak of `attribute`: costs, margins and floor prices tell each other."""
    bits = _BITS.get(attribute)
    if bits is None:
        return ANY
    if bits & _PRICES:
        return _PRICES
    return bits | _BITS["cost"] if attribute == "supplier" else bits


@functools.cache
def attribute_words() -> dict[str, Word]:
    """Every phrase, folded."""
    words: dict[str, Word] = {}
    for attribute, table in _TABLES.items():
        for entry in table.split(","):
            phrase = " ".join(entry.split())
            if not phrase:
                continue
            folded = normalise(phrase)
            known = words.get(folded, Word(0, sure=False, open=False))
            words[folded] = Word(
                known.bits | _BITS[attribute],
                sure=known.sure or not phrase.startswith("("),
                open=known.open or phrase.endswith("*"),
            )
    return words


def _words(words: str) -> frozenset[str]:
    return frozenset(words.split())


CURRENCIES = _words(
    """
    € $ £ ¥ ₹ zł kč eur euro euros usd dollar dollars dollari dollaro dólar dólares dolar dolary dolarów gbp pound
    pounds pfund livre livres libra libras sterlina sterline pond ponden chf franken franc francs franchi franco
    francos sfr fr pln zloty złoty złote złotych zlotys sek nok dkk kr krone kroner kronor krona koruna koruny
    korun czk huf ron bgn inr rupees cad aud jpy yen brl reais real euró eura eurów eurot"""
)
"""Case-folded: between the whole part of a price and the rest, or beside a price."""
CENTS = _words(
    """
    ¢ c ct cts cent cents centen centime centimes céntimo céntimos centimo centimos centesimo centesimi centavo
    centavos cêntimo cêntimos grosz grosze groszy gr pence penny pennies p rappen øre öre haléř haléře haléřů
    eurocent eurocents"""
)
"""What a number of hundredths is followed by."""
PERCENT = _words("% ٪ percent per prozent pct procent procenta por pour")
"""What a percentage is followed by, or its first word ("per cent", "por ciento", "pour cent")."""
LINKS = _words("and und et y e en i a och og con com avec mit")
"""Between euros and cents."""
GOES_ON = LINKS | _words(
    """
    per each apiece pro je jeweils par por za voor pour für for para per cada chacun ciascuno ognuno stuk sztukę to at
    or oder ou o of lub als than que che is ist est es è jest are net netto plus excl exkl incl inkl vat mwst tva iva
    btw before vor avant but aber mais pero ma maar ale when if wenn instead statt"""
)
"""What may follow a price; any other word is what a number counts: ``42 in stock``, ``30 Tage``."""
POINTS = _words(
    "point dot komma comma virgule coma punto virgola przecinek kropka vírgula virgula ponto punt punkt čárka"
)
"""How a decimal sign is said."""

WHOLE = 3
"""Letters of a text for a number that counts only as a whole word."""
HUNDRED, THOUSAND = -100, -1000
_MULTIPLIERS: dict[str, int] = {
    **dict.fromkeys(_words("hundred hundert honderd"), HUNDRED),
    **dict.fromkeys(_words("thousand tausend mille mil mila duizend tysiąc tysiące tysięcy tysiac tysiace"), THOUSAND),
}
_FRENCH_HUNDRED = frozenset({"cent", "cents"})


@functools.cache
def said() -> dict[str, dict[str, int]]:
    """What each case-folded word for a number is worth in each language that has it.

    `HUNDRED` and `THOUSAND` multiply what was said before.
    """
    words = {word: {lang: value for lang, value in values.items() if value >= 0} for word, values in NUMBERS.items()}
    words |= {word: dict.fromkeys(_LANGUAGES, times) for word, times in _MULTIPLIERS.items()}
    words |= {word: {"fr": HUNDRED} for word in _FRENCH_HUNDRED}
    return {word: values for word, values in words.items() if values}


_LANGUAGES = ("de", "en", "es", "fr", "it", "nl", "pl", "pt")


@functools.cache
def number_stems() -> frozenset[str]:
    """Folded texts, one of which is in every number that is said: whole words of three letters, or parts of a word.

    Without the words for 1, which are articles; a number that is worth looking at has another word besides.
    """
    stems: set[str] = set()
    spelt = {
        normalise(word) for word, values in NUMBERS.items() if any(value > 1 or not value for value in values.values())
    }
    for word in sorted(spelt | set(map(normalise, _MULTIPLIERS)), key=lambda word: (len(word), word)):
        parts = {word[start:end] for start in range(len(word)) for end in range(start + WHOLE + 1, len(word) + 1)}
        if len(word) >= WHOLE and parts.isdisjoint(stems):
            stems.add(word)
    return frozenset(stems)
