"""What is nobody's, for the slots of the templates: brands, products, dates, prices, organisations."""

from __future__ import annotations

import random

from training.personal_data.people import Person
from training.personal_data.places import city
from training.personal_data.values import MONTHS, WEEKDAYS, date, pattern

BRANDS = """Hugo Boss|Paul Smith|Marc O'Polo|Dr. Martens|Tommy Hilfiger|Jack & Jones|Levi's|Ted Baker|Calvin Klein|Jack Wolfskin|Ralph Lauren|Michael Kors|Stella McCartney
Giorgio Armani|Vera Wang|Tom Ford|Yves Rocher|Estée Lauder|Max Mara|Jil Sander|Karl Lagerfeld|Tom Tailor|S.Oliver|Fred Perry|Ben Sherman|Kate Spade|Tory Burch|Jimmy Choo|Villeroy & Boch
Mont Blanc|Johnnie Walker|Jack Daniel's|Ben & Jerry's|Dr. Oetker|Sony|Samsung|Bosch|Philips|Nike|Adidas|Puma|IKEA|Lego|Apple|Dyson|Braun|Miele|Siemens|Fairphone|Garmin|Canon|Nikon|Lenovo|Birkenstock
The North Face|Patagonia|Salomon|Columbia|Timberland|Converse|Vans|New Balance|Zara|H&M|Mango|Massimo Dutti|Desigual|Lacoste|Le Creuset|Moulinex|De'Longhi|Bialetti|Tefal|WMF|Zwilling|Wüsthof|Tupperware
Mercedes|Ferrari|Porsche|Tesla|Harley Davidson|Vespa|Ray-Ban|Oakley|Swatch|Tissot|Casio|Rolex|Cartier|Pandora|Thomas Sabo|Christ|Bugaboo|Maxi-Cosi|Steiff|Playmobil|Ravensburger|Barbie|Harry Potter|Spider-Man
Louis Vuitton|Coco Chanel|Christian Dior|Hermès|Guess|Diesel|Esprit|Bonprix|Zalando|Douglas|Lush|Nivea|L'Oréal|Maybelline|Charlotte Tilbury|Bobbi Brown|Marc Jacobs|Victoria's Secret|Mark Levinson|Bang & Olufsen
Johnson & Johnson|Procter & Gamble|Oscar Mayer|Aunt Jemima|Uncle Ben's|Wendy's|Papa John's|Domino's|Lloyds|Morgan Stanley|JP Morgan|Goldman Sachs|Ernst & Young|Santander|ING|Barclays|Charles Schwab|Fargo""".replace("\n", "|").split("|")  # fmt: skip
_KINDS = {
    "en": "jacket|sneakers|boots|dress|coffee machine|lamp|headphones|phone case|tent|backpack|sofa|drill|perfume|watch|shirt|jeans|blender|keyboard|mattress|toy train|book|sunglasses|rug|gift card|pizza|laptop|tablet|camera".split("|"),
    "de": "Jacke|Turnschuhe|Stiefel|Kleid|Kaffeemaschine|Lampe|Kopfhörer|Handyhülle|Zelt|Rucksack|Sofa|Bohrmaschine|Parfüm|Uhr|Hemd|Jeans|Mixer|Tastatur|Matratze|Teppich|Gutschein|Waschmaschine|Fahrrad|Regal".split("|"),
    "fr": "veste|baskets|bottes|robe|machine à café|lampe|casque|coque|tente|sac à dos|canapé|perceuse|parfum|montre|chemise|jean|mixeur|clavier|matelas|tapis|carte cadeau|lave-linge|vélo|étagère".split("|"),
    "es": "chaqueta|zapatillas|botas|vestido|cafetera|lámpara|auriculares|funda|tienda|mochila|sofá|taladro|perfume|reloj|camisa|vaqueros|batidora|teclado|colchón|alfombra|tarjeta regalo|lavadora|bicicleta|estantería".split("|"),
    "it": "giacca|scarpe|stivali|vestito|macchina da caffè|lampada|cuffie|cover|tenda|zaino|divano|trapano|profumo|orologio|camicia|jeans|frullatore|tastiera|materasso|tappeto|buono regalo|lavatrice|bicicletta|scaffale".split("|"),
    "nl": "jas|sneakers|laarzen|jurk|koffiemachine|lamp|koptelefoon|hoesje|tent|rugzak|bank|boormachine|parfum|horloge|overhemd|spijkerbroek|blender|toetsenbord|matras|kleed|cadeaubon|wasmachine|fiets|kast".split("|"),
    "pl": "kurtka|buty|kozaki|sukienka|ekspres do kawy|lampa|słuchawki|etui|namiot|plecak|sofa|wiertarka|perfumy|zegarek|koszula|dżinsy|blender|klawiatura|materac|dywan|karta podarunkowa|pralka|rower|regał".split("|"),
    "pt": "casaco|ténis|botas|vestido|máquina de café|candeeiro|auscultadores|capa|tenda|mochila|sofá|perfume|relógio|camisa|calças|teclado|colchão|tapete|bicicleta".split("|"),
    "cs": "bunda|tenisky|boty|šaty|kávovar|lampa|sluchátka|obal|stan|batoh|pohovka|vrtačka|parfém|hodinky|košile|džíny|mixér|klávesnice|matrace|koberec|pračka|kolo".split("|"),
    "sv": "jacka|skor|stövlar|klänning|kaffemaskin|lampa|hörlurar|skal|tält|ryggsäck|soffa|parfym|klocka|skjorta|jeans|tangentbord|madrass|matta|cykel|hylla".split("|"),
    "da": "jakke|sko|støvler|kjole|kaffemaskine|lampe|hovedtelefoner|cover|telt|rygsæk|sofa|parfume|ur|skjorte|jeans|tastatur|madras|tæppe|cykel|reol".split("|"),
}  # fmt: skip
_MODELS = (
    "Pro {}",
    "Max {}",
    "X{}",
    "{} Plus",
    "Serie {}",
    "Air {}",
    "MX-{}",
    "Ultra {}",
    "V{}",
    "S{}",
    "GTX {}",
    "{}",
    "EOS R{}",
    "Classic",
    "Vintage",
    "Premium",
    "Slim Fit",
    "Black Edition",
    "Junior",
)
_ORG = (
    "{n} GmbH",
    "{n} & Söhne",
    "{n} Ltd",
    "{n} Inc.",
    "{n} S.A.",
    "{n} SpA",
    "{n} B.V.",
    "{n} Sp. z o.o.",
    "{n} Group",
    "{n} Bank",
    "{n} Logistics",
    "University of {c}",
    "FC {c}",
    "{c} City Council",
    "{n} Foundation",
    "{c} Times",
    "{n} AG",
    "{n} Consulting",
    "{n} Partners",
    "{n}",
    "{n} s.r.o.",
    "{n} AB",
    "Hotel {c}",
    "{n} & Co",
)
_SHORT = (
    "DHL",
    "UPS",
    "FedEx",
    "BBC",
    "NATO",
    "UNESCO",
    "FIFA",
    "SAP",
    "BMW",
    "Allianz",
    "Lufthansa",
    "Ryanair",
    "Amazon",
    "Google",
    "PayPal",
    "Klarna",
    "GLS",
    "Hermes",
    "Deutsche Post",
    "La Poste",
    "Correos",
    "InPost",
    "PostNL",
    "Royal Mail",
    "Microsoft",
    "Netflix",
    "Spotify",
    "Allegro",
    "Carrefour",
    "Lidl",
    "Aldi",
    "Tesco",
    "Vodafone",
    "Orange",
    "T-Mobile",
)
_COUNTRIES = {
    "en": "Germany|France|Spain|Italy|Poland|the Netherlands|Ireland|Scotland|England|the UK|the United States|USA|Canada|India|Australia|Brazil|China|Japan|Russia|Turkey|Austria|Switzerland|Sweden|Norway|Mexico|Egypt|Kenya|Israel|Ukraine".split("|"),
    "de": "Deutschland|Frankreich|Spanien|Italien|Polen|Österreich|Schweiz|Belgien|Dänemark|England|Großbritannien|USA|Kanada|China|Russland|Türkei|Japan|Ungarn|Tschechien|Griechenland|Bayern|Sachsen|Hessen".split("|"),
    "fr": "France|Belgique|Suisse|Allemagne|Espagne|Italie|Pologne|Angleterre|États-Unis|Canada|Maroc|Algérie|Tunisie|Sénégal|Chine|Japon|Portugal|Pays-Bas|Grèce|Russie|Luxembourg".split("|"),
    "es": "España|México|Argentina|Colombia|Chile|Perú|Francia|Portugal|Alemania|Italia|Inglaterra|Estados Unidos|Cuba|Uruguay|Venezuela|Brasil|China|Japón|Marruecos|Andorra".split("|"),
    "it": "Italia|Francia|Germania|Spagna|Svizzera|Austria|Polonia|Inghilterra|Stati Uniti|Grecia|Cina|Giappone|Portogallo|Belgio|Brasile|Russia|San Marino|Slovenia".split("|"),
    "nl": "Nederland|België|Duitsland|Frankrijk|Spanje|Italië|Polen|Engeland|Verenigde Staten|Suriname|Turkije|Marokko|Zwitserland|Oostenrijk|Zweden|China|Japan|Griekenland".split("|"),
    "pl": "Polska|Niemcy|Francja|Hiszpania|Włochy|Czechy|Słowacja|Ukraina|Litwa|Anglia|Stany Zjednoczone|Szwecja|Norwegia|Chiny|Japonia|Rosja|Węgry|Austria|Holandia".split("|"),
    "pt": "Portugal|Brasil|Espanha|França|Alemanha|Itália|Inglaterra|Estados Unidos|Angola|Moçambique|Cabo Verde|Suíça|China|Japão".split("|"),
    "cs": "Česko|Slovensko|Německo|Rakousko|Polsko|Francie|Itálie|Anglie|Maďarsko|USA|Rusko|Čína|Španělsko".split("|"),
    "sv": "Sverige|Norge|Danmark|Finland|Tyskland|Frankrike|Spanien|Italien|England|USA|Polen|Kina|Island".split("|"),
    "da": "Danmark|Sverige|Norge|Tyskland|Frankrig|Spanien|Italien|England|USA|Polen|Kina|Island|Grønland".split("|"),
}  # fmt: skip
_REGIONS = "Rhein|Elbe|Donau|Alps|Alpen|Bayern|Sachsen|Toscana|Sicilia|Lombardia|Bretagne|Normandie|Provence|Andalucía|Cataluña|Galicia|Mazowsze|Śląsk|Małopolska|Mazury|Loire|Seine|Thames|Yorkshire|Cornwall|Kent|Texas|California|Ohio|Bavaria|Brabant|Limburg|Friesland|Zeeland|Morava|Šumava|Skåne|Jylland|Fyn|Algarve|Minho|Alentejo|Danube|Tatry|Wisła|Sahara|Mississippi|Everest|Alsace|Piemonte|Aragón".split(
    "|"
)
_COLOURS = {
    "en": "black white red blue green grey navy beige", "de": "schwarz weiß rot blau grün grau Dunkelblau beige", "fr": "noir blanc rouge bleu vert gris marine beige", "es": "negro blanco rojo azul verde gris marino beige",
    "it": "nero bianco rosso blu verde grigio beige", "nl": "zwart wit rood blauw groen grijs beige", "pl": "czarny biały czerwony niebieski zielony szary granatowy", "pt": "preto branco vermelho azul verde cinzento",
    "cs": "černý bílý červený modrý zelený šedý", "sv": "svart vit röd blå grön grå", "da": "sort hvid rød blå grøn grå",
}  # fmt: skip


