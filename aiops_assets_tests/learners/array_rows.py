"""Raw rows that are all there."""

from dataclasses import dataclass

from aiops_assets.timeseries.series import Floats


@dataclass(frozen=True)
class ArrayRows:
    """Rows that are all there, (n_rows, n_entities, n_columns)."""

    values: Floats

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of rows, entities and columns."""
        n_rows, n_entities, n_columns = self.values.shape
        return n_rows, n_entities, n_columns

    def part(self, start: int, stop: int) -> Floats:
        """Rows from ``start`` to before ``stop``, a view."""
        return self.values[start:stop]
