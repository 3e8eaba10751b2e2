"""A spreadsheet saved as CSV, as Excel and others write it: who is to be on a list."""

import csv
import io
import re
from dataclasses import dataclass
from pathlib import Path

#: Letters of a column's heading, in lower case, and what it has.
_COLUMNS = {
    "organisasjonsnummer": "organization_number",
    "orgnr": "organization_number",
    "navn": "name",
    "epost": "address",
    "epostadresse": "address",
}
_HEADINGS = "Organisasjonsnummer, Navn eller E-post"
_SAVE_AS = "Lagre regnearket som «CSV UTF-8» og prøv igjen."


class SpreadsheetError(Exception):
    """The file is of no use; says in Norwegian why, and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    number: int  #: where in the file it begins, counted from 1
    organization_number: str = ""  #: without spaces, and otherwise as it stands
    name: str = ""
    address: str = ""

    @property
    def empty(self) -> bool:
        return not (self.organization_number or self.name or self.address)


def read(file: Path) -> list[Line]:
    """The rows below the headings that are not blank. Raises SpreadsheetError."""
    try:
        data = file.read_bytes()
    except OSError as error:
        raise SpreadsheetError(f"Får ikke lest {file} ({error.strerror}).") from error
    return parse(data)


def parse(data: bytes) -> list[Line]:
    text = _text(data)
    headings = text.splitlines()[0] if text.strip() else ""
    delimiter = max(";,\t", key=headings.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    columns: dict[int, str] = {}
    lines, begins = [], 1
    try:
        for cells in reader:
            if begins == 1:
                columns = _columns(cells)
            elif any(cell.strip() for cell in cells):
                lines.append(_line(begins, cells, columns))
            begins = reader.line_num + 1
    except csv.Error as error:
        raise SpreadsheetError(
            f"Linje {begins} er ikke gyldig CSV ({error}). {_SAVE_AS}"
        ) from error
    if not lines:
        raise SpreadsheetError("Filen har ingen rader under overskriftene.")
    return lines


def is_organization_number(text: str) -> bool:
    """Nine digits, of which the last is the control digit (modulus 11).

    >>> is_organization_number("974760673"), is_organization_number("974760674")
    (True, False)
    """
    if not re.fullmatch("[0-9]{9}", text):
        return False
    weights = (3, 2, 7, 6, 5, 4, 3, 2, 1)
    return sum(int(digit) * weight for digit, weight in zip(text, weights, strict=True)) % 11 == 0


def _text(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff", b"PK")):
        raise SpreadsheetError(f"Filen er ikke CSV. {_SAVE_AS}")
    for encoding in ("utf-8-sig", "cp1252"):  # the latter is what Excel's plain «CSV» is
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise SpreadsheetError(f"Filen har tegn som ikke lar seg lese. {_SAVE_AS}")


def _columns(headings: list[str]) -> dict[int, str]:
    """What the columns that we know of have, by their position."""
    letters = [re.sub("[^a-zæøå]", "", heading.casefold()) for heading in headings]
    columns = {n: _COLUMNS[word] for n, word in enumerate(letters) if word in _COLUMNS}
    if not columns:
        raise SpreadsheetError(f"Første linje må ha overskriftene: {_HEADINGS}.")
    if len(set(columns.values())) < len(columns):
        raise SpreadsheetError(f"Hver av overskriftene kan bare stå én gang: {_HEADINGS}.")
    return columns


def _line(number: int, cells: list[str], columns: dict[int, str]) -> Line:
    told = {what: cells[n].strip() for n, what in columns.items() if n < len(cells)}
    if "organization_number" in told:
        told["organization_number"] = re.sub(r"\s", "", told["organization_number"])
    return Line(number, **told)
