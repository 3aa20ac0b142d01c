// draws.c: as many Normals of GSL's as it is told.
#include <gsl/gsl_randist.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char** argv) {
  long n = argc > 1 ? atol(argv[1]) : 1;
  gsl_rng* r = gsl_rng_alloc(gsl_rng_mt19937);
  double sum = 0;
  for (long i = 0; i < n; i++) sum += gsl_ran_gaussian(r, 1);
  printf("sum %g\n", sum);
  return 0;
}
