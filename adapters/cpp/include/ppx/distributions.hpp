// ppx/distributions.hpp: values, and the families of distributions; part of ppx.hpp.

#ifndef PPX_DISTRIBUTIONS_HPP
#define PPX_DISTRIBUTIONS_HPP

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <initializer_list>
#include <map>
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

// The families of PPX's extension 4: draws that are rows (sample_tensor), and distributions made of others.

namespace detail {

// Makes of each square matrix of a tensor another.
template <class F>
Tensor matrices(const char* what, const Tensor& t, F f) {
  std::size_t rank = t.shape.size();
  if (rank < 2 || t.shape[rank - 1] != t.shape[rank - 2]) throw Error(std::string("ppx: ") + what + " must be square matrices");
  auto d = static_cast<std::size_t>(t.shape[rank - 1]);
  Tensor out(std::vector<double>(t.size()), t.shape);
  for (std::size_t at = 0; d > 0 && at < t.size(); at += d * d) {
    for (std::size_t i = 0; i < d; i++)
      for (std::size_t j = 0; j < i; j++) {
        double a = t.data[at + i * d + j], b = t.data[at + j * d + i];
        if (!(std::fabs(a - b) <= 1e-8 * (std::fabs(a) + std::fabs(b)) + 1e-12 * std::sqrt(std::fabs(t.data[at + i * d + i] * t.data[at + j * d + j]))))
          throw Error(std::string("ppx: ") + what + " must be symmetric");
      }
    f(t.data.data() + at, out.data.data() + at, d);
  }
  return out;
}

// The smallest eigenvalue of a symmetric matrix, by Jacobi's rotations.
inline double smallest_eigenvalue(const double* m, std::size_t d) {
  std::vector<double> a(m, m + d * d);
  for (int sweep = 0; sweep < 60; sweep++) {
    double off = 0;
    for (std::size_t p = 0; p < d; p++)
      for (std::size_t q = p + 1; q < d; q++) {
        double apq = a[p * d + q];
        off += apq * apq;
        if (apq == 0) continue;
        double theta = (a[q * d + q] - a[p * d + p]) / (2 * apq), t = (theta >= 0 ? 1 : -1) / (std::fabs(theta) + std::sqrt(theta * theta + 1));
        double c = 1 / std::sqrt(t * t + 1), s = t * c;
        for (std::size_t k = 0; k < d; k++) {
          double x = a[k * d + p], y = a[k * d + q];
          a[k * d + p] = c * x - s * y;
          a[k * d + q] = s * x + c * y;
        }
        for (std::size_t k = 0; k < d; k++) {
          double x = a[p * d + k], y = a[q * d + k];
          a[p * d + k] = c * x - s * y;
          a[q * d + k] = s * x + c * y;
        }
      }
    if (!(off > 1e-300)) break;
  }
  double least = a[0];
  for (std::size_t i = 1; i < d; i++) least = std::fmin(least, a[i * d + i]);
  return least;
}

// The lower triangle of a covariance. Of one that is not positive definite: its smallest eigenvalue, and no numbers, for which the engine has words.
inline void cholesky(const double* m, double* l, std::size_t d) {
  for (std::size_t i = 0; i < d; i++) {
    for (std::size_t j = 0; j <= i; j++) {
      double sum = m[i * d + j];
      for (std::size_t k = 0; k < j; k++) sum -= l[i * d + k] * l[j * d + k];
      if (i != j) {
        l[i * d + j] = sum / l[j * d + j];
      } else if (sum > 0) {
        l[i * d + i] = std::sqrt(sum);
      } else {
        double least = std::fmin(smallest_eigenvalue(m, d), 0);
        std::fill(l, l + d * d, std::nan(""));
        l[0] = least;
        return;
      }
    }
  }
}

// The same of the inverse of a precision: with P = U·Uᵀ, U an upper triangle, it is the inverse of Uᵀ.
inline void cholesky_of_inverse(const double* m, double* l, std::size_t d) {
  std::vector<double> turned(d * d), u(d * d);
  for (std::size_t i = 0; i < d * d; i++) turned[i] = m[d * d - 1 - i];
  cholesky(turned.data(), u.data(), d);
  if (!(u[0] > 0)) {
    std::copy(u.begin(), u.end(), l);
    return;
  }
  auto lower = [&](std::size_t i, std::size_t j) { return u[(d - 1 - j) * d + d - 1 - i]; };  // of Uᵀ
  for (std::size_t j = 0; j < d; j++)
    for (std::size_t i = j; i < d; i++) {
      double sum = i == j ? 1 : 0;
      for (std::size_t k = j; k < i; k++) sum -= lower(i, k) * l[k * d + j];
      l[i * d + j] = sum / lower(i, i);
    }
}

inline Tensor triangles(const char* what, const Tensor& m, void (*f)(const double*, double*, std::size_t)) {
  return matrices(what, m, [&](const double* from, double* to, std::size_t d) { f(from, to, d); });
}

// A mixture of components over numbers.
inline Distribution mixture(Tensor probs, const std::vector<Distribution>& components) {
  std::vector<double> families, parameters;
  bool whole = !components.empty() && rng::counts(components[0].kind);
  for (auto& c : components) {
    if (!c.scalar() || rng::parameters_of(c.kind) == 0) throw Error("ppx::Mixture: the components are scalar families, with numbers for parameters; MixtureSameFamily takes tensors");
    families.push_back(static_cast<double>(c.kind));
    for (int i = 0; i < c.parameters; i++) parameters.push_back(c[i].number);
  }
  return {whole ? Kind::discrete_mixture : Kind::mixture, Tensor(std::move(families)), std::move(probs), Tensor(std::move(parameters))};
}

}  // namespace detail

