// ppx/detail/notes.hpp: what a simulator does by itself under PPX's extension 1: draw, count the visits of its
// sites, and collect its statements until they are sent; part of ppx.hpp.

#ifndef PPX_DETAIL_NOTES_HPP
#define PPX_DETAIL_NOTES_HPP

#include <algorithm>
#include <cstdint>
#include <deque>
#include <functional>
#include <iterator>
#include <map>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../distributions.hpp"
#include "../random.hpp"
#include "wire.hpp"

namespace ppx::detail {

// ---- Drawing

inline constexpr double zero = 0, unit = 1;

// Whether a shape describes its data.
inline bool fits(const View& v) { return v.rank == 0 ? v.size == 1 : elements(v.shape, v.rank) == v.size; }

// Whether the shapes of all parameters describe their data.
inline bool fits(const Distribution& d) {
  for (int i = 0; i < d.parameters; i++)
    if (!fits(View(d[i]))) return false;
  return true;
}

// Draws values of distributions over tensors; which random numbers it uses depends on seed, stream, draw and
// statement alone.
class Solo {
 public:
  std::uint64_t seed = 0, stream = 0, draw = 0, statement = 0;
  double inflation = 0;

  // The last value, and its shape.
  std::vector<double> value;
  std::vector<std::int32_t> shape;

  void begin(std::uint64_t d) {
    draw = d;
    statement = 0;
    decided_ = wide_ = false;
  }

  // Finds the shape of a distribution's values. False for parameters that have none together.
  bool find_shape(const Distribution& d) {
    shape.clear();
    if (auto* e = rng::events_of(d.kind)) return find_rows(d, *e);
    if (d.scalar()) return true;
    if (!fits(d)) return false;
    for (int i = 0; i < d.parameters; i++)
      if (!broadcast(View(d[i]), 0)) return false;
    return elements(shape.data(), shape.size()) <= max_elements;
  }

  // Finds the shape of a distribution's values, and makes room for one. False for invalid parameters.
  bool prepare(const Distribution& d) {
    if (d.scalar() && d.kind != Kind::categorical) {
      shape.clear();
      value.resize(1);
      double more[2];
      numbers(d, more);
      return rng::valid(d.kind, d.a.number, d.b.number, more[0], more[1]);
    }
    if (!find_shape(d)) return false;
    if (rng::events_of(d.kind) != nullptr) return prepare_rows(d);
    value.resize(elements(shape.data(), shape.size()));
    View v[4];
    views(d, v);
    for (std::size_t i = 0; i < value.size(); i++) {
      if (!rng::valid(d.kind, at(v[0], i), at(v[1], i), at(v[2], i), at(v[3], i))) return false;
    }
    return true;
  }

  // Draws a value of a distribution that was prepared.
  void sample(const Distribution& d, bool control) {
    bool wide = false;
    if (inflation > 0 && control) {
      if (!decided_) {
        decided_ = true;
        wide_ = rng::Stream(seed, stream, rng::coin_statement, draw, rng::for_proposal).uniform() < inflation;
      }
      wide = wide_;
    }
    rng::Stream s(seed, stream, statement, draw, wide ? rng::for_proposal : rng::for_value);
    draw_from(s, d, wide);
  }

  // The same from any stream.
  void draw_from(rng::Stream& s, const Distribution& d, bool wide) {
    if (auto* e = rng::events_of(d.kind)) {
      rng::Row p[3];
      for (std::size_t i = 0; i < draws_; i++) {
        if (wide) s.skip(static_cast<std::uint64_t>(i) << 16);
        rows(d, *e, i, p);
        rng::draw_rows(s, d.kind, p, wide, value.data() + i * width_);
      }
      return;
    }
    View v[4];
    views(d, v);
    for (std::size_t i = 0; i < value.size(); i++) {
      if (wide) s.skip(static_cast<std::uint64_t>(i) << 16);
      double a = at(v[0], i), b = at(v[1], i), x = at(v[2], i), y = at(v[3], i);
      value[i] = wide ? rng::draw_widened(s, d.kind, a, b, x, y) : rng::draw(s, d.kind, a, b, x, y);
    }
  }

