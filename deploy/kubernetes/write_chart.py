"""Writes the templates of the Helm chart from the overlays of kustomize: python deploy/kubernetes/write_chart.py.

The overlays stay the one source of manifests: here is written which of them the chart has, and where values belong.
Chart.yaml, values.yaml, its schema and NOTES.txt are written by hand.
"""

import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

FOLDER = Path(__file__).parent
TEMPLATES = FOLDER.parent / "helm/kaiser/templates"
KUBECTL = Path(sys.executable).parent / "kubectl"
HEAD = "{{- /* Written by deploy/kubernetes/write_chart.py. */ -}}\n"
RESOURCES = "# From here on written by deploy/kubernetes/write_chart.py: what each container asks for and may have."

Resource = dict[str, Any]
Key = tuple[str, str]

ALONE = "eq (int .Values.nats.replicas) 1"
CONDITIONS: Mapping[str, str] = {
    "ServiceMonitor": ".Values.monitoring.enabled",
    "PrometheusRule": ".Values.monitoring.enabled",
    "HorizontalPodAutoscaler": ".Values.autoscaling.enabled",
    "ScaledObject": ".Values.autoscaling.enabled",
    "Ingress": ".Values.ingress.enabled",
}
"""When a resource of this kind is made."""
SCALED = ("websocket-gateway", "sensor")
FACTORY = "KAISER_MQTT_DIALECTS", "KAISER_SANDBOX_HOST"
_HASH = re.compile(r"-[a-z0-9]{10}$")


def main(target: Path) -> None:
    """Write a file for each resource; files of resources that are gone are removed."""
    target.mkdir(parents=True, exist_ok=True)
    for path in target.glob("*.yaml"):
        path.unlink()
    for name, text in templates().items():
        (target / name).write_text(text)
    values = target.parent / "values.yaml"
    values.write_text(values.read_text().partition(RESOURCES)[0] + resources())


def resources() -> str:
    """The end of values.yaml: what each container asks for and may have, as the overlays have it."""
    found = {}
    for overlay in ("dev", "factory", "prod"):
        for (kind, name), each in rendered(overlay).items():
            if kind in ("Deployment", "StatefulSet", "Job"):
                [container] = each["spec"]["template"]["spec"]["containers"]
                found[name] = container["resources"]
    return f"{RESOURCES}\n{yaml.safe_dump({'resources': found}, width=120)}"


def templates() -> dict[str, str]:
    """Each template by the name of its file."""
    prod, dev, factory = (rendered(name) for name in ("prod", "dev", "factory"))
    found: dict[str, str] = {}
    for key in sorted({*prod, *dev, *factory}):
        text = "".join(_variants(key, prod.get(key), dev.get(key), factory.get(key)))
        if text:
            found[f"{key[0].lower()}-{key[1]}.yaml"] = HEAD + text
    return found


def rendered(overlay: str) -> dict[Key, Resource]:
    """The resources of an overlay, without their namespace and without the hashes of ConfigMaps' names."""
    text = _kustomized(overlay)
    hashed = {each["metadata"]["name"] for each in _load(text) if each["kind"] == "ConfigMap"}
    for name in sorted(hashed, key=len, reverse=True):
        text = text.replace(f"name: {name}\n", f"name: {_HASH.sub('', name)}\n")
    found = {}
    for each in _load(text):
        each["metadata"].pop("namespace", None)
        found[each["kind"], each["metadata"]["name"]] = each
    return found


@cache
def _kustomized(overlay: str) -> str:
    command = [KUBECTL, "kustomize", str(FOLDER / "overlays" / overlay)]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout


def _load(text: str) -> list[Resource]:
    return list(yaml.load_all(text, yaml.CSafeLoader))


def _variants(key: Key, prod: Resource | None, dev: Resource | None, factory: Resource | None) -> Iterator[str]:
    """The texts of a resource, each under the condition on which it is made."""
    kind, name = key
    if kind == "Namespace":
        return
    if key == ("StatefulSet", "nats"):
        yield _when(ALONE, _text(dev), otherwise=_text(prod))
    elif name in ("timescaledb", "services-to-database", "database"):
        yield _when(".Values.database.inside", _text(dev), otherwise=_text(prod))
    elif prod is not None:
        condition = CONDITIONS.get(kind)
        yield _when(condition, _text(prod)) if condition else _text(prod)
    elif factory is not None and dev is None:
        yield _when(".Values.factory.enabled", _text(factory))


def _when(condition: str, text: str, otherwise: str = "") -> str:
    between = f"{{{{- else }}}}\n{otherwise}" if otherwise else ""
    return f"{{{{- if {condition} }}}}\n{text}{between}{{{{- end }}}}\n"


