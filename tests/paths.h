// Where the tests find the repository, the program that they run, and the libraries that pretend.
// Environment variables come first: the tests may have been carried elsewhere. The values of this
// build stand in one file, so that no other test is compiled again for another folder.
#pragma once
#include <filesystem>
#include <string>

namespace hearth::testing {

/// The repository: $HEARTH_SOURCE_DIR, else where the tests were built from.
std::filesystem::path source_dir();
std::filesystem::path generated_dir();  // headers that the build writes
/// The program hearth: $HEARTH_BINARY, else the one that this build made.
std::string hearth_binary();
/// A library made for the tests: "nvml", "ioreport", "plugin".
std::string fake_library(const std::string& name);
/// The folder of a made-up libcuda.so.1; empty where CUDA is not built.
std::string fake_cuda_folder();

}  // namespace hearth::testing
