// hijack.cpp: a hijacked process: how it becomes one, how its runs begin, and what a draw does.

#include "hijack.hpp"

#include <dirent.h>
#include <dlfcn.h>
#include <fcntl.h>
#include <limits.h>
#include <link.h>
#include <linux/futex.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

namespace ppx::hijack {
namespace {

// ---- The link

char* shared;
Head* head;

template <class T>
T* at(std::size_t offset) {
  return reinterpret_cast<T*>(shared + offset);
}

std::uint32_t load(const std::uint32_t& x) { return __atomic_load_n(&x, __ATOMIC_ACQUIRE); }
void store(std::uint32_t& x, std::uint32_t v) { __atomic_store_n(&x, v, __ATOMIC_RELEASE); }

void wake(std::uint32_t& x) { syscall(SYS_futex, &x, FUTEX_WAKE, INT_MAX, nullptr, nullptr, 0); }

// Waits until x is no longer v, a second at most.
void wait(std::uint32_t& x, std::uint32_t v) {
  timespec second{1, 0};
  if (load(x) == v) syscall(SYS_futex, &x, FUTEX_WAIT, v, &second, nullptr, 0);
}

void ring() {
  __atomic_fetch_add(&head->bell, 1, __ATOMIC_ACQ_REL);
  wake(head->bell);
}

// ---- This process

struct {
  bool running;           // a run is in progress
  bool snapshot;          // the first draw is to fork
  bool lone;              // processes make one run each
  bool forked;            // the program itself has forked this process
  pthread_t thread;       // whose draws are the run's
  pid_t parent;           // without it there is nobody to run for
  std::uint64_t statement;
  std::uint64_t epoch;    // of what is loaded
  unsigned long long loaded;
  bool keyed;             // bulk draws have their key
  int seeds;              // of generators, in this run
  std::uint64_t seed[256], seed_at[256];  // and after how many draws
  std::uintptr_t low, high;  // where our own code lies
  std::uintptr_t program_low, program_high;  // and the program's
} self;

__thread int depth __attribute__((tls_model("initial-exec")));
__thread char* within __attribute__((tls_model("initial-exec")));  // the stack where it began to be more than 0

rng::Stream bulk_draws(0, 0, 0, 0, 0);

[[noreturn]] void orphan() { _exit(0); }

std::uint32_t request(Request what) {
  store(head->request, static_cast<std::uint32_t>(what));
  store(head->call, 1);
  ring();
  while (load(head->call) != 2) {
    wait(head->call, 1);
    if (self.lone && getppid() == 1) orphan();
  }
  store(head->call, 0);
  return load(head->answer);
}

// Ends the run with words: ppx wrap kills this process.
[[noreturn]] void fail(const char* words) {
  head->length = static_cast<std::uint32_t>(strlen(words));
  memcpy(at<char>(exchange_at), words, head->length);
  for (;;) request(Request::fail);
}

// ---- Places

// The calls on the stack above our own code, innermost first.
constexpr int deepest = 1024;
struct Walk {
  std::uintptr_t pc[deepest], slot[deepest];
  int n;
};

_Unwind_Reason_Code step(_Unwind_Context* c, void* x) {
  auto* w = static_cast<Walk*>(x);
  std::uintptr_t pc = _Unwind_GetIP(c);
  if (pc == 0 || w->n == deepest) return _URC_END_OF_STACK;
  if (w->n == 0 && pc >= self.low && pc < self.high) return _URC_NO_REASON;
  w->pc[w->n] = pc;
  w->slot[w->n] = _Unwind_GetCFA(c) - sizeof(void*);
  w->n++;
  return _URC_NO_REASON;
}

std::uint64_t mix(std::uint64_t h, std::uint64_t x) {
  h = (h ^ x) * 0xFF51AFD7ED558CCDu;
  return h ^ h >> 32;
}

// What is loaded, and where: addresses of code mean something only beside it.
void look_at_modules() {
  struct Seen {
    std::uint64_t hash;
    unsigned long long loaded;
  } seen{0x9E3779B97F4A7C15u, 0};
  dl_iterate_phdr(
      [](dl_phdr_info* i, size_t, void* x) {
        auto* s = static_cast<Seen*>(x);
        s->loaded = i->dlpi_adds + (i->dlpi_subs << 32);
        if (s->loaded == self.loaded) return 1;
        s->hash = mix(s->hash, i->dlpi_addr);
        for (const char* c = i->dlpi_name; c && *c; c++) s->hash = mix(s->hash, static_cast<unsigned char>(*c));
        return 0;
      },
      &seen);
  if (seen.loaded == self.loaded) return;
  self.loaded = seen.loaded;
  self.epoch = seen.hash;
}

int find_self(dl_phdr_info* i, size_t, void*) {
  auto here = reinterpret_cast<std::uintptr_t>(&find_self);
  for (int k = 0; k < i->dlpi_phnum; k++) {
    if (i->dlpi_phdr[k].p_type != PT_LOAD || (i->dlpi_phdr[k].p_flags & PF_X) == 0) continue;
    auto low = i->dlpi_addr + i->dlpi_phdr[k].p_vaddr, high = low + i->dlpi_phdr[k].p_memsz;
    if (self.program_low == 0) { // the program is the first of the list
      self.program_low = low;
      self.program_high = high;
    }
    if (here >= low && here < high) {
      self.low = low;
      self.high = high;
      return 1;
    }
  }
  return 0;
}

// The number of a place that is new: ppx wrap is told of it once. It is the text of an interpreter where n is −1, else n return addresses and what was called.
std::uint32_t ask_site(const char* text, std::uint32_t length, Kind kind, const std::uintptr_t* pc, int n) {
  char* out = at<char>(exchange_at);
  auto family = static_cast<std::uint64_t>(kind);
  std::size_t addresses = n > 0 ? static_cast<std::size_t>(n) * sizeof(std::uintptr_t) : 0;
  if (16 + addresses + length > exchange_size) fail("the place of a draw is longer than there is room for");
  memcpy(out, &length, 4);
  memcpy(out + 4, &n, 4);
  memcpy(out + 8, &family, 8);
  memcpy(out + 16, pc, addresses);
  memcpy(out + 16 + addresses, text, length);
  head->length = 16 + static_cast<std::uint32_t>(addresses) + length;
  head->pid = getpid();
  return request(Request::site);
}

Entry* entry(std::uint64_t hash) {
  auto* table = at<Entry>(table_at);
  for (std::size_t k = hash % table_size, tries = 0; tries < 64; k = (k + 1) % table_size, tries++) {
    if (table[k].hash == hash || table[k].hash == 0) return table + k;
  }
  return nullptr;  // crowded: it is asked for again
}

std::uint64_t not_zero(std::uint64_t h) { return h == 0 ? 1 : h; }

[[gnu::noinline]] std::uint32_t walk_to_place(const char* what, Kind kind, const Caller& c) {
  look_at_modules();
  Walk w;
  w.n = 0;
  _Unwind_Backtrace(step, &w);
  if (w.n == 0) {  // code without unwinding tables
    w.pc[0] = reinterpret_cast<std::uintptr_t>(c.pc);
    w.n = 1;
    w.slot[0] = 0;
  }
  std::uint64_t h = mix(self.epoch, reinterpret_cast<std::uintptr_t>(what));
  for (int i = 0; i < w.n; i++) h = mix(h, w.pc[i]);
  h = not_zero(h);
  Entry* e = entry(h);
  std::uint32_t site;
  if (e != nullptr && e->hash == h) {
    site = e->site;
  } else {
    site = ask_site(what, static_cast<std::uint32_t>(strlen(what)), kind, w.pc, w.n);
    if (e != nullptr) {
      e->site = site;
      e->hash = h;
    }
  }
#if defined(__x86_64__)
  if (w.n <= memo_depth) {
    bool whole = true;
    for (int i = 0; i < w.n; i++) whole = whole && w.slot[i] >= reinterpret_cast<std::uintptr_t>(c.sp) - 8 && *reinterpret_cast<std::uintptr_t*>(w.slot[i]) == w.pc[i];
    if (whole) {
      auto sp = reinterpret_cast<std::uintptr_t>(c.sp), pc = reinterpret_cast<std::uintptr_t>(c.pc);
      Memo& m = at<Memo>(memo_at)[mix(pc, sp) % memo_size];
      m.caller = 0;
      m.sp = sp;
      m.bp = reinterpret_cast<std::uintptr_t>(c.bp);
      m.epoch = self.epoch;
      m.hash = reinterpret_cast<std::uintptr_t>(what);
      m.site = site;
      m.depth = static_cast<std::uint32_t>(w.n);
      memcpy(m.slot, w.slot, sizeof(std::uint64_t) * m.depth);
      memcpy(m.pc, w.pc, sizeof(std::uint64_t) * m.depth);
      m.caller = pc;
    }
  }
#endif
  return site;
}

// ---- Bulk draws

// Callers whose draws are not told.
struct Known {
  void* pc;
  const char* what;
} known[1024];

Known& known_at(const Caller& at, const char* what) { return known[mix(reinterpret_cast<std::uintptr_t>(at.pc), reinterpret_cast<std::uintptr_t>(what)) % 1024]; }

std::uint64_t elements(const Array& a) {
  std::uint64_t n = 1;
  for (std::uint32_t i = 0; i < a.rank; i++) n *= a.shape[i];
  return n;
}

// Makes n numbers, or only tells whether the parameters are valid where value is null.
bool make(rng::Stream& s, Kind kind, int parameters, const Array* p, std::uint64_t n, double* value) {
  if (const rng::Events* events = rng::events_of(kind)) {
    rng::Row rows[3];
    std::size_t width = 1;
    for (int k = 0; k < parameters; k++) {
      std::size_t size = 1;
      auto event = static_cast<std::uint32_t>(events->event[k]);
      if (p[k].rank < event) return false;
      for (std::uint32_t d = p[k].rank - event; d < p[k].rank; d++) size *= p[k].shape[d];
      rows[k] = {p[k].data, size};
      if (k == events->like) width = size;
    }
    for (int k = 0; k < parameters; k++) {
      if (p[k].rank != static_cast<std::uint32_t>(events->event[k]) && elements(p[k]) * width != n * rows[k].size) return false;
    }
    for (std::uint64_t i = 0; i * width < n; i++) {
      rng::Row row[3];
      for (int k = 0; k < parameters; k++) {
        bool one = p[k].rank == static_cast<std::uint32_t>(events->event[k]);
        row[k] = {rows[k].data + (one ? 0 : i * rows[k].size), rows[k].size};
      }
      if (!rng::valid_rows(kind, row)) return false;
      if (value != nullptr) rng::draw_rows(s, kind, row, false, value + i * width);
    }
    return true;
  }
  for (int k = 0; k < parameters; k++) {
    if (p[k].rank != 0 && elements(p[k]) != n) return false;
  }
  double a[4] = {};
  for (std::uint64_t i = 0; i < n; i++) {
    for (int k = 0; k < parameters; k++) a[k] = p[k].data[p[k].rank == 0 ? 0 : i];
    if (!rng::valid(kind, a[0], a[1], a[2], a[3])) return false;
    if (value != nullptr) value[i] = rng::draw(s, kind, a[0], a[1], a[2], a[3]);
  }
  return true;
}

bool recorded(std::uint32_t site, Kind kind, int parameters, const Array* p, const Array& shape, double* value);

// The draws that are not told come from a key, which is: a draw like any other, that is kept, replayed and drawn anew with all they are.
void key_bulk() {
  double u, numbers[] = {0, 1};
  Array p[] = {{numbers, 0, nullptr}, {numbers + 1, 0, nullptr}};
  recorded(0, Kind::uniform, 2, p, {nullptr, 0, nullptr}, &u);
  std::uint64_t bits;
  memcpy(&bits, &u, 8);
  bulk_draws = rng::Stream(bits, 0, 0, 0, 0);
  self.keyed = true;
}

// ---- Draws

bool recorded(std::uint32_t site, Kind kind, int parameters, const Array* p, const Array& shape, double* value) {
  std::uint64_t n = elements(shape), words = 2 + shape.rank + n;
  // Draws of a shape by parameters that are numbers: the first parameter has the shape.
  bool spread = shape.rank > 0 && rng::events_of(kind) == nullptr;
  for (int k = 0; k < parameters; k++) spread = spread && p[k].rank == 0;
  if (spread) words += shape.rank + n - 1;
  for (int k = 0; k < parameters; k++) words += 1 + p[k].rank + elements(p[k]);
  if (words * 8 > log_size) fail("a draw has more numbers than there is room for: make its rule as = \"bulk\"");
  if (head->written + words * 8 > log_size) {
    request(Request::room);
  }
  auto* out = at<std::uint64_t>(log_at + head->written);
  auto* r = reinterpret_cast<Record*>(out);
  *r = Record{static_cast<std::uint32_t>(words), site, static_cast<std::uint8_t>(kind), 0, static_cast<std::uint8_t>(parameters), static_cast<std::uint8_t>(shape.rank),
              static_cast<std::uint32_t>(n)};
  out += 2;
  for (std::uint32_t i = 0; i < shape.rank; i++) *out++ = shape.shape[i];
  for (int k = 0; k < parameters; k++) {
    const Array& a = spread && k == 0 ? shape : p[k];
    *out++ = a.rank;
    for (std::uint32_t i = 0; i < a.rank; i++) *out++ = a.shape[i];
  }
  for (int k = 0; k < parameters; k++) {
    if (spread && k == 0) {
      for (std::uint64_t i = 0; i < n; i++) memcpy(out++, p[0].data, 8);
      continue;
    }
    std::uint64_t m = elements(p[k]);
    memcpy(out, p[k].data, m * 8);
    out += m;
  }
  bool asked = head->ask != 0 || (at<std::uint8_t>(flags_at)[site] & ask) != 0;
  rng::Stream s(head->seed, head->stream, self.statement, head->draw, rng::for_value);
  if (!make(s, kind, parameters, p, n, asked ? nullptr : reinterpret_cast<double*>(out))) return false;
  r->asked = asked;
  __atomic_store_n(&head->written, head->written + words * 8, __ATOMIC_RELEASE);
  if (asked) request(Request::value);
  memcpy(value, out, n * 8);
  self.statement++;
  return true;
}

// ---- Runs

void begin_run() {
  self.forked = false;
  self.statement = head->statement;
  self.keyed = false;
  self.seeds = 0;
  self.thread = pthread_self();
  self.running = true;
}

int count_threads() {
  int n = 0;
  if (DIR* d = opendir("/proc/self/task")) {
    while (auto* e = readdir(d)) n += e->d_name[0] != '.';
    closedir(d);
  }
  return n;
}

// The children of this process, as many as there is room for.
int children(pid_t* list, int room) {
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/self/task/%d/children", static_cast<int>(syscall(SYS_gettid)));
  int fd = open(path, O_RDONLY | O_CLOEXEC), n = 0;
  if (fd < 0) return 0;
  ssize_t length = read(fd, text, sizeof text - 1);
  close(fd);
  text[length > 0 ? length : 0] = 0;
  for (char* at = text; *at != 0 && n < room;) {
    list[n++] = static_cast<pid_t>(strtol(at, &at, 10));
    while (*at == ' ' || *at == '\n') at++;
  }
  return n;
}

constexpr int most_children = 256;
pid_t own_children[most_children];  // that the program had before the snapshot
int own_child_count;

// Ends what a run has left behind: processes of its group, and others that have come to us as their parents ended.
void clear_up(pid_t run) {
  kill(-run, SIGKILL);
  pid_t list[most_children];
  for (int tries = 0; tries < 100; tries++) {
    int n = children(list, most_children), left = 0;
    for (int i = 0; i < n; i++) {
      bool own = false;
      for (int k = 0; k < own_child_count; k++) own = own || own_children[k] == list[i];
      if (own) continue;
      left++;
      kill(list[i], SIGKILL);
      waitpid(list[i], nullptr, 0);
    }
    if (left == 0) return;
  }
}

// Files that are open where the program is forked are open in all runs, with one position: it is put back before each. What is open for writing would be written by all.
struct Position {
  int fd;
  off_t at;
};
Position positions[256];
int position_count;

void keep_positions() {
  DIR* d = opendir("/proc/self/fd");
  if (d == nullptr) return;
  while (auto* e = readdir(d)) {
    int fd = atoi(e->d_name);
    struct stat s;
    if (fd <= 2 || fd == dirfd(d) || fstat(fd, &s) != 0 || !S_ISREG(s.st_mode)) continue;
    if ((fcntl(fd, F_GETFL) & O_ACCMODE) != O_RDONLY) {
      char path[64], name[3000], words[3400];
      snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
      ssize_t n = readlink(path, name, sizeof name - 1);
      name[n > 0 ? n : 0] = 0;
      snprintf(words, sizeof words, "%s is open for writing where the program is forked, and all runs would write it: fork = \"main\" or \"exec\"", name);
      closedir(d);
      fail(words);
    }
    if (position_count < 256) positions[position_count++] = {fd, lseek(fd, 0, SEEK_CUR)};
  }
  closedir(d);
}

// Makes runs, each in a process of its own; returns in each of them.
void serve() {
  fflush(nullptr);
  keep_positions();
  prctl(PR_SET_CHILD_SUBREAPER, 1);
  own_child_count = children(own_children, most_children);
  head->tasks = static_cast<std::uint32_t>(count_threads());
  self.snapshot = false;
  look_at_modules();
  sigset_t chld, before;
  sigemptyset(&chld);
  sigaddset(&chld, SIGCHLD);
  pthread_sigmask(SIG_BLOCK, &chld, &before);
  struct sigaction ours {}, theirs;
  ours.sa_handler = SIG_DFL;
  sigaction(SIGCHLD, &ours, &theirs);
  for (;;) {
    store(head->server, 1);
    ring();
    while (load(head->server) != 2) {
      wait(head->server, 1);
      if (getppid() != self.parent) orphan();
    }
    for (int i = 0; i < position_count; i++) lseek(positions[i].fd, positions[i].at, SEEK_SET);
    pid_t me = getpid(), p = fork();
    if (p < 0) {
      head->status = 127 << 8;
      store(head->runs, head->runs + 1);
      continue;
    }
    if (p == 0) {
      setpgid(0, 0);
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      if (getppid() != me) orphan();
      head->pid = getpid();
      sigaction(SIGCHLD, &theirs, nullptr);
      pthread_sigmask(SIG_SETMASK, &before, nullptr);
      begin_run();
      return;
    }
    setpgid(p, p);
    int status = 0;
    while (waitpid(p, &status, 0) < 0 && errno == EINTR) {
    }
    clear_up(p);
    head->status = status;
    store(head->runs, head->runs + 1);
  }
}

// In a process that the program itself has forked: its draws are its own.
void after_fork() {
  self.forked = self.running;
  self.running = self.snapshot = false;
}

using Main = int (*)(int, char**, char**);
Main program_main;

int hijacked_main(int argc, char** argv, char** envp) {
  switch (head->again) {
    case Again::main: {
      serve();
      // The command line of this run.
      auto argn = static_cast<int>(head->argc), envn = static_cast<int>(head->envc);
      auto* args = static_cast<char**>(malloc(sizeof(char*) * (static_cast<std::size_t>(argn) + 1)));
      char* given = at<char>(args_at);
      std::size_t length = 0;
      for (int i = 0; i < argn + envn; i++) length += strlen(given + length) + 1;
      auto* text = static_cast<char*>(malloc(length + 1));
      if (args == nullptr || text == nullptr) fail("no memory");
      memcpy(text, given, length);
      for (int i = 0; i < argn; i++, text += strlen(text) + 1) args[i] = text;
      args[argn] = nullptr;
      for (int i = 0; i < envn; i++, text += strlen(text) + 1) putenv(text);
      return program_main(argn, args, environ);
    }
    case Again::draw:
      self.snapshot = true;
      self.thread = pthread_self();
      break;
    case Again::exec:
      self.lone = true;
      head->pid = getpid();
      look_at_modules();
      begin_run();
      break;
    case Again::manual: break;
  }
  return program_main(argc, argv, envp);
}

// Takes us out of LD_PRELOAD: programs that this one starts are not hijacked.
void leave_environment() {
  unsetenv("PPX_LINK");
  unsetenv("PPX_LINK_PROGRAM");
  const char* list = getenv("PPX_LINK_PRELOAD");  // what stood there before
  if (list != nullptr && *list != 0) setenv("LD_PRELOAD", list, 1);
  else unsetenv("LD_PRELOAD");
  unsetenv("PPX_LINK_PRELOAD");
}

// Whether this is the program: where there is a name, it may be started by others, which are not.
bool wanted(const char* argv0) {
  const char* only = getenv("PPX_LINK_PROGRAM");
  if (only == nullptr || *only == 0) return true;
  auto base = [](const char* s) {
    const char* slash = strrchr(s, '/');
    return slash ? slash + 1 : s;
  };
  char path[4096];
  ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n > 0) {
    path[n] = 0;
    if (strcmp(base(path), only) == 0) return true;
    std::size_t length = strlen(only);
    if (only[length - 1] == '*') return strncmp(base(path), only, length - 1) == 0;  // an interpreter that a script with its name may start
  }
  return strcmp(base(argv0), only) == 0;
}

bool attach(const char* argv0) {
  const char* link = getenv("PPX_LINK");
  if (link == nullptr || !wanted(argv0)) return false;
  int fd = atoi(link);
  struct stat s;
  if (fstat(fd, &s) != 0 || static_cast<std::size_t>(s.st_size) != whole) return false;
  void* p = mmap(nullptr, whole, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
  close(fd);
  if (p == MAP_FAILED) return false;
  shared = static_cast<char*>(p);
  head = static_cast<Head*>(p);
  if (head->magic != magic) {
    head = nullptr;
    return false;
  }
  leave_environment();
  rlimit cores;
  if (getrlimit(RLIMIT_CORE, &cores) == 0) {  // of thousands of runs some may abort
    cores.rlim_cur = 0;
    setrlimit(RLIMIT_CORE, &cores);
  }
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  self.parent = getppid();
  dl_iterate_phdr(find_self, nullptr);
  pthread_atfork(nullptr, nullptr, after_fork);
  return true;
}

}  // namespace

// ---- What hooks call

Within::Within() {
  if (depth++ == 0) within = static_cast<char*>(__builtin_frame_address(0));
}
Within::~Within() {
  depth--;
  errno = error;
}

bool live() {
  if (depth > 0 && static_cast<char*>(__builtin_frame_address(0)) > within) depth = 0;  // a draw was left by longjmp
  if (__builtin_expect(!self.running, 1)) {
    if (self.forked) notice(forks);
    if (!self.snapshot || depth > 0 || !pthread_equal(pthread_self(), self.thread)) return false;
    depth++;
    serve();
    depth--;
    return true;
  }
  if (depth > 0) return false;
  if (!pthread_equal(pthread_self(), self.thread)) {
    notice(threads);
    return false;
  }
  return true;
}

bool live_by_caller(const Caller& at) {
  auto pc = reinterpret_cast<std::uintptr_t>(at.pc);
  return self.running && depth == 0 && pthread_equal(pthread_self(), self.thread) && pc >= self.program_low && pc < self.program_high;
}

void seeded(std::uint64_t kind, std::uint64_t seed) {
  if (!self.running || depth > 0) return;
  std::uint64_t h = not_zero(mix(mix(0x9E3779B97F4A7C15u, kind), seed));
  for (int i = 0; i < self.seeds; i++) {
    if (self.seed[i] == h) {
      if (self.seed_at[i] != self.statement) notice(reseeded);  // else nothing was drawn since
      return;
    }
  }
  if (self.seeds == 256) return;
  self.seed_at[self.seeds] = self.statement;
  self.seed[self.seeds++] = h;
}

void notice(Notice n) {
  if (head != nullptr && depth == 0) __atomic_fetch_add(&head->notice[n], 1, __ATOMIC_RELAXED);
}

namespace {

std::uint32_t by_memo(const char* what, Kind kind, const Caller& c) {
#if defined(__x86_64__)
  auto sp = reinterpret_cast<std::uintptr_t>(c.sp), pc = reinterpret_cast<std::uintptr_t>(c.pc);
  const Memo& m = at<Memo>(memo_at)[mix(pc, sp) % memo_size];
  if (m.caller == pc && m.sp == sp && m.bp == reinterpret_cast<std::uintptr_t>(c.bp) && m.epoch == self.epoch && m.hash == reinterpret_cast<std::uintptr_t>(what)) {
    bool same = true;
    for (std::uint32_t i = 0; i < m.depth && same; i++) same = *reinterpret_cast<std::uintptr_t*>(m.slot[i]) == m.pc[i];
    if (same) return m.site;
  }
#endif
  return walk_to_place(what, kind, c);
}

}  // namespace

std::uint32_t place(const char* what, Kind kind, const Caller& c) {
  std::uint32_t site = by_memo(what, kind, c);
  if ((at<std::uint8_t>(flags_at)[site] & caller) != 0) known_at(c, what) = {c.pc, what};
  return site;
}

double bulk_number(Kind kind, const double* p) { return rng::draw(bulk_draws, kind, p[0], p[1], p[2], p[3]); }

bool bulk_by(const Caller& at, const char* what) {
  const Known& k = known_at(at, what);
  return k.pc == at.pc && k.what == what && self.keyed;
}

bool draw(std::uint32_t site, Kind kind, int parameters, const Array* p, const Array& shape, double* value) {
  if ((at<std::uint8_t>(flags_at)[site] & bulk) != 0) {
    if (!self.keyed) key_bulk();
    return make(bulk_draws, kind, parameters, p, elements(shape), value);
  }
  return recorded(site, kind, parameters, p, shape, value);
}

bool drawn(const char* what, const Caller& at, Kind kind, int parameters, const Array* p, const Array& shape, double* value) {
  if (!live()) return false;
  Within w;
  return draw(place(what, kind, at), kind, parameters, p, shape, value);
}

bool hijacked() { return head != nullptr; }

void* real_or_null(const char* name) {
  if (void* p = dlsym(RTLD_NEXT, name)) return p;
  // A library that an interpreter has loaded for itself is not found by that.
  struct Search {
    const char* name;
    void* found;
  } s{name, nullptr};
  dl_iterate_phdr(
      [](dl_phdr_info* i, size_t, void* x) {
        auto* s = static_cast<Search*>(x);
        if (s->found != nullptr || i->dlpi_name == nullptr || *i->dlpi_name == 0) return 0;
        const char* base = strrchr(i->dlpi_name, '/');
        base = base ? base + 1 : i->dlpi_name;
        if (strncmp(base, "libgsl", 6) != 0 && strncmp(base, "libgfortran", 11) != 0) return 0;
        if (void* h = dlopen(i->dlpi_name, RTLD_NOLOAD | RTLD_LAZY)) s->found = dlsym(h, s->name);
        return 0;
      },
      &s);
  return s.found;
}

void* real(const char* name) {
  void* p = real_or_null(name);
  if (p == nullptr) {
    fprintf(stderr, "ppx: no library has %s\n", name);
    abort();
  }
  return p;
}

}  // namespace ppx::hijack

