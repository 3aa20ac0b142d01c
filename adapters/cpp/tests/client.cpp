// Tests of the client without an engine and with one that answers amiss, and of its addresses and codec.
#include <unistd.h>

#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <thread>

#include "ppx/ppx.hpp"

#define CHECK(x)                                                                     \
  do {                                                                               \
    if (!(x)) {                                                                      \
      std::cerr << __FILE__ << ":" << __LINE__ << ": " << #x << " does not hold\n";  \
      failures++;                                                                    \
    }                                                                                \
  } while (0)

static int failures = 0;

static void moments(const ppx::Distribution& d, double mean, double variance) {
  const int n = 20000;
  double sum = 0, sum2 = 0;
  for (int i = 0; i < n; i++) {
    double x = ppx::sample(d, "x");
    sum += x;
    sum2 += x * x;
  }
  double m = sum / n, v = sum2 / n - m * m;
  CHECK(std::abs(m - mean) < 5 * std::sqrt(variance / n) + 1e-12);
  CHECK(std::abs(v - variance) < 0.15 * variance + 1e-12);
}

static void local_mode() {
  ppx::seed(7);
  CHECK(!ppx::attached());
  moments(ppx::Normal(1, 2), 1, 4);
  moments(ppx::Uniform(-1, 3), 1, 16.0 / 12);
  moments(ppx::Categorical({1, 0, 3}), 1.5, 0.75);
  moments(ppx::Poisson(4), 4, 4);
  moments(ppx::Poisson(0), 0, 0);
  moments(ppx::Bernoulli(0.3), 0.3, 0.21);
  moments(ppx::Beta(2, 3), 0.4, 0.04);
  moments(ppx::Exponential(2), 0.5, 0.25);
  moments(ppx::Gamma(3, 2), 1.5, 0.75);
  moments(ppx::LogNormal(0, 0.5), std::exp(0.125), (std::exp(0.25) - 1) * std::exp(0.25));
  moments(ppx::Binomial(10, 0.3), 3, 2.1);
  moments(ppx::Weibull(2, 1), 2, 4);
  auto t = ppx::sample_tensor(ppx::Uniform(ppx::Tensor({0, -10}, {2, 1}), ppx::Tensor({1, 2, 3}, {1, 3})));
  CHECK((t.shape == std::vector<std::int32_t>{2, 3}));
  auto rows = ppx::sample_tensor(ppx::Categorical(ppx::Tensor({1, 0, 0, 0, 0, 2}, {2, 3})));
  CHECK(rows.data == (std::vector<double>{0, 2}));
  ppx::observe(ppx::Normal(0, 1), "y");  // nothing to do, quietly
  ppx::observe_value(ppx::Normal(0, 1), 3.0, "y");
  ppx::tag(3, "z");
  ppx::seed(7);
  double a = ppx::sample(ppx::Normal(0, 1));
  ppx::seed(7);
  CHECK(a == ppx::sample(ppx::Normal(0, 1)));
  bool thrown = false;
  try {
    ppx::sample_tensor(ppx::Normal(ppx::Tensor{1, 2}, ppx::Tensor{1, 2, 3}));
  } catch (const ppx::Error&) {
    thrown = true;
  }
  CHECK(thrown);
  // Another thread has a generator of its own.
  std::thread([] { ppx::sample(ppx::Normal(0, 1)); }).join();
}

static ppx::detail::Addresses* addresses;
static std::vector<std::string> seen;

[[gnu::noinline]] static void statement() { seen.emplace_back(addresses->at(__builtin_frame_address(0))); asm volatile(""); }
[[gnu::noinline]] void helper() { statement(); asm volatile(""); }
[[gnu::noinline]] void deep(int n) {
  if (n == 0) helper();
  else deep(n - 1);
  asm volatile("");
}
[[gnu::noinline]] static void model() {
  helper();
  helper();
  volatile int twice = 2;  // not unrolled: a copy of a call is another place in the code
  for (int i = 0; i < twice; i++) helper();
  deep(3);
  deep(40);
  asm volatile("");
}

static void run(ppx::detail::Addresses& a) {
  auto f = model;
  ppx::detail::call(a, f);
}

