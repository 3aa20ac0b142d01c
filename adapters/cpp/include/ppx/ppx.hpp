// ppx.hpp: let an inference engine answer the random draws of a C++ simulator, over PPX.
//
//   #include <ppx/ppx.hpp>
//
//   double gum() {
//     double mu = ppx::sample(ppx::Normal(1, std::sqrt(5)), "mu");
//     ppx::observe(ppx::Normal(mu, std::sqrt(2)), "obs0");
//     return mu;
//   }
//
//   int main(int argc, char** argv) { return ppx::main("gum", gum, argc, argv); }
//
// The engine opens the conversation and starts each run; from then on the simulator asks and the engine
// answers, statement by statement, until the run's result. Without an engine, the same model draws by
// itself: call it like any function.
//
// Needs C++17, libzmq and the flatbuffers headers. One thread makes one run: statements belong to the
// thread that serve() called the model on. Nothing here is shared between threads.

#ifndef PPX_PPX_HPP
#define PPX_PPX_HPP

#include <cxxabi.h>
#include <dlfcn.h>
#include <zmq.h>

#include <cerrno>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <exception>
#include <initializer_list>
#include <memory>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>
#include <type_traits>
#include <unordered_map>
#include <utility>
#include <vector>

#include "flatbuffers/flatbuffers.h"

// How call stacks are walked. The CMake target sets one of the first two; without either, glibc does it.
#if defined(PPX_USE_LIBUNWIND)
#define UNW_LOCAL_ONLY
#include <libunwind.h>
#elif defined(PPX_USE_FRAME_POINTERS)
#include <pthread.h>
#else
#include <execinfo.h>
#endif

namespace ppx {

inline constexpr const char* version = "0.1.0";
inline constexpr const char* endpoint_variable = "PPX_ENDPOINT";

// How this build finds addresses; part of the name under which it introduces itself.
#if defined(PPX_USE_LIBUNWIND)
inline constexpr const char* stack_walker = "libunwind";
#elif defined(PPX_USE_FRAME_POINTERS)
inline constexpr const char* stack_walker = "frame pointers";
#else
inline constexpr const char* stack_walker = "glibc backtrace";
#endif

// ---- Errors

// Anything that goes wrong on this side.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The engine said something that the protocol does not allow here.
struct ProtocolError : Error {
  using Error::Error;
};

// Thrown out of a statement when the engine began anew in the middle of a run. Not a std::exception, so
// that a simulator's own handlers let it pass.
struct RunAborted {};

// ---- Values

// A dense row-major array of doubles. A scalar has an empty shape.
struct Tensor {
  std::vector<double> data;
  std::vector<std::int32_t> shape;

  Tensor() = default;
  Tensor(double v) : data{v} {}  // NOLINT: a number is a scalar
  Tensor(std::vector<double> v) : data(std::move(v)), shape{static_cast<std::int32_t>(data.size())} {}  // NOLINT
  Tensor(std::initializer_list<double> v) : Tensor(std::vector<double>(v)) {}
  Tensor(std::vector<double> v, std::vector<std::int32_t> s) : data(std::move(v)), shape(std::move(s)) {
    std::size_t n = 1;
    for (auto d : shape) n *= d < 0 ? 0 : static_cast<std::size_t>(d);
    if (n != data.size()) throw Error("ppx::Tensor: the shape does not fit the data");
  }

  std::size_t size() const { return data.size(); }
  double operator[](std::size_t i) const { return data[i]; }
  double& operator[](std::size_t i) { return data[i]; }
};

// ---- Distributions

enum class Kind : std::uint8_t {
  none, normal, uniform, categorical, poisson, bernoulli, beta, exponential, gamma, log_normal, binomial, weibull
};

// A parameter: a number, or a tensor. Parameters broadcast against each other as in numpy.
struct Parameter {
  double number = 0;
  bool scalar = true;
  Tensor tensor;