 private:
  bool decided_ = false, wide_ = false;

  // Of families of which parameters are rows: how many draws a value is, and how many numbers a draw has.
  std::size_t draws_ = 0, width_ = 1;

  // find_shape for such a family.
  bool find_rows(const Distribution& d, const rng::Events& e) {
    for (int i = 0; i < e.count; i++) {
      View v(d[i]);
      auto own = static_cast<std::size_t>(e.event[i]);
      if (!fits(v) || v.rank < own || (own == 2 && v.shape[v.rank - 1] != v.shape[v.rank - 2]) || !broadcast(v, own)) return false;
    }
    draws_ = elements(shape.data(), shape.size());
    width_ = 1;
    if (e.like >= 0) {
      View v(d[e.like]);
      shape.push_back(v.shape[v.rank - 1]);
      width_ = static_cast<std::size_t>(v.shape[v.rank - 1]);
    }
    return elements(shape.data(), shape.size()) <= max_elements;
  }

  // The rows of draw i.
  void rows(const Distribution& d, const rng::Events& e, std::size_t i, rng::Row* p) const {
    for (int k = 0; k < e.count; k++) {
      View v(d[k]);
      auto own = static_cast<std::size_t>(e.event[k]);
      p[k].size = 1;
      for (std::size_t j = 0; j < own; j++) p[k].size *= static_cast<std::size_t>(v.shape[v.rank - 1 - j]);
      std::size_t have = p[k].size == 0 ? 0 : v.size / p[k].size, at = 0;
      if (have == draws_) at = i;
      else if (have > 1) at = index(v, own, i, shape.size() - (e.like >= 0 ? 1 : 0));
      p[k].data = v.data + at * p[k].size;
    }
  }

  bool prepare_rows(const Distribution& d) {
    auto& e = *rng::events_of(d.kind);
    for (int k = 0; k < e.count; k++) {
      View v(d[k]);
      for (int j = 0; j < e.event[k]; j++)
        if (v.shape[v.rank - 1 - static_cast<std::size_t>(j)] == 0) return false;
    }
    value.resize(draws_ * width_);
    rng::Row p[3];
    for (std::size_t i = 0; i < draws_; i++) {
      rows(d, e, i, p);
      if (!rng::valid_rows(d.kind, p)) return false;
    }
    return true;
  }

  // The third and fourth parameter of a scalar distribution; those that it does not have are 0.
  static void numbers(const Distribution& d, double (&more)[2]) {
    more[0] = d.more.empty() ? 0 : d.more[0].number;
    more[1] = d.more.size() < 2 ? 0 : d.more[1].number;
  }

  // The parameters; those that it does not have are 0.
  static void views(const Distribution& d, View (&v)[4]) {
    for (int i = 0; i < 4; i++) v[i] = i < d.parameters ? View(d[i]) : View(zero);
  }

  // Makes shape that of itself broadcast against a parameter without its last dimensions, so many.
  bool broadcast(const View& v, std::size_t without) {
    std::size_t rank = v.rank - without;
    if (rank > shape.size()) shape.insert(shape.begin(), rank - shape.size(), 1);
    for (std::size_t i = 0; i < rank; i++) {
      auto& x = shape[shape.size() - rank + i];
      auto y = v.shape[i];
      if (x != y && x != 1 && y != 1) return false;
      if (x == 1) x = y;
    }
    return true;
  }

  // Element i of a parameter that is broadcast to the value's shape.
  double at(const View& v, std::size_t i) const {
    if (v.size == 1) return v.data[0];
    if (v.size == value.size()) return v.data[i];
    return v.data[index(v, 0, i, shape.size())];
  }

