"""The shape of job files: which elements may stand in which, in which order, with what in them.

Written from what is known of the interface. Digipost's own schemas say the same in more words, and
may be used as well: see `--xsd`.
"""

import re
from collections.abc import Iterator
from datetime import date, datetime
from pathlib import Path

from lxml import etree

NAMESPACE = "http://www.digipost.no/xsd/avsender2_1"
_XSI = "{http://www.w3.org/2001/XMLSchema-instance}"
XSI_TYPE = f"{_XSI}type"

_SETTINGS = (
    "emne? sms-varsling? autentiseringsnivaa? sensitivitetsnivaa? aapningskvitteringsgruppe?"
    " print-farge?"
)
_DOCUMENT = "id fil innstillinger?"
_LETTER = "mottaker varslingsadresser? hoveddokument vedlegg{0,99}"

#: What stands in an element, like a regular expression of names.
_CHILDREN = {
    "mottakersplitt": "jobb-innstillinger mottakere",
    "masseutsendelse": "jobb-innstillinger standard-distribusjon",
    "jobb-innstillinger": "avsender-id behandler-id? jobb-id jobb-navn? auto-godkjenn-jobb?"
    " virkningsdato? klientinformasjon?",
    "mottakere": "mottaker+",
    "mottaker": "kunde-id (digipostadresse | person-alias | foedselsnummer | organisasjonsnummer"
    " | navn adresse foedselsdato? telefonnummer? epostadresse?)",
    "navn": "navn-format1 | navn-format2 | navn-format3",
    "navn-format1": "fullt-navn-fornavn-foerst | fullt-navn-etternavn-foerst",
    "navn-format2": "fornavn etternavn",
    "navn-format3": "fornavn mellomnavn? etternavn",
    "adresse": "adresse-format1 | adresse-format2",
    "adresse-format1": "adresselinje1 adresselinje2? postnummer poststed land?",
    "adresse-format2": "adresse1 adresse2? adresse3? adresse4? postnummer poststed land?",
    "standard-distribusjon": "felles-innstillinger? post forsendelser",
    "felles-innstillinger": "globale-dokument-innstillinger? dokument-innstillinger*",
    "globale-dokument-innstillinger": _SETTINGS,
    "dokument-innstillinger": _SETTINGS,
    "innstillinger": _SETTINGS,
    "sms-varsling": "tidspunkt* etter-timer*",
    "post": "dokument+",
    "dokument": _DOCUMENT,
    "faktura": f"{_DOCUMENT} kid? beloep kontonummer forfallsdato",
    "forsendelser": "brev+",
    "brev": _LETTER,
    "brev-med-print": f"{_LETTER} fysisk-print",
    "varslingsadresser": "epostadresse? mobilnummer?",
    "hoveddokument": "innstillinger?",
    "vedlegg": "innstillinger?",
    "fysisk-print": "postmottaker (norsk-mottakeradresse | utenlandsk-mottakeradresse) posttype?"
    " retur-postmottaker (norsk-returadresse | utenlandsk-returadresse)",
}
_NORWEGIAN = "adresselinje1? adresselinje2? postnummer poststed"
_ABROAD = "adresselinje1 adresselinje2? adresselinje3? adresselinje4? (land | land-kode)"
for _whose in ("mottaker", "retur"):
    _CHILDREN[f"norsk-{_whose}adresse"] = _NORWEGIAN
    _CHILDREN[f"utenlandsk-{_whose}adresse"] = _ABROAD

_ATTRIBUTES = {
    "dokument-innstillinger": {"id"},
    "brev": {"id"},
    "brev-med-print": {"id"},
    "hoveddokument": {"uuid", "refid"},
    "vedlegg": {"uuid", "refid"},
    "innstillinger": {"extends"},
}
_DERIVED = {"dokument": {"faktura"}, "brev": {"brev-med-print"}}

