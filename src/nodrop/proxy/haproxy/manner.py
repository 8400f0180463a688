"""How main behaves in a rehearsal: answers tell their pod, and perhaps no second try; pure."""

from __future__ import annotations

from dataclasses import dataclass

#: The server that a request was sent to, also on answers that the proxy gives in its place.
POD_HEADER = "Nodrop-Pod"
#: The answer is the app's own.
APP_HEADER = "Nodrop-App"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manner:
    """A serving engine has the defaults.

    ``names_pods``: every answer tells which pod it is of. ``retries`` False: one try a request,
    as a cluster's data path does it (kube-proxy and most load balancers send nothing again).
    """

    names_pods: bool = False
    retries: bool = True

    def defaults(self) -> list[str]:
        """What is to follow the lines of the defaults section."""
        return [] if self.retries else ["  retries 0", "  retry-on none", "  no option redispatch"]

    def slot(self, section: str) -> list[str]:
        """The first lines of a slot's section: what tells pods, where it takes requests."""
        if not self.names_pods or not section.startswith("s"):
            return []
        return [
            f"  http-response set-header {APP_HEADER} 1",
            f"  http-after-response set-header {POD_HEADER} %[srv_name]",
        ]


SERVING = Manner()
