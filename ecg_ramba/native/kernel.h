// The selective scan and its gradients for one instruction set. Included once for each, inside a namespace of its own,
// with SSD_BYTES (width of a vector), SSD_ROWS and SSD_VECTORS (tile of the state that is held in registers) defined.
//
// Everything rests on one loop, scan_tile(): a matrix-valued state that decays by a scalar, is read, and gets an outer
// product added, at every step,
//
//     out[t][v] += sum_s read[t][s] state[s][v]          (before the step's own product is added)
//     state[s][v] += in_s[t][s] in_v[t][v]
//
// The decay is taken out of the loop: within a run of steps the state is kept relative to the run's first step, what is
// added is multiplied by exp(-sum of the exponents), and what is read by exp(+sum). A run ends before that sum passes
// MOST, so nothing overflows, and rounding stays relative to the state as in the recurrence itself. The four sums of
// the scan are this loop with other roles:
//
//     y_t  (less its own step)   state N x P, in (B, x dt), read C       forwards
//     dC_t (less its own step)   state P x N, in (x dt, B), read dy      forwards
//     dx_t (less its own step)   state N x P, in (C, dy),   read B       backwards
//     dB_t (less its own step)   state P x N, in (dy, C),   read x dt    backwards
//
// What a step does to itself needs no state and is added apart, so that the gradient of the decay, the running sum of
// C dC - B dB over what is to come (in double), is not drowned in the rounding of terms that cancel. Every FRESH steps
// that sum is taken anew, from the state before a step and the gradient of the state after it, so that rounding does not
// add up over a long sequence.

template <class T> constexpr int ROWS = SSD_ROWS;
template <class T> constexpr int COLUMNS = SSD_VECTORS * LANES<T>;
constexpr int STEPS = 32;          // in a block: what is packed at a time
constexpr int FRESH = 8 * STEPS;   // between states that are kept for the gradients
constexpr double MOST = 16.0;      // a run's exponents add up to no more

template <class T>
inline void scan_tile(T* state, T scale, const T* in_s, const T* in_v, const T* read, T* out, int steps) {
    typedef typename Lanes<T>::type V;
    constexpr int R = SSD_ROWS, K = SSD_VECTORS, L = LANES<T>;
    V h[R][K];
    for (int s = 0; s < R; ++s)
        for (int k = 0; k < K; ++k) h[s][k] = *reinterpret_cast<const V*>(state + (s * K + k) * L) * scale;
    for (int t = 0; t < steps; ++t) {
        V w[K], o[K];
        for (int k = 0; k < K; ++k) {
            w[k] = *reinterpret_cast<const V*>(in_v + (t * K + k) * L);
            o[k] = *reinterpret_cast<const V*>(out + (t * K + k) * L);
        }
        for (int s = 0; s < R; ++s) {
            const T r = read[t * R + s], u = in_s[t * R + s];
            for (int k = 0; k < K; ++k) {
                o[k] += r * h[s][k];
                h[s][k] += u * w[k];
            }
        }
        for (int k = 0; k < K; ++k) *reinterpret_cast<V*>(out + (t * K + k) * L) = o[k];
    }
    for (int s = 0; s < R; ++s)
        for (int k = 0; k < K; ++k) *reinterpret_cast<V*>(state + (s * K + k) * L) = h[s][k];
}

inline int panels(int size, int width) { return (size + width - 1) / width; }

// The steps of a block in the order in which a pass takes them: forwards from `first`, or backwards from it.
struct Block {
    int first, steps, direction;
    int at(int i) const { return first + direction * i; }
};

// Rows of a matrix side by side in panels of WIDTH columns, [panel][step][column], each row times its factor (1 without
// any); the last panel's rest is zero.
template <int WIDTH, class T>
void pack(const T* rows, Index stride, int size, const Block& block, const T* factor, T* __restrict to) {
    for (int i = 0; i < block.steps; ++i, to += WIDTH) {
        const T* row = rows + block.at(i) * stride;
        const T f = factor ? factor[i] : T(1);
        T* __restrict panel = to;
        int first = 0;
        for (; first + WIDTH <= size; first += WIDTH, panel += STEPS * WIDTH)
            for (int j = 0; j < WIDTH; ++j) panel[j] = f * row[first + j];
        if (first < size)
            for (int j = 0; j < WIDTH; ++j) panel[j] = first + j < size ? f * row[first + j] : T(0);
    }
}

// What scan_block() wrote for a step, times `factor`, as vectors one after the other: use(column, vector, how many).
template <class T, class F> inline void read_step(const T* from, int size, int i, T factor, F use) {
    constexpr int WIDTH = COLUMNS<T>;
    from += i * WIDTH;
    for (int first = 0; first < size; first += WIDTH, from += STEPS * WIDTH)
        for (int j = 0; j < WIDTH && first + j < size; j += LANES<T>)
            use(first + j, factor * load(from + j, LANES<T>), size - first - j);
}

