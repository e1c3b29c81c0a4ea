"""Homographies between planes, letterboxes and their derivatives.

A matrix is named `dst_from_src` and acts on column vectors (x, y, 1). Pixel centres lie at integers; a
scaling keeps the corners of the picture, not the centres of its corner pixels, in place:
dst = (src + 0.5) * scale - 0.5.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.errors import OptionError, PageError
from ecg_trt.types import Array, GridWarp

_SAMPLES_PER_ROUND = 64
_AT_ONCE = 16  # Candidates whose errors are computed together; their arrays then stay in the processor's cache.
_SOME_POINTS = 8  # Candidates are first scored on every eighth point, and the `_AT_ONCE` cheapest then on all.
_MAX_ROUNDS = 32
_CONFIDENCE = 0.9999
_TRIPLES = np.array([(0, 1, 2), (0, 1, 3), (0, 2, 3), (1, 2, 3)])


@dataclass(frozen=True, slots=True)
class HomographyFit:
    """A homography and how well each point agrees with it.

    Attributes:
        dst_from_src: (3, 3) float64, scaled so that its last entry is 1 (where it is not 0).
        inlier: (N,) bool.
        residual: (N,) float64, distance in the destination's unit; inf for points that are not finite.
    """

    dst_from_src: Array
    inlier: Array
    residual: Array


def apply_homography(dst_from_src: Array, xy: Array) -> Array:
    """Map points through a homography.

    Args:
        dst_from_src: (3, 3).
        xy: (..., 2) points of the source.

    Returns:
        (..., 2) float64 points of the destination; inf or NaN for points on the horizon.
    """
    h = np.asarray(dst_from_src, np.float64)
    points = np.asarray(xy, np.float64)
    mapped = points @ h[:, :2].T + h[:, 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(mapped[..., :2] / mapped[..., 2:])


def jacobian(dst_from_src: Array, xy: Array) -> Array:
    """Derivative of `apply_homography` at each point.

    Args:
        dst_from_src: (3, 3).
        xy: (..., 2) points of the source.

    Returns:
        (..., 2, 2) float64, [i, j] = d dst_i / d src_j.
    """
    h = np.asarray(dst_from_src, np.float64)
    points = np.asarray(xy, np.float64)
    depth = (points @ h[2, :2] + h[2, 2])[..., None, None]
    mapped = apply_homography(h, points)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((h[:2, :2] - mapped[..., :, None] * h[2, :2]) / depth)


def turn_about(angle_rad: float, centre_xy: tuple[float, float]) -> Array:
    """Build the rotation (3, 3) about a point; a positive angle turns x towards y."""
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    x, y = centre_xy
    return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y], [0.0, 0.0, 1.0]])


def letterbox(src_hw: tuple[int, int], dst_hw: tuple[int, int]) -> Array:
    """Uniform scaling that fits one frame, centred, into another.

    Args:
        src_hw: (height, width) of the source, px.
        dst_hw: (height, width) of the destination, px.

    Returns:
        (3, 3) float64 dst_from_src.

    Raises:
        OptionError: a side is not positive.
    """
    if min(*src_hw, *dst_hw) <= 0:
        raise OptionError(
            "A letterbox cannot be laid out",
            got=f"source {src_hw}, destination {dst_hw}",
            expected="heights and widths above zero",
            hint="Pass image shapes as (height, width).",
        )
    scale = min(dst_hw[0] / src_hw[0], dst_hw[1] / src_hw[1])
    shift_x, shift_y = (0.5 * (dst_hw[k] - scale * src_hw[k]) + 0.5 * scale - 0.5 for k in (1, 0))
    return np.array([[scale, 0.0, shift_x], [0.0, scale, shift_y], [0.0, 0.0, 1.0]])


def grid_homography(grid: GridWarp) -> Array:
    """Recover the homography (3, 3) from photo px to page mm of a grid that is exactly one."""
    rows, cols = grid.node_xy.shape[:2]
    corners = [(0, 0), (0, cols - 1), (rows - 1, 0), (rows - 1, cols - 1)]
    photo = np.array([grid.node_xy[c] for c in corners], np.float64)
    page = grid.mm_per_cell * np.array([(c, r) for r, c in corners], np.float64)
    return fit_homography(photo, page, threshold=grid.mm_per_cell).dst_from_src


def fit_homography(
    src_xy: Array, dst_xy: Array, *, threshold: float, weights: Array | None = None, seed: int = 0
) -> HomographyFit:
    """Fit a homography to matches of which some are wrong.

    Samples of four are drawn with a seeded generator and judged by the truncated squared error (MSAC: Torr
    and Zisserman, 2000); the best one is refined on its inliers by weighted, normalised DLT (Hartley, 1997)
    whose rows are divided by the projective depth, so that the error minimised is a distance in the
    destination.

    Args:
        src_xy: (N, 2) points of the source.
        dst_xy: (N, 2) points of the destination; a row with a NaN in either array is no inlier.
        threshold: greatest distance of an inlier, in the destination's unit.
        weights: (N,) trust in each match, None for equal trust.
        seed: of the sampler; the same seed gives the same fit.

    Raises:
        OptionError: shapes that do not match, or a threshold that is not positive.
        PageError: fewer than four usable points, or all of them (nearly) on one line.
    """
    src, dst = np.asarray(src_xy, np.float64), np.asarray(dst_xy, np.float64)
    trust = np.ones(len(src)) if weights is None else np.asarray(weights, np.float64)
    _check_matches(src, dst, trust, threshold)
    usable = np.flatnonzero(np.isfinite(src).all(1) & np.isfinite(dst).all(1) & (trust > 0))
    if usable.size < 4:
        raise _degenerate(f"{usable.size} usable points")
    src, dst, trust = src[usable], dst[usable], trust[usable]
    (a, src_n), (b, dst_n) = _normalise(src), _normalise(dst)
    limit = threshold * b[0, 0]
    h = _consensus(src_n, dst_n, trust, limit, np.random.default_rng(seed))
    h, inside = _refine(h, src_n, dst_n, trust, limit)
    full = np.linalg.inv(b) @ h @ a
    full /= full[2, 2] if abs(full[2, 2]) > 1e-12 * np.abs(full).max() else np.linalg.norm(full)
    residual = np.full(len(src_xy), np.inf)
    residual[usable] = np.linalg.norm(apply_homography(full, src) - dst, axis=1)
    inlier = np.zeros(residual.shape, bool)
    inlier[usable] = inside
    return HomographyFit(full, inlier, residual)


def _check_matches(src: Array, dst: Array, trust: Array, threshold: float) -> None:
    if src.ndim != 2 or src.shape[1:] != (2,) or dst.shape != src.shape or trust.shape != src.shape[:1]:
        raise OptionError(
            "A homography cannot be fitted",
            got=f"shapes {src.shape}, {dst.shape} and weights {trust.shape}",
            expected="(N, 2), (N, 2) and (N,)",
            hint="Pass one destination and one weight for each source point.",
        )
    if not threshold > 0:
        raise OptionError(
            "A homography cannot be fitted",
            got=f"threshold {threshold}",
            expected="a distance above zero",
            hint="Pass the greatest distance of an inlier.",
        )


def _degenerate(got: str) -> PageError:
    return PageError(
        "The page's plane cannot be found",
        got=got,
        expected="at least four points that agree and do not lie on one line",
        hint="Take the photo so that more of the page is seen.",
    )


def _normalise(xy: Array) -> tuple[Array, Array]:
    """Hartley's normalisation: (3, 3) normalised_from_xy and the points, centred at mean distance sqrt 2."""
    centre = np.median(xy, axis=0)
    spread = float(np.mean(np.linalg.norm(xy - centre, axis=1)))
    if spread <= 1e-12 * (1.0 + float(np.abs(centre).max())):
        raise _degenerate("points that all coincide")
    scale = np.sqrt(2.0) / spread
    matrix = np.array([[scale, 0, -scale * centre[0]], [0, scale, -scale * centre[1]], [0, 0, 1.0]])
    return matrix, (xy - centre) * scale


