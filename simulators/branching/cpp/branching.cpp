// A model whose number of random choices depends on a random choice.
#include <ppx/ppx.hpp>

double fibonacci(int n) {
  double a = 1, b = 1;
  for (int i = 2; i < n; i++) b = std::exchange(a, b) + b;
  return b;
}

double branching() {
  double r = ppx::sample(ppx::Poisson(4), "r");
  double rate = 6;
  if (r <= 4) rate = 1 + fibonacci(3 * static_cast<int>(r)) + ppx::sample(ppx::Poisson(4), "extra");
  ppx::observe(ppx::Poisson(rate), "obs");
  return r;
}

int main(int argc, char** argv) { return ppx::main("branching", branching, argc, argv); }
