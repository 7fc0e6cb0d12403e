"""Recipe, objective, schedule, loop, checkpointing, logs, the run folder."""
