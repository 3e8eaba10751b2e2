"""What is remembered of a preview tells whether anything has changed by the start."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from shared.domain.campaign import Campaign
from shared.domain.message import Classification, File, Message, Sender, TicketTemplate
from shared.domain.preview import Changes, Seen, Who, changes_since, text_print

FILE = File("brev.pdf", "application/pdf", 10, "", original=7)
TEMPLATE = TicketTemplate("Høring", "<p>Om</p>", 3, Classification(1, 2, 3, 4, 5), (("cf_1", [1]),))
MESSAGE = Message(
    "Høring", "<p>Hei</p>", "Hei", Sender("a@example.no"), files=(FILE,), ticket=TEMPLATE
)
CAMPAIGN = Campaign("1-1", 1, 1, "email", datetime(2026, 11, 23, tzinfo=UTC), "", planned=3)


@pytest.mark.parametrize(
    "change",
    [
        {"subject": "Svar"},
        {"html": "<p>Hallo</p>"},
        {"sender": Sender("a@example.no", reply_to="b@example.no")},
        {"files": ()},
        {"files": (replace(FILE, name="brev (2).pdf"),)},
        {"files": (replace(FILE, size=11),)},
        {"files": (replace(FILE, original=8),)},
        {"ticket": None},
        {"ticket": replace(TEMPLATE, description="<p>Også om</p>")},
        {"ticket": replace(TEMPLATE, classification=Classification(1, 2, 3, 4, 6))},
        {"ticket": replace(TEMPLATE, fields=(("cf_1", [1, 2]),))},
        {"ticket": replace(TEMPLATE, pictures=(FILE,))},
    ],
)
def test_whatever_recipients_see_changes_the_fingerprint(change):
    assert text_print(replace(MESSAGE, **change)) != text_print(MESSAGE)
    assert text_print(replace(MESSAGE)) == text_print(MESSAGE)


@pytest.mark.parametrize(
    "others",
    [
        [("user:1", "a@b.no")],
        [("user:1", "a@b.no"), ("user:2", "x@d.no")],
        [("user:1", "a@b.no"), ("company:2", "c@d.no")],
        [("user:1", "a@b.no"), ("user:2", "c@d.no"), ("user:2", "c@d.no")],
        [],
    ],
)
def test_whoever_comes_or_goes_changes_the_fingerprint(others):
    who, other = Who(), Who()
    for one in [("user:2", "c@d.no"), ("user:1", "a@b.no")]:
        who.add(*one)
    for one in others:
        other.add(*one)
    assert who.print != other.print


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(status=3), None),
        (Seen(status=3, asked_at="09:00"), None),
        (Seen(told_at="09:00", text_print="t", who_print="w", planned=3), (False, False)),
        (Seen(told_at="09:00", text_print="u", who_print="w", planned=3), (True, False)),
        (Seen(told_at="09:00", text_print="t", who_print="x", planned=3), (False, True)),
        (Seen(told_at="09:00", text_print="t", planned=3), (False, None)),
        (Seen(told_at="09:00", planned=3), (True, None)),
    ],
)
def test_what_has_changed_since_the_preview(seen, expected):
    campaign = replace(CAMPAIGN, text_print="t", who_print="w")
    assert changes_since(seen, campaign) == (Changes(*expected, 3, 3) if expected else None)