  // Where a parameter without its last dimensions has what is for element i of the first dimensions of shape.
  std::size_t index(const View& v, std::size_t without, std::size_t i, std::size_t rank) const {
    std::size_t pos = 0, stride = 1;
    for (std::size_t k = 0; k + without < v.rank; k++) {
      auto d = static_cast<std::size_t>(shape[rank - 1 - k]), own = static_cast<std::size_t>(v.shape[v.rank - without - 1 - k]);
      if (own != 1) pos += i % d * stride;
      i /= d;
      stride *= own;
    }
    return pos;
  }
};

// ---- Noting

// The identity of a place: the address and the kind of distribution there.
inline std::string address_base(std::string_view address, const Distribution* d) {
  static constexpr const char* kinds[] = {"", "Normal", "Uniform", "Categorical", "Poisson", "Bernoulli", "Beta", "Exponential", "Gamma",
                                          "LogNormal", "Binomial", "Weibull", "TruncatedNormal", "HalfNormal", "StudentT", "Cauchy", "Laplace",
                                          "Logistic", "Pareto", "InverseGamma", "VonMises", "LogUniform", "NegativeBinomial2", "Geometric",
                                          "DiscreteUniform", "ZeroInflatedPoisson", "ZeroInflatedNegativeBinomial2", "BetaBinomial", "Dirichlet",
                                          "MultivariateNormal", "MultivariateStudentT", "Multinomial", "Mixture", "DiscreteMixture", "Empirical",
                                          "Histogram", "Factor", "Custom", "DiscreteCustom"};
  std::string s(address);
  if (d->kind == Kind::none) return s;
  s += "__";
  s += kinds[static_cast<int>(d->kind)];
  if (d->kind == Kind::categorical) {
    View p(d->a);
    s += "(len_probs:" + std::to_string(p.rank > 0 ? p.shape[p.rank - 1] : 0) + ")";
  }
  return s;
}

// Counts within the run of its epoch.
struct Visits {
  std::uint64_t epoch = 0;
  std::uint32_t n = 0;

  std::uint32_t count(std::uint64_t now) {
    if (epoch != now) {
      epoch = now;
      n = 0;
    }
    return ++n;
  }
};

// A name, with the data given for it.
struct Name : Visits {
  const Tensor* every = nullptr;
  std::map<std::uint32_t, const Tensor*> occurrence;

  const Tensor* data(std::uint32_t k) const {
    if (!occurrence.empty()) {
      auto it = occurrence.find(k);
      if (it != occurrence.end()) return it->second;
    }
    return every;
  }
};

// An address base of Samples, with the values to reuse at its visits.
struct Base : Visits {
  bool numbered = false;  // by the engine
  std::vector<std::pair<std::uint32_t, View>> reuse;

  // They are in the order of instances; the last of several for one wins.
  const View* reused(std::uint32_t instance) const {
    if (reuse.empty()) return nullptr;
    auto it = std::upper_bound(reuse.begin(), reuse.end(), instance, [](std::uint32_t k, const auto& r) { return k < r.first; });
    return it != reuse.begin() && (--it)->first == instance ? &it->second : nullptr;
  }
};

// What all statements of one kind at one place have in common.
struct Form {
  std::uint64_t hash;
  const char* place;    // of an address that stays where it is; else null
  std::string address;  // of any other
  std::string name;
  Type op;
  Kind kind;
  bool control;
  bool plain;  // scalars only
  std::vector<std::int32_t> shapes;
  std::uint32_t number;
  Base* base;   // of a Sample
  Name* named;  // null for none
  Form* next;
};

// Statements that have not been sent, and what both sides know of this session by number.
class Notes {
 public:
  Chunk chunk;
  std::size_t bytes = 0;  // about the size of the chunk

  // Simulators that make up addresses or names without end must not eat all memory.
  static constexpr std::size_t max_forms = 1 << 16;
  static constexpr std::size_t max_string_bytes = 32 << 20;

  Notes() { restart(); }

  // Another engine has come.
  void reset() {
    names_.clear();
    bases_.clear();
    numbered_.clear();
    reusing_.clear();
    data_.clear();
    data_id_ = 0;
    restart();
  }