static void stacks() {
  ppx::detail::Addresses a;
  addresses = &a;
  run(a);
  auto first = seen;
  seen.clear();
  std::function<void(int)> from = [&](int n) {
    if (n > 0) from(n - 1);
    else run(a);
  };
  from(5);  // what stands above the model does not count
  CHECK(first == seen);
  CHECK(first[0] != first[1]);
  CHECK(first[1] != first[2]);
  CHECK(first[2] == first[3]);
  CHECK(first[4] != first[5]);
  CHECK(first[0].find("helper()+0x") != std::string::npos);
  CHECK(first[0].find("ppx::detail") == std::string::npos);
  std::size_t count = 0;
  for (auto at = first[5].find("deep(int)"); at != std::string::npos; at = first[5].find("deep(int)", at + 1)) count++;
  CHECK(count == 41);
  // A model that the compiler puts into its caller still has an address for each statement.
  seen.clear();
  auto lambda = [] { statement(); statement(); };
  ppx::detail::call(a, lambda);
  CHECK(seen[0] != seen[1]);
  CHECK(seen[0].find("+0x") != std::string::npos);
}

// Whatever the bytes: read, or a ProtocolError.
static void damage(std::vector<char> buf) {
  ppx::detail::Decoder d;
  ppx::detail::Notes notes;
  auto attempt = [&](std::size_t n) {
    try {
      d.decode(buf.data(), n);
      if (d.type == ppx::detail::run) notes.take(d.order);
    } catch (const ppx::ProtocolError&) {
    }
  };
  attempt(buf.size());
  for (std::size_t i = 0; i < buf.size(); i++) {
    for (int bit = 0; bit < 8; bit++) {
      buf[i] = static_cast<char>(buf[i] ^ (1 << bit));
      attempt(buf.size());
      buf[i] = static_cast<char>(buf[i] ^ (1 << bit));
    }
    attempt(i);
  }
}

static void damaged() {
  ppx::detail::Encoder e;
  double v = 0.5;
  // A SampleResult has the layout of a RunResult.
  auto m = e.run_result(v);
  damage({static_cast<const char*>(m.first), static_cast<const char*>(m.first) + m.second});
  std::ifstream in(PPX_TESTDATA "/run.bin", std::ios::binary);
  std::vector<char> run{std::istreambuf_iterator<char>(in), {}};
  ppx::detail::Decoder d;
  d.decode(run.data(), run.size());
  const auto& o = d.order;
  CHECK(d.token == 7 && o.mode == ppx::detail::Mode::delegate && o.seed == 1 && o.draws == (std::vector<std::uint64_t>{4, 5}));
  CHECK(o.data.size() == 2 && o.data[1].name == "y@2" && o.data[0].value.data == (std::vector<double>{1, 2}));
  CHECK(o.bases.size() == 2 && o.bases[1] == "b__Uniform" && o.instance == (std::vector<std::uint32_t>{1, 1, 2}));
  CHECK(o.inflation == 0.25 && o.flush_ms == 1000);
  CHECK(o.streams == (std::vector<std::uint64_t>{6, std::uint64_t{1} << 40}) && o.ends == (std::vector<std::uint32_t>{2, 3}));
  damage(run);
}

// A message of an engine: a SampleResult with data, and with a shape unless that is null; a Run without data.
static std::vector<std::uint8_t> of_engine(const std::vector<double>* data, const std::vector<std::int32_t>* shape) {
  auto field = [](int i) { return static_cast<flatbuffers::voffset_t>(4 + 2 * i); };
  flatbuffers::FlatBufferBuilder b;
  flatbuffers::Offset<void> numbers = 0, dims = 0, tensor = 0;
  if (data != nullptr) {
    numbers = b.CreateVector(*data).o;
    if (shape != nullptr) dims = b.CreateVector(*shape).o;
    auto t = b.StartTable();
    b.AddOffset(field(0), numbers);
    b.AddOffset(field(1), dims);
    tensor = b.EndTable(t);
  }
  auto t = b.StartTable();
  b.AddOffset(field(0), tensor);
  flatbuffers::Offset<void> body = b.EndTable(t);
  t = b.StartTable();
  b.AddElement<std::uint8_t>(field(0), data != nullptr ? ppx::detail::sample_result : ppx::detail::run, 0);
  b.AddOffset(field(1), body);
  b.Finish(flatbuffers::Offset<void>(b.EndTable(t)));
  return {b.GetBufferPointer(), b.GetBufferPointer() + b.GetSize()};
}

