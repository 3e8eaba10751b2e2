"""Which ticket is a recipient's, as it is noted in the ledger and written on the ticket."""

import pytest

from shared.domain.delivery import Delivery, Status
from shared.domain.recipient import Recipient
from shared.domain.recipient_ticket import RecipientTicket, ticket_key, ticket_of


@pytest.mark.parametrize(
    ("ticket", "text"),
    [
        (RecipientTicket(5012, 20418), "5012/20418"),
        (RecipientTicket(5012, 20418, mailing=True), "5012/20418/mailing"),
        (RecipientTicket(5012, 20418).begun(), "5012/20418/mailing"),
        (RecipientTicket(5012, 20418, mailing=True).begun(), "5012/20418/mailing"),
        (RecipientTicket(5012, 20418, said=731, mailed=88), "5012/20418/731-88"),
        (RecipientTicket(5012, 20418, said=731), "5012/20418/731-0"),
        (RecipientTicket(5012, 20418, True, 731, 88), "5012/20418/731-88/mailing"),
    ],
)
def test_a_note_tells_how_far_we_have_come(ticket: RecipientTicket, text: str) -> None:
    assert str(ticket) == text
    assert RecipientTicket.of(text) == ticket


@pytest.mark.parametrize(
    "text",
    [
        *("", "5012", "5012/", "/20418", "5012/x", "<1@fjordvik.no>", "5012/20418/"),
        *("5012/20418/posted", "5012/20418/mailing/x", "5012/20418/MAILING"),
        *("5012/20418/731", "5012/20418/731-", "5012/20418/-88", "5012/20418/0-0"),
        *("5012/20418/mailing/731-88", "5012/20418/0731-88", "5012/20418/731-88/"),
        *(" 5012/20418", "5012/20418 ", "05012/20418", "5_012/20418", "５０１２/20418"),
    ],
)
def test_what_is_no_such_note_is_an_error_rather_than_a_guess(text: str) -> None:
    with pytest.raises(ValueError):
        RecipientTicket.of(text)


@pytest.mark.parametrize(
    ("channel", "reference", "number"),
    [
        ("ticket", "5012/20418", 20418),
        ("ticket", "5012/20418/mailing", 20418),
        ("ticket", "5012/20418/731-88", 20418),
        ("ticket", "", None),
        ("email", "<20417-1.3f2a.1@fjordvik.no>", None),
        ("email", "", None),
    ],
)
def test_a_delivery_has_a_ticket_where_one_was_made(
    channel: str, reference: str, number: int | None
) -> None:
    kari = Recipient("user:31", "Kari", "kari@example.no", 31)
    delivery = Delivery("3f2a", "20417-1", kari, channel, Status.FAILED, reference=reference)
    ticket = ticket_of(delivery)
    assert (ticket.number if ticket else None) == number


def test_no_campaigns_keys_begin_like_anothers() -> None:
    campaigns = ["20417-1", "20417-10", "20417-11", "120417-1", "2041-1"]
    keys = {campaign: ticket_key(campaign, "3f2a") for campaign in campaigns}
    for campaign in campaigns:
        beginning = ticket_key(campaign, "")
        assert [other for other in campaigns if keys[other].startswith(beginning)] == [campaign]


def test_a_later_rounds_key_is_another_and_still_the_campaigns() -> None:
    keys = [ticket_key("20417-1", "3f2a", round_) for round_ in (1, 2, 12)]
    assert len(set(keys)) == 3
    assert all(key.startswith(ticket_key("20417-1", "")) for key in keys)
