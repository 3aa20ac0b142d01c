// ppx/random.hpp: the random numbers of PPX's extension 1, computed as every peer computes them
// (docs/random.md): a counter-based generator, one sampling algorithm for each family, and the
// wider distributions of prior inflation. One element at a time; ppx.hpp does the tensors.

#ifndef PPX_RANDOM_HPP
#define PPX_RANDOM_HPP

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace ppx {

// The families, by their numbers on the wire.
enum class Kind : std::uint8_t {
  none, normal, uniform, categorical, poisson, bernoulli, beta, exponential, gamma, log_normal, binomial, weibull,
  // Extension 3.
  truncated_normal, half_normal, student_t, cauchy, laplace, logistic, pareto, inverse_gamma, von_mises, log_uniform, negative_binomial,
  geometric, discrete_uniform, zero_inflated_poisson, zero_inflated_negative_binomial, beta_binomial,
  // Extension 4.
  dirichlet, multivariate_normal, multivariate_student_t, multinomial, mixture, discrete_mixture, empirical, histogram, factor, custom, discrete_custom
};

// The extension of PPX that has a family; 0 is PPX 1.0.
inline unsigned extension_of(Kind k) { return k <= Kind::weibull ? 0 : k <= Kind::beta_binomial ? 3 : 4; }

namespace rng {

// A sequence of uniform numbers: Philox4x64-10 (Salmon et al., SC 2011) under a key (seed, stream), with the
// counter (block, statement, draw, purpose).
class Stream {
 public:
  Stream(std::uint64_t seed, std::uint64_t stream, std::uint64_t statement, std::uint64_t draw, std::uint64_t purpose)
      : key_{seed, stream}, counter_{0, statement, draw, purpose} {}

  // Numbers that come from somewhere else: ask(self) for each.
  Stream(double (*ask)(void*), void* self) : ask_(ask), self_(self) {}

  std::uint64_t next() {
    if (left_ == 0) refill();
    return words_[4 - left_--];
  }

  // The next number in the open interval (0, 1).
  double uniform() {
    double u = (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53;
    return u < 1 ? u : 1 - 0x1p-53;
  }

  // Goes to block n.
  void skip(std::uint64_t n) {
    counter_[0] = n;
    left_ = 0;
  }

 private:
  std::uint64_t key_[2] = {};
  std::uint64_t counter_[4] = {};
  std::uint64_t words_[4];
  int left_ = 0;
  double (*ask_)(void*) = nullptr;
  void* self_ = nullptr;

  void refill() {
    if (ask_ != nullptr) {
      double u = ask_(self_);
      words_[3] = static_cast<std::uint64_t>((u > 0 ? u < 1 ? u : 1 - 0x1p-53 : 0) * 0x1p53) << 11;
      left_ = 1;
      return;
    }
    block();
    counter_[0]++;
    left_ = 4;
  }

  static std::uint64_t multiply(std::uint64_t a, std::uint64_t b, std::uint64_t& high) {
#if defined(__SIZEOF_INT128__)
    __extension__ using wide = unsigned __int128;
    wide p = static_cast<wide>(a) * b;
    high = static_cast<std::uint64_t>(p >> 64);
    return static_cast<std::uint64_t>(p);
#else
    std::uint64_t al = a & 0xffffffffu, ah = a >> 32, bl = b & 0xffffffffu, bh = b >> 32;
    std::uint64_t ll = al * bl, lh = al * bh, hl = ah * bl;
    std::uint64_t mid = (ll >> 32) + (lh & 0xffffffffu) + (hl & 0xffffffffu);
    high = ah * bh + (lh >> 32) + (hl >> 32) + (mid >> 32);
    return a * b;
#endif
  }

  void block() {
    std::uint64_t k0 = key_[0], k1 = key_[1];
    std::uint64_t c0 = counter_[0], c1 = counter_[1], c2 = counter_[2], c3 = counter_[3];
    for (int round = 0; round < 10; round++) {
      std::uint64_t h0, h1;
      std::uint64_t l0 = multiply(0xD2E7470EE14C6C93u, c0, h0), l1 = multiply(0xCA5A826395121157u, c2, h1);
      c0 = h1 ^ c1 ^ k0;
      c1 = l1;
      c2 = h0 ^ c3 ^ k1;
      c3 = l0;
      k0 += 0x9E3779B97F4A7C15u;
      k1 += 0xBB67AE8584CAA73Bu;
    }
    words_[0] = c0;
    words_[1] = c1;
    words_[2] = c2;
    words_[3] = c3;
  }
};

// Purposes, and the statement number of the coin of prior inflation.
inline constexpr std::uint64_t for_value = 0, for_proposal = 1, coin_statement = 0x7fffffffffffffffu;

// Where exact values would round to an end of the support with an infinite density.
inline constexpr double tiny = 0x1p-1022, below_one = 1 - 0x1p-53, largest = std::numeric_limits<double>::max();

inline double clamp(double v, double low, double high) { return v < low ? low : v > high ? high : v; }  // NaN stays NaN
inline bool whole(double x) { return x == std::floor(x) && std::isfinite(x); }

// The standard normal quantile: M. J. Wichura, "Algorithm AS 241" (1988), PPND16.
inline double normal_quantile(double p) {
  auto ratio = [](double z, const double (&a)[8], const double (&b)[8]) {
    double x = a[0], y = b[0];
    for (int i = 1; i < 8; i++) {
      x = x * z + a[i];
      y = y * z + b[i];
    }
    return x / y;
  };
  static constexpr double center_a[8] = {2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457,
                                         13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608};
  static constexpr double center_b[8] = {5226.495278852854561, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867,
                                         5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1};
  static constexpr double inner_a[8] = {7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258,
                                        3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734};
  static constexpr double inner_b[8] = {1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459,
                                        0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1};
  static constexpr double outer_a[8] = {2.01033439929228813265e-7, 2.71155556874348757815e-5, 0.0012426609473880784386, 0.026532189526576123093,
                                        0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772};
  static constexpr double outer_b[8] = {2.04426310338993978564e-15, 1.4215117583164458887e-7, 1.8463183175100546818e-5, 7.868691311456132591e-4,
                                        0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1};
  double d = p - 0.5;
  if (std::fabs(d) <= 0.425) return d * ratio(0.180625 - d * d, center_a, center_b);
  double r = std::sqrt(-std::log(d < 0 ? p : 1 - p));
  double z = r <= 5 ? ratio(r - 1.6, inner_a, inner_b) : ratio(r - 5, outer_a, outer_b);
  return d < 0 ? -z : z;
}

// ---- Point probabilities for the rejection samplers: C. Loader, "Fast and accurate computation of binomial
// probabilities" (2000).

inline double stirling_error(double n) {
  static constexpr double exact[16] = {
      0, 0.08106146679532725822, 0.041340695955409294094, 0.027677925684998339149, 0.020790672103765093112, 0.016644691189821192163,
      0.013876128823070747999, 0.011896709945891770095, 0.010411265261972096497, 0.0092554621827127329177, 0.0083305634333628712565,
      0.007573675487951840795, 0.0069428402071095298657, 0.0064089941880042070684, 0.0059513701127588477356, 0.005554733551962801371};
  if (n <= 15 && whole(n)) return exact[static_cast<int>(n)];
  if (n <= 15) return std::lgamma(n + 1) - (n + 0.5) * std::log(n) + n - 0.91893853320467274178;
  double nn = n * n;
  if (n > 500) return (1.0 / 12 - 1.0 / 360 / nn) / n;
  if (n > 80) return (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / nn) / nn) / n;
  if (n > 35) return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - 1.0 / 1680 / nn) / nn) / nn) / n;
  return (1.0 / 12 - (1.0 / 360 - (1.0 / 1260 - (1.0 / 1680 - 1.0 / 1188 / nn) / nn) / nn) / nn) / n;
}

