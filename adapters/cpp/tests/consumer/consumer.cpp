// A simulator outside this tree.
#include <ppx/ppx.hpp>

ppx::Tensor model() {
  double one = ppx::sample(ppx::Uniform(0, 1), "u") < 2 ? 1 : 0;
  ppx::observe(ppx::Normal(one, 1), "y");
  return ppx::Tensor({one, 2.5, -3, 1e300}, {2, 2});
}

int main(int argc, char** argv) { return ppx::main("consumer", model, argc, argv); }