  Parameter() = default;
  template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>>
  Parameter(T v) : number(static_cast<double>(v)) {}  // NOLINT
  Parameter(Tensor t) : scalar(false), tensor(std::move(t)) {}  // NOLINT
  Parameter(std::vector<double> v) : Parameter(Tensor(std::move(v))) {}  // NOLINT
  Parameter(std::initializer_list<double> v) : Parameter(Tensor(v)) {}
};

// One of the eleven families. Invalid parameters are reported by the engine, with the address.
struct Distribution {
  Kind kind = Kind::none;
  int parameters = 0;
  Parameter a, b;

  Distribution() = default;
  Distribution(Kind k, Parameter first) : kind(k), parameters(1), a(std::move(first)) {}
  Distribution(Kind k, Parameter first, Parameter second)
      : kind(k), parameters(2), a(std::move(first)), b(std::move(second)) {}

  bool scalar() const { return a.scalar && b.scalar; }
};

inline Distribution Normal(Parameter mean, Parameter stddev) { return {Kind::normal, std::move(mean), std::move(stddev)}; }
inline Distribution Uniform(Parameter low, Parameter high) { return {Kind::uniform, std::move(low), std::move(high)}; }
// 0, …, k−1; probabilities need not be normalised. Shape [..., k] gives values of shape [...].
inline Distribution Categorical(Tensor probs) { return {Kind::categorical, Parameter(std::move(probs))}; }
inline Distribution Poisson(Parameter rate) { return {Kind::poisson, std::move(rate)}; }
inline Distribution Bernoulli(Parameter probs) { return {Kind::bernoulli, std::move(probs)}; }
inline Distribution Beta(Parameter concentration1, Parameter concentration0) {
  return {Kind::beta, std::move(concentration1), std::move(concentration0)};
}
inline Distribution Exponential(Parameter rate) { return {Kind::exponential, std::move(rate)}; }
inline Distribution Gamma(Parameter concentration, Parameter rate) { return {Kind::gamma, std::move(concentration), std::move(rate)}; }
// Mean and standard deviation of the logarithm.
inline Distribution LogNormal(Parameter loc, Parameter scale) { return {Kind::log_normal, std::move(loc), std::move(scale)}; }
inline Distribution Binomial(Parameter total_count, Parameter probs) {
  return {Kind::binomial, std::move(total_count), std::move(probs)};
}
inline Distribution Weibull(Parameter scale, Parameter concentration) {
  return {Kind::weibull, std::move(scale), std::move(concentration)};
}

// What a statement leaves to itself unless told otherwise.
struct Site {
  std::string_view explicit_address;  // instead of the call stack
  bool controlled = true;             // false: the engine is to use no proposal here

  Site& address(std::string_view a) { explicit_address = a; return *this; }
  Site& no_control() { controlled = false; return *this; }
};

namespace detail {

// ---- Messages

enum Type : std::uint8_t {
  handshake = 1, handshake_result, run, run_result, sample, sample_result, observe, observe_result, tag, tag_result, reset
};

inline const char* type_name(std::uint8_t t) {
  static constexpr const char* names[] = {"None", "Handshake", "HandshakeResult", "Run", "RunResult", "Sample", "SampleResult",
                                          "Observe", "ObserveResult", "Tag", "TagResult", "Reset"};
  return t <= reset ? names[t] : "an unknown message";
}

// A view of a tensor.
struct View {
  const double* data = nullptr;
  std::size_t size = 0;
  const std::int32_t* shape = nullptr;
  std::size_t rank = 0;

  View() = default;
  View(const double& v) : data(&v), size(1) {}  // NOLINT
  View(const Tensor& t) : data(t.data.data()), size(t.data.size()), shape(t.shape.data()), rank(t.shape.size()) {}  // NOLINT
  View(const Parameter& p) : View(p.scalar ? View(p.number) : View(p.tensor)) {}  // NOLINT
};

// Writes messages into a reused buffer. Strings are always written, also empty ones, and a tensor always
// with both data and shape: existing engines rely on it.
class Encoder {
 public:
  std::pair<const void*, std::size_t> handshake_result(std::string_view system, std::string_view model) {
    b_.Clear();
    auto s = string(system), m = string(model);
    auto t = b_.StartTable();
    b_.AddOffset(field(0), s);
    b_.AddOffset(field(1), m);
    return finish(Type::handshake_result, b_.EndTable(t));
  }