def _text(resource: Resource | None) -> str:
    """A resource as YAML with values in the places of figures; empty for none."""
    if resource is None:
        return ""
    marked = _mark(resource)
    text = yaml.safe_dump(marked, sort_keys=False, width=10_000, allow_unicode=True)
    text = text.replace("{{", '{{ "{{" }}') if resource["kind"] == "PrometheusRule" else text
    for pattern, replacement in _MARKS:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    assert "@@" not in text, text[text.index("@@") :][:80]
    return text


def _mark(resource: Resource) -> Resource:
    """Marks, `@@…@@`, where values belong."""
    _BY_KIND.get(resource["kind"], lambda _: None)(resource)
    return resource


def _mark_workload(resource: Resource) -> None:
    name, spec = resource["metadata"]["name"], resource["spec"]
    pod = spec["template"]
    if resource["kind"] == "Job":
        resource["metadata"]["name"] = f"@@REVISION:{name}@@"
    elif name in SCALED:
        resource["spec"] = {"@@SCALED@@": name, **{key: value for key, value in spec.items() if key != "replicas"}}
    elif name not in ("mosquitto", "sandbox", "nats", "timescaledb"):
        spec["replicas"] = f"@@REPLICAS:{name}@@"
    if resource["kind"] != "Job":
        checked = ",".join(dict.fromkeys(["kaiser", *_read_by(pod["spec"])]))
        pod["metadata"].setdefault("annotations", {})["checksum/config"] = f"@@CHECKSUM:{checked}@@"
    for container in pod["spec"]["containers"]:
        container["image"] = _image(container["image"])
        container["resources"] = f"@@RESOURCES:{name}@@"
        _mark_settings(name, container)
    for claim in spec.get("volumeClaimTemplates", []):
        claim["spec"]["resources"]["requests"]["storage"] = f"@@STORAGE:{name}@@"
        claim["spec"]["@@CLASS@@"] = ""


def _read_by(spec: Resource) -> Iterator[str]:
    """The ConfigMaps that a pod mounts: it reads its files once, at its start."""
    for volume in spec.get("volumes", []):
        for source in (volume, *volume.get("projected", {}).get("sources", [])):
            if "configMap" in source:
                yield source["configMap"]["name"]


def _checksum(found: re.Match[str]) -> str:
    """The templates of these ConfigMaps in one sum, so that a pod starts anew when one of them changes."""
    includes = [f'include (print $.Template.BasePath "/configmap-{name}.yaml") .' for name in found[1].split(",")]
    texts = includes[0] if len(includes) == 1 else f"print {' '.join(f'({each})' for each in includes)}"
    return f"{{{{ {texts} | sha256sum }}}}"


def _mark_settings(name: str, container: Resource) -> None:
    for variable in container.get("env", []):
        if variable["name"] == "KAISER_TRUSTED_PROXIES":
            variable["value"] = "@@PROXIES@@"
    if name == "ingest":
        container["env"].append("@@FACTORY@@")


def _image(image: str) -> str:
    name = image.partition(":")[0]
    return (
        f"@@OURS:{name.removeprefix('kaiser/')}@@" if name.startswith("kaiser/") else f"@@THEIRS:{_key(name)}:{image}@@"
    )


def _key(image: str) -> str:
    return {"eclipse-mosquitto": "mosquitto", "timescale/timescaledb": "timescaledb"}.get(image, image)


def _mark_config(resource: Resource) -> None:
    data = resource["data"]
    if resource["metadata"]["name"] == "kaiser":
        data |= {"KAISER_SITE": "@@SITE@@", "KAISER_LOG_LEVEL": "@@LEVEL@@", "KAISER_NATS_REPLICAS": "@@COPIES@@"}
        data["@@SETTINGS@@"] = ""


def _mark_ingress(resource: Resource) -> None:
    spec = resource["spec"]
    spec["ingressClassName"] = "@@INGRESS_CLASS@@"
    spec["tls"] = [{"hosts": ["@@HOST@@"], "secretName": "@@INGRESS_SECRET@@"}]
    spec["rules"][0]["host"] = "@@HOST@@"


def _mark_service(resource: Resource) -> None:
    if resource["metadata"]["name"] == "mosquitto-devices":
        resource["spec"]["type"] = "@@MQTT_TYPE@@"
    if resource["spec"].get("type") == "ExternalName":
        resource["spec"]["externalName"] = "@@DATABASE@@"


def _mark_policy(resource: Resource) -> None:
    for rule in resource["spec"].get("egress", []):
        for to in rule.get("to", []):
            if "ipBlock" in to:
                to["ipBlock"]["cidr"] = "@@DATABASE_CIDR@@"


def _mark_monitor(resource: Resource) -> None:
    for relabeling in resource["spec"]["endpoints"][0]["relabelings"]:
        if relabeling["targetLabel"] == "site":
            relabeling["replacement"] = "@@SITE@@"


