#!/usr/bin/env python3
"""What the runner costs, as ratios against baselines measured in the same run.

Everything is measured several times, alternating with its baseline, and the medians are compared: what else the machine
does then hits both. Isolation, limits and the durable event log are on in all of it.
"""

import json
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import durability
from timing import MANY, show, step, timed

ROOT = Path(__file__).resolve().parents[2]
RUNNER = Path(os.environ.get("RUNNER", ROOT / "target/release/runner"))
ECHO = ROOT / "steps/target/wasm32-wasip2/release/echo.wasm"
CHAIN = 200
CORPUS = ROOT.parent / "shared/corpus/buildkite"


def main() -> int:
    for needed in (RUNNER, ECHO):
        if not needed.exists():
            print(f"error: there is no {needed}; run `make build` first", file=sys.stderr)
            return 1
    with tempfile.TemporaryDirectory() as scratch:
        bench = Bench(Path(scratch))
        bench.cold_start()
        bench.many_steps()
        bench.chain()
        bench.command()
        bench.processes()
        bench.containers()
        bench.memory()
        bench.planning()
        bench.growth()
        durability.measure(bench)
    return 0


class Bench:
    def __init__(self, scratch: Path):
        self.scratch = scratch
        self.program = RUNNER
        self.env = {**os.environ, "RUNNER_CACHE_DIR": str(scratch / "cache"), "NO_COLOR": "1"}
        print(f"{'what':<58} {'time':>10} {'baseline':>10} {'ratio':>7}  target")

    def project(self, name: str, pipeline: dict, makefile: str) -> Path:
        project = self.scratch / name
        project.mkdir()
        shutil.copy(ECHO, project / "echo.wasm")
        (project / "pipeline.yml").write_text(json.dumps(pipeline))
        (project / "Makefile").write_text(makefile)
        return project

    def runner(self, project: Path):
        def run():
            return timed([RUNNER, "run"], project, self.env)

        return run

    def report(self, what: str, measured, baseline, times: int, target: str):
        measured(), baseline()
        pairs = [(measured(), baseline()) for _ in range(times)]
        ours = statistics.median(pair[0] for pair in pairs)
        theirs = statistics.median(pair[1] for pair in pairs)
        print(f"{what:<58} {show(ours):>10} {show(theirs):>10} {ours / theirs:>7.2f}  {target}", flush=True)

    def cold_start(self):
        project = self.project("one", {"steps": [step(0)]}, "all:\n\t@/bin/true\n")
        what = "one no-op wasm step, whole process | make, one target"
        self.report(what, self.runner(project), lambda: timed(["make", "-s"], project), 21, "<= 3")

    def many_steps(self):
        steps = [step(number) for number in range(MANY)]
        targets = " ".join(f"t{number}" for number in range(MANY))
        makefile = f"all: {targets}\n{targets}:\n\t@/bin/true\n.PHONY: all {targets}\n"
        project = self.project("many", {"steps": steps}, makefile)
        what = f"{MANY} independent no-op wasm steps | make -j2, {MANY} targets"
        self.report(what, self.runner(project), lambda: timed(["make", "-s", "-j2"], project), 7, "<= 0.5")

    def chain(self):
        steps = [{**step(number), "key": f"k{number}"} for number in range(CHAIN)]
        for number in range(1, CHAIN):
            steps[number]["depends_on"] = f"k{number - 1}"
        rules = "\n".join(f"t{number}: t{number - 1}\n\t@/bin/true" for number in range(1, CHAIN))
        makefile = f"all: t{CHAIN - 1}\nt0:\n\t@/bin/true\n{rules}\n"
        project = self.project("chain", {"steps": steps}, makefile)
        what = f"{CHAIN} steps, each after the other | make, likewise"
        self.report(what, self.runner(project), lambda: timed(["make", "-s"], project), 7, "< 1")

    def command(self):
        script = "i=0; while [ $$i -lt 100000 ]; do i=$$((i+1)); done"
        project = self.project("command", {"steps": [{"command": script}]}, "all:\n")
        direct = ["bash", "-e", "-c", script.replace("$$", "$")]
        what = "a command step of some 200 ms | the same bash -e -c"
        self.report(what, self.runner(project), lambda: timed(direct, project), 11, "<= 1.3")

    def processes(self):
        project = self.scratch / "many"
        loop = f"i=0; while [ $i -lt {MANY} ]; do sh -c true; i=$((i+1)); done"
        what = f"{MANY} independent no-op wasm steps | sh -c true, {MANY} times"
        self.report(what, self.runner(project), lambda: timed(["sh", "-c", loop], project), 5, "")

    def containers(self):
        image = "runner-bench:true"
        if subprocess.run(["docker", "info"], capture_output=True).returncode != 0:
            print("docker run is left out: no engine answers; run examples/environment/up docker")
            return
        with tempfile.TemporaryDirectory() as context:
            source = Path(context) / "true.c"
            source.write_text("int main(void) { return 0; }\n")
            subprocess.run(["cc", "-static", "-O1", "-o", Path(context) / "true", source], check=True)
            (Path(context) / "Dockerfile").write_text('FROM scratch\nCOPY true /true\nENTRYPOINT ["/true"]\n')
            subprocess.run(["docker", "build", "-q", "-t", image, context], check=True, capture_output=True)
        project = self.scratch / "one"

        def container():
            return timed(["docker", "run", "--rm", image], project)

        what = "one no-op wasm step, whole process | docker run --rm true"
        self.report(what, self.runner(project), container, 20, "")
        subprocess.run(["docker", "rmi", image], capture_output=True, check=True)

    def memory(self):
        project = self.scratch / "one"
        code = "import resource, subprocess, sys; subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, check=True); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        output = subprocess.run(
            [sys.executable, "-c", code, RUNNER, "run"], cwd=project, env=self.env, capture_output=True, check=True
        )
        peak = int(output.stdout) / 1024
        print(f"{'peak memory of one no-op wasm step':<58} {peak:>7.1f} MB {'':>10} {'':>7}  <= 40 MB")
        size = RUNNER.stat().st_size / (1 << 20)
        print(f"{'size of the program':<58} {size:>7.1f} MB")


    def planning(self):
        """Parse and plan, against the fastest YAML parser of Python reading the same text, and no more than that."""
        large = self.scratch / "10000.yml"
        large.write_text(pipeline_text(10_000))
        files = [("10,000 steps", large)]
        found = sorted(CORPUS.glob("*.yml"), key=lambda path: path.stat().st_size)
        if found:
            files.append((f"public file, {found[-1].stat().st_size >> 10} KB", found[-1]))
        else:
            print(f"the largest public file is left out: there is no {CORPUS}")
        for what, path in files:
            ours = [sum(self.planned(path)[:2]) for _ in range(7)]
            theirs = [c_yaml(path) for _ in range(3)]
            if None in theirs:
                print(f"{f'{what}: parse and plan':<58} {show(statistics.median(ours)):>10}  PyYAML with libyaml is absent")
                continue
            ours, theirs = statistics.median(ours), statistics.median(theirs)
            what = f"{what}: parse and plan | libyaml, parse only"
            print(f"{what:<58} {show(ours):>10} {show(theirs):>10} {ours / theirs:>7.2f}  < 1", flush=True)

    def growth(self):
        """What a step costs when there are more of them: the same, in time and in memory."""
        first = None
        for steps in (1_000, 10_000, 100_000):
            path = self.scratch / f"{steps}.yml"
            path.write_text(pipeline_text(steps))
            measured = [self.planned(path) for _ in range(3 if steps > 10_000 else 7)]
            each = statistics.median((parse + plan) / steps for parse, plan, _ in measured) * 1e6
            memory = min(peak for *_, peak in measured)
            first = first or each
            what = f"{steps:,} steps: parse and plan, each step | each of 1,000"
            print(f"{what:<58} {each:>7.1f} us {first:>7.1f} us {each / first:>7.2f}  <= 1.5", flush=True)
            print(f"{f'{steps:,} steps: peak memory of `runner check`':<58} {memory / (1 << 20):>7.1f} MB")

    def planned(self, path: Path) -> tuple[float, float, int]:
        """Seconds of parsing and of planning, and the peak memory of the whole program in bytes."""
        code = "import resource, subprocess, sys; sys.stderr.buffer.write(subprocess.run(sys.argv[1:], "
        code += "stdout=subprocess.DEVNULL, stderr=subprocess.PIPE).stderr); "
        code += "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
        command = [sys.executable, "-c", code, RUNNER, "check", "--branch", "main", path]
        env = {**self.env, "RUNNER_LOG": "runner::cli=debug"}
        said = subprocess.run(command, cwd=self.scratch, env=env, capture_output=True, check=True, text=True)
        plain = re.sub(r"\x1b\[[0-9;]*m", "", said.stderr)
        times = re.search(r"parse_us=(\d+) plan_us=(\d+)", plain)
        if times is None:
            raise SystemExit(f"error: `runner check {path}` did not come to a plan:\n{said.stderr[:2000]}")
        return int(times[1]) / 1e6, int(times[2]) / 1e6, int(said.stdout) * 1024


def pipeline_text(steps: int) -> str:
    """Steps as people write them, some 300 bytes each; every twentieth is a barrier."""
    lines = ["env:\n  IMAGE: registry.example.com/app\nsteps:\n"]
    for number in range(steps):
        if number % 20 == 19:
            lines.append("  - wait\n")
            continue
        lines.append(
            f"""  - label: ":hammer: Build {number} on $BUILDKITE_BRANCH"
    key: build-{number}
    command:
      - make -C service-{number} build
      - make -C service-{number} test IMAGE=$IMAGE
    if: build.branch == "main" || build.tag != null
    env: {{ SERVICE: "service-{number}", LEVEL: "3" }}
    timeout_in_minutes: 30
    retry: {{ automatic: [{{ exit_status: -1, limit: 2 }}] }}
"""
        )
    return "".join(lines)


def c_yaml(path: Path) -> float | None:
    try:
        from yaml import CSafeLoader, load
    except ImportError:
        return None
    text = path.read_text()
    before = time.perf_counter()
    load(text, Loader=CSafeLoader)
    return time.perf_counter() - before


if __name__ == "__main__":
    sys.exit(main())
