"""The newest look at drift, and the profiles that looks compare with.

``drift/cluster=<cluster>/newest.json`` is the report, replaced by each look. ``profiles/<key>.json`` beside it are made
of days of the lake and can be made again at any time: one that is missing or damaged is no error.
"""

from contextlib import suppress
from datetime import datetime, timedelta

from pydantic import TypeAdapter, ValidationError

from aiops_assets.errors import NotFoundError
from aiops_assets.storage.records import Record
from aiops_assets.storage.storage import Storage
from aiops_assets.timeseries.drift_profile import Profile

MAX_AGE = timedelta(hours=3)
"""A look that is older says nothing about the present: looks come with the scores, once an hour."""

_PROFILE = TypeAdapter(Profile)


class MetricFigures(Record):
    """One metric at a look.

    Attributes:
        metric: name of the metric.
        models: the champions that were trained on it, in these days.
        psi, ks: population stability index, and Kolmogorov-Smirnov distance (0-1), of the newest day and training.
        shift: about how far the day has moved, in standard deviations of training around its season, at most 2.
        width: how widely its values lie around that, 1 as in training.
        strength: the strongest of the tests over its limit; more than 1 is more than chance.
        coverage: share of the day's samples that were compared.
        drifted: it is more than chance, and large enough to matter.
    """

    metric: str
    models: tuple[str, ...]
    psi: float
    ks: float
    shift: float
    width: float
    strength: float
    coverage: float
    drifted: bool


class DriftReport(Record):
    """A look at the newest day.

    Attributes:
        when: time of the look; it compared the 24 hours before.
        champions: model -> data version of the champion at that time.
        metrics: the metrics that were compared.
        not_judged: metric -> why it was not compared.
        since: when a metric was first seen drifted; ``None``: there is no drift.
        seen: when any was last seen drifted, or nearly. A drift ends after a day without.
    """

    when: datetime
    champions: dict[str, str]
    metrics: tuple[MetricFigures, ...] = ()
    not_judged: dict[str, str] = {}
    since: datetime | None = None
    seen: datetime | None = None

    @property
    def drifted(self) -> tuple[MetricFigures, ...]:
        """The metrics that have drifted, the strongest first."""
        return tuple(sorted((m for m in self.metrics if m.drifted), key=lambda m: -m.strength))

    @property
    def text(self) -> str:
        """The reason in words, for checks and sensors; empty without a drift."""
        if self.since is None:
            return ""
        found = ", ".join(f"{m.metric} (PSI {m.psi:.2f}, KS {m.ks:.2f})" for m in self.drifted)
        return f"drifted since {self.since:%Y-%m-%d %H:%M} UTC: {found or 'less in the newest look'}"


class DriftStore:
    """The report and the profiles of one cluster."""

    def __init__(self, storage: Storage, cluster: str) -> None:
        self.storage = storage
        self._folder = f"drift/cluster={cluster}"

    def newest(self) -> DriftReport | None:
        """The newest report; ``None`` where there is none that can be read: the next look writes one."""
        try:
            return DriftReport.model_validate_json(self.storage.read(f"{self._folder}/newest.json"))
        except (NotFoundError, ValidationError):
            return None

    def put(self, report: DriftReport) -> None:
        """Replace the newest report."""
        self.storage.write(f"{self._folder}/newest.json", report.to_bytes())

    def profile(self, key: str) -> Profile | None:
        """A stored profile; ``None`` where none can be read."""
        try:
            return _PROFILE.validate_json(self.storage.read(self._path(key)))
        except (NotFoundError, ValidationError):
            return None

    def put_profile(self, key: str, profile: Profile) -> None:
        """Keep a profile."""
        self.storage.write(self._path(key), _PROFILE.dump_json(profile))

    def keep_profiles(self, keys: set[str]) -> None:
        """Remove all profiles but these."""
        for name in self.storage.names(f"{self._folder}/profiles"):
            if name.removesuffix(".json") not in keys:
                with suppress(NotFoundError):  # another look was first
                    self.storage.remove(f"{self._folder}/profiles/{name}")

    def _path(self, key: str) -> str:
        return f"{self._folder}/profiles/{key}.json"
