"""Made-up tenants: what every one has, and campaigns of any size with known outcomes."""

import base64
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from . import behaviour
from .schema import API_USER, SYSTEM_USER
from .world import EXPECTED, Row, World, full_name

Scenario = Literal["email", "ticket", "digipost"]
Trigger = Literal["communication", "failed_email"]

LIST_TYPE = "Mottakerliste"
MESSAGE_TYPE = "Til utsending"
HAS_USER, HAS_COMPANY, GIVES_TO = "Inneholder bruker", "Inneholder firma", "Gir mottakere til"
FROM_CAMPAIGN = "Er utsending fra"  #: a recipient's ticket, from the one it was copied from
PLACEHOLDERS: Mapping[Scenario, str] = {
    "email": "masseutsendelse-ikke-svar@utsendelse.local",
    "ticket": "masseutsendelse-med-svar@utsendelse.local",
    "digipost": "masseutsendelse-digipost@utsendelse.local",
}
AGENT, OTHER_AGENT = 3, 4  #: the case worker who starts the campaigns, and a colleague
TICKET, CHANGE = 1, 2  #: request types
_STATUSES = (
    ("Løst", 50, CHANGE),
    ("Ny", 10, TICKET),
    ("Under arbeid", 30, TICKET),
    ("Venter - sluttbruker", 45, TICKET),
    ("Løst", 50, TICKET),
    ("Lukket", 60, TICKET),
    ("Utsending – til kontroll", 30, TICKET),
    ("Utsending – klar", 30, TICKET),
    ("Utsending – pause", 40, TICKET),
    ("Utsending – avbryt", 30, TICKET),
    ("Utsending – pågår", 40, TICKET),
    ("Utsending – må sjekkes", 30, TICKET),
    ("Ny", 10, CHANGE),
)


def seed_base(world: World) -> None:
    """What a tenant must have before there can be a campaign; no tickets."""
    for key, name in (("Ticket", "Sak"), ("Change", "Endring")):
        world.add("requesttype", {"name": name, "key": key})
    for index, (name, core, request_type) in enumerate(_STATUSES):
        status = {"name": name, "userDisplayName": name, "coreStatus": core, "index": index}
        world.add("status", {**status, "requestTypeId": request_type, "default": name == "Ny"})
    world.add(
        "status",
        {"name": "Ute av bruk", "coreStatus": 30, "requestTypeId": TICKET, "disabled": True},
    )
    for request_type in (CHANGE, TICKET):
        for kind, names in (("priority", ("Normal", "Høy")), ("source", ("E-post", "Telefon"))):
            for name in names:
                default = name in ("Normal", "E-post")
                world.add(kind, {"name": name, "requestTypeId": request_type, "default": default})
    for name in ("Henvendelse", "Hendelse"):
        world.add("tickettype", {"name": name, "default": name == "Henvendelse"})
    world.add("changetype", {"name": "Standard"})
    for zone, teams in (
        ("Fordeling", ("Postmottak", "Førstelinje")),
        ("Kommunikasjon", ("Utsendinger",)),
    ):
        department = world.add("department", {"name": zone})
        for team in teams:
            world.add("team", {"name": team, "departmentId": department["id"]})
    for level, name in ((1, "Informasjon"), (2, "Høring"), (3, "Ekstern")):
        world.add("category", {"name": name, "level": level})
    for name in ("Intern logg", MESSAGE_TYPE):
        world.add("customtype", {"name": name})
    world.add("language", {"name": "English"})
    world.add("language", {"name": "Norsk"})
    _seed_people(world)
    _seed_lists(world)


def _seed_people(world: World) -> None:
    own = {"name": "Fjordvik kommune", "organizationNumber": "999888777"}
    add_company(world, own, ["post@fjordvik.example.no"])
    for id_, first, last, role in (
        (SYSTEM_USER, "Pureservice", "System", 50),
        (API_USER, "Utsendelse", "API", 30),
        (AGENT, "Kari", "Saksbehandler", 20),
        (OTHER_AGENT, "Åse", "Ødegård", 20),
    ):
        name = {"id": id_, "firstName": first, "lastName": last, "role": role, "companyId": 1}
        add_user(world, name, [f"{first}.{last}@fjordvik.example.no".lower()])
    for address in PLACEHOLDERS.values():
        kind = address.partition("@")[0].removeprefix("masseutsendelse-")
        add_user(world, {"firstName": "Masseutsendelse", "lastName": kind}, [address])


