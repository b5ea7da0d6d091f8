"""Rules as people hand them over: every mistake gets a sentence, and what is written is read as it was."""

import pytest

from kspace.errors import BadInput
from transfer.rulefile import checked, differences, parse, pick, to_toml
from transfer.wishes import Wish, is_wanted

WISHES = (
    Wish(name="no localizers", action="exclude", protocols=("*localizer*", 'a "quoted" \\ name', "t1_[[]a]")),
    Wish(name="fmri on the Prisma", scanner="prisma-*", protocols=("ep2d*", "größe*"), dependencies=True),
)


def test_what_is_exported_is_imported_as_it_was():
    text = to_toml(WISHES, heading="Rules of HEART\nversion 3")
    assert text.startswith("# Rules of HEART\n# version 3\n\n[[rule]]\n")
    assert parse(text, project="HEART") == WISHES
    assert parse(to_toml(()), project="HEART") == ()


def test_a_rule_of_the_configuration_can_be_imported_where_it_belongs():
    text = '[[rule]]\nname = "all"\nproject = "HEART"\n'
    assert parse(text, project="HEART") == (Wish(name="all"),)
    with pytest.raises(BadInput, match="another project than BRAIN"):
        parse(text, project="BRAIN")
    with pytest.raises(BadInput, match="said in the relay's configuration"):
        parse(text + 'identified_raw = { allowed_by = "A. Person", on = 2026-01-31 }\n', project="HEART")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[rule]\n", "It is no TOML"),
        ("colour = 1\n", "nothing but tables"),
        ("rule = 3\n", "nothing but tables"),
        ("[[rule]]\n", r"Rule 1, name: it is missing"),
        ('[[rule]]\nname = "a"\nprotocol = ["x"]\n', r"Rule 1 \(a\), protocol: there is no such setting"),
        ('[[rule]]\nname = "a"\naction = "maybe"\n', r"Rule 1 \(a\), action: .*'include' or 'exclude'"),
        ('[[rule]]\nname = "a"\nprotocols = []\n', r"Rule 1 \(a\), protocols: name at least one"),
        ('[[rule]]\nname = "a"\nprotocols = ["^ep2d{3}$"]\n', r"'\^ep2d\{3\}\$' is a regular expression"),
        ('[[rule]]\nname = "a"\nprotocols = ["t1_[a"]\n', r'a "\[" is not closed'),
        ('[[rule]]\nname = "a"\nprotocols = [""]\n', r"Rule 1 \(a\), protocols: a pattern is text[^:]*$"),
        ('[[rule]]\nname = "a"\nscanner = " "\n', r"Rule 1 \(a\), scanner: a pattern is text"),
        ('[[rule]]\nname = "a"\nprotocols = ["a\\nb"]\n', "a pattern is text without line breaks"),
        ('[[rule]]\nname = "a\\u0000"\n', "a name is one line of printable characters"),
        (f"a = {'[' * 20_000}", "too deep"),
        (f"a = {'9' * 5_000}", "It is no TOML"),
        ('[[rule]]\nname = "a"\n[[rule]]\nname = "a"\n', "Two rules are called a"),
        (f'[[rule]]\nname = "{"a" * 65}"\n', "at most 64"),
        (f'[[rule]]\nname = "a"\nprotocols = ["{"a" * 129}"]\n', "at most 128"),
    ],
)
def test_a_mistake_gets_a_sentence(text, said):
    with pytest.raises(BadInput, match=said) as caught:
        parse(text, project="P")
    assert str(caught.value).startswith("Nothing was changed: ")


def test_more_than_a_person_reads_is_refused():
    with pytest.raises(BadInput, match="more than 64 rules"):
        checked([{"name": str(number)} for number in range(65)])
    with pytest.raises(BadInput, match="more characters than a form holds"):
        checked([{"name": str(n), "protocols": ["x" * 120] * 120} for n in range(3)])
    with pytest.raises(BadInput, match="Rules are a list"):
        checked({"name": "a"})


def test_a_pattern_never_takes_longer_than_its_length_is_worth():
    """A backtracking matcher needs time exponential in the stars here: it would not end within anybody's life."""
    wish = Wish(name="a", protocols=("*a" * 60 + "b",))
    assert not wish.fits(scanner="x", protocol="a" * 4000)


def test_two_versions_are_compared_rule_by_rule():
    old = (Wish(name="a"), Wish(name="b", protocols=("gre",)), Wish(name="c"), Wish(name="d"))
    new = (Wish(name="c"), Wish(name="b", protocols=("gre", "t1"), scanner="prisma"), Wish(name="d"), Wish(name="e"))
    found = {one["name"]: one for one in differences(old, new)}
    assert {name: one["what"] for name, one in found.items()} == {
        "c": "moved",
        "b": "changed",
        "d": "same",
        "e": "added",
        "a": "removed",
    }
    fields = found["b"]["fields"]
    assert fields == [
        {"field": "scanner", "old": "*", "new": "prisma"},
        {"field": "protocols", "old": ["gre"], "new": ["gre", "t1"]},
    ]
    assert {one["what"] for one in differences(new, new)} == {"same"}


@pytest.mark.parametrize("base", [(), (Wish(name="all"),), WISHES, (Wish(name="prisma", scanner="prisma"),)])
@pytest.mark.parametrize("ticked", [(), ("gre",), ("t1_[a]", "localizer"), ("gre", "t1_[a]", "localizer")])
def test_what_is_ticked_is_captured_and_no_other(base, ticked):
    shown = {"gre": ["skyra", "prisma"], "t1_[a]": ["skyra"], "localizer": ["prisma"]}
    found = pick(base, ticked=ticked, shown=shown)
    for protocol, scanners in shown.items():
        assert is_wanted(found, protocol, scanners) == (protocol in ticked)
    assert pick(found, ticked=ticked, shown=shown) == found, "saying the same again changes nothing"
    assert [wish for wish in found if wish.name not in {"picked", "left out"}] == list(base)


def test_ticks_say_nothing_of_protocols_that_were_not_shown():
    first = pick((), ticked=("gre", "t1"), shown={"gre": ["s"], "t1": ["s"], "t2": ["s"]})
    assert first == (Wish(name="picked", protocols=("gre", "t1")),)
    second = pick(first, ticked=(), shown={"GRE": ["s"]})
    assert second == (Wish(name="picked", protocols=("t1",)),)
    assert pick(second, ticked=(), shown={"t1": ["s"]}) == (), "a rule that names nothing is none"
