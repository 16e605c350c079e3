"""deploy/kubernetes renders, fits Kubernetes's schemas, and holds what it promises about safety."""

import importlib.util
import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from kaiser_common.contract.subjects import SERVICES
from kubernetes_schemas import must_fit

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy/kubernetes"
KUBECTL = str(Path(sys.executable).parent / "kubectl")
SIZES = ("scale-10k", "scale-100k")
"""Examples of docs/scale.md."""
OVERLAYS = ("dev", "factory", "prod", *SIZES)
SITES = {"scale-100k": {"ingest-east", "ingest-south", "ingest-west"}}
"""The processes of further sites."""
WITHOUT_SCHEMA = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
WORKLOADS = {"Deployment", "StatefulSet", "Job"}


@cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    done = subprocess.run(
        [KUBECTL, "kustomize", str(FOLDER / "overlays" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tuple(yaml.load_all(done.stdout, yaml.CSafeLoader))  # half a second for each overlay without C


def of_kind(overlay: str, *kinds: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in rendered(overlay) if each["kind"] in kinds}


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """The pod template of every workload, by its name."""
    return {name: each["spec"]["template"] for name, each in of_kind(overlay, *WORKLOADS).items()}


def selected(overlay: str, labels: dict[str, str]) -> set[str]:
    """The workloads whose pods have these labels."""
    return {
        name for name, pod in pods(overlay).items() if labels.items() <= pod["metadata"]["labels"].items() and labels
    }


overlays = pytest.mark.parametrize("overlay", OVERLAYS)


@overlays
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_every_resource_fits_the_schema_of_kubernetes(overlay: str, version: str):
    for resource in rendered(overlay):
        if resource["kind"] not in WITHOUT_SCHEMA:
            must_fit(resource, version)


@overlays
def test_every_service_is_there_with_its_address_and_its_budget(overlay: str):
    assert set(SERVICES) <= set(of_kind(overlay, "Deployment"))
    assert set(SERVICES) <= set(of_kind(overlay, "Service"))
    assert set(SERVICES) <= set(of_kind(overlay, "PodDisruptionBudget"))


@overlays
def test_no_container_may_do_more_than_its_work(overlay: str):
    for name, pod in pods(overlay).items():
        assert pod["spec"]["automountServiceAccountToken"] is False, name
        assert pod["spec"]["securityContext"]["runAsNonRoot"] is True, name
        assert pod["spec"]["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["spec"]["containers"]:
            context = container["securityContext"]
            assert context["readOnlyRootFilesystem"] is True, name
            assert context["allowPrivilegeEscalation"] is False, name
            assert context["capabilities"] == {"drop": ["ALL"]}, name
            assert {"cpu", "memory"} <= container["resources"]["limits"].keys(), name
            assert {"cpu", "memory"} <= container["resources"]["requests"].keys(), name


@overlays
def test_every_server_and_service_is_probed(overlay: str):
    for name, workload in of_kind(overlay, "Deployment", "StatefulSet").items():
        for container in workload["spec"]["template"]["spec"]["containers"]:
            assert {"startupProbe", "livenessProbe", "readinessProbe"} <= container.keys(), name


@overlays
def test_no_secret_stands_in_a_manifest(overlay: str):
    assert of_kind(overlay, "Secret") == {}
    for name, pod in pods(overlay).items():
        for container in pod["spec"]["containers"]:
            for variable in container.get("env", []):
                if re.search("PASSWORD|SECRET|TOKEN", variable["name"]):
                    assert variable["name"].endswith("_FILE"), f"{name}: {variable}"
                assert not re.search(r"://[^@/]*:[^@/]*@", variable.get("value", "")), f"{name}: {variable}"


@overlays
def test_a_changed_file_has_another_name_so_that_its_pods_start_anew(overlay: str):
    """NATS with new rights of a user, for one: a service of the new version waits for them."""
    maps = of_kind(overlay, "ConfigMap")
    assert {"nats", "nats-users"} <= {name.rpartition("-")[0] for name in maps}
    assert [name for name in maps if not re.search(r"-[a-z0-9]{10}$", name)] == []


@overlays
def test_no_image_is_whatever_is_newest(overlay: str):
    for name, pod in pods(overlay).items():
        for container in pod["spec"]["containers"]:
            assert re.search(r":[^/]*\d|:dev$", container["image"]), f"{name}: {container['image']}"


@overlays
def test_what_selects_pods_finds_some(overlay: str):
    for name, each in of_kind(overlay, "Service").items():
        if each["spec"].get("type") != "ExternalName":
            assert selected(overlay, each["spec"]["selector"]), name
    for name, each in of_kind(overlay, "PodDisruptionBudget").items():
        assert selected(overlay, each["spec"]["selector"]["matchLabels"]), name
    for name, each in of_kind(overlay, "NetworkPolicy").items():
        if each["spec"]["podSelector"]:
            assert selected(overlay, each["spec"]["podSelector"]["matchLabels"]), name


@overlays
def test_every_port_that_a_service_names_is_one_of_its_pods(overlay: str):
    for name, each in of_kind(overlay, "Service").items():
        if each["spec"].get("type") == "ExternalName":
            continue
        [workload] = selected(overlay, each["spec"]["selector"])
        container = pods(overlay)[workload]["spec"]["containers"][0]
        there = {port["name"] for port in container["ports"]}
        assert {port["targetPort"] for port in each["spec"]["ports"]} <= there, name


@overlays
def test_nothing_is_allowed_but_what_is_said(overlay: str):
    policies = of_kind(overlay, "NetworkPolicy")
    assert policies["default-deny"]["spec"] == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    uses = {name: pod["metadata"]["labels"] for name, pod in pods(overlay).items()}
    reach_broker = selected(overlay, policies["ingest-to-mosquitto"]["spec"]["podSelector"]["matchLabels"])
    assert reach_broker == {"ingest"}
    of_the_factory = {"factory", "recorder"} if overlay == "factory" else set()
    of_sites = SITES.get(overlay, set())
    assert selected(overlay, {"kaiser.io/uses-nats": "true"}) == {*SERVICES, "migrate", *of_the_factory, *of_sites}
    assert "kaiser.io/uses-database" not in uses["ingest"]
    for name, pod in pods(overlay).items():
        settings = {variable["name"] for variable in pod["spec"]["containers"][0].get("env", [])}
        assert ("kaiser.io/uses-database" in uses[name]) == ("KAISER_DATABASE_URL" in settings), name


@overlays
def test_every_setting_is_one_that_is_read(overlay: str):
    text = "".join(page.read_text() for page in (ROOT / "docs").glob("*.md"))
    names = {
        variable["name"]
        for pod in pods(overlay).values()
        for variable in pod["spec"]["containers"][0].get("env", [])
        if variable["name"].startswith("KAISER_")
    }
    for each in of_kind(overlay, "ConfigMap").values():
        names |= {key for key in each["data"] if key.startswith("KAISER_")}
    assert {name for name in names if f"`{name}`" not in text} == set()


def test_every_file_that_a_pod_reads_comes_from_a_secret_that_the_script_makes(tmp_path: Path):
    make = [sys.executable, "-m", "kaiser_deploy", "--folder", str(tmp_path), "certs", "--cluster"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "tools/deploy/src")}
    subprocess.run(make, env=environment, check=True, timeout=60, capture_output=True)
    missing = [user for user in ("actuator", "logic", "simulator") if not (tmp_path / f"nats-{user}").exists()]
    for user in missing:  # users that the bus does not have yet
        (tmp_path / f"nats-{user}").write_text("x")
    done = subprocess.run(
        [str(FOLDER / "secrets.sh"), str(tmp_path)],
        env={**os.environ, "KUBECTL": KUBECTL},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    secrets = {each["metadata"]["name"]: set(each["data"]) for each in yaml.safe_load_all(done.stdout) if each}
    for overlay in OVERLAYS:
        for name, pod in pods(overlay).items():
            [*volumes] = [volume for volume in pod["spec"].get("volumes", []) if volume["name"] == "secrets"]
            files = set(re.findall(r"/run/secrets/kaiser/([\w-]+)", str(pod["spec"]["containers"])))
            for volume in volumes:
                assert files == secrets[volume["secret"]["secretName"]], name
    assert secrets["nats-cluster-tls"] == {"tls.crt", "tls.key", "ca.crt"}
    assert {"cluster-tls"} == {
        volume["name"]
        for volume in pods("prod")["nats"]["spec"]["volumes"]
        if volume.get("secret", {}).get("secretName") == "nats-cluster-tls"
    }


def test_production_keeps_three_copies_and_two_of_who_must_not_fail():
    prod = of_kind("prod", "Deployment", "StatefulSet")
    assert prod["nats"]["spec"]["replicas"] == 3
    assert prod["ingest"]["spec"]["replicas"] == 2
    [config] = [each["data"] for name, each in of_kind("prod", "ConfigMap").items() if name.startswith("kaiser-")]
    assert config["KAISER_NATS_REPLICAS"] == "3"
    scaled = {"sensor", "websocket-gateway"}
    assert {name for name, each in prod.items() if "replicas" not in each["spec"]} == scaled


def environment(overlay: str, name: str) -> dict[str, str]:
    """The settings of a workload's container, without those of the ConfigMap."""
    [container] = pods(overlay)[name]["spec"]["containers"]
    return {one["name"]: one.get("value", "") for one in container["env"]}


def test_each_site_has_an_ingest_of_its_own_for_its_devices_alone():
    """One that served another's devices too would publish their readings twice."""
    assert "KAISER_MQTT_KAISER_IDS" not in environment("scale-10k", "ingest")
    [common] = [each["data"] for name, each in of_kind("scale-100k", "ConfigMap").items() if name.startswith("kaiser-")]
    found = {}
    for name in ("ingest", *sorted(SITES["scale-100k"])):
        settings = common | environment("scale-100k", name)
        found[settings["KAISER_SITE"]] = (settings["KAISER_MQTT_KAISER_IDS"], settings["KAISER_MQTT_HOST"])
    assert found == {
        "god": ('["god"]', "mosquitto"),
        "east": ('["east"]', "mqtt.east.example.internal"),
        "south": ('["south"]', "mqtt.south.example.internal"),
        "west": ('["west"]', "mqtt.west.example.internal"),
    }


@pytest.mark.parametrize("overlay", SIZES)
def test_a_size_keeps_three_copies_and_lets_sites_reach_their_brokers(overlay: str):
    assert of_kind(overlay, "StatefulSet")["nats"]["spec"]["replicas"] == 3
    reach = {"kaiser.io/broker": "outside"}
    policies = of_kind(overlay, "NetworkPolicy")
    assert selected(overlay, reach) == SITES.get(overlay, set())
    assert ("ingest-to-sites" in policies) == (overlay in SITES)


def test_who_scales_names_what_there_is():
    [hpa] = of_kind("prod", "HorizontalPodAutoscaler").values()
    [scaled] = of_kind("prod", "ScaledObject").values()
    deployments = of_kind("prod", "Deployment")
    assert hpa["spec"]["scaleTargetRef"]["name"] in deployments
    assert scaled["spec"]["scaleTargetRef"]["name"] in deployments
    [trigger] = scaled["spec"]["triggers"]
    from kaiser_common.contract.subjects import CONSUMERS

    consumers = {(consumer.stream, consumer.name) for consumer in CONSUMERS}
    assert (trigger["metadata"]["stream"], trigger["metadata"]["consumer"]) in consumers
    assert scaled["spec"]["maxReplicaCount"] > scaled["spec"]["minReplicaCount"] >= 2


def test_a_websocket_outlives_the_patience_of_the_proxy():
    [ingress] = of_kind("prod", "Ingress").values()
    annotations = ingress["metadata"]["annotations"]
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-read-timeout"]) >= 3600
    assert int(annotations["nginx.ingress.kubernetes.io/proxy-send-timeout"]) >= 3600


def test_prometheus_finds_every_service():
    [monitor] = of_kind("prod", "ServiceMonitor").values()
    labels = monitor["spec"]["selector"]["matchLabels"]
    found = {
        name
        for name, each in of_kind("prod", "Service").items()
        if labels.items() <= each["metadata"].get("labels", {}).items()
    }
    assert found == set(SERVICES)


def test_the_rules_are_those_of_deploy_prometheus(missing: Any, tmp_path: Path):
    spec = importlib.util.spec_from_file_location("write_rules", FOLDER / "write_rules.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert module.TARGET.read_text() == module.rules(), "run python deploy/kubernetes/write_rules.py"
    [resource] = of_kind("prod", "PrometheusRule").values()
    program = shutil.which("promtool") or missing("prometheus", "promtool is not installed")
    rules = tmp_path / "rules.yml"
    rules.write_text(yaml.safe_dump(resource["spec"]))
    checked = subprocess.run([program, "check", "rules", rules], capture_output=True, timeout=30, check=False)
    assert checked.returncode == 0, checked.stderr
