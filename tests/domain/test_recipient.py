"""Who gets a mail, at which address, and who is the same as whom."""

import json
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.addressee import Addressee, Flaw, PostalAddress
from shared.domain.recipient import (
    AllowList,
    LeftOutReason,
    Member,
    MemberKind,
    Recipient,
    address_key,
    letter_recipient_of,
    normalise_address,
    placeholder_values,
    readable_address,
    recipient_key,
    recipient_of,
    spellings,
    tidy_name,
    tidy_values,
)

EVERYBODY = AllowList.of("*")


@pytest.mark.parametrize(
    ("raw", "address"),
    [
        ("kari@example.no", "kari@example.no"),
        ("  kari@example.no\t", "kari@example.no"),
        ("Kari.Nordmann@Example.NO", "Kari.Nordmann@example.no"),
        ("\u202ekari@example.no\u200b", "kari@example.no"),
        ("\ufeffkari@example.no", "kari@example.no"),
        ("post@BLÅBÆR.example", "post@xn--blbr-roah.example"),
        ("post@xn--blbr-roah.example", "post@xn--blbr-roah.example"),
        ("bjørn@example.no", "bjørn@example.no"),
        ("o'hara+liste@example.no", "o'hara+liste@example.no"),
        ("noen@utsendelse.local", "noen@utsendelse.local"),
        ("noen@localhost", "noen@localhost"),
    ],
)
def test_an_address_as_an_envelope_takes_it(raw, address):
    assert normalise_address(raw) == address
    assert normalise_address(address) == address


@pytest.mark.parametrize(
    "raw",
    [
        "",
        " ",
        "kari",
        "kari@",
        "@example.no",
        "ikke en@@adresse",
        "kari@example.no, ola@example.no",
        "kari@example.no;ola@example.no",
        "Kari <kari@example.no>",
        "kari@example.no\r\nBcc: alle@example.no",
        "kari\r\n@example.no",
        "kari\x00@example.no",
        "<kari@example.no>",
        "kari nordmann@example.no",
        "kari@exam ple.no",
        "kari@-example.no",
        f"kari@{'a' * 250}.no",
    ],
)
def test_what_is_not_one_address_is_none(raw):
    assert normalise_address(raw) is None


@given(st.text(max_size=60))
def test_no_text_makes_it_fail_and_no_address_can_break_a_line(raw):
    address = normalise_address(raw)
    assert address is None or (
        "@" in address and not any(c.isspace() or ord(c) < 32 for c in address)
    )


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("Kari@example.no", "kari@example.no", True),
        ("ÅSE@example.no", "åse@example.no", True),
        ("kari@example.no", "kari@example.com", False),
        ("kari+a@example.no", "kari@example.no", False),
        ("kari.n@example.no", "karin@example.no", False),
    ],
)
def test_who_is_the_same_recipient(one, other, same):
    assert (address_key(one) == address_key(other)) is same


@pytest.mark.parametrize(
    ("name", "tidy"),
    [
        ("Åse  Ødegård", "Åse Ødegård"),
        ("Kari\r\nBcc: alle@example.no", "Kari Bcc: alle@example.no"),
        ("\u202eexe.gnp\u200f", "exe.gnp"),
        ("Ola\x00\x1b[31m", "Ola[31m"),
        ("a\u2028b\u0085c", "a b c"),
        ("🙂 Æ", "🙂 Æ"),
        ("halv \ud800", "halv"),
        ("\t ", ""),
    ],
)
def test_a_name_on_one_line_without_tricks(name, tidy):
    assert tidy_name(name) == tidy


