// gsl.cpp: the GNU Scientific Library's random variates, by families of PPX with GSL's parameters translated; what is not among these families is drawn by the library's own
// code from a generator whose numbers are answered.

#include <stdlib.h>

#include "hijack.hpp"

using namespace ppx::hijack;
using ppx::Kind;

extern "C" {

struct gsl_rng_type {
  const char* name;
  unsigned long max, min;
  std::size_t size;
  void (*set)(void* state, unsigned long seed);
  unsigned long (*get)(void* state);
  double (*get_double)(void* state);
};
struct gsl_rng {
  const gsl_rng_type* type;
  void* state;
};
struct gsl_vector {
  std::size_t size, stride;
  double* data;
  void* block;
  int owner;
};
struct gsl_matrix {
  std::size_t size1, size2, tda;
  double* data;
  void* block;
  int owner;
};
struct gsl_ran_discrete_t {
  std::size_t K;
  std::size_t* A;
  double* F;
};
}

// A variate of one number by a scalar family.
#define SCALAR(ret, name, declared, passed, value, kind, ...)                             \
  PPX_EXPORT ret name declared {                                                          \
    double x;                                                                             \
    if (scalar(#name, Kind::kind, PPX_CALLER, &x, __VA_ARGS__)) return static_cast<ret>(value); \
    return PPX_REAL(name) passed;                                                         \
  }

SCALAR(double, gsl_ran_gaussian, (const gsl_rng* r, double sigma), (r, sigma), x, normal, 0, sigma)
SCALAR(double, gsl_ran_gaussian_ziggurat, (const gsl_rng* r, double sigma), (r, sigma), x, normal, 0, sigma)
SCALAR(double, gsl_ran_gaussian_ratio_method, (const gsl_rng* r, double sigma), (r, sigma), x, normal, 0, sigma)
SCALAR(double, gsl_ran_ugaussian, (const gsl_rng* r), (r), x, normal, 0, 1)
SCALAR(double, gsl_ran_ugaussian_ratio_method, (const gsl_rng* r), (r), x, normal, 0, 1)
SCALAR(double, gsl_ran_gaussian_tail, (const gsl_rng* r, double a, double sigma), (r, a, sigma), x, truncated_normal, 0, sigma, a, __builtin_inf())
SCALAR(double, gsl_ran_ugaussian_tail, (const gsl_rng* r, double a), (r, a), x, truncated_normal, 0, 1, a, __builtin_inf())
SCALAR(double, gsl_ran_flat, (const gsl_rng* r, double a, double b), (r, a, b), x, uniform, a, b)
SCALAR(double, gsl_ran_exponential, (const gsl_rng* r, double mu), (r, mu), x, exponential, 1 / mu)
SCALAR(double, gsl_ran_laplace, (const gsl_rng* r, double a), (r, a), x, laplace, 0, a)
SCALAR(double, gsl_ran_cauchy, (const gsl_rng* r, double a), (r, a), x, cauchy, 0, a)
SCALAR(double, gsl_ran_rayleigh, (const gsl_rng* r, double sigma), (r, sigma), x, weibull, sigma * 1.41421356237309504880, 2)
SCALAR(double, gsl_ran_gamma, (const gsl_rng* r, double a, double b), (r, a, b), x, gamma, a, 1 / b)
SCALAR(double, gsl_ran_gamma_knuth, (const gsl_rng* r, double a, double b), (r, a, b), x, gamma, a, 1 / b)
SCALAR(double, gsl_ran_gamma_mt, (const gsl_rng* r, double a, double b), (r, a, b), x, gamma, a, 1 / b)
SCALAR(double, gsl_ran_gamma_int, (const gsl_rng* r, unsigned a), (r, a), x, gamma, a, 1)
SCALAR(double, gsl_ran_erlang, (const gsl_rng* r, double a, double n), (r, a, n), x, gamma, n, 1 / a)
SCALAR(double, gsl_ran_lognormal, (const gsl_rng* r, double zeta, double sigma), (r, zeta, sigma), x, log_normal, zeta, sigma)
SCALAR(double, gsl_ran_chisq, (const gsl_rng* r, double nu), (r, nu), x, gamma, nu / 2, 0.5)
SCALAR(double, gsl_ran_tdist, (const gsl_rng* r, double nu), (r, nu), x, student_t, nu, 0, 1)
SCALAR(double, gsl_ran_beta, (const gsl_rng* r, double a, double b), (r, a, b), x, beta, a, b)
SCALAR(double, gsl_ran_logistic, (const gsl_rng* r, double a), (r, a), x, logistic, 0, a)
SCALAR(double, gsl_ran_pareto, (const gsl_rng* r, double a, double b), (r, a, b), x, pareto, b, a)
SCALAR(double, gsl_ran_weibull, (const gsl_rng* r, double a, double b), (r, a, b), x, weibull, a, b)
SCALAR(unsigned, gsl_ran_poisson, (const gsl_rng* r, double mu), (r, mu), x, poisson, mu)
SCALAR(unsigned, gsl_ran_bernoulli, (const gsl_rng* r, double p), (r, p), x, bernoulli, p)
SCALAR(unsigned, gsl_ran_binomial, (const gsl_rng* r, double p, unsigned n), (r, p, n), x, binomial, n, p)
SCALAR(unsigned, gsl_ran_binomial_tpe, (const gsl_rng* r, double p, unsigned n), (r, p, n), x, binomial, n, p)
SCALAR(unsigned, gsl_ran_binomial_knuth, (const gsl_rng* r, double p, unsigned n), (r, p, n), x, binomial, n, p)
SCALAR(unsigned, gsl_ran_negative_binomial, (const gsl_rng* r, double p, double n), (r, p, n), x, negative_binomial, n*(1 - p) / p, n)
SCALAR(unsigned, gsl_ran_pascal, (const gsl_rng* r, double p, unsigned n), (r, p, n), x, negative_binomial, n*(1 - p) / p, n)
// GSL counts the successful trial too. ppx wrap knows these for stand-ins: their recorded values are not the program's.
SCALAR(unsigned, gsl_ran_geometric, (const gsl_rng* r, double p), (r, p), x + 1, geometric, p)
SCALAR(double, gsl_ran_rayleigh_tail, (const gsl_rng* r, double a, double sigma), (r, a, sigma), __builtin_sqrt(a * a + 2 * sigma * sigma * x), exponential, 1)
SCALAR(double, gsl_ran_gumbel1, (const gsl_rng* r, double a, double b), (r, a, b), (__builtin_log(b) - __builtin_log(x)) / a, exponential, 1)
SCALAR(double, gsl_ran_gumbel2, (const gsl_rng* r, double a, double b), (r, a, b), __builtin_pow(b / x, 1 / a), exponential, 1)

PPX_EXPORT void gsl_ran_bivariate_gaussian(const gsl_rng* r, double sigma_x, double sigma_y, double rho, double* x, double* y) {
  double a, b;
  Caller c = PPX_CALLER;
  if (!scalar("gsl_ran_bivariate_gaussian", Kind::normal, c, &a, 0, 1)) {
    PPX_REAL(gsl_ran_bivariate_gaussian)(r, sigma_x, sigma_y, rho, x, y);
    return;
  }
  scalar("gsl_ran_bivariate_gaussian", Kind::normal, c, &b, 0, 1);
  *x = sigma_x * a;
  *y = sigma_y * (rho * a + __builtin_sqrt(1 - rho * rho) * b);
}

// A draw of n numbers, or of one where n is 0.
static bool rows(const char* what, const Caller& at, Kind kind, int parameters, const Array* p, std::uint64_t n, double* value) {
  return drawn(what, at, kind, parameters, p, {nullptr, n > 0 ? 1u : 0u, &n}, value);
}

PPX_EXPORT void gsl_ran_dirichlet(const gsl_rng* r, std::size_t K, const double alpha[], double theta[]) {
  std::uint64_t n = K;
  Array p{alpha, 1, &n};
  if (!rows("gsl_ran_dirichlet", PPX_CALLER, Kind::dirichlet, 1, &p, n, theta)) PPX_REAL(gsl_ran_dirichlet)(r, K, alpha, theta);
}

PPX_EXPORT void gsl_ran_multinomial(const gsl_rng* r, std::size_t K, unsigned N, const double weights[], unsigned counts[]) {
  std::uint64_t k = K;
  double total = N;
  auto* x = static_cast<double*>(malloc(sizeof(double) * (K + 1)));
  Array p[2] = {{&total, 0, nullptr}, {weights, 1, &k}};
  if (x != nullptr && rows("gsl_ran_multinomial", PPX_CALLER, Kind::multinomial, 2, p, k, x)) {
    for (std::size_t i = 0; i < K; i++) counts[i] = static_cast<unsigned>(x[i]);
  } else {
    PPX_REAL(gsl_ran_multinomial)(r, K, N, weights, counts);
  }
  free(x);
}

PPX_EXPORT int gsl_ran_multivariate_gaussian(const gsl_rng* r, const gsl_vector* mu, const gsl_matrix* L, gsl_vector* result) {
  std::size_t n = mu->size;
  auto* room = static_cast<double*>(calloc(n * n + 2 * n + 1, sizeof(double)));
  bool ours = room != nullptr && L->size1 == n && L->size2 == n && result->size == n;
  if (ours) {
    double *loc = room, *tril = room + n, *x = tril + n * n;
    for (std::size_t i = 0; i < n; i++) {
      loc[i] = mu->data[i * mu->stride];
      for (std::size_t j = 0; j <= i; j++) tril[i * n + j] = L->data[i * L->tda + j];
    }
    std::uint64_t shape[2] = {n, n};
    Array p[2] = {{loc, 1, shape}, {tril, 2, shape}};
    ours = rows("gsl_ran_multivariate_gaussian", PPX_CALLER, Kind::multivariate_normal, 2, p, n, x);
    if (ours) {
      for (std::size_t i = 0; i < n; i++) result->data[i * result->stride] = x[i];
    }
  }
  free(room);
  return ours ? 0 : PPX_REAL(gsl_ran_multivariate_gaussian)(r, mu, L, result);
}

PPX_EXPORT std::size_t gsl_ran_discrete(const gsl_rng* r, const gsl_ran_discrete_t* g) {
  // The probabilities from Walker's tables: in column c it is c below F[c], else A[c].
  std::size_t K = g->K;
  auto* p = static_cast<double*>(calloc(K + 1, sizeof(double)));
  double x = 0;
  bool ours = p != nullptr && live();
  if (ours) {
    double width = 1 / static_cast<double>(K);
    for (std::size_t c = 0; c < K; c++) {
      double own = g->F[c] - static_cast<double>(c) * width;  // by Knuth's convention, which the library is built with
      if (own < 0 || g->F[c] == 1) own = width;
      if (own > width) own = width;
      p[c] += own;
      p[g->A[c]] += width - own;
    }
    std::uint64_t k = K;
    Array a{p, 1, &k};
    ours = rows("gsl_ran_discrete", PPX_CALLER, Kind::categorical, 1, &a, 0, &x);
  }
  free(p);
  return ours ? static_cast<std::size_t>(x) : PPX_REAL(gsl_ran_discrete)(r, g);
}

// ---- The generator

// Behind each generator stands its original, with its state behind ours: where nobody is asked it is what it was, and copies of states are what they were.
struct State {
  const gsl_rng_type* original;
  std::uint64_t pad;
};

static State* state_of(void* s) { return static_cast<State*>(s); }
static void* original_of(void* s) { return static_cast<char*>(s) + sizeof(State); }

static void set_state(void* s, unsigned long seed) {
  seeded(10, seed);
  state_of(s)->original->set(original_of(s), seed);
}

static unsigned long get_state(void* s) {
  const gsl_rng_type* t = state_of(s)->original;
  double u;
  if (unit("gsl_rng_get", PPX_CALLER, &u)) return t->min + static_cast<unsigned long>(below(u, static_cast<double>(t->max - t->min) + 1));
  return t->get(original_of(s));
}

static double get_double_state(void* s) {
  double u;
  if (unit("gsl_rng_uniform", PPX_CALLER, &u)) return u < 1 ? u : 1 - 0x1p-53;
  return state_of(s)->original->get_double(original_of(s));
}

// Our type for each of GSL's: generators are copied within a type only.
static const gsl_rng_type* type_of(const gsl_rng_type* t) {
  static struct {
    const gsl_rng_type* original;
    gsl_rng_type ours;
  } known[256];  // GSL has some 60
  for (auto& k : known) {
    if (k.original == t) return &k.ours;
    if (k.original == nullptr) {
      k.original = t;
      k.ours = {t->name, t->max, t->min, sizeof(State) + t->size, set_state, get_state, get_double_state};
      return &k.ours;
    }
  }
  return nullptr;
}

PPX_EXPORT gsl_rng* gsl_rng_alloc(const gsl_rng_type* t) {
  const gsl_rng_type* ours = hijacked() && t->get != get_state ? type_of(t) : nullptr;
  if (ours == nullptr) return PPX_REAL(gsl_rng_alloc)(t);
  auto* r = static_cast<gsl_rng*>(malloc(sizeof(gsl_rng)));
  auto* s = static_cast<State*>(calloc(1, sizeof(State) + t->size));
  if (r == nullptr || s == nullptr) return nullptr;
  s->original = t;
  r->type = ours;
  r->state = s;
  unsigned long seed = 0;
  if (void* p = real_or_null("gsl_rng_default_seed")) seed = *static_cast<unsigned long*>(p);
  t->set(original_of(s), seed);
  return r;
}

// A copy of a generator is to give the same numbers again. It does not: each draw is one of its own.
PPX_EXPORT gsl_rng* gsl_rng_clone(const gsl_rng* r) {
  notice(repeats);
  return PPX_REAL(gsl_rng_clone)(r);
}
PPX_EXPORT int gsl_rng_memcpy(gsl_rng* to, const gsl_rng* from) {
  notice(repeats);
  return PPX_REAL(gsl_rng_memcpy)(to, from);
}

SCALAR(double, gsl_rng_uniform, (const gsl_rng* r), (r), (x < 1 ? x : 1 - 0x1p-53), uniform, 0, 1)
SCALAR(double, gsl_rng_uniform_pos, (const gsl_rng* r), (r), (x < 1 ? x : 1 - 0x1p-53), uniform, 0, 1)
PPX_EXPORT unsigned long gsl_rng_uniform_int(const gsl_rng* r, unsigned long n) {
  double x;
  if (n > 0 && n <= 0x1p53 && scalar("gsl_rng_uniform_int", Kind::discrete_uniform, PPX_CALLER, &x, 0, static_cast<double>(n - 1))) return static_cast<unsigned long>(x);
  return PPX_REAL(gsl_rng_uniform_int)(r, n);
}
PPX_EXPORT unsigned long gsl_rng_get(const gsl_rng* r) {
  double u;
  if (unit("gsl_rng_get", PPX_CALLER, &u)) return r->type->min + static_cast<unsigned long>(below(u, static_cast<double>(r->type->max - r->type->min) + 1));
  return PPX_REAL(gsl_rng_get)(r);
}

// A permutation is the order of uniform numbers: one statement.
static bool order(const char* what, const Caller& at, std::size_t n, std::size_t* out) {
  if (n < 2 || !live()) return false;
  auto* u = static_cast<double*>(malloc(n * sizeof(double)));
  double ends[2] = {0, 1};
  Array p[2] = {{ends, 0, nullptr}, {ends + 1, 0, nullptr}};
  bool ok = u != nullptr && rows(what, at, Kind::uniform, 2, p, n, u);
  if (ok) {
    for (std::size_t i = 0; i < n; i++) out[i] = i;
    struct By {
      const double* u;
    } by{u};
    qsort_r(
        out, n, sizeof(std::size_t),
        [](const void* a, const void* b, void* x) {
          const double* u = static_cast<By*>(x)->u;
          std::size_t i = *static_cast<const std::size_t*>(a), j = *static_cast<const std::size_t*>(b);
          return u[i] < u[j] ? -1 : u[i] > u[j] ? 1 : i < j ? -1 : i > j;
        },
        &by);
  }
  free(u);
  return ok;
}

// The chosen of n things, in the order of their numbers where sorted.
static bool take(const char* what, const Caller& at, void* to, std::size_t k, const void* from, std::size_t n, std::size_t size, bool sorted) {
  auto* i = static_cast<std::size_t*>(malloc((n + 1) * sizeof(std::size_t)));
  auto* copy = static_cast<char*>(malloc(n * size + 1));
  bool ok = i != nullptr && copy != nullptr && order(what, at, n, i);
  if (ok) {
    if (sorted) {
      qsort(i, k, sizeof(std::size_t), [](const void* a, const void* b) {
        std::size_t x = *static_cast<const std::size_t*>(a), y = *static_cast<const std::size_t*>(b);
        return x < y ? -1 : x > y;
      });
    }
    memcpy(copy, from, n * size);
    for (std::size_t j = 0; j < k; j++) memcpy(static_cast<char*>(to) + j * size, copy + i[j] * size, size);
  }
  free(copy);
  free(i);
  return ok;
}

PPX_EXPORT void gsl_ran_shuffle(const gsl_rng* r, void* base, std::size_t n, std::size_t size) {
  if (!take("gsl_ran_shuffle", PPX_CALLER, base, n, base, n, size, false)) PPX_REAL(gsl_ran_shuffle)(r, base, n, size);
}

PPX_EXPORT int gsl_ran_choose(const gsl_rng* r, void* dest, std::size_t k, void* src, std::size_t n, std::size_t size) {
  if (k <= n && take("gsl_ran_choose", PPX_CALLER, dest, k, src, n, size, true)) return 0;
  return PPX_REAL(gsl_ran_choose)(r, dest, k, src, n, size);
}
