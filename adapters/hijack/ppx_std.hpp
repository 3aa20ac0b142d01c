// ppx_std.hpp: the distributions of C++'s <random>, answered by ppx wrap.
//
//   g++ $(ppx wrap --cxxflags) simulator.cpp        that is: -include …/ppx_std.hpp
//
// Without ppx wrap the program draws as ever. Every distribution is another one of the same name and interface that asks first: the names are macros after <random> has been
// read, so that a class of one's own of such a name (boost::random::normal_distribution) no longer compiles. std::shuffle and std::generate_canonical with an engine of the
// standard library ask too; the engines themselves do not, nor does std::sample.

#ifndef PPX_STD_HPP
#define PPX_STD_HPP
#if defined(__cplusplus) && __cplusplus >= 201103L

#include <dlfcn.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <random>
#include <type_traits>
#include <utility>
#include <vector>

namespace ppx_std {

struct Hooks {
  int (*live)();
  int (*scalar)(const char* what, int kind, int parameters, const double* p, double* value);
  int (*categorical)(const char* what, const double* weights, std::uint64_t n, double* value);
};

// Those of the preloaded library, where it is; all of them or none.
inline const Hooks* hooks() {
  static const Hooks found = [] {
    Hooks h;
    h.live = reinterpret_cast<int (*)()>(dlsym(RTLD_DEFAULT, "ppx_hijack_live"));
    h.scalar = reinterpret_cast<int (*)(const char*, int, int, const double*, double*)>(dlsym(RTLD_DEFAULT, "ppx_hijack_scalar"));
    h.categorical = reinterpret_cast<int (*)(const char*, const double*, std::uint64_t, double*)>(dlsym(RTLD_DEFAULT, "ppx_hijack_categorical"));
    return h;
  }();
  return found.scalar != nullptr && found.live() ? &found : nullptr;
}

__attribute__((always_inline)) inline bool scalar(const char* what, int kind, double* value, double a, double b = 0, double c = 0) {
  const Hooks* h = hooks();
  if (h == nullptr) return false;
  double p[] = {a, b, c};
  int n = kind == 4 || kind == 5 || kind == 7 || kind == 23 ? 1 : kind == 14 ? 3 : 2;
  return h->scalar(what, kind, n, p, value) != 0;
}

// The numbers of a distribution that is none of the families: what its own code takes of a generator.
struct Bits {
  const char* what;
  using result_type = std::uint64_t;
  static constexpr result_type min() { return 0; }
  static constexpr result_type max() { return (std::uint64_t(1) << 53) - 1; }
  __attribute__((always_inline)) result_type operator()() const {
    double u = 0;
    scalar(what, 2, &u, 0, 1);
    double k = std::floor(u * 0x1p53);
    return k < 0x1p53 ? static_cast<result_type>(k) : max();
  }
};

// An engine that is none of the standard library's, so that the templates for any are meant.
template <class E>
struct Plain {
  E& engine;
  using result_type = typename E::result_type;
  static constexpr result_type min() { return E::min(); }
  static constexpr result_type max() { return E::max(); }
  result_type operator()() { return engine(); }
};

}  // namespace ppx_std

namespace std {

// What is common: all of the original but its draws.
#define PPX_STD_CLASS(NAME, VALUE, BODY)                                                                       \
  template <class T = VALUE>                                                                                   \
  class ppx_##NAME : public NAME<T> {                                                                          \
   public:                                                                                                     \
    using NAME<T>::NAME;                                                                                       \
    ppx_##NAME() = default;                                                                                    \
    ppx_##NAME(const NAME<T>& o) : NAME<T>(o) {}                                                               \
    using param_type = typename NAME<T>::param_type;                                                           \
    template <class R>                                                                                         \
    __attribute__((always_inline)) T operator()(R& r) {                                                        \
      return (*this)(r, this->param());                                                                        \
    }                                                                                                          \
    template <class R>                                                                                         \
    __attribute__((always_inline)) T operator()(R& r, const param_type& p) {                                   \
      BODY return NAME<T>::operator()(r, p);                                                                   \
    }                                                                                                          \
  };

