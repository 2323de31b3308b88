// Runs kernels on the host: fibers, the scheduler, device memory, and the C functions that the library calls.
#include "runtime.h"

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <map>
#include <mutex>
#include <numeric>

#include "../include/abi.h"

namespace emulator {

Block& block() {
  static Block one;
  return one;
}
const uint3& thread_index() { return block().current->index; }
const uint3& block_index() { return block().index; }
const uint3& block_size() { return block().size; }
const uint3& grid_size() { return block().grid; }
unsigned char* shared_memory() { return block().shared; }

// ---- approximate units

// Of the running launch.
static bool is_approximate = false;

float approximate(float exact, float error) {
  if (!is_approximate) return exact;
  const uint32_t mixed = (__float_as_uint(exact) ^ 0x9E3779B9u) * 0x85EBCA6Bu;
  const float share = float(int32_t(mixed)) * 0x1p-31f;
  return exact + exact * (error * share);
}

// ---- fibers

#if defined(__x86_64__)
extern "C" void dis_emulator_switch(void** save, void* to) __attribute__((visibility("hidden")));
// Saves the registers a function must keep and the stack pointer, and takes up those of the other side.
asm(R"(.text
.globl dis_emulator_switch
.hidden dis_emulator_switch
.type dis_emulator_switch,@function
dis_emulator_switch:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  ret
)");
#elif defined(__aarch64__)
extern "C" void dis_emulator_switch(void** save, void* to) __attribute__((visibility("hidden")));
asm(R"(.text
.globl dis_emulator_switch
.hidden dis_emulator_switch
.type dis_emulator_switch,%function
dis_emulator_switch:
  sub sp, sp, #160
  stp x19, x20, [sp, #0]
  stp x21, x22, [sp, #16]
  stp x23, x24, [sp, #32]
  stp x25, x26, [sp, #48]
  stp x27, x28, [sp, #64]
  stp x29, x30, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x19, x20, [sp, #0]
  ldp x21, x22, [sp, #16]
  ldp x23, x24, [sp, #32]
  ldp x25, x26, [sp, #48]
  ldp x27, x28, [sp, #64]
  ldp x29, x30, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
)");
#else
#error "the emulator switches fibers on x86-64 and aarch64"
#endif

static void* scheduler_stack_pointer;

static void to_scheduler() { dis_emulator_switch(&block().current->stack_pointer, scheduler_stack_pointer); }

static void run(Fiber& fiber) {
  block().current = &fiber;
  dis_emulator_switch(&scheduler_stack_pointer, fiber.stack_pointer);
  block().current = nullptr;
}

static void fiber_main() {
  Block& b = block();
  b.body(b.params);
  b.current->state = State::Done;
  to_scheduler();
  abort();
}

static char* new_stack() {
  constexpr size_t GUARD = 16 << 10;
  void* memory = mmap(nullptr, GUARD + STACK_BYTES, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (memory == MAP_FAILED || mprotect(memory, GUARD, PROT_NONE) != 0) {
    fputs("emulator: no memory for the stack of a thread\n", stderr);
    abort();
  }
  return static_cast<char*>(memory) + GUARD;
}

static void start(Fiber& fiber, unsigned id) {
  const uint3& n = block().size;
  if (!fiber.stack) fiber.stack = new_stack();
  fiber.id = id;
  fiber.index = {id % n.x, id / n.x % n.y, id / (n.x * n.y)};
  fiber.state = State::Runs;
  fiber.block_epoch = fiber.warp_epoch = 1;
  fiber.exchanges = 0;
  auto top = reinterpret_cast<void**>(fiber.stack + STACK_BYTES);
#if defined(__x86_64__)
  *--top = nullptr;  // keeps the stack at a multiple of 16 where fiber_main begins
  *--top = reinterpret_cast<void*>(fiber_main);
  for (int i = 0; i < 6; i++) *--top = nullptr;
#else
  top -= 20;
  std::fill(top, top + 20, nullptr);
  top[11] = reinterpret_cast<void*>(fiber_main);
#endif
  fiber.stack_pointer = top;
}

// ---- barriers and shuffles, called by fibers

void block_barrier() {
  block().current->state = State::AtBlockBarrier;
  to_scheduler();
}

static void wait_for_warp(bool orders_memory) {
  block().current->orders_memory = orders_memory;
  block().current->state = State::AtWarpBarrier;
  to_scheduler();
}

static void demand_full_warp(uint32_t mask) {
  if (mask == 0xffffffffu) return;
  block().fault = "a warp barrier or shuffle that names only some of the lanes";
  to_scheduler();
}

void warp_barrier(uint32_t mask) {
  demand_full_warp(mask);
  wait_for_warp(true);
}

uint64_t exchange(uint32_t mask, uint64_t value, unsigned source) {
  // Two sets of slots in turn: a lane writes a set again only after a barrier that every reader of it has passed.
  static uint64_t slots[2][1024];
  demand_full_warp(mask);
  Fiber& me = *block().current;
  uint64_t* const warp = slots[me.exchanges++ % 2] + (me.id & ~(LANES - 1));
  warp[me.id % LANES] = value;
  // A shuffle makes lanes meet; it does not order their accesses to memory.
  wait_for_warp(false);
  return warp[source % LANES];
}

// ---- the scheduler

// xorshift64
struct Random {
  uint64_t state;
  uint64_t next() {
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
  }
  template <class Items> void shuffle(Items& items) {
    for (size_t i = items.size(); i > 1; i--) std::swap(items[i - 1], items[next() % i]);
  }
};

// Lets a warp that is complete at its barrier go on.
static bool release_warp(Fiber* warp) {
  unsigned waiting = 0, done = 0, ordering = 0;
  for (unsigned lane = 0; lane < LANES; lane++) {
    waiting += warp[lane].state == State::AtWarpBarrier;
    done += warp[lane].state == State::Done;
    ordering += warp[lane].state == State::AtWarpBarrier && warp[lane].orders_memory;
  }
  if (waiting == 0 || waiting + done < LANES) return false;
  if (done > 0 || (ordering != 0 && ordering != waiting)) {
    block().fault = done > 0 ? "a warp barrier or shuffle after some lanes have left the kernel"
                             : "lanes of a warp wait at different barriers";
    return false;
  }
  for (unsigned lane = 0; lane < LANES; lane++) {
    warp[lane].state = State::Runs;
    if (ordering) warp[lane].warp_epoch++;
  }
  return true;
}

// Opens the block barrier when every thread is there. False when the block has come to an end or a fault.
static bool release_block() {
  Block& b = block();
  unsigned waiting = 0, done = 0;
  for (unsigned i = 0; i < b.threads; i++) {
    waiting += b.fibers[i].state == State::AtBlockBarrier;
    done += b.fibers[i].state == State::Done;
  }
  if (done == b.threads) return false;
  if (waiting + done < b.threads || done > 0) {
    b.fault = done > 0 ? "a barrier that some threads reach after others have left the kernel"
                       : "threads wait at different barriers";
    return false;
  }
  for (unsigned i = 0; i < b.threads; i++) {
    b.fibers[i].state = State::Runs;
    b.fibers[i].block_epoch++;
    b.fibers[i].warp_epoch = 1;
  }
  return true;
}

// Runs the lanes of one warp until none can go on; with `random`, in an order of its own every time.
static bool run_warp(Fiber* warp, Random* random) {
  std::array<unsigned, LANES> lanes;
  std::iota(lanes.begin(), lanes.end(), 0u);
  bool ran = false;
  do {
    if (random) random->shuffle(lanes);
    for (unsigned lane : lanes) {
      if (warp[lane].state != State::Runs) continue;
      run(warp[lane]);
      ran = true;
      if (!block().fault.empty()) return ran;
    }
  } while (release_warp(warp) && !random);
  return ran;
}

static void run_block(Random* random) {
  Block& b = block();
  if (b.shared_bytes) memset(b.shared, 0xff, b.shared_bytes);
  if (check_block) check_block();
  for (unsigned i = 0; i < b.threads; i++) start(b.fibers[i], i);
  std::vector<unsigned> warps(b.threads / LANES);
  std::iota(warps.begin(), warps.end(), 0u);
  do {
    for (bool ran = true; ran && b.fault.empty();) {
      ran = false;
      if (random) random->shuffle(warps);
      for (unsigned w : warps) {
        ran |= run_warp(&b.fibers[w * LANES], random);
        if (!b.fault.empty()) return;
      }
    }
  } while (b.fault.empty() && release_block());
}

// ---- device memory

constexpr size_t DEVICE_BYTES = size_t(1) << 36;
constexpr size_t RED_ZONE = 512;

// Address space for all buffers; pages come when they are touched.
static uintptr_t device_memory() {
  static const uintptr_t start = [] {
    void* memory = mmap(nullptr, DEVICE_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (memory == MAP_FAILED) {
      fputs("emulator: no address space for device memory\n", stderr);
      abort();
    }
    return reinterpret_cast<uintptr_t>(memory);
  }();
  return start;
}

static std::map<uintptr_t, DeviceBuffer>& buffers() {
  static std::map<uintptr_t, DeviceBuffer> all;
  return all;
}

bool in_device_memory(uintptr_t address) { return address - device_memory() < DEVICE_BYTES; }

const DeviceBuffer* buffer_near(uintptr_t address, bool* inside) {
  *inside = false;
  auto next = buffers().upper_bound(address);
  if (next == buffers().begin()) return nullptr;
  const DeviceBuffer& buffer = std::prev(next)->second;
  *inside = address < buffer.start + buffer.bytes;
  return &buffer;
}

static size_t room_of(size_t bytes) { return (bytes + RED_ZONE - 1) / RED_ZONE * RED_ZONE + RED_ZONE; }

static DeviceBuffer* allocate(size_t bytes, const char* name) {
  // First fit, with a red zone in front of the first buffer and behind every one.
  uintptr_t start = device_memory() + RED_ZONE;
  for (const auto& [at, buffer] : buffers()) {
    if (at - start >= room_of(bytes)) break;
    start = at + room_of(buffer.bytes);
  }
  if (start + room_of(bytes) > device_memory() + DEVICE_BYTES) return nullptr;
  memset(reinterpret_cast<void*>(start - RED_ZONE), 0xff, room_of(bytes) + RED_ZONE);
  if (check_allocated) check_allocated(start, bytes);
  return &(buffers()[start] = DeviceBuffer{start, bytes, name});
}

// The first buffer whose red zone behind it was written, which the fast build finds after the fact.
static std::string damaged_red_zone() {
  for (const auto& [start, buffer] : buffers()) {
    const auto* zone = reinterpret_cast<const unsigned char*>(start + buffer.bytes);
    const size_t bytes = room_of(buffer.bytes) - buffer.bytes;
    const auto* hit = std::find_if(zone, zone + bytes, [](unsigned char byte) { return byte != 0xff; });
    if (hit != zone + bytes) return "write beyond " + buffer.name + "+" + std::to_string(buffer.bytes + (hit - zone));
  }
  return {};
}

// ---- kernels by name

struct Kernel {
  unsigned max_threads;
  size_t params_len;
  Body body;
};

static std::map<std::string, Kernel>& kernels() {
  static std::map<std::string, Kernel> all;
  return all;
}

Entry::Entry(const char* name, unsigned max_threads, size_t params_len, Body body) {
  kernels()[name] = Kernel{max_threads, params_len, body};
}

static std::string what_is_wrong(const Kernel& kernel, const uint3& grid, const uint3& size, size_t shared_bytes,
                                 size_t params_len) {
  const auto text = [](uint64_t n) { return std::to_string(n); };
  const uint64_t threads = uint64_t(size.x) * size.y * size.z;
  if (params_len != kernel.params_len)
    return "parameters of " + text(params_len) + " bytes, expected " + text(kernel.params_len);
  if (threads == 0 || threads > kernel.max_threads || threads % LANES != 0)
    return "blocks of " + text(threads) + " threads, expected whole warps and at most " + text(kernel.max_threads);
  if (grid.x == 0 || grid.y == 0 || grid.z == 0 || grid.x > 0x7fffffff || grid.y > 65535 || grid.z > 65535)
    return "grid of " + text(grid.x) + " x " + text(grid.y) + " x " + text(grid.z) + " blocks";
  if (shared_bytes > 227 << 10) return text(shared_bytes) + " bytes of shared memory";
  return {};
}

static void run_grid(uint64_t seed) {
  Block& b = block();
  const uint64_t count = uint64_t(b.grid.x) * b.grid.y * b.grid.z;
  Random random{seed * 0x9E3779B97F4A7C15ull | 1};
  std::vector<uint64_t> order(count);
  std::iota(order.begin(), order.end(), uint64_t(0));
  if (seed) random.shuffle(order);
  for (uint64_t i : order) {
    b.linear_index = unsigned(i);
    b.index = {unsigned(i % b.grid.x), unsigned(i / b.grid.x % b.grid.y), unsigned(i / b.grid.x / b.grid.y)};
    run_block(seed ? &random : nullptr);
    if (!b.fault.empty()) {
      b.fault += " in block (" + std::to_string(b.index.x) + "," + std::to_string(b.index.y) + "," +
                 std::to_string(b.index.z) + ")";
      return;
    }
  }
}

static std::string launch(const char* name, const uint3& grid, const uint3& size, size_t shared_bytes, uint64_t seed,
                          const void* params, size_t params_len) {
  const auto found = kernels().find(name);
  if (found == kernels().end()) return "no such kernel";
  const Kernel& kernel = found->second;
  if (std::string wrong = what_is_wrong(kernel, grid, size, shared_bytes, params_len); !wrong.empty()) return wrong;
  alignas(16) static unsigned char shared[(227 << 10) + 1024];
  Block& b = block();
  b.grid = grid, b.size = size, b.threads = size.x * size.y * size.z;
  if (b.fibers.size() < b.threads) b.fibers.resize(b.threads);
  b.shared = shared, b.shared_bytes = shared_bytes;
  b.body = kernel.body, b.params = params, b.kernel = found->first.c_str();
  b.fault.clear();
  memset(shared, 0xff, sizeof shared);
  if (check_launch) check_launch();
  run_grid(seed);
  if (check_report) {
    if (std::string report = check_report(); !report.empty()) return report;
  }
  if (b.fault.empty()) {
    if (std::any_of(shared + shared_bytes, std::end(shared), [](unsigned char byte) { return byte != 0xff; }))
      return "write beyond the " + std::to_string(shared_bytes) + " bytes of shared memory";
  }
  return b.fault.empty() ? damaged_red_zone() : b.fault;
}

}  // namespace emulator

// ---- what the library calls; one call at a time in a process

using namespace emulator;

static std::mutex& one_at_a_time() {
  static std::mutex lock;
  return lock;
}

extern "C" {

uint32_t dis_emulator_abi() { return DIS_ABI_VERSION; }

// Memory filled with NaN; null when there is none.
void* dis_emulator_alloc(size_t bytes, const char* name) {
  std::lock_guard<std::mutex> guard(one_at_a_time());
  const DeviceBuffer* buffer = allocate(bytes, name);
  return buffer ? reinterpret_cast<void*>(buffer->start) : nullptr;
}

void dis_emulator_free(void* memory) {
  std::lock_guard<std::mutex> guard(one_at_a_time());
  buffers().erase(reinterpret_cast<uintptr_t>(memory));
}

// Tells that the host has written to device memory.
void dis_emulator_written(void* memory, size_t bytes) {
  std::lock_guard<std::mutex> guard(one_at_a_time());
  if (check_written) check_written(reinterpret_cast<uintptr_t>(memory), bytes);
}

// Runs a kernel; `seed` 0 runs threads in order, any other in an order of its own; `approximate` tells whether exponentials and
// reciprocals are as far off as the device's may be. 0 when nothing went wrong, otherwise 1 and what did in `message`.
int dis_emulator_launch(const char* kernel, const uint32_t grid[3], const uint32_t size[3], uint32_t shared_bytes,
                        uint64_t seed, int approximate, const void* params, size_t params_len, char* message,
                        size_t message_len) {
  std::lock_guard<std::mutex> guard(one_at_a_time());
  is_approximate = approximate != 0;
  const uint3 blocks{grid[0], grid[1], grid[2]}, threads{size[0], size[1], size[2]};
  const std::string wrong = launch(kernel, blocks, threads, shared_bytes, seed, params, params_len);
  snprintf(message, message_len, "%s", wrong.c_str());
  return wrong.empty() ? 0 : 1;
}
}
