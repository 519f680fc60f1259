// What a Mamba-2 layer does row by row beside its scan, for one instruction set; included after kernel.h.
//
//     convolution   y_t = silu(bias + sum_k weight_k x_{t - left + k})     a kernel for each channel; with or without silu
//     gated norm    y_t = weight g / sqrt(mean g^2 + eps),  g = x_t silu(z_t)
//
// Each is one pass over its rows, forward and backward; what lies between is computed again for the gradients, not
// stored. Gradients of weights are summed by parts, whose number depends on the sizes alone.

// The taps that meet the sequence at row t: from first_tap() up to last_tap().
template <class T> inline int first_tap(const Rows<T>& p, int t) { return std::max(0, p.left - t); }
template <class T> inline int last_tap(const Rows<T>& p, int t) { return std::min(p.taps, p.length + p.left - t); }

// The convolution at one row before the SiLU.
template <class T> inline Vector<T> convolved(const Rows<T>& p, const T* x, int t, int c, int n) {
    Vector<T> u = load(p.bias + c, n);
    for (int k = first_tap(p, t), last = last_tap(p, t); k < last; ++k)
        u += load(p.weight + k * p.width + c, n) * load(x + (t - p.left + k) * p.x_step + c, n);
    return u;
}

template <class T> void conv_forward(const Rows<T>& p, int b, int first, int last) {
    const T* x = p.x + b * p.x_batch;
    T* y = p.y + Index(b) * p.length * p.width;
    for (int t = first; t < last; ++t)
        for (int c = 0; c < p.width; c += LANES<T>) {
            const int n = p.width - c;
            const Vector<T> u = convolved(p, x, t, c, n);
            store(y + Index(t) * p.width + c, p.silu ? u * sigmoid<T>(u) : u, n);
        }
}

// Gradients of the rows from `first` up to `last`; those of weight and bias are added to a part.
template <class T> void conv_backward(const Rows<T>& p, int b, int first, int last, int part) {
    const int K = p.taps, C = p.width;
    const T *x = p.x + b * p.x_batch, *dy = p.dy + b * p.dy_batch;
    T *dx = p.dx + Index(b) * p.length * C, *dweight = p.dweight + Index(part) * K * C, *dbias = p.dbias + Index(part) * C;
    Scratch<T> du(size_t(K) * C);  // of the last K rows before the SiLU, row t in place (t + K) % K
    for (int t = first + p.left - (K - 1); t < last + p.left; ++t) {
        T* du_t = du + size_t((t + K) % K) * C;
        for (int c = 0; c < C; c += LANES<T>) {
            const int n = C - c;
            Vector<T> d = {};
            if (t >= 0 && t < p.length) {
                d = load(dy + t * p.dy_step + c, n);
                if (p.silu) {
                    const Vector<T> u = convolved(p, x, t, c, n), s = sigmoid<T>(u);
                    d *= s * (T(1) + u * (T(1) - s));
                }
            }
            store(du_t + c, d, n);
            if (t >= first && t < last) {
                store(dbias + c, load(dbias + c, n) + d, n);
                for (int k = first_tap(p, t), end = last_tap(p, t); k < end; ++k) {
                    T* to = dweight + k * C + c;
                    store(to, load(to, n) + d * load(x + (t - p.left + k) * p.x_step + c, n), n);
                }
            }
            const int done = t - p.left;  // all rows that it reached are known
            if (done < first) continue;
            Vector<T> sum = {};
            for (int k = 0; k < K; ++k)
                sum += load(p.weight + k * C + c, n) * load(du + size_t((t - k + K) % K) * C + c, n);
            store(dx + Index(done) * C + c, sum, n);
        }
    }
}

template <class T> void norm_forward(const Rows<T>& p, int b, int first, int last) {
    for (int t = first; t < last; ++t) {
        const T *x = p.x + b * p.x_batch + t * p.x_step, *z = p.z + b * p.z_batch + t * p.z_step;
        T* y = p.y + (Index(b) * p.length + t) * p.width;
        Vector<T> squares = {};
        for (int c = 0; c < p.width; c += LANES<T>) {
            const int n = p.width - c;
            const Vector<T> z_c = load(z + c, n), g = load(x + c, n) * z_c * sigmoid<T>(z_c);
            squares += g * g;
            store(y + c, g, n);
        }
        const T scale = T(1) / std::sqrt(sum_of<T>(squares) / T(p.width) + T(p.eps));
        for (int c = 0; c < p.width; c += LANES<T>) {
            const int n = p.width - c;
            store(y + c, load(y + c, n) * scale * load(p.weight + c, n), n);
        }
    }
}

template <class T> void norm_backward(const Rows<T>& p, int b, int first, int last, int part) {
    T* dweight = p.dweight + Index(part) * p.width;
    Scratch<T> gated(p.width), gate(p.width);
    for (int t = first; t < last; ++t) {
        const T *x = p.x + b * p.x_batch + t * p.x_step, *z = p.z + b * p.z_batch + t * p.z_step;
        const T* dy = p.dy + b * p.dy_batch + t * p.dy_step;
        T *dx = p.dx + (Index(b) * p.length + t) * p.width, *dz = p.dz + (Index(b) * p.length + t) * p.width;
        Vector<T> squares = {}, product = {};
        for (int c = 0; c < p.width; c += LANES<T>) {
            const int n = p.width - c;
            const Vector<T> z_c = load(z + c, n), s = sigmoid<T>(z_c), g = load(x + c, n) * z_c * s;
            squares += g * g;
            product += g * load(p.weight + c, n) * load(dy + c, n);
            store(static_cast<T*>(gated) + c, g, n);
            store(static_cast<T*>(gate) + c, s, n);
        }
        const T scale = T(1) / std::sqrt(sum_of<T>(squares) / T(p.width) + T(p.eps));
        const T along = sum_of<T>(product) * scale * scale / T(p.width);
        for (int c = 0; c < p.width; c += LANES<T>) {
            const int n = p.width - c;
            const Vector<T> g = load(gated + c, n), s = load(gate + c, n), dy_c = load(dy + c, n);
            const Vector<T> z_c = load(z + c, n), dg = scale * (load(p.weight + c, n) * dy_c - along * g);
            store(dweight + c, load(dweight + c, n) + scale * g * dy_c, n);
            store(dx + c, dg * z_c * s, n);
            store(dz + c, dg * load(x + c, n) * s * (T(1) + z_c * (T(1) - s)), n);
        }
    }
}
