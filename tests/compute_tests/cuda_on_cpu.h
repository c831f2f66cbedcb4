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
//
// Kernels and this header may be built so that cuda_checks.h sees what they
// read and write. What runs them, cuda_on_cpu.cpp, never is.

#ifndef CUDA_ON_CPU_H
#define CUDA_ON_CPU_H

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <string>
#include <utility>
#include <vector>

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
const size_t kMostSharedBytes = 227 << 10;  // where it is asked for

struct Dim3 {
  unsigned x, y, z;
};

// Where a thread is.
struct Place {
  Dim3 thread, block, block_dim, grid_dim;
};
extern __thread Place place;

// A kernel starts, and has ended, in the present thread.
void enter_kernel();
void leave_kernel();

// All threads wait for one another. With a vote, returns whether all vote yes.
bool wait_for_block(bool vote, const char* file, int line);

// Waits for the lanes in the mask, and shows them a value. Then `shown_by()`
// is what a lane of the same warp showed.
void exchange(unsigned mask, uint64_t value, const char* file, int line);
uint64_t shown_by(int lane);

// Lets others run.
void sleep(const char* file, int line);

void fence();
unsigned add(unsigned* address, unsigned value);
void copy_async(void* to, const void* from, size_t size);
void commit_copies();
void wait_for_copies();

template <class T>
T pick(unsigned mask, T value, int lane, const char* file, int line) {
  static_assert(sizeof(T) <= sizeof(uint64_t), "too wide for a lane");
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  exchange(mask, bits, file, line);
  int own = (int)place.thread.x % kWarp;
  bits = shown_by(lane < 0 || lane >= kWarp ? own : lane);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

inline unsigned ballot(unsigned mask, bool vote, const char* file, int line) {
  exchange(mask, vote, file, line);
  unsigned votes = 0;
  for (int lane = 0; lane < kWarp; ++lane) {
    if (mask >> lane & 1 && shown_by(lane)) votes |= 1u << lane;
  }
  return votes;
}

// Types of arguments, as NumPy names them; pointers begin with an asterisk.
template <class T> struct Name;
template <> struct Name<void> { static std::string get() { return "?"; } };
template <> struct Name<bool> { static std::string get() { return "b1"; } };
template <> struct Name<int> { static std::string get() { return "i4"; } };
template <> struct Name<unsigned> {
  static std::string get() { return "u4"; }
};
template <> struct Name<long long> {
  static std::string get() { return "i8"; }
};
template <> struct Name<__half> { static std::string get() { return "f2"; } };
template <> struct Name<float> { static std::string get() { return "f4"; } };
template <> struct Name<double> { static std::string get() { return "f8"; } };
template <class T> struct Name<const T> : Name<T> {};
template <class T> struct Name<T*> {
  static std::string get() { return "*" + Name<T>::get(); }
};

// What a launch hands over is pointers to the arguments, as CUDA's driver
// takes them.
template <class... Arguments, size_t... I>
void call(void (*kernel)(Arguments...), void** arguments,
          std::index_sequence<I...>) {
  [&](Arguments... values) {
    enter_kernel();
    kernel(values...);
    leave_kernel();
  }(*static_cast<Arguments*>(arguments[I])...);
}

struct Kernel {
  const char* name;
  std::vector<std::string> types;
  std::function<void(void**)> call;
};

template <class... Arguments>
Kernel kernel(const char* name, void (*function)(Arguments...)) {
  return {name, {Name<Arguments>::get()...}, [=](void** arguments) {
            call(function, arguments,
                 std::index_sequence_for<Arguments...>());
          }};
}

// All of a library's.
extern const std::vector<Kernel> kernels;

}  // namespace cuda_on_cpu

// Dynamic shared memory, as kernels declare it.
extern thread_local unsigned char dynamic_shared[];

#define threadIdx cuda_on_cpu::place.thread
#define blockIdx cuda_on_cpu::place.block
#define blockDim cuda_on_cpu::place.block_dim
#define gridDim cuda_on_cpu::place.grid_dim

#define __syncthreads() \
  (void)cuda_on_cpu::wait_for_block(true, __FILE__, __LINE__)
#define __syncthreads_and(vote) \
  (int)cuda_on_cpu::wait_for_block(vote, __FILE__, __LINE__)
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
#define __threadfence() cuda_on_cpu::fence()
#define atomicAdd(address, value) cuda_on_cpu::add(address, value)

#if __CUDA_ARCH__ >= 700
#define __nanosleep(n) cuda_on_cpu::sleep(__FILE__, __LINE__)
#endif

#if __CUDA_ARCH__ >= 800
#define __pipeline_memcpy_async(to, from, size) \
  cuda_on_cpu::copy_async(to, from, size)
#define __pipeline_commit() cuda_on_cpu::commit_copies()
// For all that is committed: kernels do not wait for less.
#define __pipeline_wait_prior(n) cuda_on_cpu::wait_for_copies()
#endif

#endif  // CUDA_ON_CPU_H
