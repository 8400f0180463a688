"""The mend that goes with an API error, where we know one. Pure."""

from __future__ import annotations

import re

from nodrop.model.errors import ApiError

_BOTH_ZERO = (
    "with both 0 no pod may be added and none may be missing, so there could be no pod at all "
    "while updating; set maxSurge: 1 to keep every pod serving"
)
#: Where to look for the name that was meant.
NOT_FOUND = "what there is: nodrop status  (another namespace: -n NAMESPACE)"
_NO_NAMESPACE = re.compile(r'namespaces "(.+)" not found')
_HINTS = (
    ("may not be 0 when `maxSurge` is 0", _BOTH_ZERO),
    (  # before the selector's: a changed selector is immutable whatever the labels say
        "field is immutable",
        "delete the object first, or keep this field as it was",
    ),
    (
        "spec.selector: Required value",
        "give spec.selector.matchLabels labels that spec.template.metadata.labels has too",
    ),
    (
        "`selector` does not match template `labels`",
        "give spec.template.metadata.labels every label that spec.selector.matchLabels asks for",
    ),
    ("cannot unmarshal", "give the field the type that the message names"),
)


def hint_for(error: Exception) -> str:
    """One sentence that says what would be right, or nothing."""
    if not isinstance(error, ApiError):
        return ""
    if error.code == 401:
        return (
            "the kubeconfig's credentials are not this engine's; print it anew: nodrop kubeconfig"
        )
    if error.code == 404 and error.reason == "NotFound":
        if missing := _NO_NAMESPACE.search(error.message):
            return (
                f"create it first: kubectl create namespace {missing[1]}, or a Namespace among "
                "the manifests"
            )
        return NOT_FOUND
    return next((hint for text, hint in _HINTS if text in error.message), "")
