"""Is this set-up complete? Asks Pureservice, the mail server and the storage, and changes nothing.

Says what is there, what is missing and how to make it. Pureservice and the storage are only read;
the mail server is asked whether it takes our senders, and is never given a recipient.
"""

from dev.check.command import check, main

__all__ = ["check", "main"]
