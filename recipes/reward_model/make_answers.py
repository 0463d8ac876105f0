"""Write answers.jsonl: forty-four questions with four graded answers each, as people might grade.

Run `python make_answers.py` in this folder. The answer of grade 1 is written by hand; the others
have one fault each, made by rule: it breaks off (0.6), it says the same again and again (0.3), it
answers another question (0.0).
"""

# ruff: noqa: E501 -- a question and its answer stand on one line
from __future__ import annotations

import json
from pathlib import Path

GRADES = {"whole": 1.0, "broken off": 0.6, "repeats itself": 0.3, "off topic": 0.0}

GOOD = [
    (
        "Why do leaves change colour in autumn?",
        "In autumn a tree stops making the green stuff that catches light. When the green fades, the yellow that was there all along can be seen. The red is made fresh, from sugar that stays behind in the leaf.",
    ),
    (
        "How do I keep bread fresh for longer?",
        "Keep bread in a paper bag or a bread box at room temperature. Do not put it into the fridge, where it goes stale faster. What you cannot eat in three days you can slice and freeze.",
    ),
    (
        "What should I pack for a rainy hike?",
        "Take a rain jacket with a hood, a dry pair of socks and a bag that keeps water out. Pack something warm to put on during breaks. A small towel weighs little and helps a lot.",
    ),
    (
        "How does a thermos keep tea hot?",
        "A thermos has two walls with almost no air between them. Heat has a hard time crossing that gap. The walls also shine like a mirror and send the warmth back into the tea.",
    ),
    (
        "Why does the moon look larger near the horizon?",
        "It is a trick of the mind. Near the horizon we compare the moon with trees and houses, and judge it to be big. A photograph shows that it has the same size all night.",
    ),
    (
        "How can I learn to whistle?",
        "Wet your lips and make a small round opening. Rest the tip of your tongue behind your lower teeth. Blow softly, and move your tongue a little until you hear a tone.",
    ),
    (
        "What makes popcorn pop?",
        "Each kernel holds a little water. In the heat the water turns to steam and presses on the hard shell. At last the shell bursts, and the soft inside puffs up.",
    ),
    (
        "How do I water a cactus?",
        "Water it well, and then wait until the soil is dry all the way down. In summer that takes about two weeks, in winter more than a month. Too much water harms it more than too little.",
    ),
    (
        "Why is the sea salty?",
        "Rain washes tiny amounts of salt out of the rocks, and rivers carry it to the sea. The water leaves again as vapour, but the salt stays. Over millions of years it has built up.",
    ),
    (
        "How do I fold a paper boat?",
        "Fold a sheet in half, then turn the two upper corners to the middle. Fold the strips at the bottom up on both sides. Open the hat, flatten it into a diamond, and pull the tips apart.",
    ),
    (
        "What is the best way to clean a window?",
        "Wash the glass with warm water and a drop of soap. Pull the water off from top to bottom with a rubber blade. Dry the edges with a cloth, and do it on a cloudy day so that nothing dries too fast.",
    ),
    (
        "Why do cats purr?",
        "Cats often purr when they feel safe and content. They also do it when they are hurt or afraid, perhaps to calm themselves. Kittens purr while they drink, which tells the mother that all is well.",
    ),
    (
        "How do bees make honey?",
        "Bees collect sweet juice from flowers and carry it home in a special stomach. In the hive they pass it from one to another and fan it with their wings. When enough water is gone, it is honey, and they seal it with wax.",
    ),
    (
        "How can I fall asleep more easily?",
        "Go to bed at the same time each day, in a dark and cool room. Put screens away an hour before. If you lie awake for long, get up and read a few quiet pages.",
    ),
    (
        "What does yeast do in dough?",
        "Yeast eats the sugar in the flour and breathes out gas. The gas is caught in the dough as small bubbles. That is why the dough rises and the bread becomes light.",
    ),
    (
        "Why do we see lightning before we hear thunder?",
        "Light is so fast that it reaches us at once. Sound needs about three seconds for each kilometre. So the longer the pause, the farther away the storm is.",
    ),
    (
        "How do I sharpen a kitchen knife?",
        "Hold the blade against a wet stone at a low angle. Draw it over the stone as if you wanted to slice off a thin layer, first one side, then the other. Finish on a finer stone and test it on paper.",
    ),
    (
        "What is a leap year for?",
        "The earth needs about a quarter of a day more than 365 days for one round. Without a correction the seasons would drift through the calendar. So every fourth year gets one more day, with a few exceptions.",
    ),
    (
        "How do I remove a tea stain from a cup?",
        "Put a spoon of baking soda into the cup and add a little water. Rub the paste around with a sponge and rinse. Old stains may need to stand for ten minutes first.",
    ),
    (
        "Why do onions make us cry?",
        "A cut onion sets free a gas that stings the eyes. The eyes make tears to wash it away. A sharp knife and a cold onion help, because less gas comes out.",
    ),
    (
        "How do I choose a ripe melon?",
        "Smell the end where the stem was: it should be sweet. Press it gently, and it should give a little. A ripe melon is also heavy for its size.",
    ),
    (
        "What is the use of a rain barrel?",
        "A rain barrel catches the water that runs off the roof. Plants like it, since it is soft and not too cold. It also saves drinking water on dry summer days.",
    ),
    (
        "How do I tie a parcel with string?",
        "Lay the string under the parcel, cross it on top and turn it by a quarter. Bring the ends around the other two sides. Pull tight, and finish with a double knot where the strings cross.",
    ),
    (
        "Why does metal feel colder than wood?",
        "Both have the same temperature, but metal carries the warmth of your hand away faster. Wood lets hardly any heat pass. Your skin feels how fast it loses heat, not how cold a thing is.",
    ),
    (
        "How do I start a small herb garden?",
        "Choose a sunny window and three pots with holes at the bottom. Begin with basil, chives and parsley, which forgive mistakes. Water when the top of the soil is dry, and cut often.",
    ),
    (
        "What causes the tides?",
        "The moon pulls at the water of the sea, most of all on the side that faces it. The earth turns below that bulge of water, and below a second one on the far side. So most coasts have two high tides a day.",
    ),
    (
        "How do I calm a nervous dog during fireworks?",
        "Close the windows and the curtains, and turn on some quiet music. Let the dog hide where it wants to, and stay close by. Do not scold it, and speak as you always do.",
    ),
    (
        "Why do bicycles stay upright when they roll?",
        "When a bicycle leans to one side, its front wheel turns to the same side by itself. That brings the wheels back under the rider. The faster it rolls, the better this works.",
    ),
    (
        "How do I make a simple salad dressing?",
        "Mix one part of vinegar with three parts of oil. Add salt, pepper and a little mustard, which holds the two together. Shake it all in a jar with a lid.",
    ),
    (
        "What is the difference between fog and cloud?",
        "Both are made of tiny drops of water that float in the air. A cloud is high up, and fog lies on the ground. If you stand on a mountain inside a cloud, you are in fog.",
    ),
    (
        "How do I patch a bicycle tube?",
        "Find the hole by holding the tube under water and looking for bubbles. Dry it, roughen the spot, and spread a thin layer of glue. Wait until it is nearly dry, then press the patch on hard.",
    ),
    (
        "Why do some people sneeze in bright light?",
        "In about one of four people bright light sets off a sneeze. It runs in families. The nerves of the eye and the nose lie close together, and it seems that the signals get mixed up.",
    ),
    (
        "How can I remember names better?",
        "Say the name aloud as soon as you hear it. Tie it to a picture, such as a rose for Rose. Use it once more when you say goodbye.",
    ),
    (
        "What is compost good for?",
        "Compost is rotted leaves, peels and grass. It feeds the plants slowly and keeps the soil loose and moist. It also means that less goes into the bin.",
    ),
    (
        "How do I measure flour without a scale?",
        "Loosen the flour with a fork and spoon it into a cup. Strike off the top with a knife and do not press it down. A cup filled like this holds about 120 grams.",
    ),
    (
        "Why do stars twinkle?",
        "The light of a star passes through moving layers of warm and cold air. Each layer bends it a little differently. So the star seems to flicker, while the nearer planets shine more steadily.",
    ),
    (
        "How do I get a splinter out?",
        "Wash the skin and look which way the splinter went in. Grip its end with clean tweezers and pull in the same direction. Clean the spot again afterwards, and see a doctor if it swells.",
    ),
    (
        "What makes a good paper aeroplane?",
        "A good paper aeroplane is the same on both sides and has its weight near the nose. Fold sharp edges with your fingernail. Throw it gently and straight, not upwards.",
    ),
    (
        "How do I store potatoes?",
        "Keep potatoes in a dark and cool place with some air, such as a cellar. Light turns them green, and green parts are not healthy. Do not keep them beside onions, since both spoil sooner then.",
    ),
    (
        "Why do we need a spare key?",
        "Sooner or later a key is lost or left inside. With a spare one at a neighbour's you are home again in minutes. Without it you wait for a locksmith and pay for it.",
    ),
    (
        "为什么夏天的白天更长？",
        "地球的轴是斜的。夏天时，我们所在的半球朝向太阳，太阳走的路更长。所以天亮得早，也黑得晚。",
    ),
    (
        "怎样让米饭更松软？",
        "先把米洗净，再泡二十分钟。水不要太多，比米高出一个指节就好。煮好以后不要马上打开，焖十分钟再拌匀。",
    ),
    (
        "为什么下雨前蚂蚁会搬家？",
        "下雨前空气变得潮湿，蚂蚁能感觉到。低处的巢容易进水，所以它们往高处搬。这样卵和食物就不会被淹。",
    ),
    (
        "怎样清洗水壶里的水垢？",
        "往水壶里倒一些白醋和水，比例各一半。烧开后放半个小时，水垢就会变软。倒掉以后用清水多冲几次。",
    ),
]


