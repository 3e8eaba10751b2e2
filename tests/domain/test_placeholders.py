"""Placeholders: mended as the editor left them, refused where they are wrong, filled in safely."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lxml import html as lxml_html

from shared.domain.html import clean_html, plain_text
from shared.domain.placeholders import (
    LONGEST,
    LONGEST_TEXT,
    MOST_PLACEHOLDERS,
    MissingValueError,
    PlaceholderError,
    Template,
    Why,
    has_placeholders,
    tidy_html,
    tidy_text,
)

KNOWN = frozenset(
    {
        *("recipient.name", "recipient.first_name", "recipient.company", "recipient.title"),
        *("recipient.copy", "campaign.number", "ticket.number"),
    }
)
#: No company, and a title that is as good as none.
KARI = {
    "recipient": {"name": "Kari Ås", "first_name": "Kari", "title": " \u200b ", "copy": "ja"},
    "ticket": {"number": "4711"},
}


def text(source: str) -> str:
    return Template.of(source, html=False, known=KNOWN).fill(KARI)


def html(source: str) -> str:
    return Template.of(clean_html(source), html=True, known=KNOWN).fill(KARI)


def error(source: str, *, as_html: bool = False) -> PlaceholderError:
    with pytest.raises(PlaceholderError) as caught:
        Template.of(clean_html(source) if as_html else source, html=as_html, known=KNOWN)
    return caught.value


@pytest.mark.parametrize(
    ("typed", "mended"),
    [
        ("{{ recipient.name }}", "{{ recipient.name }}"),
        ("{{recipient.name}}", "{{ recipient.name }}"),
        ("{{&nbsp;recipient.name&nbsp; }}", "{{ recipient.name }}"),
        ("{{ recipient.\u200bname\ufeff }}", "{{ recipient.name }}"),
        ("{\u200b{ recipient.name }\u200b}", "{{ recipient.name }}"),
        ("&#123;&#x7b; recipient.name &rcub;}", "{{ recipient.name }}"),
        ("{{ recipient.<br>name\r\n\t}}", "{{ recipient. name }}"),
        ("{{ recipient.<span>first_name</span> }}", "{{ recipient.first_name }}"),
        ("<b>{{ recipient.na</b>me }}", "<b>{{ recipient.name }}</b>"),
        ("{{ recipient.na<b>me }}</b>", "{{ recipient.name }}<b></b>"),
        ("{<i>{ recipient.name }</i>}", "{{ recipient.name }}"),
        ("{<i>{ recipient.name }}</i>", "{{ recipient.name }}<i></i>"),
        ("<p>{{ recipient.name<p>or a }}", "<p>{{ recipient.name or a }}</p><p></p>"),
        ("{{ a <a href='https://x.no'><img></a> }}", '{{ a }}<a href="https://x.no"><img></a>'),
        # Some editors make a link of anything that ends like a domain.
        ('{{ <a href="http://recipient.name">recipient.name</a> }}', "{{ recipient.name }}"),
        ("{{ a | default(&quot;b&quot;) }}", '{{ a | default("b") }}'),
        ("{{ a | default(“b”) }}", '{{ a | default("b") }}'),
        ("{{ a | default(«b») }}", '{{ a | default("b") }}'),
        ("{{ a | default(‘b’) }}", "{{ a | default('b') }}"),
        ("{{ a | default(“Kari’s”) }}", '{{ a | default("Kari’s") }}'),
        ('{{ a | default("«Ås»") }}', '{{ a | default("«Ås»") }}'),
        ("{{ a | default('&lt;b&gt; &amp;amp;') }}", "{{ a | default('&lt;b&gt; &amp;amp;') }}"),
        ("{%&nbsp;if a %}b{<b>% endif %</b>}", "{% if a %}b{% endif %}"),
        ("{%if a%}b{%-endif-%}", "{% if a %}b{% endif %}"),
    ],
)  # fmt: skip
def test_what_the_editor_did_inside_a_placeholder_is_mended(typed: str, mended: str) -> None:
    assert tidy_html(clean_html(typed)) == clean_html(typed).replace(clean_html(typed), mended)
    assert tidy_html(mended) == mended


@pytest.mark.parametrize(
    "source",
    [
        "",
        "a { b } % &nbsp; “c” <b>\u200b</b>\r\n d }} %}",
        "{ {&nbsp;a }}",
        "{{ aldri ferdig &nbsp;<br>",
        "{{ a <b>} ",
        '<a href="https://x.no/?a={{ b“ }}">c</a>',
        "{# ikke en kommentar&nbsp; #}",
        "https://x.no/?q={%22a&nbsp;%}",
        "{{ a %}&nbsp;b }}",
    ],
)
def test_everything_else_is_left_as_it_was(source: str) -> None:
    assert tidy_html(source) == source


def test_a_number_that_python_does_not_read_is_no_character() -> None:
    digits = "1" * 9_999
    assert tidy_html(f"{{{{ &#{digits}; }}}}") == f"{{{{ &amp;#{digits}; }}}}"


def test_in_plain_text_tags_and_entities_are_text() -> None:
    assert tidy_text("Til\u00a0{{\u00a0recipient.name | default(“a<b>&amp;”)}}") == (
        'Til\u00a0{{ recipient.name | default("a<b>&amp;") }}'
    )


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("Hei {{ recipient.first_name }}!", "Hei Kari!"),
        ("{{ recipient.name }} {{ ticket.number }}{{ recipient.copy }}", "Kari Ås 4711ja"),
        ('{{ recipient.company | default("firmaet") }}', "firmaet"),
        ("{{ recipient.company | d(recipient.name) | upper }}", "KARI ÅS"),
        ("{{ recipient.company or recipient.title or recipient.name }}", "Kari Ås"),
        ("{{ recipient.name | lower | capitalize | title | trim }}", "Kari Ås"),
        ("{{ 'a' if recipient.company else 'b' }}", "b"),
        ("{{ 'a' if recipient.company }}", ""),
        ("{% if recipient.company %}a{% else %}b{% endif %}", "b"),
        ("{% if not recipient.company and recipient.name %}a{% endif %}", "a"),
        ("{% if recipient.company == 'A' %}a{% elif recipient.copy == 'ja' %}b{% endif %}", "b"),
        ("{% if recipient.title == '' == recipient.company %}a{% endif %}", "a"),
        ("{% if recipient.title != 'A' %}a{% endif %}", "a"),
        ("{% if recipient.title is defined %}a{% else %}b{% endif %}", "b"),
        ("{% if recipient.name is not undefined %}a{% endif %}", "a"),
        ("{{ 'a\\nb' }}", "a b"),
        ("{{ '\\ud83d' }}", "?"),
        ("{{- recipient.copy -}} b\n", "ja b\n"),
        ("{# a #} # b\n## c {%22 { % }} %}", "{# a #} # b\n## c {%22 { % }} %}"),
        ("a\r\n\x00b\r", "a\r\n\x00b\r"),
    ],
)  # fmt: skip
def test_a_text_is_filled_in(source: str, filled: str) -> None:
    assert text(source) == filled


@pytest.mark.parametrize(
    ("source", "filled"),
    [
        ("<p>Hei <b>{{ recipient.na</b>me }}</p>", "<p>Hei <b>Kari Ås</b></p>"),
        ("{{ recipient.company | default('&lt;i&gt; &amp; co') }}", "&lt;i&gt; &amp; co"),
        ("{% if recipient.company == '&amp;' %}<b>a</b>{% else %}<i>b</i>{% endif %}", "<i>b</i>"),
        # Braces of an address that are no placeholder.
        (
            '<a href="https://x.no/?q={%22a%22:{%22b%22:1}}">c</a> {%22',
            '<a href="https://x.no/?q={%22a%22:{%22b%22:1}}">c</a> {%22',
        ),
    ],
)
def test_html_is_filled_in_and_stays_html(source: str, filled: str) -> None:
    assert html(source) == filled


@pytest.mark.parametrize(
    ("source", "why", "meant"),
    [
        ("{{ recipient.compny }}", Why.UNKNOWN, "recipient.company"),
        ("{{ Recipient.Company }}", Why.UNKNOWN, "recipient.company"),
        ("{{ first_name }}", Why.UNKNOWN, "recipient.first_name"),
        ("{{ recipient }}", Why.UNKNOWN, None),
        ("{{ recipient.name.title }}", Why.UNKNOWN, None),
        ("{{ recipient.__class__ }}", Why.UNKNOWN, None),
        ("{{ zzz.qqq }}", Why.UNKNOWN, ""),
        ("{% if recipient.fornavn %}a{% endif %}", Why.UNKNOWN, None),
        ("{{ }}", Why.SYNTAX, ""),
        ("{%%}", Why.SYNTAX, None),
        ("{{ recipient.name", Why.SYNTAX, ""),
        ("{{{ recipient.name }}}", Why.SYNTAX, ""),
        ("{{ recipient name }}", Why.SYNTAX, ""),
        ("{{ recipient.name | default('a }}", Why.SYNTAX, ""),
        ("{{ 'a }} b {{ c' }}", Why.SYNTAX, ""),
        ("{{ '\\x' }}", Why.SYNTAX, ""),
        ("{% if recipient.name %}", Why.SYNTAX, ""),
        ("{% if %}a{% endif %}", Why.SYNTAX, ""),
        ("{% endif %}", Why.SYNTAX, ""),
        ("{% else %}", Why.SYNTAX, ""),
        ("{% if 1 %}a{% endif 1 %}", Why.SYNTAX, ""),
        ("{% if 1 %}a{% else %}b{% else %}c{% endif %}", Why.SYNTAX, ""),
        ("{% for a in recipient.name %}a{% endfor %}", Why.NOT_ALLOWED, None),
        ("{% set a = 1 %}", Why.NOT_ALLOWED, None),
        ("{% include 'a' %}", Why.NOT_ALLOWED, None),
        ("{% macro a() %}{% endmacro %}", Why.NOT_ALLOWED, None),
        ("{% raw %}{{ a }}{% endraw %}", Why.NOT_ALLOWED, None),
        ("{% end %}", Why.NOT_ALLOWED, "endif"),
        ("{{ recipient.name | safe }}", Why.NOT_ALLOWED, ""),
        ("{{ recipient.name | uper }}", Why.NOT_ALLOWED, "upper"),
        ("{{ recipient.name | default(1, 2, 3) }}", Why.NOT_ALLOWED, ""),
        ("{{ recipient.name | default(default_value='a') }}", Why.NOT_ALLOWED, ""),
        ("{{ recipient.name | trim(5) }}", Why.NOT_ALLOWED, ""),
        ("{{ recipient.name is sameas(1) }}", Why.NOT_ALLOWED, ""),
        ("{{ recipient.name is defined(1) }}", Why.NOT_ALLOWED, ""),
        ("{{ recipient.name.upper() }}", Why.NOT_ALLOWED, ""),
        ("{{ ''.__class__ }}", Why.NOT_ALLOWED, ""),
        ("{{ recipient['name'] }}", Why.NOT_ALLOWED, ""),
        ("{{ 9 ** 9 }}", Why.NOT_ALLOWED, ""),
        ("{{ 'a' * 9 }}", Why.NOT_ALLOWED, ""),
        ("{{ -1 }}", Why.NOT_ALLOWED, ""),
        ("{{ 'a' ~ 'b' }}", Why.NOT_ALLOWED, ""),
        ("{{ ['a'] }}", Why.NOT_ALLOWED, ""),
        ("{{ 1 < 'a' }}", Why.NOT_ALLOWED, ""),
        ("{{ 1 in recipient.name }}", Why.NOT_ALLOWED, ""),
        ("{{ range(9) }}", Why.NOT_ALLOWED, ""),
        ("{{ lipsum }}", Why.UNKNOWN, ""),
    ],
)
def test_a_placeholder_that_is_wrong_is_refused(source: str, why: Why, meant: str | None) -> None:
    for as_html in (False, True):
        caught = error(f"Hei {{{{ recipient.name }}}}\n{source} # slutt", as_html=as_html)
        assert caught.why is why
        assert caught.placeholder != "{{ recipient.name }}"
        assert caught.placeholder[:2] == source[:2]
        assert meant is None or caught.did_you_mean == meant


def test_an_error_shows_what_was_written_on_one_short_line() -> None:
    typed = "<p>Hei {{ recipient.<b>name</b>,</p><p>takk &amp; hilsen</p>" + "a" * 99
    lone = error(typed, as_html=True)
    assert lone.placeholder.startswith("{{ recipient.name, takk & hilsen aaa")
    assert len(lone.placeholder) == 80
    second = error("{{ recipient.name }}\n{{ recipient.name }} {{ recipient.\nnavn }}")
    assert second.placeholder == "{{ recipient. navn }}"
    assert str(second) == "unknown: {{ recipient. navn }}"
    assert error("{{ 1 | a if recipient.b }} {{ 2 | c }}").placeholder[:6] == "{{ 1 |"


@pytest.mark.parametrize(
    "source",
    [
        '<a href="https://x.no/?id={{ recipient.name }}">a</a>',
        '<a href="https://{{recipient.name}}/">a</a>',
        '<a href="https://x.no/?id=%7B%7B%20recipient.name%20%7D%7D">a</a>',
        '<a href="https://x.no/?id=%7B%25 if a %25%7D">a</a>',
        '<a href="https://x.no/{% if recipient.name %}a{% endif %}">a</a>',
        '<img alt="{{ recipient.name }}" src="cid:a">',
        '<b title="&#123;&#123; recipient.name }}">a</b>',
        '{{ recipient.name <b title="{{ recipient.name }}"> }}</b>',
    ],
)
def test_none_may_stand_in_a_tag_where_a_value_might_lead_elsewhere(source: str) -> None:
    caught = error(source, as_html=True)
    assert caught.why is Why.NOT_ALLOWED
    assert caught.placeholder.startswith("<")
    assert has_placeholders(clean_html(source))


def test_a_condition_around_nothing_is_refused() -> None:
    """As one is that stood around a row of a table, which is read as if it stood in front."""
    row = "{% if recipient.company %}<tr><td>a</td></tr>{% else %}<tr><td>b</td></tr>{% endif %}"
    nothing = "{% if 1 %} {% endif %}"
    for source in (f"<table>{row}</table>", nothing, "{% if 1 %}{% else %}{% endif %}"):
        caught = error(source, as_html=True)
        assert caught.why is Why.NOT_ALLOWED
        assert caught.placeholder.startswith("{% if ")
    cell = "<td>{% if recipient.company %}a{% endif %}</td>"
    assert "<td></td>" in html(f"<table><tr>{cell}</tr></table>")
    assert text("{% if 1 %}{% if 1 %}{{ recipient.copy }}{% endif %}{% endif %}") == "ja"
    assert text("{% if recipient.company %}{% else %}b{% endif %}") == "b"


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("Hei {{ recipient.name }}", True),
        ("{<b>{ recipient.name }</b>}", True),
        ("{% if a", True),
        ("{{", True),
        ("Hei { { a }} {# b #} {%22 100 %}", False),
        ("", False),
    ],
)
def test_it_is_known_which_texts_are_the_same_for_all(source: str, expected: bool) -> None:
    assert has_placeholders(source) is expected


@pytest.mark.parametrize(
    "source",
    [
        "{{ recipient.company }}",
        "{{ recipient.company | upper }}",
        "{{ recipient.company | trim | default('a') }}",
        "{{ recipient.title or recipient.company }}",
        "{{ recipient.title | default(recipient.company) }}",
        "{{ recipient.company if recipient.name else '' }}",
        "{% if recipient.name %}{{ recipient.company }}{% endif %}",
    ],
)
def test_a_value_that_is_missing_is_not_printed_as_nothing(source: str) -> None:
    for as_html in (False, True):
        template = Template.of(source, html=as_html, known=KNOWN)
        with pytest.raises(MissingValueError) as caught:
            template.fill(KARI)
        assert caught.value.name == "recipient.company"
        assert str(caught.value) == "no recipient.company"
        assert template.fill({"recipient": {"company": "Ås", "name": "a"}}) in ("Ås", "ÅS")


def test_a_template_says_all_the_names_it_mentions() -> None:
    source = "{% if recipient.company %}{{ ticket.number }}{% endif %}{{ recipient.name | d('') }}"
    assert Template.of(source, html=False, known=KNOWN).names == {
        "recipient.company",
        "recipient.name",
        "ticket.number",
    }
    assert Template.of("a", html=True, known=KNOWN).names == set()


def test_a_value_is_not_read_as_a_template_and_is_cut_at_a_thousand_characters() -> None:
    template = Template.of("{{ recipient.name }}", html=False, known=KNOWN)
    assert template.fill({"recipient": {"name": "{{ ticket.number }}"}}) == "{{ ticket.number }}"
    assert template.fill({"recipient": {"name": "å" * 9_999}}) == "å" * 1_000


def test_what_is_too_much_is_refused_at_its_limit() -> None:
    one = "{{ recipient.copy }}"
    deep = "{% if recipient.copy %}" * 10 + "a" + "{% endif %}" * 10
    assert text(one * MOST_PLACEHOLDERS) == "ja" * MOST_PLACEHOLDERS
    assert text(deep) == "a"
    assert error(one * (MOST_PLACEHOLDERS + 1)).why is Why.TOO_MANY
    assert error("{% if 1 %}" + deep + "{% endif %}").why is Why.TOO_MANY
    assert text("{{ " + "(" * 10 + "1" + ")" * 10 + " }}") == "1"
    assert error("{{ " + "(" * 11 + "1" + ")" * 11 + " }}").why is Why.TOO_MANY
    assert error("{{ " + "not " * 60 + "1 }}").why is Why.TOO_MANY
    assert error("{{ '" + "a" * LONGEST + "' }}").why is Why.TOO_LONG
    assert len(text("a" * (LONGEST_TEXT + 1))) == LONGEST_TEXT + 1
    assert error(one + "a" * (LONGEST_TEXT + 1)).why is Why.TOO_LONG


@pytest.mark.parametrize(
    "source",
    [
        "{% if recipient.copy == 'a' %}a" + "{% elif 0 %}b" * 498 + "{% endif %}",
        "{{ " + "not " * 57 + "1 }}",
        "{{ " + "recipient.name if 1 else " * 10 + "'' }}",
        "{{ recipient.name" + " | upper" * 28 + " }}",
        "{{ " + " and ".join(["1"] * 29) + " }}",
        "{% if 1 %}" * 10 + f"{{{{ {'(' * 10}{'not ' * 15}1{')' * 10} }}}}" + "{% endif %}" * 10,
        "{{ " + "(" * 99 + " }}",
        "{{ " + "-" * 57 + " }}",
        "{{ " + "[{(" * 3 + "not " * 30 + " }}",
    ],
)  # fmt: skip
def test_what_is_within_the_limits_takes_half_of_the_usual_stack(source: str) -> None:
    def dig(left: int) -> None:
        if left:
            return dig(left - 1)
        try:
            Template.of(source, html=True, known=KNOWN).fill(KARI)
        except PlaceholderError:
            return None

    dig(sys.getrecursionlimit() // 2)


@pytest.mark.parametrize(
    "source",
    [
        "<table><tr><th>Navn</th><th>Nr</th></tr>"
        "<tr><td>{{ recipient.name | d('a  b') }}</td><td>{{ ticket.number }}</td></tr></table>",
        "<ul><li>{% if recipient.name == '&lt;b&gt; &amp;' %}</li></ul><pre>{{ a }}</pre>",
        "<p>{{ recipient.<br>name }} og {{&nbsp;recipient.<b>name }}</b></p>",
        "<blockquote>" * 20 + "{{ recipient.company | default(“lang og lengre”) }}",
    ],
)
def test_a_mended_placeholder_survives_becoming_plain_text(source: str) -> None:
    mended = tidy_html(clean_html(source))
    flat = plain_text(mended)
    inside = [
        one.partition(end)[0]
        for start, end in (("{{", "}}"), ("{%", "%}"))
        for one in mended.split(start)[1:]
    ]
    assert inside
    for one in inside:
        assert one.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&") in flat
    assert tidy_text(flat) == flat


# Whatever is written, and whatever the values are


def bits(text: str) -> list[str]:
    return text.split(" ")


WORDS = [
    *bits(
        "recipient.name recipient name recipient . not and or if else is defined in | upper default"
    ),
    *bits(
        "( ) [ ] { } , : == != < > = + - * ** ~ 1 0.5 'a' \"b\" 'å for set safe true none x=1 é \\"
    ),
]
BITS = [
    *bits(
        "{ } % { } {{ }} {% %} # < > & ; ' \" “ ” « ’ ( ) | . \\ - = , == 1 a æ %7B 22 {# {{- -%}"
    ),
    *bits("recipient recipient.name if endif else elif for raw endraw default upper is not and"),
    *bits("{{recipient.name}} {%if\trecipient.name%} {%endif%} &nbsp; &lt; &amp; &quot; &#123;"),
    *bits("&#125; &#8203; &zwnj; <b> </b> <p> </p> <br> <i/> <a\thref='{{'> <td> <!-- -->"),
    *(" ", "\n", "\r", "\x00", "\ud83d", "\u2028", "\u200b", "\u00ad", "\xa0"),
]
SENTENCE = st.lists(st.sampled_from(WORDS), max_size=9).map(" ".join)
SOUP = st.one_of(
    st.lists(st.sampled_from(BITS), max_size=30).map("".join),
    SENTENCE.map("{{{{ {} }}}}".format),
    SENTENCE.map("{{% if {} %}}a{{% endif %}}".format),
    st.text(max_size=60),
)
VALUE = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(BITS), max_size=8).map("".join),
    st.sampled_from(["<script>alert(1)</script>", '"><img src=x onerror=y>', "a\r\nBcc: b@c.no"]),
)
TRUSTWORTHY = [
    "<p>Hei {{ recipient.name }}</p>",
    "<td>{{ recipient.name | default('a') | upper }}</td>",
    "<b>{{ recipient.na</b>me | title }}",
    "<i>{% if recipient.name %}a{{ recipient.name }}{% endif %}</i>",
    "{{ recipient.company or recipient.name }}",
    "<a href='https://x.no'>{{ 'a' if recipient.name == 'b' else recipient.name }}</a>",
]


def outcome(source: str, value: str, *, as_html: bool) -> str | None:
    """None where one of the two errors says why not; any other is a bug, and comes through."""
    values = {"recipient": {"name": value}}
    try:
        template = Template.of(source, html=as_html, known=KNOWN)
        filled = template.fill(values)
    except (PlaceholderError, MissingValueError) as caught:
        assert len(str(caught).splitlines()) == 1
        return None
    assert template.fill(values) == filled
    return filled


def tags(source: str) -> list[tuple[str, dict[str, str]]]:
    tree = lxml_html.document_fromstring(f"<body><div>{source}</div></body>")
    return [(str(node.tag), dict(node.attrib)) for node in tree.iter()]


@settings(max_examples=100)
@given(SOUP, VALUE)
def test_no_text_and_no_value_fails_in_another_way_than_ours(source: str, value: str) -> None:
    for as_html in (False, True):
        filled = outcome(source, value, as_html=as_html)
        if filled is not None and not has_placeholders(source):
            assert filled == source
    cleaned = clean_html(source)
    filled = outcome(cleaned, value, as_html=True)
    if filled is not None:
        assert {tag for tag, _ in tags(filled)} <= {tag for tag, _ in tags(tidy_html(cleaned))}


@settings(max_examples=100)
@given(SOUP)
def test_mending_twice_is_mending_once(source: str) -> None:
    for tidy in (tidy_html, tidy_text):
        once = tidy(source)
        assert tidy(once) == once
    if not any(brace in source for brace in "{}&"):
        assert tidy_html(source) == tidy_text(source) == source


@settings(max_examples=100)
@given(SOUP)
def test_mending_clean_html_leaves_it_clean(source: str) -> None:
    mended = tidy_html(clean_html(source))
    assert clean_html(mended) == mended.strip()


@settings(max_examples=100)
@given(st.lists(st.sampled_from(TRUSTWORTHY), min_size=1, max_size=4).map("".join), VALUE)
def test_a_value_never_becomes_a_tag_or_an_attribute(source: str, value: str) -> None:
    source = clean_html(source)
    plain = outcome(source, "x", as_html=True)
    filled = outcome(source, value, as_html=True)
    assert plain is not None
    if filled is not None:
        assert tags(filled) == tags(plain)


@settings(max_examples=100)
@given(st.text("ab #", max_size=5), VALUE)
def test_a_value_never_brings_a_line_break_into_a_subject(words: str, value: str) -> None:
    filled = outcome(f"{words}: {{{{ recipient.name }}}}", value, as_html=False)
    assert filled is None or len(filled.splitlines()) == 1


def lines_run(work: Callable[[], object]) -> int:
    """How many lines of the module are run: the same on every computer, as time is not."""
    count = 0

    def trace(frame: FrameType, event: str, arg: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename.endswith("placeholders.py") else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


HOSTILE = [
    "{{ <b>",
    "{",
    "}",
    "{<b>",
    "{%",
    "{{ }",
    "%}",
    "{{ a }}",
    "<a \"'",
    "{{ “&#1;",
    "\u200b{",
]


@pytest.mark.parametrize("bit", HOSTILE)
def test_twice_as_much_takes_twice_the_work(bit: str) -> None:
    def work(times: int) -> int:
        long, inside = bit * times, "{{ " + "<b>" * times + bit.replace("{", "(") * times + " }}"
        return lines_run(lambda: [(tidy_html(one), tidy_text(one)) for one in (long, inside)])

    assert work(400) <= 2 * work(200) + 100


def test_a_long_row_of_them_comes_to_an_end() -> None:
    """What the lines do not show, the searching: were it quadratic, this would take minutes."""
    for bit in HOSTILE:
        tidy_html("{{ " + bit.replace("{", "(") * 20_000 + " }}")
        tidy_html("{" + "<b>" * 1_000 + bit * 2_000)
    tidy_html("<a '\"" * 200_000)
