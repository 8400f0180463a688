"""The notes kept beside a container, so that a restarted engine goes on in the middle; pure.

They live with the process, outside of the control plane. Whatever must hold before a hook or a
signal is written before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from nodrop.agent.runtime.protocol import ContainerState

#: ``done`` once the hook is over; the time when preStop began.
POST_START, PRE_STOP = "postStart", "preStop"
DONE = "done"
#: This run is being ended while its pod lives on: the time by which it shall have ended.
STOP = "stop"
#: When the stop signal was sent.
SIGNALLED = "signalled"
#: When the pod was taken out of the routing table for good: hooks and signals follow.
WITHDRAWN = "withdrawn"


def is_withdrawn(notes: Mapping[str, str]) -> bool:
    """Whether the container's pod may get no traffic any more.

    A hook or a signal says it too, unless this run alone is ended and the pod lives on.
    """
    if WITHDRAWN in notes:
        return True
    return STOP not in notes and (PRE_STOP in notes or SIGNALLED in notes)


def withdrawn_pods(states: Iterable[ContainerState]) -> set[str]:
    """Uids of the pods that may get no traffic any more, by what their containers say.

    One that has ended, perhaps while no engine looked, says so only by the note itself: a hook or a
    signal of its own end need not be the pod's.
    """
    return {
        state.pod_uid
        for state in states
        if WITHDRAWN in state.notes or (state.exit is None and is_withdrawn(state.notes))
    }
