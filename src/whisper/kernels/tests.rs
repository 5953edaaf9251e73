//! Every tier against plain f64 arithmetic, on random shapes.

use super::math::{Steps, ToBytes, ToHalves};
use super::simd::{Kernel, Simd, dispatch_words};
use super::*;

/// Those of this processor; printed, so that a tier that was not tested is seen.
fn tiers() -> Vec<Tier> {
    let found: Vec<Tier> = Tier::ALL.into_iter().filter(|t| t.available()).collect();
    println!("tiers: {found:?}");
    found
}

/// A repeatable noise source (xorshift).
struct Noise(u64);

impl Noise {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, n: u64) -> usize {
        (self.next() % n) as usize
    }

    /// Values in -scale..scale.
    fn values(&mut self, len: usize, scale: f32) -> Vec<f32> {
        let value = |x: u64| ((x >> 40) as f32 / (1u64 << 23) as f32 - 1.0) * scale;
        (0..len).map(|_| value(self.next())).collect()
    }
}

#[track_caller]
fn close(what: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        let allowed = tolerance * b.abs().max(1.0);
        assert!(
            (f64::from(a) - b).abs() <= allowed,
            "{what}[{i}]: {a} for {b}"
        );
    }
}

struct Exp<'a>(&'a mut [f32]);

impl Kernel for Exp<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for x in self.0.chunks_exact_mut(S::LANES) {
            // SAFETY: the chunk holds LANES values.
            unsafe { math::exp(S::load(x.as_ptr())).store(x.as_mut_ptr()) };
        }
    }
}

#[test]
fn exp_is_within_two_units_in_the_last_place() {
    let points: Vec<f32> = (0..16 * 10_000)
        .map(|i| -87.0 + i as f32 * 1.09e-3)
        .collect();
    for tier in tiers() {
        let mut found = points.clone();
        dispatch_on(tier, Exp(&mut found));
        for (x, y) in points.iter().zip(&found) {
            let exact = f64::from(*x).exp();
            let error = (f64::from(*y) - exact).abs() / exact;
            assert!(error < 2.4e-7, "{tier:?} exp({x}) = {y}, off by {error:e}");
        }
    }
}

/// erf by its series, and by its continued fraction where that converges.
fn exact_gelu(x: f64) -> f64 {
    let z = x.abs() / std::f64::consts::SQRT_2;
    let erfc = if z < 3.0 {
        let (mut term, mut sum, mut n) = (z, z, 0.0);
        while term.abs() > 1e-17 {
            n += 1.0;
            term *= -z * z / n;
            sum += term / (2.0 * n + 1.0);
        }
        1.0 - sum * 2.0 / std::f64::consts::PI.sqrt()
    } else {
        let tail = (1..60)
            .rev()
            .fold(0.0, |tail, k| f64::from(k) / 2.0 / (z + tail));
        (-z * z).exp() / (z + tail) / std::f64::consts::PI.sqrt()
    };
    x.max(0.0) - 0.5 * x.abs() * erfc
}

struct Gelu<'a>(&'a mut [f32]);

impl Kernel for Gelu<'_> {
    type Output = ();
    #[inline(always)]
    unsafe fn run<S: Simd>(self) {
        for x in self.0.chunks_exact_mut(S::LANES) {
            // SAFETY: the chunk holds LANES values.
            unsafe { math::gelu(S::load(x.as_ptr())).store(x.as_mut_ptr()) };
        }
    }
}

#[test]
fn gelu_is_the_exact_one_to_a_millionth() {
    let points = Noise(11).values(16 * 500, 12.0);
    for tier in tiers() {
        let mut found = points.clone();
        dispatch_on(tier, Gelu(&mut found));
        for (x, y) in points.iter().zip(&found) {
            let exact = exact_gelu(f64::from(*x));
            assert!(
                (f64::from(*y) - exact).abs() < 1e-6,
                "{tier:?}: gelu({x}) = {y}, not {exact}"
            );
        }
    }
}

