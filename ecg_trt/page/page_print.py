"""Print of a page, read from near: the names of its leads, and with them the way up."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TypeVar

from ecg_trt.config import AUTO, ReadOptions
from ecg_trt.errors import PageError
from ecg_trt.page.candidate import LocatedPage, PageCandidate
from ecg_trt.page.lead_names import read_names, with_shared_name
from ecg_trt.page.locator import PageLocator
from ecg_trt.stages.caption import Caption
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import Photo

_CALIBRATION_TEXT, _OTHER_WAY = 4.0, 2.0  # Log-odds of legible calibration text, and against another way up.
_Page = TypeVar("_Page", PageCandidate, LocatedPage)


class PagePrint:
    """Reader of the print of pages that were located.

    Args:
        find: locates pages the other ways up.
        caption: reads lines of text.
    """

    def __init__(self, find: PageLocator, caption: Caption) -> None:
        self._find, self._caption = find, caption

    def upright(self, photo: Photo, located: LocatedPage, options: ReadOptions, clock: StepTimer) -> LocatedPage:
        """Take a page the way up, mirrored or not, in which most of its print is legible, and read its names.

        Another way than that in which stage 1 sees the page upright is tried where its names are not legible, or make
        no known layout.

        Args:
            photo: the photo.
            located: the page as it was found.
            options: layout, if it is known.
            clock: timer of the steps.
        """
        with clock("names"):
            named = self.named(photo, located, options)
            has_names = named.naming.legible > 0 and (named.naming.is_known or options.layout != AUTO)
            if has_names or self._has_calibration_text(photo, named):
                return named
        best, most = named, named.naming.upright_log_odds + _OTHER_WAY
        for way in self._find.other_ways(photo, located, options, clock):
            with suppress(PageError):
                # Mirrored pages are rare: such a look is refined only where its print is more legible as it is.
                if way.alignment.is_mirrored != located.alignment.is_mirrored:
                    with clock("names"):
                        if self._log_odds(photo, self.named(photo, way, options), most) <= most:
                            continue
                refined = self._find.refined(photo, way, options, clock)
                with clock("names"):
                    other = self.named(photo, refined, options)
                    log_odds = self._log_odds(photo, other, most)
                if log_odds > most:
                    best, most = other, log_odds
        return best

    def named(self, photo: Photo, page: _Page, options: ReadOptions) -> _Page:
        """Read the names of the leads of a page with strips; on a GPU, this uses the flat page's memory.

        Args:
            photo: the photo.
            page: its strips are named as stage 1 sees them.
            options: layout, if it is known.
        """
        assert page.naming is not None
        label, is_given = page.heatmaps.label, options.layout != AUTO
        line_at = partial(self._caption.line_at, photo, page.grid)
        naming = read_names(page.naming, label, line_at, is_given=is_given)
        if naming.is_nameless and not is_given:
            naming = with_shared_name(naming, self._caption.lead_in_text(photo, page.grid, label))
        return replace(page, naming=naming)

    def _log_odds(self, photo: Photo, named: LocatedPage | PageCandidate, most: float) -> float:
        """Log-odds that a page is seen the right way; calibration text is read only where it decides about `most`."""
        assert named.naming is not None
        log_odds = named.naming.upright_log_odds
        is_open = most - _CALIBRATION_TEXT < log_odds <= most
        return log_odds + _CALIBRATION_TEXT * (is_open and self._has_calibration_text(photo, named))

    def _has_calibration_text(self, photo: Photo, page: LocatedPage | PageCandidate) -> bool:
        """Tell if calibration text is legible on a page or around it."""
        if self._caption(photo, page.grid, page.heatmaps.label):
            return True
        margins = self._find.search_margins(photo, page)
        return margins is not None and bool(self._caption(photo, margins[0], margins[1].label))