def _seed_lists(world: World) -> None:
    types = {}
    for name in ("Datamaskin", LIST_TYPE):
        asset_type = types[name] = world.add("assettype", {"name": name})
        class_name = f"_{asset_type['id']}_Assets_{name}"
        world.change("assettype", asset_type["id"], {"uniqueClassName": class_name}, by=None)
        world.add("assetstatus", {"name": "I bruk", "assetTypeId": asset_type["id"]})
        responsible = {"name": "Ansvarlig", "propertyName": "Assets_UDF_95_Ansvarlig"}
        world.add(
            "assettypefield", {**responsible, "type": "textfield", "assetTypeId": asset_type["id"]}
        )
    for of, name in (
        ("Datamaskin", HAS_USER),
        (LIST_TYPE, HAS_USER),
        (LIST_TYPE, HAS_COMPANY),
        (LIST_TYPE, GIVES_TO),
        (LIST_TYPE, "Forvaltes av"),
        (None, "Er relatert til"),
        (None, FROM_CAMPAIGN),
    ):
        from_type = types[of]["id"] if of else None
        world.add("relationshiptype", {"name": name, "fromAssetTypeId": from_type})
    for unique_id, category, names in (
        ("KOMM", "Kommune", ("Ålfjord", "Bjørkedal", "Grønnvik")),
        ("FYLK", "Fylkeskommune", ("Nordhav", "Østmark")),
        ("STAT", "Statlig virksomhet", ("Sjøtilsynet", "Blåbærdirektoratet")),
    ):
        members = add_list(world, category, unique_id)
        for name in names:
            domain = name.lower().translate(str.maketrans("æøå", "eoa"))
            company = {"name": f"{name} ({category.lower()})", "cf_9": category}
            number = str(999_000_000 + world.count("company"))
            company_row = add_company(
                world, {**company, "organizationNumber": number}, [f"post@{domain}.example.no"]
            )
            add_member(world, members, "company", company_row)


def seed_examples(world: World) -> list[int]:
    """One ticket per scenario whose message could not be delivered; their request numbers."""
    return [
        seed_campaign(world, recipients=5, scenario=scenario, status=None, trigger="failed_email")
        for scenario in PLACEHOLDERS
    ]


# -- single things


def add_user(world: World, values: Mapping[str, Any], addresses: Sequence[str] = ()) -> Row:
    """An end user; the last address is the default one."""
    ids = [world.add("emailaddress", {"email": address})["id"] for address in addresses]
    user = world.add("user", {**values, "emailAddressId": ids[-1] if ids else None})
    for id_ in ids:
        world.change("emailaddress", id_, {"userId": user["id"]}, by=None)
    return user


def add_company(
    world: World, values: Mapping[str, Any], addresses: Sequence[str] = (), *, default: bool = True
) -> Row:
    """A company; the last address is the default one, unless it has none."""
    ids = [world.add("companyemailaddress", {"email": address})["id"] for address in addresses]
    company = world.add(
        "company", {**values, "emailAddressId": ids[-1] if ids and default else None}
    )
    for id_ in ids:
        world.change("companyemailaddress", id_, {"companyId": company["id"]}, by=None)
    return company


def add_list(world: World, name: str, unique_id: str, *, is_deleted: bool = False) -> Row:
    list_type = world.find("assettype", name=LIST_TYPE) or {}
    status = world.find("assetstatus", assetTypeId=list_type["id"]) or {}
    return world.add(
        "asset",
        {
            "name": name,
            "uniqueId": unique_id,
            "typeId": list_type["id"],
            "statusId": status["id"],
            "isMarkedForDeletion": is_deleted,
            "assets_UDF_95_Ansvarlig": "Kari Saksbehandler",
        },
        by=AGENT,
    )


def add_member(
    world: World,
    members: Row,
    kind: Literal["user", "company", "ticket"],
    member: Row,
    relation: str = "",
) -> None:
    """Relate somebody, or a ticket, to a list; by the right relation type if none is named."""
    name = relation or {"user": HAS_USER, "company": HAS_COMPANY, "ticket": GIVES_TO}[kind]
    types = world.where("relationshiptype", "fromAssetTypeId", members["typeId"])
    type_id = next(row["id"] for row in types if row["name"] == name)
    world.add(
        "relationship",
        {
            "typeId": type_id,
            "main": "toAssetId",
            "inverseMain": "fromAssetId",
            "toAssetId": members["id"],
            f"from{kind.title()}Id": member["id"],
        },
        by=AGENT,
    )


