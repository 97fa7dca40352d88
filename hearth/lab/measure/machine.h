// What hearth knows of the machine it runs on: the facts that the system shows, read without
// rights.
#pragma once
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "hearth/lab/measure/reading.h"

namespace hearth::lab {

struct Cache {
  int level;
  std::string kind;  // "data", "instruction" or "unified"
  int64_t bytes;     // of each instance
  int instances;     // in the machine
};

struct Facts {
  Reading<std::string> processor;
  Reading<int> cores;             // physical
  Reading<int> hardware_threads;  // that the system runs
  Reading<int> usable_threads;    // that this process may run on
  Reading<std::vector<Cache>> caches;
  Reading<std::vector<std::string>> instruction_sets;  // those that matter here, by Linux's names
  Reading<int64_t> memory_total_bytes;
  Reading<int64_t> memory_available_bytes;  // to this process, without swapping
  Reading<int> numa_nodes;
  Reading<std::string> huge_pages;  // Linux's policy: "always", "madvise" (if asked) or "never"
  Reading<std::string> os;
  Reading<std::string> kernel;
  Reading<std::string> hypervisor;         // "none" on bare metal
  Reading<std::string> governor;           // who sets the clock, as "performance" or "schedutil"
  Reading<double> clock_max_mhz;           // as the system states it, not as measured
  Reading<std::string> power_source;       // "mains" or "battery"
  Reading<std::vector<std::string>> gpus;  // NVIDIA's, as its driver names them
  Reading<std::string> gpu_driver;         // "NVIDIA 550.54.14"
};

/// Of the largest level of caches, all instances together; missing where the system shows none.
Reading<int64_t> cache_bytes(const Facts& facts);

/// Reads the facts from the system's files under `root` (its /proc, /sys and /etc). Never throws
/// for what is absent or garbled: that is a reason.
Facts read_facts(const std::filesystem::path& root = "/");

}  // namespace hearth::lab