@pytest.mark.parametrize(
    ("entries", "address", "allowed"),
    [
        ("*", "hvem@som.helst", True),
        ("kari@example.no", "Kari@Example.no", True),
        ("kari@example.no", "ola@example.no", False),
        (" Example.no , ", "ola@example.no", True),
        ("@example.no", "ola@example.no", True),
        ("example.no", "ola@sub.example.no", False),
        ("example.no", "ola@example.no.evil.com", False),
        ("example.no", "ola@notexample.no", False),
        ("example.no", '"ola@example.no"@evil.com', False),
        ("", "ola@example.no", False),
    ],
)
def test_whom_the_test_list_lets_through(entries, address, allowed):
    assert AllowList.of(entries).allows(address) is allowed


@pytest.mark.parametrize(
    ("entries", "everybody"), [("*", True), ("a.no, *", True), ("a.no", False)]
)
def test_when_there_is_no_test_list(entries, everybody):
    assert AllowList.of(entries).everybody is everybody


def member(address: str | None, *, disabled: bool = False, name: str = " Åse\nØ ") -> Member:
    return Member(MemberKind.USER, 31, name, address, disabled, relation=7)


@pytest.mark.parametrize(
    ("who", "reason"),
    [
        (member("a@b.no", disabled=True), LeftOutReason.DISABLED),
        (member(None, disabled=True), LeftOutReason.DISABLED),
        (member(None), LeftOutReason.NO_ADDRESS),
        (member("  "), LeftOutReason.NO_ADDRESS),
        (member("a@@b.no"), LeftOutReason.INVALID_ADDRESS),
        (member("a@c.no"), LeftOutReason.NOT_ON_TEST_LIST),
    ],
)
def test_why_a_member_is_left_out(who, reason):
    assert recipient_of(who, AllowList.of("b.no")) is reason


def test_a_made_up_user_on_a_list_is_never_a_recipient():
    who = member("Masseutsendelse@b.no")
    why = recipient_of(who, EVERYBODY, {"masseutsendelse@b.no": "ticket"})
    assert why is LeftOutReason.CAMPAIGN_USER


def test_a_member_becomes_a_recipient_with_a_tidy_name_and_address():
    found = recipient_of(member(" Ase@B.NO "), EVERYBODY)
    assert found == Recipient("user:31", "Åse Ø", "Ase@b.no", user=31)
    company = Member(MemberKind.COMPANY, 9, "Fjordvik", "post@b.no")
    assert recipient_of(company, EVERYBODY) == Recipient("company:9", "Fjordvik", "post@b.no")


# --- letters

HOME = PostalAddress(("Storgata 1",), "0155", "Oslo")
KARI = Addressee("Åse Ø", postal=HOME)
NUMBER = "17857410084"


def addressed(addressee: Addressee | None, address: str | None = "a@b.no", **values) -> Member:
    return replace(member(address), addressee=addressee, **values)


@pytest.mark.parametrize(
    ("who", "allowed", "address"),
    [
        (addressed(KARI), "b.no", "a@b.no"),
        (addressed(KARI), "*", "a@b.no"),
        (addressed(KARI, None), "*", ""),
        (addressed(KARI, "a@@b.no"), "*", ""),  # a letter needs no address for mail
        (addressed(Addressee("", has_national_id=True, national_id=NUMBER)), "*", "a@b.no"),
        (addressed(Addressee("Firma", organization_number="313012344"), None), "*", ""),
        (addressed(replace(KARI, flaws=(Flaw.NATIONAL_ID,)), None), "*", ""),
    ],
)
def test_who_can_be_found_gets_a_letter(who, allowed, address):
    found = letter_recipient_of(who, AllowList.of(allowed))
    assert isinstance(found, Recipient)
    assert (found.member, found.name, found.address, found.user) == (
        "user:31",
        "Åse Ø",
        address,
        31,
    )
    assert found.addressee == who.addressee
    assert not found.erased


NOBODY = Addressee("Åse Ø")
NO_CODE = replace(NOBODY, flaws=(Flaw.NO_POSTAL_CODE,))


