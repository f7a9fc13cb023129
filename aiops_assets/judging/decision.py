"""Whether a challenger is served, and what is decided before anybody looks at figures."""

from dataclasses import dataclass

SYNTHETIC = "synthetic"
"""An effective source; anything else has seen a real cluster."""


@dataclass(frozen=True)
class Decision:
    """Whether the challenger becomes champion, and why; ``equal``: it is the champion, or its twin."""

    promote: bool
    reason: str
    equal: bool = False


def refused_source(challenger_source: str, champion_source: str | None) -> Decision | None:
    """The decision against a version that saw only generated data where the champion saw a real cluster."""
    if challenger_source == SYNTHETIC and champion_source not in (SYNTHETIC, None):
        return Decision(False, f"trained on synthetic data; the champion saw {champion_source} data")
    return None


def meets_null_model(challenger_source: str, champion_source: str | None) -> bool:
    """Whether there is no champion whose figures would mean something for this challenger."""
    return champion_source is None or (champion_source == SYNTHETIC and challenger_source != SYNTHETIC)


def replace_damaged(damage: str, *, challenger_source: str, champion_source: str) -> Decision:
    """Whether the challenger stands in for a champion whose files cannot be loaded; ``damage`` says why."""
    if challenger_source == SYNTHETIC and champion_source != SYNTHETIC:
        return Decision(
            False, f"trained on synthetic data; the champion saw {champion_source} data, and cannot be served: {damage}"
        )
    return Decision(True, f"the champion cannot be served: {damage}")
