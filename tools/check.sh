#!/bin/sh
# What every commit must pass beside the tests: format, layers, ASCII, nothing unfinished.
set -eu
cd "$(dirname "$0")/.."
tools/check_layers.py
clang_format=$(command -v clang-format-14 || command -v clang-format)
git ls-files '*.h' '*.cpp' | xargs "$clang_format" --dry-run --Werror
if git ls-files '*.h' '*.cpp' '*.cu' '*.inc' | xargs grep -nP '[^\x00-\x7F]'; then
  echo "source files are ASCII only" >&2
  exit 1
fi
# fmt::print and streams throw, or lose what they cannot write: output.cpp is the one place.
if git grep -nE 'fmt::print|std::(cout|cerr|clog)|\b(printf|fprintf|puts|fputs|putchar|perror|fwrite)\(' \
  -- 'hearth/*.h' 'hearth/*.cpp' 'hearth/*.cu'; then
  echo "what the command line says goes through hearth/cli/output.h" >&2
  exit 1
fi
# What CLI11's header defines takes two seconds to compile in every file that includes it.
if git grep -n '#include <CLI/' -- hearth ':!hearth/cli/command.cpp'; then
  echo "commands and options go through hearth/cli/command.h" >&2
  exit 1
fi
if git grep -nE '\b(TODO|FIXME|XXX)\b' -- '*.h' '*.cpp' '*.cu' '*.inc' '*.py' '*.sh' ':!tools/check.sh'; then
  echo "unfinished work is an issue, not a comment" >&2
  exit 1
fi
