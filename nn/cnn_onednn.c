//go:build !gonumblas

#include "cnn_onednn.h"

#include <oneapi/dnnl/dnnl.h>
#include <omp.h>
#include <stdlib.h>

// A primitive with its scratch memory: oneDNN's own belongs to the thread that made the primitive, and Go's threads change.
typedef struct {
  dnnl_primitive_t p;
  dnnl_memory_t scratch;
} op;

// A tensor as somebody wants it, and how to get it from another layout.
typedef struct {
  dnnl_memory_t mem;       // in the layout wanted
  dnnl_memory_t plain;     // in the other layout, when there is a reorder
  op reorder;
} tensor;

typedef struct {
  int conv;
  op forward, backward_data, backward_weights, backward_relu;
  dnnl_primitive_desc_t forward_pd, relu_pd;
  tensor src, weights, dst;                    // of the forward pass; src is the dst before, reordered where necessary
  dnnl_memory_t bias, workspace;
  tensor bd_weights, bd_dst;                   // backward by data
  dnnl_memory_t d_src;                         // its result
  tensor bw_src, bw_dst, d_weights;            // backward by weights
  dnnl_memory_t d_bias;
  dnnl_memory_t d_dst;                         // gradient of dst, in dst's layout, after ReLU
  tensor d_in;                                 // what the next stage gives back, as d_dst
} stage;

struct ppx_cnn {
  dnnl_engine_t engine;
  dnnl_stream_t stream;
  int stages;
  stage *s;
  tensor result;  // the last dst → plain
  tensor given;   // dy → the last d_dst
  dnnl_primitive_attr_t attr;
  size_t most;    // bytes of scratch memory that some primitive wants
  void *room;
};

#define TRY(x)                                \
  do {                                        \
    int status_ = (int)(x);                   \
    if (status_ != 0) return status_;         \
  } while (0)

static int memory(ppx_cnn *c, const dnnl_memory_desc_t *d, dnnl_memory_t *out) {
  return dnnl_memory_create(out, d, c->engine, DNNL_MEMORY_ALLOCATE);
}

static const dnnl_memory_desc_t *desc_of(dnnl_memory_t m) {
  const dnnl_memory_desc_t *d = NULL;
  dnnl_memory_get_memory_desc(m, &d);
  return d;
}


static const dnnl_memory_desc_t *query(dnnl_primitive_desc_t pd, dnnl_query_t what) {
  return dnnl_primitive_desc_query_md(pd, what, 0);
}

static int make(ppx_cnn *c, op *out, dnnl_primitive_desc_t pd) {
  TRY(dnnl_primitive_create(&out->p, pd));
  const dnnl_memory_desc_t *d = query(pd, dnnl_query_scratchpad_md);
  size_t size = dnnl_memory_desc_get_size(d);
  if (size > c->most) c->most = size;
  return dnnl_memory_create(&out->scratch, d, c->engine, NULL);
}

// execute runs a primitive with n arguments; args has room for one more.
static int execute(ppx_cnn *c, op *o, int n, dnnl_exec_arg_t *args) {
  TRY(dnnl_memory_set_data_handle(o->scratch, c->room));
  args[n].arg = DNNL_ARG_SCRATCHPAD;
  args[n].memory = o->scratch;
  return dnnl_primitive_execute(o->p, c->stream, n + 1, args);
}

static int make_reorder(ppx_cnn *c, dnnl_memory_t from, dnnl_memory_t to, op *out) {
  dnnl_primitive_desc_t pd;
  TRY(dnnl_reorder_primitive_desc_create(&pd, desc_of(from), c->engine, desc_of(to), c->engine, c->attr));
  int status = make(c, out, pd);
  dnnl_primitive_desc_destroy(pd);
  return status;
}

// want makes t.mem in the layout wanted, to be filled from a memory in another layout; no copy where they are equal.
static int want(ppx_cnn *c, tensor *t, dnnl_memory_t from, const dnnl_memory_desc_t *wanted) {
  t->plain = from;
  if (dnnl_memory_desc_equal(desc_of(from), wanted)) {
    t->mem = from;
    return 0;
  }
  TRY(memory(c, wanted, &t->mem));
  return make_reorder(c, from, t->mem, &t->reorder);
}

