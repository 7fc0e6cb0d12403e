"""The command line: `convatlas VERB [NETWORK] [options]`.

A door: it reads arguments, calls the rooms, prints. Data goes to stdout, talk to stderr. Exit codes: 0 done,
1 failed, 2 misuse, 130 stopped by Ctrl-C, 141 the reader of our output went away. A command is one module with
`HELP`, `EXAMPLES`, `configure(parser)` and `run(args) -> int`; it is imported when it is asked for, and what
is heavy it imports when it runs, so that `convatlas list` answers in milliseconds.
"""

from convatlas.cli.frame import COMMANDS, main

__all__ = ["COMMANDS", "main"]
