// Watches every access of a kernel: races, out-of-bounds accesses, reads of memory that nobody wrote, vectors at addresses that do not
// allow them.
//
// The kernels are built with -fsanitize=thread, which puts a call before every access, and -fsanitize=alignment, which puts one behind a
// comparison; these are the functions called. Order is known exactly from the barriers each thread has passed, so a race is found
// whatever the schedule was.
#include <cstdio>
#include <unordered_map>

#include "runtime.h"

namespace emulator {
namespace {

// Bytes that one record watches: the smallest element of a kernel.
constexpr uintptr_t GRAIN = 2;

struct Access {
  int thread = -1;
  uint32_t block_epoch = 0, warp_epoch = 0;
};

// The readers of one warp since the last write.
struct Readers {
  Access last;
  // Another thread of the warp has read in the same epochs.
  bool several = false;
};

// What is known of GRAIN bytes.
struct Record {
  uint32_t launch = 0;
  // Device memory: the block, counted from 1, that wrote, and one that read; `many_blocks` when others read too.
  uint32_t writing_block = 0, reading_block = 0;
  bool many_blocks = false;
  bool written = false;
  // Inside the running block.
  uint32_t block = 0;
  Access write;
  // Two suffice: of readers in two warps, one is in another warp than the writer that comes.
  Readers readers[2];
};

struct Tracked {
  std::vector<Record> records;
};

std::unordered_map<uintptr_t, Tracked> tracked;
Tracked shared;
uint32_t launches = 0, blocks = 0;
std::string first_report;

// Bytes from the start of a buffer.
struct Place {
  const char* buffer;
  size_t offset;
};

void report(const char* what, Place place, int other = -1) {
  if (!first_report.empty()) return;
  const Block& b = block();
  char text[512];
  const int length = snprintf(text, sizeof text, "%s at %s+%zu, thread %u of block (%u,%u,%u)", what, place.buffer,
                              place.offset, b.current->id, b.index.x, b.index.y, b.index.z);
  if (other >= 0) snprintf(text + length, sizeof text - length, ", against thread %d", other);
  first_report = text;
}

bool happened_before(const Access& past, const Fiber& now) {
  if (past.thread < 0 || past.thread == int(now.id) || past.block_epoch != now.block_epoch) return true;
  return unsigned(past.thread) / LANES == now.id / LANES && past.warp_epoch < now.warp_epoch;
}

// A reader that the write of `now` must wait for, or -1.
int unordered_reader(const Readers& readers, const Fiber& now) {
  const Access& last = readers.last;
  if (last.thread < 0 || last.block_epoch != now.block_epoch) return -1;
  if (!happened_before(last, now)) return last.thread;
  // The thread itself read last; others of its warp may have read before it in the same epoch.
  const bool same_epoch = last.thread == int(now.id) && last.warp_epoch == now.warp_epoch;
  return same_epoch && readers.several ? last.thread : -1;
}

void note_reader(Record& record, const Fiber& now) {
  const Access me{int(now.id), now.block_epoch, now.warp_epoch};
  const auto warp_of = [](const Access& a) { return unsigned(a.thread) / LANES; };
  Readers* slot = nullptr;
  for (Readers& readers : record.readers) {
    const bool stale = readers.last.thread < 0 || readers.last.block_epoch != now.block_epoch;
    if (!stale && warp_of(readers.last) == now.id / LANES) {
      readers.several = readers.last.warp_epoch == now.warp_epoch && (readers.several || readers.last.thread != me.thread);
      readers.last = me;
      return;
    }
    if (stale && !slot) slot = &readers;
  }
  if (slot) *slot = Readers{me, false};
}

void check_other_blocks(Record& record, bool is_write, Place place) {
  if (record.launch != launches) {
    record.launch = launches;
    record.writing_block = record.reading_block = 0;
    record.many_blocks = false;
  }
  const uint32_t me = block().linear_index + 1;
  if (record.writing_block != 0 && record.writing_block != me)
    report(is_write ? "write-write race between blocks" : "write-read race between blocks", place);
  if (is_write) {
    if (record.many_blocks || (record.reading_block != 0 && record.reading_block != me))
      report("read-write race between blocks", place);
    record.writing_block = me;
  } else {
    record.many_blocks |= record.reading_block != 0 && record.reading_block != me;
    record.reading_block = me;
  }
}

void check_this_block(Record& record, bool is_write, const Fiber& now, Place place) {
  if (record.block != blocks) {
    record.block = blocks;
    record.write = Access{};
    record.readers[0] = record.readers[1] = Readers{};
  }
  if (!happened_before(record.write, now))
    report(is_write ? "write-write race" : "write-read race", place, record.write.thread);
  if (!is_write) {
    note_reader(record, now);
    return;
  }
  for (const Readers& readers : record.readers) {
    const int other = unordered_reader(readers, now);
    if (other >= 0) report("read-write race", place, other);
  }
  record.write = Access{int(now.id), now.block_epoch, now.warp_epoch};
  record.readers[0] = record.readers[1] = Readers{};
}

void check_records(Tracked& memory, const char* name, size_t offset, size_t bytes, bool is_write, bool is_shared) {
  const Fiber& now = *block().current;
  for (size_t i = offset / GRAIN; i <= (offset + bytes - 1) / GRAIN; i++) {
    Record& record = memory.records[i];
    const Place place{name, i * GRAIN};
    if (!is_write && !record.written) report("read of memory that nobody wrote", place);
    if (!is_shared) check_other_blocks(record, is_write, place);
    check_this_block(record, is_write, now, place);
    if (is_write) record.written = true;
  }
}

void check_access(const void* address, size_t bytes, bool is_write) {
  const Fiber* now = block().current;
  // After the first report the launch is lost; its state may mislead.
  if (!now || !first_report.empty()) return;
  const auto at = reinterpret_cast<uintptr_t>(address);
  const auto within = [at](const void* start, size_t n) { return at - reinterpret_cast<uintptr_t>(start) < n; };
  if (within(now->stack, STACK_BYTES)) return;
  const char* kind = is_write ? "out-of-bounds write" : "out-of-bounds read";
  const Block& b = block();
  if (within(b.shared, b.shared_bytes + 1024)) {
    const size_t offset = at - reinterpret_cast<uintptr_t>(b.shared);
    if (offset + bytes > b.shared_bytes) report(kind, {"shared", offset});
    else check_records(shared, "shared", offset, bytes, is_write, true);
    return;
  }
  if (!in_device_memory(at)) {
    // Reads of the parameters and of the emulator's own state.
    if (is_write) report("write outside device memory", {"address 0", at});
    return;
  }
  bool inside;
  const DeviceBuffer* buffer = buffer_near(at, &inside);
  const size_t offset = buffer ? at - buffer->start : 0;
  if (!buffer || offset + bytes > buffer->bytes) {
    report(kind, {buffer ? buffer->name.c_str() : "the start of device memory", offset});
    return;
  }
  check_records(tracked[buffer->start], buffer->name.c_str(), offset, bytes, is_write, false);
}

void check_misaligned(const void* address) {
  if (!block().current || !first_report.empty()) return;
  const auto at = reinterpret_cast<uintptr_t>(address);
  bool inside;
  const DeviceBuffer* buffer = in_device_memory(at) ? buffer_near(at, &inside) : nullptr;
  if (buffer) report("misaligned access", {buffer->name.c_str(), at - buffer->start});
  else report("misaligned access", {"shared", at - reinterpret_cast<uintptr_t>(block().shared)});
}

}  // namespace

void check_launch() {
  launches++;
  first_report.clear();
}

void check_block() {
  blocks++;
  shared.records.assign((block().shared_bytes + GRAIN - 1) / GRAIN, Record{});
}

void check_allocated(uintptr_t start, size_t bytes) {
  tracked[start].records.assign((bytes + GRAIN - 1) / GRAIN, Record{});
}

void check_written(uintptr_t start, size_t bytes) {
  bool inside;
  const DeviceBuffer* buffer = buffer_near(start, &inside);
  if (!buffer) return;
  auto& records = tracked[buffer->start].records;
  const size_t first = (start - buffer->start) / GRAIN, last = (start - buffer->start + bytes + GRAIN - 1) / GRAIN;
  for (size_t i = first; i < last && i < records.size(); i++) records[i].written = true;
}

std::string check_report() { return first_report; }

}  // namespace emulator

extern "C" {
#define WATCH(N)                                                                                        \
  void __tsan_read##N(void* at) { emulator::check_access(at, N, false); }                               \
  void __tsan_write##N(void* at) { emulator::check_access(at, N, true); }                               \
  void __tsan_unaligned_read##N(void* at) { emulator::check_access(at, N, false); }                     \
  void __tsan_unaligned_write##N(void* at) { emulator::check_access(at, N, true); }
WATCH(1) WATCH(2) WATCH(4) WATCH(8) WATCH(16)
void __tsan_read_range(void* at, unsigned long bytes) { emulator::check_access(at, bytes, false); }
void __tsan_write_range(void* at, unsigned long bytes) { emulator::check_access(at, bytes, true); }
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
// What the compiler knows of the place in the source is left aside: the report says which thread it was.
void __ubsan_handle_type_mismatch_v1(void*, void* at) { emulator::check_misaligned(at); }
}
