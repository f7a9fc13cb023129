"""Metadata for the Dagster UI."""

import base64
from collections.abc import Mapping

import dagster as dg

from aiops_assets.storage.records import SourceReport

MAX_PICTURE_BYTES = 37_000
"""Largest PNG, bytes: with Base64 it is a third larger, and the UI shows pictures in metadata below 50 kB."""


def picture(png: bytes) -> dg.MarkdownMetadataValue:
    """A PNG as inline picture in Markdown."""
    if len(png) > MAX_PICTURE_BYTES:
        return dg.MetadataValue.md(f"_picture left out: {len(png)} bytes_")
    return dg.MetadataValue.md(f"![plot](data:image/png;base64,{base64.b64encode(png).decode()})")


def preview(markdown: str) -> dict[str, dg.MetadataValue]:
    """A small picture, which the UI shows without a click; nothing where there is nothing to show."""
    return {"preview": dg.MetadataValue.md(markdown)} if markdown else {}


def link(url: str) -> dg.MetadataValue | str:
    """A URL that the UI shows as a link; anything else, such as a run in SQLite, as text."""
    return dg.MetadataValue.url(url) if url.startswith(("http://", "https://")) else url


def table_schema(columns: Mapping[str, tuple[str, str]]) -> dict[str, dg.TableSchema]:
    """Column name -> (type, description), as metadata of an asset."""
    return {
        "dagster/column_schema": dg.TableSchema(
            columns=[dg.TableColumn(name, kind, description=text) for name, (kind, text) in columns.items()]
        )
    }


def source_metadata(effective: str, report: SourceReport) -> dict[str, dg.MetadataValue | str | float]:
    """The source of rows and what people should know about it; facts that do not apply are left out."""
    rows = sum(report.rows.values())
    stated: dict[str, str | float | None] = {
        "source_note": report.note or None,
        "cached_age_hours": None if report.cached_age_seconds is None else report.cached_age_seconds / 3600,
        "coverage": report.coverage,
        "full_days": report.full_days,
        "missing_share": report.missing_share,
        **{f"known_{name}": one.share for name, one in report.known.items()},
        "warnings": "; ".join(report.warnings) or None,
    }
    return {
        "effective_source": effective,
        "data_source": report.asked,
        "synthetic_share": report.rows.get("synthetic", 0) / rows if rows else 0.0,
        "rows_by_source": dg.MetadataValue.json(report.rows),
        **{name: value for name, value in stated.items() if value is not None},
    }