  std::pair<const void*, std::size_t> empty(Type type) {
    b_.Clear();
    auto t = b_.StartTable();
    return finish(type, b_.EndTable(t));
  }

  std::pair<const void*, std::size_t> run_result(const View& v) {
    b_.Clear();
    auto x = tensor(v);
    auto t = b_.StartTable();
    b_.AddOffset(field(0), x);
    return finish(Type::run_result, b_.EndTable(t));
  }

  // value: an Observe's or Tag's, null for none.
  std::pair<const void*, std::size_t> statement(Type type, std::string_view address, std::string_view name,
                                                const Distribution* d, bool control, const View* value) {
    b_.Clear();
    auto a = string(address), n = string(name);
    flatbuffers::Offset<void> dist = 0, v = 0;
    if (d != nullptr) {
      flatbuffers::Offset<void> p[2] = {tensor(d->a), 0};
      if (d->parameters == 2) p[1] = tensor(d->b);
      auto t = b_.StartTable();
      for (int i = 0; i < d->parameters; i++) b_.AddOffset(field(i), p[i]);
      dist = b_.EndTable(t);
    }
    if (value != nullptr) v = tensor(*value);
    auto t = b_.StartTable();
    b_.AddOffset(field(0), a);
    b_.AddOffset(field(1), n);
    if (type == tag) {
      b_.AddOffset(field(2), v);
      return finish(type, b_.EndTable(t));
    }
    b_.AddElement<std::uint8_t>(field(2), d != nullptr ? static_cast<std::uint8_t>(d->kind) : 0, 0);
    if (d != nullptr) b_.AddOffset(field(3), dist);
    if (type == sample) {
      b_.AddElement<std::uint8_t>(field(4), control ? 1 : 0, 1);
    } else if (value != nullptr) {
      b_.AddOffset(field(4), v);
    }
    return finish(type, b_.EndTable(t));
  }

 private:
  static flatbuffers::voffset_t field(int i) { return static_cast<flatbuffers::voffset_t>(4 + 2 * i); }

  flatbuffers::Offset<void> string(std::string_view s) { return b_.CreateString(s.data(), s.size()).o; }

  flatbuffers::Offset<void> tensor(const View& v) {
    auto data = b_.CreateVector(v.data, v.size);
    auto shape = b_.CreateVector(v.shape, v.rank);
    auto t = b_.StartTable();
    b_.AddOffset(field(0), data);
    b_.AddOffset(field(1), shape);
    return b_.EndTable(t);
  }

  std::pair<const void*, std::size_t> finish(Type type, flatbuffers::uoffset_t body) {
    auto t = b_.StartTable();
    b_.AddElement<std::uint8_t>(field(0), type, 0);
    b_.AddOffset(field(1), flatbuffers::Offset<void>(body));
    b_.Finish(flatbuffers::Offset<void>(b_.EndTable(t)));
    return {b_.GetBufferPointer(), b_.GetSize()};
  }

  flatbuffers::FlatBufferBuilder b_{512};
};

// Reads the engine's messages; every offset is checked before use.
class Decoder {
 public:
  Type type = reset;
  // The value of a SampleResult, valid until the next decode.
  std::vector<double> data;
  std::vector<std::int32_t> shape;
  bool has_value = false;

  void decode(const void* bytes, std::size_t size) {
    p_ = static_cast<const std::uint8_t*>(bytes);
    n_ = size;
    has_value = false;
    std::size_t root = indirect(0);
    std::size_t at = field(root, 0, 1);
    std::uint8_t t = at ? p_[at] : 0;
    if (t == 0 || t > reset) throw ProtocolError("malformed message: type " + std::to_string(t));
    type = static_cast<Type>(t);
    std::size_t body = field(root, 1, 4);
    if (!body) throw ProtocolError(std::string("malformed message: ") + type_name(t) + " without a body");
    if (type == sample_result) tensor(indirect(body), 0);
  }

 private:
  const std::uint8_t* p_ = nullptr;
  std::size_t n_ = 0;

