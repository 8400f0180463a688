"""What /proc tells, about this very process."""

from __future__ import annotations

import os
import subprocess
import sys

from nodrop.keeper import proc


def test_children_are_found_both_ways() -> None:
    with subprocess.Popen(["sleep", "600"]) as child:
        try:
            assert child.pid in proc.children_listed(os.getpid())
            assert child.pid in proc.children_by_parent(os.getpid())
            assert child.pid in proc.descendants([os.getppid()])
        finally:
            child.kill()
    assert child.pid not in proc.children_by_parent(os.getpid())


def test_start_ticks_tell_processes_apart() -> None:
    assert proc.start_ticks(os.getpid()) == proc.start_ticks(os.getpid()) > 0
    assert proc.start_ticks(2**30) == 0


def test_a_mark_is_inherited_through_exec_and_setsid() -> None:
    mark = proc.new_mark()
    source = os.path.dirname(os.path.dirname(os.path.dirname(proc.__file__)))
    script = (
        "import sys; sys.path.insert(0, sys.argv[1]); from nodrop.keeper import proc; import os\n"
        "proc.set_mark(int(sys.argv[2])); os.execvp('setsid', ['setsid', 'sh', '-c', 'read x'])"
    )
    with subprocess.Popen(
        [sys.executable, "-c", script, source, str(mark)], stdin=subprocess.PIPE
    ) as child:
        while (fields := proc.stat_fields(child.pid)) and int(fields[3]) != child.pid:
            pass  # field 6, the session: soon its own
        assert proc.marked({mark}, [child.pid, os.getpid()]) == [child.pid]