def harmless(slot: str, language: str, rng: random.Random) -> str:
    """Something for a slot that is nobody's: a brand, a product, a date, a number."""
    if slot == "brand":
        return rng.choice(BRANDS)
    if slot == "product":
        kind = rng.choice(_KINDS[language])
        model = rng.choice(_MODELS).format(rng.randint(2, 9000))
        return rng.choice(
            (kind, kind, f"{rng.choice(BRANDS)} {kind}", f"{rng.choice(BRANDS)} {model}", f"{kind} {model}")
        )
    if slot == "sku":
        return pattern(
            rng.choice(
                ("@@-####", "@@@-###-@@", "#####-##", "@#####", "##########", "@@######", "SKU-#####", "#############")
            ),
            rng,
        )
    if slot == "price":
        amount = rng.choice(
            (
                f"{rng.randint(1, 999)}",
                f"{rng.randint(1, 999)}.{rng.randint(0, 99):02}",
                f"{rng.randint(1, 999)},{rng.randint(0, 99):02}",
                f"{rng.randint(1, 9)} {rng.randint(100, 999)},00",
            )
        )
        return rng.choice(
            (
                "{} €",
                "€{}",
                "${}",
                "£{}",
                "{} EUR",
                "{} zł",
                "{} euro",
                "{} kr",
                "{} CHF",
                "EUR {}",
                "{} dollars",
                "{} PLN",
            )
        ).format(amount)
    if slot == "number":
        return rng.choice(
            (str(rng.randint(1, 20)), str(rng.randint(2, 500)), str(rng.randint(1000, 99999)), f"{rng.randint(1, 99)}%")
        )
    if slot == "size":
        return rng.choice(
            (
                "S",
                "M",
                "L",
                "XL",
                "XXL",
                str(rng.randint(34, 48)),
                f"{rng.randint(28, 38)}/{rng.randint(28, 36)}",
                f"{rng.randint(10, 300)} cm",
                "A4",
            )
        )
    if slot == "date":
        return date(rng, rng.randint(1990, 2027), language) if rng.random() < 0.8 else rng.choice(WEEKDAYS[language])
    if slot == "time":
        return rng.choice(
            (
                f"{rng.randint(0, 23)}:{rng.randint(0, 59):02}",
                f"{rng.randint(1, 12)} {rng.choice(('am', 'pm'))}",
                f"{rng.randint(7, 22)}h",
                f"{rng.randint(7, 22)}.{rng.choice(('00', '15', '30'))}",
            )
        )
    if slot == "month":
        return rng.choice(MONTHS[language])
    if slot == "weekday":
        return rng.choice(WEEKDAYS[language])
    if slot == "colour":
        return rng.choice(_COLOURS[language].split())
    if slot == "tracking":
        return pattern(
            rng.choice(
                ("1Z@@@#############"[:18], "JJD##################", "##############", "RR#########DE", "############")
            ),
            rng,
        )
    if slot == "country":
        return rng.choice(_COUNTRIES[language])
    if slot == "region":
        return rng.choice(_REGIONS)
    if rng.random() < 0.35:
        return rng.choice(_SHORT)
    name = Person(language, rng).last if rng.random() < 0.6 else rng.choice(BRANDS)
    return rng.choice(_ORG).format(n=name, c=city(language, rng))