def add_ticket(
    world: World,
    *,
    user_id: int,
    subject: str,
    description: str = "",
    visibility: int = behaviour.VISIBLE,
    by: int = AGENT,
    **values: Any,
) -> Row:
    """A new ticket as a case worker makes it in the user interface, without its consequences."""

    def first(kind: str, **wanted: Any) -> int:
        return _id_of(world, kind, **wanted)

    return behaviour.create(
        world,
        "ticket",
        {
            "subject": subject,
            "description": description,
            "visibility": visibility,
            "userId": user_id,
            "assignedAgentId": by,
            "statusId": first("status", name="Ny", requestTypeId=TICKET),
            "priorityId": first("priority", name="Normal", requestTypeId=TICKET),
            "sourceId": first("source", name="E-post", requestTypeId=TICKET),
            "ticketTypeId": first("tickettype", name="Henvendelse"),
            "requestTypeId": TICKET,
            "assignedDepartmentId": first("department", name="Kommunikasjon"),
            "assignedTeamId": first("team", name="Utsendinger"),
            "category1Id": first("category", name="Informasjon"),
            **values,
        },
        by=by,
    )


def _id_of(world: World, kind: str, **values: Any) -> int:
    return int((world.find(kind, **values) or {})["id"])


def add_file(world: World, ticket: Row, name: str, content: bytes, **values: Any) -> Row:
    """A file on a ticket, visible unless told otherwise."""
    stem, _, suffix = name.rpartition(".")
    types = {"pdf": "application/pdf", "png": "image/png", "txt": "text/plain"}
    return world.add(
        "attachment",
        {
            "name": stem,
            "fileName": name,
            "contentType": types.get(suffix, "application/octet-stream"),
            "contentLength": len(content),
            "digest": world.store(content),
            "ticketId": ticket["id"],
            "isVisible": True,
            **values,
        },
        by=AGENT,
    )


def add_message(
    world: World,
    ticket: Row,
    text: str,
    *,
    subject: str | None = None,
    custom_type: str | None = None,
    direction: int | None = None,
    attachment_ids: Sequence[int] = (),
    by: int = AGENT,
) -> Row:
    """An ordinary message, or an entry of a self-made type, as a person writes it."""
    custom = world.find("customtype", name=custom_type) if custom_type else None
    usual = behaviour.INTERNAL if custom else behaviour.OUTBOUND
    row = behaviour.create(
        world,
        "communication",
        {
            "ticketId": ticket["id"],
            "type": behaviour.MESSAGE,
            "customTypeId": custom["id"] if custom else None,
            "direction": direction or usual,
            "subject": subject or ticket["subject"],
            "text": text,
            "attachmentIds": list(attachment_ids),
        },
        by=by,
    )
    behaviour.after_create(world, "communication", row, by=by)
    return row


def add_note(world: World, ticket: Row, text: str, *, by: int = AGENT) -> Row:
    """An internal note by a case worker; the ticket has been changed by it."""
    values = {"ticketId": ticket["id"], "type": 1, "direction": behaviour.INTERNAL, "text": text}
    row = world.add("communication", values, by=by)
    behaviour.after_create(world, "communication", row, by=by)
    return row


def add_reply(world: World, ticket: Row, text: str) -> Row:
    """The end user answers by e-mail; what that does to the ticket is in the switches."""
    user = world.get("user", ticket.get("userId")) or {}
    subject = f"SV: {behaviour.case_tag(ticket)} {ticket['subject']}"
    mail = world.add(
        "email",
        {
            "ticketId": ticket["id"],
            "from": behaviour.default_address(world, user.get("id")),
            "fromName": full_name(user),
            "to": behaviour.MAILBOX,
            "subject": subject,
            "html": text,
            "direction": behaviour.INBOUND,
            "status": behaviour.RECEIVED,
            "statusDate": world.stamp(),
        },
        by=SYSTEM_USER,
    )
    sender = world.add("communicationrecipient", {"userId": user.get("id"), "type": "sender"})
    row = behaviour.create(
        world,
        "communication",
        {
            "ticketId": ticket["id"],
            "type": behaviour.MESSAGE,
            "direction": behaviour.INBOUND,
            "subject": subject,
            "text": text,
            "senderId": sender["id"],
            "messageId": mail["id"],
        },
        by=SYSTEM_USER,
    )
    behaviour.after_create(world, "communication", row, by=SYSTEM_USER)
    return row


def set_status(world: World, ticket: Row, name: str, *, by: int = AGENT) -> None:
    """Move a ticket to the ticket status of this name; LookupError when there is none."""
    status = world.find("status", name=name, requestTypeId=ticket["requestTypeId"])
    if status is None:
        raise LookupError(f"no status named {name}")
    behaviour.change_ticket(world, ticket, {"statusId": status["id"]}, by=by)


# -- campaigns

