"""What every measurement uses."""

import subprocess
import time
from pathlib import Path

# Steps of the large flat pipeline.
MANY = 1000


def step(number: int) -> dict:
    return {"label": f"step {number}", "uses": "./echo.wasm"}


def timed(command, directory: Path, env=None) -> float:
    before = time.perf_counter()
    subprocess.run(command, cwd=directory, env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return time.perf_counter() - before


def show(seconds: float) -> str:
    return f"{seconds * 1000:.1f} ms" if seconds < 10 else f"{seconds:.1f} s"
