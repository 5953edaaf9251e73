// SPDX-License-Identifier: MPL-2.0
// What was said: kept as utterances of words, shown as paragraphs whose last words may be grey.

import { between, join } from "./subtitles.js";

export function clock(seconds, digits = 0) {
  const factor = 10 ** digits;
  const all = Math.floor(Math.max(0, seconds) * factor) / factor;
  const [h, m, s] = [Math.floor(all / 3600), Math.floor(all / 60) % 60, (all % 60).toFixed(digits)];
  const wide = s.padStart(digits ? digits + 3 : 2, "0");
  return h ? `${h}:${String(m).padStart(2, "0")}:${wide}` : `${m}:${wide}`;
}

export class Transcript {
  // `place`: where paragraphs go; `spoken`: the region read to those who do not see.
  constructor(place, spoken) {
    Object.assign(this, { place, spoken });
    this.clear();
  }

  clear() {
    this.utterances = new Map();
    this.sessions = (this.sessions ?? 0) + 1;
    this.base = 0;
    for (const old of this.place.querySelectorAll(".said, .gap")) old.remove();
    this.spoken.replaceChildren();
  }

  // A session that begins goes on behind what stands.
  begin() {
    this.sessions++;
    const last = this.words().flat().at(-1);
    this.base = last ? Math.ceil(last.end + 1) : 0;
  }

  // All decided words, an utterance a list.
  words() {
    return [...this.utterances.values()].map(({ words }) => words).filter((words) => words.length > 0);
  }

  tell(event, leg) {
    if (event.type === "gap") return this.gap();
    if (!["words", "partial", "final"].includes(event.type)) return;
    const isWorth = event.words.length > 0 || event.text;
    const said = this.utterance(event, leg, isWorth);
    if (!said) return;
    const placed = event.words.map((word) => ({ ...word, start: word.start + said.offset, end: word.end + said.offset }));
    const follow = this.isAtEnd();
    if (event.type === "partial") {
      this.showTail(said, event.tail);
    } else if (event.type === "words") {
      placed.forEach((word) => this.add(said, word));
      this.showTail(said, this.without(said.tail, event.text));
    } else {
      // All of them again: nothing was missed, unless the line was.
      placed.slice(said.words.length).forEach((word) => this.add(said, word));
      this.showTail(said, "");
      if (said.words.length > 0) this.read(said);
      else this.drop(said);
    }
    if (follow) this.place.scrollTop = this.place.scrollHeight;
  }

  utterance(event, leg, isWorth) {
    const key = `${this.sessions}:${leg.number}:${event.utterance}`;
    const old = this.utterances.get(key);
    if (old || !isWorth) return old;
    const offset = this.base + (leg.offset ?? 0);
    const row = document.createElement("div");
    row.className = "said";
    const time = document.createElement("time");
    time.textContent = clock(event.start + offset);
    const text = document.createElement("p");
    const tail = document.createElement("span");
    tail.className = "tail";
    tail.setAttribute("aria-hidden", "true");
    text.append(tail);
    row.append(time, text);
    this.place.append(row);
    const said = { key, offset, words: [], tail: "", row, text, tailAt: tail };
    this.utterances.set(key, said);
    return said;
  }

  add(said, word) {
    const last = said.words.at(-1);
    said.words.push(word);
    const span = document.createElement("span");
    span.className = "word";
    span.textContent = word.text;
    const sure = Math.round(word.confidence * 100);
    span.dataset.time = `${clock(word.start, 2)} – ${clock(word.end, 2)} · ${sure} %`;
    said.text.insertBefore(document.createTextNode(between(last?.text, word.text)), said.tailAt);
    said.text.insertBefore(span, said.tailAt);
  }

  // The tail until the next pass tells it anew: less the words that were decided.
  without(tail, decided) {
    const fold = (text) => text.toLocaleLowerCase().replace(/[^\p{L}\p{N}]+/gu, "");
    const known = fold(decided);
    let end = 0;
    while (end < tail.length && fold(tail.slice(0, end)).length < known.length) end++;
    return fold(tail.slice(0, end)) === known ? tail.slice(end).trimStart() : "";
  }

  showTail(said, tail) {
    said.tail = tail;
    said.tailAt.textContent = tail && between(said.words.at(-1)?.text, tail.trimStart()) + tail.trimStart();
  }

  read(said) {
    const line = document.createElement("p");
    line.textContent = join(said.words);
    this.spoken.append(line);
    while (this.spoken.children.length > 5) this.spoken.firstChild.remove();
  }

  drop(said) {
    said.row.remove();
    this.utterances.delete(said.key);
  }

  gap() {
    for (const said of [...this.utterances.values()]) {
      this.showTail(said, "");
      if (said.words.length === 0) this.drop(said);
    }
    const line = document.createElement("p");
    line.className = "gap";
    line.textContent = "The connection was lost here; some words may be missing.";
    this.place.append(line);
  }

  isAtEnd() {
    const { scrollTop, scrollHeight, clientHeight } = this.place;
    return scrollHeight - scrollTop - clientHeight < 80;
  }
}