  template <class T>
  T read(std::size_t at) const {
    if (at > n_ || n_ - at < sizeof(T)) throw ProtocolError("malformed message: an offset leaves it");
    T v;
    std::memcpy(&v, p_ + at, sizeof v);
    return v;
  }

  std::size_t indirect(std::size_t at) const { return at + read<std::uint32_t>(at); }

  // Position of a field of some bytes, 0 if it is absent.
  std::size_t field(std::size_t table, int i, std::size_t bytes) const {
    std::int64_t vt = static_cast<std::int64_t>(table) - read<std::int32_t>(table);
    if (vt < 0) throw ProtocolError("malformed message: a vtable leaves it");
    auto vtable = static_cast<std::size_t>(vt);
    std::size_t length = read<std::uint16_t>(vtable), slot = static_cast<std::size_t>(4 + 2 * i);
    if (slot + 2 > length) return 0;
    std::size_t at = read<std::uint16_t>(vtable + slot);
    if (at == 0) return 0;
    if (at < 4 || table + at + bytes > n_) throw ProtocolError("malformed message: a field leaves its table");
    return table + at;
  }

  template <class T>
  void vector(std::size_t table, int i, std::vector<T>& out) const {
    out.clear();
    std::size_t f = field(table, i, 4);
    if (!f) return;
    std::size_t at = indirect(f), n = read<std::uint32_t>(at);
    if (n > (n_ - at - 4) / sizeof(T)) throw ProtocolError("malformed message: a vector leaves it");
    out.resize(n);
    if (n) std::memcpy(out.data(), p_ + at + 4, n * sizeof(T));
  }

  void tensor(std::size_t table, int i) {
    std::size_t f = field(table, i, 4);
    if (!f) return;
    std::size_t t = indirect(f);
    vector(t, 0, data);
    vector(t, 1, shape);
    std::size_t n = 1;
    for (auto d : shape) n *= d < 0 ? 0 : static_cast<std::size_t>(d);
    if (data.empty() && shape.empty()) return;
    if (n != data.size()) throw ProtocolError("malformed message: a shape does not fit its data");
    has_value = true;
  }
};

// ---- Addresses

// An address is the call stack from the model down to the statement: for each function its demangled name
// and the offset in it, or its module and the offset in that where there is no symbol (link with -rdynamic
// for names). Neither depends on where the system has loaded the program. Describing a stack takes
// microseconds, so descriptions are kept by the stack's return addresses.
class Addresses {
 public:
  static constexpr int max_depth = 256;
  static constexpr std::size_t max_known = 1 << 16;

  // Notes how deep the stack is where the model is called.
  // inlined: the model may be part of its caller.
#if defined(PPX_USE_FRAME_POINTERS)
  void begin(void* frame, bool inlined) {
    root_ = reinterpret_cast<std::uintptr_t>(frame);
    inlined_ = inlined;
  }
#else
  [[gnu::noinline]] void begin(void*, bool inlined) {
    base_ = walk(nullptr) - 1;  // this function apart
    inlined_ = inlined;
  }
#endif

  // The address of the statement whose implementation has this frame.
  [[gnu::noinline]] std::string_view at(void* frame) {
    int n = walk(frame);
    if (n < max_depth) n = n > base_ ? n - base_ : 1;
    std::uint64_t h = 0x9E3779B97F4A7C15u;
    for (int i = 0; i < n; i++) {
      h = (h ^ reinterpret_cast<std::uintptr_t>(pcs_[i])) * 0xFF51AFD7ED558CCDu;
      h ^= h >> 32;
    }
    auto range = known_.equal_range(h);
    for (auto it = range.first; it != range.second; ++it) {
      const auto& k = it->second.pcs;
      if (static_cast<int>(k.size()) == n && std::memcmp(k.data(), pcs_, sizeof(void*) * k.size()) == 0) return it->second.text;
    }
    if (known_.size() >= max_known) known_.clear();  // stacks without end: recursion that branches at random
    auto it = known_.emplace(h, Known{std::vector<void*>(pcs_, pcs_ + n), describe(n)});
    return it->second.text;
  }

 private:
  struct Known {
    std::vector<void*> pcs;
    std::string text;
  };

