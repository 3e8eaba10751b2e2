"""Draft: what a campaign would say if it started now, and what stops it. Nothing is stored."""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from html import escape
from mimetypes import guess_type
from pathlib import PurePosixPath

from shared.domain.campaign import LETTERS
from shared.domain.helpdesk import Attachment, Candidate, Names, Original, Ticket
from shared.domain.html import clean_html, one_line, plain_text, safe_file_name
from shared.domain.letter import Letter, known_placeholders
from shared.domain.letterhead import Language
from shared.domain.message import (
    File,
    Message,
    Sender,
    TicketTemplate,
    clean_subject,
    greets,
    without_traces,
)
from shared.domain.pictures import (
    Picture,
    change_pictures,
    cid,
    embed_data_pictures,
    shown,
    to_cids,
)
from shared.domain.placeholders import PlaceholderError, tidy_html, tidy_text
from shared.domain.preview import text_print
from shared.errors import BlockedError
from shared.flow.letter_files import plan_letter
from shared.flow.letterhead import with_letterhead
from shared.ports import Files, Helpdesk, Medium
from shared.settings import LetterheadSettings, Settings

#: A picture that recipients can see.
_PICTURE = re.compile(r'<img[^>]+src="(?:https?|cid):', re.IGNORECASE)
#: Where an operator puts the logos that LETTERHEADS names, beside the campaigns' files.
LOGOS = "letterheads"
_LOGO = "logo@utsendelse"


@dataclass(frozen=True, slots=True)
class Draft:
    """What a campaign is to say, while the files are still in the helpdesk.

    `originals` are the message's files and then the ticket's pictures, as the helpdesk has them.
    What stops it comes along, so that all of it can be told at once.
    """

    key: str  #: which message of the ticket it is
    message: Message
    letter: Letter | None  #: the message and its placeholders; None when one of them is wrong
    originals: tuple[Attachment, ...]
    contents: Mapping[str, bytes]  #: pictures that are no attachments, by content id
    limit: int  #: how many bytes all of it may come to, as a mail
    agent: int  #: who is responsible for the ticket, as a user of the helpdesk; 0: nobody
    problems: tuple[BlockedError, ...]

    @property
    def print(self) -> str:
        """Changes when anything does that recipients see, names and sizes of files included."""
        return text_print(self.message)


