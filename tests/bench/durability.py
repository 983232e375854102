"""What it costs that a run survives: the log of events, going on with a large run, the logs of jobs."""

import json
import shutil
import sqlite3
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

from timing import MANY, show, step, timed

LARGE = 10_000
WRITERS = 20
LINES = 400_000
BLOCKED = 5


def measure(bench):
    per_step(bench)
    size(bench)
    resume(bench)
    throughput(bench)


def per_step(bench):
    """The same 1,000 steps with their project on a disk, and in memory, where syncing costs nothing."""
    memory = Path("/dev/shm")
    if not memory.is_dir():
        print("the cost of durability is left out: there is no /dev/shm to compare with")
        return
    with tempfile.TemporaryDirectory(dir=memory) as volatile:
        volatile = Path(volatile) / "many"
        shutil.copytree(bench.scratch / "many", volatile, ignore=shutil.ignore_patterns(".runner"))
        durable = bench.scratch / "many"
        run = lambda project: timed([bench.program, "run"], project, bench.env)
        run(volatile), run(durable)
        pairs = [(run(durable), run(volatile)) for _ in range(9)]
    ours, theirs = (statistics.median(pair[side] for pair in pairs) for side in (0, 1))
    print(f"{f'{MANY} no-op wasm steps, durable | in memory':<58} {show(ours):>10} {show(theirs):>10} {ours / theirs:>7.2f}")
    print(f"{'  cost of durability, each step':<58} {(ours - theirs) / MANY * 1e6:>7.1f} us")


def size(bench):
    """Bytes of the log that a run of 1,000 jobs adds."""
    home = bench.scratch / "many/.runner"
    connection = sqlite3.connect(home / "runs.db")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    runs = connection.execute("SELECT count(*) FROM runs").fetchone()[0]
    events = connection.execute("SELECT count(*) FROM events").fetchone()[0]
    connection.close()
    total = (home / "runs.db").stat().st_size
    print(f"{f'event log of a run of {MANY:,} jobs ({events // runs:,} events)':<58} {total / runs / 1024:>7.1f} KB")


def resume(bench):
    """Going on with a run whose 10,000 jobs are over, against reading what is stored of it and parsing that."""
    steps = [step(number) for number in range(LARGE)] + [{"block": "Go on?"}]
    project = bench.project("large", {"steps": steps}, "")
    first = subprocess.run([bench.program, "run"], cwd=project, env=bench.env, capture_output=True)
    if first.returncode != BLOCKED:
        raise SystemExit(f"error: the large run was not blocked:\n{first.stderr.decode()[-2000:]}")

    def go_on():
        before = time.perf_counter()
        status = subprocess.run([bench.program, "resume", "1"], cwd=project, env=bench.env, capture_output=True).returncode
        if status != BLOCKED:
            raise SystemExit(f"error: `runner resume` ended with {status}")
        return time.perf_counter() - before

    def read():
        before = time.perf_counter()
        connection = sqlite3.connect(project / ".runner/runs.db")
        plan = json.loads(connection.execute("SELECT plan FROM runs").fetchone()[0])
        events = [json.loads(kind) for (kind,) in connection.execute("SELECT kind FROM events ORDER BY sequence")]
        connection.close()
        assert len(plan["jobs"]) == LARGE + 1 and len(events) > 2 * LARGE
        return time.perf_counter() - before

    bench.report(f"resume of {LARGE:,} finished jobs | reading their log", go_on, read, 7, "<= 2")


def throughput(bench):
    """20 jobs that together write 100 MB, against the same commands writing into files, as many at once."""
    script = f"seq -f 'line %7.0f' 1 {LINES}"
    steps = [{"command": script, "key": f"w{number}"} for number in range(WRITERS)]
    project = bench.project("logs", {"steps": steps}, "")
    expected = subprocess.run(["bash", "-c", script], capture_output=True, check=True).stdout
    total = len(expected) * WRITERS

    def ours():
        shutil.rmtree(project / ".runner", ignore_errors=True)
        before = time.perf_counter()
        subprocess.run([bench.program, "run", "-j", str(WRITERS)], cwd=project, env=bench.env,
                       stdout=subprocess.DEVNULL, check=True)
        took = time.perf_counter() - before
        logs = sorted((project / ".runner/runs").glob("*/logs/*.log"))
        if len(logs) != WRITERS or any(not log.read_bytes().endswith(expected) for log in logs):
            raise SystemExit("error: a job's log is not what its command wrote")
        return took

    def theirs():
        with tempfile.TemporaryDirectory(dir=bench.scratch) as directory:
            before = time.perf_counter()
            writers = []
            for number in range(WRITERS):
                with open(Path(directory) / str(number), "wb") as file:
                    writers.append(subprocess.Popen(["bash", "-e", "-c", script], stdout=file))
            if any(writer.wait() for writer in writers):
                raise SystemExit("error: a command failed")
            return time.perf_counter() - before

    bench.report(f"{total / 1e6:.0f} MB of output from {WRITERS} jobs | into files", ours, theirs, 5, "")
