// LAPACK, opened when it is first needed: linked, OpenBLAS would start its threads with every
// program. Fortran's calling convention: all by address, columns first, lengths of texts at the
// end.
#pragma once
#include <complex>
#include <cstddef>

namespace hearth::cpu {

using Length = std::size_t;  // of the texts, each one letter

/// The routines for one type, by LAPACK's names without the letter of the type.
template <class T>
struct Lapack {
  void (*getrf)(const int* m, const int* n, T* a, const int* lda, int* pivots, int* info);
  void (*getrs)(const char* trans, const int* n, const int* nrhs, const T* a, const int* lda,
                const int* pivots, T* b, const int* ldb, int* info, Length);
  void (*trtrs)(const char* uplo, const char* trans, const char* diag, const int* n,
                const int* nrhs, const T* a, const int* lda, T* b, const int* ldb, int* info,
                Length, Length, Length);
  void (*potrf)(const char* uplo, const int* n, T* a, const int* lda, int* info, Length);
  void (*geqrf)(const int* m, const int* n, T* a, const int* lda, T* tau, T* work, const int* lwork,
                int* info);
  void (*orgqr)(const int* m, const int* n, const int* k, T* a, const int* lda, const T* tau,
                T* work, const int* lwork, int* info);
  void (*gesdd)(const char* jobz, const int* m, const int* n, T* a, const int* lda, T* s, T* u,
                const int* ldu, T* vt, const int* ldvt, T* work, const int* lwork, int* iwork,
                int* info, Length);
  void (*syevd)(const char* jobz, const char* uplo, const int* n, T* a, const int* lda, T* w,
                T* work, const int* lwork, int* iwork, const int* liwork, int* info, Length,
                Length);
  void (*geev)(const char* left, const char* right, const int* n, T* a, const int* lda, T* re,
               T* im, T* vl, const int* ldvl, T* vr, const int* ldvr, T* work, const int* lwork,
               int* info, Length, Length);
};
struct ComplexLapack {
  using T = std::complex<float>;
  void (*heevd)(const char* jobz, const char* uplo, const int* n, T* a, const int* lda, float* w,
                T* work, const int* lwork, float* rwork, const int* lrwork, int* iwork,
                const int* liwork, int* info, Length, Length);
  void (*geev)(const char* left, const char* right, const int* n, T* a, const int* lda, T* w, T* vl,
               const int* ldvl, T* vr, const int* ldvr, T* work, const int* lwork, float* rwork,
               int* info, Length, Length);
};

/// Throws std::runtime_error that says what to install where it is not there.
template <class T>
const Lapack<T>& lapack();
const ComplexLapack& complex_lapack();

}  // namespace hearth::cpu
