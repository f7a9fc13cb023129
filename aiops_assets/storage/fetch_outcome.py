"""How the last fetch ended: the record beside the days of a cluster."""

from datetime import date

from aiops_assets.storage.records import Record


class FetchOutcome(Record):
    """How the last fetch ended, with success or failure.

    Attributes:
        when: ISO time.
        reached: whether the server answered.
        problem: what went wrong; empty after a success.
        run_id: the Dagster run that fetched.
        server: host:port, never more of the URL.
        first_day, last_day: ends of the requested days, ISO, both inclusive.
    """

    when: str
    reached: bool
    problem: str
    run_id: str
    server: str
    first_day: str
    last_day: str

    def requested(self, day: date) -> bool:
        """Whether the fetch requested a day."""
        return self.first_day <= day.isoformat() <= self.last_day
