"""What a word announces and no checksum proves: accounts, policies, members, number plates, post and card codes."""

from __future__ import annotations

import re

from firedoor.core.detect.rules.identifiers_checks import pl_nrb
from firedoor.core.detect.rules.identifiers_fields import Field, shape

_A = "ACCOUNT_ID"

# Letters first or not ("K-34823", "bmw 235987413"), then digits; later groups have digits, after a space three.
_ID = (
    r"(?:[A-Za-z]{1,6}[-_/]?|%s)?[0-9][A-Za-z0-9]{0,24}"
    r"(?:[-_/][A-Za-z]{0,3}[0-9][A-Za-z0-9]{0,15}|[ ][0-9]{3,12}(?![0-9.,]*[ ]?[%%€$£])){0,6}"
)
ACCOUNT = re.compile(_ID % r"[A-Z]{1,4}[ ]")
POLICY = re.compile(_ID % r"[A-Za-z]{2,4}[ ]")
"""Policies and claims are told with their letters apart, in lower case too: ``bmw 235987413``."""
PLATE = re.compile(
    r"(?=[^\n]{0,10}?[0-9])(?:[A-ZÄÖÜ]{1,3}[ -]?[A-Z]{0,3}[ -]?[0-9]{1,5}[ -]?[A-Z]{0,3}"
    r"|[0-9]{1,4}[ -]?[A-Z]{1,3}[ -]?[0-9A-Z]{1,4}"
    r"|[a-zäöü]{1,3}-?[a-z]{0,3}[ -]?[0-9]{1,5}[ -]?[a-z]{0,3}|[0-9]{1,4}-?[a-z]{1,3}-?[0-9a-z]{1,4})(?![^\W_])"
)
VIN = re.compile(r"[A-HJ-NPR-Za-hj-npr-z0-9]{17}(?![^\W_])")
POSTCODE = re.compile(
    r"(?:[A-Za-z]{1,2}[0-9][A-Za-z0-9]?[ ]?[0-9][A-Za-z]{2}"  # United Kingdom
    r"|[A-Za-z][0-9][A-Za-z][ ]?[0-9][A-Za-z][0-9]|[A-Za-z][0-9O]{2}[ ]?[A-Z0-9]{4}"  # Canada, Ireland
    r"|(?:[A-Za-z]{1,2}[- ])?(?:[0-9]{4}[ ]?[A-Za-z]{2}|[0-9]{2}-[0-9]{3}|[0-9]{3}[ ][0-9]{2}"
    r"|[0-9]{4,5}-[0-9]{3,4}|[0-9]{3,8}))(?![^\W_])"
)
SURE_POSTCODE = re.compile(r"[0-9]{5,6}(?:-[0-9]{4})?(?![^\W_])")
"""Behind a word that has other meanings: a zip is also a fastener."""
CARD_CODE = re.compile(r"[0-9]{3,4}(?![^\W_]|[.,/-][0-9])")
CARD_TAIL = re.compile(r"[0-9]{4,12}(?![^\W_]|[.,/-][0-9])")
SPELT_ID = re.compile(
    r"(?:[a-z]{1,4}[ ][0-9]{1,9}|[0-9]{1,3}[ ][a-z]{1,4})(?:[ ](?:[a-z]{1,2}|[0-9]{1,4})(?![^\W_])){0,5}(?![^\W_])"
)
"""An id whose letters and digits were typed apart, as people read them out: ``hdy 458``, ``d 4 ct 58``."""


