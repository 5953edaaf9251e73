//! What the benchmarks share.
#![allow(dead_code)]

pub mod align;
pub mod live;
pub mod machine;
pub mod median;
pub mod model;
pub mod peer;
pub mod precision;
pub mod score;
#[path = "../../tests/common/synthetic.rs"]
pub mod synthetic;
pub mod telephone;
pub mod trace;
pub mod trial;
pub mod usage;
pub mod window;
pub mod work;
