"""The content of the images is listed as CycloneDX, and published artefacts say how they were built."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "deploy/docker/runtime.lock"


def test_the_sbom_fits_the_schema_and_names_all_that_the_images_install(tmp_path: Path):
    """By the command of `make sbom`."""
    (line,) = re.findall(r"^\t@\$\(BIN\)/(cyclonedx-py .*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = tmp_path / "kaiser.cdx.json"
    command = line.replace("kaiser.cdx.json", str(made)).split()
    command[0] = str(Path(sys.executable).parent / command[0])
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True, timeout=120)
    text = made.read_text()
    from cyclonedx.schema import SchemaVersion
    from cyclonedx.validation.json import JsonStrictValidator  # takes seconds, so only where it is used

    assert JsonStrictValidator(SchemaVersion.V1_6).validate_str(text) is None
    found = {part["name"]: part for part in json.loads(text)["components"]}
    pins = dict(re.findall(r"^([a-z0-9.-]+)==([^ ;]+)", LOCK.read_text(), re.MULTILINE))
    assert len(pins) > 40
    assert {name: part["version"] for name, part in found.items()} == pins
    for part in found.values():
        hashes = [one for reference in part["externalReferences"] for one in reference.get("hashes", [])]
        assert {one["alg"] for one in hashes} == {"SHA-256"}, part["name"]


def test_an_image_is_built_with_its_sbom_and_says_where_it_is():
    text = (ROOT / "deploy/docker/Dockerfile").read_text()
    assert "COPY --from=sbom /sbom.cdx.json /opt/kaiser/sbom.cdx.json" in text
    assert 'io.kaiser.sbom="/opt/kaiser/sbom.cdx.json"' in text


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A repository with the script, and a docker in PATH that writes down what it is asked."""
    repository = tmp_path / "repository"
    (repository / "deploy/docker").mkdir(parents=True)
    for service in ("ingest", "sensor"):
        (repository / "services" / service).mkdir(parents=True)
    shutil.copy(ROOT / "deploy/docker/publish", repository / "deploy/docker/publish")
    (tmp_path / "docker").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/asked\n')
    (tmp_path / "docker").chmod(0o755)
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false")
    for arguments in (["init", "-q"], ["add", "-A"], [*identity, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *arguments], cwd=repository, check=True, capture_output=True, timeout=60)
    return repository


def publish(clone: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [clone / "deploy/docker/publish", *arguments],
        env={**os.environ, "PATH": f"{clone.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_every_image_is_pushed_with_sbom_provenance_and_revision(clone: Path):
    done = publish(clone, "registry.example.org/kaiser", "1.2.3")
    assert done.returncode == 0, done.stderr
    asked = (clone.parent / "asked").read_text().splitlines()
    revision = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=clone, capture_output=True, text=True, check=True, timeout=60
    ).stdout
    assert [re.search(r"--tag (\S+)", line)[1] for line in asked] == [  # type: ignore[index]
        f"registry.example.org/kaiser/{name}:1.2.3" for name in ("migrate", "ingest", "sensor")
    ]
    for line in asked:
        assert "--provenance=mode=max --sbom=true --push" in line
        assert f"--build-arg REVISION={revision.strip()}" in line


def test_what_is_not_committed_is_not_published(clone: Path):
    (clone / "deploy/docker/publish").open("a").write("# changed\n")
    done = publish(clone, "registry.example.org/kaiser", "1.2.3")
    assert done.returncode == 2
    assert "commit first" in done.stderr
    assert not (clone.parent / "asked").exists()
