// SPDX-License-Identifier: MPL-2.0
// What is made of words: text, and subtitles that can be read. Words are {text, start, end}, times in seconds.

const LINE = 42; // characters
const CUE = 2 * LINE;
const LONGEST = 7; // seconds
const PAUSE = 0.9; // seconds, after which a new cue begins
const SHORTEST = 1.2; // seconds, where the next cue leaves so much
const PACE = 17; // characters a second that people can read
const BETWEEN = 0.04; // seconds that stay empty between two cues

const SOLID = /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Thai}\p{Script=Lao}\p{Script=Khmer}\p{Script=Myanmar}]/u;
const ENDS = /[.?!…。？！]["'»”)]*$/u;
const HALTS = /[,;:،、，；：]["'»”)]*$/u;

// What stands between two words: nothing where a script writes none, or a mark stands alone.
export function between(before, after) {
  if (!before || !after) return "";
  if (SOLID.test(before.at(-1)) && SOLID.test(after[0])) return "";
  return /^[.,。、，！？]/u.test(after) ? "" : " ";
}

export function join(words) {
  return words.reduce((text, word) => text + between(text, word.text) + word.text, "");
}

// Utterances, each a list of words, cut into {start, end, text}.
export function cues(utterances) {
  const cut = utterances.flatMap(pieces).filter((piece) => piece.length > 0);
  return cut.map((words, i) => {
    const text = lines(words);
    const start = words[0].start;
    // A cue stays for as long as it takes to read it, if the next one lets it.
    const wanted = Math.max(words.at(-1).end, start + SHORTEST, start + text.length / PACE);
    const next = cut[i + 1]?.[0].start ?? Infinity;
    const room = Math.max(next - BETWEEN, start + 0.1);
    return { start, end: Math.min(wanted, room, start + LONGEST), text };
  });
}

function pieces(words) {
  const done = [];
  let open = [];
  for (const word of words) {
    const last = open.at(-1);
    if (last && word.start - last.end > PAUSE) {
      done.push(open);
      open = [];
    }
    while (open.length > 0 && isFull([...open, word])) {
      const at = bestCut(open);
      done.push(open.slice(0, at));
      open = open.slice(at);
    }
    open.push(word);
    if (ENDS.test(word.text) && join(open).length >= LINE / 2) {
      done.push(open);
      open = [];
    }
  }
  done.push(open);
  return done;
}

function isFull(words) {
  return join(words).length > CUE || words.at(-1).end - words[0].start > LONGEST;
}

// Behind which word a cue that is full is cut: a mark, else the longest breath, in its second half.
function bestCut(words) {
  let [best, most] = [words.length, -1];
  for (let at = Math.max(1, Math.ceil(words.length / 2)); at <= words.length; at++) {
    const [before, after] = [words[at - 1], words[at]];
    const breath = after ? Math.max(0, after.start - before.end) : 0;
    const mark = ENDS.test(before.text) ? 2 : HALTS.test(before.text) ? 1 : 0;
    const worth = mark + Math.min(breath, 0.9) + (at / words.length) * 0.1;
    if (worth > most) [best, most] = [at, worth];
  }
  return best;
}

// In one line, or in two of about the same length.
function lines(words) {
  const text = join(words);
  if (text.length <= LINE) return text;
  let [best, least] = [text, Infinity];
  for (let at = 1; at < words.length; at++) {
    const [above, below] = [join(words.slice(0, at)), join(words.slice(at))];
    const worst = Math.max(above.length, below.length) - (HALTS.test(above) || ENDS.test(above) ? 4 : 0);
    if (worst < least) [best, least] = [`${above}\n${below}`, worst];
  }
  return best;
}

function stamp(seconds, mark) {
  const ms = Math.max(0, Math.round(seconds * 1000));
  const part = (value, digits) => String(Math.floor(value)).padStart(digits, "0");
  const [h, m, s] = [ms / 3_600_000, (ms / 60_000) % 60, (ms / 1000) % 60];
  return `${part(h, 2)}:${part(m, 2)}:${part(s, 2)}${mark}${part(ms % 1000, 3)}`;
}

export function toText(utterances) {
  return utterances.map((words) => join(words) + "\n").join("");
}

export function toSrt(utterances) {
  const cue = ({ start, end, text }, i) => `${i + 1}\n${stamp(start, ",")} --> ${stamp(end, ",")}\n${text}\n`;
  return cues(utterances).map(cue).join("\n");
}

export function toVtt(utterances) {
  const plain = (text) => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  const cue = ({ start, end, text }) => `\n${stamp(start, ".")} --> ${stamp(end, ".")}\n${plain(text)}\n`;
  return "WEBVTT\n" + cues(utterances).map(cue).join("");
}
