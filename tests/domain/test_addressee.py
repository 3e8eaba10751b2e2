"""By what a letter finds its way: numbers, names, postal addresses, and what is wrong with them."""

from dataclasses import replace
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dev.pureservice.seed import national_id, organization_number
from shared.domain.addressee import (
    Addressee,
    Flaw,
    Identity,
    Known,
    Place,
    PostalAddress,
    addressee_of,
    day_of_birth,
    fingerprint,
    identify,
    phone_number,
    postal_address,
    valid_national_id,
    valid_organization_number,
)
from shared.domain.countries import country_code

HOME = PostalAddress(("Storgata 1B",), "0155", "Oslo")
KARI = Addressee("Kari Nordmann", postal=HOME)
NUMBER = national_id(1)
PERSON = replace(KARI, national_id=NUMBER, has_national_id=True)
FIRM = Addressee("Fjordvik AS", organization_number="313012344")


# --- numbers


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("17857410084", "17857410084"),  # synthetic: 80 added to the month
        (" 178574 10084 ", "17857410084"),
        ("02918813740", "02918813740"),
        ("2918813740", "02918813740"),  # a number field has dropped the zero
        ("15108695088", "15108695088"),
        ("55108695041", None),  # not the check digits of the D-number
        ("17857410085", None),
        ("17857410094", None),
        ("1785741008", None),
        ("178574100844", None),
        ("00000000000", None),  # the check digits are right, and nobody was born that day
        ("1785741008x", None),
        ("١٧٨٥٧٤١٠٠٨٤", None),
        ("", None),
    ],
)
def test_a_national_id_has_eleven_digits_that_check_and_a_day(text, number):
    assert valid_national_id(text) == number


def with_check_digits(nine: str) -> str | None:
    first = -sum(int(d) * w for d, w in zip(nine, (3, 7, 6, 1, 8, 9, 4, 5, 2), strict=True)) % 11
    ten = f"{nine}{first}"
    if first == 10:
        return None
    second = -sum(int(d) * w for d, w in zip(ten, (5, 4, 3, 2, 7, 6, 5, 4, 3, 2), strict=True)) % 11
    return None if second == 10 else f"{ten}{second}"


@pytest.mark.parametrize(
    ("day", "month", "valid"),
    [
        (11, 2, True),
        (51, 2, True),  # a D-number
        (11, 42, True),
        (11, 67, True),
        (11, 82, True),
        (51, 82, True),  # both
        (31, 82, False),  # the 31st of February
        (11, 13, False),
        (11, 93, False),
        (81, 2, False),  # an FH-number: no register of people has it
    ],
)
def test_what_is_added_to_day_or_month_is_understood(day, month, valid):
    numbers = [with_check_digits(f"{day:02}{month:02}88{n:03}") for n in range(100, 140)]
    found = {bool(valid_national_id(number)) for number in numbers if number}
    assert found == {valid}


@settings(max_examples=40)
@given(st.integers(0, 399), st.integers(0, 10), st.integers(1, 9))
def test_a_digit_that_is_wrong_is_found(serial, place, added):
    number = national_id(serial)
    other = str((int(number[place]) + added) % 10)
    assert valid_national_id(number) == number
    assert valid_national_id(f"{number[:place]}{other}{number[place + 1 :]}") is None


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("313012344", "313012344"),
        ("313 012 344", "313012344"),
        ("NO 313 012 344 MVA", "313012344"),
        ("NO313012344MVA", "313012344"),
        ("313012345", None),
        ("31301234", None),
        ("3130123440", None),
        ("", None),
        ("ukjent", None),
    ],
)
def test_an_organization_number_has_nine_digits_that_check(text, number):
    assert valid_organization_number(text) == number


def test_the_numbers_that_the_simulator_makes_up_are_valid():
    assert all(valid_organization_number(organization_number(n)) for n in range(50))
    assert all(valid_national_id(national_id(n)) for n in range(50))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+47 99 99 99 99", "+4799999999"),
        ("99999999", "+4799999999"),
        ("0047 999 99 999", "+4799999999"),
        ("+46 (8) 123-456", "+468123456"),
        ("12345678", ""),  # no such number in Norway
        ("999", ""),
        ("ring resepsjonen", ""),
    ],
)
def test_a_phone_number_gets_its_country(text, number):
    assert phone_number(text) == number