// x·log(x/m) + m − x.
inline double deviance(double x, double m) {
  if (std::fabs(x - m) >= 0.1 * (x + m)) return x * std::log(x / m) + m - x;
  double v = (x - m) / (x + m), s = (x - m) * v, ej = 2 * x * v;
  v *= v;
  for (double j = 1; j < 1000; j++) {
    ej *= v;
    double next = s + ej / (2 * j + 1);
    if (next == s) break;
    s = next;
  }
  return s;
}

// log(e^−m m^x / x!), m > 0.
inline double poisson_log_probability(double x, double m) {
  if (x == 0 || x <= m * 1e-300) return -m;
  if (m < x * 1e-300) return -m + x * std::log(m) - std::lgamma(x + 1);
  return -stirling_error(x) - deviance(x, m) - 0.91893853320467274178 - 0.5 * std::log(x);
}

// log(C(n,x) p^x q^(n−x)), 0 < p < 1, n > 0.
inline double binomial_log_probability(double x, double n, double p, double q) {
  if (x == 0) return p < 0.1 ? -deviance(n, n * q) - n * p : n * std::log(q);
  if (x == n) return q < 0.1 ? -deviance(n, n * p) - n * q : n * std::log(p);
  double lc = stirling_error(n) - stirling_error(x) - stirling_error(n - x) - deviance(x, n * p) - deviance(n - x, n * q);
  return lc - 0.91893853320467274178 - 0.5 * (std::log(x) + std::log1p(-x / n));
}

// ---- The samplers