def answers() -> list[dict[str, str | float]]:
    """Four graded answers to every question, in an order that says nothing."""
    rows: list[dict[str, str | float]] = []
    for number, (prompt, good) in enumerate(GOOD):
        made = {
            "whole": good,
            "broken off": cut_off(good),
            "repeats itself": repeated(good),
            "off topic": other_answer(number),
        }
        order = sorted(made, key=lambda fault: (number * 7 + len(fault) * 5) % 11)
        rows += [
            {
                "topic": f"t{number // 4:02d}",
                "prompt": prompt,
                "response": made[fault],
                "grade": GRADES[fault],
                "fault": fault,
            }
            for fault in order
        ]
    return rows


def is_chinese(text: str) -> bool:
    """Whether the sentences end with a Chinese full stop."""
    return "。" in text


def cut_off(text: str) -> str:
    """The first three fifths of a text, in the middle of a sentence."""
    if is_chinese(text):
        return text[: len(text) * 3 // 5].rstrip("。，")
    words = text.split()
    return " ".join(words[: len(words) * 3 // 5]).rstrip(".,")


def repeated(text: str) -> str:
    """The first sentence of a text, three times."""
    stop, space = ("。", "") if is_chinese(text) else (".", " ")
    return space.join([text.partition(stop)[0] + stop] * 3)


def other_answer(number: int) -> str:
    """The good answer to the next question of the same four: no answer crosses a split by topic."""
    return GOOD[number // 4 * 4 + (number + 1) % 4][1]


if __name__ == "__main__":
    lines = (json.dumps(row, ensure_ascii=False) for row in answers())
    Path(__file__).with_name("answers.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
