"""Detectors of keys, passwords, mail addresses and credentials."""

from __future__ import annotations

import re

from databuild.text.check_digits import entropy_bits
from databuild.text.pii_detector import Detector, Place, words_before

_LETTER = "A-Za-z0-9_À-ɏͰ-ӿ"
# Found from the sign on, which is rare; then what stands before it is looked at.
_EMAIL = re.compile(r"[@＠](?:[A-Za-z0-9À-ɏ\-]{1,63}\.){1,6}[A-Za-z]{2,24}(?![A-Za-z0-9_])")
_LOCAL = re.compile(
    rf"(?<![{_LETTER}.+%\-])[{_LETTER}](?:[{_LETTER}]|[.+%'\-]+(?=[{_LETTER}])){{0,63}}$"
)
_NO_DOMAINS = frozenset({"example", "test", "invalid", "localhost", "local"})
# Of two letters every name counts but those of source files; of more the common ones: code such as
# x@w.sum() and names of units such as getty@tty1.service are no mail.
_FILES = frozenset({"js", "ts", "py", "md", "rs", "go", "cc"})
_LONG_DOMAINS = frozenset(
    """academy agency aero app art asia bank bar biz blog business cafe capital care cat chat church
    city clinic cloud club codes com community company consulting coop dental design dev digital
    earth edu education email energy engineering events expert family farm film finance fit
    foundation fun fund games global gmbh gov group guru health help host house inc info institute
    insurance int international jobs land law legal life link live llc ltd market marketing media
    mil mobi money museum name net network news ngo online org page partners photo photography
    place plus post press pro productions properties pub realty report restaurant sale school
    science services shop site social software solutions space store studio support systems taxi
    team tech technology tel today tools top tours town toys trade training travel university vet
    video vip website wiki wine work works world xyz yoga zone""".split()  # noqa: SIM905
)
_URL = re.compile(
    r"://([^\s/:@\"'<>\[\]{}$]{1,64}:[^\s/@\"'<>\[\]{}$]{1,128})@"
    r"(?=[A-Za-z0-9])"
)
_BLOCK = re.compile(
    r"-----BEGIN (?:[A-Z0-9]{1,12} ){0,3}PRIVATE KEY(?: BLOCK)?-----"
    r"(?:(?:(?!-----END)[\s\S]){0,20000}?-----END [A-Z0-9 ]{0,40}PRIVATE KEY(?: BLOCK)?-----"
    r"|[A-Za-z0-9+/=\s\\]{0,20000})"
)
_KEY = re.compile(
    r"(?<![A-Za-z0-9_\-])(?:"
    r"(?:AKIA|ASIA)[A-Z0-9]{16}"
    r"|gh[pousr]_[A-Za-z0-9]{36,255}|github_pat_[A-Za-z0-9_]{22,255}"
    r"|xox[abeoprs]-[A-Za-z0-9\-]{10,250}"
    r"|sk-(?:proj-|svcacct-|admin-|ant-[a-z0-9]{2,8}-|or-v1-)?[A-Za-z0-9_\-]{20,250}"
    r"|[sr]k_(?:live|test)_[A-Za-z0-9]{16,128}"
    r"|AIza[A-Za-z0-9_\-]{35}|hf_[A-Za-z0-9]{30,64}|glpat-[A-Za-z0-9_\-]{20,64}"
    r"|npm_[A-Za-z0-9]{36}"
    r"|eyJ[A-Za-z0-9_\-]{8,2000}\.eyJ[A-Za-z0-9_\-]{8,8000}\.[A-Za-z0-9_\-]{8,2000}"
    r"|hooks\.slack\.com/services/T[A-Z0-9]{6,12}/B[A-Z0-9]{6,12}/[A-Za-z0-9]{16,40}"
    r")(?![A-Za-z0-9_])"
)
_KEYWORD = (
    r"(?i:passwords?|passwd|passphrase|pwd|secrets?|tokens?|api[_\- ]?keys?|access[_\- ]?keys?"
    r"|private[_\- ]?keys?|secret[_\- ]?keys?|auth[_\- ]?(?:token|key))"
)
_PASSWORD = re.compile(
    rf"(?:(?<![A-Za-z]){_KEYWORD}[\"'*`]{{0,3}} ?(?:[=:：]=?|is|is:) ?"
    r"|(?:密码|口令|密钥)[是为：:= ]{1,3})"
    r"[\"'*`]{0,3}([^\s\"'`\[\]<>{}(),;，。；、]{8,200})"
)
_STAND_IN = re.compile(
    r"(?i)your|example|change.?me|dummy|sample|placeholder|x{4}|\*{3}|\.{3}|1234567|abcdef"
    r"|env|config|settings|://|self\.|\$|%"
)


def _place_of_mail(match: re.Match[str]) -> Place | bool:
    """Not a reserved name (RFC 2606, RFC 6761), a file of a retina image, or an ssh address."""
    at = match.start()
    # One character more than is allowed: what runs on beyond it is no mail.
    found = _LOCAL.search(match.string[max(0, at - 66) : at])
    if found is None:
        return False
    labels = match[0][1:].lower().split(".")
    reserved = labels[-1] in _NO_DOMAINS or (
        labels[-2] == "example" and labels[-1] in {"com", "net", "org", "edu"}
    )
    after = match.string[match.end() : match.end() + 1]
    is_other = after == "(" or (found[0] == "git" and after in {":", "/"})
    top = labels[-1]
    is_known = top not in _FILES if len(top) == 2 else top in _LONG_DOMAINS
    start = at - len(found[0])
    return (start, match.end()) if is_known and not reserved and not is_other else False


def _is_credential(match: re.Match[str]) -> bool:
    user, _, password = match[1].lower().partition(":")
    stand_ins = {"password", "pass", "passwd", "pwd", "secret", "token", "pw", user}
    return password not in stand_ins and not _STAND_IN.search(password)


def _is_key(match: re.Match[str]) -> bool:
    """Not AWS's documented example, not a row of x, and for `sk-` not a hyphenated phrase."""
    key = match[0]
    body = key.partition("-")[2] if key.startswith("sk-") else key
    return (
        "EXAMPLE" not in key
        and "xxxx" not in key.lower()
        and any(c.isdigit() for c in key)
        and entropy_bits(body) >= 2.8
    )


def _place_of_password(match: re.Match[str]) -> Place | bool:
    """A value that no one would write by chance: letters and digits, 3 bits a character or more.

    Names, paths, stand-ins (`your-key`, `${X}`, `xxxx`) and plain words are none.
    """
    value = match[1].rstrip(".!?:")
    has_both = any(c.isdigit() for c in value) and any(c.isalpha() for c in value)
    if len(value) < 8 or not has_both or _STAND_IN.search(value):
        return False
    if entropy_bits(value) < 3.0 or "count" in words_before(match):
        return False
    return match.start(1), match.start(1) + len(value)


SECRETS = (
    Detector("private_key", "keys", _BLOCK),
    Detector("url_credentials", "at", _URL, _is_credential),
    Detector("api_key", "keys", _KEY, _is_key),
    Detector("email", "at", _EMAIL, _place_of_mail),
    Detector("password", "passwords", _PASSWORD, _place_of_password),
)
