"""What programs pay for the kernel, counted: programs/speed.c as process 1 under -icount."""

import bench
from lib import speed
from lib.harness import check, test

# Instructions of an operation, half as many again as it took when this was written: a row that passes one of these has gone wrong,
# and `make profile BENCH=ring3-NAME` says where. `make bench` has the figures, with Linux's beside them.
MOST = {"null": 300, "read": 1_000, "stat": 3_900, "open": 6_000, "pipe": 8_200, "fork": 67_000, "exec": 150_000, "fault": 2_150,
        "mmap": 9_200, "mprotect": 9_600, "signal": 5_300}


@test("ring3-speed")
def ring3_speed(t):
    """No row takes much more than it did."""
    machine = t.machine(icount=bench.ICOUNT)  # skips where there is no firmware
    rows = speed.run(speed.ours, t.directory, icount=machine.icount, smp=1)
    counted = {name: ticks / bench.NS_PER_INSTRUCTION for name, (ticks, _) in rows.items()}
    check(set(rows) == set(MOST), f"other rows than expected: {sorted(rows)}")
    over = [f"{name} takes {counted[name]:,.0f} instructions, at most {MOST[name]:,} are expected" for name in MOST if counted[name] > MOST[name]]
    check(not over, "; ".join(over))
    # A clock that does not count would make every row a good one: a call and its way back are not to be had for this.
    check(counted["null"] > 50, f"a call takes {counted['null']} instructions")