// log X, X ~ Gamma(shape, 1): G. Marsaglia and W. W. Tsang (2000).
inline double log_gamma_variate(Stream& s, double shape) {
  bool boost = shape < 1;
  double d = shape - 1.0 / 3;
  if (boost) d++;
  double c = 1 / std::sqrt(9 * d);
  for (;;) {
    double z = normal_quantile(s.uniform()), u = s.uniform(), v = 1 + c * z;
    if (v <= 0) continue;
    double lv = 3 * std::log(v);
    v = v * v * v;
    if (std::log(u) < 0.5 * z * z + d - d * v + d * lv) {
      double lx = std::log(d) + lv;
      if (boost) lx += std::log(s.uniform()) / shape;
      return lx;
    }
  }
}

// Inversion below a rate of 10, PTRS above: W. Hörmann (1993).
inline double poisson(Stream& s, double rate) {
  if (rate < 10) {
    double u = s.uniform(), p = std::exp(-rate), k = 0;
    while (u > p) {
      u -= p;
      k++;
      p *= rate / k;
      if (p == 0) break;
    }
    return k;
  }
  double b = 0.931 + 2.53 * std::sqrt(rate), a = -0.059 + 0.02483 * b;
  double inv_alpha = 1.1239 + 1.1328 / (b - 3.4), vr = 0.9277 - 3.6224 / (b - 2);
  for (;;) {
    double u = s.uniform() - 0.5, v = s.uniform(), us = 0.5 - std::fabs(u);
    double k = std::floor((2 * a / us + b) * u + rate + 0.43);
    if (us >= 0.07 && v <= vr) return k;
    if (k < 0 || (us < 0.013 && v > us)) continue;
    if (std::log(v * inv_alpha / (a / (us * us) + b)) <= poisson_log_probability(k, rate)) return k;
  }
}

// For p ≤ ½: inversion while n·p < 10, BTRS above: W. Hörmann (1993).
inline double binomial_half(Stream& s, double n, double p) {
  if (n * p < 10) {
    double u = s.uniform(), odds = p / (1 - p), r = std::exp(n * std::log1p(-p)), k = 0;
    while (u > r && k < n) {
      u -= r;
      k++;
      r *= odds * (n - k + 1) / k;
      if (r == 0) break;
    }
    return k;
  }
  double q = 1 - p, spq = std::sqrt(n * p * q), b = 1.15 + 2.53 * spq, a = -0.0873 + 0.0248 * b + 0.01 * p, c = n * p + 0.5;
  double vr = 0.92 - 4.2 / b, alpha = (2.83 + 5.1 / b) * spq;
  double top = binomial_log_probability(std::floor((n + 1) * p), n, p, q);
  for (;;) {
    double u = s.uniform() - 0.5, v = s.uniform(), us = 0.5 - std::fabs(u);
    double k = std::floor((2 * a / us + b) * u + c);
    if (k < 0 || k > n) continue;
    if (us >= 0.07 && v <= vr) return k;
    if (std::log(v * alpha / (a / (us * us) + b)) <= binomial_log_probability(k, n, p, q) - top) return k;
  }
}

inline double binomial(Stream& s, double n, double p) { return p > 0.5 ? n - binomial_half(s, n, 1 - p) : binomial_half(s, n, p); }

inline double beta(Stream& s, double a, double b) {
  double la = log_gamma_variate(s, a), lb = log_gamma_variate(s, b);
  return clamp(1 / (1 + std::exp(lb - la)), tiny, below_one);
}

inline constexpr double pi = 3.14159265358979323846;

// How far beyond alpha a standard Normal is that lies between alpha and alpha + w: C. P. Robert (1995).
inline double normal_tail(Stream& s, double alpha, double w) {
  double all = -std::expm1(-alpha * w);
  for (;;) {
    double u = -std::log1p(-s.uniform() * all) / alpha;
    if (std::log(s.uniform()) <= -u * u / 2) return u;
  }
}

inline double truncated_normal(Stream& s, double loc, double scale, double low, double high) {
  double alpha = (low - loc) / scale, beta = (high - loc) / scale, w = (high - low) / scale;
  if (alpha >= 5) return clamp(low + scale * normal_tail(s, alpha, w), low, high);
  if (beta <= -5) return clamp(high - scale * normal_tail(s, -beta, w), low, high);
  if (w <= 1) {
    double r = std::fmax(alpha, std::fmin(beta, 0));
    for (;;) {
      double u = s.uniform() * w, z = alpha + u;
      if (std::log(s.uniform()) <= (r - z) * (r + z) / 2) return clamp(low + scale * u, low, high);
    }
  }
  auto tail = [](double x) { return 0.5 * std::erfc(x / 1.41421356237309504880); };
  double below = tail(-alpha), above = tail(beta);
  double mass = beta <= 0 ? tail(-beta) - below : alpha >= 0 ? tail(alpha) - above : 1 - below - above;
  double u = s.uniform(), q = below + u * mass;
  double z = q <= 0.5 ? normal_quantile(q) : -normal_quantile(above + (1 - u) * mass);
  return clamp(loc + scale * z, std::fmax(low, -largest), std::fmin(high, largest));
}

