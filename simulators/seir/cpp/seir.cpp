// An epidemic in a town of 2,000: susceptible, exposed, infectious, removed, and the cases that are reported each day. Who is infected is chance, day by day (a
// chain-binomial model); three days later they are infectious, and from then on a share of them recovers every day. Each day's chance is a uniform number, its luck,
// and the number of infections the quantile of their binomial distribution there: so a change of the contacts meets the same luck, and chains and particles can move
// one without the other.
//
//   seir [--days 60] [--horizon 0] [--cut 0] [--from 60] [--reporting poisson|binomial]
//
// --horizon days follow those that are reported; contacts are cut by the share --cut from day --from on.
#include <algorithm>
#include <cmath>
#include <cstring>

#include <ppx/ppx.hpp>

static int days = 60, horizon = 0, from = 60;
static double cut = 0;
static bool binomial = false;
static const double population = 2000;
static const int latent = 3;  // days

// quantile of the binomial distribution.
static double quantile(double u, double n, double p) {
  if (n <= 0 || p <= 0) return 0;
  if (p >= 1) return n;
  double odds = p / (1 - p), sd = std::sqrt(n * p * (1 - p)), k = std::max(0.0, std::floor(n * p - 12 * sd));
  double mass = std::exp(std::lgamma(n + 1) - std::lgamma(k + 1) - std::lgamma(n - k + 1) + k * std::log(p) + (n - k) * std::log1p(-p)), below = mass;
  for (; below < u && k < n; k++) below += mass *= (n - k) / (k + 1) * odds;
  return k;
}

std::vector<double> seir() {
  double r0 = ppx::sample(ppx::LogNormal(std::log(2.0), 0.4), "R0");
  double infectious = ppx::sample(ppx::Gamma(20, 4), "infectious_days");
  double reported = ppx::sample(ppx::Beta(2, 4), "reported");
  double first = ppx::sample(ppx::LogNormal(std::log(4.0), 0.5), "first");
  double s = population - std::floor(first + 0.5), i = first, peak = 0;
  std::vector<double> curve, infected;
  for (int day = 1; day <= days + horizon; day++) {
    double contacts = r0 / infectious * (day > from ? 1 - cut : 1);
    infected.push_back(quantile(ppx::sample(ppx::Uniform(0, 1), "luck"), s, 1 - std::exp(-contacts * i / population)));
    double onset = day > latent ? infected[day - 1 - latent] : 0;
    s -= infected.back();
    i = i * std::exp(-1 / infectious) + onset;
    peak = std::max(peak, i);
    curve.push_back(i);
    if (day > days) continue;
    auto name = "cases" + std::to_string(day);
    if (binomial)
      ppx::observe(ppx::Binomial(onset, reported), name);
    else
      ppx::observe(ppx::Poisson(reported * onset + 0.1), name);
  }
  ppx::tag(peak, "peak");
  ppx::tag(1 - s / population, "attack_rate");
  return curve;
}

int main(int argc, char** argv) {
  std::vector<char*> rest{argv[0]};  // what is not ours
  for (int a = 1; a < argc; a++) {
    const char* value = a + 1 < argc ? argv[a + 1] : "";
    if (!std::strcmp(argv[a], "--days")) days = std::atoi(value), a++;
    else if (!std::strcmp(argv[a], "--horizon")) horizon = std::atoi(value), a++;
    else if (!std::strcmp(argv[a], "--from")) from = std::atoi(value), a++;
    else if (!std::strcmp(argv[a], "--cut")) cut = std::atof(value), a++;
    else if (!std::strcmp(argv[a], "--reporting")) binomial = !std::strcmp(value, "binomial"), a++;
    else rest.push_back(argv[a]);
  }
  rest.push_back(nullptr);
  return ppx::main("seir", seir, int(rest.size()) - 1, rest.data());
}
