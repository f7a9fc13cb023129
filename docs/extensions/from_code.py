"""Reference pages that are made of the code: settings, commands, routes of the service, metrics.

A page says ``{from-code} settings`` (commands, routes, metrics) where the Markdown of that function goes.
"""

import json
from collections.abc import Callable, Iterator
from typing import Any, ClassVar

import click
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

from aiops_assets.errors import AiopsError


def settings() -> Iterator[str]:
    """A table of all settings."""
    from aiops_assets.settings import ENVIRONMENT_DEFAULTS, Settings, allowed, shown

    yield "| variable | default | meaning |"
    yield "|---|---|---|"
    for name, field in Settings.model_fields.items():
        default = shown(field.default) if field.default not in ((), {}, "") and name not in DERIVED else ""
        by_environment = {
            environment: shown(values[name]) for environment, values in ENVIRONMENT_DEFAULTS.items() if name in values
        }
        if by_environment:
            default = "; ".join(f"{environment}: {value}" for environment, value in by_environment.items())
        meaning = field.description or ""
        if allowed(name):
            meaning = f"{meaning} Allowed: {allowed(name)}."
        yield f"| `{name.upper()}` | {_cell(default)} | {_cell(meaning)} |"


DERIVED = ("synthetic_end", "aiops_home", "model_root", "mlflow_tracking_uri")
"""Settings whose default depends on the day or on another setting; their descriptions say how."""


def commands() -> Iterator[str]:
    """Each command of `aiops`: what it does, its arguments and options."""
    from aiops_assets.commands.cli import main

    for name, command in _leaves("aiops", main):
        context = click.Context(command, info_name=name)
        yield f"## {name}\n"
        yield f"{_paragraphs(command.help or '')}\n"
        yield f"```text\n{command.get_usage(context).removeprefix('Usage: ')}\n```\n"
        records = [record for parameter in command.params if (record := parameter.get_help_record(context))]
        if records:
            yield "| option | |"
            yield "|---|---|"
            yield from (f"| `{_cell(left)}` | {_cell(right)} |" for left, right in records)
            yield ""


def _leaves(name: str, command: click.Command) -> Iterator[tuple[str, click.Command]]:
    """Each command as it is typed, those of groups among them."""
    if not isinstance(command, click.Group):
        yield name, command
        return
    for part, inner in sorted(command.commands.items()):
        yield from _leaves(f"{name} {part}", inner)


def routes() -> Iterator[str]:
    """Each route of the service, with an example of body and answer where its document has one."""
    from aiops_assets.service.serving import app_of
    from aiops_assets.settings import load_settings

    document = app_of(load_settings({}), demo=True).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield f"## {method.upper()} {path}\n"
            yield f"{_paragraphs(operation.get('description') or operation.get('summary', ''))}\n"
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
            yield from _example("Body", body, document)
            for code, answer in operation["responses"].items():
                content = answer.get("content", {}).get("application/json", {})
                yield from _example(f"Answer, {code}", content, document)


def metrics() -> Iterator[str]:
    """Metrics of the service's `/metrics`, and of the client."""
    from aiops_assets.client import MLServiceClient
    from aiops_assets.reporting.exposition import documented
    from aiops_assets.reporting.metric_exposition import documented_metrics
    from aiops_assets.service.band_exposition import documented_bands
    from aiops_assets.service.drift_exposition import documented_drift
    from aiops_assets.service.instruments import Instruments
    from aiops_assets.service.remote_write_exposition import documented_remote_write

    with MLServiceClient("http://127.0.0.1:1") as client:
        parts = {
            "## The service": [
                metric for metric in Instruments().registry.collect() if metric.name.startswith("aiops")
            ],
            "## Scores and forecasts": list(documented()),
            "## Metrics of one's own, and silence": list(documented_metrics()),
            "## Expected bands of what is paged or under notice": list(documented_bands()),
            "## Drift": list(documented_drift()),
            "## Writing back": list(documented_remote_write()),
            "## The client, in the program that asks": list(client.registry.collect()),
        }
    for heading, found in parts.items():
        yield f"{heading}\n"
        yield "| metric | type | meaning |"
        yield "|---|---|---|"
        for metric in found:
            yield f"| `{_exposed_name(metric.name, metric.type)}` | {metric.type} | {_cell(metric.documentation)} |"
        yield ""


def errors() -> Iterator[str]:
    """The exceptions as a tree: each with the first sentence of its docstring."""
    yield from _tree(AiopsError, "")


def _tree(error: type[Exception], indent: str) -> Iterator[str]:
    first = " ".join((error.__doc__ or "").partition("\n\n")[0].split())
    yield f"{indent}- `{error.__name__}`: {first}"
    for narrower in error.__subclasses__():
        if narrower.__module__ == error.__module__:
            yield from _tree(narrower, indent + "  ")


def _exposed_name(name: str, kind: str) -> str:
    return name + {"counter": "_total", "info": "_info"}.get(kind, "")


def _example(title: str, content: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    schema = content.get("schema", {})
    if "$ref" in schema:
        schema = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    examples = [*schema.get("examples", []), *(one["value"] for one in content.get("examples", {}).values())]
    if "example" in content:
        examples.insert(0, content["example"])
    if examples:
        yield f"{title}:\n\n```json\n{json.dumps(examples[0], indent=1)}\n```\n"


def _paragraphs(text: str) -> str:
    return "\n".join(line.strip() for line in text.replace("\b", "").splitlines())


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


PARTS: dict[str, Callable[[], Iterator[str]]] = {
    "settings": settings,
    "commands": commands,
    "routes": routes,
    "metrics": metrics,
    "errors": errors,
}


class FromCode(SphinxDirective):
    """``{from-code} <part>``: that part's Markdown, parsed as if it stood in the page."""

    required_arguments = 1
    option_spec: ClassVar[dict[str, Any]] = {}

    def run(self) -> list[nodes.Node]:
        """The nodes of the part."""
        text = "\n".join(PARTS[self.arguments[0]]())
        return self.parse_text_to_nodes(text, allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, Any]:
    """Register the directive."""
    app.add_directive("from-code", FromCode)
    return {"parallel_read_safe": False, "parallel_write_safe": True}
