"""Location of the page in a photo: several candidates, of which the best is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial

import numpy as np

from ecg_trt.config import ReadOptions
from ecg_trt.corrections import Corrections, Point
from ecg_trt.errors import PageError, ResolutionError
from ecg_trt.geometry.grid import node_mm
from ecg_trt.geometry.homography import apply_homography
from ecg_trt.geometry.offsets import LinePlaces
from ecg_trt.geometry.refine import (
    Refined,
    follow_lines,
    follow_small_boxes,
    refine_grid,
    smoothed,
    subdivided,
    warped,
    without_strays,
)
from ecg_trt.ops.base import ImageOps
from ecg_trt.page.candidate import LocatedPage, PageCandidate
from ecg_trt.page.corrected import aligned_by_corners, with_way_up, without_surroundings
from ecg_trt.page.name_places import name_boxes
from ecg_trt.page.naming import DOUBTFUL_LABELS, name_page
from ecg_trt.page.realignment import may_extend_beyond_view, mirror, refine_alignment, rotate90, scale, turned_alike
from ecg_trt.page.rejection import reject_without_signs, reject_without_strips
from ecg_trt.page.sheets import sheets_of
from ecg_trt.page.strips import slant_of
from ecg_trt.page.without_grid import rectify_without_grid
from ecg_trt.stages.align import Align, check_resolution, rotate, sheet_alignment
from ecg_trt.stages.rectify import PageHeatmaps, Rectify, px_per_mm_of
from ecg_trt.step_timer import StepTimer
from ecg_trt.types import GridWarp, PageAlignment, Photo

_HARDLY_LABELS = 0.05  # Score of names, the best of four directions, below which a page without a grid is rejected.
_MOST_SHEETS = 3  # Sheets of paper that are tried alone.
_OTHER_SCALES = (0.8, 0.64, 1.25)  # Scales that are tried where no grid is seen.
_LEAST_MARGIN_MM = 10.0  # Least margin above or below the view before that makes it worthwhile.
# Least gain in score of each refined candidate over the one before; refinement ends when rows grow by less than 10 %.
_LAST_GAINS, _GROWN = (0.0, 0.1, 0.1), 1.1
_FURTHER_ROW = 0.05  # Gain in score that only a further row brings.
_TURNED = 0.05  # Gain in score that a page turned by a quarter, or seen again, must bring.
_SAME_VIEW = 0.1  # Share of the page's diagonal by which two alignments that show the same differ at most.


class PageLocator:
    """Locator of the page: photo to `LocatedPage`.

    Args:
        align: stage 0.
        rectify: stage 1.
        ops: image operations.
    """

    def __init__(self, align: Align, rectify: Rectify, ops: ImageOps) -> None:
        self.align, self.rectify, self.ops = align, rectify, ops

    def __call__(self, photo: Photo, options: ReadOptions, clock: StepTimer) -> LocatedPage:
        """Find the candidate that shows most of the page, and refine it.

        Other views are tried where the page is not found, hardly legible or of no known layout.

        Args:
            photo: the photo.
            options: layout, if it is known, and least resolution.
            clock: timer of the steps.

        Raises:
            PageError: no page is found, or its resolution is too low.
        """
        found = self._most_legible(photo, options, clock)
        check_resolution(px_per_mm_of(found.grid), options.min_px_per_mm, photo.source)
        with clock("refine"):
            return self._located(photo, found)

    def other_ways(
        self, photo: Photo, located: LocatedPage, options: ReadOptions, clock: StepTimer
    ) -> Iterator[PageCandidate]:
        """Look at a page upside down, mirrored, and both, as far as it shows strips then.

        Args:
            photo: the photo.
            located: the page as it was found.
            options: layout, if it is known.
            clock: timer of the steps.
        """
        found = located.alignment
        for alignment in (rotate90(found, 2), mirror(found), rotate90(mirror(found), 2)):
            candidate = self._candidate(photo, alignment, options.layout, clock)
            if candidate.naming is not None:
                yield candidate

    def locate_anew(
        self, photo: Photo, first: PageAlignment | None, corrections: Corrections, options: ReadOptions,
        clock: StepTimer,
    ) -> tuple[Photo, LocatedPage]:  # fmt: skip
        """Locate a page where corrections say that it lies; it is neither turned nor looked for elsewhere.

        Args:
            photo: the photo.
            first: alignment that is corrected; None only where `Corrections.corners` are given.
            corrections: of the alignment.
            options: layout, if it is known, and least resolution.
            clock: timer of the steps.

        Returns:
            The photo, without what lies beside corners that are given; and the page.

        Raises:
            PageError: no strips are found, or the resolution of the page is too low.
        """
        with clock("align"):
            if corrections.corners is None:
                assert first is not None
                alignments = [first]
            else:
                photo, alignments = self._by_corners(photo, corrections.corners)
        candidates = [
            self._candidate(photo, with_way_up(alignment, corrections), options.layout, clock)
            for alignment in alignments
        ]
        # At a wrong scale, lines are taken for one another, and few of them fit.
        best = max(candidates, key=lambda candidate: candidate.score + float(candidate.grid.measured.mean()))
        located = self.refined(photo, best, options, clock)
        check_resolution(px_per_mm_of(located.grid), options.min_px_per_mm, photo.source)
        return photo, located

    def _by_corners(self, photo: Photo, corners: Sequence[Point]) -> tuple[Photo, list[PageAlignment]]:
        """Align a page by its corners at the scales that stage 0 sees and that pages mostly have; hide all else."""
        places = np.array(corners)
        sheets = self.align(photo, sheet=places), sheet_alignment(places)
        alignments = [aligned_by_corners(corners, sheet) for sheet in sheets]
        (image,) = self.ops.download(photo.image)
        hidden = self.ops.upload(without_surroundings(image, alignments[0]))
        return replace(photo, image=hidden), alignments

    def named_as(self, located: LocatedPage, layout: str, source: str) -> LocatedPage:
        """Find the strips of a located page anew, and name them by a layout.

        Args:
            located: the page.
            layout: name of a layout, `layout.STRIPS`, or "auto".
            source: of the photo, for the message.

        Raises:
            NoEcgFoundError: no strips are found.
        """
        naming = name_page(located.heatmaps, layout, is_scaled=located.grid.is_seen)
        if naming is None:
            raise reject_without_strips(source)
        return replace(located, naming=naming, text_mask=name_boxes(naming.strips, located.heatmaps.label))

    def refined(self, photo: Photo, candidate: PageCandidate, options: ReadOptions, clock: StepTimer) -> LocatedPage:
        """Refine a candidate, at another scale if no grid is seen, to a located page.

        Raises:
            NoEcgFoundError: no strips are found.
        """
        candidate = self._on_scale(photo, candidate, options.layout, clock)
        candidate = self._refine_candidate(photo, candidate, options.layout, clock)
        if candidate.naming is None:
            raise reject_without_strips(photo.source)
        with clock("refine"):
            return self._located(photo, candidate)

    def _located(self, photo: Photo, found: PageCandidate) -> LocatedPage:
        """Bring all of a candidate to the frame of its refined grid."""
        assert found.naming is not None
        refined = found.refined or self.refine(photo, found)
        heatmaps = found.heatmaps
        if refined.source_mm is not None:
            heatmaps = heatmaps.warped(refined.source_mm, refined.grid.mm_per_cell)
        naming = replace(found.naming, strips=refined.strips)
        return LocatedPage(found.alignment, refined.grid, heatmaps, refined.text_mask, naming)

    def _most_legible(self, photo: Photo, options: ReadOptions, clock: StepTimer) -> PageCandidate:
        found: list[PageCandidate] = []
        aligned: list[PageAlignment] = []
        looks: list[PageCandidate] = []
        rejected: list[PageError] = []
        for align in self._views(photo, options, found, aligned, clock):
            try:
                with clock("align"):
                    aligned.append(align())
                candidate = self.locate(photo, aligned[-1], options.layout, looks, clock)
            except PageError as error:
                if isinstance(error, ResolutionError) and not (found or rejected):
                    raise
                # A traceback would keep this frame, and so the photo, alive.
                rejected.append(error.with_traceback(None))
                continue
            if candidate is not None:
                found.append(candidate)
                if candidate.is_confident:
                    return candidate
        if not found:
            raise rejected.pop(0)
        return max(found, key=lambda candidate: candidate.score)

    def refine(self, photo: Photo, candidate: PageCandidate) -> Refined:
        """Refine the grid by the printed lines, or by the heatmaps where no lines are seen."""
        assert candidate.naming is not None
        grid, strips = candidate.grid, candidate.naming.strips
        grid = without_strays(grid)
        text_mask = name_boxes(strips, candidate.heatmaps.label)
        page = self.rectify.flatten_rows(photo, grid, strips)
        if grid.is_seen:
            places = LinePlaces.of(grid, page.origin_mm)
            offsets = self.ops.line_offsets(page.image, page.px_per_mm, places)
            grid = subdivided(refine_grid(grid, offsets, places, page.px_per_mm, page.seen.shape))
            page = self.rectify.flatten_rows(photo, grid, strips)
            places = LinePlaces.of(grid, page.origin_mm, every=2)
            offsets = self.ops.line_offsets(page.image, page.px_per_mm, places)
            return Refined(smoothed(follow_lines(grid, offsets), nodes_a_line=2), strips, text_mask)
        followed = follow_small_boxes(grid, replace(page, image=self.ops.download(page.image)[0]))
        if followed is None:
            return rectify_without_grid(grid, strips, text_mask, (candidate.heatmaps.start, candidate.heatmaps.end))
        moved_grid, move = followed
        source_mm = node_mm(move.shape, grid.mm_per_cell) + move
        moved_strips = warped(strips, move, grid.mm_per_cell)
        moved_mask = name_boxes(moved_strips, candidate.heatmaps.warped(source_mm, grid.mm_per_cell).label)
        return Refined(smoothed(moved_grid), moved_strips, moved_mask, source_mm)

    def search_margins(self, photo: Photo, page: LocatedPage | PageCandidate) -> tuple[GridWarp, PageHeatmaps] | None:
        """Find the heatmaps of the page farther from its rows.

        The result has a grid and a frame of its own. None where no grid shows how the page goes on, or where the photo
        shows no more of it.
        """
        if page.naming is None or not page.grid.is_seen:
            return None
        grid, strips = page.grid, page.naming.strips
        try:
            alignment = refine_alignment(page.alignment, grid, strips, more_rows=True)
        except PageError:
            return None
        assert alignment is not None
        w, h = page.alignment.size_mm
        before = alignment.page_from_photo @ np.linalg.inv(page.alignment.page_from_photo)
        top, *_, bottom = sorted(apply_homography(before, np.array([[0, 0], [w, 0], [0, h], [w, h]]))[:, 1])
        if max(top, alignment.size_mm[1] - bottom) < _LEAST_MARGIN_MM:
            return None
        return self.rectify(photo, alignment)

    def _candidate(self, photo: Photo, alignment: PageAlignment, layout: str, clock: StepTimer) -> PageCandidate:
        """Read grid, heatmaps and named strips by one alignment."""
        with clock("rectify"):
            grid, heatmaps = self.rectify(photo, alignment)
        with clock("layout"):
            return PageCandidate(alignment, grid, heatmaps, name_page(heatmaps, layout, is_scaled=grid.is_seen))

    def _views(
        self,
        photo: Photo,
        options: ReadOptions,
        found: Sequence[PageCandidate],
        aligned: Sequence[PageAlignment],
        clock: StepTimer,
    ) -> Iterator[Callable[[], PageAlignment]]:
        """Yield alignments to try, one after the other.

        First the whole photo, then with stretched contrast, then from near; where neither print nor a grid is seen so,
        each sheet of paper. `found` and `aligned` grow while the caller tries them.
        """
        align = partial(self.align, photo, min_px_per_mm=options.min_px_per_mm)
        yield align
        yield partial(align, stretched=True)
        if aligned:
            near = max(found, key=lambda candidate: candidate.score).alignment if found else aligned[-1]
            yield partial(align, near=near)
        if any(candidate.is_legible or candidate.grid.is_seen for candidate in found):
            return
        with clock("align"):
            sheets = sheets_of(photo, self.ops, _MOST_SHEETS)
        for sheet in sheets:
            yield partial(align, sheet=sheet)

    def locate(
        self, photo: Photo, alignment: PageAlignment, layout: str, looks: list[PageCandidate], clock: StepTimer
    ) -> PageCandidate | None:
        """Find the best candidate near one alignment.

        Where no grid is seen, other scales are tried. Where grid, strips or names are still uncertain, the alignment is
        refined by the best candidate.

        Args:
            photo: the photo.
            alignment: from stage 0.
            layout: name of a layout, or "auto".
            looks: earlier looks at the photo by other alignments; this one is added.
            clock: timer of the steps.

        Returns:
            None where an earlier look showed as much.

        Raises:
            PageError: no ECG is seen.
        """
        look = self._look(photo, alignment, layout, looks, clock)
        if look is None:
            return None
        looks.append(look)
        if look.label_score < _HARDLY_LABELS and not look.grid.is_seen:
            raise (reject_without_strips if look.naming is None else reject_without_signs)(photo.source)
        best = self._on_scale(photo, look, layout, clock)
        best = self._refine_candidate(photo, best, layout, clock)
        if best.naming is None:
            raise reject_without_strips(photo.source)
        if best.label_score < DOUBTFUL_LABELS and not best.grid.is_seen:
            raise reject_without_signs(photo.source)
        return best

    def _look(
        self, photo: Photo, alignment: PageAlignment, layout: str, looks: Sequence[PageCandidate], clock: StepTimer
    ) -> PageCandidate | None:
        """Look at the photo by one alignment, in all four directions until lead names can be read.

        Where no grid is seen, slanted rows are made level first. An alignment that hardly differs from an earlier look
        is tried in the direction that was best then, and in others only if it shows more, or a grid at last; None where
        it does not.
        """
        for earlier in looks:
            turned, apart = turned_alike(alignment, earlier.alignment)
            if apart < _SAME_VIEW:
                best = self._candidate(photo, turned, layout, clock)
                shows_grid = best.grid.is_seen and not earlier.grid.is_seen
                if not shows_grid and best.score <= earlier.score + _TURNED:
                    return None
                break
        else:
            best = self._candidate(photo, alignment, layout, clock)
        alignment = best.alignment
        slant = 0.0 if best.grid.is_seen else slant_of(best.heatmaps.zero)
        if slant:
            candidate = self._candidate(photo, rotate(alignment, -slant), layout, clock)
            best = candidate if candidate.score > best.score else best
            alignment = best.alignment
        for quarters in (2, 1, 3):
            if best.is_upright:
                break
            candidate = self._candidate(photo, rotate90(alignment, quarters), layout, clock)
            best = candidate if candidate.score > best.score + _TURNED else best
        return best

    def _on_scale(self, photo: Photo, first: PageCandidate, layout: str, clock: StepTimer) -> PageCandidate:
        """Try other scales of a candidate in which no grid is seen."""
        best = first
        for factor in _OTHER_SCALES:
            if best.grid.is_seen:
                break
            candidate = self._candidate(photo, scale(first.alignment, factor), layout, clock)
            if candidate.grid.is_seen and candidate.label_score > 0.5 * first.label_score:
                best = candidate
        return best

    def _refine_candidate(self, photo: Photo, best: PageCandidate, layout: str, clock: StepTimer) -> PageCandidate:
        """Refine the alignment by the best candidate, until a candidate is conclusive or no better than the last."""
        for least_gain in _LAST_GAINS:
            if best.naming is None:
                break
            goes_on = may_extend_beyond_view(best.naming, best.grid, photo.image.shape[:2])
            if best.is_conclusive and not goes_on:
                break
            # A wider view is coarser: a layout with a rhythm strip is viewed as it is first, then for a further one.
            has_rhythm = best.naming.is_known and bool(best.naming.layout.rhythm_rows)
            more_rows = bool(best.naming.missing) or (goes_on and (best.is_conclusive or not has_rhythm))
            with clock("refine"):
                refined = self.refine(photo, best)
            best = replace(best, refined=refined)
            better = refine_alignment(best.alignment, *refined[:2], more_rows=more_rows)
            if better is None:
                break
            candidate = self._candidate(photo, better, layout, clock)
            # What is conclusive is viewed again for further rows alone, and without one stays as it is.
            if candidate.wide_score <= best.wide_score + max(least_gain, _FURTHER_ROW * best.is_conclusive):
                break
            has_grown, best = candidate.length_mm > _GROWN * best.length_mm, candidate
            if not has_grown:
                break
        return best
