"""compose.yaml and the Dockerfile as files: valid, hardened, without a secret or a registry in them."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from kaiser_common.runtime import check_settings
from kaiser_deploy import secret_files
from kaiser_deploy.up import without_effect
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
DOCKER = ROOT / "deploy/docker"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
JOBS = {"nats-data", "database-roles", "migrate", "doctor"}
RUNNING = sorted(SERVICES.keys() - JOBS)
YAML_STYLE = "{extends: relaxed, rules: {line-length: {max: 120}, key-duplicates: enable, anchors: enable}}"


def settings_of(service: str) -> set[str]:
    """The settings that the program of a service reads."""
    return {
        f"KAISER_{name.upper()}" for one in check_settings.settings_of(f"kaiser-{service}") for name in one.model_fields
    }


def run(program: str, *arguments: str | Path) -> None:
    found = Path(sys.executable).parent / program
    ended = subprocess.run([found, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def pins(path: Path) -> dict[str, str]:
    """Version and hashes by name, as a lock has them; for which Python they are is left out."""
    entries = re.findall(r"^([a-z0-9.-]+)==(.+?)(?=^\S|\Z)", path.read_text(), re.MULTILINE | re.DOTALL)
    return {name: re.sub(r" ;[^\\\n]*", " ", entry) for name, entry in entries}


def test_compose_yaml_is_what_the_compose_specification_says():
    run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", "compose.yaml")


def test_yaml_files_of_compose_are_well_formed():
    run("yamllint", "--strict", "-d", YAML_STYLE, "compose.yaml")


def test_hadolint_finds_nothing_in_the_dockerfile():
    run("hadolint", DOCKER / "Dockerfile")


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_each_container_is_hardened(name: str):
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "privileged" not in service
    assert "container_name" not in service  # it could not be scaled
    assert service.get("cap_add", []) == (["CHOWN"] if name == "nats-data" else [])


@pytest.mark.parametrize("name", RUNNING)
def test_what_runs_has_limits_a_restart_policy_and_a_health_check(name: str):
    service = SERVICES[name]
    assert service["restart"] == "unless-stopped"
    assert service["deploy"]["resources"]["limits"].keys() == {"cpus", "memory", "pids"}
    assert {"test", "interval", "timeout", "retries", "start_period"} <= service["healthcheck"].keys()


def test_nothing_is_published_beyond_this_machine_by_default():
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert len(published) == 5
    assert all(re.match(r"\$\{KAISER_\w+_BIND:-127\.0\.0\.1\}:", port) for port in published), published


def test_no_value_in_compose_yaml_is_a_secret():
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if "PASSWORD" in key or "SECRET" in key or "TOKEN" in key:
                assert str(value).startswith("/run/secrets/"), (name, key)
    assert all(set(secret) == {"file"} for secret in COMPOSE["secrets"].values())


def test_no_health_check_and_no_command_has_a_password_on_its_command_line():
    for name, service in SERVICES.items():
        words = str([service.get("healthcheck", {}).get("test", []), service.get("command", [])])
        assert not re.search(r"(^|[\s'])(-P|--password|--pass|--pw)\b", words), name
        assert not re.search(r"://[^@/\s]*:[^@/\s]*@", words), name
        # A shell may put a secret into the environment of a program, never among its arguments.
        assert "$$(cat /run/secrets" not in re.sub(r'PGPASSWORD="\$\$\(cat [\w/-]+\)"', "", words), name


def test_every_secret_of_compose_yaml_is_one_that_make_secrets_makes():
    files = {str(secret["file"]).rpartition("/")[2] for secret in COMPOSE["secrets"].values()}
    assert files == {*secret_files.names(), *secret_files.GIVEN}


def test_every_role_of_the_database_is_given_its_password():
    roles = re.findall(r"^\\set name (\w+)", (ROOT / "deploy/timescale/roles.sql").read_text(), re.MULTILINE)
    assert set(SERVICES["database-roles"]["secrets"]) == {"database-superuser", *(f"database-{role}" for role in roles)}


def test_a_service_sees_its_own_secrets_only():
    for path in (ROOT / "services").iterdir():
        own = {"websocket-gateway": "gateway"}.get(path.name, path.name)
        extra = {
            "alarm": {"alarm-key"},
            "ingest": {"mqtt-ingest", "mqtt-sandbox"},
            "websocket-gateway": {"admin-password", "token-secret", "oidc-client-secret"},
        }.get(path.name, set())
        database = set() if path.name == "ingest" else {f"database-{own}"}
        assert set(SERVICES[path.name]["secrets"]) == {f"nats-{path.name}", *database, *extra}


def test_each_service_of_the_repository_is_in_compose_yaml():
    assert {path.name for path in (ROOT / "services").iterdir()} <= SERVICES.keys()


def test_each_setting_that_the_page_of_containers_lists_reaches_one():
    rows = re.findall(r"^\| (`KAISER_[^|]*) \|", (ROOT / "docs/containers.md").read_text(), re.MULTILINE)
    listed = {name for row in rows for name in re.findall(r"KAISER_\w+", row)}
    assert {"KAISER_ALARM_LANGUAGE", "KAISER_ALARM_CHANNEL_NETWORKS", "KAISER_TIME_ZONE"} <= listed
    assert without_effect(dict.fromkeys(listed, ""), (ROOT / "compose.yaml").read_text()) == []


def test_each_setting_that_is_passed_on_reaches_a_service_that_has_it():
    for name, service in SERVICES.items():
        passed = {key for key, value in service.get("environment", {}).items() if value is None}
        assert passed <= settings_of(name), name
        assert without_effect(dict.fromkeys(passed, ""), (ROOT / "compose.yaml").read_text()) == []


def test_what_a_service_is_told_of_the_issuer_reaches_it():
    oidc = {name for name in settings_of("websocket-gateway") if name.startswith("KAISER_OIDC_")}
    given = SERVICES["websocket-gateway"]["environment"]
    assert oidc - given.keys() == {"KAISER_OIDC_CLIENT_SECRET"}  # its file is given


def test_the_dockerfile_asks_nothing_of_a_registry_but_its_base_image():
    text = (DOCKER / "Dockerfile").read_text()
    assert "# syntax=" not in text
    assert not re.search(r"index-url|PIP_|trusted-host|https?://", text)
    assert re.findall(r"^FROM (\S+)", text, re.MULTILINE) == [
        *("${PYTHON_IMAGE}", "dependencies", "dependencies"),
        *("${PYTHON_IMAGE}", "sbom-tool"),
        "${PYTHON_IMAGE}",
    ]


@pytest.mark.parametrize("lock", ["runtime.lock", "build.lock", "sbom.lock"])
def test_an_image_installs_what_the_tests_ran_with(lock: str):
    tested, shipped = pins(ROOT / "requirements.lock"), pins(DOCKER / lock)
    assert len(shipped) > 4
    assert {name: tested.get(name, "").strip() for name in shipped} == {k: v.strip() for k, v in shipped.items()}
    assert all("--hash=sha256:" in entry for entry in shipped.values())


def test_an_image_has_all_that_its_services_need():
    shipped = pins(DOCKER / "runtime.lock").keys()
    projects = [*(ROOT / "libs").iterdir(), ROOT / "tools/doctor", ROOT / "tools/cli", *(ROOT / "services").iterdir()]
    for project in projects:
        needed = tomllib.loads((project / "pyproject.toml").read_text())["project"]["dependencies"]
        names = {Requirement(one).name for one in needed if not one.startswith("kaiser-")}
        assert names <= shipped, project