SUBJECT = "Høring om ny veileder"
TEXT = (
    "<p>Hei!</p><p>Vi inviterer til høring om <strong>ny veileder</strong> for små og større"
    " øvelser i Ålfjord, Bjørkedal og Grønnvik. Svarfrist er 1. mars.</p>"
    '<p><a href="https://example.no/høring?sak=1&amp;del=2">Les mer</a></p>'
    "<p>Vennlig hilsen<br>Åse Ødegård</p>"
)
PICTURE_ID = "logo@fjordvik.example.no"
DESCRIPTIONS: Mapping[Scenario, str] = {
    "email": f'<p>Klargjøres for utsending. <img src="cid:{PICTURE_ID}"></p>',
    "ticket": "<p>Høringen gjelder små og større øvelser i Ålfjord, Bjørkedal og Grønnvik.</p>"
    f'<p><img src="cid:{PICTURE_ID}" alt="Fjordvik kommune"></p>',
    "digipost": "<p>Klargjøres for utsending.</p>",
}


def _pdf(text: str) -> bytes:
    """A page in A4 that can be printed: one line of text, in a font that every reader has."""
    line = text.encode("cp1252").replace(b"(", b"\\(").replace(b")", b"\\)")
    shown = b"BT /F1 12 Tf 72 720 Td (%s) Tj ET" % line
    objects = (
        b"<</Type/Catalog/Pages 2 0 R/Lang(nb-NO)>>",
        b"<</Type/Pages/Kids[3 0 R]/Count 1>>",
        b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 595.28 841.89]/Contents 4 0 R"
        b"/Resources<</Font<</F1 5 0 R>>>>>>",
        b"<</Length %d>>stream\n%s\nendstream" % (len(shown), shown),
        b"<</Type/Font/Subtype/Type1/BaseFont/Helvetica/Encoding/WinAnsiEncoding>>",
    )
    file, places = b"%PDF-1.4\n%\xe6\xf8\xe5\xe9\n", []
    for number, of in enumerate(objects, start=1):
        places.append(b"%010d 00000 n \n" % len(file))
        file += b"%d 0 obj%s\nendobj\n" % (number, of)
    size, table = len(objects) + 1, len(file)
    file += b"xref\n0 %d\n0000000000 65535 f \n%s" % (size, b"".join(places))
    return file + b"trailer<</Size %d/Root 1 0 R>>\nstartxref\n%d\n%%%%EOF\n" % (size, table)


PDF = _pdf("Ny veileder for små og større øvelser")
PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
#: Of those that `seed_base` makes: companies that people work in.
_EMPLOYERS = ("Ålfjord (kommune)", "Østmark (fylkeskommune)", "Sjøtilsynet (statlig virksomhet)")
_DOMAINS = ("example.no", "example.com", "example.org")
#: Where this tenant keeps what letters are addressed by, in the app's settings.
LETTER_SETTINGS: Mapping[str, str] = {
    "DIGIPOST_CAMPAIGN_USER": PLACEHOLDERS["digipost"],
    "DIGIPOST_NATIONAL_ID_FIELD": "user.cf_5",
    "DIGIPOST_BIRTH_DATE_FIELD": "user.cf_6",
    "DIGIPOST_ADDRESS_FIELDS": '{"line1": "company.cf_2", "postal_code": "company.cf_3",'
    ' "city": "company.cf_4"}',
}


@dataclass
class _Account:
    """Who must get what, told by whoever makes the members rather than worked out from them."""

    scenario: Scenario
    mails: Counter[str] = field(default_factory=Counter)
    members: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    new_users: dict[str, list[str]] = field(default_factory=dict)
    left_out: Counter[str] = field(default_factory=Counter)
    never: set[str] = field(default_factory=set)
    memberships: int = 0

    def reaches(self, member: str, address: str, *, new_user: str = "") -> None:
        """This membership gets one, unless the scenario has reached the same one before.

        ``new_user`` is the last name of the user that must be made for it.
        """
        self.memberships += 1
        again = address in self.mails if self.scenario == "email" else member in self.members
        if again:
            self.left_out["duplicate"] += 1
            return
        self.mails[address] += 1
        self.members.add(member)
        if new_user and self.scenario == "ticket":
            self.new_users.setdefault(address, []).append(new_user)

    def fails(self, member: str, *addresses: str) -> None:
        """This membership is to get one and cannot."""
        self.memberships += 1
        self.failed.add(member)
        self.never.update(addresses)

    def leaves_out(self, reason: str, *addresses: str) -> None:
        self.memberships += 1
        self.left_out[reason] += 1
        self.never.update(addresses)