@pytest.mark.parametrize(
    ("text", "day"),
    [
        ("1988-11-02", date(1988, 11, 2)),
        ("1988-11-02T00:00:00Z", date(1988, 11, 2)),
        ("2.11.1988", date(1988, 11, 2)),
        ("02111988", date(1988, 11, 2)),
        ("021188", None),  # which century?
        ("31.02.1988", None),
        ("", None),
    ],
)
def test_a_day_of_birth_is_whole_or_not_known(text, day):
    assert day_of_birth(text) == day


# --- postal addresses


@pytest.mark.parametrize(
    ("place", "address"),
    [
        (Place(("Storgata 1B",), "0155", "Oslo"), HOME),
        (Place(("Storgata 1B", ""), "155", " Oslo ", "NORGE"), HOME),  # a number lost its zero
        (Place((" Storgata\t1B",), "N-0155", "Oslo", "NO"), HOME),
        (Place(("Storgata 1B\r\n",), "0155", "Oslo", "Norway"), HOME),
        (
            Place(("c/o Ola\nStorgata 1\n\nLeil. 4",), "5003", "Bergen"),
            PostalAddress(("c/o Ola", "Storgata 1, Leil. 4"), "5003", "Bergen"),
        ),
        (
            Place(("Gatan 2",), "111 22", "Stockholm", "Sverige"),
            PostalAddress(("Gatan 2", "111 22 Stockholm"), "111 22", "Stockholm", "SE"),
        ),
        (
            Place(("1", "2\n3\n4"), "AB1 2CD", "Leeds", "UK"),
            PostalAddress(("1", "2", "3, 4", "AB1 2CD Leeds"), "AB1 2CD", "Leeds", "GB"),
        ),
        (
            Place(("Gatan 2\n111 22 Stockholm",), "", "", "se"),
            PostalAddress(("Gatan 2", "111 22 Stockholm"), country="SE"),
        ),
    ],
)
def test_a_postal_address_as_the_post_takes_it(place, address):
    assert postal_address(place) == address


@pytest.mark.parametrize(
    ("place", "flaws"),
    [
        (Place(), ()),
        (Place((" ",), country="Norge"), ()),  # nobody lives in the country as such
        (Place((), "0155", "Oslo"), (Flaw.NO_LINES,)),
        (Place(("Storgata 1",), "", "Oslo"), (Flaw.NO_POSTAL_CODE,)),
        (Place(("Storgata 1",), "0155", ""), (Flaw.NO_CITY,)),
        (Place(("Storgata 1",), "12", "Oslo"), (Flaw.POSTAL_CODE,)),
        (Place(("Storgata 1",), "0000", "Oslo"), (Flaw.POSTAL_CODE,)),
        (Place(("Storgata 1",), "111 22", "Stockholm"), (Flaw.POSTAL_CODE,)),
        (Place(("Storgata 1",)), (Flaw.NO_POSTAL_CODE, Flaw.NO_CITY)),
        (Place(("S" * 101,), "0155", "Oslo"), (Flaw.TOO_LONG,)),
        (Place(("Storgata 1",), "0155", "O" * 81), (Flaw.TOO_LONG,)),
        (Place(("Slottet 1",), "1", "Minas", "Mordor"), (Flaw.COUNTRY,)),
        (Place((), "111 22", "Stockholm", "Sverige"), (Flaw.NO_LINES, Flaw.NO_CITY)),
        (Place(("Gatan 2",), "", "", "Sverige"), (Flaw.NO_CITY,)),
    ],
)
def test_what_is_wrong_with_a_postal_address_is_told(place, flaws):
    assert postal_address(place) == flaws


@settings(max_examples=60)
@given(
    st.lists(st.text(max_size=60), max_size=5),
    st.text("0123456789 -", max_size=8),
    st.text(max_size=30),
    st.sampled_from(["", "Norge", "Sverige", "UK", "de"]),
)
def test_whatever_is_registered_an_address_keeps_the_rules_of_print(lines, code, city, country):
    found = postal_address(Place(lines, code, city, country))
    if not isinstance(found, PostalAddress):
        return
    assert found.in_norway == (country in {"", "Norge"})
    assert 1 <= len(found.lines) <= (2 if found.in_norway else 4)
    assert all(line.strip() == line and 0 < len(line) <= 100 for line in found.lines)
    assert "".join((*found.lines, found.city)).isprintable()
    if found.in_norway:
        assert len(found.postal_code) == 4
        assert 0 < len(found.city) <= 80


