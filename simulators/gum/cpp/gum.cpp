// A Gaussian with unknown mean: one latent, two observations.
#include <ppx/ppx.hpp>

double gum() {
  double mu = ppx::sample(ppx::Normal(1, std::sqrt(5)), "mu");
  auto likelihood = ppx::Normal(mu, std::sqrt(2));
  ppx::observe(likelihood, "obs0");
  ppx::observe(likelihood, "obs1");
  return mu;
}

int main(int argc, char** argv) { return ppx::main("gum", gum, argc, argv); }
