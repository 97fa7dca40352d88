#include "hearth/backend/cpu/lapack.h"

#include <dlfcn.h>

#include "hearth/base/error.h"

namespace hearth::cpu {

namespace {

// Where systems have it: Debian's and its kin, then what OpenBLAS calls itself.
void* library() {
  static void* const opened = [] {
    for (const char* name : {"liblapack.so.3", "libopenblas.so.0", "libopenblas.so"})
      if (void* file = dlopen(name, RTLD_NOW | RTLD_LOCAL)) return file;
    return static_cast<void*>(nullptr);
  }();
  ensure(opened,
         "linalg: there is no LAPACK (liblapack.so.3); it is in Debian's package "
         "libopenblas0 or liblapack3");
  return opened;
}
template <class F>
void find(F& routine, const std::string& name) {
  routine = reinterpret_cast<F>(dlsym(library(), (name + "_").c_str()));
  ensure(routine, "linalg: this LAPACK has no ", name);
}

template <class T>
Lapack<T> opened(char letter) {
  Lapack<T> l{};
#define HEARTH_LAPACK(name) find(l.name, letter + std::string(#name))
  HEARTH_LAPACK(getrf);
  HEARTH_LAPACK(getrs);
  HEARTH_LAPACK(trtrs);
  HEARTH_LAPACK(potrf);
  HEARTH_LAPACK(geqrf);
  HEARTH_LAPACK(orgqr);
  HEARTH_LAPACK(gesdd);
  HEARTH_LAPACK(syevd);
  HEARTH_LAPACK(geev);
#undef HEARTH_LAPACK
  return l;
}

}  // namespace

template <>
const Lapack<float>& lapack<float>() {
  static const Lapack<float> routines = opened<float>('s');
  return routines;
}
template <>
const Lapack<double>& lapack<double>() {
  static const Lapack<double> routines = opened<double>('d');
  return routines;
}
const ComplexLapack& complex_lapack() {
  static const ComplexLapack routines = [] {
    ComplexLapack l{};
    find(l.heevd, "cheevd");
    find(l.geev, "cgeev");
    return l;
  }();
  return routines;
}

}  // namespace hearth::cpu