def seed_campaign(
    world: World,
    *,
    recipients: int,
    scenario: Scenario = "email",
    tricky: bool = True,
    status: str | None = "Utsending – klar",
    trigger: Trigger = "communication",
    text: str = TEXT,
) -> int:
    """A ticket with lists, message and files, ready to be found; returns its request number.

    ``recipients`` are ordinary members, all to be reached; ``tricky`` adds one of every kind of
    trouble to them. ``expected`` tells what must become of it all. Without a status the ticket is
    left where a case worker who has written a message leaves it.
    """
    user = world.find("user", emailAddressId=_address_id(world, PLACEHOLDERS[scenario])) or {}
    ticket = add_ticket(
        world,
        user_id=user["id"],
        subject=SUBJECT,
        description=DESCRIPTIONS[scenario],
        **(_unusual(world) if scenario == "ticket" else {}),
    )
    number = int(ticket["requestNumber"])
    notes = "Sjekkliste for høringen: æ, ø og å skal overleve.\n".encode()
    letters = scenario == "digipost"  # where a file of text is nothing to send
    text_file = None if letters else add_file(world, ticket, "sjekkliste.txt", notes)
    add_file(world, ticket, "internt-notat.txt", b"Ikke til mottakerne.\n", isVisible=False)
    logo = add_file(world, ticket, "logo.png", PNG, embedded=True, contentId=PICTURE_ID)
    behaviour.after_create(world, "ticket", ticket, by=AGENT)

    account = _Account(scenario)
    lists = [
        add_list(world, f"{name} {number}", f"{name[:4].upper()}-{number}")
        for name in ("Kontaktpersoner", "Skoler og barnehager", "Leverandører")
    ]
    for members in lists:
        add_member(world, members, "ticket", ticket)
    _add_ordinary(world, account, lists, recipients)
    if tricky:
        makers = _Makers(world, account, number)
        _add_tricky(makers, lists)
        if scenario == "ticket":
            _add_tricky_mailboxes(makers, lists)
            _add_campaign_users(makers, lists)
        if letters:
            _add_tricky_letters(makers, lists)
        gone = add_list(world, f"Utgått liste {number}", f"GONE-{number}", is_deleted=True)
        add_member(world, gone, "ticket", ticket)
        address = f"utgatt.{number}@example.no"
        name = {"firstName": "Utgått", "lastName": "Medlem"}
        add_member(world, gone, "user", add_user(world, name, [address]))
        account.never.add(address)

    is_mail = trigger == "failed_email"
    pdf = add_file(world, ticket, "veileder.pdf", PDF)
    sent = [pdf, *([text_file] if text_file else [])]
    add_message(
        world,
        ticket,
        text,
        custom_type=None if is_mail else MESSAGE_TYPE,
        # A mail carries all its files; an entry shares those of the ticket.
        attachment_ids=[file["id"] for file in (sent if is_mail else sent[:1])],
    )
    behaviour.settle_now(world, ticket)
    if is_mail:
        set_status(world, ticket, "Venter - sluttbruker")
    if status:
        set_status(world, ticket, status)

    world.add(
        EXPECTED,
        {
            "requestNumber": number,
            "ticketId": ticket["id"],
            "scenario": scenario,
            "subject": SUBJECT,
            "files": {file["fileName"]: file["contentLength"] for file in sent},
            "pictures": {logo["fileName"]: len(PNG)},
            "lists": [members["id"] for members in lists],
            "memberships": account.memberships,
            "mails": {} if scenario == "digipost" else dict(account.mails),
            "members": sorted(account.members),
            "failed": sorted(account.failed),
            "newUsers": account.new_users,
            "leftOut": dict(account.left_out),
            "mustNotGet": sorted(account.never),
        },
    )
    return number


def expected(world: World, request_number: int) -> dict[str, Any]:
    """What must become of a seeded campaign, worked out without any of the app's code.

    ``mails`` is how many mails each address must get, as ``comparable`` has it: always one for
    ``email``, one per member for ``ticket``, none for ``digipost``. ``members`` are those reached,
    as ``user:412``, each once; for ``email`` the first of those who share an address. ``failed``
    are those whose delivery must fail. For ``digipost`` they are those who can be found by what is
    registered of them, read as `LETTER_SETTINGS` has it, and nobody without an e-mail address is on
    a test list. ``leftOut`` counts the other memberships by reason, so that
    members, failed and those left out are all ``memberships`` of live lists. No mail may ever go to
    ``mustNotGet``.

    ``files`` go along with the message, ``pictures`` with the description only; no other file of
    the ticket may. ``newUsers`` are the addresses that exactly one user must have been made for:
    Postmottak, with one of these names as the last.
    """
    row = world.find(EXPECTED, requestNumber=request_number)
    if row is None:
        raise LookupError(f"no campaign was seeded as {request_number}")
    return row


def _address_id(world: World, address: str) -> int | None:
    row = world.find("emailaddress", email=address)
    return row["id"] if row else None