  // Innermost frames that are not the model's: at() and the statement, unless the walk begins above them.
#if defined(PPX_USE_FRAME_POINTERS)
  static constexpr int own_frames = 0;
#else
  static constexpr int own_frames = 2;
#endif

  void* pcs_[max_depth];
  int base_ = 0;
  bool inlined_ = false;
  std::unordered_multimap<std::uint64_t, Known> known_;

#if defined(PPX_USE_LIBUNWIND)
  [[gnu::always_inline]] int walk(void*) { return unw_backtrace(pcs_, max_depth); }
#elif defined(PPX_USE_FRAME_POINTERS)
  std::uintptr_t root_ = 0;

  // Follows the saved frame pointers up to the model's caller. They must go up the stack, or the chain is
  // broken (by code without frame pointers) and ends.
  int walk(void* frame) {
    int n = 0;
    for (auto fp = reinterpret_cast<std::uintptr_t>(frame); n < max_depth;) {
      auto* f = reinterpret_cast<void**>(fp);
      auto next = reinterpret_cast<std::uintptr_t>(f[0]);
      if (n > 0 && next >= root_) break;
      pcs_[n++] = f[1];
      if (next <= fp || next >= root_ || next % sizeof(void*) != 0) break;
      fp = next;
    }
    return n;
  }
#else
  [[gnu::always_inline]] int walk(void*) { return backtrace(pcs_, max_depth); }
#endif

  // All frames but this class's and the statement's own. What is left out is the same for all statements,
  // so different stacks have different descriptions.
  std::string describe(int n) const {
    std::string out = "[";
    for (int i = n - 1; i >= own_frames; i--) {
      std::string name = frame_name(pcs_[i]);
      if (i == n - 1 && n < max_depth) {
        // In invoke: the model itself where the compiler has put it into its caller, else always the same.
        if (!inlined_) continue;
        name = "model" + name.substr(name.rfind('+'));
      }
      if (out.size() > 1) out += "; ";
      out += name;
    }
    return out + "]";
  }

  static std::string frame_name(void* pc) {
    char offset[32];
    Dl_info info;
    // The return address may be the first of the next function: look at the call itself.
    auto p = static_cast<char*>(pc) - 1;
    if (!dladdr(p, &info)) {
      std::snprintf(offset, sizeof offset, "?+%p", pc);
      return offset;
    }
    if (info.dli_sname == nullptr) {
      const char* slash = std::strrchr(info.dli_fname, '/');
      std::snprintf(offset, sizeof offset, "+0x%zx", static_cast<std::size_t>(static_cast<char*>(pc) - static_cast<char*>(info.dli_fbase)));
      return std::string(slash ? slash + 1 : info.dli_fname) + offset;
    }
    std::snprintf(offset, sizeof offset, "+0x%zx", static_cast<std::size_t>(static_cast<char*>(pc) - static_cast<char*>(info.dli_saddr)));
    int status = 0;
    std::unique_ptr<char, void (*)(void*)> name(abi::__cxa_demangle(info.dli_sname, nullptr, nullptr, &status), std::free);
    return std::string(status == 0 ? name.get() : info.dli_sname) + offset;
  }
};

// ---- The connection

class Connection {
 public:
  Encoder encoder;
  Decoder decoder;
  Addresses addresses;
  std::string scratch;  // pending Handshake

  explicit Connection(const std::string& endpoint) {
    context_ = zmq_ctx_new();
    if (context_ == nullptr) throw Error("ppx: " + std::string(zmq_strerror(zmq_errno())));
    socket_ = zmq_socket(context_, ZMQ_REP);
    int linger = 200;
    if (socket_ == nullptr || zmq_setsockopt(socket_, ZMQ_LINGER, &linger, sizeof linger) != 0 || zmq_bind(socket_, endpoint.c_str()) != 0) {
      std::string why = zmq_strerror(zmq_errno());
      close();
      throw Error("ppx: cannot bind " + endpoint + ": " + why);
    }
    zmq_msg_init(&msg_);
  }
  ~Connection() {
    zmq_msg_close(&msg_);
    close();
  }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  void send(std::pair<const void*, std::size_t> m) {
    while (zmq_send(socket_, m.first, m.second, 0) < 0) {
      if (zmq_errno() != EINTR) throw Error("ppx: sending: " + std::string(zmq_strerror(zmq_errno())));
    }
  }

