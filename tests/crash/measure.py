"""Runs a program and writes, as JSON into a file, what the system counted: processor time and peak memory.

Arguments: the file, then the program and its arguments.
"""

import json
import os
import sys

# Not a fork: memory of this process would be counted as the program's.
child = os.posix_spawnp(sys.argv[2], sys.argv[2:], os.environ)
_, status, usage = os.wait4(child, 0)
with open(sys.argv[1], "w") as out:
    json.dump({
        "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000),
        "peak_kib": usage.ru_maxrss,
        "exit": os.waitstatus_to_exitcode(status),
        "program": sys.argv[2:],
    }, out)