def _home(world: World, scenario: Scenario) -> dict[str, Any]:
    """A postal address, for those who are to get letters."""
    if scenario != "digipost":
        return {}
    home = {"streetAddress": "Storgata 1", "postalCode": "0155", "city": "Ålfjord"}
    return {"addressId": world.add("physicaladdress", {**home, "country": "Norge"})["id"]}


def national_id(serial: int, *, day: int = 11, month: int = 2, year: int = 88) -> str:
    """A synthetic fødselsnummer: a valid one, of somebody born in month 80 and something."""
    born = f"{day:02}{month + 80:02}{year:02}"
    for individual in range(serial % 400, 500):
        digits = f"{born}{individual:03}"
        first = _check_digit(digits, (3, 7, 6, 1, 8, 9, 4, 5, 2))
        if first == 10:
            continue
        second = _check_digit(f"{digits}{first}", (5, 4, 3, 2, 7, 6, 5, 4, 3, 2))
        if second < 10:
            return f"{digits}{first}{second}"
    raise LookupError(f"no number of {born} after {serial}")


def organization_number(serial: int) -> str:
    """A valid one, from a range that nobody has."""
    for start in range(31_000_000 + serial * 7, 40_000_000):
        check = _check_digit(str(start), (3, 2, 7, 6, 5, 4, 3, 2))
        if check < 10:
            return f"{start}{check}"
    raise LookupError(f"no number after {serial}")


def _check_digit(digits: str, weights: Sequence[int]) -> int:
    return -sum(int(d) * w for d, w in zip(digits, weights, strict=True)) % 11


def comparable(address: str) -> str:
    """The address in the form of ``expected``: lower case, the domain in ASCII."""
    local, _, domain = address.strip().lower().rpartition("@")
    return f"{local}@{domain.encode('idna').decode()}"


def _unusual(world: World) -> dict[str, Any]:
    """A ticket in which every field is another than what a new one gets by itself."""
    return {
        "ticketTypeId": _id_of(world, "tickettype", name="Hendelse"),
        "priorityId": _id_of(world, "priority", name="Høy", requestTypeId=TICKET),
        "sourceId": _id_of(world, "source", name="Telefon", requestTypeId=TICKET),
        "category1Id": _id_of(world, "category", name="Informasjon"),
        "category2Id": _id_of(world, "category", name="Høring"),
        "category3Id": _id_of(world, "category", name="Ekstern"),
        "assignedDepartmentId": _id_of(world, "department", name="Kommunikasjon"),
        "assignedTeamId": _id_of(world, "team", name="Utsendinger"),
        "assignedAgentId": OTHER_AGENT,
        "cf_2": "Blåbær og ærfugl",
        "cf_7": 42,
        "customerReference": "Deres ref. 2026/77 Ålfjord",
    }


def _add_ordinary(world: World, account: _Account, lists: Sequence[Row], count: int) -> None:
    """People, and a company for every five of them, spread over the lists."""
    first, last = ("Kari", "Ola", "Åse", "Bjørn", "Ærlend"), ("Nordmann", "Østby", "Ås", "Li")
    serial = world.count("user") + world.count("company")
    home = _home(world, account.scenario)
    employers = [_id_of(world, "company", name=name) for name in _EMPLOYERS]
    for n in range(serial, serial + count):
        address = f"mottaker{n}@{_DOMAINS[n % 3]}"
        members = lists[n % len(lists)]
        if n % 6 == 5:
            company = {"name": f"Bedrift nr. {n}", **_known_of_company(n)}
            if account.scenario == "digipost":
                company["organizationNumber"] = organization_number(n)
            row = add_company(world, company, [address])
            kind: Literal["user", "company"] = "company"
        else:
            name = {"firstName": first[n % 5], "lastName": f"{last[n % 4]} {n}"}
            name |= _known_of_user(n, employers)
            if account.scenario == "digipost" and n % 2:
                day, month, year = 1 + n % 28, 1 + n // 400 % 12, 50 + n // 4_800 % 50
                name["cf_5"] = national_id(n, day=day, month=month, year=year)
            row, kind = add_user(world, {**name, **home}, [address]), "user"
        add_member(world, members, kind, row)
        account.reaches(f"{kind}:{row['id']}", address, new_user=row.get("name", ""))


def _known_of_user(n: int, employers: Sequence[int]) -> dict[str, Any]:
    """What a message may name. Each of these is missing for some."""
    return {
        **({"title": ("Rektor", "Avdelingsleder")[n % 2]} if n % 3 else {}),
        **({"companyId": employers[n % len(employers)]} if n % 4 else {}),
        **({"cf_3": f"Avtale {n}"} if n % 5 else {}),
    }


