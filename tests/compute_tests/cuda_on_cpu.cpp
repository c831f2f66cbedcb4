// Runs kernels that were built against cuda_on_cpu.h.

#include "cuda_on_cpu.h"

#include <setjmp.h>
#include <ucontext.h>

#include <atomic>
#include <cstdio>
#include <memory>
#include <random>
#include <thread>

#include "cuda_checks.h"

thread_local __align__(16) unsigned char
    dynamic_shared[cuda_on_cpu::kMostSharedBytes];

namespace cuda_on_cpu {

const size_t kStackBytes = 128 << 10;
const size_t kSharedBytes = 48 << 10;
const unsigned char kUnset = 0xff;  // bytes of a number that is not one

__thread Place place;

namespace {

struct Failure {
  std::string message;
};

enum State { kReady, kAtBarrier, kAtWarp, kAsleep, kEnded };

struct Copy {
  void* to;
  const void* from;
  size_t size;
};

struct Fiber {
  ucontext_t context;  // to start in
  jmp_buf place;       // to go on from
  bool started;
  std::unique_ptr<char[]> stack;
  State state;
  const char* file;
  int line;
  bool vote;
  unsigned mask;   // of the lanes it waits for
  uint64_t value;  // what it shows them
  std::vector<Copy> copies;  // that are to arrive
  size_t n_committed;        // of these, what a wait is for
};

thread_local std::vector<Fiber> fibers;
// Lanes' values, as last exchanged, and threads' votes.
thread_local std::vector<uint64_t> shown;
thread_local bool vote_of_all;
thread_local jmp_buf scheduler;
thread_local int current;
thread_local std::function<void()> body;
thread_local bool copies_arrive_at_once;
// Of a cooperative launch: whether a thread block failed, how many ended.
std::atomic<bool> failed;
std::atomic<long> n_ended;

void wait(State state, const char* file, int line) {
  Fiber& fiber = fibers[current];
  fiber.state = state;
  fiber.file = file;
  fiber.line = line;
  cuda_checks::leave();
  if (_setjmp(fiber.place) == 0) _longjmp(scheduler, 1);
  enter_kernel();
}

void run_fiber() {
  body();
  fibers[current].state = kEnded;
  _longjmp(scheduler, 1);
}

// Runs the current fiber until it waits or ends. Contexts only start fibers:
// a jump from one to the next costs no call of the system.
void resume(Fiber& fiber) {
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  setcontext(&fiber.context);
}

std::string where(const Fiber& fiber) {
  return std::string(fiber.file) + ":" + std::to_string(fiber.line);
}

// Lets those lanes of a warp go on who waited for each other and have all
// come. Returns whether there were any.
bool release_warp(int warp) {
  Fiber* lanes = &fibers[warp * kWarp];
  bool any = false;
  for (int i = 0; i < kWarp; ++i) {
    if (lanes[i].state != kAtWarp) continue;
    unsigned mask = lanes[i].mask;
    bool complete = true;
    for (int lane = 0; lane < kWarp; ++lane) {
      if (mask >> lane & 1) {
        complete = complete && lanes[lane].state == kAtWarp &&
                   lanes[lane].mask == mask &&
                   lanes[lane].line == lanes[i].line;
      }
    }
    if (!complete) continue;
    for (int lane = 0; lane < kWarp; ++lane) {
      if (mask >> lane & 1) {
        shown[warp * kWarp + lane] = lanes[lane].value;
        lanes[lane].state = kReady;
      }
    }
    any = true;
  }
  return any;
}

// Lets threads look again that wait for other thread blocks. Returns whether
// there were any.
bool wake() {
  const long kMost = 20000;  // looks after other thread blocks have ended
  static thread_local long n_looks;
  bool any = false;
  for (Fiber& fiber : fibers) {
    if (fiber.state != kAsleep) continue;
    any = true;
    fiber.state = kReady;
    if (failed) throw Failure{"another thread block failed"};
    n_looks = n_ended > 0 ? n_looks + 1 : 0;
    if (n_looks > kMost) {
      throw Failure{"a thread waits in " + where(fiber) +
                    " for thread blocks that have ended"};
    }
  }
  if (any) std::this_thread::yield();
  return any;
}

// Lets all threads go on if they wait at __syncthreads(). Returns whether
// they do; else all have ended.
bool release_block() {
  size_t waiting = 0, ended = 0;
  vote_of_all = true;
  for (const Fiber& fiber : fibers) {
    waiting += fiber.state == kAtBarrier;
    ended += fiber.state == kEnded;
    vote_of_all = vote_of_all && fiber.vote;
  }
  if (ended == fibers.size()) return false;
  for (Fiber& fiber : fibers) {
    if (waiting < fibers.size() && fiber.state != kEnded) {
      throw Failure{"a thread waits in " + where(fiber) +
                    " for others that do not come"};
    }
    if (fiber.line != fibers[0].line || fiber.file != fibers[0].file) {
      throw Failure{"threads wait at __syncthreads() in " +
                    where(fibers[0]) + " and in " + where(fiber)};
    }
    fiber.state = kReady;
  }
  cuda_checks::pass_barrier();
  return true;
}

// Order 0 is forward, 1 backward, any other number a shuffle of its own.
std::vector<int> permutation(int n, unsigned order) {
  std::vector<int> numbers(n);
  for (int i = 0; i < n; ++i) numbers[i] = i;
  if (order == 1) std::reverse(numbers.begin(), numbers.end());
  if (order > 1) {
    std::shuffle(numbers.begin(), numbers.end(), std::mt19937(order));
  }
  return numbers;
}

void run_threads(int n_threads, unsigned order) {
  fibers.resize(n_threads);
  shown.resize(n_threads);
  copies_arrive_at_once = order == 1;
  for (Fiber& fiber : fibers) {
    if (!fiber.stack) fiber.stack.reset(new char[kStackBytes]);
    fiber.state = kReady;
    fiber.started = false;
    fiber.vote = true;
    fiber.copies.clear();
    fiber.n_committed = 0;
    getcontext(&fiber.context);
    fiber.context.uc_stack.ss_sp = fiber.stack.get();
    fiber.context.uc_stack.ss_size = kStackBytes;
    fiber.context.uc_link = nullptr;
    makecontext(&fiber.context, run_fiber, 0);
  }
  // A warp goes as far as it gets alone: what others still need of what it
  // overwrites, they miss.
  std::vector<int> warps = permutation(n_threads / kWarp, order);
  std::vector<int> lanes = permutation(kWarp, order);
  do {
    for (int warp : warps) {
      do {
        for (int lane : lanes) {
          current = warp * kWarp + lane;
          if (fibers[current].state != kReady) continue;
          place.thread = {(unsigned)current, 0, 0};
          resume(fibers[current]);
          std::string message = cuda_checks::found();
          if (!message.empty()) throw Failure{message};
        }
      } while (release_warp(warp));
    }
  } while (wake() || release_block());
}

// Runs a thread block in this thread of the host. Shared memory is not a
// number before it starts, and is checked behind its end when it has ended.
void run_thread_block(
    const Kernel& kernel, Dim3 grid, long number, int n_threads,
    size_t shared_bytes, size_t most_shared_bytes, void** arguments,
    unsigned order) {
  place.grid_dim = grid;
  place.block_dim = {(unsigned)n_threads, 1, 1};
  place.block = {(unsigned)(number % grid.x),
                 (unsigned)(number / grid.x % grid.y),
                 (unsigned)(number / grid.x / grid.y)};
  body = [&] { kernel.call(arguments); };
  std::memset(dynamic_shared, kUnset, most_shared_bytes);
  cuda_checks::begin_thread_block(
      number, dynamic_shared, shared_bytes, most_shared_bytes, &place,
      sizeof(place));
  run_threads(n_threads, order);
  for (size_t j = shared_bytes; j < most_shared_bytes; ++j) {
    if (dynamic_shared[j] != kUnset) {
      throw Failure{"writes behind its shared memory"};
    }
  }
}

const Kernel* find(const std::string& name) {
  auto found = std::find_if(
      kernels.begin(), kernels.end(),
      [&](const Kernel& kernel) { return kernel.name == name; });
  return found == kernels.end() ? nullptr : &*found;
}

// Returns an empty message or what was wrong.
std::string launch(
    const Kernel& kernel, Dim3 grid, int n_threads, size_t shared_bytes,
    void** arguments, unsigned order, bool is_cooperative) {
  if (n_threads % kWarp != 0) return "the last warp is not complete";
  size_t most = is_cooperative ? kMostSharedBytes : kSharedBytes;
  if (shared_bytes > most) return "too much shared memory";
  long n_blocks = (long)grid.x * grid.y * grid.z;
  if (n_blocks == 0) return "an empty grid";
  std::vector<std::string> messages(n_blocks);
  auto run = [&](long i) {
    try {
      run_thread_block(kernel, grid, i, n_threads, shared_bytes, most,
                       arguments, order);
    } catch (const Failure& failure) {
      messages[i] = failure.message;
      // What another says of this one's failure is not the cause.
      if (failed.exchange(true)) messages[i].clear();
    }
    ++n_ended;
  };
  failed = false;
  n_ended = 0;
  std::vector<std::thread> threads;
  for (long i : permutation(n_blocks, order)) {
    if (is_cooperative) {
      threads.emplace_back(run, i);
    } else {
      run(i);
      if (failed) break;
    }
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& message : messages) {
    if (!message.empty()) return message;
  }
  return "";
}

}  // namespace

void enter_kernel() {
  cuda_checks::enter(current, fibers[current].stack.get(), kStackBytes);
}

void leave_kernel() { cuda_checks::leave(); }

bool wait_for_block(bool vote, const char* file, int line) {
  fibers[current].vote = vote;
  wait(kAtBarrier, file, line);
  return vote_of_all;
}

void exchange(unsigned mask, uint64_t value, const char* file, int line) {
  fibers[current].mask = mask;
  fibers[current].value = value;
  wait(kAtWarp, file, line);
}

uint64_t shown_by(int lane) { return shown[current / kWarp * kWarp + lane]; }

void sleep(const char* file, int line) { wait(kAsleep, file, line); }

void fence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
  cuda_checks::pass_fence();
}