// plain makes t.mem in the layout wanted and t.plain in the usual one, whose data are given later; t is read when
// to is 0, written when 1.
static int plain(ppx_cnn *c, tensor *t, const dnnl_memory_desc_t *wanted, const dnnl_memory_desc_t *usual, int to) {
  TRY(dnnl_memory_create(&t->plain, usual, c->engine, NULL));
  if (dnnl_memory_desc_equal(usual, wanted)) {
    t->mem = t->plain;
    return 0;
  }
  TRY(memory(c, wanted, &t->mem));
  return to ? make_reorder(c, t->mem, t->plain, &t->reorder) : make_reorder(c, t->plain, t->mem, &t->reorder);
}

static int run_reorder(ppx_cnn *c, tensor *t, int to) {
  if (!t->reorder.p) return 0;
  dnnl_exec_arg_t args[3] = {{DNNL_ARG_FROM, to ? t->mem : t->plain}, {DNNL_ARG_TO, to ? t->plain : t->mem}};
  return execute(c, &t->reorder, 2, args);
}

static int five(dnnl_memory_desc_t *d, int n, int channels, const int *size, dnnl_format_tag_t tag) {
  dnnl_dims_t dims = {n, channels, size[0], size[1], size[2]};
  return dnnl_memory_desc_init_by_tag(d, 5, dims, dnnl_f32, tag);
}

static int make_conv(ppx_cnn *c, int i, int rows, int in, int out, const int *v) {
  stage *s = &c->s[i];
  const int *from = v, *to = v + 3, *kernel = v + 6, *pad = v + 9;
  s->conv = 1;
  dnnl_memory_desc_t src, weights, bias, dst, usual_weights, usual_src, usual_dst;
  TRY(five(&src, rows, in, from, dnnl_format_tag_any));
  TRY(five(&weights, out, in, kernel, dnnl_format_tag_any));
  TRY(five(&dst, rows, out, to, dnnl_format_tag_any));
  TRY(five(&usual_src, rows, in, from, dnnl_abcde));
  TRY(five(&usual_weights, out, in, kernel, dnnl_abcde));
  TRY(five(&usual_dst, rows, out, to, dnnl_abcde));
  dnnl_dims_t bias_dims = {out}, strides = {1, 1, 1}, padding = {pad[0], pad[1], pad[2]};
  TRY(dnnl_memory_desc_init_by_tag(&bias, 1, bias_dims, dnnl_f32, dnnl_a));

  dnnl_primitive_attr_t attr;
  dnnl_post_ops_t ops;
  TRY(dnnl_primitive_attr_create(&attr));
  TRY(dnnl_post_ops_create(&ops));
  TRY(dnnl_post_ops_append_eltwise(ops, 1, dnnl_eltwise_relu, 0, 0));
  TRY(dnnl_primitive_attr_set_post_ops(attr, ops));
  TRY(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user));
  dnnl_convolution_desc_t d;
  TRY(dnnl_convolution_forward_desc_init(&d, dnnl_forward_training, dnnl_convolution_direct, &src, &weights, &bias, &dst, strides,
                                         padding, padding));
  TRY(dnnl_primitive_desc_create(&s->forward_pd, &d, attr, c->engine, NULL));
  dnnl_post_ops_destroy(ops);
  dnnl_primitive_attr_destroy(attr);
  TRY(make(c, &s->forward, s->forward_pd));
  if (i == 0)
    TRY(plain(c, &s->src, query(s->forward_pd, dnnl_query_src_md), &usual_src, 0));
  else
    TRY(want(c, &s->src, c->s[i - 1].dst.mem, query(s->forward_pd, dnnl_query_src_md)));
  TRY(plain(c, &s->weights, query(s->forward_pd, dnnl_query_weights_md), &usual_weights, 0));
  TRY(dnnl_memory_create(&s->bias, &bias, c->engine, NULL));
  TRY(memory(c, query(s->forward_pd, dnnl_query_dst_md), &s->dst.mem));
  TRY(memory(c, desc_of(s->dst.mem), &s->d_dst));

  // ReLU, backwards from its result.
  dnnl_eltwise_desc_t e;
  dnnl_primitive_desc_t pd;
  TRY(dnnl_eltwise_forward_desc_init(&e, dnnl_forward_training, dnnl_eltwise_relu_use_dst_for_bwd, desc_of(s->dst.mem), 0, 0));
  TRY(dnnl_primitive_desc_create(&s->relu_pd, &e, NULL, c->engine, NULL));
  TRY(dnnl_eltwise_backward_desc_init(&e, dnnl_eltwise_relu_use_dst_for_bwd, desc_of(s->dst.mem), desc_of(s->dst.mem), 0, 0));
  TRY(dnnl_primitive_desc_create(&pd, &e, c->attr, c->engine, s->relu_pd));
  TRY(make(c, &s->backward_relu, pd));
  dnnl_primitive_desc_destroy(pd);

  TRY(dnnl_convolution_backward_weights_desc_init(&d, dnnl_convolution_direct, &src, &weights, &bias, &dst, strides, padding, padding));
  TRY(dnnl_primitive_desc_create(&pd, &d, c->attr, c->engine, s->forward_pd));
  TRY(make(c, &s->backward_weights, pd));
  TRY(want(c, &s->bw_src, s->src.mem, query(pd, dnnl_query_src_md)));
  TRY(want(c, &s->bw_dst, s->d_dst, query(pd, dnnl_query_diff_dst_md)));
  TRY(plain(c, &s->d_weights, query(pd, dnnl_query_diff_weights_md), &usual_weights, 1));
  TRY(dnnl_memory_create(&s->d_bias, &bias, c->engine, NULL));
  dnnl_primitive_desc_destroy(pd);
  if (i == 0) return 0;

  TRY(dnnl_convolution_backward_data_desc_init(&d, dnnl_convolution_direct, &src, &weights, &dst, strides, padding, padding));
  TRY(dnnl_primitive_desc_create(&pd, &d, c->attr, c->engine, s->forward_pd));
  TRY(make(c, &s->backward_data, pd));
  TRY(want(c, &s->bd_weights, s->weights.plain, query(pd, dnnl_query_weights_md)));
  TRY(want(c, &s->bd_dst, s->d_dst, query(pd, dnnl_query_diff_dst_md)));
  TRY(memory(c, query(pd, dnnl_query_diff_src_md), &s->d_src));
  dnnl_primitive_desc_destroy(pd);
  return 0;
}

