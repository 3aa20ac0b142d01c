"""Twenty balls fall through a field of bumpers; as ../cpp/bumpers.cpp, which says what it is."""

import math

import ppxsim
from ppxsim import Normal, Poisson, Uniform

BALLS, BOX, RADIUS, TOP, GRAVITY, BOUNCE, STEP = 20, (4, 5), 0.4, 10, 9.81, 0.6, 0.01


def fall(x, discs, path=None):
    """Where a ball that starts at x comes to the floor; path gets the places that it passes."""
    y, vx, vy = float(TOP), 0.0, 0.0
    for _ in range(3000):
        if y <= 0:
            break
        vy -= GRAVITY * STEP
        x += vx * STEP
        y += vy * STEP
        for cx, cy in discs:
            dx, dy = x - cx, y - cy
            r2 = dx * dx + dy * dy
            if r2 >= RADIUS * RADIUS or r2 == 0:
                continue
            r = math.sqrt(r2)
            nx, ny = dx / r, dy / r
            v = vx * nx + vy * ny
            x, y = cx + nx * RADIUS, cy + ny * RADIUS
            if v < 0:
                vx -= (1 + BOUNCE) * v * nx
                vy -= (1 + BOUNCE) * v * ny
        if path is not None:
            path.append((x, y))
    return x


def starts():
    return [-1 + 2 * (b + 0.5) / BALLS for b in range(BALLS)]


def bumpers():
    n = 1 + ppxsim.sample(Poisson(5), name="more")
    discs = []
    for _ in range(n):
        x = ppxsim.sample(Uniform(-5, 5), name="x")
        discs.append((x, ppxsim.sample(Uniform(1, 9), name="y")))
    ends = [fall(x, discs) for x in starts()]
    count = sum(BOX[0] < x < BOX[1] for x in ends)
    ppxsim.tag(count, "in_box")
    ppxsim.tag(sum(ends) / BALLS, "mean_place")
    ppxsim.observe(Normal(count, 0.1), name="count")
    return n


if __name__ == "__main__":
    ppxsim.main(bumpers, name="bumpers")
