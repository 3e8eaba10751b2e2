"""The points where nobody outside the vendor knows what Pureservice does, as switches."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Switches(BaseModel):
    """One assumption per field; the default is the likeliest, the rest are there to be tried."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    page_size: int = Field(100, ge=1, description="Rows when a list is read without limit.")
    over_limit: Literal["clamp", "refuse"] = Field("clamp", description="limit above 500.")
    unstable_order: bool = Field(
        False, description="Rows that the sort does not tell apart change order between requests."
    )
    longest_filter: int = Field(8000, ge=1, description="Characters in a filter; longer is 400.")
    string_comparison: Literal["exact", "insensitive"] = "exact"

    error_body: Literal["message", "empty", "html"] = "message"
    refused_status: Literal[401, 403] = Field(401, description="A missing or wrong key.")
    calls_per_minute: int = Field(100, ge=0, description="Over a sliding window; 0 is no limit.")
    retry_after: Literal["seconds", "missing", "date"] = "seconds"
    fault_after_write: Literal["off", "drop", "status", "slow"] = Field(
        "off",
        description="Every fault_every-th write is done, but the answer is lost, is a 502, or "
        "comes after fault_seconds.",
    )
    fault_every: int = Field(10, ge=1)
    fault_seconds: float = Field(5.0, ge=0)

    missing_attachment_links: Literal["sometimes", "always", "never"] = Field(
        "sometimes",
        description="links.attachments: absent when there are none, absent even when there are "
        "some, or always there.",
    )
    missing_linked_groups: Literal["sometimes", "always", "never"] = Field(
        "sometimes",
        description="Empty groups of linked: absent; absent together with linked when it is "
        "empty; or there as empty lists.",
    )
    organization_number: Literal["text", "number", "null"] = "text"
    user_addresses: Literal["included", "refused", "ignored"] = Field(
        "included",
        description="Users' postal addresses, asked for by the path `address` after them: there, "
        "400, or left out without a word. Nobody has tried it.",
    )
    posted_answer: Literal["included", "missing"] = Field(
        "included", description="What a POST was asked to include: there, or no linked at all."
    )
    custom_type: Literal["customtype", "typename"] = Field(
        "customtype",
        description="A self-made communication type is type 9 with a customtype, or type 2 with "
        "its name in typeName.",
    )
    to_format: Literal["semicolon", "comma", "names"] = Field(
        "semicolon", description="The field to of a mail; decided when the mail is made."
    )
    mirrored_relationships: bool = Field(
        False, description="A relation is two rows, one per direction, that are deleted together."
    )
    assets_without_fields: bool = Field(
        False, description="Lists of assets leave out the self-made fields; one by id has them."
    )

    message_sends_mail: bool = Field(
        True, description="POST of a communication of type 2 in direction 2 sends a mail."
    )
    message_names_mail: bool = Field(
        True, description="The messageId of a message is the id of its mail; else it is null."
    )
    mail_template: Literal["plain", "greeting"] = Field(
        "plain",
        description="Around the text of a mail: nothing, or «Hei» and the end user's full name "
        "before it and the case tag after it.",
    )
    mail_queued_reads: int = Field(
        1, ge=-1, description="Reads of /email that find a new mail in status 1; -1 is all."
    )
    mail_queued_seconds: float = Field(0, ge=0, description="Its least time in status 1.")
    attachment_copy: Literal["works", "ignored", "claimed", "refused"] = Field(
        "works",
        description="A new attachment with attachmentCopyId: a copy of that one, an empty file, "
        "an empty file that shows the contentLength it was sent with, or 400.",
    )
    put_drops_attachments: bool = Field(
        False, description="PUT of a ticket removes attachments that its links do not name."
    )
    patch_links: bool = Field(False, description="PATCH heeds links; else it ignores them.")
    relationship_touches_ticket: bool = Field(
        False, description="A new or removed relation changes the ticket's modified."
    )
    reopen_on_reply: bool = Field(True, description="A reply opens a solved ticket.")
    reply_ends_waiting: bool = Field(
        True, description="A reply puts a ticket that waits for the end user in progress."
    )
    same_address_twice: bool = Field(
        False, description="Two e-mail address entities may hold the same address."
    )