static int make_pool(ppx_cnn *c, int i, int rows, int channels, const int *v) {
  stage *s = &c->s[i];
  const int *from = v, *to = v + 3, *width = v + 6;
  dnnl_memory_desc_t src, dst;
  if (i == 0)
    TRY(five(&src, rows, channels, from, dnnl_abcde));
  else
    src = *desc_of(c->s[i - 1].dst.mem);
  TRY(five(&dst, rows, channels, to, dnnl_format_tag_any));
  dnnl_dims_t strides = {width[0], width[1], width[2]}, none = {0, 0, 0};
  dnnl_pooling_desc_t d;
  TRY(dnnl_pooling_forward_desc_init(&d, dnnl_forward_training, dnnl_pooling_max, &src, &dst, strides, strides, none, none));
  TRY(dnnl_primitive_desc_create(&s->forward_pd, &d, c->attr, c->engine, NULL));
  TRY(make(c, &s->forward, s->forward_pd));
  if (i == 0)
    TRY(plain(c, &s->src, &src, &src, 0));
  else
    s->src.mem = c->s[i - 1].dst.mem;
  TRY(memory(c, query(s->forward_pd, dnnl_query_dst_md), &s->dst.mem));
  TRY(memory(c, query(s->forward_pd, dnnl_query_workspace_md), &s->workspace));
  TRY(memory(c, desc_of(s->dst.mem), &s->d_dst));
  if (i == 0) return 0;
  dnnl_primitive_desc_t pd;
  TRY(dnnl_pooling_backward_desc_init(&d, dnnl_pooling_max, &src, desc_of(s->dst.mem), strides, strides, none, none));
  TRY(dnnl_primitive_desc_create(&pd, &d, c->attr, c->engine, s->forward_pd));
  TRY(make(c, &s->backward_data, pd));
  dnnl_primitive_desc_destroy(pd);
  return memory(c, &src, &s->d_src);
}

