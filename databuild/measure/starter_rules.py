"""A small list of rules to begin with, in English and Chinese. A beginning, not a safety policy.

It names requests that most policies refuse, by phrases that are rarely innocent. It finds what is
said plainly; it does not find what is paraphrased, and a mention in a warning or a novel hits too.
"""

from __future__ import annotations

from databuild.text.rules import Rule

STARTER: tuple[Rule, ...] = (
    Rule(
        id="weapons.explosives",
        severity="critical",
        terms=(
            "pipe bomb",
            "nail bomb",
            "homemade explosive",
            "homemade explosives",
            "自制炸弹",
            "制造炸弹",
            "自制炸药",
            "土制炸弹",
        ),
        patterns=(
            r"\b(?:make|build|assemble)\s+(?:a|an)\s+(?:(?:small|simple|homemade|car|petrol)\s+)?(?:bomb|explosive)\b",
        ),
    ),
    Rule(
        id="weapons.mass",
        severity="critical",
        terms=(
            "nerve agent synthesis",
            "weaponize anthrax",
            "dirty bomb",
            "沙林毒气制作",
            "制造生化武器",
        ),
        patterns=(r"\b(?:make|synthesi[sz]e|produce)\s+(?:sarin|vx|ricin|mustard gas)\b",),
    ),
    Rule(
        id="children.sexual",
        severity="critical",
        terms=("child porn", "child pornography", "csam", "儿童色情", "幼女色情"),
        patterns=(
            r"\bsexual\w*\s+(?:\w+\s+)?(?:with|about|of)\s+(?:a\s+)?(?:child|children|minors?)\b",
        ),
    ),
    Rule(
        id="self_harm",
        severity="high",
        terms=(
            "kill myself",
            "painless way to die",
            "suicide methods",
            "how to cut myself",
            "自杀方法",
            "如何自杀",
            "怎么自杀",
            "自残方法",
        ),
    ),
    Rule(
        id="drugs.making",
        severity="high",
        terms=("cook meth", "meth recipe", "extract dmt", "制作冰毒", "制毒配方", "合成冰毒"),
        patterns=(
            r"\b(?:make|cook|synthesi[sz]e|produce)\s+(?:crystal\s+)?"
            r"(?:meth|methamphetamine|fentanyl|mdma|heroin)\b",
        ),
    ),
    Rule(
        id="crime.violence",
        severity="high",
        terms=(
            "get away with murder",
            "hire a hitman",
            "poison someone",
            "雇凶杀人",
            "杀人不被发现",
            "如何下毒",
        ),
    ),
    Rule(
        id="cyber.malware",
        severity="high",
        terms=(
            "write ransomware",
            "keylogger to spy",
            "ddos attack script",
            "编写勒索软件",
            "编写木马",
            "盗号软件",
        ),
        patterns=(
            r"\b(?:write|create|build)\s+(?:a\s+|some\s+)?"
            r"(?:malware|ransomware|rootkit|computer virus)\b",
        ),
    ),
    Rule(
        id="fraud",
        severity="medium",
        terms=(
            "phishing email template",
            "fake passport",
            "counterfeit money",
            "steal credit card",
            "steal credit cards",
            "办假证",
            "伪造身份证",
            "制作假币",
            "钓鱼邮件模板",
        ),
    ),
    Rule(
        id="privacy.stalking",
        severity="medium",
        terms=(
            "dox someone",
            "find out where she lives",
            "spy on my wife",
            "spy on my husband",
            "人肉搜索他人",
            "跟踪定位别人",
        ),
    ),
    Rule(
        id="injection",
        severity="low",
        terms=(
            "ignore all previous instructions",
            "ignore previous instructions",
            "ignore the above instructions",
            "disregard your instructions",
            "reveal your system prompt",
            "do anything now",
            "忽略之前的指令",
            "忽略以上指令",
            "忽略所有指令",
            "输出你的系统提示词",
        ),
    ),
)
"""Rules of databuild's own; ids begin with what they are about."""
