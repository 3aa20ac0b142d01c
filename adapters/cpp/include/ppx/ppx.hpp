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

#include <zmq.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <vector>

#include "detail/address.hpp"
#include "detail/notes.hpp"
#include "detail/wire.hpp"
#include "distributions.hpp"

namespace ppx {

inline constexpr const char* version = "0.1.0";
inline constexpr const char* endpoint_variable = "PPX_ENDPOINT";

// What a statement leaves to itself unless told otherwise.
struct Site {
  std::string_view explicit_address;  // instead of the call stack
  bool controlled = true;             // false: the engine is to use no proposal here

  Site& address(std::string_view a) { explicit_address = a; return *this; }
  Site& no_control() { controlled = false; return *this; }
};

namespace detail {

// ---- The connection

// The socket is broken.
struct ConnectionError : Error {
  using Error::Error;
};

// The engine, as the simulator sees it: it is asked, or told later what the simulator has done by itself.
class Connection {
 public:
  Encoder encoder;
  Decoder decoder;
  Addresses addresses;

  Connection(const std::string& endpoint, std::string system, std::string model) : system_(std::move(system)), model_(std::move(model)) {
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

  // Answers one message between two runs; run makes a run and returns its result.
  template <class F>
  void serve_one(F&& run) {
    Type type = reset;
    try {
      receive();
      type = decoder.type;
    } catch (const ProtocolError&) {
    }
    if (type == handshake) {
      greet();
    } else if (type == abort) {
      if (decoder.leave) token_ = 0;
      send(encoder.reset(Reason::aborted, ""));
    } else if (type == detail::run) {
      order(run);
    } else {
      send(encoder.reset(Reason::out_of_turn, ""));
    }
  }

  // A Sample: the value stays valid until the next statement.
  View sample(std::string_view address, bool stays, std::string_view name, const Distribution& d, bool control) {
    check_over();
    if (extension_of(d.kind) > speaks_) return by_uniforms(address, name, d, control);
    if (mode_ != Mode::delegate) {
      notes_.count(name);
      solo_.statement++;
      const Chunk* earlier = before();
      ask(encoder.statement(detail::sample, address, name, &d, control, nullptr, earlier), sample_result, earlier != nullptr);
      return answer(address, d);
    }
    if (!solo_.prepare(d)) refuse(address, stays, name, d, control);
    View v;
    v.data = solo_.value.data();
    v.size = solo_.value.size();
    v.shape = solo_.shape.data();
    v.rank = solo_.shape.size();
    make_room();
    Form& f = notes_.form(detail::sample, address, stays, name, &d, control, &v);
    const Tensor* given = notes_.given(f);
    const View* reused = f.base->reused(f.base->count(notes_.epoch()));
    if (given != nullptr && given->data.size() == v.size) v.data = given->data.data();
    else if (reused != nullptr && reused->size == v.size && (v.size == 1 || std::equal(reused->shape, reused->shape + reused->rank, v.shape, v.shape + v.rank))) v.data = reused->data;
    else solo_.sample(d, control);
    solo_.statement++;
    notes_.add(f, &d, &v);
    flush_if_due();
    return v;
  }

  // A Sample of a distribution of the simulator's own, which it draws whoever else draws.
  template <class Draw, class LogProb>
  double own(std::string_view address, bool stays, std::string_view name, Kind kind, Tensor parameters, bool control, Draw draw, LogProb log_prob) {
    check_over();
    if (extension_of(kind) > speaks_) {
      throw Error("ppx: a custom distribution at " + std::string(address) +
                  ": the engine would have to leave the draw to the simulator, and knows nothing of that (it speaks an extension below 4)");
    }
    double value = 0;
    Distribution d(kind, 0.0, Parameter(std::move(parameters)));
    View v(value);
    bool asked = mode_ == Mode::ask;
    Form* f = nullptr;
    const Tensor* given = nullptr;
    const View* reused = nullptr;
    if (asked) {
      given = notes_.given(name);
    } else {
      make_room();
      f = &notes_.form(detail::sample, address, stays, name, &d, control, &v);
      given = notes_.given(*f);
      reused = f->base->reused(f->base->count(notes_.epoch()));
    }
    if (given != nullptr && given->data.size() == 1) value = given->data[0];
    else if (reused != nullptr && reused->size == 1) value = reused->data[0];
    else {
      rng::Stream s(solo_.seed, solo_.stream, solo_.statement, solo_.draw, rng::for_value);
      value = static_cast<double>(draw(s));
    }
    d.a.number = static_cast<double>(log_prob(value));
    solo_.statement++;
    if (asked) {
      ask(encoder.statement(detail::sample, address, name, &d, control, &v), sample_result, false);
    } else {
      notes_.add(*f, &d, &v);
      flush_if_due();
    }
    return value;
  }

  // An Observe or a Tag.
  void tell(Type type, std::string_view address, bool stays, std::string_view name, const Distribution* d, const View* value, Type answer) {
    check_over();
    if (value != nullptr && value->size == 0 && value->rank == 0) value = nullptr;  // an empty Tensor is no value
    if (d != nullptr && extension_of(d->kind) > speaks_) strange("Observe", address, d->kind);
    if ((value != nullptr && !fits(*value)) || (d != nullptr && !fits(*d))) {
      throw Error("ppx: a tensor whose shape does not fit its data at " + std::string(address));
    }
    solo_.statement++;
    if (mode_ == Mode::ask) {
      notes_.count(name);
      ask(encoder.statement(type, address, name, d, true, value), answer, false);
      return;
    }
    make_room();
    Form& f = notes_.form(type, address, stays, name, d, true, value);
    if (f.named != nullptr) f.named->count(notes_.epoch());
    notes_.add(f, d, value);
    flush_if_due();
  }

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::seconds lease{10};  // how long the simulator is kept for an engine that says nothing

  void* context_ = nullptr;
  void* socket_ = nullptr;
  zmq_msg_t msg_;
  std::string system_, model_;

  // The engine's session.
  std::uint64_t token_ = 0;
  Clock::time_point contact_ = Clock::now();
  unsigned speaks_ = 0;  // the extension; 0: none
  Notes notes_;

  // The run in progress.
  Mode mode_ = Mode::ask;
  Solo solo_;
  std::chrono::milliseconds flush_every_{0};
  std::size_t flush_bytes_ = 0;
  Clock::time_point flushed_;
  bool over_ = false;     // abandoned by the engine
  bool pending_ = false;  // with a Handshake, in decoder
  bool leaving_ = false;

  void close() {
    if (socket_ != nullptr) zmq_close(socket_);
    zmq_ctx_term(context_);
  }

  void send(std::pair<const void*, std::size_t> m) {
    contact_ = Clock::now();
    while (zmq_send(socket_, m.first, m.second, 0) < 0) {
      if (zmq_errno() != EINTR) throw ConnectionError("ppx: sending: " + std::string(zmq_strerror(zmq_errno())));
    }
  }

  // Waits for a message of this session's engine, or of one that may begin a session.
  void receive() {
    for (;;) {
      while (zmq_msg_recv(&msg_, socket_, 0) < 0) {
        if (zmq_errno() != EINTR) throw ConnectionError("ppx: receiving: " + std::string(zmq_strerror(zmq_errno())));
      }
      try {
        decoder.decode(zmq_msg_data(&msg_), zmq_msg_size(&msg_));
      } catch (const ProtocolError&) {
        if (token_ == 0) throw;
        auto kept = contact_;  // it may be anybody's
        send(encoder.reset(Reason::out_of_turn, ""));
        contact_ = kept;
        continue;
      }
      auto now = Clock::now();
      if (token_ == 0 || decoder.token == token_ || (decoder.type == handshake && now - contact_ > lease)) {
        contact_ = now;
        return;
      }
      auto m = encoder.reset(Reason::busy, "another engine is at this simulator");
      auto kept = contact_;
      send(m);
      contact_ = kept;
    }
  }

  void greet() {
    token_ = decoder.token;
    speaks_ = std::min(decoder.speaks, extension);
    notes_.reset();
    send(encoder.handshake_result(system_, model_, std::min(decoder.speaks, extension)));
  }

  // Makes the runs that a Run message asks for.
  template <class F>
  void order(F& run) {
    over_ = pending_ = leaving_ = false;
    if (!notes_.chunk.forms.empty() || !notes_.chunk.statements.empty()) notes_.restart();  // left over from a run that was lost
    std::string failure;
    bool failed = false, astray = false;
    try {
      Order& o = decoder.order;
      mode_ = o.mode;
      solo_.seed = o.seed;
      solo_.stream = o.stream;
      solo_.inflation = o.inflation;
      flush_every_ = std::chrono::milliseconds(o.flush_ms);
      flush_bytes_ = o.flush_bytes;
      notes_.take(o);
      draws_.swap(o.draws);
      streams_.swap(o.streams);
      flushed_ = Clock::now();
      make_runs(run);
    } catch (const RunAborted&) {
      if (!over_ && speaks_ == 0) throw;
      failed = true;  // unless it is over: thrown by the model itself
      failure = "the model threw ppx::RunAborted";
    } catch (const ConnectionError&) {
      throw;
    } catch (const ProtocolError& e) {
      if (!over_ && speaks_ == 0) throw;
      failed = astray = true;
      failure = e.what();
    } catch (const std::exception& e) {
      if (!over_ && speaks_ == 0) throw;
      failed = true;
      failure = e.what();
    }
    if (pending_) {
      pending_ = false;
      greet();
    } else if (over_) {  // also when the model has swallowed RunAborted
      if (leaving_) token_ = 0;
      send(encoder.reset(Reason::aborted, ""));
    } else if (failed) {
      if (mode_ == Mode::delegate && notes_.bytes > 0 && !astray) flush_before_failure();
      if (!over_) send(encoder.reset(Reason::failed, readable(failure)));
    }
  }

  // An error's text as it may be sent: not too long, and UTF-8.
  static std::string readable(std::string s) {
    if (s.size() > 4000) s.resize(4000);
    for (std::size_t i = 0; i < s.size();) {
      auto c = static_cast<unsigned char>(s[i]);
      std::size_t n = c < 0x80 ? 1 : c >= 0xc2 && c < 0xe0 ? 2 : c >= 0xe0 && c < 0xf0 ? 3 : c >= 0xf0 && c < 0xf5 ? 4 : 0;
      bool ok = n > 0 && i + n <= s.size();
      for (std::size_t k = 1; ok && k < n; k++) ok = (static_cast<unsigned char>(s[i + k]) & 0xc0) == 0x80;
      if (ok && n == 3) {  // neither overlong nor a surrogate
        auto d = static_cast<unsigned char>(s[i + 1]);
        ok = !(c == 0xe0 && d < 0xa0) && !(c == 0xed && d >= 0xa0);
      }
      if (ok && n == 4) {
        auto d = static_cast<unsigned char>(s[i + 1]);
        ok = !(c == 0xf0 && d < 0x90) && !(c == 0xf4 && d >= 0x90);
      }
      if (!ok) s[i] = '?';
      i += ok ? n : 1;
    }
    return s;
  }

  // Shows the engine the runs that have ended, and how far the last one has come.
  void flush_before_failure() {
    try {
      flush(true);
    } catch (const RunAborted&) {
      if (pending_) {
        pending_ = false;
        greet();
        return;
      }
      if (leaving_) token_ = 0;
      send(encoder.reset(Reason::aborted, ""));
    } catch (const ProtocolError&) {
    }
  }

  std::vector<std::uint64_t> draws_, streams_;

  template <class F>
  void make_runs(F& run) {
    if (mode_ != Mode::delegate) {
      Tensor result = one_run(run, draws_.empty() ? 0 : draws_[0]);
      if (over_) return;
      if (mode_ == Mode::ask) send(encoder.run_result(result));
      else flush(false);
      return;
    }
    for (std::size_t i = 0; i < draws_.size(); i++) {
      if (!streams_.empty()) solo_.stream = streams_[i];
      notes_.give(i);
      one_run(run, draws_[i]);
      if (over_) return;
      if (i + 1 < draws_.size()) flush_if_due();
    }
    flush(false);
  }

  template <class F>
  Tensor one_run(F& run, std::uint64_t draw) {
    if (notes_.crowded()) {
      if (!notes_.chunk.statements.empty()) flush(true);
      notes_.prune();
    }
    solo_.begin(draw);
    notes_.begin();
    auto start = Clock::now();
    Tensor result = run();
    if (result.data.empty() && result.shape.empty()) result = detail::nothing();
    if (!fits(View(result))) throw Error("ppx: the model's result has a shape that does not fit its data");
    if (!over_ && mode_ != Mode::ask) notes_.end(result, solo_.statement, std::chrono::duration<double>(Clock::now() - start).count());
    return result;
  }

  // The engine's answer to a Sample in the shape of the site: some engines answer a scalar with shape [1].
  View answer(std::string_view address, const Distribution& d) {
    if (!decoder.has_value) {
      decoder.data.clear();
      decoder.shape = {0};
    }
    bool has_shape = solo_.find_shape(d);
    View v;
    v.data = decoder.data.data();
    v.size = decoder.data.size();
    v.shape = solo_.shape.data();
    v.rank = solo_.shape.size();
    if (has_shape && elements(v.shape, v.rank) == v.size) {
      if (decoder.shape.size() <= 1) return v;
      auto sent = without_ones(decoder.shape);
      if (sent.size() <= 1 || sent == without_ones(solo_.shape)) return v;
    }
    std::string values = "whose parameters do not broadcast";
    if (has_shape) values = "whose values have shape " + shape_text(solo_.shape);
    throw ProtocolError("ppx: an answer of shape " + shape_text(decoder.shape) + " to Sample at " + std::string(address) +
                        ", " + values);
  }

  // Dimensions of 1 change nothing in the order of the elements.
  static std::vector<std::int32_t> without_ones(std::vector<std::int32_t> shape) {
    shape.erase(std::remove(shape.begin(), shape.end(), 1), shape.end());
    return shape;
  }

  static std::string shape_text(const std::vector<std::int32_t>& shape) {
    std::string s;
    for (auto d : shape) s += (s.empty() ? "" : ",") + std::to_string(d);
    return "[" + s + "]";
  }

  // The model went on after RunAborted.
  void check_over() const {
    if (over_) throw RunAborted{};
  }

  const Chunk* before() const { return notes_.chunk.statements.empty() ? nullptr : &notes_.chunk; }

  // Sends and waits for the answer.
  void ask(std::pair<const void*, std::size_t> m, Type answer, bool with_notes) {
    send(m);
    if (with_notes) notes_.empty();
    flushed_ = contact_;
    receive();
    if (decoder.type == answer) return;
    if (decoder.type == handshake || decoder.type == abort) {
      over_ = true;
      pending_ = decoder.type == handshake;
      leaving_ = decoder.type == abort && decoder.leave;
      throw RunAborted{};
    }
    throw ProtocolError(std::string("ppx: ") + type_name(decoder.type) + " where " + type_name(answer) + " was due");
  }

  void flush(bool more) {
    auto m = encoder.noted(notes_.chunk, more);
    if (more) {
      ask(m, statements_result, true);
      return;
    }
    send(m);
    notes_.empty();
  }

  void flush_if_due() {
    if (notes_.bytes < flush_bytes_ && flush_every_.count() > 0 && Clock::now() - flushed_ < flush_every_) return;
    flush(true);
  }

  // Starts the numbering anew where that is due.
  void make_room() {
    if (!notes_.full(addresses.generation)) return;
    if (!notes_.chunk.statements.empty()) flush(true);
    notes_.restart();
    notes_.know(addresses.generation);
  }

  // Draws for an engine that does not know the family: each uniform number that its sampler takes is a Sample, at an address of its own.
  View by_uniforms(std::string_view address, std::string_view name, const Distribution& d, bool control) {
    if (!name.empty()) strange("Sample", address, d.kind);
    Solo own;
    if (!own.prepare(d)) throw Error("ppx: a distribution with invalid parameters at " + std::string(address));
    struct Asked {
      Connection* connection;
      std::string address;
      bool control;
      Distribution uniform = Uniform(0, 1);
    } asked{this, std::string(address) + ".uniform", control};
    rng::Stream s(
        [](void* p) {
          auto* a = static_cast<Asked*>(p);
          return a->connection->sample(a->address, false, {}, a->uniform, a->control).data[0];
        },
        &asked);
    own.draw_from(s, d, false);
    drawn_ = Tensor(own.value, own.shape);
    return View(drawn_);
  }
  Tensor drawn_;

  // An engine without the family cannot be told of a statement.
  [[noreturn]] static void strange(const char* statement, std::string_view address, Kind kind) {
    throw Error(std::string("ppx: ") + statement + " at " + std::string(address) +
                ": the engine does not know this family (it speaks an extension of PPX below " +
                std::to_string(extension_of(kind)) + "); an unnamed Sample is drawn by uniform numbers, "
                "but a name may have data, and an Observe a density");
  }

  // Shows the engine a Sample that cannot be drawn from: it has the words for it.
  [[noreturn]] void refuse(std::string_view address, bool stays, std::string_view name, const Distribution& d, bool control) {
    if (fits(d)) {
      make_room();
      notes_.add(notes_.form(detail::sample, address, stays, name, &d, control, nullptr), &d, nullptr);
      flush(true);
    }
    throw Error("ppx: a distribution with invalid parameters at " + std::string(address));
  }
};

// ---- Without an engine

// Draws by itself: statement after statement from one seed.
class Local {
 public:
  explicit Local(std::uint64_t seed) { solo_.seed = seed; }

