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

// The same with a loop that is marked (MODEL=marked), for networks that learn its accepted passes alone.
double polar_marked(double mean, double sd) {
  for (;;) {
    ppx::rs_start();
    double x = ppx::sample(ppx::Uniform(-1, 1));
    double y = ppx::sample(ppx::Uniform(-1, 1));
    double s = x * x + y * y;
    if (s >= 1 || s == 0) continue;
    ppx::rs_end();
    return mean + sd * x * std::sqrt(-2 * std::log(s) / s);
  }
}

double marked() {
  double mu = polar_marked(1, std::sqrt(5));
  ppx::tag(mu, "mu");
  auto likelihood = ppx::Normal(mu, std::sqrt(2));
  ppx::observe(likelihood, "obs0");
  ppx::observe(likelihood, "obs1");
  return mu;
}

int main(int argc, char** argv) {
  const char* model = std::getenv("MODEL");
  return ppx::main("marsaglia", model != nullptr && std::string(model) == "marked" ? marked : marsaglia, argc, argv);
}
