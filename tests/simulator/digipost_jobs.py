"""Job files for the Digipost simulator, made by hand, and receipts, read by hand."""

from __future__ import annotations

import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from lxml import etree

from dev.digipost import DigipostSimulator, Keys
from dev.digipost.area import SEND, SPLIT
from tests.adapters.digipost_xsd import DIGIPOST, assert_valid

NS = {"d": "http://www.digipost.no/xsd/avsender2_1"}
START = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
OLA = "17857410084"  #: a synthetic number, with check digits that are right


def pdf(
    pages: int = 1,
    *,
    size: tuple[float, float] = (595.28, 841.89),
    text: tuple[float, float] = (100, 700),
    header: str = "%PDF-1.7",
    font: str = "Helvetica",
) -> bytes:
    """As small as it can be, with a word at a place that is counted from the lower left."""
    stream = f"BT /F 12 Tf {text[0]} {text[1]} Td (Hei) Tj ET".encode()
    kids = " ".join(f"{number + 4} 0 R" for number in range(pages))
    page = (
        f"<< /Type /Page /Parent 2 0 R /MediaBox [0 0 {size[0]} {size[1]}] /Contents 3 0 R"
        f" /Resources << /Font << /F << /Type /Font /Subtype /Type1 /BaseFont /{font} >> >> >> >>"
    )
    objects = [
        b"<< /Type /Catalog /Pages 2 0 R >>",
        f"<< /Type /Pages /Kids [{kids}] /Count {pages} >>".encode(),
        b"<< /Length %d >>\nstream\n%s\nendstream" % (len(stream), stream),
        *[page.encode()] * pages,
    ]
    out = f"{header}\n".encode()
    places = []
    for number, content in enumerate(objects, 1):
        places.append(len(out))
        out += b"%d 0 obj\n%s\nendobj\n" % (number, content)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    return out + (
        b"xref\n0 %d\n0000000000 65535 f \n%strailer << /Root 1 0 R /Size %d >>\n"
        b"startxref\n%d\n%%%%EOF" % (len(places) + 1, table, len(places) + 1, len(out))
    )


PDF = pdf()


def person(name: str = "Kari Nordmann", street: str = "Storgata 1B", **more: str) -> str:
    """By name and address."""
    values = {"code": "0155", "city": "Oslo", "rest": ""} | more
    line = f"<adresselinje1>{street}</adresselinje1>"
    return (
        f"<navn><navn-format1><fullt-navn-fornavn-foerst>{name}</fullt-navn-fornavn-foerst>"
        f"</navn-format1></navn><adresse><adresse-format1>{line}"
        f"<postnummer>{values['code']}</postnummer><poststed>{values['city']}</poststed>"
        f"</adresse-format1></adresse>{values['rest']}"
    )


def mottaker(id_: str, by: str) -> str:
    return f"<mottaker><kunde-id>{id_}</kunde-id>{by}</mottaker>"


def number(value: str = OLA) -> str:
    return f"<foedselsnummer>{value}</foedselsnummer>"


def address(value: str) -> str:
    return f"<digipostadresse>{value}</digipostadresse>"


def uuid(job: str, letter: str, document: int = 0) -> str:
    return str(uuid5(NAMESPACE_URL, f"{job}/{letter}/{document}"))


PAPER = (
    "<fysisk-print><postmottaker>{name}</postmottaker><norsk-mottakeradresse>"
    "<adresselinje1>Storgata 1B</adresselinje1><postnummer>0155</postnummer>"
    "<poststed>Oslo</poststed></norsk-mottakeradresse><retur-postmottaker>Fjordvik kommune"
    "</retur-postmottaker><norsk-returadresse><adresselinje1>Postboks 1</adresselinje1>"
    "<postnummer>0101</postnummer><poststed>Oslo</poststed></norsk-returadresse></fysisk-print>"
)


@dataclass(frozen=True)
class Receipt:
    name: str
    xml: etree._Element

    @property
    def status(self) -> str:
        return self.text("status")

    @property
    def code(self) -> str:
        return self.text("feilinformasjon/feilkode")

    def text(self, path: str) -> str:
        return self.xml.findtext("/".join(f"d:{part}" for part in path.split("/")), "", NS)

    @property
    def recipients(self) -> dict[str, tuple[str, ...]]:
        """What is told of each: its status, then what belongs to it."""
        rows = self.xml.iterfind("d:mottaker-resultater/d:resultat", NS)
        return {row[0].text or "": tuple(one.text or "" for one in row[1:]) for row in rows}

    @property
    def letters(self) -> dict[str, tuple[str, ...]]:
        """By brev-id: the result, then the channel and the kinds of error where there are any."""
        found = {}
        for row in self.xml.iterfind("d:brev-resultater/d:resultat", NS):
            told = [row.findtext("d:resultat", "", NS), row.findtext("d:kanal", "", NS)]
            told += [one.text or "" for one in row.iterfind("d:feilinformasjon/d:feil/d:type", NS)]
            found[str(row.get("brev-id"))] = tuple(filter(None, told))
        return found

    @property
    def documents(self) -> dict[str, list[str]]:
        return {
            row[0].text or "": [one.text or "" for one in row.iterfind("d:feil/d:type", NS)]
            for row in self.xml.iterfind("d:dokumenter-med-feil/d:dokument-med-feil", NS)
        }