@pytest.mark.parametrize(
    ("who", "allowed", "reason"),
    [
        (addressed(KARI, disabled=True), "*", LeftOutReason.DISABLED),
        (addressed(KARI, "Made@up.no"), "*", LeftOutReason.CAMPAIGN_USER),
        (addressed(KARI, "a@c.no"), "b.no", LeftOutReason.NOT_ON_TEST_LIST),
        # nobody whom a test list cannot name is on it
        (addressed(KARI, None), "b.no", LeftOutReason.NOT_ON_TEST_LIST),
        (addressed(KARI, "a@@b.no"), "b.no", LeftOutReason.NOT_ON_TEST_LIST),
        (addressed(NOBODY), "*", LeftOutReason.NO_IDENTITY),
        (addressed(None), "*", LeftOutReason.NO_IDENTITY),
        (addressed(replace(KARI, name="")), "*", LeftOutReason.NO_IDENTITY),
        (addressed(NO_CODE), "*", LeftOutReason.NO_POSTAL_ADDRESS),
        (
            addressed(replace(NO_CODE, flaws=(Flaw.NATIONAL_ID, Flaw.NO_POSTAL_CODE))),
            "*",
            LeftOutReason.INVALID_NATIONAL_ID,
        ),
        (
            addressed(replace(NOBODY, flaws=(Flaw.ORGANIZATION_NUMBER,))),
            "*",
            LeftOutReason.INVALID_ORGANIZATION_NUMBER,
        ),
    ],
)
def test_why_somebody_gets_no_letter(who, allowed, reason):
    found = letter_recipient_of(who, AllowList.of(allowed), {"made@up.no": "digipost"})
    assert found is reason


@pytest.mark.parametrize(
    ("address", "will_do", "planned"),
    [("a@b.no", True, True), ("a@b.no", False, False), (None, True, False), ("@", True, False)],
)
def test_who_cannot_be_found_is_planned_where_a_mail_will_do(address, will_do, planned):
    found = letter_recipient_of(
        addressed(NO_CODE, address), EVERYBODY, mail_will_do=lambda _: will_do
    )
    assert isinstance(found, Recipient) == planned


def test_no_recipient_has_a_national_id_whoever_makes_it():
    with_number = replace(KARI, national_id=NUMBER, has_national_id=True)
    made = Recipient("user:31", "Åse", "", 31, addressee=with_number)
    changed = replace(Recipient("user:31", "Åse", ""), addressee=with_number)
    planned = letter_recipient_of(addressed(with_number), EVERYBODY)
    for one in (made, changed, planned, made.with_only(())):
        assert isinstance(one, Recipient) and one.addressee
        assert (one.addressee.national_id, one.addressee.has_national_id) == ("", True)
        assert NUMBER not in repr(one)
    assert with_number.national_id == NUMBER


@pytest.mark.parametrize(
    ("who", "erased"),
    [
        (Recipient("user:31", "Åse", "a@b.no"), False),
        (Recipient("user:31", "Åse", "", addressee=KARI), False),
        (Recipient("user:31", "Åse", "", addressee=Addressee("")), False),
        (Recipient("user:0", "", ""), True),  # as all erased rows are, old ones too
    ],
)
def test_who_has_neither_address_nor_addressee_is_erased(who, erased):
    assert who.erased == erased


def test_a_letters_recipient_is_told_apart_by_the_member_and_has_values_without_an_address():
    one = Recipient("user:31", "Åse", "", addressee=KARI)
    assert recipient_key("digipost", one) == "user:31"
    assert placeholder_values(one) == {"name": "Åse"}


