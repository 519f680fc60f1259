// What a Mamba-2 layer does row by row beside its scan, for one instruction set; included like kernel.h, after it.
//
//     convolution   y_t = silu(bias + sum_k weight_k x_{t - (taps - 1) + k})     causal, a kernel for each channel
//     gated norm    y_t = weight g / sqrt(mean g^2 + eps),  g = x_t silu(z_t)
//
// Each is one pass over its rows, forward and backward; what lies between is computed again for the gradients, not
// stored. Gradients of weights are summed by parts, whose number depends on the sizes alone.

template <class T> using Vector = typename Lanes<T>::type;

// n values from anywhere, zero beyond them.
template <class T> inline Vector<T> load(const T* from, int n) {
    if (n >= LANES<T>) return *reinterpret_cast<const typename Lanes<T>::anywhere*>(from);
    alignas(64) T each[LANES<T>] = {};
    for (int i = 0; i < n; ++i) each[i] = from[i];
    return *reinterpret_cast<Vector<T>*>(each);
}

template <class T> inline void store(T* to, Vector<T> v, int n) {
    if (n >= LANES<T>) {
        *reinterpret_cast<typename Lanes<T>::anywhere*>(to) = v;
        return;
    }
    alignas(64) T each[LANES<T>];
    *reinterpret_cast<Vector<T>*>(each) = v;
    for (int i = 0; i < n; ++i) to[i] = each[i];
}

template <class T> inline T sum_of(Vector<T> v) {
    alignas(64) T each[LANES<T>];
    *reinterpret_cast<Vector<T>*>(each) = v;
    for (int half = LANES<T> / 2; half; half /= 2)
        for (int j = 0; j < half; ++j) each[j] += each[j + half];
    return each[0];
}

// exp(x), |x| cut off at 87, within two units in the last place: x = n log 2 + r, a polynomial in r (Cephes' of S.
// Moshier), and n put into the exponent. Adding 1.5 x 2^23 rounds to a whole number, which its last bits then hold.
inline Vector<float> exponential(Vector<float> x) {
    typedef std::uint32_t Bits __attribute__((vector_size(SSD_BYTES), may_alias));
    const Vector<float> zero = {};
    x = x < zero - 87.0f ? zero - 87.0f : x;  // what is not a number stays so
    x = x > zero + 87.0f ? zero + 87.0f : x;
    const float whole = 12582912.0f;
    const Vector<float> shifted = x * 1.44269504f + whole, n = shifted - whole;
    const Vector<float> r = (x - n * 0.693359375f) + n * 2.12194440e-4f;
    Vector<float> p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    const Bits exponent = ((Bits)shifted - 0x4B400000u + 127u) << 23;
    return p * (Vector<float>)exponent;
}

inline Vector<double> exponential(Vector<double> x) {
    alignas(64) double each[LANES<double>];
    *reinterpret_cast<Vector<double>*>(each) = x;
    for (double& e : each) e = std::exp(e);
    return *reinterpret_cast<Vector<double>*>(each);
}

template <class T> inline Vector<T> sigmoid(Vector<T> x) { return T(1) / (T(1) + exponential(-x)); }

// The convolution at one row before the SiLU; rows before the sequence are zero.
template <class T> inline Vector<T> convolved(const Rows<T>& p, const T* x, int t, int c, int n) {
    Vector<T> u = load(p.bias + c, n);
    for (int k = std::max(0, p.taps - 1 - t); k < p.taps; ++k)
        u += load(p.weight + k * p.width + c, n) * load(x + (t - (p.taps - 1) + k) * p.x_step + c, n);
    return u;
}

template <class T> void conv_forward(const Rows<T>& p, int b, int first, int last) {
    const T* x = p.x + b * p.x_batch;
    T* y = p.y + Index(b) * p.length * p.width;
    for (int t = first; t < last; ++t)
        for (int c = 0; c < p.width; c += LANES<T>) {
            const int n = p.width - c;
            const Vector<T> u = convolved(p, x, t, c, n);
            store(y + Index(t) * p.width + c, u * sigmoid<T>(u), n);
        }
}

// Gradients of the rows from `first` up to `last`; those of weight and bias are added to a part.
template <class T> void conv_backward(const Rows<T>& p, int b, int first, int last, int part) {
    const int K = p.taps, C = p.width;
    const T *x = p.x + b * p.x_batch, *dy = p.dy + b * p.dy_batch;
    T *dx = p.dx + Index(b) * p.length * C, *dweight = p.dweight + Index(part) * K * C, *dbias = p.dbias + Index(part) * C;
    Scratch<T> du(size_t(K) * C);  // of the last K rows before the SiLU, row t in place t % K
    for (int t = first; t < last + K - 1; ++t) {
        T* du_t = du + size_t(t % K) * C;
        for (int c = 0; c < C; c += LANES<T>) {
            const int n = C - c;
            Vector<T> d = {};
            if (t < p.length) {
                const Vector<T> u = convolved(p, x, t, c, n), s = sigmoid<T>(u);
                d = load(dy + t * p.dy_step + c, n) * s * (T(1) + u * (T(1) - s));
            }
            store(du_t + c, d, n);
            if (t < last) {
                store(dbias + c, load(dbias + c, n) + d, n);
                for (int k = std::max(0, K - 1 - t); k < K; ++k) {
                    T* to = dweight + k * C + c;
                    store(to, load(to, n) + d * load(x + (t - (K - 1) + k) * p.x_step + c, n), n);
                }
            }
            const int done = t - (K - 1);
            if (done < first) continue;
            Vector<T> sum = {};
            for (int k = 0; k < K; ++k) sum += load(p.weight + k * C + c, n) * load(du + size_t((t - k) % K) * C + c, n);
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
