//! Log-mel spectrogram, computed once per frame of a growing and scrolling buffer.
//!
//! The numbers are openai/whisper's `log_mel_spectrogram` of the buffer with 30 s of zeros behind it:
//! 400-sample periodic Hann windows every 160 samples, centred with reflection, the last frame dropped,
//! power, Slaney filterbank, log10. All arithmetic up to the logarithm is f64, so that quiet bins beside
//! loud ones are right and a frame has the same bits whenever it is computed.

use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{RealFftPlanner, RealToComplex};

use super::{FRAME, HOP, SAMPLE_RATE, WINDOW_FRAMES, WINDOW_MEL_FRAMES};

/// Samples of one Fourier window.
const N_FFT: usize = candle_transformers::models::whisper::N_FFT;
/// Frequencies of one Fourier window.
const N_FREQS: usize = N_FFT / 2 + 1;
/// Samples that a frame reaches to either side of its centre.
const REACH: usize = N_FFT / 2;
/// Frames that see the reflection at the buffer's start.
const LEFT_EDGE: usize = REACH.div_ceil(HOP);
/// Log power of silence: log10 of the floor.
const SILENCE: f32 = -10.0;
/// The floor below which power is not told apart.
const POWER_FLOOR: f64 = 1e-10;
/// Range that is kept below the loudest value, in log10 of power.
const RANGE: f32 = 8.0;

/// Slaney mel filterbank for one number of bins, with the FFT plan; shared by every stream of a model.
pub struct MelFilters {
    /// The nonzero weights of each bin, from its first frequency on.
    bins: Vec<(usize, Vec<f64>)>,
    window: Vec<f64>,
    fft: Arc<dyn RealToComplex<f64>>,
}

impl MelFilters {
    /// `bins`: 80 up to large-v2, 128 since large-v3.
    pub fn new(bins: usize) -> MelFilters {
        let window = (0..N_FFT)
            .map(|i| {
                let phase = std::f64::consts::TAU * i as f64 / N_FFT as f64;
                0.5 - 0.5 * phase.cos()
            })
            .collect();
        MelFilters {
            bins: slaney_filters(bins),
            window,
            fft: RealFftPlanner::new().plan_fft_forward(N_FFT),
        }
    }

    /// Mel bins of every frame.
    pub fn bins(&self) -> usize {
        self.bins.len()
    }
}

impl fmt::Debug for MelFilters {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MelFilters")
            .field("bins", &self.bins.len())
            .finish_non_exhaustive()
    }
}

/// The log-mel of one stream's current audio. Keeps unclamped log10 power per frame and recomputes only
/// the frames at the edges: the two that see the reflection at the start after a trim, those that reach
/// over the end after a push, and all of them when a trim was no multiple of 160 samples.
#[derive(Clone)]
pub struct LogMel {
    filters: Arc<MelFilters>,
    samples: Vec<f32>,
    /// log10 power, frame by frame, `bins` values each; always a prefix of the frames that hear audio.
    rows: Vec<f32>,
    /// The first frames of `rows` must be computed again: the audio before them is gone.
    left_edge_moved: bool,
    frames_computed: u64,
}

impl LogMel {
    pub fn new(filters: Arc<MelFilters>) -> LogMel {
        LogMel {
            filters,
            samples: Vec::new(),
            rows: Vec::new(),
            left_edge_moved: false,
            frames_computed: 0,
        }
    }

    /// Appends samples in -1..1 (int16 / 32768); what lies outside is clipped, NaN is silence.
    pub fn push(&mut self, samples: &[f32]) {
        if samples.is_empty() {
            return;
        }
        // Only frames that do not reach over the old end keep their value.
        let settled = match self.samples.len().checked_sub(REACH) {
            Some(last_centre) => last_centre / HOP + 1,
            None => 0,
        };
        self.rows.truncate(settled * self.filters.bins());
        let clipped = samples
            .iter()
            .map(|&x| if x.is_nan() { 0.0 } else { x.clamp(-1.0, 1.0) });
        self.samples.extend(clipped);
    }

    /// Forgets `samples` from the front.
    pub fn trim(&mut self, samples: usize) {
        let samples = samples.min(self.samples.len());
        if samples == 0 {
            return;
        }
        self.samples.drain(..samples);
        if samples.is_multiple_of(HOP) {
            let gone = (samples / HOP * self.filters.bins()).min(self.rows.len());
            self.rows.drain(..gone);
            self.left_edge_moved = true;
        } else {
            self.rows.clear();
        }
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.samples.clear();
        self.rows.clear();
        self.left_edge_moved = false;
    }