#: What stands in an element that has no others.
_TEXTS = {
    "avsender-id": r"[0-9]{1,18}",
    "behandler-id": r"[0-9]{1,18}",
    "jobb-id": r"[a-zA-Z0-9_.-]{1,100}",
    "jobb-navn": r"(?s).{0,80}",
    "auto-godkjenn-jobb": "true|false|1|0",
    "emne": r"(?s).{0,100}",
    "autentiseringsnivaa": "PASSORD|TO_FAKTOR",
    "sensitivitetsnivaa": "NORMALT|SENSITIVT",
    "print-farge": "MONOKROM|FARGER",
    "etter-timer": "[0-9]{1,9}",
    "id": r"[^\W\d][\w.-]*",
    "fil": r"[a-zA-Z0-9_æøåÆØÅ-]+(/[a-zA-Z0-9_æøåÆØÅ-]+)*\.[a-zA-Z0-9]+",
    "kid": r"[0-9]{2,24}[0-9-]",
    "beloep": r"(?=[0-9.]{1,16}$)[0-9]*[1-9][0-9]*(\.[0-9]{1,2})?|0\.(0[1-9]|[1-9][0-9]?)",
    "kontonummer": "[0-9]{11}",
    "posttype": "A|B",
    "postmottaker": r"(?s).{1,130}",
    "retur-postmottaker": r"(?s).{1,130}",
    "land-kode": r".{1,2}",
}
_TIMES = {"virkningsdato", "tidspunkt"}
UUID = re.compile("[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")


def _compiled(spec: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"[a-zæøå][\w-]*", r"(?:\g<0>,)", spec).replace(" ", ""))


_ORDERS = {name: _compiled(spec) for name, spec in _CHILDREN.items()}


def name_of(element: etree._Element) -> str:
    """Without the namespace; the derived type where it has one."""
    name = etree.QName(element).localname
    derived = str(element.get(XSI_TYPE, "")).rpartition(":")[2]
    return derived if derived in _DERIVED.get(name, ()) else name


def faults(root: etree._Element) -> Iterator[str]:
    """What is wrong with the shape of it, element by element."""
    for element in root.iter():
        if not isinstance(element.tag, str):
            continue  # a comment
        if etree.QName(element).namespace != NAMESPACE:
            yield f"{element.tag}: navnerommet er ukjent"
            return
        yield from _faults_of(element, name_of(element))


def _faults_of(element: etree._Element, name: str) -> Iterator[str]:
    attributes = {str(one) for one in element.attrib if not str(one).startswith(_XSI)}
    if wrong := attributes - _ATTRIBUTES.get(name, set()):
        yield f"{name}: ukjent attributt {', '.join(sorted(wrong))}"
    if XSI_TYPE in element.attrib and name == etree.QName(element).localname:
        yield f"{name}: ukjent type"
    if name in _ORDERS:
        inside = "".join(f"{etree.QName(one).localname}," for one in element.iterchildren("*"))
        if not _ORDERS[name].fullmatch(inside):
            yield f"{name}: feil innhold ({inside.rstrip(',')[:120]})"
    elif len(element):
        yield f"{name}: skal ikke ha noe i seg"
    else:
        yield from _faults_of_text(element, name, element.text or "")


def _faults_of_text(element: etree._Element, name: str, text: str) -> Iterator[str]:
    rule = _TEXTS.get(name)
    if rule and not re.fullmatch(rule, text):
        yield f"{name}: ugyldig verdi"
    if name in _TIMES and _time(text) is None:
        yield f"{name}: ikke et tidspunkt"
    if name == "forfallsdato" and _day(text) is None:
        yield f"{name}: ikke en dato"
    above = element.getparent()
    where = "" if above is None else etree.QName(above).localname
    if where.startswith(("norsk-", "utenlandsk-")) and name != "land-kode":
        if name == "postnummer" and not re.fullmatch("[0-9]{4}", text):
            yield f"{where}: ugyldig postnummer"
        if len(text) > (80 if name in {"poststed", "land"} else 100):
            yield f"{where}: {name} er for lang"


def _time(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)
    except ValueError:
        return None


def _day(text: str) -> date | None:
    try:
        return date.fromisoformat(text)
    except ValueError:
        return None


class Schemas:
    """Digipost's own schemas, from a folder."""

    def __init__(self, folder: Path) -> None:
        parser = etree.XMLParser(no_network=True, resolve_entities=False)
        self._by_root = {
            root: etree.XMLSchema(etree.parse(str(folder / file), parser))
            for root, file in (
                ("mottakersplitt", "mottakersplitt.xsd"),
                ("masseutsendelse", "print.xsd"),
            )
        }

    def faults(self, root: etree._Element) -> Iterator[str]:
        schema = self._by_root.get(etree.QName(root).localname)
        if schema is not None and not schema.validate(root):
            yield from (f"{one.line}: {one.message}" for one in schema.error_log)  # type: ignore[attr-defined]
