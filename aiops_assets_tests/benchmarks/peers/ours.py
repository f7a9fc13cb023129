"""The project's own window detectors over the same folder, by the project's environment.

``python -m aiops_assets_tests.benchmarks.peers.ours DATA SCORES``
"""

import sys

from aiops_assets.families.backtests import DETECTORS, backtest
from aiops_assets.registry.code_digest import code_digest
from aiops_assets_tests.benchmarks.peers.runner import ScoreFrame, Task, arguments, run, selected

LIMIT_SECONDS = 600.0
IMPORTS = ("sklearn.ensemble", "sklearn.pipeline")


def main() -> int:
    """Score by our models; the exit code."""
    asked = arguments("Score a folder of series by the project's window detectors.", LIMIT_SECONDS).parse_args()
    tasks = [
        Task(name, _scored_by(name), code_digest("aiops_assets.judging.detection.backtest"), IMPORTS)
        for name in DETECTORS
    ]
    for problem in run(selected(tasks, asked.only), asked.data, asked.scores, again=asked.again, limit=asked.limit):
        print(problem, flush=True)
    return 0


def _scored_by(name: str) -> ScoreFrame:
    return lambda frame: backtest(name, frame)


if __name__ == "__main__":
    sys.exit(main())
