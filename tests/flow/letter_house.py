"""The whole flow with letters: Digipost's area in memory, and a Digipost that answers as told."""

import io
import zipfile
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from lxml import etree

from shared.adapters.digipost_job import JobFile
from shared.adapters.digipost_receipt import read_receipt
from shared.domain.job_receipt import JobReceipt
from shared.domain.letter_job import JobKind
from shared.flow.build_job import Builder
from shared.flow.letters import letters
from shared.flow.receipts import receipts
from tests.flow.conftest import TYPESETTER, House
from tests.letters import MemoryArea

NS = "http://www.digipost.no/xsd/avsender2_1"
XSI = "{http://www.w3.org/2001/XMLSchema-instance}type"
CAMPAIGN_USER = "masseutsendelse-digipost@utsendelse.local"
RETURN = (
    '{"name": "Fjordvik kommune", "lines": ["Postboks 1"], "postal_code": "0101", "city": "Oslo"}'
)
SETTINGS: dict[str, Any] = {
    "DIGIPOST_CAMPAIGN_USER": CAMPAIGN_USER,
    "DIGIPOST_SENDER_ID": "100123",
    "DIGIPOST_KEY": "a key",
    "DIGIPOST_HOST_KEY": "SHA256:" + "A" * 43,
    "DIGIPOST_APPROVE": "auto",
    "DIGIPOST_RETURN_ADDRESS": RETURN,
    "DIGIPOST_NATIONAL_ID_FIELD": "user.cf_5",
}
_ALIAS, _ADDRESS = "abcdefghijklmnopqrst#7QW6", "person.{}#1AB2"


class Post(MemoryArea):
    """The area, with what the service adds to it."""

    def new_file(self) -> JobFile:
        return JobFile()

    def read_receipt(self, name: str, data: bytes) -> JobReceipt:
        return read_receipt(name, data)


