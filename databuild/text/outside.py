"""What a prompt asks for that no text can know: live facts, the future, a life, data not given.

Patterns on text that `text.asking.lowered` made, as Polars expressions; English and Chinese.
"""

from __future__ import annotations

import polars as pl

from databuild.text.asking import MATERIAL

_B = r"(?-u:\b)"
_PLACES = (
    "restaurants?|hotels?|caf[eé]s?|bars?|pubs?|stores?|shops?|dentists?|doctors?|gyms?|"
    "apartments?|salons?|pharmac(?:y|ies)|gas stations?|airports?|hospitals?|concerts?"
)
_FIND = "find|list|recommend|suggest|name|give|show|tell|what are|which are|provide|locate|look up"
_LOOKUPS = "|".join(
    (
        # Prices and worth.
        r"(?:what(?:'s| is| are| was)|find(?: out)?|check|get|tell me|look up|provide|give me) "
        r"(?:me )?(?:the )?(?:average |approximate |exact |going |market |retail )?"
        r"(?:price|cost|fare|exchange rate)s? (?:of|for) ",
        r"how much (?:does|do|is|are|would) [^?]{1,50}(?:cost|worth|charge|sell for)",
        r"how much is (?:an?|the) [a-z]",
        # Places and what is on there.
        rf"(?:{_FIND}) [^.?]{{0,40}}(?:{_PLACES}) (?:in|near|around|close to|at|within)",
        r"(?:near|nearby|close to) (?:me|here|my|the given|this|the following|\d)",
        r"(?:opening|closing|business|operating|store|office) hours",
        r"(?:what time|when) (?:does|do|will|is|are) [^?]{1,40}(?:open|close|depart|arrive|on tv)",
        r"when (?:does|is|will) the next",
        r"(?:movie|show|bus|train|flight) ?(?:times|timetable|schedule) ",
        # What is new or now.
        r"(?:latest|up-to-date|newest|most recent|breaking) (?:\w+ ){0,2}"
        r"(?:news|information|developments?|headlines?|statistics|data|updates?|events?|prices?|"
        r"version|model|score|results)",
        r"(?:current|present) (?:political|economic|market|financial|weather|covid|coronavirus) "
        r"(?:situation|conditions?|climate|status|state|trends?|cases)",
        r"current (?:status|situation|events?|news|population|president|prime minister|ceo|"
        r"temperature|time|date|location|conditions?|value|rate)",
        r"(?:weather|traffic) (?:report|update|conditions?|today|now)|weather like",
        r"what (?:time|day|date) is (?:it|today)|today's (?:date|day|news|headlines?|special)",
        r"who (?:is currently|is the current|won the (?:last|latest))",
        r"how many (?:followers|subscribers|likes|views|retweets|comments)",
        # What only a record has.
        r"(?:in|out of) stock(?-u:\b)|still available|"
        r"(?:check|confirm) (?:the |if |whether )?[^.?]{0,40}availab(?:le|ility)",
        r"(?:status|balance|tracking number|number|details) of (?:my|your|the|this) "
        r"(?:order|account|package|delivery|flight|shipment|reservation|booking)",
        r"(?:my|your|order|account|flight|delivery) (?:status|balance)",
        r"(?:what|which) page|page number|(?:on|from|of) page \d+",
        r"(?:phone|telephone|fax|contact) number|(?:street|mailing|e-?mail|postal) address of|"
        r"address of the",
        r"(?:tweets?|posts?|photos?|data|information|reviews?|comments?) "
        r"(?:from|on|of|by) (?:the |a |this |an )?(?:\w+ )?"
        r"(?:website|web site|instagram|twitter|facebook|youtube|yelp|amazon|linkedin|reddit)",
    )
)
_LOOKUPS_ZH = (
    "最新(?:的)?(?:新闻|消息|情况|价格|数据|进展|动态)|附近(?:的|有)|多少钱|(?:价格|售价)是多少|"
    "(?:营业|开放)时间|几点(?:开门|关门|开始)|有(?:没有)?(?:库存|现货)|(?:账户|账号)?余额|订单(?:的)?状态|"
    "物流(?:信息|状态)|第[0-9一二三四五六七八九十]+页|今天(?:是)?(?:几号|星期几|几月)|天气(?:预报|怎么?样|如何)|"
    "(?:电话|联系方式|地址)是(?:什么|多少)"
)
_FORECAST = (
    r"(?:predict|forecast|project|foresee|prediction|guess|what will|who will|will the)"
    r"[^.?!]{0,60}"
    rf"{_B}(?:stocks?|share price|prices?|weather|temperatures?|winner|win|election|"
    r"scores? of the|outcome|sales|revenue|market|exchange rate|tomorrow|"
    r"next (?:few )?(?:day|week|month|quarter|year|decade)s?|in 20[2-9]\d|by 20[2-9]\d|"
    r"lottery|game|match|future)"
)
_MINE = (
    r"your (?:favou?rite|own (?:life|experience|childhood|country|family|culture|pet)|hobby|"
    r"hobbies|childhood|family|hometown|dream (?:house|home|job|vacation|car)|weekend|"
    r"last (?:trip|vacation|holiday|meal|job)|personal (?:experience|life)|"
    r"best friend|first (?:job|love|day|car|kiss)|neighbou?rhood|birthday|salary|bedroom)|"
    r"(?:hobby|place|city|country|town|book|movie|film|match|experience|page|trip|meal|time|"
    r"dream|event|lesson|skill|person) (?:that |where |when |in which )?you(?:'ve| have)? "
    r"(?:have|had|seen|saw|visited|live|lived|went|read|ate|did|been|ever|learned|felt|were|"
    r"grew|met|enjoyed)|"
    r"(?:did|have) you (?:ever|eat|go|see|watch|visit|enjoy|sleep|been|had|feel)|"
    r"how (?:was|is) your|how old are you|where (?:are you from|do you live|were you born)|"
    r"you (?:visited|ate|saw|watched|bought|met) (?:today|yesterday|last|recently)"
)
_OTHER_SPEAKER = (
    "imagine|imagining|pretend|suppose|role|you are|you're|as if|interview|questions?|"
    "conversation|dialogue|ask|persona|character|if you"
)
_EXPLAINS = (
    "explain|describe how|how (?:could|would|can|to|do|does|might|are|is)|method|methods|"
    "advantages?|benefits?|techniques?|why|algorithm|outline|role of|importance|discuss|story|"
    "conversation|dialogue|questions|passage|true or false|email|letter|poem|joke"
)
_DATA = (
    "data|dataset|data ?set|data points?|table|statistics|survey results|spreadsheet|records|"
    "sales|sales figures|measurements|scores|prices|transactions"
)
_WORKS_OUT = (
    r"^\s*(?:please )?(?:calculate|compute|work out|find|determine|estimate) (?:the )?(?:\w+ ){0,2}"
    r"(?:average|mean|median|mode|sum|total|percentage|standard deviation|variance|moving average|"
    r"correlation|probability|likelihood|ratio|difference|profit|cost|interest|tax|bmi|"
    r"net worth|growth rate|area|volume|perimeter|distance|speed)"
    rf"{_B}"
)
_NUMBER_WORD = (
    r"\d|[一二三四五六七八九十百]|(?-u:\b)(?:one|two|three|four|five|six|seven|eight|nine|ten|eleven|"
    r"twelve|twenty|thirty|forty|fifty|hundred|thousand|million|half|dozen|twice|pi)(?-u:\b)"
)


