//! Tones on the line are told, whatever the line does to them, and nothing else is: the detector and the element
//! `beepdetect` around it.

#[path = "common/music.rs"]
mod music;
#[path = "common/sounds.rs"]
mod sounds;
#[path = "common/voices.rs"]
mod voices;

#[path = "beepdetect/detector.rs"]
mod detector;
#[path = "beepdetect/element.rs"]
mod element;
#[path = "beepdetect/quiet.rs"]
mod quiet;
#[path = "beepdetect/rig.rs"]
mod rig;
