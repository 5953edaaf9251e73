//! Captions, read from the `cc_data` that lies with the picture.

use cea608_types::{Cea608, Cea608State, Text};
use cea708_types::CCDataParser;

/// A television that shows channel 1 of field 1 by CEA-608, and service 1 by CEA-708, all lines one after the other.
#[derive(Default)]
pub struct Screen {
    decoder: Cea608State,
    text: String,
    packets: CCDataParser,
    text_708: String,
}

impl Screen {
    /// Triplets of a picture: what it is, two bytes.
    pub fn hear(&mut self, cc_data: &[u8]) {
        let (triplets, rest) = cc_data.as_chunks::<3>();
        assert!(rest.is_empty(), "half a triplet: {cc_data:?}");
        for &[kind, a, b] in triplets {
            let (valid, field) = (kind & 4 != 0, kind & 3);
            if valid && field == 0 {
                self.pair([a, b]);
            }
        }
        // The header that its standard wants: data follow, so many triplets.
        let mut packet = vec![0xc0 | triplets.len() as u8, 0xff];
        packet.extend(cc_data);
        self.packets.push(&packet).expect("a broken packet");
        while let Some(packet) = self.packets.pop_packet() {
            let services = packet.services().iter();
            for service in services.filter(|service| service.number() == 1) {
                // What is no character moves, and so parts words.
                let text = service
                    .codes()
                    .iter()
                    .map(|code| code.char().unwrap_or('\n'));
                self.text_708.extend(text);
            }
        }
    }

    fn pair(&mut self, pair: [u8; 2]) {
        match self.decoder.decode(pair).expect("a broken pair") {
            Some(Cea608::Text(Text {
                needs_backspace,
                char1,
                char2,
                ..
            })) => {
                if needs_backspace {
                    self.text.pop();
                }
                self.text.extend([char1, char2].into_iter().flatten());
            }
            Some(Cea608::Backspace(_)) => {
                self.text.pop();
            }
            Some(Cea608::CarriageReturn(_) | Cea608::Preamble(..) | Cea608::EraseDisplay(_)) => {
                self.text.push('\n')
            }
            _ => {}
        }
    }

    pub fn words_608(&self) -> Vec<String> {
        self.text.split_whitespace().map(Into::into).collect()
    }

    pub fn words_708(&self) -> Vec<String> {
        self.text_708.split_whitespace().map(Into::into).collect()
    }
}
