"""Grid indexing: row and column of each detected grid intersection."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ecg_trt.errors import OptionError
from ecg_trt.types import Array

_MAX_JUMP = 3  # Cells; gaps of up to two missing nodes are bridged.
_MAX_SEEDS = 6  # Seeds from which indexing is tried, each among the candidates that earlier ones left.
_SIDES = np.array([(1, 0), (-1, 0), (0, 1), (0, -1)])  # (col, row)
_BACK = np.array([[-1.0], [1.0], [-1.0], [1.0]])  # Sign of the step from the neighbour on each side, along its axis.
_EACH_SIDE, _AXIS = np.arange(4), np.array([0, 0, 1, 1])  # The sides, and the axis along which each lies.
_ONES = np.ones(4)
_OPEN, _WALL = -1, -2


@dataclass(frozen=True, slots=True)
class GridIndex:
    """Row and column of each candidate.

    Attributes:
        index: (N, 2) int32 (col, row), the least of each being 0; -1 where not found.
        found: (N,) bool.
    """

    index: Array
    found: Array


def index_grid(xy: Array, score: Array, step_x: Array, step_y: Array, *, tolerance: float = 0.3) -> GridIndex:
    """Assign rows and columns to candidate nodes, with no fixed number of either.

    From the best candidate, indexing spreads in waves to the four neighbours. Each open position is predicted
    from all indexed neighbours by their own running estimate of the local step, since paper folds, and taken
    by the nearest candidate. Certain steps come first: half the tolerance, then all of it, then jumps over one
    and two missing nodes. Where two candidates want one position, or two positions one candidate, the better
    of distance and score wins. Nodes at odds with most of their neighbours are dropped, and the largest
    component is kept.

    Args:
        xy: (N, 2) candidates, photo px.
        score: (N,) in [0, 1].
        step_x: (2,) photo px from a node to its right-hand neighbour, roughly, near the best candidates.
        step_y: (2,) photo px from a node to the one below it, likewise.
        tolerance: greatest distance between prediction and candidate, in local pitches.

    Raises:
        OptionError: shapes that do not match, or steps that are (nearly) zero or parallel.
    """
    points, trust = np.asarray(xy, np.float64).reshape(-1, 2), np.asarray(score, np.float64)
    step = np.stack([np.asarray(step_x, np.float64), np.asarray(step_y, np.float64)])
    _check(points, trust, step)
    usable = np.flatnonzero(np.isfinite(points).all(1))
    usable = usable[np.argsort(-trust[usable], kind="stable")]
    index = np.full((len(points), 2), -1, np.int32)
    if usable.size:
        indexer = _Indexer(points[usable], trust[usable], step, tolerance)
        index[usable] = indexer.largest()
    return GridIndex(index, index[:, 0] >= 0)


def grid_array(xy: Array, indexed: GridIndex) -> Array:
    """Arrange the indexed nodes as (rows, cols, 2) float32, NaN = none; (0, 0, 2) if none was found."""
    if not indexed.found.any():
        return np.zeros((0, 0, 2), np.float32)
    cols, rows = indexed.index[indexed.found].max(axis=0) + 1
    nodes = np.full((rows, cols, 2), np.nan, np.float32)
    col, row = indexed.index[indexed.found].T
    nodes[row, col] = np.asarray(xy)[indexed.found]
    return nodes


def _check(points: Array, trust: Array, step: Array) -> None:
    if trust.shape != points.shape[:1] or step.shape != (2, 2):
        raise OptionError(
            "The grid cannot be indexed",
            got=f"{len(points)} candidates, scores {trust.shape}, steps {step.shape[1:]}",
            expected="one score a candidate and steps of shape (2,)",
            hint="Pass xy (N, 2), score (N,), step_x (2,) and step_y (2,).",
        )
    area = abs(float(step[0, 0] * step[1, 1] - step[0, 1] * step[1, 0]))
    if not area > 0.1 * float(np.prod(np.linalg.norm(step, axis=1))):
        raise OptionError(
            "The grid cannot be indexed",
            got=f"steps {step.tolist()}",
            expected="two steps of some length, well apart in direction",
            hint="Estimate the steps from the local frame of the paper.",
        )


def _from_zero(index: Array) -> Array:
    """Shift an index (N, 2) to a least col and row of 0, as int32; it stays -1 where it is negative."""
    out = np.full(index.shape, -1, np.int32)
    held = index[:, 0] >= 0
    if held.any():
        out[held] = index[held] - index[held].min(axis=0)
    return out


def _is_first(ordered: Array) -> Array:
    """Mark the first of each run of equal values, (N,) bool."""
    first = np.ones(len(ordered), bool)
    np.not_equal(ordered[1:], ordered[:-1], out=first[1:])
    return first


class _Indexer:
    """Several attempts over one set of candidates (sorted by score, best first)."""

    def __init__(self, xy: Array, score: Array, step: Array, tolerance: float) -> None:
        self._xy, self._score, self._first_step, self._tol = xy, score, step, tolerance
        pitch = np.linalg.norm(step, axis=1)
        from scipy.spatial import cKDTree

        self._tree, self._reach = cKDTree(xy), 1.5 * tolerance * float(pitch.max())
        half = int(np.ceil(np.hypot(*np.ptp(xy, axis=0)) / (0.4 * float(pitch.min()))))
        self._side = 2 * min(half, len(xy) * _MAX_JUMP) + 4 * _MAX_JUMP + 1
        self._sides = _SIDES[:, 0] + self._side * _SIDES[:, 1]

    def largest(self) -> Array:
        """Index the largest component: (N, 2) int32, -1 elsewhere."""
        n = len(self._xy)
        rank = self._seed_rank()
        used = np.zeros(n, bool)
        best, best_count = np.full((n, 2), -1, np.int32), 0
        for _ in range(_MAX_SEEDS):
            if (~used).sum() <= best_count:
                break
            seed = int(np.argmax(np.where(used, -np.inf, rank)))
            index = self._grow(seed, used)
            used |= index[:, 0] >= 0
            used[seed] = True
            index = self._consistent(index)
            count = int((index[:, 0] >= 0).sum())
            if count > best_count:
                best, best_count = index, count
        return best

    def _seed_rank(self) -> Array:
        """Rank seeds by the neighbours where the first step expects them, then score, then nearness to the middle."""
        moves = _SIDES @ self._first_step
        query = (self._xy[:, None] + moves).reshape(-1, 2)
        distance, _ = self._tree.query(query, distance_upper_bound=self._reach)
        close = distance.reshape(-1, 4) <= self._tol * np.linalg.norm(moves, axis=1)
        off = np.linalg.norm(self._xy - np.median(self._xy, axis=0), axis=1)
        return np.asarray(close.sum(1) + self._score - off / (off.max() + 1e-9))

    def _grow(self, seed: int, used: Array) -> Array:
        """Index the component that grows from one candidate: (N, 2) int32, -1 elsewhere."""
        n, side = len(self._xy), self._side
        rim = np.full((side, side), _WALL)
        rim[_MAX_JUMP:-_MAX_JUMP, _MAX_JUMP:-_MAX_JUMP] = _OPEN
        self._at = rim.ravel()  # Grid position (row * side + col) -> candidate.
        self._cell = np.full(n, -1)  # Candidate -> grid position.
        self._step = np.tile(self._first_step, (n, 1, 1))
        self._free = np.append(~used, False)
        self._place(np.array([seed]), np.array([(side // 2) * (side + 1)]))
        levels = [(1, 0.5), (1, 1.0), *((k, 1.0) for k in range(2, _MAX_JUMP + 1))]
        level, frontier = 0, np.array([seed])
        while level < len(levels):
            jump, share = levels[level]
            new = self._spread(frontier, jump, share * self._tol)
            if new.size:
                level, frontier = 0, new
            else:
                level += 1
                frontier = np.flatnonzero(self._cell >= 0)
        index = np.stack([self._cell % side, self._cell // side], axis=1)
        return _from_zero(np.where(self._cell[:, None] >= 0, index, -1))

    def _place(self, nodes: Array, cells: Array) -> None:
        self._at[cells] = nodes
        self._cell[nodes] = cells
        self._free[nodes] = False

    def _spread(self, frontier: Array, jump: int, tolerance: float) -> Array:
        """Spread by one wave; return the (M,) candidates newly placed."""
        cells = self._open_cells(frontier, jump)
        if not cells.size:
            return cells
        x, y, step, pitch, near = self._predict(cells, jump)
        # Where none is near, the distance is infinite, and the index that of no candidate, which is never free.
        distance, node = self._tree.query(np.stack([x, y], 1), distance_upper_bound=self._reach)
        cost = distance / pitch
        good = np.flatnonzero(self._free[node] & (cost <= tolerance))
        if not good.size:
            return good
        # Claims are ordered from the best; of all claims for one candidate only the first stands.
        order = good[np.argsort(cost[good] - 0.1 * self._score[node[good]], kind="stable")]
        claimed = node[order]
        by_node = np.argsort(claimed, kind="stable")
        first = order[by_node[_is_first(claimed[by_node])]]
        node = node[first]
        self._place(node, cells[first])
        self._step[node] = self._measured_step(node, step[first], near[first], jump)
        return np.asarray(node)

    def _open_cells(self, frontier: Array, jump: int) -> Array:
        """Empty grid positions (C,) `jump` away from the frontier, with no node in between."""
        base, sides = self._cell[frontier][:, None], self._sides
        cells = base + jump * sides
        is_open = self._at[cells] == _OPEN
        for k in range(1, jump):
            is_open &= self._at[base + k * sides] == _OPEN
        found = np.sort(cells[is_open])
        return found[_is_first(found)]

    def _neighbours(self, cells: Array, jump: int) -> Array:
        """Candidates (C, 4) that stand `jump` away on each side, negative for none (or one nearer by)."""
        at: Array = self._at[cells[:, None] + jump * self._sides]
        for k in range(1, jump):
            at = np.where(self._at[cells[:, None] + k * self._sides] >= 0, _OPEN, at)
        return at

    def _predict(self, cells: Array, jump: int) -> tuple[Array, Array, Array, Array, Array]:
        """Predict x, y (C,), step (C, 2, 2), pitch (C,) and neighbours (C, 4) of open positions."""
        near = self._neighbours(cells, jump)
        there, held = near >= 0, np.maximum(near, 0)
        share = there / np.maximum(there @ _ONES, 1)[:, None]
        step = self._step[held]
        move = step[:, _EACH_SIDE, _AXIS] * (jump * _BACK)
        at = self._xy[held] + move
        x, y = ((at[..., k] * share) @ _ONES for k in (0, 1))
        mean = (share[:, None] @ step.reshape(-1, 4, 4)).reshape(-1, 2, 2)
        pitch = 0.5 * np.hypot(mean[..., 0], mean[..., 1]) @ _ONES[:2]
        return x, y, mean, pitch, near

    def _measured_step(self, node: Array, step: Array, near: Array, jump: int) -> Array:
        """Average the neighbours' step with the steps measured on the way from them."""
        seen = (near >= 0).astype(np.float64)
        delta = (self._xy[node][:, None] - self._xy[np.maximum(near, 0)]) * (_BACK / jump) * seen[..., None]
        total = step + delta[:, ::2] + delta[:, 1::2]
        return np.asarray(total / (1 + seen[:, ::2] + seen[:, 1::2])[..., None])

    def _consistent(self, index: Array) -> Array:
        """Drop nodes at odds with most neighbours, then all but the largest component."""
        held = np.flatnonzero(index[:, 0] >= 0)
        cols, rows = index[held].max(axis=0) + 1
        at = np.full((rows, cols), -1)
        at[index[held, 1], index[held, 0]] = held
        good, bad = (np.zeros(len(index), int) for _ in range(2))
        for axis in (0, 1):
            a, b, fits = self._edges(at, axis, 1)
            for ends in (a, b):
                np.add.at(good, ends[fits], 1)
                np.add.at(bad, ends[~fits], 1)
        at[(at >= 0) & (bad > good)[at]] = -1
        return self._component(at, len(index))

    def _edges(self, at: Array, axis: int, jump: int) -> tuple[Array, Array, Array]:
        """Candidates at both ends of the edges along an axis (0 = x), and a mask of the edges that fit their steps."""
        grid = at.T if axis else at
        a, b = grid[:, :-jump], grid[:, jump:]
        both = (a >= 0) & (b >= 0)
        a, b = a[both], b[both]
        step = 0.5 * (self._step[a, axis] + self._step[b, axis])
        miss = np.linalg.norm(self._xy[b] - self._xy[a] - jump * step, axis=1)
        return a, b, miss <= 1.5 * self._tol * np.linalg.norm(step, axis=1)

    def _component(self, at: Array, n: int) -> Array:
        """Keep the largest component: nodes and fitting edges are painted at double size and labelled as an image."""
        import cv2

        rows, cols = at.shape
        place = np.zeros((n, 2), int)
        row, col = np.nonzero(at >= 0)
        place[at[row, col]] = np.column_stack([row, col]) * 2
        paint = np.zeros((2 * rows, 2 * cols), np.uint8)
        paint[2 * row, 2 * col] = 1
        for axis in (0, 1):
            for jump in range(1, _MAX_JUMP + 1):
                a, _, fits = self._edges(at, axis, jump)
                start = place[a[fits]]
                for k in range(1, 2 * jump):
                    paint[start[:, 0] + k * axis, start[:, 1] + k * (1 - axis)] = 1
        _, label = cv2.connectedComponents(paint, connectivity=4)
        out = np.full((n, 2), -1)
        if row.size:
            names = label[2 * row, 2 * col]
            kept = names == np.argmax(np.bincount(names))
            out[at[row[kept], col[kept]]] = np.column_stack([col[kept], row[kept]])
        return _from_zero(out)
