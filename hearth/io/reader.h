// Sources and sinks of bytes that a program brings itself: memory, sockets, archives. Names and
// meaning are MLX's.
#pragma once
#include <cstdint>
#include <fstream>
#include <ios>
#include <memory>
#include <span>
#include <string>

namespace hearth::io {

class Reader {
 public:
  virtual ~Reader() = default;
  virtual bool is_open() const = 0;
  virtual bool good() const = 0;
  virtual size_t tell() = 0;
  virtual void seek(int64_t off, std::ios_base::seekdir way = std::ios_base::beg) = 0;
  virtual void read(char* data, size_t n) = 0;
  virtual void read(char* data, size_t n, size_t offset) = 0;
  virtual std::string label() const = 0;  // for errors
};

class Writer {
 public:
  virtual ~Writer() = default;
  virtual bool is_open() const = 0;
  virtual bool good() const = 0;
  virtual size_t tell() = 0;
  virtual void seek(int64_t off, std::ios_base::seekdir way = std::ios_base::beg) = 0;
  virtual void write(const char* data, size_t n) = 0;
  virtual std::string label() const = 0;
  virtual void open() {}
};

/// A file.
class FileReader : public Reader {
 public:
  explicit FileReader(std::string file) : in_(file, std::ios::binary), name_(std::move(file)) {}
  bool is_open() const override { return in_.is_open(); }
  bool good() const override { return in_.good(); }
  size_t tell() override { return size_t(in_.tellg()); }
  void seek(int64_t off, std::ios_base::seekdir way) override { in_.seekg(off, way); }
  void read(char* data, size_t n) override { in_.read(data, std::streamsize(n)); }
  void read(char* data, size_t n, size_t offset) override {
    in_.seekg(std::streamoff(offset));
    read(data, n);
  }
  std::string label() const override { return name_; }

 private:
  mutable std::ifstream in_;
  std::string name_;
};
using ParallelFileReader = FileReader;

class FileWriter : public Writer {
 public:
  explicit FileWriter(std::string file)
      : out_(file, std::ios::binary | std::ios::trunc), name_(std::move(file)) {}
  bool is_open() const override { return out_.is_open(); }
  bool good() const override { return out_.good(); }
  size_t tell() override { return size_t(out_.tellp()); }
  void seek(int64_t off, std::ios_base::seekdir way) override { out_.seekp(off, way); }
  void write(const char* data, size_t n) override { out_.write(data, std::streamsize(n)); }
  std::string label() const override { return name_; }

 private:
  mutable std::ofstream out_;
  std::string name_;
};

/// All that is left in a reader; `keeper` holds it. Throws std::runtime_error with the label where
/// it cannot be read.
struct Bytes {
  std::shared_ptr<const void> keeper;
  std::span<const std::byte> bytes;
};
Bytes rest_of(Reader& reader);
/// The same bytes to a writer, in order; throws as rest_of does.
void write(Writer& writer, std::span<const std::byte> bytes);

}  // namespace hearth::io
