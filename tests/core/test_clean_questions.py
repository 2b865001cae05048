"""Clean questions to a shop, in eleven languages: next to nothing in them is anybody's."""

from __future__ import annotations

from collections.abc import Callable

from firedoor.app.detectors import Detectors
from firedoor.core.detect.rules.tier import Rules
from firedoor.core.detect.spans import Span

Find = Callable[[str], list[Span]]

QUESTIONS = {
    "en": """
        Do you have the waterproof hiking boots in size 42.5, and how do they compare with last year's model?
        What is the difference between the 65 W and the 100 W charger? My laptop is from 2023.
        The jacket in moss green is £149.90 today, will it be cheaper on Black Friday?
        Is SKU TR-4410-BLK compatible with the 27.5 inch wheel? It weighs 1,250 g, right?
        I ordered two pairs three days ago and the tracking page still says that it is being packed.
        Can I return a tent that I have used once? The zip broke after 10 minutes.
        Does the Samsung Galaxy S24 fit into the leather case you sell for €29.95?
        How long does express delivery take if I order before 2 pm on a Friday?
        Which of the three sleeping bags keeps me warm at -10 °C? I am 1.88 m tall.
        Are the Nike running shoes true to size or should I go half a size up?
        Does the Bosch dishwasher have a delay timer, and is it 45 or 60 cm wide?
        My discount code SUMMER20 is not accepted at checkout, the basket is over £60.
        Can you gift wrap the Lego set 10311 and send it without a price tag?""",
    "de": """
        Gibt es die Regenjacke auch in Größe XL und in Dunkelblau? Sie kostet gerade 149,90 €.
        Wann ist der Bosch Akkuschrauber mit 18 V wieder lieferbar? Im Laden war er ausverkauft.
        Ich habe am 12.03.2024 zwei Zelte bestellt und nur eines bekommen, was nun?
        Passt das Ersatzteil 4711-A zur Kaffeemaschine aus dem Jahr 2019?
        Wie wasche ich die Daunenjacke, ohne dass sie klumpt? Auf dem Etikett stehen 30 Grad.
        Der Rucksack mit 45 Litern ist mir zu groß, haben Sie einen mit 28 Litern?
        Bis wann muss ich bestellen, damit das Paket vor Weihnachten ankommt?
        Ist der Gutschein über 20 % auch für reduzierte Schuhe gültig?
        Fallen die Adidas Laufschuhe eher klein aus? Sonst nehme ich 43 1/3.
        Hat der Samsung Fernseher mit 55 Zoll zwei HDMI Anschlüsse?
        Kann ich den Newsletter abbestellen und trotzdem die Punkte behalten?
        Welche Batterien braucht die Stirnlampe, AA oder AAA?
        Die Lieferung sollte gestern kommen, im Status steht seit Montag nur Sortierzentrum.""",
    "fr": """
        Est-ce que la veste imperméable existe en taille L et en rouge ? Elle est à 89,00 € en ce moment.
        Combien de temps faut-il pour recevoir une commande en livraison express ?
        La cafetière 1200 W fonctionne-t-elle avec des capsules compatibles ?
        J'ai acheté un pantalon en 38, il est trop petit, puis-je l'échanger contre un 40 ?
        Quelle est la différence entre le modèle 2023 et le modèle 2024 de cette tente ?
        Le code promo de 15 % ne marche pas avec les articles soldés, est-ce normal ?
        Avez-vous encore des chaussures de randonnée en pointure 44 ?
        Les baskets Adidas taillent-elles grand ? Je fais du 42 d'habitude.
        Le lave-linge Bosch de 8 kg est-il livré avec installation ?
        Mon colis est bloqué depuis mardi dernier, que dois-je faire ?
        Puis-je payer en trois fois sans frais un achat de 250 € ?""",
    "es": """
        ¿Tienen las botas de montaña en la talla 43? En la página pone que cuestan 119,95 €.
        ¿Cuánto tarda el envío urgente si hago el pedido antes de las 14:00?
        El cargador de 65 W no funciona con mi portátil, ¿puedo devolverlo?
        ¿La mochila de 30 litros cabe debajo del asiento de un avión?
        He comprado dos camisetas y solo ha llegado una, ¿qué hago ahora?
        ¿Cuándo vuelve a estar disponible la tienda de campaña para 4 personas?
        ¿El descuento del 20 % se aplica también a los productos rebajados?
        ¿Las zapatillas Nike dan la talla o mejor pido un número más?
        ¿La lavadora Bosch de 8 kg incluye la instalación en casa?
        Mi paquete lleva parado desde el martes, ¿pueden mirarlo?
        ¿Puedo pagar una compra de 250 € en tres plazos sin intereses?""",
    "it": """
        Avete gli scarponi impermeabili nel numero 42? Sul sito costano 129,90 €.
        Quanto tempo ci vuole per la consegna espressa se ordino prima delle 13:00?
        La giacca verde taglia M è di nuovo disponibile?
        Il trapano da 18 V è compatibile con le batterie da 4 Ah?
        Vorrei restituire uno zaino da 45 litri perché la cerniera si è rotta subito.
        Lo sconto del 10 % vale anche per gli articoli in saldo?
        Che differenza c'è tra il modello del 2022 e quello nuovo?
        Le scarpe Adidas calzano piccole? Di solito porto il 43.
        La lavatrice Samsung da 9 kg è silenziosa durante la centrifuga?
        Il mio pacco è fermo da martedì, potete controllare?
        Posso pagare in tre rate un acquisto di 250 €?
        Quali pile servono per la lampada frontale?""",
    "nl": """
        Hebben jullie de waterdichte wandelschoenen ook in maat 44? Ze kosten nu € 139,95.
        Hoe lang duurt de bezorging als ik vandaag voor 22:00 uur bestel?
        Past deze hoes ook om een laptop van 15,6 inch uit 2021?
        Ik heb twee regenjassen besteld maar er zat er maar één in de doos.
        Kan ik een slaapzak ruilen die ik één nacht heb gebruikt?
        Geldt de korting van 25 % ook voor de schoenen in de uitverkoop?
        Wat is het verschil tussen de tent van 2,4 kg en die van 3,1 kg?
        Vallen de Nike hardloopschoenen klein uit? Ik heb normaal maat 43.
        Is de Bosch vaatwasser 45 of 60 cm breed?
        Mijn pakket staat sinds dinsdag stil, kunnen jullie dat nakijken?
        Kan ik een aankoop van € 250 in drie termijnen betalen?""",
    "pl": """
        Czy te buty trekkingowe są dostępne w rozmiarze 43? Teraz kosztują 399,99 zł.
        Ile trwa dostawa kurierem, jeśli zamówię przed godziną 12:00?
        Czy ładowarka 65 W pasuje do laptopa z 2022 roku?
        Chcę zwrócić plecak o pojemności 30 litrów, bo zepsuł się zamek.
        Czy rabat 15 % łączy się z innymi promocjami?
        Kiedy namiot dla 4 osób będzie znowu w sprzedaży?
        Jaka jest różnica między modelem z zeszłego roku a nowym?
        Czy buty Adidas mają zaniżoną rozmiarówkę? Zwykle noszę 42.
        Czy zmywarka Bosch ma 45 czy 60 cm szerokości?
        Moja paczka stoi w miejscu od wtorku, czy możecie to sprawdzić?
        Czy mogę zapłacić za zakupy o wartości 800 zł w trzech ratach?
        Jakie baterie są potrzebne do latarki czołowej?""",
    "pt": """
        Têm as botas impermeáveis no tamanho 41? No site custam 109,90 €.
        Quanto tempo demora a entrega expresso se encomendar antes das 15:00?
        O carregador de 65 W serve para um portátil de 2020?
        Comprei duas camisolas e só chegou uma, o que faço agora?
        A mochila de 40 litros é à prova de água?
        O desconto de 20 % também se aplica aos artigos em saldo?
        Quando volta a estar disponível a tenda para 3 pessoas?
        As sapatilhas Nike são pequenas? Normalmente calço o 42.
        A máquina de lavar Bosch de 8 kg inclui a instalação?
        A minha encomenda está parada desde terça-feira, podem verificar?
        Posso pagar uma compra de 250 € em três prestações?
        Que pilhas leva a lanterna frontal?""",
    "sv": """
        Finns vandringskängorna i storlek 42? De kostar 1 299 kr just nu.
        Hur lång tid tar leveransen om jag beställer före klockan 14?
        Passar laddaren på 65 W till en dator från 2021?
        Jag beställde två tröjor men fick bara en, vad gör jag nu?
        Gäller rabatten på 20 % även skor på rea?
        När kommer tältet för 4 personer tillbaka i lager?
        Är regnjackan vattentät eller bara vattenavvisande?
        Är löparskorna från Nike små i storleken? Jag har vanligtvis 43.
        Är diskmaskinen från Bosch 45 eller 60 cm bred?
        Mitt paket har stått stilla sedan i tisdags, kan ni kolla?
        Kan jag betala ett köp på 2 500 kr i tre delar?
        Vilka batterier behövs till pannlampan?""",
    "da": """
        Har I vandrestøvlerne i størrelse 43? De koster 1.199 kr. lige nu.
        Hvor lang tid tager leveringen, hvis jeg bestiller inden klokken 15?
        Passer opladeren på 65 W til en bærbar computer fra 2022?
        Jeg har købt to trøjer, men der var kun en i pakken.
        Gælder rabatten på 25 % også for sko på udsalg?
        Hvornår kommer teltet til 4 personer på lager igen?
        Er regnjakken vandtæt, eller er den kun vandafvisende?
        Er løbeskoene fra Adidas små i størrelsen? Jeg bruger normalt 43.
        Er opvaskemaskinen fra Bosch 45 eller 60 cm bred?
        Min pakke har stået stille siden tirsdag, kan I tjekke det?
        Kan jeg betale et køb på 2.500 kr. i tre rater?
        Hvilke batterier skal der bruges til pandelampen?""",
    "cs": """
        Máte ty trekové boty ve velikosti 44? Teď stojí 2 499 Kč.
        Jak dlouho trvá doručení, když objednám do 12:00?
        Hodí se nabíječka 65 W k notebooku z roku 2021?
        Objednal jsem dvě trička, ale přišlo jen jedno, co mám dělat?
        Platí sleva 20 % také na zlevněné boty?
        Kdy bude stan pro 4 osoby znovu skladem?
        Je ta bunda nepromokavá, nebo jen odpuzuje vodu?
        Jsou běžecké boty Nike malé? Obvykle nosím 43.
        Je myčka Bosch široká 45 nebo 60 cm?
        Můj balík stojí od úterý na místě, můžete to zkontrolovat?
        Mohu nákup za 2 500 Kč zaplatit ve třech splátkách?
        Jaké baterie potřebuje čelovka?""",
}
AIM, MOST = 2 / 1000, 7 / 1000
"""Letters and digits masked for nothing, of all characters: what is aimed at, and what holds. With the classifier of
November 2026 it is 45 of 8,046: words for things in Czech, German and Polish that it takes for names."""
GOOD = ("en", "fr", "es", "it", "nl", "pt", "sv", "da")
"""Languages that reach the aim."""