using namespace ppx::hijack;

PPX_EXPORT int __libc_start_main(int (*m)(int, char**, char**), int argc, char** argv, int (*init)(int, char**, char**), void (*fini)(), void (*rtld_fini)(), void* stack_end) {
  auto* start = reinterpret_cast<decltype(&__libc_start_main)>(dlsym(RTLD_NEXT, "__libc_start_main"));
  if (!attach(argc > 0 ? argv[0] : "")) return start(m, argc, argv, init, fini, rtld_fini, stack_end);
  program_main = m;
  return start(hijacked_main, argc, argv, init, fini, rtld_fini, stack_end);
}

// ---- For code that was compiled to call us, and for interpreters

// Whether this thread's draws are those of a run.
PPX_EXPORT int ppx_hijack_live() { return live(); }

// A draw by a scalar family where this is called; 0 if the caller is to make it.
PPX_EXPORT int ppx_hijack_scalar(const char* what, int kind, int parameters, const double* p, double* value) {
  if (parameters > 4) return 0;
  Array a[4];
  double b[4] = {};
  for (int i = 0; i < parameters; i++) {
    a[i] = {p + i, 0, nullptr};
    b[i] = p[i];
  }
  if (!ppx::rng::valid(static_cast<ppx::Kind>(kind), b[0], b[1], b[2], b[3])) return 0;
  return drawn(what, PPX_CALLER, static_cast<ppx::Kind>(kind), parameters, a, {nullptr, 0, nullptr}, value);
}

