"""NATS in Kubernetes finds its users and their passwords where the manifests put them."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from kaiser_deploy import certificates
from secured import DEPLOY

PROGRAMS = Path(sys.executable).parent


@pytest.mark.parametrize("overlay", ["dev", "prod"])
def test_nats_accepts_its_configuration_with_users_and_passwords(overlay: str, tmp_path: Path, secrets_folder: Path):
    shown = subprocess.run(
        [PROGRAMS / "kubectl", "kustomize", DEPLOY / "kubernetes/overlays" / overlay],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    objects = [each for each in yaml.safe_load_all(shown.stdout) if each]
    [nats] = [each for each in objects if each["kind"] == "StatefulSet" and each["metadata"]["name"] == "nats"]
    pod = nats["spec"]["template"]["spec"]
    [container] = [each for each in pod["containers"] if each["name"] == "nats"]
    paths = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    maps = {each["metadata"]["name"]: each["data"] for each in objects if each["kind"] == "ConfigMap"}
    for volume in pod["volumes"]:
        folder = tmp_path / paths[volume["name"]].lstrip("/")
        folder.mkdir(parents=True, exist_ok=True)
        for source in volume.get("projected", {}).get("sources", [volume]):
            if "configMap" in source:
                for name, text in maps[source["configMap"]["name"]].items():
                    (folder / name).write_text(
                        text.replace('"/data"', f'"{tmp_path}/data"').replace('"/etc/', f'"{tmp_path}/etc/')
                    )
            elif source.get("secret", {}).get("secretName") == "nats-cluster-tls":
                certificates.make_cluster(tmp_path, ["nats-0.nats-peers"])
                shutil.copytree(tmp_path / "cluster", folder, dirs_exist_ok=True)
            elif "secret" in source:
                shutil.copy(secrets_folder / "nats/passwords.conf", folder / "passwords.conf")
    config = tmp_path / container["args"][-1].lstrip("/")
    checked = subprocess.run(
        [PROGRAMS / "nats-server", "-t", "-c", config],
        env=os.environ | {"POD_NAME": "nats-0"},
        capture_output=True,
        text=True,
        timeout=20,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert 'user: "sensor"' in (config.parent / "users.conf").read_text()