@pytest.mark.parametrize(
    ("address", "spelt"),
    [
        ("post@example.no", ["post@example.no"]),
        ("Post@example.no", ["Post@example.no", "post@example.no"]),
        (
            "Post@xn--blbr-roah.example",
            [
                "Post@blåbær.example",
                "Post@xn--blbr-roah.example",
                "post@blåbær.example",
                "post@xn--blbr-roah.example",
            ],
        ),
        ("noen@localhost", ["noen@localhost"]),
        ("noen@utsendelse.local", ["noen@utsendelse.local"]),
        ("o'hara+liste@example.no", ["o'hara+liste@example.no"]),
        ("Bjørn@example.no", ["Bjørn@example.no", "bjørn@example.no"]),
    ],
)
def test_how_an_address_may_have_been_registered(address, spelt):
    assert spellings(address) == spelt
    assert {address_key(normalise_address(one)) for one in spelt} == {address_key(address)}


def test_who_shares_a_mailbox_gets_one_mail_but_a_ticket_each():
    one = Recipient("company:9", "Søster Én", "Konsern@example.no")
    two = Recipient("company:10", "Søster To", "konsern@example.no")
    assert recipient_key("email", one) == recipient_key("email", two) == "konsern@example.no"
    assert recipient_key("ticket", one) == "company:9"
    assert recipient_key("ticket", two) == "company:10"


def test_a_ticket_is_for_the_member_also_when_its_user_is_known():
    known = Recipient("company:9", "Fjordvik", "post@example.no", user=412)
    assert recipient_key("ticket", known) == "company:9"


# --- what a message may say of them ---


def test_values_are_tidy_in_order_and_never_blank():
    known = [("title", " Rektor\r\nBcc: x@y.no "), ("company", "Ærlig"), ("last_name", " \u200b\n")]
    assert tidy_values(known) == (("company", "Ærlig"), ("title", "Rektor Bcc: x@y.no"))


@pytest.mark.parametrize(
    ("long", "left"),
    [
        ("å" * 1_001, 1_000),
        ("🙂" * 1_001, 500),
        ('"' * 1_001, 500),
        ("\\" * 1_001, 500),
        ("a" * 999 + " b", 999),
        ("🙂" * 500, 500),
    ],
)
def test_a_value_is_cut_short(long, left):
    assert tidy_values([("title", long)]) == (("title", long[:left]),)


@settings(max_examples=50)
@given(st.lists(st.text().map(lambda text: text * 400), min_size=24, max_size=24))
def test_whatever_is_in_them_all_the_values_of_one_recipient_fit_in_a_column(texts):
    values = tidy_values((f"a_name_of_some_length_{n}", text) for n, text in enumerate(texts))
    column = json.dumps(dict(values), ensure_ascii=False)
    assert len(column.encode("utf-16-le")) <= 64 * 1024
    assert all(tidy_name(text) == text for _, text in values)


def test_a_recipient_has_what_is_known_of_the_member_and_keeps_what_is_asked_for():
    known = (("company", "Ærlig"), ("first_name", "Åse"), ("title", "Rektor"))
    found = recipient_of(replace(member("a@b.no"), fields=known), EVERYBODY)
    assert isinstance(found, Recipient)
    assert found.values == known
    assert found.with_only({"title", "company", "other"}).values == (known[0], known[2])
    assert found.with_only(()) == replace(found, values=())


@pytest.mark.parametrize(
    ("recipient", "said"),
    [
        (
            Recipient("user:31", "Åse Ø", "ase@b.no", 31, (("first_name", "Åse"),)),
            {"name": "Åse Ø", "email": "ase@b.no", "first_name": "Åse"},
        ),
        (Recipient("user:31", "", "ase@xn--blbr-roah.example"), {"email": "ase@blåbær.example"}),
        (
            Recipient("user:31", "Åse", "ase@b.no", 31, (("email", "x@y.no"), ("name", "Ola"))),
            {"name": "Åse", "email": "ase@b.no"},
        ),
        (Recipient("user:0", "", ""), {}),
    ],
)
def test_what_placeholders_stand_for(recipient, said):
    assert placeholder_values(recipient) == said


@given(st.emails())
def test_an_address_as_people_read_it_is_still_the_same_address(raw):
    address = normalise_address(raw)
    if address:
        assert normalise_address(readable_address(address)) == address
