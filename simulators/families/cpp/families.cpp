// Every distribution beyond the eleven of PPX 1.0, as a prior (MODEL=priors) and as a likelihood (MODEL=likelihoods);
// MODEL=unnamed draws what an engine that speaks plain PPX 1.0 can have too.
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

static double priors() {
  for (auto& c : cases) {
    double z = ppx::sample(c.prior, c.name);
    ppx::observe(ppx::Normal(z, c.noise), "y_" + c.name);
  }
  return std::size(cases);
}

static double likelihoods() {
  for (auto& c : cases) {
    double u = ppx::sample(ppx::Uniform(0.5, 2), c.name);
    ppx::observe(c.given(u), "x_" + c.name);
  }
  return std::size(cases);
}

static double unnamed() {
  for (auto& c : cases) ppx::tag(ppx::sample(c.prior, {}, ppx::Site().address(c.name)), c.name);
  return std::size(cases);
}

int main(int argc, char** argv) {
  const char* env = std::getenv("MODEL");
  std::string model = env == nullptr ? "priors" : env;
  return ppx::main("families", model == "likelihoods" ? likelihoods : model == "unnamed" ? unnamed : priors, argc, argv);
}
