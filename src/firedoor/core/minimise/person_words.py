"""Words around names: titles, names that are ordinary words, short forms of first names. Small lists of ours."""

from __future__ import annotations

from typing import Literal

from firedoor.core.language import FUNCTION_WORDS
from firedoor.core.minimise.inflection import folded

Gender = Literal["m", "f"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_MEN = _words(
    "mr mister sir herr herrn hr monsieur mr sr senor don sig signor signore dhr meneer heer pan pana panu pane"
)
_WOMEN = _words("mrs ms miss madam frau fr mme madame mlle sra senora dona signora mevr mevrouw pani pania")
POLITE_WITH_FIRST_NAMES = _words("pan pana panu panem pane pani don dona")
"""Titles that stand before a first name too: Pani Anna, Doña Ana."""
TITLES: dict[str, Gender | None] = {
    **dict.fromkeys(_words("dr prof professor doktor doctor dipl ing mgr inz lic m"), None),
    **dict.fromkeys(_MEN, "m"),
    **dict.fromkeys(_WOMEN, "f"),
}
"""Folded title -> whose it is, None where it does not say."""

SUFFIXES = _words("jr sr junior senior phd md dds esq mba msc ii iii")
PARTICLES = _words(
    "von vom van der den de del della dello di da das dos do du la le las los ter ten te zu zum zur el al bin ibn y e"
)
"""Small words of a family name, which nobody is called by."""

SHORT_FORMS = _words(
    """
    abi alex andi andr bart bert chris christ clem cris dan dav ed edu eli fab fabi flo fran fred gab gabi greg
    isa jen jess jon josh jul kat kate kath kathi kris leo manu marg matt matth max mel mich mick nat nath nic
    nick nico niko pam phil rafa rob rod santi seb sim steff steffi steph ste sue tim tob tobi tom val vic viv zac"""
)
"""First letters of first names that people are called by, and that are no other name."""

ORDINARY = _words(
    """
    able amber angel apple april ash august autumn baker bank banks bar bay bell best bill bird bishop black blue
    bond boss bright brook brown bush butler carpenter cart case cash chance charity cherry church clay clear
    close cloud coat cole cook coral cotton crystal daisy dale dawn day dean dear dollar down drew duke earl east
    eve faith fall field fish fisher fleet flower ford forest fox frank free french frost fry gardener gene gift
    gold golden good grace grant gray green grey guy hall hand harmony harper hazel heart heath henna hill holiday
    hope house hunter iris ivy jack jade jasmine jean jeans jet joy july june justice kid king knight lady lake
    lane large lee light lily little long lord love luck mark market marsh mason master max may melody miles mill
    mint moon moss mountain new nice noble north oak ocean olive order page paris park parker pat pearl penny
    piece pink poppy porter post potter pound power price prince queen rain ray reed rich river rob robin rock
    rose royal ruby rush sage sale sand sandy savage scarlet seller sharp shell shepherd sheridan short silk
    silver size sky small smart smith snow south spring stark star steel sterling stock stone storm strong summer
    sun sunny swan tailor taylor turner van victor victory violet virginia wade walker wall ward water way weaver
    weber west white wild will willow winter wise wolf wood woods wool wright year york young alt bach bauer baum
    becker beck berg blau blume braun busch ernst engel eisen feld fink fischer fuchs gross grun haase hahn hase
    herbst hirsch jager jung kaiser kern klein koch koenig konig kraft kranz krause krug kuhn kurz lang lange neu
    neumann nord ost pfeiffer richter ritter roth rot sauer schafer schmidt schneider schulze schuster schwarz
    silber sommer stein stern stolz storch thal vogel vogt weber weiss wiese wild winkler wolf wolff zimmer
    zimmermann aime belle blanc blanche bleu bois bon bonnet boulanger boucher brun carre chevalier claire colin
    constance fleur fontaine france garnier grand gris jardin jeune lac leroy lune marchand marche marin marine
    mer meunier moulin noel noir olive petit pierre prudence renard rose rouge rousse roux roy soleil vert ville
    violette alba aurora blanca blanco bravo cabello calle camino campo campos casa casas castillo cruz delgado
    dolores flor flores fuente fuentes guerrero herrero iglesias leon luna luz mar marino montana moreno nieves
    paz pilar prado puente real reina reyes rey rojas rojo rosa rosario rubio salvador santos sierra sol soledad
    torre torres vega verde vidal angelo azzurra bello bianca bianchi bianco bruno caruso celeste chiara conti
    costa domenica fabbri ferrari fiore fontana franco gallo gatti gatto greco grassi grasso leone luce marina
    mare monte moro negri neri nero olivia pace perla piazza rizzo romano rosso rossi russo sala serena stella
    verdi villa viola vita baas bakker beek berg blauw bloem boer bos bosch brink brouwer buren dekker dijk geel
    groen groot haan heide hof jong kamp klein klerk kok koning koster kuiper maas meer meijer molenaar mulder oud
    post prins rood roos schipper smit smits timmerman veen vis visser vos wit zwart bialy bialek czarny dab dudek
    gil golab gora jagoda jesien kalina kania kot kowal krol kruk kura lato lis malina mazur mroz pajak pan pawlik
    roza rybak sikora sokol sowa sroka stepien szewc wiosna wilk wrona zajac zima zielony cerny cerna bily bila
    hajek kolar kovar kral novy nova novotny sedlak vesely zeleny cancel card color colour customer delivery email
    help invoice item mail model name number offer online package phone refund return returns service shipping
    shop store street support team thank thanks"""
) | frozenset(map(folded, FUNCTION_WORDS))
"""Folded words of a shop that are somebody's name too: alone they are not taken for one that was seen before."""

MENS_NAMES = _words(
    """
    adam alan albert alexander anders andre andreas andrew andrzej anton antonio arthur bart bas benjamin bernd
    brian bruno carl carlos charles christian christopher daniel david dennis diego dieter dirk edward enzo eric
    erik ernst fernando filip florian francesco francisco francois frank frans fred friedrich gary george georg
    gerard giovanni giuseppe gregor guido gustav hans harald harry heinrich helmut hendrik henry herbert hugo ian
    ivan jack jacob jacques jakub james jan jason javier jean jeroen jerzy joachim johan johann johannes john
    jonas jorge jose josef joseph juan juergen jurgen karel karl kees kevin klaus krzysztof kurt lars laurent leo
    leon liam louis luca lucas luigi luis lukas manfred manuel marc marcin marco marek mario mark markus martin
    mateusz matteo matthias matthew max michael michal michel miguel mohamed moritz nicolas niels noah oliver
    oscar oskar otto pablo paolo patrick paul pavel pawel pedro peter petr philip philippe piet pieter pierre
    piotr rainer ralf raphael rene richard robert roberto roman ronald rudolf ryan sam samuel scott sebastian
    sergio simon stanislaw stefan stefano stephen steven sven theo thierry thomas tim timothy tom tomas tomasz
    tony uwe victor vincent walter werner wilhelm william willem wim wojciech wolfgang zbigniew"""
)
WOMENS_NAMES = _words(
    """
    agnes alice amy angele anke anne annette ann anouk astrid beatrice beate birgit carmen caroline catherine
    cecile charlotte chloe chantal christine claire claudine clemence colette dagmar deborah diane dolores doris
    dorothy edith elisabeth elizabeth ellen elodie els emily esther eve evelyn florence francoise gabriele gertrud
    grace greet gudrun hannah heidi heike helen helene hilde ilse imke ines inge ingrid irene iris isabel isabelle
    jacqueline jane janet jennifer jessica joan josephine joyce judith julie juliette justine karen karin
    katherine kathleen kerstin kimberly laure lieke lisbeth lise lotte louise lucie madeleine manon margaret
    margot marie marieke marion marjan marlies mary megan melanie mercedes michelle mireille miriam monique nancy
    nathalie nicole odile patrice pauline pilar rachel raquel renate ruth sabine sarah sharon silke simone sophie
    stephanie susan susanne sylvie valerie veronique victoire wendy yvonne zoe"""
)


def gender_of(first_name: str) -> Gender | None:
    """Whose the folded `first_name` mostly is; None if it does not say. Only ever used to keep two people apart."""
    if first_name in MENS_NAMES:
        return "m"
    if first_name in WOMENS_NAMES:
        return "f"
    if len(first_name) > 2 and first_name.endswith("a") and first_name not in _MEN_IN_A:
        return "f"
    return None


_MEN_IN_A = _words(
    "andrea battista barnaba elia ezra joshua jona kosta kuba luca mika misha mustafa nicola nikita sasha sascha"
)
