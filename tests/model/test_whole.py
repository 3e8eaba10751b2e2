"""The whole system on the simulator: nobody twice and nobody lost, whatever a person wants."""

from tests.model.whole import Whole


class WholeByEmail(Whole):
    channel = "email"


class WholeByTicket(Whole):
    channel = "ticket"


def test_a_campaign_by_email_is_carried_through_whatever_happens(run_model):
    assert run_model(WholeByEmail, examples=10).steps > 150


def test_a_campaign_by_ticket_is_carried_through_whatever_happens(run_model):
    assert run_model(WholeByTicket, examples=10).steps > 150
