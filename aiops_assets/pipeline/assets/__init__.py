"""The Dagster layer: names, wiring, metadata. A body reads, makes one pure call, and writes."""

import warnings

import dagster as dg

# Every asset carries BackfillPolicy.single_run(): one command line can then do a range of days and everything
# after it. It is the only way there is; Dagster calls it beta, once for each asset.
warnings.filterwarnings("ignore", message="Parameter `backfill_policy`", category=dg.BetaWarning)
