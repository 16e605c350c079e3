"""The images of others: named once, by digest, not older than they may be, and renewed from a registry."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from kaiser_deploy import images
from kaiser_deploy.image_registry import Unanswered, digest_of
from kaiser_deploy.images import Unusable
from registry_stand_in import StandIn, digest, running

ROOT = Path(__file__).parents[3]
SOURCE = (ROOT / images.SOURCE).read_text()
ONE = '[nats]\nname = "nats"\ntag = "{}"\ndigest = "{}"\nleast = "2.15.0"\nwhy = "x"\n'
LEAST_PACKAGES = {
    # The first version without the fault, by the fault's number.
    "certifi": ("2024.7.4", "CVE-2024-39689"),
    "cryptography": ("44.0.1", "CVE-2024-12797"),
    "h11": ("0.16.0", "CVE-2025-43859"),
    "idna": ("3.7", "CVE-2024-3651"),
    "mako": ("1.2.2", "CVE-2022-40023"),
    "protobuf": ("6.31.1", "CVE-2025-4565"),
    "pyjwt": ("2.10.1", "CVE-2024-53861"),
    "python-multipart": ("0.0.18", "CVE-2024-53981"),
    "requests": ("2.32.4", "CVE-2024-47081"),
    "starlette": ("0.49.1", "CVE-2025-62727"),
    "urllib3": ("2.6.0", "CVE-2025-66471"),
}


@pytest.fixture
def registry() -> Iterator[StandIn]:
    with running() as registry:
        for image in images.read(SOURCE):
            name = image.name if "/" in image.name else f"library/{image.name}"
            registry.manifests[f"{name}:{image.tag}"] = f"the index of {image.tagged}".encode()
        yield registry


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The files that name images."""
    for path in (images.SOURCE, images.COMPOSE, images.DOCKERFILE, images.KUBERNETES):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / path, tmp_path / path)
    return tmp_path


def command(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """As make runs it: the standard library alone, and no proxy between."""
    environment = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}
    return subprocess.run(
        [sys.executable, "-S", "-m", "kaiser_deploy.images", "--root", root, *arguments],
        env={**environment, "PYTHONPATH": str(ROOT / "tools/deploy/src")},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


# What the repository names


def test_grafana_has_none_of_the_holes_of_12_0_0():
    grafana = yaml.safe_load((ROOT / images.COMPOSE).read_text())["services"]["grafana"]["image"]
    assert images.version(grafana.partition(":")[2]) >= (12, 0, 1)
    with pytest.raises(Unusable, match=r"12\.0\.0 is older than 12\.0\.1: .*CVE-2025-4123"):
        images.read(SOURCE.replace('tag = "13.2.3"', 'tag = "12.0.0"'))


@pytest.mark.parametrize("image", images.read(SOURCE), ids=lambda image: image.key)
def test_an_image_is_named_by_a_release_not_older_than_the_least(image: images.Image):
    assert images.version(image.tag) >= images.version(image.least)
    assert len(image.why) > 20


def test_each_image_is_named_by_its_digest():
    assert {image.key for image in images.read(SOURCE) if not image.digest} == set()
    services = yaml.safe_load((ROOT / images.COMPOSE).read_text())["services"]
    others = {name: service["image"] for name, service in services.items() if "kaiser/" not in service["image"]}
    by_digest = {name for name, image in others.items() if re.search(r"-@sha256:[0-9a-f]{64}\}$", image)}
    assert others.keys() == by_digest
    assert re.search(r"^ARG PYTHON_IMAGE=python:\S+@sha256:[0-9a-f]{64}$", (ROOT / images.DOCKERFILE).read_text(), re.M)
    component = yaml.safe_load((ROOT / images.KUBERNETES).read_text())["images"]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", entry["digest"]) for entry in component)
    assert {entry["name"] for entry in component} == {"nats", "eclipse-mosquitto", "timescale/timescaledb"}


def test_whatever_names_an_image_takes_it_from_the_one_file():
    assert command(ROOT, "check", "--offline").returncode == 0
    dockerfiles = [path for path in ROOT.glob("deploy/**/Dockerfile*") if path != ROOT / images.DOCKERFILE]
    assert dockerfiles == []
    overlays = "".join(path.read_text() for path in ROOT.glob("deploy/kubernetes/overlays/*/kustomization.yaml"))
    assert set(re.findall(r"\{name: ([\w/-]+), newTag", overlays)) == {
        f"kaiser/{name.parent.name}" for name in ROOT.glob("services/*/pyproject.toml")
    } | {"kaiser/migrate"}


@pytest.mark.parametrize("name", LEAST_PACKAGES)
@pytest.mark.parametrize("lock", ["requirements.lock", "deploy/docker/runtime.lock"])
def test_no_package_is_as_old_as_its_last_known_fault(lock: str, name: str):
    found = re.search(rf"^{re.escape(name)}==([\d.]+)", (ROOT / lock).read_text(), re.MULTILINE)
    assert found, f"{name} is no longer installed: take it out of the list"
    least, fault = LEAST_PACKAGES[name]
    assert _numbers(found[1]) >= _numbers(least), fault


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split(".")))


