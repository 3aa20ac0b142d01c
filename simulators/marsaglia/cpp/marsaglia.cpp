// The Gaussian with unknown mean, its mean drawn by Marsaglia's polar method: a rejection loop.
#include <ppx/ppx.hpp>

double polar(double mean, double sd) {
  for (;;) {
    double x = ppx::sample(ppx::Uniform(-1, 1));
    double y = ppx::sample(ppx::Uniform(-1, 1));
    double s = x * x + y * y;
    if (s < 1 && s > 0) return mean + sd * x * std::sqrt(-2 * std::log(s) / s);
  }
}

double marsaglia() {
  double mu = polar(1, std::sqrt(5));
  ppx::tag(mu, "mu");
  auto likelihood = ppx::Normal(mu, std::sqrt(2));
  ppx::observe(likelihood, "obs0");
  ppx::observe(likelihood, "obs1");
  return mu;
}

int main(int argc, char** argv) { return ppx::main("marsaglia", marsaglia, argc, argv); }