// to += r + weight * other, r being what scan_block() wrote for a step times `factor`; returns r . with.
template <class T>
inline T add_step(const T* from, int size, int i, T factor, const T* with, T weight, const T* other, T* to) {
    Vector<T> sum = {};
    read_step(from, size, i, factor, [&](int j, Vector<T> r, int n) {
        sum += r * load(with + j, n);
        store(to + j, load(to + j, n) + r + weight * load(other + j, n), n);
    });
    return sum_of<T>(sum);
}

template <class T> T dot(const T* a, const T* b, int n) {
    constexpr int L = LANES<T>;
    Vector<T> sum = {}, more = {};
    int i = 0;
    for (; i + 2 * L <= n; i += 2 * L) {
        sum += load(a + i, L) * load(b + i, L);
        more += load(a + i + L, L) * load(b + i + L, L);
    }
    for (; i < n; i += L) sum += load(a + i, n - i) * load(b + i, n - i);
    return sum_of<T>(sum + more);
}

// Exponents of a block of steps, cut into runs.
template <class T> struct Decay {
    int runs, begin[STEPS + 1];
    T scale[STEPS];          // of the state at the begin of each run: its decay since the run before
    T up[STEPS], down[STEPS];  // exp(+sum) and exp(-sum) since the run's begin

    // `carried`: the sum that the state has not been multiplied by yet; left as it stands after the block.
    void set(const T* exponents, int steps, double& carried) {
        alignas(64) T high[STEPS] = {}, low[STEPS] = {};  // the sum and what it lacks in its own precision
        runs = 0;
        double sum = 0.0;
        for (int i = 0; i < steps; ++i) {
            const double a = double(exponents[i]);
            if (i == 0 || !(sum + a > -MOST)) {  // a sum that is not a number begins a run too
                begin[runs] = i;
                scale[runs++] = T(std::exp((i == 0 ? carried : sum) + a));
                sum = 0.0;
            } else {
                sum += a;
            }
            high[i] = T(sum);
            low[i] = T(sum - double(high[i]));
        }
        begin[runs] = steps;
        carried = sum;
        for (int i = 0; i < STEPS; i += LANES<T>) {
            const Vector<T> e = exponential(load(high + i, LANES<T>)), rest = load(low + i, LANES<T>);
            store(up + i, e + e * rest, LANES<T>);
            store(down + i, T(1) / (e + e * rest), LANES<T>);
        }
    }
};

template <class T>
void scan_block(const Decay<T>& d, int S, int V, T* state, const T* in_s, const T* in_v, const T* read, T* out) {
    constexpr int R = ROWS<T>, C = COLUMNS<T>;
    std::fill(out, out + panels(V, C) * STEPS * C, T(0));
    for (int s = 0; s < panels(S, R); ++s)
        for (int v = 0; v < panels(V, C); ++v, state += R * C)
            for (int run = 0; run < d.runs; ++run) {
                const int i = d.begin[run];
                scan_tile<T>(state, d.scale[run], in_s + (s * STEPS + i) * R, in_v + (v * STEPS + i) * C,
                             read + (s * STEPS + i) * R, out + (v * STEPS + i) * C, d.begin[run + 1] - i);
            }
}

// Aligned scratch memory, zeroed.
template <class T> class Scratch {
    T* data;

  public:
    explicit Scratch(size_t n) : data(static_cast<T*>(::operator new(n * sizeof(T), std::align_val_t(64)))) {
        std::fill(data, data + n, T(0));
    }
    Scratch(const Scratch&) = delete;
    ~Scratch() { ::operator delete(data, std::align_val_t(64)); }
    operator T*() { return data; }
};

template <class T> size_t state_size(int S, int V) {
    return size_t(panels(S, ROWS<T>)) * ROWS<T> * panels(V, COLUMNS<T>) * COLUMNS<T>;
}
template <class T> size_t narrow_size(int n) { return size_t(panels(n, ROWS<T>)) * STEPS * ROWS<T>; }
template <class T> size_t wide_size(int n) { return size_t(panels(n, COLUMNS<T>)) * STEPS * COLUMNS<T>; }

