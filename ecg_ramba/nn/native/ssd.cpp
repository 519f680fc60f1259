// Mamba-2's selective scan and its gradients on a CPU, callable from C. See kernel.h for the method.
//
// The same source is compiled for several instruction sets; which one runs is chosen when it is called. Work is split
// by sequence and by groups of heads, whose number depends on the sizes alone, so that the result does not depend on
// the number of threads.

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <exception>
#include <new>
#include <thread>
#include <vector>

typedef std::int64_t Index;

// Strides are in elements; the last axis of x, dy, B and C is contiguous. Without D it holds zeros.
template <class T> struct Problem {
    int batch, length, heads, width, state, groups;
    const T *x, *dt, *A, *B, *C, *D, *dy;
    Index x_batch, x_step, x_head, dt_batch, dt_step, dt_head, B_batch, B_step, C_batch, C_step, dy_batch, dy_step,
        dy_head;
    T* y;                 // (batch, length, heads, width)
    T* dx;                // the same
    T* ddt;               // (batch, heads, length): threads that write side by side would wait for each other
    T *dB, *dC;           // (groups, batch, length, state)
    double *dA, *dD;      // (batch, heads)
};

namespace baseline {
#define SSD_BYTES 16
#define SSD_ROWS 4
#define SSD_VECTORS 2
#include "kernel.h"
#undef SSD_BYTES
#undef SSD_ROWS
#undef SSD_VECTORS
}  // namespace baseline

#if defined(__x86_64__) || defined(_M_X64)
#define SSD_X86 1
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC push_options
#pragma GCC target("avx2,fma")
#endif
namespace avx2 {
#define SSD_BYTES 32
#define SSD_ROWS 4
#define SSD_VECTORS 2
#include "kernel.h"
#undef SSD_BYTES
#undef SSD_ROWS
#undef SSD_VECTORS
}  // namespace avx2
#if defined(__clang__)
#pragma clang attribute pop
#pragma clang attribute push(__attribute__((target("avx512f,avx512dq,avx512vl,fma"))), apply_to = function)
#else
#pragma GCC pop_options
#pragma GCC push_options
#pragma GCC target("avx512f,avx512dq,avx512vl,fma,prefer-vector-width=512")
#endif
namespace avx512 {
#define SSD_BYTES 64
#define SSD_ROWS 8
#define SSD_VECTORS 2
#include "kernel.h"
#undef SSD_BYTES
#undef SSD_ROWS
#undef SSD_VECTORS
}  // namespace avx512
#if defined(__clang__)
#pragma clang attribute pop
#else
#pragma GCC pop_options
#endif
#endif

namespace {

enum Level { BASELINE = 0, AVX2 = 1, AVX512 = 2 };

int best_level() {
#ifdef SSD_X86
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
        return AVX512;
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return AVX2;
#endif
    return BASELINE;
}

template <class T> void task(const Problem<T>& p, int level, bool gradients, int index) {
    const int b = index / p.groups, group = index % p.groups, size = p.heads / p.groups;
    const int first = group * size, last = first + size;
    switch (level) {
#ifdef SSD_X86
        case AVX512:
            return gradients ? avx512::backward(p, b, first, last, group) : avx512::forward(p, b, first, last);
        case AVX2:
            return gradients ? avx2::backward(p, b, first, last, group) : avx2::forward(p, b, first, last);
#endif
        default:
            return gradients ? baseline::backward(p, b, first, last, group) : baseline::forward(p, b, first, last);
    }
}

// What is left to do, taken by whichever thread comes next.
template <class T> struct Work {
    const Problem<T>& problem;
    const int level, tasks;
    const bool gradients;
    std::atomic<int> next{0};
    std::atomic<bool> failed{false};

    void take() {
        try {
            for (int i = next++; i < tasks && !failed; i = next++) task(problem, level, gradients, i);
        } catch (const std::bad_alloc&) {
            failed = true;  // an exception must not leave a thread
        }
    }
    static void run(void* work) { static_cast<Work*>(work)->take(); }
};

// OpenMP's entry point GOMP_parallel(function, its argument, threads, flags): runs the function in every thread of the
// caller's pool, and in the caller.
typedef void (*Parallel)(void (*)(void*), void*, unsigned, unsigned);

// 0, or 1 if memory ran out.
template <class T> int run(const Problem<T>& p, int level, int threads, bool gradients, Parallel parallel) {
    Work<T> work{p, level, p.batch * p.groups, gradients};
    threads = std::min(threads, work.tasks);
    if (threads > 1 && parallel) {
        parallel(Work<T>::run, &work, unsigned(threads), 0);
    } else {
        std::vector<std::thread> others;
        try {
            for (int i = 1; i < threads; ++i) others.emplace_back(Work<T>::run, &work);
        } catch (const std::exception&) {
            // no more threads are to be had: those that there are do the work
        }
        work.take();
        for (auto& t : others) t.join();
    }
    return work.failed ? 1 : 0;
}

}  // namespace

extern "C" {
int ssd_best_level() { return best_level(); }
// `parallel`: GOMP_parallel of the OpenMP pool that torch uses, or null.
int ssd_float(const Problem<float>* p, int level, int threads, int gradients, Parallel parallel) {
    return run(*p, level, threads, gradients != 0, parallel);
}
int ssd_double(const Problem<double>* p, int level, int threads, int gradients, Parallel parallel) {
    return run(*p, level, threads, gradients != 0, parallel);
}
}
