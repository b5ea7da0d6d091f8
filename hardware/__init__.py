"""The box: disk pools, readings, the judgement over them, and the sinks that tell people."""