  // Waits for a message and decodes it.
  void receive() {
    while (zmq_msg_recv(&msg_, socket_, 0) < 0) {
      if (zmq_errno() != EINTR) throw Error("ppx: receiving: " + std::string(zmq_strerror(zmq_errno())));
    }
    decoder.decode(zmq_msg_data(&msg_), zmq_msg_size(&msg_));
  }

  bool pending = false;  // a Handshake came where an answer was due

  void ask(std::pair<const void*, std::size_t> m, Type answer) {
    if (pending) throw RunAborted{};  // the model went on after RunAborted
    send(m);
    receive();
    if (decoder.type == answer) return;
    if (decoder.type == handshake) {
      pending = true;
      throw RunAborted{};
    }
    throw ProtocolError(std::string("ppx: ") + type_name(decoder.type) + " where " + type_name(answer) + " was due");
  }

 private:
  void* context_ = nullptr;
  void* socket_ = nullptr;
  zmq_msg_t msg_;

  void close() {
    if (socket_ != nullptr) zmq_close(socket_);
    zmq_ctx_term(context_);
  }
};

// ---- Without an engine

class Local {
 public:
  explicit Local(std::uint64_t seed) : rng_(seed) {}

  Tensor draw(const Distribution& d) {
    if (d.kind == Kind::categorical) return categorical(d.a.tensor);
    View a(d.a), b(d.b);
    if (d.parameters < 2) b = a;
    Tensor out;
    out.shape = broadcast(a, b);
    std::size_t n = 1;
    for (auto s : out.shape) n *= static_cast<std::size_t>(s);
    out.data.resize(n);
    for (std::size_t i = 0; i < n; i++) out.data[i] = one(d.kind, element(a, out.shape, i), element(b, out.shape, i));
    return out;
  }

 private:
  std::mt19937_64 rng_;

  static std::vector<std::int32_t> broadcast(const View& a, const View& b) {
    std::vector<std::int32_t> out(std::max(a.rank, b.rank));
    for (std::size_t i = 0; i < out.size(); i++) {
      auto from = [&](const View& v) { return i + v.rank < out.size() ? 1 : v.shape[i + v.rank - out.size()]; };
      auto x = from(a), y = from(b);
      if (x != y && x != 1 && y != 1) throw Error("ppx: parameters do not broadcast");
      out[i] = x == 1 ? y : x;
    }
    return out;
  }

  static double element(const View& v, const std::vector<std::int32_t>& shape, std::size_t flat) {
    std::size_t at = 0, stride = 1;
    for (std::size_t k = 0; k < shape.size(); k++) {
      std::size_t d = shape.size() - 1 - k, i = flat % static_cast<std::size_t>(shape[d]);
      flat /= static_cast<std::size_t>(shape[d]);
      if (k < v.rank) {
        auto own = static_cast<std::size_t>(v.shape[v.rank - 1 - k]);
        if (own != 1) at += i * stride;
        stride *= own;
      }
    }
    return v.data[at];
  }

  double uniform() { return (static_cast<double>(rng_() >> 11) + 0.5) * 0x1p-53; }
  double gamma(double shape) { return std::gamma_distribution<double>(shape, 1)(rng_); }
  // In logs, as small shapes underflow.
  double log_gamma_variate(double shape) {
    return shape < 1 ? std::log(gamma(shape + 1)) + std::log(uniform()) / shape : std::log(gamma(shape));
  }