async def draft(
    chosen: Candidate,
    ticket: Ticket,
    channel: Medium,
    *,
    number: str,
    names: Names,
    helpdesk: Helpdesk,
    files: Files,
    settings: Settings,
) -> Draft:
    """What this message comes to on this channel: cleaned, with its sender, files and template.

    `number` is the campaign's, for those who mention it.
    """
    problems: list[BlockedError] = []
    original = await helpdesk.original(ticket.id)
    there = await helpdesk.attachments(ticket.id)
    tag, end_user = settings.TICKET_TAG, original.end_user_name
    house = _house(ticket, names, settings)
    by_letter = channel.name == LETTERS
    of_ticket = channel.name == "ticket" or (by_letter and "ticket" in settings.ways_on)
    dressed_anew = channel.name == "ticket" and settings.TICKET_MESSAGE_VIA == "pureservice"
    body = await _body(chosen, ticket, dressed_anew, helpdesk)
    # whatever it takes, mail goes out meanwhile
    text, pictures = await asyncio.to_thread(_cleaned, body, there, chosen)
    text = tidy_html(without_traces(text, tag, end_user))
    subject = clean_subject(chosen.subject, tag) or clean_subject(ticket.subject, tag)
    if not subject or not (one_line(plain_text(text)) or _PICTURE.search(text)):
        problems.append(BlockedError("empty_message"))
    html = text
    if house.letterhead and chosen.key.startswith("communication:") and not dressed_anew:
        logo = await _logo(house.letterhead, files)
        if house.letterhead.logo and not logo:
            problems.append(BlockedError("no_logo", name=house.letterhead.logo))
        letterhead = house.letterhead.around(house.language, _LOGO if logo else "")
        # on paper nobody looks for a way to answer an e-mail
        may_reply = channel.name != "email" or bool(house.sender.reply_to)
        html = with_letterhead(text, letterhead, may_reply=may_reply)
        pictures += logo
    sent_along = _sent_along(text, chosen, there)
    of_template = _shown_in(original.description, there) if of_ticket else []
    originals = (*sent_along, *of_template)
    named = _named(originals)
    message = Message(
        subject=tidy_text(subject),
        html=html,
        text=await asyncio.to_thread(plain_text, html),
        sender=house.sender,
        lang=house.language,
        files=(*named[: len(sent_along)], *map(_file, pictures)),
        said=sha256(f"{subject}\n{text}".encode()).hexdigest()[:32],
        facts=_facts(ticket, number, house.sender, tag),
    )
    limit = await channel.largest()
    if weight(message, (*message.files, *named[len(sent_along) :])) > limit:
        problems.append(too_large(limit))
    if of_ticket:
        template = _template(ticket, original, named[len(sent_along) :], names, settings)
        if template is None:
            problems.append(BlockedError("not_classified"))
        message = replace(message, ticket=template)
    said = [escape(message.subject), message.html]
    if message.ticket:
        said += [escape(message.ticket.subject), message.ticket.description]
    found = (_named_in(one, end_user, ticket.end_user) for one in said)
    if name := next(filter(None, found), ""):
        problems.append(BlockedError("names_campaign_user", name=name))
    if by_letter:
        try:
            message = replace(message, letter=plan_letter(message.files, settings))
        except BlockedError as problem:
            problems.append(problem)
    letter = None
    try:
        letter = Letter.of(message, known_placeholders(channel.name, settings.RECIPIENT_FIELDS))
        message = letter.message
    except PlaceholderError as error:
        problems.append(
            BlockedError(
                "wrong_placeholder",
                placeholder=error.placeholder,
                why=error.why,
                instead=error.did_you_mean,
            )
        )
    return Draft(
        key=chosen.key,
        message=message,
        letter=letter,
        originals=originals,
        limit=limit,
        contents={picture.content_id: picture.data for picture in pictures},
        agent=(original.classification.agent if original.classification else None) or 0,
        problems=tuple(problems),
    )


async def _body(chosen: Candidate, ticket: Ticket, dressed_anew: bool, helpdesk: Helpdesk) -> str:
    """The message as it was sent; as it was written, when the helpdesk will dress it up anew."""
    kind, _, id_ = chosen.key.partition(":")
    if kind == "email" and dressed_anew:
        return await helpdesk.written_text(ticket.id, int(id_)) or chosen.html
    return chosen.html


def _cleaned(
    body: str, there: Iterable[Attachment], chosen: Candidate
) -> tuple[str, list[Picture]]:
    """The HTML made harmless, every picture of ours shown by its content id; and those of them
    that stood in the HTML itself. A picture that is nowhere leaves its alt text.
    """
    known = {a.id: a.content_id for a in (*chosen.files, *there) if a.content_id}
    html, pictures = embed_data_pictures(clean_html(to_cids(body, known)))
    there_is = {*known.values(), *(picture.content_id for picture in pictures)}

    def kept(attributes: Mapping[str, str]) -> str | None:
        source = attributes.get("src", "")
        return None if cid(source) and cid(source) not in there_is else source

    return change_pictures(html, kept), pictures


def _sent_along(html: str, chosen: Candidate, there: Iterable[Attachment]) -> list[Attachment]:
    """The message's own files and the ticket's visible ones; hidden ones only if the text shows
    them.
    """
    in_text = _shown_in(html, [*chosen.files, *there])
    attached = {a.id: a for a in (*chosen.files, *there) if a in chosen.files or a.visible}
    pictures = {a.id for a in in_text}
    return [*(a for a in attached.values() if not a.embedded and a.id not in pictures), *in_text]


def _shown_in(html: str, there: Iterable[Attachment]) -> list[Attachment]:
    """The files that the text shows, each once."""
    ids = shown(html)
    return list({a.content_id: a for a in there if a.embedded and a.content_id in ids}.values())


