// CUDA's words with their meaning on the CPU, for kernels to run in tests.
//
// The threads of a thread block are fibers that take turns: one runs until it
// waits at __syncthreads() or for the lanes of its warp, then the next. Warps,
// and thread blocks, run one after another. In which order is an argument: a
// kernel without races gives the same bits in every order. Waiting at
// different places, or for a thread that has ended, is an error, as it hangs
// on a GPU.
//
// What is copied asynchronously arrives at once in the order backward, and
// otherwise not before it is waited for.
//
// The thread blocks of a cooperative launch run at once, each in a thread of
// the host. A fiber that waits for other thread blocks has to sleep, by
// __nanosleep(), as often as it looks.

#ifndef CUDA_ON_CPU_H
#define CUDA_ON_CPU_H

#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <tuple>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#endif

// Asynchronous copies are of this architecture on; a build may be for another.
#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 800
#endif

#define __global__
#define __device__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
// A thread block has a thread of the host: what is local to it, all fibers
// share. In a function this also implies static.
#define __shared__ thread_local

using std::exp;
using std::log;
using std::sqrt;

struct Dim3 {
  unsigned x, y, z;
};
static thread_local Dim3 threadIdx, blockIdx, blockDim, gridDim;

// Half precision: storage and conversion.
struct __half {
  uint16_t bits;
};

inline float __half2float(__half value) {
  int exponent = value.bits >> 10 & 31;
  int fraction = value.bits & 1023;
  float magnitude;
  if (exponent == 31) {
    magnitude = fraction ? NAN : INFINITY;
  } else if (exponent == 0) {
    magnitude = std::ldexp((float)fraction, -24);
  } else {
    magnitude = std::ldexp((float)(fraction + 1024), exponent - 25);
  }
  return value.bits >> 15 ? -magnitude : magnitude;
}

// Rounds to the nearest, ties to even.
inline __half __float2half_rn(float value) {
  uint16_t sign = std::signbit(value) ? 0x8000 : 0;
  float magnitude = std::fabs(value);
  if (std::isnan(value)) return {(uint16_t)(sign | 0x7e00)};
  if (magnitude == 0) return {sign};
  if (magnitude >= 65520.f) return {(uint16_t)(sign | 0x7c00)};
  int exponent;
  std::frexp(magnitude, &exponent);
  exponent = std::max(exponent, -13);  // below, steps stay the same
  float steps = std::nearbyint(std::ldexp(magnitude, 11 - exponent));
  // A full mantissa carries into the exponent by itself.
  return {(uint16_t)(sign | (((exponent + 13) << 10) + (int)steps))};
}

namespace cuda_on_cpu {

const int kWarp = 32;
const size_t kStackBytes = 128 << 10;
const size_t kSharedBytes = 48 << 10;
const size_t kMostSharedBytes = 227 << 10;  // where it is asked for
const unsigned char kUnset = 0xff;  // bytes of a number that is not one

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
  unsigned mask;   // of the lanes it waits for
  uint64_t value;  // what it shows them
  std::vector<Copy> copies;  // that are to arrive
  size_t n_committed;        // of these, what a wait is for
};

static thread_local std::vector<Fiber> fibers;
// Lanes' values, as last exchanged.
static thread_local std::vector<uint64_t> shown;
static thread_local jmp_buf scheduler;
static thread_local int current;
static thread_local std::function<void()> body;
static thread_local bool copies_arrive_at_once;
// Of a cooperative launch: whether a thread block failed, how many ended.
static std::atomic<bool> failed;
static std::atomic<long> n_ended;

static void wait(State state, const char* file, int line) {
  Fiber& fiber = fibers[current];
  fiber.state = state;
  fiber.file = file;
  fiber.line = line;
  if (_setjmp(fiber.place) == 0) _longjmp(scheduler, 1);
}

static void run_fiber() {
  body();
  fibers[current].state = kEnded;
  _longjmp(scheduler, 1);
}

// Runs the current fiber until it waits or ends. Contexts only start fibers:
// a jump from one to the next costs no call of the system.
static void resume(Fiber& fiber) {
  if (_setjmp(scheduler) != 0) return;
  if (fiber.started) _longjmp(fiber.place, 1);
  fiber.started = true;
  setcontext(&fiber.context);
}