  double one(Kind k, double a, double b) {
    switch (k) {
      case Kind::normal: return std::normal_distribution<double>(a, b)(rng_);
      case Kind::uniform: return a + (b - a) * uniform();
      case Kind::poisson: return a > 0 ? static_cast<double>(std::poisson_distribution<std::int64_t>(a)(rng_)) : 0;
      case Kind::bernoulli: return uniform() < a ? 1 : 0;
      case Kind::beta: {
        double x = log_gamma_variate(a), y = log_gamma_variate(b);
        return 1 / (1 + std::exp(y - x));
      }
      case Kind::exponential: return std::exponential_distribution<double>(a)(rng_);
      case Kind::gamma: return gamma(a) / b;
      case Kind::log_normal: return std::lognormal_distribution<double>(a, b)(rng_);
      case Kind::binomial: return static_cast<double>(std::binomial_distribution<std::int64_t>(static_cast<std::int64_t>(a), b)(rng_));
      case Kind::weibull: return std::weibull_distribution<double>(b, a)(rng_);
      default: throw Error("ppx: a Sample without distribution");
    }
  }

  Tensor categorical(const Tensor& probs) {
    if (probs.shape.empty() || probs.shape.back() < 1) throw Error("ppx: Categorical needs one probability per category");
    auto k = static_cast<std::size_t>(probs.shape.back());
    Tensor out;
    out.shape.assign(probs.shape.begin(), probs.shape.end() - 1);
    for (std::size_t at = 0; at + k <= probs.data.size(); at += k) {
      out.data.push_back(static_cast<double>(std::discrete_distribution<int>(
          probs.data.begin() + static_cast<std::ptrdiff_t>(at), probs.data.begin() + static_cast<std::ptrdiff_t>(at + k))(rng_)));
    }
    return out;
  }
};

// What answers the statements of this thread: an engine, else the thread's own generator.
struct Current {
  Connection* engine = nullptr;
  std::unique_ptr<Local> local;