def _mark_rules(resource: Resource) -> None:
    for group in resource["spec"]["groups"]:
        for rule in group["rules"]:
            notes = rule.get("annotations", {})
            if "runbook_url" in notes:
                notes["runbook_url"] = notes["runbook_url"].replace("kaiser.example", "@@HOST@@")


def _mark_scaled(resource: Resource) -> None:
    for trigger in resource["spec"]["triggers"]:
        where = trigger["metadata"]
        key = "natsServerMonitoringEndpoint"
        where[key] = where[key].replace(".kaiser.", ".@@NAMESPACE@@.")


_BY_KIND: Mapping[str, Callable[[Resource], None]] = {
    **dict.fromkeys(("Deployment", "StatefulSet", "Job"), _mark_workload),
    "ConfigMap": _mark_config,
    "Ingress": _mark_ingress,
    "Service": _mark_service,
    "NetworkPolicy": _mark_policy,
    "ServiceMonitor": _mark_monitor,
    "PrometheusRule": _mark_rules,
    "ScaledObject": _mark_scaled,
}


def _indented(expression: str) -> Callable[[re.Match[str]], str]:
    """A block of YAML from an expression, below its key."""

    def replacement(found: re.Match[str]) -> str:
        deeper = len(found["space"]) + 2
        return f"{found['space']}{found['key']}:\n{{{{- {expression.format(name=found['name'])} | nindent {deeper} }}}}"

    return replacement


_FACTORY_ENV = """{{- if .Values.factory.enabled }}
\\1- name: KAISER_MQTT_DIALECTS
\\1  value: '["esp", "factory"]'
\\1- name: KAISER_SANDBOX_HOST
\\1  value: sandbox
{{- end }}"""

_MARKS: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    (r"'?@@REVISION:(\w+)@@'?", r"\1-{{ .Release.Revision }}"),
    (
        r"^( *)'?@@SCALED@@'?: ([\w-]+)$",
        r'{{- if not .Values.autoscaling.enabled }}\n\1replicas: {{ index .Values.replicas "\2" }}\n{{- end }}',
    ),
    (r"'?@@REPLICAS:([\w-]+)@@'?", r'{{ index .Values.replicas "\1" }}'),
    (r"'?@@CHECKSUM:([\w,-]+)@@'?", _checksum),
    (
        r"'?@@OURS:([\w-]+)@@'?",
        r'"{{ .Values.image.registry }}/\1:{{ .Values.image.tag | default .Chart.AppVersion }}"',
    ),
    (r"'?@@THEIRS:(\w+):([^@]+(?:@sha256:[0-9a-f]+)?)@@'?", r'{{ index .Values.images "\1" | default "\2" | quote }}'),
    (
        r"^(?P<space> *)(?P<key>resources): '?@@RESOURCES:(?P<name>[\w-]+)@@'?$",
        _indented('toYaml (index .Values.resources "{name}")'),
    ),
    (r"'?@@STORAGE:(\w+)@@'?", r"{{ .Values.storage.\1 }}"),
    (
        r"^( *)'?@@CLASS@@'?: ''$",
        r"{{- with .Values.storage.class }}\n\1storageClassName: {{ . }}\n{{- end }}",
    ),
    (r"^( *)- '@@FACTORY@@'$", _FACTORY_ENV),
    (r"'?@@PROXIES@@'?", "{{ .Values.ingress.trustedProxies | quote }}"),
    (r": '?@@SITE@@'?$", ": {{ .Values.site | quote }}"),
    (r"'?@@LEVEL@@'?", "{{ .Values.logLevel | quote }}"),
    (r"'?@@COPIES@@'?", "{{ .Values.nats.replicas | quote }}"),
    (
        r"^( *)'?@@SETTINGS@@'?: ''$",
        r"{{- range $name, $value := .Values.settings }}\n\1{{ $name }}: {{ $value | quote }}\n{{- end }}",
    ),
    (r"'@@HOST@@'", "{{ .Values.ingress.host | quote }}"),
    (r"@@HOST@@", "{{ .Values.ingress.host }}"),
    (r"'@@INGRESS_CLASS@@'", "{{ .Values.ingress.class | quote }}"),
    (r"'@@INGRESS_SECRET@@'", "{{ .Values.ingress.tlsSecret | quote }}"),
    (r"'@@MQTT_TYPE@@'", "{{ .Values.mqtt.serviceType }}"),
    (r"'@@DATABASE@@'", "{{ .Values.database.host | quote }}"),
    (r"'@@DATABASE_CIDR@@'", "{{ .Values.database.cidr | quote }}"),
    (r"@@NAMESPACE@@", "{{ .Release.Namespace }}"),
)

if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else TEMPLATES)
