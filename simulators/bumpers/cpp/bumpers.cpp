// Twenty balls fall through a field of bumpers, discs in two dimensions whose number and places are not known, onto a floor with a box. Balls do not meet each
// other; they bounce off bumpers, and lose some of their speed.
#include <cmath>

#include <ppx/ppx.hpp>

static const int balls = 20;
static const double boxFrom = 4, boxTo = 5, radius = 0.4, top = 10, gravity = 9.81, bounce = 0.6, step = 0.01;

struct Disc {
  double x, y;
};

// fall is where a ball that starts at x comes to the floor.
double fall(double x, const std::vector<Disc>& discs) {
  double y = top, vx = 0, vy = 0;
  for (int n = 0; y > 0 && n < 3000; n++) {
    vy -= gravity * step;
    x += vx * step;
    y += vy * step;
    for (const Disc& d : discs) {
      double dx = x - d.x, dy = y - d.y, r2 = dx * dx + dy * dy;
      if (r2 >= radius * radius || r2 == 0) continue;
      double r = std::sqrt(r2), nx = dx / r, ny = dy / r, v = vx * nx + vy * ny;
      x = d.x + nx * radius;
      y = d.y + ny * radius;
      if (v < 0) {
        vx -= (1 + bounce) * v * nx;
        vy -= (1 + bounce) * v * ny;
      }
    }
  }
  return x;
}

double bumpers() {
  double n = 1 + ppx::sample(ppx::Poisson(5), "more");
  std::vector<Disc> discs;
  for (int i = 0; i < n; i++) {
    double x = ppx::sample(ppx::Uniform(-5, 5), "x");
    discs.push_back({x, ppx::sample(ppx::Uniform(1, 9), "y")});
  }
  double in = 0, mean = 0;
  for (int b = 0; b < balls; b++) {
    double x = fall(-1 + 2 * (b + 0.5) / balls, discs);
    in += x > boxFrom && x < boxTo;
    mean += x / balls;
  }
  ppx::tag(in, "in_box");
  ppx::tag(mean, "mean_place");
  ppx::observe(ppx::Normal(in, 0.1), "count");
  return n;
}

int main(int argc, char** argv) { return ppx::main("bumpers", bumpers, argc, argv); }
