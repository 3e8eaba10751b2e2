"""What stands around a message that is a bare text: whose it is, a greeting, how to reach them."""

from dataclasses import dataclass
from typing import Literal, get_args

from shared.domain.accessible import LEAST_CONTRAST, WHITE, colour_of, contrast

Language = Literal["nb", "nn", "en"]


@dataclass(frozen=True, slots=True)
class Letterhead:
    """A layout for a zone or a team. Texts are plain; their line breaks count, addresses link.

    Raises ValueError when it could not be read: a heading too pale on white, a logo that says
    nothing to those who do not see it.
    """

    language: Language = "nb"
    header: str = ""  #: whose the message is, beside the logo
    footer: str = ""  #: address, telephone, opening hours
    signature: str = ""  #: below the message, before the footer
    color: str = "#1d4f91"  #: of the header, and of the lines around the message
    logo: str = ""  #: its content id among the message's files
    logo_alt: str = ""  #: may be empty where `header` says the same
    logo_height: int = 48  #: in pixels

    def __post_init__(self) -> None:
        if self.language not in get_args(Language):
            raise ValueError(f"{self.language!r} is none of {', '.join(get_args(Language))}")
        colour = colour_of(self.color)
        if colour is None or colour.alpha < 1:
            raise ValueError(f"color: {self.color!r} is no colour that mail programs know")
        if (ratio := contrast((colour.red, colour.green, colour.blue), WHITE)) < LEAST_CONTRAST:
            raise ValueError(
                f"color: {self.color} is too pale: its contrast to white is {ratio:.2f}, "
                f"and must be {LEAST_CONTRAST} for everybody to read it"
            )
        if self.logo and not (self.logo_alt or self.header):
            raise ValueError("logo_alt: a logo without a header needs a text that says whose it is")
