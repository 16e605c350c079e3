"""Writes the rules of deploy/prometheus as a PrometheusRule: python deploy/kubernetes/write_rules.py."""

from pathlib import Path

import yaml

DEPLOY = Path(__file__).parents[1]
TARGET = DEPLOY / "kubernetes/components/monitoring/rules.yaml"
COMPOSE_GATEWAY = "http://127.0.0.1:8000"
GATEWAY = "https://kaiser.example"
"""The host of base/network/ingress.yaml, which serves the runbooks: an overlay has its own."""


def rules() -> str:
    """The resource as YAML."""
    files = sorted((DEPLOY / "prometheus/rules").glob("*.yml"))
    groups = [group for path in files for group in yaml.safe_load(path.read_text())["groups"]]
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "kaiser"},
        "spec": {"groups": groups},
    }
    text = yaml.safe_dump(resource, sort_keys=False, width=120, allow_unicode=True)
    text = text.replace(COMPOSE_GATEWAY, GATEWAY)
    return f"# Written by deploy/kubernetes/write_rules.py from deploy/prometheus/rules.\n{text}"


if __name__ == "__main__":
    TARGET.write_text(rules())
