"""Countries that letters go to: ISO 3166-1 alpha-2 by what an address calls them."""

#: alpha-2, alpha-3, in Norwegian, in English, and other names in use. The helpdesk has free text.
_COUNTRIES = """
NO NOR Norge|Norway|Noreg|Norga|Kongeriket Norge
SE SWE Sverige|Sweden
DK DNK Danmark|Denmark
FI FIN Finland|Suomi
IS ISL Island|Iceland
FO FRO Færøyene|Faroe Islands|Færøyane
GL GRL Grønland|Greenland
AX ALA Åland|Aland Islands|Åland Islands
SJ SJM Svalbard og Jan Mayen|Svalbard and Jan Mayen
AL ALB Albania
AD AND Andorra
AT AUT Østerrike|Austria
BE BEL Belgia|Belgium
BA BIH Bosnia-Hercegovina|Bosnia and Herzegovina|Bosnia og Hercegovina
BG BGR Bulgaria
BY BLR Belarus|Hviterussland
CH CHE Sveits|Switzerland
CY CYP Kypros|Cyprus
CZ CZE Tsjekkia|Czechia|Czech Republic
DE DEU Tyskland|Germany|Deutschland
EE EST Estland|Estonia
ES ESP Spania|Spain
FR FRA Frankrike|France
GB GBR Storbritannia|United Kingdom|UK|Great Britain|England
GB GBR Skottland|Scotland|Wales|Nord-Irland|Northern Ireland
GE GEO Georgia
GR GRC Hellas|Greece
HR HRV Kroatia|Croatia
HU HUN Ungarn|Hungary
IE IRL Irland|Ireland
IT ITA Italia|Italy
LI LIE Liechtenstein
LT LTU Litauen|Lithuania
LU LUX Luxembourg|Luxemburg
LV LVA Latvia
MC MCO Monaco
MD MDA Moldova
ME MNE Montenegro
MK MKD Nord-Makedonia|North Macedonia|Makedonia
MT MLT Malta
NL NLD Nederland|Netherlands|The Netherlands|Holland
PL POL Polen|Poland|Polska
PT PRT Portugal
RO ROU Romania
RS SRB Serbia
RU RUS Russland|Russia
SI SVN Slovenia
SK SVK Slovakia
SM SMR San Marino
TR TUR Tyrkia|Turkey|Türkiye
UA UKR Ukraina|Ukraine
VA VAT Vatikanstaten|Vatican City
XK XKX Kosovo
AE ARE De forente arabiske emirater|United Arab Emirates
AF AFG Afghanistan
AR ARG Argentina
AU AUS Australia
BR BRA Brasil|Brazil
CA CAN Canada
CL CHL Chile
CN CHN Kina|China
CO COL Colombia
EG EGY Egypt
ER ERI Eritrea
ET ETH Etiopia|Ethiopia
HK HKG Hongkong|Hong Kong
ID IDN Indonesia
IL ISR Israel
IN IND India
IQ IRQ Irak|Iraq
IR IRN Iran
JP JPN Japan
KE KEN Kenya
KR KOR Sør-Korea|South Korea
LB LBN Libanon|Lebanon
LK LKA Sri Lanka
MA MAR Marokko|Morocco
MX MEX Mexico
MY MYS Malaysia
NG NGA Nigeria
NZ NZL New Zealand
PH PHL Filippinene|Philippines
PK PAK Pakistan
SA SAU Saudi-Arabia|Saudi Arabia
SG SGP Singapore
SO SOM Somalia
SY SYR Syria
TH THA Thailand
TN TUN Tunisia
TW TWN Taiwan
US USA USA|United States|United States of America
VN VNM Vietnam
ZA ZAF Sør-Afrika|South Africa
"""


def _key(name: str) -> str:
    return "".join(c for c in name.casefold() if c.isalnum())


def _by_name() -> dict[str, str]:
    found: dict[str, str] = {}
    for line in _COUNTRIES.strip().splitlines():
        alpha_2, alpha_3, names = line.split(" ", 2)
        found |= {_key(name): alpha_2 for name in (alpha_2, alpha_3, *names.split("|"))}
    return found


_BY_NAME = _by_name()


def _names() -> dict[str, str]:
    lines = [line.split(" ", 2) for line in _COUNTRIES.strip().splitlines()]
    return {alpha_2: names.split("|")[0] for alpha_2, _, names in reversed(lines)}


_NAMES = _names()


def country_code(name: str) -> str | None:
    """The country as ISO 3166-1 alpha-2: Norway when nothing is said, None when it is not known.

    >>> country_code(""), country_code("norge"), country_code("Sverige"), country_code("Mordor")
    ('NO', 'NO', 'SE', None)
    """
    return _BY_NAME.get(_key(name)) if name.strip() else "NO"


def country_name(code: str) -> str:
    """What Norwegians call the country; the code itself for one that we do not know.

    >>> country_name("SE"), country_name("NO"), country_name("XX")
    ('Sverige', 'Norge', 'XX')
    """
    return _NAMES.get(code, code)