ACCOUNTS = (
    Field("IBAN", "iban.pl_nrb", """
        konto, konta, koncie, kontem, nr konta, numer konta, numeru konta, nr rachunku, rachunek, rachunku,
        rachunkiem, numer rachunku, numeru rachunku, rachunek bankowy, rachunku bankowego, nrb, iban, nr rach, bank
        account""",
        (shape(r"\d{26}", pl_nrb), shape(r"PL[0-9OQDILSBZ]{26}"))),
    Field("CREDIT_CARD", "card.cvv", """
        cvv, cvv2, cvc, cvc2, ^CID, csc, cvn, cav2, cvv cvc, cvc cvv, card verification, card verification value,
        card verification code, card security code, security code, prüfnummer, kartenprüfnummer, kartenprüfziffer,
        prüfziffer, prüfcode, sicherheitscode, sicherheitsnummer, cryptogramme, cryptogramme visuel, code de
        sécurité, code de vérification, código de seguridad, código de verificación, codice di sicurezza, codice
        cvv, codice di verifica, beveiligingscode, veiligheidscode, kod cvv, kod cvc, kod zabezpieczający, kod
        bezpieczeństwa, código de segurança, säkerhetskod, kontrolcifre, sikkerhedskode, sikkerhetskode, turvakoodi,
        three digits on the back, digits on the back""",
        value=CARD_CODE),
    Field(_A, "account.context", """
        account, ~accounts, ~acct, ~acc, ~ac, ~a c, accno, acno, account no, account number, accountnumber, acct
        number, savings account, checking account, bank account, ~savings, ~checking, customer, ~customers,
        customerid, customer id, customer no, client, ~clients, clientid, client id, member, ~members, memberid,
        membership, member id, loyalty, loyalty card, rewards, rewards card, bonus card, frequent flyer,
        ~subscriber, ~subscription, ~contract, ~user, ~profile, ~patient, patient id, ~employee, ~student, ~library
        card, gift card, ~voucher, routing, routing number, sort code, aba, kunde, kunden, kundennummer, kundennr,
        kundenid, kundenkonto, kundenkontonummer, konto, kontonummer, kontonr, ~vertrag, vertragsnummer, vertragsnr,
        vertragskonto, mitglied, mitgliedsnummer, mitgliedsnr, bonuskarte, kundenkarte, kundenkartennummer, payback,
        paybacknummer, treuekarte, patientennummer, personalnummer, matrikelnummer, bankleitzahl, blz,
        benutzernummer, zählernummer, client, cliente, clienti, ~compte, numéro de compte, numéro client, numéro de
        client, n client, carte de fidélité, ~fidélité, adhérent, numéro d adhérent, ~contrat, numéro d abonné,
        abonné, sociétaire, numéro d allocataire, ~cuenta, número de cuenta, número de cliente, socio, número de
        socio, tarjeta de fidelidad, ~contrato, abonado, ~conto, numero di conto, numero conto, numero cliente,
        codice cliente, tessera, numero tessera, tessera fedeltà, ~contratto, socia, carta fedeltà, codice socio,
        klant, klanten, klantnummer, klantnr, klantid, ~rekening, rekeningnummer, lidmaatschap, lidnummer, ~lid,
        klantenkaart, klantenkaartnummer, ~contractnummer, contractnummer, relatienummer, debiteurnummer, klient,
        klienta, klientem, nr klienta, numer klienta, kod klienta, ~umowa, ~umowy, nr umowy, numer umowy, karta
        stałego klienta, karta lojalnościowa, nr karty klienta, ~członek, numer członkowski, ~konto, ~konta, número
        de cliente, ~conta, número da conta, sócio, cartão de fidelidade, kundnummer, kundenr, kundnr, kundenummer,
        kontonummer, ~konto, medlemsnummer, medlemsnr, medlem, asiakasnumero, asiakas, jäsennumero, tilinumero,
        zákaznické číslo, číslo zákazníka, zákazník, číslo klienta, číslo účtu, ~účet, ügyfélszám, ügyfél,
        számlaszám, bankszámlaszám, număr client, cod client, ~cont, broj kupca, številka stranke, клиентски номер,
        αριθμός πελάτη""",
        value=ACCOUNT, digits=4),
    Field(_A, "account.policy", """
        policy, ~policies, policyid, policyno, insurance policy, insurance number, insurance no, insurance id,
        claim, ~claims, claimid, claim id, ~calim, ~plc, ~clm, reference claim, ~case claim, ~police, policennummer,
        policennr, versicherungsschein, versicherungsscheinnummer, schaden, schadennummer, schadensnummer,
        schadennr, aktenzeichen, ~police d assurance, numéro de police, numéro de sinistre, sinistre, póliza, número
        de póliza, siniestro, número de siniestro, polizza, numero polizza, sinistro, numero sinistro, polis,
        polisnummer, polisnr, schadenummer, schadeclaim, polisa, polisy, polisę, nr polisy, numer polisy, szkody, nr
        szkody, numer szkody, apólice, försäkringsnummer, skadenummer, policenummer, polisenummer, vakuutusnumero,
        pojistka, číslo pojistky, kötvényszám""",
        value=POLICY, digits=3),
    Field(_A, "account.medical", """
        mrn, mrns, medical record, medical records, medical record number, medical record numbers, ~patient record,
        hospital number, health record, ~chart, aktennummer, fallnummer, numéro de dossier, dossier médical,
        historia clínica, cartella clinica, patiëntnummer, patientnummer, numer pacjenta, karta pacjenta""",
        value=ACCOUNT, digits=4),
    Field(_A, "account.plate", """
        license plate, licence plate, license plates, number plate, plate number, ~plate, registration plate,
        vehicle registration, car registration, reg number, kennzeichen, autokennzeichen, kfz kennzeichen,
        nummernschild, immatriculation, plaque d immatriculation, ~plaque, matrícula, matricule, targa, kenteken,
        kentekennummer, nr rejestracyjny, numer rejestracyjny, numerze rejestracyjnym, numerem rejestracyjnym,
        numery rejestracyjne, tablica rejestracyjna, tablice rejestracyjne, rejestracja, registreringsnummer,
        regnummer, regnr, nummerplade, skiltnummer, rekisterinumero, rekisteritunnus, rendszám, rendszáma, spz, špz,
        registrační značka, registarska oznaka, registrska številka, număr de înmatriculare, valstybinis numeris,
        регистрационен номер""",
        value=PLATE),
    Field(_A, "account.vin", """
        vin, vehicle identification, chassis, ~chassis, fin, fahrgestellnummer, fahrgestellnr,
        fahrzeugidentifikationsnummer, numéro de châssis, numéro de série du véhicule, bastidor, número de bastidor,
        telaio, numero di telaio, chassisnummer, nr vin, numer vin, vehicle vin""",
        value=VIN, digits=3),
    Field("POSTCODE", "postcode.context", """
        zipcode, zip code, zip codr, ~zip, postcode, post code, postal code, postalcode, plz, postleitzahl, code
        postal, código postal, cod postal, código zip, codice postale, codice avviamento postale, kod pocztowy, kodu
        pocztowego, kod poczt, kodem pocztowym, postnummer, postnr, postinumero, psč, poštovní směrovací číslo,
        irányítószám, poštanski broj, poštna številka, pašto kodas, pasta indekss, sihtnumber, eircode, пощенски
        код, ταχυδρομικός κώδικας, τκ, τ κ""",
        value=POSTCODE, digits=3),
    Field("POSTCODE", "postcode.context", "zip, cp, cap, c a p", value=SURE_POSTCODE),
    Field("ORDER_ID", "order.spelt", """
        ~order, ~booking, ~booking confirmation, ~confirmation, ~reservation, ~pnr, pnr, ~bestellung, ~buchung,
        buchungsnummer, bestellnummer, ~commande, ~réservation, ~pedido, ~reserva, ~ordine, ~prenotazione, ~boeking,
        boekingsnummer, bestelnummer, ~zamówienie, ~rezerwacja, ~booking reference""",
        value=SPELT_ID, digits=2),
    Field("CREDIT_CARD", "card.tail", """
        ~card, ~credit card, ~debit card, ~cc, ~credit, ~visa, ~mastercard, kreditkartennummer, kartennummer,
        ~karte, ~carte, ~tarjeta, ~carta, kaartnummer, ~karty, ~karta""",
        value=CARD_TAIL),
)  # fmt: skip
