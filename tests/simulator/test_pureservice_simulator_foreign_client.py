"""sync2pureservice, an existing client, call by call: what it sends must work here unchanged."""

import base64

import httpx

from dev.pureservice import Simulator, World, expected, seed_campaign
from dev.pureservice.seed import PLACEHOLDERS

VND = "application/vnd.api+json"


async def test_sync2pureservice_carries_a_dispatch_through(app: Simulator, world: World) -> None:
    number = seed_campaign(world, recipients=6, tricky=False, status=None, trigger="failed_email")
    account = expected(world, number)
    list_address, report, pdf = PLACEHOLDERS["email"], "<h2>Rapport</h2>", b"%PDF-melding"
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://tenant/agent/api/",
        headers={"Authorization": "Bearer demo-key", "Accept": VND},
    ) as http:

        async def get(path: str, **query: str) -> dict[str, list[dict]]:  # type: ignore[type-arg]
            answer = await http.get(path, params=query)
            assert answer.status_code == 200, answer.text
            return dict(answer.json())

        # Who am I, which statuses are there, what is a list?
        statuses = await get("status", filter='!disabled AND requesttype.key == "Ticket"')
        by_name = {row["name"]: row["id"] for row in statuses["statuses"]}
        (list_type,) = (await get("assettype/", filter='name == "Mottakerliste"'))["assettypes"]
        assert (await get("company/1"))["companies"][0]["name"] == "Fjordvik kommune"

        # Tickets that wait, their newest outgoing message, and its files.
        tickets = await get(
            "ticket/",
            filter=f"statusId == {by_name['Venter - sluttbruker']} AND (emailAddress =="
            f' "ut@eformidling.pureservice.local" OR emailAddress == "{list_address}" OR'
            ' emailAddress.contains("eformidling.pureservice.local"))',
        )
        (found,) = tickets["tickets"]
        emails = await get(
            "email/",
            sort="created DESC",
            include="attachments",
            filter=f'ticketId == {found["id"]} AND direction == 2 AND (to == "{list_address}")',
        )
        assert len(emails["emails"]) == 2  # the receipt failed on the made-up address as well
        (mail,) = [row for row in emails["emails"] if not row["isSystem"]]
        files = {}
        for id_ in mail["links"]["attachments"]["ids"]:
            got = await http.get(f"attachment/download/{id_}", headers={"Accept": "*/*"})
            name = got.headers["content-disposition"].partition("filename=")[2]
            files[name] = len(got.content)
        assert files == account["files"]

        # Lists of the ticket, members of the lists.
        lists = await get(
            f"relationship/{found['id']}/fromTicket",
            include="toAsset",
            filter=f"toAsset.typeId == {list_type['id']}",
        )
        addresses = set()
        for members in lists["linked"]["assets"]:
            answer = await get(
                f"relationship/{members['id']}/fromAsset",
                include="toUser,toCompany,toUser.emailaddresses,toCompany.emailaddresses",
                filter="toTicketId == null",
            )
            for group in ("emailaddresses", "companyemailaddresses"):
                addresses |= {row["email"] for row in answer["linked"].get(group, [])}
        assert addresses == set(account["mails"])

        # The end: silent and in progress, then the full PUT with the report, then marked as sent.
        path = f"ticket/{found['id']}/"
        for name in ("Løst", "Under arbeid"):
            assert (await get("status/", filter=f'name == "{name}"'))["statuses"]
        silenced = await http.patch(
            path,
            json={"visibility": 1, "statusId": by_name["Under arbeid"]},
            headers={"Accept": "*/*"},
        )
        assert silenced.status_code == 200
        mails_before = world.count("email")
        (ticket,) = (await get(path, include="attachments"))["tickets"]
        ids = ticket["links"]["attachments"]["ids"]
        ticket["solution"], ticket["statusId"] = report, by_name["Løst"]
        ticket["links"]["status"] = {"id": by_name["Løst"], "type": "status"}
        ticket["links"]["attachments"] = [
            *({"id": id_, "type": "attachment"} for id_ in ids),
            {"temporaryId": "file-01", "type": "attachment"},
        ]
        put = await http.put(
            path,
            params={
                "include": "communications,communications.attachments,communications.sender,"
                "recipientsCc,communications.recipients,communications.recipientsCc"
            },
            headers={"Content-Type": VND},
            json={
                "tickets": [ticket],
                "linked": {
                    "attachments": [
                        {
                            "temporaryId": "file-01",
                            "ticketId": found["id"],
                            "name": "melding",
                            "fileName": "melding.pdf",
                            "contentType": "application/pdf",
                            "size": "0.01K",
                            "bytes": base64.b64encode(pdf).decode(),
                            "isVisible": True,
                            "isPartofCurrentSolution": True,
                            "links": {"ticket": {"id": found["id"], "type": "ticket"}},
                        }
                    ]
                },
            },
        )
        assert put.status_code == 200, put.text
        (solved,) = put.json()["tickets"]
        assert (solved["statusId"], solved["solution"]) == (by_name["Løst"], report)
        assert put.json()["linked"]["communications"]
        assert solved["links"]["attachments"]["ids"][:-1] == ids
        assert world.count("email") == mails_before
        new = solved["links"]["attachments"]["ids"][-1]
        got = await http.get(f"attachment/download/{new}", headers={"Accept": "*/*"})
        assert got.content == pdf
        marked = await http.patch(
            f"email/{mail['id']}",
            json={"status": 4},
            headers={"Content-Type": "application/json", "Accept": "*/*"},
        )
        assert marked.status_code == 200
        query = f"ticketId == {found['id']} AND status == 4"
        assert (await get("email/count/", filter=query)) == {"count": 1}


async def test_a_list_is_emptied_and_filled_again(app: Simulator, world: World) -> None:
    async with httpx.AsyncClient(
        transport=httpx.ASGITransport(app),
        base_url="http://tenant/agent/api/",
        headers={"X-Authorization-Key": "demo-key", "Accept": VND},
    ) as http:
        companies = await http.get("company/", params={"filter": 'cf_9 == "Kommune"'})
        wanted = {row["id"] for row in companies.json()["companies"]}
        query = {"filter": 'uniqueId == "KOMM" AND type.name == "Mottakerliste"'}
        (members,) = (await http.get("asset/", params=query)).json()["assets"]
        query = {"filter": 'fromAssetType.name == "Mottakerliste" AND name == "Inneholder firma"'}
        (type_,) = (await http.get("relationshiptype/", params=query)).json()["relationshiptypes"]
        path = f"relationship/{members['id']}/fromAsset"
        query = {"filter": f"toCompanyId != NULL AND typeId == {type_['id']}"}
        for row in (await http.get(path, params=query)).json()["relationships"]:
            assert (await http.delete(f"relationship/{row['id']}")).is_success
        assert (await http.get(path, params=query)).json()["relationships"] == []
        for company in wanted:
            relation = {
                "main": "ToAssetId",
                "inverseMain": "FromAssetId",
                "links": {
                    "type": {"id": type_["id"]},
                    "toAsset": {"id": members["id"]},
                    "fromCompany": {"id": company},
                },
            }
            made = await http.post(
                "relationship/", json={"relationships": [relation]}, headers={"Content-Type": VND}
            )
            assert made.is_success
        rows = (await http.get(path, params=query)).json()["relationships"]
        assert {row["toCompanyId"] for row in rows} == wanted and len(rows) == len(wanted) == 3
