"""Headcount: who would be reached, counted for the preview as the campaign would plan it."""

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256

from shared.domain.campaign import Campaign, Cursor, RecipientList
from shared.domain.delivery import Delivery
from shared.domain.preview import Who
from shared.domain.recipient import ABOUT_FLAWS, LeftOut, LeftOutReason, Recipient, address_key
from shared.errors import BlockedError, PermanentError, TransientError
from shared.flow.audience import Audience
from shared.flow.correct import next_before, those_before
from shared.flow.expand import lists_on, next_members, sort_out
from shared.ledger import Ledger
from shared.ports import Helpdesk

log = logging.getLogger(__name__)

#: So many of those who could be put right are named.
NAMED = 50
_TO_BE_MENDED = ABOUT_FLAWS | {
    LeftOutReason.NO_ADDRESS,
    LeftOutReason.INVALID_ADDRESS,
    LeftOutReason.DISABLED,
    LeftOutReason.SUPPRESSED,
    LeftOutReason.MISSING_VALUE,
}
#: So many companies' addresses are looked up, twenty a call; the others are taken to be alike.
_LOOKED_UP = 200


@dataclass(slots=True)
class Headcount:
    """What a list comes to, or all of them together."""

    name: str = ""
    deleted: bool = False  #: such a list is not read
    members: int = 0
    planned: int = 0
    left_out: Counter[LeftOutReason] = field(default_factory=Counter)

    def add(self, planned: int, left_out: Sequence[LeftOut]) -> None:
        self.members += planned + len(left_out)
        self.planned += planned
        self.left_out.update(one.reason for one in left_out)


@dataclass(slots=True)
class Pick:
    """One of many: whose address is wanted, as `address_key` has it, or any, by drawing lots.

    Another seed draws other lots; the same one always the same.
    """

    wanted: str = ""
    seed: str = ""
    picked: Recipient | None = None

    def consider(self, recipient: Recipient) -> None:
        if self.wanted:
            if address_key(recipient.address) == self.wanted:
                self.picked = recipient
        elif self.picked is None or self._lot(recipient) < self._lot(self.picked):
            self.picked = recipient

    def _lot(self, recipient: Recipient) -> bytes:
        return sha256(f"{self.seed}|{recipient.member}".encode()).digest()


@dataclass(slots=True)
class Reach:
    """Whom a campaign would reach. Not `whole` when there are more than were read."""

    lists: list[Headcount]
    all: Headcount = field(default_factory=Headcount)
    whole: bool = False
    pick: Pick = field(default_factory=Pick)
    unknown: int = 0  #: about how many of them must be made users of the helpdesk first
    _who: Who = field(default_factory=Who)
    _userless: list[str] = field(default_factory=list)
    _to_be_mended: dict[str, LeftOut] = field(default_factory=dict)
    #: The first who get a letter although some of what is registered of them is wrong.
    flawed: list[Recipient] = field(default_factory=list)
    flawed_unnamed: int = 0  #: how many more there are of them
    #: Those who get letters; nothing on other channels.
    people: list[Recipient] = field(default_factory=list)

    def add(
        self, of_list: Headcount, planned: Sequence[Delivery], left_out: Sequence[LeftOut]
    ) -> None:
        for count in (of_list, self.all):
            count.add(len(planned), left_out)
        for recipient in (one.recipient for one in planned):
            self._who.add(recipient.member, recipient.address)
            self.pick.consider(recipient)
            if not recipient.user:
                self._userless.append(recipient.address)
            if recipient.addressee:
                self.people.append(recipient)
            if recipient.addressee and recipient.addressee.flaws:
                if len(self.flawed) < NAMED:
                    self.flawed.append(recipient)
                else:
                    self.flawed_unnamed += 1
        for one in left_out:
            if one.reason in _TO_BE_MENDED:
                self._to_be_mended[str(one.member)] = one  # once, on however many lists

    @property
    def unaddressed(self) -> list[Recipient]:
        """Those who get a letter that could not go on paper."""
        return [one for one in self.people if one.addressee and not one.addressee.postal]

    @property
    def without_address(self) -> int:
        return len(self.unaddressed)

    @property
    def who_print(self) -> str:
        """Fingerprint of those planned; "" when not all of them are known."""
        return self._who.print if self.whole else ""

    @property
    def named(self) -> list[LeftOut]:
        """The first of those who get nothing because of what could be put right."""
        return list(self._to_be_mended.values())[:NAMED]

    @property
    def unnamed(self) -> int:
        """How many more there are of them."""
        return len(self._to_be_mended) - len(self.named)

    async def look_up(self, helpdesk: Helpdesk) -> None:
        """About how many have no user yet. It costs time later, and nothing else."""
        asked = self._userless[:_LOOKED_UP]
        missing = len(asked)
        try:
            users = await helpdesk.users_at(asked) if asked else {}
            missing -= sum(address in users for address in asked)
        except PermanentError as error:
            log.warning("preview.users_unknown because=%s", error)
        self.unknown = round(len(self._userless) * missing / max(1, len(asked)))


async def headcount(
    campaign: Campaign,
    *,
    helpdesk: Helpdesk,
    ledger: Ledger,
    audience: Audience,
    pages: int,
    pick: Pick,
) -> Reach:
    """Whom the campaign would reach, from the first `pages` of its lists, and who is picked.

    Plans nothing. Raises BlockedError when no list can be read, TransientError when one changes
    meanwhile.
    """
    if campaign.correction_of:
        reach = Reach([Headcount(those_before(campaign).name)], pick=pick)
        await _read_those_before(reach, campaign, helpdesk, ledger, audience, pages)
    else:
        lists = await lists_on(campaign.ticket_id, helpdesk)
        reach = Reach([Headcount(one.name, one.deleted) for one in lists], pick=pick)
        await _read_lists(reach, lists, campaign, helpdesk, audience, pages)
    if campaign.channel == "ticket":
        await reach.look_up(helpdesk)
    return reach


async def _read_lists(
    reach: Reach,
    lists: Sequence[RecipientList],
    campaign: Campaign,
    helpdesk: Helpdesk,
    audience: Audience,
    pages: int,
) -> None:
    pairs = zip(lists, reach.lists, strict=True)
    readable = [(list_, count) for list_, count in pairs if not list_.deleted]
    cursor, seen = Cursor(), set[bytes]()
    for _ in range(pages):
        if cursor.list_index == len(readable):
            break
        list_, count = readable[cursor.list_index]
        found = await next_members(list_, cursor, helpdesk)
        if found is None:
            raise TransientError(f"list {list_.id} was changed while it was read")
        members, cursor = found
        reach.add(count, *sort_out(campaign, list_, members, seen, audience))
    reach.whole = cursor.list_index == len(readable)


async def _read_those_before(
    reach: Reach,
    campaign: Campaign,
    helpdesk: Helpdesk,
    ledger: Ledger,
    audience: Audience,
    pages: int,
) -> None:
    seen = set[bytes]()
    for _ in range(pages):
        found = await next_before(
            campaign, seen, helpdesk=helpdesk, ledger=ledger, audience=audience
        )
        if found is None:
            reach.whole = True
            break
        planned, left_out, cursor = found
        reach.add(reach.lists[0], planned, left_out)
        campaign = replace(campaign, cursor=cursor)


def nobody(campaign: Campaign, reach: Reach) -> BlockedError | None:
    """What stops a campaign that reaches nobody at all; None when it does, or may."""
    if reach.all.planned or not reach.whole:
        return None
    if campaign.correction_of:
        return BlockedError("nobody_before", earlier=campaign.correction_of)
    return BlockedError("nobody", left_out=reach.all.left_out.total())
