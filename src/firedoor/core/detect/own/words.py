"""Words that own values are read with: endings of names, names that are everyday words, words before a name, streets.

Lists of ours for en de fr es it nl pl cs, folded (lower case, no accents) as `text.py` folds. A word missing in
`ORDINARY` costs a false alarm for shoppers of that name; a word too many costs nothing but their name standing alone.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ORDINARY = _words(
    """
    rose lily lilly grace hope faith joy summer autumn spring winter april may june august sunday monday friday will
    mark bill bob rob jack art chase hunter mason carter ruby amber pearl jade crystal daisy violet iris ivy olive
    heather holly hazel jasmine ginger rosemary sage robin jay drew frank grant guy dean miles sunny star sky dawn eve
    angel melody harmony charity clay cliff dale gene glen heath lance pat penny peg reed rusty sandy sue pam pip dot
    belle honey green brown black white gray grey red blue pink gold golden silver baker cook cooke fisher king queen
    prince bush ford wood woods stone field fields hill hills lake rivers river young long short small little big
    strong wise rich price cash banks bank bell ball bird fox wolf lamb fish flower flowers snow frost summers winters
    day days west north south east street park parks lane house hall church temple bishop pope page read rice berry
    bean beans cherry steel iron glass cotton case cross french english england german germany holland france paris
    london law marsh moss nail noble pepper piper plant pool post potter power rain rush saddler salt sharp shepherd
    singer skinner spice swan sweet taylor trainer turner walker waters weaver webb wells wild wing wright best bond
    box boots booth brand bright bridge brook brooks burns butcher butler camp castle close coat coats cole combs cope
    crane crow dear dove duke dyer fair farmer ferry finger fine flint forest free fry garden gates giant good goodman
    grove guest hand hard hardy hart harp hatch hawk head high holiday hood hook horn hunt hurt key keys knight land
    lord love loves major max min ben jan mia lea mai sam ali ida per tom sol ema elle lou bas bin das son van don era
    cat dog kitty kit mercy merry mint nova ocean peace pace phoenix poppy prudence raven rebel reign rowan scout
    storm sterling stormy true wren zen ray rod skip stew ty woody chip chuck buck dusty gus hank herb jet gross klein
    lang kurz schwarz weiss braun grun roth rot blau jung alt neu stark schon fromm reich arm konig kaiser herzog graf
    richter schmied koch backer jager fischer schafer sommer herbst fruhling sonntag freitag montag fuchs hase vogel
    adler hahn bar stein berg wald baum busch blum blume apfel kohl kraut pfeffer salz zucker honig brot kuchen topf
    becher hammer nagel messer tisch stuhl haus hof kirche bach see sand kern stern sonne mond engel ernst viola linde
    heide kai horst falk falke wunder winzer weber wagner schneider schuster zimmermann maurer bauer ritter burger
    bischof lieb gut bunt krone feder feld fink hirsch igel kamm kaffee kirsch korn kranz kreis kugel lampe leder
    licht morgen nacht nuss ofen perle pilz ring sack sattel schatz schild schloss schnee seide spiegel spitz strauss
    sturm tanne teller tor vogt wein wind wolke wurst zahn zeit ziegler ziel zweig golde silber rosa petit grand blanc
    leblanc noir lenoir roux brun gris vert rouge bleu boulanger berger marchand roi fleur marguerite violette prune
    cerise clementine capucine jasmin ange aime constant parfait juste bon beau fort court jeune vieux riche pauvre
    hiver printemps ete noel dimanche avril aout bois montagne riviere lac pierre roche sable loup renard lion oiseau
    poisson mouton chat marine jean colombe ambre marin blanche reine olivier laurier romarin rosier baptiste parfum
    lumiere soleil lune etoile ciel nuage neige vent feu terre pomme poire peche melon citron carotte charpentier
    rubio moreno blanco negro rojo verde bueno malo feliz delgado gordo alto bajo bravo cruz luz paz mar cielo flor
    margarita violeta perla esmeralda leon lobo toro caballero guerrero rey reyes conde vega campo campos montes rios
    fuentes torres casas castillo iglesia iglesias calle puente prado luna estrella domingo julio abril mayo mercedes
    dolores pilar consuelo esperanza soledad gloria piedad salud azul blanca linda clara franco seco serrano pastor
    herrero zapatero molina olivares rosales flores romero nieves camino rocio cara nueva nuevo primo cabello pardo
    crespo bianca bianco bianchi rosso nero neri verdi bruno bello bella grande piccolo basso forte gentile felice
    fortunato serena chiara alba aurora stella sole gemma margherita mare monte fiore fiori leone lupo gallo gatti
    amato costa villa vera carina pia serra ferrari sarto santo angelo natale pasqua sereno longo corti rossi marina
    allegra bloem roos groot jong oud wit zwart bruin groen rood blauw geel bakker visser smit kok koning prins
    bisschop dijk bos veld vos beer haan bever zomer zondag wil floor lot bergen brink mulder molen meer schipper
    timmerman roza lilia kalina jagoda malina wisnia jablko gruszka sliwa zajac wilk lis niedzwiedz ptak wrobel sikora
    sowa orzel kot baran koza kos sroka golab dudek krol kowal kucharz mlynarz szewc krawiec bialy czarny zielony maly
    duzy wesoly dobry zima lato wiosna maj kwiat kwiecien gora rzeka las sad pole dab lipa sosna brzoza mroz snieg
    kamien zloty srebro nadzieja wiara milosz pan pani ola dana dary biel cichy glowa gwiazda klos kogut kosa list
    malek miod mucha pajak piec szary szczesny twardy wolny ziolo nowa nowy stary ruze vesely cerny bily zeleny dlouhy
    kratky novy mlady kral pokorny kovar krejci reznik tesar zednik sedlak liska vlk medved zajic kohout sokol holub
    vrana straka sykora strnad ryba kapr hruska svestka jahoda kvet fiala lilie dub buk briza borovice jaro leto
    podzim mraz snih vitr noc nedele patek pondeli hora reka sladky horky tichy rychly
    """
)
"""Names that are words of a shop's everyday texts: alone they tell nobody."""
ORDINARY_PLACES = _words(
    """
    nice reading bath essen halle orange deal wells lens tours split most ham mobile bari como mans brest best sale
    sandwich normal hull eden alba hof sand see stein berg rom burg kiel linden worms celle wesel angers mons breda
    ede hoorn gap lot vienne die rust horn lech hall enns perg baden wels lienz leon lugo vigo cruz jaen soria
    pila lodi nola zary zabki ruda piekary bor jih sever reston mesa plano
    """
)
"""Cities that are such words, in one of the languages."""

