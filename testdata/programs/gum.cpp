// gum.cpp: a Gaussian of unknown mean, as one writes it with <random>. Prints "mu NUMBER" and "y NUMBER NUMBER".
#include <cstdio>
#include <random>

template <class Generator>
double mean(Generator& generator) {
  std::normal_distribution<double> prior(1, std::sqrt(5.0));
  return prior(generator);
}

int main() {
  std::mt19937 generator(7);
  double mu = mean(generator);
  std::normal_distribution<> noise(mu, std::sqrt(2.0));
  double y[2];
  for (double& v : y) v = noise(generator);
  std::printf("mu %.17g\ny %.17g %.17g\n", mu, y[0], y[1]);
}
