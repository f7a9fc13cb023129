"""Answers of a row detector for rows that the run before has asked it about.

A run reports the rows of the newest hour, of which most were scored before. What a row detector answers
(:attr:`~aiops_assets.families.contract.Asking.ROWS`) depends on the row alone: an answer is that of the row with the
same digest, by the same version and code.
"""

import hashlib
from collections.abc import Callable, Collection, Mapping

import numpy as np
import pandas as pd

from aiops_assets.learners.contracts import Scored
from aiops_assets.storage.pod_memory import PodMemories, PodMemory
from aiops_assets.timeseries.features import FEATURES
from aiops_assets.timeseries.pod_parts import part_of
from aiops_assets.timeseries.schema import DIGEST_BYTES

SCORE, ALERT, SHARES = "score", "alert", "contributions"
Explain = Callable[[pd.DataFrame], Scored]


class KnownRows:
    """Answers by one version of a row detector.

    Args:
        model: its name.
        of: what a memory has to be made by.
        memories: the files.
    """

    def __init__(self, model: str, of: Mapping[str, str], memories: PodMemories) -> None:
        self._model, self._of, self._memories = model, dict(of), memories

    def explain(self, rows: pd.DataFrame, pods: Collection[str], explain: Explain) -> tuple[Scored, int]:
        """Answers for rows of some pods: of those that are not known ``explain`` gives them.

        Args:
            rows: rows of the view ``pod_features``.
            pods: all pods of each part that one of them is in.
            explain: the detector.

        Returns:
            score, alert and contributions of each row, and how many were known.
        """
        matrix = np.ascontiguousarray(rows[list(FEATURES)].to_numpy(dtype=np.float64))
        digests = [hashlib.blake2b(row.data, digest_size=DIGEST_BYTES).hexdigest() for row in matrix]
        parts = rows["pod"].map(part_of).to_numpy()
        n, known = len(rows), np.zeros(len(rows), dtype=bool)
        score, alert = np.zeros(n), np.zeros(n, dtype=bool)
        shares: np.ndarray[tuple[int, int], np.dtype[np.float64]] | None = None
        for part in np.unique(parts):
            memory = self._memories.read(self._model, int(part))
            if memory is None or memory.of != self._of or not {SCORE, ALERT, SHARES} <= set(memory.arrays):
                continue
            place = {digest: i for i, digest in enumerate(memory.pods)}
            at = np.array([place.get(digests[i], -1) for i in np.flatnonzero(parts == part)], dtype=np.intp)
            rows_at, found = np.flatnonzero(parts == part)[at >= 0], at[at >= 0]
            if shares is None:
                shares = np.zeros((n, memory.arrays[SHARES].shape[1]))
            score[rows_at], alert[rows_at] = memory.arrays[SCORE][found], memory.arrays[ALERT][found]
            shares[rows_at] = memory.arrays[SHARES][found]
            known[rows_at] = True
        if not known.all():
            new = explain(rows[~known])
            shares = np.zeros((n, new.contributions.shape[1])) if shares is None else shares
            score[~known], alert[~known], shares[~known] = new.score, new.alert, new.contributions
        assert shares is not None
        answers = Scored(score=score, alert=alert, contributions=shares)
        for part in {part_of(pod) for pod in pods}:
            self._write(part, np.flatnonzero(parts == part), digests, rows["timestamp"], answers)
        return answers, int(known.sum())

    def _write(
        self,
        part: int,
        at: "np.ndarray[tuple[int], np.dtype[np.intp]]",
        digests: list[str],
        times: pd.Series,
        answers: Scored,
    ) -> None:
        if not len(at):
            return
        once = {digests[i]: i for i in at.tolist()}
        those = np.array(list(once.values()), dtype=np.intp)
        arrays = {SCORE: answers.score[those], ALERT: answers.alert[those], SHARES: answers.contributions[those]}
        until = int(times.iloc[at].max().value // 1000)
        self._memories.write(self._model, part, PodMemory(self._of, until, tuple(once), arrays))
