"""The drawings of the concepts, as SVG: `python docs/drawings.py` writes docs/pictures/.

A drawing is a grid of boxes (column, row), each a title and lines of text, and arrows between boxes.
"""

from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT, GAP_X, GAP_Y, MARGIN = 190, 74, 56, 40, 14
"""Of a box, between boxes, and around all, in pixels."""
COLOURS = {"data": "#2a7ab0", "model": "#b0562a", "store": "#4d7a3a", "people": "#7a4d8f", "step": "#55606b"}
FONT = "font-family='system-ui, -apple-system, Segoe UI, Roboto, sans-serif'"


@dataclass(frozen=True)
class Box:
    """A box at a place of the grid; ``span`` columns wide."""

    column: float
    row: float
    title: str
    lines: tuple[str, ...] = ()
    kind: str = "step"
    span: float = 1

    @property
    def x(self) -> float:
        """Left edge, pixels."""
        return MARGIN + self.column * (WIDTH + GAP_X)

    @property
    def y(self) -> float:
        """Upper edge, pixels."""
        return MARGIN + self.row * (HEIGHT + GAP_Y)

    @property
    def width(self) -> float:
        """Pixels."""
        return self.span * WIDTH + (self.span - 1) * GAP_X

    def svg(self) -> str:
        """The box with its text."""
        colour, middle = COLOURS[self.kind], self.x + self.width / 2
        top = self.y + HEIGHT / 2 - 8 * len(self.lines) + 5
        texts = [f"<text x='{middle}' y='{top}' class='t' fill='{colour}'>{escape(self.title)}</text>"]
        texts += [
            f"<text x='{middle}' y='{top + 17 + 15 * i}' class='l'>{escape(line)}</text>"
            for i, line in enumerate(self.lines)
        ]
        frame = (
            f"<rect x='{self.x}' y='{self.y}' width='{self.width}' height='{HEIGHT}' rx='8' fill='{colour}' "
            f"fill-opacity='0.09' stroke='{colour}' stroke-width='1.4'/>"
        )
        return frame + "".join(texts)


@dataclass(frozen=True)
class Arrow:
    """From a box to another, with a word beside it."""

    start: str
    end: str
    label: str = ""
    dashed: bool = False

    def svg(self, boxes: dict[str, Box]) -> str:
        """A straight line between the nearest edges."""
        a, b = boxes[self.start], boxes[self.end]
        left, right = max(a.x, b.x), min(a.x + a.width, b.x + b.width)
        if left < right:  # one above the other
            x1 = x2 = (left + right) / 2
            y1, y2 = (a.y + HEIGHT, b.y) if a.y < b.y else (a.y, b.y + HEIGHT)
        else:
            x1, x2 = (a.x + a.width, b.x) if a.x < b.x else (a.x, b.x + b.width)
            y1, y2 = a.y + HEIGHT / 2, b.y + HEIGHT / 2
        dash = " stroke-dasharray='5 4'" if self.dashed else ""
        line = f"<line x1='{x1}' y1='{y1}' x2='{x2}' y2='{y2}' class='a'{dash}/>"
        if not self.label:
            return line
        beside = x1 + 6 if x1 == x2 else (x1 + x2) / 2
        anchor = "start" if x1 == x2 else "middle"
        above = (y1 + y2) / 2 + (4 if x1 == x2 else -6)
        return (
            line + f"<text x='{beside}' y='{above}' class='l' style='text-anchor:{anchor}'>{escape(self.label)}</text>"
        )


def drawing(boxes: dict[str, Box], arrows: tuple[Arrow, ...]) -> str:
    """The SVG document. Its background is white, so that it can be read in a dark page too."""
    wide = max(box.x + box.width for box in boxes.values()) + MARGIN
    high = max(box.y + HEIGHT for box in boxes.values()) + MARGIN
    style = (
        "text{text-anchor:middle} .t{font-weight:600;font-size:14px} .l{font-size:11.5px;fill:#3a424a} "
        ".a{stroke:#6b7680;stroke-width:1.5;marker-end:url(#h)}"
    )
    head = (
        "<defs><marker id='h' viewBox='0 0 8 8' refX='7' refY='4' markerWidth='7' markerHeight='7' orient='auto'>"
        "<path d='M0,0 L8,4 L0,8 z' fill='#6b7680'/></marker></defs>"
    )
    body = "\n".join([*(arrow.svg(boxes) for arrow in arrows), *(box.svg() for box in boxes.values())])
    return (
        f"<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 {wide:.0f} {high:.0f}' width='{wide:.0f}' "
        f"height='{high:.0f}' {FONT}>\n<style>{style}</style>\n{head}\n"
        f"<rect width='100%' height='100%' fill='#ffffff' rx='10'/>\n{body}\n</svg>\n"
    )


