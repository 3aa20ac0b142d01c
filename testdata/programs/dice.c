// dice.c: three uniform numbers of the C library's, and a die. Prints "sum NUMBER" and "die NUMBER".
#include <stdio.h>
#include <stdlib.h>

int main(void) {
  srand(3);
  srand48(3);
  double u = rand() / (RAND_MAX + 1.0);
  u += drand48();
  u += random() / 2147483648.0;
  printf("sum %.17g\ndie %d\n", u, rand() % 6 + 1);
  return 0;
}
