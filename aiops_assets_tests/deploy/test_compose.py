"""compose.yaml: what it says, and its database script, configuration and commands on a real PostgreSQL."""

import json
import os
import re
import subprocess
from collections.abc import Iterator
from copy import deepcopy
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from jsonschema import Draft201909Validator

from aiops_assets.settings import PROJECT_ROOT, Settings, load_settings
from aiops_assets.storage.signatures import Keys
from aiops_assets_tests.deploy.container import contained, dockerfile
from aiops_assets_tests.deploy.programs import compose_schema
from aiops_assets_tests.postgres_server import Postgres, running_postgres

FOLDER = PROJECT_ROOT / "deploy" / "compose"
OTHERS = ("DAGSTER_HOME", "MLFLOW_BACKEND_STORE_URI", "MLFLOW_SERVER_", "POSTGRES_")
"""What variables that are no settings of ours begin with."""
PASSWORD = "pass\"word with 'quotes' and $1\\"
"""One that a careless script would not survive."""


@cache
def read(name: str = "compose.yaml") -> dict[str, Any]:
    content: dict[str, Any] = yaml.safe_load((FOLDER / name).read_text())
    return content


def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = read()["services"]
    return found


def problems(content: object) -> list[str]:
    schema = json.loads(compose_schema().read_text())
    return [error.message for error in Draft201909Validator(schema).iter_errors(content)]


@pytest.mark.needs("npm")
def test_compose_file_is_what_the_specification_takes() -> None:
    assert problems(read()) == []
    misspelt = deepcopy(read())
    misspelt["services"]["mlflow"]["depend_on"] = {}
    assert any("depend_on" in problem for problem in problems(misspelt))


def test_it_says_first_that_it_was_not_run() -> None:
    assert (FOLDER / "compose.yaml").read_text().startswith("# Not run here")


def test_images_are_pinned_and_ours_is_that_of_the_dockerfile() -> None:
    images = {service["image"] for service in services().values()}
    (other,) = images - {f"aiops-assets:{dockerfile().labels['org.opencontainers.image.version']}"}
    assert re.fullmatch(r"postgres:\d+\.\d+-[a-z]+", other)
    builds = {json.dumps(service["build"]) for name, service in services().items() if name != "postgres"}
    (build,) = map(json.loads, builds)
    assert (FOLDER / build["context"]).resolve() == PROJECT_ROOT
    assert (PROJECT_ROOT / build["dockerfile"]).is_file()


@pytest.mark.parametrize("name", sorted(read()["services"]))
def test_a_container_may_little_and_is_reached_from_this_machine_only(name: str) -> None:
    service = services()[name]
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert set(service["deploy"]["resources"]["limits"]) == {"cpus", "memory"}
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    assert name == "mlflow-migration" or service["healthcheck"]["test"][0] == "CMD"


def test_what_is_referred_to_is_declared_and_used() -> None:
    used: dict[str, set[str]] = {"configs": set(), "secrets": set(), "volumes": set()}
    for service in services().values():
        for part, names in used.items():
            names |= {
                one["source"] if isinstance(one, dict) else str(one).partition(":")[0] for one in service.get(part, ())
            }
        for name, wanted in service.get("depends_on", {}).items():
            ends = services()[name]["restart"] == "no"
            assert wanted["condition"] == ("service_completed_successfully" if ends else "service_healthy")
    assert used == {part: set(read()[part]) for part in used}
    assert all((FOLDER / one["file"]).is_file() for one in read()["configs"].values())


def test_secrets_are_files_of_the_users_that_git_does_not_take() -> None:
    assert all(set(one) == {"file"} and one["file"].startswith("secrets/") for one in read()["secrets"].values())
    assert "secrets/" in (FOLDER / ".gitignore").read_text().splitlines()
    text = (FOLDER / "compose.yaml").read_text()
    (loop,) = re.findall(r"for name in ([a-z ]+); do", text)
    made = {f"{name}-password" for name in loop.split()}
    made |= set(re.findall(r"(?:tee|>) deploy/compose/secrets/([a-z-]+)", text))
    assert made == set(read()["secrets"])
    assert not re.search(r"://[^@\s/]*:[^@\s/]*@", text)


def secrets_of(service: dict[str, Any]) -> set[str]:
    return {one["source"] if isinstance(one, dict) else one for one in service.get("secrets", ())}


