//! `transcriberbin` from its own crate around `whisperstream`, loaded from the library that is built beside these tests.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, Once};

use gst::ClockTime;
use gst::prelude::*;

mod screen;

use screen::Screen;

pub fn init() {
    static INIT: Once = Once::new();
    INIT.call_once(|| {
        gst::init().unwrap();
        gstrsclosedcaption::plugin_register_static().unwrap();
        gsttextwrap::plugin_register_static().unwrap();
        let plugin = gst::Plugin::load_file(library()).unwrap();
        gst::Registry::get().add_plugin(&plugin).unwrap();
    });
}

/// Our library, as it was built for our own tests: it lies beside these.
fn library() -> PathBuf {
    let library = std::env::current_exe()
        .unwrap()
        .with_file_name("libgstwhisperstream.so");
    assert!(
        library.exists(),
        "{} is missing: scripts/test-transcriberbin says how it gets there",
        library.display()
    );
    library
}

/// A recording of `tests/audio`.
fn recording(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../audio")
        .join(name)
        .with_extension("wav")
}

fn is_loaded(element: &gst::Element) -> bool {
    let stats: gst::Structure = element.property("stats");
    stats.get("loaded").unwrap()
}

/// A recording and a test picture through the bin, in real time; captions are taken off the picture again and read.
pub struct Captioned {
    pub pipeline: gst::Pipeline,
    pub bin: gst::Element,
    pub transcriber: gst::Element,
    screen: Arc<Mutex<Screen>>,
    loads: Arc<AtomicU32>,
}

impl Captioned {
    pub fn new(name: &str) -> Captioned {
        init();
        let recording = recording(name);
        // Two seconds more, for the last caption: 16 kHz of two bytes, 25 frames a second.
        let seconds = std::fs::metadata(&recording).unwrap().len() / 32_000 + 2;
        let frames = 25 * seconds;
        let description = format!(
            "filesrc location=\"{}\" ! wavparse ! audioconvert name=a \
             videotestsrc name=v num-buffers={frames} ! video/x-raw,width=64,height=48,framerate=25/1 ! identity name=i \
             ccextractor name=x  x.src ! fakesink name=video \
             x.caption ! fakesink name=captions async=false signal-handoffs=true \
             fakesink name=audio",
            recording.display()
        );
        let pipeline = gst::parse::launch(&description).unwrap();
        let pipeline = pipeline.downcast::<gst::Pipeline>().unwrap();
        let transcriber = gst::ElementFactory::make("whisperstream").build().unwrap();
        // cea608mux, the default, came with GStreamer 1.24; cea708mux carries the 608 captions as well.
        let bin = gst::ElementFactory::make("transcriberbin")
            .name("bin")
            .property_from_str("mux-method", "cea708")
            .property_from_str("cc-caps", "closedcaption/x-cea-708,format=cc_data")
            .property("latency", 2_000u32)
            .property("transcriber", &transcriber)
            .build()
            .unwrap();
        pipeline.add(&bin).unwrap();
        let part = |name| pipeline.by_name(name).unwrap();
        part("a").link_pads(None, &bin, Some("sink_audio")).unwrap();
        part("i").link_pads(None, &bin, Some("sink_video")).unwrap();
        bin.link_pads(Some("src_audio"), &part("audio"), None)
            .unwrap();
        bin.link_pads(Some("src_video"), &part("x"), None).unwrap();
        let screen = Arc::<Mutex<Screen>>::default();
        let shown = Arc::clone(&screen);
        part("captions").connect("handoff", false, move |args| {
            let captions = args[1].get::<gst::Buffer>().unwrap();
            shown
                .lock()
                .unwrap()
                .hear(&captions.map_readable().unwrap());
            None
        });
        let loads = Arc::<AtomicU32>::default();
        let begun = Arc::clone(&loads);
        // On the thread that posts it, so that none is missed.
        pipeline.bus().unwrap().set_sync_handler(move |_, message| {
            if let gst::MessageView::Progress(progress) = message.view()
                && progress.get().0 == gst::ProgressType::Start
            {
                begun.fetch_add(1, Ordering::Relaxed);
            }
            gst::BusSyncReply::Pass
        });
        Captioned {
            pipeline,
            bin,
            transcriber,
            screen,
            loads,
        }
    }

    /// An element in NULL that keeps the model in memory.
    pub fn keeper() -> gst::Element {
        init();
        let element = gst::ElementFactory::make("whisperstream").build().unwrap();
        element.set_state(gst::State::Paused).unwrap();
        while !is_loaded(&element) {
            std::thread::sleep(std::time::Duration::from_millis(2));
        }
        element.set_state(gst::State::Null).unwrap();
        element
    }

    /// The words shown so far by CEA-608.
    pub fn words(&self) -> Vec<String> {
        self.screen.lock().unwrap().words_608()
    }

    /// The same by CEA-708.
    pub fn words_708(&self) -> Vec<String> {
        self.screen.lock().unwrap().words_708()
    }

    /// Loads of a model that were told of.
    pub fn loads(&self) -> u32 {
        self.loads.load(Ordering::Relaxed)
    }

    /// Plays to the end of the stream; an ERROR is one that nobody wants.
    pub fn to_the_end(&self) {
        let bus = self.pipeline.bus().unwrap();
        let ends = [gst::MessageType::Eos, gst::MessageType::Error];
        let message = bus.timed_pop_filtered(ClockTime::from_seconds(60), &ends);
        match message.as_ref().map(|message| message.view()) {
            Some(gst::MessageView::Eos(_)) => {}
            Some(gst::MessageView::Error(error)) => {
                panic!("{} ({})", error.error(), error.debug().unwrap_or_default())
            }
            _ => panic!("no end came; shown: {:?}", self.words()),
        }
    }

    pub fn play(&self) {
        self.pipeline.set_state(gst::State::Playing).unwrap();
    }

    pub fn stop(&self) {
        self.pipeline.set_state(gst::State::Null).unwrap();
    }
}

impl Drop for Captioned {
    fn drop(&mut self) {
        self.stop();
    }
}