  // Forgets the numbers.
  void restart() {
    forms_.clear();
    buckets_.assign(1024, nullptr);
    strings_.clear();
    string_bytes_ = 0;
    empty();
    chunk.restart = true;
  }

  void empty() {
    chunk.restart = false;
    chunk.strings.clear();
    chunk.forms.clear();
    chunk.statements.clear();
    chunk.numbers.clear();
    bytes = 0;
  }

  // The numbering must begin anew before more is noted. generation: of the addresses that stay where they are.
  bool full(std::uint64_t generation) const {
    return forms_.size() >= max_forms || string_bytes_ > max_string_bytes || generation != generation_;
  }
  void know(std::uint64_t generation) { generation_ = generation; }

  // Bases and names are due to be forgotten, between two runs with nothing left to send.
  bool crowded() const { return bases_.size() > max_forms + numbered_.size() || names_.size() > max_forms + 2 * data_.size(); }
  void prune() {
    // What the engine has numbered stays, and what has data.
    for (auto it = bases_.begin(); it != bases_.end();) it = it->second.numbered ? std::next(it) : bases_.erase(it);
    for (auto it = names_.begin(); it != names_.end();) it = it->second.every || !it->second.occurrence.empty() ? std::next(it) : names_.erase(it);
    restart();
  }

  void begin() { epoch_++; }

  // What the data have for this visit of a Sample's name; null for nothing.
  const Tensor* given(Form& f) {
    if (f.named == nullptr) return nullptr;
    auto k = f.named->count(epoch_);
    return with_data_ ? f.named->data(k) : nullptr;
  }
  std::uint64_t epoch() const { return epoch_; }
  // What the data have for this visit of a name; null for nothing.
  const Tensor* given(std::string_view name) {
    if (name.empty()) return nullptr;
    Name& n = names_[std::string(name)];
    auto k = n.count(epoch_);
    return with_data_ ? n.data(k) : nullptr;
  }
  // Counts a name that the engine is asked about.
  void count(std::string_view name) {
    if (!name.empty()) names_[std::string(name)].count(epoch_);
  }

  // The form of a statement with a value of a shape (null: without a value). stays: address stays where it is.
  Form& form(Type op, std::string_view address, bool stays, std::string_view name, const Distribution* d, bool control, const View* value) {
    Kind kind = d != nullptr ? d->kind : Kind::none;
    bool plain = (d == nullptr || d->scalar()) && value != nullptr && value->rank == 0;
    if (!plain) write_shapes(d, value);
    std::uint64_t h = stays ? reinterpret_cast<std::uintptr_t>(address.data()) : std::hash<std::string_view>()(address);
    h = mix(h ^ (static_cast<std::uint64_t>(op) << 56 | static_cast<std::uint64_t>(kind) << 48 | static_cast<std::uint64_t>(control) << 40));
    h = mix(h ^ std::hash<std::string_view>()(name));
    if (!plain) {
      for (auto x : shapes_) h = mix(h ^ static_cast<std::uint32_t>(x));
    }
    for (Form* f = buckets_[h & (buckets_.size() - 1)]; f != nullptr; f = f->next) {
      if (f->hash == h && f->op == op && f->kind == kind && f->control == control && f->plain == plain && f->name == name &&
          (stays ? f->place == address.data() : f->place == nullptr && f->address == address) && (plain || f->shapes == shapes_)) {
        return *f;
      }
    }
    if (plain) write_shapes(d, value);
    return make(h, op, address, stays, name, d, kind, control, plain);
  }

  // Notes a statement of a form.
  void add(const Form& f, const Distribution* d, const View* value) {
    std::size_t before = chunk.numbers.size();
    chunk.statements.push_back(f.number);
    if (d != nullptr) {
      for (int i = 0; i < d->parameters; i++) append(View((*d)[i]));
    }
    if (value != nullptr) append(*value);
    bytes += 4 + 8 * (chunk.numbers.size() - before);
  }