#[test]
fn layer_norm_is_right_for_any_width() {
    let mut noise = Noise(5);
    for width in [1, 7, 16, 64, 192, 200, 384] {
        let (weight, bias) = (noise.values(width, 2.0), noise.values(width, 1.0));
        let mut rows = noise.values(width * 9, 5.0);
        rows[..width].fill(0.0);
        let expected = rows.chunks(width).flat_map(|row| {
            let mean = row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64;
            let squares = row.iter().map(|&x| (f64::from(x) - mean).powi(2));
            let scale = (squares.sum::<f64>() / width as f64 + 1e-5).sqrt();
            let affine = row.iter().zip(&weight).zip(&bias);
            affine
                .map(|((x, w), b)| (f64::from(*x) - mean) / scale * f64::from(*w) + f64::from(*b))
                .collect::<Vec<_>>()
        });
        let expected: Vec<f64> = expected.collect();
        for tier in tiers() {
            let mut found = vec![f32::NAN; rows.len()];
            let kernel = LayerNorm {
                rows: &rows,
                to: &mut found,
                weight: &weight,
                bias: &bias,
                epsilon: 1e-5,
            };
            dispatch_on(tier, kernel);
            close(&format!("{tier:?} {width}"), &found, &expected, 1e-5);
        }
    }
}

#[test]
fn weights_as_in_the_file_are_multiplied_right_in_any_shape() {
    let mut noise = Noise(3);
    for round in 0..60 {
        let (rows, n) = (1 + noise.below(20), 1 + noise.below(300));
        let k = match round % 3 {
            0 => 16 * (1 + noise.below(40)),
            _ => 1 + noise.below(500),
        };
        let (x, w) = (noise.values(rows * k, 1.0), noise.values(n * k, 1.0));
        let expected = plain_product(&x, &w, k);
        for tier in tiers() {
            let found = linear_on(tier, &x, &w, k);
            close(&format!("{tier:?} {rows}x{k}x{n}"), &found, &expected, 2e-5);
        }
    }
}

fn plain_product(x: &[f32], w: &[f32], k: usize) -> Vec<f64> {
    let dot = |x: &[f32], w: &[f32]| {
        let products = x.iter().zip(w).map(|(x, w)| f64::from(*x) * f64::from(*w));
        products.sum::<f64>()
    };
    let rows = x.chunks(k);
    rows.flat_map(|x| w.chunks(k).map(|w| dot(x, w)).collect::<Vec<_>>())
        .collect()
}

const FORMATS: [Format; 3] = [Format::Single, Format::Halves, Format::Bytes];

/// Moves inputs and weights to values that the format can hold, so that products of them are exact but for their sums.
fn round_to(format: Format, x: &mut [f32], w: &mut [f32], k: usize) {
    match format {
        Format::Single => {}
        Format::Halves => {
            let round = |x: &mut f32| *x = half::bf16::from_f32(*x).to_f32();
            x.iter_mut().chain(w).for_each(round);
        }
        Format::Bytes => {
            let extreme = |row: &[f32], f: fn(f32, f32) -> f32| row.iter().copied().reduce(f);
            for row in x.chunks_mut(k) {
                let low = extreme(row, f32::min).unwrap();
                let step = (extreme(row, f32::max).unwrap() - low) / 255.0;
                if step > 0.0 {
                    row.iter_mut()
                        .for_each(|x| *x = low + step * ((*x - low) / step).round_ties_even());
                }
            }
            for row in w.chunks_mut(k) {
                let most = row.iter().fold(0f32, |most, x| most.max(x.abs()));
                let step = most / 127.0;
                row.iter_mut()
                    .for_each(|x| *x = step * (*x / step).round_ties_even());
            }
        }
    }
}

