"""The page's features as one story, told to readers of both languages, in both themes and on two widths."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import expect

from tests.browser.readers import READERS, House, Reader, Witness, open_house, reading
from tests.browser.visit import FOCUSED, Visit, sign_in

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.timeout(180)]

QUICK = "[[sim:slow=1]]"
SLOW = "[[sim:slow=60]]"
SECONDS = re.compile(r"\d+(s|초)")
SHAPE = "picture => picture.decode().then(() => [picture.naturalWidth, picture.naturalHeight])"
SHOWN = (
    *("welcome.title", "photos.composer.title", "example.done", "background.light-blue", "format.id-35x45"),
    *("photos.stage.generating", "photos.status.processing", "photos.gallery.closeTab", "picture.result"),
    *("compare.value", "zoom.close", "use.done", "typical.usual", "cancelAll.question.other", "cancelAll.done.other"),
    *("retry.done", "failure.counted", "gallery.ended", "filter.other", "delete.done", "delete.undo"),
)
"""Keys of words that the story shows at some moment, however short."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """Run one service and one browser for all readers."""
    async with open_house(tmp_path_factory.mktemp("stories"), "--gemini-latency=0.2") as opened:
        yield opened


@pytest.mark.parametrize("reader", READERS, ids=str)
async def test_a_story_of_pictures_in_the_readers_own_words(house: House, reader: Reader) -> None:
    """From the example to the last deletion, by each feature on the way; no word is missing, and nothing is too wide."""
    name = f"teller{READERS.index(reader)}"
    witness = Witness(reader)
    async with reading(house, reader) as seen:
        await witness.watch(seen)
        await sign_in(seen, name)
        await make_an_id_photo(seen, reader)
        await look_closely(seen)
        await go_on_with_it(seen)
        await cancel_all_and_try_one_again(seen)
        await sort_and_delete(seen)
        await seen.page.reload()
        await expect(seen.jobs()).to_have_count(3)
        await meet_another_device(house, reader, name, seen)
        await seen.page.click(seen.hook("sign-out"))
        await expect(seen.find("demo-sign-in")).to_be_visible()
        left = await seen.page.evaluate("Object.keys(sessionStorage).filter((key) => key.includes('drafts')).length")

    assert [] == [key for key in SHOWN if not witness.saw(key)]
    assert any(SECONDS.fullmatch(note["text"]) for note in witness.noted)
    assert [] == witness.faults()
    assert [] == seen.complaints
    assert 0 == left


async def make_an_id_photo(seen: Visit, reader: Reader) -> None:
    """Take the example of the empty gallery, choose style, background and format, and see it develop; the hint goes then."""
    await expect(seen.find("empty")).to_be_visible()
    await seen.find("example").click()
    await expect(seen.find("preview")).to_be_visible()
    await expect(seen.find("toast")).to_contain_text(reader.words["photos.submit.ready"])
    for choice in ("style-color_id_photo", "background-light-blue", "format-id-35x45"):
        await seen.page.check(seen.hook(choice), force=True)
    await seen.page.fill(seen.hook("prompt"), QUICK)
    is_hinted = await seen.find("toast").count()
    await seen.page.click(seen.hook("submit"))
    await expect(seen.find("upload").or_(seen.jobs()).first).to_be_visible()
    hints = [is_hinted, await seen.find("toast").count()]
    await seen.page.wait_for_function("document.title.startsWith('(1) ')")
    await expect(seen.jobs("completed")).to_have_count(1)
    await expect(seen.page).not_to_have_title(re.compile(r"^\("))

    assert [1, 0] == hints
    assert [413, 531] == await seen.find("result-image").evaluate(SHAPE)


async def look_closely(seen: Visit) -> None:
    """Enlarge the picture and move the slider, both by key."""
    await seen.find("zoom").focus()
    await seen.page.keyboard.press("Enter")
    await expect(seen.find("zoom-dialog")).to_be_visible()
    await seen.page.keyboard.press("+")
    await expect(seen.find("zoom-scale")).to_contain_text("150")
    await seen.page.keyboard.press("Escape")
    await expect(seen.find("zoom-dialog")).to_have_count(0)
    await seen.page.wait_for_function(f"({FOCUSED}) === 'zoom'")
    await seen.find("compare").focus()
    await seen.page.keyboard.press("ArrowRight")
    await expect(seen.find("compare")).to_have_attribute("aria-valuetext", re.compile("51"))


async def go_on_with_it(seen: Visit) -> None:
    """Use the picture as a photo, and begin two jobs with it that take long."""
    await seen.find("use").click()
    await expect(seen.find("preview").locator("xpath=..")).to_contain_text("darkroom-color_id_photo")
    for wish in ("one", "two"):
        await seen.page.fill(seen.hook("prompt"), f"{wish} {SLOW}")
        await seen.page.click(seen.hook("submit"))
        await expect(seen.jobs("processing").filter(has_text=wish)).to_have_count(1)


async def cancel_all_and_try_one_again(seen: Visit) -> None:
    """Both end after one question; one is begun anew, and ended alone."""
    await seen.find("cancel-all").click()
    await seen.find("cancel-all-confirm").click()
    await expect(seen.jobs("canceled")).to_have_count(2)
    await seen.jobs("canceled").first.locator(seen.hook("retry")).click()
    again = seen.jobs("processing")
    await expect(again).to_have_count(1)
    await again.locator(seen.hook("cancel")).click()
    await expect(seen.jobs("canceled")).to_have_count(3)


async def sort_and_delete(seen: Visit) -> None:
    """Look at those that came to nothing, delete one and take it back, then delete it for good."""
    await seen.find("filter-completed").click()
    await expect(seen.jobs()).to_have_count(1)
    await seen.find("filter-other").click()
    await expect(seen.jobs()).to_have_count(3)
    await seen.jobs().first.locator(seen.hook("delete")).click()
    await expect(seen.jobs()).to_have_count(2)
    await seen.find("toast-action").click()
    await expect(seen.jobs()).to_have_count(3)
    await seen.find("filter-all").click()
    await seen.jobs("canceled").first.locator(seen.hook("delete")).click()
    async with seen.page.expect_response(lambda answer: answer.request.method == "DELETE") as deleted:
        await seen.find("toast").filter(has=seen.find("toast-action")).locator(seen.hook("toast-dismiss")).click()

    assert (await deleted.value).ok


async def meet_another_device(house: House, reader: Reader, name: str, seen: Visit) -> None:
    """The gallery is the same in another profile, and what is deleted there leaves this one."""
    async with reading(house, reader) as other:
        await sign_in(other, name)
        await expect(other.jobs()).to_have_count(3)
        await other.jobs("canceled").first.locator(other.hook("delete")).click()
        await other.find("toast-dismiss").click()
        await expect(seen.jobs()).to_have_count(2)