inline double cauchy_quantile(double u) {
  if (u < 0.25) return -1 / std::tan(pi * u);
  if (u > 0.75) return 1 / std::tan(pi * (1 - u));
  return std::tan(pi * (u - 0.5));
}

inline double laplace_quantile(double u) { return u < 0.5 ? std::log(2 * u) : -std::log(2 * (1 - u)); }

inline double logistic_quantile(double u) {
  return std::fabs(u - 0.5) < 0.25 ? 2 * std::atanh(2 * u - 1) : std::log(u) - std::log1p(-u);
}

inline double student_t(Stream& s, double df) {
  double z = normal_quantile(s.uniform());
  return z * std::exp((std::log(df / 2) - log_gamma_variate(s, df / 2)) / 2);
}

// The same angle between −π and π.
inline double angle(double x) { return x >= -pi && x <= pi ? x : std::remainder(x, 2 * pi); }

// D. J. Best and N. I. Fisher (1979), with 1 − cos in place of cos.
inline double von_mises(Stream& s, double loc, double k) {
  double q = k < 1e10 ? std::sqrt(1 + 4 * k * k) : 2 * k, r = std::sqrt(1 + q);
  constexpr double sqrt2 = 1.41421356237309504880;
  double rho = 2 * k / r / (r + sqrt2), rest = 2 * sqrt2 / (r + sqrt2) / (1 + rho), c = rest * rest / (2 * rho);
  for (;;) {
    double u = s.uniform(), v = s.uniform(), a = std::sin(pi * u / 2), b = std::cos(pi * u / 2);
    double w = c * (2 * a * a) / (c + 2 * b * b), y = k * (c + w);
    if (std::log(y / v) + 1 - y >= 0) {
      double theta = 2 * std::asin(std::sqrt(std::fmin(1, w / 2)));
      return angle(s.uniform() < 0.5 ? loc - theta : loc + theta);
    }
  }
}

// log(x/a), of near numbers without a loss of digits.
inline double log_ratio(double x, double a) { return x < 2 * a ? std::log1p((x - a) / a) : std::log(x) - std::log(a); }

// A Poisson whose rate is a Gamma.
inline double negative_binomial(Stream& s, double mean, double c) {
  if (mean == 0) return 0;
  return poisson(s, clamp(std::exp(log_gamma_variate(s, c) - std::log(c) + std::log(mean)), 0, 1e300));
}

// One element of any family but Categorical, with valid parameters in the order of the protocol.
inline double draw(Stream& s, Kind kind, double a, double b, double c = 0, double d = 0) {
  switch (kind) {
    case Kind::normal: return clamp(a + b * normal_quantile(s.uniform()), -largest, largest);
    case Kind::uniform: return clamp(a + (b - a) * s.uniform(), a, b);
    case Kind::poisson: return poisson(s, a);
    case Kind::bernoulli: return s.uniform() < a ? 1 : 0;
    case Kind::beta: return beta(s, a, b);
    case Kind::exponential: return clamp(-std::log1p(-s.uniform()) / a, tiny, largest);
    case Kind::gamma: return clamp(std::exp(log_gamma_variate(s, a) - std::log(b)), tiny, largest);
    case Kind::log_normal: return clamp(std::exp(a + b * normal_quantile(s.uniform())), tiny, largest);
    case Kind::binomial: return binomial(s, a, b);
    case Kind::weibull: return clamp(std::exp(std::log(a) + std::log(-std::log1p(-s.uniform())) / b), tiny, largest);
    case Kind::truncated_normal: return truncated_normal(s, a, b, c, d);
    case Kind::half_normal: return clamp(-a * normal_quantile(s.uniform() / 2), tiny, largest);
    case Kind::student_t: return clamp(b + c * student_t(s, a), -largest, largest);
    case Kind::cauchy: return clamp(a + b * cauchy_quantile(s.uniform()), -largest, largest);
    case Kind::laplace: return clamp(a + b * laplace_quantile(s.uniform()), -largest, largest);
    case Kind::logistic: return clamp(a + b * logistic_quantile(s.uniform()), -largest, largest);
    case Kind::pareto: return clamp(a * std::exp(-std::log1p(-s.uniform()) / b), a, largest);
    case Kind::inverse_gamma: return clamp(std::exp(std::log(b) - log_gamma_variate(s, a)), tiny, largest);
    case Kind::von_mises: return von_mises(s, a, b);
    case Kind::log_uniform: return clamp(a * std::exp(s.uniform() * log_ratio(b, a)), a, b);
    case Kind::negative_binomial: return negative_binomial(s, a, b);
    case Kind::geometric: return std::floor(std::log(s.uniform()) / std::log1p(-a));
    case Kind::discrete_uniform: return std::fmin(a + std::floor(s.uniform() * (b - a + 1)), b);
    case Kind::zero_inflated_poisson: return s.uniform() < a ? 0 : poisson(s, b);
    case Kind::zero_inflated_negative_binomial: return s.uniform() < a ? 0 : negative_binomial(s, b, c);
    case Kind::beta_binomial: return binomial(s, c, beta(s, a, b));
    default: return 0;
  }
}

