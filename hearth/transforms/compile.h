// Functions whose graph is made shorter before it is computed.
#pragma once
#include "hearth/transforms/grad.h"

namespace hearth {

enum class CompileMode { disabled, no_simplify, no_fuse, enabled };

/// The same function: equal operations of its graph are done once, chains of elementwise operations
/// in one pass over memory. The results have the same bits. The function itself runs at each call,
/// so that nothing it captures or draws is kept from another call, and any shapes are taken
/// (`shapeless` changes nothing); what it evaluates on its way is evaluated as it is.
Function compile(Function fun, bool shapeless = false);
Function compile(Arrays (*fun)(const Arrays&), bool shapeless = false);
/// Throws, as an empty function does while functions are compiled.
Function compile(std::nullptr_t, bool shapeless = false);
template <class F>
requires std::convertible_to<F, Arrays (*)(const Arrays&)> Function
compile(F&& f, bool shapeless = false) {
  return compile(+f, shapeless);
}

/// For all compiled functions: as they are, or as enabled. HEARTH_DISABLE_COMPILE=1 begins so.
void disable_compile();
void enable_compile();
void set_compile_mode(CompileMode mode);

}  // namespace hearth
