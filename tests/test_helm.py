"""The Helm chart is written from kustomize's overlays, renders to the same resources, and refuses misspelt values.

It is rendered by Helm's own Go SDK (deploy/helm/sdk.txt).
"""

import importlib.util
import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from copy import deepcopy
from functools import cache
from itertools import product
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from kaiser_common.runtime.known_settings import KNOWN
from kubernetes_schemas import must_fit

ROOT = Path(__file__).parents[1]
CHART = ROOT / "deploy/helm/kaiser"
SDK = ROOT / ".venv/helm"
WITHOUT_SCHEMA = {"ScaledObject", "ServiceMonitor", "PrometheusRule"}
AS_PROD = {"monitoring": {"enabled": True}, "autoscaling": {"enabled": True}}
TRIAL = {"nats": {"replicas": 1}, "database": {"inside": True}, "ingress": {"enabled": False}}
FACTORY = {**TRIAL, "factory": {"enabled": True}}
VARIANTS = {"default": {}, "as prod": AS_PROD, "trial": TRIAL, "factory": FACTORY}
variants = pytest.mark.parametrize("values", VARIANTS.values(), ids=VARIANTS)

Resources = dict[tuple[str, str], dict[str, Any]]
Render = Callable[..., Resources]


def module_of(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


WRITE_CHART = module_of(ROOT / "deploy/kubernetes/write_chart.py")
overlay = cache(WRITE_CHART.rendered)


@pytest.fixture(scope="module")
def helm(missing: Callable[..., Any]) -> Iterator[Any]:
    if not SDK.is_dir():
        missing("helm", "Helm's SDK is not installed: pip install --target .venv/helm -r deploy/helm/sdk.txt")
    sys.path.insert(0, str(SDK))
    try:
        import helm_python

        yield helm_python
    finally:
        sys.path.remove(str(SDK))


@pytest.fixture(scope="module")
def render(helm: Any) -> Render:
    def rendered(values: dict[str, Any], namespace: str = "kaiser", chart: Path = CHART) -> Resources:
        with helm.Chart.load(str(chart)) as loaded:
            loaded.validate_schema(values)
            texts = loaded.render(values, name="farm", namespace=namespace)
        found = [
            each
            for name, text in texts.items()
            if name.endswith(".yaml")
            for each in yaml.load_all(text, Loader=yaml.CSafeLoader)
        ]
        return {(each["kind"], each["metadata"]["name"]): each for each in found if each}

    return rendered


def bare(resource: dict[str, Any]) -> dict[str, Any]:
    """A resource without what the chart adds."""
    resource = deepcopy(resource)
    metadata = resource["spec"].get("template", {}).get("metadata", {}) if "spec" in resource else {}
    if metadata.get("annotations", {}).pop("checksum/config", None):
        metadata["annotations"] or metadata.pop("annotations")
    if resource["kind"] == "Job":
        resource["metadata"]["name"] = resource["metadata"]["name"].removesuffix("-1")
    return resource


def compared(resources: Resources) -> Resources:
    found = [bare(each) for each in resources.values() if each["kind"] != "Namespace"]
    return {(each["kind"], each["metadata"]["name"]): each for each in found}


def test_the_chart_is_what_the_generator_writes(tmp_path: Path):
    folder = tmp_path / "kaiser/templates"
    folder.mkdir(parents=True)
    (folder.parent / "values.yaml").write_text((CHART / "values.yaml").read_text())
    WRITE_CHART.main(folder)
    written = {path.name: path.read_text() for path in folder.glob("*.yaml")}
    assert written == {path.name: path.read_text() for path in (CHART / "templates").glob("*.yaml")}, (
        "run: python deploy/kubernetes/write_chart.py"
    )
    assert (folder.parent / "values.yaml").read_text() == (CHART / "values.yaml").read_text()


def test_helm_finds_no_fault(helm: Any):
    assert helm.lint(str(CHART))["errors"] == []


def test_the_chart_makes_what_the_overlay_for_production_makes(render: Render):
    assert compared(render(AS_PROD)) == compared(overlay("prod"))


def test_a_trial_is_the_overlay_for_one_machine(render: Render):
    made, wanted = compared(render(TRIAL)), compared(overlay("dev"))
    for key in (("StatefulSet", "nats"), ("StatefulSet", "timescaledb"), ("NetworkPolicy", "database")):
        assert made[key] == wanted[key]
    assert ("Ingress", "kaiser") not in made


def test_with_a_factory_its_services_are_there_and_ingest_speaks_its_dialect(render: Render):
    made, wanted = compared(render(FACTORY)), compared(overlay("factory"))
    without = compared(render(TRIAL))
    added = made.keys() - without.keys()
    assert added == wanted.keys() - compared(overlay("dev")).keys() - {("ConfigMap", "kaiser")}
    for key in added - {("Deployment", "factory"), ("Deployment", "recorder")}:
        assert made[key] == wanted[key]
    env = made["Deployment", "ingest"]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert env == wanted["Deployment", "ingest"]["spec"]["template"]["spec"]["containers"][0]["env"]


def mounted(resource: dict[str, Any]) -> set[str]:
    """The ConfigMaps that a workload's pods have as files."""
    volumes = resource["spec"]["template"]["spec"].get("volumes", [])
    return {
        source["configMap"]["name"]
        for volume in volumes
        for source in (volume, *volume.get("projected", {}).get("sources", []))
        if "configMap" in source
    }


@pytest.mark.parametrize("values", [{}, FACTORY], ids=["three servers", "factory"])
def test_an_upgrade_restarts_each_pod_that_reads_a_changed_file(render: Render, values: dict[str, Any], tmp_path: Path):
    """NATS with new rights of a user, for one: a service of the new version waits for them."""

    def pods(chart: Path) -> Resources:
        return {key: each for key, each in render(values, chart=chart).items() if "template" in each.get("spec", {})}

    before = pods(CHART)
    readers = {name for each in before.values() for name in mounted(each)}
    assert {"nats", "nats-users", "mosquitto"} <= readers
    for name in readers:
        shutil.copytree(CHART, chart := tmp_path / name)
        template = chart / f"templates/configmap-{name}.yaml"
        template.write_text(template.read_text().replace("data:\n", "data:\n  added: a line\n", 1))
        after = pods(chart)
        changed = {key for key in before if before[key] != after[key]}
        assert changed == {key for key, each in before.items() if name in mounted(each)}, name


@variants
@pytest.mark.parametrize("version", ["1.31", "1.37"])
def test_every_resource_fits_the_schema_of_kubernetes(render: Render, values: dict[str, Any], version: str):
    for resource in render(values).values():
        if resource["kind"] not in WITHOUT_SCHEMA:
            must_fit(resource, version)


OF_OPERATORS = """
import { readFileSync } from "node:fs";
import { ScaledObject } from "@kubernetes-models/keda/keda.sh/v1alpha1";
import { PrometheusRule, ServiceMonitor } from "@kubernetes-models/prometheus-operator/monitoring.coreos.com/v1";
const models = { ScaledObject, PrometheusRule, ServiceMonitor };
for (const each of JSON.parse(readFileSync(0, "utf8"))) {
  try {
    new models[each.kind](each).validate();
  } catch (error) {
    console.log(`${each.kind} ${each.metadata.name}: ${error.message}`);
  }
}
"""


def test_resources_of_keda_and_the_prometheus_operator_fit_their_schemas(render: Render, missing: Callable[..., Any]):
    folder = ROOT / ".venv/operators"
    program = shutil.which("node")
    if program is None or not folder.is_dir():
        missing("operators", "npm install --prefix .venv/operators @kubernetes-models/keda …, as .ci/run does")

    def faults(resources: list[dict[str, Any]]) -> str:
        command = [str(program), "--input-type=module", "-e", OF_OPERATORS]
        done = subprocess.run(
            command, cwd=folder, input=json.dumps(resources), capture_output=True, text=True, timeout=120, check=True
        )
        return done.stdout

    found = [each for each in render(AS_PROD).values() if each["kind"] in WITHOUT_SCHEMA]
    assert {each["kind"] for each in found} == WITHOUT_SCHEMA
    assert faults(found) == ""
    [monitor] = [deepcopy(each) for each in found if each["kind"] == "ServiceMonitor"]
    monitor["spec"]["endpoints"][0]["port"] = 9100
    assert "must be string" in faults([monitor])


SWITCHES: tuple[dict[str, Any], ...] = (
    {"ingress": {"enabled": False}},
    {"database": {"inside": True}},
    {"autoscaling": {"enabled": True}},
    {"monitoring": {"enabled": True}},
    {"factory": {"enabled": True}},
    {"nats": {"replicas": 1}},
)


def test_each_combination_of_the_switches_makes_resources_that_fit_and_find_each_other(render: Render):
    fitting: set[str] = set()
    for chosen in product((False, True), repeat=len(SWITCHES)):
        values = {
            name: value for on, switch in zip(chosen, SWITCHES, strict=True) if on for name, value in switch.items()
        }
        made = render(values)
        for resource in made.values():
            text = json.dumps(resource, sort_keys=True)
            if resource["kind"] not in WITHOUT_SCHEMA and text not in fitting:
                must_fit(resource, "1.37")
                fitting.add(text)
        whole = json.dumps(list(made.values()))
        assert set(re.findall(r"\"(KAISER_[A-Z0-9_]+)\"", whole)) <= KNOWN
        maps = {name for kind, name in made if kind == "ConfigMap"}
        assert set(re.findall(r'"configMap": {[^}]*"name": "([^"]+)"', whole)) <= maps, values
        for (kind, name), resource in made.items():
            if kind == "ScaledObject":
                assert ("Deployment", resource["spec"]["scaleTargetRef"]["name"]) in made, (values, name)
            if kind == "Ingress":
                backends = re.findall(r'"service": {"name": "([^"]+)"', json.dumps(resource))
                assert {("Service", each) for each in backends} <= made.keys(), values
    assert len(fitting) > 60


def test_values_reach_what_they_are_for(render: Render):
    made = render(
        {
            "site": "north",
            "settings": {"KAISER_LOG_FORMAT": "console"},
            "image": {"registry": "registry.example.org/kaiser", "tag": "1.2.3"},
            "images": {"nats": "registry.example.org/nats:9"},
            "replicas": {"logic": 5},
            "database": {"host": "db.example.org", "cidr": "192.0.2.0/24"},
            "ingress": {"host": "farm.example.org", "class": "traefik", "trustedProxies": "192.0.2.9/32"},
            "storage": {"class": "fast", "nats": "7Gi"},
            "mqtt": {"serviceType": "NodePort"},
            **AS_PROD,
        },
        namespace="farm",
    )
    settings = made["ConfigMap", "kaiser"]["data"]
    assert (settings["KAISER_SITE"], settings["KAISER_LOG_FORMAT"]) == ("north", "console")
    logic = made["Deployment", "logic"]["spec"]
    assert (logic["replicas"], logic["template"]["spec"]["containers"][0]["image"]) == (
        5,
        "registry.example.org/kaiser/logic:1.2.3",
    )
    nats = made["StatefulSet", "nats"]["spec"]
    assert nats["template"]["spec"]["containers"][0]["image"] == "registry.example.org/nats:9"
    claim = nats["volumeClaimTemplates"][0]["spec"]
    assert (claim["resources"]["requests"]["storage"], claim["storageClassName"]) == ("7Gi", "fast")
    assert made["Service", "timescaledb"]["spec"]["externalName"] == "db.example.org"
    assert "192.0.2.0/24" in json.dumps(made["NetworkPolicy", "services-to-database"])
    assert made["Ingress", "kaiser"]["spec"]["rules"][0]["host"] == "farm.example.org"
    assert made["Ingress", "kaiser"]["spec"]["ingressClassName"] == "traefik"
    assert made["Service", "mosquitto-devices"]["spec"]["type"] == "NodePort"
    assert "192.0.2.9/32" in json.dumps(made["Deployment", "websocket-gateway"])
    assert "nats.farm.svc.cluster.local:8222" in json.dumps(made["ScaledObject", "sensor"])
    assert '"replacement": "north"' in json.dumps(made["ServiceMonitor", "kaiser"])
    rules = json.dumps(made["PrometheusRule", "kaiser"])
    assert "https://farm.example.org/console/runbooks.html#KaiserIngestDown" in rules
    assert "{{ $labels.service }}" in rules
    assert ("Job", "migrate-1") in made


@pytest.mark.parametrize(
    "values",
    [
        {"replica": {"sensor": 3}},
        {"replicas": {"senser": 3}},
        {"nats": {"replicas": 2}},
        {"settings": {"LOG": "x"}},
        {"settings": {"KAISER_SIET": "god"}},
        {"ingress": {"hots": "x"}},
    ],
)
def test_a_misspelt_or_impossible_value_is_refused(helm: Any, values: dict[str, Any]):
    with helm.Chart.load(str(CHART)) as chart, pytest.raises(helm.HelmError):
        chart.validate_schema(values)


def test_the_chart_takes_the_settings_of_the_programs_but_no_secret_in_clear_text():
    schema = json.loads((CHART / "values.schema.json").read_text())
    in_files = {name for name in KNOWN if f"{name}_FILE" in KNOWN}
    assert "KAISER_OIDC_CLIENT_SECRET" in in_files
    assert set(schema["properties"]["settings"]["propertyNames"]["enum"]) == KNOWN - in_files


def test_the_notes_say_how_to_go_on(helm: Any):
    with helm.Chart.load(str(CHART)) as chart:
        texts = chart.render({}, name="farm", namespace="farm")
    [notes] = [text for name, text in texts.items() if name.endswith("NOTES.txt")]
    assert "wait --for=condition=complete job/migrate-1" in notes
    assert "https://kaiser.example/" in notes
