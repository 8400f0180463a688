"""Pure decisions about one pod: what to start, probe, restart and end. No loop, no time, no I/O."""