static int build(ppx_cnn *c, int rows, const int *spec) {
  TRY(dnnl_engine_create(&c->engine, dnnl_cpu, 0));
  TRY(dnnl_stream_create(&c->stream, c->engine, dnnl_stream_default_flags));
  TRY(dnnl_primitive_attr_create(&c->attr));
  TRY(dnnl_primitive_attr_set_scratchpad_mode(c->attr, dnnl_scratchpad_mode_user));
  int channels = 1;
  for (int i = 0; i < c->stages; i++) {
    const int *v = spec + 13 * i;
    if (v[0] == 0)
      TRY(make_pool(c, i, rows, channels, v + 1));
    else {
      TRY(make_conv(c, i, rows, channels, v[0], v + 1));
      channels = v[0];
    }
    if (i > 0) TRY(want(c, &c->s[i - 1].d_in, c->s[i].d_src, desc_of(c->s[i - 1].d_dst)));
  }
  stage *last = &c->s[c->stages - 1];
  dnnl_memory_desc_t usual;
  TRY(five(&usual, rows, channels, spec + 13 * (c->stages - 1) + 4, dnnl_abcde));
  TRY(dnnl_memory_create(&c->result.plain, &usual, c->engine, NULL));
  c->result.mem = last->dst.mem;
  TRY(make_reorder(c, last->dst.mem, c->result.plain, &c->result.reorder));
  TRY(dnnl_memory_create(&c->given.plain, &usual, c->engine, NULL));
  c->given.mem = last->d_dst;
  TRY(make_reorder(c, c->given.plain, last->d_dst, &c->given.reorder));
  c->room = aligned_alloc(4096, (c->most / 4096 + 1) * 4096);
  return c->room ? 0 : 1;
}

int ppx_cnn_new(ppx_cnn **out, int threads, int rows, int stages, const int *spec) {
  omp_set_num_threads(threads); // primitives are made for so many
  ppx_cnn *c = calloc(1, sizeof *c);
  if (!c) return 1;
  c->stages = stages;
  c->s = calloc(stages, sizeof *c->s);
  int status = c->s ? build(c, rows, spec) : 1;
  if (status) {
    ppx_cnn_free(c);
    return status;
  }
  *out = c;
  return 0;
}

static void drop_memory(dnnl_memory_t m) {
  if (m) dnnl_memory_destroy(m);
}

static void drop_op(op *o) {
  if (o->p) dnnl_primitive_destroy(o->p);
  drop_memory(o->scratch);
}

static void drop(tensor *t, int own_plain, int own_mem) {
  drop_op(&t->reorder);
  if (own_mem && t->mem && t->mem != t->plain) dnnl_memory_destroy(t->mem);
  if (own_plain && t->plain) dnnl_memory_destroy(t->plain);
}

void ppx_cnn_free(ppx_cnn *c) {
  drop(&c->result, 1, 0);
  drop(&c->given, 1, 0);
  for (int i = c->stages - 1; c->s && i >= 0; i--) {
    stage *s = &c->s[i];
    drop_op(&s->forward);
    drop_op(&s->backward_data);
    drop_op(&s->backward_weights);
    drop_op(&s->backward_relu);
    if (s->forward_pd) dnnl_primitive_desc_destroy(s->forward_pd);
    if (s->relu_pd) dnnl_primitive_desc_destroy(s->relu_pd);
    drop(&s->d_in, 0, s->d_in.reorder.p != NULL);
    drop(&s->bw_src, 0, s->bw_src.reorder.p != NULL);
    drop(&s->bw_dst, 0, s->bw_dst.reorder.p != NULL);
    drop(&s->bd_weights, 0, s->bd_weights.reorder.p != NULL);
    drop(&s->bd_dst, 0, s->bd_dst.reorder.p != NULL);
    drop(&s->d_weights, 1, 1);
    drop(&s->src, i == 0, i == 0 || s->src.reorder.p != NULL);
    drop(&s->weights, 1, 1);
    drop_memory(s->dst.mem);
    drop_memory(s->bias);
    drop_memory(s->workspace);
    drop_memory(s->d_src);
    drop_memory(s->d_bias);
    drop_memory(s->d_dst);
  }
  free(c->s);
  free(c->room);
  if (c->attr) dnnl_primitive_attr_destroy(c->attr);
  if (c->stream) dnnl_stream_destroy(c->stream);
  if (c->engine) dnnl_engine_destroy(c->engine);
  free(c);
}

