"""Mails of every kind, with fixed input, and what they look like on the wire: `golden/*.eml`.

python -m tests.adapters.mails     writes the golden files anew; read the difference before
                                   you keep it
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from email import message_from_bytes
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

from shared.adapters import mime
from shared.domain.delivery import OpenDelivery
from shared.domain.html import clean_html, plain_text
from shared.domain.letterhead import Letterhead
from shared.domain.message import File, Message, Sender
from shared.domain.pictures import embed_data_pictures
from shared.domain.recipient import Recipient, normalise_address
from shared.flow.letterhead import with_letterhead

GOLDEN = Path(__file__).parent / "golden"
DATE = datetime(2026, 2, 3, 8, 15, tzinfo=UTC)
SENDER = Sender("post@fjordvik.no", "Fjordvik kommune", "svar@fjordvik.no", "retur@fjordvik.no")
DELIVERY = "5e9f6a3c-0000-5000-8000-000000000001"
PNG = b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="
)
GIF = b64decode("R0lGODlhAQABAIAAAP///wAAACH5BAEAAAAALAAAAAABAAEAAAICRAEAOw==")
PDF = b"%PDF-1.7\n\x00\xff\r\n.\r\nFrom x\r\n%%EOF"


@dataclass(frozen=True)
class Example:
    """A mail before it is one."""

    message: Message
    files: tuple[tuple[File, bytes], ...] = ()
    name: str = "Kari Nordmann"
    address: str = "kari@example.no"

    @property
    def body(self) -> bytes:
        return mime.body(self.message, self.files)

    @property
    def raw(self) -> bytes:
        recipient = Recipient("user:31", self.name, self.address)
        id_ = mime.message_id(OpenDelivery(DELIVERY, "20417-1", recipient), self.message.sender)
        return mime.build(self.name, self.address, id_, self.message, self.body, DATE)


@dataclass(frozen=True)
class Part:
    """A part of a mail as the standard library reads it, boundaries aside."""

    headers: tuple[tuple[str, str], ...]
    content_type: str
    name: str | None = None
    content_id: str = ""
    content: str | bytes = b""

    @property
    def names(self) -> list[str]:
        return [name for name, _ in self.headers]


def parts_of(raw: bytes) -> list[Part]:
    """The mail itself and each of its parts, outermost first. Raises when any of it is broken."""
    policy: Any = default
    mail: EmailMessage = message_from_bytes(raw, policy=policy)
    if defects := [part.defects for part in mail.walk() if part.defects]:
        raise ValueError(defects)
    return [_part(part) for part in mail.walk()]


def _part(part: Any) -> Part:
    headers = tuple(
        (name, re.sub(r'boundary="?[^";]*"?', "boundary", str(value)))
        for name, value in part.items()
    )
    id_ = part.get("Content-ID", "").strip("<>")
    content = b"" if part.is_multipart() else part.get_payload(decode=True)
    if part.get_content_maintype() == "text" and not part.is_attachment():
        content = content.decode(part.get_content_charset()).replace("\r\n", "\n")
    return Part(headers, part.get_content_type(), part.get_filename(), id_, content)


def message(subject: str, html: str, lang: str = "nb") -> Message:
    html = clean_html(html)
    return Message(subject, html, plain_text(html), SENDER, lang=lang)


def file(name: str, data: bytes, kind: str, content_id: str = "") -> tuple[File, bytes]:
    return File(name, kind, len(data), f"20417-1/{name}", content_id=content_id), data


def _with_data_picture() -> Example:
    source = f"data:image/png;base64,{b64encode(PNG).decode()}"
    written = message(
        "Bildet er limt inn",
        f'<p>Se <img src="{source}" alt="Kart over Storgata"> og <img src="{source}"> igjen.</p>',
    )
    html, pictures = embed_data_pictures(written.html)
    files = [file(p.name, p.data, p.content_type, p.content_id) for p in pictures]
    return Example(replace(written, html=html), tuple(files))


def _in_letterhead(letterhead: Letterhead, subject: str, html: str, *, may_reply: bool) -> Example:
    html = with_letterhead(clean_html(html), letterhead, may_reply=may_reply)
    logo = file("logo.png", PNG, "image/png", letterhead.logo)
    written = Message(subject, html, plain_text(html), SENDER, lang=letterhead.language)
    return Example(written, (logo,) if letterhead.logo else ())


LOGO = file("logo.png", PNG, "image/png", "image001.png@01DA0B1C.5E0F3A20")
NORWEGIAN = message(
    "Vannet stenges på tirsdag",
    """<h1>Vi stenger vannet</h1>
    <p>Hei på deg,<br>vi stenger vannet i Storgata <strong>tirsdag 3. februar kl. 8–12</strong>.
    Les <a href="https://fjordvik.no/vann?gate=Storgata&amp;nr=1">mer om stengingen</a>, eller skriv
    til <a href="mailto:post@fjordvik.no">post@fjordvik.no</a>.</p><p>Hilsen<br>Bjørg Ærøy</p>""",
)

EXAMPLES = {
    "norsk": Example(NORWEGIAN),
    "bilde-i-teksten": Example(
        message(
            "Nytt skilt i Ærøyveien",
            '<p>Slik blir det:</p><p><img src="cid:image001.png%4001DA0B1C.5E0F3A20" alt="Skiltet"'
            ' width="120"></p>',
        ),
        (LOGO,),
    ),
    "limt-inn-bilde": _with_data_picture(),
    "tabell-og-stilark": Example(
        message(
            "Åpningstider i påsken",
            """<html><head><style>body { font-family: Arial } th { text-align: left }
            td, th { padding: 4px 8px; border: 1px solid #999 }</style></head><body>
            <h2>Åpningstider</h2><table><tr><th scope="col">Dag</th><th scope="col">Åpent</th></tr>
            <tr><td>Skjærtorsdag</td><td>Stengt</td></tr><tr><td>Påskeaften</td><td>10–14</td></tr>
            </table><ol><li>Ring først</li><li>Ta med kvittering</li></ol></body></html>""",
        )
    ),
    "vedlegg": Example(
        NORWEGIAN,
        (
            file("Vedtak – Ærøy & Sønn; 50 %.pdf", PDF, "application/pdf"),
            file("kart.png", PNG, "image/png"),
            file("liste.csv", "navn;gate\r\nBjørg;Storgata\r\n".encode(), "text/csv"),
            file("brev.eml", b"Subject: x\r\n\r\ny", "message/rfc822"),
            file("å" * 70 + ".docx", b"PK\x03\x04", "application/vnd.openxmlformats"),
        ),
    ),
    "langt-emne": Example(
        replace(
            NORWEGIAN,
            subject="Informasjon om midlertidig stenging av vannet i Storgata, Sjøgata, Kirkegata,"
            " Øvre Ærøyvei og alle sideveiene deres i tidsrommet fra klokken åtte til klokken tolv"
            " tirsdag 3. februar, med forbehold om at arbeidet kan bli utsatt",
        )
    ),
    "navn-med-hermetegn-og-komma": Example(NORWEGIAN, name='Grønn, "Kalle" (Ærøy) <x@y.no>'),
    "bare-tekst": Example(
        replace(NORWEGIAN, html="", text="Hei på deg.\n.\nFrom oss\n-- \nHilsen\nKari"),
        (file("vedtak.pdf", PDF, "application/pdf"),),
    ),
    "nynorsk-brevhode": _in_letterhead(
        Letterhead(
            "nn",
            header="Fjordvik kommune",
            footer="Rådhuset, Storgata 1\nwww.fjordvik.no",
            signature="Helsing\nBjørg Ærøy",
            logo="logo@fjordvik.no",
        ),
        "Vatnet blir stengt",
        "<p>Hei, vi stengjer vatnet på tysdag.</p>",
        may_reply=False,
    ),
    "english-letterhead": _in_letterhead(
        Letterhead("en", header="Fjordvik municipality", footer="post@fjordvik.no"),
        "The water will be shut off",
        "<p>Dear all, we shut off the water on Tuesday.</p>",
        may_reply=True,
    ),
    "idn-adresse": Example(NORWEGIAN, address=normalise_address("kari@blåbærsyltetøy.no")),
    "adresse-utenfor-ascii": Example(NORWEGIAN, name="Bjørg", address="bjørg@example.no"),
    "emoji": Example(
        replace(NORWEGIAN, subject="Gratulerer 🎉 med 👩‍👩‍👧 dagen", text="🎂\n", html="<p>🎂</p>"),
        (file("kake 🎂.png", PNG, "image/png"),),
        name="Kari 🙂",
    ),
    "tom-alt-og-sporing": Example(
        message(
            "Bilder",
            '<p>Pynt: <img src="cid:pynt@fjordvik.no" alt=""> og nett:'
            ' <img src="https://fjordvik.no/kart.png" alt="Kart">'
            '<img src="https://sporing.example/apne.gif?id=1" width="1" height="1"></p>',
        ),
        (
            file("pynt.gif", GIF, "image/gif", "<pynt@fjordvik.no>"),
            file("ikke vist.png", PNG, "image/png", "annet@fjordvik.no"),
        ),
    ),
    "alt-samtidig": Example(
        message("Alt på én gang", '<p>Se <img src="CID:logo@fjordvik.no" alt="Våpenet"></p>'),
        (
            file("Søknad.pdf", PDF, "application/pdf"),
            file("våpen.png", PNG, "image/png", "logo@fjordvik.no"),
            file("en gang til.png", PNG, "image/png", "logo@fjordvik.no"),
        ),
    ),
}


def main() -> None:
    GOLDEN.mkdir(exist_ok=True)
    for old in GOLDEN.glob("*.eml"):
        old.unlink()
    for name, example in EXAMPLES.items():
        # with Unix line ends, as git keeps text
        (GOLDEN / f"{name}.eml").write_bytes(example.raw.replace(b"\r\n", b"\n"))


if __name__ == "__main__":
    main()
