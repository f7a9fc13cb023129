"""The peers, in the order of the table, and what each is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from aiops_assets_tests.benchmarks.peers import libraries, netdata_like, simple
from aiops_assets_tests.benchmarks.peers.series import Method

Kind = Literal["library", "like", "plain"]


@dataclass(frozen=True)
class Peer:
    """A row of the table.

    Attributes:
        title: as the table names it.
        kind: ``library`` is the library itself, ``like`` is re-made from a product's documentation, ``plain`` is
            neither.
        method: what scores a series.
        modules: files of this folder that decide its scores; a change of them makes kept scores stale.
        imports: what it needs, imported once before any series is scored.
    """

    title: str
    kind: Kind
    method: Method
    modules: tuple[str, ...]
    imports: tuple[str, ...] = ()


SIMPLE = ("series.py", "simple.py")
NETDATA = ("series.py", "netdata_like.py")
LIBRARIES = ("series.py", "libraries.py", "tails.py", "requirements.txt")

AEON = ("aeon.anomaly_detection.series.distance_based",)

PEERS: Mapping[str, Peer] = {
    "rolling-median": Peer("rolling median and MAD (the null model)", "plain", simple.rolling_median, SIMPLE),
    "documents-forest": Peer(
        "Isolation Forest on raw metrics, contamination .03 (the documents)",
        "library",
        libraries.documents_forest,
        LIBRARIES,
        ("sklearn.ensemble",),
    ),
    "online-z-score": Peer("vmanomaly-like online z-score", "like", simple.online_z_score, SIMPLE),
    "netdata-like": Peer("Netdata-like, 18 k-means models", "like", netdata_like.node_anomaly_rate, NETDATA),
    "aeon-kmeans": Peer("aeon KMeansAD, read causally", "library", libraries.kmeans_windows, LIBRARIES, AEON),
    "pyod-iforest": Peer("PyOD IForest", "library", libraries.pyod_forest, LIBRARIES, ("pyod.models.iforest",)),
    "pyod-ecod": Peer(
        "PyOD ECOD, row by row", "library", libraries.pyod_tails("ECOD"), LIBRARIES, ("pyod.models.ecod",)
    ),
    "pyod-copod": Peer(
        "PyOD COPOD, row by row", "library", libraries.pyod_tails("COPOD"), LIBRARIES, ("pyod.models.copod",)
    ),
    "river-hst": Peer("river HalfSpaceTrees", "library", libraries.half_space_trees, LIBRARIES, ("river.anomaly",)),
}
