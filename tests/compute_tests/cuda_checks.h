// What a GPU does not forgive and a CPU does: races, what lies outside of
// arrays or is not aligned, and shared memory that nothing was written to.
//
// The compiler tells of what kernels read and write if it builds them with
// -fsanitize=thread, and of addresses and overflows by -fsanitize=alignment
// and the like: it calls functions that cuda_checks.cpp has, in the place of
// the sanitizers' own libraries.
//
// Two accesses to the same memory, one of them a write, race unless one
// happens before the other: in one thread, on two sides of a barrier of a
// thread block; or in two thread blocks with a fence and a count by
// atomicAdd() behind the first, and a fence in front of the second. So a race
// is found whatever the order in which threads run.

#ifndef CUDA_CHECKS_H
#define CUDA_CHECKS_H

#include <cstddef>
#include <cstdint>
#include <string>

namespace cuda_checks {

// A launch; arrays[2 i] and arrays[2 i + 1] are where an array begins and
// ends. Thread blocks may run at once, each in a thread of the host.
void begin_launch(const uintptr_t* arrays, size_t n_arrays, bool at_once);

// A thread block in this thread of the host. It has so many bytes of dynamic
// shared memory, out of some more; and memory that threads read as they like.
void begin_thread_block(long number, const void* shared, size_t shared_bytes,
                        size_t most_shared_bytes, const void* free,
                        size_t free_bytes);

// A thread is run, and is not.
void enter(int thread, const void* stack, size_t stack_bytes);
void leave();

// What the running thread does; all of a thread block's for a barrier.
void pass_barrier();
void pass_fence();
void count(const void* address);
void copy(const void* to, const void* from, size_t size);
void arrive(const void* to, size_t size);

// Returns the first fault since the last call, or nothing.
std::string found();

}  // namespace cuda_checks

#endif  // CUDA_CHECKS_H