// Shows a value to the lanes in the mask; returns theirs, by lane.
template <class T>
const uint64_t* exchange(unsigned mask, T value, const char* file, int line) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "too wide for a lane");
  Fiber& fiber = fibers[current];
  fiber.mask = mask;
  fiber.value = 0;
  std::memcpy(&fiber.value, &value, sizeof(T));
  wait(kAtWarp, file, line);
  return &shown[current / kWarp * kWarp];
}

template <class T>
T pick(unsigned mask, T value, int lane, const char* file, int line) {
  const uint64_t* values = exchange(mask, value, file, line);
  int own = current % kWarp;
  T picked;
  std::memcpy(&picked, &values[lane < 0 || lane >= kWarp ? own : lane],
              sizeof(T));
  return picked;
}

static unsigned ballot(unsigned mask, bool vote, const char* file, int line) {
  const uint64_t* values = exchange(mask, (uint64_t)vote, file, line);
  unsigned votes = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    if (mask >> lane & 1 && values[lane]) votes |= 1u << lane;
  }
  return votes;
}

static std::string where(const Fiber& fiber) {
  return std::string(fiber.file) + ":" + std::to_string(fiber.line);
}

// Lets those lanes of a warp go on who waited for each other and have all
// come. Returns whether there were any.
static bool release_warp(int warp) {
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
static bool wake() {
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
static bool release_block() {
  size_t waiting = 0, ended = 0;
  for (const Fiber& fiber : fibers) {
    waiting += fiber.state == kAtBarrier;
    ended += fiber.state == kEnded;
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
  return true;
}

// Order 0 is forward, 1 backward, any other number a shuffle of its own.
static std::vector<int> permutation(int n, unsigned order) {
  std::vector<int> numbers(n);
  for (int i = 0; i < n; ++i) numbers[i] = i;
  if (order == 1) std::reverse(numbers.begin(), numbers.end());
  if (order > 1) {
    std::shuffle(numbers.begin(), numbers.end(), std::mt19937(order));
  }
  return numbers;
}

static void run_block(int n_threads, unsigned order) {
  fibers.resize(n_threads);
  shown.resize(n_threads);
  copies_arrive_at_once = order == 1;
  for (Fiber& fiber : fibers) {
    if (!fiber.stack) fiber.stack.reset(new char[kStackBytes]);
    fiber.state = kReady;
    fiber.started = false;
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
          threadIdx = {(unsigned)current, 0, 0};
          resume(fibers[current]);
        }
      } while (release_warp(warp));
    }
  } while (wake() || release_block());
}

// What a launch hands over is pointers to the arguments, as CUDA's driver
// takes them.
template <class... Arguments, size_t... I>
void call(void (*kernel)(Arguments...), void** arguments,
          std::index_sequence<I...>) {
  kernel(*static_cast<Arguments*>(arguments[I])...);
}

template <class... Arguments>
void call(void (*kernel)(Arguments...), void** arguments) {
  call(kernel, arguments, std::index_sequence_for<Arguments...>());
}

struct Kernel {
  const char* name;
  size_t n_arguments;
  std::function<void(void**)> call;
};

template <class... Arguments>
Kernel kernel(const char* name, void (*function)(Arguments...)) {
  return {name, sizeof...(Arguments),
          [=](void** arguments) { call(function, arguments); }};
}

}  // namespace cuda_on_cpu

// Dynamic shared memory, as kernels declare it.
thread_local __align__(16) unsigned char
    dynamic_shared[cuda_on_cpu::kMostSharedBytes];

#define __syncthreads() \
  cuda_on_cpu::wait(cuda_on_cpu::kAtBarrier, __FILE__, __LINE__)
#define __shfl_sync(mask, value, lane) \
  cuda_on_cpu::pick(mask, value, lane, __FILE__, __LINE__)
#define __shfl_xor_sync(mask, value, bits)                                   \
  cuda_on_cpu::pick(mask, value, (int)(threadIdx.x % cuda_on_cpu::kWarp) ^   \
                    (bits), __FILE__, __LINE__)
#define __shfl_up_sync(mask, value, delta)                                   \
  cuda_on_cpu::pick(mask, value, (int)(threadIdx.x % cuda_on_cpu::kWarp) -   \
                    (int)(delta), __FILE__, __LINE__)
#define __ballot_sync(mask, vote) \
  cuda_on_cpu::ballot(mask, vote, __FILE__, __LINE__)
