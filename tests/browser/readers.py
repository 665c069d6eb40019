"""Those who read the page: in each language, by day and by night, at a desk and on a phone; and a witness of what they see."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from playwright.async_api import Browser, async_playwright

from tests.browser.conftest import CHROMIUM
from tests.browser.visit import Visit, visit
from tests.conftest import CHECKOUT
from tests.journey.running import Running, embedded_service

HEIGHT = 900
IS_WIDER = "(({ scrollWidth, clientWidth }) => scrollWidth > clientWidth)(document.documentElement)"
CATALOGUES: Mapping[str, Mapping[str, str]] = {
    language: json.loads((CHECKOUT / "service" / "page" / "i18n" / f"{language}.json").read_text())
    for language in ("en", "ko")
}
PLACES = {key.split(".")[0] for key in CATALOGUES["en"]}
KEY_LIKE = re.compile(rf"\b(?:{'|'.join(sorted(PLACES))})(?:\.\w+)+")
OF_ANOTHER_LANGUAGE = {"en": re.compile("[가-힣]"), "ko": re.compile("[a-z]{3} [a-z]{3}")}
SPOKEN = ("announcements", "alarms")
WATCH = """(() => {
  const told = new Set();
  let isDue = false;
  const tell = (words, element) => {
    const [text, language, at] = [words.trim(), element.closest('[lang]').lang, element.id];
    const isKnown = told.has(`${language} ${text}`);
    told.add(`${language} ${text}`);
    if (text && !isKnown) window.witness({ text, language, at });
  };
  const look = () => {
    isDue = false;
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
      const element = texts.currentNode.parentElement;
      // What the person wrote is in no catalogue.
      if (!element.checkVisibility() || element.closest('.wish, .preview-name')) continue;
      tell(element.children.length ? texts.currentNode.data : element.textContent, element);
    }
    for (const name of ['aria-label', 'aria-valuetext', 'title', 'alt', 'placeholder']) {
      for (const element of document.querySelectorAll(`[${name}]`)) tell(element.getAttribute(name), element);
    }
    const { scrollWidth, clientWidth } = document.documentElement;
    if (scrollWidth > clientWidth) window.witness({ text: `${scrollWidth} > ${clientWidth}`, language: '', at: 'width' });
  };
  const begin = () => {
    new MutationObserver(() => {
      if (!isDue) requestAnimationFrame(look);
      isDue = true;
    }).observe(document.body, { subtree: true, childList: true, characterData: true, attributes: true });
    look();
  };
  if (document.body) begin();
  else document.addEventListener('DOMContentLoaded', begin);
})()"""
"""Tells each text that comes into sight or is said, once; and when anything is wider than the screen."""

House = tuple[Running, Browser]


@dataclass(frozen=True, slots=True, kw_only=True)
class Reader:
    """Who looks at the page, and on what."""

    locale: str
    theme: Literal["light", "dark"]
    width: int

    def __str__(self) -> str:
        return f"{self.locale}-{self.theme}-{self.width}"

    @property
    def language(self) -> str:
        """The language of the page for this reader."""
        return self.locale[:2]

    @property
    def words(self) -> Mapping[str, str]:
        """The catalogue of that language."""
        return CATALOGUES[self.language]


# Each two of language, theme and width meet.
READERS = (
    Reader(locale="en-US", theme="light", width=1280),
    Reader(locale="ko-KR", theme="dark", width=1280),
    Reader(locale="ko-KR", theme="light", width=390),
    Reader(locale="en-US", theme="dark", width=390),
)


@dataclass  # without slots: Playwright keeps its wrapper of a method on the object
class Witness:
    """All that a reader's page has shown, over reloads too. ``noted`` is in the order of its showing."""

    reader: Reader
    noted: list[dict[str, str]] = field(default_factory=list)

    async def watch(self, seen: Visit) -> None:
        """Look at this page from now on."""
        await seen.page.expose_function("witness", self._note)
        await seen.page.add_init_script(WATCH)
        await seen.page.evaluate(WATCH)

    def saw(self, key: str) -> bool:
        """Tell whether the words of that key were shown, whatever stood in their gaps."""
        parts = re.split(r"\{\w+\}", self.reader.words[key])
        words = re.compile(".+".join(re.escape(part) for part in parts))
        return any(words.fullmatch(note["text"]) for note in self.noted)

    def spoken(self) -> list[str]:
        """Return what was said to a screen reader of itself."""
        return [note["text"] for note in self.noted if note["at"] in SPOKEN]

    def faults(self) -> list[str]:
        """Tell of each key shown instead of words, of words in another language, and of what was wider than the screen."""
        return [note["text"] for note in self.noted if note["at"] == "width" or self._is_wrong(note)]

    def _note(self, note: dict[str, str]) -> None:
        self.noted.append(note)

    def _is_wrong(self, note: dict[str, str]) -> bool:
        is_foreign = OF_ANOTHER_LANGUAGE[self.reader.language].search(note["text"])
        return bool(KEY_LIKE.search(note["text"]) or (is_foreign and note["language"] == self.reader.language))


@asynccontextmanager
async def open_house(folder: Path, *options: str, **settings: str) -> AsyncIterator[House]:
    """Run one service and one browser for all readers."""
    async with embedded_service(folder, *options, settings=settings) as service, async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM)
        yield service, browser
        await browser.close()


@asynccontextmanager
async def reading(house: House, reader: Reader, path: str = "", **options: Any) -> AsyncIterator[Visit]:
    """Visit as this reader, who wants no motion."""
    service, browser = house
    look: dict[str, Any] = {"color_scheme": reader.theme, "reduced_motion": "reduce", **options}
    async with visit(browser, service.url + path, locale=reader.locale, **look) as seen:
        await seen.page.set_viewport_size({"width": reader.width, "height": HEIGHT})
        yield seen