    /// Samples held.
    pub fn len(&self) -> usize {
        self.samples.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory held.
    pub fn bytes(&self) -> usize {
        (self.samples.capacity() + self.rows.capacity()) * size_of::<f32>()
    }

    /// The samples held, oldest first.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Encoder frames that hold audio: `len / 320`, at most 1500.
    pub fn content_frames(&self) -> usize {
        (self.samples.len() / FRAME).min(WINDOW_FRAMES)
    }

    /// Frames computed since this was made; for the tests that count work.
    pub fn frames_computed(&self) -> u64 {
        self.frames_computed
    }

    /// The network's input: `[bins, 3000]`, row-major, normalised as Whisper does
    /// (max over the whole padded buffer - 8, + 4, / 4), zero-audio frames behind the content.
    pub fn window(&mut self) -> Vec<f32> {
        self.update();
        let bins = self.filters.bins();
        // The zeros behind the audio are part of what the maximum is taken over.
        let loudest = self.rows.iter().fold(SILENCE, |max, &x| max.max(x));
        let floor = loudest - RANGE;
        let normalise = |x: f32| (x.max(floor) + 4.0) / 4.0;
        let mut window = vec![normalise(SILENCE); bins * WINDOW_MEL_FRAMES];
        for (bin, out) in window.chunks_exact_mut(WINDOW_MEL_FRAMES).enumerate() {
            let values = self.rows.iter().skip(bin).step_by(bins);
            for (out, &x) in out.iter_mut().zip(values) {
                *out = normalise(x);
            }
        }
        window
    }

    /// Brings `rows` up to date.
    fn update(&mut self) {
        let bins = self.filters.bins();
        if bins == 0 {
            return;
        }
        let kept = self.rows.len() / bins;
        // Frames whose window touches a sample; all later ones are silence.
        let hearing = match self.samples.len() {
            0 => 0,
            len => (len + REACH).div_ceil(HOP),
        };
        let again = if self.left_edge_moved {
            0..LEFT_EDGE.min(kept).min(hearing)
        } else {
            0..0
        };
        self.left_edge_moved = false;
        self.rows.resize(hearing * bins, SILENCE);
        self.compute(again);
        self.compute(kept..hearing);
    }

    /// Computes these frames into `rows`.
    fn compute(&mut self, frames: Range<usize>) {
        if frames.is_empty() {
            return;
        }
        let filters = &*self.filters;
        let bins = filters.bins();
        let mut input = filters.fft.make_input_vec();
        let mut spectrum = filters.fft.make_output_vec();
        let mut scratch = filters.fft.make_scratch_vec();
        let mut power = [0f64; N_FREQS];
        let rows = self.rows.chunks_exact_mut(bins).enumerate();
        for (frame, row) in rows.skip(frames.start).take(frames.len()) {
            let first = (frame * HOP) as isize - REACH as isize;
            for (i, (x, w)) in input.iter_mut().zip(&filters.window).enumerate() {
                // Reflection at the start; behind the end there are 30 s of zeros.
                let at = (first + i as isize).unsigned_abs();
                *x = f64::from(self.samples.get(at).copied().unwrap_or(0.0)) * w;
            }
            // Cannot fail: the plan made the buffers. Were it to, the frame would be silent.
            if filters
                .fft
                .process_with_scratch(&mut input, &mut spectrum, &mut scratch)
                .is_err()
            {
                spectrum.fill(Complex::default());
            }
            for (power, x) in power.iter_mut().zip(&spectrum) {
                *power = x.norm_sqr();
            }
            for (out, (start, weights)) in row.iter_mut().zip(&filters.bins) {
                let sum: f64 = weights
                    .iter()
                    .zip(power.iter().skip(*start))
                    .map(|(w, p)| w * p)
                    .sum();
                *out = sum.max(POWER_FLOOR).log10() as f32;
            }
        }
        self.frames_computed += frames.len() as u64;
    }
}

/// Slaney's mel scale: linear to 1 kHz, logarithmic above.
mod mel_scale {
    const HZ_PER_MEL: f64 = 200.0 / 3.0;
    const LOG_FROM_HZ: f64 = 1000.0;
    const LOG_FROM_MEL: f64 = LOG_FROM_HZ / HZ_PER_MEL;
    /// 27 steps from 1 to 6.4 kHz.
    fn log_step() -> f64 {
        6.4f64.ln() / 27.0
    }

    pub fn from_hz(hz: f64) -> f64 {
        if hz < LOG_FROM_HZ {
            hz / HZ_PER_MEL
        } else {
            LOG_FROM_MEL + (hz / LOG_FROM_HZ).ln() / log_step()
        }
    }

