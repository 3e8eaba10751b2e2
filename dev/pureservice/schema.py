"""Pureservice's entities: their fields, how they point at each other, their names on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

FieldType = Literal["text", "number", "flag", "date", "any"]

SYSTEM_USER = 1  #: what Pureservice does by itself
API_USER = 2  #: the owner of the key


@dataclass(frozen=True)
class FieldSpec:
    """One plain field and what it reads as when it was never set."""

    name: str
    type: FieldType
    default: Any = None


@dataclass(frozen=True)
class Relation:
    """A navigation to one or many entities.

    ``key`` is the foreign key on this row; for many, the one on their rows, or with ``listed``
    the field on this row that lists their ids.
    """

    name: str
    kind: str
    key: str
    many: bool = False
    listed: bool = False
    in_links: bool = True


@dataclass(frozen=True)
class Entity:
    """One type; ``members`` finds fields and relations by lower-case name, as the server does."""

    kind: str
    plural: str
    fields: tuple[FieldSpec, ...]
    relations: tuple[Relation, ...]
    members: Mapping[str, FieldSpec | Relation] = field(compare=False)

    def without(self, *names: str) -> "Entity":
        """The same type as seen by a tenant that lacks these members."""
        return _entity(
            self.kind,
            self.plural,
            tuple(f for f in self.fields if f.name not in names),
            tuple(r for r in self.relations if r.name not in names),
        )


def _entity(
    kind: str, plural: str, fields: tuple[FieldSpec, ...], relations: tuple[Relation, ...]
) -> Entity:
    members: dict[str, FieldSpec | Relation] = {f.name.lower(): f for f in fields}
    members |= {relation.name.lower(): relation for relation in relations}
    return Entity(kind, plural, fields, relations, members)


def _define(
    kind: str,
    plural: str = "",
    *,
    text: str = "",
    number: str = "",
    flag: str = "",
    date: str = "",
    anything: str = "",
    one: str = "",
    many: str = "",
    included: str = "",
    defaults: Mapping[str, Any] | None = None,
) -> Entity:
    """Fields by type, then relations: ``name:kind`` (``name:kind:key``, ``name`` where both agree).

    To-many is ``name:kind.key`` for a key on their side and ``name:kind@field`` for a list of ids
    on ours; those in ``included`` can be asked for but do not show in ``links``.
    """
    ones = [_to_one(word) for word in (*one.split(), "createdBy:user", "modifiedBy:user")]
    manys = [
        _to_many(word, in_links)
        for words, in_links in ((many, True), (included, False))
        for word in words.split()
    ]
    given = {"id": None, **(defaults or {})}
    typed: dict[str, FieldType] = {"id": "number"}
    typed |= dict.fromkeys(text.split(), "text")
    typed |= dict.fromkeys(number.split(), "number")
    typed |= dict.fromkeys(flag.split(), "flag")
    typed |= dict.fromkeys(("created", "modified", *date.split()), "date")
    typed |= dict.fromkeys(anything.split(), "any")
    typed |= dict.fromkeys((relation.key for relation in ones), "number")
    fields = tuple(
        FieldSpec(name, type_, given.get(name, False if type_ == "flag" else None))
        for name, type_ in typed.items()
    )
    return _entity(kind, plural or kind + "s", fields, (*ones, *manys))


def _to_one(word: str) -> Relation:
    name, _, rest = word.partition(":")
    kind, _, key = rest.partition(":")
    return Relation(name, kind or name.lower(), key or name + "Id")


def _to_many(word: str, in_links: bool) -> Relation:
    name, _, target = word.partition(":")
    listed = "@" in target
    kind, _, key = target.partition("@" if listed else ".")
    return Relation(name, kind, key, many=True, listed=listed, in_links=in_links)


_CUSTOM_FIELDS = " ".join(f"cf_{n}" for n in range(1, 10))
_ENDS = ("Asset", "User", "Company", "Ticket")

ENTITIES: Mapping[str, Entity] = {
    entity.kind: entity
    for entity in (
        _define(
            "ticket",
            text="subject description solution emailAddress customerReference coordinates",
            number="requestNumber visibility resolvedById",
            flag="isMarkedForDeletion",
            date="userWaitedSince",
            anything=_CUSTOM_FIELDS,
            one="user assignedAgent:user assignedTeam:team assignedDepartment:department status"
            " priority source ticketType requestType"
            " category1:category category2:category category3:category",
            many="attachments:attachment.ticketId",
            included="communications:communication.ticketId"
            " recipientsCc:communicationrecipient@recipientCcIds",
            defaults={"visibility": 0},
        ),
        _define(
            "email",
            text="from fromName to cc bcc subject text html messageId inReplyTo references"
            " statusMessage statusDetails",
            number="emailDataId attachmentStrategy direction channelId status",
            flag="isInitial isSystem isBoundary",
            date="statusDate",
            one="ticket asset",
            many="attachments:attachment@attachmentIds",
        ),
        _define(
            "communication",
            text="subject text typeName statusMessage relatedRequestNumbers",
            number="type direction visibility status messageId changeId parentCommunicationId",
            flag="isPinned isBoundary",
            one="ticket sender:communicationrecipient customtype:customtype:customTypeId",
            many="attachments:attachment@attachmentIds",
            included="recipients:communicationrecipient@recipientIds"
            " recipientsCc:communicationrecipient@recipientCcIds",
            defaults={"visibility": 0},
        ),
        _define("communicationrecipient", text="type", one="user"),
        _define("customtype", text="name"),
        _define(
            "attachment",
            text="name fileName contentType contentId",
            number="contentLength attachmentCopyId",
            flag="isVisible embedded isPartofCurrentSolution",
            one="ticket",
        ),
        _define(
            "user",
            text="firstName middleName lastName fullName title location department notes"
            " managerFullName importUniqueKey",
            number="role type notificationScheme unavailableChangedById mfaCredentialsId pictureId",
            flag="disabled unavailable isAnonymized isSuperuser highlightNotifications"
            " flushNotifications",
            date="unavailableChangedByDate",
            anything=_CUSTOM_FIELDS,
            one="manager:user company companyDepartment companyLocation address:physicaladdress"
            " emailAddress phonenumber credentials language",
            many="emailAddresses:emailaddress.userId phonenumbers:phonenumber.userId",
            defaults={"role": 10, "type": 0, "notificationScheme": 1},
        ),
        _define("emailaddress", "emailaddresses", text="email", one="user"),
        _define("companyemailaddress", "companyemailaddresses", text="email", one="company"),
        _define("phonenumber", text="number normalizedNumber", number="type", one="user"),
        _define(
            "physicaladdress", "physicaladdresses", text="streetAddress city postalCode country"
        ),
        _define("credentials", "credentials", text="username"),
        _define("language", text="name"),
        _define(
            "company",
            "companies",
            text="name companyNumber website supportWebsite notes",
            number="usersCount",
            flag="disabled",
            anything="organizationNumber " + _CUSTOM_FIELDS,
            one="phonenumber emailAddress:companyemailaddress",
            many="departments:companydepartment.companyId locations:companylocation.companyId",
            included="emailaddresses:companyemailaddress.companyId users:user.companyId",
        ),
        _define("companydepartment", text="name", one="company"),
        _define("companylocation", text="name", one="company"),
        _define(
            "asset",
            text="name uniqueId",
            number="importedById importJobId restrictedUserId",
            flag="isMarkedForDeletion",
            date="imported",
            one="type:assettype status:assetstatus restrictedDepartment:department"
            " restrictedTeam:team",
        ),
        _define(
            "assettype",
            text="name uniqueClassName",
            included="fields:assettypefield.assetTypeId statuses:assetstatus.assetTypeId",
        ),
        _define(
            "assettypefield",
            text="name propertyName type",
            one="assetType",
            included="items:assettypeitem.assetTypeFieldId",
        ),
        _define("assettypeitem", text="name", one="assetTypeField"),
        _define("assetstatus", "assetstatuses", text="name", one="assetType"),
        _define(
            "relationship",
            text="main inverseMain",
            flag="solvingRelationship",
            one="type:relationshiptype "
            + " ".join(f"from{end}:{end.lower()} to{end}:{end.lower()}" for end in _ENDS),
        ),
        _define(
            "relationshiptype", text="name relationshipTypeGroup", one="fromAssetType:assettype"
        ),
        _define(
            "status",
            "statuses",
            text="name userDisplayName",
            number="index coreStatus",
            flag="default disabled isGlobal",
            one="requestType",
        ),
        _define(
            "priority",
            "priorities",
            text="name color",
            number="index",
            flag="default disabled isGlobal",
            one="requestType",
        ),
        _define(
            "source",
            text="name",
            number="index",
            flag="default defaultSelfservice defaultSelfserviceLocation disabled",
            one="requestType",
        ),
        _define("team", text="name", flag="disabled", one="department"),
        _define(
            "department",
            text="name",
            number="type ticketCategoryRequiredType changeCategoryRequiredType",
            flag="disabled",
        ),
        _define("tickettype", text="name", number="index", flag="default disabled isGlobal"),
        _define("changetype", text="name", number="index", flag="default disabled isGlobal"),
        _define("requesttype", text="name key"),
        _define("category", "categories", text="name", number="level", flag="disabled"),
        _define(
            "listdefinition",
            text="name filter iconName",
            number="level parentListDefinitionId",
            flag="isDefault disabled",
            one="team user requestType",
        ),
    )
}

#: Where numbering begins, so that a mix-up of two kinds of id finds nothing rather than something.
FIRST_ID: Mapping[str, int] = {
    "ticket": 5001,
    "email": 701,
    "communication": 30001,
    "communicationrecipient": 45001,
    "attachment": 881,
    "emailaddress": 2_000_001,
    "companyemailaddress": 3_000_001,
    "asset": 610,
    "assettype": 12,
    "relationshiptype": 33,
    "relationship": 4_000_001,
    "customtype": 71,
    "status": 4,
    "priority": 201,
    "source": 301,
    "team": 401,
    "department": 501,
    "tickettype": 551,
    "category": 601,
    "assetstatus": 651,
}
FIRST_REQUEST_NUMBER = 20417
