// link.hpp: what a hijacked process and ppx wrap share: a piece of memory, and turns at it by futexes.
//
// The process has a descriptor of it only while it starts, so that closing all descriptors, a full pipe or a broken socket cannot cut the link. Everything that needs
// a library (ZeroMQ, flatbuffers, debug information, configuration) is on the other side: here are numbers alone. link.go of package wrap has the same layout.

#ifndef PPX_HIJACK_LINK_HPP
#define PPX_HIJACK_LINK_HPP

#include <cstddef>
#include <cstdint>

namespace ppx::hijack {

inline constexpr std::uint64_t magic = 0x314b4e494c585050;  // "PPXLINK1"

// How the program is run again.
enum class Again : std::uint32_t {
  main = 0,    // forked where main begins
  draw = 1,    // forked at the first draw
  exec = 2,    // this process is one run
  manual = 3,  // an interpreter's own code says when to serve
};

// What ppx wrap is asked for.
enum class Request : std::uint32_t {
  site = 1,   // the number of a place: exchange has what it is
  value = 2,  // the value of the last record of the log
  room = 3,   // to read the log, so that it can begin anew
  next = 4,   // a run, of a process that makes one after the other
  ended = 5,  // such a run has ended with status
  fail = 6,   // exchange has the words; there is no answer
};

// What is told at the end of a run, as counts.
enum Notice { threads, forks, reseeded, clocks, outside, repeats, notices = 8 };

enum Flag : std::uint8_t {
  bulk = 1,    // drawn here, and not told
  ask = 2,     // its value is ppx wrap's
  caller = 4,  // bulk whatever the stack above the caller is
};

struct Head {
  std::uint64_t magic;
  std::uint32_t bell;      // futex: ppx wrap waits here
  std::uint32_t call;      // futex: 0 nothing, 1 asked, 2 answered
  std::uint32_t server;    // futex: 0 not there, 1 ready for a run, 2 a run is wanted
  std::uint32_t runs;      // that have ended
  std::int32_t status;     // of the last, as from waitpid
  std::int32_t pid;        // of the run
  std::uint32_t request;
  std::uint32_t answer;
  Again again;
  std::uint32_t tasks;     // threads at the snapshot
  std::uint64_t seed, stream, draw, statement;
  std::uint32_t ask;       // every value is asked for
  std::uint32_t length;    // of what stands in exchange, in bytes
  std::uint64_t written;   // bytes of the log
  std::uint64_t read;      // of which ppx wrap knows
  std::uint64_t notice[notices];
  std::uint32_t argc, envc;  // of the run's command line and further environment, in args
};

// A record of the log: a draw. All in words of eight bytes: this head, the dimensions of the value, for each parameter its rank and dimensions, the parameters' numbers,
// the value.
struct Record {
  std::uint32_t words;
  std::uint32_t site;
  std::uint8_t kind, asked, parameters, rank;
  std::uint32_t size;  // of the value
};

struct Entry {
  std::uint64_t hash;
  std::uint32_t site, pad;
};

// A stack that was walked: the words of it that are return addresses, and what they are. Where all are as they were, so is the stack.
inline constexpr int memo_depth = 60;
struct Memo {
  std::uint64_t caller, sp, bp, epoch, hash;
  std::uint32_t site, depth;
  std::uint64_t slot[memo_depth], pc[memo_depth];
};

inline constexpr std::size_t flags_at = 1u << 20, flags_size = 1u << 20;  // a Flag of each site
inline constexpr std::size_t table_at = 2u << 20, table_size = 1u << 17;  // entries
inline constexpr std::size_t memo_at = 4u << 20, memo_size = 1u << 10;
inline constexpr std::size_t args_at = 6u << 20, args_size = 1u << 20;
inline constexpr std::size_t exchange_at = 7u << 20, exchange_size = 1u << 20;
inline constexpr std::size_t log_at = 8u << 20, whole = 256u << 20, log_size = whole - log_at;

static_assert(sizeof(Head) <= 4096 && sizeof(Record) == 16 && sizeof(Entry) == 16);
static_assert(table_at + table_size * sizeof(Entry) <= memo_at && memo_at + memo_size * sizeof(Memo) <= args_at);
static_assert(offsetof(Head, seed) == 48 && offsetof(Head, written) == 88 && offsetof(Head, notice) == 104 && offsetof(Head, argc) == 168);

}  // namespace ppx::hijack

#endif  // PPX_HIJACK_LINK_HPP
