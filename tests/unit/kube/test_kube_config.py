import base64
from pathlib import Path

import pytest
import yaml

from monitoring_tls.errors import ConfigError
from monitoring_tls.kube.client import KubeClient
from monitoring_tls.kube.config import http_from_kubeconfig, http_from_service_account

CANARY = "canary-of-a-private-key"


def _kubeconfig(
    tmp_path: Path, *, user: dict[str, str] | None = None, server: str = "https://127.0.0.1:1/prefix"
) -> Path:
    file = tmp_path / "kubeconfig"
    content = {
        "current-context": "one",
        "contexts": [
            {"name": "one", "context": {"cluster": "c", "user": "u"}},
            {"name": "anonymous", "context": {"cluster": "c"}},
            {"name": "dangling", "context": {"cluster": "absent", "user": "u"}},
        ],
        "clusters": [{"name": "c", "cluster": {"server": server}}],
        "users": [{"name": "u", "user": {"token": CANARY} if user is None else user}],
    }
    file.write_text(yaml.safe_dump(content))
    return file


async def test_the_servers_path_prefix_is_kept(tmp_path: Path) -> None:
    async with KubeClient.from_kubeconfig(_kubeconfig(tmp_path)) as client:
        assert client.server == "https://127.0.0.1:1/prefix/"


async def test_a_context_without_a_user_is_anonymous(tmp_path: Path) -> None:
    async with KubeClient.from_kubeconfig(_kubeconfig(tmp_path), "anonymous") as client:
        assert client.server


async def test_the_default_is_kubeconfigs_first_file_that_exists(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("KUBECONFIG", f"{tmp_path / 'absent'}:{_kubeconfig(tmp_path)}")
    async with KubeClient.connect() as client:
        assert client.server == "https://127.0.0.1:1/prefix/"


@pytest.mark.parametrize("context", ["absent", "dangling"])
def test_a_context_that_leads_nowhere(tmp_path: Path, context: str) -> None:
    with pytest.raises(ConfigError, match="absent"):
        http_from_kubeconfig(_kubeconfig(tmp_path), context)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        http_from_kubeconfig(tmp_path / "nowhere")


@pytest.mark.parametrize(
    "text", [f"a: [{CANARY}", CANARY, "", "[]", f"clusters: {CANARY}", f"clusters: [{{name: x, cluster: {CANARY}}}]"]
)
def test_what_is_no_kubeconfig_is_not_quoted(tmp_path: Path, text: str) -> None:
    file = tmp_path / "kubeconfig"
    file.write_text(text)
    with pytest.raises(ConfigError) as failure:
        http_from_kubeconfig(file)
    assert CANARY not in repr(failure.value)
    assert str(file) in str(failure.value)
    assert failure.value.__suppress_context__ or CANARY not in repr(failure.value.__cause__)


@pytest.mark.parametrize(
    "user",
    [
        {"client-certificate-data": base64.b64encode(CANARY.encode()).decode()},
        {
            "client-certificate-data": base64.b64encode(CANARY.encode()).decode(),
            "client-key-data": base64.b64encode(CANARY.encode()).decode(),
        },
        {"client-certificate-data": f"{CANARY}!", "client-key-data": f"{CANARY}!"},
        {"client-certificate": "/absent", "client-key": "/absent"},
    ],
)
def test_credentials_that_do_not_load_are_not_quoted(tmp_path: Path, user: dict[str, str]) -> None:
    with pytest.raises(ConfigError) as failure:
        http_from_kubeconfig(_kubeconfig(tmp_path, user=user))
    assert CANARY not in repr(failure.value)


def test_outside_a_pod_there_is_no_service_account(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    with pytest.raises(ConfigError, match="--kubeconfig"):
        http_from_service_account()