def _any_word(words: str) -> str:
    return rf"{_B}(?:{words}){_B}"


def needs_lookup(task: pl.Expr, whole: pl.Expr) -> pl.Expr:
    """It asks for a fact that changes or stands in one record only.

    Prices, what is near or open, the latest news, today's date or weather, stock, an order, an
    account, a page, a telephone number, posts of a site. Not where the numbers to work with are
    given (two or more), nor where it asks how something works.

    Args:
        task: What is to be done, lower-cased.
        whole: Task and material together, where the numbers may be.

    Example:
        >>> texts = pl.Series(["what is the price of a pound of figs?", "why do prices rise?"])
        >>> rows = texts.to_frame("t")
        >>> rows.select(needs_lookup(pl.col("t"), pl.col("t"))).to_series().to_list()
        [True, False]
    """
    return (
        (task.str.contains(rf"{_B}(?:{_LOOKUPS})") | task.str.contains(_LOOKUPS_ZH))
        & (whole.str.count_matches(r"\d+(?:[.,]\d+)*") < 2)
        & ~task.str.contains(_any_word(_EXPLAINS))
    )


def needs_forecast(task: pl.Expr) -> pl.Expr:
    """It asks what prices, weather, elections, games or sales will be.

    Example:
        >>> pl.select(needs_forecast(pl.lit("predict the winner of the next election"))).item()
        True
    """
    return (
        task.str.contains(rf"{_B}{_FORECAST}{_B}")
        | task.str.contains(
            "预测.{0,12}(?:股价|股市|天气|气温|比赛|选举|结果|走势|价格|房价|彩票|销量)"
        )
    ) & ~task.str.contains(_any_word(_EXPLAINS))


