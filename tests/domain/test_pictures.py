"""Pictures in the text: found, taken out of the HTML, and pointed to where they travel."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.domain.html import clean_html
from shared.domain.pictures import cid, embed_data_pictures, shown, to_cids

PNG = b"\x89PNG\r\n\x1a\nen liten en"
BASE64 = b64encode(PNG).decode()
ID = f"{sha256(PNG).hexdigest()[:32]}@bilde"


def test_a_picture_in_the_html_becomes_one_beside_it() -> None:
    html, [picture] = embed_data_pictures(
        f'<p>Se <img alt="Kart" src="data:image/png;base64,{BASE64}" width="100">.</p>'
    )
    assert html == f'<p>Se <img alt="Kart" src="cid:{ID}" width="100">.</p>'
    assert picture.data == PNG
    assert picture.content_id == ID
    assert (picture.name, picture.content_type) == ("bilde-1.png", "image/png")


def test_the_same_picture_twice_is_one_and_others_are_numbered() -> None:
    other = b64encode(b"GIF89a").decode()
    html, pictures = embed_data_pictures(
        f'<img src="data:image/png;base64,{BASE64}"><img src="data:image/gif;base64,{other}">'
        f'<img src="data:image/png;base64,{BASE64}">'
    )
    assert [picture.name for picture in pictures] == ["bilde-1.png", "bilde-2.gif"]
    assert shown(html) == {picture.content_id for picture in pictures}
    assert html.count(ID) == 2


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        (f"data:image/png;base64,{BASE64}", "image/png"),
        (f"DATA:IMAGE/PNG;BASE64,{BASE64}", "image/png"),
        (f"  data:image/png;charset=utf-8;base64,{BASE64}", "image/png"),
        (f"data:image/jpg;base64,{BASE64[:8]}\n  {BASE64[8:]}", "image/jpeg"),
        (f"data:image/jpeg;base64,{BASE64.replace('=', '%3D')}", "image/jpeg"),
        (f"data:image/webp;base64,{BASE64}", "image/webp"),
    ],
)
def test_data_urls_are_read_as_browsers_read_them(source: str, kind: str) -> None:
    _, [picture] = embed_data_pictures(f'<img src="{source}">')
    assert (picture.content_type, picture.data) == (kind, PNG)


@pytest.mark.parametrize(
    "source",
    [
        "data:image/png;base64,",
        "data:image/png;base64,ikke%base64",
        "data:image/png;base64,AAA",
        "data:image/png;base64,å",
        f"data:image/png,{BASE64}",
        f"data:image/svg+xml;base64,{BASE64}",
        f"data:text/html;base64,{BASE64}",
        "data:",
    ],
)
def test_what_is_no_picture_leaves_its_alt_text(source: str) -> None:
    html = f'<p>Se <img src="{source}" alt="Kart &lt;1&gt; &amp; 2"> her</p>'
    assert embed_data_pictures(html) == ("<p>Se Kart &lt;1&gt; &amp; 2 her</p>", [])


def test_a_picture_that_is_too_large_leaves_its_alt_text() -> None:
    html = f'<img src="data:image/png;base64,{BASE64}" alt="Kart">'
    assert embed_data_pictures(html, largest=len(PNG))[1]
    assert embed_data_pictures(html, largest=len(PNG) - 1) == ("Kart", [])


@pytest.mark.parametrize(
    "html",
    [
        f"<IMG SRC=data:image/png;base64,{BASE64} alt=>",
        f"<img/src='data:image/png;base64,{BASE64}'/>",
        f'<p title="<img>"><img title="a > b" src = "data:image/png;base64,{BASE64}"\n></p>',
        f"<p title=it's><img src='data:image/png;base64,{BASE64}'></p>",
        f'<img src="data:image/png;base64,{BASE64}" src="cid:b">',
    ],
)
def test_html_may_be_written_in_many_ways(html: str) -> None:
    changed, [picture] = embed_data_pictures(html)
    assert picture.data == PNG
    assert f'"cid:{ID}"' in changed
    assert BASE64 not in changed


def test_what_stands_in_another_tag_is_no_picture() -> None:
    html = f"<p title=\"<img src='data:image/png;base64,{BASE64}'>\">a</p>"
    assert embed_data_pictures(html) == (html, [])


@pytest.mark.parametrize(
    ("url", "content_id"),
    [
        ("cid:logo@fjordvik.no", "logo@fjordvik.no"),
        ("CID:logo%40fjordvik.no", "logo@fjordvik.no"),
        (" cid:%3Clogo@fjordvik.no%3E ", "logo@fjordvik.no"),
        ("cid:<logo@fjordvik.no>", "logo@fjordvik.no"),
        ("cid:", ""),
        ("https://fjordvik.no/cid:logo", ""),
        ("", ""),
    ],
)
def test_a_content_id_is_read_however_it_is_written(url: str, content_id: str) -> None:
    assert cid(url) == content_id
    assert shown(f'<img alt="x" src="{url}">') == ({content_id} if content_id else set())


@pytest.mark.parametrize(
    "source",
    [
        "/agent/api/attachment/512",
        "https://fjordvik.pureservice.com/agent/api/attachment/512/",
        "//fjordvik.pureservice.com/attachment/512/download?token=abc&amp;x=1",
        "../attachment/512/content",
        "attachment/512#a",
        "/agent/api/attachment/download/512",
        "/attachments/512",
    ],
)
def test_an_attachment_of_the_helpdesk_is_shown_by_its_content_id(source: str) -> None:
    html = f'<p><img class="a" src="{source}" alt="b"></p>'
    assert to_cids(html, {512: "bilde@x"}) == '<p><img class="a" src="cid:bilde@x" alt="b"></p>'
    assert to_cids(html, {513: "bilde@x"}) == html


@pytest.mark.parametrize(
    "source",
    [
        "https://fjordvik.no/kart.png",
        "https://fjordvik.no/attachment/512.png",
        "https://fjordvik.no/attachment/512/annet",
        "https://fjordvik.no/?q=/attachment/512",
        "https://fjordvik.no/attachment/" + "9" * 5_000,
        "cid:attachment512",
        "",
    ],
)
def test_other_pictures_stay_as_they_are(source: str) -> None:
    html = f'<img src="{source}">'
    assert to_cids(html, {512: "bilde@x"}) == html


def test_a_content_id_cannot_get_out_of_its_attribute() -> None:
    html = to_cids('<img src="/attachment/1">', {1: '"><script>'})
    assert html == '<img src="cid:&quot;&gt;&lt;script&gt;">'


WRITTEN = st.lists(
    st.sampled_from(
        [
            *("<img", "<IMG ", "<p", " src", "=", '"', "'", ">", "/>", "<", " alt=x", "cid:a", "/"),
            *("data:image/png;base64,", "AAAA", "attachment/1", "<!--", "-->", "\n", "&quot;"),
        ]
    ),
    max_size=30,
).map("".join)


@settings(max_examples=100)
@given(WRITTEN | st.text(max_size=60))
def test_no_input_makes_it_fail_and_doing_it_twice_changes_nothing(html: str) -> None:
    once, pictures = embed_data_pictures(html)
    assert {picture.content_id for picture in pictures} <= shown(once)
    assert embed_data_pictures(once) == (once, [])
    assert to_cids(to_cids(html, {1: "a"}), {1: "a"}) == to_cids(html, {1: "a"})


@settings(max_examples=100)
@given(WRITTEN)
def test_what_was_clean_is_clean_when_pictures_have_been_taken_out(html: str) -> None:
    changed, _ = embed_data_pictures(to_cids(clean_html(html), {1: "a@b"}))
    assert clean_html(changed) == clean_html(clean_html(changed))
    assert clean_html(changed) == changed.strip()


@pytest.mark.parametrize(
    "html",
    [
        "<img " * 200_000,
        '<img src="' * 100_000,
        "<img src='" * 100_000,
        "<img src=" * 100_000,
        "<img src" + " " * 1_000_000,
        "<img " + "=" * 1_000_000,
        "<a =" * 250_000,
        "<a b=\"'" * 150_000,
        "<img src='" + "/attachment/" * 80_000 + "'>",
        "<img src='data:image/png" + ";a" * 500_000 + "'>",
    ],
    ids=range(10),
)
def test_a_megabyte_is_read_in_one_go(html: str) -> None:
    changed, pictures = embed_data_pictures(to_cids(html, {1: "a"}))
    assert not pictures
    assert len(changed) <= len(html)
    assert shown(html) == set()
