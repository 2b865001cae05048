"""Tax numbers and VAT numbers: the EU member states, UK, Switzerland, Norway and the USA.

A tax number of a company is found as well: a sole trader's is a person's, and nobody can tell the two apart.
"""

from __future__ import annotations

from stdnum.bg import vat as bg_vat
from stdnum.ch import uid as ch_uid
from stdnum.cz import dic
from stdnum.de import idnr, stnr
from stdnum.dk import cvr
from stdnum.es import cif
from stdnum.es import nif as es_nif
from stdnum.fi import alv
from stdnum.fr import siren, siret
from stdnum.gb import utr
from stdnum.gb import vat as gb_vat
from stdnum.gr import vat as gr_vat
from stdnum.hr import oib
from stdnum.hu import anum
from stdnum.it import iva
from stdnum.nl import bsn
from stdnum.no import orgnr as no_orgnr
from stdnum.pl import nip, regon
from stdnum.pt import nif as pt_nif
from stdnum.ro import cui
from stdnum.se import orgnr as se_orgnr
from stdnum.si import ddv

from firedoor.core.detect.rules import identifiers_checks as checks
from firedoor.core.detect.rules.identifiers_fields import Field, shape

_T = "TAX_ID"

EU_PREFIXED = (
    r"(?:ATU\d{8}|BE[01]?\d{9}|BG\d{9,10}|CY\d{8}[A-Z]|CZ\d{8,10}|DE\d{9}|DK\d{8}|EE\d{9}|(?:EL|GR)\d{9}"
    r"|ES[A-Z0-9]\d{7}[A-Z0-9]|FI\d{8}|FR[A-Z0-9]{2}\d{9}|HR\d{11}|HU\d{8}|IE\d[A-Z0-9]\d{5}[A-Z]{1,2}|IT\d{11}"
    r"|LT\d{9}(?:\d{3})?|LU\d{8}|LV\d{11}|MT\d{8}|NL\d{9}B\d{2}|PL\d{10}|PT\d{9}|RO\d{6,10}|SE\d{12}|SI\d{8}|SK\d{10}"
    r"|XI\d{9}(?:\d{3})?)"
)
"""VAT numbers as Council Directive 2006/112/EC, article 215, prefixes them; forms as VIES has them."""

_PREFIXED = (
    shape(EU_PREFIXED, checks.eu_vat),
    shape(r"GB\d{9}(?:\d{3})?", gb_vat.is_valid),
    shape(r"GB(?:GD|HA)\d{3}", checks.gb_vat_lettered),
    shape(r"CHE\d{9}(?:MWST|TVA|IVA|VAT|TPV)?", ch_uid.is_valid),
    shape(r"(?:NO)?\d{9}MVA"),
)
_EU_DIGITS = (shape(r"\d{8,12}"), shape(r"[A-Z0-9]\d{7}[A-Z]"), shape(r"\d{9}B\d{2}"))

