// MiniRocket's features for several leads, for one instruction set; included after vectors.h.
//
// A kernel has nine taps, -1 but at three places where it is 2, d samples apart, and a set of leads that it adds up;
// a feature is the share of its response above a bias. Of each of its leads a kernel adds alpha, minus the sum of the
// lead's nine taps, which all kernels of a dilation share, and three times the lead at the three places.
//
// Additions are in the order of the published implementation, so that no rounding puts a sample on the other side of a
// bias: where a few samples are left between the margins, one of them is a quarter of a feature.
//
// The features of the same window with some leads zero can come with them: a lead that is zero adds zero, so its
// kernel's response is the sum over its other leads, in their order. Kernels without any of the dropped leads have the
// same features, kernels of nothing else a response of zero.

// The counts of `n` responses above up to four biases.
inline void count_above(const float* response, int n, const float* bias, int biases, int* counts) {
    typedef std::int32_t Counts __attribute__((vector_size(SSD_BYTES), may_alias));
    constexpr int L = LANES<float>;
    const Vector<float> zero = {};
    Counts above[4] = {};
    Vector<float> b[4];
    for (int j = 0; j < 4; ++j) b[j] = zero + bias[std::min(j, biases - 1)];
    int t = 0;
    for (; t + L <= n; t += L) {
        const Vector<float> r = load(response + t, L);
        for (int j = 0; j < 4; ++j) above[j] -= r > b[j];  // true is -1
    }
    for (int j = 0; j < biases; ++j) {
        int count = 0;
        for (int i = 0; i < L; ++i) count += above[j][i];
        for (int i = t; i < n; ++i) count += response[i] > bias[j];
        counts[j] = count;
    }
}

inline void rocket(const Rocket& p, int window) {
    constexpr int L = LANES<float>;
    const int T = p.samples, leads = p.leads;
    int furthest = 0;
    for (int d = 0; d < p.dilations; ++d) furthest = std::max(furthest, 4 * p.dilation[d]);
    const Index row = T + 2 * Index(furthest) + L;  // zeros on both sides
    Scratch<float> padded(leads * row), tripled(leads * row), alpha(leads * Index(T + L)), response(T + L);
    for (int c = 0; c < leads; ++c) {
        const float* x = p.x + (Index(window) * leads + c) * T;
        for (int t = 0; t < T; ++t) {
            padded[c * row + furthest + t] = x[t];
            tripled[c * row + furthest + t] = 3.0f * x[t];
        }
    }
    const std::int32_t *chosen = p.lead_indices, *many = p.leads_per_kernel;
    const float* bias = p.biases;
    float* out = p.out + Index(window) * p.features;
    float* without = p.out_without ? p.out_without + Index(window) * p.features : nullptr;
    Scratch<float> partial(without ? T + L : 0);
    for (int d = 0; d < p.dilations; ++d) {
        const int step = p.dilation[d];
        for (int c = 0; c < leads; ++c) {
            const float* x = padded + c * row + furthest;
            float* a = alpha + c * Index(T + L);
            for (int t = 0; t < T; t += L) {
                Vector<float> taps = load(x + t, L);
                for (int k = -4; k < 0; ++k) taps += load(x + t + k * step, L);
                for (int k = 1; k <= 4; ++k) taps += load(x + t + k * step, L);
                store(a + t, -taps, L);
            }
        }
        int kernel = 0;
        for (int i = 0; i < 7; ++i)
            for (int j = i + 1; j < 8; ++j)
                for (int k = j + 1; k < 9; ++k, ++kernel, ++many) {
                    const int n = *many;
                    int kept = 0;
                    for (int c = 0; c < n; ++c) kept += !(without && p.dropped[chosen[c]]);
                    const float* places[3] = {tripled + furthest + (i - 4) * step, tripled + furthest + (j - 4) * step,
                                              tripled + furthest + (k - 4) * step};
                    const bool apart = kept > 0 && kept < n;
                    for (int t = 0; t < T; t += L) {
                        Vector<float> r = {}, s = {};
                        for (int c = 0; c < n; ++c) {
                            const Index lead = chosen[c] * row + t;
                            Vector<float> one = load(alpha + chosen[c] * Index(T + L) + t, L);
                            for (const float* place : places) one += load(place + lead, L);
                            r += one;
                            if (apart && !p.dropped[chosen[c]]) s += one;
                        }
                        store(response + t, r, L);
                        if (apart) store(partial + t, s, L);
                    }
                    chosen += n;
                    const int margin = (d + kernel) % 2 ? 4 * step : 0, length = T - 2 * margin;
                    for (int f = 0, all = p.features_per_dilation[d]; f < all; f += 4) {
                        int counts[4];
                        const int some = std::min(4, all - f);
                        count_above(response + margin, length, bias, some, counts);
                        for (int b = 0; b < some; ++b) *out++ = float(counts[b]) / float(length);
                        if (without) {
                            if (apart) count_above(partial + margin, length, bias, some, counts);
                            if (!kept)
                                for (int b = 0; b < some; ++b) counts[b] = bias[b] < 0.0f ? length : 0;
                            for (int b = 0; b < some; ++b) *without++ = float(counts[b]) / float(length);
                        }
                        bias += some;
                    }
                }
    }
}