@dataclass
class Desk:
    """Digipost, answering at once and as it is told. Everybody is a user unless `people` says."""

    area: Post
    people: dict[str, str] = field(default_factory=dict)  #: by delivery id: known, unknown, invalid
    faults: dict[str, str] = field(default_factory=dict)  #: by delivery id, of its letter
    left_out: set[str] = field(default_factory=set)  #: letters without a row
    delivered: Counter[str] = field(default_factory=Counter)  #: letters by delivery id
    printed: set[str] = field(default_factory=set)
    jobs: list[tuple[str, list[str]]] = field(default_factory=list)  #: ids, and those in them
    xml: list[Any] = field(default_factory=list)
    refuses: str = ""  #: a job, with this code
    answered: set[tuple[JobKind, str]] = field(default_factory=set)
    stamp: int = 0
    at: str = "2026-11-23T10:15:30+01:00"  #: when it works

    def work(self, *, status: str = "SUKSESS") -> None:
        """Answer every job that has come in since the last time."""
        for kind, name in list(self.area.uploads):
            if (kind, name) not in self.answered:
                self.answered.add((kind, name))
                self._answer(kind, name, self.area.jobs[kind, name], status)

    def receive(self, status: str = "MOTTATT") -> None:
        """A first receipt for each job that has no answer."""
        for kind, name in self.area.uploads:
            if (kind, name) not in self.answered:
                job = self._read(kind, self.area.jobs[kind, name]).findtext(f".//{{{NS}}}jobb-id")
                self._put(kind, name, "mottatt", f"<status>{status}</status>{self.info(job)}")

    def _read(self, kind: JobKind, data: bytes) -> Any:
        root = "mottakersplitt" if kind is JobKind.SPLIT else "masseutsendelse"
        with zipfile.ZipFile(io.BytesIO(data)) as whole:
            return etree.fromstring(whole.read(f"{root}.xml"))

    def _answer(self, kind: JobKind, name: str, data: bytes, status: str) -> None:
        xml = self._read(kind, data)
        self.xml.append(xml)
        job = xml.findtext(f".//{{{NS}}}jobb-id")
        ids = [one.text for one in xml.iter(f"{{{NS}}}kunde-id")]
        self.jobs.append((job, ids))
        if self.refuses:
            said = f"<feilkode>{self.refuses}</feilkode><melding>Noe er galt</melding>"
            failed = (
                f"<status>FEILET</status>{self.info(job)}<feilinformasjon>{said}</feilinformasjon>"
            )
            self._put(kind, name, "resultat", failed)
            return
        people = "".join(self._person(id_) for id_ in ids)
        body = f"<status>{status}</status>{self.info(job)}"
        body += f"<mottaker-resultater>{people}</mottaker-resultater>"
        if kind is JobKind.SEND:
            rows = [self._letter(one, status) for one in xml.iter(f"{{{NS}}}brev")]
            body += f"<brev-resultater>{''.join(reversed(rows))}</brev-resultater>"
        self._put(kind, name, "resultat", body)

    def _person(self, id_: str) -> str:
        found = {
            "user": ("DIGIPOST", f"<digipostadresse>{_ADDRESS.format(id_[:8])}</digipostadresse>"),
            "known": ("IDENTIFISERT", f"<person-alias>{_ALIAS}</person-alias>"),
            "unknown": ("UIDENTIFISERT", ""),
            "invalid": ("UGYLDIG", "<ugyldig-grunn>UGYLDIG_POSTNUMMER</ugyldig-grunn>"),
        }
        status, more = found[self.people.get(id_, "user")]
        return f"<resultat><kunde-id>{id_}</kunde-id><status>{status}</status>{more}</resultat>"

    def _letter(self, letter: Any, status: str) -> str:
        id_, uuid = letter.get("id"), letter.find(f"{{{NS}}}hoveddokument").get("uuid")
        prints = letter.get(XSI) == "brev-med-print"
        stands = self.people.get(id_, "user")
        fault = self.faults.get(id_, "")
        sent = not fault and (stands == "user" or (prints and stands != "invalid"))
        if status == "SUKSESS" and sent:
            self.delivered[id_] += 1
            self.printed |= {id_} if stands != "user" else set()
        if id_ in self.left_out:
            return ""
        by = "WEB" if stands == "user" else "PRINT"
        said = (
            f"<feilinformasjon><feil><type>{fault}</type></feil></feilinformasjon>" if fault else ""
        )
        return (
            f'<resultat brev-id="{id_}"><hoveddokument-uuid>{uuid}</hoveddokument-uuid>'
            f"<resultat>{'SENDT' if sent else 'IKKE_SENDT'}</resultat>"
            f"{f'<kanal>{by}</kanal>' if sent else ''}{said}</resultat>"
        )

    def info(self, job: str) -> str:
        return (
            f"<jobb-info><ref-jobb-id>{job}</ref-jobb-id><start-tid>{self.at}</start-tid>"
            f"<slutt-tid>{self.at}</slutt-tid></jobb-info>"
        )

    def _put(self, kind: JobKind, name: str, word: str, body: str) -> None:
        root = "mottakersplitt" if kind is JobKind.SPLIT else "masseutsendelse"
        xml = f'<{root}-resultat xmlns="{NS}">{body}</{root}-resultat>'
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as whole:
            whole.writestr(f"{root}-resultat.xml", xml)
        self.stamp += 1
        receipt = f"{name.removesuffix('.zip')}.{word}.20261123-{self.stamp:09}.zip"
        self.area.put_receipt(kind, receipt, packed.getvalue())


class LetterHouse(House):
    """A house that sends letters. `desk` is the Digipost at the other end."""

    def __init__(self, **changes: Any) -> None:
        super().__init__(**{**SETTINGS, **changes})
        self.area = Post()
        self.desk = Desk(self.area)
        self.open_letters()

    def open_letters(self) -> None:
        self.builder = Builder(
            self.helpdesk,
            self.ledger,
            self.files,
            self.messages,
            self.area,
            TYPESETTER,
            self.settings,
        )

    async def letters(self) -> None:
        await letters(
            service=self.area,
            builder=self.builder,
            ledger=self.ledger,
            files=self.files,
            watch=self.watch,
            settings=self.settings,
            clock=self.clock,
        )

    async def receipts(self) -> None:
        await receipts(
            service=self.area,
            ledger=self.ledger,
            files=self.files,
            watch=self.watch,
            settings=self.settings,
            clock=self.clock,
        )

    async def minute(self, *, desk: bool = True) -> None:
        self.clock.tick(minutes=1)
        await self.discover()
        await self.deliver_all()
        await self.letters()
        if desk:
            self.desk.work()
        await self.receipts()
        await self.letters()
        await self.account()
