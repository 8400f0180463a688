"""Kubernetes Events: the closed list of reasons that nodrop emits, each documented."""

from __future__ import annotations

from enum import StrEnum


class Reason(StrEnum):
    """Why an Event was recorded. The value is what clients see and match on."""

    # Deployment controller
    SCALING_REPLICA_SET = "ScalingReplicaSet"
    SELECTING_ALL = "SelectingAll"
    REPLICA_SET_CREATE_ERROR = "ReplicaSetCreateError"
    ROLLBACK_DONE = "DeploymentRollback"
    ROLLBACK_REVISION_NOT_FOUND = "DeploymentRollbackRevisionNotFound"
    ROLLBACK_TEMPLATE_UNCHANGED = "DeploymentRollbackTemplateUnchanged"
    # ReplicaSet controller
    SUCCESSFUL_CREATE = "SuccessfulCreate"
    FAILED_CREATE = "FailedCreate"
    SUCCESSFUL_DELETE = "SuccessfulDelete"
    FAILED_DELETE = "FailedDelete"
    # Disruption controller
    NO_PODS = "NoPods"
    UNMANAGED_PODS = "UnmanagedPods"
    EXPECTED_COUNT_FAILED = "CalculateExpectedPodCountFailed"
    NOT_DELETED = "NotDeleted"
    # Agent
    SCHEDULED = "Scheduled"
    CREATED = "Created"
    STARTED = "Started"
    KILLING = "Killing"
    BACK_OFF = "BackOff"
    FAILED = "Failed"
    UNHEALTHY = "Unhealthy"
    PROBE_WARNING = "ProbeWarning"
    FAILED_POST_START_HOOK = "FailedPostStartHook"
    FAILED_PRE_STOP_HOOK = "FailedPreStopHook"
    DEADLINE_EXCEEDED = "DeadlineExceeded"
    FAILED_MOUNT = "FailedMount"
    INVALID_ENVIRONMENT_VARIABLE_NAMES = "InvalidEnvironmentVariableNames"
    MISSING_COMMAND = "MissingCommand"  # nodrop: a process needs a command, an image has none
    WILDCARD_BIND_UNAVAILABLE = "WildcardBindUnavailable"  # nodrop: kernel refuses the filter
    DRAIN_CUT = "DrainCut"  # nodrop: requests were still in flight when the drain's share ended
    WITHDRAWN = "Withdrawn"  # nodrop, in rehearsals: no new request comes, those in flight are over
    SIGNALLED = "Signalled"  # nodrop, in rehearsals: the stop signal was sent
    ADOPTED = "Adopted"  # nodrop: a restarted engine found this pod running
    # Proxy, services and ingress
    SYNC = "Sync"
    PORT_UNAVAILABLE = "PortUnavailable"  # nodrop: a Service address can't be listened on
    INVALID_ANNOTATION = "InvalidAnnotation"  # nodrop: its value has no meaning
    CERTIFICATE_UNAVAILABLE = "CertificateUnavailable"  # nodrop: a TLS Secret can't be served
    EXTERNAL_NAME_UNAVAILABLE = "ExternalNameUnavailable"  # nodrop: an Ingress can't reach it
    CERTIFICATE_EXPIRING = "CertificateExpiring"  # nodrop: within two weeks
    CERTIFICATE_EXPIRED = "CertificateExpired"  # nodrop: clients refuse it
    UNSUPPORTED = "Unsupported"  # nodrop: a field is accepted and has no effect here