// The value that a model gets for a Sample when an engine of plain PPX 1.0 answers with these data in this shape; what
// is the text of the error, if there is one.
static ppx::Tensor answered(const ppx::Distribution& d, const std::vector<double>& data,
                            const std::vector<std::int32_t>* shape, std::string& what) {
  static int count = 0;
  std::string endpoint = "ipc://@ppx-client-test-" + std::to_string(getpid()) + "-" + std::to_string(count++);
  ppx::Tensor got;
  ppx::detail::Connection c(endpoint, "s", "m");
  std::thread simulator([&] {
    ppx::detail::current().engine = &c;
    auto model = [&] {
      got = ppx::sample_tensor(d, "x", ppx::Site().address("there"));
      return ppx::Tensor(1.0);
    };
    try {
      c.serve_one(model);
    } catch (const ppx::ProtocolError& e) {
      what = e.what();
    }
  });
  void* context = zmq_ctx_new();
  void* engine = zmq_socket(context, ZMQ_REQ);
  CHECK(zmq_connect(engine, endpoint.c_str()) == 0);
  char sample[1000];
  auto run = of_engine(nullptr, nullptr), answer = of_engine(&data, shape);
  zmq_send(engine, run.data(), run.size(), 0);
  zmq_recv(engine, sample, sizeof sample, 0);
  zmq_send(engine, answer.data(), answer.size(), 0);
  simulator.join();
  zmq_close(engine);
  zmq_ctx_term(context);
  return got;
}

// An answer takes the shape of the site, whatever shape of as many elements an engine gives it.
static void answers() {
  using Shape = std::vector<std::int32_t>;
  using Data = std::vector<double>;
  auto fits = [](const ppx::Distribution& d, const Data& data, const Shape& want, std::vector<Shape> sent) {
    auto n = static_cast<std::int32_t>(data.size());
    for (const auto& shape : {Shape{n}, Shape{1, n}, Shape{n, 1}, want}) sent.push_back(shape);
    for (std::size_t i = 0; i <= sent.size(); i++) {  // the last time without a shape
      std::string what;
      auto got = answered(d, data, i < sent.size() ? &sent[i] : nullptr, what);
      CHECK(what.empty() && got.data == data && got.shape == want);
    }
  };
  ppx::Tensor six({0, 0, 0, 0, 0, 0}, {2, 3});
  fits(ppx::Poisson(3), {4}, {}, {{1, 1, 1}});
  fits(ppx::Categorical({0.5, 0.5}), {1}, {}, {});
  fits(ppx::Normal(ppx::Tensor({0}, {1}), 1), {0.5}, {1}, {{}});
  fits(ppx::Normal(ppx::Tensor({0}, {1, 1}), 1), {0.5}, {1, 1}, {{}});
  fits(ppx::Categorical(ppx::Tensor({1, 0, 0, 0, 0, 2}, {2, 3})), {0, 2}, {2}, {});
  fits(ppx::Normal(six, 1), {1, 2, 3, 4, 5, 6}, {2, 3}, {{1, 2, 3}, {2, 1, 3}});
  fits(ppx::Uniform(ppx::Tensor({0, 1}, {2, 1}), ppx::Tensor({2, 3, 4}, {1, 3})), {1, 2, 3, 4, 5, 6}, {2, 3}, {});
  fits(ppx::Normal(ppx::Tensor(std::vector<double>{}), 1), {}, {0}, {});
  auto refused = [](const ppx::Distribution& d, const Data& data, const Shape& shape) {
    std::string what;
    answered(d, data, &shape, what);
    CHECK(what.find("an answer of shape") != std::string::npos && what.find("to Sample at there") != std::string::npos);
  };
  refused(ppx::Normal(0, 1), {1, 2}, {2});
  refused(ppx::Normal(0, 1), {}, {0});
  refused(ppx::Normal(0, 1), {}, {});
  refused(ppx::Normal({0, 0}, 1), {1}, {1});
  refused(ppx::Normal(six, 1), {1, 2, 3, 4, 5, 6}, {3, 2});
  refused(ppx::Normal({0, 0}, {1, 1, 1}), {1, 2, 3, 4, 5, 6}, {6});
}

