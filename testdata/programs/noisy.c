// noisy.c: a number, and noise on it. Prints "x NUMBER" and "y NUMBER": x is Normal(0, 1), y is Normal(x, 1).
#include <gsl/gsl_randist.h>
#include <stdio.h>

int main(void) {
  gsl_rng* r = gsl_rng_alloc(gsl_rng_taus2);
  double x = gsl_ran_gaussian(r, 1);
  double y = x +
             gsl_ran_gaussian(r, 1);
  printf("x %.17g\ny %.17g\n", x, y);
  return 0;
}
