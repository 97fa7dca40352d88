#include "hearth/io/reader.h"

#include "hearth/base/error.h"
#include "hearth/io/foreign.h"

namespace hearth::io {

Bytes rest_of(Reader& reader) {
  const std::string name = reader.label();
  ensure(reader.is_open() && reader.good(), name, ": cannot be read");
  const size_t start = reader.tell();
  reader.seek(0, std::ios_base::end);
  const size_t end = reader.tell();
  ensure(reader.good() && end >= start, name, ": does not say how long it is");
  reader.seek(int64_t(start), std::ios_base::beg);
  auto bytes = host_bytes(end - start);
  reader.read(reinterpret_cast<char*>(bytes.get()), end - start);
  ensure(reader.good(), name, ": ended before its ", end - start, " bytes");
  const std::byte* data = bytes.get();
  return {std::move(bytes), {data, end - start}};
}

void write(Writer& writer, std::span<const std::byte> bytes) {
  writer.write(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  ensure(writer.good(), writer.label(), ": cannot be written");
}

}  // namespace hearth::io