// Covariances and precisions become triangles; a matrix that has none says by how much.
static void matrices() {
  auto near = [](const ppx::Tensor& a, std::vector<double> b) {
    bool ok = a.size() == b.size();
    for (std::size_t i = 0; ok && i < b.size(); i++) ok = std::abs(a[i] - b[i]) < 1e-12;
    return ok;
  };
  ppx::Tensor loc{0, 0}, m({4, 3, 3, 2.5}, {2, 2});
  CHECK(near(ppx::MultivariateNormal(loc, m).b.tensor, {2, 0, 1.5, 0.5}));
  CHECK(near(ppx::MultivariateNormalPrecision(loc, ppx::Tensor({2.5, -3, -3, 4}, {2, 2})).b.tensor, {2, 0, 1.5, 0.5}));
  auto bad = ppx::MultivariateNormal(loc, ppx::Tensor({1, 2, 2, 1}, {2, 2})).b.tensor;
  CHECK(std::abs(bad[0] + 1) < 1e-12 && std::isnan(bad[1]) && std::isnan(bad[3]));
  for (auto& t : {ppx::Tensor({1, 2, 3, 1}, {2, 2}), ppx::Tensor({1, 2}, {1, 2}), ppx::Tensor{1, 2}}) {
    bool thrown = false;
    try {
      ppx::MultivariateNormal(loc, t);
    } catch (const ppx::Error&) {
      thrown = true;
    }
    CHECK(thrown);
  }
  auto e = ppx::Empirical({3, 1, 3}, {1, 2, 4});
  CHECK(e.a.tensor.data == (std::vector<double>{1, 3}) && e.b.tensor.data == (std::vector<double>{2, 5}));
  auto same = ppx::MixtureSameFamily(ppx::Tensor({1, 1, 1, 3}, {2, 2}), ppx::Normal(ppx::Tensor({0, 5, -3, 7}, {2, 2}), 2));
  CHECK(same.kind == ppx::Kind::mixture && (same.more[0].tensor.shape == std::vector<std::int32_t>{2, 4}));
  CHECK(same.more[0].tensor.data == (std::vector<double>{0, 2, 5, 2, -3, 2, 7, 2}));
  CHECK((ppx::sample_tensor(same).shape == std::vector<std::int32_t>{2}));
  auto shares = ppx::sample_tensor(ppx::Dirichlet({1, 2, 3}));
  CHECK(shares.size() == 3 && std::abs(shares[0] + shares[1] + shares[2] - 1) < 1e-12);
  for (int i = 0; i < 3; i++) {
    bool thrown = false;
    try {
      if (i == 0) ppx::Mixture({1, 1}, {ppx::Normal({0, 1}, 1), ppx::Normal(0, 1)});
      if (i == 1) ppx::sample(ppx::Mixture({1, 1}, {ppx::Normal(0, 1), ppx::Poisson(1)}));
      if (i == 2) ppx::sample(ppx::Dirichlet({1, 0}));
    } catch (const ppx::Error&) {
      thrown = true;
    }
    CHECK(thrown);
  }
  ppx::factor(-1);  // without an engine it is nothing
}

static void texts() {
  auto text = [](const ppx::Tensor& t) { return ppx::detail::text(t); };
  CHECK(text(3) == "3");
  CHECK(text(0.1 + 0.2) == "0.30000000000000004");
  CHECK(text(-2e300) == "-2e+300");
  CHECK(text(ppx::Tensor{1, 2.5}) == "[1, 2.5]");
  CHECK(text(ppx::Tensor({1, 2, -3, 0.25}, {2, 2})) == "[[1, 2], [-3, 0.25]]");
  CHECK(text(ppx::Tensor(std::vector<double>{})) == "[]");
}

// A number in the place of a name does not compile, not even the 0 that is a pointer too.
template <class D>
auto takes_zero(int) -> decltype(ppx::observe(std::declval<D>(), 0), true) { return true; }
template <class D>
bool takes_zero(long) { return false; }

static void names() {
  CHECK(!takes_zero<ppx::Distribution>(0));
  ppx::observe(ppx::Normal(0, 1), std::string("y"));
}

static void bad_endpoint() {
  std::string what;
  try {
    ppx::serve("tcp://nonsense", "m", [] { return 0.0; });
  } catch (const ppx::Error& e) {
    what = e.what();
  }
  CHECK(what.find("cannot bind tcp://nonsense") != std::string::npos);
}

int main() {
  local_mode();
  stacks();
  damaged();
  answers();
  matrices();
  texts();
  names();
  bad_endpoint();
  if (failures == 0) std::cout << "client tests passed (addresses by " << ppx::stack_walker << ")\n";
  return failures == 0 ? 0 : 1;
}