template <class T> void forward(const Problem<T>& p, int b, int first_head, int last_head) {
    const int P = p.width, N = p.state, heads = last_head - first_head;
    const T *B = p.B + b * p.B_batch, *C = p.C + b * p.C_batch;
    Scratch<T> states(heads * state_size<T>(N, P)), Bs(narrow_size<T>(N)), Cs(narrow_size<T>(N)), xv(wide_size<T>(P)),
        out(wide_size<T>(P));
    std::vector<double> carried(heads, 0.0);
    Decay<T> decay;
    T a[STEPS], own[STEPS], factor[STEPS];
    for (int t0 = 0; t0 < p.length; t0 += STEPS) {
        const Block block{t0, std::min(STEPS, p.length - t0), 1};
        pack<ROWS<T>, T>(B, p.B_step, N, block, nullptr, Bs);
        pack<ROWS<T>, T>(C, p.C_step, N, block, nullptr, Cs);
        for (int i = 0; i < block.steps; ++i) own[i] = dot(B + (t0 + i) * p.B_step, C + (t0 + i) * p.C_step, N);
        for (int h = first_head; h < last_head; ++h) {
            const T* x = p.x + b * p.x_batch + h * p.x_head;
            const T* dt = p.dt + b * p.dt_batch + h * p.dt_head;
            for (int i = 0; i < block.steps; ++i) a[i] = dt[(t0 + i) * p.dt_step] * p.A[h];
            decay.set(a, block.steps, carried[h - first_head]);
            for (int i = 0; i < block.steps; ++i) factor[i] = dt[(t0 + i) * p.dt_step] * decay.down[i];
            pack<COLUMNS<T>, T>(x, p.x_step, P, block, factor, xv);
            scan_block<T>(decay, N, P, states + (h - first_head) * state_size<T>(N, P), Bs, xv, Cs, out);
            for (int i = 0; i < block.steps; ++i) {
                const T* x_t = x + (t0 + i) * p.x_step;
                const T weight = own[i] * dt[(t0 + i) * p.dt_step] + p.D[h];
                T* y_t = p.y + ((Index(b) * p.length + t0 + i) * p.heads + h) * P;
                read_step<T>(out, P, i, decay.up[i], [&](int j, Vector<T> r, int n) {
                    store(y_t + j, r + weight * load(x_t + j, n), n);
                });
            }
        }
    }
}