  Local& generator() {
    if (!local) local = std::make_unique<Local>((static_cast<std::uint64_t>(std::random_device{}()) << 32) ^ std::random_device{}());
    return *local;
  }
};

inline Current& current() {
  static thread_local Current c;
  return c;
}

// The address of the statement in whose implementation this is expanded.
#define PPX_DETAIL_ADDRESS(engine, site) \
  ((site).explicit_address.empty() ? (engine).addresses.at(__builtin_frame_address(0)) : (site).explicit_address)

}  // namespace detail

// ---- What a model calls

// Whether an engine answers this thread at present.
inline bool attached() { return detail::current().engine != nullptr; }

// Seeds this thread's own generator, for runs without an engine.
inline void seed(std::uint64_t s) { detail::current().local = std::make_unique<detail::Local>(s); }

// A number from d: the engine's choice, or a draw when there is no engine. d must not be over tensors of
// more than one element.
[[gnu::noinline]] inline double sample(const Distribution& d, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return detail::current().generator().draw(d).data.at(0);
  e->ask(e->encoder.statement(detail::sample, PPX_DETAIL_ADDRESS(*e, site), name, &d, site.controlled, nullptr), detail::sample_result);
  if (e->decoder.data.empty() || !e->decoder.has_value) throw ProtocolError("ppx: an empty answer to Sample");
  return e->decoder.data[0];
}

// A tensor from d, in the shape to which its parameters broadcast.
[[gnu::noinline]] inline Tensor sample_tensor(const Distribution& d, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return detail::current().generator().draw(d);
  e->ask(e->encoder.statement(detail::sample, PPX_DETAIL_ADDRESS(*e, site), name, &d, site.controlled, nullptr), detail::sample_result);
  if (!e->decoder.has_value) throw ProtocolError("ppx: an empty answer to Sample");
  return Tensor(e->decoder.data, e->decoder.shape);
}

// Data of this name are distributed like d; the engine has the data.
[[gnu::noinline]] inline void observe(const Distribution& d, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  e->ask(e->encoder.statement(detail::observe, PPX_DETAIL_ADDRESS(*e, site), name, &d, true, nullptr), detail::observe_result);
}

// The same with a value that the simulator knows itself.
[[gnu::noinline]] inline void observe_value(const Distribution& d, const Tensor& value, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::View v(value);
  e->ask(e->encoder.statement(detail::observe, PPX_DETAIL_ADDRESS(*e, site), name, &d, true, &v), detail::observe_result);
}

// Records a value that the model computed.
[[gnu::noinline]] inline void tag(double value, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::View v(value);
  e->ask(e->encoder.statement(detail::tag, PPX_DETAIL_ADDRESS(*e, site), name, nullptr, true, &v), detail::tag_result);
}

[[gnu::noinline]] inline void tag(const Tensor& value, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::View v(value);
  e->ask(e->encoder.statement(detail::tag, PPX_DETAIL_ADDRESS(*e, site), name, nullptr, true, &v), detail::tag_result);
}

// ---- Running a model

namespace detail {

// Calls the model. Its result may be a number, a vector, a Tensor, or nothing.
template <class F>
[[gnu::noinline]] Tensor invoke(void* model) {
  F& f = *static_cast<F*>(model);
  if constexpr (std::is_void_v<decltype(f())>) {
    f();
    asm volatile("");  // no tail call: this frame must be there
    return Tensor(0.0);
  } else {
    Tensor t(f());
    asm volatile("");
    return t;
  }
}

// Where addresses begin: the frame above invoke.
[[gnu::noinline]] inline Tensor call(Addresses& a, Tensor (*invoke)(void*), void* model, bool inlined) {
  a.begin(__builtin_frame_address(0), inlined);
  Tensor t = invoke(model);
  asm volatile("");
  return t;
}

template <class F>
Tensor call(Addresses& a, F& model) {
  return call(a, invoke<F>, &model, !std::is_pointer_v<F>);
}

template <class F>
void serve(Connection& c, const std::string& name, F& model) {
  const std::string system = std::string("ppx.hpp ") + version + " (C++; addresses by " + stack_walker + ")";
  for (bool again = false;;) {
    Type type = handshake;
    if (!again) {
      try {
        c.receive();
        type = c.decoder.type;
      } catch (const ProtocolError&) {
        type = reset;
      }
    }
    again = false;
    if (type == handshake) {
      c.send(c.encoder.handshake_result(system, name));
    } else if (type == run) {
      try {
        Tensor result = call(c.addresses, model);
        if (!c.pending) c.send(c.encoder.run_result(result));
      } catch (const RunAborted&) {
        if (!c.pending) throw;
      }
      again = c.pending;  // also when the model has swallowed RunAborted
      c.pending = false;
    } else {
      c.send(c.encoder.empty(reset));
    }
  }
}

}  // namespace detail

// Binds endpoint (tcp://127.0.0.1:5555, ipc:///path, ipc://@name) and answers engines until the process
// ends; throws Error, or what the model throws: the protocol has no message for a failed run, and the
// engine notices the end of the process. Anyone who can connect can run the model: PPX has no
// authentication, so bind loopback or a Unix socket unless the network is yours.
template <class F>
[[noreturn]] void serve(const std::string& endpoint, const std::string& name, F model) {
  detail::Connection c(endpoint);
  struct Attach {
    detail::Connection* before = detail::current().engine;
    explicit Attach(detail::Connection* c) { detail::current().engine = c; }
    ~Attach() { detail::current().engine = before; }
  } attach(&c);
  detail::serve(c, name, model);
  std::abort();  // not reached
}

// The main function of a simulator: with an endpoint, as --endpoint ENDPOINT, as the first argument or in
// PPX_ENDPOINT, it serves an engine until it is stopped; else it runs the model once by itself. Returns
// the exit code.
template <class F>
int main(const std::string& name, F model, int argc, char** argv) {
  std::string endpoint;
  if (const char* e = std::getenv(endpoint_variable)) endpoint = e;
  for (int i = 1; i < argc; i++) {
    std::string_view a = argv[i];
    if (a == "--endpoint" && i + 1 < argc) endpoint = argv[++i];
    else if (a == "--seed" && i + 1 < argc) seed(std::strtoull(argv[++i], nullptr, 10));
    else if (a.find("://") != std::string_view::npos) endpoint = a;
    else {
      std::fprintf(stderr, "%s: unknown argument %s; usage: %s [ENDPOINT | --endpoint ENDPOINT] [--seed N]\n", name.c_str(), argv[i], argv[0]);
      return 2;
    }
  }
  try {
    if (!endpoint.empty()) serve(endpoint, name, std::move(model));
    model();
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
    return 1;
  }
}

}  // namespace ppx

#endif  // PPX_PPX_HPP