DRAWINGS: dict[str, tuple[dict[str, Box], tuple[Arrow, ...]]] = {
    "overview": (
        {
            "prometheus": Box(0, 0, "Prometheus, Thanos", ("your cluster's metrics",), "data"),
            "synthetic": Box(0, 1, "Synthetic series", ("labelled, reproducible",), "data"),
            "sets": Box(1, 0.5, "Training sets", ("blended by mode,", "named by a digest"), "store"),
            "models": Box(2, 0.5, "Seven models", ("3 detectors,", "4 forecasters"), "model"),
            "gate": Box(3, 0.5, "Gate", ("untouched hold-out,", "null model, champion"), "step"),
            "versions": Box(4, 0.5, "Versions", ("immutable; one is", "the champion"), "store"),
            "mlflow": Box(3, 1.5, "MLflow, cards", ("which data made", "which model"), "store"),
            "service": Box(5, 0, "ML service", ("engine, curl, Python", "and /metrics"), "people"),
            "kserve": Box(5, 1, "KServe", ("a predictor a model",), "people"),
        },
        (
            Arrow("prometheus", "sets"),
            Arrow("synthetic", "sets"),
            Arrow("sets", "models"),
            Arrow("models", "gate"),
            Arrow("gate", "versions", "not worse"),
            Arrow("gate", "mlflow"),
            Arrow("versions", "service"),
            Arrow("versions", "kserve"),
        ),
    ),
    "modes": (
        {
            "synthetic": Box(0, 0, "DATA_SOURCE=synthetic", ("development, CI",)),
            "hybrid": Box(0, 1, "DATA_SOURCE=hybrid", ("staging",)),
            "real": Box(0, 2, "DATA_SOURCE=prometheus", ("production",)),
            "s1": Box(1, 0, "generated 100 %", ("labelled anomalies injected",), "data", 2),
            "h1": Box(1, 1, "real 50 %", ("all that was fetched",), "store"),
            "h2": Box(2, 1, "generated 50 %", ("up to their share",), "data"),
            "p1": Box(1, 2, "real 80 %", ("all that was fetched",), "store"),
            "p2": Box(2, 2, "generated 20 %", ("up to their share",), "data"),
            "set": Box(3, 1, "Training set", ("anomalies injected into", "ANOMALY_RATE of both"), "model"),
        },
        (
            Arrow("synthetic", "s1"),
            Arrow("hybrid", "h1"),
            Arrow("real", "p1"),
            Arrow("s1", "set"),
            Arrow("h2", "set"),
            Arrow("p2", "set"),
        ),
    ),
    "lake": (
        {
            "server": Box(0, 0, "Prometheus", ("newest days",), "data"),
            "archive": Box(0, 1, "THANOS_URL", ("days it no longer has",), "data"),
            "open": Box(1, 0, "Open day", ("grows with each fetch;", "the last hour is requested again"), "store"),
            "closed": Box(2, 0, "Closed day", ("settled for an hour;", "not requested again"), "store"),
            "damaged": Box(2, 1, "Damaged or missing", ("digest differs:", "named, fetched again"), "step"),
            "window": Box(3, 0, "Training window", ("7 or 14 complete days,", "with their coverage"), "model"),
        },
        (
            Arrow("server", "open"),
            Arrow("archive", "open"),
            Arrow("open", "closed"),
            Arrow("closed", "window"),
            Arrow("damaged", "closed", "repaired"),
        ),
    ),
    "graph": (
        {
            "raw": Box(0, 0, "raw_metrics", ("a UTC day a partition",), "data"),
            "synthetic": Box(0, 1, "synthetic_series", ("seeded, labelled",), "data"),
            "set": Box(1, 0.5, "training set", ("a view of the window",), "store"),
            "model": Box(2, 0.5, "model", ("fit, smoke prediction",), "model"),
            "evaluation": Box(3, 0.5, "evaluation", ("hold-out, opponent",), "step"),
            "served": Box(4, 0, "served", ("the champion record",), "store"),
            "shadow": Box(4, 1, "shadow", ("scores of both",), "step"),
            "card": Box(5, 1, "card", ("what it is, how good",), "people"),
            "scores": Box(5, 0, "scores", ("predictions of now",), "people"),
        },
        (
            Arrow("raw", "set"),
            Arrow("synthetic", "set"),
            Arrow("set", "model"),
            Arrow("model", "evaluation"),
            Arrow("evaluation", "served"),
            Arrow("evaluation", "shadow"),
            Arrow("shadow", "card"),
            Arrow("served", "scores"),
        ),
    ),
    "gate": (
        {
            "train": Box(0, 0, "Oldest four fifths", ("the fit sees these",), "data"),
            "holdout": Box(0, 1, "Newest fifth", ("the hold-out: no fit sees it",), "data"),
            "challenger": Box(1, 0, "Challenger", ("the new version",), "model"),
            "opponent": Box(1, 1.9, "Opponent", ("champion, or null model", "or trivial forecasts"), "model"),
            "both": Box(2, 1, "Figures of both", ("on the same rows",)),
            "bootstrap": Box(3, 1, "400 bootstrap draws", ("whole days of pods: a 95 %", "interval of the difference")),
            "served": Box(4, 0.4, "Served", ("not worse than the champion,", "or than the baseline"), "store"),
            "rejected": Box(
                4, 1.6, "Rejected", ("surely worse, or too few", "rows to judge: champion stays"), "people"
            ),
        },
        (
            Arrow("train", "challenger"),
            Arrow("holdout", "both"),
            Arrow("challenger", "both"),
            Arrow("opponent", "both"),
            Arrow("both", "bootstrap"),
            Arrow("bootstrap", "served"),
            Arrow("bootstrap", "rejected"),
        ),
    ),
    "lineage": (
        {
            "champion": Box(0, 0, "champion.json", ("digest of the manifest",), "store"),
            "manifest": Box(1, 0, "manifest.json", ("digests of model file,", "training set, code"), "store"),
            "model": Box(2, 1, "model file", ("SHA-256",), "model"),
            "set": Box(2, 0, "training set", ("data version, SHA-256",), "store"),
            "days": Box(3, 0, "days of the lake", ("a digest a metric and day",), "data"),
            "recipe": Box(3, 1, "recipe", ("generated again, compared",), "data"),
            "mlflow": Box(1, 1, "MLflow run", ("the same digests, kept apart",), "people"),
        },
        (
            Arrow("champion", "manifest"),
            Arrow("manifest", "model"),
            Arrow("manifest", "set"),
            Arrow("set", "days"),
            Arrow("set", "recipe"),
            Arrow("manifest", "mlflow", "must agree", True),
        ),
    ),
    "serving": (
        {
            "run": Box(0, 0, "A run, or aiops promote", ("decides",), "people"),
            "record": Box(1, 0, "champion.json", ("compare-and-swap",), "store"),
            "v1": Box(1, 1, "versions 1, 2, 3 ...", ("manifest and one model file;", "never change"), "store"),
            "check": Box(2, 0.5, "Before a swap", ("digests, order, units,", "then a smoke inference"), "step"),
            "service": Box(3, 0, "aiops serve", ("keeps the old version", "if a check fails"), "model"),
            "kserve": Box(3, 1, "KServe predictor", ("mounts one version",), "model"),
            "client": Box(4, 0.5, "Engine, people", ("each answer names", "version and data"), "people"),
        },
        (
            Arrow("run", "record"),
            Arrow("record", "check"),
            Arrow("v1", "check"),
            Arrow("check", "service"),
            Arrow("check", "kserve"),
            Arrow("service", "client"),
            Arrow("kserve", "client"),
        ),
    ),
}


def main(folder: Path = Path(__file__).parent / "pictures") -> None:
    """Write all drawings."""
    folder.mkdir(exist_ok=True)
    for name, (boxes, arrows) in DRAWINGS.items():
        (folder / f"{name}.svg").write_text(drawing(boxes, arrows))


if __name__ == "__main__":
    main()
