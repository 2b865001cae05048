"""National identification numbers, health and social insurance numbers, and personal documents: EU, UK, CH, NO, US.

Words in the languages of each country; forms and checksums from `python-stdnum`. Documents (identity card, passport,
driver's licence) have no form that holds everywhere and need their word.
"""

from __future__ import annotations

import re

from stdnum.at import vnr
from stdnum.bg import egn
from stdnum.ch import ssn as ahv
from stdnum.cz import rc
from stdnum.ee import ik
from stdnum.es import nif as es_nif
from stdnum.fr import nir
from stdnum.gb import nhs
from stdnum.gr import amka
from stdnum.hr import oib
from stdnum.ie import pps
from stdnum.it import codicefiscale
from stdnum.lt import asmens
from stdnum.lv import pvn
from stdnum.nl import bsn
from stdnum.pl import pesel
from stdnum.ro import cnp
from stdnum.si import emso
from stdnum.us import ssn

from firedoor.core.detect.rules import identifiers_checks as checks
from firedoor.core.detect.rules.identifiers_fields import Field, shape

_N = "NATIONAL_ID"

DOCUMENT = re.compile(
    r"(?:[A-Z]{1,3}[ -]?|[a-z]{1,3}-?)?[0-9][A-Za-z0-9]{0,19}(?:[ ./-][A-Za-z]{0,3}[0-9][A-Za-z0-9]{0,8}){0,11}"
)
"""What documents are numbered with: letters first or not, then groups that have digits."""

