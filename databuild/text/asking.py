"""What a prompt asks for: patterns on lower-cased English and Chinese, as Polars expressions.

Every expression takes text that `lowered` made. Word borders are ASCII, which keeps Rust's regex
engine on its fast path, also in Chinese text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

if TYPE_CHECKING:
    from collections.abc import Iterable

_B = r"(?-u:\b)"
_GAP = r"(?:[\w'’-]+ ){0,4}"  # a few adjectives
_DESCRIBED = (
    "list|table|dataset|data set|data|graph|chart|image|photo|picture|video|recording|document|"
    "paragraph|passage|article|essay|e-?mail|text|web ?site|web ?page|code|program|poem|song|"
    "conversation|dialogue|review|story|news article|report|speech|survey|spreadsheet"
)
MATERIAL = (
    "article|text|passage|paragraph|sentence|sentences|story|poem|essay|report|document|code|"
    "snippet|program|function|data|dataset|table|list|items|words|numbers|statement|statements|"
    "dialogue|conversation|email|review|tweet|excerpt|quote|equation|expression|information|"
    "context|scenario|facts|input|question|problem|phrase|lyrics|speech|transcript|abstract"
)
_DOCUMENT = (
    "article|essay|report|paper|blog post|blog|news story|document|book|chapter|transcript|"
    "web page|webpage|research"
)
_SHOWN = "photos?|photographs?|pictures?|images?|videos?|clips?|gifs?|screenshots?|drawings?"
_HEARD = "audio(?: file| clip)?|recordings?|podcasts?"
_MADE = (
    "logo|poster|flyer|brochure|banner|illustration|painting|drawing|sketch|picture|image|photo|"
    "photograph|infographic|diagram|flow ?chart|bar chart|pie chart|chart|bar graph|graph|"
    "histogram|animation|video|3d model|collage|gif|map|floor plan|mock-?up|icon|album cover|"
    "birthday card|greeting card|card|slide ?show|visuali[sz]ation|cartoon|comic strip|portrait|"
    "landscape|storyboard|audio|melody|spreadsheet|powerpoint|wireframe|(?:user )?interface|"
    "meme|comic|ui|layout|web ?site design|visual representation|visual aid|bookmark|t-shirt|"
    "cover page|(?:book|magazine) cover|business card|sculpture|mural|costume|packaging|badge|"
    "sticker|sign|timeline chart|venn diagram|mind map|word cloud"
)
_MAKE = (
    "draw|sketch|paint|render|illustrate|animate|design|create|make|generate|"
    "produce|build|plot|represent|display|show|construct|compose|edit|crop|resize"
)
# Words that turn the same nouns into something that a text can be.
_IN_WORDS = (
    "idea|ideas|concept|title|caption|captions|description|describe|slogan|list|"
    "story|script|explain|steps|instructions|tips|program|function|code|html|css|"
    "svg|ascii|markdown|python|matplotlib|latex|name|names|question|questions|"
    "sentence|essay|summary|outline|table"
)
_ARTEFACT = (
    "function|program|script|code|snippet|class|(?:sql )?query|html|css|style ?sheet|web ?page|"
    "web ?site|regex|regular expression|api|database(?: system| schema)?|subroutine|method|"
    "macro|shell command|sql|unit tests?|machine learning (?:algorithm|model|system)|compiler|"
    "algorithm|neural network|(?:predictive|regression|language|classification) model|"
    "(?:mobile |web |iphone |android )?app(?:lication)?|software|chatbot|chat bot"
)
_WRITE = (
    "write|create|develop|implement|build|construct|generate|make|provide|code|"
    "compile|compose|architect|design"
)
_SUM = (
    "result of|determinant|angle|maximum|minimum|z-score|power of|prime factori[sz]ation|"
    "fibonacci|length|width|height|speed|velocity|number of|amount of|difference between|"
    "\\d+(?:st|nd|rd|th) |sum|average|mean|median|mode|product|difference|quotient|"
    "area|volume|perimeter|"
    "circumference|slope|probability|percentage|square root|cube root|derivative|integral|"
    "remainder|factorial|range|standard deviation|variance|gcd|lcm|greatest common|"
    "least common|total|value of|roots?|hypotenuse|distance|next (?:number|term)|"
    "missing number|ratio|interest|area of|surface"
)
_NUMBER_TASKS = (
    "add|integers?|digits?|matrix|vectors?|polynomial|fractions?|squared|divided by|times|plus|"
    "minus|raised to|to the power|sort|array|determine|pattern|result|derivative|integral|factor|"
    "roots?|slope|average|mean|median|mode|sum|product|total|calculate|compute|"
    "evaluate|solve|simplify|differentiate|integrate|factori[sz]e|subtract|"
    "multiply|divide|add up|round|normali[sz]e|normali[sz]ation|convert|arithmetic|equation|"
    "expression|ascending|descending|sequence of numbers|list of numbers|set of numbers|"
    "sequence|numbers?|binary|hexadecimal|decimal|points|coordinates|percent|how many|how much|"
    "probability|likelihood|odds|triangle|prime|interest|discount|profit|tax|how (?:old|long|far|"
    "fast|tall)|cost|inequality|logarithm|estimate|roman numerals?|even|odd|larger|smaller|greater|"
    "largest|smallest|biggest|divisible|multiples?|days?|hours|minutes|angles?|degrees|celsius|"
    "fahrenheit|kilomet(?:er|re)s?|miles|pounds|grams|ounces|lit(?:er|re)s?|currency|dollars|euros"
)


def _any_word(words: Iterable[str] | str) -> str:
    joined = words if isinstance(words, str) else "|".join(words)
    return rf"{_B}(?:{joined}){_B}"


_LIVE = "|".join(
    (
        r"(?:search|browse|surf|check|use|consult) (?:on )?(?:the )?(?:web|internet|google|online)",
        r"(?:look|looking) (?:it |this |them )?up online|search online|google (?:for|search)",
        r"(?:given|following|this|provided|above|below) (?:web ?(?:site|page)|link|url|video|site)",
        r"(?:nearest|closest) (?:airport|restaurant|hospital|store|shop|station|hotel|"
        r"bank|pharmacy|park|school|gas station)",
        r"(?:current|today's|tomorrow's|latest|live|real-time) (?:weather|temperature|"
        r"forecast|stock|share|exchange|price|score|time|date)",
        r"(?:using|on|from|visit|open) (?:the |this )?(?:internet|web|web ?site|web ?page)",
        r"^\s*(?:search|look) for|^\s*price the|(?:find|check|look up|tell me|estimate) "
        r"the (?:current )?(?:price|cost) of",
        r"predict (?:the |a )?(?:stock|weather|price|prices|winner|score)",
        r"weather (?:forecast )?(?:today|tomorrow|right now|for today|in my)",
    )
)
_BODILY = (
    "play|rewind|pause|freeze|open|close|turn|pour|boil|drive|call|dial|print|scan|"
    "start|stop|walk|move|clean|wash|deliver|launch|install|activate|record|click|"
    "press|unlock|lock|mute|dim|upload|download|send|order|remind|search|browse"
)
_DEEDS = "|".join(
    (
        r"(?:book|reserve|order|buy|purchase|rent) (?:me |us )?(?:a|an|the|some|two|my) " + _GAP
        + r"(?:flight|hotel|table|room|tickets?|taxi|cab|uber|pizza|car|groceries|appointment)",
        r"set (?:me )?(?:an? |the |my )?(?:alarm|reminder|timer)|remind me to",
        r"play (?:me )?(?:some|a|the|my) " + _GAP + "(?:song|music|video|playlist|album)",
        r"(?:send|forward) (?:an? |the |this )?(?:e-?mail|message|text message|"
            r"invitation) to (?:my|the|all|[a-z]+@)",
        r"turn (?:on|off) (?:the|my) (?:light|lights|tv|heater|lamp|alarm|fan)",
        r"(?:schedule|set up) an? (?:meeting|appointment|call) (?:with|for|on|at)",
        r"(?:upload|download|attach|print|scan) (?:an?|the|this|my) (?:file|image|photo|"
            r"document|picture|page)",
        r"(?:train|(?:fine-?|precision-)?tune|deploy|run|conduct|carry out) (?:an?|the|this|your) "
        + _GAP + "(?:model|classifier|network|regression|simulation|survey|experiment|poll|"
        "interview)",
        r"create an? (?:google |outlook |new )?calendar (?:event|entry|invite|appointment)",
        r"(?:post|publish|submit|share) (?:this|it|the following|an? [a-z]+) (?:on|to) (?:my|the|"
        r"your)",
        r"(?:log ?in|sign (?:me )?(?:up|in)|subscribe) (?:to|for|into|at)|pay (?:my|the|this) ",
    )
)  # fmt: skip


def lowered(text: pl.Expr) -> pl.Expr:
    r"""Lower-case, with any run of blanks and line ends as one space, for the patterns here.

    Example:
        >>> pl.select(lowered(pl.lit("  Draw\n a LOGO"))).item()
        ' draw a logo'
    """
    return text.fill_null("").str.to_lowercase().str.replace_all(r"[ \t\r\n]+", " ")


def needs_media(task: pl.Expr, material: pl.Expr) -> pl.Expr:
    """It refers to a picture, film or sound that a text cannot hold, or asks to transcribe one.

    Args:
        task: What is to be done, lower-cased.
        material: What comes with it; a stand-in such as "<photo of a beach>" counts, too.

    Example:
        >>> pl.select(needs_media(pl.lit("what is shown in the photo?"), pl.lit(""))).item()
        True
    """
    stand_in = pl.concat_str(task, material, separator=" ").str.contains(
        rf"[<\[(](?:an? |the )?(?:attached )?(?:{_SHOWN}|{_HEARD}){_B}[^<>\])]*[>\])]"
    )
    refers = r"(?:the|this|these|that|given|following|attached|provided|uploaded|below|above)"
    stand_in |= material.str.contains(
        r"^\s*[\w -]{1,60}\.(?:jpe?g|png|gif|bmp|tiff?|webp|mp[34]|wav|avi|mov|pdf|docx?|xlsx?|"
        r"pptx?)\s*$"
    )
    stand_in |= task.str.contains(
        rf"^\s*(?:please )?(?:given|analy[sz]e|describe|identify|label|classify|caption|listen to|"
        rf"watch|look at|using|based on|from) (?:an?|some|the|this) (?:\w+ )?(?:{_SHOWN}|{_HEARD}|"
        rf"maps?|attached (?:files?|documents?|pdf|graph|chart))(?:,| of| and| below|\s*[.?]?$)"
    ) & ~task.str.contains(r"caption (?:for|to)|algorithm|model|function|program|code")
    return stand_in | task.str.contains(
        rf"{_B}{refers} (?:\w+ )?(?:{_SHOWN}|{_HEARD}|figures){_B}|{_B}transcribe (?:the |this "
        rf")?(?:\w+ )?(?:{_HEARD}|{_SHOWN}|interview|speech|call|meeting){_B}"
        r"|(?:这|下|上|此)(?:张|幅|段|个)?(?:图|照片|视频|录音|音频)|图(?:片|像)?中(?:的|有|是)|照片(?:中|里)"
    )


def needs_web(task: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """It asks to look something up, for live facts or for what is near, or points to a web address.

    Args:
        task: What is to be done, lower-cased.
        whole: Task and material together, where the address may be.

    Example:
        >>> pl.select(needs_web(pl.lit("search the web for tea shops"), pl.lit(""))).item()
        True
    """
    address = whole.str.contains(r"https?://|(?:^|[\s(\"'])(?:www\.[a-z]|example\.com)")
    return address | task.str.contains(
        rf"{_B}(?:{_LIVE}){_B}"
        "|上网(?:查|搜)|(?:搜索|浏览)(?:网络|互联网|网页)|(?:该|这个|以下|下面的)(?:链接|网址|网站)"
        "|(?:今天|现在|实时)的?(?:天气|股价|汇率|新闻)"
    )


def makes_media(task: pl.Expr) -> pl.Expr:
    """It asks for a picture, chart, film or sound, not for words about one nor for its code.

    Example:
        >>> texts = pl.Series(["design a new logo for us", "write a caption for a photo"])
        >>> texts.to_frame("t").select(makes_media(pl.col("t"))).to_series().to_list()
        [True, False]
    """
    asks = task.str.contains(
        rf"{_B}(?:{_MAKE}) (?:(?:me|us|out) )?{_GAP}(?:{_MADE})s?{_B}"
        rf"|{_B}(?:represent|display|show|plot|visuali[sz]e) .{{0,40}}(?:in|as|on|with) "
        rf"a {_GAP}(?:{_MADE}){_B}"
        r"|画(?:一|出|个|张|幅)|绘制|设计.{0,8}(?:标志|海报|logo|图标|封面)|生成.{0,6}(?:图片|图像|视频|音频)"
    )
    drawn = task.str.contains(
        r"^\s*(?:please )?(?:draw|sketch|paint|animate) (?:me |us )?(?:an?|the|some|two|three) "
    ) & ~task.str.contains(_any_word("conclusions?|comparisons?|inferences?|parallels?|lessons?"))
    return (asks | drawn) & ~task.str.contains(_any_word(_IN_WORDS))


def needs_action(task: pl.Expr) -> pl.Expr:
    """It asks for a deed in the world: to book, order, play, switch, send, remind, upload.

    Up to five words that begin with such a verb are enough ("open the door").

    Example:
        >>> pl.select(needs_action(pl.lit("set an alarm for 7 am"))).item()
        True
    """
    return task.str.contains(
        rf"{_B}(?:{_DEEDS}){_B}|^\s*(?:please )?(?:{_BODILY})(?: [\w'’-]+){{1,4}}\s*[.!]?\s*$"
        r"|(?:帮我)?(?:预订|预定|订).{0,6}(?:机票|酒店|餐厅|车票|外卖)|设(?:置|定)?.{0,4}(?:闹钟|提醒)|播放.{0,6}(?:音乐|歌)"
    ) & ~task.str.contains(r"^\s*(?:describe|explain|how|what|why|list|name)(?-u:\b)|how would you")


def asks_for_code(task: pl.Expr) -> pl.Expr:
    """It asks to write code: a program, query, style sheet, web page ...

    Example:
        >>> pl.select(asks_for_code(pl.lit("write a python function that adds"))).item()
        True
    """
    other = (
        "output of|result of|script (?:for|about|of|between)|commercial|hex code|"
        "hexadecimal code|code of|color|colour|zip code|postal code|requirements|press "
        "release|pitch|persona|budget|survey|schedule|icon|logo|sentence|paragraph|"
        "business|summary|checklist|questions?|email|letter|speech|introduction|poem|"
        "haiku|idea|ideas|name|names|slogan|list|outline|story|explain|describe|"
        "description|steps|strategy|plan|content|tips|review|title|compare|advantages|"
        "benefits|dress code|reference|post|campaign|ad|address|tutorial|article|essay|"
        "page for|features|name for|evaluate|tagline|documentation|proposal|headline|"
        "url"
    )
    return task.str.contains(
        rf"{_B}(?:{_WRITE}) (?:me |us )?(?:an? |the |some )?(?:[\w'’+#-]+ ){{0,"
        rf"4}}(?:{_ARTEFACT})s?{_B}"
        r"|(?:编写|写|实现).{0,12}(?:函数|程序|代码|脚本|查询语句)"
    ) & ~task.str.contains(_any_word(other))


def asks_for_calculation(task: pl.Expr, material: pl.Expr) -> pl.Expr:
    """It asks to work out a result from given numbers.

    Args:
        task: What is to be done, lower-cased.
        material: What comes with it, where the numbers may be. Material that is mostly numbers is
            enough by itself.

    Example:
        >>> pl.select(asks_for_calculation(pl.lit("find the sum"), pl.lit("4, 5"))).item()
        True
    """
    whole = pl.concat_str(task, material, separator=" ")
    words = task.str.contains(
        rf"{_B}(?:find|what is|what's|get|determine|give|return|tell me|calculate) (?:me "
        rf")?(?:the |an? )?{_GAP}(?:{_SUM}){_B}"
        rf"|{_B}(?:{_NUMBER_TASKS}){_B}|计算|求.{{0,6}}(?:和|积|值|解|导数|面积|体积)|等于多少|多少"
    )
    formula = r"\d\s*[-+*/×÷^]\s*\d|\d\s*=\s*$|[a-z]\s*=\s*-?\d|\^\d|\d[^\d]+\d"
    single = task.str.contains(
        rf"{_B}(?:convert|calculate|compute|square root|percent(?:age)?|factorial|round|"
        rf"area|volume|how (?:many|much)|product|sum){_B}"
    ) & whole.str.contains(r"\d")
    single |= task.str.contains(r"\d ?% of ")
    single |= task.str.contains(r"^\s*(?:please )?(?:calculate|compute|work out|count) ")
    single |= task.str.contains(r"(?:what is|what's|how much is) [^a-z]*\d\s*[-+*/×÷^]\s*\d")
    given = whole.str.count_matches(_B + r"[a-z]\s*=\s*-?\d") >= 2
    return (
        (words & whole.str.contains(formula)) | single | given | is_numeric(material)
    ) & ~asks_for_code(task)


def is_numeric(material: pl.Expr) -> pl.Expr:
    """At least half of its visible characters are digits, operators and what stands between.

    Example:
        >>> pl.select(is_numeric(pl.lit("2, 4, 8, x"))).item()
        True
    """
    signs = material.str.count_matches(r"[0-9+\-*/×÷^=%.,()\[\]<>]")
    visible = material.str.count_matches(r"\S")
    return material.str.contains(r"\d") & (signs >= 0.5 * visible)


def refers_to_material(task: pl.Expr) -> pl.Expr:
    """It speaks of a text, list or table that should follow it.

    Example:
        >>> pl.select(refers_to_material(pl.lit("summarize the following passage."))).item()
        True
    """
    return task.str.contains(
        rf"{_B}(?:following|given|provided|this|these|above|below) (?:\w+ ){{0,"
        rf"2}}(?:{MATERIAL}){_B}"
        rf"|{_B}(?:the|these|this) (?:given|following|provided|attached) \w"
        rf"|{_B}(?:{MATERIAL}) (?:given |provided |shown |listed )?(?:below|above){_B}"
        "|(?:以下|下面|下列|给定|上述|所给).{0,6}(?:文章|文本|段落|句子|内容|材料|代码|数据|单词|列表)"
    ) & ~task.str.contains(rf"{_B}(?:algorithm|program|function|model|script|system|query){_B}")


def promises_document(task: pl.Expr) -> pl.Expr:
    """It speaks of an article, report, book or the like that should follow it.

    Example:
        >>> pl.select(promises_document(pl.lit("shorten the given news article"))).item()
        True
    """
    after = (
        r"(?:[.,:;!?]|\s*$| (?:and|in|into|to|about|for|from|by|using|below|above|given|"
        r"with|so|that|on|as|is|was|based)\b)"
    ).replace(r"\b", _B)
    return task.str.contains(
        rf"{_B}(?:following|given|provided|this|these|above|below) (?:\w+ ){{0,"
        rf"2}}(?:{_DOCUMENT}){after}"
        rf"|{_B}the (?:\w+ )?(?:article|news story|report|document|transcript){after}"
    )


def is_described(material: pl.Expr) -> pl.Expr:
    """Material, lower-cased, that names what it should be: "a list of cities", "the article".

    Example:
        >>> pl.select(is_described(pl.lit("a dataset of house prices"))).item()
        True
    """
    of = (
        "of|about|with|containing|that|on|from|which|describing|showing|is|was|"
        "discusses|talks|explores|describes|covers|explains"
    )
    return material.str.contains(
        rf"^\s*(?:text: ?)?(?:an?|the|this|some) (?:\w+ )?(?:{_DESCRIBED})(?: "
        rf"(?:{of}){_B}|\s*[.]?\s*$)"
    )


def asks_to_make(task: pl.Expr) -> pl.Expr:
    """It begins by asking to design, create, build, develop or construct something.

    Example:
        >>> pl.select(asks_to_make(pl.lit("build a website"))).item()
        True
    """
    return task.str.contains(
        rf"^\s*(?:please )?(?:design|create|build|develop|construct|make|generate|write|"
        rf"draw|implement|program){_B}"
    ) & ~task.str.contains(
        _any_word(
            "rule|rules|idea|ideas|policy|advice|essay|paragraph|sentence|argument|"
            "guidelines?|strategy|plan|description|requirements|features|process|hypothesis|concept|"
            "method|approach|solution|route"
        )
    )


def asks_for_long_text(task: pl.Expr) -> pl.Expr:
    """It asks to write an essay, story, report, letter ... that is not said to be short.

    Example:
        >>> texts = pl.Series(["write an essay on tea", "write a title for my essay"])
        >>> texts.to_frame("t").select(asks_for_long_text(pl.col("t"))).to_series().to_list()
        [True, False]
    """
    short = (
        "short|brief|one|two|three|sentence|sentences|title|headline|line|word|words|"
        "paragraph|summary|flash|six-word|hook|opening|introduction|thesis|outline|"
        "moral|ending"
    )
    return task.str.contains(
        rf"{_B}(?:write|compose|create|generate|draft|produce|make) (?:me |us )?(?:an? "
        rf"){_GAP}(?:essay|article|blog post|report|story|letter|speech|proposal|"
        rf"tutorial|lesson plan|business plan|cover letter|research paper|recipe){_B}"
        r"|写一(?:篇|封|个故事)"
    ) & ~task.str.contains(_any_word(short))
