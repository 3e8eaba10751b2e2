"""The bytes of a campaign's frozen files, for the channels that send them."""

from shared.domain.message import File
from shared.errors import StorageError, TransientError
from shared.ports import Files


async def content_of(file: File, files: Files, channel: str) -> bytes:
    """The file, whole. Raises TransientError when it cannot be had just now."""
    try:
        data = await files.get(file.blob)
    except StorageError as error:
        raise TransientError(f"{channel}: the attachment {file.blob} is out of reach") from error
    if data is None:
        raise TransientError(f"{channel}: the attachment {file.blob} is gone from storage")
    return data
