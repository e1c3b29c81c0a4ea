"""Hearts with their waves: from each of many sites, the times at which the whole heart is reached."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ecg_trt.types import Array
from train.data.heart.anatomy import Anatomy, draw_anatomy
from train.data.heart.eikonal import EikonalMesh
from train.data.heart.mesh import LOWEST_RV_ROW, heart_mesh

# Nodes of each wall from which waves may start.
SITES: Mapping[str, int] = {"lv_endo": 64, "rv_endo": 30, "lv_epi": 30, "rv_epi": 16}


@dataclass(frozen=True, slots=True)
class Heart:
    """An anatomy with the arrival times of its waves.

    Attributes:
        anatomy: nodes, fibres, volumes.
        sites: wall, as in `SITES`, to the nodes from which waves start.
        arrivals: wall to (sites, n) times, ms, float32.
    """

    anatomy: Anatomy
    sites: dict[str, Array]
    arrivals: dict[str, Array]

    @staticmethod
    def draw(seed: int) -> Heart:
        """Draw an anatomy and sites, and compute the waves; some seconds."""
        rng = np.random.default_rng((seed, 19))
        return Heart.of(draw_anatomy(rng), rng)

    @staticmethod
    def of(anatomy: Anatomy, rng: np.random.Generator, counts: Mapping[str, int] = SITES) -> Heart:
        """Choose sites, spread over the walls, and compute the waves.

        Args:
            anatomy: of the heart.
            rng: chooses the first site of each wall.
            counts: wall to its number of sites.
        """
        mesh = EikonalMesh.build(anatomy.points, heart_mesh().tets, anatomy.metric())
        sites = {wall: _spread(anatomy.points, _wall(wall), count, rng) for wall, count in counts.items()}
        arrivals = {
            wall: np.stack([mesh.arrival(int(node)) for node in nodes]).astype(np.float32)
            for wall, nodes in sites.items()
        }
        return Heart(anatomy, sites, arrivals)

    def save(self, path: Path) -> None:
        """Write nodes, sites and waves to an .npz file."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        stored: dict[str, Any] = {"points": self.anatomy.points, **self.arrivals}
        stored |= {f"{wall}_sites": nodes for wall, nodes in self.sites.items()}
        np.savez(part, **stored)
        part.replace(path)

    @staticmethod
    def load(path: Path) -> Heart:
        """Read what `save` wrote."""
        with np.load(path) as stored:
            sites = {wall: stored[f"{wall}_sites"] for wall in SITES}
            return Heart(Anatomy.of(stored["points"]), sites, {wall: stored[wall] for wall in SITES})


def stored_heart(seed: int, folder: Path) -> Heart:
    """Load a heart from a folder, where it is computed when first asked for."""
    path = folder / f"{seed}.npz"
    if not path.exists():
        Heart.draw(seed).save(path)
    return Heart.load(path)


def _wall(name: str) -> Array:
    """Nodes of a wall from which waves may start: not the base's edge."""
    mesh = heart_mesh()
    rv = mesh.rv[:, :-1, 1:-1]
    septum = mesh.lv[-1, LOWEST_RV_ROW + 1 : -1, 1 : rv.shape[2]]
    walls = {"lv_endo": mesh.lv[0, :-1], "lv_epi": mesh.lv[-1, :-1], "rv_epi": rv[1],
             "rv_endo": np.concatenate([rv[0].ravel(), septum.ravel()])}  # fmt: skip
    nodes = np.unique(walls[name])
    return np.setdiff1d(nodes, septum) if name == "lv_epi" else nodes


def _spread(points: Array, nodes: Array, count: int, rng: np.random.Generator) -> Array:
    """Choose nodes that are far from one another, the first by lot."""
    chosen = [int(rng.integers(len(nodes)))]
    distance = np.full(len(nodes), np.inf)
    for _ in range(count - 1):
        distance = np.minimum(distance, np.linalg.norm(points[nodes] - points[nodes[chosen[-1]]], axis=1))
        chosen.append(int(distance.argmax()))
    return nodes[chosen]