int ppx_cnn_forward(ppx_cnn *c, int threads, const float *x, float **weights, float **biases, float *y) {
  omp_set_num_threads(threads); // of this thread, and Go's threads change
  TRY(dnnl_memory_set_data_handle(c->s[0].src.plain, (void *)x));
  TRY(dnnl_memory_set_data_handle(c->result.plain, y));
  int conv = 0;
  for (int i = 0; i < c->stages; i++) {
    stage *s = &c->s[i];
    TRY(run_reorder(c, &s->src, 0));
    if (s->conv) {
      TRY(dnnl_memory_set_data_handle(s->weights.plain, weights[conv]));
      TRY(dnnl_memory_set_data_handle(s->bias, biases[conv++]));
      TRY(run_reorder(c, &s->weights, 0));
      dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, s->src.mem}, {DNNL_ARG_WEIGHTS, s->weights.mem}, {DNNL_ARG_BIAS, s->bias}, {DNNL_ARG_DST, s->dst.mem}};
      TRY(execute(c, &s->forward, 4, args));
    } else {
      dnnl_exec_arg_t args[4] = {{DNNL_ARG_SRC, s->src.mem}, {DNNL_ARG_DST, s->dst.mem}, {DNNL_ARG_WORKSPACE, s->workspace}};
      TRY(execute(c, &s->forward, 3, args));
    }
  }
  TRY(run_reorder(c, &c->result, 1));
  return dnnl_stream_wait(c->stream);
}

int ppx_cnn_backward(ppx_cnn *c, int threads, const float *x, float **weights, const float *dy, float **d_weights, float **d_biases) {
  omp_set_num_threads(threads); // of this thread, and Go's threads change
  TRY(dnnl_memory_set_data_handle(c->s[0].src.plain, (void *)x));
  TRY(dnnl_memory_set_data_handle(c->given.plain, (void *)dy));
  TRY(run_reorder(c, &c->given, 0));
  int conv = 0;
  for (int i = 0; i < c->stages; i++) conv += c->s[i].conv;
  for (int i = c->stages - 1; i >= 0; i--) {
    stage *s = &c->s[i];
    // The gradient of dst: given, or what the stage after gave back, perhaps in another layout.
    dnnl_memory_t d = i == c->stages - 1 ? s->d_dst : s->d_in.mem;
    if (i < c->stages - 1) TRY(run_reorder(c, &s->d_in, 0));
    if (!s->conv) {
      if (i == 0) continue;
      dnnl_exec_arg_t args[4] = {{DNNL_ARG_DIFF_DST, d}, {DNNL_ARG_WORKSPACE, s->workspace}, {DNNL_ARG_DIFF_SRC, s->d_src}};
      TRY(execute(c, &s->backward_data, 3, args));
      continue;
    }
    dnnl_exec_arg_t relu[4] = {{DNNL_ARG_DST, s->dst.mem}, {DNNL_ARG_DIFF_DST, d}, {DNNL_ARG_DIFF_SRC, s->d_dst}};
    TRY(execute(c, &s->backward_relu, 3, relu));
    conv--;
    TRY(dnnl_memory_set_data_handle(s->d_weights.plain, d_weights[conv]));
    TRY(dnnl_memory_set_data_handle(s->d_bias, d_biases[conv]));
    TRY(run_reorder(c, &s->bw_src, 0));
    TRY(run_reorder(c, &s->bw_dst, 0));
    dnnl_exec_arg_t args[5] = {{DNNL_ARG_SRC, s->bw_src.mem}, {DNNL_ARG_DIFF_DST, s->bw_dst.mem}, {DNNL_ARG_DIFF_WEIGHTS, s->d_weights.mem},
                               {DNNL_ARG_DIFF_BIAS, s->d_bias}};
    TRY(execute(c, &s->backward_weights, 4, args));
    TRY(run_reorder(c, &s->d_weights, 1));
    if (i == 0) break;
    TRY(dnnl_memory_set_data_handle(s->weights.plain, weights[conv]));
    TRY(run_reorder(c, &s->bd_weights, 0));
    TRY(run_reorder(c, &s->bd_dst, 0));
    dnnl_exec_arg_t data[4] = {{DNNL_ARG_WEIGHTS, s->bd_weights.mem}, {DNNL_ARG_DIFF_DST, s->bd_dst.mem}, {DNNL_ARG_DIFF_SRC, s->d_src}};
    TRY(execute(c, &s->backward_data, 3, data));
  }
  return dnnl_stream_wait(c->stream);
}
