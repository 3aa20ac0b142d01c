// A hidden Markov model: three states, 16 steps, Normal emissions.
#include <ppx/ppx.hpp>

static const ppx::Tensor initial{1, 1, 1};
static const ppx::Tensor transition[] = {{0.1, 0.5, 0.4}, {0.2, 0.2, 0.6}, {0.15, 0.15, 0.7}};
static const double emission[] = {-1, 1, 0};  // means, standard deviation 1

std::vector<double> hmm() {
  std::vector<double> states{ppx::sample(ppx::Categorical(initial), "state0")};
  for (int t = 1; t <= 16; t++) {
    auto step = std::to_string(t);
    states.push_back(ppx::sample(ppx::Categorical(transition[static_cast<int>(states.back())]), "state" + step));
    ppx::observe(ppx::Normal(emission[static_cast<int>(states.back())], 1), "obs" + step);
  }
  return states;
}

int main(int argc, char** argv) { return ppx::main("hmm", hmm, argc, argv); }
