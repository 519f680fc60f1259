// Vectors of SSD_BYTES bytes: what the compiler's vector types lack. Included once for each instruction set, first.

template <class T> constexpr int LANES = SSD_BYTES / int(sizeof(T));

template <class T> struct Lanes {
    typedef T type __attribute__((vector_size(SSD_BYTES), may_alias));
    typedef T anywhere __attribute__((vector_size(SSD_BYTES), may_alias, aligned(sizeof(T))));
};

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