def test_what_serves_has_the_public_key_of_models_and_what_trains_the_private_one() -> None:
    assert {name for name, one in services().items() if "signing-key" in secrets_of(one)} == {"code-server"}
    assert {name for name, one in services().items() if "verify-key" in secrets_of(one)} == {"code-server", "service"}
    for service in services().values():
        files = [value for name, value in service.get("environment", {}).items() if name.endswith("_KEY_FILE")]
        assert {Path(file).name for file in files} == secrets_of(service) & {"signing-key", "verify-key"}


@pytest.mark.needs("openssl")
def test_the_keys_that_its_first_lines_make_sign_and_verify(tmp_path: Path) -> None:
    text = (FOLDER / "compose.yaml").read_text()
    found = re.search(r"^#\s+(openssl genpkey .*\\\n#.*)$", text, re.M)
    assert found
    (tmp_path / "deploy" / "compose" / "secrets").mkdir(parents=True)
    subprocess.run(found[1].replace("\\\n#", " "), shell=True, cwd=tmp_path, check=True, timeout=60)
    folder = tmp_path / "deploy" / "compose" / "secrets"
    keys = Keys(folder / "verify-key", folder / "signing-key")
    made = keys.sign("manifest", b"content")
    assert Keys(folder / "verify-key").check("manifest", b"content", made, "it") == made


@pytest.mark.parametrize("name", ["code-server", "service"])
def test_variables_are_settings_and_load(name: str) -> None:
    given = services()[name]["environment"]
    ours = {key: value for key, value in given.items() if not key.startswith(OTHERS)}
    assert {key.lower() for key in ours} <= set(Settings.model_fields)
    assert load_settings(ours).mode == "synthetic"


def test_other_programs_get_no_variable_that_nobody_knows() -> None:
    for service in services().values():
        names = {key.lower() for key in service.get("environment", {}) if not key.startswith(OTHERS)}
        assert names <= set(Settings.model_fields)


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    """A server on which the script made its databases, as PostgreSQL's image would have it."""
    folder = tmp_path_factory.mktemp("secrets")
    for name in ("dagster", "mlflow"):
        (folder / f"{name}-password").write_text(f"{PASSWORD}{name}\n")
    with running_postgres() as server:
        variables = {"PGHOST": server.host, "PGPORT": str(server.port), "PGPASSWORD": server.password}
        subprocess.run(
            ["sh", str(FOLDER / "databases.sh")],
            env={
                **os.environ,
                **variables,
                "PGDATABASE": "postgres",
                "POSTGRES_USER": server.user,
                "SECRETS": str(folder),
            },
            check=True,
            timeout=60,
        )
        yield server


@dg.asset
def something() -> None:
    """An asset for a run of which only the history matters."""


@pytest.mark.long
@pytest.mark.needs("postgres")
def test_dagsters_configuration_keeps_a_runs_history(
    databases: Postgres, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    configuration = deepcopy(read("dagster.yaml"))
    configuration["storage"]["postgres"]["postgres_db"] |= {"hostname": databases.host, "port": databases.port}
    for part in ("compute_logs", "local_artifact_storage"):
        configuration[part]["config"]["base_dir"] = str(tmp_path / part)
    (tmp_path / "dagster.yaml").write_text(yaml.safe_dump(configuration))
    monkeypatch.setenv("PGPASSWORD", f"{PASSWORD}dagster")
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert dg.materialize([something], instance=instance).success
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert instance.get_runs_count() == 1


@pytest.mark.long
@pytest.mark.needs("postgres", "tmpfs")
def test_migration_reads_its_password_from_the_secret(databases: Postgres, tmp_path: Path) -> None:
    service = services()["mlflow-migration"]
    # Compose reads $$ as $.
    command = [word.replace("$$", "$") for word in (*service["entrypoint"], *service["command"])]
    address = service["environment"]["MLFLOW_BACKEND_STORE_URI"]
    variables = {"MLFLOW_BACKEND_STORE_URI": address.replace("postgres:5432", f"{databases.host}:{databases.port}")}
    (secret,) = service["secrets"]
    held = tmp_path / "volumes" / "run" / "secrets" / secret["target"]
    held.parent.mkdir(parents=True)
    held.write_text(f"{PASSWORD}mlflow\n")
    log = tmp_path / "log"
    with contained(command, tmp_path, log, variables, ["/run/secrets"]) as process:
        assert process.wait(120) == 0, log.read_text()
    assert PASSWORD not in log.read_text()
