"""The annotator's page in a real Chromium, against the real server: what is clicked is what is kept.

Needs a Chromium on the PATH (`apt-get install chromium`); playwright comes with the group `dev`.
"""

from __future__ import annotations

import shutil
import time
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from databuild.annotate.argilla_api import Api
from databuild.annotate.push import PushConfig, put_before_people
from databuild.annotate.tasks import PREFERENCES, load_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Page

    from databuild.annotate.connection import Connection

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(CHROMIUM is None, reason="no Chromium: apt-get install chromium"),
]

NAME, SECRET = "page-annotator", "a password of some length"
N = 24
ROWS = pl.DataFrame(
    {
        "row_id": [f"row{n}" for n in range(N)],
        "prompt": [
            f"How does a rainbow form, part {n}?" if n % 3 else f"彩虹是怎样形成的？第{n}部分"
            for n in range(N)
        ],
        "response_a": [f"Light is **bent** in drops, {n}." for n in range(N)],
        "response_b": [f"阳光在水滴中折射，第{n}次。🙂" for n in range(N)],
        "margin": [0.1 * n if n % 2 else None for n in range(N)],
    }
)
WAIT_S = 45
GUIDELINES = load_task("preference").guideline.split("\n\n")[1].split(".")[0]


class Seat:
    """An annotator in front of the page, and what the server has of them."""

    def __init__(self, page: Page, server: Connection, dataset: str) -> None:
        self.page, self.server, self.dataset = page, server, dataset

    def open(self, query: str = "status=pending&sort=metadata.place.desc") -> None:
        """Open a queue; the last places have no suggestion (its own key would take it back)."""
        where = f"{self.server.url}/dataset/{self.dataset}/annotation-mode?page=1&{query}"
        self.page.goto(where, wait_until="domcontentloaded")
        self.page.get_by_text("Which answer is better?").first.wait_for()

    def total(self, wanted: int) -> None:
        """Wait until the page says that so many records are found."""
        self.page.get_by_label("Total Records").get_by_text(f"of {wanted}").wait_for()

    def responses(self) -> dict[str, tuple[str, dict[str, Any]]]:
        with Api(self.server) as api:
            return {
                one["external_id"]: (
                    response["status"],
                    {k: v["value"] for k, v in (response["values"] or {}).items()},
                )
                for one in api.records(self.dataset, responses=True)
                for response in one["responses"]
            }

    def new_response(self, act: Callable[[], Any]) -> tuple[str, dict[str, Any]]:
        """Do something on the page, and return the response that the server has then."""
        before = self.responses()
        act()
        until = time.monotonic() + WAIT_S
        while time.monotonic() < until:
            now = self.responses()
            new = [now[record] for record in now if now[record] != before.get(record)]
            if new:
                assert len(new) == 1
                return new[0]
            time.sleep(0.3)
        pytest.fail("the server has no new response")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.page.keyboard.press(key)
            self.page.wait_for_timeout(150)

    def filter_by(self, kind: str, *path: str) -> None:
        box = self.page.locator(f".{kind}-filter")
        if not box.count():
            self.page.get_by_role("button", name="Filters").click()
        box.locator(".dropdown__header").first.click()
        for name in path:
            box.locator(".dropdown__content").get_by_text(name).first.click()
        self.press("Escape")


@pytest.fixture(scope="module")
def seat(argilla: Connection, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Seat]:
    """Sit down: records are pushed, an account is made, the annotator has logged in."""
    from playwright.sync_api import sync_playwright

    folder = tmp_path_factory.mktemp("page")
    (folder / "out").mkdir()
    config = PushConfig(
        dataset="annotator-page", margins="margin", assist=True, annotators=[NAME, "somebody"]
    )
    put_before_people(
        ROWS, config, out=folder / "out", journals=folder / "journals", files=(), seed=1
    )
    with Api(argilla) as api:
        new = {"username": NAME, "first_name": NAME, "role": "annotator", "password": SECRET}
        user = api.post("/users", new)
        api.post(f"/workspaces/{api.workspace_id()}/users", {"user_id": user["id"]})
        pushed = api.dataset("annotator-page")
        assert pushed is not None
        dataset = str(pushed["id"])
    with sync_playwright() as playwright:
        # Nothing outside is reached: the page asks for two fonts, and does without.
        rules = "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", rules])
        page = browser.new_page(viewport={"width": 1400, "height": 900})
        page.set_default_timeout(WAIT_S * 1000)
        page.goto(f"{argilla.url}/sign-in", wait_until="domcontentloaded")
        page.locator("input").first.fill(NAME)
        page.locator("input[type=password]").fill(SECRET)
        page.keyboard.press("Enter")
        page.get_by_text("annotator-page").first.wait_for()
        yield Seat(page, argilla, dataset)
        browser.close()


@pytest.mark.parametrize(
    ("key", "label"),
    list(enumerate(PREFERENCES, 1)),
)
def test_a_key_and_enter_are_a_vote(seat: Seat, key: int, label: str) -> None:
    seat.open()
    status, values = seat.new_response(lambda: seat.press(str(key), "Enter"))
    assert (status, values["preference"]) == ("submitted", label)


def test_guidelines_are_one_click_away(seat: Seat) -> None:
    from playwright.sync_api import expect

    seat.open()
    seat.page.get_by_text("Guidelines").filter(visible=True).first.click()
    shown = seat.page.get_by_text(GUIDELINES).filter(visible=True).first
    expect(shown).to_be_in_viewport(timeout=WAIT_S * 1000)