#[test]
fn a_packed_product_is_right_in_any_shape_and_format() {
    let mut noise = Noise(29);
    for round in 0..90 {
        let format = FORMATS[round % 3];
        let rows = [1, 2, 6, 7, 48, 49, 97, 200][noise.below(8)] + round % 2;
        let (k, n) = (1 + noise.below(600), 1 + noise.below(300));
        let (mut x, mut w) = (noise.values(rows * k, 1.0), noise.values(n * k, 1.0));
        // A row of zeros, or of a single value.
        x[..k].fill([0.0, 0.5][round / 3 % 2]);
        round_to(format, &mut x, &mut w, k);
        let bias = noise.values(n, 1.0);
        let residual = noise.values(rows * n, 1.0);
        let product = plain_product(&x, &w, k);
        let packed = Packed::new(format, &w, k, bias.clone());
        let with_bias = |i: usize| product[i] + f64::from(bias[i % n]);
        let finishes: [(Finish<'_>, Vec<f64>); 3] = [
            (Finish::Bias, (0..rows * n).map(with_bias).collect()),
            (
                Finish::Gelu,
                (0..rows * n).map(|i| exact_gelu(with_bias(i))).collect(),
            ),
            (
                Finish::Add(&residual),
                (0..rows * n)
                    .map(|i| with_bias(i) + f64::from(residual[i]))
                    .collect(),
            ),
        ];
        let rows_of_x = Rows::new(&x, k);
        let mut bits: Option<Vec<f32>> = None;
        for tier in tiers() {
            for (finish, expected) in &finishes {
                let mut found = vec![f32::NAN; 3];
                packed.apply_on(tier, rows_of_x, *finish, &mut found);
                let what = format!("{format:?} {tier:?} {rows}x{k}x{n}");
                close(&what, &found, expected, 5e-5);
                if format == Format::Bytes && matches!(finish, Finish::Bias) {
                    // Whole numbers are summed exactly on every tier; what is left is one rounding of their scaling.
                    let bits = bits.get_or_insert_with(|| found.clone());
                    let twins: Vec<f64> = bits.iter().map(|&x| f64::from(x)).collect();
                    close(&what, &found, &twins, 1e-5);
                }
            }
        }
        // A row has the same bits whatever stands beside it.
        let (mut alone, mut all) = (Vec::new(), Vec::new());
        packed.apply(Rows::new(&x[..k], k), Finish::Bias, &mut alone);
        packed.apply(rows_of_x, Finish::Bias, &mut all);
        assert!(alone[..] == all[..n], "{format:?} {rows}x{k}x{n}");
    }
}

#[test]
fn rows_may_overlap() {
    let mut noise = Noise(31);
    let (k, stride, n) = (48, 16, 70);
    let (x, w) = (noise.values(1000, 1.0), noise.values(n * k, 1.0));
    let count = (x.len() - k) / stride + 1;
    let apart: Vec<f32> = (0..count)
        .flat_map(|i| x[i * stride..][..k].to_vec())
        .collect();
    for format in FORMATS {
        let packed = Packed::new(format, &w, k, Vec::new());
        let rows = Rows {
            values: &x,
            stride,
            count,
        };
        let (mut found, mut expected) = (Vec::new(), Vec::new());
        packed.apply(rows, Finish::Bias, &mut found);
        packed.apply(Rows::new(&apart, k), Finish::Bias, &mut expected);
        assert!(found == expected, "{format:?}");
    }
}

#[test]
fn extreme_bytes_do_not_overflow() {
    let (k, n) = (3072, 64);
    let x: Vec<f32> = (0..2 * k).map(|i| if i == 0 { 0.0 } else { 1e4 }).collect();
    for sign in [1.0, -1.0] {
        let w = vec![sign * 3.0; n * k];
        let packed = Packed::new(Format::Bytes, &w, k, Vec::new());
        let expected = plain_product(&x, &w, k);
        for tier in tiers() {
            let mut found = Vec::new();
            packed.apply_on(tier, Rows::new(&x, k), Finish::Bias, &mut found);
            close(&format!("{tier:?}"), &found, &expected, 1e-5);
        }
    }
}

#[test]
fn rounding_is_to_the_nearest_on_every_tier() {
    let mut noise = Noise(37);
    for len in [1, 7, 8, 16, 33, 384] {
        let x = noise.values(len, 100.0);
        let halves: Vec<u16> = x
            .iter()
            .map(|&x| half::bf16::from_f32(x).to_bits())
            .collect();
        let mut twin: Option<(Vec<u8>, Steps)> = None;
        for tier in tiers() {
            let mut words = vec![9u32; len.div_ceil(2)];
            let to = &mut words;
            dispatch_words(tier, ToHalves { from: &x, to });
            let found = &scratch::halves(&mut words)[..len];
            assert_eq!(found, halves, "{tier:?}");

            let mut words = vec![9u32; len.div_ceil(4)];
            let to = &mut words;
            let steps = dispatch_words(tier, ToBytes { from: &x, to });
            let found = scratch::bytes(&mut words)[..len].to_vec();
            for (&q, &x) in found.iter().zip(&x) {
                let back = steps.low + steps.step * f32::from(q);
                assert!((back - x).abs() <= 0.5001 * steps.step, "{tier:?}: {x}");
            }
            let twin = twin.get_or_insert_with(|| (found.clone(), steps));
            assert_eq!(*twin, (found, steps), "{tier:?}");
        }
    }
}

/// Attention as it is written in the books; returns values and weights of every head.
fn plain_attention(
    (q, k, v): (&[f32], &[f32], &[f32]),
    (heads, width): (usize, usize),
    causal: bool,
) -> (Vec<f64>, Vec<f64>) {
    let d = heads * width;
    let (rows, keys) = (q.len() / d, k.len() / d);
    let mut values = vec![0f64; rows * d];
    let mut weights = vec![0f64; heads * rows * keys];
    for head in 0..heads {
        for row in 0..rows {
            let seen = if causal { keys - rows + row + 1 } else { keys };
            let score = |key: usize| {
                let at = |x: &[f32], row: usize, i: usize| f64::from(x[row * d + head * width + i]);
                (0..width)
                    .map(|i| at(q, row, i) * at(k, key, i))
                    .sum::<f64>()
            };
            let scores: Vec<f64> = (0..seen).map(score).collect();
            let max = scores.iter().copied().fold(f64::MIN, f64::max);
            let sum: f64 = scores.iter().map(|s| (s - max).exp()).sum();
            for (key, score) in scores.iter().enumerate() {
                let weight = (score - max).exp() / sum;
                weights[(head * rows + row) * keys + key] = weight;
                for i in 0..width {
                    let at = head * width + i;
                    values[row * d + at] += weight * f64::from(v[key * d + at]);
                }
            }
        }
    }
    (values, weights)
}

/// Runs a query over `kv`; values and weights of the wanted heads.
fn attended(
    tier: Tier,
    q: &[f32],
    kv: &KeyValues,
    causal: bool,
    want: &[usize],
) -> (Vec<f32>, Vec<f32>) {
    let d = kv.heads() * kv.width();
    let q: Vec<f32> = match kv.format() {
        Format::Single => q.to_vec(),
        _ => q.iter().map(|x| x * BASE_2).collect(),
    };
    let (mut values, mut weights) = (vec![f32::NAN; q.len()], Vec::new());
    let query = Query {
        q: Rows::new(&q, d),
        kv,
        causal,
        want,
        to: &mut values,
        weights: &mut weights,
    };
    attend::attend_on(tier, &mut [query]);
    (values, weights)
}

#[test]
fn attention_is_right_in_any_shape_and_grown_in_any_steps() {
    let mut noise = Noise(17);
    for round in 0..60 {
        let heads = 1 + noise.below(4);
        let width = [16, 32, 64, 64, 80, 5][noise.below(6)];
        let keys = 1 + noise.below(400);
        let causal = round % 2 == 0;
        let format = FORMATS[round % 3];
        let rows = 1 + noise.below(keys.min(90) as u64);
        let d = heads * width;
        // Scores up to some tens: sharp rows as well as flat ones.
        let scale = [0.1, 1.0, 3.0][noise.below(3)];
        let (mut q, mut k) = (noise.values(rows * d, scale), noise.values(keys * d, scale));
        let mut v = noise.values(keys * d, 1.0);
        if format != Format::Single {
            // What the format makes of them; the queries are rounded after scaling, which must not move them.
            let round = |x: &mut f32| *x = half::bf16::from_f32(*x).to_f32();
            k.iter_mut().chain(&mut v).for_each(round);
            let scaled = |x: &mut f32| {
                *x = half::bf16::from_f32(*x * BASE_2).to_f32() / BASE_2;
            };
            q.iter_mut().for_each(scaled);
        }
        let (values, weights) = plain_attention((&q, &k, &v), (heads, width), causal);
        let want: Vec<usize> = (0..heads).rev().collect();
        let of = |head: usize| &weights[head * rows * keys..(head + 1) * rows * keys];
        let wanted: Vec<f64> = want.iter().flat_map(|&head| of(head)).copied().collect();

        let mut kv = KeyValues::new(format, keys + noise.below(100), heads, width);
        let mut at = 0;
        while at < keys {
            let step = (1 + noise.below(150)).min(keys - at);
            let part = |x| Rows::new(x, d).rows(at, step);
            kv.push(part(&k), part(&v));
            at += step;
        }
        // Weights become bf16 before they meet the values.
        let tolerance = match format {
            Format::Single => 2e-5,
            _ => 4e-3,
        };
        for tier in tiers() {
            let what = format!("{tier:?} {format:?} {heads}x{width}, {rows} of {keys}, {causal}");
            let (found, weights) = attended(tier, &q, &kv, causal, &want);
            close(&what, &found, &values, tolerance);
            close(&what, &weights, &wanted, 2e-5);
        }
    }
}

#[test]
fn queries_attended_together_are_as_alone() {
    let mut noise = Noise(41);
    let (heads, width) = (3, 64);
    let d = heads * width;
    for format in FORMATS {
        let shapes: Vec<(usize, usize)> = (0..7)
            .map(|_| (1 + noise.below(50), 60 + noise.below(500)))
            .collect();
        let q: Vec<Vec<f32>> = shapes
            .iter()
            .map(|&(rows, _)| noise.values(rows * d, 1.0))
            .collect();
        let kv: Vec<KeyValues> = shapes
            .iter()
            .map(|&(_, keys)| {
                let x = noise.values(keys * d, 1.0);
                let mut kv = KeyValues::new(format, keys, heads, width);
                kv.push(Rows::new(&x, d), Rows::new(&x, d));
                kv
            })
            .collect();
        let mut outputs: Vec<Vec<f32>> = q.iter().map(|q| vec![0.0; q.len()]).collect();
        let mut weights = vec![Vec::new(); q.len()];
        let mut queries: Vec<Query<'_>> = q
            .iter()
            .zip(&kv)
            .zip(outputs.iter_mut().zip(&mut weights))
            .map(|((q, kv), (to, weights))| Query {
                q: Rows::new(q, d),
                kv,
                causal: true,
                want: &[1],
                to,
                weights,
            })
            .collect();
        attend(&mut queries);
        for (((q, kv), output), weights) in q.iter().zip(&kv).zip(&outputs).zip(&weights) {
            let (mut to, mut weights_alone) = (vec![0.0; q.len()], Vec::new());
            attend(&mut [Query {
                q: Rows::new(q, d),
                kv,
                causal: true,
                want: &[1],
                to: &mut to,
                weights: &mut weights_alone,
            }]);
            assert!(to == *output && weights_alone == *weights, "{format:?}");
        }
    }
}

#[test]
fn results_do_not_depend_on_the_number_of_threads() {
    let mut noise = Noise(23);
    let (heads, width, keys, rows) = (3, 64, 700, 200);
    let d = heads * width;
    let (q, k) = (noise.values(rows * d, 1.0), noise.values(keys * d, 1.0));
    let w = noise.values(1000 * d, 1.0);
    for format in FORMATS {
        let packed = Packed::new(format, &w, d, Vec::new());
        let run = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads);
            pool.build().unwrap().install(|| {
                let mut kv = KeyValues::new(format, keys, heads, width);
                kv.push(Rows::new(&k, d), Rows::new(&k, d));
                let attended = attended(fastest(format), &q, &kv, false, &[1]);
                let products = [&q[..], &q[..7 * d]].map(|x| {
                    let mut to = Vec::new();
                    packed.apply(Rows::new(x, d), Finish::Gelu, &mut to);
                    to
                });
                (attended, linear(&q[..3 * d], &w, d), products)
            })
        };
        let one = run(1);
        for threads in [2, 3, 5] {
            assert!(
                run(threads) == one,
                "{format:?}: {threads} threads give other bits"
            );
        }
    }
}

