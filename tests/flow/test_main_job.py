"""From ticket to report, with every tricky recipient there is."""

from shared.domain.campaign import Phase
from shared.domain.delivery import Status


async def test_a_campaign_reaches_every_recipient_once_and_says_so(house):
    number = house.seed(recipients=12)
    account = house.expected(number)
    await house.run(3)
    campaign = await house.campaign(number)
    assert campaign.phase is Phase.DONE
    assert house.channel.addresses == account["mails"]
    assert await house.statuses(campaign) == {Status.SENT: len(account["mails"])}
    assert campaign.planned + campaign.left_out == account["memberships"]
    left_out = [one.reason async for one in house.ledger.deliveries.left_out(campaign.id)]
    assert {r: left_out.count(r) for r in left_out} == account["leftOut"]
    assert house.status(number) == "Løst"
    assert "e-poster er sendt" in house.ticket(number)["solution"]
