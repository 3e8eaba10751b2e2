"""The ledger: what was promised to whom, and what became of it. The queue only says "have a look".

Everything here stands on one port, `Table`, and on two rules. A write that matters carries the
version of the row it changes. And no failing answer is believed: after a clash or a doubtful
answer the row itself is read, because a client's own retry of a committed write clashes with
itself.
"""

from dataclasses import dataclass

from shared.ledger.alerts import Alerts
from shared.ledger.audit import Audit
from shared.ledger.bounces import Bounces
from shared.ledger.campaigns import Campaigns
from shared.ledger.channels import Channels
from shared.ledger.claims import Claims
from shared.ledger.deliveries import Deliveries
from shared.ledger.erasure import Erasure
from shared.ledger.jobs import Jobs
from shared.ledger.progress import Progresses
from shared.ledger.references import References
from shared.ledger.register import Register
from shared.ledger.rounds import Rounds
from shared.ledger.suppressions import Suppressions
from shared.ledger.tickets import Tickets
from shared.ledger.verdicts import Verdicts
from shared.ports import Table

#: What `Ledger.on` wants, by the names that they have in the storage account.
TABLES = (
    *("campaigns", "deliveries", "channels", "users"),
    *("references", "suppressions", "audit", "register"),
)


@dataclass(frozen=True, slots=True)
class Ledger:
    campaigns: Campaigns
    deliveries: Deliveries
    channels: Channels
    users: Claims  #: on making a user for an address
    reports: Claims  #: on writing a campaign's report
    alerts: Alerts
    tickets: Tickets
    progress: Progresses
    erasure: Erasure
    verdicts: Verdicts
    rounds: Rounds
    bounces: Bounces
    references: References
    suppressions: Suppressions
    audit: Audit
    jobs: Jobs
    register: Register

    @classmethod
    def on(
        cls,
        *,
        campaigns: Table,
        deliveries: Table,
        channels: Table,
        users: Table,
        references: Table,
        suppressions: Table,
        audit: Table,
        register: Table,
    ) -> "Ledger":
        return cls(
            campaigns=Campaigns(campaigns),
            deliveries=Deliveries(deliveries),
            channels=Channels(channels),
            users=Claims(users),
            reports=Claims(users),
            alerts=Alerts(campaigns),
            tickets=Tickets(campaigns),
            progress=Progresses(campaigns),
            erasure=Erasure(campaigns, deliveries),
            verdicts=Verdicts(deliveries),
            rounds=Rounds(deliveries),
            bounces=Bounces(campaigns, deliveries),
            references=References(references),
            suppressions=Suppressions(suppressions),
            audit=Audit(audit),
            jobs=Jobs(deliveries),
            register=Register(register),
        )