#[test]
fn extreme_scores_give_no_nan() {
    let (heads, width, keys) = (1, 16, 70);
    for (scale, format) in [0.0, 1e-30, 1e4, 1e15]
        .into_iter()
        .flat_map(|scale| FORMATS.map(|format| (scale, format)))
    {
        let k = Noise(9).values(keys * width, scale);
        let q = Noise(2).values(width, 1e3);
        let mut kv = KeyValues::new(format, keys, heads, width);
        kv.push(Rows::new(&k, width), Rows::new(&k, width));
        for tier in tiers() {
            let (values, weights) = attended(tier, &q, &kv, true, &[0]);
            assert!(values.iter().chain(&weights).all(|x| x.is_finite()));
            let sum: f32 = weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-4, "{tier:?} {scale}: {sum}");
        }
    }
}

#[test]
fn nothing_attended_to_is_nothing() {
    let kv = KeyValues::new(Format::Single, 10, 2, 16);
    let (values, weights) = attended(Tier::best(), &[1.0; 64], &kv, false, &[0]);
    assert!(values.iter().all(|&x| x == 0.0) && weights.is_empty());
}

#[test]
fn a_layer_norm_of_many_rows_is_that_of_each() {
    let mut noise = Noise(43);
    let d = 64;
    let (rows, w, b) = (
        noise.values(d * 3000, 2.0),
        noise.values(d, 1.0),
        noise.values(d, 1.0),
    );
    let (mut all, mut one) = (Vec::new(), Vec::new());
    layer_norm(&rows, &w, &b, 1e-5, &mut all);
    for (row, expected) in rows.chunks(d).zip(all.chunks(d)) {
        layer_norm(row, &w, &b, 1e-5, &mut one);
        assert!(one == expected);
    }
}
