import pytest

from nodrop.apiserver.paths import Target, parse_path, unserved_feature
from nodrop.model.kinds import DEPLOYMENT, NAMESPACE, NODE, POD

TARGETS = {
    "/api/v1/pods": Target(POD),
    "/api/v1/namespaces/default/pods": Target(POD, "default"),
    "/api/v1/namespaces/default/pods/web": Target(POD, "default", "web"),
    "/api/v1/namespaces/default/pods/web/log": Target(POD, "default", "web", "log"),
    "/api/v1/namespaces": Target(NAMESPACE),
    "/api/v1/namespaces/team": Target(NAMESPACE, None, "team"),
    "/api/v1/namespaces/team/finalize": Target(NAMESPACE, None, "team", "finalize"),
    "/api/v1/nodes/localhost": Target(NODE, None, "localhost"),
    "/apis/apps/v1/deployments": Target(DEPLOYMENT),
    "/apis/apps/v1/namespaces/a/deployments/web/scale": Target(DEPLOYMENT, "a", "web", "scale"),
}


@pytest.mark.parametrize("path", TARGETS)
def test_paths_name_their_targets(path: str) -> None:
    assert parse_path(path) == TARGETS[path]


@pytest.mark.parametrize(
    "path",
    [
        "/",
        "/api/v1",
        "/api/v2/pods",
        "/api/v1/pods/web",  # a namespaced object without its namespace
        "/api/v1/namespaces/default/nodes",
        "/api/v1/namespaces/default/pods/web/proxy",
        "/api/v1/namespaces//pods",
        "/apis/apps/v1beta1/deployments",
        "/apis/apps/v1/namespaces/a/deployments/web/scale/more",
        "/apis/apps/v1/namespaces/a",
        "/api/v1/watch/pods",
    ],
)
def test_other_paths_name_nothing(path: str) -> None:
    assert parse_path(path) is None


@pytest.mark.parametrize(
    ("path", "feature"),
    [
        (
            "/api/v1/namespaces/default/pods/web/ephemeralcontainers",
            "debug with ephemeral containers",
        ),
        ("/api/v1/namespaces/default/pods/web/proxy/index.html", "proxy"),
        ("/api/v1/namespaces/default/pods/web/nonsense", ""),
        ("/api/v1/namespaces/default/services/web/exec", ""),
        ("/apis/apps/v1/namespaces/a/deployments/web/exec", ""),
    ],
)
def test_what_clusters_have_and_nodrop_has_not_is_known_by_name(path: str, feature: str) -> None:
    assert unserved_feature(path) == feature