// What the arguments of a constructor tell of the type, as they do for the original.
#if defined(__cpp_deduction_guides)
#define PPX_STD_GUIDES(NAME, VALUE)                                                                                              \
  ppx_##NAME()->ppx_##NAME<VALUE>;                                                                                               \
  template <class A>                                                                                                             \
  ppx_##NAME(A) -> ppx_##NAME<conditional_t<is_integral<A>::value == is_integral<VALUE>::value, A, VALUE>>;                      \
  template <class A, class B>                                                                                                    \
  ppx_##NAME(A, B) -> ppx_##NAME<conditional_t<is_integral<A>::value == is_integral<VALUE>::value, A, VALUE>>;
#else
#define PPX_STD_GUIDES(NAME, VALUE)
#endif

// Parameters that are none of the family's: the original's own code, over numbers that are answered.
#define PPX_STD_FAMILY(NAME, VALUE, KIND, BACK, ...)                                                                                     \
  PPX_STD_CLASS(NAME, VALUE, if (ppx_std::hooks() != nullptr) {                                                                          \
    double v;                                                                                                                            \
    if (ppx_std::scalar("std::" #NAME, KIND, &v, __VA_ARGS__)) return static_cast<T>(BACK);                                              \
    ppx_std::Bits bits{"std::" #NAME "/bits"};                                                                                           \
    return NAME<T>::operator()(bits, p);                                                                                                 \
  })                                                                                                                                     \
  PPX_STD_GUIDES(NAME, VALUE)

#define PPX_STD_BITS(NAME, VALUE) \
  PPX_STD_CLASS(NAME, VALUE, if (ppx_std::hooks() != nullptr) { ppx_std::Bits bits{"std::" #NAME "/bits"}; return NAME<T>::operator()(bits, p); })

PPX_STD_FAMILY(normal_distribution, double, 1, v, p.mean(), p.stddev())
PPX_STD_FAMILY(uniform_real_distribution, double, 2, v, p.a(), p.b())
PPX_STD_FAMILY(poisson_distribution, int, 4, v, p.mean())
PPX_STD_FAMILY(exponential_distribution, double, 7, v, p.lambda())
PPX_STD_FAMILY(gamma_distribution, double, 8, v, p.alpha(), 1 / p.beta())
PPX_STD_FAMILY(chi_squared_distribution, double, 8, v, p.n() / 2, 0.5)
PPX_STD_FAMILY(lognormal_distribution, double, 9, v, p.m(), p.s())
PPX_STD_FAMILY(binomial_distribution, int, 10, v, p.t(), p.p())
PPX_STD_FAMILY(weibull_distribution, double, 11, v, p.b(), p.a())
PPX_STD_FAMILY(student_t_distribution, double, 14, v, p.n(), 0, 1)
PPX_STD_FAMILY(cauchy_distribution, double, 15, v, p.a(), p.b())
PPX_STD_FAMILY(negative_binomial_distribution, int, 22, v, p.k() * (1 - p.p()) / p.p(), p.k())
PPX_STD_FAMILY(geometric_distribution, int, 23, v, p.p())
PPX_STD_FAMILY(uniform_int_distribution, int, 24, v, static_cast<double>(p.a()), static_cast<double>(p.b()))
PPX_STD_BITS(extreme_value_distribution, double)
PPX_STD_BITS(fisher_f_distribution, double)
PPX_STD_BITS(piecewise_constant_distribution, double)
PPX_STD_BITS(piecewise_linear_distribution, double)
PPX_STD_CLASS(discrete_distribution, int, const ppx_std::Hooks* h = ppx_std::hooks(); double v; if (h != nullptr) {
  std::vector<double> w = p.probabilities();
  if (w.empty()) return 0;
  if (h->categorical("std::discrete_distribution", w.data(), w.size(), &v)) return static_cast<T>(v);
})

class ppx_bernoulli_distribution : public bernoulli_distribution {
 public:
  using bernoulli_distribution::bernoulli_distribution;
  ppx_bernoulli_distribution() = default;
  ppx_bernoulli_distribution(const bernoulli_distribution& o) : bernoulli_distribution(o) {}
  using param_type = typename bernoulli_distribution::param_type;
  template <class R>
  __attribute__((always_inline)) bool operator()(R& r) {
    return (*this)(r, this->param());
  }
  template <class R>
  __attribute__((always_inline)) bool operator()(R& r, const param_type& p) {
    double v;
    if (ppx_std::scalar("std::bernoulli_distribution", 5, &v, p.p())) return v != 0;
    return bernoulli_distribution::operator()(r, p);
  }
};

// For an engine of the standard library these are better matches than the templates for any.
#define PPX_STD_ENGINE(DECLARED, ENGINE)                                                       \
  template <class It, DECLARED>                                                                \
  inline void shuffle(It first, It last, ENGINE& r) {                                          \
    if (ppx_std::hooks() != nullptr) {                                                         \
      ppx_std::Bits bits{"std::shuffle"};                                                      \
      std::shuffle(first, last, bits);                                                         \
    } else {                                                                                   \
      ppx_std::Plain<ENGINE> plain{r};                                                         \
      std::shuffle(first, last, plain);                                                        \
    }                                                                                          \
  }                                                                                            \
  template <class It, DECLARED>                                                                \
  inline void shuffle(It first, It last, ENGINE&& r) {                                         \
    std::shuffle(first, last, r);                                                              \
  }                                                                                            \
  template <class Real, size_t bits, DECLARED>                                                 \
  inline Real generate_canonical(ENGINE& r) {                                                  \
    double v;                                                                                  \
    if (ppx_std::scalar("std::generate_canonical", 2, &v, 0, 1)) {                             \
      Real x = static_cast<Real>(v);                                                           \
      return x < 1 ? x : std::nextafter(Real(1), Real(0));                                     \
    }                                                                                          \
    ppx_std::Plain<ENGINE> plain{r};                                                           \
    return std::generate_canonical<Real, bits>(plain);                                         \
  }
#define PPX_COMMA ,
PPX_STD_ENGINE(class U PPX_COMMA U a PPX_COMMA U c PPX_COMMA U m, linear_congruential_engine<U PPX_COMMA a PPX_COMMA c PPX_COMMA m>)
PPX_STD_ENGINE(class U PPX_COMMA size_t w PPX_COMMA size_t k PPX_COMMA size_t m PPX_COMMA size_t q PPX_COMMA U a PPX_COMMA size_t u PPX_COMMA U d PPX_COMMA size_t s PPX_COMMA U b PPX_COMMA
                   size_t t PPX_COMMA U c PPX_COMMA size_t l PPX_COMMA U f,
               mersenne_twister_engine<U PPX_COMMA w PPX_COMMA k PPX_COMMA m PPX_COMMA q PPX_COMMA a PPX_COMMA u PPX_COMMA d PPX_COMMA s PPX_COMMA b PPX_COMMA t PPX_COMMA c PPX_COMMA l PPX_COMMA f>)
PPX_STD_ENGINE(class E PPX_COMMA size_t p PPX_COMMA size_t q, discard_block_engine<E PPX_COMMA p PPX_COMMA q>)
PPX_STD_ENGINE(class E PPX_COMMA size_t w PPX_COMMA class U, independent_bits_engine<E PPX_COMMA w PPX_COMMA U>)
PPX_STD_ENGINE(class E PPX_COMMA size_t k, shuffle_order_engine<E PPX_COMMA k>)
PPX_STD_ENGINE(class U PPX_COMMA size_t w PPX_COMMA size_t s PPX_COMMA size_t q, subtract_with_carry_engine<U PPX_COMMA w PPX_COMMA s PPX_COMMA q>)
#undef PPX_COMMA

#undef PPX_STD_CLASS
#undef PPX_STD_FAMILY
#undef PPX_STD_GUIDES
#undef PPX_STD_BITS
#undef PPX_STD_ENGINE

}  // namespace std

#define normal_distribution ppx_normal_distribution
#define uniform_real_distribution ppx_uniform_real_distribution
#define poisson_distribution ppx_poisson_distribution
#define exponential_distribution ppx_exponential_distribution
#define gamma_distribution ppx_gamma_distribution
#define chi_squared_distribution ppx_chi_squared_distribution
#define lognormal_distribution ppx_lognormal_distribution
#define binomial_distribution ppx_binomial_distribution
#define weibull_distribution ppx_weibull_distribution
#define student_t_distribution ppx_student_t_distribution
#define cauchy_distribution ppx_cauchy_distribution
#define negative_binomial_distribution ppx_negative_binomial_distribution
#define geometric_distribution ppx_geometric_distribution
#define uniform_int_distribution ppx_uniform_int_distribution
#define extreme_value_distribution ppx_extreme_value_distribution
#define fisher_f_distribution ppx_fisher_f_distribution
#define piecewise_constant_distribution ppx_piecewise_constant_distribution
#define piecewise_linear_distribution ppx_piecewise_linear_distribution
#define discrete_distribution ppx_discrete_distribution
#define bernoulli_distribution ppx_bernoulli_distribution

#endif
#endif  // PPX_STD_HPP
