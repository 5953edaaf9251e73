//! What the simulation takes from the measurements: of this run, or of an earlier one.

/// Of one call, in bytes, seconds, cores.
#[derive(Clone, Debug)]
pub struct Figures {
    /// From a line's last audio to its text, of a call that nothing disturbs: its least, its deciles, its most.
    pub lag_deciles: [f64; 11],
    /// What its text takes on NATS, in a second.
    pub text_bytes: f64,
    /// Of its checkpoints: how many in a second, and how large.
    pub checkpoints: f64,
    pub checkpoint_bytes: f64,
    /// What nats-server reads and writes for it in a second, audio and how far it is heard.
    pub nats_in: f64,
    pub nats_out: f64,
    /// Cores.
    pub gateway_cpu: f64,
    pub nats_cpu: f64,
    /// Time in which a leg is claimed.
    pub claim: f64,
}

/// Measured on two cores of an AMD EPYC, the demo model and nats-server 2.9.10 on the same machine, by
///
///     cargo bench --profile dev -p whisperstream-doors --bench cluster -- detour throughput --rounds 2
///
/// (throughput: at 400 calls). The gateway was built without optimisation, and so are its cores.
impl Default for Figures {
    fn default() -> Figures {
        Figures {
            lag_deciles: [
                0.243, 0.380, 0.444, 0.477, 0.520, 0.548, 0.595, 0.665, 0.745, 0.863, 1.841,
            ],
            text_bytes: 12_039.0,
            checkpoints: 0.17,
            checkpoint_bytes: 23_140.0,
            nats_in: 33_500.0,
            nats_out: 34_000.0,
            gateway_cpu: 0.61 / 400.0,
            nats_cpu: 0.80 / 400.0,
            claim: 0.000_6,
        }
    }
}