// The same by a row of weights.
PPX_EXPORT int ppx_hijack_categorical(const char* what, const double* weights, std::uint64_t n, double* value) {
  if (!ppx::rng::valid_weights(weights, n)) return 0;
  Array a{weights, 1, &n};
  return drawn(what, PPX_CALLER, ppx::Kind::categorical, 1, &a, {nullptr, 0, nullptr}, value);
}

// The number of a place that an interpreter describes: its text as ppx wrap reads it (wrap/place.go).
PPX_EXPORT unsigned ppx_hijack_site(const char* text, unsigned length, int kind) {
  Within w;
  return ask_site(text, length, static_cast<ppx::Kind>(kind), nullptr, -1);
}

// The number of a place by a hash that the interpreter makes, as kept by this run or one before; −1 if there is none.
PPX_EXPORT long long ppx_hijack_find(std::uint64_t hash) {
  hash = not_zero(hash);
  const Entry* e = entry(hash);
  return e != nullptr && e->hash == hash ? static_cast<long long>(e->site) : -1;
}

PPX_EXPORT void ppx_hijack_keep(std::uint64_t hash, std::uint32_t site) {
  hash = not_zero(hash);
  if (Entry* e = entry(hash)) {
    e->site = site;
    e->hash = hash;
  }
}

