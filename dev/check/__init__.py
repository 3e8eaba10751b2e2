"""Is this set-up complete? Asks Pureservice, what is sent by and the storage; changes nothing.

Says what is there, what is missing and how to make it. Pureservice, mailboxes, Digipost's area and
the storage are only read; a mail server is asked whether it takes our senders, and is never given a
recipient.
"""

from dev.check.command import check, main

__all__ = ["check", "main"]