NATIONAL = (
    Field(
        _N, "national.pl_pesel", "pesel, numer ewidencyjny, nr ewidencyjny",
        (shape(r"\d{11}", pesel.is_valid),), loose=6,
    ),
    Field(
        _N, "national.us_ssn",
        "ssn, ssn no, ssnno, sss no, social security, social security number, social security no, social "
        "number, socialnum, "
        "social sec, ~social, soc sec, my social, itin, individual taxpayer identification number",
        (shape(r"\d{9}", ssn.is_valid), shape(r"\d{4}")),
    ),
    Field(_N, "national.us_npi", "npi, national provider identifier", (shape(r"\d{10}", checks.us_npi),)),
    Field(
        _N, "national.gb_nino", "national insurance, national insurance number, nino, ni number, ni no, n i number",
        (shape(r"[A-CEGHJ-PR-TW-Z][A-CEGHJ-NPR-TW-Z]\d{6}[A-D]?"), shape(r"[A-Z]{2}\d{6}[A-Z]")),
    ),
    Field(_N, "national.gb_nhs", "nhs, nhs number, nhs no", (shape(r"\d{10}", nhs.is_valid),)),
    Field(
        _N, "national.de_insurance",
        "sozialversicherungsnummer, sozialversicherungsnr, sv nummer, sv nr, rentenversicherungsnummer, rentennummer, "
        "versicherungsnummer, rvnr, krankenversicherungsnummer, krankenversichertennummer, versichertennummer, kvnr, "
        "krankenkassennummer",
        (shape(r"\d{8}[A-Z]\d{3}"), shape(r"[A-Z]\d{9}")),
    ),
    Field(
        _N, "national.at_svnr", "sozialversicherungsnummer, svnr, sv nummer, sv nr, versicherungsnummer",
        (shape(r"\d{10}", vnr.is_valid),),
    ),
    Field(
        _N, "national.ch_ahv",
        "ahv, ahv nummer, ahv nr, ahvnummer, avs, numéro avs, numero avs, n avs, no avs, sozialversicherungsnummer",
        (shape(r"756\d{10}", ahv.is_valid),),
    ),
    Field(
        _N, "national.fr_nir",
        "nir, sécurité sociale, numéro de sécurité sociale, n de sécurité sociale, numéro de sécu, n de sécu, "
        "numéro sécu, "
        "n sécu, sécu, carte vitale, numéro insee",
        (shape(r"[1-478]\d{4}(?:\d{2}|2[AB])\d{6}\d{2}", nir.is_valid), shape(r"[1-478]\d{12}(?:\d{2})?")),
    ),
    Field(
        _N, "national.es_dni",
        "dni, nif, ^NIE, ~nie, ~dni nie, documento nacional de identidad, documento de identidad, número de "
        "identidad de "
        "extranjero, número de identificación de extranjero",
        (shape(r"[0-9XYZKLM]\d{7}[A-Z]", es_nif.is_valid),),
    ),
    Field(
        _N, "national.es_nss", "seguridad social, número de la seguridad social, nss, naf",
        (shape(r"\d{11,12}"),),
    ),
    Field(
        _N, "national.it_codice_fiscale", "codice fiscale, cod fiscale, cod fisc, cod fis, cf, c f, codicefiscale",
        (shape(r"[A-Z]{6}X{2}[A-Z]X{2}[A-Z]X{3}[A-Z]".replace("X", "[0-9LMNPQRSTUV]"), codicefiscale.is_valid),),
    ),
    Field(
        _N, "national.nl_bsn", "bsn, burgerservicenummer, sofinummer, sofi nummer, citizen service number",
        (shape(r"\d{8,9}", bsn.is_valid),), loose=6,
    ),
    Field(
        _N, "national.be_nn",
        "rijksregisternummer, rijksregister, nationaal nummer, numéro national, registre national, numéro de registre "
        "national, niss, insz, insz nummer, rrn",
        (shape(r"\d{11}", checks.be_nn),),
    ),
    Field(
        _N, "national.se_personnummer",
        "personnummer, person nr, personnr, pers nr, persnr, samordningsnummer, personal number",
        (shape(r"(?:\d{2})?\d{10}", checks.se_personnummer),), loose=6,
    ),
    Field(_N, "national.dk_cpr", "cpr, cpr nummer, cpr nr, cprnr, personnummer", (shape(r"\d{10}", checks.dk_cpr),)),
    Field(
        _N, "national.no_fodselsnummer",
        "fødselsnummer, fodselsnummer, fødsels og personnummer, fnr, d nummer, personnummer",
        (shape(r"\d{11}", checks.no_fodselsnummer),),
    ),
    Field(
        _N, "national.fi_hetu", "hetu, henkilötunnus, henkilötunnukseni, henkilötunnuksen, sotu, personbeteckning",
        (shape(r"\d{6}[A-FU-Y]?\d{3}[0-9A-Y]", checks.fi_hetu),),
    ),
    Field(
        _N, "national.cz_rc", "rodné číslo, rodné č, rodným číslem, rodného čísla, r č, rč, ^RC",
        (shape(r"\d{9,10}", rc.is_valid),),
    ),
    Field(
        _N, "national.ro_cnp", "cnp, cod numeric personal, codul numeric personal",
        (shape(r"\d{13}", cnp.is_valid),), loose=8,
    ),
    Field(_N, "national.bg_egn", "егн, egn, единен граждански номер, лнч", (shape(r"\d{10}", egn.is_valid),)),
    Field(_N, "national.gr_amka", "αμκα, amka", (shape(r"\d{11}", amka.is_valid),)),
    Field(_N, "national.hr_oib", "oib, osobni identifikacijski broj", (shape(r"\d{11}", oib.is_valid),)),
    Field(_N, "national.si_emso", "emšo, emso, enotna matična številka občana", (shape(r"\d{13}", emso.is_valid),)),
    Field(
        _N, "national.hu_taj",
        "taj, taj szám, tajszám, taj szama, személyi szám, személyi azonosító, személyi azonosító jel",
        (shape(r"\d{9}|\d{11}"),),
    ),
    Field(_N, "national.lt_kodas", "asmens kodas, asmens kodo, asm kodas", (shape(r"\d{11}", asmens.is_valid),)),
    Field(_N, "national.lv_kods", "personas kods, personas kodu, personas kodam", (shape(r"\d{11}", pvn.is_valid),)),
    Field(_N, "national.ee_isikukood", "isikukood, isikukoodi, isikukoodiga", (shape(r"\d{11}", ik.is_valid),)),
    Field(
        _N, "national.ie_pps", "pps, ppsn, pps number, pps no, personal public service number",
        (shape(r"\d{7}[A-W][A-IW]?", pps.is_valid),),
    ),
    Field(
        _N, "national.pt_cc",
        "cartão de cidadão, bilhete de identidade, número de identificação civil, cartão do cidadão",
        (shape(r"\d{8,9}(?:[A-Z0-9]{2}\d)?", checks.pt_number),),
    ),
    Field(_N, "national.pt_niss", "niss, segurança social, número de segurança social", (shape(r"\d{11}"),)),
    Field(
        _N, "national.lu_matricule", "matricule, numéro matricule, matricule national", (shape(r"\d{11}(?:\d{2})?"),),
    ),
    Field(_N, "national.card", """
        personalausweis, personalausweisnummer, personalausweisnr, ausweis, ausweisnummer, ausweisnr, perso, dowód,
        dowód osobisty, dowodu osobistego, dowodem osobistym, dowodzie osobistym, dowodu, nr dowodu, numer dowodu,
        seria i numer dowodu, seria i nr dowodu, legitymującej się dowodem osobistym, identity card, id card,
        identification card, identity document, national id, national identity, national identity card, national
        identification, personal id, identity number, ~identification, ~identity, ~gov id, carte d identité, carte
        nationale d identité, cni, pièce d identité, titre de séjour, carte de séjour, carta d identità, carta di
        identità, documento di identità, documento d identità, cie, identiteitskaart, identiteitsbewijs, id kaart,
        identiteitsnummer, cédula, cédula de identidad, tarjeta de identidad, tarjeta de residencia, permiso de
        residencia, občanský průkaz, občanského průkazu, číslo op, občiansky preukaz, občianskeho preukazu, osobna
        iskaznica, osebna izkaznica, carte de identitate, buletin, seria ci, лична карта, личната карта, ταυτότητα,
        αριθμός ταυτότητας, αδτ, személyi igazolvány, személyi, személyi igazolványszám, asmens tapatybė, tapatybės
        kortelė, id kaardi, apliecība, id kort, legitimation, henkilökortti, identitetskort, aufenthaltstitel,
        residence permit""",
        value=DOCUMENT, digits=5),
    Field(_N, "national.passport", """
        passport, passports, pass nr, passnr, passnummer, pass number, reisepass, reisepassnummer, reisepassnr,
        passeport, pasaporte, passaporto, paspoort, paspoortnummer, passaporte, paszport, paszportu, paszportem, pas
        nr, pasnummer, passi, passin, passinumero, útlevél, útlevélszám, útlevelem, cestovní pas, cestovného pasu,
        číslo pasu, pašaport, pașaport, pașaportului, putovnica, putovnice, potni list, pasas, paso nr, pase nr,
        passi number, паспорт, паспортен, διαβατήριο, διαβατηρίου, passeport numéro""",
        value=DOCUMENT, digits=5),
    Field(_N, "national.licence", """
        driver s license, drivers license, driver license, driver s licence, drivers licence, driver licence,
        driving licence, driving license, dl, driver s lic, führerschein, führerscheinnummer, führerscheinnr,
        fahrerlaubnis, führerausweis, permis de conduire, permis, permis auto, permis de conducere, permiso de
        conducir, carnet de conducir, licencia de conducir, licencia de conducción, patente, patente di guida,
        patente auto, rijbewijs, rijbewijsnummer, carta de condução, prawo jazdy, prawa jazdy, prawem jazdy,
        körkort, körkortsnummer, kørekort, kørekortnummer, førerkort, førerkortnummer, ajokortti, ajokortin, vezetői
        engedély, jogosítvány, řidičský průkaz, řidičského průkazu, řidičák, vodičský preukaz, vozačka dozvola,
        vozniško dovoljenje, vairuotojo pažymėjimas, juhiluba, vadītāja apliecība, шофьорска книжка, свидетелство за
        управление, άδεια οδήγησης, δίπλωμα οδήγησης""",
        value=DOCUMENT, digits=5),
)  # fmt: skip
