from __future__ import annotations

import pytest

from databuild.errors import RecipeError
from databuild.text.rules import Rule, check_rules, read_rules

YAML = """
- id: a
  severity: high
  terms: [red flag, 红旗]
- {id: b, severity: low, patterns: ['colou?r'], case: exact}
"""


def test_yaml_and_csv_say_the_same(tmp_path):
    yaml, table = tmp_path / "r.yaml", tmp_path / "r.csv"
    yaml.write_text(YAML, "utf-8")
    table.write_text(
        "id,severity,kind,text,case\na,high,term,red flag,\na,high,term,红旗,\nb,low,pattern,colou?r,exact\n",
        "utf-8-sig",
    )
    assert read_rules(yaml) == read_rules(table)
    assert [rule.id for rule in read_rules(yaml)] == ["a", "b"]


@pytest.mark.parametrize(
    ("name", "text", "wanted"),
    [
        ("r.yaml", "- id: a\n  severity: awful\n  terms: [x]", r"rule 1 \('a'\), `severity`"),
        ("r.yaml", "- id: a\n  severity: low", "needs `terms` or `patterns`"),
        ("r.yaml", "- id: a\n  severity: low\n  terms: [' ']", "a term or pattern is blank"),
        ("r.yaml", "- id: a\n  severity: low\n  term: [x]", "`term`"),
        ("r.yaml", "a: 1", "a list of rules is a YAML list, this is dict"),
        ("r.yaml", "- [", "this is no YAML"),
        ("r.csv", "id,kind\nx,term", r"the columns \['severity', 'text'\] are missing"),
        ("r.csv", "id,severity,kind,text\nx,low,word,y", "`kind` of 'x' is 'word'"),
        ("r.csv", "id,severity,kind,text\nx,low,term,y\nx,high,term,z", "differ in severity"),
    ],
)
def test_a_wrong_list_is_refused_with_its_place(tmp_path, name, text, wanted):
    (tmp_path / name).write_text(text, "utf-8")
    with pytest.raises(RecipeError, match=wanted):
        read_rules(tmp_path / name)


def test_a_list_that_is_no_text_is_refused(tmp_path):
    (tmp_path / "r.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_rules(tmp_path / "r.yaml")


def test_a_pattern_that_rust_does_not_know_and_an_id_that_is_there_twice_are_refused():
    rule = Rule(id="a", severity="low", patterns=("(?=x)y",))
    with pytest.raises(RecipeError, match=r"the pattern '\(\?=x\)y' of rule 'a' is not valid"):
        check_rules([rule], "here")
    plain = Rule(id="a", severity="low", terms=("x",))
    with pytest.raises(RecipeError, match="the rule 'a' is there twice"):
        check_rules([plain, plain], "here")