// A category in proportion to k probabilities, each seen through f.
template <class F>
double categorical(Stream& s, const double* probs, std::size_t k, F f) {
  double sum = 0, cumulative = 0;
  for (std::size_t j = 0; j < k; j++) sum += f(probs[j]);
  double t = s.uniform() * sum;
  std::size_t pick = 0;
  for (std::size_t j = 0; j < k; j++) {
    double p = f(probs[j]);
    if (p == 0) continue;
    pick = j;
    cumulative += p;
    if (t < cumulative) break;
  }
  return static_cast<double>(pick);
}

inline double categorical(Stream& s, const double* probs, std::size_t k) {
  return categorical(s, probs, k, [](double p) { return p; });
}

// Whether parameters are valid; Categorical has rules of its own.
inline bool valid(Kind kind, double a, double b, double c = 0, double d = 0) {
  auto finite = [](double x) { return std::isfinite(x); };
  auto positive = [](double x) { return x > 0 && std::isfinite(x); };
  auto probability = [](double x) { return x >= 0 && x <= 1; };
  auto rate = [](double x) { return x >= 0 && std::isfinite(x); };
  auto count = [](double x) { return x >= 0 && x <= 0x1p53 && whole(x); };
  switch (kind) {
    case Kind::normal:
    case Kind::log_normal: return finite(a) && positive(b);
    case Kind::uniform: return finite(a) && finite(b) && a < b && finite(b - a);
    case Kind::poisson: return a >= 0 && finite(a);
    case Kind::bernoulli: return probability(a);
    case Kind::beta:
    case Kind::gamma:
    case Kind::weibull: return positive(a) && positive(b);
    case Kind::exponential: return positive(a);
    case Kind::binomial: return count(a) && probability(b);
    case Kind::truncated_normal: {
      if (!(finite(a) && positive(b) && c < d) || (finite(c) && finite(d) && !finite(d - c))) return false;
      return (d - c) / b > 1e-300 && (c - a) / b <= 1e100 && (d - a) / b >= -1e100;
    }
    case Kind::half_normal: return positive(a);
    case Kind::student_t: return a >= 1e-300 && finite(a) && finite(b) && positive(c);
    case Kind::cauchy:
    case Kind::laplace:
    case Kind::logistic: return finite(a) && positive(b);
    case Kind::pareto:
    case Kind::inverse_gamma: return positive(a) && positive(b);
    case Kind::von_mises: return finite(a) && b >= 1e-300 && b <= 1e300;
    case Kind::log_uniform: return positive(a) && positive(b) && a < b;
    case Kind::negative_binomial: return rate(a) && positive(b);
    case Kind::geometric: return a > 1e-300 && a <= 1;
    case Kind::discrete_uniform: return std::fabs(a) <= 0x1p53 && std::fabs(b) <= 0x1p53 && whole(a) && whole(b) && a <= b && b - a < 0x1p53;
    case Kind::zero_inflated_poisson: return probability(a) && rate(b);
    case Kind::zero_inflated_negative_binomial: return probability(a) && rate(b) && positive(c);
    case Kind::beta_binomial: return positive(a) && positive(b) && count(c);
    case Kind::factor: return a < std::numeric_limits<double>::infinity();
    default: return false;
  }
}

inline bool valid_weights(const double* w, std::size_t k) {
  double sum = 0;
  for (std::size_t j = 0; j < k; j++) {
    if (!(w[j] >= 0) || std::isinf(w[j])) return false;
    sum += w[j];
  }
  return sum > 0 && std::isfinite(sum);
}

// ---- Prior inflation