    pub fn to_hz(mel: f64) -> f64 {
        if mel < LOG_FROM_MEL {
            mel * HZ_PER_MEL
        } else {
            LOG_FROM_HZ * ((mel - LOG_FROM_MEL) * log_step()).exp()
        }
    }
}

/// Triangles of equal area between neighbouring points of the mel scale, as librosa's `filters.mel`
/// (Slaney scale and normalisation); weights rounded to f32, as the published filterbanks are.
fn slaney_filters(bins: usize) -> Vec<(usize, Vec<f64>)> {
    let nyquist = SAMPLE_RATE as f64 / 2.0;
    let top = mel_scale::from_hz(nyquist);
    let point = |i: usize| mel_scale::to_hz(top * i as f64 / (bins + 1) as f64);
    (0..bins)
        .map(|bin| {
            let (low, centre, high) = (point(bin), point(bin + 1), point(bin + 2));
            let area = 2.0 / (high - low);
            let weight = |k: usize| {
                let hz = nyquist * k as f64 / (N_FREQS - 1) as f64;
                let rising = (hz - low) / (centre - low);
                let falling = (high - hz) / (high - centre);
                f64::from((rising.min(falling).max(0.0) * area) as f32)
            };
            let start = (0..N_FREQS).find(|&k| weight(k) > 0.0).unwrap_or(0);
            let weights = (start..N_FREQS)
                .map(weight)
                .take_while(|&w| w > 0.0)
                .collect();
            (start, weights)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A small repeatable noise source (xorshift).
    struct Noise(u64);

    impl Noise {
        fn next(&mut self) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0
        }

        fn samples(&mut self, len: usize) -> Vec<f32> {
            (0..len)
                .map(|_| (self.next() as i16) as f32 / 32768.0)
                .collect()
        }
    }

    fn log_mel(samples: &[f32]) -> LogMel {
        let mut mel = LogMel::new(Arc::new(MelFilters::new(80)));
        mel.push(samples);
        mel
    }

    #[test]
    fn any_order_of_pushes_and_trims_gives_the_bits_of_a_fresh_computation() {
        let mut noise = Noise(7);
        let mut mel = log_mel(&[]);
        let mut model: Vec<f32> = Vec::new();
        for round in 0..120 {
            match noise.next() % 5 {
                0 => {
                    let by = noise.next() as usize % (model.len() + 200);
                    let by = if round % 2 == 0 { by / HOP * HOP } else { by };
                    mel.trim(by);
                    model.drain(..by.min(model.len()));
                }
                1 => {
                    let size = noise.next() as usize % 3;
                    let more = noise.samples(size);
                    mel.push(&more);
                    model.extend(more);
                }
                _ => {
                    let size = noise.next() as usize % 9000;
                    let more = noise.samples(size);
                    mel.push(&more);
                    model.extend(more);
                }
            }
            assert!(mel.samples() == model, "round {round}");
            if !noise.next().is_multiple_of(3) {
                assert!(mel.window() == log_mel(&model).window(), "round {round}");
            }
        }
    }

    #[test]
    fn a_growing_buffer_computes_each_frame_once_but_for_the_right_edge() {
        let chunk = Noise(1).samples(8000);
        let mut mel = log_mel(&[]);
        let chunks = 40;
        for _ in 0..chunks {
            mel.push(&chunk);
            mel.window();
            mel.window();
        }
        let frames = (mel.len() + REACH).div_ceil(HOP) as u64;
        let edges = 3 * (chunks - 1);
        assert!(
            mel.frames_computed() <= frames + edges,
            "{} for {frames} frames",
            mel.frames_computed()
        );
    }

    #[test]
    fn a_trim_by_whole_hops_computes_two_frames_again() {
        let mut mel = log_mel(&Noise(2).samples(160_000));
        mel.window();
        let before = mel.frames_computed();
        mel.trim(16_000);
        mel.window();
        assert_eq!(mel.frames_computed() - before, 2);
        mel.trim(16_001);
        mel.window();
        assert!(mel.frames_computed() - before > 700);
    }

    #[test]
    fn tiny_and_silent_buffers_are_finite() {
        for len in [0, 1, 2, 159, 160, 199, 200, 201, 320, 399, 401] {
            for value in [0.0, 1.0, f32::NAN, f32::INFINITY, -1e30] {
                let mut mel = log_mel(&vec![value; len]);
                let window = mel.window();
                assert_eq!(window.len(), 80 * WINDOW_MEL_FRAMES);
                assert!(window.iter().all(|x| x.is_finite()), "{len} x {value}");
            }
        }
    }

    #[test]
    fn sound_behind_the_window_still_sets_the_floor() {
        // 30 s of silence, then a click that only frames beyond the 3000th hear.
        let mut samples = vec![0.0; 481_000];
        let quiet = log_mel(&samples).window();
        samples[480_900] = 1.0;
        let loud = log_mel(&samples).window();
        assert_eq!(quiet[0], -1.5);
        assert!(loud[0] > -1.5, "{}", loud[0]);
    }

    #[test]
    fn content_is_counted_in_whole_encoder_frames() {
        let mut mel = log_mel(&[0.0; 319]);
        assert_eq!(mel.content_frames(), 0);
        mel.push(&[0.0]);
        assert_eq!(mel.content_frames(), 1);
        mel.push(&vec![0.0; 500_000]);
        assert_eq!(mel.content_frames(), WINDOW_FRAMES);
        mel.clear();
        assert!(mel.is_empty());
    }
}