def lines() -> list[tuple[str, str]]:
    return [(language, line.strip()) for language, text in QUESTIONS.items() for line in text.strip().splitlines()]


def masked(find: Find, language: str) -> tuple[int, int]:
    """Letters and digits masked in the questions of a language, and all of their characters."""
    count = total = 0
    for line in (line for of, line in lines() if of == language):
        total += len(line)
        for span in find(line):
            count += sum(map(str.isalnum, line[span.start : span.end]))
            print(f"{language}: {span.label} {span.rule} {line[span.start : span.end]!r} in {line}")  # noqa: T201
    return count, total


def test_the_table_is_large_enough() -> None:
    assert len(QUESTIONS) == 11
    assert len({*lines()}) >= 80


def test_rules_find_nothing() -> None:
    find = Rules().find
    assert [line for _, line in lines() if find(line)] == []


def test_clean_questions_are_left_alone() -> None:
    find = Detectors().pipeline().find
    counts = {language: masked(find, language) for language in QUESTIONS}
    print("\n".join(f"{language}: {count} of {total}" for language, (count, total) in counts.items()))  # noqa: T201
    everything = sum(total for _, total in counts.values())
    assert sum(count for count, _ in counts.values()) <= MOST * everything
    of_good = [counts[language] for language in GOOD]
    assert sum(count for count, _ in of_good) <= AIM * sum(total for _, total in of_good)
