//! Scenarios for sipp, written message by message.

use std::path::{Path, PathBuf};

use gst::prelude::*;

use crate::audio;

/// What a caller does.
#[derive(Clone, Default)]
pub struct Scenario {
    steps: Vec<String>,
    invite: usize,
    cseq: u32,
}

pub const SDP: &str = "Content-Type: application/sdp";

/// An offer with sipp's own address and port.
pub fn offer(types: &str, attributes: &str) -> String {
    format!(
        "v=0\no=alice 1 1 IN IP[local_ip_type] [local_ip]\ns=-\nc=IN IP[media_ip_type] [media_ip]\nt=0 0\n\
         m=audio [auto_media_port] RTP/AVP {types}\n{attributes}"
    )
}

/// An offer for what `play` sends.
pub fn streamed(types: &str, attributes: &str) -> String {
    offer(types, attributes).replace("[auto_media_port]", "[rtpstream_audio_port]")
}

impl Scenario {
    fn request(
        &mut self,
        method: &str,
        cseq: u32,
        branch: &str,
        headers: &str,
        body: &str,
        retrans: bool,
    ) {
        let retrans = if retrans { " retrans=\"500\"" } else { "" };
        let headers = match headers.is_empty() {
            true => String::new(),
            false => format!("{headers}\n"),
        };
        self.steps.push(format!(
            "<send{retrans}><![CDATA[\n\n{method} sip:tap@[remote_ip]:[remote_port] SIP/2.0\n\
             Via: SIP/2.0/[transport] [local_ip]:[local_port];branch={branch}\n\
             From: \"Alice\" <sip:alice@[local_ip]:[local_port]>;tag=[pid]t[call_number]\n\
             To: <sip:tap@[remote_ip]:[remote_port]>[peer_tag_param]\n\
             Call-ID: [call_id]\nCSeq: {cseq} {}\nMax-Forwards: 70\n\
             Contact: <sip:alice@[local_ip]:[local_port];transport=[transport]>\n\
             {headers}Content-Length: [len]\n\n{body}\n]]></send>",
            method
        ));
    }

    /// A request of any kind.
    pub fn send(mut self, method: &str, headers: &str, body: &str) -> Self {
        self.cseq += 1;
        if method == "INVITE" {
            self.invite = self.steps.len();
        }
        self.request(method, self.cseq, "[branch]", headers, body, true);
        self
    }

    pub fn invite(self, sdp: &str) -> Self {
        self.send("INVITE", SDP, sdp)
    }

    pub fn recv(mut self, status: u16) -> Self {
        if status != 100 {
            self.steps
                .push("<recv response=\"100\" optional=\"true\"/>".into());
        }
        let optional = if status == 100 {
            " optional=\"true\""
        } else {
            ""
        };
        self.steps
            .push(format!("<recv response=\"{status}\"{optional}/>"));
        self
    }

    /// An answer with a pattern in it.
    pub fn recv_with(mut self, status: u16, pattern: &str) -> Self {
        self.steps
            .push("<recv response=\"100\" optional=\"true\"/>".into());
        self.steps.push(format!(
            "<recv response=\"{status}\"><action><ereg regexp=\"{pattern}\" search_in=\"msg\" check_it=\"true\" assign_to=\"1\"/></action></recv>"
        ));
        self
    }

    /// A request of the tap's.
    pub fn recv_request(mut self, method: &str) -> Self {
        self.steps.push(format!("<recv request=\"{method}\"/>"));
        self
    }

    /// The answer to a request of the tap's.
    pub fn reply(mut self, status: &str) -> Self {
        self.steps.push(format!(
            "<send><![CDATA[\n\nSIP/2.0 {status}\n[last_Via:]\n[last_From:]\n[last_To:]\n[last_Call-ID:]\n[last_CSeq:]\nContent-Length: 0\n\n]]></send>"
        ));
        self
    }

    /// Of an answer that says yes.
    pub fn ack(mut self) -> Self {
        self.request("ACK", self.cseq, "[branch]", "", "", false);
        self
    }

    /// Of a refusal: in the INVITE's own transaction.
    pub fn ack_refusal(mut self) -> Self {
        let branch = format!("[branch-{}]", self.steps.len() - self.invite);
        self.request("ACK", self.cseq, &branch, "", "", false);
        self
    }

    pub fn cancel(mut self) -> Self {
        let branch = format!("[branch-{}]", self.steps.len() - self.invite);
        self.request("CANCEL", self.cseq, &branch, "", "", true);
        self
    }

    /// Streams a file that `mulaw` or `alaw` made.
    pub fn play(mut self, file: &Path, payload: &str) -> Self {
        self.steps.push(format!(
            "<nop><action><exec rtp_stream=\"{},1,{payload}\"/></action></nop>",
            file.display()
        ));
        self
    }

    pub fn pause(mut self, ms: u64) -> Self {
        self.steps.push(format!("<pause milliseconds=\"{ms}\"/>"));
        self
    }

    pub fn bye(self) -> Self {
        self.send("BYE", "", "").recv(200)
    }

    /// A whole call up to its answer.
    pub fn call(sdp: &str) -> Self {
        Scenario::default().invite(sdp).recv(200).ack()
    }

    pub fn xml(&self) -> String {
        format!(
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<scenario name=\"caller\">\n{}\n{}</scenario>\n",
            self.steps.join("\n"),
            // What is assigned must be used, for sipp.
            match self.steps.iter().any(|step| step.contains("assign_to")) {
                true => "<Reference variables=\"1\"/>\n",
                false => "",
            }
        )
    }
}

/// A file of tests/audio as bare G.711, for `play`.
fn coded(name: &str, encoder: &str, folder: &Path) -> PathBuf {
    doors::init().unwrap();
    let path = folder.join(format!("{name}.{encoder}"));
    let pipeline = gst::parse::launch(&format!(
        "filesrc location={} ! wavparse ! audioconvert ! audioresample ! audio/x-raw,rate=8000,channels=1 ! {encoder} ! filesink location={}",
        audio(name).display(),
        path.display()
    ))
    .unwrap();
    pipeline.set_state(gst::State::Playing).unwrap();
    let bus = pipeline.bus().unwrap();
    let end = bus.timed_pop_filtered(
        gst::ClockTime::from_seconds(60),
        &[gst::MessageType::Eos, gst::MessageType::Error],
    );
    assert_eq!(end.unwrap().type_(), gst::MessageType::Eos);
    pipeline.set_state(gst::State::Null).unwrap();
    path
}

pub fn mulaw(name: &str, folder: &Path) -> PathBuf {
    coded(name, "mulawenc", folder)
}

pub fn alaw(name: &str, folder: &Path) -> PathBuf {
    coded(name, "alawenc", folder)
}
