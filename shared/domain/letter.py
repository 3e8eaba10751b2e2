"""A frozen message and its placeholders: one text for everybody, and what is filled in of each."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from shared.domain.message import Message
from shared.domain.placeholders import Template, has_placeholders
from shared.domain.recipient import RECIPIENT_VALUES, Recipient, placeholder_values

_CAMPAIGN = frozenset({"campaign.number", "campaign.sender"})
#: Not where everybody gets a ticket: they would take it for theirs.
_TICKET = frozenset({"ticket.number", "ticket.subject"})


def known_placeholders(channel: str, own_fields: Mapping[str, str]) -> frozenset[str]:
    """What a message on this channel may mention; `own_fields` as RECIPIENT_FIELDS names them."""
    of_recipient = {f"recipient.{name}" for name in (*RECIPIENT_VALUES, *own_fields)}
    return frozenset(of_recipient | _CAMPAIGN | (_TICKET if channel != "ticket" else set()))


@dataclass(frozen=True, slots=True)
class Letter:
    """What a campaign says, compiled once for all of its recipients."""

    message: Message
    _texts: Mapping[str, Template]
    _facts: Mapping[str, Mapping[str, str]]

    @classmethod
    def of(cls, message: Message, known: frozenset[str]) -> "Letter":
        """The message with its placeholders compiled. Raises PlaceholderError for a wrong one."""
        texts = {
            name: Template.of(text, html=name in _HTML, known=known)
            for name, text in _texts(message).items()
            if has_placeholders(text)
        }
        names = frozenset[str]().union(*(template.names for template in texts.values()))
        facts: dict[str, dict[str, str]] = {}
        for name, value in message.facts:
            about, _, what = name.partition(".")
            facts.setdefault(about, {})[what] = value
        letter = cls(replace(message, mentions=tuple(sorted(names))), texts, facts)
        # what mentions nothing is the same for all, and needs no filling in later
        return letter if names else cls(letter._filled({}), {}, {})

    @classmethod
    def frozen(cls, message: Message) -> "Letter":
        """One that was judged before it was frozen, whatever may be mentioned by now."""
        if not message.mentions:
            return cls(message, {}, {})
        return cls.of(message, frozenset(message.mentions))

    @property
    def about_recipient(self) -> frozenset[str]:
        """What of a recipient it mentions, e.g. `company`."""
        mentioned = (name.partition(".") for name in self.message.mentions)
        return frozenset(what for about, _, what in mentioned if about == "recipient")

    def to(self, recipient: Recipient) -> Message:
        """The message with everything filled in. Raises MissingValueError, which names what."""
        if not self._texts:
            return self.message
        return self._filled({**self._facts, "recipient": placeholder_values(recipient)})

    def _filled(self, values: Mapping[str, Mapping[str, str]]) -> Message:
        filled = {name: template.fill(values) for name, template in self._texts.items()}
        message, ticket = self.message, self.message.ticket
        if ticket:
            ticket = replace(
                ticket,
                subject=filled.get("ticket_subject", ticket.subject),
                description=filled.get("ticket_description", ticket.description),
            )
        return replace(
            message,
            subject=filled.get("subject", message.subject),
            html=filled.get("html", message.html),
            text=filled.get("text", message.text),
            ticket=ticket,
        )


_HTML = {"html", "ticket_description"}


def _texts(message: Message) -> dict[str, str]:
    texts = {"subject": message.subject, "html": message.html, "text": message.text}
    if message.ticket:
        texts["ticket_subject"] = message.ticket.subject
        texts["ticket_description"] = message.ticket.description
    return texts
