"""Whether a critic is content with an answer, read leniently, in English and Chinese."""

from __future__ import annotations

import re

_VERDICT = re.compile(
    r"[*_`#\s(\[]*(?:(?:final\s+)?verdict|(?:最终)?(?:结论|结果))[*_`\s]*[:：-][*_`\s\[<]*"
    r"(?P<word>[A-Za-z]+|[^\s*_`\]>。.！!]+)(?P<rest>[^\n]{0,40})",
    re.IGNORECASE,
)
_FINE = re.compile(
    r"fine|ok(?:ay)?|good|accept(?:ed|able)?|none|pass(?:ed)?|(?:无需|不需要|不必|不用|没有)(?!\S*[或/])\S*|"
    r"很好|良好|通过",
    re.IGNORECASE,
)
_CONTENT = re.compile(
    r"^(?:the (?:answer|response) is (?:fine|good|correct|perfect)(?: as it is)?|"
    r"(?:it )?looks good(?: to me)?|fine|no (?:changes?|revisions?|issues?|problems?)"
    r"(?: (?:is|are))?(?: (?:needed|required|necessary|found))?|nothing (?:to change|is wrong)|"
    r"(?:这个|该)?(?:回答|答案)?(?:很好|没有问题|无需修改|不需要修改|没有什么要改的))[.!。！\s]*$",
    re.IGNORECASE,
)


def critic_is_content(critique: str) -> bool:
    r"""Whether the critic says that nothing should change.

    The last verdict counts ("VERDICT: FINE", "**Verdict:** fine", "结论：无需修改"); without one,
    only a critique that says nothing else ("Looks good to me.", "无需修改。"). In doubt it is not
    content: a needless revision costs tokens, a skipped one the step's purpose.

    Example:
        >>> critic_is_content("It is clear.\nVERDICT: FINE"), critic_is_content("结论：无需修改")
        (True, True)
        >>> critic_is_content("Looks good, but 5 is wrong."), critic_is_content("VERDICT: REVISE")
        (False, False)
        >>> critic_is_content("VERDICT: FINE or REVISE?"), critic_is_content("Verdict: not fine")
        (False, False)
    """
    found = list(_VERDICT.finditer(critique))
    if not found:
        return bool(_CONTENT.match(critique.strip()))
    last = found[-1]
    is_torn = re.search(r"revise|需要修改", last["rest"], re.IGNORECASE)
    return bool(_FINE.fullmatch(last["word"])) and not is_torn


def without_verdict(critique: str) -> str:
    r"""The critique without its verdicts; as it is where it says nothing else.

    Example:
        >>> without_verdict("5 is wrong.\nVERDICT: REVISE"), without_verdict("VERDICT: REVISE")
        ('5 is wrong.', 'VERDICT: REVISE')
    """
    without = _VERDICT.sub(lambda found: found["rest"].lstrip("*_`])>.。 "), critique)
    return without.strip() or critique.strip()
