// See cuda_checks.h.

#include "cuda_checks.h"

#include <dlfcn.h>
#include <link.h>

#include <cstdio>
#include <mutex>
#include <set>
#include <vector>

namespace cuda_checks {
namespace {

// What is told apart: half a float.
const int kCellBytes = 2;

struct Range {
  uintptr_t begin, end;

  bool has(uintptr_t address, size_t size) const {
    return begin <= address && address + size <= end;
  }
};

// Threads' accesses are counted by the barriers that their thread block has
// passed, from 1 on; 0 is none.
struct Access {
  int block;
  int thread;
  int barriers;
};

// Of two reads neither of which happens before the other, both are kept.
struct Cell {
  uintptr_t number;
  unsigned run;
  Access write, read, other_read;
};

// What was last done with each cell, since begin().
class Shadow {
 public:
  void begin() {
    ++run_;
    n_used_ = 0;
  }

  Cell& at(uintptr_t number) {
    if (2 * n_used_ >= cells_.size()) grow();
    Cell& cell = find(number);
    if (cell.run != run_) {
      cell = {number, run_, {}, {}, {}};
      ++n_used_;
    }
    return cell;
  }

 private:
  // The cell, or a place for it: what is of an earlier run is free.
  Cell& find(uintptr_t number) {
    size_t mask = cells_.size() - 1;
    size_t i = (number * 0x9e3779b97f4a7c15u >> 20) & mask;
    while (cells_[i].run == run_ && cells_[i].number != number) {
      i = (i + 1) & mask;
    }
    return cells_[i];
  }

  void grow() {
    std::vector<Cell> old(cells_.empty() ? 1 << 12 : 2 * cells_.size());
    old.swap(cells_);
    for (const Cell& cell : old) {
      if (cell.run == run_) find(cell.number) = cell;
    }
  }

