//! What is at the other end of the line: the rules on made-up calls, and the element `answerdetect` between pads that the
//! test drives. No network runs here; `benches/answers` plays whole calls.

mod element;
mod logic;
mod rig;