// Whether an element is widened; else it is drawn as it is.
inline bool widens(Kind kind, double a, double b, double c = 0) {
  constexpr double large = 1e9, log_max = 700, tail = 40, small_shape = 0.05, grid = 1e-11;
  switch (kind) {
    case Kind::normal: return b < 1e300 && b > 1e-290 && b > grid * std::fabs(a);
    case Kind::log_normal: return std::fabs(a) + 3 * tail * b < log_max && b > grid * 1000;
    case Kind::bernoulli: return a > 0 && a < 1;
    case Kind::beta: return a > small_shape && b > small_shape && std::sqrt(b / a / (a + b + 1)) > grid;
    case Kind::exponential: return a > 1e-290 && a < 1e290;
    case Kind::gamma: return a > small_shape && a < large && std::fabs(std::log(b)) < log_max - 100;
    case Kind::weibull: return std::fabs(std::log(a)) + tail / std::fmin(b / 3, 1) < log_max && b < large;
    case Kind::poisson: return a > 1 / large && a < large;
    case Kind::binomial: return a >= 1 && a < large && b > 1 / large && b < 1 - 1 / large;
    case Kind::truncated_normal:
    case Kind::cauchy:
    case Kind::laplace:
    case Kind::logistic: return b < 1e290 && b > 1e-290 && b > grid * std::fabs(a);
    case Kind::half_normal: return a > 1e-290 && a < 1e290;
    case Kind::student_t: return c < 1e290 && c > 1e-290 && c > grid * std::fabs(b) && a > 0.1;
    case Kind::pareto: return std::fabs(std::log(a)) + tail * 3 / b < log_max && b < large;
    case Kind::inverse_gamma: return a > small_shape && a < large && std::fabs(std::log(b)) < log_max - 100;
    case Kind::von_mises: return b > 1e-290 && b < 1e18;
    case Kind::negative_binomial: return a > 1 / large && a < large && b > small_shape;
    case Kind::geometric: return a > 1 / large;
    case Kind::zero_inflated_poisson: return b > 1 / large && b < large;
    case Kind::zero_inflated_negative_binomial: return b > 1 / large && b < large && c > small_shape;
    case Kind::beta_binomial: return a > small_shape && b > small_shape && c < large;
    default: return false;
  }
}

// One element of a widened distribution.
inline double draw_widened(Stream& s, Kind kind, double a, double b, double c = 0, double d = 0) {
  if (!widens(kind, a, b, c)) return draw(s, kind, a, b, c, d);
  auto wider = [](double mean, double k) { return std::fmax(1 / (9 / k + 8 / mean), std::fmin(k, 1)); };
  auto flatter = [](double k, double by) { return std::fmax(k / by, std::fmin(k, 1)); };
  switch (kind) {
    case Kind::normal:
    case Kind::log_normal: return draw(s, kind, a, 3 * b);
    case Kind::bernoulli: return draw(s, kind, 0.5, b);
    case Kind::beta: return draw(s, kind, flatter(a, 9), flatter(b, 9));
    case Kind::exponential: return draw(s, kind, a / 3, b);
    case Kind::gamma: {
      double shape = flatter(a, 9);
      return draw(s, kind, shape, b * std::sqrt(shape / a) / 3);
    }
    case Kind::weibull: {
      double k = flatter(b, 3);
      return draw(s, kind, a * 3 * k / b, k);
    }
    case Kind::poisson: {
      double shape = std::fmax(a / 8, 1), rate = draw(s, Kind::gamma, shape, shape / a);
      return poisson(s, rate);
    }
    case Kind::binomial: {
      double total = std::fmax((a - 9) / 8, 1 / std::fmin(b, 1 - b));
      return binomial(s, a, beta(s, total * b, total * (1 - b)));
    }
    case Kind::truncated_normal:
    case Kind::cauchy:
    case Kind::laplace:
    case Kind::logistic: return draw(s, kind, a, 3 * b, c, d);
    case Kind::half_normal: return draw(s, kind, 3 * a, b);
    case Kind::student_t: return draw(s, kind, a, b, 3 * c);
    case Kind::pareto: return draw(s, kind, a, b / 3);
    case Kind::inverse_gamma: {
      double shape = flatter(a, 9);
      return draw(s, kind, shape, b * std::sqrt(shape / a));
    }
    case Kind::von_mises: return draw(s, kind, a, b / 9);
    case Kind::negative_binomial: return draw(s, kind, a, wider(a, b));
    case Kind::geometric: return draw(s, kind, a / 3, b);
    case Kind::zero_inflated_poisson: return draw(s, Kind::zero_inflated_negative_binomial, a, b, std::fmax(b / 8, 1));
    case Kind::zero_inflated_negative_binomial: return draw(s, kind, a, b, wider(b, c));
    case Kind::beta_binomial: return draw(s, kind, flatter(a, 9), flatter(b, 9), c);
    default: return draw(s, kind, a, b, c, d);
  }
}

// 1 for what has a chance, else 0.
inline double chance(double p) { return std::ceil(std::fmin(p, 1)); }

inline double categorical_widened(Stream& s, const double* probs, std::size_t k) { return categorical(s, probs, k, chance); }

// ---- Families of which parameters are rows of numbers, and draws perhaps too

// A row of numbers, or a matrix.
struct Row {
  const double* data = nullptr;
  std::size_t size = 0;
  double operator[](std::size_t i) const { return data[i]; }
};

// How many dimensions of each parameter belong to a draw, and which one is as long as a draw that is a row: −1 for none, that is, a number.
struct Events {
  int count;
  int event[3];
  int like;
};