@pytest.mark.parametrize(
    ("tag", "written", "why"),
    [
        ("2.15-alpine", "", "names no single release"),
        ("latest", "", "names no single release"),
        ("2.14.9-alpine", "", "older than 2.15.0"),
        ("2.15.1", "sha256:12", "is no digest"),
        ("2.15.1", "md5:" + "0" * 64, "is no digest"),
    ],
)
def test_a_floating_tag_an_old_version_and_a_wrong_digest_are_refused(tag: str, written: str, why: str):
    with pytest.raises(Unusable, match=why):
        images.read(ONE.format(tag, written))


def test_a_tag_without_a_digest_is_used_as_it_is():
    (image,) = images.read(ONE.format("2.15.1-alpine", ""))
    assert image.pinned == image.in_compose == image.tagged == "nats:2.15.1-alpine"


# What a registry says


def test_renewing_writes_each_digest_where_the_image_is_named(registry: StandIn, copy: Path):
    done = command(copy, "--registry", registry.url, "renew")
    assert done.returncode == 0, done.stderr
    expected = {image.key: digest(f"the index of {image.tagged}".encode()) for image in images.read(SOURCE)}
    text = (copy / images.SOURCE).read_text()
    assert {key: table["digest"] for key, table in tomllib.loads(text).items()} == expected
    assert re.sub(r'digest = ".*"', "", text) == re.sub(r'digest = ".*"', "", SOURCE), "comments and tags stay"
    compose = yaml.safe_load((copy / images.COMPOSE).read_text())
    assert compose["services"]["nats"]["image"].endswith(f"-@{expected['nats']}}}")
    assert compose["services"]["ingest"]["build"]["args"]["PYTHON_IMAGE"].endswith(f"-@{expected['python']}}}")
    assert f"@{expected['python']}\n" in (copy / images.DOCKERFILE).read_text()
    assert expected["timescaledb"] in (copy / images.KUBERNETES).read_text()
    assert command(copy, "--registry", registry.url, "check").returncode == 0
    assert not any(asked.startswith("GET /v2") for asked in registry.asked), "no manifest is fetched for its digest"
    assert "HEAD /v2/library/nats/manifests/2.15.0-alpine" in registry.asked
    assert "HEAD /v2/grafana/grafana/manifests/13.2.3" in registry.asked


def test_a_check_names_what_differs_and_changes_nothing(registry: StandIn, copy: Path):
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = command(copy, "--registry", registry.url, "check")
    assert done.returncode == 1
    assert f"nats:2.15.0-alpine is {digest(b'the index of nats:2.15.0-alpine')} at the registry" in done.stderr
    assert "run `make images-renew`" in done.stderr
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_check_sees_a_file_that_was_changed_by_hand(copy: Path):
    compose = copy / images.COMPOSE
    compose.write_text(compose.read_text().replace("grafana/grafana:13.2.3", "grafana/grafana:12.0.0"))
    done = command(copy, "check", "--offline")
    assert done.returncode == 1
    assert "compose.yaml differs from deploy/images.toml: run `make images`" in done.stderr
    assert command(copy, "write").returncode == 0
    assert compose.read_text() == (ROOT / images.COMPOSE).read_text()


@pytest.mark.parametrize("verb", ["renew", "check"])
def test_without_a_network_it_says_so_and_changes_nothing(verb: str, copy: Path):
    with running() as gone:
        pass
    before = {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()}
    done = command(copy, "--registry", gone.url, verb)
    assert done.returncode == 2
    assert f"at {gone.url} cannot be reached" in done.stderr
    assert "digests stay as they are" in done.stderr
    assert "Traceback" not in done.stderr
    assert {path: path.read_bytes() for path in copy.rglob("*") if path.is_file()} == before


def test_a_registry_that_names_no_digest_is_asked_for_the_manifest(registry: StandIn):
    registry.names_digest = False
    assert digest_of("nats", "2.15.0-alpine", registry.url) == digest(b"the index of nats:2.15.0-alpine")


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"status": 429}, "asked too often"),
        ({"status": 500}, "status 500"),
        ({"digest": "sha256:short"}, "is no digest"),
        ({"digest": "sha512:" + "0" * 128}, "is no digest"),
        ({"challenge": "Basic realm=x"}, "a sign-in that is not known here"),
        ({"token": "[]"}, "gave no token"),
        ({"token": "<html>"}, "gave no token"),
        ({"token": '{"token": "another"}'}, "it wants a sign-in"),
        ({"moved_to": "http://127.0.0.1:1/elsewhere"}, "status 307"),
    ],
)
def test_a_registry_that_misbehaves_is_named_with_its_reason(change: dict[str, object], why: str, registry: StandIn):
    for name, value in change.items():
        setattr(registry, name, value)
    with pytest.raises(Unanswered, match=why):
        digest_of("nats", "2.15.0-alpine", registry.url)


def test_a_tag_that_the_registry_does_not_have_is_named(registry: StandIn):
    with pytest.raises(Unanswered, match=r"nats:9\.9\.9 at .*there is no such tag"):
        digest_of("nats", "9.9.9", registry.url)