// Shares that add up to 1; of shape [..., k], as the concentrations are.
inline Distribution Dirichlet(Tensor concentration) { return {Kind::dirichlet, Parameter(std::move(concentration))}; }
// By the lower triangle L of the covariance L·Lᵀ: loc has shape [..., d], scale_tril [..., d, d].
inline Distribution MultivariateNormalTril(Tensor loc, Tensor scale_tril) {
  return {Kind::multivariate_normal, Parameter(std::move(loc)), Parameter(std::move(scale_tril))};
}
inline Distribution MultivariateNormal(Tensor loc, const Tensor& covariance) {
  return MultivariateNormalTril(std::move(loc), detail::triangles("the covariances of a MultivariateNormal", covariance, detail::cholesky));
}
inline Distribution MultivariateNormalPrecision(Tensor loc, const Tensor& precision) {
  return MultivariateNormalTril(std::move(loc), detail::triangles("the precisions of a MultivariateNormal", precision, detail::cholesky_of_inverse));
}
// df degrees of freedom; the scale is a lower triangle.
inline Distribution MultivariateStudentT(Parameter df, Tensor loc, Tensor scale_tril) {
  return {Kind::multivariate_student_t, std::move(df), Parameter(std::move(loc)), Parameter(std::move(scale_tril))};
}
// How often each category comes in total_count draws; probs have shape [..., k], and need not be normalised.
inline Distribution Multinomial(Parameter total_count, Tensor probs) {
  return {Kind::multinomial, std::move(total_count), Parameter(std::move(probs))};
}
// One of the components, in proportion to probs: Mixture({0.3, 0.7}, {Normal(0, 1), Cauchy(5, 2)}). All are counts, or none is.
inline Distribution Mixture(Tensor probs, const std::vector<Distribution>& components) { return detail::mixture(std::move(probs), components); }
// A mixture of one family, whose parameters are tensors of shape [..., k] and numbers: values have shape [...].
inline Distribution MixtureSameFamily(Tensor probs, const Distribution& component) {
  std::size_t n = rng::parameters_of(component.kind);
  if (n == 0 || probs.shape.empty()) throw Error("ppx::MixtureSameFamily: it needs probs of shape [..., k], and a scalar family");
  auto k = static_cast<std::size_t>(probs.shape.back());
  std::vector<std::int32_t> shape = probs.shape;
  for (int i = 0; i < component.parameters; i++) {
    const Parameter& p = component[i];
    if (!p.scalar && p.tensor.shape != shape) throw Error("ppx::MixtureSameFamily: the component's parameters must have the shape of probs, or be numbers");
  }
  std::vector<double> parameters(probs.size() * n);
  for (std::size_t j = 0; j < probs.size(); j++)
    for (std::size_t i = 0; i < n; i++) {
      const Parameter& p = component[static_cast<int>(i)];
      parameters[j * n + i] = p.scalar ? p.number : p.tensor.data[j];
    }
  shape.back() = static_cast<std::int32_t>(k * n);
  Tensor families(std::vector<double>(k, static_cast<double>(component.kind)));
  return {rng::counts(component.kind) ? Kind::discrete_mixture : Kind::mixture, std::move(families), std::move(probs), Tensor(std::move(parameters), std::move(shape))};
}
// One of the values, in proportion to their weights.
inline Distribution Empirical(const std::vector<double>& values, const std::vector<double>& weights) {
  if (values.size() != weights.size()) throw Error("ppx::Empirical: as many weights as values");
  std::map<double, double> sorted;
  for (std::size_t i = 0; i < values.size(); i++) sorted[values[i]] += weights[i];
  std::vector<double> v, w;
  for (auto& x : sorted) {
    v.push_back(x.first);
    w.push_back(x.second);
  }
  return {Kind::empirical, Tensor(std::move(v)), Tensor(std::move(w))};
}
inline Distribution Empirical(const std::vector<double>& values) { return Empirical(values, std::vector<double>(values.size(), 1.0)); }
// Between edges, each above the one before, with the density of a weight over its width: edges of shape [..., k + 1], weights [..., k].
inline Distribution Histogram(Tensor edges, Tensor weights) { return {Kind::histogram, Parameter(std::move(edges)), Parameter(std::move(weights))}; }

}  // namespace ppx

#endif  // PPX_DISTRIBUTIONS_HPP
