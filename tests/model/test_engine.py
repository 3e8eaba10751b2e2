"""The engine, on a ledger in memory: nobody twice and nobody lost, whatever happens when.

`running.py` says how to run it for longer, and with other examples.
"""

from tests.model.machine import Model


class ByEmail(Model):
    channel = "email"


class ByTicket(Model):
    channel = "ticket"


def test_a_mail_reaches_everybody_once_whatever_happens(run_model):
    assert run_model(ByEmail, examples=40).steps > 1_000


def test_a_ticket_reaches_everybody_once_whatever_happens(run_model):
    assert run_model(ByTicket, examples=40).steps > 1_000
