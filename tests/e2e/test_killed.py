"""The host is killed in the middle of a campaign by e-mail and one of tickets; another starts."""

from collections import Counter

from dev import playground
from dev.pureservice import behaviour
from dev.seed import seed
from shared.domain.delivery import Status

from .watching import copies_of, outcomes, received, wait_until, wait_until_solved


def test_killed_and_started_again_everybody_is_reached_and_nobody_twice():
    with playground.temporary(
        LEASE_SECONDS="12",
        GRACE_SECONDS="1",
        SMTP_TIMEOUT_SECONDS="3",
        PURESERVICE_TIMEOUT_SECONDS="2",
        RELEASE_AGAIN_SECONDS="5",
    ) as here:
        here.sim("POST", "switches", mail_queued_reads=0)
        for path, skip in (("/ticket", 20), ("/communication", 10)):  # done, and never answered
            unanswered = {"kind": "delay", "after_write": True, "seconds": 600, "times": 5}
            here.sim("POST", "faults", method="POST", path=path, skip=skip, **unanswered)
        host = here.start_host("--visibility", "3")
        by_email = seed(here.url, {"recipients": 300})
        by_ticket = seed(here.url, {"scenario": "ticket", "recipients": 60, "tricky": False})
        mailed, ticketed = by_email["requestNumber"], by_ticket["requestNumber"]
        wait_until(lambda: len(copies_of(here, ticketed)) >= 25 and bool(received(here)), host.said)
        host.kill()
        got_by_then, made_by_then = received(here), copies_of(here, ticketed)
        here.sim("DELETE", "faults")
        here.start_host("--visibility", "3")
        for number in (mailed, ticketed):
            wait_until_solved(here, number)
        got, copies = received(here), copies_of(here, ticketed)
        of_mails, of_tickets = (outcomes(here, f"{number}-1") for number in (mailed, ticketed))

    too_late = "killed too late to show anything"
    assert got_by_then.total() < len(by_email["mails"]), too_late
    assert len(made_by_then) < len(by_ticket["members"]), too_late
    assert any(not copy["mails"] for copy in made_by_then), "no ticket was without its message"

    assert max(got.values()) == 1
    assert of_mails.total() == len(by_email["mails"])
    assert set(of_mails) <= {Status.SENT, Status.UNCERTAIN}
    # what was under way at the kill may have arrived or not: that is what uncertain means
    assert of_mails[Status.SENT] <= len(got) <= of_mails.total()
    assert of_mails[Status.UNCERTAIN] <= 24

    # Pureservice can be asked, so what was made or posted and never recorded is not uncertain
    assert of_tickets == {Status.SENT: len(by_ticket["members"])}
    assert Counter(copy["address"] for copy in copies) == by_ticket["mails"]
    assert {len(copy["mails"]) for copy in copies} == {1}
    assert {mail["status"] for copy in copies for mail in copy["mails"]} == {behaviour.SENT}