// Null for families whose parameters are numbers.
inline const Events* events_of(Kind kind) {
  static constexpr Events one{1, {1, 0, 0}, -1}, dirichlet{1, {1, 0, 0}, 0}, normal{2, {1, 2, 0}, 0}, student{3, {0, 1, 2}, 1}, multinomial{2, {0, 1, 0}, 1},
      mixture{3, {1, 1, 1}, -1}, two{2, {1, 1, 0}, -1};
  switch (kind) {
    case Kind::categorical: return &one;
    case Kind::dirichlet: return &dirichlet;
    case Kind::multivariate_normal: return &normal;
    case Kind::multivariate_student_t: return &student;
    case Kind::multinomial: return &multinomial;
    case Kind::mixture:
    case Kind::discrete_mixture: return &mixture;
    case Kind::empirical:
    case Kind::histogram: return &two;
    default: return nullptr;
  }
}

// The number of a scalar family's parameters; 0 for other families.
inline std::size_t parameters_of(Kind kind) {
  switch (kind) {
    case Kind::poisson:
    case Kind::bernoulli:
    case Kind::exponential:
    case Kind::half_normal:
    case Kind::geometric: return 1;
    case Kind::student_t:
    case Kind::zero_inflated_negative_binomial:
    case Kind::beta_binomial: return 3;
    case Kind::truncated_normal: return 4;
    default: return kind == Kind::none || kind == Kind::categorical || kind > Kind::beta_binomial ? 0 : 2;
  }
}

inline bool counts(Kind kind) {
  switch (kind) {
    case Kind::poisson:
    case Kind::bernoulli:
    case Kind::binomial:
    case Kind::negative_binomial:
    case Kind::geometric:
    case Kind::discrete_uniform:
    case Kind::zero_inflated_poisson:
    case Kind::zero_inflated_negative_binomial:
    case Kind::beta_binomial: return true;
    default: return false;
  }
}

// Calls f with each component's number, family and four parameters, those that it does not have 0; false where the rows are no mixture's.
template <class F>
bool components(const Row* p, F f) {
  std::size_t at = 0;
  for (std::size_t j = 0; j < p[0].size; j++) {
    double k = p[0][j];
    if (!(k > 0 && k <= static_cast<double>(Kind::beta_binomial)) || !whole(k)) return false;
    auto kind = static_cast<Kind>(static_cast<int>(k));
    std::size_t n = parameters_of(kind);
    if (n == 0 || at + n > p[2].size) return false;
    double a[4] = {};
    std::copy(p[2].data + at, p[2].data + at + n, a);
    at += n;
    if (!f(j, kind, a)) return false;
  }
  return at == p[2].size;
}

inline bool valid_triangle(const Row& loc, const Row& tril) {
  std::size_t d = loc.size;
  if (tril.size != d * d) return false;
  for (std::size_t i = 0; i < d; i++) {
    if (!(std::fabs(loc[i]) <= 1e150)) return false;
    for (std::size_t j = 0; j < d; j++) {
      double v = tril[i * d + j];
      if (j > i ? v != 0 : i == j ? !(v > 0 && v <= 1e150) : !(std::fabs(v) <= 1e150)) return false;
    }
  }
  return true;
}

inline bool ascending(const Row& x) {
  for (std::size_t i = 0; i < x.size; i++)
    if (!std::isfinite(x[i]) || (i > 0 && !(x[i] > x[i - 1]))) return false;
  return true;
}

// Whether the parameters of a draw are valid.
inline bool valid_rows(Kind kind, const Row* p) {
  switch (kind) {
    case Kind::categorical: return valid_weights(p[0].data, p[0].size);
    case Kind::dirichlet: {
      double sum = 0;
      for (std::size_t i = 0; i < p[0].size; i++) {
        if (!(p[0][i] >= 1e-300)) return false;
        sum += p[0][i];
      }
      return std::isfinite(sum);
    }
    case Kind::multivariate_normal: return valid_triangle(p[0], p[1]);
    case Kind::multivariate_student_t: return p[0][0] >= 1e-300 && std::isfinite(p[0][0]) && valid_triangle(p[1], p[2]);
    case Kind::multinomial: return p[0][0] >= 0 && p[0][0] <= 0x1p53 && whole(p[0][0]) && valid_weights(p[1].data, p[1].size);
    case Kind::mixture:
    case Kind::discrete_mixture:
      return p[1].size == p[0].size && valid_weights(p[1].data, p[1].size) && components(p, [&](std::size_t, Kind k, const double* a) {
               return counts(k) == (kind == Kind::discrete_mixture) && valid(k, a[0], a[1], a[2], a[3]);
             });
    case Kind::empirical: return p[1].size == p[0].size && ascending(p[0]) && valid_weights(p[1].data, p[1].size);
    case Kind::histogram:
      return p[0].size == p[1].size + 1 && ascending(p[0]) && std::isfinite(p[0][p[0].size - 1] - p[0][0]) && valid_weights(p[1].data, p[1].size);
    default: return false;
  }
}

