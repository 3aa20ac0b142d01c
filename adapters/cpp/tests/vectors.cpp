// Prints what the test vectors ask for, line by line:
//   sample KIND WIDENED SEED STREAM STATEMENT DRAW PURPOSE N PARAMETER…   N values
//   rows KIND WIDENED SEED STREAM STATEMENT DRAW PURPOSE {RANK DIMENSION… NUMBER…}…   a value, or "invalid"
//   base KIND CATEGORIES ADDRESS                                          an address base
#include <cstdio>
#include <cstdlib>
#include <iostream>
#include <sstream>

#include "ppx/ppx.hpp"

static void samples(std::stringstream& in) {
  int kind, wide, n;
  std::uint64_t seed, stream, statement, draw, purpose;
  in >> kind >> wide >> seed >> stream >> statement >> draw >> purpose >> n;
  std::vector<double> p;
  for (std::string x; in >> x;) p.push_back(std::strtod(x.c_str(), nullptr));  // which knows infinities
  auto k = static_cast<ppx::Kind>(kind);
  ppx::rng::Stream s(seed, stream, statement, draw, purpose);
  if (k != ppx::Kind::categorical) p.resize(4);
  for (int i = 0; i < n; i++) {
    if (wide) s.skip(static_cast<std::uint64_t>(i) << 16);
    double v = k == ppx::Kind::categorical
                   ? (wide ? ppx::rng::categorical_widened(s, p.data(), p.size()) : ppx::rng::categorical(s, p.data(), p.size()))
                   : (wide ? ppx::rng::draw_widened(s, k, p[0], p[1], p[2], p[3]) : ppx::rng::draw(s, k, p[0], p[1], p[2], p[3]));
    std::printf("%.17g ", v);
  }
  std::printf("\n");
}

static void rows(std::stringstream& in) {
  int kind, wide;
  std::uint64_t seed, stream, statement, draw, purpose;
  in >> kind >> wide >> seed >> stream >> statement >> draw >> purpose;
  std::vector<ppx::Parameter> p;
  for (std::size_t rank; in >> rank;) {
    ppx::Tensor t;
    t.shape.resize(rank);
    std::size_t n = 1;
    for (auto& d : t.shape) {
      in >> d;
      n *= static_cast<std::size_t>(d);
    }
    for (std::string x; t.data.size() < n && in >> x;) t.data.push_back(std::strtod(x.c_str(), nullptr));
    p.emplace_back(t);
  }
  auto k = static_cast<ppx::Kind>(kind);
  ppx::Distribution d = p.size() == 1 ? ppx::Distribution(k, p[0]) : p.size() == 2 ? ppx::Distribution(k, p[0], p[1]) : ppx::Distribution(k, p[0], p[1], p[2]);
  ppx::detail::Solo solo;
  if (!solo.prepare(d)) {
    std::printf("invalid\n");
    return;
  }
  ppx::rng::Stream s(seed, stream, statement, draw, purpose);
  solo.draw_from(s, d, wide != 0);
  for (double v : solo.value) std::printf("%.17g ", v);
  std::printf("\n");
}

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::stringstream in(line);
    std::string what;
    in >> what;
    if (what == "sample") {
      samples(in);
      continue;
    }
    if (what == "rows") {
      rows(in);
      continue;
    }
    int kind;
    std::size_t categories;
    in >> kind >> categories;
    std::string address;
    std::getline(in, address);
    auto d = static_cast<ppx::Kind>(kind) == ppx::Kind::categorical
                 ? ppx::Categorical(ppx::Tensor(std::vector<double>(categories, 1.0)))
                 : ppx::Distribution(static_cast<ppx::Kind>(kind), 1.0, 1.0);
    std::printf("%s\n", ppx::detail::address_base(std::string_view(address).substr(1), &d).c_str());
  }
}