def test_a_rewrite_a_rating_and_the_button_submit(seat: Seat) -> None:
    seat.open()
    seat.press("2")
    title = seat.page.get_by_text("The better answer, rewritten").first.bounding_box()
    assert title is not None
    seat.page.mouse.click(title["x"] + 50, title["y"] + 50)
    seat.page.keyboard.type("Written anew 改写 🙂")
    seat.press("Escape")
    button = seat.page.get_by_role("button", name="Submit")
    status, values = seat.new_response(button.last.click)
    assert (status, values["preference"]) == ("submitted", "a_better")
    assert values["edited"].strip() == "Written anew 改写 🙂"


def test_a_draft_is_kept_and_a_discarded_record_is_no_vote(seat: Seat) -> None:
    seat.open()
    status, values = seat.new_response(lambda: seat.press("7", "Control+s"))
    assert (status, values["preference"]) == ("draft", "b_better")
    seat.open()
    status, _ = seat.new_response(lambda: seat.press("Backspace"))
    assert status == "discarded"


@pytest.mark.parametrize("words", ["彩虹", "rainbow"])
def test_a_search_finds_english_and_chinese(seat: Seat, words: str) -> None:
    found = ROWS.filter(pl.col("prompt").str.contains(words))["prompt"].to_list()
    done = len(seat.responses())
    seat.open()
    seat.total(N - done)
    seat.page.locator(".search-area__icon").first.click()
    seat.page.locator("input[role=search]").first.fill(words)
    seat.press("Enter")
    seat.page.wait_for_url("**search=**")
    with Api(seat.server) as api:
        left = {
            one["fields"]["prompt"][0]["content"]
            for one in api.records(seat.dataset, responses=True)
            if not one["responses"]
        }
    seat.total(len(left.intersection(found)))


def test_records_are_filtered_by_metadata_suggestion_and_response(seat: Seat) -> None:
    with Api(seat.server) as api:
        records = list(api.records(seat.dataset, responses=True))
    mine = [one for one in records if NAME in one["metadata"]["assigned_to"]]
    seat.open()
    seat.filter_by("metadata", "assigned_to", NAME)
    seat.page.wait_for_url("**metadata=**")
    seat.total(sum(not one["responses"] for one in mine))
    with Api(seat.server) as api:
        path = f"/datasets/{seat.dataset}/records"
        told = api.get(path, limit=100, include="suggestions")["items"]
    done = set(seat.responses())
    left = [one for one in told if one["external_id"] not in done]
    values = [one["suggestions"][0]["value"] for one in left if one["suggestions"]]
    words = next(q.options for q in load_task("preference").questions if q.name == "preference")
    seat.open()
    seat.filter_by("suggestion", "preference", "Suggestion values", words[values[0]])
    seat.page.wait_for_url("**suggestion=**")
    seat.total(values.count(values[0]))
    answered = seat.responses().values()
    submitted = [values for status, values in answered if status == "submitted"]
    seat.open("status=submitted")
    seat.filter_by("responses", "preference", "B is much better")
    seat.page.wait_for_url("**response=**")
    seat.total(sum(values["preference"] == "b_much" for values in submitted))


def test_several_records_are_answered_at_once_and_progress_is_told(seat: Seat) -> None:
    seat.open()
    seat.page.get_by_label("Switch to Bulk Mode").click()
    seat.page.wait_for_url("**page=1~**")
    before = seat.responses()
    seat.page.locator("[data-title='Select all'] .checkbox__container").click()
    seat.page.locator("label[for=preference_a_slightly]").click()
    seat.page.get_by_role("button", name="Submit").last.click()
    until = time.monotonic() + WAIT_S
    wanted = min(10, N - len(before))  # a page has ten
    while len(seat.responses()) < len(before) + wanted and time.monotonic() < until:
        time.sleep(0.3)
    new = [one for record, one in seat.responses().items() if record not in before]
    assert len(new) == wanted > 0
    assert {(status, values["preference"]) for status, values in new} == {
        ("submitted", "a_slightly")
    }
    counts = [status for status, _ in seat.responses().values()]
    seat.open("status=submitted")
    seat.total(counts.count("submitted"))


def test_every_character_of_an_answer_is_seen_and_no_image_is_asked_for(
    seat: Seat, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    answer = "<think>2 < 3</think> ![plan](http://pictures.test/x.png) &amp; `a<b>`"
    page_of_html = "<h1>Shop</h1>\n\n```html\n<p>inside</p>\n```"
    rows = pl.DataFrame({
        "row_id": ["one"], "prompt": ["Answer in <b>bold</b>."],
        "response_a": [answer], "response_b": [page_of_html],
    })  # fmt: skip
    (tmp_path / "out").mkdir()
    config = PushConfig(dataset="as-written", annotators=[NAME, "somebody"])
    put_before_people(
        rows, config, out=tmp_path / "out", journals=tmp_path / "journals", files=(), seed=1
    )
    with Api(seat.server) as api:
        pushed = api.dataset("as-written")
    assert pushed is not None
    asked: list[str] = []
    seat.page.on("request", lambda request: asked.append(request.url))
    Seat(seat.page, seat.server, str(pushed["id"])).open("status=pending")
    for words in (
        "<think>2 < 3</think> ![plan](http://pictures.test/x.png) &amp; a<b>",
        "<h1>Shop</h1>", "<p>inside</p>", "Answer in <b>bold</b>.",
    ):  # fmt: skip
        expect(seat.page.get_by_text(words).first).to_be_visible(timeout=WAIT_S * 1000)
    assert not any("pictures.test" in url for url in asked)
