"""What an answer of Digipost's makes of what was known before."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from shared.domain.addressee import Identity, Known
from shared.domain.job_receipt import RecipientAnswer, RecipientReason, RecipientResult
from shared.domain.register import Answer, Entry, Standing, learnt

NOW = datetime(2026, 11, 23, 8, 0, tzinfo=UTC)
WEEK = timedelta(days=7)
ADDRESS, ALIAS = "kari.nordmann#1AB2", "abcdefghijklmnopqrst#9ZY8"
NEW_ADDRESS, NEW_ALIAS = "kari.ny#3CD4", "nyttnyttnyttnyttnytt#1AA1"

USER = Entry("user:31", Standing.USER, ADDRESS, fingerprint="f", asked_at=NOW)
KNOWN = Entry("user:31", Standing.KNOWN, "", ALIAS, fingerprint="f", asked_at=NOW)
BOTH = Entry("user:31", Standing.USER, ADDRESS, ALIAS, fingerprint="f", asked_at=NOW)
UNKNOWN = Entry("user:31", Standing.UNKNOWN, fingerprint="f", asked_at=NOW)

A, N = Identity.DIGIPOST_ADDRESS, Identity.NAME_AND_ADDRESS
NUMBER, BY_ALIAS = Identity.NATIONAL_ID, Identity.ALIAS
IS_USER, IDENTIFIED = RecipientAnswer.USER, RecipientAnswer.IDENTIFIED
UNIDENTIFIED, INVALID = RecipientAnswer.UNIDENTIFIED, RecipientAnswer.INVALID


def asked(by: Identity, **changes) -> Entry:
    new = Entry("user:31", Standing.UNKNOWN, by=by, asked_at=NOW + WEEK, job="j2", fingerprint="f")
    return replace(new, **changes)


def said(answer: RecipientAnswer, address: str = "", alias: str = "", *reasons) -> RecipientResult:
    return RecipientResult("user:31", answer, address, alias, tuple(reasons))


BAD_ADDRESS, BAD_CODE = RecipientReason.DIGIPOST_ADDRESS, RecipientReason.POSTAL_CODE


@pytest.mark.parametrize(
    ("before", "by", "result", "standing", "address", "alias"),
    [
        # any -- DIGIPOST: the address is stored, an alias is kept
        (None, N, said(IS_USER, ADDRESS), Standing.USER, ADDRESS, ""),
        (UNKNOWN, NUMBER, said(IS_USER, ADDRESS), Standing.USER, ADDRESS, ""),
        (KNOWN, BY_ALIAS, said(IS_USER, ADDRESS), Standing.USER, ADDRESS, ALIAS),
        (USER, A, said(IS_USER, NEW_ADDRESS), Standing.USER, NEW_ADDRESS, ""),
        (USER, A, said(IS_USER), Standing.USER, ADDRESS, ""),
        # any -- IDENTIFISERT: the alias is stored, and who was a user is not any more
        (None, N, said(IDENTIFIED, "", ALIAS), Standing.KNOWN, "", ALIAS),
        (USER, A, said(IDENTIFIED, "", ALIAS), Standing.KNOWN, "", ALIAS),
        (BOTH, NUMBER, said(IDENTIFIED, "", NEW_ALIAS), Standing.KNOWN, "", NEW_ALIAS),
        (KNOWN, BY_ALIAS, said(IDENTIFIED), Standing.KNOWN, "", ALIAS),
        # -- UIDENTIFISERT: both go where either was what we asked by, and only there
        (BOTH, A, said(UNIDENTIFIED), Standing.UNKNOWN, "", ""),
        (BOTH, BY_ALIAS, said(UNIDENTIFIED), Standing.UNKNOWN, "", ""),
        (KNOWN, BY_ALIAS, said(UNIDENTIFIED), Standing.UNKNOWN, "", ""),
        (USER, A, said(UNIDENTIFIED), Standing.UNKNOWN, "", ""),
        (BOTH, NUMBER, said(UNIDENTIFIED), Standing.UNKNOWN, ADDRESS, ALIAS),
        (BOTH, N, said(UNIDENTIFIED), Standing.UNKNOWN, ADDRESS, ALIAS),
        (None, N, said(UNIDENTIFIED), Standing.UNKNOWN, "", ""),
        (UNKNOWN, NUMBER, said(UNIDENTIFIED), Standing.UNKNOWN, "", ""),
        # any -- UGYLDIG: a wrong address goes; the rest is for a person to put right
        (BOTH, A, said(INVALID, "", "", BAD_ADDRESS), Standing.BAD_DATA, "", ALIAS),
        (BOTH, N, said(INVALID, "", "", BAD_CODE), Standing.BAD_DATA, ADDRESS, ALIAS),
        (None, N, said(INVALID, "", "", BAD_CODE), Standing.BAD_DATA, "", ""),
    ],
)
def test_every_row_of_the_table_of_transitions(before, by, result, standing, address, alias):
    entry = learnt(before, asked(by), result)
    assert entry == asked(
        by,
        standing=standing,
        digipost_address=address,
        alias=alias,
        reasons=result.reasons,
    )
    assert learnt(entry, asked(by), result) == entry  # doing it again changes nothing


@pytest.mark.parametrize("by", [A, BY_ALIAS, NUMBER, N])
@pytest.mark.parametrize(
    ("result", "address", "alias"),
    [
        (said(UNIDENTIFIED), "", ""),
        (said(INVALID, "", "", BAD_CODE), "", ""),
        (said(IS_USER, NEW_ADDRESS), NEW_ADDRESS, ""),
        (said(IDENTIFIED, "", NEW_ALIAS), "", NEW_ALIAS),
    ],
)
def test_what_another_person_was_found_by_is_not_kept(by, result, address, alias):
    entry = learnt(BOTH, asked(by, fingerprint="another"), result)
    assert entry and (entry.digipost_address, entry.alias) == (address, alias)


def test_the_later_of_two_answers_wins_in_whatever_order_they_are_read():
    early, late = asked(N, asked_at=NOW), asked(N, asked_at=NOW + WEEK)
    user, unknown = said(IS_USER, ADDRESS), said(UNIDENTIFIED)
    in_order = learnt(learnt(None, early, unknown), late, user)
    assert learnt(learnt(None, late, user), early, unknown) == in_order
    assert in_order and in_order.standing is Standing.USER


def test_a_word_that_we_do_not_know_changes_nothing():
    assert learnt(KNOWN, asked(BY_ALIAS), said(RecipientAnswer.UNKNOWN)) is KNOWN
    assert learnt(None, asked(N), said(RecipientAnswer.UNKNOWN)) is None


def test_that_the_address_was_washed_is_kept():
    entry = learnt(None, asked(N), RecipientResult("user:31", IS_USER, ADDRESS, washed=True))
    assert entry and entry.washed


def test_an_answer_is_fresh_until_its_age_is_reached():
    assert USER.is_fresh(NOW + WEEK - timedelta(seconds=1), WEEK)
    assert not USER.is_fresh(NOW + WEEK, WEEK)


@pytest.mark.parametrize("entry", [USER, KNOWN, BOTH, UNKNOWN])
def test_what_a_delivery_keeps_of_an_answer_reads_back(entry):
    assert Answer.of(str(entry.answer)) == entry.answer


def test_a_user_is_written_to_by_the_address_and_others_by_the_alias():
    assert BOTH.answer.known == Known(ADDRESS, "")
    assert KNOWN.answer.known == Known("", ALIAS)
    assert Answer.of("") is None
