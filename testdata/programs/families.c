// families.c: GSL's variates, one of each, with mean and standard deviation: lines "NAME VALUE MEAN SD".
#include <gsl/gsl_linalg.h>
#include <gsl/gsl_randist.h>
#include <math.h>
#include <stdio.h>

#define SHOW(name, value, mean, sd) printf("%s %.17g %.17g %.17g\n", name, (double)(value), (double)(mean), (double)(sd))

int main(void) {
  gsl_rng* r = gsl_rng_alloc(gsl_rng_ranlxd1);
  SHOW("gaussian", gsl_ran_gaussian(r, 2), 0, 2);
  SHOW("ziggurat", gsl_ran_gaussian_ziggurat(r, 2), 0, 2);
  SHOW("ugaussian", gsl_ran_ugaussian(r), 0, 1);
  SHOW("gaussian_tail", gsl_ran_gaussian_tail(r, 1, 2), 2 * 1.141078, 2 * 0.518151);
  SHOW("exponential", gsl_ran_exponential(r, 3), 3, 3);
  SHOW("laplace", gsl_ran_laplace(r, 2), 0, 2 * sqrt(2));
  SHOW("exppow", gsl_ran_exppow(r, 1, 2.5), 0, sqrt(tgamma(3 / 2.5) / tgamma(1 / 2.5)));
  SHOW("rayleigh", gsl_ran_rayleigh(r, 2), 2 * sqrt(M_PI / 2), 2 * sqrt(2 - M_PI / 2));
  SHOW("rayleigh_tail", pow(gsl_ran_rayleigh_tail(r, 1, 2), 2), 1 + 8, 8);
  SHOW("gamma", gsl_ran_gamma(r, 2.5, 3), 7.5, 3 * sqrt(2.5));
  SHOW("erlang", gsl_ran_erlang(r, 3, 2), 6, 3 * sqrt(2));
  SHOW("flat", gsl_ran_flat(r, -1, 3), 1, 4 / sqrt(12));
  SHOW("lognormal", gsl_ran_lognormal(r, 1, 0.5), exp(1.125), exp(1.125) * sqrt(exp(0.25) - 1));
  SHOW("chisq", gsl_ran_chisq(r, 5), 5, sqrt(10));
  SHOW("fdist", log(gsl_ran_fdist(r, 6, 6)), 0, sqrt(2 * 0.394934066848226));
  SHOW("tdist", gsl_ran_tdist(r, 7), 0, sqrt(7 / 5.0));
  SHOW("beta", gsl_ran_beta(r, 2, 3), 0.4, 0.2);
  SHOW("logistic", gsl_ran_logistic(r, 2), 0, 2 * M_PI / sqrt(3));
  SHOW("pareto", gsl_ran_pareto(r, 9, 2), 2.25, 2 * sqrt(9 / 448.0));
  SHOW("weibull", gsl_ran_weibull(r, 2, 3), 2 * tgamma(4 / 3.0), 2 * sqrt(tgamma(5 / 3.0) - pow(tgamma(4 / 3.0), 2)));
  SHOW("gumbel1", gsl_ran_gumbel1(r, 2, 3), (0.57721566490153286 + log(3)) / 2, M_PI / sqrt(6) / 2);
  SHOW("gumbel2", gsl_ran_gumbel2(r, 5, 2), pow(2, 0.2) * tgamma(0.8), pow(2, 0.2) * sqrt(tgamma(0.6) - pow(tgamma(0.8), 2)));
  SHOW("poisson", gsl_ran_poisson(r, 4.5), 4.5, sqrt(4.5));
  SHOW("bernoulli", gsl_ran_bernoulli(r, 0.3), 0.3, sqrt(0.21));
  SHOW("binomial", gsl_ran_binomial(r, 0.3, 12), 3.6, sqrt(2.52));
  SHOW("negative_binomial", gsl_ran_negative_binomial(r, 0.4, 3.5), 5.25, sqrt(3.5 * 0.6) / 0.4);
  SHOW("pascal", gsl_ran_pascal(r, 0.4, 3), 4.5, sqrt(1.8) / 0.4);
  SHOW("geometric", gsl_ran_geometric(r, 0.4), 2.5, sqrt(0.6) / 0.4);
  SHOW("hypergeometric", gsl_ran_hypergeometric(r, 5, 8, 6), 30 / 13.0, sqrt(6 * 5 * 8 * 7 / (13.0 * 13 * 12)));
  SHOW("logarithmic", gsl_ran_logarithmic(r, 0.5), 1 / log(2), sqrt(0.5 * (log(2) - 0.5)) / (0.5 * log(2)));
  SHOW("uniform", gsl_rng_uniform(r), 0.5, 1 / sqrt(12));
  SHOW("uniform_int", gsl_rng_uniform_int(r, 7), 3, 2);
  SHOW("get", gsl_rng_get(r) / (gsl_rng_max(r) + 1.0), 0.5, 1 / sqrt(12));
  double p[] = {1, 0, 3, 6}, alpha[] = {1, 2, 5}, theta[3], x, y;
  gsl_ran_discrete_t* g = gsl_ran_discrete_preproc(4, p);
  SHOW("discrete", gsl_ran_discrete(r, g), 2.4, sqrt(0.84));
  gsl_ran_dirichlet(r, 3, alpha, theta);
  SHOW("dirichlet", theta[1], 0.25, sqrt(0.25 * 0.75 / 9));
  unsigned counts[4];
  gsl_ran_multinomial(r, 4, 20, p, counts);
  SHOW("multinomial", counts[2], 6, sqrt(4.2));
  gsl_ran_bivariate_gaussian(r, 2, 3, 0.6, &x, &y);
  SHOW("bivariate", x - y, 0, sqrt(4 + 9 - 2 * 0.6 * 6));
  double matrix[] = {2, 0, 0.5, 1};
  gsl_matrix_view L = gsl_matrix_view_array(matrix, 2, 2);
  gsl_vector *mu = gsl_vector_alloc(2), *v = gsl_vector_alloc(2);
  gsl_vector_set(mu, 0, 1);
  gsl_vector_set(mu, 1, -1);
  gsl_ran_multivariate_gaussian(r, mu, &L.matrix, v);
  SHOW("multivariate", gsl_vector_get(v, 0) + gsl_vector_get(v, 1), 0, sqrt(2.5 * 2.5 + 1));
  int things[] = {1, 2, 3, 4, 5}, chosen[2];
  gsl_ran_shuffle(r, things, 5, sizeof(int));
  SHOW("shuffle", things[0], 3, sqrt(2));
  gsl_ran_choose(r, chosen, 2, (int[]){1, 2, 3, 4, 5}, 5, sizeof(int));
  SHOW("choose", chosen[1] - chosen[0], 2, 1);
  gsl_ran_sample(r, chosen, 2, (int[]){1, 2, 3, 4, 5}, 5, sizeof(int));
  SHOW("sample", chosen[0] + chosen[1], 6, 2);
  gsl_ran_dir_2d(r, &x, &y);
  SHOW("dir_2d", x, 0, sqrt(0.5));
  gsl_rng* twin = gsl_rng_clone(r);
  SHOW("clone", gsl_ran_gaussian(twin, 1), 0, 1);
  gsl_rng_memcpy(r, twin);
  SHOW("name", gsl_rng_name(r)[0] == 'r' ? gsl_rng_uniform_pos(r) : 9, 0.5, 1 / sqrt(12));
  gsl_rng_free(twin);
  gsl_rng_free(r);
  return 0;
}
