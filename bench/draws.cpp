// draws.cpp: the same with the client linked: draws N ENDPOINT.
#include <ppx/ppx.hpp>

int main(int argc, char** argv) {
  long n = argc > 2 ? std::atol(argv[1]) : 1;
  ppx::serve(argv[argc - 1], "draws", [n] {
    double sum = 0;
    for (long i = 0; i < n; i++) sum += ppx::sample(ppx::Normal(0, 1));
    return sum;
  });
}