  // Notes the end of a run.
  void end(const View& result, std::uint64_t statements, double seconds) {
    Form& f = form(run_result, {}, false, {}, nullptr, true, &result);
    chunk.statements.push_back(f.number);
    chunk.numbers.push_back(static_cast<double>(statements));
    chunk.numbers.push_back(seconds);
    append(result);
    bytes += 4 + 8 * (2 + result.size);
  }

  // Keeps the data and the values to reuse of a Run message.
  void take(Order& o) {
    with_data_ = o.data_id != 0;  // without, they are kept for the runs that will refer to them
    if (with_data_ && o.has_data) {
      for (auto& n : names_) {
        n.second.every = nullptr;
        n.second.occurrence.clear();
      }
      data_.clear();
      data_id_ = o.data_id;
      for (auto& d : o.data) {
        data_.push_back(std::move(d.value));
        names_[d.name].every = &data_.back();
        if (auto k = occurrence(d.name)) names_[d.name.substr(0, d.name.rfind('@'))].occurrence[k] = &data_.back();
      }
    }
    if (with_data_ && o.data_id != data_id_) {
      throw ProtocolError("ppx: the data that a Run refers to were never sent");
    }
    if (!(o.inflation >= 0 && o.inflation < 1)) throw ProtocolError("ppx: an inflation out of range");
    forget_reuse();
    if (!o.streams.empty() && o.streams.size() != o.draws.size()) throw ProtocolError("ppx: streams of other runs");
    if (o.restart) {
      for (auto* b : numbered_) b->numbered = false;
      numbered_.clear();
    }
    for (auto& b : o.bases) {
      numbered_.push_back(&bases_[b]);
      numbered_.back()->numbered = true;
    }
    if (o.base.size() != o.instance.size()) throw ProtocolError("ppx: values to reuse without their instances");
    base_.swap(o.base);
    instance_.swap(o.instance);
    shapes_given_.swap(o.shapes);
    numbers_given_.swap(o.numbers);
    ends_.swap(o.ends);
    values_.clear();
    std::size_t shape = 0, number = 0;
    for (std::size_t i = 0; i < base_.size(); i++) {
      View v;
      v.size = 1;
      v.rank = shape < shapes_given_.size() ? static_cast<std::uint32_t>(shapes_given_[shape]) : max_rank + 1;
      if (v.rank > max_rank || shape + 1 + v.rank > shapes_given_.size()) throw ProtocolError("ppx: a value to reuse without its shape");
      v.shape = shapes_given_.data() + ++shape;
      for (std::size_t k = 0; k < v.rank; k++) v.size *= static_cast<std::size_t>(std::max(v.shape[k], 0));
      shape += v.rank;
      if (base_[i] >= numbered_.size() || v.size > numbers_given_.size() - number) throw ProtocolError("ppx: a value to reuse without its base or numbers");
      v.data = numbers_given_.data() + number;
      number += v.size;
      values_.push_back(v);
    }
    if (!ends_.empty() && (ends_.size() != o.draws.size() || !std::is_sorted(ends_.begin(), ends_.end()) || ends_.back() != values_.size())) {
      throw ProtocolError("ppx: values to reuse of other runs");
    }
  }

  // The i-th run is about to begin: these are its values to reuse.
  void give(std::size_t i) {
    if (ends_.empty() && i > 0) return;
    forget_reuse();
    std::size_t from = ends_.empty() || i == 0 ? 0 : ends_[i - 1], to = ends_.empty() ? values_.size() : ends_[i];
    for (std::size_t k = from; k < to; k++) {
      Base* b = numbered_[base_[k]];
      if (b->reuse.empty()) reusing_.push_back(b);
      b->reuse.emplace_back(instance_[k], values_[k]);
    }
    auto before = [](const auto& x, const auto& y) { return x.first < y.first; };
    for (auto* b : reusing_) {
      if (!std::is_sorted(b->reuse.begin(), b->reuse.end(), before)) std::stable_sort(b->reuse.begin(), b->reuse.end(), before);
    }
  }

