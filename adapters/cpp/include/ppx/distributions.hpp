// ppx/distributions.hpp: values, and the families of distributions; part of ppx.hpp.

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

// A family, with its parameters in the order of the protocol. Invalid parameters are reported by the engine, with the address.
struct Distribution {
  Kind kind = Kind::none;
  int parameters = 0;
  Parameter a, b;
  std::vector<Parameter> more;  // the third and fourth

  Distribution() = default;
  Distribution(Kind k, Parameter first) : kind(k), parameters(1), a(std::move(first)) {}
  Distribution(Kind k, Parameter first, Parameter second)
      : kind(k), parameters(2), a(std::move(first)), b(std::move(second)) {}

  Distribution(Kind k, Parameter first, Parameter second, Parameter third) : Distribution(k, std::move(first), std::move(second)) {
    add(std::move(third));
  }
  Distribution(Kind k, Parameter first, Parameter second, Parameter third, Parameter fourth)
      : Distribution(k, std::move(first), std::move(second), std::move(third)) {
    add(std::move(fourth));
  }

  // Parameter i, from 0.
  const Parameter& operator[](int i) const { return i == 0 ? a : i == 1 ? b : more[static_cast<std::size_t>(i - 2)]; }

  bool scalar() const {
    if (!a.scalar || !b.scalar) return false;
    for (auto& p : more)
      if (!p.scalar) return false;
    return true;
  }

 private:
  void add(Parameter p) {
    if (more.empty()) more.reserve(2);
    more.push_back(std::move(p));
    parameters++;
  }
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

// The families of PPX's extension 3, with names and parameters as in NumPyro and PyTorch.

// A Normal between two ends, of which one or both may be infinite.
inline Distribution TruncatedNormal(Parameter loc, Parameter scale, Parameter low, Parameter high) {
  return {Kind::truncated_normal, std::move(loc), std::move(scale), std::move(low), std::move(high)};
}
// The absolute value of a Normal of mean 0.
inline Distribution HalfNormal(Parameter scale) {
  return {Kind::half_normal, std::move(scale)};
}
// df degrees of freedom.
inline Distribution StudentT(Parameter df, Parameter loc, Parameter scale) {
  return {Kind::student_t, std::move(df), std::move(loc), std::move(scale)};
}
// The scale is half the width at half maximum.
inline Distribution Cauchy(Parameter loc, Parameter scale) {
  return {Kind::cauchy, std::move(loc), std::move(scale)};
}
// The scale is the mean distance from loc.
inline Distribution Laplace(Parameter loc, Parameter scale) {
  return {Kind::laplace, std::move(loc), std::move(scale)};
}
// Of a location and a scale.
inline Distribution Logistic(Parameter loc, Parameter scale) {
  return {Kind::logistic, std::move(loc), std::move(scale)};
}
// Above scale, with a tail of the power alpha.
inline Distribution Pareto(Parameter scale, Parameter alpha) {
  return {Kind::pareto, std::move(scale), std::move(alpha)};
}
// That of 1/x, x a Gamma of that concentration and rate.
inline Distribution InverseGamma(Parameter concentration, Parameter rate) {
  return {Kind::inverse_gamma, std::move(concentration), std::move(rate)};
}
// A direction between −π and π.
inline Distribution VonMises(Parameter loc, Parameter concentration) {
  return {Kind::von_mises, std::move(loc), std::move(concentration)};
}
// A number whose logarithm is Uniform.
inline Distribution LogUniform(Parameter low, Parameter high) {
  return {Kind::log_uniform, std::move(low), std::move(high)};
}
// A Poisson whose rate is a Gamma: its variance is mean + mean²/concentration.
inline Distribution NegativeBinomial2(Parameter mean, Parameter concentration) {
  return {Kind::negative_binomial, std::move(mean), std::move(concentration)};
}
// The failures before the first success.
inline Distribution Geometric(Parameter probs) {
  return {Kind::geometric, std::move(probs)};
}
// An integer from low to high, both included.
inline Distribution DiscreteUniform(Parameter low, Parameter high) {
  return {Kind::discrete_uniform, std::move(low), std::move(high)};
}
// 0 with the probability gate, else a Poisson.
inline Distribution ZeroInflatedPoisson(Parameter gate, Parameter rate) {
  return {Kind::zero_inflated_poisson, std::move(gate), std::move(rate)};
}
// 0 with the probability gate, else a NegativeBinomial2.
inline Distribution ZeroInflatedNegativeBinomial2(Parameter gate, Parameter mean, Parameter concentration) {
  return {Kind::zero_inflated_negative_binomial, std::move(gate), std::move(mean), std::move(concentration)};
}
// A Binomial whose probability is a Beta.
inline Distribution BetaBinomial(Parameter concentration1, Parameter concentration0, Parameter total_count) {
  return {Kind::beta_binomial, std::move(concentration1), std::move(concentration0), std::move(total_count)};
}
// The successes, each of that probability, before total_count failures; of numbers.
inline Distribution NegativeBinomial(double total_count, double probs) {
  return NegativeBinomial2(total_count * probs / (1 - probs), total_count);
}
// 0 with the probability gate, else a NegativeBinomial; of numbers.
inline Distribution ZeroInflatedNegativeBinomial(double gate, double total_count, double probs) {
  return ZeroInflatedNegativeBinomial2(gate, total_count * probs / (1 - probs), total_count);
}
// A Gamma of concentration df/2 and rate ½.
inline Distribution ChiSquared(double df) { return Gamma(df / 2, 0.5); }

}  // namespace ppx

#endif  // PPX_DISTRIBUTIONS_HPP
