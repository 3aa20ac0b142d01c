// ppx/detail/wire.hpp: messages as bytes; part of ppx.hpp.

#ifndef PPX_DETAIL_WIRE_HPP
#define PPX_DETAIL_WIRE_HPP

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "../distributions.hpp"
#include "flatbuffers/flatbuffers.h"

namespace ppx::detail {

// ---- Messages

enum Type : std::uint8_t {
  handshake = 1, handshake_result, run, run_result, sample, sample_result, observe, observe_result, tag, tag_result, reset,
  statements, statements_result, abort  // extensions
};

inline constexpr std::uint16_t extension = 4;  // the highest
inline constexpr std::uint16_t families = 3;   // the one that has more than the eleven

// Which statements of a run wait for an answer.
enum class Mode : std::uint8_t { ask, forward, delegate };

// Why a simulator sends Reset.
enum class Reason : std::uint8_t { out_of_turn, busy, failed, aborted };

inline const char* type_name(std::uint8_t t) {
  static constexpr const char* names[] = {"None", "Handshake", "HandshakeResult", "Run", "RunResult", "Sample", "SampleResult",
                                          "Observe", "ObserveResult", "Tag", "TagResult", "Reset", "Statements", "StatementsResult", "Abort"};
  return t <= abort ? names[t] : "an unknown message";
}

// Limits of the protocol.
inline constexpr std::size_t max_elements = std::size_t{1} << 26;
inline constexpr std::size_t max_rank = 32;

// The number of elements of a shape, more than max_elements for one that cannot be.
inline std::size_t elements(const std::int32_t* shape, std::size_t rank) {
  std::size_t n = 1;
  bool empty = false;
  if (rank > max_rank) return max_elements + 1;
  for (std::size_t i = 0; i < rank; i++) {
    if (shape[i] < 0) return max_elements + 1;
    if (shape[i] == 0) empty = true;
    else if (n <= max_elements) n = n > max_elements / static_cast<std::size_t>(shape[i]) ? max_elements + 1 : n * static_cast<std::size_t>(shape[i]);
  }
  return empty ? 0 : n;
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

// What all statements of one kind at one place have in common, as it is sent.
struct WireForm {
  Type op;
  bool control;
  Kind kind;
  std::uint32_t address, name;       // numbers of strings
  std::vector<std::int32_t> shapes;  // of each parameter, then of the value: rank, dimensions; −1 for no value
};

// Statements that are not waited for.
struct Chunk {
  bool restart = true;
  std::vector<std::string_view> strings;
  std::vector<WireForm> forms;
  std::vector<std::uint32_t> statements;
  std::vector<double> numbers;
};

// A Run message: how to make the next run, or several of them.
struct Order {
  struct Datum {
    std::string name;
    Tensor value;
  };
  Mode mode = Mode::ask;
  std::uint64_t seed = 0, stream = 0, data_id = 0;
  std::vector<std::uint64_t> draws, streams;
  bool has_data = false;
  std::vector<Datum> data;
  double inflation = 0;
  std::uint32_t flush_ms = 0, flush_bytes = 0;
  // Values to reuse, in columns.
  bool restart = false;
  std::vector<std::string> bases;
  std::vector<std::uint32_t> base, instance;
  std::vector<std::int32_t> shapes;
  std::vector<double> numbers;
  std::vector<std::uint32_t> ends;
};

// Writes messages into a reused buffer. Strings are always written, also empty ones, and a tensor always
// with both data and shape: existing engines rely on it.
class Encoder {
 public:
  std::pair<const void*, std::size_t> handshake_result(std::string_view system, std::string_view model, std::uint16_t speaks) {
    b_.Clear();
    auto s = string(system), m = string(model);
    auto t = b_.StartTable();
    b_.AddOffset(field(0), s);
    b_.AddOffset(field(1), m);
    b_.AddElement<std::uint16_t>(field(2), speaks, 0);
    return finish(Type::handshake_result, b_.EndTable(t));
  }

  std::pair<const void*, std::size_t> empty(Type type) {
    b_.Clear();
    auto t = b_.StartTable();
    return finish(type, b_.EndTable(t));
  }

  std::pair<const void*, std::size_t> reset(Reason reason, std::string_view error) {
    b_.Clear();
    auto e = string(error);
    auto t = b_.StartTable();
    b_.AddOffset(field(0), e);
    b_.AddElement<std::uint8_t>(field(1), static_cast<std::uint8_t>(reason), 0);
    return finish(Type::reset, b_.EndTable(t));
  }

  std::pair<const void*, std::size_t> noted(const Chunk& c, bool more) {
    b_.Clear();
    return finish(Type::statements, chunk(c, more).o);
  }

  std::pair<const void*, std::size_t> run_result(const View& v) {
    b_.Clear();
    auto x = tensor(v);
    auto t = b_.StartTable();
    b_.AddOffset(field(0), x);
    return finish(Type::run_result, b_.EndTable(t));
  }

  // value: an Observe's or Tag's, null for none. before: what was not waited for, null for nothing.
  std::pair<const void*, std::size_t> statement(Type type, std::string_view address, std::string_view name, const Distribution* d,
                                                bool control, const View* value, const Chunk* before = nullptr) {
    b_.Clear();
    flatbuffers::Offset<void> earlier = 0;
    if (before != nullptr) earlier = chunk(*before, false);
    auto a = string(address), n = string(name);
    flatbuffers::Offset<void> dist = 0, v = 0;
    if (d != nullptr) {
      flatbuffers::Offset<void> p[4];
      for (int i = 0; i < d->parameters; i++) p[i] = tensor((*d)[i]);
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
      if (before != nullptr) b_.AddOffset(field(5), earlier);
      if (value != nullptr) b_.AddOffset(field(6), v);
    } else if (value != nullptr) {
      b_.AddOffset(field(4), v);
    }
    return finish(type, b_.EndTable(t));
  }

 private:
  static flatbuffers::voffset_t field(int i) { return static_cast<flatbuffers::voffset_t>(4 + 2 * i); }

  flatbuffers::Offset<void> string(std::string_view s) { return b_.CreateString(s.data(), s.size()).o; }

  flatbuffers::Offset<void> chunk(const Chunk& c, bool more) {
    auto numbers = b_.CreateVector(c.numbers.data(), c.numbers.size());
    auto list = b_.CreateVector(c.statements.data(), c.statements.size());
    flatbuffers::Offset<void> forms = 0, strings = 0;
    if (!c.forms.empty()) {
      offsets_.clear();
      for (auto& f : c.forms) {
        auto shapes = b_.CreateVector(f.shapes.data(), f.shapes.size());
        auto t = b_.StartTable();
        b_.AddElement<std::uint8_t>(field(0), f.op, 0);
        b_.AddElement<std::uint8_t>(field(1), f.control ? 1 : 0, 1);
        b_.AddElement<std::uint8_t>(field(2), static_cast<std::uint8_t>(f.kind), 0);
        b_.AddElement<std::uint32_t>(field(3), f.address, 0);
        b_.AddElement<std::uint32_t>(field(4), f.name, 0);
        b_.AddOffset(field(5), shapes);
        offsets_.push_back(b_.EndTable(t));
      }
      forms = b_.CreateVector(offsets_.data(), offsets_.size()).o;
    }
    if (!c.strings.empty()) {
      offsets_.clear();
      for (auto s : c.strings) offsets_.push_back(string(s));
      strings = b_.CreateVector(offsets_.data(), offsets_.size()).o;
    }
    auto t = b_.StartTable();
    b_.AddElement<std::uint8_t>(field(0), c.restart ? 1 : 0, 0);
    if (!strings.IsNull()) b_.AddOffset(field(1), strings);
    if (!forms.IsNull()) b_.AddOffset(field(2), forms);
    b_.AddOffset(field(3), list);
    b_.AddOffset(field(4), numbers);
    b_.AddElement<std::uint8_t>(field(5), more ? 1 : 0, 0);
    return b_.EndTable(t);
  }

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
  std::vector<flatbuffers::Offset<void>> offsets_;
};

// Reads the engine's messages; every offset is checked before use.
class Decoder {
 public:
  Type type = reset;
  std::uint64_t token = 0;
  std::uint16_t speaks = 0;  // Handshake
  Order order;               // Run
  bool leave = false;        // Abort
  // The value of a SampleResult, valid until the next decode.
  std::vector<double> data;
  std::vector<std::int32_t> shape;
  bool has_value = false;

  void decode(const void* bytes, std::size_t size) {
    p_ = static_cast<const std::uint8_t*>(bytes);
    n_ = size;
    spent_ = 0;
    has_value = false;
    std::size_t root = indirect(0);
    std::size_t at = field(root, 0, 1);
    std::uint8_t t = at ? p_[at] : 0;
    at = field(root, 2, 8);
    token = at ? read<std::uint64_t>(at) : 0;
    if (t == 0 || t > abort) throw ProtocolError("malformed message: type " + std::to_string(t));
    type = static_cast<Type>(t);
    std::size_t body = field(root, 1, 4);
    if (!body) throw ProtocolError(std::string("malformed message: ") + type_name(t) + " without a body");
    body = indirect(body);
    if (type == sample_result) has_value = tensor(body, 0, data, shape);
    if (type == handshake) speaks = number<std::uint16_t>(body, 1);
    if (type == abort) leave = number<std::uint8_t>(body, 0) != 0;
    if (type == run) run_order(body);
  }

 private:
  const std::uint8_t* p_ = nullptr;
  std::size_t n_ = 0, spent_ = 0;

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
  T number(std::size_t table, int i) const {
    std::size_t at = field(table, i, sizeof(T));
    return at ? read<T>(at) : T{};
  }

  void run_order(std::size_t t) {
    Order& o = order;
    auto mode = number<std::uint8_t>(t, 0);
    if (mode > static_cast<std::uint8_t>(Mode::delegate)) throw ProtocolError("malformed message: unknown mode of a run");
    o.mode = static_cast<Mode>(mode);
    o.seed = number<std::uint64_t>(t, 1);
    o.stream = number<std::uint64_t>(t, 2);
    vector(t, 3, o.draws);
    vector(t, 10, o.streams);
    o.data_id = number<std::uint64_t>(t, 4);
    o.data.clear();
    o.has_data = field(t, 5, 4) != 0;
    for_each(t, 5, [&](std::size_t at) {
      std::size_t d = indirect(at);
      o.data.emplace_back();
      if (std::size_t f = field(d, 0, 4)) o.data.back().name = string(indirect(f));
      tensor(d, 1, o.data.back().value.data, o.data.back().value.shape);
    });
    o.restart = false;
    for (auto* v : {&o.base, &o.instance, &o.ends}) v->clear();
    o.bases.clear();
    o.shapes.clear();
    o.numbers.clear();
    if (std::size_t f = field(t, 6, 4)) {
      std::size_t u = indirect(f);
      o.restart = number<std::uint8_t>(u, 0) != 0;
      for_each(u, 1, [&](std::size_t at) { o.bases.push_back(string(indirect(at))); });
      vector(u, 2, o.base);
      vector(u, 3, o.instance);
      vector(u, 4, o.shapes);
      vector(u, 5, o.numbers);
      vector(u, 6, o.ends);
    }
    o.inflation = number<double>(t, 7);
    o.flush_ms = number<std::uint32_t>(t, 8);
    o.flush_bytes = number<std::uint32_t>(t, 9);
  }

  std::string string(std::size_t at) {
    std::size_t n = read<std::uint32_t>(at);
    if (n > n_ - at - 4) throw ProtocolError("malformed message: a string leaves it");
    spend(n + 4);
    return std::string(reinterpret_cast<const char*>(p_ + at + 4), n);
  }

  // Calls f with the position of each offset of a vector.
  template <class F>
  void for_each(std::size_t table, int i, F f) const {
    std::size_t at = field(table, i, 4);
    if (!at) return;
    at = indirect(at);
    std::size_t n = read<std::uint32_t>(at);
    if (n > (n_ - at - 4) / 4) throw ProtocolError("malformed message: a vector leaves it");
    for (std::size_t k = 0; k < n; k++) f(at + 4 + 4 * k);
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

  // False for no tensor.
  bool tensor(std::size_t table, int i, std::vector<double>& numbers, std::vector<std::int32_t>& dims) {
    std::size_t f = field(table, i, 4);
    if (!f) return false;
    std::size_t t = indirect(f);
    vector(t, 0, numbers);
    vector(t, 1, dims);
    spend(8 * numbers.size() + 4 * dims.size());
    if (numbers.empty() && dims.empty()) return false;
    // A shape that is left out: the elements one after the other.
    if (!field(t, 1, 4)) dims.push_back(static_cast<std::int32_t>(std::min(numbers.size(), max_elements + 1)));
    if (elements(dims.data(), dims.size()) != numbers.size()) throw ProtocolError("malformed message: a shape does not fit its data");
    return true;
  }

  // What is read must not be more than was sent: parts of a message that share bytes are nobody's honest work.
  void spend(std::size_t bytes) {
    if ((spent_ += bytes) > n_) throw ProtocolError("malformed message: its parts share their bytes");
  }
};

}  // namespace ppx::detail

#endif  // PPX_DETAIL_WIRE_HPP