 private:
  std::deque<Form> forms_;
  std::vector<Form*> buckets_;
  std::unordered_map<std::string, std::uint32_t> strings_;
  std::size_t string_bytes_ = 0;
  std::vector<std::int32_t> shapes_;
  std::uint64_t generation_ = 0;
  std::uint64_t epoch_ = 0;
  std::unordered_map<std::string, Name> names_;
  std::unordered_map<std::string, Base> bases_;
  std::vector<Base*> numbered_, reusing_;
  // Values to reuse, in the columns of the Run message, and as they are read.
  std::vector<std::uint32_t> base_, instance_, ends_;
  std::vector<std::int32_t> shapes_given_;
  std::vector<double> numbers_given_;
  std::vector<View> values_;
  std::deque<Tensor> data_;
  std::uint64_t data_id_ = 0;
  bool with_data_ = false;

  void forget_reuse() {
    for (auto* b : reusing_) b->reuse.clear();
    reusing_.clear();
  }

  // The 2 of "x@2"; 0 for a name without an occurrence.
  static std::uint32_t occurrence(const std::string& name) {
    auto at = name.rfind('@');
    if (at == std::string::npos || at == 0 || at + 1 == name.size()) return 0;
    std::uint64_t k = 0;
    for (auto i = at + 1; i < name.size(); i++) {
      if (name[i] < '0' || name[i] > '9' || k > 0x7fffffff) return 0;
      k = 10 * k + static_cast<std::uint64_t>(name[i] - '0');
    }
    return k > 0x7fffffff ? 0 : static_cast<std::uint32_t>(k);
  }

  static std::uint64_t mix(std::uint64_t h) {
    h *= 0x9FB21C651E98DF25u;
    return h ^ h >> 32;
  }

  void append(const View& v) {
    if (v.size == 1) chunk.numbers.push_back(v.data[0]);
    else chunk.numbers.insert(chunk.numbers.end(), v.data, v.data + v.size);
  }

  void write_shapes(const Distribution* d, const View* value) {
    shapes_.clear();
    auto one = [&](const View& v) {
      shapes_.push_back(static_cast<std::int32_t>(v.rank));
      shapes_.insert(shapes_.end(), v.shape, v.shape + v.rank);
    };
    if (d != nullptr) {
      for (int i = 0; i < d->parameters; i++) one(View((*d)[i]));
    }
    if (value != nullptr) one(*value);
    else shapes_.push_back(-1);
  }

  std::uint32_t string(std::string_view s) {
    if (s.empty()) return 0;
    auto [it, fresh] = strings_.emplace(std::string(s), static_cast<std::uint32_t>(strings_.size() + 1));
    if (fresh) {
      chunk.strings.push_back(it->first);  // keys stay where they are
      string_bytes_ += s.size();
      bytes += s.size() + 8;
    }
    return it->second;
  }

  Form& make(std::uint64_t h, Type op, std::string_view address, bool stays, std::string_view name, const Distribution* d, Kind kind,
             bool control, bool plain) {
    forms_.push_back(Form{h, stays ? address.data() : nullptr, stays ? std::string() : std::string(address), std::string(name), op, kind, control,
                          plain, shapes_, static_cast<std::uint32_t>(forms_.size()), nullptr, nullptr, nullptr});
    Form& f = forms_.back();
    chunk.forms.push_back(WireForm{op, control, kind, string(address), string(name), shapes_});
    bytes += 64;
    if (op == sample) f.base = &bases_[address_base(address, d)];
    if (!name.empty()) f.named = &names_[f.name];
    if (forms_.size() > buckets_.size()) {
      buckets_.assign(4 * buckets_.size(), nullptr);
      for (auto& x : forms_) link(x);
    } else {
      link(f);
    }
    return f;
  }

  void link(Form& f) {
    Form*& b = buckets_[f.hash & (buckets_.size() - 1)];
    f.next = b;
    b = &f;
  }
};

}  // namespace ppx::detail

#endif  // PPX_DETAIL_NOTES_HPP
