"""Digipost's own schemas and samples. They are not part of the project, and not always there."""

from functools import cache

import pytest
from lxml import etree

from tests.examples import ROOT

DIGIPOST = ROOT.parent / "shared" / "digipost"

needs_schemas = pytest.mark.skipif(
    not DIGIPOST.is_dir(), reason="Digipost's schemas and samples are not beside the project"
)


@cache
def schema(name: str) -> etree.XMLSchema:
    return etree.XMLSchema(etree.parse(DIGIPOST / "xsd" / f"{name}.xsd"))


def sample(name: str, version: str = "avsender2_1") -> bytes:
    return (DIGIPOST / "samples" / version / f"{name}.xml").read_bytes()


def assert_valid(xml: bytes, name: str) -> None:
    """A send job is to be held against `print`, which has `masseutsendelse` in it."""
    schema(name).assertValid(etree.fromstring(xml))
