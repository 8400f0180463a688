"""A program in a pod that speaks to the API as its service account, by the official client."""

from __future__ import annotations

from typing import Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException

NAMESPACE = "/var/run/secrets/kubernetes.io/serviceaccount/namespace"


def main() -> None:
    config.load_incluster_config()
    core: Any = client.CoreV1Api()
    who: Any = client.AuthenticationV1Api().create_self_subject_review(client.V1SelfSubjectReview())
    with open(NAMESPACE, encoding="utf-8") as file:
        namespace = file.read()
    try:
        core.list_namespaced_secret(namespace)
    except ApiException as error:
        refused = str(error.status)
    told = {"who": who.status.user_info.username, "refused": refused}
    core.create_namespaced_config_map(namespace, {"metadata": {"name": "told"}, "data": told})


if __name__ == "__main__":
    main()
