"""Which protocols are captured and delivered, and the words that say why."""

import pytest
from pydantic import ValidationError

from transfer.selection import Step, choose_capture, choose_delivery
from transfer.wishes import Rule

RULES = [
    Rule(name="no localizers", project="heart", action="exclude", protocols=("*localizer*", "aahead_scout")),
    Rule(name="heart, all else", project="heart"),
    Rule(name="fmri only", project="brain", protocols=("ep2d*", "cmrr_*"), scanner="prisma-*"),
]


@pytest.mark.parametrize(
    ("protocol", "scanner", "wanted", "rule"),
    [
        ("gre", "prisma-1", True, "heart, all else"),
        ("Localizer_3pl", "prisma-1", False, "no localizers"),
        ("AAHead_Scout", "prisma-1", False, "no localizers"),
        ("EP2D_bold", "PRISMA-1", True, "heart, all else"),
    ],
)
def test_the_first_rule_of_a_project_that_fits_decides(measured, protocol, scanner, wanted, rule):
    choice = choose_capture(RULES, measured(protocol), scanner=scanner)
    assert (choice.step, choice.is_wanted, choice.rule) == (Step.CAPTURE, wanted, rule)
    assert protocol in choice.reason


def test_a_later_rule_of_the_same_project_never_overrules_an_earlier_one(measured):
    turned = [RULES[1], RULES[0]]
    assert choose_capture(turned, measured("localizer"), scanner="x").is_wanted


def test_one_project_that_wants_it_is_enough_to_capture(measured):
    rules = [
        Rule(name="a: none", project="a", action="exclude"),
        Rule(name="b: gre", project="b", protocols=("gre",)),
        Rule(name="c: none", project="c", action="exclude"),
    ]
    choice = choose_capture(rules, measured("gre"), scanner="x")
    assert (choice.is_wanted, choice.rule) == (True, "b: gre")
    choice = choose_capture(rules, measured("t1"), scanner="x")
    assert (choice.is_wanted, choice.rule) == (False, "a: none")


def test_only_the_sessions_own_project_decides_on_delivery(measured):
    assert not choose_delivery(RULES, measured("localizer"), scanner="prisma-1", project="heart").is_wanted
    assert choose_delivery(RULES, measured("ep2d_bold"), scanner="prisma-1", project="brain").is_wanted
    other = choose_delivery(RULES, measured("ep2d_bold"), scanner="prisma-1", project="liver")
    assert (other.step, other.is_wanted, other.rule) == (Step.DELIVER, False, None)
    assert "project liver does not ask" in other.reason


def test_a_rule_for_other_scanners_does_not_fit(measured):
    choice = choose_delivery(RULES, measured("ep2d_bold"), scanner="skyra", project="brain")
    assert (choice.is_wanted, choice.rule) == (False, None)


def test_nobody_asking_is_inventory_only(measured):
    choice = choose_capture([], measured("gre"), scanner="x")
    assert (choice.is_wanted, choice.rule) == (False, None)
    assert "no project asks" in choice.reason


@pytest.mark.parametrize("protocol", [None, "", "no measurement"])
def test_a_file_without_a_protocol_is_taken_by_rules_for_everything_only(measured, protocol):
    measurement = None if protocol == "no measurement" else measured(protocol)
    everything = choose_capture(RULES, measurement, scanner="x")
    assert (everything.is_wanted, everything.rule) == (True, "heart, all else")
    assert "could not be read" in everything.reason
    assert not choose_capture([RULES[2]], measurement, scanner="prisma-1").is_wanted


def test_patterns_do_not_take_special_characters_of_protocols_for_patterns(measured):
    rule = Rule(name="set", project="p", protocols=("t1_[[]a]*",))
    assert choose_capture([rule], measured("t1_[a]_x"), scanner="x").is_wanted
    assert not choose_capture([rule], measured("t1_a"), scanner="x").is_wanted


@pytest.mark.parametrize(
    "bad",
    [
        {"action": "maybe"},
        {"protocols": []},
        {"name": ""},
        {"project": ""},
        {"colour": "red"},
        {"identified_raw": "yes"},
    ],
)
def test_rules_that_mean_nothing_are_refused(bad):
    with pytest.raises(ValidationError):
        Rule.model_validate({"name": "a", "project": "p"} | bad)