#define __ffs(bits) __builtin_ffs(bits)

#if __CUDA_ARCH__ >= 800

inline void __pipeline_memcpy_async(
    void* to, const void* from, size_t size) {
  cuda_on_cpu::Copy copy = {to, from, size};
  if (cuda_on_cpu::copies_arrive_at_once) {
    std::memcpy(to, from, size);
  } else {
    cuda_on_cpu::fibers[cuda_on_cpu::current].copies.push_back(copy);
  }
}

inline void __pipeline_commit() {
  cuda_on_cpu::Fiber& fiber = cuda_on_cpu::fibers[cuda_on_cpu::current];
  fiber.n_committed = fiber.copies.size();
}

// Waits for all that is committed: kernels do not wait for less.
inline void __pipeline_wait_prior(size_t) {
  cuda_on_cpu::Fiber& fiber = cuda_on_cpu::fibers[cuda_on_cpu::current];
  auto end = fiber.copies.begin() + fiber.n_committed;
  for (auto copy = fiber.copies.begin(); copy != end; ++copy) {
    std::memcpy(copy->to, copy->from, copy->size);
  }
  fiber.copies.erase(fiber.copies.begin(), end);
  fiber.n_committed = 0;
}

#endif

#define __nanosleep(n) \
  cuda_on_cpu::wait(cuda_on_cpu::kAsleep, __FILE__, __LINE__)

inline void __threadfence() {
  std::atomic_thread_fence(std::memory_order_seq_cst);
}

// Orders nothing but itself, as on a GPU.
inline unsigned atomicAdd(unsigned* address, unsigned value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

namespace cuda_on_cpu {

// Runs a thread block in this thread of the host. Shared memory is not a
// number before it starts, and is checked behind its end when it has ended.
static void run_thread_block(
    const Kernel& kernel, Dim3 grid, long number, int n_threads,
    size_t shared_bytes, size_t most_shared_bytes, void** arguments,
    unsigned order) {
  gridDim = grid;
  blockDim = {(unsigned)n_threads, 1, 1};
  blockIdx = {(unsigned)(number % grid.x),
              (unsigned)(number / grid.x % grid.y),
              (unsigned)(number / grid.x / grid.y)};
  body = [&] { kernel.call(arguments); };
  std::memset(dynamic_shared, kUnset, most_shared_bytes);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_POISON_MEMORY_REGION(dynamic_shared + shared_bytes,
                            most_shared_bytes - shared_bytes);
#endif
  run_block(n_threads, order);
#if defined(__SANITIZE_ADDRESS__)
  ASAN_UNPOISON_MEMORY_REGION(dynamic_shared, most_shared_bytes);
#endif
  for (size_t j = shared_bytes; j < most_shared_bytes; ++j) {
    if (dynamic_shared[j] != kUnset) {
      throw Failure{"writes behind its shared memory"};
    }
  }
}

}  // namespace cuda_on_cpu

// Launches a kernel of the list, and returns an empty message or what was
// wrong.
inline std::string launch_on_cpu(
    const std::vector<cuda_on_cpu::Kernel>& kernels, const std::string& name,
    Dim3 grid, int n_threads, size_t shared_bytes, void** arguments,
    size_t n_arguments, unsigned order, bool is_cooperative) {
  using namespace cuda_on_cpu;
  auto found = std::find_if(
      kernels.begin(), kernels.end(),
      [&](const Kernel& kernel) { return kernel.name == name; });
  if (found == kernels.end()) return "there is no kernel " + name;
  if (found->n_arguments != n_arguments) {
    return name + " takes " + std::to_string(found->n_arguments) +
           " arguments, not " + std::to_string(n_arguments);
  }
  if (n_threads % kWarp != 0) return "the last warp is not complete";
  size_t most = is_cooperative ? kMostSharedBytes : kSharedBytes;
  if (shared_bytes > most) return "too much shared memory";
  long n_blocks = (long)grid.x * grid.y * grid.z;
  if (n_blocks == 0) return "an empty grid";
  std::vector<std::string> messages(n_blocks);
  auto run = [&](long i) {
    try {
      run_thread_block(*found, grid, i, n_threads, shared_bytes, most,
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
    if (!message.empty()) return name + ": " + message;
  }
  return "";
}

#endif  // CUDA_ON_CPU_H