async def _logo(letterhead: LetterheadSettings, files: Files) -> list[Picture]:
    """The letterhead's, if it has one and it is there."""
    name = letterhead.logo
    data = await files.get(f"{LOGOS}/{name}") if name else None
    if data is None:
        return []
    return [Picture(_LOGO, name, guess_type(name)[0] or "application/octet-stream", data)]


def _file(picture: Picture) -> File:
    return File(
        picture.name, picture.content_type, len(picture.data), "", content_id=picture.content_id
    )


def _facts(ticket: Ticket, number: str, sender: Sender, tag: str) -> tuple[tuple[str, str], ...]:
    """What a message may mention that is the same for everybody."""
    return (
        ("campaign.number", number),
        ("campaign.sender", sender.name or sender.address),
        ("ticket.number", str(ticket.request_number)),
        ("ticket.subject", clean_subject(ticket.subject, tag)),
    )


def _template(
    ticket: Ticket,
    original: Original,
    pictures: tuple[File, ...],
    names: Names,
    settings: Settings,
) -> TicketTemplate | None:
    """What each recipient's ticket takes over; None when the ticket is not classified."""
    classification = original.classification
    if classification is None or names.recipient_status is None:
        return None
    if not settings.TICKET_KEEP_AGENT:
        classification = replace(classification, agent=None)
    tag, user = settings.TICKET_TAG, original.end_user_name
    return TicketTemplate(
        subject=tidy_text(clean_subject(ticket.subject, tag)),
        description=tidy_html(without_traces(original.description, tag, user)),
        status=names.recipient_status,
        classification=classification,
        fields=original.fields,
        pictures=pictures,
    )


def _named_in(html: str, name: str, address: str) -> str:
    """What the text says of the made-up user, who is nobody's business; "" when it says nothing.

    A name of one word, say «Alle», may well stand there on other grounds.
    """
    text = one_line(plain_text(html))
    for trace in (name if " " in name.strip() else "", address):
        if trace and one_line(trace).casefold() in text.casefold():
            return trace
    return name if greets(text, name) else ""


def _named(originals: Iterable[Attachment]) -> tuple[File, ...]:
    """These files under the names that recipients see. Their bytes are nowhere yet."""
    named: list[File] = []
    for attachment in originals:
        name = _unused(safe_file_name(attachment.name), {file.name for file in named})
        named.append(
            File(
                name,
                attachment.content_type,
                attachment.size or 0,
                blob="",
                original=attachment.id,
                # many an ordinary file has one too, and must not be hidden as a picture
                content_id=attachment.content_id if attachment.embedded else "",
            )
        )
    return tuple(named)


def weight(message: Message, files: Iterable[File]) -> int:
    """About how many bytes the mail has on the wire, where all of it is base64 in lines."""
    texts = (message.html, message.text)
    raw = sum(file.size for file in files) + sum(len(text.encode()) for text in texts)
    return raw * 4 // 3 * 78 // 76


def too_large(limit: int) -> BlockedError:
    return BlockedError("too_large", megabytes=limit // (1024 * 1024))


def _unused(name: str, taken: set[str]) -> str:
    """The name, or `name (2)` and so on when another file has it."""
    path = PurePosixPath(name)
    number = 1
    while name in taken:
        number += 1
        name = f"{path.stem} ({number}){path.suffix}"
    return name


@dataclass(frozen=True, slots=True)
class _House:
    """Whom a message is from, in which language, and what stands around it."""

    sender: Sender
    language: Language
    letterhead: LetterheadSettings | None


def _house(ticket: Ticket, names: Names, settings: Settings) -> _House:
    """By the ticket's team, else by its zone, else the default.

    Each by itself: a zone may have a letterhead of its own and the default sender.
    """
    sender, language = settings.default_sender, settings.MAIL_LANGUAGE
    letterhead = settings.LETTERHEADS.get("default")
    for kind, id_, known in (
        ("zone", ticket.zone_id, names.zones),
        ("team", ticket.team_id, names.teams),
    ):
        place = f"{kind}:{known.get(id_ or 0)}"
        if own := settings.SENDERS.get(place):
            sender = Sender(own.address, own.name, own.reply_to, own.envelope_from)
            language = own.language
        letterhead = settings.LETTERHEADS.get(place, letterhead)
    return _House(sender, language, letterhead)