  View draw(const Distribution& d) {
    if (!solo_.prepare(d)) throw Error("ppx: a distribution with invalid parameters, or parameters that do not broadcast");
    solo_.sample(d, true);
    solo_.statement++;
    View v;
    v.data = solo_.value.data();
    v.size = solo_.value.size();
    v.shape = solo_.shape.data();
    v.rank = solo_.shape.size();
    return v;
  }

  template <class Draw>
  double own(Draw draw) {
    rng::Stream s(solo_.seed, solo_.stream, solo_.statement, solo_.draw, rng::for_value);
    solo_.statement++;
    return static_cast<double>(draw(s));
  }

 private:
  Solo solo_;
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

// The address of the statement in whose implementation this is expanded, and whether it stays where it is.
#define PPX_DETAIL_ADDRESS(engine, site) \
  ((site).explicit_address.empty() ? (engine).addresses.at(__builtin_frame_address(0)) : (site).explicit_address), (site).explicit_address.empty()

inline void mark(Connection& e, std::string_view address, const char* end) {
  View v(unit);
  e.tell(tag, std::string(address) + end, false, {}, nullptr, &v, tag_result);
}

inline Tensor copy(const View& v) { return Tensor(std::vector<double>(v.data, v.data + v.size), std::vector<std::int32_t>(v.shape, v.shape + v.rank)); }

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
  detail::View v = e == nullptr ? detail::current().generator().draw(d) : e->sample(PPX_DETAIL_ADDRESS(*e, site), name, d, site.controlled);
  if (v.size == 0) throw Error("ppx: sample of a distribution over tensors without elements");
  return v.data[0];
}

// A tensor from d, in the shape to which its parameters broadcast.
[[gnu::noinline]] inline Tensor sample_tensor(const Distribution& d, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  detail::View v = e == nullptr ? detail::current().generator().draw(d) : e->sample(PPX_DETAIL_ADDRESS(*e, site), name, d, site.controlled);
  return detail::copy(v);
}

// The uniform numbers of a distribution of one's own.
using Uniforms = rng::Stream;

// A number from a distribution of one's own: draw(Uniforms& u) makes it of uniform numbers u.uniform() between 0 and 1, log_prob(double x) is its log density, parameters are
// recorded. The value may be given as data, or kept from another run: then log_prob is asked for its density. The engine cannot check either function, and no network
// proposes values.
template <class Draw, class LogProb>
[[gnu::noinline]] double custom(Draw draw, LogProb log_prob, const std::vector<double>& parameters = {}, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return detail::current().generator().own(draw);
  return e->own(PPX_DETAIL_ADDRESS(*e, site), name, Kind::custom, Tensor(parameters), site.controlled, draw, log_prob);
}

// The same for integers.
template <class Draw, class LogProb>
[[gnu::noinline]] double discrete_custom(Draw draw, LogProb log_prob, const std::vector<double>& parameters = {}, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return detail::current().generator().own(draw);
  return e->own(PPX_DETAIL_ADDRESS(*e, site), name, Kind::discrete_custom, Tensor(parameters), site.controlled, draw, log_prob);
}

// Data of this name are distributed like d; the engine has the data.
[[gnu::noinline]] inline void observe(const Distribution& d, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  e->tell(detail::observe, PPX_DETAIL_ADDRESS(*e, site), name, &d, nullptr, detail::observe_result);
  asm volatile("");  // no tail call: this frame must be there
}

// Weighs the run by e^log_weight: a soft constraint, or a likelihood that was computed elsewhere. −Infinity makes the run impossible. Under ppx prior factors do nothing.
[[gnu::noinline]] inline void factor(double log_weight, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  Distribution d(Kind::factor, log_weight);
  detail::View v(detail::zero);
  e->tell(detail::observe, PPX_DETAIL_ADDRESS(*e, site), name, &d, &v, detail::observe_result);
}

// A number in the place of the name is a value: that is for observe_value. (0 would pass for a pointer to a name.)
template <class T, class = std::enable_if_t<std::is_arithmetic_v<T>>, class... Rest>
void observe(const Distribution&, T, const Rest&...) = delete;

// The same with a value that the simulator knows itself.
[[gnu::noinline]] inline void observe_value(const Distribution& d, const Tensor& value, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::View v(value);
  e->tell(detail::observe, PPX_DETAIL_ADDRESS(*e, site), name, &d, &v, detail::observe_result);
}

// Records a value that the model computed.
[[gnu::noinline]] inline void tag(double value, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::View v(value);
  e->tell(detail::tag, PPX_DETAIL_ADDRESS(*e, site), name, nullptr, &v, detail::tag_result);
}

[[gnu::noinline]] inline void tag(const Tensor& value, std::string_view name = {}, const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::View v(value);
  e->tell(detail::tag, PPX_DETAIL_ADDRESS(*e, site), name, nullptr, &v, detail::tag_result);
}

// Marks the beginning of each pass of a rejection loop, and the end of the loop after the accepted pass: a network may be trained to know the accepted
// passes alone, and traces weighed by them. Loops may be nested; data are observed after them.
[[gnu::noinline]] inline void rs_start(const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::mark(*e, site.explicit_address.empty() ? e->addresses.at(__builtin_frame_address(0)) : site.explicit_address, ":rs_start");
}

[[gnu::noinline]] inline void rs_end(const Site& site = {}) {
  auto* e = detail::current().engine;
  if (e == nullptr) return;
  detail::mark(*e, site.explicit_address.empty() ? e->addresses.at(__builtin_frame_address(0)) : site.explicit_address, ":rs_end");
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
    return nothing();
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

// A number, or nested lists of numbers, as the other clients show them too.
inline std::string text(const View& v) {
  if (!fits(v)) throw Error("ppx: the model's result has a shape that does not fit its data");
  if (v.rank == 0) {
    char number[32];
    for (int digits = 15; digits <= 17; digits++) {  // as few as tell it from its neighbours
      std::snprintf(number, sizeof number, "%.*g", digits, v.data[0]);
      if (std::strtod(number, nullptr) == v.data[0]) break;
    }
    return number;
  }
  std::string s;
  for (std::int32_t i = 0; i < v.shape[0]; i++) {
    View row = v;
    row.size /= static_cast<std::size_t>(v.shape[0]);
    row.data += static_cast<std::size_t>(i) * row.size;
    row.shape++;
    row.rank--;
    s += (i > 0 ? ", " : "") + text(row);
  }
  return "[" + s + "]";
}

}  // namespace detail

// Binds endpoint (tcp://127.0.0.1:5555, ipc:///path, ipc://@name) and answers engines until the process
// ends; throws Error when that fails. A std::exception of the model fails the run, and the engine is told; with
// one that speaks plain PPX 1.0, which has no message for it, and for anything else that the model throws, serve
// throws it, and the engine notices the end of the process. Anyone who can connect can run the model: PPX has no
// authentication, so bind loopback or a Unix socket unless the network is yours.
template <class F>
[[noreturn]] void serve(const std::string& endpoint, const std::string& name, F model) {
  detail::Connection c(endpoint, std::string("ppx.hpp ") + version + " (C++; addresses by " + stack_walker + ")", name);
  struct Attach {
    detail::Connection* before = detail::current().engine;
    explicit Attach(detail::Connection* c) { detail::current().engine = c; }
    ~Attach() { detail::current().engine = before; }
  } attach(&c);
  auto run = [&] { return detail::call(c.addresses, model); };
  for (;;) c.serve_one(run);
}

// The main function of a simulator: with an endpoint, as --endpoint ENDPOINT, as the first argument or in
// PPX_ENDPOINT, it serves an engine until it is stopped; else it runs the model once by itself and prints the
// result. Returns the exit code.
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
    const char* hint = "give an endpoint as the first argument, or start it with \"ppx … -- PROGRAM {endpoint}\"";
    std::fprintf(stderr, "%s: no engine (%s): running once by itself\n", name.c_str(), hint);
    if constexpr (std::is_void_v<decltype(model())>) {
      model();
    } else {
      Tensor result(model());
      if (!result.data.empty() || !result.shape.empty()) std::printf("%s\n", detail::text(result).c_str());
    }
    return 0;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s: %s\n", name.c_str(), e.what());
    return 1;
  }
}

}  // namespace ppx

#endif  // PPX_PPX_HPP
