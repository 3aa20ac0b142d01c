// odd.c: a program with habits. odd HABIT: prints "x NUMBER", a Normal of mean 0 and standard deviation 1 from GSL.
#include <gsl/gsl_randist.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static gsl_rng* r;
static volatile sig_atomic_t reaped;

static void child(int s) {
  (void)s;
  reaped = 1;
}

static void* idle(void* x) {
  (void)x;
  sleep(30);
  return NULL;
}

static void* draws(void* x) {
  *(double*)x = gsl_ran_gaussian(r, 1);
  return NULL;
}

int main(int argc, char** argv) {
  const char* habit = argc > 1 ? argv[1] : "";
  r = gsl_rng_alloc(gsl_rng_mt19937);
  double extra = 0;
  pthread_t t;
  if (!strcmp(habit, "stdin")) {
    if (scanf("%lf", &extra) != 1) return 4;
  } else if (!strcmp(habit, "reads-on")) {
    double more;
    if (scanf("%lf", &extra) != 1) return 4;
    double x = gsl_ran_gaussian(r, 1);
    if (scanf("%lf", &more) != 1) return 4;
    printf("x %.17g\n", x + extra + more);
    return 0;
  } else if (!strcmp(habit, "keeps-open")) {
    if (fopen("kept", "w") == NULL) return 4;
  } else if (!strcmp(habit, "below")) {
    FILE* f = fopen("below/out.csv", "w");
    if (f == NULL) return 4;
    fprintf(f, "%.17g,7\n8,9\n", gsl_ran_gaussian(r, 1));
    fclose(f);
    return 0;
  } else if (!strcmp(habit, "many")) {
    double sum = 0;
    for (long n = atol(argv[2]); n > 0; n--) sum += gsl_rng_uniform(r);
    printf("x %.17g\n", sum);
    return 0;
  } else if (!strcmp(habit, "folder")) {
    FILE* f = fopen("out.csv", "w");
    fprintf(f, "time,x\n0,%.17g\n1,%.17g\n", gsl_ran_gaussian(r, 1), gsl_ran_gaussian(r, 1));
    fclose(f);
    return 0;
  } else if (!strcmp(habit, "forks")) {
    fflush(stdout);
    if (fork() == 0) {
      gsl_ran_gaussian(r, 1);
      _exit(0);
    }
    wait(NULL);
  } else if (!strcmp(habit, "leaves")) {
    if (fork() == 0) {
      sleep(300);
      _exit(0);
    }
  } else if (!strcmp(habit, "execs")) {
    if (system("gsl-randist 1 1 gaussian 1 >/dev/null") != 0) return 5;
  } else if (!strcmp(habit, "threads")) {
    pthread_create(&t, NULL, idle, NULL);
  } else if (!strcmp(habit, "draws-in-thread")) {
    pthread_create(&t, NULL, draws, &extra);
    pthread_join(t, NULL);
    extra = 0;
  } else if (!strcmp(habit, "sigchld")) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = child;
    sigaction(SIGCHLD, &a, NULL);
    if (fork() == 0) _exit(0);
    wait(NULL);
    if (!reaped) return 6;
  } else if (!strcmp(habit, "ignores-sigchld")) {
    signal(SIGCHLD, SIG_IGN);
  } else if (!strcmp(habit, "closes")) {
    for (int i = 3; i < 1024; i++) close(i);
  } else if (!strcmp(habit, "_exit")) {
    printf("x %.17g\n", gsl_ran_gaussian(r, 1));
    fflush(stdout);
    _exit(0);
  } else if (!strcmp(habit, "aborts")) {
    double x = gsl_ran_gaussian(r, 1);
    fprintf(stderr, "x is %g: that cannot be\n", x);
    if (x > 1.5) abort();
    if (x < -1.5) return 3;
    printf("x %.17g\n", x);
    return 0;
  } else if (!strcmp(habit, "megabytes")) {
    for (int i = 0; i < 100000; i++) printf("line %d of a program that likes to talk\n", i);
  } else if (!strcmp(habit, "seeds-again")) {
    gsl_rng_set(r, 7);
    extra = gsl_ran_gaussian(r, 1);
    gsl_rng_set(r, 7);
    extra -= gsl_ran_gaussian(r, 1);
  } else if (!strcmp(habit, "clock")) {
    extra = time(NULL) > 0 ? 0 : 1;
  } else if (!strcmp(habit, "outside")) {
    char c;
    if (getrandom(&c, 1, 0) != 1) return 7;
  } else if (!strcmp(habit, "hangs")) {
    gsl_ran_gaussian(r, 1);
    sleep(300);
  } else if (!strcmp(habit, "words")) {
    printf("x nothing\n");
    return 0;
  } else if (!strcmp(habit, "twice")) {
    printf("x 1\n");
  } else if (!strcmp(habit, "nothing")) {
    return 0;
  }
  printf("x %.17g\n", gsl_ran_gaussian(r, 1) + extra);
  return 0;
}
