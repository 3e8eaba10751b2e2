"""A letterhead around a message, as HTML."""

from shared.domain.letterhead import Letterhead
from shared.flow.wording import render


def with_letterhead(html: str, letterhead: Letterhead, *, may_reply: bool) -> str:
    """The message in its letterhead; letter for letter as it was, between what stands around it.

    `html` is trusted: `clean_html` has seen it.
    """
    return render("letterhead.html", html=html, letterhead=letterhead, may_reply=may_reply)
