"""How each command of README and docs/ is tried: `make check` insists that a command is listed here, and
test/boot/test_commands.py runs those that say PROMPT or RUN.

PROMPT  must reach `sis> `; then QEMU is ended by its escape, Ctrl-A X
RUN     must end with status 0
other   the words say who runs it instead
"""

PROMPT, RUN = "PROMPT", "RUN"

KNOWN = {
    r"make": RUN,
    r"make help": RUN,
    r"make (?:\w+=\S+ )*run(?: \w+=(?:'[^']*'|\S+))*": PROMPT,
    r"make test": "the test run is this very command",
    r"make check": ".ci/run runs it beside the tests",
    r"make matrix": "the same tests as make test, in full",
    r"make cpus": "the same harness, with machines that take a minute each",
    r"make fuzz": "the same harness, without an end short enough for make test",
    r"make bench": "too long for make test; its parts are measured by the timeline test",
    r"make profile BENCH=[\w-]+": "the test `profile` is this very command",
    r"make bochs": "needs Bochs, which make test must not ask for",
    r"make gdb(?: \w+=\S+)*": "the debugger's own test drives the same script in batch mode",
    r"make screenshot": "writes into the checkout",
    r"make clean": "would remove what the tests run on",
    r"git clone \S+(?: \S+)?": "needs the network",
    r"cd \S+": "has no effect of its own",
}
