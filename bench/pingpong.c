/* The floor under every engine: ZeroMQ REQ/REP with messages as large as PPX's, and nothing else.
 *
 *   pingpong serve ENDPOINT          answer every request with 200 bytes
 *   pingpong drive SECONDS ENDPOINT… send 80 bytes to each and again when the answer comes, on one thread;
 *                                    prints round trips per second and the 99th percentile in milliseconds
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zmq.h>

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int compare(const void *a, const void *b) {
  float x = *(const float *)a, y = *(const float *)b;
  return (x > y) - (x < y);
}

static int serve(const char *endpoint) {
  void *ctx = zmq_ctx_new(), *s = zmq_socket(ctx, ZMQ_REP);
  char in[4096], out[200] = {0};
  if (zmq_bind(s, endpoint) != 0) return 1;
  for (;;) {
    if (zmq_recv(s, in, sizeof in, 0) < 0 || zmq_send(s, out, sizeof out, 0) < 0) {
      if (errno != EINTR) return 1;
    }
  }
}

static int drive(double seconds, int n, char **endpoints) {
  void *ctx = zmq_ctx_new();
  zmq_pollitem_t *items = calloc((size_t)n, sizeof *items);
  double *sent = calloc((size_t)n, sizeof *sent);
  size_t capacity = 4u << 20, count = 0;
  float *latency = malloc(capacity * sizeof *latency);
  char out[80] = {0}, in[4096];
  for (int i = 0; i < n; i++) {
    items[i].socket = zmq_socket(ctx, ZMQ_REQ);
    items[i].events = ZMQ_POLLIN;
    if (zmq_connect(items[i].socket, endpoints[i]) != 0) return 1;
    zmq_send(items[i].socket, out, sizeof out, 0); /* the first one only warms up */
    zmq_recv(items[i].socket, in, sizeof in, 0);
  }
  double start = now();
  for (int i = 0; i < n; i++) {
    sent[i] = now();
    zmq_send(items[i].socket, out, sizeof out, 0);
  }
  while (now() - start < seconds) {
    if (zmq_poll(items, n, 1000) < 0) continue;
    for (int i = 0; i < n; i++) {
      if (!(items[i].revents & ZMQ_POLLIN)) continue;
      zmq_recv(items[i].socket, in, sizeof in, 0);
      double t = now();
      if (count < capacity) latency[count++] = (float)(t - sent[i]);
      sent[i] = t;
      zmq_send(items[i].socket, out, sizeof out, 0);
    }
  }
  double elapsed = now() - start;
  qsort(latency, count, sizeof *latency, compare);
  printf("%.0f %.3f\n", (double)count / elapsed, 1e3 * (double)latency[count * 99 / 100]);
  return 0;
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "serve") == 0) return serve(argv[2]);
  if (argc >= 4 && strcmp(argv[1], "drive") == 0) return drive(atof(argv[2]), argc - 3, argv + 3);
  fprintf(stderr, "usage: pingpong serve ENDPOINT | drive SECONDS ENDPOINT...\n");
  return 2;
}
