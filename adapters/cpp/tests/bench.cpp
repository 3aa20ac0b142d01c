// What the client costs per statement: the codec by itself, and the address at stack depth 40.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <new>

#include "ppx/ppx.hpp"

// Counts allocations. Not inlined: where the compiler sees free() at one end and operator new at the other, it takes
// them for a mismatch.
static std::size_t allocations = 0;
[[gnu::noinline]] void* operator new(std::size_t n) {
  allocations++;
  if (void* p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, std::size_t) noexcept { operator delete(p); }

template <class F>
static void measure(const char* what, F&& f) {
  const int n = 300000;
  for (int i = 0; i < 1000; i++) f();
  std::size_t before = allocations;
  auto start = std::chrono::steady_clock::now();
  for (int i = 0; i < n; i++) f();
  double ns = std::chrono::duration<double, std::nano>(std::chrono::steady_clock::now() - start).count() / n;
  std::printf("%-40s %8.1f ns  %.3f allocations\n", what, ns, static_cast<double>(allocations - before) / n);
}

static ppx::detail::Addresses addresses;

[[gnu::noinline]] void at_depth(int depth) {
  if (depth > 0) at_depth(depth - 1);
  else measure("address at stack depth 40", [] { addresses.at(__builtin_frame_address(0)); });
  asm volatile("");
}

// What a statement of a delegated run costs beyond its draw and its address: the distribution, the form, the
// numbers, the clock, and its share of a message of 1,000 statements.
static void delegated() {
  ppx::detail::Encoder e;
  ppx::detail::Notes notes;
  ppx::detail::Solo solo;
  std::string address = "[forward()+0x96; simulate(int, double)+0x2a; main+0x1c]";
  std::size_t bytes = 0;
  long clock = 0;
  notes.begin();
  auto statement = [&](bool draw) {
    auto d = ppx::Normal(1.5, 2.5);
    solo.prepare(d);
    ppx::detail::View v;
    v.data = solo.value.data();
    v.size = 1;
    auto& f = notes.form(ppx::detail::sample, address, true, "mu", &d, true, &v);
    if (notes.given(f) != nullptr || f.base->reused(f.base->count(notes.epoch())) != nullptr) std::abort();
    if (draw) solo.sample(d, true);
    solo.statement++;
    notes.add(f, &d, &v);
    clock += std::chrono::steady_clock::now().time_since_epoch().count() & 1;
    if (notes.chunk.statements.size() == 1000) {
      bytes = e.noted(notes.chunk, false).second;
      notes.empty();
    }
  };
  measure("delegated statement, without its draw", [&] { statement(false); });
  measure("delegated statement, with its draw", [&] { statement(true); });
  std::printf("%-40s %8zu bytes%s\n", "1,000 statements in a message", bytes, clock < 0 ? " " : "");
}

int main() {
  ppx::detail::Encoder e, engine;
  ppx::detail::Decoder d;
  double v = 0.5;
  auto reply = engine.run_result(v);
  std::vector<char> buf(static_cast<const char*>(reply.first), static_cast<const char*>(reply.first) + reply.second);
  // The reply's type byte says RunResult; make it a SampleResult.
  for (auto& b : buf) {
    if (b == ppx::detail::run_result) b = ppx::detail::sample_result;
    try {
      d.decode(buf.data(), buf.size());
      if (d.has_value) break;
    } catch (const ppx::ProtocolError&) {
    }
    if (b == ppx::detail::sample_result) b = ppx::detail::run_result;
  }
  if (!d.has_value) return 1;
  measure("Sample: distribution, encode, decode", [&] {
    auto dist = ppx::Normal(1.5, 2.5);
    e.statement(ppx::detail::sample, "[forward()+0x96; simulate(int, double)+0x2a; main+0x1c]", "mu", &dist, true, nullptr);
    d.decode(buf.data(), buf.size());
  });
  delegated();
  std::printf("addresses by %s\n", ppx::stack_walker);
  auto deep = [] { at_depth(40); };
  ppx::detail::call(addresses, deep);
}
