"""What deploy/kustomize renders to, and the pods that it comes to."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import yaml

from aiops_assets.settings import PROJECT_ROOT
from aiops_assets_tests.deploy import programs

Object = dict[str, Any]
KUSTOMIZE = PROJECT_ROOT / "deploy" / "kustomize"
ENVIRONMENTS = ("dev", "staging", "production")
FOLDERS = tuple(f"{name}{step}" for name in ENVIRONMENTS for step in ("", "/serving"))
"""Of overlays: the first step and the second one of each environment."""
WORKLOADS = ("Deployment", "StatefulSet", "Job")
KSERVE_MOUNT = {"name": "kserve-pvc-source", "mountPath": "/mnt/models", "readOnly": True}
"""What KServe adds to the container of a predictor whose storageUri is of a volume."""


@dataclass(frozen=True)
class Pod:
    """A pod as a controller will make it."""

    owner: str
    labels: Mapping[str, str]
    spec: Object

    @property
    def containers(self) -> list[Object]:
        return [*self.spec.get("initContainers", ()), *self.spec["containers"]]


@cache
def render(folder: str) -> tuple[Object, ...]:
    """The objects of one folder of overlays, by the real program."""
    text = programs.run(programs.kubectl(), "kustomize", str(KUSTOMIZE / "overlays" / folder))
    return tuple(yaml.safe_load_all(text))


def everything(environment: str) -> tuple[Object, ...]:
    """Both steps of an environment."""
    return render(environment) + render(f"{environment}/serving")


def of_kind(objects: Iterable[Object], *kinds: str) -> list[Object]:
    return [found for found in objects if found["kind"] in kinds]


def named(objects: Iterable[Object], kind: str, name: str) -> Object:
    (found,) = (one for one in of_kind(objects, kind) if one["metadata"]["name"] == name)
    return found


def names(objects: Iterable[Object], kind: str) -> set[str]:
    return {found["metadata"]["name"] for found in of_kind(objects, kind)}


def pods(objects: Sequence[Object]) -> list[Pod]:
    """Of workloads, and of predictors with the container that their runtime says."""
    found = []
    for one in of_kind(objects, *WORKLOADS):
        template = one["spec"]["template"]
        found.append(Pod(_title(one), template["metadata"]["labels"], template["spec"]))
    found += [_predictor_pod(one, objects) for one in of_kind(objects, "InferenceService")]
    return found


def _predictor_pod(service: Object, objects: Sequence[Object]) -> Pod:
    predictor = service["spec"]["predictor"]
    runtime = named(objects, "ServingRuntime", predictor["model"]["runtime"])["spec"]
    (container,) = runtime["containers"]
    model = {key: predictor["model"][key] for key in ("resources", "env") if key in predictor["model"]}
    container = {**container, **model, "volumeMounts": [*container["volumeMounts"], KSERVE_MOUNT]}
    spec = {key: value for key, value in predictor.items() if key not in ("model", "labels", "minReplicas")}
    spec |= {"containers": [container], "volumes": [*runtime["volumes"], *predictor.get("volumes", ())]}
    return Pod(_title(service), predictor["labels"], spec)


def selects(selector: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    wanted = selector.get("matchLabels", {}).items()
    return all(labels.get(key) == value for key, value in wanted) and all(
        _holds(expression, labels) for expression in selector.get("matchExpressions", ())
    )


def _holds(expression: Mapping[str, Any], labels: Mapping[str, str]) -> bool:
    assert expression["operator"] == "In", f"{expression}: other operators are not used here"
    return labels.get(expression["key"]) in expression["values"]


def _title(found: Object) -> str:
    return f"{found['kind']}/{found['metadata']['name']}"
