# Writes OUT, which defines what hearth/cli/build_facts.h declares, if it says something else:
# cmake -P, at each build.
execute_process(COMMAND git describe --always --dirty --abbrev=12 --exclude=* WORKING_DIRECTORY ${SOURCE}
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
set(text "#include \"hearth/cli/build_facts.h\"\n")
foreach(fact "kVersion=${VERSION}" "kCommit=${commit}" "kSourceDir=${SOURCE}")
  string(REGEX REPLACE "^([^=]*)=(.*)$" "const char* const hearth::cli::\\1 = \"\\2\";\n" line "${fact}")
  string(APPEND text "${line}")
endforeach()
set(before "")
if(EXISTS ${OUT})
  file(READ ${OUT} before)
endif()
if(NOT before STREQUAL text)
  file(WRITE ${OUT} "${text}")
endif()