// A draw of an interpreter: parameters are numbers (rank 0) or have the value's shape (and that of a row, a matrix behind it). Returns 0 where parameters are invalid.
PPX_EXPORT int ppx_hijack_draw(unsigned site, int kind, int parameters, const double* const* data, const std::uint32_t* ranks, const std::uint64_t* const* shapes, std::uint32_t rank,
                               const std::uint64_t* shape, double* value) {
  Within w;
  Array p[4];
  for (int i = 0; i < parameters && i < 4; i++) p[i] = {data[i], ranks[i], shapes[i]};
  return draw(site, static_cast<ppx::Kind>(kind), parameters, p, {nullptr, rank, shape}, value);
}

// Draws of a shape by parameters that are numbers.
PPX_EXPORT int ppx_hijack_iid(unsigned site, int kind, int parameters, double a, double b, double c, double d, std::uint32_t rank, const std::uint64_t* shape, double* value) {
  Within w;
  double numbers[4] = {a, b, c, d};
  if (!ppx::rng::valid(static_cast<ppx::Kind>(kind), a, b, c, d)) return 0;
  Array p[4];
  for (int i = 0; i < parameters && i < 4; i++) p[i] = {numbers + i, 0, nullptr};
  return draw(site, static_cast<ppx::Kind>(kind), parameters, p, {nullptr, rank, shape}, value);
}

