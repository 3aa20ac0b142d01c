"""Draws a few scenes of a run of bumpers, by the weights of its traces: scenes.py RUN OUT.svg [TITLE]"""

import json
import math
import pathlib
import random
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "simulators" / "bumpers" / "python"))
import bumpers  # noqa: E402

COLUMNS, ROWS, WIDTH, SCALE = 4, 2, 12, 18


def ppx(*args):
    return json.loads(subprocess.run([str(ROOT / "bin" / "ppx"), *args, "--json"], check=True, capture_output=True, text=True).stdout)


def scene(run, row, x0, y0):
    """One scene as SVG, with its lower left corner at (x0, y0)."""
    sites = ppx("trace", "show", run, str(row), "-n", "0")["sites"]
    value = {"x": [], "y": []}
    for s in sites:
        if s["name"] in value:
            value[s["name"]].append(s["value"]["data"][0])
    discs = list(zip(value["x"], value["y"]))

    def at(x, y):
        return f"{x0 + (x + WIDTH / 2) * SCALE:.1f},{y0 - y * SCALE:.1f}"

    out, count = [], 0
    for start in bumpers.starts():
        path = [(start, bumpers.TOP)]
        end = bumpers.fall(start, discs, path)
        inside = bumpers.BOX[0] < end < bumpers.BOX[1]
        count += inside
        colour, opacity = ("#d1495b", 0.9) if inside else ("#8d99ae", 0.45)
        points = " ".join(at(x, y) for x, y in path[::3] + path[-1:] if abs(x) < WIDTH / 2)
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="0.8" opacity="{opacity}"/>')
    for x, y in discs:
        px, py = at(x, y).split(",")
        out.append(f'<circle cx="{px}" cy="{py}" r="{bumpers.RADIUS * SCALE:.1f}" fill="#2b2d42"/>')
    left, floor = at(bumpers.BOX[0], 0).split(",")
    out.append(f'<rect x="{left}" y="{float(floor) - 8}" width="{SCALE * (bumpers.BOX[1] - bumpers.BOX[0])}" height="8" fill="none" stroke="#d1495b" stroke-width="1.5"/>')
    out.append(f'<line x1="{x0}" y1="{y0}" x2="{x0 + WIDTH * SCALE}" y2="{y0}" stroke="#2b2d42"/>')
    out.append(f'<text x="{x0 + WIDTH * SCALE / 2}" y="{y0 + 14}" text-anchor="middle" font-size="11">{len(discs)} bumpers, {count} in the box</text>')
    return out


def main(run, path, title=""):
    traces = [t for t in ppx("trace", "ls", run, "-n", "0")["traces"] if t["status"] == "ok" and t["log_weight"] is not None]
    most = max(t["log_weight"] for t in traces)
    rows = random.Random(3).choices([t["row"] for t in traces], [math.exp(t["log_weight"] - most) for t in traces], k=COLUMNS * ROWS)
    w, h = WIDTH * SCALE + 14, (bumpers.TOP + 1) * SCALE + 24
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {COLUMNS * w} {ROWS * h + 30}" font-family="sans-serif">', '<rect width="100%" height="100%" fill="white"/>',
           f'<text x="{COLUMNS * w / 2}" y="20" text-anchor="middle" font-size="15">{title}</text>']
    for k, row in enumerate(rows):
        out += scene(run, row, k % COLUMNS * w + 7, (k // COLUMNS + 1) * h + 8)
    pathlib.Path(path).write_text("\n".join(out) + "\n</svg>\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
