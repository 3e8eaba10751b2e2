"""Who a recipient is as a user of Pureservice: found on the list, by the address, or made once."""

from datetime import timedelta

from shared.adapters.pureservice_wire import Wire, quoted
from shared.domain.delivery import Reason
from shared.domain.recipient import MemberKind, Recipient, address_key, spellings
from shared.errors import PermanentError, TransientError, UncertainError, UtsendelseError
from shared.ports import Claims, Clock
from shared.settings import Settings

END_USER = 10  #: a user's role
NOTIFIED = 1  #: the one notification scheme that is known to have been written
FIRST_NAME = "Postmottak"


class PureserviceUsers:
    def __init__(self, settings: Settings, wire: Wire, claims: Claims, clock: Clock) -> None:
        # two calls to make a user, and as long again for what was given up on to end
        self._lease = timedelta(seconds=4 * settings.PURESERVICE_TIMEOUT_SECONDS)
        self._wire = wire
        self._claims = claims
        self._clock = clock

    async def for_recipient(self, recipient: Recipient) -> int:
        """The id of the user who gets this recipient's ticket. No call for those who are users.

        A company's address belongs to one user, made if need be by one worker on one host; the
        others raise TransientError meanwhile. PermanentError when the address is that of a user
        who is disabled, or whom Pureservice would write to at another address.
        """
        kind, _, id_ = recipient.member.partition(":")
        if kind == MemberKind.USER:
            return int(id_)
        found, _ = await self._look_up(recipient)
        if found:
            return found
        key = address_key(recipient.address)
        claim = await self._claims.take(key, self._clock(), self._lease)
        if claim is None:
            raise TransientError(f"pureservice: a user for {recipient.member} is being made")
        try:
            user = await self._make(recipient, company=int(id_))
        except UncertainError as error:
            # the claim stays until this can no longer be under way; then it is looked for again
            raise TransientError(f"pureservice: a user for {recipient.member}: {error}") from error
        except UtsendelseError:
            await self._claims.release(key, claim)
            raise
        await self._claims.release(key, claim)
        return user

    async def _look_up(self, recipient: Recipient) -> tuple[int | None, list[int]]:
        """The user with this address, however it is spelt; and entities of it that nobody owns."""
        spelt = " OR ".join(f"email == {quoted(text)}" for text in spellings(recipient.address))
        answer = await self._wire.all(
            "/emailaddress/", "emailaddresses", filter=spelt, include="user"
        )
        owned = {row.user_id: row.id for row in answer.emailaddresses if row.user_id}
        for user in answer.linked.users:
            is_default = user.email_address_id in (None, owned.get(user.id))
            if user.id in owned and is_default and not user.disabled:
                return user.id, []
        if owned:
            raise PermanentError(
                f"pureservice: the address of {recipient.member} is that of user {min(owned)},"
                " who is disabled or has another default address",
                Reason.NO_USER,
            )
        return None, [row.id for row in answer.emailaddresses]

    async def _make(self, recipient: Recipient, company: int) -> int:
        """`Postmottak <company>`, unless somebody has made it since we looked."""
        user, free = await self._look_up(recipient)
        if user:
            return user
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