  std::vector<Cell> cells_;
  size_t n_used_ = 0;
  unsigned run_ = 0;
};

// Of a launch.
std::vector<Range> arrays;
bool at_once;
std::mutex mutex;
Shadow global_shadow;
// Barriers that a thread block had passed when it last counted itself, having
// passed a fence; what it did before them, others see behind their fences.
std::vector<int> published;
std::set<uintptr_t> counters;

// Of a thread block.
thread_local long block;
thread_local int barriers;
thread_local Range dynamic_shared, behind_shared, static_shared, free_memory;
thread_local Shadow shared_shadow;
// Of what was published: what a counter told, what is seen by the thread that
// passed a fence since, and what all see, from the next barrier on.
thread_local std::vector<int> told, seen_behind, seen;
thread_local std::vector<int> fenced;  // by thread: when it was, last

// Of the running thread.
thread_local bool active;
thread_local int thread;
thread_local Range stack;

thread_local std::string message;

void report(const std::string& what, const void* from) {
  if (!message.empty()) return;
  message = "thread " + std::to_string(thread) + " of thread block " +
            std::to_string(block) + " " + what;
  Dl_info info;
  if (from != nullptr && dladdr(from, &info)) {
    char place[32];
    // The call is before where it returns to.
    std::snprintf(place, sizeof(place), " (+0x%zx)",
                  (size_t)from - (size_t)info.dli_fbase - 1);
    message += place;
  }
}

std::string describe(uintptr_t address, size_t size) {
  std::string bytes = std::to_string(size) + " bytes";
  if (dynamic_shared.has(address, 1)) {
    return bytes + " of dynamic shared memory, from " +
           std::to_string(address - dynamic_shared.begin);
  }
  for (size_t i = 0; i < arrays.size(); ++i) {
    if (arrays[i].has(address, 1)) {
      return bytes + " of array " + std::to_string(i) + ", from " +
             std::to_string(address - arrays[i].begin);
    }
  }
  bool is_static =
      static_shared.has(address, 1) && !behind_shared.has(address, 1);
  return bytes + (is_static ? " of static shared memory"
                            : " outside of arrays and shared memory");
}

int at(const std::vector<int>& values, size_t i) {
  return i < values.size() ? values[i] : 0;
}

void raise_to(std::vector<int>* values, size_t i, int value) {
  if (values->size() <= i) values->resize(i + 1);
  if ((*values)[i] < value) (*values)[i] = value;
}

// Whether an access happens before what the running thread does.
bool is_before(const Access& access) {
  if (access.barriers == 0) return true;
  if (access.block == block) {
    return access.thread == thread || access.barriers < barriers;
  }
  int until = at(seen, access.block);
  // The thread that counts has passed the fence itself.
  return access.barriers < until ||
         (access.barriers == until && access.thread == 0);
}

void look(Cell* cell, bool is_write, bool is_shared, uintptr_t address,
          size_t size, const void* from) {
  Access own = {(int)block, thread, barriers};
  auto race = [&](const Access& other, const char* what) {
    report((is_write ? "writes " : "reads ") + describe(address, size) +
               ", which thread " + std::to_string(other.thread) +
               " of thread block " + std::to_string(other.block) + what,
           from);
  };
  if (!is_before(cell->write)) race(cell->write, " writes at the same time");
  if (is_write) {
    for (const Access& read : {cell->read, cell->other_read}) {
      if (!is_before(read)) race(read, " reads at the same time");
    }
    cell->write = own;
  } else {
    if (is_shared && cell->write.barriers == 0) {
      report("reads " + describe(address, size) + ", which nothing was written to",
             from);
    }
    if (is_before(cell->read)) {
      cell->read = own;
    } else {
      cell->other_read = own;
    }
  }
}

void check(const void* pointer, size_t size, bool is_write,
           const void* from) {
  uintptr_t address = (uintptr_t)pointer;
  if (!active || stack.has(address, size) || free_memory.has(address, size)) {
    return;
  }
  bool is_shared =
      dynamic_shared.has(address, size) ||
      (static_shared.has(address, size) && !behind_shared.has(address, 1));
  bool is_global = false;
  for (const Range& array : arrays) {
    is_global = is_global || array.has(address, size);
  }
  if (!is_shared && !is_global) {
    report((is_write ? "writes " : "reads ") + describe(address, size), from);
    return;
  }
  std::unique_lock<std::mutex> lock(mutex, std::defer_lock);
  if (at_once && !is_shared) lock.lock();
  if (!is_shared && !is_write && counters.count(address) > 0) {
    told = published;
  }
  Shadow& shadow = is_shared ? shared_shadow : global_shadow;
  for (uintptr_t number = address / kCellBytes;
       number <= (address + size - 1) / kCellBytes; ++number) {
    look(&shadow.at(number), is_write, is_shared, address, size, from);
  }
}

// This library's memory that is local to the present thread of the host.
int find_local_memory(dl_phdr_info* info, size_t, void* found) {
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    uintptr_t begin = (uintptr_t)info->dlpi_tls_data;
    const ElfW(Phdr)& header = info->dlpi_phdr[i];
    Range memory = {begin, begin + header.p_memsz};
    if (header.p_type == PT_TLS && memory.has((uintptr_t)&active, 1)) {
      *(Range*)found = memory;
    }
  }
  return 0;
}

}  // namespace

void begin_launch(const uintptr_t* ends, size_t n_arrays, bool run_at_once) {
  arrays.clear();
  for (size_t i = 0; i < n_arrays; ++i) {
    arrays.push_back({ends[2 * i], ends[2 * i + 1]});
  }
  at_once = run_at_once;
  global_shadow.begin();
  published.clear();
  counters.clear();
}

void begin_thread_block(long number, const void* shared, size_t shared_bytes,
                        size_t most_shared_bytes, const void* free,
                        size_t free_bytes) {
  block = number;
  barriers = 1;
  dynamic_shared = {(uintptr_t)shared, (uintptr_t)shared + shared_bytes};
  behind_shared = {dynamic_shared.end, (uintptr_t)shared + most_shared_bytes};
  free_memory = {(uintptr_t)free, (uintptr_t)free + free_bytes};
  dl_iterate_phdr(find_local_memory, &static_shared);
  shared_shadow.begin();
  told.clear();
  seen_behind.clear();
  seen.clear();
  fenced.clear();
}

void enter(int number, const void* memory, size_t bytes) {
  thread = number;
  stack = {(uintptr_t)memory, (uintptr_t)memory + bytes};
  active = true;
}

void leave() { active = false; }