def asks_of_self(task: pl.Expr) -> pl.Expr:
    """It asks for the answerer's own life: a favourite, a hobby, a home, what was done yesterday.

    Not where a part is given to play ("imagine", "you are a ..."), and where questions for others
    or a conversation are asked for.

    Example:
        >>> pl.select(asks_of_self(pl.lit("describe the best meal you ever had"))).item()
        True
    """
    return (
        task.str.contains(rf"{_B}(?:{_MINE}){_B}") & ~task.str.contains(_any_word(_OTHER_SPEAKER))
    ) | (
        task.str.contains(
            "你(?:自己)?(?:最喜欢|的(?:家乡|爱好|童年|家人|周末|假期|生日))|你(?:昨天|今天|上周)(?:吃|做|去|看)"
        )
        & ~task.str.contains("假设|假如|想象|扮演|如果|对话|提问|问题")
    )


def lacks_data(task: pl.Expr, material: pl.Expr) -> pl.Expr:
    """It speaks of data or asks to work out a number, and there are no data.

    Either the task refers to given data, a table, figures ..., and what follows has fewer than
    two numbers and fewer than three commas or line ends; or it begins by asking for an average,
    total, cost, area ... and there is no number at all, in digits or words.

    Args:
        task: What is to be done, lower-cased.
        material: What comes with it; the first kind needs some.

    Example:
        >>> task, material = pl.lit("sort the given data."), pl.lit("rain in may and june")
        >>> pl.select(lacks_data(task, material)).item()
        True
    """
    refers = task.str.contains(
        rf"{_B}(?:given|this|following|provided|these|below|above) (?:\w+ ){{0,2}}(?:{_DATA}){_B}"
        "|(?:以下|给定|下列|这些|下面)的?.{0,4}(?:数据|表格|统计)"
    )
    n_items = material.str.count_matches(r"[,，、;；\n|]")
    is_bare = (material.str.count_matches(r"\d+(?:[.,]\d+)*") < 2) & (n_items < 3)
    numbers = pl.concat_str(task, material, separator=" ").str.contains(_NUMBER_WORD)
    is_formula = task.str.contains(
        _any_word("formula|equation|steps|between|of (?:a|an)|length|words?|letters|text|loop")
    )
    refers &= (material != "") & ~task.str.contains(
        _any_word("structure|types?|insert|techniques|categorical|database|numerical|design")
    )
    return (refers & is_bare) | (task.str.contains(_WORKS_OUT) & ~numbers & ~is_formula)


def names_material(task: pl.Expr) -> pl.Expr:
    """It is to change or judge "the sentence", "the list" ..., and says no more of which one.

    Example:
        >>> texts = pl.Series(["translate the sentence into greek.", "edit the story of ruth."])
        >>> texts.to_frame("t").select(names_material(pl.col("t"))).to_series().to_list()
        [True, False]
    """
    return task.str.contains(
        r"^\s*(?:please )?(?:edit|correct|proofread|translate|classify|categori[sz]e|summari[sz]e|"
        r"rewrite|rephrase|paraphrase|reword|sort|fix|complete|analy[sz]e|shorten|simplify|label|"
        rf"rearrange|reverse|convert|improve|punctuate|decode) (?:the|this|these) (?:\w+ )?"
        rf"(?:{MATERIAL})\s*(?:[.!?:]?\s*$|(?:into|so that|using|below|based on|according to|by "
        r"\w+ing|to (?:make|be|include|remove|correct|use)|from \w+ (?:in)?to)(?-u:\b)[^\"“:]*"
        r"$)"
        r"|(?-u:\b)which of the following[^:?]*\?\s*$"
        r"|^\s*(?:describe|identify|summari[sz]e|analy[sz]e|explain|determine|what is|what's|"
        r"state) "
        r"the (?:main (?:character|idea|theme|point|conflict|topic)|protagonist|plot|setting|"
        r"theme|tone|mood|narrator|speaker|moral|genre)"
        r"(?: (?:of|in) (?:the|this) (?:story|poem|book|text|passage|novel|play|song|movie|article|"
        r"paragraph))?(?: in an? \w+ (?:way|sentence))?\s*[.?]?\s*$"
        "|^请?(?:翻译|总结|概括|改写|修改|润色|纠正|缩写|分析)(?:一下)?(?:这|该|本)(?:篇|段|个|句|首)?"
        "(?:文章|段落|句子|句话|文字|话|文本|诗|故事)[。.]?$"
    )