// loc + by·L·z in place of z.
inline void apply_lower(const Row& loc, const Row& tril, double by, double* z) {
  for (std::size_t d = loc.size, i = d; i-- > 0;) {
    double sum = 0;
    for (std::size_t j = 0; j <= i; j++) sum += by * tril[i * d + j] * z[j];
    z[i] = clamp(loc[i] + sum, -largest, largest);
  }
}

// By how much a triangle is widened: three times, unless that is of no use.
inline double wider_triangle(const Row& loc, const Row& tril) {
  std::size_t d = loc.size;
  for (std::size_t i = 0; i < d; i++) {
    double v = 0, b = tril[i * d + i];
    for (std::size_t j = 0; j <= i; j++) v += tril[i * d + j] * tril[i * d + j];
    if (!(b < 1e290 && b > 1e-290 && b > 1e-11 * std::fabs(loc[i])) || !(v < 1e290)) return 1;
  }
  return 3;
}

// One draw, into x; wide: from the wider distribution.
inline void draw_rows(Stream& s, Kind kind, const Row* p, bool wide, double* x) {
  auto pick = [&](const Row& w) { return static_cast<std::size_t>(wide ? categorical_widened(s, w.data, w.size) : categorical(s, w.data, w.size)); };
  switch (kind) {
    case Kind::dirichlet: {
      double most = -std::numeric_limits<double>::infinity(), sum = 0;
      for (std::size_t i = 0; i < p[0].size; i++) {
        double a = p[0][i];
        if (wide && a > 0.05) a = std::fmax(a / 9, std::fmin(a, 1));
        x[i] = log_gamma_variate(s, a);
        most = std::fmax(most, x[i]);
      }
      for (std::size_t i = 0; i < p[0].size; i++) sum += x[i] = std::exp(x[i] - most);
      for (std::size_t i = 0; i < p[0].size; i++) x[i] = std::fmax(x[i] / sum, tiny);
      return;
    }
    case Kind::multivariate_normal:
      for (std::size_t i = 0; i < p[0].size; i++) x[i] = normal_quantile(s.uniform());
      apply_lower(p[0], p[1], wide ? wider_triangle(p[0], p[1]) : 1, x);
      return;
    case Kind::multivariate_student_t: {
      for (std::size_t i = 0; i < p[1].size; i++) x[i] = normal_quantile(s.uniform());
      double df = p[0][0], f = std::exp((std::log(df / 2) - log_gamma_variate(s, df / 2)) / 2);
      for (std::size_t i = 0; i < p[1].size; i++) x[i] = clamp(x[i] * f, -1e150, 1e150);
      apply_lower(p[1], p[2], wide ? wider_triangle(p[1], p[2]) : 1, x);
      return;
    }
    case Kind::multinomial: {
      double left = p[0][0], sum = 0, chances = 0;
      std::size_t k = p[1].size;
      for (std::size_t i = 0; i < k; i++) {
        sum += p[1][i];
        chances += p[1][i] > 0;
      }
      auto prob = [&](std::size_t i) { return wide && p[1][i] > 0 ? (p[1][i] / sum + 1 / chances) / 2 : p[1][i]; };
      for (std::size_t i = 0; i + 1 < k; i++) {
        double after = 0, q = prob(i);
        for (std::size_t j = i + 1; j < k; j++) after += prob(j);
        x[i] = binomial(s, left, q == 0 ? 0 : q / (q + after));
        left -= x[i];
      }
      x[k - 1] = left;
      return;
    }
    case Kind::mixture:
    case Kind::discrete_mixture: {
      std::size_t chosen = pick(p[1]);
      components(p, [&](std::size_t j, Kind k, const double* a) {
        if (j == chosen) x[0] = draw(s, k, a[0], a[1], a[2], a[3]);
        return true;
      });
      return;
    }
    case Kind::empirical: x[0] = p[0][pick(p[1])]; return;
    case Kind::histogram: {
      const Row &e = p[0], &w = p[1];
      std::size_t j = 0;
      if (wide) {
        double all = e[w.size] - e[0], sum = 0, before = 0;
        auto mass = [&](std::size_t i) { return chance(w[i]) * ((e[i + 1] - e[i]) / all); };
        for (std::size_t i = 0; i < w.size; i++) sum += mass(i);
        double t = s.uniform() * sum;
        for (std::size_t i = 0; i < w.size; i++) {
          if (mass(i) == 0) continue;
          j = i;
          before += mass(i);
          if (t < before) break;
        }
      } else {
        j = pick(w);
      }
      x[0] = clamp(e[j] + (e[j + 1] - e[j]) * s.uniform(), e[j], e[j + 1]);
      return;
    }
    default: x[0] = wide ? categorical_widened(s, p[0].data, p[0].size) : categorical(s, p[0].data, p[0].size);
  }
}

}  // namespace rng
}  // namespace ppx

#endif  // PPX_RANDOM_HPP
