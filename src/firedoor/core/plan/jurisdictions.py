"""Which countries there are and who belongs to the EU and the EEA: dated data with their sources.

An accession or exit is a new `Group` here with its own date, never a change of code elsewhere.
"""

from __future__ import annotations

from msgspec import Struct


class Group(Struct, frozen=True):
    """Members of a union in ISO 3166-1 codes, as of `since` (ISO date), read from `source`.

    `territories` belong to a member, are covered by the union's law, and have an ISO code of their own. A region that
    serves the group serves them; a shop that sells to the group need not.
    """

    code: str
    members: frozenset[str]
    territories: frozenset[str]
    since: str
    source: str


_EU_MEMBERS = frozenset(
    "AT BE BG CY CZ DE DK EE ES FI FR GR HR HU IE IT LT LU LV MT NL PL PT RO SE SI SK".split()  # noqa: SIM905  # read as prose
)
_EU_TERRITORIES = frozenset({"AX", "GF", "GP", "MF", "MQ", "RE", "YT"})

EU = Group(
    "EU",
    _EU_MEMBERS,
    _EU_TERRITORIES,
    since="2020-02-01",
    source="Art. 52 TEU and Art. 349, 355 TFEU; Withdrawal Agreement, OJ L 29, 31.1.2020, p. 7 (United Kingdom left)",
)
EEA = Group(
    "EEA",
    _EU_MEMBERS | {"IS", "LI", "NO"},
    _EU_TERRITORIES,
    since="2020-02-01",
    source="Art. 126 EEA Agreement, OJ L 1, 3.1.1994, p. 3; Svalbard (SJ) is outside by Protocol 40",
)
GROUPS: dict[str, Group] = {"EU": EU, "EEA": EEA}
"""Smaller groups first: every member of an earlier one is a member of the later ones."""

COUNTRIES = frozenset(
    """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA CC
    CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA GB GD
    GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP KE KG KH
    KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW
    MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC
    SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY
    UZ VA VC VE VG VI VN VU WF WS XK YE YT ZA ZM ZW
    """.split()  # noqa: SIM905  # a table of 250 quoted codes reads worse
)
"""ISO 3166-1 alpha-2, all officially assigned codes as of 2024-01-01 (iso.org/obp), and XK: user-assigned for Kosovo by
the European Commission and used by shop platforms."""

COMMON_MISTAKES = {"UK": "GB", "EL": "GR"}
"""Codes that people write and ISO 3166-1 does not have: UK is only reserved, EL is the EU's own for Greece."""


def expand(code: str) -> frozenset[str]:
    """The countries that `code` stands for on the selling side: a group's members, else the code itself."""
    group = GROUPS.get(code)
    return group.members if group else frozenset({code})


def covered(code: str) -> frozenset[str]:
    """The countries that `code` stands for on the serving side: a group's members and territories, else itself."""
    group = GROUPS.get(code)
    return group.members | group.territories if group else frozenset({code})


def country(code: str) -> str:
    """The country of a subdivision (``US-CA`` -> ``US``); a country or group as it is."""
    return code.partition("-")[0]