def _known_of_company(n: int) -> dict[str, Any]:
    return {
        **({"organizationNumber": str(990_000_000 + n)} if n % 24 != 23 else {}),
        **({"cf_1": 7_000 + n} if n % 12 == 5 else {}),
    }


class _Makers:
    """Make members with a campaign's number in all their names, and tell its account of them."""

    def __init__(self, world: World, account: _Account, number: int) -> None:
        self.world, self.account, self._number = world, account, number
        self._home = _home(world, account.scenario)

    def at(self, name: str, domain: str = "example.no") -> str:
        return f"{name}.{self._number}@{domain}"

    def user(
        self, *addresses: str, first: str = "Nils", last: str = "Vanskelig", **values: Any
    ) -> Row:
        values = {**(self._home if addresses else {}), **values}
        return add_user(self.world, {"firstName": first, "lastName": last, **values}, addresses)

    def company(self, name: str, *addresses: str, default: bool = True, **values: Any) -> Row:
        if addresses:
            serial = self.world.count("company")
            letters = self.account.scenario == "digipost"
            number = organization_number(serial) if letters else str(980_000_000 + serial)
            values = {"organizationNumber": number, **values}
        values["name"] = f"{name} {self._number}"
        return add_company(self.world, values, addresses, default=default)

    def reached(self, members: Row, row: Row, address: str, *, has_user: bool = False) -> None:
        """``has_user``: the company's address is a user's already."""
        new_user = "" if has_user else row.get("name", "")
        self.account.reaches(self._member(members, row), address, new_user=new_user)

    def failed(self, members: Row, row: Row, *addresses: str) -> None:
        self.account.fails(self._member(members, row), *addresses)

    def left_out(self, members: Row, row: Row, reason: str, *addresses: str) -> None:
        self._member(members, row)
        self.account.leaves_out(reason, *addresses)

    def _member(self, members: Row, row: Row) -> str:
        kind: Literal["user", "company"] = "company" if "name" in row else "user"
        add_member(self.world, members, kind, row)
        return f"{kind}:{row['id']}"


def _add_tricky(make: _Makers, lists: Sequence[Row]) -> None:
    """What is difficult in every scenario."""
    one, two, three = lists
    at, user, company = make.at, make.user, make.company
    reached, left_out = make.reached, make.left_out

    in_two = user(at("to.lister"))
    reached(one, in_two, at("to.lister"))
    reached(two, in_two, at("to.lister"))

    reached(one, user(at("felles.postkasse")), at("felles.postkasse"))
    sole_trader = company("Enmannsfirma", at("felles.postkasse"))
    reached(two, sole_trader, at("felles.postkasse"), has_user=True)

    reached(one, user(at("Skrive.Form", "Example.NO")), at("skrive.form"))
    reached(three, user(f"  {at('skrive.form')} "), at("skrive.form"))

    reached(two, company("Søster Én", at("konsern")), at("konsern"))
    reached(three, company("Søster To", at("konsern")), at("konsern"))

    ascii_domain = "xn--blbr-roah.example"
    reached(one, user(at("idn", "blåbær.example")), at("idn", ascii_domain))
    reached(two, user(at("idn", ascii_domain)), at("idn", ascii_domain))

    reached(one, user(at("privat"), at("gammel"), at("standard")), at("standard"))
    make.account.never |= {at("privat"), at("gammel")}
    reached(two, company("Uten standardadresse", at("eneste"), default=False), at("eneste"))

    left_out(one, user(at("sluttet"), disabled=True), "disabled", at("sluttet"))
    left_out(two, company("Nedlagt", at("nedlagt"), disabled=True), "disabled", at("nedlagt"))
    nothing = "no_identity" if make.account.scenario == "digipost" else "no_address"
    left_out(one, user(last="Uten adresse"), nothing)
    left_out(three, company("Uten adresse"), nothing)
    no_mail = user("ikke en@@adresse")
    if make.account.scenario == "digipost":
        reached(three, no_mail, "ikke en@@adresse")
    else:
        left_out(three, no_mail, "invalid_address")

    outsider = user(at("forvalter"))
    add_member(make.world, one, "user", outsider, relation="Forvaltes av")
    make.account.never.add(at("forvalter"))

    hostile = (
        ("sitat", 'Ole "Olla" O\'Hara; <b>'),
        ("linjeskift", "Kari\r\nBcc: alle@example.no"),
        ("hoyre", "\u202eexe.gnp\u200f"),
        ("sti", "../../..\\etc/passwd"),
    )
    for local, name in hostile:
        reached(two, user(at(local), first=name, title=name), at(local))