@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("", "NO"),
        ("  ", "NO"),
        ("Norge", "NO"),
        ("norway", "NO"),
        ("NOR", "NO"),
        ("no", "NO"),
        ("Danmark", "DK"),
        ("Åland", "AX"),
        ("U.S.A.", "US"),
        ("Great Britain", "GB"),
        ("Mordor", None),
        ("??", None),
    ],
)
def test_a_country_by_what_people_call_it(name, code):
    assert country_code(name) == code


# --- who somebody is


def test_what_cannot_be_used_is_left_out_and_told_without_the_thing_itself():
    found = addressee_of(
        name="Kari Nordmann",
        national_id="17857410085",
        organization_number="123456789",
        place=Place(("Storgata 1",), "", "Oslo"),
    )
    assert found == Addressee(
        "Kari Nordmann",
        flaws=(Flaw.NATIONAL_ID, Flaw.ORGANIZATION_NUMBER, Flaw.NO_POSTAL_CODE),
    )
    assert not found.can_be_found
    assert not any(digits in repr(found) for digits in ("17857410085", "123456789"))


@pytest.mark.parametrize(
    ("addressee", "it_can"),
    [
        (PERSON, True),
        (PERSON.without_national_id(), True),
        (FIRM, True),
        (KARI, True),
        (replace(KARI, name=""), False),
        (replace(KARI, postal=None), False),
        (replace(KARI, postal=None, email="kari@example.no", birth_date=date(1988, 1, 1)), False),
    ],
)
def test_digipost_can_be_asked_by_a_number_or_by_name_and_address(addressee, it_can):
    assert addressee.can_be_found == it_can


def test_the_national_id_is_in_no_text_and_is_gone_when_it_is_to_be_kept():
    kept = PERSON.without_national_id()
    assert (kept.national_id, kept.has_national_id) == ("", True)
    assert not any(NUMBER in text for text in (repr(PERSON), str(PERSON), repr(kept)))


ADDRESS, ALIAS = Known("kari#1AB2"), Known("", "abc#9ZY8")
BOTH = Known("kari#1AB2", "abc#9ZY8")
BY_NUMBER = (Identity.NATIONAL_ID, NUMBER)
BY_FIRM = (Identity.ORGANIZATION_NUMBER, "313012344")
BY_ADDRESS, BY_ALIAS = (Identity.DIGIPOST_ADDRESS, "kari#1AB2"), (Identity.ALIAS, "abc#9ZY8")
BY_NAME = (Identity.NAME_AND_ADDRESS, "")


@pytest.mark.parametrize(
    ("addressee", "known", "found"),
    [
        (PERSON, None, BY_NUMBER),
        (PERSON, BOTH, BY_NUMBER),
        (PERSON, ALIAS, BY_NUMBER),
        (FIRM, None, BY_FIRM),
        (FIRM, ADDRESS, BY_FIRM),
        (KARI, None, BY_NAME),
        (KARI, Known(), BY_NAME),
        (KARI, BOTH, BY_ADDRESS),
        (KARI, ALIAS, BY_ALIAS),
        (replace(KARI, name=""), None, None),
        (replace(KARI, postal=None), None, None),
        (replace(KARI, postal=None), ALIAS, BY_ALIAS),
        # the ledger knows only that there is a number: whoever asks must have read it anew
        (PERSON.without_national_id(), None, BY_NAME),
    ],
)
def test_by_what_somebody_is_asked_for_and_written_to(addressee, known, found):
    assert identify(addressee, known) == found


def test_the_fingerprint_tells_another_person_and_no_number():
    others = [
        replace(KARI, name="Ola Nordmann"),
        replace(KARI, postal=replace(HOME, city="Bergen")),
        replace(KARI, postal=None),
        replace(KARI, birth_date=date(1988, 11, 2)),
        replace(KARI, organization_number="313012344"),
        PERSON,
    ]
    assert len({fingerprint(one) for one in [KARI, *others]}) == len(others) + 1
    same = [
        replace(PERSON, national_id=national_id(7)),
        PERSON.without_national_id(),
        replace(PERSON, name="KARI NORDMANN", phone="+4799999999", email="ny@example.no"),
    ]
    assert {fingerprint(one) for one in same} == {fingerprint(PERSON)}
