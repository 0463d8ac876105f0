from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from databuild.text.pii import TYPES, find, find_in

# By type: a sentence with what must be found in it between « and ».
FOUND = [
    ("email", "Mail «ann.o'lee+x@post.co.uk», please."),
    ("email", "邮箱是«li.wei@mail.cn»或者电话"),
    ("email", "<«jürgen@straße.de»>"),
    ("email", "mailto:«ann@sub.host.museum»?subject=x"),
    ("phone", "tel:«+1-650-253-0000»"),
    ("ip_address", "http://«81.2.69.142»:8080/x"),
    ("phone", "Ring «+44 (0)20 7946 0958» now"),
    ("phone", "US: «(415) 662-0142», then"),
    ("phone", "or «415-662-0142 ext. 12»."),
    ("phone", "手机号«13812345678»，谢谢"),
    ("phone", "传真«010-62781234»"),
    ("phone", "全角«１３８１２３４５６７８»也是"),
    ("phone", "her mobile number is «662 0142»"),
    ("phone", "le «01.84.17.61.18» répond"),
    ("phone", "«416 60 039» office"),
    ("us_ssn", "SSN «536-22-8145»"),
    ("us_ssn", "my social security number is «536228145»"),
    ("cn_id", "身份证«11010519491231002X»。"),
    ("uk_nino", "NI number «AB 12 34 56 C»"),
    ("iban", "to «DE89 3704 0044 0532 0130 00» BANK"),
    ("iban", "IBAN «GB82WEST12345698765432»."),
    ("br_cpf", "CPF «529.982.247-25»"),
    ("it_fiscal_code", "codice «RSSMRA85T10A562S»"),
    ("fr_nir", "NIR «2 55 08 14 168 025 38»"),
    ("in_aadhaar", "Aadhaar: «2341 2341 2346»"),
    ("credit_card", "paid with «4539 1488 0343 6467»"),
    ("credit_card", "amex «378734493671000»"),
    ("credit_card", "my credit card is «5018 7800 0000 0006»"),
    ("ip_address", "from «81.2.69.142»."),
    ("ip_address", "ping «2a00:1450:4001:81b::200e»"),
    ("api_key", "key «AKIAZ7QK4MPL2XW9RT3B» leaked"),
    ("api_key", "«ghp_16C7e42F292c6912E7710c838347Ae178B4a»"),
    ("api_key", "use «sk-proj-9fK2mQ7xT4vB8nL3pR6s»"),
    ("api_key", "«xoxb-2048573910-aBcDeFgH1jK2»"),
    ("password", "password: «hV7#kQ2!pz9»"),
    ("password", 'API_KEY = "«q8Zt4Lm2Xv7Kc1Wn»"'),
    ("password", "密码是«kQ7xT4vB8n»，别说"),
    ("url_credentials", "git clone https://«ann:hV7kQ2pz»@git.host.io/x"),
    ("birth_date", "Date of birth: «12/03/1984»"),
    ("birth_date", "出生日期：«1984年3月12日»"),
    ("passport", "passport no. «C01234567»"),
    ("plate", "车牌«京A·12345»停在"),
    (
        "private_key",
        "«-----BEGIN RSA PRIVATE KEY-----\nMIIEow\n-----END RSA PRIVATE KEY-----» end",
    ),
]