void pass_barrier() {
  ++barriers;
  for (size_t i = 0; i < seen_behind.size(); ++i) {
    raise_to(&seen, i, seen_behind[i]);
  }
}

void pass_fence() {
  raise_to(&fenced, thread, barriers);
  for (size_t i = 0; i < told.size(); ++i) raise_to(&seen_behind, i, told[i]);
}

void count(const void* address) {
  if ((uintptr_t)address % 4 != 0) report("counts at an odd address", nullptr);
  std::lock_guard<std::mutex> lock(mutex);
  counters.insert((uintptr_t)address);
  if (at(fenced, thread) == barriers) {
    for (size_t i = 0; i < seen.size(); ++i) raise_to(&published, i, seen[i]);
    raise_to(&published, block, barriers);
  }
  told = published;
}

void copy(const void* to, const void* from, size_t size) {
  if ((size != 4 && size != 8 && size != 16) ||
      ((uintptr_t)to | (uintptr_t)from) % size != 0) {
    report("copies " + std::to_string(size) + " bytes at odd addresses",
           __builtin_return_address(0));
  }
  check(from, size, false, __builtin_return_address(0));
  check(to, size, true, __builtin_return_address(0));
}

void arrive(const void* to, size_t size) {
  check(to, size, true, __builtin_return_address(0));
}

std::string found() {
  std::string first;
  first.swap(message);
  return first;
}

namespace {

// What the compiler says of a place in the source; others follow.
struct Source {
  const char* file;
  unsigned line, column;
};

void report_at(const void* data, const char* what) {
  const Source& source = *(const Source*)data;
  if (active) {
    report(std::string(what) + " in " + source.file + ":" +
               std::to_string(source.line),
           nullptr);
  }
}

}  // namespace
}  // namespace cuda_checks

#define CHECK(name, size, is_write)                                          \
  extern "C" void __tsan_##name(const void* address) {                       \
    cuda_checks::check(address, size, is_write, __builtin_return_address(0)); \
  }
CHECK(read1, 1, false)
CHECK(read2, 2, false)
CHECK(read4, 4, false)
CHECK(read8, 8, false)
CHECK(read16, 16, false)
CHECK(write1, 1, true)
CHECK(write2, 2, true)
CHECK(write4, 4, true)
CHECK(write8, 8, true)
CHECK(write16, 16, true)
CHECK(unaligned_read2, 2, false)
CHECK(unaligned_read4, 4, false)
CHECK(unaligned_read8, 8, false)
CHECK(unaligned_read16, 16, false)
CHECK(unaligned_write2, 2, true)
CHECK(unaligned_write4, 4, true)
CHECK(unaligned_write8, 8, true)
CHECK(unaligned_write16, 16, true)
CHECK(vptr_read, 8, false)
#undef CHECK

extern "C" {

void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_read_range(const void* address, size_t size) {
  cuda_checks::check(address, size, false, __builtin_return_address(0));
}
void __tsan_write_range(const void* address, size_t size) {
  cuda_checks::check(address, size, true, __builtin_return_address(0));
}

void __ubsan_handle_type_mismatch_v1(void* data, uintptr_t) {
  cuda_checks::report_at(data, "uses an address that is not aligned");
}
void __ubsan_handle_out_of_bounds(void* data, uintptr_t) {
  cuda_checks::report_at(data, "indexes an array out of bounds");
}
void __ubsan_handle_shift_out_of_bounds(void* data, uintptr_t, uintptr_t) {
  cuda_checks::report_at(data, "shifts by too much");
}
void __ubsan_handle_divrem_overflow(void* data, uintptr_t, uintptr_t) {
  cuda_checks::report_at(data, "divides by 0");
}
void __ubsan_handle_add_overflow(void* data, uintptr_t, uintptr_t) {
  cuda_checks::report_at(data, "overflows");
}
void __ubsan_handle_sub_overflow(void* data, uintptr_t, uintptr_t) {
  cuda_checks::report_at(data, "overflows");
}
void __ubsan_handle_mul_overflow(void* data, uintptr_t, uintptr_t) {
  cuda_checks::report_at(data, "overflows");
}
void __ubsan_handle_negate_overflow(void* data, uintptr_t) {
  cuda_checks::report_at(data, "overflows");
}

}  // extern "C"
