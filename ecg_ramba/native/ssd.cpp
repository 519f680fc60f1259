// Callable from C: Mamba-2 on a CPU, its selective scan (kernel.h) and what its layer does row by row (rows.h), with
// their gradients; and MiniRocket's features (rocket.h).
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

// Rows (batch, length, width) in, their last axis contiguous; x and z may be parts of longer rows.
template <class T> struct Rows {
    int batch, length, width, taps, left, silu, parts;
    double eps;
    const T *x, *z, *weight, *bias, *dy;  // weight: (taps, width)
    Index x_batch, x_step, z_batch, z_step, dy_batch, dy_step;
    T *y, *dx, *dz;         // (batch, length, width), contiguous
    T *dweight, *dbias;     // (batch x parts, taps, width), (batch x parts, width), zero at first
};

// A fitted MiniRocket (features/minirocket.py says what its arrays are) and windows (windows, leads, samples).
struct Rocket {
    int windows, leads, samples, dilations, features;
    const std::int32_t *leads_per_kernel, *lead_indices, *dilation, *features_per_dilation;
    const float *biases, *x;
    float* out;                   // (windows, features)
    const std::int32_t* dropped;  // leads that are zero in the second features, or null
    float* out_without;           // the same with these leads zero, or null
};

namespace baseline {
#define SSD_BYTES 16
#define SSD_ROWS 4
#define SSD_VECTORS 2
#include "vectors.h"
#include "kernel.h"
#include "rows.h"
#include "rocket.h"
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
#include "vectors.h"
#include "kernel.h"
#include "rows.h"
#include "rocket.h"
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
#include "vectors.h"
#include "kernel.h"
#include "rows.h"
#include "rocket.h"
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

// Call a kernel in the namespace of an instruction set.
#ifdef SSD_X86
#define SSD_CALL(level, kernel, ...)                               \
    do {                                                           \
        if ((level) == AVX512) avx512::kernel(__VA_ARGS__);        \
        else if ((level) == AVX2) avx2::kernel(__VA_ARGS__);       \
        else baseline::kernel(__VA_ARGS__);                        \
    } while (false)
#else
#define SSD_CALL(level, kernel, ...) baseline::kernel(__VA_ARGS__)
#endif

// What is left to do, taken by whichever thread comes next.
template <class F> struct Work {
    const F& task;
    const int tasks;
    std::atomic<int> next{0};
    std::atomic<bool> failed{false};

    void take() {
        try {
            for (int i = next++; i < tasks && !failed; i = next++) task(i);
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
template <class F> int run(const F& task, int tasks, int threads, void* pool) {
    Work<F> work{task, tasks};
    const Parallel parallel = reinterpret_cast<Parallel>(pool);
    threads = std::min(threads, tasks);
    if (threads > 1 && parallel) {
        parallel(Work<F>::run, &work, unsigned(threads), 0);
    } else {
        std::vector<std::thread> others;
        try {
            for (int i = 1; i < threads; ++i) others.emplace_back(Work<F>::run, &work);
        } catch (const std::exception&) {
            // no more threads are to be had: those that there are do the work
        }
        work.take();
        for (auto& t : others) t.join();
    }
    return work.failed ? 1 : 0;
}

template <class T> int scan(const Problem<T>& p, int level, int threads, bool gradients, void* pool) {
    const auto task = [&](int index) {
        const int b = index / p.groups, group = index % p.groups, size = p.heads / p.groups, first = group * size;
        if (gradients) SSD_CALL(level, backward, p, b, first, first + size, group);
        else SSD_CALL(level, forward, p, b, first, first + size);
    };
    return run(task, p.batch * p.groups, threads, pool);
}

enum Pass { CONVOLUTION = 0, CONVOLUTION_GRADIENTS = 1, NORM = 2, NORM_GRADIENTS = 3 };

template <class T> int rows(const Rows<T>& p, int level, int threads, int pass, void* pool) {
    const auto task = [&](int index) {
        const int b = index / p.parts, part = index % p.parts;
        const int first = int(Index(p.length) * part / p.parts), last = int(Index(p.length) * (part + 1) / p.parts);
        switch (pass) {
            case CONVOLUTION: SSD_CALL(level, conv_forward, p, b, first, last); break;
            case CONVOLUTION_GRADIENTS: SSD_CALL(level, conv_backward, p, b, first, last, index); break;
            case NORM: SSD_CALL(level, norm_forward, p, b, first, last); break;
            default: SSD_CALL(level, norm_backward, p, b, first, last, index);
        }
    };
    return run(task, p.batch * p.parts, threads, pool);
}

int minirocket(const Rocket& p, int level, int threads) {
    return run([&](int window) { SSD_CALL(level, rocket, p, window); }, p.windows, threads, nullptr);
}

}  // namespace

extern "C" {
int ssd_best_level() { return best_level(); }
// `pool`: GOMP_parallel of the OpenMP pool that torch uses, or null.
int ssd_float(const Problem<float>* p, int level, int threads, int gradients, void* pool) {
    return scan(*p, level, threads, gradients != 0, pool);
}
int ssd_double(const Problem<double>* p, int level, int threads, int gradients, void* pool) {
    return scan(*p, level, threads, gradients != 0, pool);
}
int rows_float(const Rows<float>* p, int level, int threads, int pass, void* pool) {
    return rows(*p, level, threads, pass, pool);
}
int rows_double(const Rows<double>* p, int level, int threads, int pass, void* pool) {
    return rows(*p, level, threads, pass, pool);
}
int rocket_float(const Rocket* p, int level, int threads) { return minirocket(*p, level, threads); }
}
