//! What a cluster's calls move and store on NATS, by arithmetic from one call's.

use super::figures::Figures;
use super::fleet::{CALL, WORKERS};

/// A key of the bucket with its headers, as each watcher gets it.
const KEY: f64 = 250.0;
/// Writes to keys in the life of a call: the call's and its leg's made, taken, and both deleted.
const WRITES: f64 = 5.0;
/// Renewals of a worker's lease, in a second.
const RENEWALS: f64 = 4.0 / 6.0;
/// For which audio is kept (--nats-audio-age), and text.
const KEPT: f64 = 600.0;
const TEXT_KEPT: f64 = 900.0;
/// Bytes of audio that are kept unless more are asked for (--nats-audio-bytes).
const STORED: f64 = (4_u64 << 30) as f64;
/// And of text, always.
const TEXT_STORED: f64 = (4_u64 << 30) as f64;
/// A network of 10 Gbit/s.
const NETWORK: f64 = 1_250e6;

/// Bytes a second.
pub struct Traffic {
    /// Audio, from gateways and to workers.
    pub audio_in: f64,
    pub audio_out: f64,
    /// Each way.
    pub text: f64,
    /// To NATS.
    pub checkpoints: f64,
    /// The bucket, to all workers.
    pub owners: f64,
    /// Bytes of audio and of text that are there.
    pub stored: f64,
    pub text_stored: f64,
}

impl Traffic {
    pub fn of(calls: usize, figures: &Figures) -> Traffic {
        let calls = calls as f64;
        let writes = calls / CALL * WRITES + WORKERS as f64 * RENEWALS;
        Traffic {
            audio_in: calls * figures.nats_in,
            audio_out: calls * figures.nats_out,
            text: calls * figures.text_bytes,
            checkpoints: calls * figures.checkpoints * figures.checkpoint_bytes,
            owners: writes * KEY * WORKERS as f64,
            stored: calls * figures.nats_in * KEPT,
            text_stored: calls * figures.text_bytes * TEXT_KEPT,
        }
    }

    /// Into NATS from without.
    fn taken(&self) -> f64 {
        self.audio_in + self.text + self.checkpoints
    }

    /// All that the servers read and write, with so many replicas of what is stored.
    pub fn all(&self, replicas: usize) -> f64 {
        let given = self.audio_out + self.text + self.owners;
        self.taken() + given + self.replicated(replicas)
    }

    /// From server to server.
    fn replicated(&self, replicas: usize) -> f64 {
        replicas.saturating_sub(1) as f64 * self.taken()
    }
}

/// A table of some numbers of calls.
pub fn print(numbers: &[usize], figures: &Figures) {
    println!(
        "\nNATS, in MB/s (a network of 10 Gbit/s carries {:.0} each way); the bucket goes to {WORKERS} workers\n",
        NETWORK / 1e6
    );
    println!(
        "| calls | audio in | audio out | text in and out | checkpoints | the bucket | replicas 2 and 3 | all, 1 replica | all, 3 replicas | audio stored (--nats-audio-bytes holds {:.1} GB by default) | text stored (of {:.1} GB) | cores of nats-server | of gateways |\n|---|---|---|---|---|---|---|---|---|---|---|---|---|",
        STORED / 1e9,
        TEXT_STORED / 1e9
    );
    for calls in numbers {
        let traffic = Traffic::of(*calls, figures);
        println!(
            "| {calls} | {:.0} | {:.0} | 2 x {:.1} | {:.1} | {:.1} | {:.0} | {:.0} | {:.0} | {:.0} GB | {:.1} GB | {:.1} | {:.1} |",
            traffic.audio_in / 1e6,
            traffic.audio_out / 1e6,
            traffic.text / 1e6,
            traffic.checkpoints / 1e6,
            traffic.owners / 1e6,
            traffic.replicated(3) / 1e6,
            traffic.all(1) / 1e6,
            traffic.all(3) / 1e6,
            traffic.stored / 1e9,
            traffic.text_stored / 1e9,
            *calls as f64 * figures.nats_cpu,
            *calls as f64 * figures.gateway_cpu,
        );
    }
}
