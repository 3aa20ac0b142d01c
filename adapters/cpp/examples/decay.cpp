// How many nuclei were there, and how fast do they decay? A counter with dead time sees some of them.
//   ppx infer --observe counts='[31,22,17,9,8]' -n 20000 -- build/examples/decay {endpoint}
#include <ppx/ppx.hpp>

std::vector<double> decay() {
  double nuclei = ppx::sample(ppx::Poisson(100), "nuclei");
  double half_life = ppx::sample(ppx::LogNormal(std::log(2), 0.5), "half_life");
  double efficiency = ppx::sample(ppx::Beta(8, 2), "efficiency");
  std::vector<double> expected;
  for (int second = 0; second < 5; second++) {
    double from = std::exp2(-second / half_life), to = std::exp2(-(second + 1) / half_life);
    expected.push_back(1e-6 + nuclei * efficiency * (from - to));
  }
  ppx::tag(nuclei * efficiency, "countable");
  ppx::observe(ppx::Poisson(expected), "counts");
  return expected;
}

int main(int argc, char** argv) { return ppx::main("decay", decay, argc, argv); }
