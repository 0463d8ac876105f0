from __future__ import annotations

import polars as pl
import pytest

from databuild.text.expression import clauses, columns

ROWS = pl.DataFrame(
    {
        "n": [1, 2, 3, None],
        "x": [0.5, float("nan"), -1.0, None],
        "s": ["ab", "Ab c", "", None],
        "ok": [True, False, True, None],
        "tags": [["a"], [], ["a", "b"], None],
        "odd name": [1, 1, 2, 2],
    }
)


def true_rows(text: str) -> list[int]:
    built = pl.all_horizontal(clause.build(ROWS.schema) for clause in clauses(text))
    return ROWS.with_row_index("i").filter(built)["i"].to_list()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("n > 1", [1, 2]),
        ("1 < n <= 3 and n != 2", [2]),
        ("x > 0", [0]),
        ("not x > 0", [2]),
        ("x is null", [1, 3]),
        ("x is not null and n is not None", [0, 2]),
        ("x / 0 > 0 or x * 0 == 0", [0, 2]),
        ("(x - x) / (x - x) < 5", []),
        ("n in [1, 3]", [0, 2]),
        ("n not in (1, 3)", [1]),
        ("s in ['ab', 'x']", [0]),
        ("'b' in s", [0, 1]),
        ("'a' in tags", [0, 2]),
        ("'a' not in tags", [1]),
        ("len(s) >= 2", [0, 1]),
        ("len(tags) == 2 or len(s) == 0", [2]),
        ("ok", [0, 2]),
        ("not ok", [1]),
        ("ok == true", [0, 2]),
        ("n + 1 == 3 or -n == -1", [0, 1]),
        ("n * 2 - 1 > 2", [1, 2]),
        ("col('odd name') == 2", [2, 3]),
        ("n > 2 or x > 0", [0, 2]),
        ("not (n > 2 or x > 0)", []),
        ("x in [0.5, -1.0]", [0, 2]),
        ("len(col('s')) == 2", [0]),
    ],
)
def test_conditions(text, wanted):
    assert true_rows(text) == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a condition"),
        ("n >", "not a condition: invalid syntax"),
        ("n = 1", "not a condition"),
        ("__import__('os').system('x')", "unknown function"),
        ("open('x') == 1", "unknown function 'open'"),
        ("s.upper() == 'A'", "unknown function 's.upper'"),
        ("s.x == 1", "Attribute is not part of this language"),
        ("[i for i in n] == 1", "ListComp is not part"),
        ("lambda: 1", "Lambda is not part"),
        ("n[0] == 1", "Subscript is not part"),
        ("f'{n}' == 'a'", "JoinedStr is not part"),
        ("n ** 9 > 1", "only [+] - [*] / are known"),
        ("~n", "unknown operator"),
        ("b'a' == s", "a value of type bytes"),
        ("n == null", "`is` and `null` go together"),
        ("n is 1", "`is` and `null` go together"),
        ("len(n, s) > 1", "len takes one value"),
        ("len('abc') > 1", "len takes a column"),
        ("col(n) == 1", "col takes a text"),
        ("n in [s]", "a list may hold only numbers and texts"),
        ("n + 1", "neither true nor false"),
        ("'a' and n > 1", "neither true nor false"),
        ("n := 1", "not a condition"),
        ("(" * 500 + "n" + ")" * 500, "not a condition"),
    ],
)
def test_whatever_is_not_of_the_language_is_refused(text, message):
    with pytest.raises(ValueError, match=message):
        clauses(text)


def test_columns_are_those_that_are_read():
    assert columns("a > 1 and (b in ['c'] or not len(d) > 2) and e is null") == ("a", "b", "d", "e")
    assert columns("true or col('len') == 1") == ("len",)
