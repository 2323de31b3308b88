// Inside of the emulator: shared by the runtime and the checker, never seen by a kernel.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator.h"

namespace emulator {

constexpr unsigned LANES = 32;
constexpr size_t STACK_BYTES = 256 << 10;

enum class State { Runs, AtBlockBarrier, AtWarpBarrier, Done };

// One CUDA thread.
struct Fiber {
  void* stack_pointer = nullptr;
  char* stack = nullptr;
  unsigned id = 0;
  uint3 index{};
  State state = State::Done;
  // Barriers passed: accesses of different block epochs are ordered, as are those of one warp in different warp epochs.
  uint32_t block_epoch = 0, warp_epoch = 0;
  uint32_t exchanges = 0;
  // The barrier the fiber waits at is one that orders memory.
  bool orders_memory = false;
};

// The block that runs, and what it shares.
struct Block {
  uint3 grid{}, size{}, index{};
  unsigned linear_index = 0;
  unsigned threads = 0;
  std::vector<Fiber> fibers;
  Fiber* current = nullptr;
  unsigned char* shared = nullptr;
  size_t shared_bytes = 0;
  Body body = nullptr;
  const void* params = nullptr;
  const char* kernel = "";
  std::string fault;
};
Block& block();

// Device memory: every buffer stands in one range of addresses, between red zones.
struct DeviceBuffer {
  uintptr_t start;
  size_t bytes;
  std::string name;
};
// The buffer that holds `address`, or the nearest one below it; null outside device memory. `inside` tells which.
const DeviceBuffer* buffer_near(uintptr_t address, bool* inside);
bool in_device_memory(uintptr_t address);

// Hooks of the checker; absent in the fast build.
__attribute__((weak)) void check_launch();
__attribute__((weak)) void check_block();
__attribute__((weak)) void check_allocated(uintptr_t start, size_t bytes);
__attribute__((weak)) void check_written(uintptr_t start, size_t bytes);
// The first report of the launch, or an empty text.
__attribute__((weak)) std::string check_report();

}  // namespace emulator