TITLES = _words(
    "mr mrs ms miss dr prof herr herrn frau mme mlle madame monsieur sig sra srta mevr dhr pan pani ing mag mgr"
)
PARTICLES = _words("van von der den de del della di da du la le el al bin ben ter ten zu zum zur dos das af av y e i")

AFTER_STEM = _words(
    "a y e o u i ie om ou ow ami ach ej iej ego iego emu iemu im ym iem ow ova ovou ie ii e s as es ina iny"
)
"""What may stand for the last vowel of a name, or follow the stem of one with a fleeting e (Marek, Marka)."""
AFTER_NAME = _words(
    "s a u e y em om ow owi iem owie ovi ova ove ovou ov ow ami ach im ego emu owa owej ina i n ns en es ie"
)
"""What may follow a whole name."""
AFTER_FLEETING = _words("a em u ie e om ov ow owi ovi iem owie ovo")
"""What follows the stem of a name with a fleeting e: Marek, Markowi; Pavel, Pavlovi."""
AFTER_SHORT = _words("s a u em owi ovi iem")
"""What may follow a name of three letters: more would make other words of it (Tim, time)."""
AMBIGUOUS = _words("i e o n en es in ie")
"""Endings that make other words so often that a form with one needs its capital."""

NAME_CUES = r"""(?ix)(?<![^\W_])(?:
    name\ is|name\ ist|name'?s|named|hei(?:ss|ß)e|m['\u2019]appelle|llamo|chiamo|heet|nazywam\ si[eę]|jmenuji\ se|
    mr|mrs|ms|miss|herrn?|frau|mme|madame|monsieur|signora?|se[nñ]ora?|sra|mevr(?:ouw)?|meneer|pan(?:i|em|a)?|pan[ií]
    )\.?[\s:,]{1,3}$"""
