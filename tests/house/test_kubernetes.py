"""The Kubernetes manifests are what Kubernetes takes, and name only what this service has."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from typer.testing import CliRunner

from app.cli.main import app
from app.settings import Settings

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
KUSTOMIZATION = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
VERSION = "1.33"
SECRET = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}

Manifest = dict[str, Any]


def manifests() -> list[Manifest]:
    """Every object of every file that the kustomization lists."""
    files = [FOLDER / name for name in KUSTOMIZATION["resources"]]
    return [one for file in files for one in yaml.safe_load_all(file.read_text())]


def named(one: Manifest) -> str:
    return f"{one['kind']}/{one['metadata']['name']}"


def pods() -> list[tuple[str, Manifest]]:
    """The pod templates, by what makes them."""
    return [(named(one), one["spec"]["template"]) for one in manifests() if _has_pods(one)]


def _has_pods(one: Manifest) -> bool:
    return "template" in one.get("spec", {})


@pytest.mark.parametrize("manifest", manifests(), ids=named)
def test_every_manifest_is_one_of_kubernetes_own(manifest: Manifest) -> None:
    kubernetes_validate.validate(manifest, VERSION, strict=True)


def test_a_manifest_with_a_mistake_is_found() -> None:
    [deployment] = [one for one in manifests() if named(one) == "Deployment/worker"]
    wrong = deployment | {"spec": deployment["spec"] | {"replica": 2}}

    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSION, strict=True)


def test_every_file_is_listed() -> None:
    files = {path.name for path in FOLDER.glob("*.yaml")}

    assert files == {*KUSTOMIZATION["resources"], "kustomization.yaml"}


def test_every_setting_is_one_of_ours() -> None:
    [settings] = [one for one in manifests() if named(one) == "ConfigMap/fewstep"]
    known = {f"FEWSTEP_{name.upper()}" for name in Settings.model_fields}

    assert set(settings["data"]) <= known


@pytest.mark.parametrize(("name", "pod"), pods())
def test_every_command_is_one_of_ours(name: str, pod: Manifest) -> None:
    [container] = pod["spec"]["containers"]
    probes = [one for key, one in container.items() if key.endswith("Probe") and "exec" in one]
    for command in (container["command"], *(probe["exec"]["command"] for probe in probes)):
        assert command[0] == "fewstep"
        assert CliRunner().invoke(app, [*command[1:], "--help"]).exit_code == 0


@pytest.mark.parametrize(("name", "pod"), pods())
def test_every_pod_passes_the_restricted_standard(name: str, pod: Manifest) -> None:
    about, [container] = pod["spec"]["securityContext"], pod["spec"]["containers"]

    assert about["runAsNonRoot"] is True
    assert about["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["resources"]["limits"]["memory"]


def test_whatever_selects_pods_finds_some() -> None:
    labels = [pod["metadata"]["labels"] for _, pod in pods()]
    for one in manifests():
        wanted = _selected(one)
        if wanted is not None:
            assert any(wanted.items() <= had.items() for had in labels), named(one)


def _selected(one: Manifest) -> dict[str, str] | None:
    spec = one.get("spec", {})
    if one["kind"] == "Service":
        found: dict[str, str] = spec["selector"]
        return found
    selector = spec.get("selector") or spec.get("podSelector")
    return None if selector is None else selector["matchLabels"]


def test_every_autoscaler_scales_a_deployment_that_is_there() -> None:
    there = {named(one) for one in manifests()}
    for one in manifests():
        if one["kind"] == "HorizontalPodAutoscaler":
            target = one["spec"]["scaleTargetRef"]
            assert f"{target['kind']}/{target['name']}" in there
