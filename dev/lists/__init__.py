"""Bring recipient lists in step: with LIST_RULES, or with --csv one list with a spreadsheet.

Shows what would change. Nothing is changed without --update.

The spreadsheet is saved as CSV, with a column Organisasjonsnummer, Navn or E-post, or several of
them; one that is filled in is enough for each row. A row is looked up by organisation number, then
by the exact name of a company, then by the e-mail address of a user or company. Those who are on
the list and not in the file stay there, unless --remove is given too.
"""

from dev.lists.command import main

__all__ = ["main"]