TAX = (
    Field(_T, "tax.vat", """
        vat, vat number, vat no, vat id, vat reg, vat registration, vat registered, vatin, vat identification, ust
        id, ustid, ustidnr, ust idnr, ust id nr, umsatzsteuer id, umsatzsteuernummer, umsatzsteuer
        identifikationsnummer, umsatzsteueridentifikationsnummer, ust, mwst, mwst nr, mwst nummer, uid, uid nummer,
        uid nr, tva, n tva, no tva, numéro tva, numéro de tva, tva intracommunautaire, tva intracom, iva, partita
        iva, part iva, p iva, piva, número de iva, n iva, btw, btw nummer, btw nr, btwnummer, btw id,
        omzetbelastingnummer, btw identificatienummer, nip, nip ue, vat ue, vat eu, moms, momsnummer, moms nr,
        momsreg, momsregistreringsnummer, mva, mva nummer, alv, alv numero, áfa, áfa szám, dič, ič dph, dph, číslo
        dph, pdv, pdv id, pdv broj, ddv, id za ddv, ддс, ддс номер, φπα, pvm, pvm kodas, pvn, kmkr, km kr, cod tva,
        cod de tva, kmkr number""",
        (*_PREFIXED, *_EU_DIGITS)),
    Field(_T, "tax.pl_nip", "nip, numer identyfikacji podatkowej, identyfikator podatkowy, nr nip, numer nip",
          (shape(r"(?:PL)?\d{10}", lambda n: bool(nip.is_valid(n))), shape(r"\d{10}", nip.is_valid)), loose=7),
    Field(_T, "tax.pl_regon", "regon, nr regon, numer regon", (shape(r"\d{9}(?:\d{5})?", regon.is_valid),), loose=7),
    Field(_T, "tax.de", """
        steuernummer, steuernr, steuer nr, steuer nummer, st nr, stnr, steuer id, steuerid, steueridnr, steuer idnr,
        steuer identifikationsnummer, steueridentifikationsnummer, steuerliche identifikationsnummer, idnr, tin,
        ^IdNr, persönliche identifikationsnummer, abgabenkontonummer, steuerliche""",
        (shape(r"\d{11}", idnr.is_valid), shape(r"\d{10,11}", stnr.is_valid), shape(r"\d{9}"), shape(r"\d{13}")),
        loose=7),
    Field(_T, "tax.fr", """
        numéro fiscal, numéro fiscal de référence, n fiscal, référence fiscale, spi, numéro spi, identifiant fiscal,
        numéro d identification fiscale, nif""", (shape(r"\d{13}"),)),
    Field(_T, "tax.fr_siren", "siren, siret, numéro siren, numéro siret, n siret, n siren",
          (shape(r"\d{9}", siren.is_valid), shape(r"\d{14}", siret.is_valid))),
    Field(_T, "tax.es", "cif, nif, ~código de identificación fiscal, número de identificación fiscal, código fiscal",
          (shape(r"[A-Z]\d{7}[A-Z0-9]", cif.is_valid), shape(r"[0-9XYZKLM]\d{7}[A-Z]", es_nif.is_valid))),
    Field(_T, "tax.pt",
          "nif, contribuinte, número de contribuinte, nipc, número de identificação fiscal, n contribuinte",
          (shape(r"\d{9}", pt_nif.is_valid),)),
    Field(_T, "tax.it_iva", "partita iva, p iva, piva, part iva, codice fiscale, cod fisc",
          (shape(r"(?:IT)?\d{11}", iva.is_valid),)),
    Field(_T, "tax.nl",
          "rsin, fiscaal nummer, fi nummer, belastingnummer, fiscaal identificatienummer, loonheffingennummer, kvk, "
          "kvk nummer, kvknummer, ondernemingsnummer",
          (shape(r"\d{8}"), shape(r"[01]?\d{9}", bsn.is_valid))),
    Field(_T, "tax.us", """
        tin, tax id, taxid, tax id number, taxpayer id, taxpayer identification, federal tax id, federal ein, ^EIN,
        ~ein, ein number, employer identification, employer identification number, fein, itin""",
        (shape(r"\d{9}"),)),
    Field(_T, "tax.gb_utr", "utr, unique taxpayer reference, utr number, tax reference, ~hmrc, self assessment",
          (shape(r"\d{10}K?", utr.is_valid),)),
    Field(_T, "tax.number", """
        tax number, tax no, tax nr, tax identification, tax identification number, tax code, taxpayer number, fiscal
        code, fiscal number, tax ref, tax file, tax details, codice identificativo fiscale, número fiscal,
        identificación fiscal, skattenummer, veronumero, adóazonosító, adóazonosító jel, adószám, adószámom, adó
        azonosító, mokesčių mokėtojas, αφμ, afm, αριθμός φορολογικού μητρώου, данъчен номер, булстат, еик,
        cod fiscal, cui, cif, cod de identificare fiscală, davčna, davčna številka, porezni broj, oib, ičo, ič, ico,
        iČo, dič, daňové číslo, y tunnus, organisationsnummer, org nr, orgnr, orgnummer, organisasjonsnummer, org
        nummer, cvr, cvr nummer, cvr nr, se nummer, registrikood, įmonės kodas, reģistrācijas numurs, numéro d
        entreprise, ondernemingsnr""",
        (
            shape(r"\d{8}", lambda n: bool(cvr.is_valid(n) or alv.is_valid(n) or ddv.is_valid(n) or dic.is_valid(n))),
            shape(r"\d{9}", lambda n: bool(gr_vat.is_valid(n) or no_orgnr.is_valid(n) or bg_vat.is_valid(n))),
            shape(r"\d{10}", lambda n: bool(se_orgnr.is_valid(n) or cui.is_valid(n) or bg_vat.is_valid(n))),
            shape(r"\d{11}", lambda n: bool(anum.is_valid(n) or oib.is_valid(n))),
            shape(r"\d{12,13}"),
            *_PREFIXED,
        )),
)  # fmt: skip