// Orders nothing but itself, as on a GPU.
unsigned add(unsigned* address, unsigned value) {
  cuda_checks::count(address);
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

void copy_async(void* to, const void* from, size_t size) {
  cuda_checks::copy(to, from, size);
  if (copies_arrive_at_once) {
    std::memcpy(to, from, size);
  }
  fibers[current].copies.push_back({to, from, size});
}

void commit_copies() {
  fibers[current].n_committed = fibers[current].copies.size();
}

void wait_for_copies() {
  Fiber& fiber = fibers[current];
  auto end = fiber.copies.begin() + fiber.n_committed;
  for (auto copy = fiber.copies.begin(); copy != end; ++copy) {
    if (!copies_arrive_at_once) {
      std::memcpy(copy->to, copy->from, copy->size);
    }
    cuda_checks::arrive(copy->to, copy->size);
  }
  fiber.copies.erase(fiber.copies.begin(), end);
  fiber.n_committed = 0;
}

}  // namespace cuda_on_cpu

// Describes a kernel's arguments, one after the other; null if there is none.
extern "C" const char* types_of(const char* name) {
  static std::string types;
  const cuda_on_cpu::Kernel* kernel = cuda_on_cpu::find(name);
  if (kernel == nullptr) return nullptr;
  types.clear();
  for (const std::string& type : kernel->types) types += type + " ";
  return types.c_str();
}

// Launches a kernel. `arrays` are where those that it is given begin and end.
// Returns whether it failed, and why in `message`.
extern "C" int launch(
    const char* name, const unsigned* grid, int n_threads,
    size_t shared_bytes, void** arguments, const uintptr_t* arrays,
    size_t n_arrays, unsigned order, int is_cooperative, char* message,
    size_t message_size) {
  cuda_checks::begin_launch(arrays, n_arrays, is_cooperative);
  std::string error = cuda_on_cpu::launch(
      *cuda_on_cpu::find(name), {grid[0], grid[1], grid[2]}, n_threads,
      shared_bytes, arguments, order, is_cooperative);
  std::snprintf(message, message_size, "%s: %s", name, error.c_str());
  return !error.empty();
}
