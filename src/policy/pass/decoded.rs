//! What a pass decodes.

use crate::policy::alignment::Mass;

/// One decoded token.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Decoded {
    pub id: u32,
    /// Attended frame of the window.
    pub frame: i32,
    pub mass: Mass,
    pub logprob: f32,
}