// One number by up to two parameters, by far the most of draws; NaN where they are none of the family's.
PPX_EXPORT double ppx_hijack_number(unsigned site, int kind, int parameters, double a, double b) {
  double value = __builtin_nan("");
  ppx_hijack_iid(site, kind, parameters, a, b, 0, 0, 0, nullptr, &value);
  return value;
}

// Seeds of a kind of generator: one that has been there in this run may mean the same numbers again.
PPX_EXPORT void ppx_hijack_seed(std::uint64_t kind, std::uint64_t seed) { seeded(kind, seed); }

// ---- numpy's bit generators

namespace {

struct Bits {
  void* state;
  std::uint64_t (*next_uint64)(void*);
  std::uint32_t (*next_uint32)(void*);
  double (*next_double)(void*);
  std::uint64_t (*next_raw)(void*);
};

__thread int bits_site __attribute__((tls_model("initial-exec"))) = -1;

// A uniform number for a function of numpy's; false where it is not a run's.
bool bits(const Caller& at, double* u) {
  if (bits_site == -2 || !live()) return false;
  Within w;
  double ends[] = {0, 1};
  Array p[] = {{ends, 0, nullptr}, {ends + 1, 0, nullptr}};
  std::uint32_t site = bits_site >= 0 ? static_cast<std::uint32_t>(bits_site) : place("bits", ppx::Kind::uniform, at);
  return draw(site, ppx::Kind::uniform, 2, p, {nullptr, 0, nullptr}, u);
}

// A double has 53 bits: the other 11 of a word are made of them, as some code takes the lowest bits for themselves. (SplitMix64's mixing function.)
std::uint64_t scrambled(std::uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

std::uint64_t bits64(void* s) {
  double u;
  if (bits(PPX_CALLER, &u)) {
    auto k = static_cast<std::uint64_t>(below(u, 0x1p53));
    return k << 11 | scrambled(k) >> 53;
  }
  auto* b = static_cast<Bits*>(s);
  return b->next_uint64(b->state);
}
std::uint32_t bits32(void* s) {
  double u;
  if (bits(PPX_CALLER, &u)) return static_cast<std::uint32_t>(below(u, 0x1p32));
  auto* b = static_cast<Bits*>(s);
  return b->next_uint32(b->state);
}
double bits_double(void* s) {
  double u;
  if (bits(PPX_CALLER, &u)) return u < 1 ? u : 1 - 0x1p-53;
  auto* b = static_cast<Bits*>(s);
  return b->next_double(b->state);
}

}  // namespace

// Has the numbers of a bit generator answered; the original stays behind it for what is not a run's.
PPX_EXPORT void ppx_hijack_bits(void* bit_generator) {
  auto* b = static_cast<Bits*>(bit_generator);
  if (b->next_double == bits_double) return;
  auto* original = static_cast<Bits*>(malloc(sizeof(Bits)));
  if (original == nullptr) return;
  *original = *b;
  *b = {original, bits64, bits32, bits_double, bits64};
}

// The place of what numpy draws now; −1: by the stack, −2: it is nobody's. Returns what it was.
PPX_EXPORT int ppx_hijack_bits_site(int site) {
  int before = bits_site;
  bits_site = site;
  return before;
}

// Makes runs, each in a process of its own, and returns in each of them.
PPX_EXPORT void ppx_hijack_serve() { serve(); }

// The first draw is to fork.
PPX_EXPORT void ppx_hijack_snapshot() {
  self.snapshot = true;
  self.thread = pthread_self();
}

// Waits for a run that this process makes.
PPX_EXPORT void ppx_hijack_next() {
  self.running = false;
  head->pid = getpid();
  request(Request::next);
  begin_run();
}

PPX_EXPORT void ppx_hijack_ended(int status) {
  self.running = false;
  head->status = status;
  request(Request::ended);
}

// What ppx wrap has put there: the command line and the environment of the run.
PPX_EXPORT const char* ppx_hijack_args(unsigned* argc, unsigned* envc) {
  *argc = head->argc;
  *envc = head->envc;
  return at<char>(args_at);
}

PPX_EXPORT void ppx_hijack_notice(int n) {
  if (n >= 0 && n < notices) notice(static_cast<Notice>(n));
}
