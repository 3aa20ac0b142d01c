// Every distribution beyond the eleven of PPX 1.0, as a prior (MODEL=priors) and as a likelihood (MODEL=likelihoods);
// MODEL=unnamed draws what an engine that speaks plain PPX 1.0 can have too. With made- before it: those whose draws are vectors, of which
// the first number is observed, or that are made of others. MODEL=factor has a factor.
#include <ppx/ppx.hpp>

struct Case {
  std::string name;
  ppx::Distribution prior;
  double noise;
  ppx::Distribution (*given)(double u);
};

static const Case cases[] = {
    {"truncated_normal", ppx::TruncatedNormal(0, 1, -1, 2), 2, [](double u) { return ppx::TruncatedNormal(u, 1, -1, 2); }},
    {"half_normal", ppx::HalfNormal(2), 2, [](double u) { return ppx::HalfNormal(u); }},
    {"student_t", ppx::StudentT(4, 1, 2), 6, [](double u) { return ppx::StudentT(4, u, 1); }},
    {"cauchy", ppx::Cauchy(0, 0.2), 8, [](double u) { return ppx::Cauchy(u, 1); }},
    {"laplace", ppx::Laplace(0, 1), 3, [](double u) { return ppx::Laplace(u, 1); }},
    {"logistic", ppx::Logistic(1, 2), 7, [](double u) { return ppx::Logistic(u, 1); }},
    {"pareto", ppx::Pareto(1, 3), 2, [](double u) { return ppx::Pareto(0.4, u); }},
    {"inverse_gamma", ppx::InverseGamma(3, 2), 2, [](double u) { return ppx::InverseGamma(2, u); }},
    {"von_mises", ppx::VonMises(1, 2), 1.5, [](double u) { return ppx::VonMises(u, 1); }},
    {"log_uniform", ppx::LogUniform(1, 10), 5, [](double u) { return ppx::LogUniform(u / 10, 4); }},
    {"negative_binomial", ppx::NegativeBinomial2(4, 2), 7, [](double u) { return ppx::NegativeBinomial2(3 * u, 2); }},
    {"geometric", ppx::Geometric(0.3), 5, [](double u) { return ppx::Geometric(u / 4); }},
    {"discrete_uniform", ppx::DiscreteUniform(-5, 5), 6, [](double u) { return ppx::DiscreteUniform(-3, std::floor(3 * u) + 2); }},
    {"zero_inflated_poisson", ppx::ZeroInflatedPoisson(0.2, 4), 5, [](double u) { return ppx::ZeroInflatedPoisson(0.3, 2 * u); }},
    {"zero_inflated_negative_binomial", ppx::ZeroInflatedNegativeBinomial2(0.2, 4, 3), 6, [](double u) { return ppx::ZeroInflatedNegativeBinomial2(0.3, 3 * u, 2); }},
    {"beta_binomial", ppx::BetaBinomial(2, 3, 20), 8, [](double u) { return ppx::BetaBinomial(u, 1, 9); }},
};

using ppx::Tensor;

static const Case made[] = {
    {"mixture", ppx::Mixture({0.3, 0.7}, {ppx::Normal(-2, 1), ppx::Cauchy(2, 0.5)}), 2,
     [](double u) { return ppx::Mixture({1, 2}, {ppx::Normal(u, 1), ppx::Exponential(u)}); }},
    {"discrete_mixture", ppx::Mixture({2, 3}, {ppx::Poisson(2), ppx::NegativeBinomial2(8, 3)}), 4,
     [](double u) { return ppx::Mixture({1, 1}, {ppx::Poisson(u), ppx::DiscreteUniform(1, 6)}); }},
    {"empirical", ppx::Empirical({2.5, -1, 0, 7, 0}, {0.2, 0.5, 1, 0.3, 1}), 3, [](double u) { return ppx::Empirical({1, 2, 3}, {u * u, 1, 1}); }},
    {"histogram", ppx::Histogram({-1, 0, 2.5, 7}, {0.2, 1, 0.8}), 3, [](double u) { return ppx::Histogram({0, u, 3}, {1, 2}); }},
    {"dirichlet", ppx::Dirichlet({2, 3, 4}), 0.3, [](double u) { return ppx::Dirichlet({u, 1, 2 * u}); }},
    {"multivariate_normal", ppx::MultivariateNormal({1, -1}, Tensor({4, 3, 3, 2.5}, {2, 2})), 4,
     [](double u) { return ppx::MultivariateNormalPrecision({u, -u}, Tensor({4. / 3, -2. / 3, -2. / 3, 4. / 3}, {2, 2})); }},
    {"multivariate_student_t", ppx::MultivariateStudentT(5, {1, -1}, Tensor({2, 0, 1.5, 0.5}, {2, 2})), 5,
     [](double u) { return ppx::MultivariateStudentT(3, {u, -u}, Tensor({1, 0, 0.5, 1}, {2, 2})); }},
    {"multinomial", ppx::Multinomial(9, {0.2, 0.3, 0.5}), 3, [](double u) { return ppx::Multinomial(6, {u, 1, 2 * u}); }},
};

template <std::size_t N>
static double priors(const Case (&cases)[N]) {
  for (auto& c : cases) {
    double z = ppx::sample_tensor(c.prior, c.name)[0];
    ppx::observe(ppx::Normal(z, c.noise), "y_" + c.name);
  }
  return N;
}

template <std::size_t N>
static double likelihoods(const Case (&cases)[N]) {
  for (auto& c : cases) {
    double u = ppx::sample(ppx::Uniform(0.5, 2), c.name);
    ppx::observe(c.given(u), "x_" + c.name);
  }
  return N;
}

template <std::size_t N>
static double unnamed(const Case (&cases)[N]) {
  for (auto& c : cases) ppx::tag(ppx::sample_tensor(c.prior, {}, ppx::Site().address(c.name)), c.name);
  return N;
}

static double factored() {
  double u = ppx::sample(ppx::Normal(0, 1), "u");
  ppx::factor(-(u - 1) * (u - 1) / 2, "near 1");
  return u;
}

// Distributions of the simulator's own: z with the density 2z on (0, 1), k with the probabilities (1 + k)/6 on 0, 1, 2.
static ppx::Tensor customs() {
  ppx::sample(ppx::Normal(0, 1), "before");
  double z = ppx::custom([](ppx::Uniforms& u) { return std::sqrt(u.uniform()); },
                         [](double x) { return x <= 0 || x >= 1 ? -INFINITY : std::log(2 * x); }, {2}, "z");
  double k = ppx::discrete_custom(
      [](ppx::Uniforms& u) {
        double x = u.uniform() * 6;
        return x < 1 ? 0 : x < 3 ? 1 : 2;
      },
      [](double x) { return std::log((1 + x) / 6); }, {}, "k");
  ppx::observe(ppx::Normal(z + k, 0.5), "y");
  return {z, k};
}

static ppx::Tensor model() {
  const char* env = std::getenv("MODEL");
  std::string name = env == nullptr ? "priors" : env;
  if (name == "likelihoods") return likelihoods(cases);
  if (name == "unnamed") return unnamed(cases);
  if (name == "made-priors") return priors(made);
  if (name == "made-likelihoods") return likelihoods(made);
  if (name == "made-unnamed") return unnamed(made);
  if (name == "factor") return factored();
  if (name == "custom") return customs();
  return priors(cases);
}

int main(int argc, char** argv) { return ppx::main("families", model, argc, argv); }