def _add_tricky_mailboxes(make: _Makers, lists: Sequence[Row]) -> None:
    """Companies that can only have a ticket by way of a user with their address."""
    one, two, three = lists
    at, user, company = make.at, make.user, make.company

    # a user whom Pureservice writes to at another address, and one it does not write to at all
    user(at("tilleggsadresse"), at("hovedadresse"))
    addresses = at("tilleggsadresse"), at("hovedadresse")
    make.failed(one, company("Tilleggsadressen", addresses[0]), *addresses)
    user(at("sperret"), disabled=True)
    make.failed(two, company("Sperret", at("sperret")), at("sperret"))

    # somebody was interrupted between making the address and making its user
    make.world.add("emailaddress", {"email": at("halvferdig")})
    make.reached(three, company("Halvferdig", at("halvferdig")), at("halvferdig"))

    make.reached(one, company('Fisk & "Vilt" <AS>', at("fisk")), at("fisk"))

    odd, ascii_domain = "BLÅBÆR.example", "xn--blbr-roah.example"
    make.reached(two, company("Blåbær", at("Postmottak", odd)), at("postmottak", ascii_domain))
    user(at("sentralbord", odd.lower()))
    spelt_otherwise = company("Sentralbord", at("Sentralbord", odd))
    make.reached(three, spelt_otherwise, at("sentralbord", ascii_domain), has_user=True)


def _add_tricky_letters(make: _Makers, lists: Sequence[Row]) -> None:
    """Those whom letters are addressed to in every way, and in none."""
    one, two, three = lists
    at, world = make.at, make.world

    def home(street: str, code: str, city: str, country: str = "Norge") -> dict[str, Any]:
        row = {"streetAddress": street, "postalCode": code, "city": city, "country": country}
        return {"addressId": world.add("physicaladdress", row)["id"]}

    def person(last: str, *addresses: str, **values: Any) -> Row:
        """With what is said of them, and no more."""
        return make.user(*addresses, last=last, **{"addressId": None, **values})

    def number(serial: int) -> str:
        return national_id(serial, day=5, month=1 + make.world.count("ticket") % 12)

    def reached(members: Row, row: Row, address: str = "") -> None:
        make.reached(members, row, address)

    reached(one, person("Nummer", at("nummer"), cf_5=number(1)), at("nummer"))
    # a field for numbers has dropped the zero
    reached(two, person("Nummer Uten Null", cf_5=int(number(40))))
    reached(three, person("Uten E-post", **home("Ærfuglveien 2\nLeilighet 4", "0155", "Oslo")))
    sweden = home("Gatan 2", "111 22", "Stockholm", "Sverige")
    reached(one, person("Utland", at("utland"), **sweden), at("utland"))
    whole = person("Født", at("fodt"), cf_6="1988-11-02", **home("Storgata 3", "5003", "Bergen"))
    phone = {"number": "99 99 99 99", "normalizedNumber": "+4799999999", "type": 1}
    world.add("phonenumber", {**phone, "userId": whole["id"]})
    reached(two, whole, at("fodt"))
    usable = home("Storgata 4", "0155", "Oslo")
    wrong = "11828800000"  # as many digits, and none of them checks
    reached(
        three, person("Feil Nummer", at("feil.nummer"), cf_5=wrong, **usable), at("feil.nummer")
    )

    # a company with the address in fields of the tenant's own, one of them for numbers
    address: dict[str, Any] = {"cf_2": "Postboks 12", "cf_3": 155, "cf_4": "Oslo"}
    by_address = make.company("Bare Adresse", at("bare.adresse"), organizationNumber="", **address)
    reached(one, by_address, at("bare.adresse"))

    def left_out(members: Row, row: Row, reason: str) -> None:
        make.left_out(members, row, reason)

    left_out(one, person("Bare Feil Nummer", at("bare.feil"), cf_5=wrong), "invalid_national_id")
    wrong_number = make.company("Feil Orgnr", at("feil.orgnr"), organizationNumber="123456789")
    left_out(two, wrong_number, "invalid_organization_number")
    no_code = home("Storgata 5", "", "Oslo")
    left_out(three, person("Uten Postnummer", at("uten.postnr"), **no_code), "no_postal_address")
    nowhere = home("Slottet 1", "1", "Mordor", "Midgard")
    left_out(one, person("Ukjent Land", at("ukjent.land"), **nowhere), "no_postal_address")
    left_out(two, person("Bare E-post", at("bare.e-post")), "no_identity")


def _add_campaign_users(make: _Makers, lists: Sequence[Row]) -> None:
    """Somebody has put the made-up users on a list."""
    for address in (PLACEHOLDERS["ticket"], PLACEHOLDERS["email"]):
        user_id = _id_of(make.world, "user", emailAddressId=_address_id(make.world, address))
        make.left_out(lists[0], make.world.get("user", user_id) or {}, "campaign_user")