"""A word after one of these is a name, however it is written."""
GREETINGS = _words(
    """
    dear hi hello hey regards thanks cheers bin hallo liebe lieber grusse gruss bonjour cher chere cordialement suis
    hola querida querido saludos soy ciao caro sono saluti hoi beste groetjes groeten czesc droga drogi pozdrawiam
    jestem ahoj mila mily jsem
    """
)
"""A capitalised word after one of these is likely to be a name."""
BEFORE_NAMES = _words("to for from by fur an von pour chez para por per voor dla od do pro")
"""So it is after one of these, unless it says when."""
TIMES = _words(
    """
    summer autumn spring winter april may june august sunday monday friday sommer herbst fruhling sonntag freitag
    montag morgen nacht hiver printemps ete noel dimanche mai avril aout verano invierno domingo julio abril mayo
    pascua natale pasqua zomer zondag zima lato wiosna maj kwiecien jaro leto podzim noc nedele patek pondeli holiday
    day days summers winters prime
    """
)
BEFORE_PLACES = _words("in to from near at nach aus bei a au de en desde da te uit naar bij w we z ze do v ve")

ON_A_RIVER = _words("am an im in ob der upon on sur en nad aan bei")
"""What may stand between a city and its river: Frankfurt am Main. People leave both out."""

STREET_TYPES = (
    "strasse|straße|str|street|st|road|rd|avenue|avenida|avda|ave|av|lane|ln|drive|dr|boulevard|blvd|bd|square|sq|court|ct|"
    "place|platz|pl|plaza|plac|piazza|pza|pzza|plein|close|crescent|terrace|gardens|way|weg|gasse|allee|ring|ulica|ulice|ul|"
    "aleja|aleje|al|osiedle|os|rue|chemin|impasse|quai|allée|via|viale|vicolo|corso|calle|c|paseo|straat|laan|gracht|kade|"
    "namesti|náměstí|nám|třída|tř"
)
STREET_WORDS = frozenset(STREET_TYPES.replace("ß", "ss").replace("é", "e").split("|")) | _words(
    "namesti nam trida tr allee"
)
STREET_SUFFIXES = tuple(
    "strasse str weg gasse platz allee damm ufer straat laan gracht plein kade gatan vagen vej gade".split()  # noqa: SIM905
)
UNITS = "apt|apartment|flat|unit|suite|m|lok|mieszk|wohnung|whg|top|app|appt|bus|piso|int|interno|byt|bte|étage|stg"

AT_WORDS: tuple[str, ...] = (
    "at",
    "aet",
    "arobase",
    "arroba",
    "chiocciola",
    "apenstaartje",
    "malpa",
    "zavinac",
    "klammeraffe",
    "chez",
)
DOT_WORDS: tuple[str, ...] = ("dot", "punkt", "punt", "punto", "point", "kropka", "tecka", "period")
JOIN_WORDS: tuple[str, ...] = (
    *DOT_WORDS,
    "underscore",
    "unterstrich",
    "podkreslnik",
    "dash",
    "minus",
    "hyphen",
    "bindestrich",
    "plus",
)

POSTCODE_CUES = r"""(?ix)(?:
    plz|postleitzahl|post\s?code|postal\ code|zip(?:\ code)?|code\ postal|c\.?p\.?|cap|kod\ pocztowy|ps[cč]
    )\W{0,3}(?:(?:is|ist|est|es|è|jest|je)\s)?$"""
USER_CUES = r"""(?ix)(?:
    user\s?(?:name|id)?|login|nick(?:name)?|handle|benutzer(?:name)?|utilisateur|pseudo|usuario|utente|
    gebruiker(?:snaam)?|użytkownik\w{0,2}|uživatel\w{0,2}
    )\W{1,3}(?:is\ |ist\ |:\ ?)?$"""

MONTHS = {
    name: number
    for number, names in enumerate(
        (
            "jan january januar janner janvier enero gennaio januari styczen stycznia leden ledna",
            "feb february februar fevrier febrero febbraio februari luty lutego unor unora",
            "mar march marz mars marzo maart marzec marca brezen brezna",
            "apr april avril abril aprile kwiecien kwietnia duben dubna",
            "may mai mayo maggio mei maj maja kveten kvetna",
            "jun june juni juin junio giugno czerwiec czerwca cerven cervna",
            "jul july juli juillet julio luglio lipiec lipca cervenec cervence",
            "aug august aout agosto augustus sierpien sierpnia srpen srpna",
            "sep sept september septembre septiembre settembre wrzesien wrzesnia zari",
            "oct okt october oktober octobre octubre ottobre pazdziernik pazdziernika rijen rijna",
            "nov november novembre noviembre listopad listopada listopadu",
            "dec dez december dezember decembre diciembre dicembre grudzien grudnia prosinec prosince",
        ),
        1,
    )
    for name in names.split()
}
"""Months, by their folded names and usual short forms."""