def _double_areas(xy: Array) -> Array:
    """Signed double areas (M, 4) of the four triangles of each sample (M, 4, 2)."""
    p = xy[:, _TRIPLES]
    u, v = p[:, :, 1] - p[:, :, 0], p[:, :, 2] - p[:, :, 0]
    return np.asarray(u[..., 0] * v[..., 1] - u[..., 1] * v[..., 0])


def _equations(src: Array, dst: Array) -> Array:
    """DLT equations (..., 2 N, 9) of matches (..., N, 2)."""
    x, y = src[..., 0], src[..., 1]
    u, v = dst[..., 0], dst[..., 1]
    one, zero = np.ones_like(x), np.zeros_like(x)
    first = np.stack([x, y, one, zero, zero, zero, -u * x, -u * y, -u], axis=-1)
    second = np.stack([zero, zero, zero, x, y, one, -v * x, -v * y, -v], axis=-1)
    return np.concatenate([first, second], axis=-2)


def _four_point(src: Array, dst: Array) -> Array:
    """Homographies (M', 3, 3) through the well-conditioned samples among (M, 4, 2)."""
    area_s, area_d = _double_areas(src), _double_areas(dst)
    # A view from one side of the plane keeps or flips the sense of all triangles together.
    same_side = np.abs(np.sign(area_s * area_d).sum(1)) == 4
    sound = same_side & (np.abs(area_s).min(1) > 1e-4) & (np.abs(area_d).min(1) > 1e-4)
    rows = _equations(src[sound], dst[sound])
    try:
        solved = np.linalg.solve(rows[..., :8], -rows[..., 8:])[..., 0]
    except np.linalg.LinAlgError:  # The last entry of a sample's homography is 0, which this system cannot express.
        return np.zeros((0, 3, 3))
    return np.concatenate([solved, np.ones((len(solved), 1))], axis=1).reshape(-1, 3, 3)


