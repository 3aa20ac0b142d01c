// ppx/distributions.hpp: values, and the eleven families of distributions; part of ppx.hpp.

#ifndef PPX_DISTRIBUTIONS_HPP
#define PPX_DISTRIBUTIONS_HPP

#include <cstdint>
#include <initializer_list>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "random.hpp"

namespace ppx {

// ---- Errors

// Anything that goes wrong on this side.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The engine said something that the protocol does not allow here.
struct ProtocolError : Error {
  using Error::Error;
};

// Thrown out of a statement when the engine began anew in the middle of a run. Not a std::exception, so
// that a simulator's own handlers let it pass.
struct RunAborted {};

// ---- Values

// A dense row-major array of doubles. A scalar has an empty shape.
struct Tensor {
  std::vector<double> data;
  std::vector<std::int32_t> shape;

  Tensor() = default;
  Tensor(double v) : data{v} {}  // NOLINT: a number is a scalar
  Tensor(std::vector<double> v) : data(std::move(v)), shape{static_cast<std::int32_t>(data.size())} {}  // NOLINT
  Tensor(std::initializer_list<double> v) : Tensor(std::vector<double>(v)) {}
  Tensor(std::vector<double> v, std::vector<std::int32_t> s) : data(std::move(v)), shape(std::move(s)) {
    std::size_t n = 1;
    for (auto d : shape) n *= d < 0 ? 0 : static_cast<std::size_t>(d);
    if (n != data.size()) throw Error("ppx::Tensor: the shape does not fit the data");
  }

  std::size_t size() const { return data.size(); }
  double operator[](std::size_t i) const { return data[i]; }
  double& operator[](std::size_t i) { return data[i]; }
};

namespace detail {

// As a result it says that there is none: no elements, and a shape that says so.
inline Tensor nothing() { return Tensor(std::vector<double>{}, {0}); }

}  // namespace detail

// ---- Distributions

// A parameter: a number, or a tensor. Parameters broadcast against each other as in numpy.
struct Parameter {
  double number = 0;
  bool scalar = true;
  Tensor tensor;

  Parameter() = default;
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  Parameter(T v) : number(static_cast<double>(v)) {}  // NOLINT
  Parameter(Tensor t) : scalar(false), tensor(std::move(t)) {}  // NOLINT
  Parameter(std::vector<double> v) : Parameter(Tensor(std::move(v))) {}  // NOLINT
  Parameter(std::initializer_list<double> v) : Parameter(Tensor(v)) {}
};

// One of the eleven families. Invalid parameters are reported by the engine, with the address.
struct Distribution {
  Kind kind = Kind::none;
  int parameters = 0;
  Parameter a, b;

  Distribution() = default;
  Distribution(Kind k, Parameter first) : kind(k), parameters(1), a(std::move(first)) {}
  Distribution(Kind k, Parameter first, Parameter second)
      : kind(k), parameters(2), a(std::move(first)), b(std::move(second)) {}

  bool scalar() const { return a.scalar && b.scalar; }
};

inline Distribution Normal(Parameter mean, Parameter stddev) { return {Kind::normal, std::move(mean), std::move(stddev)}; }
inline Distribution Uniform(Parameter low, Parameter high) { return {Kind::uniform, std::move(low), std::move(high)}; }
// 0, …, k−1; probabilities need not be normalised. Shape [..., k] gives values of shape [...].
inline Distribution Categorical(Tensor probs) { return {Kind::categorical, Parameter(std::move(probs))}; }
inline Distribution Poisson(Parameter rate) { return {Kind::poisson, std::move(rate)}; }
inline Distribution Bernoulli(Parameter probs) { return {Kind::bernoulli, std::move(probs)}; }
inline Distribution Beta(Parameter concentration1, Parameter concentration0) {
  return {Kind::beta, std::move(concentration1), std::move(concentration0)};
}
inline Distribution Exponential(Parameter rate) { return {Kind::exponential, std::move(rate)}; }
inline Distribution Gamma(Parameter concentration, Parameter rate) { return {Kind::gamma, std::move(concentration), std::move(rate)}; }
// Mean and standard deviation of the logarithm.
inline Distribution LogNormal(Parameter loc, Parameter scale) { return {Kind::log_normal, std::move(loc), std::move(scale)}; }
inline Distribution Binomial(Parameter total_count, Parameter probs) {
  return {Kind::binomial, std::move(total_count), std::move(probs)};
}
inline Distribution Weibull(Parameter scale, Parameter concentration) {
  return {Kind::weibull, std::move(scale), std::move(concentration)};
}

}  // namespace ppx

#endif  // PPX_DISTRIBUTIONS_HPP
