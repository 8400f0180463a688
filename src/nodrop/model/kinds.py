"""The table of built-in kinds: group, version, names, scope and subresources."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nodrop.model.custom.resource import CustomResource

#: What a client may do to the objects of a stored kind.
ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")


@dataclass(frozen=True, slots=True, eq=False)
class Kind:
    """One served kind, e.g. group ``apps``, version ``v1``, kind ``Deployment``.

    Kinds are equal when group, version and kind are: short names and the like of a custom kind
    may change while its objects are stored, and an object alone names its kind. They are part
    of every key, and keys are looked up all the time: so the hash is made once.
    """

    group: str
    version: str
    kind: str
    plural: str
    namespaced: bool = True
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    subresources: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    #: What its CustomResourceDefinition says; None for what is built in.
    custom: CustomResource | None = field(default=None, repr=False)
    _hash: int = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_hash", hash((self.group, self.version, self.kind)))

    def __hash__(self) -> int:
        return self._hash

    def __eq__(self, other: object) -> bool:
        return self is other or (
            isinstance(other, Kind)
            and (self.group, self.version, self.kind) == (other.group, other.version, other.kind)
        )

    @property
    def api_version(self) -> str:
        """``apps/v1``, or ``v1`` for the core group."""
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def singular(self) -> str:
        return self.custom.singular if self.custom else self.kind.lower()

    @property
    def list_kind(self) -> str:
        return self.custom.list_kind if self.custom else f"{self.kind}List"

    @property
    def resource(self) -> str:
        """The name that messages use: ``deployments.apps``, or ``pods`` for the core group."""
        return f"{self.plural}.{self.group}" if self.group else self.plural

    def __str__(self) -> str:
        return f"{self.kind}.{self.group}" if self.group else self.kind

    def __reduce__(self) -> tuple[object, ...]:
        """Another process finds its own object of a served kind."""
        return kind_of, (self.api_version, self.kind)


NAMESPACE = Kind("", "v1", "Namespace", "namespaces", False, ("ns",), (), ("status", "finalize"))
NODE = Kind("", "v1", "Node", "nodes", False, ("no",), (), ("status",))
POD = Kind(
    "", "v1", "Pod", "pods", True, ("po",), ("all",),
    ("status", "log", "eviction", "exec", "attach", "portforward"),
)  # fmt: skip
SERVICE = Kind("", "v1", "Service", "services", True, ("svc",), ("all",), ("status",))
ENDPOINTS = Kind("", "v1", "Endpoints", "endpoints", True, ("ep",))
CONFIGMAP = Kind("", "v1", "ConfigMap", "configmaps", True, ("cm",))
SECRET = Kind("", "v1", "Secret", "secrets", True)
EVENT = Kind("", "v1", "Event", "events", True, ("ev",))
DEPLOYMENT = Kind(
    "apps", "v1", "Deployment", "deployments", True, ("deploy",), ("all",), ("status", "scale")
)
REPLICASET = Kind(
    "apps", "v1", "ReplicaSet", "replicasets", True, ("rs",), ("all",), ("status", "scale")
)
ENDPOINTSLICE = Kind("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices")
INGRESS = Kind("networking.k8s.io", "v1", "Ingress", "ingresses", True, ("ing",), (), ("status",))
INGRESSCLASS = Kind("networking.k8s.io", "v1", "IngressClass", "ingressclasses", False)
PODDISRUPTIONBUDGET = Kind(
    "policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", True, ("pdb",), (), ("status",)
)
CUSTOMRESOURCEDEFINITION = Kind(
    "apiextensions.k8s.io",
    "v1",
    "CustomResourceDefinition",
    "customresourcedefinitions",
    False,
    ("crd", "crds"),
    ("api-extensions",),
    ("status",),
)
#: What is measured, not stored: read-only, so not among KINDS.
POD_METRICS = Kind("metrics.k8s.io", "v1beta1", "PodMetrics", "pods", verbs=("get", "list"))
NODE_METRICS = Kind(
    "metrics.k8s.io", "v1beta1", "NodeMetrics", "nodes", False, verbs=("get", "list")
)
MEASURED: tuple[Kind, ...] = (POD_METRICS, NODE_METRICS)
SERVICEACCOUNT = Kind("", "v1", "ServiceAccount", "serviceaccounts", True, ("sa",), (), ("token",))
LEASE = Kind("coordination.k8s.io", "v1", "Lease", "leases")
_RBAC = "rbac.authorization.k8s.io"
ROLE = Kind(_RBAC, "v1", "Role", "roles")
ROLEBINDING = Kind(_RBAC, "v1", "RoleBinding", "rolebindings")
CLUSTERROLE = Kind(_RBAC, "v1", "ClusterRole", "clusterroles", False)
CLUSTERROLEBINDING = Kind(_RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", False)
#: What is posted to ``pods/NAME/eviction``; never stored, so not among KINDS.
EVICTION = Kind("policy", "v1", "Eviction", "evictions")
#: What ``/scale`` shows and takes; never stored either.
SCALE = Kind("autoscaling", "v1", "Scale", "scales")

#: What is posted to ``serviceaccounts/NAME/token``; never stored either.
TOKENREQUEST = Kind("authentication.k8s.io", "v1", "TokenRequest", "tokenrequests")

_AUTHORIZATION = "authorization.k8s.io"


def _review(group: str, kind: str, *, namespaced: bool = False) -> Kind:
    plural = f"{kind.lower()}s"
    return Kind(group, "v1", kind, plural, namespaced, verbs=("create",))


SELFSUBJECTACCESSREVIEW = _review(_AUTHORIZATION, "SelfSubjectAccessReview")
SELFSUBJECTRULESREVIEW = _review(_AUTHORIZATION, "SelfSubjectRulesReview")
SUBJECTACCESSREVIEW = _review(_AUTHORIZATION, "SubjectAccessReview")
LOCALSUBJECTACCESSREVIEW = _review(_AUTHORIZATION, "LocalSubjectAccessReview", namespaced=True)
SELFSUBJECTREVIEW = _review("authentication.k8s.io", "SelfSubjectReview")
TOKENREVIEW = _review("authentication.k8s.io", "TokenReview")
#: Questions that are answered and not stored.
REVIEWS: tuple[Kind, ...] = (
    SELFSUBJECTACCESSREVIEW,
    SELFSUBJECTRULESREVIEW,
    SUBJECTACCESSREVIEW,
    LOCALSUBJECTACCESSREVIEW,
    SELFSUBJECTREVIEW,
    TOKENREVIEW,
)

KINDS: tuple[Kind, ...] = (
    NAMESPACE,
    NODE,
    POD,
    SERVICE,
    ENDPOINTS,
    CONFIGMAP,
    SECRET,
    EVENT,
    DEPLOYMENT,
    REPLICASET,
    ENDPOINTSLICE,
    INGRESS,
    INGRESSCLASS,
    PODDISRUPTIONBUDGET,
    SERVICEACCOUNT,
    LEASE,
    ROLE,
    ROLEBINDING,
    CLUSTERROLE,
    CLUSTERROLEBINDING,
    CUSTOMRESOURCEDEFINITION,
)

#: The newer version of Event shows the same objects, which are stored as EVENT.
EVENTS_EVENT = Kind("events.k8s.io", "v1", "Event", "events", True, ("ev",))
#: Served besides KINDS: other forms of stored kinds (registry/forms.py).
FORMS: tuple[Kind, ...] = (EVENTS_EVENT,)

_BY_GVK = {(kind.api_version, kind.kind): kind for kind in (*KINDS, *FORMS)}
_BY_RESOURCE = {(kind.group, kind.version, kind.plural): kind for kind in (*KINDS, *FORMS)}


def kind_of(api_version: str, kind: str) -> Kind | None:
    """The built-in kind for an object's ``apiVersion`` and ``kind``, or None."""
    return _BY_GVK.get((api_version, kind))


def kind_for_resource(group: str, version: str, plural: str) -> Kind | None:
    """The built-in kind for a URL's group, version and resource, or None."""
    return _BY_RESOURCE.get((group, version, plural))


def named_kind(api_version: str, kind: str) -> Kind:
    """A kind that equals the served one of that name, for looking it up; the rest is guessed."""
    group, _, version = api_version.rpartition("/")
    return Kind(group, version, kind, f"{kind.lower()}s")
