"""Who a recipient is as a user of Pureservice: found on the list, by the address, or made once."""

import asyncio
from collections.abc import Iterable
from datetime import timedelta
from weakref import WeakValueDictionary

from shared.adapters.pureservice_wire import Answer, Wire, quoted
from shared.domain.delivery import Reason
from shared.domain.recipient import Recipient, address_key, spellings
from shared.errors import PermanentError, TransientError, UncertainError, UtsendelseError
from shared.ports import Claims, Clock
from shared.settings import Settings

END_USER = 10  #: a user's role
NOTIFIED = 1  #: the one notification scheme that is known to have been written
FIRST_NAME = "Postmottak"


async def registered(wire: Wire, addresses: Iterable[str]) -> Answer:
    """The entities that hold these addresses, however they are spelt, and their users."""
    spelt = sorted({text for address in addresses for text in spellings(address)})
    terms = [f"email == {quoted(text)}" for text in spelt]
    return await wire.any_of("/emailaddress/", "emailaddresses", terms, include="user")


def reachable(answer: Answer) -> dict[int, str]:
    """Those of the users whom Pureservice would write to at the address, by id."""
    users = {user.id: user for user in answer.linked.users if not user.disabled}
    return {
        user.id: row.email or ""
        for row in answer.emailaddresses
        if (user := users.get(row.user_id or 0)) and user.email_address_id in (None, row.id)
    }


class PureserviceUsers:
    def __init__(self, settings: Settings, wire: Wire, claims: Claims, clock: Clock) -> None:
        self._time_limit = timedelta(seconds=2 * settings.PURESERVICE_TIMEOUT_SECONDS)
        self._lease = 2 * self._time_limit  # as long again for what was given up on to end
        self._wire = wire
        self._claims = claims
        self._clock = clock
        #: Workers on this host wait for each other; the claim is between hosts.
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    async def for_recipient(self, recipient: Recipient) -> int:
        """The id of the user who gets this recipient's ticket. No call for those who are known.

        A company's address belongs to one user, made if need be by one worker on one host; those
        on other hosts raise TransientError meanwhile. PermanentError when the address is that of
        a user who is disabled, or whom Pureservice would write to at another address.
        """
        if recipient.user:
            return recipient.user
        key = address_key(recipient.address)
        turn = self._turns.setdefault(key, asyncio.Lock())
        async with turn:
            return await self._claimed(recipient, key)

    async def _claimed(self, recipient: Recipient, key: str) -> int:
        claim = await self._claims.take(key, self._clock(), self._lease)
        if claim is None:
            raise TransientError(f"pureservice: a user for {recipient.member} is being looked for")
        try:
            async with asyncio.timeout(self._time_limit.total_seconds()):
                user = await self._found_or_made(recipient)
        except (UncertainError, TimeoutError) as error:
            # the claim stays until this can no longer be under way; then it is looked for again
            why = str(error) or "no end to it"
            raise TransientError(f"pureservice: a user for {recipient.member}: {why}") from error
        except UtsendelseError:
            await self._claims.release(key, claim)
            raise
        await self._claims.release(key, claim)
        return user

    async def _look_up(self, recipient: Recipient) -> tuple[int | None, list[int]]:
        """The user with this address, however it is spelt; and entities of it that nobody owns."""
        answer = await registered(self._wire, [recipient.address])
        if users := reachable(answer):
            return min(users), []
        owned = {row.user_id for row in answer.emailaddresses if row.user_id}
        if lost := owned - {user.id for user in answer.linked.users}:
            raise TransientError(f"pureservice: an address came without its user {min(lost)}")
        if owned:
            raise PermanentError(
                f"pureservice: the address of {recipient.member} is that of user {min(owned)},"
                " who is disabled or has another default address",
                Reason.NO_USER,
            )
        return None, [row.id for row in answer.emailaddresses]

    async def _found_or_made(self, recipient: Recipient) -> int:
        """The user with the address; if there is none, `Postmottak <company>`."""
        user, free = await self._look_up(recipient)
        if user:
            return user
        company = int(recipient.member.partition(":")[2])
        address = free[0] if free else await self._make_address(recipient.address)
        row = {
            "firstName": FIRST_NAME,
            "lastName": recipient.name,
            "role": END_USER,
            "notificationScheme": NOTIFIED,
            "links": {
                "emailAddress": {"id": address, "type": "emailaddress"},
                "company": {"id": company, "type": "company"},
            },
        }
        return (await self._wire.create("/user/", "users", row)).id

    async def _make_address(self, address: str) -> int:
        return (await self._wire.create("/emailaddress/", "emailaddresses", {"email": address})).id
