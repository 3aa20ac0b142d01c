// The posterior of the epidemic of simulators/seir, written by itself: particle marginal Metropolis-Hastings (C. Andrieu, A. Doucet and R. Holenstein, 2010),
// whose limit is the exact posterior. It shares nothing with the engine but the model and the data.
//
//   g++ -O2 -o /tmp/seir seir.cpp && /tmp/seir SEED STEPS PARTICLES < DATA      DATA: 60 numbers of cases
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

static const int days = 60, latent = 3;
static const double population = 2000;
static std::mt19937_64 rng;
static std::vector<double> data(days);

struct Theta {
  double r0, infectious, reported, first;
};

static double normal() { return std::normal_distribution<double>()(rng); }
static double uniform() { return std::uniform_real_distribution<double>()(rng); }

static double logPrior(const Theta& t) {
  if (t.r0 <= 0 || t.infectious <= 0 || t.reported <= 0 || t.reported >= 1 || t.first <= 0) return -INFINITY;
  double z = (std::log(t.r0) - std::log(2.0)) / 0.4, f = (std::log(t.first) - std::log(4.0)) / 0.5;
  return -std::log(t.r0) - z * z / 2 + 19 * std::log(t.infectious) - 4 * t.infectious + std::log(t.reported) + 3 * std::log1p(-t.reported) - std::log(t.first) - f * f / 2;
}

struct Path {
  double s, i, peak;
  double infected[days];
};

// An unbiased estimate of the likelihood by a bootstrap filter, and a path drawn from it.
static double filter(const Theta& t, int n, Path& drawn) {
  static std::vector<Path> p, q;
  static std::vector<double> w;
  p.resize(n);
  q.resize(n);
  w.resize(n);
  for (auto& x : p) x.s = population - std::floor(t.first + 0.5), x.i = t.first, x.peak = 0;
  double total = 0;
  for (int day = 1; day <= days; day++) {
    double y = data[day - 1], most = -INFINITY;
    for (int k = 0; k < n; k++) {
      Path& x = p[k];
      double chance = 1 - std::exp(-t.r0 / t.infectious * x.i / population);
      x.infected[day - 1] = std::binomial_distribution<int>(int(x.s), chance)(rng);
      double onset = day > latent ? x.infected[day - 1 - latent] : 0;
      x.s -= x.infected[day - 1];
      x.i = x.i * std::exp(-1 / t.infectious) + onset;
      x.peak = std::max(x.peak, x.i);
      double rate = t.reported * onset + 0.1;
      w[k] = y * std::log(rate) - rate - std::lgamma(y + 1);
      most = std::max(most, w[k]);
    }
    double sum = 0;
    for (double& v : w) sum += v = std::exp(v - most);
    total += most + std::log(sum / n);
    double u = uniform(), cumulated = 0;
    for (int k = 0, j = 0; k < n && j < n; k++) {
      cumulated += w[k] / sum * n;
      for (; j < n && j + u < cumulated; j++) q[j] = p[k];
      if (k == n - 1)
        for (; j < n; j++) q[j] = p[k];
    }
    std::swap(p, q);
  }
  drawn = p[int(uniform() * n)];
  return total;
}

int main(int argc, char** argv) {
  rng.seed(std::atoi(argv[1]));
  long steps = std::atol(argv[2]);
  int n = std::atoi(argv[3]);
  for (double& y : data)
    if (std::scanf("%lf", &y) != 1) return 1;
  Theta t{2.2, 5, 0.33, 5};
  Path path;
  double likelihood = filter(t, n, path), prior = logPrior(t);
  long accepted = 0;
  std::printf("R0,infectious_days,reported,first,peak,attack_rate\n");
  for (long step = 0; step < steps; step++) {
    Theta u = t;
    u.r0 *= std::exp(0.12 * normal());
    u.infectious *= std::exp(0.2 * normal());
    double logit = std::log(u.reported / (1 - u.reported)) + 0.12 * normal();
    u.reported = 1 / (1 + std::exp(-logit));
    u.first *= std::exp(0.3 * normal());
    double jacobian = std::log(u.r0 * u.infectious * u.first * u.reported * (1 - u.reported)) - std::log(t.r0 * t.infectious * t.first * t.reported * (1 - t.reported));
    double p = logPrior(u);
    if (p > -INFINITY) {
      Path other;
      double l = filter(u, n, other);
      if (std::log(uniform()) < l + p - likelihood - prior + jacobian) t = u, likelihood = l, prior = p, path = other, accepted++;
    }
    if (step >= steps / 10 && step % 20 == 0) std::printf("%.10g,%.10g,%.10g,%.10g,%.10g,%.10g\n", t.r0, t.infectious, t.reported, t.first, path.peak, 1 - path.s / population);
  }
  std::fprintf(stderr, "accepted %.3f\n", double(accepted) / steps);
}