class Desk:
    """A simulator whose clock stands still, and somebody who leaves jobs and reads receipts."""

    def __init__(self, folder: Path, known: Keys) -> None:
        self.now = START
        self.simulator = DigipostSimulator(folder, known, clock=lambda: self.now)
        self._read: set[Path] = set()

    def switch(self, **values: Any) -> None:
        self.simulator.switch(**values)

    def forward(self, **span: float) -> None:
        self.now += timedelta(**span)

    def leave(self, root: str, name: str, data: bytes) -> None:
        (self.simulator.area.folder / root / name).write_bytes(data)

    def split(self, *recipients: str, job: str = "fjordvik.1.a.split-1", **more: Any) -> None:
        inside = f"<mottakere>{''.join(recipients)}</mottakere>"
        self._leave_job(SPLIT, job, inside, {}, more)

    def send(
        self,
        *letters: str,
        job: str = "fjordvik.1.a.send-1",
        documents: str = "<dokument><id>brev</id><fil>brev.pdf</fil></dokument>",
        files: dict[str, bytes] | None = None,
        **more: Any,
    ) -> None:
        settings = (
            "<globale-dokument-innstillinger><emne>Høring</emne></globale-dokument-innstillinger>"
        )
        inside = (
            f"<standard-distribusjon><felles-innstillinger>{settings}</felles-innstillinger>"
            f"<post>{documents}</post><forsendelser>{''.join(letters)}</forsendelser>"
            "</standard-distribusjon>"
        )
        self._leave_job(SEND, job, inside, {"brev.pdf": PDF} if files is None else files, more)

    def _leave_job(
        self, root: str, job: str, inside: str, files: dict[str, bytes], more: dict[str, Any]
    ) -> None:
        name = f"<jobb-navn>{more['title']}</jobb-navn>" if "title" in more else ""
        auto = f"<auto-godkjenn-jobb>{more.get('auto', 'true')}</auto-godkjenn-jobb>"
        day = f"<virkningsdato>{more['day']}</virkningsdato>" if "day" in more else ""
        xml = (
            '<?xml version="1.0" encoding="UTF-8"?>'
            f'<{root} xmlns="{NS["d"]}" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">'
            f"<jobb-innstillinger><avsender-id>100123</avsender-id><jobb-id>{job}</jobb-id>"
            f"{name}{auto}{day}</jobb-innstillinger>{inside}</{root}>"
        )
        for old, new in more.get("instead", ()):
            assert old in xml, old
            xml = xml.replace(old, new, 1)
        self.leave(
            root, more.get("zip", f"{job}.zip"), zipped({f"{root}.xml": xml.encode(), **files})
        )

    def receipts(self) -> list[Receipt]:
        """Those that are new, after a round of work; each is valid by Digipost's schemas."""
        self.simulator.work()
        found = []
        for root in (SPLIT, SEND):
            for path in self.simulator.area.receipts(root):
                if path not in self._read:
                    self._read.add(path)
                    found.append(read(path, root))
        return found

    def result(self) -> Receipt:
        """The last of the new ones."""
        return self.receipts()[-1]


def letter(
    id_: str,
    by: str | None = None,
    *,
    job: str = "fjordvik.1.a.send-1",
    paper: str = "",
    **more: Any,
) -> str:
    """`paper` is the name on the envelope, of one that may be printed."""
    kind = ' xsi:type="brev-med-print"' if paper else ""
    main = more.get("main", "brev")
    extra = "".join(
        f'<vedlegg uuid="{uuid(job, id_, count)}" refid="{refid}"/>'
        for count, refid in enumerate(more.get("attached", ()), 1)
    )
    return (
        f'<brev id="{id_}"{kind}>{mottaker(id_, number() if by is None else by)}'
        f'<hoveddokument uuid="{uuid(job, id_)}" refid="{main}"/>{extra}'
        f"{PAPER.format(name=paper) if paper else ''}</brev>"
    )


def zipped(files: dict[str, bytes]) -> bytes:
    out = BytesIO()
    with zipfile.ZipFile(out, "w") as file:
        for name, data in files.items():
            file.writestr(name, data)
    return out.getvalue()


def names_in(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as file:
        return file.namelist()


def read(path: Path, root: str) -> Receipt:
    with zipfile.ZipFile(path) as file:
        xml = file.read(f"{root}-resultat.xml")
    if DIGIPOST.is_dir():
        assert_valid(xml, f"{root}-resultat")
    return Receipt(path.name, etree.fromstring(xml))


def statuses(receipts: Iterable[Receipt]) -> list[str]:
    return [one.status for one in receipts]