// Gradients for some heads of one sequence; those of B and C are added to the part of `group`.
template <class T> void backward(const Problem<T>& p, int b, int first_head, int last_head, int group) {
    const int P = p.width, N = p.state, heads = last_head - first_head, L = p.length;
    const T *B = p.B + b * p.B_batch, *C = p.C + b * p.C_batch;
    T* dB = p.dB + (Index(group) * p.batch + b) * L * N;
    T* dC = p.dC + (Index(group) * p.batch + b) * L * N;
    std::fill(dB, dB + Index(L) * N, T(0));
    std::fill(dC, dC + Index(L) * N, T(0));
    std::vector<T> reads(size_t(heads) * L), x_dy(size_t(heads) * L);  // C dC, less each step's own part; x dy
    std::vector<double> carried(heads, 0.0);
    const int kept = (L - 1) / FRESH;
    const size_t size = state_size<T>(P, N);
    std::vector<T> kept_states(size_t(heads) * kept * size);  // before steps FRESH, 2 FRESH, ...
    std::vector<double> kept_decay(size_t(heads) * kept);      // the logarithm of what they are to be multiplied by
    Decay<T> decay;
    T a[STEPS], factor[STEPS], own[STEPS];
    Scratch<T> dyn(narrow_size<T>(P)), xn(narrow_size<T>(P)), wide_N(wide_size<T>(N)),
        out_N(wide_size<T>(N));
    {
        Scratch<T> states(heads * size);
        for (int t0 = 0; t0 < L; t0 += STEPS) {
            const Block block{t0, std::min(STEPS, L - t0), 1};
            pack<COLUMNS<T>, T>(B, p.B_step, N, block, nullptr, wide_N);
            for (int h = first_head; h < last_head; ++h) {
                const T *x = p.x + b * p.x_batch + h * p.x_head, *dy = p.dy + b * p.dy_batch + h * p.dy_head;
                const T* dt = p.dt + b * p.dt_batch + h * p.dt_head;
                T* state = states + (h - first_head) * size;
                if (t0 && t0 % FRESH == 0) {
                    const size_t at = size_t(h - first_head) * kept + t0 / FRESH - 1;
                    std::copy(state, state + size, kept_states.data() + at * size);
                    kept_decay[at] = carried[h - first_head];
                }
                for (int i = 0; i < block.steps; ++i) a[i] = dt[(t0 + i) * p.dt_step] * p.A[h];
                decay.set(a, block.steps, carried[h - first_head]);
                for (int i = 0; i < block.steps; ++i) factor[i] = dt[(t0 + i) * p.dt_step] * decay.down[i];
                pack<ROWS<T>, T>(x, p.x_step, P, block, factor, xn);
                pack<ROWS<T>, T>(dy, p.dy_step, P, block, nullptr, dyn);
                scan_block<T>(decay, P, N, state, xn, wide_N, dyn, out_N);
                for (int i = 0; i < block.steps; ++i) {
                    const int t = t0 + i;
                    const size_t at = size_t(h - first_head) * L + t;
                    x_dy[at] = dot(x + t * p.x_step, dy + t * p.dy_step, P);
                    const T own = dt[t * p.dt_step] * x_dy[at];
                    reads[at] = add_step<T>(out_N, N, i, decay.up[i], C + t * p.C_step, own, B + t * p.B_step,
                                            dC + Index(t) * N);
                }
            }
        }
    }
    std::fill(carried.begin(), carried.end(), 0.0);
    std::vector<double> to_come(heads, 0.0), dA(heads, 0.0), dD(heads, 0.0);
    Scratch<T> states_NP(heads * state_size<T>(N, P)), states_PN(heads * size), Bn(narrow_size<T>(N)),
        Cn(narrow_size<T>(N)), dyv(wide_size<T>(P)), out_P(wide_size<T>(P));
    for (int left = L, steps; left > 0; left -= steps) {
        steps = left % STEPS ? left % STEPS : STEPS;
        const Block block{left - 1, steps, -1};
        pack<ROWS<T>, T>(B, p.B_step, N, block, nullptr, Bn);
        pack<ROWS<T>, T>(C, p.C_step, N, block, nullptr, Cn);
        pack<COLUMNS<T>, T>(C, p.C_step, N, block, nullptr, wide_N);
        for (int i = 0; i < block.steps; ++i) own[i] = dot(B + block.at(i) * p.B_step, C + block.at(i) * p.C_step, N);
        for (int h = first_head; h < last_head; ++h) {
            const int g = h - first_head;
            const T *x = p.x + b * p.x_batch + h * p.x_head, *dy = p.dy + b * p.dy_batch + h * p.dy_head;
            const T* dt = p.dt + b * p.dt_batch + h * p.dt_head;
            // what comes after a step reaches it through the next step's decay
            for (int i = 0; i < block.steps; ++i) {
                const int next = block.at(i) + 1;
                a[i] = next < L ? dt[next * p.dt_step] * p.A[h] : T(0);
            }
            decay.set(a, block.steps, carried[g]);
            for (int i = 0; i < block.steps; ++i) factor[i] = dt[block.at(i) * p.dt_step];
            pack<ROWS<T>, T>(x, p.x_step, P, block, factor, xn);
            pack<ROWS<T>, T>(dy, p.dy_step, P, block, decay.down, dyn);
            pack<COLUMNS<T>, T>(dy, p.dy_step, P, block, decay.down, dyv);
            scan_block<T>(decay, N, P, states_NP + g * state_size<T>(N, P), Cn, dyv, Bn, out_P);
            scan_block<T>(decay, P, N, states_PN + g * size, dyn, wide_N, xn, out_N);
            for (int i = 0; i < block.steps; ++i) {
                const int t = block.at(i);
                const T *x_t = x + t * p.x_step, *dy_t = dy + t * p.dy_step;
                const T *B_t = B + t * p.B_step, *C_t = C + t * p.C_step;
                const T dt_t = dt[t * p.dt_step], x_dy_t = x_dy[size_t(g) * L + t];
                const T taken = add_step<T>(out_N, N, i, decay.up[i], B_t, dt_t * x_dy_t, C_t, dB + Index(t) * N);
                to_come[g] += double(reads[size_t(g) * L + t]) - double(taken);
                if (t && t % FRESH == 0) {  // the last step of this block
                    const size_t at = size_t(g) * kept + t / FRESH - 1;
                    const double scale = std::exp(double(dt_t * p.A[h]) + carried[g] + kept_decay[at]);
                    to_come[g] = scale * double(dot<T>(states_PN + g * size, kept_states.data() + at * size, int(size)));
                }
                T* dx_t = p.dx + ((Index(b) * L + t) * p.heads + h) * P;
                Vector<T> along = {};
                read_step<T>(out_P, P, i, decay.up[i], [&](int j, Vector<T> r, int n) {
                    const Vector<T> dy_j = load(dy_t + j, n);
                    r += own[i] * dy_j;
                    along += r * load(x_t + j, n);
                    store(dx_t + j, dt_t * r + p.D[h] * dy_j, n);
                });
                p.ddt[(Index(b) * p.heads + h) * L + t] =
                    T(double(p.A[h]) * to_come[g] + double(sum_of<T>(along)));
                dA[g] += to_come[g] * double(dt_t);
                dD[g] += double(x_dy_t);
            }
        }
    }
    for (int g = 0; g < heads; ++g) {
        p.dA[Index(b) * p.heads + first_head + g] = dA[g];
        p.dD[Index(b) * p.heads + first_head + g] = dD[g];
    }
}