def _squared_errors(h: Array, src: Array, dst: Array) -> Array:
    """Squared distances (M, N) in the destination, inf behind the horizon."""
    px, py = np.ascontiguousarray(src.T)
    x, y, depth = (a[:, None] * px + b[:, None] * py + c[:, None] for a, b, c in h.transpose(1, 2, 0))
    # Points on both sides of the horizon cannot all be seen: those off the majority's side are no inliers.
    side = np.sign(np.count_nonzero(depth > 0, axis=1) - np.count_nonzero(depth < 0, axis=1))
    behind = ~(depth * side[:, None] > 1e-9)
    depth[behind] = 1.0
    error = np.zeros(depth.shape)
    for mapped, wanted in ((x, dst[:, 0]), (y, dst[:, 1])):
        off = mapped / depth
        off -= wanted
        off *= off
        error += off
    error[behind] = np.inf
    return error


def _costs(h: Array, src: Array, dst: Array, trust: Array, limit: float) -> Array:
    """Weighted sums (M,) of the squared errors, each truncated at the square of the limit."""
    few = (h[k : k + _AT_ONCE] for k in range(0, len(h), _AT_ONCE))
    # BLAS is avoided here, because its threads take longer to start than a few candidates take to score.
    return np.concatenate([np.einsum("mn,n->m", np.minimum(_squared_errors(some, src, dst), limit**2), trust)
                           for some in few])  # fmt: skip


def _cheapest(h: Array, src: Array, dst: Array, trust: Array, limit: float) -> tuple[float, Array]:
    """Find a homography of least cost among (M, 3, 3), or nearly so: its cost, and the homography."""
    every = slice(None, None, _SOME_POINTS)
    rest = h[np.argsort(_costs(h, src[every], dst[every], trust[every], limit), kind="stable")[:_AT_ONCE]]
    cost = _costs(rest, src, dst, trust, limit)
    k = int(cost.argmin())
    return float(cost[k]), rest[k]


def _samples(rng: np.random.Generator, n: int) -> Array:
    """Draw samples (M, 4) of four different ones of n > 4 points."""
    drawn = rng.integers(n, size=(_SAMPLES_PER_ROUND, 4))
    ordered = np.sort(drawn, axis=1)
    return np.asarray(drawn[(ordered[:, 1:] != ordered[:, :-1]).all(1)])


def _consensus(src: Array, dst: Array, trust: Array, limit: float, rng: np.random.Generator) -> Array:
    n, best_cost, best = len(src), np.inf, None
    for done in range(1, _MAX_ROUNDS + 1):
        sample = _samples(rng, n) if n > 4 else np.array([[0, 1, 2, 3]])
        candidates = _four_point(src[sample], dst[sample])
        if len(candidates):
            cost, candidate = _cheapest(candidates, src, dst, trust, limit)
            if cost < best_cost:
                best_cost, best = cost, candidate
                share = float(np.mean(_squared_errors(best[None], src, dst) <= limit**2))
                needed = np.log(1 - _CONFIDENCE) / np.log1p(-min(share**4, 1 - 1e-12))
        if n == 4 or (best is not None and done * _SAMPLES_PER_ROUND >= needed):
            break
    if best is None:
        raise _degenerate(f"{n} points, any four of them nearly on a line")
    return np.asarray(best)


def _refine(h: Array, src: Array, dst: Array, trust: Array, limit: float) -> tuple[Array, Array]:
    """Refit by least squares on the inliers until these no longer change: ((3, 3), (N,) bool)."""
    inside = _squared_errors(h[None], src, dst)[0] <= limit**2
    for _ in range(10):
        if inside.sum() < 4:
            raise _degenerate(f"{int(inside.sum())} points in agreement")
        depth = np.abs(src[inside] @ h[2, :2] + h[2, 2])
        scale = np.sqrt(trust[inside]) / np.maximum(depth, 1e-9)
        rows = _equations(src[inside], dst[inside]) * np.tile(scale, 2)[:, None]
        # The triangular factor has the same null space as the equations, and is much smaller.
        _, values, vectors = np.linalg.svd(np.linalg.qr(rows, mode="r"))
        if values[7] <= 1e-7 * values[0]:
            raise _degenerate(f"{int(inside.sum())} points nearly on one line")
        h = vectors[8].reshape(3, 3)
        h = h * np.sign(np.median(src[inside] @ h[2, :2] + h[2, 2]))
        h = h / np.linalg.norm(h)
        now = _squared_errors(h[None], src, dst)[0] <= limit**2
        if np.array_equal(now, inside):
            break
        inside = now
    return h, inside