NOTHING = [
    "pip install polars==2.1.0.4 and v1.24.131.2",
    "version 81.2.69.142 of the firmware",
    "see section 1.2.3.4, at 12:30:45 or 10:20:30:40",
    "router 192.168.1.1, 10.0.0.5, 127.0.0.1, 255.255.255.0, dns 8.8.8.8, 2001:db8::1",
    "std::vector<int>::iterator, a::b, 0::",
    "ISBN 978-0-306-40615-7 and EAN 4006381333931",
    "order 4539148803436467 shipped",
    "4539 1488 0343 6468 fails the check digit",
    "1234567890123 milliseconds, 1700000000 s, 20240131123456",
    "2000 + 1234567 = 1236567; 3000/200=15; 12345 * 67890 = 838102050",
    "pi is 3.14159265358979, e is 2.718281828",
    "call 1000000 people; call(12345678)",
    "sales@example.com, a@b.test, logo@2x.png, git@github.com:a/b, react@18.2.0, @user",
    "(555) 555-0142 is a number of films",
    "000-12-3456 and 666-12-3456 and 123-45-6789 are no SSN",
    "11010519491231002Y 110105194913310021",
    "GB82WEST12345698765433",
    "your password: your_password1, token = get_token(a1), api_key=$API_KEY_1, secret: xxxx1234xxxx",
    "postgres://user:password@localhost/db, http://a:${PW1}@x.io",
    "AKIAIOSFODNN7EXAMPLE is in AWS's manual; sk-learn-pipeline-of-many-words",
    "born in 1879, birthday party on 12/03/1984",
    "the passport office, 护照在哪里",
    "BG 12 34 56 C is no NI number",
    "京ABCDEFG 新AI技术",
    "systemctl start getty@tty1.service; y = x@w.sum() + a@b.T; foo@bar.py, x@y.zz()",
    "550e8400-e29b-41d4-a716-446655440000 and 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
    "at 40.712776, -74.005974 on 2024-01-31 12:00:00.123456, 20240131-123456, 1990-2000",
    "1.38064852e-23 J/K, 6.02214076e23, 0x1F600, #123456789, 1.2.3.4-beta, 10.1000/182",
    "matrix 1 2 3 4 5 6 7 8 9 10 11 12, 1,2,3,4,5,6,7,8; 3/4/5/6/7/8/9",
    "12 345 678 901 people; 1,234,567,890; 100 200 300 400",
]  # fmt: skip


@pytest.mark.parametrize(("kind", "marked"), FOUND)
def test_what_has_a_form_of_its_own_is_found(kind, marked):
    head, _, rest = marked.partition("«")
    value, _, tail = rest.partition("»")
    spans = find(head + value + tail)
    assert [(s.type, (head + value + tail)[s.start : s.end]) for s in spans] == [(kind, value)]


@pytest.mark.parametrize("text", NOTHING)
def test_false_friends_are_left_alone(text):
    assert [(s.type, text[s.start : s.end]) for s in find(text)] == []


def test_every_type_has_an_example():
    assert {kind for kind, _ in FOUND} == set(TYPES)


def test_only_the_types_that_are_asked_for_are_found():
    text = "ann@post.org, 81.2.69.142"
    assert [s.type for s in find(text, ["ip_address"])] == ["ip_address"]


def test_spans_are_in_code_points():
    text = "🙂é你 ann@post.org"
    (span,) = find(text)
    assert text[span.start : span.end] == "ann@post.org"


PIECES = st.sampled_from(
    [value.replace("«", "").replace("»", "") for _, value in FOUND] + NOTHING + [" ", "\n", "@", "🙂", "１", ".", "-"]
)  # fmt: skip
NASTY = st.lists(st.one_of(PIECES, st.text(max_size=6)), max_size=5).map("".join)


@given(st.lists(st.one_of(NASTY, st.none()), max_size=4))
def test_a_column_says_the_same_as_its_texts_and_spans_do_not_overlap(texts):
    column = pl.Series("x", texts, dtype=pl.String)
    found = dict(find_in(column))
    assert found == {i: find(t) for i, t in enumerate(texts) if t is not None and find(t)}
    for row, spans in found.items():
        ends = [0, *(s.end for s in spans)]
        starts = [*(s.start for s in spans), len(texts[row])]
        assert all(end <= start for end, start in zip(ends, starts, strict=True))
        assert all(s.start < s.end for s in spans)


@pytest.mark.parametrize(
    "text",
    ["a'" * 20_000, "1 " * 30_000, "1-" * 30_000, "a." * 30_000 + "@", "+1" * 20_000, "::" * 20_000, "AB12" * 20_000, "call me at " * 5_000, "-----BEGIN PRIVATE KEY-----" * 200],
    ids=lambda t: t[:6],
)  # fmt: skip
@pytest.mark.slow
def test_a_long_hostile_text_takes_no_time(text):
    import time

    started = time.process_time()
    find(text)
    assert time.process_time() - started < 3  # quadratic search would take minutes
