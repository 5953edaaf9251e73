//! The pipeline of a stream that a program feeds and reads itself.

use gst::prelude::*;

/// `appsrc ! element ! appsink`, playing; what comes out goes to `callbacks` as soon as it is there.
pub fn playing(
    input: &gst_app::AppSrc,
    element: &gst::Element,
    callbacks: gst_app::AppSinkCallbacks,
) -> gst::Pipeline {
    let output = gst_app::AppSink::builder()
        .sync(false)
        .async_(false)
        .callbacks(callbacks)
        .build();
    let pipeline = gst::Pipeline::new();
    let members = [input.upcast_ref(), element, output.upcast_ref()];
    pipeline.add_many(members).expect("a fresh pipeline");
    gst::Element::link_many(members).expect("audio in, text out");
    pipeline.set_state(gst::State::Playing).expect("playing");
    pipeline
}
